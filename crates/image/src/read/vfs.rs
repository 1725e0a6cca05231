//! The tree of an image as a [`Vfs`]: what loaders and rules see.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::Tree;
use slimpack_vfs::bytes::ReadAt;
use slimpack_vfs::{Errno, Metadata, Vfs};

/// An image's files.
pub struct ImageVfs(pub Arc<Tree>);

impl Vfs for ImageVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let (number, node) = self.0.node(path.as_os_str().as_bytes())?;
        Ok(Metadata {
            kind: node.kind(),
            mode: node.mode,
            has_capabilities: node.has_capabilities,
            id: self.0.id(number),
            size: node.size,
        })
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        let (_, node) = self.0.node(path.as_os_str().as_bytes())?;
        let invalid = Errno::Other(rustix::io::Errno::INVAL.raw_os_error());
        node.target().cloned().ok_or(invalid)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        let (number, _) = self.0.node(path.as_os_str().as_bytes())?;
        let children = self.0.children(number).ok_or(Errno::NotADirectory)?;
        Ok(children.keys().cloned().collect())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        let (_, node) = self.0.node(path.as_os_str().as_bytes())?;
        node.open()
    }
}
