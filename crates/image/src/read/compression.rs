//! Compression, detected by content.
//!
//! In: the first bytes of a file, and a stream. Out: the decompressed stream, stopped before it
//! exceeds the limits.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::{Limits, RATIO_FROM};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionFormat {
    /// Uncompressed.
    None,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// Recognized but not supported; its name.
    Unsupported(&'static str),
}

impl CompressionFormat {
    /// Bytes that [`Self::of`] looks at.
    pub const MAGIC: usize = 6;

    /// Detects it from the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame before the data.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Unsupported("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Unsupported("lz4"),
            // lz4's legacy frame, which Linux reads.
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Unsupported("lz4"),
            [0x89, b'L', b'Z', b'O', ..] => Self::Unsupported("lzop"),
            _ => Self::None,
        }
    }

    /// The name shown to users, and the suffix of media types.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Unsupported(name) => name,
        }
    }

    /// A reader that decompresses `packed`.
    ///
    /// # Errors
    /// When the decoder cannot be set up, or the compression is not supported.
    pub fn decoder<'r>(
        self,
        packed: impl Read + Send + 'r,
        budget: &Budget,
    ) -> io::Result<Box<dyn Read + Send + 'r>> {
        let taken = Arc::new(AtomicU64::new(0));
        let packed = Counted {
            inner: packed,
            taken: taken.clone(),
        };
        let inner: Box<dyn Read + Send + 'r> = match self {
            Self::None => return Ok(Box::new(packed)),
            Self::Gzip => {
                let buffered = io::BufReader::with_capacity(BUFFER, packed);
                Box::new(flate2::bufread::MultiGzDecoder::new(buffered))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(packed)?;
                decoder.window_log_max(budget.window_log())?;
                Box::new(decoder)
            }
            Self::Xz => {
                let limit = budget.window_in_kib();
                Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, limit))
            }
            Self::Unsupported(name) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, name));
            }
        };
        Ok(Box::new(Bounded {
            inner,
            taken,
            given: 0,
            budget: budget.clone(),
        }))
    }
}

/// A compressed part of an initrd that can be read; what follows it is not touched.
pub(super) struct Segment<R> {
    inner: io::BufReader<R>,
    taken: Arc<AtomicU64>,
}

impl<R: Read + Send> Segment<R> {
    /// A segment that begins where `packed` does.
    pub fn new(packed: R) -> Self {
        Self {
            inner: io::BufReader::with_capacity(BUFFER, packed),
            taken: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The compressed bytes that have been consumed.
    pub fn taken(&self) -> Arc<AtomicU64> {
        self.taken.clone()
    }

    /// A reader of exactly one compressed stream: one member of gzip, one frame of zstd.
    ///
    /// # Errors
    /// When the decoder cannot be set up, or the compression is not supported.
    pub fn decoder<'r>(
        self,
        compression: CompressionFormat,
        budget: &Budget,
    ) -> io::Result<Box<dyn Read + Send + 'r>>
    where
        R: 'r,
    {
        let taken = self.taken.clone();
        let inner: Box<dyn Read + Send + 'r> = match compression {
            CompressionFormat::Gzip => Box::new(flate2::bufread::GzDecoder::new(self)),
            CompressionFormat::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(self)?.single_frame();
                decoder.window_log_max(budget.window_log())?;
                Box::new(decoder)
            }
            CompressionFormat::Xz => {
                let limit = budget.window_in_kib();
                Box::new(lzma_rust2::XzReader::new_mem_limit(self, false, limit))
            }
            CompressionFormat::Unsupported("bzip2") => {
                Box::new(bzip2::bufread::BzDecoder::new(self))
            }
            CompressionFormat::Unsupported("lz4") => {
                Box::new(lz4_flex::frame::FrameDecoder::new(self))
            }
            other => return Err(io::Error::new(io::ErrorKind::Unsupported, other.name())),
        };
        Ok(Box::new(Bounded {
            inner,
            taken,
            given: 0,
            budget: budget.clone(),
        }))
    }
}

impl<R: Read> Read for Segment<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: Read> io::BufRead for Segment<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        self.inner.consume(count);
    }
}

/// Compressed bytes read at a time.
const BUFFER: usize = 128 << 10;

/// How many more bytes all compressed parts of one image may decompress to.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicU64>,
    limits: Limits,
}

impl Budget {
    /// A full budget according to `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(limits.unpacked)),
            limits,
        }
    }

    /// The limit on the window in zstd's own unit: the next lower power of two.
    fn window_log(&self) -> u32 {
        self.limits.window.max(1024).ilog2().min(31)
    }

    /// The same in KiB for xz, whose decoder needs about 100 KiB besides the dictionary.
    fn window_in_kib(&self) -> u32 {
        let limit = (self.limits.window >> 10).saturating_add(256);
        u32::try_from(limit).unwrap_or(u32::MAX)
    }
}

/// A limit that ended a stream, passed through [`io::Error`] to where it is reported.
#[derive(Debug)]
pub struct Exceeded {
    /// What exceeds the limit.
    pub what: &'static str,
    /// Name of the limit.
    pub name: &'static str,
    /// The value of the limit.
    pub limit: u64,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.what, self.limit)
    }
}

impl std::error::Error for Exceeded {}

struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Bounded<'r> {
    inner: Box<dyn Read + Send + 'r>,
    taken: Arc<AtomicU64>,
    given: u64,
    budget: Budget,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limits = &self.budget.limits;
        let count = self
            .inner
            .read(buffer)
            .map_err(|error| match looks_too_far(&error) {
                true => io::Error::other(Exceeded {
                    what: "decompressing it takes a window of more than this many bytes",
                    name: "window",
                    limit: limits.window,
                }),
                false => error,
            })?;
        self.given += count as u64;
        let taken = self.taken.load(Ordering::Relaxed);
        if self.given > RATIO_FROM && self.given / limits.ratio.max(1) > taken {
            return Err(io::Error::other(Exceeded {
                what: "it unpacks to more than this many times its size",
                name: "ratio",
                limit: limits.ratio,
            }));
        }
        let take = |left: u64| left.checked_sub(count as u64);
        let order = Ordering::Relaxed;
        if self.budget.left.fetch_update(order, order, take).is_err() {
            return Err(io::Error::other(Exceeded {
                what: "it unpacks to more than this many bytes",
                name: "unpacked",
                limit: limits.unpacked,
            }));
        }
        Ok(count)
    }
}

/// Whether a decoder gave up because of the window size: xz has an error kind for it, zstd only a
/// message (`ZSTD_error_frameParameter_windowTooLarge`).
fn looks_too_far(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error.to_string().contains("requires too much memory")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], limits: Limits) -> io::Result<u64> {
        let mut decoder = CompressionFormat::of(packed).decoder(packed, &Budget::new(limits))?;
        io::copy(&mut decoder, &mut io::sink())
    }

    #[test]
    fn every_kind_is_told_by_its_first_bytes_and_unpacked() {
        let text = b"some text, ".repeat(1000);
        let two_members = [gzip(&text[..5000]), gzip(&text[5000..])].concat();
        for packed in [two_members, zstd::encode_all(&text[..], 1).unwrap()] {
            let length = unpack(&packed, Limits::default()).unwrap();
            assert_eq!(length, text.len() as u64);
        }
        assert_eq!(CompressionFormat::of(b"\xfd7zXZ\0"), CompressionFormat::Xz);
        assert_eq!(
            CompressionFormat::of(b"BZh91AY"),
            CompressionFormat::Unsupported("bzip2")
        );
        assert_eq!(CompressionFormat::of(b""), CompressionFormat::None);
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio_and_a_giant_by_the_budget() {
        let bomb = gzip(&vec![0; (RATIO_FROM + (64 << 20)) as usize]);
        let limits = Limits {
            ratio: 100,
            ..Limits::default()
        };
        let error = unpack(&bomb, limits).unwrap_err();
        let exceeded = error.get_ref().unwrap().downcast_ref::<Exceeded>().unwrap();
        assert_eq!(exceeded.name, "ratio");
        let limits = Limits {
            unpacked: 1 << 20,
            ..Limits::default()
        };
        let error = unpack(&bomb, limits).unwrap_err();
        let exceeded = error.get_ref().unwrap().downcast_ref::<Exceeded>().unwrap();
        assert_eq!(exceeded.name, "unpacked");
    }

    #[test]
    fn a_window_of_gigabytes_is_not_allocated() {
        // A frame header with a window of 2 GiB (RFC 8878, 3.1.1.1), and a dictionary of xz of 4 GiB - 1.
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        let error = unpack(&zstd, Limits::default()).unwrap_err();
        let exceeded = error.get_ref().unwrap().downcast_ref::<Exceeded>();
        assert_eq!(
            exceeded.map(|exceeded| exceeded.name),
            Some("window"),
            "{error}"
        );
        let mut xz = b"\xfd7zXZ\0\0\0\xff\x12\xd9\x41".to_vec();
        let mut block = vec![0x02, 0x00, 0x21, 0x01, 40, 0, 0, 0];
        block.extend(crc32(&block).to_le_bytes());
        xz.extend(block);
        xz.extend([0; 64]);
        let error = unpack(&xz, Limits::default()).unwrap_err();
        let exceeded = error.get_ref().unwrap().downcast_ref::<Exceeded>();
        assert_eq!(
            exceeded.map(|exceeded| exceeded.name),
            Some("window"),
            "{error}"
        );
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut check = !0_u32;
        for byte in bytes {
            check ^= u32::from(*byte);
            for _ in 0..8 {
                check = (check >> 1) ^ (0xedb8_8320 & (check & 1).wrapping_neg());
            }
        }
        !check
    }
}
