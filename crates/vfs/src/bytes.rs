//! Ranged reads: what every parser of this crate reads from.
//!
//! In: a file of some file tree, or a byte slice. Out: the bytes of one range,
//! after the range has been checked against the size of the file, so that a
//! length taken from a hostile file never causes an allocation for data that
//! does not exist.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Random access to the bytes of one file.
pub trait ReadAt: Send + Sync {
    /// Reads into `buffer` from `offset` (bytes), and returns how many bytes were read; fewer than
    /// requested only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Size of the file in bytes.
    fn size(&self) -> u64;

    /// The first offset at or after `offset` where bytes may not be zero; the size of the file if
    /// there is none. A file may have holes, so its size says nothing about its content
    /// (`lseek(2)`).
    fn next_data(&self, offset: u64) -> u64 {
        offset.min(self.size())
    }

    /// The `length` bytes at `offset`, or `None` if the file ends before that.
    fn range(&self, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.size());
        let Some(length) = usize::try_from(length).ok().filter(|_| inside) else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        let got = self.read_at(&mut bytes, offset)?;
        Ok((got == length).then_some(bytes))
    }

    /// Passes all bytes to `take`, in order and in chunks.
    ///
    /// # Errors
    /// When reading fails, the file has become shorter, or `take` fails.
    fn each_chunk(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        const CHUNK: u64 = 64 << 10;
        let mut buffer = vec![0; CHUNK.min(self.size()) as usize];
        let mut offset = 0;
        while offset < self.size() {
            match self.read_at(&mut buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    take(&buffer[..count])?;
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Up to `length` bytes at `offset`; fewer if the file ends before that.
    fn prefix(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = length.min(self.size().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let got = self.read_at(&mut bytes, offset)?;
        bytes.truncate(got);
        Ok(bytes)
    }
}

/// Reads from an open file until `buffer` is full or the file ends.
///
/// # Errors
/// The error of `pread(2)`, except `EINTR`.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let done = fill(file, buffer, offset)?;
    READ.fetch_add(done as u64, Ordering::Relaxed);
    Ok(done)
}

/// Bytes that [`read_at`] has read in this process: the progress of a long operation.
static READ: AtomicU64 = AtomicU64::new(0);

/// Number of bytes that this process has read from files, to display progress.
pub fn bytes_read() -> u64 {
    READ.load(Ordering::Relaxed)
}

fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match FileExt::read_at(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Whether two files hold the same bytes.
///
/// # Errors
/// When one of them cannot be read.
pub fn is_same(one: &dyn ReadAt, other: &dyn ReadAt) -> io::Result<bool> {
    const CHUNK: u64 = 64 << 10;
    if one.size() != other.size() {
        return Ok(false);
    }
    let mut buffers = [CHUNK.min(one.size()); 2].map(|length| vec![0; length as usize]);
    let mut offset = 0;
    loop {
        // Holes in both files are equal.
        offset = one.next_data(offset).min(other.next_data(offset));
        if offset >= one.size() {
            return Ok(true);
        }
        let [here, there] = &mut buffers;
        let counts = [one.read_at(here, offset)?, other.read_at(there, offset)?];
        if counts[0] != counts[1] || counts[0] == 0 || here[..counts[0]] != there[..counts[0]] {
            return Ok(false);
        }
        offset += counts[0] as u64;
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let count = buffer.len().min(self.len() - start);
        buffer[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn next_data(&self, offset: u64) -> u64 {
        self.as_ref().next_data(offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_ref().read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.as_ref().size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn next_data(&self, offset: u64) -> u64 {
        self.as_ref().next_data(offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_ref().read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.as_ref().size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn next_data(&self, offset: u64) -> u64 {
        (**self).next_data(offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// A part of a file that is used as a file itself: a member of an archive.
#[derive(Clone)]
pub struct Slice {
    file: Arc<dyn ReadAt>,
    start: u64,
    size: u64,
}

impl Slice {
    /// The `size` bytes at `start` of `file`; reads past the end of `file` behave like reads past
    /// the end of the slice.
    pub fn new(file: Arc<dyn ReadAt>, start: u64, size: u64) -> Self {
        Self { file, start, size }
    }

    /// All of `file`.
    pub fn whole(file: Arc<dyn ReadAt>) -> Self {
        let size = file.size();
        Self::new(file, 0, size)
    }
}

impl ReadAt for Slice {
    fn next_data(&self, offset: u64) -> u64 {
        let Some(position) = self.start.checked_add(offset) else {
            return self.size;
        };
        let found = self.file.next_data(position).saturating_sub(self.start);
        found.clamp(offset.min(self.size), self.size)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(position) = self.start.checked_add(offset) else {
            return Ok(0);
        };
        self.file.read_at(&mut buffer[..count], position)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Reads a file from its beginning to its end.
pub struct Sequential {
    file: Slice,
    position: u64,
}

impl Sequential {
    /// A reader at the beginning of `file`.
    pub fn new(file: Slice) -> Self {
        Self { file, position: 0 }
    }
}

impl io::Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
