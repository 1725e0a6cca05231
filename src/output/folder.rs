//! A folder that appears whole or not at all.
//!
//! In: a path where nothing is, or an empty folder. Out: a folder beside it to fill, which takes its
//! place in the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::{Interrupts, OutputError, receipt};

/// A folder that is not at its place yet. A failure or a signal on the way removes it.
#[derive(Debug)]
pub struct AtomicFolder {
    temporary: TempDir,
    target: PathBuf,
    interrupts: Interrupts,
}

impl AtomicFolder {
    /// Makes a folder beside `path`.
    ///
    /// With `force` an older root folder is replaced: one that still is what its receipt says.
    ///
    /// # Errors
    /// When something is at `path` that is not an empty folder, or nothing can be made beside it.
    pub fn create(path: &Path, force: bool) -> Result<Self, OutputError> {
        let fail = |error| OutputError::Io(path.to_path_buf(), error);
        let target = match fs::canonicalize(path) {
            Ok(existing) => existing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => plain(path),
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
        let temporary = tempfile::Builder::new()
            .prefix(".slimpack-")
            .tempdir_in(parent)
            .map_err(fail)?;
        Ok(Self {
            temporary,
            target,
            interrupts,
        })
    }

    /// The folder to fill. Nobody else can enter it before it is in its place.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Signals that have arrived meanwhile.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Puts everything that was written on the disk (`syncfs(2)`).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), OutputError> {
        sync_tree(self.temporary.path())
            .map_err(|error| OutputError::Io(self.target.clone(), error))
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// When it cannot be renamed; it is removed then.
    pub fn publish(self) -> Result<(), OutputError> {
        let fail = |error| OutputError::Io(self.target.clone(), error);
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(self.temporary.path(), mode).map_err(fail)?;
        // Written first: if the rename fails, a receipt that fits nothing only makes --force refuse.
        receipt::write(self.temporary.path(), &self.target).map_err(fail)?;
        if !self.target.exists() || fs::remove_dir(&self.target).is_ok() {
            fs::rename(self.temporary.path(), &self.target).map_err(fail)?;
        } else {
            // The older one takes the place of the temporary one, and goes with it.
            let flags = RenameFlags::EXCHANGE;
            renameat_with(CWD, self.temporary.path(), CWD, &self.target, flags)
                .map_err(|error| fail(error.into()))?;
            return self
                .temporary
                .close()
                .map_err(|error| OutputError::Io(self.target.clone(), error));
        }
        // What was temporary is not there any more.
        let _ = self.temporary.keep();
        Ok(())
    }
}

/// Puts the file system that holds a directory on the disk.
///
/// # Errors
/// When the disk fails.
pub fn sync_tree(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(directory)?)?)
}

/// A path without the slash at its end.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
