//! Waiting for threads that stop, and letting them go on.
//!
//! In: thread IDs. Out: why the next one stopped. Sources: ptrace(2), wait(2).

use std::fs;
use std::io;

use rustix::process::{WaitOptions, WaitStatus};

use crate::launch::TraceError;
use crate::sys::{self, Resume, Tid};

/// Whether a thread of `root`, the first process of a namespace, is about to crash by a signal. The kernel
/// keeps such a process alive while it is traced, and it would fault for ever.
pub(crate) fn is_crash(tid: Tid, root: Tid, signal: i32) -> bool {
    let faults = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGSYS,
    ];
    if !faults.contains(&signal) || !sys::is_raised(tid) {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.trim())
    };
    let handled = field("SigCgt").and_then(|set| u64::from_str_radix(set, 16).ok());
    let is_handled = handled.is_some_and(|set| set & (1 << (signal - 1)) != 0);
    field("Tgid") == Some(&root.to_string()) && !is_handled
}

/// Resumes a thread; ignores one that was killed meanwhile.
pub(crate) fn resume(tid: Tid, how: Resume, signal: i32) -> Result<(), TraceError> {
    match sys::resume(tid, how, signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => Ok(result?),
    }
}

/// Waits for any thread that this one traces, and for no other child of this process; `None` if there is
/// none.
pub(crate) fn wait() -> io::Result<Option<(Tid, WaitStatus)>> {
    let all = WaitOptions::from_bits_retain((libc::__WALL | libc::__WNOTHREAD).cast_unsigned());
    loop {
        match rustix::process::wait(all) {
            Ok(found) => return Ok(found.map(|(pid, status)| (pid.as_raw_nonzero().get(), status))),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
