//! A root with this machine's files grafted into it at a path of their own.
//!
//! In: the tree of `--root DIR`. Out: the same tree, plus the host under a point of its
//! own. A program that lies outside the root, and the folders of `-L`, are the host's;
//! everything that an ELF file, a link or a configuration of the root names is the root's.
//! The point has another name in every process, so that none of them can name it, and `..`
//! does not lead out of it.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Errno, HostVfs, Metadata, Vfs};
use crate::bytes::ReadAt;

/// A tree with the host's files under a point of their own.
pub struct Grafted {
    root: Box<dyn Vfs>,
    host: HostVfs,
}

impl Grafted {
    /// Where the host's files stand: a name that a hostile root cannot know. It never
    /// reaches an image or a message.
    fn point() -> &'static Path {
        static POINT: OnceLock<PathBuf> = OnceLock::new();
        POINT.get_or_init(|| {
            // The standard library's one source of randomness, made for hostile input.
            let random = RandomState::new().build_hasher().finish();
            PathBuf::from(format!("/\u{1}host-{random:016x}"))
        })
    }

    /// `root` with the whole host grafted in.
    pub fn new(root: Box<dyn Vfs>) -> Self {
        Self {
            root,
            host: HostVfs::new("/"),
        }
    }

    /// The path under which the host's file `path` is found here.
    pub fn path_of(path: &Path) -> PathBuf {
        let mut grafted = Self::point().to_path_buf();
        grafted.push(path.strip_prefix("/").unwrap_or(path));
        grafted
    }

    /// The host's own path for a grafted one; any other path as it is.
    pub fn host_path(path: &Path) -> PathBuf {
        match path.strip_prefix(Self::point()) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_path_buf(),
        }
    }

    /// Whether `path` is one of the host's.
    pub fn is_grafted(path: &Path) -> bool {
        path.starts_with(Self::point())
    }

    fn at<'a>(&'a self, path: &Path) -> (&'a dyn Vfs, PathBuf) {
        if Self::is_grafted(path) {
            (&self.host, Self::host_path(path))
        } else {
            (self.root.as_ref(), path.to_path_buf())
        }
    }
}

impl Vfs for Grafted {
    fn is_root(&self, path: &Path) -> bool {
        path == Path::new("/") || path == Self::point()
    }

    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let (tree, path) = self.at(path);
        tree.lookup(&path)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        let grafted = Self::is_grafted(path);
        let (tree, path) = self.at(path);
        let target = tree.read_link(&path)?;
        // An absolute link of the host means the host's root.
        Ok(if grafted && target.is_absolute() {
            Self::path_of(&target)
        } else {
            target
        })
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        let (tree, path) = self.at(path);
        tree.read_dir(&path)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        let (tree, path) = self.at(path);
        tree.open(&path)
    }

    fn has_capabilities(&self, path: &Path) -> bool {
        let (tree, path) = self.at(path);
        tree.has_capabilities(&path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::View;
    use super::super::memory::MemoryVfs;
    use super::*;
    use crate::store::Store;

    fn view(root: MemoryVfs) -> View {
        let grafted = Grafted::new(Box::new(root));
        View::new(Box::new(grafted), Arc::new(Store::default()))
    }

    #[test]
    fn dot_dot_leads_from_the_host_to_its_own_root_and_not_into_the_other() {
        let view = view(MemoryVfs::new().file("/slimpack-root-only", ""));
        assert!(view.walk(Path::new("/slimpack-root-only")).is_ok());
        let path = Grafted::path_of(Path::new("/usr/../../../slimpack-root-only"));
        assert_eq!(view.walk(&path).unwrap_err(), Errno::NotFound);
        let host = Grafted::path_of(Path::new("/../../usr"));
        let walk = view.walk(&host).unwrap();
        assert_eq!(Grafted::host_path(&walk.real), Path::new("/usr"));
    }

    #[test]
    fn a_root_cannot_name_the_host() {
        let vfs = MemoryVfs::new()
            .symlink("/fixed", "/\u{1}host/usr")
            .symlink("/up", "../../../../usr");
        let view = view(vfs);
        for path in ["/fixed", "/up", "/\u{1}host/usr", "/../usr"] {
            assert_eq!(
                view.walk(Path::new(path)).unwrap_err(),
                Errno::NotFound,
                "{path}"
            );
        }
    }
}
