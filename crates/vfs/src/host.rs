//! The host's files below one root directory.
//!
//! In: a root (`/` or `--root DIR`). Out: a [`Vfs`] whose `/` is that directory. It
//! never follows a link itself, so an absolute link in a sysroot cannot escape.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno as Raw;

use super::{Errno, FileId, Metadata, NodeKind, Vfs};
use crate::bytes::{self, ReadAt};

/// The files below one directory of this machine.
#[derive(Debug)]
pub struct HostVfs {
    root: PathBuf,
}

impl HostVfs {
    /// A tree whose `/` is the directory `root`, an absolute path without links.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn on_host<'p>(&self, path: &'p Path) -> std::borrow::Cow<'p, Path> {
        if self.root == Path::new("/") {
            return path.into();
        }
        let mut host = self.root.clone();
        host.extend(
            path.components()
                .filter(|c| matches!(c, Component::Normal(_))),
        );
        host.into()
    }
}

impl Vfs for HostVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        let found = fs::symlink_metadata(self.on_host(path)).map_err(errno)?;
        Ok(metadata(&found))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        fs::read_link(self.on_host(path)).map_err(errno)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        let mut names = fs::read_dir(self.on_host(path))
            .map_err(errno)?
            .map(|entry| entry.map(|e| e.file_name()).map_err(errno))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        // O_NONBLOCK: a fifo put in place of a library must not hang the reader.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(
                (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32,
            )
            .open(self.on_host(path))
            .map_err(errno)?;
        let file = HostFile::new(file).map_err(errno)?;
        Ok(Box::new(file))
    }

    fn has_capabilities(&self, path: &Path) -> bool {
        let mut value = [0_u8; 64];
        let name = "security.capability";
        rustix::fs::lgetxattr(self.on_host(path).as_ref(), name, &mut value[..]).is_ok()
    }
}

/// An open file of this machine.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    size: u64,
}

impl HostFile {
    /// Wraps `file`, whose size must not change afterwards.
    ///
    /// # Errors
    /// When its size cannot be determined.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for HostFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        bytes::read_at(&self.file, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn metadata(found: &fs::Metadata) -> Metadata {
    let kind = if found.is_file() {
        NodeKind::File
    } else if found.is_dir() {
        NodeKind::Directory
    } else if found.is_symlink() {
        NodeKind::Symlink
    } else {
        NodeKind::Special
    };
    Metadata {
        kind,
        mode: found.mode() & 0o7777,
        has_capabilities: false,
        id: FileId {
            volume: found.dev(),
            number: found.ino(),
        },
        size: found.len(),
    }
}

fn errno(error: io::Error) -> Errno {
    match Raw::from_io_error(&error) {
        Some(Raw::NOENT) => Errno::NotFound,
        Some(Raw::ACCESS) => Errno::AccessDenied,
        Some(Raw::NOTDIR) => Errno::NotADirectory,
        Some(Raw::LOOP) => Errno::TooManyLinks,
        Some(Raw::NAMETOOLONG) => Errno::NameTooLong,
        Some(other) => Errno::Other(other.raw_os_error()),
        // No error number: a name with a NUL byte, which no file can have.
        None => Errno::NotFound,
    }
}
