//! Pulling an image of which some layers are known.
//!
//! In: what a manifest references, and a cache. Out: a layout with what is not in the cache. A layer is read
//! as soon as it is there, kept, and removed: an image takes as much of the disk as its largest layer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::layout::{BlobDescriptor, Layout};
use super::{Registry, RegistryError, has_room};
use crate::read::{CachedLayer, HeldLayers, LayerCache, ReadOptions};

/// How often to check whether a blob that another thread fetches is there.
const GLANCE: Duration = Duration::from_millis(20);

/// Layers that need not be fetched, and how the others are read.
#[derive(Clone, Copy)]
pub struct KnownLayers<'c> {
    /// What is known of layers.
    pub cache: &'c LayerCache,
    /// The options with which the image will be opened.
    pub options: &'c ReadOptions,
}

/// One pull.
pub(super) struct KnownPull<'p, 'r> {
    pub registry: &'p Registry<'r>,
    pub known: KnownLayers<'p>,
    pub folder: &'p Path,
    pub layout: &'p Layout,
}

impl KnownPull<'_, '_> {
    /// Provides the configuration and the layers of one manifest.
    pub async fn all(
        &self,
        config: &[BlobDescriptor],
        layers: &[BlobDescriptor],
        held: &mut HeldLayers,
    ) -> Result<(), RegistryError> {
        for blob in config {
            self.configuration(blob).await?;
        }
        for blob in layers {
            // A blob that the layout has is read there.
            if held.contains_key(&blob.digest) || self.layout.path(blob).exists() {
                continue;
            }
            if let Some(layer) = self.layer(blob).await? {
                held.insert(blob.digest.clone(), layer);
            }
        }
        Ok(())
    }

    async fn configuration(&self, blob: &BlobDescriptor) -> Result<(), RegistryError> {
        let path = self.layout.path(blob);
        if path.exists() {
            return Ok(());
        }
        let most = self.known.options.limits.document;
        let known = self
            .known
            .cache
            .configuration(&blob.digest, most.min(blob.size));
        if let Some(bytes) = known {
            fs::write(path, bytes)?;
            return Ok(());
        }
        self.fetch(blob).await?;
        // A larger one cannot be read.
        if fs::metadata(&path)?.len() <= most {
            let bytes = fs::read(&path)?;
            self.known.cache.keep_configuration(&blob.digest, &bytes);
        }
        Ok(())
    }

    /// A layer from the cache; `None` if it cannot be kept there, and is in the layout.
    async fn layer(&self, blob: &BlobDescriptor) -> Result<Option<CachedLayer>, RegistryError> {
        let KnownLayers { cache, options } = self.known;
        // Never two at a time, so that no two threads wait for each other.
        let _claim = loop {
            match cache.claim(&blob.digest) {
                Some(claim) => break claim,
                None => sleep(GLANCE).await,
            }
        };
        if let Some(layer) = cache.layer(&blob.digest, blob.size, options) {
            return Ok(Some(layer));
        }
        self.fetch(blob).await?;
        let path = self.layout.path(blob);
        let kept = cache.keep_layer(&blob.digest, &path, options);
        if kept.is_some() {
            fs::remove_file(path)?;
        }
        Ok(kept)
    }

    async fn fetch(&self, blob: &BlobDescriptor) -> Result<(), RegistryError> {
        has_room(self.folder, std::slice::from_ref(blob))?;
        self.registry.pull_blob(self.layout, blob).await
    }
}
