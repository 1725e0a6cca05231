//! Which files a command and its descendants look up, and what they do to them.
//!
//! [`trace`] runs a command; nothing else in this crate does. It needs no privileges and no other
//! program: a seccomp(2) filter stops the processes only at the relevant system calls, and
//! ptrace(2) reads their paths. The [`Recording`] has each path once; it can be written to a file
//! and read back. Logs of strace can be read, too.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod calls;
mod failures;
mod foresight;
mod launch;
mod log;
mod lookup;
mod recording;
mod stops;
mod strace;
mod sys;
mod tracee;
mod tracer;

pub use failures::{EndedProcess, FailedLookup, LookupGoal};
pub use launch::{TraceError, TraceGate, TraceOptions, trace, trace_process};
pub use log::LogError;
pub use recording::{Before, Ending, MAX_PATHS, Note, Recording, Traced, Uses};
