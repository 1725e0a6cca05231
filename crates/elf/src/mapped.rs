//! An object's bytes as the loader sees them: by virtual address, not by file offset.
//!
//! In: the program headers and ranged reads. Out: tables at mapped addresses, each checked
//! against its segment before anything is allocated.

use std::io;

use goblin::elf::program_header::{PT_LOAD, ProgramHeader};

use slimpack_vfs::bytes::ReadAt;

/// Largest table that is read as a whole, in bytes: a sparse file may have any size.
const MAX_TABLE: u64 = 512 << 20;
/// Bytes read at a time by [`Pages`].
const PAGE: usize = 8 << 10;

/// The file range `[offset, end)` from a mapped address to the end of its segment.
pub(super) fn file_range(segments: &[ProgramHeader], address: u64) -> Option<(u64, u64)> {
    segments
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD)
        .find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr)?;
            let end = segment.p_offset.checked_add(segment.p_filesz)?;
            // The sum cannot overflow once the address is known to be inside the segment.
            (inside < segment.p_filesz).then(|| (segment.p_offset + inside, end))
        })
}

/// `length` bytes at a mapped address; `None` when its segment ends before that.
pub(super) fn bytes_at(
    file: &dyn ReadAt,
    segments: &[ProgramHeader],
    address: u64,
    length: u64,
) -> io::Result<Option<Vec<u8>>> {
    match file_range(segments, address) {
        Some((offset, end)) if length <= MAX_TABLE.min(end - offset) => file.range(offset, length),
        _ => Ok(None),
    }
}

/// A one-page cache for small reads close to each other, by file offset.
pub(super) struct Pages<'f> {
    file: &'f dyn ReadAt,
    page: Vec<u8>,
    start: u64,
}

impl<'f> Pages<'f> {
    pub fn new(file: &'f dyn ReadAt) -> Self {
        Self {
            file,
            page: Vec::new(),
            start: 0,
        }
    }

    /// The cached bytes from `offset` on, at least `wanted` of them (at most a page); fewer
    /// only at the end of the file.
    pub fn at(&mut self, offset: u64, wanted: u64) -> io::Result<&[u8]> {
        let end = self.start + self.page.len() as u64;
        let is_here = offset >= self.start && offset.saturating_add(wanted) <= end;
        if !is_here {
            // Read in place, and only as much as the file has: new memory would be zeroed first,
            // each time.
            let left = self.file.size().saturating_sub(offset);
            self.page
                .resize(usize::try_from(left).unwrap_or(PAGE).min(PAGE), 0);
            let count = self.file.read_at(&mut self.page, offset)?;
            self.page.truncate(count);
            self.start = offset;
        }
        Ok(&self.page[(offset - self.start) as usize..])
    }

    /// Reads `[start, end)` at once if that takes no more bytes than `pages` pages: for a table
    /// whose entries are read in random order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_table(&mut self, start: u64, end: u64, pages: usize) -> io::Result<()> {
        let most = (pages as u64).saturating_mul(PAGE as u64).min(MAX_TABLE);
        let length = end.saturating_sub(start);
        if length <= most {
            self.page = self.file.prefix(start, length)?;
            self.start = start;
        }
        Ok(())
    }

    /// The bytes from `offset` to the next NUL; `None` if there is no NUL before `end` or
    /// within `limit` bytes.
    pub fn string(&mut self, offset: u64, end: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let stop = end.min(offset.saturating_add(limit));
        let mut position = offset;
        while position < stop {
            let part = self.at(position, 1)?;
            let available = usize::try_from(stop - position).unwrap_or(usize::MAX);
            let part = &part[..part.len().min(available)];
            if part.is_empty() {
                break;
            }
            if let Some(nul) = memchr::memchr(0, part) {
                text.extend_from_slice(&part[..nul]);
                return Ok(Some(text));
            }
            text.extend_from_slice(part);
            position += part.len() as u64;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_far_outside_a_segment_have_no_place() {
        let load = ProgramHeader {
            p_type: PT_LOAD,
            p_offset: 0x1b,
            p_vaddr: 0x10,
            p_filesz: 0x20,
            ..ProgramHeader::default()
        };
        for (address, place) in [
            (0xf, None),
            (0x10, Some((0x1b, 0x3b))),
            (0x2f, Some((0x3a, 0x3b))),
            (0x30, None),
            (u64::MAX, None),
        ] {
            assert_eq!(file_range(std::slice::from_ref(&load), address), place);
        }
    }
}
