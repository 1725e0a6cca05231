//! What a program carries that no loader maps: an archive of its own.
//!
//! In: an object and its file. Out: which kind of archive, told by the magic numbers of the tools that
//! build such programs. Only the last bytes of the file are read, and only where something is there
//! that is not loaded.

use goblin::elf::program_header::PT_LOAD;

use super::Object;
use slimpack_vfs::bytes::ReadAt;

/// Unloaded bytes from which on a file may hold an archive: section names and symbols are smaller in
/// most programs.
const LEAST: u64 = 64 << 10;
/// Bytes at the end of a file in which the mark of an archive is looked for: a section table, section
/// names or a signature may follow it.
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
    /// So many bytes after all sections.
    Unknown(u64),
}

impl Payload {
    /// Whether `object`, whose file has `size` bytes, may carry something: no file is read to know.
    pub fn may_be_in(object: &Object, size: u64) -> bool {
        is_appimage(object) || size.saturating_sub(loaded(object)) >= LEAST
    }

    /// What `object` carries, whose bytes are `file`.
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

/// Where in its file the loaded part of an object ends.
fn loaded(object: &Object) -> u64 {
    let segments = object.segments.iter().filter(|s| s.p_type == PT_LOAD);
    let ends = segments.map(|s| s.p_offset.saturating_add(s.p_filesz));
    ends.max().unwrap_or(0)
}
