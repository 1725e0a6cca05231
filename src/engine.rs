//! The container engine of this machine: docker or podman, through its command line.
//!
//! In: an archive to load, or the name of an image to save. Out: a pipe to or from the engine, and
//! its error message when it fails. It is started only on the user's request.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use thiserror::Error;
use which::which;

/// Prefix for the name of an image in the engine.
pub const PREFIX: &str = "docker-daemon:";
/// Longest part of an engine's error message that is reported, in bytes.
const MAX_SAID: u64 = 4096;

/// Why an engine cannot be used.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No engine was found; why not.
    #[error(
        "no container engine found: {0}; start docker, install podman, or write to a file with -o"
    )]
    None(String),
    /// The command cannot be started.
    #[error("cannot start {}: {error}", .program.display())]
    Start {
        /// The command.
        program: PathBuf,
        /// The error of `execve(2)` or of setting up the pipes.
        error: io::Error,
    },
    /// The command failed.
    #[error("{}{engine} {command} failed: {said}", instead.as_ref().map_or(String::new(), |why| format!("{why}; ")))]
    Failed {
        /// docker or podman.
        engine: &'static str,
        /// The subcommand and its argument.
        command: String,
        /// What it printed to standard error.
        said: String,
        /// Why docker was not used.
        instead: Option<String>,
    },
}

/// An installed container engine: docker or podman.
#[derive(Debug)]
pub struct Engine {
    name: &'static str,
    program: PathBuf,
    /// Why podman is used and not docker.
    instead: Option<String>,
}

impl Engine {
    /// The first usable engine: docker if its daemon responds, else podman.
    ///
    /// # Errors
    /// When neither is usable.
    pub fn find() -> Result<Self, EngineError> {
        let docker = match which("docker") {
            Err(_) => "docker is not in PATH".to_owned(),
            Ok(program) => {
                let engine = Self {
                    name: "docker",
                    program,
                    instead: None,
                };
                match engine.answers() {
                    Ok(()) => return Ok(engine),
                    Err(why) => format!("docker does not respond ({why})"),
                }
            }
        };
        match which("podman") {
            Ok(program) => Ok(Self {
                name: "podman",
                program,
                instead: Some(docker),
            }),
            Err(_) => Err(EngineError::None(format!(
                "{docker}, and podman is not in PATH"
            ))),
        }
    }

    /// `docker` or `podman`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn answers(&self) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(["version", "--format", "{{.Server.Version}}"]);
        let output = command.stdin(Stdio::null()).output();
        match output {
            Err(error) => Err(error.to_string()),
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(said.lines().next().unwrap_or("no error message").to_owned())
            }
        }
    }

    /// Starts loading an archive, which the caller writes to the pipe.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub fn load(&self) -> Result<Running<ChildStdin>, EngineError> {
        let mut child = self.start(&["load"], Stdio::piped(), Stdio::null())?;
        let pipe = child.stdin.take();
        self.running("load".to_owned(), child, pipe)
    }

    /// Starts saving an image as an archive, which the caller reads from the pipe.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub fn save(&self, reference: &str) -> Result<Running<File>, EngineError> {
        // A name that begins with a dash is invalid, and must not be taken for an option.
        let mut child = self.start(&["save", "--", reference], Stdio::null(), Stdio::piped())?;
        let pipe = child
            .stdout
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        self.running(format!("save {reference}"), child, pipe)
    }

    fn start(&self, words: &[&str], stdin: Stdio, stdout: Stdio) -> Result<Child, EngineError> {
        let mut command = Command::new(&self.program);
        command.args(words).stdin(stdin).stdout(stdout);
        command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| EngineError::Start {
                program: self.program.clone(),
                error,
            })
    }

    fn running<P>(
        &self,
        command: String,
        child: Child,
        pipe: Option<P>,
    ) -> Result<Running<P>, EngineError> {
        let no_pipe = || EngineError::Start {
            program: self.program.clone(),
            error: io::Error::other("it has no pipe"),
        };
        Ok(Running {
            engine: self.name,
            instead: self.instead.clone(),
            command,
            child,
            pipe: Some(pipe.ok_or_else(no_pipe)?),
        })
    }
}

/// A running engine command.
pub struct Running<P> {
    engine: &'static str,
    instead: Option<String>,
    command: String,
    child: Child,
    pipe: Option<P>,
}

impl<P> Running<P> {
    /// The pipe to or from it; `None` once taken.
    pub fn pipe(&mut self) -> Option<P> {
        self.pipe.take()
    }

    /// Waits for the command to exit. The pipe has to be closed by then.
    ///
    /// # Errors
    /// When the command fails.
    pub fn finish(mut self) -> Result<(), EngineError> {
        drop(self.pipe.take());
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(MAX_SAID).read_to_string(&mut said);
        }
        let status = self.child.wait();
        if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Ok(());
        }
        // The message already says that it is an error.
        let words = ["Error response from daemon: ", "Error: "];
        let mut said = said.trim();
        for word in words {
            said = said.strip_prefix(word).unwrap_or(said);
        }
        let said = match (said, status) {
            ("", Ok(status)) => format!("no error message, {status}"),
            ("", Err(error)) => error.to_string(),
            (said, _) => said.replace('\n', "; "),
        };
        Err(EngineError::Failed {
            engine: self.engine,
            command: self.command,
            said,
            instead: self.instead,
        })
    }
}
