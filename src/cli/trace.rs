//! `slimpack trace -o FILE -- COMMAND`, and running what `--trace` names.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Once;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use super::args::{Common, TraceArgs};
use super::error::CliError;
use super::progress::{Progress, is_full_screen};
use crate::output::{Interrupts, Output, OutputError};
use crate::report::count;
use crate::trace::{Recording, TraceError, TraceOptions};

/// After this time, users wonder whether a run will end.
const LONG: Duration = Duration::from_secs(60);

pub(super) fn run(args: &TraceArgs, common: &Common) -> Result<ExitCode, CliError> {
    let is_stdout = args.output == Path::new("-");
    if !is_stdout {
        // A run may be long, so an output that cannot be written is reported before it.
        drop(Output::create(&args.output)?);
    }
    let mut command = command(&args.command)?;
    if is_stdout {
        command.stdout(Stdio::from(io::stderr()));
    }
    let only = args.only.as_deref().map(real).transpose()?;
    let recording = record(command, only.as_deref(), args.timeout, "--timeout", common)?;
    let failure = recording.ending.filter(|ending| !ending.is_success());
    if let Some(ending) = failure
        && !args.allow_failure
    {
        return Err(CliError::RunFailed {
            command: recording.command.join(" "),
            ending,
            option: "--allow-failure",
        });
    }
    write(&recording, args, is_stdout)?;
    if !common.quiet {
        super::say(|err| {
            writeln!(
                err,
                "{}: {} found, {} absent, {}",
                args.output.display(),
                count(recording.found.len(), "path"),
                recording.absent.len(),
                count(recording.processes.len(), "program")
            )
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a recording to standard output, a device or a file.
fn write(recording: &Recording, args: &TraceArgs, is_stdout: bool) -> Result<(), CliError> {
    let mut text = Vec::new();
    recording.write(&mut text)?;
    if is_stdout {
        let mut out = super::stdout();
        out.write_all(&text)?;
        return Ok(out.flush()?);
    }
    let fail = |error| OutputError::Io(args.output.clone(), error);
    match Output::create(&args.output)? {
        Output::Device(mut device) => device.write_all(&text).map_err(fail)?,
        Output::File(mut file) => {
            file.write_all(&text).map_err(fail)?;
            file.publish()?;
        }
    }
    Ok(())
}

/// A command as in a shell, found in PATH unless its name has a slash.
pub(super) fn command(words: &[OsString]) -> Result<Command, CliError> {
    let (name, arguments) = words
        .split_first()
        .ok_or_else(|| CliError::Usage("name a command to run".to_owned()))?;
    let found = match Path::new(name).components().count() {
        1 => which::which(name).map_err(|_| {
            CliError::Trace(TraceError::Execute {
                command: PathBuf::from(name),
                error: io::Error::other("it is not in PATH"),
            })
        })?,
        _ => PathBuf::from(name),
    };
    let mut command = Command::new(found);
    command.args(arguments);
    Ok(command)
}

/// The absolute path of a program, without links.
pub(super) fn real(program: &Path) -> Result<PathBuf, CliError> {
    program
        .canonicalize()
        .map_err(|error| CliError::File(program.to_path_buf(), error))
}

/// Runs a command and records it; its output goes where this command's goes.
pub(super) fn record(
    command: Command,
    only: Option<&Path>,
    timeout: Option<u64>,
    timeout_option: &str,
    common: &Common,
) -> Result<Recording, CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let paths = AtomicUsize::new(0);
    let interrupts = Interrupts::hold();
    let (begin, told) = (Instant::now(), Once::new());
    let is_stopped = || {
        if timeout.is_none() && !common.quiet && begin.elapsed() > LONG && !is_full_screen() {
            told.call_once(|| {
                super::say(|err| {
                    writeln!(
                        err,
                        "note: {name} still runs; {timeout_option} 60s would stop it, Ctrl-C gives up"
                    )
                });
            });
        }
        interrupts.received().is_some()
    };
    let options = TraceOptions {
        only,
        timeout: timeout.map(Duration::from_secs),
        is_stopped: &is_stopped,
        paths: &paths,
    };
    let traced = Progress::count(
        format!("tracing {name}"),
        "paths",
        &paths,
        common.quiet,
        || crate::trace::trace(command, &options),
    );
    match (traced, interrupts.received()) {
        (Err(TraceError::Stopped), Some(signal)) => Err(CliError::Interrupted(signal)),
        (traced, _) => Ok(traced?),
    }
}

/// Reads a log.
pub(super) fn read(path: &Path) -> Result<Recording, CliError> {
    let file = File::open(path).map_err(|error| CliError::File(path.to_path_buf(), error))?;
    let directory = std::env::current_dir().map_err(CliError::CurrentDir)?;
    Recording::read(&mut BufReader::new(file), &directory)
        .map_err(|error| CliError::Log(path.to_path_buf(), error))
}
