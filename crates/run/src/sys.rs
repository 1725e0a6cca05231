//! The system calls of a sandbox.
//!
//! In: numbers, paths and descriptors. Out: processes, and what the kernel says. This is the only module
//! with unsafe code: `rustix` can neither fork nor execute, and its `ioctl` needs the sizes of what the
//! kernel writes. Sources: fork(2), clone(2), execve(2), netdevice(7), signal(7).

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Forks; `None` in the child, which must end with [`exit`].
///
/// Only for processes whose other threads hold no lock that the child takes: those of slimpack wait for
/// work when a program is run.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the C library makes its allocator usable in the child, whose only thread is this one; the
    // child ends with `_exit` and runs none of the handlers of this process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Forks a sibling: a child of this process's parent. `None` in it.
///
/// Only for processes with a single thread.
pub(crate) fn fork_sibling() -> io::Result<Option<Pid>> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without `CLONE_VM` and a stack the child has a copy of everything, as after fork(2); with
    // one thread in this process, no lock of the C library is held.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match child {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(i32::try_from(child).unwrap_or_default())),
    }
}

/// Ends this process, which was forked, without what its parent would do at its end.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: takes no memory, and never returns.
    unsafe { libc::_exit(status) }
}

/// Leaves namespaces for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags are all of namespaces; descriptors stay shared with nobody, since a forked
    // process has its own.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Executes a file; returns only if that fails.
pub(crate) fn execute(path: &CString, words: &[CString], environment: &[CString]) -> io::Error {
    let list = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let strings = strings.iter().map(|string| string.as_ptr());
        strings.chain(std::iter::once(ptr::null())).collect()
    };
    let (words, environment) = (list(words), list(environment));
    // SAFETY: both lists end with a null pointer, and the strings live through the call.
    unsafe { libc::execve(path.as_ptr(), words.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Gives every signal its default action, and blocks none.
pub(crate) fn reset_signals() {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action is no function of this process; a number that has none is an error
        // without effect.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: `sigemptyset` initializes the set before it is read.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Closes every descriptor from `first` on when a program is executed.
pub(crate) fn close_on_execute(first: u32) -> io::Result<()> {
    /// `CLOSE_RANGE_CLOEXEC` (Linux 5.11).
    const CLOEXEC: u32 = 4;
    // SAFETY: only sets a flag of descriptors.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes `descriptor` the standard stream of that number.
pub(crate) fn replace(descriptor: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the streams 0, 1 and 2 are owned by nobody in this process, which is about to execute.
    match unsafe { libc::dup2(descriptor.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sets the loopback interface of this network namespace up.
pub(crate) fn set_loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: every bit pattern is valid for `ifreq`; the kernel reads the name and the flags, and both
    // live through the call.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = (*from).cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
