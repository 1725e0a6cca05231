//! The traced runs that an image is packed for.
//!
//! In: `--trace` and its options. Out: what all the runs looked up.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::cli::args::{Common, PackArgs};
use crate::cli::error::CliError;
use crate::cli::trace::{command, read, real, record};
use crate::exec::ENGINE_PATH;
use crate::pack::TracedRuns;
use crate::trace::Recording;

/// Runs the requested commands, and reads existing recordings.
pub(super) fn traced(args: &PackArgs, common: &Common) -> Result<Option<TracedRuns>, CliError> {
    let runs = &args.runs;
    let usage = |message: &str| Err(CliError::Usage(message.to_owned()));
    let is_running = !runs.trace.is_empty() || !runs.trace_cmd.is_empty();
    if !is_running && (runs.trace_timeout.is_some() || runs.trace_allow_failure) {
        return usage("--trace-timeout and --trace-allow-failure apply to --trace and --trace-cmd");
    }
    if !is_running && runs.trace_log.is_empty() {
        if runs.trace_dirs || runs.suggest || !runs.trace_ignore.is_empty() {
            return usage(
                "--trace-dirs, --trace-ignore and --suggest apply to --trace, --trace-cmd and --trace-log",
            );
        }
        return Ok(None);
    }
    if is_running && (args.from.is_some() || !args.source.roots.is_empty()) {
        return usage(
            "--trace runs the program on this machine; for an image or a root, record the run there \
             with slimpack trace, and use --trace-log",
        );
    }
    let mut all = Recording::default();
    if is_running {
        let Some(program) = args.files.first() else {
            return usage("name the program to trace");
        };
        // By its own name: some programs act according to their name.
        let named = std::path::absolute(program).map_err(CliError::CurrentDir)?;
        for words in &runs.trace {
            let mut command = Command::new(&named);
            command.args(&words.0);
            set_environment(&mut command, args);
            all.merge(one(command, None, args, common)?);
        }
        for words in &runs.trace_cmd {
            let words: Vec<_> = words.0.iter().map(Into::into).collect();
            all.merge(one(command(&words)?, Some(&real(program)?), args, common)?);
        }
    }
    for log in &runs.trace_log {
        all.merge(read(log)?);
    }
    Ok(Some(TracedRuns {
        recording: Arc::new(all),
        ignore: runs.trace_ignore.clone(),
        whole_directories: runs.trace_dirs,
    }))
}

/// Gives a program the environment that an engine would give it in the image.
fn set_environment(command: &mut Command, args: &PackArgs) {
    command.env_clear().env("PATH", ENGINE_PATH);
    if let Some(home) = env::var_os("HOME") {
        command.env("HOME", home);
    }
    let variables = args
        .env
        .iter()
        .filter_map(|variable| variable.split_once('='));
    command.envs(variables);
}

/// Runs one command. Its output goes to standard error: standard output may be the image.
fn one(
    mut command: Command,
    only: Option<&Path>,
    args: &PackArgs,
    common: &Common,
) -> Result<Recording, CliError> {
    command.stdout(Stdio::from(std::io::stderr()));
    let recording = record(
        command,
        only,
        args.runs.trace_timeout,
        "--trace-timeout",
        common,
    )?;
    match recording.ending.filter(|ending| !ending.is_success()) {
        Some(ending) if !args.runs.trace_allow_failure => Err(CliError::RunFailed {
            command: recording.command.join(" "),
            ending,
            option: "--trace-allow-failure",
        }),
        _ => Ok(recording),
    }
}
