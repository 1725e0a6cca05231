//! A root with this machine's files grafted in at a separate mount point.
//!
//! In: the tree of `--root DIR`. Out: the same tree, plus the host under a mount point. A
//! program outside the root and the `-L` directories come from the host; everything that an
//! ELF file, a link or a configuration file of the root names comes from the root. The mount
//! point has a different name in every process, so that nothing in the root can name it, and
//! `..` does not lead out of it.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Attributes, Errno, FileId, HostVfs, Metadata, Vfs};
use crate::bytes::ReadAt;

/// A tree with the host's files under a mount point.
pub struct Grafted {
    root: Box<dyn Vfs>,
    host: HostVfs,
}

impl Grafted {
    /// The mount point of the host's files: a name that a hostile root cannot guess. It never
    /// appears in an image or a message.
    fn point() -> &'static Path {
        static POINT: OnceLock<PathBuf> = OnceLock::new();
        POINT.get_or_init(|| {
            // The standard library's only source of randomness; it is meant to resist hostile
            // input.
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

    /// The grafted path of the host's file `path`.
    pub fn path_of(path: &Path) -> PathBuf {
        let mut grafted = Self::point().to_path_buf();
        grafted.push(path.strip_prefix("/").unwrap_or(path));
        grafted
    }

    /// The host path for a grafted path; any other path unchanged.
    pub fn host_path(path: &Path) -> PathBuf {
        match path.strip_prefix(Self::point()) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_path_buf(),
        }
    }

    /// Whether `path` belongs to the host.
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
        // An absolute link on the host is relative to the host's root.
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

    fn attributes(&self, path: &Path, id: FileId) -> Attributes {
        let (tree, path) = self.at(path);
        tree.attributes(&path, id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::View;
    use super::super::memory::MemoryVfs;
    use super::*;
    use crate::Memo;

    fn view(root: MemoryVfs) -> View {
        let grafted = Grafted::new(Box::new(root));
        View::new(Box::new(grafted), Arc::new(Memo::default()))
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
