//! Starting a sandbox, and waiting for its end.
//!
//! In: a [`Sandbox`]. Out: how its program ended. This process maps the users of the sandbox, passes on
//! signals and what is read and written, and traces the program if it shall be recorded.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open};
use slimpack_trace::{Ending, Recording, TraceError, TraceGate, TraceOptions, trace_process};
use thiserror::Error;

use crate::channel::{self, Message, Side};
use crate::forbidden::{Stage, reason};
use crate::ids::IdMap;
use crate::inside::Inside;
use crate::relay::{OutputStream, Relay};
use crate::{Sandbox, sys};

/// Why a program could not be run.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// A setting of this machine forbids it.
    #[error(
        "cannot run programs in namespaces of their own: {0}\nor have an engine of this machine run the image: --runtime docker, podman, crun or runc"
    )]
    Forbidden(String),
    /// The machine that it is to see could not be made.
    #[error("{0}")]
    SetUp(String),
    /// The program could not be executed.
    #[error("cannot run {path}: {error}")]
    NotExecuted {
        /// The program, as it was searched for or found.
        path: String,
        /// The error of `execve(2)`.
        error: io::Error,
    },
    /// It could not be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Something in this process failed.
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// How the program ended.
    pub ending: Ending,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
    /// The users and groups that it had.
    pub map: IdMap,
    /// What it looked up, if that was asked for.
    pub recording: Option<Recording>,
}

/// A process that is killed and waited for however this ends.
struct SandboxChild(Option<Pid>);

impl SandboxChild {
    /// Waits for its end.
    fn wait(&mut self) -> io::Result<Option<Ending>> {
        let Some(pid) = self.0.take() else {
            return Ok(None);
        };
        loop {
            match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(found) => return Ok(found.map(|(_, status)| ending(status))),
            }
        }
    }
}

impl Drop for SandboxChild {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::KILL);
            let _ = self.wait();
        }
    }
}

fn ending(status: WaitStatus) -> Ending {
    match status.terminating_signal() {
        Some(signal) => Ending::Signal(signal),
        None => Ending::Exit(status.exit_status().unwrap_or_default()),
    }
}

/// Runs a program until it ends. What it leaves behind is killed by the kernel.
///
/// # Errors
/// [`SandboxError`]; nothing of the program runs on.
pub fn run(sandbox: &Sandbox<'_>) -> Result<Ran, SandboxError> {
    let map = IdMap::for_program(&sandbox.ids);
    match attempt(sandbox, map.clone()) {
        // A container's root has fewer rights than its name; `newuidmap` may lack its own.
        Err(MapAttempt::Unmapped(error)) if !map.is_one() => {
            let one = IdMap::one(&sandbox.ids);
            attempt(sandbox, one).map_err(|again| match again {
                MapAttempt::Unmapped(_) => unmapped(error),
                MapAttempt::Failed(error) => error,
            })
        }
        Err(MapAttempt::Unmapped(error)) => Err(unmapped(error)),
        Err(MapAttempt::Failed(error)) => Err(error),
        Ok(ran) => Ok(ran),
    }
}

fn unmapped(error: io::Error) -> SandboxError {
    match reason(Stage::Map, std::path::Path::new("/proc")) {
        Some(reason) => SandboxError::Forbidden(reason),
        None => SandboxError::SetUp(format!("cannot map users and groups: {error}")),
    }
}

/// Why one attempt failed.
enum MapAttempt {
    Unmapped(io::Error),
    Failed(SandboxError),
}

impl<E: Into<SandboxError>> From<E> for MapAttempt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn attempt(sandbox: &Sandbox<'_>, map: IdMap) -> Result<Ran, MapAttempt> {
    let gate = match sandbox.conditions.is_traced {
        true => Some(TraceGate::new().map_err(SandboxError::from)?),
        false => None,
    };
    let (side, other) = channel::pair()?;
    let (ours, its) = streams(sandbox)?;
    let inside = Inside {
        sandbox,
        map: &map,
        side: other,
        streams: its,
        gate,
    };
    let first = match sys::fork()? {
        Some(first) => first,
        None => {
            // Only the parent's side tells of the parent's end.
            drop((side, ours));
            inside.enter()
        }
    };
    drop(inside);
    let mut first = SandboxChild(Some(first));
    match side.receive()? {
        Some(Message::Unshared) => {}
        message => return Err(failure(message).into()),
    }
    if let Some(first) = first.0 {
        map.set(first).map_err(MapAttempt::Unmapped)?;
    }
    side.go();
    let program = match side.receive()? {
        Some(Message::Process(id)) => {
            Pid::from_raw(id).ok_or(io::Error::from(io::ErrorKind::InvalidData))?
        }
        message => return Err(failure(message).into()),
    };
    let mut program = SandboxChild(Some(program));
    // Only now: two processes write to one socket.
    side.go();
    first.wait()?;
    Ok(watch(sandbox, map, &side, ours, &mut program)?)
}

/// Waits until the program is about to run, runs it, and waits for its end.
fn watch(
    sandbox: &Sandbox<'_>,
    map: IdMap,
    side: &Side,
    streams: Streams,
    program: &mut SandboxChild,
) -> Result<Ran, SandboxError> {
    let mut terminal = None;
    loop {
        match side.receive()? {
            Some(Message::Terminal(other)) => terminal = Some(other),
            Some(Message::Ready) => break,
            message => return Err(failure(message)),
        }
    }
    let Some(pid) = program.0 else {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    };
    let mut relay = Relay::new(sandbox, pid, streams, terminal)?;
    let mut recording = None;
    if sandbox.conditions.is_traced {
        let (paths, words) = (AtomicUsize::new(0), sandbox.words.clone());
        let options = TraceOptions {
            only: None,
            timeout: None,
            is_stopped: &|| false,
            paths: &paths,
        };
        let traced = std::thread::scope(|scope| {
            let relaying = std::thread::Builder::new().spawn_scoped(scope, || relay.run())?;
            let traced = trace_process(pid, words, || side.go(), &options);
            let _ = kill_process(pid, Signal::KILL);
            relaying.join().map_err(|_| io::ErrorKind::Other)??;
            Ok::<_, io::Error>(traced)
        })?;
        // What failed before the program ran is told by itself.
        not_executed(side)?;
        let traced = traced?;
        // The tracer has waited for it.
        program.0 = None;
        recording = Some(traced);
    } else {
        side.go();
        relay.run()?;
        not_executed(side)?;
    }
    let ended = match &recording {
        Some(recording) => recording.ending,
        None => program.wait()?,
    };
    let ending = ended.unwrap_or(Ending::Exit(0));
    Ok(Ran {
        ending: relay.stood_for(ending),
        timed_out: relay.timed_out,
        map,
        recording,
    })
}

/// The error that the sandbox reports after it was let go on.
fn not_executed(side: &Side) -> Result<(), SandboxError> {
    match side.receive()? {
        None => Ok(()),
        message => Err(failure(message)),
    }
}

fn failure(message: Option<Message>) -> SandboxError {
    match message {
        Some(Message::Forbidden(reason)) => SandboxError::Forbidden(reason),
        Some(Message::Failed(text, _)) => SandboxError::SetUp(text),
        Some(Message::NotExecuted(path, error)) => SandboxError::NotExecuted {
            path,
            error: io::Error::from_raw_os_error(error),
        },
        None => SandboxError::SetUp("the sandbox was killed before the program ran".to_owned()),
        Some(_) => SandboxError::Io(io::ErrorKind::InvalidData.into()),
    }
}

/// This process's ends of the pipes of a program.
#[derive(Default)]
pub(crate) struct Streams {
    /// What the program writes.
    pub output: Vec<(OutputStream, OwnedFd)>,
    /// What it reads.
    pub input: Option<OwnedFd>,
}

/// Pipes, where a program may not have the streams of this process: those of a terminal would give it
/// the terminal's settings.
fn streams(sandbox: &Sandbox<'_>) -> io::Result<(Streams, [Option<OwnedFd>; 3])> {
    let mut ours = Streams::default();
    let mut its = [None, None, None];
    if sandbox.conditions.has_terminal || sandbox.words.is_empty() {
        return Ok((ours, its));
    }
    use rustix::termios::isatty;
    if sandbox.conditions.is_interactive && isatty(io::stdin()) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (its[0], ours.input) = (Some(read), Some(write));
    }
    let is_copied = sandbox.conditions.copy.is_some();
    for (number, stream, is_relayed) in [
        (1, OutputStream::Out, isatty(io::stdout())),
        (2, OutputStream::Err, isatty(io::stderr()) || is_copied),
    ] {
        if is_relayed || sandbox.conditions.output.is_some() {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            its[number] = Some(write);
            ours.output.push((stream, read));
        }
    }
    Ok((ours, its))
}

/// A descriptor that becomes readable when the program ends.
pub(crate) fn end_of(pid: Pid) -> io::Result<OwnedFd> {
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
