//! One image for one platform: its layer, compressed or not, and its documents.

use std::fs::File;
use std::io::{self, Seek, Write};

use super::ImageError;
use super::compression::Compression;
use super::config::{Settings, configuration, manifest};
use super::digest::{Blob, Digester};
use super::layer::{self, LayerSource};

/// One image for one platform.
pub struct Part<'a> {
    /// The tree.
    pub tree: &'a dyn LayerSource,
    /// Configuration, names and platform.
    pub settings: &'a Settings,
}

/// A layer as stored in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerBlob {
    /// The stored bytes, compressed or not.
    pub blob: Blob,
    /// The uncompressed bytes, whose digest is the diff ID.
    pub plain: Blob,
    /// How it is compressed.
    pub compression: Compression,
}

/// Writes a tree, with one time stamp for everything: [`layer::write`], or an initrd.
pub(super) type WriteTree =
    fn(&dyn LayerSource, u64, &mut dyn Write) -> Result<(), layer::LayerError>;

impl Part<'_> {
    /// Writes the layer uncompressed.
    pub(super) fn plain_layer(
        &self,
        write: WriteTree,
        out: &mut dyn Write,
    ) -> Result<LayerBlob, ImageError> {
        let blob = self.digested(write, out)?;
        Ok(LayerBlob {
            plain: blob.clone(),
            blob,
            compression: Compression::None,
        })
    }

    /// Compresses the layer into an unnamed temporary file, because its size is known only
    /// afterwards.
    pub(super) fn spooled_layer(
        &self,
        write: WriteTree,
        compression: Compression,
    ) -> Result<(LayerBlob, File), ImageError> {
        let mut file = tempfile::tempfile().map_err(ImageError::Temporary)?;
        let compress = || -> Result<Blob, ImageError> {
            let mut writer = compression.writer(Box::new(file.try_clone()?))?;
            let plain = self.digested(write, &mut writer)?;
            writer.finish()?;
            Ok(plain)
        };
        let plain = compress().map_err(|error| match error {
            ImageError::Write(error) => ImageError::Temporary(error),
            other => other,
        })?;
        file.rewind()?;
        let mut digester = Digester::new(io::sink(), plain.size);
        io::copy(&mut file, &mut digester)?;
        let blob = digester.finish()?;
        file.rewind()?;
        let layer = LayerBlob {
            blob,
            plain,
            compression,
        };
        Ok((layer, file))
    }

    fn digested(&self, write: WriteTree, out: &mut dyn Write) -> Result<Blob, ImageError> {
        let mut digester = Digester::new(out, self.tree.bytes());
        self.written(write, &mut digester)?;
        Ok(digester.finish()?)
    }

    /// Writes the uncompressed layer without a digest.
    pub(super) fn tar(&self, out: &mut dyn Write) -> Result<(), ImageError> {
        self.written(layer::write_tar, out)
    }

    fn written(&self, write: WriteTree, out: &mut dyn Write) -> Result<(), ImageError> {
        let written = write(self.tree, self.settings.configured.created, out);
        written.map_err(|error| match error {
            layer::LayerError::Write(error) => ImageError::Write(error),
            other => ImageError::Layer(other),
        })
    }

    /// The documents of the image around this layer.
    pub(super) fn describe(&self, layer: LayerBlob) -> Result<Described, ImageError> {
        let config = configuration(self.settings, &layer)?;
        let config_blob = Blob::of(&config);
        let manifest = manifest(self.settings, &layer, &config_blob)?;
        Ok(Described {
            manifest_blob: Blob::of(&manifest),
            manifest,
            config,
            config_blob,
            layer,
        })
    }
}

/// An image with its documents.
pub(super) struct Described {
    pub layer: LayerBlob,
    pub config: Vec<u8>,
    pub config_blob: Blob,
    pub manifest: Vec<u8>,
    pub manifest_blob: Blob,
}

/// Copies a spooled layer.
pub(super) fn copy(mut spool: File, out: &mut dyn Write) -> io::Result<()> {
    io::copy(&mut spool, out).map(drop)
}
