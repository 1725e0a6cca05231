//! Path resolution: the only module that walks paths.
//!
//! In: a [`Vfs`] and an absolute path. Out: the real path, the node there, and every
//! symbolic link and directory on the way: an image has to keep them, so that the same
//! path leads to the same file. Every step is cached, up to a limit, so each directory is
//! looked up once per process.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use foldhash::HashMap;

use super::{Attributes, Errno, Memo, Metadata, NodeKind, Vfs};
use crate::bytes::ReadAt;

/// Symbolic links that one path may cross, as in Linux (`path_resolution(7)`).
pub const MAX_LINKS: usize = 40;
/// Longest path in bytes, without its NUL (`PATH_MAX` - 1).
const MAX_PATH: usize = 4095;
/// Longest component in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// Maximum number of walks that are cached. Most paths that are looked up do not exist, and a
/// hostile tree can name any number of them.
const MAX_WALKS: usize = if cfg!(test) { 1000 } else { 1 << 20 };

/// A symbolic link that a path crosses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Real path of the link itself.
    pub at: PathBuf,
    /// Its target as stored in the link.
    pub target: PathBuf,
}

/// The result of resolving a path.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The path without links, `.` and `..`.
    pub real: PathBuf,
    /// The node there: never a symlink.
    pub metadata: Metadata,
    /// Links crossed, in order.
    pub links: Vec<Link>,
    /// Directories entered and left again by `..`: they have to exist, too.
    pub left: Vec<PathBuf>,
}

/// A tree that caches walked paths and parsed objects.
pub struct View {
    vfs: Box<dyn Vfs>,
    memo: Arc<Memo>,
    walks: Mutex<HashMap<OsString, Result<Arc<Walk>, Errno>>>,
}

impl View {
    /// A view of `vfs` that caches parsed ELF files in `memo`.
    pub fn new(vfs: Box<dyn Vfs>, memo: Arc<Memo>) -> Self {
        Self {
            vfs,
            memo,
            walks: Mutex::default(),
        }
    }

    /// What is known about files so far, to share with another view.
    pub fn memo(&self) -> &Arc<Memo> {
        &self.memo
    }

    /// The result of type `T` about a walked file, computed once per process.
    ///
    /// # Errors
    /// What `compute` returns; an error is not remembered.
    pub fn remember<T, E>(
        &self,
        walk: &Walk,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.memo.remember(walk.metadata.id, compute)
    }

    /// Resolves `path` inside the root.
    ///
    /// # Errors
    /// The error number that `stat(2)` would give.
    pub fn walk(&self, path: &Path) -> Result<Arc<Walk>, Errno> {
        if path.as_os_str().len() > MAX_PATH {
            return Err(Errno::NameTooLong);
        }
        if let Some(known) = lock(&self.walks).get(path.as_os_str()) {
            return known.clone();
        }
        let found = self.walk_anew(path).map(Arc::new);
        self.keep(path, found.clone());
        found
    }

    fn keep(&self, path: &Path, found: Result<Arc<Walk>, Errno>) {
        let mut walks = lock(&self.walks);
        if walks.len() < MAX_WALKS {
            walks.insert(path.as_os_str().to_owned(), found);
        }
    }

    /// Opens a walked file.
    ///
    /// # Errors
    /// The error number that `open(2)` would give.
    pub fn open(&self, walk: &Walk) -> Result<Box<dyn ReadAt>, Errno> {
        self.vfs.open(&walk.real)
    }

    /// The node at a path without symbolic links in it.
    ///
    /// # Errors
    /// The error number of `lstat(2)`.
    pub fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        self.vfs.lookup(path)
    }

    /// The extended attributes of a walked file or directory, read once.
    pub fn attributes(&self, walk: &Walk) -> Attributes {
        let id = walk.metadata.id;
        let read = || Ok::<_, Infallible>(self.vfs.attributes(&walk.real, id));
        let Ok(attributes) = self.remember(walk, read);
        attributes
    }

    /// The permission bits of a walked file or directory without its access control list: never more
    /// than the owner, the owning group and others may do with it.
    pub fn mode(&self, walk: &Walk) -> u32 {
        let mode = walk.metadata.mode;
        // The list changes only the rights of the group; if it has none, there is nothing to
        // change.
        let list = || self.attributes(walk).access_list;
        match mode & 0o070 {
            0 => mode,
            _ => list().map_or(mode, |list| list.mode(mode)),
        }
    }

    /// The kind of node that `path` resolves to; `None` when it does not resolve.
    pub fn kind(&self, path: &Path) -> Option<NodeKind> {
        Some(self.walk(path).ok()?.metadata.kind)
    }

    /// The real path of the node at `path` itself: links in its parent directories are followed,
    /// the node is not.
    ///
    /// # Errors
    /// The error number that `stat(2)` gives for the parent directory.
    pub fn location(&self, path: &Path) -> Result<PathBuf, Errno> {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => Ok(self.walk(folder)?.real.join(name)),
            _ => Ok(self.walk(path)?.real.clone()),
        }
    }

    /// The target of the symbolic link at `path`; links in its parent directories are followed.
    ///
    /// # Errors
    /// The error number that `readlink(2)` would give.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        let node = self.location(path)?;
        match self.vfs.lookup(&node)?.kind {
            NodeKind::Symlink => self.vfs.read_link(&node),
            _ => Err(other(rustix::io::Errno::INVAL)),
        }
    }

    /// The names in the directory `path`, sorted.
    ///
    /// # Errors
    /// The error number that `opendir(3)` would give.
    pub fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        let walk = self.walk(path)?;
        self.vfs.read_dir(&walk.real)
    }

    /// The content of a small file such as a configuration file.
    ///
    /// # Errors
    /// The error number of the step that failed; `EFBIG` when the file holds more
    /// than `limit` bytes, `EISDIR` and the like when it is not a regular file.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, Errno> {
        let walk = self.walk(path)?;
        match walk.metadata.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(other(rustix::io::Errno::ISDIR)),
            NodeKind::Symlink | NodeKind::Special => return Err(other(rustix::io::Errno::INVAL)),
        }
        let file = self.open(&walk)?;
        if file.size() > limit {
            return Err(other(rustix::io::Errno::FBIG));
        }
        file.prefix(0, limit)
            .map_err(|_| other(rustix::io::Errno::IO))
    }

    /// Walks on from the longest cached prefix of the path, component by component; a path of
    /// two thousand components must not exhaust the stack.
    fn walk_anew(&self, path: &Path) -> Result<Walk, Errno> {
        let mut unknown = Vec::new();
        let mut prefix = path;
        let mut walk = loop {
            let mut components = prefix.components();
            match components.next_back() {
                Some(Component::RootDir | Component::Prefix(_)) | None => break self.root()?,
                Some(last) => unknown.push((prefix, last)),
            }
            prefix = components.as_path();
            if let Some(known) = lock(&self.walks).get(prefix.as_os_str()) {
                break known.clone()?.as_ref().clone();
            }
        };
        while let Some((prefix, last)) = unknown.pop() {
            walk = self.step(walk, last.as_os_str())?;
            if !unknown.is_empty() {
                self.keep(prefix, Ok(Arc::new(walk.clone())));
            }
        }
        Ok(walk)
    }

    /// Follows one component, and the chain of links if it is one.
    fn step(&self, mut walk: Walk, name: &OsStr) -> Result<Walk, Errno> {
        // Components still to be walked, the next one last.
        let mut pending = vec![name.to_owned()];
        while let Some(name) = pending.pop() {
            if walk.metadata.kind != NodeKind::Directory {
                return Err(Errno::NotADirectory);
            }
            if name == "." {
                continue;
            }
            if name == ".." {
                if !self.vfs.is_root(&walk.real) {
                    walk.left.push(walk.real.clone());
                    walk.real.pop();
                    walk.metadata = self.vfs.lookup(&walk.real)?;
                }
                continue;
            }
            if name.len() > MAX_NAME {
                return Err(Errno::NameTooLong);
            }
            let node = walk.real.join(&name);
            let metadata = self.vfs.lookup(&node)?;
            if metadata.kind != NodeKind::Symlink {
                walk.real = node;
                walk.metadata = metadata;
                continue;
            }
            if walk.links.len() == MAX_LINKS {
                return Err(Errno::TooManyLinks);
            }
            let target = self.vfs.read_link(&node)?;
            if target.is_absolute() {
                let root = self.root()?;
                walk.real = root.real;
                walk.metadata = root.metadata;
            }
            pending.extend(
                target
                    .components()
                    .rev()
                    .filter(|component| !matches!(component, Component::RootDir))
                    .map(|component| component.as_os_str().to_owned()),
            );
            walk.links.push(Link { at: node, target });
        }
        Ok(walk)
    }

    fn root(&self) -> Result<Walk, Errno> {
        Ok(Walk {
            real: PathBuf::from("/"),
            metadata: self.vfs.lookup(Path::new("/"))?,
            links: Vec::new(),
            left: Vec::new(),
        })
    }
}

fn other(error: rustix::io::Errno) -> Errno {
    Errno::Other(error.raw_os_error())
}

/// Locks the mutex even if poisoned: every insertion is one step, so a panic cannot leave the
/// map inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryVfs;
    use super::*;

    fn view(vfs: MemoryVfs) -> View {
        View::new(Box::new(vfs), Arc::new(Memo::default()))
    }

    #[test]
    fn an_absolute_link_stays_inside_the_root() {
        let view = view(
            MemoryVfs::new()
                .file("/usr/lib/libz.so.1.2", "z")
                .symlink("/lib", "/usr/lib")
                .symlink("/usr/lib/libz.so.1", "libz.so.1.2"),
        );
        let walk = view.walk(Path::new("/lib/libz.so.1")).unwrap();
        assert_eq!(walk.real, Path::new("/usr/lib/libz.so.1.2"));
        let at: Vec<_> = walk.links.iter().map(|l| l.at.as_path()).collect();
        assert_eq!(at, [Path::new("/lib"), Path::new("/usr/lib/libz.so.1")]);
    }

    #[test]
    fn any_number_of_paths_is_walked_and_only_so_many_are_kept() {
        let view = view(MemoryVfs::new().file("/a/b", ""));
        for number in 0..2 * MAX_WALKS {
            let path = format!("/a/{number}");
            let missing = view.walk(Path::new(&path)).unwrap_err();
            assert_eq!(missing, Errno::NotFound);
        }
        assert_eq!(lock(&view.walks).len(), MAX_WALKS);
        assert!(view.walk(Path::new("/a/b")).is_ok());
    }

    #[test]
    fn dot_dot_above_the_root_is_the_root() {
        let view = view(MemoryVfs::new().file("/a", "a"));
        let walk = view.walk(Path::new("/../../a")).unwrap();
        assert_eq!(walk.real, Path::new("/a"));
    }

    #[test]
    fn a_folder_left_by_dot_dot_is_remembered() {
        let view = view(
            MemoryVfs::new()
                .file("/app/bin/run", "")
                .file("/app/lib/x", ""),
        );
        let walk = view.walk(Path::new("/app/bin/../lib/x")).unwrap();
        assert_eq!(walk.real, Path::new("/app/lib/x"));
        assert_eq!(walk.left, [Path::new("/app/bin")]);
    }

    #[test]
    fn a_loop_is_eloop_and_a_file_on_the_way_is_enotdir() {
        let view = view(
            MemoryVfs::new()
                .symlink("/loop", "loop")
                .symlink("/ping", "/pong/x")
                .symlink("/pong", "/ping")
                .file("/file", ""),
        );
        for (path, errno) in [
            ("/loop", Errno::TooManyLinks),
            ("/ping/deep", Errno::TooManyLinks),
            ("/file/x", Errno::NotADirectory),
            ("/file/..", Errno::NotADirectory),
            ("/gone", Errno::NotFound),
        ] {
            assert_eq!(view.walk(Path::new(path)).unwrap_err(), errno, "{path}");
        }
    }

    #[test]
    fn forty_links_are_followed_and_forty_one_are_not() {
        let mut vfs = MemoryVfs::new().file("/l0", "");
        for n in 1..=41 {
            vfs = vfs.symlink(format!("/l{n}"), format!("l{}", n - 1));
        }
        let view = view(vfs);
        assert_eq!(
            view.walk(Path::new("/l41")).unwrap_err(),
            Errno::TooManyLinks
        );
        assert!(view.walk(Path::new("/l40")).is_ok());
        assert_eq!(
            view.walk(Path::new("/l41")).unwrap_err(),
            Errno::TooManyLinks
        );
    }

    #[test]
    fn a_path_of_two_thousand_components_needs_no_stack() {
        let path = PathBuf::from("/a".repeat(2047));
        let walk = move || view(MemoryVfs::new()).walk(&path).unwrap_err();
        let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(walk);
        assert_eq!(thread.unwrap().join().unwrap(), Errno::NotFound);
    }

    #[test]
    fn names_beyond_the_limits_of_linux_are_enametoolong() {
        let view = view(MemoryVfs::new());
        for length in [256, 5000, 10 << 20] {
            let path = PathBuf::from(format!("/{}", "n".repeat(length)));
            assert_eq!(view.walk(&path).unwrap_err(), Errno::NameTooLong);
        }
    }
}
