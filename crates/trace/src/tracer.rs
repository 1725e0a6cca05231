//! What each thread of a run does, from stop to stop.
//!
//! In: the stops of traced threads. Out: entries of a recording. The command and its descendants
//! run under ptrace(2), with a seccomp(2) filter that stops them only at calls with paths: the
//! kernel runs all others at full speed. Paths are read when a call begins, and recorded when it
//! returns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use crate::calls::{self, Action, Call};
use crate::foresight::{self, Foresight};
use crate::launch::{TraceError, TraceOptions, Watch};
use crate::lookup::{Lookup, has, is_of_process};
use crate::recording::{Before, Ending, MAX_PATHS, Note, Recording, RunRecorder, Uses};
use crate::stops::{self, resume, wait};
use crate::sys::{self, Resume, Syscall, Tid};
use crate::tracee::{Tracee, descriptor, is_there};

/// How many bytes are kept of files as they were before the run.
const SAVED_MAX: u64 = 64 << 20;

/// A thread of the run.
#[derive(Debug, Default)]
struct TracedThread {
    /// Index of its process.
    process: usize,
    /// Whether its lookups are recorded.
    is_recorded: bool,
    /// Whether it may use the files that this process may use.
    is_alike: bool,
    /// Whether it is a process's first thread.
    is_leader: bool,
    /// The call in progress.
    pending: Option<Lookup>,
}

/// The state of a run.
pub(crate) struct Tracer<'a> {
    table: BTreeMap<i64, Call>,
    threads: HashMap<Tid, TracedThread>,
    /// Threads that stopped before the event that announces them.
    waiting: HashSet<Tid>,
    recorder: RunRecorder,
    root: Tid,
    command: Vec<String>,
    ending: Option<Ending>,
    may_be_in_chroot: bool,
    /// The rights of this process.
    rights: String,
    /// Where the root directory of the run is; empty if it is this process's.
    root_directory: PathBuf,
    /// The fault that the command was killed for.
    crashed_by: Option<i32>,
    /// Whether the command has been executed.
    is_running: bool,
    has_started: bool,
    /// Why it was not.
    pub execution_error: Option<io::Error>,
    /// How many bytes of files may still be saved.
    unsaved: u64,
    options: &'a TraceOptions<'a>,
    watch: &'a Watch,
}

impl<'a> Tracer<'a> {
    pub fn new(
        root: Tid,
        command: Vec<String>,
        options: &'a TraceOptions<'a>,
        watch: &'a Watch,
    ) -> Self {
        let thread = TracedThread {
            is_leader: true,
            is_recorded: options.only.is_none(),
            ..TracedThread::default()
        };
        let this = Tracee {
            tid: rustix::process::getpid().as_raw_nonzero().get(),
            may_be_in_chroot: false,
        };
        Self {
            rights: this.rights(),
            table: calls::by_number(),
            threads: HashMap::from([(root, thread)]),
            waiting: HashSet::new(),
            recorder: RunRecorder::default(),
            root,
            command,
            ending: None,
            may_be_in_chroot: fs::read_link("/proc/self/root")
                .is_ok_and(|root| root != Path::new("/")),
            root_directory: PathBuf::new(),
            crashed_by: None,
            is_running: false,
            has_started: options.only.is_none(),
            execution_error: None,
            unsaved: SAVED_MAX,
            options,
            watch,
        }
    }

    /// The run has a root directory of its own; its paths are below that.
    pub fn is_inside(&mut self) {
        self.root_directory = PathBuf::from(format!("/proc/{}/root", self.root));
        self.may_be_in_chroot = false;
        // What it changes is lost with it.
        self.unsaved = 0;
    }

    /// Where a path of the run is for this process.
    fn here(&self, path: &Path) -> PathBuf {
        match self.root_directory.as_os_str().is_empty() {
            true => path.to_owned(),
            false => self
                .root_directory
                .join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    fn tracee(&self, tid: Tid) -> Tracee {
        Tracee {
            tid,
            may_be_in_chroot: self.may_be_in_chroot,
        }
    }

    /// Handles one stop after the other until the command has ended.
    pub fn run(&mut self) -> Result<(), TraceError> {
        while self.ending.is_none() && self.threads.contains_key(&self.root) {
            let Some((tid, status)) = wait()? else { break };
            self.handle(tid, status)?;
            if self.watch.is_stopped.load(Ordering::Acquire) {
                return Err(TraceError::Stopped);
            }
            if self.recorder.len() > MAX_PATHS {
                return Err(TraceError::TooManyPaths);
            }
            self.options
                .paths
                .store(self.recorder.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Recording, TraceError> {
        if !self.has_started {
            let program = self.options.only.unwrap_or(Path::new(""));
            return Err(TraceError::NotStarted(program.to_owned()));
        }
        Ok(self.recorder.finish(self.command, self.ending))
    }

    /// Kills what is left, and waits until it has exited.
    pub fn kill_all(&mut self) {
        let mut left: HashSet<Tid> = self.threads.keys().copied().collect();
        left.extend(self.waiting.drain());
        if self.ending.is_some() {
            left.remove(&self.root);
        }
        while !left.is_empty() {
            for tid in left.iter().filter_map(|tid| Pid::from_raw(*tid)) {
                let _ = kill_process(tid, Signal::KILL);
            }
            let Ok(Some((tid, status))) = wait() else {
                return;
            };
            if !status.stopped() {
                left.remove(&tid);
                continue;
            }
            // A thread that was created meanwhile.
            left.insert(tid);
            let _ = sys::resume(tid, Resume::Go, 0);
        }
    }

    fn handle(&mut self, tid: Tid, status: WaitStatus) -> Result<(), TraceError> {
        if !status.stopped() {
            self.ended(tid, status);
            return Ok(());
        }
        // The event is in the bits above the signal: ptrace(2), "Stopped tracees".
        let (signal, event) = ((status.as_raw() >> 8) & 0xff, status.as_raw() >> 16);
        if !self.threads.contains_key(&tid) {
            self.waiting.insert(tid);
            return Ok(());
        }
        let is_stop = |number: i32| event == number;
        if is_stop(libc::PTRACE_EVENT_SECCOMP) {
            let how = self.begin(tid)?;
            return resume(tid, how, 0);
        }
        if is_stop(libc::PTRACE_EVENT_EXEC) {
            self.executed(tid);
            return resume(tid, Resume::Go, 0);
        }
        if [
            libc::PTRACE_EVENT_FORK,
            libc::PTRACE_EVENT_VFORK,
            libc::PTRACE_EVENT_CLONE,
        ]
        .contains(&event)
        {
            self.cloned(tid, event != libc::PTRACE_EVENT_CLONE)?;
            return resume(tid, self.go_on(tid), 0);
        }
        if is_stop(libc::PTRACE_EVENT_STOP) {
            let is_job_control =
                [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
            let how = match is_job_control {
                true => Resume::Listen,
                false => self.go_on(tid),
            };
            return resume(tid, how, 0);
        }
        if signal == libc::SIGTRAP | 0x80 {
            self.end(tid)?;
            if tid == self.root && !self.is_running {
                // It could not be executed. The process that spawned it waits for it, and reports
                // why.
                self.threads.remove(&tid);
                return Ok(sys::detach(tid)?);
            }
            return resume(tid, Resume::Go, 0);
        }
        let is_inside = !self.root_directory.as_os_str().is_empty();
        if is_inside && stops::is_crash(tid, self.root, signal) {
            self.crashed_by = Some(signal);
            if let Some(root) = Pid::from_raw(self.root) {
                let _ = kill_process(root, Signal::KILL);
            }
            return resume(tid, Resume::Go, 0);
        }
        resume(tid, self.go_on(tid), signal)
    }

    /// A thread has ended.
    fn ended(&mut self, tid: Tid, status: WaitStatus) {
        let crash = self.crashed_by.filter(|_| tid == self.root);
        let ending = match crash.or(status.terminating_signal()) {
            Some(signal) => Ending::Signal(signal),
            None => Ending::Exit(status.exit_status().unwrap_or_default()),
        };
        if let Some(thread) = self.threads.remove(&tid).filter(|thread| thread.is_leader) {
            self.recorder.failures.end(thread.process, ending);
        }
        self.waiting.remove(&tid);
        if tid == self.root {
            self.ending = Some(ending);
        }
    }

    /// Until the end of its call, if that is a relevant one.
    fn go_on(&self, tid: Tid) -> Resume {
        match self.threads.get(&tid) {
            Some(TracedThread {
                pending: Some(_), ..
            }) => Resume::ToExit,
            _ => Resume::Go,
        }
    }

    /// Handles a new child or thread of a thread.
    fn cloned(&mut self, tid: Tid, is_leader: bool) -> Result<(), TraceError> {
        let Ok(child) = sys::event_message(tid) else {
            return Ok(());
        };
        let Some(parent) = self.threads.get(&tid) else {
            return Ok(());
        };
        if parent
            .pending
            .as_ref()
            .is_some_and(|call| call.action == Action::Clone3 || call.action == Action::Unshare)
        {
            return Err(self.leaves_mounts(tid));
        }
        let thread = TracedThread {
            process: parent.process,
            is_recorded: parent.is_recorded,
            is_alike: parent.is_alike,
            is_leader,
            pending: None,
        };
        self.threads.insert(child, thread);
        if self.waiting.remove(&child) {
            resume(child, Resume::Go, 0)?;
        }
        Ok(())
    }

    /// Handles `execve` of a thread: its other threads are gone, and it has the ID of the process.
    fn executed(&mut self, tid: Tid) {
        self.is_running = true;
        let former = sys::event_message(tid).unwrap_or(tid);
        let mut thread = match former == tid {
            true => self.threads.remove(&tid),
            false => {
                self.threads.remove(&tid);
                self.threads.remove(&former)
            }
        }
        .unwrap_or_default();
        let call = thread.pending.take();
        thread.is_leader = true;
        let tracee = self.tracee(tid);
        let program = tracee.link("exe");
        if let Some(only) = self.options.only {
            // For a script, the kernel runs the interpreter.
            let mut names = program
                .iter()
                .chain(call.iter().flat_map(|call| &call.paths));
            if names
                .any(|path| path == only || fs::canonicalize(path).is_ok_and(|real| real == only))
            {
                thread.is_recorded = true;
                self.has_started = true;
            }
        }
        if thread.is_recorded {
            thread.is_alike = tracee.rights() == self.rights;
            thread.process = self.recorder.process(tracee.arguments());
            let typed = call.and_then(|call| call.paths.into_iter().next());
            let path = typed
                .filter(|path| !is_of_process(path))
                .or(program.clone());
            if let Some(path) = path.filter(|path| is_there(path)) {
                self.recorder.found(&path, Uses::EXECUTED, thread.process);
                self.note_program(&path, program.as_deref());
            } else if let Some(program) = program {
                self.recorder.notes.insert(Note::Pathless(program));
            }
        }
        self.threads.insert(tid, thread);
    }

    /// Records what a recording cannot show of a program.
    fn note_program(&mut self, path: &Path, runs: Option<&Path>) {
        let mode = fs::metadata(self.here(path)).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o6000 != 0) {
            self.recorder.notes.insert(Note::Setuid(path.to_owned()));
        }
        let is_emulator = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("qemu-")
        };
        if runs.is_some_and(is_emulator) && !is_emulator(path) {
            self.recorder.notes.insert(Note::Emulated(path.to_owned()));
        }
    }

    fn leaves_mounts(&self, tid: Tid) -> TraceError {
        TraceError::Mounts(self.tracee(tid).arguments().join(" "))
    }

    /// Handles the beginning of a call.
    fn begin(&mut self, tid: Tid) -> Result<Resume, TraceError> {
        let Ok(Syscall::Entry {
            arch,
            number,
            arguments,
        }) = sys::syscall(tid)
        else {
            return Ok(Resume::Go);
        };
        let is_recorded = self
            .threads
            .get(&tid)
            .is_some_and(|thread| thread.is_recorded);
        if arch != calls::NATIVE {
            if is_recorded {
                self.recorder.notes.insert(Note::OtherAbi);
            }
            return Ok(Resume::Go);
        }
        let Some(call) = self.table.get(&number).copied() else {
            return Ok(Resume::Go);
        };
        match call.action {
            // Whatever starts the recorded program may change its root directory before.
            Action::Execute
            | Action::Chroot
            | Action::Unshare
            | Action::Clone3
            | Action::Mount
            | Action::ChangeRights => {}
            _ if !is_recorded => return Ok(Resume::Go),
            _ => {}
        }
        let Some(flags) = self.flags(tid, &call, arguments) else {
            return Ok(Resume::Go);
        };
        let lookup = self.lookup(tid, &call, flags, arguments);
        let is_about_mounts = matches!(
            call.action,
            Action::Unshare | Action::Clone3 | Action::Mount
        );
        let has_paths = lookup.paths.len() >= call.paths.len() && !lookup.paths.is_empty();
        if !has_paths && !is_about_mounts && call.action != Action::Execute {
            return Ok(Resume::Go);
        }
        if is_recorded && self.unsaved > 0 && Lookup::overwrites(call.action, flags) {
            for path in &lookup.paths {
                self.save(path);
            }
        }
        Ok(self.watch_unless_foreseen(tid, lookup))
    }

    /// The flags of a call that has to be followed; one that does not is dealt with.
    fn flags(&mut self, tid: Tid, call: &Call, arguments: [u64; 6]) -> Option<u64> {
        let tracee = self.tracee(tid);
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        let flags = call.flags.map(argument).unwrap_or_default();
        match call.action {
            Action::Map => {
                if let Some(path) = tracee.file(descriptor(argument(4))) {
                    let process = self.threads.get(&tid).map_or(0, |thread| thread.process);
                    self.recorder.found(&path, Uses::MAPPED, process);
                }
                None
            }
            Action::IoUring => {
                self.recorder.notes.insert(Note::IoUring);
                None
            }
            Action::ChangeRights => {
                self.has_rights_of_its_own(tid);
                None
            }
            Action::Unshare | Action::Clone3 => {
                let flags = match call.action {
                    Action::Clone3 => tracee.number(argument(0)).unwrap_or_default(),
                    _ => flags,
                };
                // In a user namespace of their own, processes have all capabilities.
                if has(flags, libc::CLONE_NEWUSER) || call.name == "setns" {
                    self.has_rights_of_its_own(tid);
                }
                is_new_namespace(call.name, flags).then_some(flags)
            }
            Action::OpenHow => Some(tracee.number(flags).unwrap_or_default()),
            Action::Create => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                Some(u64::from(flags.cast_unsigned()))
            }
            _ => Some(flags),
        }
    }

    /// A call with its paths.
    fn lookup(&self, tid: Tid, call: &Call, flags: u64, arguments: [u64; 6]) -> Lookup {
        let tracee = self.tracee(tid);
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        let (mut paths, mut ends_in_slash) = (Vec::new(), false);
        if call.action == Action::List {
            paths.extend(tracee.file(descriptor(argument(0))));
        }
        for (directory, at) in call.paths {
            if let Some((path, slash)) = tracee.path(directory.map(argument), argument(*at)) {
                paths.push(path);
                ends_in_slash = slash;
            }
        }
        let last = paths.last();
        Lookup {
            action: call.action,
            flags,
            existed: Lookup::may_change(call.action, flags)
                && last.is_some_and(|path| fs::symlink_metadata(self.here(path)).is_ok()),
            ends_in_slash,
            paths,
        }
    }

    /// Has a thread stop at the end of its call, unless it is known what that comes to.
    fn watch_unless_foreseen(&mut self, tid: Tid, lookup: Lookup) -> Resume {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return Resume::Go;
        };
        let is_here = self.root_directory.as_os_str().is_empty();
        let is_alike = thread.is_alike && is_here && !self.may_be_in_chroot;
        match foresight::of(&lookup, &self.recorder, is_alike)
            .filter(|_| is_here && thread.is_recorded)
        {
            Some(Foresight::Known) => {}
            Some(Foresight::Succeeds) => lookup.succeeded(&mut self.recorder, thread.process),
            Some(Foresight::Fails(error)) => {
                lookup.failed(&mut self.recorder, error, thread.process);
            }
            None => {
                thread.pending = Some(lookup);
                return Resume::ToExit;
            }
        }
        Resume::Go
    }

    /// From now on the kernel may answer a thread otherwise than this one.
    fn has_rights_of_its_own(&mut self, tid: Tid) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.is_alike = false;
        }
    }

    /// Saves the content of a file that existed before the run and may change.
    fn save(&mut self, path: &Path) {
        if self.recorder.before.contains_key(path) || self.recorder.has_created(path) {
            return;
        }
        let found = fs::metadata(path);
        let Some(found) = found
            .ok()
            .filter(|found| found.is_file() && found.len() <= self.unsaved)
        else {
            return;
        };
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(self.unsaved).read_to_end(&mut bytes));
        if read.is_ok() {
            self.unsaved = self.unsaved.saturating_sub(bytes.len() as u64);
            let before = Before {
                bytes,
                mode: found.mode() & 0o777,
                uid: found.uid(),
                gid: found.gid(),
            };
            self.recorder.before.insert(path.to_owned(), before);
        }
    }

    /// Handles the return of a call.
    fn end(&mut self, tid: Tid) -> Result<(), TraceError> {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return Ok(());
        };
        let Some(mut call) = thread.pending.take() else {
            return Ok(());
        };
        let (process, is_recorded) = (thread.process, thread.is_recorded);
        let Ok(Syscall::Exit(result)) = sys::syscall(tid) else {
            return Ok(());
        };
        let is_done = result >= 0;
        match call.action {
            Action::Chroot if is_done => self.may_be_in_chroot = true,
            Action::Unshare | Action::Clone3 | Action::Mount if is_done => {
                return Err(self.leaves_mounts(tid));
            }
            _ => {}
        }
        if !is_recorded {
            return Ok(());
        }
        if let Some(error) = error_of(result) {
            if call.action == Action::Execute && !self.is_running {
                self.execution_error = Some(io::Error::from_raw_os_error(error));
            }
            call.failed(&mut self.recorder, error, process);
            return Ok(());
        }
        // Executions are recorded when the program starts.
        if call.action == Action::Execute {
            return Ok(());
        }
        if let Action::Open | Action::OpenHow | Action::Create = call.action
            && call.paths.iter().any(|path| is_of_process(path))
        {
            // Links of /proc lead anywhere; their target is what was opened.
            let opened = i32::try_from(result).ok();
            let opened = opened.and_then(|opened| self.tracee(tid).file(opened));
            call.paths = opened.into_iter().collect();
        }
        call.succeeded(&mut self.recorder, process);
        Ok(())
    }
}

/// Whether `unshare`, `clone` or `setns` leaves the mount namespace. With 0, `setns` accepts any
/// kind.
fn is_new_namespace(name: &str, flags: u64) -> bool {
    has(flags, libc::CLONE_NEWNS) || (name == "setns" && flags == 0)
}

/// The error number of a result; the kernel's own numbers for restarted calls count as errors, too.
fn error_of(result: i64) -> Option<i32> {
    (-4095..0)
        .contains(&result)
        .then(|| i32::try_from(-result).unwrap_or_default())
}
