//! Temporary storage for the files of compressed layers that may be read again.
//!
//! In: data from a stream. Out: slices of one unnamed temporary file, which is deleted with its
//! last reader.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slimpack_vfs::bytes::{self, ReadAt, Slice};

/// Bytes written at a time.
const PIECE: usize = 64 << 10;

/// A growing temporary file, which layers can write to concurrently.
pub(super) struct Spool {
    file: File,
    end: AtomicU64,
}

impl Spool {
    /// Creates an empty file.
    ///
    /// # Errors
    /// When the temporary file cannot be created.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            end: AtomicU64::new(0),
        })
    }

    /// Stores the `size` bytes of `data`, and passes each piece to the callback.
    ///
    /// # Errors
    /// When they cannot be read or written, or there are fewer.
    pub fn store(
        self: &Arc<Self>,
        data: &mut dyn Read,
        size: u64,
        show: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Slice> {
        let start = self.end.fetch_add(size, Ordering::Relaxed);
        let mut piece = vec![0; usize::try_from(size).map_or(PIECE, |size| size.min(PIECE))];
        let mut done = 0;
        while done < size {
            let left = usize::try_from(size - done)
                .unwrap_or(PIECE)
                .min(piece.len());
            let count = data.read(&mut piece[..left])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            show(&piece[..count]);
            self.file.write_all_at(&piece[..count], start + done)?;
            done += count as u64;
        }
        Ok(Slice::new(self.clone(), start, size))
    }
}

impl ReadAt for Spool {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        bytes::read_at(&self.file, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }
}
