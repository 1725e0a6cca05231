//! The container engine of this machine: docker, or podman, by its own command line.
//!
//! In: an archive to load, or the name of an image to save. Out: a pipe to or from the engine, and what
//! it says when it fails. Only what a person asks for starts it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use thiserror::Error;
use which::which;

/// What stands before the name of an image that the engine has.
pub const PREFIX: &str = "docker-daemon:";
/// Most that is told of what an engine says, in bytes.
const MAX_SAID: u64 = 4096;

/// Why an engine cannot be used.
#[derive(Debug, Error)]
pub enum EngineError {
    /// There is none.
    #[error(
        "there is no engine: {0}; start docker, install podman, or write the image to a file with -o"
    )]
    None(String),
    /// It cannot be started.
    #[error("cannot start {}: {error}", .program.display())]
    Start {
        /// The command.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says no.
    #[error("{engine} {command} says: {said}")]
    Failed {
        /// docker or podman.
        engine: &'static str,
        /// What it was to do.
        command: String,
        /// Its words.
        said: String,
    },
}

/// docker or podman.
#[derive(Debug)]
pub struct Engine {
    name: &'static str,
    program: PathBuf,
}

impl Engine {
    /// The first that is there: docker if its daemon answers, else podman.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self, EngineError> {
        let docker = match which("docker") {
            Err(_) => "there is no docker in PATH".to_owned(),
            Ok(program) => {
                let engine = Self {
                    name: "docker",
                    program,
                };
                match engine.answers() {
                    Ok(()) => return Ok(engine),
                    Err(why) => format!("docker does not answer ({why})"),
                }
            }
        };
        match which("podman") {
            Ok(program) => Ok(Self {
                name: "podman",
                program,
            }),
            Err(_) => Err(EngineError::None(format!("{docker}, and no podman"))),
        }
    }

    /// What it is called.
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
                Err(said.lines().next().unwrap_or("it says nothing").to_owned())
            }
        }
    }

    /// Starts to load an archive that is written into the pipe.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub fn load(&self) -> Result<Running<ChildStdin>, EngineError> {
        let mut child = self.start(&["load"], Stdio::piped(), Stdio::null())?;
        let pipe = child.stdin.take();
        self.running("load".to_owned(), child, pipe)
    }

    /// Starts to save an image, as an archive that is read from the pipe.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub fn save(&self, reference: &str) -> Result<Running<File>, EngineError> {
        // A name that begins with a dash is none, and must not be an option.
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
            command,
            child,
            pipe: Some(pipe.ok_or_else(no_pipe)?),
        })
    }
}

/// An engine at work.
pub struct Running<P> {
    engine: &'static str,
    command: String,
    child: Child,
    pipe: Option<P>,
}

impl<P> Running<P> {
    /// The pipe to it or from it, once.
    pub fn pipe(&mut self) -> Option<P> {
        self.pipe.take()
    }

    /// Waits for the end. The pipe has to be closed.
    ///
    /// # Errors
    /// When the engine says no.
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
        // That it is an error is said already.
        let words = ["Error response from daemon: ", "Error: "];
        let mut said = said.trim();
        for word in words {
            said = said.strip_prefix(word).unwrap_or(said);
        }
        let said = match (said, status) {
            ("", Ok(status)) => format!("nothing, and ends with {status}"),
            ("", Err(error)) => error.to_string(),
            (said, _) => said.replace('\n', "; "),
        };
        Err(EngineError::Failed {
            engine: self.engine,
            command: self.command,
            said,
        })
    }
}
