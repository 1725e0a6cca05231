//! Image configuration, manifest and index.
//!
//! In: what the user wants configured, and the digest of the layer. Out: the JSON
//! documents of the OCI image specification and docker's `manifest.json`, with sorted
//! keys, so that the same image has the same bytes.

use std::collections::{BTreeMap, HashMap};

use oci_spec::OciSpecError;
use oci_spec::image::{
    ConfigBuilder, Descriptor, Digest, HistoryBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;

use super::digest::Blob;
use super::part::{Described, LayerBlob, Part};
use super::platform::Platform;
use super::read::Description;
use super::reference::Tag;

/// Image settings given by the user.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `USER[:GROUP]`, by name or number.
    pub user: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// The author (`author`).
    pub author: Option<String>,
    /// Exposed ports as `PORT/PROTOCOL`.
    pub expose: Vec<String>,
    /// Volumes: directories that are mount points.
    pub volumes: Vec<String>,
    /// The signal that stops the container.
    pub stop_signal: Option<String>,
    /// The health check: docker's own object, whose name the OCI specification reserves.
    pub healthcheck: Option<serde_json::Value>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Creation time and time stamp of everything in the image, in seconds since 1970.
    pub created: u64,
}

/// Everything that goes into an image's documents.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform of the programs.
    pub platform: Platform,
    /// Names of the image; the index uses the first.
    pub tags: Vec<Tag>,
    /// The entrypoint (`ENTRYPOINT`).
    pub entrypoint: Vec<String>,
    /// What the user configured.
    pub configured: Configured,
    /// Why files that no loader requests are included, by path.
    pub reasons: BTreeMap<String, String>,
    /// The packed programs, for the history (`created_by`).
    pub made_of: String,
}

/// `oci-layout` (image-layout.md of the specification).
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An entry of docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifestEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The tag of a descriptor in an index (`annotations.md`).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full image name, which podman reads.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
const TITLE: &str = "org.opencontainers.image.title";
const CREATED: &str = "org.opencontainers.image.created";

/// The manifest of an image with this one layer.
pub(super) fn manifest(
    settings: &Settings,
    layer: &LayerBlob,
    config: &Blob,
) -> Result<Vec<u8>, OciSpecError> {
    let mut annotations: HashMap<String, String> = HashMap::new();
    if let Some(title) = settings.tags.first() {
        let name = title.familiar.rsplit_once(':').map_or("", |(name, _)| name);
        let last = name.rsplit('/').next().unwrap_or(name);
        annotations.insert(TITLE.to_owned(), last.to_owned());
    }
    annotations.insert(CREATED.to_owned(), time(settings)?);
    annotations.extend(record(settings)?);
    annotations.extend(settings.configured.annotations.clone());
    let media_type = layer.compression.media_type();
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, config)?)
        .layers(vec![descriptor(media_type, &layer.blob)?])
        .annotations(annotations)
        .build()?;
    json(&manifest)
}

/// docker's `manifest.json`, which describes one image.
pub(super) fn docker_manifest(
    settings: &Settings,
    config: &str,
    layer: &str,
) -> Result<Vec<u8>, OciSpecError> {
    let tags = settings.tags.iter();
    json(&[DockerManifestEntry {
        config: config.to_owned(),
        repo_tags: tags.map(|tag| tag.familiar.clone()).collect(),
        layers: vec![layer.to_owned()],
    }])
}

/// The label and annotation that records the reasons; omitted if there are none.
const REASONS: &str = "dev.slimpack.reasons";

/// Where an image carries its whole record if that was requested: a JSON object like the label's.
pub const RECORD_FILE: &str = "/usr/share/slimpack/reasons.json";

/// Maximum size of [`RECORD_FILE`], in bytes; a larger one is not read.
pub const MAX_RECORD_FILE: u64 = 16 << 20;

/// The reasons recorded when the image was packed, for each path that no loader requests; empty
/// if there is no record or it cannot be parsed.
pub fn recorded(image: &Description) -> BTreeMap<String, String> {
    let config = image.config.config().as_ref();
    let text = config.and_then(|config| config.labels().as_ref()?.get(REASONS));
    let record = text.and_then(|text| serde_json::from_str(text).ok());
    record.unwrap_or_default()
}

/// Whether a label is slimpack's own record of an image.
pub fn is_record(label: &str) -> bool {
    label == REASONS
}

fn record(settings: &Settings) -> Result<Option<(String, String)>, OciSpecError> {
    if settings.reasons.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&settings.reasons)?;
    Ok(Some((REASONS.to_owned(), text)))
}

/// The image configuration around a layer.
pub(super) fn configuration(
    settings: &Settings,
    layer: &LayerBlob,
) -> Result<Vec<u8>, OciSpecError> {
    let created = time(settings)?;
    let mut config = ConfigBuilder::default();
    if !settings.entrypoint.is_empty() {
        config = config.entrypoint(settings.entrypoint.clone());
    }
    if !settings.configured.cmd.is_empty() {
        config = config.cmd(settings.configured.cmd.clone());
    }
    if !settings.configured.env.is_empty() {
        config = config.env(settings.configured.env.clone());
    }
    if let Some(user) = &settings.configured.user {
        config = config.user(user.clone());
    }
    if let Some(folder) = &settings.configured.working_dir {
        config = config.working_dir(folder.clone());
    }
    if !settings.configured.expose.is_empty() {
        config = config.exposed_ports(settings.configured.expose.clone());
    }
    if !settings.configured.volumes.is_empty() {
        config = config.volumes(settings.configured.volumes.clone());
    }
    if let Some(signal) = &settings.configured.stop_signal {
        config = config.stop_signal(signal.clone());
    }
    let mut labels: HashMap<_, _> = settings.configured.labels.clone().into_iter().collect();
    labels.extend(record(settings)?);
    if !labels.is_empty() {
        config = config.labels(labels);
    }
    let history = HistoryBuilder::default()
        .created(created.clone())
        .created_by(format!("slimpack {}", settings.made_of))
        .build()?;
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![layer.plain.digest()])
        .build()?;
    let mut image = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(settings.platform.architecture.clone())
        .os(Os::Linux)
        .config(config.build()?)
        .rootfs(root)
        .history(vec![history])
        .build()?;
    image.set_variant(settings.platform.variant.map(str::to_owned));
    image.set_author(settings.configured.author.clone());
    let mut image = serde_json::to_value(&image)?;
    if let Some(check) = &settings.configured.healthcheck {
        image["config"]["Healthcheck"] = check.clone();
    }
    json(&image)
}

/// The creation time as RFC 3339 text.
fn time(settings: &Settings) -> Result<String, OciSpecError> {
    let time = i64::try_from(settings.configured.created)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let no_date = || OciSpecError::Other("the creation time is not a valid date".into());
    Ok(time.ok_or_else(no_date)?.to_string())
}

/// The index of a layout; several platforms get a nested index, so that one tag names them all.
pub(super) struct Indexes {
    pub index: Vec<u8>,
    pub nested: Option<Vec<u8>>,
}

impl Indexes {
    pub fn new(parts: &[Part<'_>], images: &[Described]) -> Result<Self, OciSpecError> {
        let mut manifests = Vec::new();
        for (part, image) in parts.iter().zip(images) {
            let mut descriptor = descriptor(MediaType::ImageManifest, &image.manifest_blob)?;
            descriptor.set_platform(Some(platform(part.settings)?));
            manifests.push(descriptor);
        }
        let tags = parts.first().map_or(&[][..], |part| &part.settings.tags);
        if let [descriptor] = &mut manifests[..] {
            descriptor.set_annotations(Some(names(tags)));
            return Ok(Self {
                index: index(manifests)?,
                nested: None,
            });
        }
        let nested = index(manifests)?;
        let mut outer = descriptor(MediaType::ImageIndex, &Blob::of(&nested))?;
        outer.set_annotations(Some(names(tags)));
        Ok(Self {
            index: index(vec![outer])?,
            nested: Some(nested),
        })
    }
}

/// Name annotations as `docker save` writes them; podman reads one, skopeo and umoci the other.
fn names(tags: &[Tag]) -> HashMap<String, String> {
    let mut annotations = HashMap::new();
    if let Some(tag) = tags.first() {
        annotations.insert(IMAGE_NAME.to_owned(), tag.full.clone());
        annotations.insert(REF_NAME.to_owned(), tag.tag.clone());
    }
    annotations
}

fn platform(settings: &Settings) -> Result<oci_spec::image::Platform, OciSpecError> {
    let mut platform = PlatformBuilder::default()
        .architecture(settings.platform.architecture.clone())
        .os(Os::Linux)
        .build()?;
    platform.set_variant(settings.platform.variant.map(str::to_owned));
    Ok(platform)
}

fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>, OciSpecError> {
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests);
    json(&index.build()?)
}

fn descriptor(kind: MediaType, blob: &Blob) -> Result<Descriptor, OciSpecError> {
    Ok(Descriptor::new(kind, blob.size, digest(blob)?))
}

fn digest(blob: &Blob) -> Result<Digest, OciSpecError> {
    blob.digest().parse()
}

/// Compact JSON with sorted keys: the maps of `oci-spec` types are not sorted, those of a JSON
/// value are.
pub(super) fn json(document: &impl Serialize) -> Result<Vec<u8>, OciSpecError> {
    let value = serde_json::to_value(document)?;
    Ok(serde_json::to_vec(&value)?)
}
