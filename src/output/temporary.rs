//! Files of which nothing is left when the process is killed.
//!
//! In: the directory that a file will be in. Out: an unnamed file there, which gets a name when it
//! is complete; or a named one if the file system does not support unnamed files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use tempfile::{NamedTempFile, TempPath};

use super::watch::Watched;

/// A file that is not in place yet.
#[derive(Debug)]
pub(super) enum Temporary {
    /// Without a name (`O_TMPFILE`, open(2)).
    Unnamed { file: File, folder: PathBuf },
    /// With a name next to the target.
    Named {
        file: NamedTempFile,
        watched: Watched,
    },
}

impl Temporary {
    /// Creates one in `folder`. The umask applies, as to any file that a compiler writes.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let unnamed = open(folder, flags, Mode::from_raw_mode(0o666)).map(File::from);
        match unnamed {
            // It is named through /proc.
            Ok(file) if Path::new(&in_proc(&file)).exists() => Ok(Self::Unnamed {
                file,
                folder: folder.to_owned(),
            }),
            _ => {
                let file = named(folder, |path| {
                    let mut options = File::options();
                    options.read(true).write(true).create_new(true);
                    options.mode(0o666).open(path)
                })?;
                Ok(Self::Named {
                    watched: Watched::new(file.path()),
                    file,
                })
            }
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        match self {
            Self::Unnamed { file, .. } => file,
            Self::Named { file, .. } => file.as_file(),
        }
    }

    /// Renames the file to `target`, replacing what is there.
    ///
    /// # Errors
    /// When it cannot be named or renamed; nothing is left of it then.
    pub fn publish(self, target: &Path) -> io::Result<()> {
        match self {
            Self::Unnamed { file, folder } => {
                // linkat does not replace anything: if the target exists, the file first gets a
                // temporary name.
                match link(&file, target) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    linked => return linked,
                }
                let at: TempPath = named(&folder, |path| link(&file, path))?.into_temp_path();
                let watched = Watched::new(&at);
                let persisted = at.persist(target);
                drop(watched);
                persisted.map_err(|error| error.error)
            }
            Self::Named { file, watched } => {
                let persisted = file.persist(target).map(drop);
                // Until then a signal may remove it.
                drop(watched);
                persisted.map_err(|error| error.error)
            }
        }
    }
}

/// Creates a file with a new name. Opened by a callback to keep the system's error: that of
/// `tempfile` contains the temporary name, and its kind hides that too many files are open.
fn named<F>(
    folder: &Path,
    make: impl FnMut(&Path) -> io::Result<F>,
) -> io::Result<NamedTempFile<F>> {
    tempfile::Builder::new()
        .prefix(".slimpack-")
        .make_in(folder, make)
}

fn in_proc(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Names an unnamed file.
fn link(file: &File, path: &Path) -> io::Result<()> {
    linkat(CWD, in_proc(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
