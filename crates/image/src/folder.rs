//! The tree as a directory on disk.
//!
//! In: a tree and an empty directory that other users cannot enter. Out: its nodes, with the
//! modes and time stamp that a layer has. Root also gives them their owners and capabilities; what
//! another user writes is owned by that user.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, fsetxattr, utimensat};
use slimpack_vfs::{CAPABILITIES, Owner};

use super::layer::{Inode, LayerEntry, LayerError, LayerNode, LayerSource, copy};

/// Writes the tree into `folder`, which is empty. `mtime` is in seconds since 1970; `go_on` is
/// called before each file and can stop the write.
///
/// # Errors
/// When a source file cannot be read or has changed in size, or writing fails.
pub fn write_folder(
    tree: &dyn LayerSource,
    mtime: u64,
    folder: &Path,
    go_on: &dyn Fn() -> io::Result<()>,
) -> Result<(), LayerError> {
    let times = times(mtime);
    let mut first_path: HashMap<_, PathBuf> = HashMap::new();
    let mut folders = Vec::new();
    let is_root = rustix::process::geteuid().is_root();
    let own = |at: &Path, owner: Owner| match is_root {
        true => lchown(at, Some(owner.uid), Some(owner.gid)),
        false => Ok(()),
    };
    // A user other than root owns every file: a setuid bit would give away that user's rights, and
    // files that the user cannot read or remove cannot be replaced.
    let of_file = |mode: u32| if is_root { mode } else { mode & 0o777 | 0o400 };
    let of_folder = |mode: u32| if is_root { mode } else { mode | 0o700 };
    for LayerNode { path, owner, entry } in tree.nodes() {
        go_on()?;
        // No component of a path in the tree is a link, so no path leads out of the directory.
        let at = folder.join(path.strip_prefix("/").unwrap_or(path));
        match entry {
            LayerEntry::Directory(mode) => {
                fs::create_dir(&at)?;
                own(&at, owner)?;
                folders.push((at, of_folder(mode)));
            }
            LayerEntry::Symlink(target) => {
                symlink(target, &at)?;
                own(&at, owner)?;
                set_link_time(&at, mtime)?;
            }
            LayerEntry::File(mode, file) => {
                let inode = Inode::of(file, mode, owner);
                if let Some(first) = first_path.get(&inode) {
                    fs::hard_link(first, &at)?;
                    continue;
                }
                let mut out = File::create_new(&at)?;
                copy(file, &at, &mut out)?;
                out.flush()?;
                // Changing the owner removes the setuid bit and the capabilities.
                own(&at, owner)?;
                out.set_permissions(Permissions::from_mode(of_file(mode)))?;
                if let Some(capabilities) = file.capabilities().filter(|_| is_root) {
                    let value = capabilities.to_bytes();
                    fsetxattr(&out, CAPABILITIES, &value, XattrFlags::empty())
                        .map_err(io::Error::from)?;
                }
                out.set_times(times)?;
                first_path.insert(inode, at);
            }
        }
    }
    // Innermost first: writing into a directory changes its time.
    for (at, mode) in folders.into_iter().rev() {
        let folder = File::open(&at)?;
        folder.set_permissions(Permissions::from_mode(mode))?;
        folder.set_times(times)?;
    }
    Ok(())
}

/// The times of a file that was last changed at `mtime`, in seconds since 1970; 1970 for what no clock
/// shows.
pub fn times(mtime: u64) -> FileTimes {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mtime));
    let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
    FileTimes::new().set_accessed(time).set_modified(time)
}

/// Sets the times of a symbolic link itself; `mtime` is in seconds since 1970.
///
/// # Errors
/// Those of utimensat(2).
pub fn set_link_time(path: &Path, mtime: u64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
