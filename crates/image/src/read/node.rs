//! A node of an image's tree, and where its bytes are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::keep::Kept;
use super::sparse::{SparseFile, SparseMap};
use slimpack_vfs::bytes::{ReadAt, Slice};
use slimpack_vfs::{Errno, HostVfs, NodeKind, Vfs};

/// The kind of file, according to its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The ELF magic number.
    Elf,
    /// `#!`.
    Script,
    /// Anything else.
    Other,
}

impl Head {
    /// Bytes that [`Self::of`] looks at.
    pub const LENGTH: usize = 4;

    /// Detects it from the first bytes of a file.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [b'#', b'!', ..] => Self::Script,
            _ => Self::Other,
        }
    }
}

/// Where the bytes of a file are.
#[derive(Clone)]
pub(super) enum Data {
    /// It has no data.
    None,
    /// In an uncompressed layer.
    InPlace(Slice),
    /// In an uncompressed layer, as a sparse file.
    Sparse(Slice, Arc<SparseMap>),
    /// In memory, as far as they are needed.
    Kept(Arc<Kept>),
    /// In a file of this machine.
    Host(Arc<HostVfs>, PathBuf),
}

/// Type and content of a node.
#[derive(Clone)]
pub(super) enum NodeContent {
    File(Data),
    Directory(BTreeMap<OsString, Child>),
    Symlink(PathBuf),
    Special,
}

/// An entry of a directory. Hard links are several entries for one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub node: u32,
    /// The layer that added the name.
    pub layer: u32,
}

/// A file, directory, link or device.
#[derive(Clone)]
pub struct Node {
    /// Permission bits (`07777`). Those of the group are what it may do under the access control
    /// list that the file has in its layer.
    pub mode: u32,
    /// User ID of its owner.
    pub uid: u64,
    /// Group ID.
    pub gid: u64,
    /// When it was last changed, in seconds since 1970.
    pub mtime: u64,
    /// Size in bytes; 0 unless it is a file.
    pub size: u64,
    /// The layer that it comes from; the lowest is 0.
    pub layer: u32,
    /// The attribute `security.capability` (`capabilities(7)`), at most
    /// [`slimpack_vfs::MAX_CAPABILITIES`] bytes.
    pub capabilities: Option<Box<[u8]>>,
    /// Whether its access control list gives rights to users or groups by name, which no other image has.
    pub names_others: bool,
    pub(super) content: NodeContent,
    pub(super) head: Option<Head>,
    pub(super) fingerprint: Option<u128>,
}

impl Node {
    /// The kind of node.
    pub fn kind(&self) -> NodeKind {
        match self.content {
            NodeContent::File(_) => NodeKind::File,
            NodeContent::Directory(_) => NodeKind::Directory,
            NodeContent::Symlink(_) => NodeKind::Symlink,
            NodeContent::Special => NodeKind::Special,
        }
    }

    pub(super) fn is_sparse(&self) -> bool {
        matches!(self.content, NodeContent::File(Data::Sparse(..)))
    }

    /// The target of a symbolic link.
    pub fn target(&self) -> Option<&PathBuf> {
        match &self.content {
            NodeContent::Symlink(target) => Some(target),
            _ => None,
        }
    }

    /// Opens a file for ranged reads.
    ///
    /// # Errors
    /// The error number of `open(2)`; `EINVAL` when it is not a file.
    pub fn open(&self) -> Result<Box<dyn ReadAt>, Errno> {
        let NodeContent::File(data) = &self.content else {
            return Err(Errno::Other(rustix::io::Errno::INVAL.raw_os_error()));
        };
        Ok(match data {
            Data::None => Box::new(Vec::new()),
            Data::InPlace(slice) => Box::new(slice.clone()),
            Data::Sparse(stored, map) => Box::new(SparseFile {
                stored: stored.clone(),
                map: map.clone(),
            }),
            Data::Kept(kept) => Box::new(kept.clone()),
            Data::Host(host, path) => return host.open(path),
        })
    }

    /// The kind of file, according to its first bytes.
    pub fn head(&self) -> Head {
        let read = || {
            let start = self.open().ok()?.prefix(0, Head::LENGTH as u64).ok()?;
            Some(Head::of(&start))
        };
        self.head.or_else(read).unwrap_or(Head::Other)
    }
}
