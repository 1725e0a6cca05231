//! Atomic output.
//!
//! In: a path. Out: a file that appears there complete or not at all. It is written without a name,
//! or next to its target, and then renamed; a failure or a signal before that removes it and leaves
//! the previous file unchanged. What a killed process leaves is removed by the next one that writes
//! the same output.

mod claim;
mod folder;
mod receipt;
mod temporary;
mod watch;

pub use folder::{AtomicFolder, sync_tree};
use temporary::Temporary;
use watch::Watched;
pub use watch::{Scratch, watch};

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use crate::bytes::is_same;
use crate::vfs::HostFile;

/// Why the output cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The parent directory does not exist.
    #[error("cannot write {}: the directory {} does not exist; create it first", .0.display(), .1.display())]
    NoFolder(PathBuf, PathBuf),
    /// The path is a directory.
    #[error(
        "cannot write {}: it is a directory; name a file in it, or append / for a root directory",
        .0.display()
    )]
    IsFolder(PathBuf),
    /// A root directory would replace the user's own files.
    #[error(
        "cannot write {}: it exists and is not empty; remove it, name another directory, or \
         replace an older root directory with --force",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// The existing directory was not written by slimpack, or has changed since.
    #[error(
        "cannot write {}: it is not a root directory written by slimpack, or it has changed since; \
         remove it, or name another directory",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// Any other I/O error.
    #[error("cannot write {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Where output is written.
#[derive(Debug)]
pub enum Output {
    /// A file that is renamed into place by [`AtomicFile::publish`].
    File(AtomicFile),
    /// A device or pipe: nothing to rename.
    Device(File),
}

/// A file that was not renamed into place yet. While it exists, signals that would terminate the
/// process make its writes fail instead, so that it can be removed.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: Temporary,
    target: PathBuf,
    interrupts: Interrupts,
    reserved: u64,
    /// Where the last hole ends: the file is at least this long.
    end: u64,
}

/// Runs of zeros of at least this many bytes are not written: a new file already reads as zeros
/// there.
const HOLE: usize = 64 << 10;

impl Output {
    /// Opens `path` for writing. A link is followed: the file it points to is replaced and
    /// the link is kept.
    ///
    /// # Errors
    /// When the parent directory does not exist or is not writable.
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
        let temporary = Temporary::create(&target).map_err(fail)?;
        if let Ok(previous) = fs::metadata(&target) {
            // A replaced file keeps its permissions.
            let same = temporary.file().set_permissions(previous.permissions());
            same.map_err(fail)?;
        }
        Ok(Self::File(AtomicFile {
            temporary,
            target,
            interrupts,
            reserved: 0,
            end: 0,
        }))
    }
}

/// The parent directory of a path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The final target of a dangling link, through all links on the way; any other path unchanged.
fn dangling_target(path: &Path) -> PathBuf {
    /// As in Linux (`path_resolution(7)`).
    const MAX_LINKS: usize = 40;
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = parent(&target).join(next),
            Err(_) => break,
        }
    }
    target
}

impl AtomicFile {
    /// Reserves space for `bytes`, so that a full disk is noticed before the work is done. It
    /// also avoids the flush that ext4 does when a file without blocks replaces another
    /// (`auto_da_alloc`, ext4(5)). Filesystems that cannot reserve space are left alone, and so is
    /// memory, all of which would be zeroed.
    ///
    /// # Errors
    /// When there is not enough space.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), OutputError> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let file = self.temporary.file();
        if is_memory(file) {
            return Ok(());
        }
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

    /// Sets the permission bits of the file.
    ///
    /// # Errors
    /// The error of `fchmod(2)`.
    pub fn set_mode(&self, mode: u32) -> Result<(), OutputError> {
        let file = self.temporary.file();
        let set = file.set_permissions(Permissions::from_mode(mode));
        set.map_err(|error| OutputError::Io(self.target.clone(), error))
    }

    /// The signal that has arrived, if any.
    pub fn interrupted(&self) -> Option<i32> {
        self.interrupts.received()
    }

    /// Syncs the file to disk (`fdatasync(2)`), renames it into place, and syncs the name: a power
    /// cut leaves the whole new file, or the previous one.
    ///
    /// # Errors
    /// When it cannot be written or renamed; it is removed then.
    pub fn publish_synced(self) -> Result<(), OutputError> {
        let target = self.target.clone();
        let fail = |error| OutputError::Io(target.clone(), error);
        self.temporary.file().sync_data().map_err(fail)?;
        self.publish()?;
        let directory = File::open(parent(&target)).map_err(fail)?;
        directory.sync_all().map_err(fail)
    }

    /// Syncs the file that stays in place to disk, and its name.
    ///
    /// # Errors
    /// The error of `fsync(2)`.
    pub fn sync_before(&self) -> Result<(), OutputError> {
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        let synced = sync(&self.target).and_then(|()| sync(parent(&self.target)));
        synced.map_err(|error| OutputError::Io(self.target.clone(), error))
    }

    /// Renames the file into place.
    ///
    /// # Errors
    /// When it cannot be renamed; it is removed in that case.
    pub fn publish(self) -> Result<(), OutputError> {
        let target = self.target;
        let file = self.temporary.file();
        let fail = |error| OutputError::Io(target.clone(), error);
        let length = file.metadata().map_err(fail)?.len().max(self.end);
        if length < self.reserved || length == self.end {
            // Releases what was not needed, or extends the file to end in a hole.
            file.set_len(length).map_err(fail)?;
        }
        self.temporary.publish(&target).map_err(fail)
    }

    /// Whether the file at the target already holds the same bytes.
    ///
    /// # Errors
    /// When the new file cannot be read back.
    pub fn is_same_as_before(&mut self) -> Result<bool, OutputError> {
        let fail = |error| OutputError::Io(self.target.clone(), error);
        let Ok(before) = File::open(&self.target).and_then(HostFile::new) else {
            return Ok(false);
        };
        // It may not be readable through its name: it has the mode of the file that it replaces.
        let now = self.temporary.file().try_clone().and_then(HostFile::new);
        is_same(&before, &now.map_err(fail)?).map_err(fail)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupts.check()?;
        let mut file = self.temporary.file();
        if bytes.len() >= HOLE && is_zero(bytes) {
            self.end = file.seek(SeekFrom::Current(bytes.len() as i64))?;
            return Ok(bytes.len());
        }
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut file = self.temporary.file();
        if self.end > 0 && file.metadata()?.len() < self.end {
            // From now on it can be read back.
            file.set_len(self.end)?;
        }
        file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.interrupts.check()?;
        self.temporary.file().seek(position)
    }
}

/// Whether all bytes are zero: the first is, and each equals the one before. Comparing slices
/// checks many bytes at a time.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1]
}

/// Whether a file is in memory rather than on a disk.
fn is_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type as u64 == TMPFS)
}

/// Signals that terminate a process.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// How many values hold signals back.
static HOLDERS: Mutex<usize> = Mutex::new(0);
/// Whether none does, so that a signal terminates the process again. A signal that was ever held
/// back keeps a handler, which would otherwise ignore it.
static IS_FREE: AtomicBool = AtomicBool::new(true);

/// Adds to or subtracts from the number of values that hold signals back.
fn count_holders(change: impl FnOnce(usize) -> usize) {
    let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    *holders = change(*holders);
    IS_FREE.store(*holders == 0, Ordering::SeqCst);
}

/// Holds back the signals that terminate a process.
#[derive(Debug)]
pub struct Interrupts {
    received: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

impl Interrupts {
    /// Holds signals back until the value is dropped.
    pub fn hold() -> Self {
        static HANDLERS: Once = Once::new();
        count_holders(|holders| holders + 1);
        HANDLERS.call_once(|| {
            for signal in SIGNALS {
                // If this fails, the default action of the signals stays.
                let _ = signal_hook::flag::register_conditional_default(signal, &IS_FREE);
            }
        });
        let received = Arc::new(AtomicUsize::new(0));
        let registered = SIGNALS
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

    /// The signal that has arrived since then, if any.
    pub fn received(&self) -> Option<i32> {
        match self.received.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Interrupts {
    /// Fails once a signal has arrived.
    ///
    /// # Errors
    /// When one has arrived.
    pub fn check(&self) -> io::Result<()> {
        match self.received() {
            // Not ErrorKind::Interrupted, which writers treat as "try again".
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
        count_holders(|holders| holders - 1);
    }
}
