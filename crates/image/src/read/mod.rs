//! Reading images: any archive, layout or directory becomes one tree.
//!
//! In: a path or standard input. Out: the images in it, and for each the effective tree, its
//! layers, and whether every digest matches its documents. Nothing is unpacked to disk and
//! nothing is trusted: names, sizes and links are checked before they are used, memory and time
//! are bounded by [`Limits`].

mod anomaly;
mod cache;
mod choose;
mod compression;
mod cpio;
mod documents;
mod duplicates;
mod error;
mod extensions;
mod facts;
mod folder;
mod input;
mod keep;
mod layer;
mod limits;
mod members;
mod names;
mod node;
mod parts;
mod reused;
mod sparse;
mod spool;
mod tree;
mod verify;
mod vfs;
mod waste;

pub use anomaly::{Anomalies, Anomaly, AnomalyKind};
pub use cache::{CachedLayer, HeldLayers, LayerCache};
pub use compression::{Budget, CompressionFormat};
pub use documents::{Description, ImagePlatform};
pub use duplicates::Duplicate;
pub use error::{Fault, ReadError};
pub use keep::{Interest, Probe};
pub use limits::Limits;
pub use node::{Head, Node};
pub use tree::Tree;
pub use verify::Verification;
pub use vfs::ImageVfs;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use choose::{of_name, of_platform};
use documents::{differs, promised_compression};
use layer::{IndexedLayer, Shared, index_file};
use members::TarError;
use parts::{Opened, Parts, StoredPart, within};
use reused::Reused;
use verify::{Task, faults};

use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};
use slimpack_vfs::{Memo, View};

/// Options for reading an image.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Bounds on memory and time.
    pub limits: Limits,
    /// Which of several images to read: its name, tag, digest, or `@` and its number; all if `None`.
    pub name: Option<String>,
    /// The platform to read, such as `linux/arm64`; all platforms if `None`.
    pub platform: Option<String>,
    /// What will be read of files in compressed layers.
    pub interest: Interest,
    /// The function that reads it.
    pub probe: Probe,
}

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An archive as written by `docker save`.
    DockerArchive,
    /// A tar of an OCI layout.
    OciArchive,
    /// A directory with an OCI layout.
    OciLayout,
    /// A tar of a root directory.
    RootfsTar,
    /// A root directory.
    Rootfs,
    /// An initrd: one or more cpio archives.
    Cpio,
}

impl Kind {
    /// The word used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DockerArchive => "docker-archive",
            Self::OciArchive => "oci-archive",
            Self::OciLayout => "oci-layout",
            Self::RootfsTar => "rootfs-tar",
            Self::Rootfs => "rootfs",
            Self::Cpio => "cpio",
        }
    }
}

/// The images of one input, which can be read one by one.
pub struct Images {
    /// Their format.
    pub kind: Kind,
    source: ImageSource,
    /// State shared by all images of the run.
    shared: Shared,
    reused: Reused,
    only_layer: Option<usize>,
    /// Layers that are not among the parts.
    held: HeldLayers,
}

enum ImageSource {
    Described(Parts, Vec<Description>),
    /// What is unpacked, one after another.
    Root(Vec<IndexedLayer>),
    Folder(PathBuf),
}

/// An image that was read.
pub struct Image {
    /// The format that it was read from.
    pub kind: Kind,
    /// The contents of its documents; `None` for a bare root.
    pub description: Option<Description>,
    /// The effective tree.
    pub tree: Arc<Tree>,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Digests that are still being computed.
    pub verification: Verification,
}

/// A layer that was read.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The digest of the blob; `None` if no document has it.
    pub digest: Option<String>,
    /// The digest of the tar in it.
    pub diff_id: String,
    /// How the blob is packed.
    pub compression: CompressionFormat,
    /// Its media type; docker's own archives have none.
    pub media_type: Option<String>,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Bytes of the files in it.
    pub bytes: u64,
    /// Number of regular files in it.
    pub files: usize,
}

/// A layer as a tar.
pub struct LayerTar<'i> {
    /// How the blob is packed.
    pub compression: CompressionFormat,
    /// Size of the blob in bytes.
    pub size: u64,
    /// The tar in it.
    pub tar: Box<dyn io::Read + Send + 'i>,
}

/// Opens `path` (`-` is standard input) and reads its documents.
///
/// # Errors
/// When it is not an image that can be read.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Images, ReadError> {
    let shared = Shared::new(options.limits, options.interest, options.probe);
    let opened = parts::open(path, &shared)?;
    describe(opened, shared, options)
}

/// The same for a layout without the layers in `held`.
///
/// # Errors
/// When it is not an image that can be read.
pub fn open_held(
    path: &Path,
    options: &ReadOptions,
    held: HeldLayers,
) -> Result<Images, ReadError> {
    Ok(Images {
        held,
        ..open(path, options)?
    })
}

/// Opens an archive that comes through a pipe, and reads its documents.
///
/// # Errors
/// When it is not an image that can be read.
pub fn open_pipe(pipe: File, options: &ReadOptions) -> Result<Images, ReadError> {
    let shared = Shared::new(options.limits, options.interest, options.probe);
    let opened = parts::open_pipe(pipe, &shared)?;
    describe(opened, shared, options)
}

fn describe(opened: Opened, shared: Shared, options: &ReadOptions) -> Result<Images, ReadError> {
    let mut reused = Reused::default();
    let (kind, source) = match opened {
        Opened::Parts(parts) => {
            let kind = match &parts {
                Parts::Folder(_) if parts.has("oci-layout") => Kind::OciLayout,
                _ if parts.has("manifest.json") => Kind::DockerArchive,
                _ => Kind::OciArchive,
            };
            let mut images = documents::describe(&parts, &options.limits)?;
            if let Some(wanted) = &options.name {
                images = of_name(images, wanted)?;
            }
            if let Some(wanted) = &options.platform {
                images = of_platform(images, wanted)?;
            }
            reused = Reused::among(&images);
            (kind, ImageSource::Described(parts, images))
        }
        Opened::Root(_) | Opened::Cpio(_) | Opened::Folder(_) if options.name.is_some() => {
            return Err(ReadError::Nameless);
        }
        Opened::Root(layer) => (Kind::RootfsTar, ImageSource::Root(vec![layer])),
        Opened::Cpio(archives) => (Kind::Cpio, ImageSource::Root(archives)),
        Opened::Folder(root) => (Kind::Rootfs, ImageSource::Folder(root)),
    };
    Ok(Images {
        kind,
        source,
        shared,
        reused,
        only_layer: None,
        held: HeldLayers::default(),
    })
}

impl Images {
    /// Number of images.
    pub fn count(&self) -> usize {
        match &self.source {
            ImageSource::Described(_, images) => images.len(),
            ImageSource::Root(_) | ImageSource::Folder(_) => 1,
        }
    }

    /// Those with documents.
    fn described(&self) -> &[Description] {
        match &self.source {
            ImageSource::Described(_, images) => images,
            ImageSource::Root(_) | ImageSource::Folder(_) => &[],
        }
    }

    /// What each of the images can be asked for by: its name, or its digest.
    pub fn names(&self) -> Vec<String> {
        choose::called(self.described())
    }

    /// What to write after the name of the input to tell this image from the others in it, such as
    /// ` (linux/arm64)` or `#app:2 (linux/amd64)`; `None` if there are no others.
    ///
    /// # Panics
    /// When there is no image of that number.
    pub fn label(&self, number: usize) -> Option<String> {
        choose::label(self.described(), number)
    }

    /// Whether the platform alone tells which of the images is meant.
    pub fn has_one_per_platform(&self) -> bool {
        choose::has_one_per_platform(self.described())
    }

    /// From now on reads only one layer of each image, as if it were the only one; the lowest is 0.
    /// Images without it cannot be read.
    pub fn restrict_to_layer(&mut self, layer: usize) {
        self.only_layer = Some(layer);
    }

    /// The tars of the layers of one image, the lowest first.
    ///
    /// # Errors
    /// When a layer is missing, is not a file that can be read again, or has an unknown
    /// compression.
    ///
    /// # Panics
    /// When there is no image of that number.
    pub fn layer_tars(&self, number: usize) -> Result<Vec<LayerTar<'_>>, ReadError> {
        let ImageSource::Described(parts, images) = &self.source else {
            return Ok(Vec::new());
        };
        let description = &images[number];
        let by = description.digest.as_deref().unwrap_or("manifest.json");
        let budget = Budget::new(self.shared.limits);
        let mut tars = Vec::new();
        for layer in &description.layers {
            let fail = |error| within(TarError::Io(error), &layer.name);
            let StoredPart::File(blob) = parts.part(&layer.name, by)? else {
                return Err(fail(io::ErrorKind::NotSeekable.into()));
            };
            let start = blob
                .prefix(0, CompressionFormat::MAGIC as u64)
                .map_err(fail)?;
            let compression = CompressionFormat::of(&start);
            let stored = Sequential::new(blob.clone());
            tars.push(LayerTar {
                compression,
                size: blob.size(),
                tar: compression.decoder(stored, &budget).map_err(fail)?,
            });
        }
        Ok(tars)
    }

    /// Reads the layers of one image.
    ///
    /// # Errors
    /// When a layer is missing or damaged.
    ///
    /// # Panics
    /// When there is no image of that number.
    pub fn read(&mut self, number: usize) -> Result<Image, ReadError> {
        if let (Some(layer), false) = (self.only_layer, !self.described().is_empty()) {
            return Err(documents::no_such_layer(layer, 0));
        }
        let kind = self.kind;
        match &mut self.source {
            ImageSource::Described(parts, images) => {
                let description = match self.only_layer {
                    Some(layer) => &images[number].with_only(layer)?,
                    None => &images[number],
                };
                // Each image has the full limits, except for the total that all of them may
                // decompress to.
                let mut shared =
                    Shared::new(self.shared.limits, self.shared.interest, self.shared.probe);
                shared.budget = self.shared.budget.clone();
                let reused = &mut self.reused;
                let held = &self.held;
                read_image(
                    kind,
                    parts,
                    held,
                    description,
                    &shared,
                    &self.shared,
                    reused,
                )
            }
            ImageSource::Folder(root) => {
                let tree = folder::read(root, &self.shared.limits)?;
                Ok(bare(kind, tree))
            }
            ImageSource::Root(layers) => {
                let limits = &self.shared.limits;
                let mut tree = Tree::new(limits.members, layers.len() > 1);
                if layers.is_empty() {
                    return Err(ReadError::Empty);
                }
                for (number, layer) in (0..).zip(std::mem::take(layers)) {
                    if !tree.apply(number, &layer.entries) {
                        return Err(too_many(limits));
                    }
                }
                Ok(bare(kind, tree))
            }
        }
    }
}

fn bare(kind: Kind, tree: Tree) -> Image {
    Image {
        kind,
        description: None,
        tree: Arc::new(tree),
        layers: Vec::new(),
        verification: Verification::start(Vec::new(), Vec::new()),
    }
}

impl Image {
    /// The tree as loaders see it, with its own cache.
    pub fn view(&self) -> View {
        let vfs = ImageVfs(self.tree.clone());
        View::new(Box::new(vfs), Arc::new(Memo::default()))
    }
}

fn too_many(limits: &Limits) -> ReadError {
    ReadError::Limit {
        what: "it has more than this many members".to_owned(),
        name: "members",
        limit: limits.members,
    }
}

fn read_image(
    kind: Kind,
    parts: &Parts,
    held: &HeldLayers,
    description: &Description,
    shared: &Shared,
    run: &Shared,
    reused: &mut Reused,
) -> Result<Image, ReadError> {
    let mut found = description.faults.clone();
    let mut blobs = Vec::new();
    for layer in &description.layers {
        blobs.push(layer_part(parts, held, description, layer)?);
    }
    let read = read_layers(description, &blobs, shared, run, reused)?;
    reused.keep(&read);
    let mut tree = Tree::new(shared.limits.members, description.layers.len() > 1);
    let (mut layers, mut tasks) = (Vec::new(), BTreeMap::new());
    let mut members = 0_u64;
    for (number, (promised, blob)) in
        (description.first_layer..).zip(description.layers.iter().zip(&blobs))
    {
        let indexed = read[&promised.name].as_ref().as_ref().map_err(again)?;
        members = members.saturating_add(indexed.entries.len() as u64);
        if members > shared.limits.members || !tree.apply(number, &indexed.entries) {
            return Err(too_many(&shared.limits));
        }
        let size = match (blob, &indexed.packed) {
            (StoredPart::File(file), _) => file.size(),
            (_, Some(packed)) => packed.size,
            _ => 0,
        };
        let (task, layer_faults) = check(promised, blob, indexed, size);
        found.extend(layer_faults);
        // A layer that is referenced twice is hashed once.
        if let Some(task) = task {
            let known = tasks.entry(promised.name.clone()).or_insert_with(|| Task {
                expected: Vec::new(),
                ..task.clone()
            });
            known.expected.extend(task.expected);
        }
        layers.push(Layer {
            digest: promised.digest.clone(),
            diff_id: promised.diff_id.clone(),
            compression: indexed.compression,
            media_type: promised.media_type.as_ref().map(ToString::to_string),
            size,
            bytes: indexed.bytes(),
            files: indexed.files().count(),
        });
    }
    let tasks = tasks.into_values().collect();
    Ok(Image {
        kind,
        description: Some(description.clone()),
        tree: Arc::new(tree),
        layers,
        verification: Verification::start(tasks, found),
    })
}

/// Where a layer is: what is held of it counts before the parts.
fn layer_part(
    parts: &Parts,
    held: &HeldLayers,
    description: &Description,
    layer: &documents::LayerPart,
) -> Result<StoredPart, ReadError> {
    let by = description.digest.as_deref().unwrap_or("manifest.json");
    let known = layer.digest.as_ref().and_then(|digest| held.get(digest));
    let part = match known {
        Some(known) => StoredPart::Cached(known.clone()),
        None => parts.part(&layer.name, by)?,
    };
    match &layer.media_type {
        Some(kind) if promised_compression(kind).is_none() => Err(ReadError::Document {
            name: layer.name.clone(),
            why: format!("{kind} is not the media type of a file system layer"),
        }),
        _ => Ok(part),
    }
}

/// A copy of an error that affects more than one image.
fn again(error: &ReadError) -> ReadError {
    match error {
        ReadError::Limit { what, name, limit } => ReadError::Limit {
            what: what.clone(),
            name,
            limit: *limit,
        },
        ReadError::Tar { within, what } => ReadError::Tar {
            within: within.clone(),
            what: what.clone(),
        },
        other => ReadError::Io(io::Error::other(other.to_string())),
    }
}

/// A layer that has been read, or why it cannot be read.
type ReadLayer = Arc<Result<IndexedLayer, ReadError>>;

/// Reads each layer once: uncompressed layers one after another, the others on all cores.
fn read_layers(
    description: &Description,
    blobs: &[StoredPart],
    shared: &Shared,
    run: &Shared,
    reused: &Reused,
) -> Result<HashMap<String, ReadLayer>, ReadError> {
    let names = description.layers.iter().map(|layer| layer.name.clone());
    let unique: BTreeMap<String, &StoredPart> = names.zip(blobs).collect();
    let unique: Vec<(String, &StoredPart)> = unique.into_iter().collect();
    let read = |(name, blob): &(String, &StoredPart)| -> (String, ReadLayer) {
        if let Some(layer) = reused.read.get(name) {
            return (name.clone(), layer.clone());
        }
        // What is kept of a layer for later images counts toward the budget of the run.
        let shared = if reused.has(name) { run } else { shared };
        let layer = match blob {
            StoredPart::File(file) => {
                Arc::new(index_file(file, shared).map_err(|error| within(error, name)))
            }
            StoredPart::Layer(layer) => layer.clone(),
            StoredPart::Cached(known) => {
                Arc::new(known.read(shared).map_err(|error| within(error, name)))
            }
            StoredPart::Document(_) | StoredPart::TooLarge => Arc::new(Err(ReadError::Tar {
                within: name.clone(),
                what: "it is a document, not a tar".to_owned(),
            })),
        };
        (name.clone(), layer)
    };
    let is_packed = |(_, blob): &&(String, &StoredPart)| match blob {
        StoredPart::File(file) => {
            let start = file
                .prefix(0, CompressionFormat::MAGIC as u64)
                .unwrap_or_default();
            CompressionFormat::of(&start) != CompressionFormat::None
        }
        _ => false,
    };
    if unique.iter().filter(is_packed).count() > 1 {
        use rayon::prelude::*;
        return Ok(unique.par_iter().map(read).collect());
    }
    Ok(unique.iter().map(read).collect())
}

/// What is still to be hashed of a layer, and the faults found so far.
fn check(
    promised: &documents::LayerPart,
    blob: &StoredPart,
    layer: &IndexedLayer,
    size: u64,
) -> (Option<Task>, Vec<Fault>) {
    let mut found = Vec::new();
    if let Some(expected) = promised.size {
        found.extend(differs(
            &promised.name,
            "size",
            &expected.to_string(),
            &size.to_string(),
        ));
    }
    if let Some(expected) = promised.media_type.as_ref().and_then(promised_compression) {
        let (expected, is) = (expected.name(), layer.compression.name());
        found.extend(differs(&promised.name, "compression", expected, is));
    }
    let of_blob = promised.digest.iter();
    let of_blob = of_blob.map(|digest| (promised.name.clone(), "digest", digest.clone()));
    let mut of_blob: Vec<_> = of_blob.collect();
    let of_tar = vec![(promised.name.clone(), "diff ID", promised.diff_id.clone())];
    match &layer.unpacked {
        Some(unpacked) => found.extend(faults(&of_tar, &unpacked.digest())),
        // An uncompressed blob is itself the tar.
        None => of_blob.extend(of_tar),
    }
    match (&layer.packed, blob) {
        (Some(packed), _) => {
            found.extend(faults(&of_blob, &packed.digest()));
            (None, found)
        }
        (None, StoredPart::File(file)) if !of_blob.is_empty() => {
            let task = Task {
                blob: Slice::clone(file),
                expected: of_blob,
            };
            (Some(task), found)
        }
        _ => (None, found),
    }
}
