//! What needs and users add, and why.
//!
//! In: nothing. Out: the types in which rules, the engine and the tree of an image describe files,
//! programs and libraries that no loader requests, and the errors of adding them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use thiserror::Error;

use super::additions::{MAX_FILES, MAX_PROCESSES};
use super::{BY_HAND, SCRIPT};
use crate::closure::{Closure, ClosureError};
use crate::vfs::Owner;

/// Something that a rule or a user adds to an image. Paths are those of the source, and are kept
/// in the image unless noted otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addition {
    /// A file that slimpack generates: its path and contents.
    Made(PathBuf, Vec<u8>),
    /// A directory with these permission bits.
    Folder(PathBuf, u32),
    /// A directory that a program writes to, with the links on its path.
    State {
        /// Its path; it may be missing in the source.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
        /// Its permission bits.
        mode: u32,
    },
    /// A file, with the links on its path.
    File(PathBuf),
    /// A directory with everything in it.
    Tree(PathBuf),
    /// The same, without the direct entries of the directory that match a glob.
    Part {
        /// The directory.
        path: PathBuf,
        /// Globs of entry names to leave out.
        without: &'static [&'static str],
    },
    /// A file or directory under another path.
    Copy {
        /// Its path in the source.
        from: PathBuf,
        /// Its path in the image.
        to: PathBuf,
    },
    /// A symbolic link and its target.
    Link(PathBuf, PathBuf),
    /// A program that is started, with everything it loads.
    Program(PathBuf),
    /// A library that the object with this index opens by name.
    Library {
        /// Index of the object that opens it.
        by: usize,
        /// The name that is passed to `dlopen`.
        name: String,
    },
    /// busybox, with a link for each of its commands.
    Busybox(PathBuf),
}

/// Why something is added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The name of the need, or `--add`.
    pub need: &'static str,
    /// The object that shows the sign; `None` for what the user requested.
    pub object: Option<PathBuf>,
    /// The sign, such as `imports getpwuid`.
    pub sign: String,
}

impl Cause {
    /// Whether the user named it: with `--add`, or as the interpreter of a script.
    pub fn is_by_user(&self) -> bool {
        [BY_HAND, SCRIPT].contains(&self.need)
    }
}

/// Owner and permission bits of something added; `None` for the default ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// Its owner.
    pub owner: Option<Owner>,
    /// Its permission bits. A directory also gets execute where it gets read.
    pub mode: Option<u32>,
}

impl Ownership {
    /// Whether neither is set.
    pub fn is_usual(self) -> bool {
        self == Self::default()
    }
}

/// Something added, and why.
#[derive(Clone, Debug)]
pub struct Provision {
    /// What is added.
    pub addition: Addition,
    /// Why it is added.
    pub cause: Cause,
    /// Its owner and mode, and those of everything below it.
    pub ownership: Ownership,
}

impl Provision {
    /// An addition with the usual owner and mode.
    pub fn usual(addition: Addition, cause: Cause) -> Self {
        Self {
            addition,
            cause,
            ownership: Ownership::default(),
        }
    }
}

/// A program or library that was added, with everything it loads.
pub struct Started {
    /// Its path in the source.
    pub path: PathBuf,
    /// Its path in the image, if that differs.
    pub to: Option<PathBuf>,
    /// The program and everything it loads.
    pub closure: Closure,
    /// Why it was added.
    pub cause: Cause,
    /// Its owner and mode.
    pub ownership: Ownership,
}

/// A need that a program may have, with the flag that enables it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The name of the need.
    pub need: &'static str,
    /// The object that shows the sign, and the sign.
    pub why: String,
    /// What the flag would add.
    pub adds: String,
    /// The flag that enables it: `--with gconv=UTF-16`.
    pub flag: String,
    /// All names that the sign gives; the reason lists only the first few.
    pub names: Vec<String>,
    /// Number of further programs with the same hint.
    pub more: usize,
}

/// Everything that was added.
#[derive(Default)]
pub struct Provisions {
    /// Files, directories and links.
    pub provisions: Vec<Provision>,
    /// Programs and libraries.
    pub started: Vec<Started>,
    /// Directories whose entries were all added.
    pub folders: BTreeSet<PathBuf>,
    /// What else may be needed; hints of the first program come first.
    pub hints: Vec<Hint>,
    /// Messages about needs that the source cannot meet.
    pub warnings: BTreeSet<String>,
}

/// Why a requested need cannot be met.
#[derive(Debug, Error)]
pub enum NeedError {
    /// The source lacks what the need would add.
    #[error(
        "cannot meet the need {need}: {why}; drop the need from --with, or install what is missing"
    )]
    Absent {
        /// The name of the need.
        need: &'static str,
        /// What the source lacks.
        why: String,
    },
    /// No program shows the sign of the need, whatever the source has.
    #[error(
        "cannot meet the need {need}: {why}; leave the need out of --with, or add the files with --add"
    )]
    NotShown {
        /// The name of the need.
        need: &'static str,
        /// What the program does not have.
        why: &'static str,
    },
    /// Something that was added cannot be used.
    #[error("cannot add {}: {why}", .path.display())]
    Path {
        /// The path in the source.
        path: PathBuf,
        /// Why it cannot be added.
        why: String,
    },
    /// A program that was added cannot be resolved.
    #[error("cannot add {}: {error}", .path.display())]
    Program {
        /// The path in the source.
        path: PathBuf,
        /// Why it cannot be resolved.
        error: ClosureError,
    },
    /// A directory with too many files.
    #[error(
        "cannot add {}: it contains more than {MAX_FILES} files; add only a part of it",
        .0.display()
    )]
    TooManyFiles(PathBuf),
    /// Too many programs and libraries.
    #[error(
        "cannot add {}: more than {MAX_PROCESSES} programs and libraries would be added; add only \
         a part of them",
        .0.display()
    )]
    TooManyPrograms(PathBuf),
}
