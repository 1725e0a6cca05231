//! Image configuration, manifest and index.
//!
//! In: what the user wants configured, and the digest of the layer. Out: the JSON
//! documents of the OCI image specification and docker's `manifest.json`, with sorted
//! keys, so that the same image has the same bytes.

use std::collections::{BTreeMap, HashMap};

use oci_spec::OciSpecError;
use oci_spec::image::{
    ConfigBuilder, Descriptor, DescriptorBuilder, Digest, HistoryBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os,
    PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;

use super::digest::Blob;
use super::reference::Tag;
use crate::elf::Platform;

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform of the programs.
    pub platform: Platform,
    /// Names of the image; the first is the one in the index.
    pub tags: Vec<Tag>,
    /// The command that is started.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `UID[:GID]`.
    pub user: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Why what no loader asks for is there, by path.
    pub reasons: BTreeMap<String, String>,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
}

/// The documents of one image.
pub(super) struct Documents {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub index: Vec<u8>,
    pub docker: Vec<u8>,
}

/// `oci-layout` (image-layout.md of the specification).
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An entry of docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Documents {
    /// Writes the documents for an image with this one uncompressed layer.
    ///
    /// # Errors
    /// When the time of creation is no date.
    pub fn new(settings: &Settings, layer: &Blob) -> Result<Self, OciSpecError> {
        let config = configuration(settings, layer)?;
        let config_blob = Blob::of(&config);
        let mut manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(MediaType::ImageConfig, &config_blob)?)
            .layers(vec![descriptor(MediaType::ImageLayer, layer)?])
            .build()?;
        if let Some((name, record)) = record(settings)? {
            manifest.set_annotations(Some(HashMap::from([(name, record)])));
        }
        let manifest = json(&manifest)?;
        let index = index(settings, &Blob::of(&manifest))?;
        let docker = json(&[DockerManifest {
            config: config_blob.path(),
            repo_tags: settings
                .tags
                .iter()
                .map(|tag| tag.familiar.clone())
                .collect(),
            layers: vec![layer.path()],
        }])?;
        Ok(Self {
            config,
            manifest,
            index,
            docker,
        })
    }
}

/// The label and annotation that keeps the reasons; none where there is nothing to tell.
const REASONS: &str = "dev.slimpack.reasons";

fn record(settings: &Settings) -> Result<Option<(String, String)>, OciSpecError> {
    if settings.reasons.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&settings.reasons)?;
    Ok(Some((REASONS.to_owned(), text)))
}

fn configuration(settings: &Settings, layer: &Blob) -> Result<Vec<u8>, OciSpecError> {
    let created = i64::try_from(settings.created)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .ok_or_else(|| OciSpecError::Other("the time of creation is no date".into()))?
        .to_string();
    let mut config = ConfigBuilder::default();
    if !settings.entrypoint.is_empty() {
        config = config.entrypoint(settings.entrypoint.clone());
    }
    if !settings.cmd.is_empty() {
        config = config.cmd(settings.cmd.clone());
    }
    if !settings.env.is_empty() {
        config = config.env(settings.env.clone());
    }
    if let Some(user) = &settings.user {
        config = config.user(user.clone());
    }
    if let Some(folder) = &settings.working_dir {
        config = config.working_dir(folder.clone());
    }
    let mut labels: HashMap<_, _> = settings.labels.clone().into_iter().collect();
    labels.extend(record(settings)?);
    if !labels.is_empty() {
        config = config.labels(labels);
    }
    let history = HistoryBuilder::default()
        .created(created.clone())
        .created_by("slimpack")
        .build()?;
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![layer.digest()])
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
    json(&image)
}

fn index(settings: &Settings, manifest: &Blob) -> Result<Vec<u8>, OciSpecError> {
    let mut platform = PlatformBuilder::default()
        .architecture(settings.platform.architecture.clone())
        .os(Os::Linux)
        .build()?;
    platform.set_variant(settings.platform.variant.map(str::to_owned));
    let mut annotations = HashMap::new();
    if let Some(tag) = settings.tags.first() {
        // As `docker save` writes them; podman reads the one, skopeo and umoci the other.
        annotations.insert("io.containerd.image.name".to_owned(), tag.full.clone());
        annotations.insert(
            "org.opencontainers.image.ref.name".to_owned(),
            tag.tag.clone(),
        );
    }
    let descriptor = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(digest(manifest)?)
        .size(manifest.size)
        .platform(platform)
        .annotations(annotations)
        .build()?;
    json(
        &ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![descriptor])
            .build()?,
    )
}

fn descriptor(kind: MediaType, blob: &Blob) -> Result<Descriptor, OciSpecError> {
    Ok(Descriptor::new(kind, blob.size, digest(blob)?))
}

fn digest(blob: &Blob) -> Result<Digest, OciSpecError> {
    blob.digest().parse()
}

/// Compact JSON with sorted keys: the maps of the specification's types are not sorted,
/// those of a JSON value are.
fn json(document: &impl Serialize) -> Result<Vec<u8>, OciSpecError> {
    let value = serde_json::to_value(document)?;
    Ok(serde_json::to_vec(&value)?)
}
