//! What a program contains that no loader maps: an archive of its own.
//!
//! In: an object and its file. Out: the kind of archive, identified by the magic numbers of the
//! tools that build such programs. Only the last bytes of the file are read, and only if the file
//! has bytes that are not loaded.

use goblin::elf::program_header::PT_LOAD;

use super::Object;
use slimpack_vfs::bytes::ReadAt;

/// A file may hold an archive if it has at least this many unloaded bytes: in most programs,
/// section names and symbols are smaller.
const LEAST: u64 = 64 << 10;
/// How many bytes at the end of a file are searched for the mark of an archive: a section table,
/// section names or a signature may follow it.
const TAIL: u64 = 8 << 10;
/// PyInstaller's mark (`CArchive`, `PyInstaller/archive/writers.py`).
const PYINSTALLER: &[u8] = b"MEI\x0c\x0b\x0a\x0b\x0e";
/// The end of a zip archive's directory (APPNOTE.TXT, 4.3.16).
const ZIP: &[u8] = b"PK\x05\x06";
/// Bytes 8 to 10 of an AppImage of type 1 and 2 (the AppImage specification, 2.1).
const APPIMAGE: [&[u8]; 2] = [b"AI\x01", b"AI\x02"];

/// An archive in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// PyInstaller's, with the offset of its mark in the file.
    PyInstaller(u64),
    /// A file system that the program mounts.
    AppImage,
    /// A zip archive.
    Zip,
    /// This many bytes after all sections.
    Unknown(u64),
}

impl Payload {
    /// Whether `object`, whose file has `size` bytes, may contain an archive; reads nothing.
    pub fn may_be_in(object: &Object, size: u64) -> bool {
        is_appimage(object) || size.saturating_sub(loaded(object)) >= LEAST
    }

    /// What `object` contains besides the loaded part; its bytes are `file`.
    pub fn of(object: &Object, file: &dyn ReadAt) -> Option<Self> {
        let size = file.size();
        if is_appimage(object) {
            return Some(Self::AppImage);
        }
        if !Self::may_be_in(object, size) {
            return None;
        }
        let start = size.saturating_sub(TAIL);
        let tail = file.prefix(start, TAIL).ok()?;
        if let Some(at) = memchr::memmem::rfind(&tail, PYINSTALLER) {
            return Some(Self::PyInstaller(start + at as u64));
        }
        let header = &object.header;
        let table = u64::from(header.e_shnum) * u64::from(header.e_shentsize);
        let sections = header.e_shoff.saturating_add(table);
        let behind = size.saturating_sub(sections.max(loaded(object)));
        if behind < LEAST {
            return None;
        }
        Some(match memchr::memmem::rfind(&tail, ZIP) {
            Some(_) => Self::Zip,
            None => Self::Unknown(behind),
        })
    }
}

fn is_appimage(object: &Object) -> bool {
    APPIMAGE.contains(&&object.header.e_ident[8..11])
}

/// Where the loaded part of an object ends in its file.
fn loaded(object: &Object) -> u64 {
    let segments = object.segments.iter().filter(|s| s.p_type == PT_LOAD);
    let ends = segments.map(|s| s.p_offset.saturating_add(s.p_filesz));
    ends.max().unwrap_or(0)
}
