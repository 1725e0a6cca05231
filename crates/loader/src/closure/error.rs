//! Why a closure cannot be computed.

use std::path::PathBuf;

use thiserror::Error;

use super::MAX_OBJECTS;
use crate::UnknownLoader;
use slimpack_elf::ElfError;
use slimpack_vfs::Errno;

/// Why a closure cannot be computed.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// The program's path does not resolve.
    #[error("{}", .0.message())]
    Unreachable(Errno),
    /// The path leads to something that is not a regular file.
    #[error("it is {0}, not a program")]
    NotAFile(&'static str),
    /// The program is not an ELF object.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The program is an ELF file of a type that is never run: an object file, a core dump.
    #[error("it is {0}, not a program or shared library")]
    NotLoadable(&'static str),
    /// The interpreter cannot be opened.
    #[error(
        "cannot open its interpreter {}: {}; {hint}",
        .path.display(), .errno.message()
    )]
    NoInterpreter {
        /// The path in `PT_INTERP`.
        path: PathBuf,
        /// Why it cannot be used.
        errno: Errno,
        /// How to fix it.
        hint: String,
    },
    /// The interpreter is not an object for the program's machine.
    #[error("its interpreter {} cannot load it: {why}", .path.display())]
    BadInterpreter {
        /// The path in `PT_INTERP`.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The interpreter is neither glibc's nor musl's loader.
    #[error(transparent)]
    UnknownLoader(#[from] UnknownLoader),
    /// More objects than the limit.
    #[error("it loads more than {MAX_OBJECTS} objects")]
    TooManyObjects,
}
