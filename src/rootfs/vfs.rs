//! The tree of the image as a [`Vfs`], in which the proof resolves.
//!
//! In: a [`Rootfs`] and the source tree of its files. Out: the paths of the image, with the file
//! identities of the source, so that nothing is parsed twice.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Content, Rootfs, RootfsNode};
use crate::bytes::ReadAt;
use crate::vfs::{Errno, FileId, Metadata, NodeKind, Owner, Vfs, View};

/// A view of a tree under construction.
pub struct RootfsVfs {
    rootfs: Arc<Rootfs>,
    source: Arc<View>,
}

impl RootfsVfs {
    /// The tree `rootfs`, whose files come from `source`.
    pub fn new(rootfs: Arc<Rootfs>, source: Arc<View>) -> Self {
        Self { rootfs, source }
    }

    fn node(&self, path: &Path) -> Result<&RootfsNode, Errno> {
        const ROOT: &RootfsNode = &RootfsNode {
            content: Content::Directory(0o755),
            owner: Owner { uid: 0, gid: 0 },
            reasons: Vec::new(),
        };
        if path == Path::new("/") {
            return Ok(ROOT);
        }
        self.rootfs.node(path).ok_or(Errno::NotFound)
    }

    fn content(&self, path: &Path) -> Result<&Content, Errno> {
        Ok(&self.node(path)?.content)
    }
}

/// The identity of all directories and links, which no loader checks.
const NO_ID: FileId = FileId {
    volume: u64::MAX,
    number: u64::MAX,
};

impl Vfs for RootfsVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let node = self.node(path)?;
        let plain = |kind, mode| Metadata {
            kind,
            mode,
            owner: node.owner,
            has_capabilities: false,
            id: NO_ID,
            size: 0,
        };
        Ok(match &node.content {
            Content::Directory(mode) => plain(NodeKind::Directory, *mode),
            Content::Symlink(_) => plain(NodeKind::Symlink, 0o777),
            Content::File(file) => Metadata {
                has_capabilities: file.capabilities.is_some(),
                id: file.id(),
                size: file.size(),
                ..plain(NodeKind::File, file.mode)
            },
        })
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        match self.content(path)? {
            Content::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::Other(rustix::io::Errno::INVAL.raw_os_error())),
        }
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        if !matches!(self.content(path)?, Content::Directory(_)) {
            return Err(Errno::NotADirectory);
        }
        Ok(self
            .rootfs
            .nodes()
            .filter(|(node, _)| node.parent() == Some(path))
            .filter_map(|(node, _)| node.file_name().map(OsString::from))
            .collect())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        match self.content(path)? {
            Content::File(file) => file.open(&self.source),
            _ => Err(Errno::Other(rustix::io::Errno::INVAL.raw_os_error())),
        }
    }
}
