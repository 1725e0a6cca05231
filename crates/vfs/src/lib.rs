//! A uniform read-only view of a file tree.
//!
//! In: the host below a root directory, an image, or the rootfs that is being packed.
//! Out: what a loader could learn from it by system calls, with the same error numbers.
//! [`Vfs`] looks at one directory entry and never follows a link; only [`View`] walks
//! paths.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod access_list;
pub mod bytes;
mod capabilities;
mod graft;
mod host;
mod memo;
pub mod memory;
mod text;
mod view;

pub use access_list::{ACCESS_LIST, AccessList, MAX_ACCESS_LIST};
pub use capabilities::{CAPABILITIES, Capabilities, MAX_CAPABILITIES};
pub use graft::Grafted;
pub use host::{HostFile, HostVfs, identity};
pub use memo::Memo;
pub use text::{one_line, safe};
pub use view::{Link, MAX_LINKS, View, Walk};

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::bytes::ReadAt;

/// Identity of a file's content: device and inode on a host, the position of the member
/// in an image. Two paths with the same identity are one object to a loader (hard
/// links).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The device (`st_dev`), or the number of the layer.
    pub volume: u64,
    /// The inode (`st_ino`), or the position in the layer.
    pub number: u64,
}

/// What kind of node a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or fifo.
    Special,
}

impl NodeKind {
    /// The name used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "folder",
            Self::Symlink => "link",
            Self::Special => "special",
        }
    }
}

/// User ID and group ID of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
}

/// The fields of `lstat(2)` that a loader or an image needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File, directory, symlink or special.
    pub kind: NodeKind,
    /// Permission bits (`07777`).
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// Whether it has file capabilities (`capabilities(7)`), if the tree records them.
    pub has_capabilities: bool,
    /// Identity of the content.
    pub id: FileId,
    /// Size in bytes; meaningful for regular files.
    pub size: u64,
}

impl Metadata {
    /// Whether a program with these mode bits (setuid, setgid) or capabilities runs with more
    /// privileges than its caller.
    pub fn changes_identity(&self) -> bool {
        self.mode & 0o6000 != 0 || self.has_capabilities
    }
}

/// Why a path could not be used: the error numbers that loaders treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errno {
    /// `ENOENT`: a component does not exist.
    NotFound,
    /// `EACCES`: a component may not be searched, or the file not read.
    AccessDenied,
    /// `ENOTDIR`: a component before the last is not a directory.
    NotADirectory,
    /// `ELOOP`: more than 40 symbolic links.
    TooManyLinks,
    /// `ENAMETOOLONG`: a component over 255 bytes or a path over 4,095.
    NameTooLong,
    /// Any other error number.
    Other(i32),
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("ENOENT"),
            Self::AccessDenied => f.write_str("EACCES"),
            Self::NotADirectory => f.write_str("ENOTDIR"),
            Self::TooManyLinks => f.write_str("ELOOP"),
            Self::NameTooLong => f.write_str("ENAMETOOLONG"),
            Self::Other(number) => write!(f, "errno {number}"),
        }
    }
}

impl Errno {
    /// The message for users, similar to `strerror(3)`.
    pub fn message(self) -> String {
        match self {
            Self::NotFound => "no such file or directory".into(),
            Self::AccessDenied => "permission denied".into(),
            Self::NotADirectory => "a component of the path is not a directory".into(),
            Self::TooManyLinks => "too many levels of symbolic links".into(),
            Self::NameTooLong => "file name too long".into(),
            Self::Other(number) => std::io::Error::from_raw_os_error(number).to_string(),
        }
    }
}

/// The extended attributes that matter in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `security.capability`, with at most [`MAX_CAPABILITIES`] bytes.
    pub capabilities: Option<Vec<u8>>,
    /// `system.posix_acl_access`, if the tree does not take it into account in the mode already.
    pub access_list: Option<AccessList>,
}

/// A read-only file tree. Paths are absolute within the tree; all components but
/// the last are real directories (the caller, [`View`], has walked the links).
pub trait Vfs: Send + Sync {
    /// Whether `..` of `path` is `path` itself.
    fn is_root(&self, path: &Path) -> bool {
        path == Path::new("/")
    }

    /// The node at `path`, without following a link.
    ///
    /// # Errors
    /// The error number that `lstat(2)` would give.
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno>;

    /// The target of the symbolic link at `path`.
    ///
    /// # Errors
    /// The error number that `readlink(2)` would give.
    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno>;

    /// The names in the directory at `path`, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// The error number that `opendir(3)` would give.
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno>;

    /// Opens the regular file at `path` for ranged reads.
    ///
    /// # Errors
    /// The error number that `open(2)` would give.
    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno>;

    /// Extended attributes of the file or directory at `path`, whose identity is `id`. Separate
    /// from [`Vfs::lookup`], which would need another system call for them.
    fn attributes(&self, path: &Path, id: FileId) -> Attributes {
        let _ = (path, id);
        Attributes::default()
    }
}
