//! What an image depends on: the files of this machine whose change requires a rebuild.
//!
//! In: the closures and the tree of an image, and the directories that were added. Out: files,
//! links and directories by their path on this machine, and the paths whose appearance would
//! change the result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::closure::Closure;
use crate::loader::{LD_SO_CACHE, Loaded, Outcome, Tried};
use crate::rootfs::{Content, Rootfs};
use crate::source::Source;
use crate::vfs::{Errno, NodeKind, Walk};

/// Everything that an image depends on. Paths are those of this machine.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Regular files, and symbolic links to them.
    pub files: BTreeSet<PathBuf>,
    /// Directories whose entries matter: added ones, and those that globs were matched in.
    pub folders: BTreeSet<PathBuf>,
    /// Directories that were added with everything in them.
    pub added: BTreeSet<PathBuf>,
    /// Links to directories in the path of a file, with their targets.
    pub folder_links: BTreeMap<PathBuf, PathBuf>,
    /// Earlier candidates of a search that do not exist.
    pub absent: BTreeSet<PathBuf>,
}

impl Inputs {
    /// Adds what a loader reads and searches for to load one program.
    pub fn add_closure(&mut self, source: &Source, closure: &Closure) {
        let aliases = closure
            .edges
            .iter()
            .filter_map(|edge| edge.alias.as_deref());
        let objects = closure.map.objects().iter().chain(&closure.variants);
        for object in objects.chain(aliases) {
            self.add_object(source, object);
        }
        for missing in &closure.missing {
            self.add_tried(source, &missing.tried);
        }
        let configuration = closure.rules.as_ref().map(|rules| rules.configuration());
        let cache = closure
            .rules
            .as_ref()
            .filter(|rules| rules.libc() == "glibc");
        let cache = cache.map(|_| Path::new(LD_SO_CACHE));
        for path in configuration.into_iter().flatten().chain(cache) {
            if let Ok(walk) = source.view.walk(path) {
                self.add_way(source, path, &walk);
            }
        }
    }

    /// Adds the dependencies of another image.
    pub fn extend(&mut self, other: &Self) {
        self.files.extend(other.files.iter().cloned());
        self.folders.extend(other.folders.iter().cloned());
        self.added.extend(other.added.iter().cloned());
        let links = other.folder_links.iter();
        self.folder_links
            .extend(links.map(|(at, target)| (at.clone(), target.clone())));
        self.absent.extend(other.absent.iter().cloned());
    }

    /// Adds the files of an image that do not come from a closure.
    pub fn add_rootfs(&mut self, source: &Source, rootfs: &Rootfs) {
        for (_, node) in rootfs.nodes() {
            let Content::File(file) = &node.content else {
                continue;
            };
            if let Some(walk) = file.walk() {
                self.add_way(source, &walk.real, walk);
            }
        }
    }

    /// Adds the image that files are taken from, if it is a file or directory of this machine.
    pub fn add_image(&mut self, image: &Path) {
        if let Ok(image) = image.canonicalize() {
            match image.is_dir() {
                true => self.folders.insert(image),
                false => self.files.insert(image),
            };
        }
    }

    /// Adds a file by the path under which it was requested.
    pub fn add_path(&mut self, source: &Source, path: &Path) {
        if let Ok(walk) = source.view.walk(path) {
            self.add_way(source, path, &walk);
        }
    }

    /// Adds a directory that was added with everything in it.
    pub fn add_folder(&mut self, source: &Source, path: &Path) {
        self.added.insert(source.host_path(path));
        self.folders.insert(source.host_path(path));
    }

    /// Adds a directory that a glob was matched in.
    pub fn add_globbed(&mut self, source: &Source, path: &Path) {
        let real = source.view.walk(path).map(|walk| walk.real.clone());
        self.folders
            .insert(source.host_path(real.as_deref().unwrap_or(path)));
    }

    fn add_object(&mut self, source: &Source, object: &Loaded) {
        self.add_way(source, &object.opened_as, &object.walk);
        self.add_tried(source, &object.tried);
    }

    /// Adds a file by its path, by its real path, and by the links between them.
    fn add_way(&mut self, source: &Source, path: &Path, walk: &Walk) {
        self.files.insert(source.host_path(&walk.real));
        // Outside its root, an absolute link resolves to another file.
        if source.is_host() {
            self.files.insert(path.to_path_buf());
        }
        for link in &walk.links {
            let leads_to = source.view.walk(&link.at).map(|walk| walk.metadata.kind);
            let at = source.host_path(&link.at);
            match leads_to {
                Ok(NodeKind::File) if source.is_host() => {
                    self.files.insert(at);
                }
                // Links such as `/lib -> usr/lib` change only with the distribution.
                _ if link.at.parent() == Some(Path::new("/")) => {}
                _ => {
                    self.folder_links.insert(at, link.target.clone());
                }
            }
        }
    }

    fn add_tried(&mut self, source: &Source, tried: &Tried) {
        for attempt in &tried.attempts {
            match (&attempt.outcome, source.view.walk(&attempt.path)) {
                (Outcome::Absent(Errno::NotFound | Errno::NotADirectory), _) | (_, Err(_)) => {
                    self.absent.insert(source.host_path(&attempt.path));
                }
                // It exists, but was skipped because of its contents.
                (_, Ok(walk)) if walk.metadata.kind == NodeKind::File => {
                    self.add_way(source, &attempt.path, &walk);
                }
                (_, Ok(_)) => {}
            }
        }
    }
}
