//! Running a command under the tracer.
//!
//! In: a command. Out: a [`Recording`]; no process of the command survives, however it ends. The
//! command waits until it is traced, so that its first call is seen, and a second thread enforces
//! the time limit.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use seccompiler::BpfProgram;
use thiserror::Error;

use crate::calls;
use crate::recording::{MAX_PATHS, Recording};
use crate::sys::{self, Tid};
use crate::tracer::Tracer;

/// How often to check whether the run has to end.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a command has to exit after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a command could not be traced.
#[derive(Debug, Error)]
pub enum TraceError {
    /// There is no table of system calls for this architecture.
    #[error(
        "slimpack cannot trace on {}; record on another machine, or with strace, and use --trace-log",
        std::env::consts::ARCH
    )]
    Unsupported,
    /// The command cannot be executed.
    #[error("cannot run {}: {error}", .command.display())]
    Execute {
        /// The command.
        command: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The kernel refuses to trace.
    #[error(
        "cannot trace {}: {error}; {}",
        .command.display(),
        allow_ptrace()
    )]
    Refused {
        /// The command.
        command: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// Something in this process failed.
    #[error("cannot trace: {0}")]
    Io(#[from] io::Error),
    /// A process leaves the mount namespace of this machine.
    #[error(
        "cannot trace {0}: it uses its own mount namespace or mounts file systems, so its paths are \
         not those of this machine; trace the program inside it with slimpack trace, and use \
         --trace-log"
    )]
    Mounts(String),
    /// Too many distinct paths.
    #[error("cannot trace: the run looks up more than {MAX_PATHS} different paths")]
    TooManyPaths,
    /// The program that the command should have started was not executed.
    #[error("the command did not run {}: nothing was recorded", .0.display())]
    NotStarted(PathBuf),
    /// The caller stopped the run.
    #[error("interrupted")]
    Stopped,
}

/// What to change so that this user may trace.
fn allow_ptrace() -> String {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    allow_in_scope(&scope.unwrap_or_default())
}

/// The same; `scope` is the content of the setting of Yama, if the kernel has it.
fn allow_in_scope(scope: &str) -> String {
    match scope.trim() {
        "2" | "3" => format!(
            "the sysctl kernel.yama.ptrace_scope is {}: set it to 1, or record elsewhere and use \
             --trace-log",
            scope.trim()
        ),
        _ => "in a container, allow ptrace (docker run --cap-add SYS_PTRACE, or --security-opt \
              seccomp=unconfined), or record elsewhere and use --trace-log"
            .to_owned(),
    }
}

/// How to run a command.
pub struct TraceOptions<'a> {
    /// Record only processes that execute this file, and their descendants.
    pub only: Option<&'a Path>,
    /// How long the command may run; then it gets SIGTERM, and SIGKILL two seconds later. What was
    /// recorded until then is kept.
    pub timeout: Option<Duration>,
    /// Called every 50 ms: whether to kill the command, with [`TraceError::Stopped`].
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
    /// Counts the distinct paths while the command runs.
    pub paths: &'a AtomicUsize,
}

/// Runs a command until it ends, and records what it and its descendants look up. The command is a
/// path with a slash. Descendants that are still running at its end are killed, as in a container.
///
/// # Errors
/// [`TraceError`]; no process of the command survives.
pub fn trace(mut command: Command, options: &TraceOptions<'_>) -> Result<Recording, TraceError> {
    if calls::NATIVE == 0 {
        return Err(TraceError::Unsupported);
    }
    let filter = calls::filter().map_err(|_| TraceError::Unsupported)?;
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let name = PathBuf::from(command.get_program());
    if name.components().count() < 2 {
        // A search in PATH would try several files, most of which do not exist.
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let (mut ready, child_ready) = io::pipe()?;
    let (child_go, go) = io::pipe()?;
    sys::hold(&mut command, child_ready, child_go, filter);
    let watch = Watch::default();
    std::thread::scope(|scope| {
        let watcher = std::thread::Builder::new().spawn_scoped(scope, || watch.run(options))?;
        let _over = Over(&watch, watcher.thread());
        // `spawn` returns when the command executes, which is only after it is traced.
        let spawned = std::thread::Builder::new().spawn_scoped(scope, move || {
            let spawned = command.spawn();
            // Also drops the pipes in the closure.
            drop(command);
            spawned
        })?;
        let spawned = || {
            let spawned = spawned.join();
            spawned.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        };
        let fail = |error| TraceError::Execute {
            command: name.clone(),
            error,
        };
        let root = match seize(&mut ready, go) {
            Ok(Some(root)) => root,
            Ok(None) => {
                let none = Err(io::ErrorKind::UnexpectedEof.into());
                return spawned().and(none).map_err(fail);
            }
            Err(error) => {
                let _ = spawned();
                let command = name.clone();
                return Err(TraceError::Refused { command, error });
            }
        };
        watch.root.store(root, Ordering::Release);
        let mut tracer = Tracer::new(root, words, options, &watch);
        let traced = tracer.run();
        tracer.kill_all();
        let spawned = spawned();
        if let Some(error) = tracer.execution_error.take() {
            return Err(fail(error));
        }
        spawned.map_err(fail)?;
        traced?;
        tracer.finish()
    })
}

/// What a process does that another part of the program starts, so that it can be traced from the program
/// on that it executes.
pub struct TraceGate(BpfProgram);

impl TraceGate {
    /// Prepares it.
    ///
    /// # Errors
    /// Where this architecture cannot be traced.
    pub fn new() -> Result<Self, TraceError> {
        if calls::NATIVE == 0 {
            return Err(TraceError::Unsupported);
        }
        let filter = calls::filter().map_err(|_| TraceError::Unsupported)?;
        Ok(Self(filter))
    }

    /// Has the kernel stop this process at its lookups; before it executes, once it is traced.
    ///
    /// # Errors
    /// Where the kernel has no seccomp filters.
    pub fn install(&self) -> io::Result<()> {
        sys::install(&self.0)
    }
}

/// Traces a child of this thread, which waits for `go`, goes through its [`TraceGate`] and executes;
/// records all that it looks up until it ends, below its own root directory. `words` is its command.
///
/// # Errors
/// [`TraceError`]; the process is killed.
pub fn trace_process(
    process: Pid,
    words: Vec<String>,
    go: impl FnOnce(),
    options: &TraceOptions<'_>,
) -> Result<Recording, TraceError> {
    let root = process.as_raw_nonzero().get();
    let command = PathBuf::from(words.first().cloned().unwrap_or_default());
    if let Err(error) = sys::seize(root) {
        let _ = kill_process(process, Signal::KILL);
        let _ = waitpid(Some(process), WaitOptions::empty());
        return Err(TraceError::Refused { command, error });
    }
    go();
    let watch = Watch::default();
    let mut tracer = Tracer::new(root, words, options, &watch);
    tracer.is_inside();
    let traced = tracer.run();
    tracer.kill_all();
    if let Some(error) = tracer.execution_error.take() {
        // It tells why by itself, and ends.
        let _ = waitpid(Some(process), WaitOptions::empty());
        return Err(TraceError::Execute { command, error });
    }
    traced?;
    tracer.finish()
}

/// Waits for the child, and traces it from its first call on. `None` if it did not start.
fn seize(ready: &mut PipeReader, mut go: PipeWriter) -> io::Result<Option<Tid>> {
    let mut id = [0; 4];
    if ready.read_exact(&mut id).is_err() {
        return Ok(None);
    }
    let tid = Tid::from_ne_bytes(id);
    let seized = sys::seize(tid);
    go.write_all(&[u8::from(seized.is_ok())])?;
    if seized.is_err() {
        // It is still a child of this process.
        let _ = Pid::from_raw(tid).map(|pid| waitpid(Some(pid), WaitOptions::empty()));
    }
    seized.map(|()| Some(tid))
}

/// Ends a run from outside: the tracer itself waits in the kernel.
#[derive(Default)]
pub(crate) struct Watch {
    /// The command; 0 before it runs.
    root: AtomicI32,
    is_over: AtomicBool,
    /// Whether the caller has stopped the run.
    pub is_stopped: AtomicBool,
}

impl Watch {
    fn run(&self, options: &TraceOptions<'_>) {
        let kill = |signal| {
            if let Some(root) = Pid::from_raw(self.root.load(Ordering::Acquire)) {
                let _ = kill_process(root, signal);
            }
        };
        let begin = Instant::now();
        let mut asked = None;
        while !self.is_over.load(Ordering::Acquire) {
            if (options.is_stopped)() {
                self.is_stopped.store(true, Ordering::Release);
                kill(Signal::KILL);
            } else if let Some(since) = asked {
                if Instant::now().duration_since(since) > PATIENCE {
                    kill(Signal::KILL);
                }
            } else if options.timeout.is_some_and(|limit| begin.elapsed() > limit) {
                asked = Some(Instant::now());
                kill(Signal::TERM);
            }
            std::thread::park_timeout(GLANCE);
        }
    }
}

/// Ends the watcher when the run is over, however it ends.
struct Over<'a>(&'a Watch, &'a std::thread::Thread);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.1.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::allow_in_scope;

    /// 0 and 1 let a process trace its children (`Documentation/admin-guide/LSM/Yama.rst` of Linux).
    #[test]
    fn the_setting_that_forbids_to_trace_is_named() {
        for (scope, part) in [
            ("2\n", "ptrace_scope is 2: set it to 1"),
            ("3\n", "ptrace_scope is 3: set it to 1"),
            ("1\n", "--cap-add SYS_PTRACE"),
            ("", "--security-opt seccomp=unconfined"),
        ] {
            let said = allow_in_scope(scope);
            assert!(
                said.contains(part) && said.contains("--trace-log"),
                "{said}"
            );
        }
    }
}
