//! An initrd: the tree as one deterministic cpio archive.
//!
//! In: a tree. Out: an archive in the format that Linux unpacks at boot (newc), sorted, with one time
//! stamp for everything. Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::layer::{Inode, LayerEntry, LayerError, LayerFile, LayerNode, LayerSource, copy_file};
use slimpack_vfs::Owner;

/// The bits of a mode that tell what a node is (`inode(7)`).
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// An archive is padded to a multiple of this many bytes, as GNU cpio does.
const BLOCK: u64 = 512;

/// A header, but for the lengths.
struct CpioHeader {
    inode: u32,
    mode: u32,
    owner: Owner,
    links: u32,
    mtime: u32,
}

/// Names of one file, and its number once one of them has been written.
struct Names {
    left: u32,
    all: u32,
    number: Option<u32>,
}

/// Writes the tree as a cpio archive. `time` is that of nodes without their own, in seconds since 1970. Capabilities have no place
/// in it.
///
/// # Errors
/// When a source file cannot be read, has changed, or has more than 4 GiB, and when `out` fails.
pub fn write(tree: &dyn LayerSource, time: u64, out: &mut dyn Write) -> Result<(), LayerError> {
    let mut names = names(tree);
    let mut archive = CpioArchive { out, written: 0 };
    let mut last_number = 0;
    for LayerNode {
        path,
        owner,
        mtime,
        entry,
    } in tree.nodes()
    {
        let mtime = u32::try_from(mtime.unwrap_or(time)).unwrap_or(u32::MAX);
        let mut number = || {
            last_number += 1;
            last_number
        };
        let header = |inode, mode, links| CpioHeader {
            inode,
            mode,
            owner,
            links,
            mtime,
        };
        let name = path.strip_prefix("/").unwrap_or(path);
        match entry {
            LayerEntry::Directory(mode) => {
                archive.member(&header(number(), DIRECTORY | mode, 2), name, 0)?;
            }
            LayerEntry::Symlink(target) => {
                let target = target.as_os_str().as_bytes();
                let header = header(number(), SYMLINK | 0o777, 1);
                archive.member(&header, name, target.len() as u64)?;
                archive.bytes(target)?;
                archive.pad(4)?;
            }
            LayerEntry::File(mode, file) => {
                let Some(names) = names.get_mut(&Inode::of(file, mode, owner)) else {
                    continue;
                };
                names.left -= 1;
                let inode = *names.number.get_or_insert_with(&mut number);
                let header = header(inode, FILE | mode, names.all);
                // The data comes with the last name, where GNU cpio expects it.
                match names.left {
                    0 => archive.file(&header, name, file)?,
                    _ => archive.member(&header, name, 0)?,
                }
            }
        }
    }
    let trailer = CpioHeader {
        inode: 0,
        mode: 0,
        owner: Owner::default(),
        links: 1,
        mtime: 0,
    };
    archive.member(&trailer, Path::new(std::ffi::OsStr::from_bytes(TRAILER)), 0)?;
    archive.pad(BLOCK)?;
    Ok(())
}

/// The names that each file of a tree has.
fn names(tree: &dyn LayerSource) -> HashMap<Inode, Names> {
    let mut names: HashMap<Inode, Names> = HashMap::new();
    for LayerNode { owner, entry, .. } in tree.nodes() {
        if let LayerEntry::File(mode, file) = entry {
            let names = names.entry(Inode::of(file, mode, owner)).or_insert(Names {
                left: 0,
                all: 0,
                number: None,
            });
            (names.left, names.all) = (names.left + 1, names.all + 1);
        }
    }
    names
}

struct CpioArchive<'o> {
    out: &'o mut dyn Write,
    written: u64,
}

impl CpioArchive<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes zeros up to a multiple of `unit` bytes.
    fn pad(&mut self, unit: u64) -> io::Result<()> {
        let count = self.written.next_multiple_of(unit) - self.written;
        self.bytes(&[0; BLOCK as usize][..count as usize])
    }

    /// Writes a header and the name.
    fn member(&mut self, header: &CpioHeader, name: &Path, size: u64) -> io::Result<()> {
        let name = name.as_os_str().as_bytes();
        let size = u32::try_from(size).map_err(|_| {
            io::Error::other("a file has 4 GiB or more, for which cpio has no room; leave it out")
        })?;
        let numbers = [
            header.inode,
            header.mode,
            header.owner.uid,
            header.owner.gid,
            header.links,
            header.mtime,
            size,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes(b"070701")?;
        for number in numbers {
            self.bytes(format!("{number:08X}").as_bytes())?;
        }
        self.bytes(name)?;
        self.bytes(&[0])?;
        self.pad(4)
    }

    fn file(
        &mut self,
        header: &CpioHeader,
        name: &Path,
        file: &dyn LayerFile,
    ) -> Result<(), LayerError> {
        self.member(header, name, file.size())?;
        copy_file(file, name, self.out)?;
        self.written += file.size();
        Ok(self.pad(4)?)
    }
}
