//! Sparse members: files of which the archive stores only the nonzero parts.
//!
//! In: the map of a member, and the stored bytes. Out: the file as it would be read after
//! unpacking. Source: GNU tar's manual, "Storing Sparse Files".

use std::io;
use std::sync::Arc;

use slimpack_vfs::bytes::ReadAt;

/// Most parts of one member.
const MAX_PARTS: usize = 200_000;

/// Which parts of a file are stored, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Offset in the file, offset in the archive's data, and length of each part, in bytes.
    parts: Vec<(u64, u64, u64)>,
    size: u64,
}

impl SparseMap {
    /// Validates a map of (offset, length): ascending, not overlapping, inside the file, and
    /// covering exactly the stored data.
    pub fn new(given: &[(u64, u64)], size: u64, stored: u64) -> Option<Self> {
        let (mut parts, mut end, mut taken) = (Vec::new(), 0_u64, 0_u64);
        if given.len() > MAX_PARTS {
            return None;
        }
        for &(offset, length) in given {
            let next = offset.checked_add(length)?;
            if offset < end || next > size {
                return None;
            }
            if length > 0 {
                parts.push((offset, taken, length));
            }
            end = next;
            taken = taken.checked_add(length)?;
        }
        (taken == stored).then_some(Self { parts, size })
    }

    /// Whether the first byte of the file is stored.
    pub fn begins_at_zero(&self) -> bool {
        self.parts.first().is_some_and(|(offset, ..)| *offset == 0)
    }

    /// Memory that it uses, in bytes.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(self.parts.as_slice())
    }

    /// Number of parts in the map at the beginning of a member's data (format 1.0), from its first
    /// line, which must be complete.
    pub fn parse_count(text: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', text)?;
        let count = usize::try_from(number(&text[..end])?).ok()?;
        (count <= MAX_PARTS).then_some(count)
    }

    /// Parses that map: after the count, offset and length of each part, one decimal per line.
    pub fn parse_lines(text: &[u8]) -> Option<Vec<(u64, u64)>> {
        let mut lines = text.split(|&byte| byte == b'\n').skip(1).map(number);
        let count = Self::parse_count(text)?;
        (0..count)
            .map(|_| Some((lines.next()??, lines.next()??)))
            .collect()
    }
}

/// A decimal number.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_decimal)?
        .parse()
        .ok()
}

/// The whole file, assembled from its stored parts.
pub(super) struct SparseFile<F> {
    pub stored: F,
    pub map: Arc<SparseMap>,
}

impl<F: ReadAt> ReadAt for SparseFile<F> {
    fn next_data(&self, offset: u64) -> u64 {
        let parts = &self.map.parts;
        let first = parts.partition_point(|(at, _, length)| at.saturating_add(*length) <= offset);
        let found = parts
            .get(first)
            .map_or(self.map.size, |(at, ..)| offset.max(*at));
        found.min(self.map.size)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.map.size.saturating_sub(offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = &mut buffer[..count];
        buffer.fill(0);
        let end = offset + count as u64;
        let parts = &self.map.parts;
        let first = parts.partition_point(|(at, _, length)| at + length <= offset);
        for &(at, stored_at, length) in parts[first..].iter().take_while(|part| part.0 < end) {
            let from = at.max(offset);
            let to = (at + length).min(end);
            let piece = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            let read = self.stored.read_at(piece, stored_at + (from - at))?;
            if read < piece.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(count)
    }

    fn size(&self) -> u64 {
        self.map.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_read_as_zeros_and_parts_as_what_is_stored() {
        let map = SparseMap::new(&[(2, 3), (8, 1), (10, 0)], 10, 4).unwrap();
        let file = SparseFile {
            stored: b"abcd".to_vec(),
            map: Arc::new(map),
        };
        assert_eq!(file.prefix(0, 99).unwrap(), b"\0\0abc\0\0\0d\0");
        for start in 0..10 {
            let whole = file.prefix(0, 10).unwrap();
            assert_eq!(
                file.prefix(start, 4).unwrap(),
                &whole[start as usize..][..4.min(10 - start as usize)]
            );
        }
    }

    #[test]
    fn a_map_that_overlaps_or_outgrows_the_file_is_refused() {
        for (map, size, stored) in [
            (&[(0, 4), (2, 4)][..], 10, 8),
            (&[(8, 4)][..], 10, 4),
            (&[(u64::MAX, 2)][..], 10, 2),
            (&[(0, 4)][..], 10, 5),
        ] {
            assert_eq!(SparseMap::new(map, size, stored), None, "{map:?}");
        }
    }

    #[test]
    fn lines_are_read_to_the_last_number() {
        assert_eq!(SparseMap::parse_lines(b"1\n0\n5\n"), Some(vec![(0, 5)]));
        assert_eq!(SparseMap::parse_lines(b"2\n0\n5\n"), None);
        assert_eq!(SparseMap::parse_count(b"-1\n"), None);
        assert_eq!(SparseMap::parse_count(b"9999999999\n"), None);
    }
}
