//! Input of a tar reader: a seekable file or a stream.
//!
//! In: a slice of a file, or a reader. Out: blocks in order. Both have the same interface; in a
//! file the data of members is skipped without reading it.

use std::io::{self, Read};

use slimpack_vfs::bytes::{ReadAt, Slice};

/// Sequential input with skipping.
pub(super) trait Input {
    /// Bytes consumed so far.
    fn position(&self) -> u64;

    /// The next `count` bytes, at most 4 KiB, without consuming them; fewer only at the end.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]>;

    /// Skips `count` bytes; false if the input ends before that.
    fn skip(&mut self, count: u64) -> io::Result<bool>;

    /// Reads into `buffer`; 0 only at the end or for an empty buffer.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Bytes read from a file at a time: a header, and the small files after it.
const WINDOW: usize = 4 << 10;
/// Bytes read from a stream at a time.
const BUFFER: usize = 128 << 10;

/// A file.
pub(super) struct InPlace {
    file: Slice,
    position: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl InPlace {
    pub fn new(file: Slice) -> Self {
        Self {
            file,
            position: 0,
            window: Vec::new(),
            window_at: 0,
        }
    }
}

impl Input for InPlace {
    fn position(&self) -> u64 {
        self.position
    }

    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        let is_here = self.position >= self.window_at && self.position + count as u64 <= end;
        if !is_here {
            self.window.resize(WINDOW, 0);
            let read = self.file.read_at(&mut self.window, self.position)?;
            self.window.truncate(read);
            self.window_at = self.position;
        }
        let rest = &self.window[(self.position - self.window_at) as usize..];
        Ok(&rest[..count.min(rest.len())])
    }

    fn skip(&mut self, count: u64) -> io::Result<bool> {
        let end = self.position.checked_add(count);
        let Some(end) = end.filter(|end| *end <= self.file.size()) else {
            return Ok(false);
        };
        self.position = end;
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = self.position.checked_sub(self.window_at);
        let rest = inside.and_then(|start| self.window.get(usize::try_from(start).ok()?..));
        let count = match rest {
            // An extended header is in the same window as its own header.
            Some(rest) if !rest.is_empty() => {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                count
            }
            _ => self.file.read_at(buffer, self.position)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// A stream.
pub(super) struct Streamed<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: u64,
}

impl<R: Read> Streamed<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            position: 0,
        }
    }

    /// Reads more input into the buffer; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<R: Read> Input for Streamed<R> {
    fn position(&self) -> u64 {
        self.position
    }

    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count && self.fill()? {}
        let have = (self.end - self.start).min(count);
        Ok(&self.buffer[self.start..self.start + have])
    }

    fn skip(&mut self, mut count: u64) -> io::Result<bool> {
        while count > 0 {
            if self.start == self.end && !self.fill()? {
                return Ok(false);
            }
            let have = self.end - self.start;
            let taken = usize::try_from(count).unwrap_or(usize::MAX).min(have);
            self.start += taken;
            self.position += taken as u64;
            count -= taken as u64;
        }
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.start == self.end && !self.fill()?) {
            return Ok(0);
        }
        let count = buffer.len().min(self.end - self.start);
        buffer[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        self.position += count as u64;
        Ok(count)
    }
}
