//! A file tree held in memory: for unit tests and for generated graphs.
//!
//! In: paths and contents. Out: a [`Vfs`] whose file IDs are assigned in insertion
//! order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Errno, FileId, Metadata, NodeKind, Owner, Vfs};
use crate::bytes::ReadAt;

enum MemoryNode {
    File(Arc<Vec<u8>>, FileId),
    Directory,
    Symlink(PathBuf),
}

/// A tree of files in memory.
#[derive(Default)]
pub struct MemoryVfs {
    nodes: BTreeMap<PathBuf, MemoryNode>,
    next: u64,
}

impl MemoryVfs {
    /// An empty root.
    pub fn new() -> Self {
        let mut vfs = Self::default();
        vfs.nodes.insert(PathBuf::from("/"), MemoryNode::Directory);
        vfs
    }

    /// Adds a file and its parent directories.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        let path = path.into();
        self.folders_above(&path);
        self.next += 1;
        let id = FileId {
            volume: u64::MAX,
            number: self.next,
        };
        self.nodes
            .insert(path, MemoryNode::File(Arc::new(content.into()), id));
        self
    }

    /// Adds a symbolic link and its parent directories.
    #[must_use]
    pub fn symlink(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.folders_above(&path);
        self.nodes.insert(path, MemoryNode::Symlink(target.into()));
        self
    }

    fn folders_above(&mut self, path: &Path) {
        for folder in path.ancestors().skip(1) {
            self.nodes
                .entry(folder.to_path_buf())
                .or_insert(MemoryNode::Directory);
        }
    }
}

impl Vfs for MemoryVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let (kind, id, size) = match self.nodes.get(path).ok_or(Errno::NotFound)? {
            MemoryNode::File(content, id) => (NodeKind::File, *id, content.len() as u64),
            MemoryNode::Directory => (NodeKind::Directory, FOLDER, 0),
            MemoryNode::Symlink(_) => (NodeKind::Symlink, FOLDER, 0),
        };
        Ok(Metadata {
            kind,
            mode: 0o755,
            owner: Owner::default(),
            has_capabilities: false,
            id,
            size,
        })
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        match self.nodes.get(path) {
            Some(MemoryNode::Symlink(target)) => Ok(target.clone()),
            Some(_) => Err(Errno::Other(rustix::io::Errno::INVAL.raw_os_error())),
            None => Err(Errno::NotFound),
        }
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        match self.nodes.get(path) {
            Some(MemoryNode::Directory) => {}
            Some(_) => return Err(Errno::NotADirectory),
            None => return Err(Errno::NotFound),
        }
        Ok(self
            .nodes
            .keys()
            .filter(|node| node.parent() == Some(path))
            .filter_map(|node| node.file_name().map(OsString::from))
            .collect())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        match self.nodes.get(path) {
            Some(MemoryNode::File(content, _)) => Ok(Box::new(content.clone())),
            Some(_) => Err(Errno::Other(rustix::io::Errno::ISDIR.raw_os_error())),
            None => Err(Errno::NotFound),
        }
    }
}

/// Directories and links have no content, so they share one ID.
const FOLDER: FileId = FileId {
    volume: u64::MAX,
    number: 0,
};
