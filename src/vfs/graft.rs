//! A root with this machine's files grafted into it at a path of their own.
//!
//! In: the tree of `--root DIR`. Out: the same tree, plus the host under
//! [`Grafted::POINT`]. A program that lies outside the root, and the folders of `-L`, are
//! the host's; everything that an ELF file names by an absolute path is the
//! root's. Since no ELF file names the graft point, neither can reach the other
//! by accident.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Errno, HostVfs, Metadata, Vfs};
use crate::bytes::ReadAt;

/// A tree with the host's files under [`Grafted::POINT`].
pub struct Grafted {
    root: Box<dyn Vfs>,
    host: HostVfs,
}

impl Grafted {
    /// Where the host's files stand. The control character keeps it apart from
    /// any path that an ELF file, a loader configuration or a person would write.
    pub const POINT: &'static str = "/\u{1}host";

    /// `root` with the whole host grafted in.
    pub fn new(root: Box<dyn Vfs>) -> Self {
        Self {
            root,
            host: HostVfs::new("/"),
        }
    }

    /// The path under which the host's file `path` is found here.
    pub fn path_of(path: &Path) -> PathBuf {
        let mut grafted = PathBuf::from(Self::POINT);
        grafted.push(path.strip_prefix("/").unwrap_or(path));
        grafted
    }

    /// The host's own path for a grafted one; any other path as it is.
    pub fn host_path(path: &Path) -> PathBuf {
        match path.strip_prefix(Self::POINT) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_path_buf(),
        }
    }

    /// Whether `path` is one of the host's.
    pub fn is_grafted(path: &Path) -> bool {
        path.starts_with(Self::POINT)
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
}
