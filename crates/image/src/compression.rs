//! How the layer is compressed.
//!
//! In: the bytes of a layer. Out: its compressed bytes, identical for any number of cores: zstd
//! always uses workers, gzip always blocks of one size (RFC 1952, RFC 8878).

use std::io::{self, Write};

use super::gzip;
use super::threads::can_start;
use oci_spec::image::MediaType;
use zstd::zstd_safe::CParameter;

/// Compression method and level of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Uncompressed.
    #[default]
    None,
    /// gzip, level 1 to 9.
    Gzip(u32),
    /// zstd, level 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// The default level of engines.
    const GZIP: u32 = 6;
    const ZSTD: i32 = 3;
    /// Bytes that a worker of zstd compresses at a time, of which a few are held for each. Half of
    /// what zstd takes by itself: half the memory, for 0.3 % more bytes.
    const JOB: u32 = 4 << 20;
    /// The highest level for which jobs are so short. Those above look back further than a job,
    /// and would read most bytes twice.
    const SHORT_JOBS: i32 = 16;

    /// Parses `none`, `gzip[:LEVEL]` or `zstd[:LEVEL]`.
    ///
    /// # Errors
    /// A message that names the valid values.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let level = |default: i32, most: i32| match level.map(str::parse::<i32>) {
            None => Ok(default),
            Some(Ok(level)) if (1..=most).contains(&level) => Ok(level),
            Some(_) => Err(format!("{name} levels are 1 to {most}")),
        };
        match name {
            "none" if !text.contains(':') => Ok(Self::None),
            "gzip" => Ok(Self::Gzip(level(Self::GZIP as i32, 9)?.unsigned_abs())),
            "zstd" => Ok(Self::Zstd(level(Self::ZSTD, 22)?)),
            _ => Err("expected none, gzip or zstd, with a level as in gzip:9 or zstd:19".into()),
        }
    }

    /// The media type of a layer (`layer.md` of the specification).
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip(_) => MediaType::ImageLayerGzip,
            Self::Zstd(_) => MediaType::ImageLayerZstd,
        }
    }

    /// A writer that compresses into `target`.
    ///
    /// # Errors
    /// When the encoder cannot be created.
    pub fn writer(self, target: BoxedWriter) -> io::Result<Compressor> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(match self {
            Self::None => Compressor::None(target),
            Self::Gzip(level) => {
                Compressor::Gzip(Box::new(gzip::Writer::new(target, level, cores)?))
            }
            Self::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(target, level)?;
                // Without worker threads, this thread would compress in other blocks, which gives
                // other bytes.
                if can_start(cores) {
                    encoder.multithread(u32::try_from(cores).unwrap_or(1))?;
                    if level <= Self::SHORT_JOBS {
                        encoder.set_parameter(CParameter::JobSize(Self::JOB))?;
                    }
                }
                Compressor::Zstd(Box::new(encoder))
            }
        })
    }
}

/// Where compressed bytes are written: one type, so that the compressors are compiled once.
pub type BoxedWriter = Box<dyn Write + Send>;

/// A running compressor.
pub enum Compressor {
    /// No compression: bytes pass through.
    None(BoxedWriter),
    /// gzip.
    Gzip(Box<gzip::Writer>),
    /// zstd.
    Zstd(Box<zstd::Encoder<'static, BoxedWriter>>),
}

impl Compressor {
    /// Flushes the remaining output.
    ///
    /// # Errors
    /// When writing to the target fails.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::None(mut file) => file.flush(),
            Self::Gzip(mut writer) => writer.finish(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(file) => file.write(bytes),
            Self::Gzip(writer) => writer.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Compression;

    #[test]
    fn a_level_may_stand_behind_the_name() {
        for (text, expected) in [
            ("none", Compression::None),
            ("gzip", Compression::Gzip(6)),
            ("gzip:9", Compression::Gzip(9)),
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
        ] {
            assert_eq!(Compression::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "", "gz", "none:1", "gzip:0", "gzip:10", "zstd:23", "zstd:", "zstd:-1",
        ] {
            assert!(Compression::parse(text).is_err(), "{text}");
        }
    }
}
