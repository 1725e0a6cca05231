//! Documents about an image, attached to it in a registry.
//!
//! In: an image that was pushed, and a document. Out: a manifest whose `subject` is the image, which
//! the registry lists as a referrer. A registry that does not know referrers says so by silence; then
//! the manifest is listed in an index under the tag `sha256-DIGEST`, where clients look next. Source:
//! the OCI image specification 1.1 ("Guidelines for Artifact Usage") and distribution specification 1.1
//! ("Pushing Manifests with Subject", "Referrers Tag Schema").

use std::fs;
use std::path::Path;

use bytes::Bytes;
use oci_spec::distribution::Reference;
use serde_json::{Value, json};

use super::layout::{BlobDescriptor, Layout, MANIFESTS};
use super::{Pushed, Registry, RegistryError, again};
use crate::Blob;

/// The configuration of a manifest that has none.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Most documents in the index of a referrers tag.
const MOST: usize = 1000;

/// A document about an image.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The image, by its position among the platforms that were pushed.
    pub image: usize,
    /// Its media type.
    pub media_type: &'static str,
    /// The file name that clients may store it under.
    pub name: String,
    /// When it was created (RFC 3339).
    pub created: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Registry<'_> {
    /// Attaches a document to an image of the layout at `folder`, which was pushed before.
    ///
    /// # Errors
    /// When the registry does not accept it.
    pub fn attach(&self, folder: &Path, attachment: &Attachment) -> Result<(), RegistryError> {
        let layout = Layout::read(folder)?;
        self.wire.begin(true, None);
        self.in_time(self.attach_to(folder, &layout, attachment))
    }

    async fn attach_to(
        &self,
        folder: &Path,
        layout: &Layout,
        attachment: &Attachment,
    ) -> Result<(), RegistryError> {
        let subject = layout.manifests.get(attachment.image);
        let subject = subject.ok_or_else(|| bad("it has no image for the document"))?;
        let mut pushed = Pushed::default();
        let mut descriptors = Vec::new();
        for (media_type, bytes) in [EMPTY, (attachment.media_type, &attachment.bytes[..])] {
            let blob = stored(folder, media_type, bytes)?;
            self.push_blob(layout, &blob, None, &mut pushed).await?;
            descriptors.push(described(&blob));
        }
        let layer = &mut descriptors[1];
        layer["annotations"] = json!({ "org.opencontainers.image.title": attachment.name });
        let annotations = json!({ "org.opencontainers.image.created": attachment.created });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFESTS[0],
            "artifactType": attachment.media_type,
            "config": descriptors[0],
            "layers": [descriptors[1]],
            "subject": described(subject),
            "annotations": annotations,
        });
        let bytes = Bytes::from(manifest.to_string());
        let digest = Blob::of(&bytes).digest();
        let send = || self.wire.push_manifest(&digest, MANIFESTS[0], &bytes);
        if again(send).await? {
            return Ok(());
        }
        let listed = json!({
            "mediaType": MANIFESTS[0],
            "artifactType": attachment.media_type,
            "digest": digest,
            "size": bytes.len(),
            "annotations": annotations,
        });
        self.list(&subject.digest, listed).await
    }

    /// Adds a descriptor to the index of the referrers tag.
    async fn list(&self, subject: &str, descriptor: Value) -> Result<(), RegistryError> {
        let tag = subject.replacen(':', "-", 1);
        let reference = Reference::with_tag(
            self.reference.registry().to_owned(),
            self.reference.repository().to_owned(),
            tag.clone(),
        );
        let mut manifests = match again(|| self.wire.manifest(&reference)).await {
            Ok((bytes, _)) => listed(&bytes)?,
            Err(RegistryError::Absent { .. } | RegistryError::NoRepository { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        manifests.retain(|other| other["digest"] != descriptor["digest"]);
        if manifests.len() >= MOST {
            return Err(bad("its referrers tag lists too many documents"));
        }
        manifests.push(descriptor);
        let index = json!({
            "schemaVersion": 2, "mediaType": MANIFESTS[1], "manifests": manifests,
        });
        let bytes = Bytes::from(index.to_string());
        again(|| self.wire.push_manifest(&tag, MANIFESTS[1], &bytes)).await?;
        Ok(())
    }
}

/// The manifests that an index lists.
fn listed(index: &[u8]) -> Result<Vec<Value>, RegistryError> {
    let mut index: Value =
        serde_json::from_slice(index).map_err(|error| bad(&error.to_string()))?;
    match index["manifests"].take() {
        Value::Array(manifests) => Ok(manifests),
        _ => Err(bad("its referrers tag is not an index")),
    }
}

/// Stores a blob in the layout, from which it is sent.
fn stored(folder: &Path, media_type: &str, bytes: &[u8]) -> Result<BlobDescriptor, RegistryError> {
    let blob = Blob::of(bytes);
    fs::write(folder.join(blob.path()), bytes)?;
    Ok(BlobDescriptor {
        digest: blob.digest(),
        size: blob.size,
        media_type: media_type.to_owned(),
    })
}

fn described(blob: &BlobDescriptor) -> Value {
    json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size })
}

fn bad(why: &str) -> RegistryError {
    RegistryError::Manifest(why.to_owned())
}
