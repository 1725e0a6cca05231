//! `slimpack inspect IMAGE`.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::args::{Common, ImageArgs, InspectArgs};
use super::error::CliError;
use super::location::ImageLocation;
use super::progress::Progress;
use super::{page, registry};
use crate::engine::{self, Engine};
use crate::exec::{TELLING, describe};
use crate::image::LayerError;
use crate::image::read::{
    self, Head, Image, Images, Interest, LayerCache, ReadError, ReadOptions, Tree,
};
use crate::inspect::Figures;
use crate::output::Scratch;
use crate::page::Page;
use crate::report::{self, Detail, Inspected};
use crate::suggest::{did_you_mean, nearest};
use crate::vfs::{Errno, View};

pub(super) fn run(args: &InspectArgs, common: &Common) -> Result<ExitCode, CliError> {
    page::check(args.html.as_deref(), args.json)?;
    let (text, page) = shown(args, common)?;
    if let (Some(path), Some(page)) = (&args.html, &page) {
        page::write(page, path, common, args.json)?;
    }
    if args.json || page.is_none() {
        let mut out = super::text_output(!args.json);
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The text or JSON about all images, and the page if one is requested.
fn shown(args: &InspectArgs, common: &Common) -> Result<(Vec<u8>, Option<Page>), CliError> {
    let _progress = Progress::reading(&args.image, "reading", common.quiet);
    // What lint reads, and the records of packages.
    let interest = match args.html {
        Some(_) => Interest::Contents,
        None => Interest::Listing,
    };
    let mut images = open(&args.image, &args.reading, interest)?;
    let kind = images.kind.as_str();
    let title = args.image.display().to_string();
    let mut page = args.html.is_some().then(|| Page::new(&title, kind));
    let mut out = Vec::new();
    let mut documents = Vec::new();
    for number in 0..images.count() {
        let image = read_one(&args.image, &mut images, number)?;
        let figures = Figures::of(&image, &image.view());
        let inspected = Inspected {
            image: &image,
            figures: &figures,
        };
        let mut text = Vec::new();
        if args.json {
            documents.push(report::inspected_json(&inspected, args.files));
        } else {
            let detail = Detail {
                files: args.files,
                layers: args.layers,
                all: common.verbose > 0,
            };
            if number > 0 {
                writeln!(text)?;
            }
            report::inspect(&args.image, kind, &inspected, detail, &mut text)?;
        }
        if let Some(page) = &mut page {
            page::add_image(page, &args.image, &image, &figures)?;
        }
        // Nothing is shown about an image whose digests do not match.
        check(&args.image, image)?;
        out.extend(text);
    }
    if args.json {
        let document = report::inspect_json(&args.image, kind, documents);
        serde_json::to_writer(&mut out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok((out, page))
}

/// The default limits, with those of the command line.
pub(super) fn limits(args: &ImageArgs) -> read::Limits {
    let mut limits = read::Limits::default();
    for (name, value) in &args.limits {
        if let Some(limit) = limits.get_mut(name) {
            *limit = *value;
        }
    }
    limits
}

/// Opens an image given on the command line: a path, `-`, or a name with a prefix.
pub(super) fn open(
    path: &Path,
    args: &ImageArgs,
    interest: Interest,
) -> Result<OpenedImages, CliError> {
    open_cached(path, args, interest, None)
}

/// The same; layers of an image in a registry are taken from the cache, or kept there.
pub(super) fn open_cached(
    path: &Path,
    args: &ImageArgs,
    interest: Interest,
    cache: Option<&LayerCache>,
) -> Result<OpenedImages, CliError> {
    let location = ImageLocation::of(path);
    let options = ReadOptions {
        limits: limits(args),
        name: location.name.map(ToOwned::to_owned),
        platform: args.platform.clone(),
        interest,
        probe: crate::source::probe,
    };
    let fail = |error| CliError::image(path, error);
    if let Some(name) = registry::name(path) {
        let (folder, held) = registry::pull(name, args, cache, &options)?;
        let images = read::open_held(folder.path(), &options, held).map_err(fail)?;
        return Ok(OpenedImages {
            images,
            _folder: Some(folder),
        });
    }
    let Some(reference) = reference(path) else {
        return read::open(location.path, &options)
            .map_err(|error| fail(identified(location.path, error)))
            .map(OpenedImages::of);
    };
    let mut saving = Engine::find()?.save(reference)?;
    let images = match saving.pipe() {
        Some(pipe) => read::open_pipe(pipe, &options).map_err(fail),
        None => Err(CliError::Usage("the container engine has no output".into())),
    };
    // If the engine failed, its message says why nothing can be read.
    saving.finish()?;
    images.map(OpenedImages::of)
}

/// The same error, with what the file is instead of an image, if that can be determined.
fn identified(path: &Path, error: ReadError) -> ReadError {
    let ReadError::NotAnImage("not a tar") = error else {
        return error;
    };
    // A pipe was already read, and opening it again would wait for a writer.
    if !path.is_file() {
        return error;
    }
    let mut start = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(TELLING).read_to_end(&mut start));
    if read.is_err() || start.is_empty() {
        return error;
    }
    if Head::of(&start) == Head::Elf {
        return ReadError::NotAnImage("an ELF file; slimpack tree shows what it loads");
    }
    // The rest is advice about packing a file.
    let what = describe(&start).split(';').next().unwrap_or_default();
    let what = what.strip_suffix(" without a #! line").unwrap_or(what);
    match what.strip_prefix("it is ") {
        Some(what) if what != "not an ELF file" => ReadError::NotAnImage(what),
        _ => error,
    }
}

/// Images that were opened, and the directory that they were pulled into.
pub(super) struct OpenedImages {
    images: Images,
    _folder: Option<Scratch>,
}

impl OpenedImages {
    fn of(images: Images) -> Self {
        Self {
            images,
            _folder: None,
        }
    }
}

impl std::ops::Deref for OpenedImages {
    type Target = Images;

    fn deref(&self) -> &Images {
        &self.images
    }
}

impl std::ops::DerefMut for OpenedImages {
    fn deref_mut(&mut self) -> &mut Images {
        &mut self.images
    }
}

/// The name of an image in the local engine; `None` for any other path.
pub(super) fn reference(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(engine::PREFIX)
}

/// Whether a path is the name of an image, rather than a file.
pub(super) fn is_name(path: &Path) -> bool {
    let location = ImageLocation::of(path);
    location.path != path || is_elsewhere(path)
}

/// Whether a path names an image that is not in a file.
pub(super) fn is_elsewhere(path: &Path) -> bool {
    path == Path::new("-") || reference(path).is_some() || registry::name(path).is_some()
}

/// Reads one of the images.
pub(super) fn read_one(path: &Path, images: &mut Images, number: usize) -> Result<Image, CliError> {
    images
        .read(number)
        .map_err(|error| CliError::image(path, error))
}

/// Reads the image for this machine with all its contents; the first if none is. Of several images
/// for it, the user has to choose one.
pub(super) fn read_own(path: &Path, images: &mut Images) -> Result<Image, CliError> {
    if !images.has_one_per_platform() {
        let names = images.names();
        return Err(CliError::Usage(format!(
            "{0} holds several images: {1}; choose one: {0}#{2}",
            path.display(),
            names.join(", "),
            names.first().map_or("NAME", String::as_str)
        )));
    }
    let own = format!("linux/{}", crate::image::own_architecture());
    let mut found = None;
    for number in 0..images.count() {
        let image = read_one(path, images, number)?;
        let about = image.description.as_ref();
        let is_own = about.is_none_or(|about| about.platform.to_string() == own);
        if is_own || found.is_none() {
            found = Some(image);
        }
        if is_own {
            break;
        }
    }
    found.ok_or_else(|| CliError::image(path, ReadError::Empty))
}

/// An image with the contents of its files.
pub(super) struct Whole {
    pub tree: Arc<Tree>,
    pub view: View,
    limits: read::Limits,
    /// Of an image in a registry.
    _images: OpenedImages,
}

impl Whole {
    /// Reads the image for this machine, or one of its layers; the lowest is 1. It has the digests that
    /// its documents promise.
    pub fn read(
        path: &Path,
        args: &ImageArgs,
        layer: Option<NonZeroUsize>,
        common: &Common,
    ) -> Result<Self, CliError> {
        let _progress = Progress::reading(path, "reading", common.quiet);
        let mut images = open(path, args, Interest::Contents)?;
        if let Some(layer) = layer {
            images.restrict_to_layer(layer.get() - 1);
        }
        let image = read_own(path, &mut images)?;
        let whole = Self {
            tree: image.tree.clone(),
            view: image.view(),
            limits: limits(args),
            _images: images,
        };
        check(path, image)?;
        Ok(whole)
    }

    /// The message about a path that the image does not have.
    pub fn lacks(&self, image: &Path, path: &Path, errno: Errno) -> String {
        lacks(&self.tree, image, path, errno)
    }

    /// Refuses to write more bytes than an image may unpack to: a sparse file claims any size.
    pub fn admit(&self, image: &Path, bytes: u64) -> Result<(), CliError> {
        if bytes <= self.limits.unpacked {
            return Ok(());
        }
        let error = ReadError::Limit {
            what: "its files have more than this many bytes".to_owned(),
            name: "unpacked",
            limit: self.limits.unpacked,
        };
        Err(CliError::image(image, error))
    }
}

/// The error of files that cannot be written.
pub(super) fn unwritten(output: &Path, error: LayerError) -> CliError {
    CliError::Write {
        path: output.to_path_buf(),
        error: error.into(),
    }
}

/// The message about a path that an image does not have.
pub(super) fn lacks(tree: &Tree, image: &Path, path: &Path, errno: Errno) -> String {
    let near = did_you_mean(near(tree, &Path::new("/").join(path)).as_deref());
    format!(
        "{} is not in {}: {}{near}",
        path.display(),
        image.display(),
        errno.message()
    )
}

/// The path in the image that is probably meant: one with the same name, else the most similar.
fn near(tree: &Tree, path: &Path) -> Option<String> {
    /// Maximum edit distance of a suggestion.
    const MOST: usize = 4;
    // The first is the root.
    let paths: Vec<PathBuf> = tree.walk().skip(1).map(|(path, _, _)| path).collect();
    let same_name = paths
        .iter()
        .find(|other| other.file_name() == path.file_name());
    if let Some(same) = same_name {
        return same.to_str().map(str::to_owned);
    }
    let known = paths.iter().filter_map(|path| path.to_str());
    nearest(path.to_str()?, known, MOST).map(str::to_owned)
}

/// Waits for the digests of an image; an error if any does not match.
pub(super) fn check(path: &Path, image: Image) -> Result<(), CliError> {
    let fail = |error| CliError::image(path, error);
    let faults = image
        .verification
        .finish()
        .map_err(|error| fail(error.into()))?;
    match faults.is_empty() {
        true => Ok(()),
        false => Err(fail(ReadError::Integrity(faults))),
    }
}
