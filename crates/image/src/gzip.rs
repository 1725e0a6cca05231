//! gzip on all cores, or on one where the system gives no threads: the same bytes either way.
//!
//! In: bytes. Out: one gzip member whose blocks are compressed separately, each with the end of the
//! previous block as its dictionary, as pigz does.

use std::io::{self, Write};

use bytes::Bytes;
use gzp::check::Check;
use gzp::deflate::Gzip;
use gzp::par::compress::{ParCompress, ParCompressBuilder};
use gzp::{BUFSIZE, Compression, DICT_SIZE, FormatSpec, GzpError, ZWriter};

use super::compression::BoxedWriter;
use super::threads::can_start;

/// A gzip stream being written.
pub struct Writer(Option<GzipEncoder>);

enum GzipEncoder {
    Parallel(ParCompress<'static, Gzip, BoxedWriter>),
    Sequential(SequentialEncoder),
}

impl Writer {
    /// Compresses into `target`.
    ///
    /// # Errors
    /// When the compressor cannot be created or the header cannot be written.
    pub fn new(target: BoxedWriter, level: u32, threads: usize) -> io::Result<Self> {
        let level = Compression::new(level);
        // The library panics when it cannot start a thread: its compressors, or the one that
        // writes.
        if !can_start(threads + 1) {
            return Ok(Self(Some(GzipEncoder::Sequential(SequentialEncoder::new(
                target, level,
            )?))));
        }
        let builder = ParCompressBuilder::<Gzip>::new().num_threads(threads);
        let builder = builder.map_err(io::Error::other)?;
        let writer = builder.compression_level(level).from_writer(target);
        Ok(Self(Some(GzipEncoder::Parallel(writer))))
    }

    /// Writes the remaining output.
    ///
    /// # Errors
    /// When the target fails.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.0.take() {
            Some(GzipEncoder::Parallel(mut writer)) => writer.finish().map(drop).map_err(plain),
            Some(GzipEncoder::Sequential(writer)) => writer.finish(),
            None => Err(failed()),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.0.as_mut().ok_or_else(failed)? {
            GzipEncoder::Parallel(writer) => writer.write(bytes),
            GzipEncoder::Sequential(writer) => writer.write(bytes),
        };
        if written.is_err() {
            // It has stopped its threads; calling its methods would panic.
            self.0 = None;
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Dropping it unfinished means that there is already an error to report.
        let _ = self.finish();
    }
}

/// The blocks of [`ParCompress`], compressed one after another on this thread.
struct SequentialEncoder {
    target: BoxedWriter,
    level: Compression,
    compressor: <Gzip as FormatSpec>::Compressor,
    check: <Gzip as FormatSpec>::C,
    dictionary: Option<Bytes>,
    buffer: Vec<u8>,
}

impl SequentialEncoder {
    fn new(mut target: BoxedWriter, level: Compression) -> io::Result<Self> {
        target.write_all(&Gzip {}.header(level))?;
        Ok(Self {
            target,
            level,
            compressor: Gzip {}.create_compressor(level).map_err(plain)?,
            check: Gzip::create_check(),
            dictionary: None,
            buffer: Vec::new(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() > BUFSIZE {
            let rest = self.buffer.split_off(BUFSIZE);
            let block = std::mem::replace(&mut self.buffer, rest);
            self.block(Bytes::from(block), false)?;
        }
        Ok(bytes.len())
    }

    fn block(&mut self, block: Bytes, is_last: bool) -> io::Result<()> {
        let dictionary = self.dictionary.take();
        let packed = Gzip {}.encode(
            &block,
            &mut self.compressor,
            self.level,
            dictionary.as_ref(),
            is_last,
        );
        self.target.write_all(&packed.map_err(plain)?)?;
        let mut check = Gzip::create_check();
        check.update(&block);
        self.check.combine(&check);
        if !is_last && block.len() >= DICT_SIZE {
            self.dictionary = Some(block.slice(block.len() - DICT_SIZE..));
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let last = std::mem::take(&mut self.buffer);
        self.block(Bytes::from(last), true)?;
        self.target.write_all(&Gzip {}.footer(&self.check))?;
        self.target.flush()
    }
}

fn failed() -> io::Error {
    io::Error::other("the compressor has failed")
}

/// The target's own I/O error if there is one.
fn plain(error: GzpError) -> io::Error {
    match error {
        GzpError::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_thread_gives_the_bytes_of_many() {
        for length in [0, 1, BUFSIZE - 1, BUFSIZE, BUFSIZE + 1, 5 * BUFSIZE + 77] {
            let bytes: Vec<u8> = (0..length).map(|n| (n / 3 * 7 % 251) as u8).collect();
            let (many, one) = (Shared::default(), Shared::default());
            let mut writer = Writer::new(Box::new(many.clone()), 6, 3).unwrap();
            let mut alone =
                SequentialEncoder::new(Box::new(one.clone()), Compression::new(6)).unwrap();
            for piece in bytes.chunks(10_007) {
                writer.write_all(piece).unwrap();
                alone.write(piece).unwrap();
            }
            writer.finish().unwrap();
            alone.finish().unwrap();
            assert!(
                *many.0.lock().unwrap() == *one.0.lock().unwrap(),
                "{length} bytes"
            );
        }
    }
}
