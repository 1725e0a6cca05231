//! The system calls of a tracer.
//!
//! In: thread IDs. Out: what stopped a thread, and its memory. This is the only module with unsafe
//! code: `rustix` has no ptrace, and `nix` cannot pass on real-time signals, which glibc sends to the
//! threads of a process that changes its user. Sources: ptrace(2), seccomp(2), process_vm_readv(2).

#![allow(unsafe_code)]

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::BpfProgram;

/// A thread of a traced process.
pub(crate) type Tid = libc::pid_t;

/// `PTRACE_GET_SYSCALL_INFO` (Linux 5.3). Not all C libraries that Rust supports declare it.
const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
const INFO_EXIT: u8 = 2;
const INFO_SECCOMP: u8 = 3;

/// `struct ptrace_syscall_info`: a header, and a union of which each member is read from `data`.
#[repr(C)]
#[derive(Default)]
struct RawSyscall {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    data: [u64; 8],
}

/// What a thread was doing when it stopped.
#[derive(Debug)]
pub(crate) enum Syscall {
    /// It is about to enter a system call that the filter names.
    Entry {
        /// The ABI of the call: an `AUDIT_ARCH_` number.
        arch: u32,
        number: i64,
        arguments: [u64; 6],
    },
    /// It has left one: the result, or the negated error number.
    Exit(i64),
    /// Neither.
    Other,
}

/// How a stopped thread continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Until the next call that the filter names.
    Go,
    /// Until the current call returns.
    ToExit,
    /// Not at all: it stays stopped by a job-control signal until SIGCONT.
    Listen,
}

/// Calls ptrace with a request that takes numbers.
fn ptrace(request: libc::c_uint, tid: Tid, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests used with this function access no memory of this process: for them
    // `address` and `data` are numbers.
    let done = unsafe { libc::ptrace(request as _, tid, address, data) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Starts to trace a process of this user. It and all its descendants are killed if this process ends.
pub(crate) fn seize(tid: Tid) -> io::Result<()> {
    let options = libc::PTRACE_O_EXITKILL
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEVFORK;
    ptrace(libc::PTRACE_SEIZE as _, tid, 0, options as usize)
}

/// Resumes a stopped thread, with `signal` unless that is 0.
pub(crate) fn resume(tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
    let request = match how {
        Resume::Go => libc::PTRACE_CONT,
        Resume::ToExit => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    let signal = usize::try_from(signal).unwrap_or_default();
    ptrace(request as _, tid, 0, signal)
}

/// Detaches from a stopped thread, which continues.
pub(crate) fn detach(tid: Tid) -> io::Result<()> {
    ptrace(libc::PTRACE_DETACH as _, tid, 0, 0)
}

/// The number that belongs to an event: the new thread of a clone, the former ID of a thread that called
/// `execve`.
pub(crate) fn event_message(tid: Tid) -> io::Result<Tid> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long to `message`, which lives through the call.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETEVENTMSG as _,
            tid,
            0_usize,
            &raw mut message,
        )
    };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Tid::try_from(message).unwrap_or_default()),
    }
}

/// Whether the signal that stopped a thread was raised by the kernel, as for a fault, and not sent.
pub(crate) fn is_raised(tid: Tid) -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel writes one `siginfo_t`, of which every bit pattern is valid, as zeros are.
    let info = unsafe {
        let none = 0_usize;
        let done = libc::ptrace(libc::PTRACE_GETSIGINFO as _, tid, none, info.as_mut_ptr());
        (done != -1).then(|| info.assume_init())
    };
    // `SI_KERNEL`, and the codes of each fault: sigaction(2).
    info.is_some_and(|info| info.si_code > 0)
}

/// The system call that a stopped thread enters or leaves.
pub(crate) fn syscall(tid: Tid) -> io::Result<Syscall> {
    let mut raw = RawSyscall::default();
    // SAFETY: the kernel writes at most as many bytes to `raw` as its size, which is passed; every bit
    // pattern is valid for its fields.
    let done = unsafe {
        libc::ptrace(
            GET_SYSCALL_INFO as _,
            tid,
            size_of::<RawSyscall>(),
            &raw mut raw,
        )
    };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    let data = raw.data;
    Ok(match raw.op {
        INFO_EXIT => Syscall::Exit(data[0].cast_signed()),
        INFO_SECCOMP => Syscall::Entry {
            arch: raw.arch,
            number: data[0].cast_signed(),
            arguments: [data[1], data[2], data[3], data[4], data[5], data[6]],
        },
        _ => Syscall::Other,
    })
}

/// Reads memory of a stopped thread; returns how many bytes could be read.
pub(crate) fn read_memory(tid: Tid, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: address as usize as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes at most `iov_len` bytes to `into`, and only reads memory of the other
    // process: a wrong address there is an error.
    let read = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Has the child of `command` report its ID to `ready`, wait for the byte 1 from `go`, and install
/// `filter` before it executes.
pub(crate) fn hold(
    command: &mut Command,
    mut ready: PipeWriter,
    mut go: PipeReader,
    filter: BpfProgram,
) {
    let wait = move || {
        let id = rustix::process::getpid().as_raw_nonzero().get();
        ready.write_all(&id.to_ne_bytes())?;
        let mut answer = [0];
        go.read_exact(&mut answer)?;
        if answer != [1] {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        install(&filter)
    };
    // SAFETY: between fork and exec the closure only reads and writes pipes, and calls prctl and
    // seccomp: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(wait) };
}

/// Installs a filter for this process.
pub(crate) fn install(filter: &BpfProgram) -> io::Result<()> {
    // Also sets no_new_privs: without it only root may install a filter.
    seccompiler::apply_filter(filter).map_err(|_| io::Error::from_raw_os_error(libc::ENOSYS))
}
