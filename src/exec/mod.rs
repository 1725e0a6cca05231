//! How a process starts.
//!
//! In: command words, environment and tree of an image or script. Out: the files that the kernel,
//! `env`, a shell or an engine would start.

mod accounts;
mod command;
mod kind;
mod shell;
mod start;
mod starters;

pub use accounts::{Account, AccountKind, Accounts, UnknownAccount, is_number};
pub use command::{
    ENGINE_PATH, Interpreters, Shebang, command_path, path_folders, shebang, variable,
};
pub use kind::{TELLING, describe};
pub use shell::{command_line, commands_in, first_command, is_shell, reads_posix_scripts};
pub use start::Start;
pub use starters::started_by;
