//! Image layouts to push to a registry or pulled from one.
//!
//! In: a layout directory, or the manifests of a registry. Out: what has to be sent, in which
//! order; or a layout directory of what was pulled. File names are made of checked digests.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use super::RegistryError;
use crate::digest::digits;
use crate::own_architecture;

/// Media types of the manifests and indexes that are accepted.
pub(super) const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Maximum number of manifests of one index that are pulled, and of blobs of one manifest.
const MOST: usize = 1000;

/// A blob or document with its descriptor.
#[derive(Clone, Debug)]
pub(super) struct BlobDescriptor {
    pub digest: String,
    pub size: u64,
    pub media_type: String,
}

impl BlobDescriptor {
    fn of(descriptor: &Value) -> Result<Self, RegistryError> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        Ok(Self {
            digest: checked(digest)?.to_owned(),
            size: descriptor["size"]
                .as_u64()
                .ok_or_else(|| bad("a size is not a number"))?,
            media_type: descriptor["mediaType"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

/// A layout directory.
pub(super) struct Layout {
    folder: PathBuf,
    name: String,
    /// Configurations and layers.
    pub blobs: Vec<BlobDescriptor>,
    /// Manifests, with their index last.
    pub manifests: Vec<BlobDescriptor>,
    /// Descriptors of the index that is written.
    described: Vec<Value>,
}

impl Layout {
    /// Reads a layout that slimpack wrote.
    pub fn read(folder: &Path) -> Result<Self, RegistryError> {
        let mut layout = Self::at(folder, "");
        let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json"))?)
            .map_err(|error| bad(&error.to_string()))?;
        let top = BlobDescriptor::of(&index["manifests"][0])?;
        let document = layout.json(&top)?;
        let mut manifests = Vec::new();
        for descriptor in document["manifests"].as_array().into_iter().flatten() {
            manifests.push(BlobDescriptor::of(descriptor)?);
        }
        manifests.push(top);
        for manifest in &manifests {
            let document = layout.json(manifest)?;
            let config = document.get("config").into_iter();
            for descriptor in config.chain(document["layers"].as_array().into_iter().flatten()) {
                layout.blobs.push(BlobDescriptor::of(descriptor)?);
            }
        }
        layout.manifests = manifests;
        Ok(layout)
    }

    /// Creates a layout for an image called `name`.
    pub fn create(folder: &Path, name: &str) -> Result<Self, RegistryError> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        fs::write(
            folder.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        Ok(Self::at(folder, name))
    }

    fn at(folder: &Path, name: &str) -> Self {
        Self {
            folder: folder.to_path_buf(),
            name: name.to_owned(),
            blobs: Vec::new(),
            manifests: Vec::new(),
            described: Vec::new(),
        }
    }

    /// The path of a blob.
    pub fn path(&self, blob: &BlobDescriptor) -> PathBuf {
        self.at_digest(&blob.digest)
    }

    fn at_digest(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.folder.join("blobs/sha256").join(hex)
    }

    /// The bytes of a document.
    pub fn document(&self, blob: &BlobDescriptor) -> Result<Vec<u8>, RegistryError> {
        Ok(fs::read(self.path(blob))?)
    }

    fn json(&self, blob: &BlobDescriptor) -> Result<Value, RegistryError> {
        serde_json::from_slice(&self.document(blob)?).map_err(|error| bad(&error.to_string()))
    }

    /// Reads the document that the reference names. Returns the digests of the manifests to pull,
    /// with the bytes of the one that has been fetched already.
    pub fn top(
        &mut self,
        bytes: &Bytes,
        digest: &str,
        platform: Option<&str>,
    ) -> Result<Vec<(String, Option<Bytes>)>, RegistryError> {
        let digest = checked(digest)?.to_owned();
        let document: Value =
            serde_json::from_slice(bytes).map_err(|error| bad(&error.to_string()))?;
        let Some(manifests) = document["manifests"].as_array() else {
            let media_type = document["mediaType"].as_str().unwrap_or(MANIFESTS[0]);
            self.described.push(json!({
                "mediaType": media_type, "digest": digest, "size": bytes.len(),
            }));
            return Ok(vec![(digest, Some(bytes.clone()))]);
        };
        let names = |descriptor: &Value| {
            let part = |name: &str| {
                descriptor["platform"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let (os, architecture, variant) = (part("os"), part("architecture"), part("variant"));
            [
                format!("{os}/{architecture}"),
                format!("{os}/{architecture}/{variant}"),
            ]
        };
        let own = format!("linux/{}", own_architecture());
        let of = |wanted: &str| -> Vec<Value> {
            let matching =
                |descriptor: &&Value| names(descriptor).iter().any(|name| name == wanted);
            manifests.iter().filter(matching).cloned().collect()
        };
        self.described = match platform {
            Some(wanted) => of(wanted),
            None => of(&own),
        };
        if self.described.is_empty() {
            // The reader reports which platforms there are.
            self.described = manifests.iter().take(MOST).cloned().collect();
        }
        let digests = self
            .described
            .iter()
            .map(|descriptor| Ok((BlobDescriptor::of(descriptor)?.digest, None)));
        digests.collect()
    }

    /// Stores a manifest and returns the blobs that it references: its configuration, and its layers.
    pub fn manifest(
        &mut self,
        digest: &str,
        bytes: &Bytes,
    ) -> Result<[Vec<BlobDescriptor>; 2], RegistryError> {
        fs::write(self.at_digest(checked(digest)?), bytes)?;
        let document: Value =
            serde_json::from_slice(bytes).map_err(|error| bad(&error.to_string()))?;
        let config = document.get("config").into_iter();
        let layers = document["layers"].as_array().into_iter().flatten();
        Ok([
            config.map(BlobDescriptor::of).collect::<Result<_, _>>()?,
            layers
                .take(MOST - 1)
                .map(BlobDescriptor::of)
                .collect::<Result<_, _>>()?,
        ])
    }

    /// Writes the index.
    pub fn finish(mut self) -> Result<(), RegistryError> {
        for descriptor in &mut self.described {
            // Indexing anything else would panic.
            if !descriptor["annotations"].is_object() {
                descriptor["annotations"] = json!({});
            }
            descriptor["annotations"]["io.containerd.image.name"] = json!(self.name);
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": MANIFESTS[1], "manifests": self.described,
        });
        fs::write(self.folder.join("index.json"), index.to_string())?;
        Ok(())
    }
}

/// A digest that is safe to use as a file name.
fn checked(digest: &str) -> Result<&str, RegistryError> {
    match digits(digest) {
        Some(_) => Ok(digest),
        None => Err(bad(&format!("{digest:?} is not a SHA-256 digest"))),
    }
}

fn bad(why: &str) -> RegistryError {
    RegistryError::Manifest(why.to_owned())
}
