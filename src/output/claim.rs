//! Names of temporaries, each held by a living process.
//!
//! In: the name of an output. Out: a temporary name next to it that nobody holds. A process that is killed
//! leaves what it made there; whoever writes the same output next removes it. A lock tells the two apart:
//! the kernel gives it up when its process is gone (flock(2)).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;
use tempfile::{Builder, NamedTempFile, TempDir};

/// So many processes may write the same output at a time; more take names that nobody looks for.
const MOST: usize = 64;

/// Makes a file next to an output of this name. `make` locks it before it gets its name, or
/// [`hold`]s it after.
///
/// # Errors
/// That of the last attempt.
pub(super) fn file<F>(
    folder: &Path,
    output: &OsStr,
    mut make: impl FnMut(&Path) -> io::Result<F>,
) -> io::Result<NamedTempFile<F>> {
    first_free(folder, output, |builder| builder.make_in(folder, &mut make))
}

/// A directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct HeldDirectory {
    directory: TempDir,
    /// Its lock: given up when the directory is gone, since its name is free then.
    _lock: File,
}

impl HeldDirectory {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes what is at its path now.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn close(self) -> io::Result<()> {
        self.directory.close()
    }

    /// Removes nothing: it was renamed.
    pub fn keep(self) {
        let _ = self.directory.keep();
    }
}

/// Makes a directory next to an output of this name.
///
/// # Errors
/// That of the last attempt.
pub(super) fn directory(folder: &Path, output: &OsStr) -> io::Result<HeldDirectory> {
    first_free(folder, output, |builder| {
        let directory = builder.tempdir_in(folder)?;
        match hold_directory(directory.path()) {
            Ok(lock) => Ok(HeldDirectory {
                directory,
                _lock: lock,
            }),
            Err(error) => {
                // Whoever took it removes it; what has its name now may be another process's.
                if error.kind() == ErrorKind::AlreadyExists {
                    let _ = directory.keep();
                }
                Err(error)
            }
        }
    })
}

/// Opens and locks a directory that was just made at `path`.
///
/// # Errors
/// Those of [`hold`], also when the directory is gone.
fn hold_directory(path: &Path) -> io::Result<File> {
    let opened = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ErrorKind::AlreadyExists.into(),
        _ => error,
    })?;
    hold(&opened, path)?;
    Ok(opened)
}

/// Locks what was made at `path`, until it is closed.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if another process has taken it for a dead one's, and removed it.
pub(super) fn hold(made: &File, path: &Path) -> io::Result<()> {
    match lock(made) && is_at(made, path) {
        true => Ok(()),
        false => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Locks an open file; file systems without locks have no dead processes to tell.
pub(super) fn lock(file: impl AsFd) -> bool {
    use rustix::io::Errno;
    let locked = flock(file, FlockOperation::NonBlockingLockExclusive);
    !matches!(locked, Err(Errno::WOULDBLOCK))
}

/// Tries the names of an output one after the other. A name that is taken is tried again if what is there
/// was a dead process's.
fn first_free<T>(
    folder: &Path,
    output: &OsStr,
    mut make: impl FnMut(&Builder<'_, '_>) -> io::Result<T>,
) -> io::Result<T> {
    // Names may be as long as file systems allow.
    let mut hasher = DefaultHasher::new();
    output.hash(&mut hasher);
    for number in 0..MOST {
        let name = format!(".slimpack-{:016x}-{number}", hasher.finish());
        loop {
            let mut builder = Builder::new();
            match make(builder.prefix(&name).rand_bytes(0)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if !remove_stale(&folder.join(&name)) {
                        break;
                    }
                }
                result => return result,
            }
        }
    }
    make(Builder::new().prefix(".slimpack-"))
}

/// Removes what a process of this user left that is gone; returns whether it did.
fn remove_stale(path: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let Ok(opened) = opened else { return false };
    let is_own = opened
        .metadata()
        .is_ok_and(|found| found.uid() == geteuid().as_raw());
    let is_locked = flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok();
    // It may have been renamed to its place meanwhile.
    if !is_own || !is_locked || !is_at(&opened, path) {
        return false;
    }
    fs::remove_file(path)
        .or_else(|_| fs::remove_dir_all(path))
        .is_ok()
}

/// Whether `path` still leads to an open file.
fn is_at(opened: &File, path: &Path) -> bool {
    let of = |found: fs::Metadata| (found.dev(), found.ino());
    let at = fs::symlink_metadata(path).map(of);
    at.is_ok_and(|at| opened.metadata().map(of).is_ok_and(|opened| opened == at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock belongs to an open file: threads compete like processes.
    #[test]
    fn what_is_held_stays_while_others_take_and_leave_the_same_name() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let held = directory(parent.path(), OsStr::new("output")).unwrap();
                        let inside = held.path().join("inside");
                        fs::write(&inside, "").unwrap();
                        std::thread::yield_now();
                        assert!(inside.exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
