//! How the dynamic loaders of glibc and musl find libraries.
//!
//! In: a name, the object that asks for it, and what is loaded already. Out: the
//! file that the loader would map, the rule that found it, and everything tried
//! before. Nothing here reads the environment or the host: variables come in as
//! [`Environment`], files through a [`View`].

mod cache;
mod candidate;
mod glibc;
mod hwcaps;
mod interpreter;
mod link_map;
mod musl;
mod search_path;
mod system;
mod tokens;

pub use cache::{Cache, Entry as CacheEntry, MAX_SIZE as MAX_CACHE, PATH as LD_SO_CACHE};
pub use candidate::{Attempt, Outcome, Target, Tried};
pub use interpreter::{Loaders, UnknownLoader, default_interpreters, is_glibc_loader};
pub use link_map::{FoundVia, LinkMap, Loaded};
pub use system::SystemFolders;
pub use tokens::Tokens;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::vfs::{View, Walk};

/// What a loader is told beside the files.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Folders of `-L`, searched before those of `LD_LIBRARY_PATH`.
    pub extra: Vec<PathBuf>,
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// `LD_PRELOAD`.
    pub preload: Option<OsString>,
    /// The folder that relative paths start from.
    pub working_dir: PathBuf,
    /// Whether the variants of libraries for better machines count: those in
    /// `glibc-hwcaps` folders.
    pub hwcaps: bool,
    /// Whether the program runs with raised privileges (`AT_SECURE`): then the
    /// loader ignores variables and most uses of `$ORIGIN`.
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
    /// The loader's variables among `NAME=VALUE` entries; the last of a name counts.
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
    /// An object that is in the process already; its index in the [`LinkMap`].
    Loaded(usize),
    /// The kernel's own object, which is no file.
    Kernel,
    /// A file to map.
    Found(Box<Found>),
    /// A file that turns out to be an object in the process (a hard link, another link
    /// to the same file): its index, and the way that led to it.
    Same(usize, Box<Found>),
    /// No file; what was tried.
    Missing(Tried),
}

/// A file that a search found.
#[derive(Debug)]
pub struct Found {
    /// The path under which it was opened.
    pub opened_as: PathBuf,
    /// Where that path leads.
    pub walk: Arc<Walk>,
    /// The facts of the object.
    pub object: Arc<crate::elf::Object>,
    /// The rule that found it.
    pub via: FoundVia,
    /// What was tried before.
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

    /// The names that an object answers to once it is loaded, beside those under
    /// which it is requested.
    fn own_names(&self, loaded: &Loaded) -> Vec<OsString> {
        match self {
            Self::Glibc(_) => glibc::Glibc::own_names(loaded),
            Self::Musl(_) => musl::Musl::own_names(loaded),
        }
    }

    /// The names that a loaded object answers to after it was found once more, under
    /// `name` at `path`.
    fn further_names(&self, loaded: &Loaded, name: &OsStr, path: &Path) -> Vec<OsString> {
        match self {
            Self::Glibc(_) => glibc::Glibc::further_names(name, path),
            Self::Musl(_) => musl::Musl::further_names(loaded, name),
        }
    }

    /// Subfolders that hold variants of libraries for better machines, best first.
    pub fn variants(&self) -> &[&'static str] {
        match self {
            Self::Glibc(rules) => rules.levels,
            Self::Musl(_) => &[],
        }
    }

    /// Libraries to load before all others, with the name of who says so.
    pub fn preloads(&self, scene: &Scene<'_>) -> Vec<(OsString, &'static str)> {
        match self {
            Self::Glibc(_) => glibc::preloads(scene),
            Self::Musl(_) => musl::preloads(scene),
        }
    }

    /// The folders that this loader searches by itself, in order.
    pub fn system_folders(&self) -> &[PathBuf] {
        match self {
            Self::Glibc(rules) => &rules.system.folders,
            Self::Musl(rules) => &rules.folders,
        }
    }

    /// The configuration files, beside the cache, that this loader reads.
    pub fn configuration(&self) -> Vec<&Path> {
        match self {
            Self::Glibc(_) => vec![Path::new(glibc::PRELOAD_FILE)],
            Self::Musl(rules) => vec![&rules.path_file],
        }
    }

    /// The loader cache that leads an image's loader to these names, with the path it
    /// belongs at; `None` for a loader that has none.
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

/// What stays the same for all requests of one program.
pub struct Scene<'a> {
    /// The files.
    pub view: &'a View,
    /// What the loader is told.
    pub environment: &'a Environment,
    /// What the program is: libraries have to match it.
    pub target: Target,
}
