//! SHA-256 of what is being written.
//!
//! In: bytes passed to a writer. Out: their digest and length. Large streams are hashed in
//! a second thread while the first one reads and writes; small ones do not start a
//! thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3Default;

use slimpack_vfs::bytes::ReadAt;

/// Size of a chunk passed to the hashing thread, in bytes.
const CHUNK: usize = 256 << 10;
/// Without a thread, writes of at least this many bytes are passed on as they are; smaller ones are
/// gathered. A page of a buffer costs more than the system call that a larger buffer saves.
const GATHERED: usize = 16 << 10;
/// Chunks in flight between the two threads; bounds the memory used.
const CHUNKS: usize = 8;
/// Streams of at least this many bytes are hashed in a separate thread.
const THREAD_FROM: u64 = 8 << 20;

/// Digest and size of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

impl Blob {
    /// Digest and size of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: hex(Sha256::digest(bytes).as_slice()),
            size: bytes.len() as u64,
        }
    }

    /// Digest and size of a whole file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(file: &dyn ReadAt) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; CHUNK];
        let mut size = 0;
        loop {
            let count = file.read_at(&mut piece, size)?;
            if count == 0 {
                break;
            }
            hash.update(&piece[..count]);
            size += count as u64;
        }
        Ok(Self {
            sha256: hex(hash.finalize().as_slice()),
            size,
        })
    }

    /// The digest as `sha256:` and hexadecimal digits.
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    /// Path of the blob in an image layout.
    pub fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }
}

/// The digits of a digest (`sha256:` and 64 lower-case hexadecimal digits), which are safe as a file name;
/// `None` for anything else.
pub(crate) fn digits(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| is_hex(hex))
}

/// Whether a text is a SHA-256 in lower-case hexadecimal.
pub(crate) fn is_hex(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(is_digit)
}

/// A writer with a fast checksum (XXH3) of the bytes it passes on: it detects accidental changes,
/// not malicious ones.
pub(super) struct Checksum<W> {
    out: W,
    hash: Box<Xxh3Default>,
}

impl<W> Checksum<W> {
    /// Wraps `out`.
    pub fn new(out: W) -> Self {
        let hash = Box::default();
        Self { out, hash }
    }

    /// The checksum of what was written so far.
    pub fn value(&self) -> u128 {
        self.hash.digest128()
    }
}

impl<W: Write> Write for Checksum<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A writer that hashes the bytes it passes on.
pub struct Digester<W> {
    out: W,
    buffer: Vec<u8>,
    /// How much is gathered before it is passed on.
    capacity: usize,
    size: u64,
    hasher: Hasher,
}

enum Hasher {
    Here(Box<Sha256>),
    Thread(Thread),
}

struct Thread {
    full: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<Sha256>,
}

impl<W: Write> Digester<W> {
    /// Wraps `out`; about `expected` bytes will be written.
    pub fn new(out: W, expected: u64) -> Self {
        let thread = (expected >= THREAD_FROM).then(Thread::start).flatten();
        let hasher = thread.map_or_else(|| Hasher::Here(Box::default()), Hasher::Thread);
        let capacity = match hasher {
            Hasher::Here(_) => GATHERED,
            Hasher::Thread(_) => CHUNK,
        };
        Self {
            out,
            buffer: Vec::with_capacity(capacity),
            capacity,
            size: 0,
            hasher,
        }
    }

    /// Flushes the rest and returns the digest and size.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(mut self) -> io::Result<Blob> {
        self.pass_on()?;
        let hash = match self.hasher {
            Hasher::Here(hash) => *hash,
            Hasher::Thread(thread) => thread.join()?,
        };
        Ok(Blob {
            sha256: hex(hash.finalize().as_slice()),
            size: self.size,
        })
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.size += self.buffer.len() as u64;
        match &mut self.hasher {
            Hasher::Here(hash) => hash.update(&self.buffer),
            Hasher::Thread(thread) => thread.swap(&mut self.buffer)?,
        }
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Digester<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_large = matches!(self.hasher, Hasher::Here(_)) && bytes.len() >= GATHERED;
        if is_large || self.buffer.len() == self.capacity {
            self.pass_on()?;
        }
        if let (Hasher::Here(hash), true) = (&mut self.hasher, is_large) {
            let count = self.out.write(bytes)?;
            hash.update(&bytes[..count]);
            self.size += count as u64;
            return Ok(count);
        }
        let count = bytes.len().min(self.capacity - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

impl Thread {
    /// `None` if the system gives no more threads: then this thread hashes.
    fn start() -> Option<Self> {
        let (full, incoming) = channel::<Vec<u8>>();
        let (done, empty) = channel();
        for _ in 1..CHUNKS {
            // Cannot fail: the receiver is in scope.
            let _ = done.send(Vec::with_capacity(CHUNK));
        }
        let work = move || {
            let mut hash = Sha256::new();
            for chunk in incoming {
                hash.update(&chunk);
                if done.send(chunk).is_err() {
                    break;
                }
            }
            hash
        };
        Some(Self {
            full,
            empty,
            handle: std::thread::Builder::new().spawn(work).ok()?,
        })
    }

    /// Exchanges a full buffer for an empty one.
    fn swap(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let next = self.empty.recv().map_err(|_| died())?;
        let full = std::mem::replace(buffer, next);
        self.full.send(full).map_err(|_| died())
    }

    fn join(self) -> io::Result<Sha256> {
        drop(self.full);
        self.handle.join().map_err(|_| died())
    }
}

fn died() -> io::Error {
    io::Error::other("the hashing thread failed")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_hashing_give_the_digest_of_the_bytes() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n * 7) as u8).collect();
        for expected in [0, u64::MAX] {
            let mut out = Vec::new();
            let mut digester = Digester::new(&mut out, expected);
            for part in bytes.chunks(9973) {
                digester.write_all(part).unwrap();
            }
            assert_eq!(digester.finish().unwrap(), Blob::of(&bytes));
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            Blob::of(b"abc").sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
