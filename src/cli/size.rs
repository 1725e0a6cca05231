//! `slimpack size IMAGE...`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anstyle::Style;
use serde::Serialize;

use super::args::{Common, SizeArgs};
use super::error::CliError;
use super::inspect;
use super::location::ImageLocation;
use super::progress::Progress;
use crate::engine::Engine;
use crate::image::Compression;
use crate::image::read::{self, Image, Images, Interest, Kind};
use crate::inspect::Figures;
use crate::report::size;
use crate::vfs::one_line;

const DIM: Style = Style::new().dimmed();
/// Size of the read buffer, in bytes.
const PIECE: usize = 64 << 10;

/// All images, as JSON of schema 1.
#[derive(Serialize)]
struct SizeDocument<'a> {
    schema: u32,
    images: &'a [Sizes],
}

/// One image, or one platform of it. Sizes are in bytes.
#[derive(Serialize)]
struct Sizes {
    image: String,
    platform: Option<String>,
    layers: usize,
    files: usize,
    /// Uncompressed size of the layer tars.
    plain: u64,
    /// Their size in gzip: as stored, else as slimpack compresses them.
    gzip: Option<u64>,
    /// Their size in zstd, likewise.
    zstd: Option<u64>,
    /// `plain`, relative to the smallest image.
    ratio: f64,
}

pub(super) fn run(args: &SizeArgs, common: &Common) -> Result<ExitCode, CliError> {
    let mut sizes = Vec::new();
    for path in &args.images {
        let _progress = Progress::reading(path, "measuring", common.quiet);
        sizes.extend(measure(path, args)?);
    }
    let smallest = sizes
        .iter()
        .map(|sizes| sizes.plain)
        .min()
        .unwrap_or_default();
    for sizes in &mut sizes {
        sizes.ratio = sizes.plain as f64 / smallest.max(1) as f64;
    }
    let mut out = super::text_output(!args.json);
    if args.json {
        let document = SizeDocument {
            schema: 1,
            images: &sizes,
        };
        writeln!(out, "{}", super::json(&document)?)?;
    } else {
        table(&sizes, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn measure(path: &Path, args: &SizeArgs) -> Result<Vec<Sizes>, CliError> {
    // A stream can be read only once, but is read several times here.
    let copy = spooled(path)?;
    let stored = match &copy {
        None => path.to_path_buf(),
        Some(copy) => {
            let mut stored = copy.path().as_os_str().to_owned();
            if let Some(name) = ImageLocation::of(path).name {
                stored.push("#");
                stored.push(name);
            }
            stored.into()
        }
    };
    let stored = stored.as_path();
    let mut images = inspect::open(stored, &args.reading, Interest::Listing)?;
    let mut sizes = Vec::new();
    for number in 0..images.count() {
        let fail = |error| CliError::File(path.to_path_buf(), error);
        let (plain, gzip, zstd) = match images.kind {
            Kind::Rootfs | Kind::Cpio => (0, None, None),
            Kind::RootfsTar => root_tar(stored, inspect::limits(&args.reading)).map_err(fail)?,
            _ => layers(path, &images, number)?,
        };
        let image = inspect::read_one(path, &mut images, number)?;
        sizes.push(of_image(path, &image, images.kind, (plain, gzip, zstd)));
        inspect::check(path, image)?;
    }
    Ok(sizes)
}

type TarSizes = (u64, Option<u64>, Option<u64>);

fn of_image(path: &Path, image: &Image, kind: Kind, bytes: TarSizes) -> Sizes {
    let figures = Figures::of(image, &image.view());
    let (plain, gzip, zstd) = bytes;
    Sizes {
        image: path.display().to_string(),
        platform: image
            .description
            .as_ref()
            .map(|image| image.platform.to_string()),
        layers: image.layers.len().max(1),
        files: figures.files,
        // A directory or an initrd is not a tar: the sizes of its files count.
        plain: if matches!(kind, Kind::Rootfs | Kind::Cpio) {
            figures.bytes
        } else {
            plain
        },
        gzip,
        zstd,
        ratio: 0.0,
    }
}

/// The sizes of a root tar, which may be compressed.
fn root_tar(path: &Path, limits: read::Limits) -> io::Result<TarSizes> {
    let mut start = Vec::new();
    let mut file = File::open(path)?;
    let stored = file.metadata()?.len();
    (&mut file)
        .take(read::CompressionFormat::MAGIC as u64)
        .read_to_end(&mut start)?;
    let compression = read::CompressionFormat::of(&start);
    let budget = read::Budget::new(limits);
    let mut tar = compression.decoder(File::open(path)?, &budget)?;
    compressed(&mut tar, compression, stored)
}

fn layers(path: &Path, images: &Images, number: usize) -> Result<TarSizes, CliError> {
    let fail = |error| CliError::image(path, error);
    let mut sum = (0, Some(0), Some(0));
    for layer in images.layer_tars(number).map_err(fail)? {
        let mut tar = layer.tar;
        let (plain, gzip, zstd) = compressed(&mut tar, layer.compression, layer.size)
            .map_err(|error| CliError::File(path.to_path_buf(), error))?;
        let add = |sum: Option<u64>, more: Option<u64>| Some(sum?.saturating_add(more?));
        sum = (sum.0 + plain, add(sum.1, gzip), add(sum.2, zstd));
    }
    Ok(sum)
}

/// The size of a tar, plain and with each method; the stored size for the method it is stored with.
fn compressed(
    tar: &mut dyn Read,
    is: read::CompressionFormat,
    stored: u64,
) -> io::Result<TarSizes> {
    let known = |method| (is == method).then_some(stored);
    let methods = [
        (known(read::CompressionFormat::Gzip), "gzip"),
        (known(read::CompressionFormat::Zstd), "zstd"),
    ];
    let mut writers = Vec::new();
    for (known, name) in &methods {
        if known.is_none() {
            let counter = Counter::default();
            let method = Compression::parse(name).map_err(io::Error::other)?;
            writers.push((*name, counter.clone(), method.writer(Box::new(counter))?));
        }
    }
    let (mut plain, mut piece) = (0, vec![0; PIECE]);
    loop {
        let count = tar.read(&mut piece)?;
        if count == 0 {
            break;
        }
        plain += count as u64;
        for (_, _, writer) in &mut writers {
            writer.write_all(&piece[..count])?;
        }
    }
    let mut found = methods.map(|(known, _)| known);
    for (name, counter, writer) in writers {
        writer.finish()?;
        let at = usize::from(name == "zstd");
        found[at] = Some(counter.0.load(Ordering::Relaxed));
    }
    Ok((plain, found[0], found[1]))
}

/// Counts what is written to it.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A copy of standard input, or of the image with that name in the local engine.
fn spooled(path: &Path) -> Result<Option<tempfile::NamedTempFile>, CliError> {
    let name = inspect::reference(path);
    if ImageLocation::of(path).path != Path::new("-") && name.is_none() {
        return Ok(None);
    }
    let fail = |error| CliError::File(PathBuf::from(path), error);
    let mut copy = tempfile::NamedTempFile::new().map_err(fail)?;
    match name {
        None => drop(io::copy(&mut io::stdin().lock(), &mut copy).map_err(fail)?),
        Some(name) => {
            let mut saving = Engine::find()?.save(name)?;
            if let Some(mut pipe) = saving.pipe() {
                io::copy(&mut pipe, &mut copy).map_err(fail)?;
            }
            saving.finish()?;
        }
    }
    Ok(Some(copy))
}

fn table(sizes: &[Sizes], out: &mut dyn Write) -> io::Result<()> {
    const HEAD: [&str; 8] = [
        "IMAGE", "PLATFORM", "LAYERS", "FILES", "PLAIN", "GZIP", "ZSTD", "RATIO",
    ];
    let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), size);
    let rows = sizes.iter().map(|sizes| {
        [
            one_line(&sizes.image),
            sizes.platform.clone().unwrap_or("-".to_owned()),
            sizes.layers.to_string(),
            sizes.files.to_string(),
            size(sizes.plain),
            bytes(sizes.gzip),
            bytes(sizes.zstd),
            format!("{:.2}", sizes.ratio),
        ]
    });
    let rows: Vec<[String; 8]> = rows.collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 8]| -> String {
        let cells = row.iter().zip(widths).enumerate();
        // Words are left-aligned, numbers right-aligned.
        let cells = cells.map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    writeln!(out, "{DIM}{}{DIM:#}", line(&HEAD.map(str::to_owned)))?;
    rows.iter()
        .try_for_each(|row| writeln!(out, "{}", line(row)))
}
