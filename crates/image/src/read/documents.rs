//! The documents of an image: which images there are, and what each is made of.
//!
//! In: `index.json` and what it references, or docker's `manifest.json`. Out: one description for
//! each image, its layers by name with every digest declared for them. Source: the OCI
//! image specification (`image-layout.md`, `image-index.md`, `manifest.md`, `config.md`), docker's
//! image specification v1.2 for `docker save`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use oci_spec::image::{
    Descriptor, Digest, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::super::config::{IMAGE_NAME, REF_NAME};
use super::compression::CompressionFormat;
use super::error::{Fault, ReadError};
use super::limits::Limits;
use super::parts::Parts;
use crate::digest::Blob;

/// How deep indexes may be nested.
const MAX_DEPTH: usize = 8;

/// The platform that an image declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlatform {
    /// `os`, such as `linux`.
    pub os: String,
    /// `architecture`, such as `amd64`.
    pub architecture: String,
    /// `variant`, such as `v7`.
    pub variant: Option<String>,
}

impl std::fmt::Display for ImagePlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl ImagePlatform {
    /// Whether `wanted` (`linux/arm64`, `arm64`, `linux/arm/v7`) names this platform.
    pub fn matches(&self, wanted: &str) -> bool {
        let parts: Vec<&str> = wanted.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [architecture] => (None, architecture, None),
            [os, architecture] => (Some(os), architecture, None),
            [os, architecture, variant] => (Some(os), architecture, Some(variant)),
            _ => return false,
        };
        os.is_none_or(|os| os == self.os)
            && architecture == self.architecture
            && variant.is_none_or(|variant| Some(variant) == self.variant.as_deref())
    }
}

/// One image, as its documents describe it.
#[derive(Clone, Debug)]
pub struct Description {
    /// Names, as `docker image ls` would show them; tags alone where nothing else is known.
    pub tags: Vec<String>,
    /// The references of a layout, by which other tools choose an image of it.
    pub(super) references: Vec<String>,
    /// The platform it is for.
    pub platform: ImagePlatform,
    /// The image's ID: the digest of its configuration.
    pub id: String,
    /// The digest of its manifest; docker's own archives have none.
    pub digest: Option<String>,
    /// The configuration.
    pub config: Arc<ImageConfiguration>,
    /// `Healthcheck`, which the `oci-spec` type leaves out.
    pub healthcheck: Option<Arc<serde_json::Value>>,
    pub(super) layers: Vec<LayerPart>,
    /// The number that the first of them has in the image.
    pub(super) first_layer: u32,
    pub(super) faults: Vec<Fault>,
}

/// The error of a layer that is not there; the lowest is 0.
pub(super) fn no_such_layer(layer: usize, has: usize) -> ReadError {
    ReadError::NoSuchLayer {
        wanted: layer.saturating_add(1),
        has,
    }
}

impl Description {
    /// The same with only one of its layers.
    pub(super) fn with_only(&self, layer: usize) -> Result<Self, ReadError> {
        let only = self.layers.get(layer).cloned();
        let only = only.ok_or_else(|| no_such_layer(layer, self.layers.len()))?;
        Ok(Self {
            layers: vec![only],
            first_layer: layer as u32,
            ..self.clone()
        })
    }

    /// The names of its layers, each once.
    pub(super) fn layer_names(&self) -> HashSet<&str> {
        self.layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect()
    }
}

/// A layer and what the documents declare for it.
#[derive(Clone, Debug)]
pub(super) struct LayerPart {
    pub name: String,
    /// The digest of the blob.
    pub digest: Option<String>,
    pub size: Option<u64>,
    pub media_type: Option<MediaType>,
    /// The digest of the tar in it.
    pub diff_id: String,
}

/// An entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// All images that `parts` hold.
pub(super) fn describe(parts: &Parts, limits: &Limits) -> Result<Vec<Description>, ReadError> {
    let documents = Documents {
        parts,
        limits,
        left: Cell::new(limits.document.saturating_mul(DOCUMENTS)),
        configs: RefCell::default(),
    };
    let mut docker = match parts.has(MANIFEST) {
        true => documents.docker_manifests()?,
        false => Vec::new(),
    };
    let is_layout = parts.has("oci-layout") && (parts.has("index.json") || docker.is_empty());
    if !is_layout {
        return documents.docker_images(&docker);
    }
    let mut images = Vec::new();
    documents.index(
        "index.json",
        "the archive",
        None,
        0,
        &mut HashSet::new(),
        &mut images,
    )?;
    for image in &mut images {
        // docker's document has the full names.
        let config = image.id.replace("sha256:", "");
        let mut entries = docker.iter_mut();
        let entry = entries.find(|entry| entry.config.contains(&config));
        // Moved, not copied: many images may have one configuration.
        if let Some(tags) = entry.and_then(|entry| entry.repo_tags.take()) {
            image.tags = tags;
        }
    }
    if images.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(images)
}

const MANIFEST: &str = "manifest.json";
/// All documents together may have this many times the bytes of the largest one.
const DOCUMENTS: u64 = 4;
/// Bytes of memory that a value in a document counts for, in addition to its text.
const VALUE: u64 = 128;
/// Longest name of an image that is taken from an annotation, in bytes: a name has 255 and a tag 128.
const MAX_NAME: usize = 512;
/// Longest `Healthcheck`, in bytes: an interval and a command.
const MAX_HEALTHCHECK: usize = 64 << 10;

struct Documents<'p> {
    parts: &'p Parts,
    limits: &'p Limits,
    /// Bytes that further documents may still have.
    left: Cell<u64>,
    /// Configurations that have been read, by name: many images may name one.
    configs: RefCell<HashMap<String, Arc<ParsedConfig>>>,
}

/// A configuration that has been read.
struct ParsedConfig {
    blob: Blob,
    config: Arc<ImageConfiguration>,
    healthcheck: Option<Arc<serde_json::Value>>,
}

/// What docker adds to a configuration.
#[derive(Deserialize)]
struct DockersOwn<'d> {
    #[serde(borrow, default)]
    config: Option<DockersConfig<'d>>,
}

#[derive(Deserialize)]
struct DockersConfig<'d> {
    #[serde(borrow, default, rename = "Healthcheck")]
    healthcheck: Option<&'d RawValue>,
}

impl Documents<'_> {
    /// Reads a document, if all of them together are not too large.
    fn document(&self, name: &str, by: &str) -> Result<(Vec<u8>, Blob), ReadError> {
        let limit = self.limits.document;
        let (bytes, blob) = self.parts.document(name, by, limit)?;
        // A value that is parsed takes more memory than its text.
        let is_value = |byte: &&u8| matches!(byte, b',' | b'{' | b'[');
        let values = bytes.iter().filter(is_value).count() as u64;
        let cost = (bytes.len() as u64).saturating_add(values.saturating_mul(VALUE));
        let left = self.left.get().checked_sub(cost);
        self.left.set(left.ok_or_else(|| ReadError::Limit {
            what: format!(
                "its documents together have more than {DOCUMENTS} times this many bytes"
            ),
            name: "document",
            limit,
        })?);
        Ok((bytes, blob))
    }

    /// Refuses more images than the limit.
    fn count(&self, images: &[Description]) -> Result<(), ReadError> {
        match (images.len() as u64) < self.limits.images {
            true => Ok(()),
            false => Err(ReadError::Limit {
                what: "it holds more than this many images".to_owned(),
                name: "images",
                limit: self.limits.images,
            }),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str, by: &str) -> Result<(T, Blob), ReadError> {
        let (bytes, blob) = self.document(name, by)?;
        Ok((parse(&bytes, name)?, blob))
    }

    fn docker_manifests(&self) -> Result<Vec<DockerManifest>, ReadError> {
        let (manifests, _): (Vec<DockerManifest>, _) = self.read(MANIFEST, "the archive")?;
        match manifests.is_empty() {
            true => Err(ReadError::Empty),
            false => Ok(manifests),
        }
    }

    /// The images of docker's manifest; one that is listed several times is shown once.
    fn docker_images(&self, entries: &[DockerManifest]) -> Result<Vec<Description>, ReadError> {
        let mut images: Vec<Description> = Vec::new();
        let mut known = HashMap::new();
        for entry in entries {
            let tags = entry.repo_tags.clone().unwrap_or_default();
            let key = (entry.config.clone(), entry.layers.clone());
            if let Some(&number) = known.get(&key) {
                let image: &mut Description = &mut images[number];
                image.tags.extend(tags);
                continue;
            }
            self.count(&images)?;
            known.insert(key, images.len());
            images.push(self.docker_image(entry, tags)?);
        }
        Ok(images)
    }

    fn docker_image(
        &self,
        entry: &DockerManifest,
        tags: Vec<String>,
    ) -> Result<Description, ReadError> {
        let config = self.config(&entry.config, MANIFEST)?;
        let promised = digest_in_name(&entry.config);
        let fault = promised
            .and_then(|digest| differs(&entry.config, "digest", &digest, &config.blob.digest()));
        let layers = entry.layers.iter().flatten().map(|name| LayerPart {
            name: name.clone(),
            digest: name
                .starts_with("blobs/")
                .then(|| digest_in_name(name))
                .flatten(),
            size: None,
            media_type: None,
            diff_id: String::new(),
        });
        let faults = fault.into_iter().collect();
        describe_one(&config, tags, None, layers.collect(), faults, &entry.config)
    }

    /// A configuration, read once.
    fn config(&self, name: &str, by: &str) -> Result<Arc<ParsedConfig>, ReadError> {
        if let Some(known) = self.configs.borrow().get(name) {
            return Ok(known.clone());
        }
        let (bytes, blob) = self.document(name, by)?;
        let config = Arc::new(ParsedConfig {
            blob,
            healthcheck: healthcheck(&bytes, name)?,
            config: Arc::new(parse(&bytes, name)?),
        });
        self.configs
            .borrow_mut()
            .insert(name.to_owned(), config.clone());
        Ok(config)
    }

    /// Adds every image that an index references.
    fn index(
        &self,
        name: &str,
        by: &str,
        descriptor: Option<&Descriptor>,
        depth: usize,
        seen: &mut HashSet<String>,
        images: &mut Vec<Description>,
    ) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::Nested(MAX_DEPTH));
        }
        let (index, blob): (ImageIndex, _) = self.read(name, by)?;
        let faults = descriptor.map_or_else(Vec::new, |promised| blob_faults(promised, &blob));
        if !faults.is_empty() {
            return Err(ReadError::Integrity(faults));
        }
        let many = index.manifests().len() > 1 || depth > 0;
        for descriptor in index.manifests() {
            let path = blob_path(descriptor.digest())?;
            let names = names(descriptor);
            if is_index(descriptor.media_type()) {
                // A cycle never ends, and a tag is shown once.
                if !seen.insert(path.clone()) {
                    continue;
                }
                let first = images.len();
                self.index(&path, name, Some(descriptor), depth + 1, seen, images)?;
                for image in &mut images[first..] {
                    image.tags.extend(names.iter().cloned());
                    image.references.extend(reference(descriptor));
                }
                continue;
            }
            let digest = descriptor.digest().to_string();
            let known = images
                .iter_mut()
                .find(|image| image.digest.as_ref() == Some(&digest));
            if let Some(image) = known {
                image.tags.extend(names);
                image.references.extend(reference(descriptor));
                continue;
            }
            // An archive may hold only one platform of an index that names many.
            if !is_manifest(descriptor.media_type()) || (many && !self.parts.has(&path)) {
                continue;
            }
            // A document that turned out not to be an image is not read again.
            if !seen.insert(path.clone()) {
                continue;
            }
            self.count(images)?;
            images.extend(self.manifest(&path, name, descriptor, names)?);
        }
        Ok(())
    }

    /// The image that a manifest describes; `None` when it describes something else.
    fn manifest(
        &self,
        path: &str,
        by: &str,
        descriptor: &Descriptor,
        tags: Vec<String>,
    ) -> Result<Option<Description>, ReadError> {
        let (bytes, blob) = self.document(path, by)?;
        let mut faults = blob_faults(descriptor, &blob);
        if !faults.is_empty() {
            // Its content comes from another tool, and is checked.
            return Err(ReadError::Integrity(faults));
        }
        let manifest: ImageManifest = parse(&bytes, path)?;
        let known = ["application/vnd.docker.container.image.v1+json"];
        let config_type = manifest.config().media_type();
        let is_image =
            *config_type == MediaType::ImageConfig || known.contains(&config_type.as_ref());
        let is_attestation = descriptor
            .annotations()
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key("vnd.docker.reference.type"));
        if !is_image || is_attestation {
            return Ok(None);
        }
        let config_path = blob_path(manifest.config().digest())?;
        let config = self.config(&config_path, path)?;
        faults.extend(blob_faults(manifest.config(), &config.blob));
        let layers = manifest.layers().iter().map(|layer| {
            Ok(LayerPart {
                name: blob_path(layer.digest())?,
                digest: Some(layer.digest().to_string()),
                size: Some(layer.size()),
                media_type: Some(layer.media_type().clone()),
                diff_id: String::new(),
            })
        });
        let layers = layers.collect::<Result<_, ReadError>>()?;
        let digest = Some(blob.digest());
        let mut image = describe_one(&config, tags, digest, layers, faults, &config_path)?;
        image.references.extend(reference(descriptor));
        Ok(Some(image))
    }
}

fn describe_one(
    read: &ParsedConfig,
    tags: Vec<String>,
    digest: Option<String>,
    mut layers: Vec<LayerPart>,
    faults: Vec<Fault>,
    name: &str,
) -> Result<Description, ReadError> {
    let config = &read.config;
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != layers.len() {
        return Err(ReadError::Document {
            name: name.to_owned(),
            why: format!(
                "it lists {} layers, but the manifest lists {}",
                diff_ids.len(),
                layers.len()
            ),
        });
    }
    for (layer, diff_id) in layers.iter_mut().zip(diff_ids) {
        layer.diff_id = diff_id.clone();
    }
    Ok(Description {
        tags,
        references: Vec::new(),
        platform: ImagePlatform {
            os: config.os().to_string(),
            architecture: config.architecture().to_string(),
            variant: config.variant().clone(),
        },
        id: read.blob.digest(),
        digest,
        healthcheck: read.healthcheck.clone(),
        config: config.clone(),
        layers,
        first_layer: 0,
        faults,
    })
}

/// docker's `Healthcheck`, which is parsed without a type: an array of JSON values takes ninety
/// times the memory of its text.
fn healthcheck(bytes: &[u8], name: &str) -> Result<Option<Arc<serde_json::Value>>, ReadError> {
    let fail = |why: String| ReadError::Document {
        name: name.to_owned(),
        why,
    };
    let own: DockersOwn<'_> =
        serde_json::from_slice(bytes).map_err(|error| fail(error.to_string()))?;
    let Some(text) = own.config.and_then(|config| config.healthcheck) else {
        return Ok(None);
    };
    if text.get().len() > MAX_HEALTHCHECK {
        return Err(fail(format!(
            "its Healthcheck has more than {MAX_HEALTHCHECK} bytes"
        )));
    }
    let value: serde_json::Value = parse(text.get().as_bytes(), name)?;
    Ok((!value.is_null()).then(|| Arc::new(value)))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|error| ReadError::Document {
        name: name.to_owned(),
        why: error.to_string(),
    })
}

/// The names that a descriptor's annotations give.
fn names(descriptor: &Descriptor) -> Vec<String> {
    let name = annotation(descriptor, IMAGE_NAME);
    let name = name.or_else(|| reference(descriptor));
    name.into_iter().collect()
}

/// The reference of a layout that a descriptor has.
fn reference(descriptor: &Descriptor) -> Option<String> {
    annotation(descriptor, REF_NAME)
}

fn annotation(descriptor: &Descriptor, key: &str) -> Option<String> {
    let value = descriptor.annotations().as_ref()?.get(key)?;
    (value.len() <= MAX_NAME).then(|| value.clone())
}

/// The path of a blob in a layout. Only digests that slimpack can verify are accepted.
fn blob_path(digest: &Digest) -> Result<String, ReadError> {
    if digest.algorithm().as_ref() == "sha256" {
        return Ok(format!("blobs/sha256/{}", digest.digest()));
    }
    Err(ReadError::Document {
        name: "manifest".to_owned(),
        why: format!("{digest} is not a SHA-256 digest, the only kind slimpack supports"),
    })
}

/// The digest in the name of a blob: `blobs/sha256/<hex>`, `<hex>.json`.
fn digest_in_name(name: &str) -> Option<String> {
    let last = name.rsplit('/').next()?;
    let hex = last.strip_suffix(".json").unwrap_or(last);
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| format!("sha256:{hex}"))
}

fn blob_faults(promised: &Descriptor, blob: &Blob) -> Vec<Fault> {
    let name = promised.digest().to_string();
    let size = differs(
        &name,
        "size",
        &promised.size().to_string(),
        &blob.size.to_string(),
    );
    let digest = differs(&name, "digest", &name, &blob.digest());
    size.into_iter().chain(digest).collect()
}

/// A mismatch if `found` is not as expected.
pub(super) fn differs(
    subject: &str,
    what: &'static str,
    expected: &str,
    found: &str,
) -> Option<Fault> {
    (expected != found).then(|| Fault {
        subject: subject.to_owned(),
        what,
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

fn is_index(kind: &MediaType) -> bool {
    *kind == MediaType::ImageIndex
        || kind.as_ref() == "application/vnd.docker.distribution.manifest.list.v2+json"
}

fn is_manifest(kind: &MediaType) -> bool {
    *kind == MediaType::ImageManifest
        || kind.as_ref() == "application/vnd.docker.distribution.manifest.v2+json"
}

/// The compression that a layer's media type declares; `None` if it is not a layer media type.
pub(super) fn promised_compression(kind: &MediaType) -> Option<CompressionFormat> {
    Some(match kind {
        MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => CompressionFormat::None,
        MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => {
            CompressionFormat::Gzip
        }
        MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => {
            CompressionFormat::Zstd
        }
        MediaType::Other(name) => {
            match name.strip_prefix("application/vnd.docker.image.rootfs.")? {
                "diff.tar" => CompressionFormat::None,
                "diff.tar.gzip" | "foreign.diff.tar.gzip" => CompressionFormat::Gzip,
                "diff.tar.zstd" => CompressionFormat::Zstd,
                _ => return None,
            }
        }
        _ => return None,
    })
}
