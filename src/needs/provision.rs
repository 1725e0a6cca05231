//! What needs and people add, and why.
//!
//! In: nothing. Out: the words in which rules, the engine and the tree of an image speak of files,
//! programs and libraries that no loader asks for; and what stands in the way of adding them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use thiserror::Error;

use super::additions::{MAX_FILES, MAX_PROCESSES};
use crate::closure::{Closure, ClosureError};

/// Something that a rule, or a person, adds to an image. Paths are those of the source, and are
/// kept in the image unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addition {
    /// A file that slimpack writes.
    Made(PathBuf, Vec<u8>),
    /// A folder with these permission bits.
    Folder(PathBuf, u32),
    /// A file, with the links that lead to it.
    File(PathBuf),
    /// A folder with everything in it.
    Tree(PathBuf),
    /// The same, without entries of the folder itself that match a glob.
    Part {
        /// The folder.
        path: PathBuf,
        /// The globs.
        without: &'static [&'static str],
    },
    /// A file or folder under another path.
    Copy {
        /// Where it is.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// A symbolic link and its target.
    Link(PathBuf, PathBuf),
    /// A program that is started, with all it loads.
    Program(PathBuf),
    /// A library that the object with this index opens by name.
    Library {
        /// Who opens it.
        by: usize,
        /// The name.
        name: String,
    },
    /// busybox with its commands.
    Busybox(PathBuf),
}

/// Why something is added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The need, or `--add`.
    pub need: &'static str,
    /// The object that shows the sign; `None` for what a person asked for.
    pub object: Option<PathBuf>,
    /// The sign.
    pub sign: String,
}

/// Something added, and why.
#[derive(Clone, Debug)]
pub struct Provision {
    /// What.
    pub addition: Addition,
    /// Why.
    pub cause: Cause,
}

/// A program or library that was added, with all it loads.
pub struct Started {
    /// Where it is in the source.
    pub path: PathBuf,
    /// Where it goes in the image, when that is another path.
    pub to: Option<PathBuf>,
    /// What it loads.
    pub closure: Closure,
    /// Why it is there.
    pub cause: Cause,
}

/// A need that may be there, with the flag that acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The need.
    pub need: &'static str,
    /// The object that shows the sign, and the sign.
    pub why: String,
    /// What it would add.
    pub adds: String,
    /// What acts on it: `--with gconv=UTF-16`.
    pub flag: String,
    /// All names that the sign tells, of which the reason has the first.
    pub names: Vec<String>,
    /// Programs that hint at the same, beside the first.
    pub more: usize,
}

/// Everything that was added.
#[derive(Default)]
pub struct Provisions {
    /// Files, folders and links.
    pub provisions: Vec<Provision>,
    /// Programs and libraries.
    pub started: Vec<Started>,
    /// Folders whose entries were all added.
    pub folders: BTreeSet<PathBuf>,
    /// What might be needed as well, those of the first program first.
    pub hints: Vec<Hint>,
    /// Needs that the source cannot serve.
    pub warnings: BTreeSet<String>,
}

/// Why a need that was asked for cannot be served.
#[derive(Debug, Error)]
pub enum NeedError {
    /// The source lacks what it adds.
    #[error("cannot serve the need {need}: {why}; install it, or leave the need out of --with")]
    Absent {
        /// The need.
        need: &'static str,
        /// What is lacking.
        why: String,
    },
    /// Something that was added cannot be used.
    #[error("cannot add {}: {why}", .path.display())]
    Path {
        /// The path in the source.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A program that was added has no closure.
    #[error("cannot add {}: {error}", .path.display())]
    Program {
        /// The path in the source.
        path: PathBuf,
        /// Why.
        error: ClosureError,
    },
    /// More files than can be looked at.
    #[error(
        "cannot add {}: it brings more than {MAX_FILES} files; add a part of it",
        .0.display()
    )]
    TooManyFiles(PathBuf),
    /// More programs than can be looked at.
    #[error(
        "cannot add {}: more than {MAX_PROCESSES} programs and libraries would come with it; add a \
         part of what was asked for",
        .0.display()
    )]
    TooManyPrograms(PathBuf),
}
