//! Running a program in namespaces of its own, without an engine and without privileges.
//!
//! [`run`] makes a root directory in memory, has the caller fill it, and executes a program in it. The
//! program has its own users, mounts, processes, IPC, host name and network, docker's default
//! capabilities and device nodes, and may not gain privileges. Everything of it is part of its namespaces:
//! when it ends, or this process is killed, the kernel removes them.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod capabilities;
mod channel;
mod filter;
mod forbidden;
mod ids;
mod inside;
mod relay;
mod start;
mod sys;

pub use capabilities::default_capabilities;
pub use ids::{IdMap, Ids};
pub use relay::OutputStream;
pub use start::{Ran, SandboxError, run};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Receives what a program writes.
pub type OnOutput<'a> = dyn Fn(OutputStream, &[u8]) + Sync + 'a;

/// Fills a root directory, with the users that there are; a failure is a message.
pub type Populate<'a> = dyn Fn(&Path, &IdMap) -> Result<(), String> + 'a;

/// A program and the machine that it is to see.
pub struct Sandbox<'a> {
    /// The program and its arguments; a name without a slash is searched in `PATH`. Without any, only the
    /// machine is set up.
    pub words: Vec<String>,
    /// Its environment, as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Its absolute working directory, which is created.
    pub working_dir: PathBuf,
    /// Whom it runs as.
    pub ids: Ids,
    /// Fills the root directory, which is empty, in the namespaces of the program; a failure is a
    /// message.
    pub populate: &'a Populate<'a>,
    /// Files that every engine writes, such as `/etc/hosts`.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The host name.
    pub hostname: String,
    /// How it runs.
    pub conditions: Conditions<'a>,
}

/// How a program runs: by default without input, network and limits.
#[derive(Clone, Default)]
pub struct Conditions<'a> {
    /// Parts of this machine that it sees.
    pub volumes: Vec<Volume>,
    /// Whether it uses the network of this machine; otherwise it has a loopback interface only.
    pub has_network: bool,
    /// Whether it may not write to its root directory.
    pub is_read_only: bool,
    /// Whether it reads the standard input of this process; otherwise `/dev/null`.
    pub is_interactive: bool,
    /// Whether it has a terminal of its own.
    pub has_terminal: bool,
    /// Receives what it writes; without one, it writes to the streams of this process, through a pipe
    /// where those are a terminal.
    pub output: Option<&'a OnOutput<'a>>,
    /// Receives a copy of what is passed on to the streams of this process: what it writes to standard
    /// error or a terminal.
    pub copy: Option<&'a OnOutput<'a>>,
    /// How long it may run; then it is killed.
    pub timeout: Option<Duration>,
    /// Whether to record what it looks up.
    pub is_traced: bool,
}

/// A directory or file of this machine that a program sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its path on this machine.
    pub source: PathBuf,
    /// Its absolute path for the program.
    pub destination: PathBuf,
    /// Whether the program may not write to it.
    pub is_read_only: bool,
}

/// What the kernel permits: sets a machine up and runs nothing in it.
///
/// # Errors
/// As [`run`].
pub fn check() -> Result<IdMap, SandboxError> {
    let sandbox = Sandbox {
        words: Vec::new(),
        environment: Vec::new(),
        working_dir: PathBuf::from("/"),
        ids: Ids::default(),
        populate: &|_, _| Ok(()),
        files: Vec::new(),
        hostname: String::new(),
        conditions: Conditions::default(),
    };
    Ok(run(&sandbox)?.map)
}
