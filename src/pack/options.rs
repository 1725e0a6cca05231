//! The options of a pack.
//!
//! In: the parsed command line or configuration file. Out: one value for the whole pack.

use std::path::PathBuf;
use std::sync::Arc;

use crate::image::{Configured, Tag};
use crate::needs::Selection;
use crate::packages::RpmManifest;
use crate::source::Root;
use crate::strip::Level;
use crate::trace::Recording;

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
    /// Directories to create.
    pub mkdir: Vec<Mkdir>,
    /// Whether programs keep their setuid and setgid bits, with the owner.
    pub keep_setuid: bool,
    /// Whether files of an image get the owner and mode that files of this machine get.
    pub normalize: bool,
    /// Directories of the source image, each with the reason to keep it if it exists.
    pub kept: Vec<(PathBuf, &'static str)>,
    /// Whether the user of the image is inherited, and therefore not converted to numbers.
    pub inherits_user: bool,
    /// Globs of paths in the image to leave out.
    pub exclude: Vec<String>,
    /// A list of the packages of a source with rpm, and the file that it is from.
    pub rpm_manifest: Option<(PathBuf, Arc<RpmManifest>)>,
    /// The busybox to add.
    pub busybox: Option<PathBuf>,
    /// Globs of the names of libraries that may be missing.
    pub allow_missing: Vec<String>,
    /// Whether a program that is not static is an error.
    pub require_static: bool,
    /// Whether files with the same content become hard links.
    pub hardlink: bool,
    /// What to strip from programs and libraries; `None` strips nothing.
    pub strip: Option<Level>,
    /// Whether to write what is stripped to separate debug files.
    pub wants_debug_files: bool,
    /// What runs of the programs looked up.
    pub traced: Option<TracedRuns>,
    /// Maximum size of all files of the image, in bytes.
    pub max_size: Option<u64>,
    /// Tags of the image; if empty, one is derived from the program's name.
    pub tags: Vec<Tag>,
    /// The entrypoint, if it is not the program.
    pub entrypoint: Option<Vec<String>>,
    /// The rest of the image configuration.
    pub configured: Configured,
}

/// Recorded runs that have to work in the image.
#[derive(Clone, Debug)]
pub struct TracedRuns {
    /// What they looked up.
    pub recording: Arc<Recording>,
    /// Globs of paths to leave out.
    pub ignore: Vec<String>,
    /// Whether a directory whose names were read is packed as a whole.
    pub whole_directories: bool,
}

/// Owner and mode as they are typed: `chown=OWNER[:GROUP]`, `chmod=MODE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The owner and group, by name or number.
    pub owner: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// `--mkdir PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mkdir {
    /// Its path in the image.
    pub path: PathBuf,
    /// Its owner and mode.
    pub grant: Grant,
}

/// `--add SRC[:DEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// A file, a directory or a glob.
    pub source: String,
    /// Its path in the image; a directory if it ends in `/`.
    pub destination: Option<String>,
    /// Owner and mode of all that it adds.
    pub grant: Grant,
}
