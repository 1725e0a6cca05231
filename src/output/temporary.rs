//! Files of which nothing is left when the process is killed.
//!
//! In: the path that a file will have. Out: a file without a name in its directory, which gets one when it
//! is complete; a named one where the file system has no others.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use tempfile::{NamedTempFile, TempPath};

use super::watch::Watched;
use super::{claim, parent};

/// A file that is not in place yet.
#[derive(Debug)]
pub(super) enum Temporary {
    /// Without a name (`O_TMPFILE`, open(2)).
    Unnamed(File),
    /// With a name next to its place.
    Named {
        file: NamedTempFile,
        watched: Watched,
    },
}

impl Temporary {
    /// Creates one for `target`. The umask applies, as to any file that a compiler writes.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(target: &Path) -> io::Result<Self> {
        let folder = parent(target);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let unnamed = open(folder, flags, Mode::from_raw_mode(0o666)).map(File::from);
        match unnamed {
            // Its name is given through /proc.
            Ok(file) if Path::new(&in_proc(&file)).exists() => Ok(Self::Unnamed(file)),
            _ => {
                let file = named(target, |path| {
                    let mut options = File::options();
                    options.read(true).write(true).create_new(true);
                    let file = options.mode(0o666).open(path)?;
                    claim::hold(&file, path).map(|()| file)
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
            Self::Unnamed(file) => file,
            Self::Named { file, .. } => file.as_file(),
        }
    }

    /// Renames the file to `target`, replacing what is there.
    ///
    /// # Errors
    /// When it cannot be named or renamed; nothing is left of it then.
    pub fn publish(self, target: &Path) -> io::Result<()> {
        match self {
            Self::Unnamed(file) => {
                // A link replaces nothing: where something is, the file gets a name for a moment.
                match link(&file, target) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    linked => return linked,
                }
                claim::lock(&file);
                let at: TempPath = named(target, |path| link(&file, path))?.into_temp_path();
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

/// Makes a file of a new name next to `target`. Called with what opens it for the error of the system: that
/// of `tempfile` names the temporary file, and its kind says nothing of too many open files.
fn named<F>(
    target: &Path,
    make: impl FnMut(&Path) -> io::Result<F>,
) -> io::Result<NamedTempFile<F>> {
    claim::file(parent(target), target.file_name().unwrap_or_default(), make)
}

fn in_proc(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Names an unnamed file.
fn link(file: &File, path: &Path) -> io::Result<()> {
    linkat(CWD, in_proc(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
