//! Errors that end a run, and their exit status.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use thiserror::Error;

use crate::binding::BindingError;
use crate::closure::ClosureError;
use crate::depfile::DepfileError;
use crate::engine::EngineError;
use crate::image::ImageError;
use crate::image::read::ReadError;
use crate::output::OutputError;
use crate::pack::PackError;
use crate::packages::RpmManifestError;
#[cfg(feature = "registry")]
use crate::registry::RegistryError;
use crate::sbom::SbomError;
use crate::source::SourceError;
use crate::strip::LeftAlone;
use crate::trace::{Ending, LogError, TraceError};
use crate::trial::TrialError;
use crate::vfs::one_line;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Why the command failed.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot read {}: {error}", .path.display())]
    Program { path: PathBuf, error: ClosureError },
    #[error("cannot read {}: {error}", .path.display())]
    Image { path: PathBuf, error: ReadError },
    #[error(
        "cannot check all of {}: cannot read {}{}; run as a user with permission, or, for an image, raise \
         --limit kept=BYTES",
        .path.display(),
        .first.display(),
        match .count { 1 => String::new(), count => format!(" and {} more", count - 1) }
    )]
    Unread {
        path: PathBuf,
        first: PathBuf,
        count: usize,
    },
    #[error(
        "cannot check {}: there are no programs or libraries in it; name a directory with some, an \
         image, or a root",
        .0.display()
    )]
    NothingToCheck(PathBuf),
    #[error("cannot read {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    #[error("cannot use {} as a list of rpm's packages: {}", .0.display(), .1)]
    RpmManifest(PathBuf, RpmManifestError),
    #[error("cannot strip {}: {}", .0.display(), .1)]
    Strip(PathBuf, LeftAlone),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error("cannot write {}: {error}", .path.display())]
    Write { path: PathBuf, error: ImageError },
    #[cfg(feature = "registry")]
    #[error("cannot {task} {name}: {error}")]
    Registry {
        /// `push` or `pull`.
        task: &'static str,
        name: String,
        error: RegistryError,
    },
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("cannot read {}: {}", .0.display(), .1)]
    Log(PathBuf, LogError),
    #[error(
        "{command} failed with {ending}; nothing was written; fix it, or use what it looked up with \
         {option}"
    )]
    RunFailed {
        command: String,
        ending: Ending,
        option: &'static str,
    },
    #[error(
        "the test {words} failed: {why}; nothing was written\n{diagnosis}{}",
        match .said.is_empty() { true => String::new(), false => format!("\nit said: {said}") }
    )]
    TestFailed {
        words: String,
        why: String,
        diagnosis: String,
        said: String,
    },
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Sbom(#[from] SbomError),
    #[error(transparent)]
    Depfile(#[from] DepfileError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot write to standard output: {0}")]
    Stdout(#[from] io::Error),
    #[error("cannot read the current directory: {0}")]
    CurrentDir(io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("interrupted; nothing was written")]
    Interrupted(i32),
}

impl CliError {
    /// An image that cannot be read.
    pub fn image(path: &Path, error: ReadError) -> Self {
        Self::Image {
            path: path.to_path_buf(),
            error,
        }
    }

    /// The error of an image that cannot be pushed or pulled; interrupts are passed on.
    #[cfg(feature = "registry")]
    pub fn registry(task: &'static str, name: &str, error: RegistryError) -> Self {
        match error {
            RegistryError::Interrupted(signal) => Self::Interrupted(signal),
            error => Self::Registry {
                task,
                name: name.to_owned(),
                error,
            },
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted(signal) => {
                // Ends the process the way the signal would have; the status is used only if
                // that fails.
                let _ = signal_hook::low_level::emulate_default_handler(*signal);
                ExitCode::from(2)
            }
            _ => ExitCode::from(self.status()),
        }
    }

    /// The exit status: 1 for valid input with a negative answer, 2 for any other error.
    pub fn status(&self) -> u8 {
        match self {
            Self::Pack(error) if error.is_verdict() => 1,
            Self::RunFailed { .. } | Self::TestFailed { .. } => 1,
            _ => 2,
        }
    }

    /// Whether the reader of standard output closed the pipe. A truncated image is an error.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub fn report(&self) {
        if let Self::Pack(PackError::Several(errors)) = self {
            return errors
                .iter()
                .for_each(|error| report_text(&error.to_string()));
        }
        report_text(&self.to_string());
    }
}

fn report_text(text: &str) {
    // Text from an image or a file name must not send control characters to a terminal.
    let lines: Vec<_> = text.lines().map(one_line).collect();
    let text = without_numbers(&lines.join("\n"));
    super::say(|out| writeln!(out, "{ERROR}error:{ERROR:#} {text}"));
}

/// The text without the numbers that std puts after the messages of the system: `(os error 2)`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain.push_str(rest);
            }
            _ => {
                plain.push_str(" (os error ");
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn the_numbers_of_the_system_are_left_out() {
        let plain =
            without_numbers("cannot read x: gone (os error 2); no (os error y) (os error 28)");
        assert_eq!(plain, "cannot read x: gone; no (os error y)");
    }
}
