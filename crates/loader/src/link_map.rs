//! The link map: the loader's list of loaded objects and the names they match.
//!
//! In: objects in load order. Out: lookup by name and by identity, as in
//! `_dl_map_object` (glibc) and `load_library` (musl).

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashMap;

use super::Rules;
use super::candidate::Tried;
use super::search_path::{Folder, SearchPaths};
use slimpack_elf::Object;
use slimpack_vfs::{FileId, Walk};

/// The rule that found an object. Indices are those of the [`LinkMap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundVia {
    /// The object is the program itself.
    Program,
    /// The object is the file that `PT_INTERP` names.
    Interpreter,
    /// The name contains a `/`: a path, opened as it is.
    Path,
    /// An element of `DT_RPATH` of the object `owner`.
    Rpath {
        /// Index of the object that has the tag.
        owner: usize,
        /// The element as written in the tag, unexpanded.
        element: OsString,
    },
    /// An element of `DT_RUNPATH` of the object `owner` (always the requester for glibc).
    Runpath {
        /// Index of the object that has the tag.
        owner: usize,
        /// The element as written in the tag, unexpanded.
        element: OsString,
    },
    /// A directory given with `-L`.
    Extra,
    /// An element of `LD_LIBRARY_PATH`, unexpanded.
    LibraryPath(OsString),
    /// `/etc/ld.so.cache`.
    Cache,
    /// A default directory of the loader.
    SystemFolder,
    /// A directory listed in musl's path file.
    PathFile,
    /// A hardware capability subdirectory, such as `glibc-hwcaps/x86-64-v3`, of a directory
    /// found by another rule.
    Variant {
        /// The rule that found the directory.
        inner: Box<FoundVia>,
        /// The subdirectory, such as `glibc-hwcaps/x86-64-v3`.
        subfolder: &'static str,
    },
}

impl FoundVia {
    /// Whether the result is at the same path wherever the program is installed.
    pub fn keeps_its_path(&self) -> bool {
        matches!(
            self,
            Self::Cache | Self::SystemFolder | Self::PathFile | Self::Interpreter
        )
    }

    /// The rule as text, for an object requested by `requester`; `path_of` gives the path of
    /// an object. Example: `RPATH $ORIGIN/../lib of /opt/app/bin/app`.
    pub fn rule(&self, requester: usize, path_of: &dyn Fn(usize) -> PathBuf) -> String {
        let tagged = |tag: &str, owner: usize, element: &OsStr| {
            let element = element.display();
            if owner == requester {
                format!("{tag} {element}")
            } else {
                format!("{tag} {element} of {}", path_of(owner).display())
            }
        };
        match self {
            Self::Program => "program".into(),
            Self::Interpreter => "interpreter".into(),
            Self::Path => "path in the name".into(),
            Self::Rpath { owner, element } => tagged("RPATH", *owner, element),
            Self::Runpath { owner, element } => tagged("RUNPATH", *owner, element),
            Self::Extra => "-L".into(),
            Self::LibraryPath(element) => format!("LD_LIBRARY_PATH {}", element.display()),
            Self::Cache => "ld.so.cache".into(),
            Self::SystemFolder => "system folder".into(),
            Self::PathFile => "musl path file".into(),
            Self::Variant { inner, subfolder } => {
                format!("{subfolder} below {}", inner.rule(requester, path_of))
            }
        }
    }
}

/// One object in the process.
#[derive(Debug)]
pub struct Loaded {
    /// The path by which it was opened.
    pub opened_as: PathBuf,
    /// That path, resolved.
    pub walk: Arc<Walk>,
    /// The parsed ELF object.
    pub object: Arc<Object>,
    /// The name under which it was first requested.
    pub requested_as: OsString,
    /// The object that requested it first: its "loader" in glibc's terms.
    pub requester: Option<usize>,
    /// The rule that found it.
    pub via: FoundVia,
    /// What was tried before it was found.
    pub tried: Tried,
    /// Its own contribution to a search, computed once.
    pub(super) paths: OnceCell<SearchPaths>,
    /// Search directories inherited from it and its loaders, computed once.
    pub(super) chain: OnceCell<Arc<[Folder]>>,
}

impl Loaded {
    /// An object about to be added to a [`LinkMap`].
    pub fn new(
        opened_as: PathBuf,
        walk: Arc<Walk>,
        object: Arc<Object>,
        requested_as: OsString,
        requester: Option<usize>,
        via: FoundVia,
    ) -> Self {
        Self {
            opened_as,
            walk,
            object,
            requested_as,
            requester,
            via,
            tried: Tried::default(),
            paths: OnceCell::new(),
            chain: OnceCell::new(),
        }
    }

    /// The value of `$ORIGIN` for it: the directory of the real path for the program, of
    /// the path by which it was opened for a library.
    pub fn origin(&self) -> &Path {
        let path = match self.via {
            FoundVia::Program => &self.walk.real,
            _ => &self.opened_as,
        };
        path.parent().unwrap_or(Path::new("/"))
    }
}

/// Everything loaded so far. Index 0 is the program.
#[derive(Debug, Default)]
pub struct LinkMap {
    objects: Vec<Loaded>,
    by_name: HashMap<OsString, usize>,
    by_id: HashMap<FileId, usize>,
}

impl LinkMap {
    /// The objects in the order in which they were loaded.
    pub fn objects(&self) -> &[Loaded] {
        &self.objects
    }

    /// The map of a program that has no loader.
    pub fn of_static(program: Loaded) -> Self {
        Self {
            objects: vec![program],
            ..Self::default()
        }
    }

    /// Adds an object; returns its index.
    pub fn add(&mut self, rules: &Rules, loaded: Loaded) -> usize {
        let index = self.objects.len();
        for name in rules.own_names(&loaded) {
            self.by_name.entry(name).or_insert(index);
        }
        // musl compares files with the libraries only, not with the program.
        if index > 0 || rules.libc() == "glibc" {
            self.by_id.entry(loaded.walk.metadata.id).or_insert(index);
        }
        self.objects.push(loaded);
        index
    }

    /// Adds another name by which a loaded object was found at `path`, if its loader records
    /// that.
    pub fn also_known_as(&mut self, rules: &Rules, index: usize, name: &OsStr, path: &Path) {
        for name in rules.further_names(&self.objects[index], name, path) {
            self.by_name.entry(name).or_insert(index);
        }
    }

    /// The object that matches `name`.
    pub fn named(&self, name: &OsStr) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The object that matches `name`, and the name as stored in the map.
    pub fn entry_named(&self, name: &OsStr) -> Option<(&OsStr, usize)> {
        let (name, index) = self.by_name.get_key_value(name)?;
        Some((name, *index))
    }

    /// The object with this identity.
    pub fn with_id(&self, id: FileId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}
