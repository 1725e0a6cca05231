//! A file assembled from parts of another.
//!
//! In: ranges of a source, and new bytes. Out: a reader of the resulting file, so that a file of a
//! gigabyte does not have to be in memory.

use std::io;
use std::sync::Arc;

use slimpack_vfs::bytes::ReadAt;

/// The pieces, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    parts: Vec<(u64, Piece)>,
    size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of the source from this offset on.
    Source(u64),
    /// New bytes.
    Bytes(Vec<u8>),
}

impl Pieces {
    /// Size of the whole in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends `length` bytes at `offset` of the source.
    pub(super) fn source(&mut self, offset: u64, length: u64) {
        if length > 0 {
            self.parts.push((self.size, Piece::Source(offset)));
            self.size = self.size.saturating_add(length);
        }
    }

    /// Appends new bytes.
    pub(super) fn bytes(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let length = bytes.len() as u64;
            self.parts.push((self.size, Piece::Bytes(bytes)));
            self.size = self.size.saturating_add(length);
        }
    }

    /// Appends zeros up to a multiple of `alignment`, a power of two of at most a page; other
    /// values are ignored.
    pub(super) fn align(&mut self, alignment: u64) {
        const PAGE: u64 = 64 << 10;
        if alignment.is_power_of_two() && alignment <= PAGE {
            let end = self.size.next_multiple_of(alignment);
            self.bytes(vec![0; (end - self.size) as usize]);
        }
    }

    /// Replaces the first piece with `bytes`, which have the same length.
    pub(super) fn replace_start(&mut self, bytes: Vec<u8>) {
        if let Some((_, first)) = self.parts.first_mut() {
            *first = Piece::Bytes(bytes);
        }
    }

    fn read(&self, source: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        let first = self.parts.partition_point(|(start, _)| *start <= offset);
        for number in first.saturating_sub(1)..self.parts.len() {
            let (start, piece) = &self.parts[number];
            let end = self.parts.get(number + 1).map_or(self.size, |part| part.0);
            let at = offset + done as u64;
            if done == buffer.len() || at >= end {
                break;
            }
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let length = left.min(buffer.len() - done);
            let into = &mut buffer[done..done + length];
            let count = match piece {
                Piece::Source(from) => source.read_at(into, from + (at - start))?,
                Piece::Bytes(bytes) => bytes.read_at(into, at - start)?,
            };
            done += count;
            if count < length {
                break;
            }
        }
        Ok(done)
    }
}

/// A source file rearranged by pieces.
pub struct Assembled<F> {
    pieces: Arc<Pieces>,
    source: F,
}

impl<F: ReadAt> Assembled<F> {
    /// The file assembled from `source` by `pieces`.
    pub fn new(pieces: Arc<Pieces>, source: F) -> Self {
        Self { pieces, source }
    }
}

impl<F: ReadAt> ReadAt for Assembled<F> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pieces.read(&self.source, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.pieces.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_reads_what_the_pieces_make() {
        let source: Vec<u8> = (0..=255).collect();
        let mut pieces = Pieces::default();
        pieces.bytes(b"head".to_vec());
        pieces.source(10, 7);
        pieces.source(0, 0);
        pieces.align(8);
        pieces.source(200, 56);
        let mut whole = b"head".to_vec();
        whole.extend(&source[10..17]);
        whole.resize(16, 0);
        whole.extend(&source[200..]);
        let file = Assembled::new(Arc::new(pieces), &source[..]);
        assert_eq!(file.size(), whole.len() as u64);
        for start in 0..=whole.len() {
            for length in 0..=whole.len() - start {
                let read = file.range(start as u64, length as u64).unwrap();
                assert_eq!(read.as_deref(), Some(&whole[start..start + length]));
            }
        }
        assert_eq!(file.prefix(70, 99).unwrap(), whole[70..]);
        assert_eq!(file.read_at(&mut [0; 4], 72).unwrap(), 0);
    }

    #[test]
    fn alignments_of_hostile_files_are_none() {
        let mut pieces = Pieces::default();
        pieces.bytes(vec![1]);
        for alignment in [0, 3, 1 << 40, u64::MAX] {
            pieces.align(alignment);
        }
        assert_eq!(pieces.size(), 1);
    }
}
