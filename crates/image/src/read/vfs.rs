//! The tree of an image as a [`Vfs`]: what loaders and rules see.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::Tree;
use slimpack_vfs::bytes::ReadAt;
use slimpack_vfs::{Attributes, Errno, FileId, Metadata, Owner, Vfs};

/// An image's files.
pub struct ImageVfs(pub Arc<Tree>);

impl Vfs for ImageVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let (number, node) = self.0.node(path.as_os_str().as_bytes())?;
        Ok(Metadata {
            kind: node.kind(),
            mode: node.mode,
            // An ID of more than 32 bits belongs to no user.
            owner: Owner {
                uid: u32::try_from(node.uid).unwrap_or(u32::MAX),
                gid: u32::try_from(node.gid).unwrap_or(u32::MAX),
            },
            has_capabilities: node.capabilities.is_some(),
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

    fn attributes(&self, path: &Path, _: FileId) -> Attributes {
        let node = self.0.node(path.as_os_str().as_bytes()).ok();
        let capabilities = node.and_then(|(_, node)| node.capabilities.as_deref());
        Attributes {
            capabilities: capabilities.map(<[u8]>::to_vec),
            // The mode of a node already has the access control list applied.
            access_list: None,
        }
    }
}
