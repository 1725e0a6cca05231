//! The command line.
//!
//! In: arguments. Out: an exit status: 0 done, 1 the answer is no (an incomplete
//! closure, a check that failed), 2 usage, unreadable input or failed output.

mod about;
mod args;
mod diff;
mod error;
mod help;
mod inspect;
mod lint;
mod needs;
mod pack;
mod progress;
mod registry;
mod size;
mod strip;
mod tree;
mod values;
mod why;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Cli, Verb};
use error::CliError;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::read();
    cli.common.color.write_global();
    log();
    match run(&cli) {
        Ok(status) => status,
        // Whoever reads has seen enough.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            error.exit_code()
        }
    }
}

/// Says what is logged, when `SLIMPACK_LOG` asks for it: `debug` is the walk of the loader.
fn log() {
    if let Ok(filters) = std::env::var("SLIMPACK_LOG") {
        env_logger::Builder::new()
            .parse_filters(&filters)
            .format(|out, record| writeln!(out, "{}", record.args()))
            .init();
    }
}

fn run(cli: &Cli) -> Result<ExitCode, CliError> {
    match &cli.verb {
        None if cli.version => about::version(cli.common.verbose > 0),
        Some(Verb::Completions(args)) => about::completions(args),
        Some(Verb::Man(args)) => about::man(args),
        Some(Verb::Schema) => about::schema(),
        Some(Verb::Help(args)) => help::run(args),
        Some(Verb::Needs(args)) => needs::run(args),
        Some(Verb::Lint(args)) => lint::run(args, &cli.common),
        Some(Verb::Inspect(args)) => inspect::run(args, &cli.common),
        Some(Verb::Diff(args)) => diff::run(args, &cli.common),
        Some(Verb::Size(args)) => size::run(args, &cli.common),
        Some(Verb::Why(args)) => why::run(args, &cli.common),
        Some(Verb::Tree(args)) => tree::run(args, &cli.common),
        Some(Verb::Strip(args)) => strip::run(args, &cli.common),
        None => pack::run(&cli.pack, &cli.common),
    }
}

/// Standard output, with colours only where a terminal shows them.
fn stdout() -> io::BufWriter<anstream::AutoStream<io::StdoutLock<'static>>> {
    io::BufWriter::with_capacity(64 << 10, anstream::stdout().lock())
}

/// A document of a verb as JSON, on one line.
fn json(document: &impl serde::Serialize) -> io::Result<String> {
    serde_json::to_string(document).map_err(io::Error::from)
}

/// Writes to standard error; what goes wrong there has nowhere to be told.
fn say(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let _ = write(&mut anstream::stderr().lock());
}
