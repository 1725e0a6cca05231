//! A directory that appears complete or not at all.
//!
//! In: a path that does not exist, or an empty directory. Out: a temporary directory next to it,
//! which is filled and finally renamed to it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

#[cfg(doc)]
use super::Output;
use super::claim::{self, HeldDirectory};
use super::{Interrupts, OutputError, Watched, receipt};

/// A directory that was not renamed into place yet. A failure or a signal removes it.
#[derive(Debug)]
pub struct AtomicFolder {
    temporary: HeldDirectory,
    /// Dropped after the directory that it protects.
    _watched: Watched,
    target: PathBuf,
    force: bool,
    interrupts: Interrupts,
}

impl AtomicFolder {
    /// Creates a temporary directory next to `path`. A link is followed, as [`Output::create`] does.
    ///
    /// With `force` an older root directory is replaced if it still matches its receipt.
    ///
    /// # Errors
    /// When `path` exists and is not an empty directory, or its parent is not writable.
    pub fn create(path: &Path, force: bool) -> Result<Self, OutputError> {
        let fail = |error| OutputError::Io(path.to_path_buf(), error);
        let target = match fs::canonicalize(path) {
            Ok(existing) => existing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                plain(&super::dangling_target(path))
            }
            Err(error) => return Err(fail(error)),
        };
        match fs::read_dir(&target).map(|mut entries| entries.next().is_some()) {
            Ok(true) if force && receipt::holds(&target).map_err(fail)? => {}
            Ok(true) if force => return Err(OutputError::NotOurs(path.to_path_buf())),
            Ok(true) => return Err(OutputError::NotEmpty(path.to_path_buf())),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let parent = super::parent(&target);
        if !parent.is_dir() {
            return Err(OutputError::NoFolder(
                path.to_path_buf(),
                parent.to_path_buf(),
            ));
        }
        let interrupts = Interrupts::hold();
        let name = target.file_name().unwrap_or_default();
        let temporary = claim::directory(parent, name).map_err(fail)?;
        Ok(Self {
            _watched: Watched::new(temporary.path()),
            temporary,
            target,
            force,
            interrupts,
        })
    }

    /// The directory to fill. Other users cannot enter it until it is in place.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Holds back signals while the directory exists.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Syncs everything that was written to disk (`syncfs(2)`).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), OutputError> {
        sync_tree(self.temporary.path())
            .map_err(|error| OutputError::Io(self.target.clone(), error))
    }

    /// Renames the directory into place.
    ///
    /// # Errors
    /// When it cannot be renamed; it is removed in that case.
    pub fn publish(self) -> Result<(), OutputError> {
        let fail = |error| OutputError::Io(self.target.clone(), error);
        // What was put there since then is not slimpack's to remove.
        let is_used = fs::read_dir(&self.target).is_ok_and(|mut names| names.next().is_some());
        if is_used && !self.force {
            return Err(OutputError::NotEmpty(self.target.clone()));
        }
        if is_used && !receipt::holds(&self.target).map_err(fail)? {
            return Err(OutputError::NotOurs(self.target.clone()));
        }
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(self.temporary.path(), mode).map_err(fail)?;
        // Written first: if the rename fails, a mismatched receipt only makes --force refuse.
        receipt::write(self.temporary.path(), &self.target).map_err(fail)?;
        if is_used {
            // The older directory takes the temporary one's name, and is removed with it: by this
            // process alone.
            let older = File::open(&self.target).map_err(fail)?;
            claim::lock(&older);
            let flags = RenameFlags::EXCHANGE;
            renameat_with(CWD, self.temporary.path(), CWD, &self.target, flags)
                .map_err(|error| fail(error.into()))?;
            return self
                .temporary
                .close()
                .map_err(|error| OutputError::Io(self.target.clone(), error));
        }
        // It replaces an empty directory, and only an empty one (rename(2)).
        if let Err(error) = fs::rename(self.temporary.path(), &self.target) {
            receipt::remove(&self.target);
            return Err(fail(error));
        }
        // The temporary directory no longer exists.
        self.temporary.keep();
        Ok(())
    }
}

/// Syncs the file system that holds a directory to disk.
///
/// # Errors
/// When the disk fails.
pub fn sync_tree(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
}

/// A path without trailing slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
