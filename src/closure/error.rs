//! Why there is no closure.

use std::path::PathBuf;

use thiserror::Error;

use super::MAX_OBJECTS;
use crate::elf::ElfError;
use crate::loader::UnknownLoader;
use crate::vfs::Errno;

/// Why there is no closure.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// The program's path leads nowhere.
    #[error("{}", .0.message())]
    Unreachable(Errno),
    /// The path leads to something that is not a regular file.
    #[error("it is {0}, not a program")]
    NotAFile(&'static str),
    /// The program is no ELF object.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The program is an ELF file that is never run: an object file, a core dump.
    #[error("it is {0}, not a program or shared library")]
    NotLoadable(&'static str),
    /// The interpreter is not there.
    #[error(
        "its interpreter {} is not there: {}; {hint}",
        .path.display(), .errno.message()
    )]
    NoInterpreter {
        /// The path in `PT_INTERP`.
        path: PathBuf,
        /// Why it cannot be used.
        errno: Errno,
        /// What to do.
        hint: String,
    },
    /// The interpreter is no object for this machine.
    #[error("its interpreter {} cannot start it: {why}", .path.display())]
    BadInterpreter {
        /// The path in `PT_INTERP`.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The interpreter is not one whose rules are known.
    #[error(transparent)]
    UnknownLoader(#[from] UnknownLoader),
    /// More objects than the limit.
    #[error("it loads more than {MAX_OBJECTS} objects")]
    TooManyObjects,
}
