//! The layer: the tree as one deterministic tar.
//!
//! In: a [`Rootfs`] and the tree that its files come from. Out: a tar stream whose bytes depend
//! only on what is in the tree: sorted, with one time stamp for everything. Source: the OCI image
//! specification, `layer.md`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};
use thiserror::Error;

use slimpack_vfs::bytes::ReadAt;
use slimpack_vfs::{CAPABILITIES, Capabilities, Errno, FileId, Owner};

/// Size of a tar block in bytes.
pub(super) const BLOCK: u64 = 512;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// Why a layer cannot be written.
#[derive(Debug, Error)]
pub enum LayerError {
    /// A source file can no longer be opened.
    #[error("cannot read {}: {}", .path.display(), .errno.message())]
    Open {
        /// The source file.
        path: PathBuf,
        /// Why it cannot be opened.
        errno: Errno,
    },
    /// A source file cannot be read, or has changed.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The source file.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// The tar cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// A tree that becomes a layer.
pub trait LayerSource {
    /// Its nodes by path, directories before their contents; `/` is not among them.
    fn nodes(&self) -> Box<dyn Iterator<Item = LayerNode<'_>> + '_>;

    /// Bytes of all its files, each once.
    fn bytes(&self) -> u64;
}

/// A node of a layer.
pub struct LayerNode<'t> {
    /// Its absolute path.
    pub path: &'t Path,
    /// Its owner.
    pub owner: Owner,
    /// When it was last changed, in seconds since 1970; `None` for the time of the layer.
    pub mtime: Option<u64>,
    /// Its type and content.
    pub entry: LayerEntry<'t>,
}

/// The type of a node of a layer.
pub enum LayerEntry<'t> {
    /// A directory with these permission bits.
    Directory(u32),
    /// A symbolic link with this target.
    Symlink(&'t Path),
    /// A regular file with these permission bits.
    File(u32, &'t dyn LayerFile),
}

/// A regular file of a layer.
pub trait LayerFile {
    /// Its identity: files with the same identity are written once, the others as hard links.
    fn id(&self) -> FileId;

    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Where its bytes come from, for messages; `None` for a generated file.
    fn origin(&self) -> Option<&Path>;

    /// Its capabilities (`capabilities(7)`), if it has any.
    fn capabilities(&self) -> Option<Capabilities>;

    /// Opens its bytes.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    fn open(&self) -> Result<Box<dyn ReadAt>, Errno>;
}

/// What makes two paths one file: the same bytes, and the same value of everything that an inode
/// has only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    /// The identity of its bytes.
    pub id: FileId,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// Its capabilities.
    pub capabilities: Option<Capabilities>,
}

impl Inode {
    /// The key of a file of a layer.
    pub(super) fn of(file: &dyn LayerFile, mode: u32, owner: Owner) -> Self {
        Self {
            id: file.id(),
            mode,
            owner,
            capabilities: file.capabilities(),
        }
    }
}

/// Writes the tree as a tar. `time` is that of nodes without their own, in seconds since 1970.
///
/// # Errors
/// When a source file cannot be read or has changed its size, and when `out` fails.
pub fn write_tar(tree: &dyn LayerSource, time: u64, out: &mut dyn Write) -> Result<(), LayerError> {
    let mut tar = tar::Builder::new(out);
    let mut first_path = HashMap::new();
    for LayerNode {
        path,
        owner,
        mtime,
        entry,
    } in tree.nodes()
    {
        let header = |kind, mode| header(kind, mode, owner, mtime.unwrap_or(time));
        let name = path.strip_prefix("/").unwrap_or(path);
        match entry {
            LayerEntry::Directory(mode) => {
                let mut header = header(EntryType::Directory, mode);
                let mut folder = name.as_os_str().to_owned();
                folder.push("/");
                tar.append_data(&mut header, folder, io::empty())?;
            }
            LayerEntry::Symlink(target) => {
                let mut header = header(EntryType::Symlink, 0o777);
                append_symlink(&mut tar, &mut header, name, target)?;
            }
            LayerEntry::File(mode, file) => {
                // Two paths that are one file in the source stay one object for the loader if they
                // have the same mode and owner, which are properties of the inode.
                let inode = Inode::of(file, mode, owner);
                if let Some(first) = first_path.get(&inode) {
                    let mut header = header(EntryType::Link, mode);
                    tar.append_link(&mut header, name, first)?;
                    continue;
                }
                first_path.insert(inode, name.to_path_buf());
                let mut header = header(EntryType::Regular, mode);
                append_file(&mut tar, &mut header, name, file)?;
            }
        }
    }
    tar.finish()?;
    Ok(())
}

/// Whether a node has what only root can give it: an owner other than root, a setuid bit, or capabilities.
pub fn has_rights(tree: &dyn LayerSource) -> bool {
    tree.nodes().any(|LayerNode { owner, entry, .. }| {
        let is_special = match entry {
            LayerEntry::File(mode, file) => mode & 0o6000 != 0 || file.capabilities().is_some(),
            LayerEntry::Directory(_) | LayerEntry::Symlink(_) => false,
        };
        is_special || owner != Owner::default()
    })
}

/// Upper bound for the size of the tar in bytes, computed from metadata alone.
pub fn size_hint(tree: &dyn LayerSource) -> u64 {
    /// Bytes for a header, plus the header and data that a name or target over 100 bytes needs.
    const MEMBER: u64 = 512 + 2 * (512 + 4096);
    const PLAIN_MEMBER: u64 = 512;
    let end = 1024;
    tree.nodes()
        .fold(end, |total, LayerNode { path, entry, .. }| {
            let (content, target) = match entry {
                LayerEntry::File(_, file) => {
                    let records = match file.capabilities() {
                        Some(_) => 2 * BLOCK,
                        None => 0,
                    };
                    (file.size().saturating_add(511) / 512 * 512 + records, 0)
                }
                LayerEntry::Symlink(target) => (0, target.as_os_str().len()),
                LayerEntry::Directory(_) => (0, 0),
            };
            let is_long = path.as_os_str().len() >= 100 || target >= 100;
            let header = if is_long { MEMBER } else { PLAIN_MEMBER };
            total.saturating_add(content).saturating_add(header)
        })
}

fn append_symlink(
    tar: &mut tar::Builder<&mut dyn Write>,
    header: &mut Header,
    name: &Path,
    target: &Path,
) -> io::Result<()> {
    // Where the target fits into the header, the library would take `.` and slashes out of it.
    match header.set_link_name_literal(target.as_os_str().as_encoded_bytes()) {
        Ok(()) => tar.append_data(header, name, io::empty()),
        Err(_) => tar.append_link(header, name, target),
    }
}

fn append_file(
    tar: &mut tar::Builder<&mut dyn Write>,
    header: &mut Header,
    name: &Path,
    file: &dyn LayerFile,
) -> Result<(), LayerError> {
    let opened = open(file, name)?;
    header.set_size(file.size());
    if let Some(capabilities) = file.capabilities() {
        // As docker, podman and star do.
        let key = format!("SCHILY.xattr.{CAPABILITIES}");
        tar.append_pax_extensions([(&*key, &capabilities.to_bytes()[..])])?;
    }
    // The header goes through the library, the bytes do not: it would copy them in pieces of 8 KiB,
    // and would not tell an error of the reader from one of the writer.
    tar.append_data(header, name, io::empty())?;
    let out = tar.get_mut();
    copy_bytes(opened.as_ref(), file, name, out)?;
    let padding = (BLOCK - file.size() % BLOCK) % BLOCK;
    out.write_all(&[0; BLOCK as usize][..padding as usize])?;
    Ok(())
}

/// Copies the bytes of the file that is named `name` in the image.
///
/// # Errors
/// When it cannot be read or has changed its size, and when `out` fails.
pub fn copy_file(file: &dyn LayerFile, name: &Path, out: &mut dyn Write) -> Result<(), LayerError> {
    copy_bytes(open(file, name)?.as_ref(), file, name, out)
}

fn open(file: &dyn LayerFile, name: &Path) -> Result<Box<dyn ReadAt>, LayerError> {
    let path = || file.origin().unwrap_or(name).to_path_buf();
    let opened = file.open().map_err(|errno| LayerError::Open {
        path: path(),
        errno,
    })?;
    match opened.size() == file.size() {
        true => Ok(opened),
        false => Err(LayerError::Read {
            path: path(),
            error: io::Error::other(
                "it changed while being read; try again when nothing writes to it",
            ),
        }),
    }
}

fn copy_bytes(
    opened: &dyn ReadAt,
    file: &dyn LayerFile,
    name: &Path,
    out: &mut dyn Write,
) -> Result<(), LayerError> {
    let mut buffer = vec![0; usize::try_from(file.size()).map_or(CHUNK, |size| size.min(CHUNK))];
    let mut offset = 0;
    while offset < file.size() {
        let left = usize::try_from(file.size() - offset).unwrap_or(CHUNK);
        let part = &mut buffer[..left.min(CHUNK)];
        let count = match opened.read_at(part, offset) {
            Ok(0) => Err(io::Error::other(
                "it was truncated while being read; try again when nothing writes to it",
            )),
            other => other,
        }
        .map_err(|error| LayerError::Read {
            path: file.origin().unwrap_or(name).to_path_buf(),
            error,
        })?;
        out.write_all(&part[..count])?;
        offset += count as u64;
        if is_zero(&part[..count]) {
            // Perhaps part of a hole, whose bytes need not be read.
            let data = opened.next_data(offset).min(file.size());
            offset = fill(out, offset, data)?;
        }
    }
    Ok(())
}

/// Whether a piece may be part of a hole: its ends are checked first, which rules out most data.
pub(super) fn is_zero(piece: &[u8]) -> bool {
    let ends = [piece.first(), piece.last()];
    ends.iter().all(|end| *end == Some(&0)) && piece.iter().all(|&byte| byte == 0)
}

/// Writes zeros from one offset up to another; returns the latter.
fn fill(out: &mut dyn Write, mut from: u64, to: u64) -> io::Result<u64> {
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    while from < to {
        let length = usize::try_from(to - from).map_or(CHUNK, |length| length.min(CHUNK));
        out.write_all(&ZEROS[..length])?;
        from += length as u64;
    }
    Ok(from)
}

/// A new header, with the time stamp that all members share.
fn header(kind: EntryType, mode: u32, owner: Owner, mtime: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_uid(owner.uid.into());
    header.set_gid(owner.gid.into());
    header.set_size(0);
    header
}
