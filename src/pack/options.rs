//! What a pack is told.
//!
//! In: what the command line or a file means. Out: one value that the whole pack reads.

use std::path::PathBuf;

use crate::image::{Configured, Tag};
use crate::needs::Selection;
use crate::source::Root;
use crate::strip::Level;

/// What a pack is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Programs to pack; the first is the one that is started.
    pub programs: Vec<PathBuf>,
    /// Trees that libraries come from; without any, this machine.
    pub roots: Vec<Root>,
    /// The folder that relative paths start from.
    pub current_dir: PathBuf,
    /// Further folders to search for libraries.
    pub library_path: Vec<PathBuf>,
    /// Where the program goes; a folder when it ends in `/`.
    pub destination: Option<PathBuf>,
    /// Whether variants of libraries for better machines are packed too.
    pub hwcaps: bool,
    /// Which needs are served.
    pub needs: Selection,
    /// Whether anybody reads hints about what else may be needed.
    pub wants_hints: bool,
    /// Files to add.
    pub add: Vec<Add>,
    /// Globs of paths in the image to leave out.
    pub exclude: Vec<String>,
    /// The busybox to add.
    pub busybox: Option<PathBuf>,
    /// Whether to go on when libraries are missing.
    pub allow_missing: bool,
    /// Whether a program that needs a loader is an error.
    pub require_static: bool,
    /// Whether files of the same bytes become one.
    pub hardlink: bool,
    /// What is stripped of programs and libraries.
    pub strip: Option<Level>,
    /// Whether what is stripped is kept in files for debuggers.
    pub wants_debug_files: bool,
    /// Most bytes that the files of the image may have.
    pub max_size: Option<u64>,
    /// Names of the image; without any, the program's.
    pub tags: Vec<Tag>,
    /// Replaces the program as the command to start.
    pub entrypoint: Option<Vec<String>>,
    /// What else is configured.
    pub configured: Configured,
}

/// `--add SRC[:DEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// A file, a folder or a glob.
    pub source: String,
    /// Where it goes; a folder when it ends in `/`.
    pub destination: Option<String>,
}
