//! The archive of a PyInstaller one-file program.
//!
//! In: a program and the offset of the archive's cookie. Out: what the ELF files in it need from
//! outside. The program unpacks them into a temporary directory, which is searched first
//! (`PyInstaller/archive/writers.py`, `bootloader/src/pyi_archive.h`). Lengths are checked against
//! the file before they are used; the unpacked size is limited per file and in total.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::bytes::ReadAt;
use crate::elf::Object;

/// Size of the cookie, in bytes: magic, four numbers, and the name of Python's library.
const COOKIE: u64 = 8 + 4 * 4 + 64;
/// Size of a table entry before its name, in bytes: four numbers and two single bytes.
const ENTRY: usize = 4 * 4 + 2;
/// Largest table of contents that is read, in bytes.
const MAX_TABLE: u64 = 16 << 20;
/// Largest file that is unpacked, in bytes.
const MAX_FILE: u64 = 128 << 20;
/// Maximum size unpacked from one program, in bytes.
const MAX_UNPACKED: u64 = 1 << 30;

/// Types of entries that are unpacked to files: binaries and data.
const FILES: [u8; 2] = *b"bx";

/// The names of libraries that files in the archive need and that are not in it; `None` if
/// the archive is malformed.
pub(super) fn needed(file: &dyn ReadAt, cookie: u64) -> Option<BTreeSet<String>> {
    let entries = entries(file, cookie)?;
    let base_name = |name: &str| {
        let name = Path::new(name).file_name()?;
        name.to_str().map(str::to_owned)
    };
    let inside: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| base_name(&entry.name))
        .collect();
    let mut needed = BTreeSet::new();
    let mut left = MAX_UNPACKED;
    for entry in entries.iter().filter(|entry| FILES.contains(&entry.kind)) {
        let Some(bytes) = entry.read(file, &mut left) else {
            continue;
        };
        let Ok(object) = Object::read(&bytes) else {
            continue;
        };
        for dependency in object.dependencies() {
            let name = dependency.name.display().to_string();
            if !inside.contains(&name) {
                needed.insert(name);
            }
        }
    }
    Some(needed)
}

/// An entry of the archive.
struct ArchiveEntry {
    name: String,
    /// The file offset of its bytes in the program, and their number as stored.
    at: u64,
    stored: u64,
    is_compressed: bool,
    /// The letter of its type.
    kind: u8,
}

impl ArchiveEntry {
    /// Its unpacked bytes, if it is an ELF file and within the limits.
    fn read(&self, file: &dyn ReadAt, left: &mut u64) -> Option<Vec<u8>> {
        let limit = MAX_FILE.min(*left);
        let stored = Stored {
            file,
            at: self.at,
            end: self.at.checked_add(self.stored)?,
        };
        let mut reader: Box<dyn Read> = match self.is_compressed {
            true => Box::new(ZlibDecoder::new(stored)),
            false => Box::new(stored),
        };
        let mut bytes = vec![0; 4];
        reader.read_exact(&mut bytes).ok()?;
        if bytes != b"\x7fELF" {
            return None;
        }
        let read = reader.take(limit).read_to_end(&mut bytes);
        // Data before an error at the end was still unpacked.
        *left = left.saturating_sub(bytes.len() as u64);
        read.ok()?;
        (bytes.len() as u64 <= limit).then_some(bytes)
    }
}

fn entries(file: &dyn ReadAt, cookie: u64) -> Option<Vec<ArchiveEntry>> {
    let mark = file.range(cookie, COOKIE).ok()??;
    let number = |at: usize| {
        Some(u64::from(u32::from_be_bytes(
            mark.get(at..at + 4)?.try_into().ok()?,
        )))
    };
    let (length, table, table_length) = (number(8)?, number(12)?, number(16)?);
    // The archive ends with its cookie.
    let start = (cookie + COOKIE).checked_sub(length)?;
    let inside = |at: u64, size: u64| at.checked_add(size).is_some_and(|end| end <= length);
    if table_length > MAX_TABLE || !inside(table, table_length) {
        return None;
    }
    let table = file.range(start + table, table_length).ok()??;
    let (mut entries, mut rest) = (Vec::new(), &table[..]);
    while rest.len() > ENTRY {
        let number = |at: usize| Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let size = usize::try_from(number(0)?).ok()?;
        if size <= ENTRY || size > rest.len() {
            return None;
        }
        let (at, stored) = (u64::from(number(4)?), u64::from(number(8)?));
        let name = rest[ENTRY..size].split(|byte| *byte == 0).next()?;
        if inside(at, stored) {
            entries.push(ArchiveEntry {
                name: String::from_utf8_lossy(name).into_owned(),
                at: start + at,
                stored,
                is_compressed: rest[16] != 0,
                kind: rest[17],
            });
        }
        rest = &rest[size..];
    }
    Some(entries)
}

/// A part of a file as a stream.
struct Stored<'f> {
    file: &'f dyn ReadAt,
    at: u64,
    end: u64,
}

impl Read for Stored<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..count], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of these entries, and the offset of its cookie.
    fn archive(entries: &[(&str, u8, &[u8])]) -> (Vec<u8>, u64) {
        let mut file = b"the program itself".to_vec();
        let start = file.len();
        let mut table = Vec::new();
        for (name, kind, bytes) in entries {
            let size = ENTRY + name.len() + 1;
            table.extend((size as u32).to_be_bytes());
            table.extend(((file.len() - start) as u32).to_be_bytes());
            table.extend((bytes.len() as u32).to_be_bytes());
            table.extend((bytes.len() as u32).to_be_bytes());
            table.extend([0, *kind]);
            table.extend(name.as_bytes());
            table.push(0);
            file.extend(*bytes);
        }
        let at = file.len() - start;
        file.extend(&table);
        let cookie = file.len() as u64;
        let length = file.len() - start + COOKIE as usize;
        file.extend(b"MEI\x0c\x0b\x0a\x0b\x0e");
        for number in [length, at, table.len(), 311] {
            file.extend((number as u32).to_be_bytes());
        }
        file.extend([0; 64]);
        (file, cookie)
    }

    #[test]
    fn files_that_are_no_elf_files_need_nothing() {
        let (file, cookie) = archive(&[("a.so", b'b', b"text"), ("b", b's', b"\x7fELF")]);
        assert_eq!(needed(&file, cookie), Some(BTreeSet::new()));
        assert_eq!(entries(&file, cookie).unwrap().len(), 2);
    }

    #[test]
    fn what_fails_while_it_is_unpacked_counts_as_unpacked() {
        let mut text = b"\x7fELF".to_vec();
        text.resize(1 << 20, 0);
        let mut stream = Vec::new();
        let mut reader = flate2::read::ZlibEncoder::new(&text[..], flate2::Compression::fast());
        reader.read_to_end(&mut stream).unwrap();
        // The checksum is last.
        *stream.last_mut().unwrap() ^= 1;
        let entry = ArchiveEntry {
            name: "a.so".to_owned(),
            at: 0,
            stored: stream.len() as u64,
            is_compressed: true,
            kind: b'b',
        };
        let mut left = MAX_UNPACKED;
        assert_eq!(entry.read(&stream, &mut left), None);
        assert!(left <= MAX_UNPACKED - (1 << 19), "{left}");
    }

    #[test]
    fn numbers_that_lie_end_in_nothing() {
        let (good, cookie) = archive(&[("a.so", b'b', b"text")]);
        for at in 0..good.len() - 64 {
            for byte in [0, 0x7f, 0xff] {
                let mut file = good.clone();
                file[at] = byte;
                // Whatever the lengths are, it terminates.
                let _ = needed(&file, cookie);
            }
        }
        for end in 0..good.len() {
            let _ = needed(&good[..end].to_vec(), cookie);
        }
    }
}
