//! The tree as a directory on disk.
//!
//! In: a tree and an empty directory that other users cannot enter. Out: its nodes, with the modes,
//! times, owners and capabilities that they have in a layer, as far as the process may give them.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, fsetxattr, utimensat};
use slimpack_vfs::{CAPABILITIES, Owner};

use super::layer::{
    Inode, LayerEntry, LayerError, LayerFile, LayerNode, LayerSource, copy_file, is_zero,
};

/// Runs of zeros of at least this many bytes are not written: a new file already reads as zeros there.
const HOLE: usize = 32 << 10;

/// How a tree is written to disk.
pub struct FolderOptions<'o> {
    /// The time of nodes without their own, in seconds since 1970.
    pub time: u64,
    /// Who owns them.
    pub owners: FolderOwners<'o>,
    /// Called before each node; its error stops the writing.
    pub go_on: &'o dyn Fn() -> io::Result<()>,
}

/// Who owns what is written to disk.
#[derive(Clone, Copy)]
pub enum FolderOwners<'o> {
    /// Root gives each node its owner. Another user owns everything: no file has a setuid bit, which would
    /// give away that user's rights, and all can be read and removed.
    Privileged,
    /// The user and the group that exist here of an owner, in a namespace of users. Modes are kept.
    Mapped(&'o dyn Fn(Owner) -> (Option<u32>, Option<u32>)),
}

/// Writes the tree into `folder`, which is empty.
///
/// # Errors
/// When a source file cannot be read or has changed in size, or writing fails.
pub fn write_folder(
    tree: &dyn LayerSource,
    folder: &Path,
    options: &FolderOptions<'_>,
) -> Result<(), LayerError> {
    let writer = FolderWriter {
        owners: options.owners,
        is_root: rustix::process::geteuid().is_root(),
    };
    let mut first_path: HashMap<_, PathBuf> = HashMap::new();
    let mut folders = Vec::new();
    for LayerNode {
        path,
        owner,
        mtime,
        entry,
    } in tree.nodes()
    {
        (options.go_on)()?;
        // No component of a path in the tree is a link, so no path leads out of the directory.
        let at = folder.join(path.strip_prefix("/").unwrap_or(path));
        let mtime = mtime.unwrap_or(options.time);
        match entry {
            LayerEntry::Directory(mode) => {
                fs::create_dir(&at)?;
                folders.push((at, owner, mode, mtime));
            }
            LayerEntry::Symlink(target) => {
                symlink(target, &at)?;
                writer.own(&at, owner)?;
                set_time(&at, mtime)?;
            }
            LayerEntry::File(mode, file) => {
                let inode = Inode::of(file, mode, owner);
                if let Some(first) = first_path.get(&inode) {
                    fs::hard_link(first, &at)?;
                    continue;
                }
                writer.file(&at, file, mode, owner)?;
                set_time(&at, mtime)?;
                first_path.insert(inode, at);
            }
        }
    }
    // Innermost first: writing into a directory changes its time, and needs its mode.
    for (at, owner, mode, mtime) in folders.into_iter().rev() {
        writer.own(&at, owner)?;
        let mode = if writer.keeps_modes() {
            mode
        } else {
            mode | 0o700
        };
        fs::set_permissions(&at, Permissions::from_mode(mode))?;
        set_time(&at, mtime)?;
    }
    Ok(())
}

struct FolderWriter<'o> {
    owners: FolderOwners<'o>,
    is_root: bool,
}

impl FolderWriter<'_> {
    fn keeps_modes(&self) -> bool {
        self.is_root || matches!(self.owners, FolderOwners::Mapped(_))
    }

    fn own(&self, at: &Path, owner: Owner) -> io::Result<()> {
        let (uid, gid) = match self.owners {
            FolderOwners::Privileged if self.is_root => (Some(owner.uid), Some(owner.gid)),
            FolderOwners::Privileged => return Ok(()),
            FolderOwners::Mapped(map) => map(owner),
        };
        lchown(at, uid, gid)
    }

    fn file(
        &self,
        at: &Path,
        file: &dyn LayerFile,
        mode: u32,
        owner: Owner,
    ) -> Result<(), LayerError> {
        let mut out = HoledFile {
            file: File::create_new(at)?,
            end: 0,
        };
        copy_file(file, at, &mut out)?;
        let out = out.finish()?;
        // Changing the owner removes the setuid bit and the capabilities.
        self.own(at, owner)?;
        let mode = if self.keeps_modes() {
            mode
        } else {
            mode & 0o777 | 0o400
        };
        out.set_permissions(Permissions::from_mode(mode))?;
        let is_privileged = self.is_root && matches!(self.owners, FolderOwners::Privileged);
        if let Some(capabilities) = file.capabilities().filter(|_| is_privileged) {
            let value = capabilities.to_bytes();
            fsetxattr(&out, CAPABILITIES, &value, XattrFlags::empty()).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

/// A new file in which runs of zeros are holes: a sparse file of an image may claim any size.
struct HoledFile {
    file: File,
    /// Where the last hole ends.
    end: u64,
}

impl HoledFile {
    fn finish(self) -> io::Result<File> {
        if self.file.metadata()?.len() < self.end {
            self.file.set_len(self.end)?;
        }
        Ok(self.file)
    }
}

impl Write for HoledFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() < HOLE || !is_zero(bytes) {
            return self.file.write(bytes);
        }
        self.end = self.file.seek(SeekFrom::Current(bytes.len() as i64))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Sets the times of a node, also of a symbolic link; `mtime` is in seconds since 1970.
fn set_time(path: &Path, mtime: u64) -> io::Result<()> {
    let time = Timespec {
        // 1970 for what no clock shows.
        tv_sec: i64::try_from(mtime).unwrap_or_default(),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
