//! Atomic output.
//!
//! In: a path. Out: a file that appears there whole or not at all. It is written
//! beside its place and renamed; a failure or a signal on the way removes it and leaves
//! the previous file as it was.

mod folder;
mod receipt;

pub use folder::{AtomicFolder, sync_tree};

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::bytes::is_same;
use crate::vfs::HostFile;

/// Why there is no output.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The folder to write in is not there.
    #[error("cannot write {}: the folder {} does not exist; make it first", .0.display(), .1.display())]
    NoFolder(PathBuf, PathBuf),
    /// The path is a folder.
    #[error(
        "cannot write {}: it is a folder; name a file in it, or end it in / for a root folder",
        .0.display()
    )]
    IsFolder(PathBuf),
    /// A root folder would replace what somebody has there.
    #[error(
        "cannot write {}: it is there and not empty; remove it, name another folder, or replace an \
         older root folder with --force",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// What is there was not written by slimpack, or was changed since.
    #[error(
        "cannot write {}: it is no root folder that slimpack wrote, or it was changed since; remove \
         it, or name another folder",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// Anything else.
    #[error("cannot write {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Where output goes.
#[derive(Debug)]
pub enum Output {
    /// A file that is put in place by [`AtomicFile::publish`].
    File(AtomicFile),
    /// A device or pipe: nothing to rename.
    Device(File),
}

/// A file that is not at its place yet. While it exists, signals that would end the
/// process make its writes fail instead, so that it can be removed.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
    interrupts: Interrupts,
    reserved: u64,
}

impl Output {
    /// Opens `path` for writing. A link is followed, so that the file it points to is
    /// replaced and the link stays.
    ///
    /// # Errors
    /// When the folder does not exist or cannot be written to.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let fail = |error| OutputError::Io(path.to_path_buf(), error);
        let target = match fs::canonicalize(path) {
            Ok(existing) => existing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => dangling_target(path),
            Err(error) => return Err(fail(error)),
        };
        if let Ok(found) = fs::metadata(&target) {
            let kind = found.file_type();
            if kind.is_dir() {
                return Err(OutputError::IsFolder(path.to_path_buf()));
            }
            if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
                let device = File::options().write(true).open(&target).map_err(fail)?;
                return Ok(Self::Device(device));
            }
        }
        let folder = parent(&target);
        if !folder.is_dir() {
            return Err(OutputError::NoFolder(
                path.to_path_buf(),
                folder.to_path_buf(),
            ));
        }
        let interrupts = Interrupts::hold();
        let temporary = tempfile::Builder::new()
            .prefix(".slimpack-")
            // The umask applies, as to any file that a compiler writes.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(fail)?;
        if let Ok(previous) = fs::metadata(&target) {
            // A file that is replaced stays as private as it was.
            let same = temporary.as_file().set_permissions(previous.permissions());
            same.map_err(fail)?;
        }
        Ok(Self::File(AtomicFile {
            temporary,
            target,
            interrupts,
            reserved: 0,
        }))
    }
}

/// The folder that a path stands in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Where a link leads that leads nowhere yet; any other path as it is.
fn dangling_target(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path.to_path_buf(),
    }
}

impl AtomicFile {
    /// Reserves room for `bytes`, so that a full disk is known before the work is
    /// done. It also spares the flush that ext4 does when a file without blocks
    /// replaces another (`auto_da_alloc`, ext4(5)). Filesystems that cannot reserve do
    /// without.
    ///
    /// # Errors
    /// When there is not enough room.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), OutputError> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let file = self.temporary.as_file();
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Err(full @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                Err(OutputError::Io(self.target.clone(), full.into()))
            }
            _ => {
                self.reserved = bytes;
                Ok(())
            }
        }
    }

    /// Gives the file these permission bits.
    ///
    /// # Errors
    /// When it has no owner or filesystem that takes them.
    pub fn set_mode(&self, mode: u32) -> Result<(), OutputError> {
        let file = self.temporary.as_file();
        let set = file.set_permissions(Permissions::from_mode(mode));
        set.map_err(|error| OutputError::Io(self.target.clone(), error))
    }

    /// The signal that has arrived meanwhile, if any.
    pub fn interrupted(&self) -> Option<i32> {
        self.interrupts.received()
    }

    /// Puts the file in its place, and on the disk before that (`fdatasync(2)`), the name after it: a
    /// power cut leaves the whole file, or the one before.
    ///
    /// # Errors
    /// When it cannot be written or renamed; it is removed then.
    pub fn publish_synced(self) -> Result<(), OutputError> {
        let target = self.target.clone();
        let fail = |error| OutputError::Io(target.clone(), error);
        self.temporary.as_file().sync_data().map_err(fail)?;
        self.publish()?;
        let directory = File::open(parent(&target)).map_err(fail)?;
        directory.sync_all().map_err(fail)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When it cannot be renamed; it is removed then.
    pub fn publish(self) -> Result<(), OutputError> {
        let target = self.target;
        let file = self.temporary.as_file();
        let fail = |error| OutputError::Io(target.clone(), error);
        let length = file.metadata().map_err(fail)?.len();
        if length < self.reserved {
            // Gives back what was not needed.
            file.set_len(length).map_err(fail)?;
        }
        self.temporary
            .persist(&target)
            .map(drop)
            .map_err(|error| OutputError::Io(target, error.error))
    }

    /// Whether the file that is at the place holds the same bytes already.
    ///
    /// # Errors
    /// When what was written cannot be read.
    pub fn is_same_as_before(&mut self) -> Result<bool, OutputError> {
        let fail = |error| OutputError::Io(self.target.clone(), error);
        let Ok(before) = File::open(&self.target).and_then(HostFile::new) else {
            return Ok(false);
        };
        let now = self.temporary.reopen().and_then(HostFile::new);
        is_same(&before, &now.map_err(fail)?).map_err(fail)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupts.check()?;
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.interrupts.check()?;
        self.temporary.seek(position)
    }
}

/// Holds back the signals that end a process.
#[derive(Debug)]
pub struct Interrupts {
    received: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

impl Interrupts {
    /// From now on, until it is dropped.
    pub fn hold() -> Self {
        let received = Arc::new(AtomicUsize::new(0));
        let registered = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter_map(|signal| {
                let number = usize::try_from(signal).unwrap_or_default();
                signal_hook::flag::register_usize(signal, received.clone(), number).ok()
            })
            .collect();
        Self {
            received,
            registered,
        }
    }

    /// The signal that has arrived meanwhile, if any.
    pub fn received(&self) -> Option<i32> {
        match self.received.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Interrupts {
    /// An error once a signal has arrived.
    ///
    /// # Errors
    /// That it has.
    pub fn check(&self) -> io::Result<()> {
        match self.received() {
            // Not ErrorKind::Interrupted, which writers take as "try again".
            Some(_) => Err(io::Error::other("interrupted by a signal")),
            None => Ok(()),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
