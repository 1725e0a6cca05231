//! The archive: one tar for docker, podman, skopeo, umoci and containerd.
//!
//! In: tree and settings. Out: an OCI image layout and docker's `manifest.json` in one
//! tar, both pointing at the same blobs. Into a file the layer is read once: its header
//! is filled in when its digest is known. Into a stream it is read twice.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use tar::{EntryType, Header};
use thiserror::Error;

use super::config::{Documents, LAYOUT, Settings};
use super::digest::{Blob, Digester};
use crate::layer::{self, BLOCK, LayerError};
use crate::rootfs::Rootfs;
use crate::vfs::View;

/// A file that can be written at any position.
pub trait WriteSeek: Write + Seek {}
impl<T: Write + Seek> WriteSeek for T {}

/// Where an archive goes.
pub enum Destination<'a> {
    /// An empty file of its own.
    File(&'a mut dyn WriteSeek),
    /// A pipe, terminal or device.
    Stream(&'a mut dyn Write),
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The layer, uncompressed: digest and diff ID.
    pub layer: Blob,
    /// The image's digest: that of its manifest.
    pub manifest: Blob,
    /// The image's ID: the digest of its configuration.
    pub config: Blob,
    /// Size of the whole archive in bytes.
    pub size: u64,
}

/// Why an archive cannot be written.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The layer failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The archive failed.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The image cannot be described.
    #[error("its configuration cannot be described: {}", cause(.0))]
    Settings(#[from] oci_spec::OciSpecError),
    /// A file changed between the two passes over it.
    #[error(
        "the files to pack changed while they were read; pack again, or write to a file with -o FILE"
    )]
    Changed,
}

/// What is behind an error of the types of the specification, which do not say it themselves.
fn cause(error: &oci_spec::OciSpecError) -> String {
    use std::error::Error;
    let source = error.source().map(ToString::to_string);
    source.unwrap_or_else(|| error.to_string())
}

/// Writes the image.
///
/// # Errors
/// When a source file cannot be read or the destination fails.
pub fn write(
    rootfs: &Rootfs,
    source: &View,
    settings: &Settings,
    destination: Destination<'_>,
) -> Result<Written, ImageError> {
    let layer_to = |out: &mut dyn Write| -> Result<Blob, ImageError> {
        let mut digester = Digester::new(out, rootfs.bytes());
        layer::write(rootfs, source, settings.created, &mut digester)?;
        Ok(digester.finish()?)
    };
    match destination {
        Destination::File(file) => {
            file.seek(SeekFrom::Start(BLOCK))?;
            let layer = layer_to(&mut &mut *file)?;
            let written = finish(settings, &layer, &mut *file)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(member(&layer.path(), layer.size)?.as_bytes())?;
            Ok(written)
        }
        Destination::Stream(out) => {
            let layer = layer_to(&mut io::sink())?;
            out.write_all(member(&layer.path(), layer.size)?.as_bytes())?;
            if layer_to(out)? != layer {
                return Err(ImageError::Changed);
            }
            finish(settings, &layer, out)
        }
    }
}

/// How many bytes the archive will have; more only when names in it are so long that
/// their headers cannot be foreseen.
///
/// # Errors
/// When the image cannot be described.
pub fn size_hint(rootfs: &Rootfs, settings: &Settings) -> Result<u64, ImageError> {
    // Every digest has the same length, so any will do.
    let layer = Blob {
        size: layer::size_hint(rootfs),
        ..Blob::of(&[])
    };
    Ok(size(&Documents::new(settings, &layer)?, &layer))
}

/// The members behind the layer.
fn members(documents: &Documents) -> [(String, &[u8]); 5] {
    [
        (Blob::of(&documents.config).path(), &documents.config),
        (Blob::of(&documents.manifest).path(), &documents.manifest),
        ("index.json".to_owned(), &documents.index),
        ("manifest.json".to_owned(), &documents.docker),
        ("oci-layout".to_owned(), LAYOUT),
    ]
}

fn size(documents: &Documents, layer: &Blob) -> u64 {
    let end = 2 * BLOCK;
    let lengths = members(documents).map(|(_, bytes)| bytes.len() as u64);
    lengths
        .into_iter()
        .chain([layer.size])
        .fold(end, |total, length| {
            total + BLOCK + length.next_multiple_of(BLOCK)
        })
}

/// Everything behind the bytes of the layer.
fn finish(settings: &Settings, layer: &Blob, out: impl Write) -> Result<Written, ImageError> {
    let documents = Documents::new(settings, layer)?;
    let mut out = BufWriter::new(out);
    let padding = layer.size.next_multiple_of(BLOCK) - layer.size;
    out.write_all(&[0; BLOCK as usize][..padding as usize])?;
    let mut tar = tar::Builder::new(out);
    for (path, bytes) in members(&documents) {
        tar.append(&member(&path, bytes.len() as u64)?, bytes)?;
    }
    tar.into_inner()?.flush()?;
    Ok(Written {
        manifest: Blob::of(&documents.manifest),
        config: Blob::of(&documents.config),
        size: size(&documents, layer),
        layer: layer.clone(),
    })
}

/// The header of a member. Its time is 1970 whatever the image's is: blobs have none.
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
