//! How the dynamic loaders of glibc and musl find libraries.
//!
//! In: a name, the object that requests it, and what is already loaded. Out: the file
//! that the loader would map, the rule that found it, and everything tried before.
//! Nothing here reads the environment or the host: variables are passed in as
//! [`Environment`], files through a [`View`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod binding;
mod cache;
mod candidate;
pub mod closure;
mod glibc;
mod hwcaps;
mod interpreter;
mod link_map;
mod musl;
mod objects;
mod search_path;
mod system;
mod tokens;
mod version;

pub use cache::{Cache, CacheEntry, MAX_SIZE as MAX_CACHE, PATH as LD_SO_CACHE};
pub use candidate::{Attempt, Outcome, Target, Tried};
pub use interpreter::{Loaders, UnknownLoader, default_interpreters, is_glibc_loader};
pub use link_map::{FoundVia, LinkMap, Loaded};
pub use objects::{Facts, Functions, Objects};
pub use system::SystemFolders;
pub use tokens::Tokens;
pub use version::MuslVersion;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slimpack_vfs::{View, Walk};

/// Settings of a loader that do not come from files.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Directories of `-L`, searched before those of `LD_LIBRARY_PATH`.
    pub extra: Vec<PathBuf>,
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// `LD_PRELOAD`.
    pub preload: Option<OsString>,
    /// The working directory, from which relative paths start.
    pub working_dir: PathBuf,
    /// Whether to search `glibc-hwcaps` directories for optimized variants of libraries.
    pub hwcaps: bool,
    /// Whether the program runs with elevated privileges (`AT_SECURE`): the loader then
    /// ignores variables and most uses of `$ORIGIN`.
    pub secure: bool,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            extra: Vec::new(),
            library_path: None,
            preload: None,
            working_dir: PathBuf::from("/"),
            hwcaps: false,
            secure: false,
        }
    }
}

impl Environment {
    /// The loader's variables among `NAME=VALUE` entries; the last entry of a name wins.
    pub fn with_variables(entries: &[String]) -> Self {
        let variable = |name: &str| {
            entries.iter().rev().find_map(|entry| {
                let (key, value) = entry.split_once('=')?;
                (key == name).then(|| OsString::from(value))
            })
        };
        Self {
            library_path: variable("LD_LIBRARY_PATH"),
            preload: variable("LD_PRELOAD"),
            ..Self::default()
        }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub enum Answer {
    /// An object that is already loaded; its index in the [`LinkMap`].
    Loaded(usize),
    /// The kernel's own object (vDSO), which is not a file.
    Kernel,
    /// A file to map.
    Found(Box<Found>),
    /// A file that turns out to be an object already loaded (a hard link, or another
    /// symbolic link to the same file): its index, and how it was found.
    Same(usize, Box<Found>),
    /// Not found; what was tried.
    Missing(Tried),
}

impl Answer {
    /// The answer of a search that tried these paths: a file that is already loaded is not loaded
    /// again, whatever name it was found by.
    fn of_search(map: &LinkMap, found: Option<Box<Found>>, tried: Tried) -> Self {
        let Some(mut found) = found else {
            return Self::Missing(tried);
        };
        found.tried = tried;
        match map.with_id(found.walk.metadata.id) {
            Some(index) => Self::Same(index, found),
            None => Self::Found(found),
        }
    }
}

/// A file that a search found.
#[derive(Debug)]
pub struct Found {
    /// The path by which it was opened.
    pub opened_as: PathBuf,
    /// That path, resolved.
    pub walk: Arc<Walk>,
    /// The parsed ELF object.
    pub object: Arc<slimpack_elf::Object>,
    /// The rule that found it.
    pub via: FoundVia,
    /// What was tried before it was found.
    pub tried: Tried,
}

/// The rules of one installed loader.
pub enum Rules {
    /// `elf/dl-load.c`, `elf/dl-cache.c` of glibc.
    Glibc(glibc::Glibc),
    /// `ldso/dynlink.c` of musl.
    Musl(musl::Musl),
}

impl Rules {
    /// Name of the C library.
    pub fn libc(&self) -> &'static str {
        match self {
            Self::Glibc(_) => "glibc",
            Self::Musl(_) => "musl",
        }
    }

    /// Resolves one request.
    pub fn request(&self, scene: &Scene<'_>, map: &LinkMap, name: &OsStr, by: usize) -> Answer {
        match self {
            Self::Glibc(rules) => rules.request(scene, map, name, by),
            Self::Musl(rules) => rules.request(scene, map, name, by),
        }
    }

    /// The names that an object matches once it is loaded, besides those by which it is
    /// requested.
    fn own_names(&self, loaded: &Loaded) -> Vec<OsString> {
        match self {
            Self::Glibc(_) => glibc::Glibc::own_names(loaded),
            Self::Musl(_) => musl::Musl::own_names(loaded),
        }
    }

    /// The names that a loaded object matches after it was found again, by `name` at
    /// `path`.
    fn further_names(&self, loaded: &Loaded, name: &OsStr, path: &Path) -> Vec<OsString> {
        match self {
            Self::Glibc(_) => glibc::Glibc::further_names(name, path),
            Self::Musl(_) => musl::Musl::further_names(loaded, name),
        }
    }

    /// Hardware capability subdirectories, best first.
    pub fn variants(&self) -> &[&'static str] {
        match self {
            Self::Glibc(rules) => rules.levels,
            Self::Musl(_) => &[],
        }
    }

    /// Libraries to preload, each with the variable or file that names it.
    pub fn preloads(&self, scene: &Scene<'_>) -> Vec<(OsString, &'static str)> {
        match self {
            Self::Glibc(_) => glibc::preloads(scene),
            Self::Musl(_) => musl::preloads(scene),
        }
    }

    /// The loader's default directories, in search order.
    pub fn system_folders(&self) -> &[PathBuf] {
        match self {
            Self::Glibc(rules) => &rules.system.folders,
            Self::Musl(rules) => &rules.folders,
        }
    }

    /// The configuration files that this loader reads, other than the cache.
    pub fn configuration(&self) -> Vec<&Path> {
        match self {
            Self::Glibc(_) => vec![Path::new(glibc::PRELOAD_FILE)],
            Self::Musl(rules) => vec![&rules.path_file],
        }
    }

    /// A loader cache with these entries for the image, and its path; `None` for a loader
    /// without a cache.
    pub fn write_cache(&self, entries: &[(OsString, PathBuf)]) -> Option<(&'static Path, Vec<u8>)> {
        match self {
            Self::Glibc(rules) => Some((Path::new(cache::PATH), rules.write_cache(entries))),
            Self::Musl(_) => None,
        }
    }

    /// Expands a search-path element as this loader would for an object whose
    /// `$ORIGIN` is `origin`; `None` when the loader drops it.
    pub fn expand(&self, element: &OsStr, origin: &Path) -> Option<OsString> {
        match self {
            Self::Glibc(rules) => Some(rules.tokens(origin).expand(element)),
            Self::Musl(_) => tokens::expand_musl(element, origin),
        }
    }
}

/// Context that is the same for all requests of one program.
pub struct Scene<'a> {
    /// The file tree.
    pub view: &'a View,
    /// The loader's environment.
    pub environment: &'a Environment,
    /// The program's target, which libraries have to match.
    pub target: Target,
}
