//! The options of a pack.
//!
//! In: the parsed command line or configuration file. Out: one value for the whole pack.

use std::path::PathBuf;

use crate::image::{Configured, Tag};
use crate::needs::Selection;
use crate::source::Root;
use crate::strip::Level;

/// The options of a pack.
#[derive(Clone, Debug)]
pub struct Options {
    /// Programs to pack; the first one is the entrypoint.
    pub programs: Vec<PathBuf>,
    /// Roots that programs and libraries come from; if empty, this machine.
    pub roots: Vec<Root>,
    /// The directory that relative paths start from.
    pub current_dir: PathBuf,
    /// Additional directories to search for libraries.
    pub library_path: Vec<PathBuf>,
    /// Path of the program in the image; a directory if it ends in `/`.
    pub destination: Option<PathBuf>,
    /// Whether to also pack library variants for newer processors.
    pub hwcaps: bool,
    /// Which needs are enabled.
    pub needs: Selection,
    /// Whether to collect hints about what else may be needed.
    pub wants_hints: bool,
    /// Files and directories to add.
    pub add: Vec<Add>,
    /// Globs of paths in the image to leave out.
    pub exclude: Vec<String>,
    /// The busybox to add.
    pub busybox: Option<PathBuf>,
    /// Whether to continue when libraries are missing.
    pub allow_missing: bool,
    /// Whether a program that is not static is an error.
    pub require_static: bool,
    /// Whether files with the same content become hard links.
    pub hardlink: bool,
    /// What to strip from programs and libraries; `None` strips nothing.
    pub strip: Option<Level>,
    /// Whether to write what is stripped to separate debug files.
    pub wants_debug_files: bool,
    /// Maximum size of all files of the image, in bytes.
    pub max_size: Option<u64>,
    /// Tags of the image; if empty, one is derived from the program's name.
    pub tags: Vec<Tag>,
    /// The entrypoint, if it is not the program.
    pub entrypoint: Option<Vec<String>>,
    /// The rest of the image configuration.
    pub configured: Configured,
}

/// `--add SRC[:DEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// A file, a directory or a glob.
    pub source: String,
    /// Its path in the image; a directory if it ends in `/`.
    pub destination: Option<String>,
}
