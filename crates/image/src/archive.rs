//! The archive: one tar for docker, podman, skopeo, umoci and containerd.
//!
//! In: trees and settings. Out: an OCI image layout and docker's `manifest.json` in one tar, both
//! pointing at the same blobs, or one of the two. When writing to a file, an uncompressed layer is
//! read once: its header is filled in when its digest is known. For a stream it is read twice, and
//! hashed once.

use std::io::{self, Seek, SeekFrom, Write};

use tar::{EntryType, Header};
use thiserror::Error;

use super::compression::Compression;
use super::config::{Indexes, LAYOUT, Settings, docker_manifest};
use super::cpio;
use super::digest::{Blob, Checksum};
use super::format::Format;
use super::layer::{self, BLOCK, LayerError};
use super::part::{Described, LayerBlob, Part, WriteTree, copy};

/// A file that can be written at any position.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// Where an archive is written.
pub enum Destination<'a> {
    /// A new empty file.
    File(&'a mut dyn WriteSeek),
    /// A pipe, terminal or device.
    Stream(&'a mut dyn Write),
}

/// Format and compression of an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// The format.
    pub format: Format,
    /// How its layers are compressed.
    pub compression: Compression,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The images, one for each platform.
    pub images: Vec<WrittenImage>,
    /// Total size of the output in bytes.
    pub size: u64,
}

/// One image that was written.
#[derive(Clone, Debug)]
pub struct WrittenImage {
    /// Its layer.
    pub layer: LayerBlob,
    /// The image's digest: that of its manifest. `None` for a bare root.
    pub manifest: Option<Blob>,
    /// The image's ID: the digest of its configuration. `None` for a bare root.
    pub config: Option<Blob>,
}

impl WrittenImage {
    pub(super) fn of(described: &Described) -> Self {
        Self {
            layer: described.layer.clone(),
            manifest: Some(described.manifest_blob.clone()),
            config: Some(described.config_blob.clone()),
        }
    }
}

/// Why an archive cannot be written.
#[derive(Debug, Error)]
pub enum ImageError {
    /// Writing the layer failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Writing the archive failed.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// Writing the compressed layer to a temporary file failed.
    #[error("cannot compress the layer into a temporary file: {0}; free up space or set TMPDIR")]
    Temporary(io::Error),
    /// The image's documents cannot be built.
    #[error("cannot build the image configuration: {}", cause(.0))]
    Settings(#[from] oci_spec::OciSpecError),
    /// A file changed between the two passes over it.
    #[error(
        "the input files changed while being read; pack again, or write to a file with -o FILE"
    )]
    Changed,
    /// The directory exists but is not an OCI layout.
    #[error("it is not an OCI layout ({0}); name an empty directory or an OCI layout")]
    NoLayout(String),
}

/// The source of an `oci-spec` error, whose own `Display` leaves it out.
fn cause(error: &oci_spec::OciSpecError) -> String {
    use std::error::Error;
    let source = error.source().map(ToString::to_string);
    source.unwrap_or_else(|| error.to_string())
}

/// Writes an archive of images, one for each platform.
///
/// # Errors
/// When a source file cannot be read or the destination fails.
pub fn write(
    parts: &[Part<'_>],
    style: Style,
    destination: Destination<'_>,
) -> Result<Written, ImageError> {
    let mut archive = Archive {
        destination,
        style,
        offset: 0,
    };
    if matches!(style.format, Format::RootfsTar | Format::Cpio) {
        return archive.root(parts);
    }
    if style.format.is_oci() {
        archive.directories()?;
    }
    let mut images = Vec::new();
    for part in parts {
        let layer = archive.layer(part)?;
        images.push(part.describe(layer)?);
    }
    archive.documents(parts, &images)?;
    Ok(Written {
        images: images.iter().map(WrittenImage::of).collect(),
        size: archive.offset,
    })
}

/// Upper bound for the size of an uncompressed archive, in bytes; 0 for a compressed one.
pub fn size_hint(parts: &[Part<'_>], style: Style) -> u64 {
    /// Bytes allowed for the documents; the record of reasons is the largest part.
    const DOCUMENTS: u64 = 18 * BLOCK;
    if style.compression != Compression::None {
        return 0;
    }
    parts.iter().fold(0_u64, |total, part| {
        let reasons = part.settings.reasons.iter();
        let record = reasons.map(|(path, reason)| (path.len() + reason.len() + 16) as u64);
        let record = record.fold(DOCUMENTS, u64::saturating_add);
        let layer = layer::size_hint(part.tree).saturating_add(2 * BLOCK);
        total.saturating_add(layer).saturating_add(3 * record)
    })
}

struct Archive<'a> {
    destination: Destination<'a>,
    style: Style,
    /// Where the next member begins.
    offset: u64,
}

impl Archive<'_> {
    fn out(&mut self) -> &mut dyn Write {
        match &mut self.destination {
            Destination::File(file) => file,
            Destination::Stream(out) => out,
        }
    }

    /// Writes a tar or a cpio archive of the bare tree.
    fn root(&mut self, parts: &[Part<'_>]) -> Result<Written, ImageError> {
        let mut images = Vec::new();
        for part in parts {
            let write: WriteTree = match self.style.format {
                Format::Cpio => cpio::write,
                _ => layer::write_tar,
            };
            let layer = match self.style.compression {
                Compression::None => part.plain_layer(write, self.out())?,
                compression => {
                    let (layer, spool) = part.spooled_layer(write, compression)?;
                    copy(spool, self.out())?;
                    layer
                }
            };
            self.offset += layer.blob.size;
            images.push(WrittenImage {
                layer,
                manifest: None,
                config: None,
            });
        }
        self.out().flush()?;
        Ok(Written {
            images,
            size: self.offset,
        })
    }

    /// Writes the directories of a layout. Readers that unpack the archive in memory, such as syft,
    /// list them rather than infer them from the blobs.
    fn directories(&mut self) -> Result<(), ImageError> {
        for name in ["blobs/", "blobs/sha256/"] {
            let mut header = member(name, 0)?;
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_cksum();
            self.out().write_all(header.as_bytes())?;
            self.offset += BLOCK;
        }
        Ok(())
    }

    /// Writes a layer as a member.
    fn layer(&mut self, part: &Part<'_>) -> Result<LayerBlob, ImageError> {
        let (format, compression) = (self.style.format, self.style.compression);
        let header = |layer: &LayerBlob| member(&layer_path(format, layer), layer.blob.size);
        if compression != Compression::None {
            let (layer, spool) = part.spooled_layer(layer::write_tar, compression)?;
            self.out().write_all(header(&layer)?.as_bytes())?;
            copy(spool, self.out())?;
            return self.pad(layer);
        }
        let offset = self.offset;
        match &mut self.destination {
            Destination::File(file) => {
                file.seek(SeekFrom::Start(offset + BLOCK))?;
                let layer = part.plain_layer(layer::write_tar, file)?;
                file.seek(SeekFrom::Start(offset))?;
                file.write_all(header(&layer)?.as_bytes())?;
                file.seek(SeekFrom::Start(offset + BLOCK + layer.blob.size))?;
                self.pad(layer)
            }
            Destination::Stream(out) => {
                // The header of a layer precedes its bytes. A fast checksum shows that the second
                // pass read the same bytes; readers of the image check the digest itself.
                let mut first = Checksum::new(io::sink());
                let layer = part.plain_layer(layer::write_tar, &mut first)?;
                out.write_all(header(&layer)?.as_bytes())?;
                let mut second = Checksum::new(out);
                part.tar(&mut second)?;
                if first.value() != second.value() {
                    return Err(ImageError::Changed);
                }
                self.pad(layer)
            }
        }
    }

    /// Pads the last block of a layer.
    fn pad(&mut self, layer: LayerBlob) -> Result<LayerBlob, ImageError> {
        let size = layer.blob.size;
        let padding = size.next_multiple_of(BLOCK) - size;
        self.out()
            .write_all(&[0; BLOCK as usize][..padding as usize])?;
        self.offset += BLOCK + size + padding;
        Ok(layer)
    }

    /// Writes everything after the layers.
    fn documents(&mut self, parts: &[Part<'_>], images: &[Described]) -> Result<(), ImageError> {
        let format = self.style.format;
        let mut members: Vec<(String, &[u8])> = Vec::new();
        for image in images {
            members.push((config_path(format, image), &image.config));
            if format.is_oci() {
                members.push((image.manifest_blob.path(), &image.manifest));
            }
        }
        let indexes = Indexes::new(parts, images)?;
        if format.is_oci() {
            if let Some(nested) = &indexes.nested {
                members.push((Blob::of(nested).path(), nested));
            }
            members.push(("index.json".to_owned(), &indexes.index));
        }
        let docker;
        if format.is_docker() {
            let number = native(parts.iter().map(|part| part.settings));
            let layer = layer_path(format, &images[number].layer);
            docker = docker_manifest(
                parts[number].settings,
                &config_path(format, &images[number]),
                &layer,
            )?;
            members.push(("manifest.json".to_owned(), &docker));
        }
        if format.is_oci() {
            members.push(("oci-layout".to_owned(), LAYOUT));
        }
        let mut bytes = Vec::new();
        for (path, document) in members {
            bytes.extend_from_slice(member(&path, document.len() as u64)?.as_bytes());
            bytes.extend_from_slice(document);
            bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        }
        // The end of a tar is two empty blocks.
        bytes.resize(bytes.len() + 2 * BLOCK as usize, 0);
        self.out().write_all(&bytes)?;
        self.out().flush()?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// The image that docker's `manifest.json` describes, which has no notion of platforms: the one
/// for the architecture slimpack was built for, else the first.
pub fn native<'a>(mut images: impl Iterator<Item = &'a Settings>) -> usize {
    let own = own_architecture();
    let is_native = |settings: &Settings| settings.platform.architecture.to_string() == own;
    images.position(is_native).unwrap_or(0)
}

/// The architecture that slimpack was built for, as a `GOARCH` name.
pub fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn layer_path(format: Format, layer: &LayerBlob) -> String {
    match format {
        Format::Docker => format!("{}.tar", layer.blob.sha256),
        _ => layer.blob.path(),
    }
}

fn config_path(format: Format, image: &Described) -> String {
    match format {
        Format::Docker => format!("{}.json", image.config_blob.sha256),
        _ => image.config_blob.path(),
    }
}

/// The header of a member. Its time is always 1970, whatever the image's: blobs have none.
fn member(path: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::atomic::{AtomicU8, Ordering};

    use slimpack_vfs::bytes::ReadAt;
    use slimpack_vfs::{Capabilities, Errno, FileId, Owner};

    use super::*;
    use crate::layer::{LayerEntry, LayerFile, LayerNode, LayerSource};
    use crate::{Configured, Platform, Tag};

    /// A tree of one file, whose single byte differs each time it is opened, or is always the same.
    struct Tree {
        opened: AtomicU8,
        turns: u8,
    }

    impl LayerFile for Tree {
        fn id(&self) -> FileId {
            FileId {
                volume: 0,
                number: 0,
            }
        }

        fn size(&self) -> u64 {
            1
        }

        fn origin(&self) -> Option<&Path> {
            None
        }

        fn capabilities(&self) -> Option<Capabilities> {
            None
        }

        fn open(&self) -> Result<Box<dyn ReadAt>, Errno> {
            let byte = self.opened.fetch_add(self.turns, Ordering::Relaxed);
            Ok(Box::new(vec![byte]))
        }
    }

    impl LayerSource for Tree {
        fn nodes(&self) -> Box<dyn Iterator<Item = LayerNode<'_>> + '_> {
            Box::new(std::iter::once(LayerNode {
                path: Path::new("/file"),
                owner: Owner::default(),
                mtime: None,
                entry: LayerEntry::File(0o644, self),
            }))
        }

        fn bytes(&self) -> u64 {
            1
        }
    }

    /// The archive of a tree, by both ways of writing one.
    fn written(turns: u8, is_stream: bool) -> Result<Vec<u8>, ImageError> {
        let settings = Settings {
            platform: Platform::linux("amd64", None),
            tags: vec![Tag::for_program("file")],
            entrypoint: Vec::new(),
            configured: Configured::default(),
            reasons: BTreeMap::new(),
            made_of: String::new(),
        };
        let tree = Tree {
            opened: AtomicU8::new(0),
            turns,
        };
        let part = Part {
            tree: &tree,
            settings: &settings,
        };
        let mut out = io::Cursor::new(Vec::new());
        let destination = match is_stream {
            true => Destination::Stream(&mut out),
            false => Destination::File(&mut out),
        };
        write(&[part], Style::default(), destination)?;
        Ok(out.into_inner())
    }

    #[test]
    fn a_stream_is_the_same_as_a_file_or_ends_when_a_file_has_changed() {
        assert_eq!(written(0, true).unwrap(), written(0, false).unwrap());
        assert!(written(1, false).is_ok());
        assert!(matches!(written(1, true), Err(ImageError::Changed)));
    }
}
