//! Command-line arguments about traced runs.

use std::path::PathBuf;

use clap::Args;

use crate::cli::values::{self, TestRun, Words};

/// Runs of the program that have to work in the image.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// Run the program with these arguments and add what it looks up (repeatable)
    ///
    /// Shell words, or a JSON list; "" for none. The program runs on this machine as this user, in the
    /// current directory, with the environment of the image: PATH, HOME and what --env sets.
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, allow_hyphen_values = true)]
    pub trace: Vec<Words>,
    /// Run a command that starts the program, and add what the program looks up (repeatable)
    ///
    /// Such as a test script with a client. The command runs with the environment of this shell; only
    /// what the program and its descendants look up is added.
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words)]
    pub trace_cmd: Vec<Words>,
    /// Add what a recorded run looked up (repeatable)
    ///
    /// A recording of slimpack trace, or the output of strace -f -e trace=file,desc,process.
    #[arg(hide_short_help = true, long, value_name = "FILE")]
    pub trace_log: Vec<PathBuf>,
    /// Leave out what a glob matches among the files that runs look up (repeatable)
    #[arg(hide_short_help = true, long, value_name = "GLOB")]
    pub trace_ignore: Vec<String>,
    /// Add whole directories if a run reads the names in them
    #[arg(hide_short_help = true, long)]
    pub trace_dirs: bool,
    /// Send SIGTERM to a run that takes longer, such as 30s or 5m, and SIGKILL two seconds later
    #[arg(hide_short_help = true, long, value_name = "TIME", value_parser = values::seconds)]
    pub trace_timeout: Option<u64>,
    /// Use runs that fail, too
    #[arg(hide_short_help = true, long)]
    pub trace_allow_failure: bool,
    /// Run the image with these arguments, and write it only if that succeeds (repeatable)
    ///
    /// Shell words, or a JSON list; "" for none. What the image starts runs on this machine in namespaces
    /// of its own, as with slimpack run, without network. If it fails, the likeliest cause is printed.
    #[arg(hide_short_help = true, long, value_name = "ARGS", value_parser = values::test, allow_hyphen_values = true)]
    pub test: Vec<TestRun>,
    /// Output that the --test before it must write, and nothing else: TEXT and a line end, or FILE
    #[arg(
        hide_short_help = true,
        long,
        value_name = "TEXT|@FILE",
        allow_hyphen_values = true
    )]
    pub test_stdout: Vec<String>,
    /// Exit status that the --test before it must have [default: 0]
    #[arg(hide_short_help = true, long, value_name = "N")]
    pub test_status: Vec<u8>,
    /// Kill the --test before it if it takes longer, such as 5s or 5m [default: 60s]
    #[arg(hide_short_help = true, long, value_name = "TIME", value_parser = values::seconds)]
    pub test_timeout: Vec<u64>,
    /// Add what a failing --test lacks, one thing after the other, until it succeeds
    #[arg(hide_short_help = true, long)]
    pub fix: bool,
    /// Print the options that give the same image without a run
    #[arg(hide_short_help = true, long)]
    pub suggest: bool,
}

/// `slimpack trace`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TraceArgs {
    /// The command to run, with its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<std::ffi::OsString>,
    /// Write the recording to FILE; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Record only what this program and its descendants look up
    #[arg(long, value_name = "PROGRAM")]
    pub only: Option<PathBuf>,
    /// Send SIGTERM to a run that takes longer, such as 30s or 5m, and SIGKILL two seconds later
    #[arg(long, value_name = "TIME", value_parser = values::seconds)]
    pub timeout: Option<u64>,
    /// Write the recording of a command that fails, too
    #[arg(long)]
    pub allow_failure: bool,
}
