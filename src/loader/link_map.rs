//! What is loaded: the loader's list of objects and the names they answer to.
//!
//! In: objects in the order in which they are loaded. Out: look-up by name and by
//! identity, as `_dl_map_object` (glibc) and `load_library` (musl) do it.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashMap;

use super::Rules;
use super::candidate::Tried;
use super::search_path::{Folder, SearchPaths};
use crate::elf::Object;
use crate::vfs::{FileId, Walk};

/// The rule that found an object. Indices are those of the [`LinkMap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundVia {
    /// It is the program.
    Program,
    /// It is the file that `PT_INTERP` names.
    Interpreter,
    /// The name has a `/`: a path, opened as it is.
    Path,
    /// An element of `DT_RPATH` of the object `owner`.
    Rpath {
        /// Whose.
        owner: usize,
        /// The element as it is written.
        element: OsString,
    },
    /// An element of `DT_RUNPATH` of the object `owner` (always the requester for glibc).
    Runpath {
        /// Whose.
        owner: usize,
        /// The element as it is written.
        element: OsString,
    },
    /// A folder of `-L`.
    Extra,
    /// An element of `LD_LIBRARY_PATH`, as it is written.
    LibraryPath(OsString),
    /// `/etc/ld.so.cache`.
    Cache,
    /// A folder that the loader searches by itself.
    SystemFolder,
    /// A folder named in musl's path file.
    PathFile,
    /// A subfolder for better machines, such as `glibc-hwcaps/x86-64-v3`, of a folder
    /// that another rule leads to.
    Variant {
        /// That rule.
        inner: Box<FoundVia>,
        /// The subfolder.
        subfolder: &'static str,
    },
}

impl FoundVia {
    /// Whether what is found this way is found at the same path wherever the program stands.
    pub fn keeps_its_path(&self) -> bool {
        matches!(
            self,
            Self::Cache | Self::SystemFolder | Self::PathFile | Self::Interpreter
        )
    }

    /// The rule in words, for the object that `requester` asked for; `path_of` gives the
    /// path of an object. `RPATH $ORIGIN/../lib of /opt/app/bin/app`.
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
    /// The path under which it was opened.
    pub opened_as: PathBuf,
    /// Where that path leads.
    pub walk: Arc<Walk>,
    /// The facts of the object.
    pub object: Arc<Object>,
    /// The name under which it was first requested.
    pub requested_as: OsString,
    /// The object that requested it first: its "loader" in glibc's words.
    pub requester: Option<usize>,
    /// The rule that found it.
    pub via: FoundVia,
    /// What was tried before it was found.
    pub tried: Tried,
    /// What it brings into a search.
    pub(super) paths: OnceCell<SearchPaths>,
    /// What it and its loaders pass on.
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

    /// What `$ORIGIN` is for it: the folder of the real path for the program, of
    /// the path as it was opened for a library.
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

    /// Lets a loaded object answer to the further name under which it was found at
    /// `path`, as far as its loader remembers it.
    pub fn also_known_as(&mut self, rules: &Rules, index: usize, name: &OsStr, path: &Path) {
        for name in rules.further_names(&self.objects[index], name, path) {
            self.by_name.entry(name).or_insert(index);
        }
    }

    /// The object that answers to `name`.
    pub fn named(&self, name: &OsStr) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The object that answers to `name`, and the name as the map holds it.
    pub fn entry_named(&self, name: &OsStr) -> Option<(&OsStr, usize)> {
        let (name, index) = self.by_name.get_key_value(name)?;
        Some((name, *index))
    }

    /// The object with this identity.
    pub fn with_id(&self, id: FileId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}
