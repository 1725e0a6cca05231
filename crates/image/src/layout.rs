//! An OCI image layout as a directory (`image-layout.md` of the specification).
//!
//! In: images and a directory: absent, empty, or a layout with other images. Out: their blobs in
//! it, and an index that lists them by their names; images with other names are kept. The index is
//! replaced last, so that a failure leaves the layout unchanged.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::image::{Descriptor, ImageIndex};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::archive::{ImageError, Style, Written, WrittenImage};
use super::compression::Compression;
use super::config::{IMAGE_NAME, Indexes, LAYOUT, REF_NAME, json};
use super::digest::Blob;
use super::layer;
use super::part::{LayerBlob, Part, copy};
use super::reference::Tag;

/// Time between two attempts to lock a layout that another run holds.
const PAUSE: Duration = Duration::from_millis(10);
/// Largest index that is read, in bytes.
const MAX_INDEX: u64 = 16 << 20;

/// Writes images into the layout at `folder`, one for each platform; `go_on` is called before each
/// blob and can stop the write.
///
/// # Errors
/// When the directory exists but is not a layout, a source file cannot be read, or the disk fails.
pub fn write_layout(
    parts: &[Part<'_>],
    style: Style,
    folder: &Path,
    go_on: &dyn Fn() -> io::Result<()>,
) -> Result<Written, ImageError> {
    // Compressed first, into unnamed files: nothing is left if the process ends meanwhile.
    let mut spooled = Vec::new();
    for part in parts {
        go_on()?;
        spooled.push(match style.compression {
            Compression::None => None,
            compression => Some(part.spooled_layer(layer::write_tar, compression)?),
        });
    }
    let mut layout = LockedLayout::open(folder, go_on)?;
    let mut new = Vec::new();
    let mut images = Vec::new();
    for (part, spooled) in parts.iter().zip(spooled) {
        go_on()?;
        let (layer, file) = layout.layer(part, spooled, go_on)?;
        let image = part.describe(layer)?;
        new.push((image.layer.blob.clone(), file));
        for bytes in [&image.config, &image.manifest] {
            new.push((Blob::of(bytes), layout.temporary(bytes)?));
        }
        images.push(image);
    }
    let indexes = Indexes::new(parts, &images)?;
    if let Some(nested) = &indexes.nested {
        new.push((Blob::of(nested), layout.temporary(nested)?));
    }
    let size = new
        .iter()
        .fold(0_u64, |total, (blob, _)| total.saturating_add(blob.size));
    for (blob, file) in new {
        go_on()?;
        layout.keep(&blob, file)?;
    }
    layout.add(&indexes.index)?;
    layout.is_new = false;
    Ok(Written {
        images: images.iter().map(WrittenImage::of).collect::<Vec<_>>(),
        size,
    })
}

struct LockedLayout {
    folder: PathBuf,
    /// Whether the layout is new: it is removed again unless an index is written.
    is_new: bool,
    /// Whether the directory existed before.
    existed: bool,
    /// Lock that keeps two runs on one layout from losing each other's images.
    _lock: File,
}

impl LockedLayout {
    fn open(folder: &Path, go_on: &dyn Fn() -> io::Result<()>) -> Result<Self, ImageError> {
        let (lock, existed) = locked(folder, go_on)?;
        let mut layout = Self {
            folder: folder.to_path_buf(),
            is_new: !existed,
            existed,
            _lock: lock,
        };
        // Who holds the lock has made no files yet: what is there is of a run that was killed.
        remove_temporaries(folder)?;
        remove_temporaries(&layout.blobs())?;
        // Asked only now: until it had the lock, another run may have filled the directory.
        layout.is_new = fs::read_dir(folder)?.next().is_none();
        if layout.is_new {
            write_new(folder, "oci-layout", LAYOUT)?;
        } else if !folder.join("oci-layout").exists() {
            return Err(ImageError::NoLayout("it has no oci-layout file".into()));
        }
        fs::create_dir_all(layout.blobs())?;
        Ok(layout)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    fn layer(
        &self,
        part: &Part<'_>,
        spooled: Option<(LayerBlob, File)>,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<(LayerBlob, NamedTempFile), ImageError> {
        let mut file = self.temporary(&[])?;
        let mut out = Asking {
            out: file.as_file_mut(),
            go_on,
        };
        let layer = match spooled {
            None => part.plain_layer(layer::write_tar, &mut out)?,
            Some((layer, spool)) => {
                copy(spool, &mut out)?;
                layer
            }
        };
        Ok((layer, file))
    }

    /// A file that is removed unless it is persisted.
    fn temporary(&self, bytes: &[u8]) -> io::Result<NamedTempFile> {
        temporary(&self.blobs(), bytes)
    }

    fn keep(&self, blob: &Blob, file: NamedTempFile) -> Result<(), ImageError> {
        let place = self.blobs().join(&blob.sha256);
        file.persist(place).map_err(|error| error.error)?;
        Ok(())
    }

    /// Merges the descriptors of a new index into the existing one, replacing those with the same
    /// name.
    fn add(&self, new: &[u8]) -> Result<(), ImageError> {
        let no_layout = |error: oci_spec::OciSpecError| {
            ImageError::NoLayout(format!("cannot read its index.json: {error}"))
        };
        let new = ImageIndex::from_reader(new)?;
        let path = self.folder.join("index.json");
        let mut index = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => new.clone(),
            Err(error) => return Err(error.into()),
            Ok(file) => {
                let reader = io::Read::take(file, MAX_INDEX);
                let mut index = ImageIndex::from_reader(reader).map_err(no_layout)?;
                let mut manifests = index.manifests().clone();
                manifests.retain(|old| !new.manifests().iter().any(|new| replaces(new, old)));
                let mut added = new.manifests().clone();
                for descriptor in &mut added {
                    name_apart(descriptor, &manifests);
                }
                manifests.extend(added);
                index.set_manifests(manifests);
                index
            }
        };
        index.set_schema_version(2);
        write_new(&self.folder, "index.json", &json(&index)?)?;
        Ok(())
    }
}

fn annotation<'d>(descriptor: &'d Descriptor, key: &str) -> Option<&'d String> {
    descriptor.annotations().as_ref()?.get(key)
}

/// Whether two descriptors have the same name: the full name if both have it, else the tag.
fn replaces(new: &Descriptor, old: &Descriptor) -> bool {
    let both = |key| (annotation(new, key), annotation(old, key));
    match both(IMAGE_NAME) {
        (Some(new), Some(old)) => new == old,
        _ => both(REF_NAME).0 == both(REF_NAME).1,
    }
}

/// Gives a descriptor its full name as the reference if an image with another name has its tag:
/// readers find an image of a layout by its reference.
fn name_apart(descriptor: &mut Descriptor, others: &[Descriptor]) {
    let reference = annotation(descriptor, REF_NAME);
    let is_taken = others
        .iter()
        .any(|other| reference.is_some() && annotation(other, REF_NAME) == reference);
    let name = annotation(descriptor, IMAGE_NAME).and_then(|name| Tag::parse(name).ok());
    if let Some(name) = name.filter(|_| is_taken) {
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        annotations.insert(REF_NAME.to_owned(), name.familiar);
        descriptor.set_annotations(Some(annotations));
    }
}

impl Drop for LockedLayout {
    fn drop(&mut self) {
        // Only what this run created: another run may have added an image meanwhile.
        if self.is_new && !self.folder.join("index.json").exists() {
            let blobs = self.folder.join("blobs");
            if fs::remove_dir_all(&blobs).is_err() {
                // Needs no file descriptors, which may have run out.
                let _ = fs::remove_dir(self.blobs());
                let _ = fs::remove_dir(blobs);
            }
            let _ = fs::remove_file(self.folder.join("oci-layout"));
            if !self.existed {
                let _ = fs::remove_dir(&self.folder);
            }
        }
    }
}

/// The directory, created if absent, and locked; and whether it existed. Before the first file of a
/// layout is written, the lock on the directory is the only one.
fn locked(folder: &Path, go_on: &dyn Fn() -> io::Result<()>) -> io::Result<(File, bool)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        let (lock, existed) = match open(folder, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                fs::create_dir_all(folder)?;
                match open(folder, flags, Mode::empty()) {
                    // A run that failed has removed it again.
                    Err(Errno::NOENT) => continue,
                    created => (created?, false),
                }
            }
            found => (found?, true),
        };
        let lock = File::from(lock);
        // A wait in the kernel would go on after a signal.
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => go_on()?,
                locked => break locked?,
            }
            std::thread::sleep(PAUSE);
        }
        // A run that failed meanwhile has removed the directory that it created.
        let now = fs::metadata(folder).map(|now| (now.dev(), now.ino()));
        let held = lock.metadata()?;
        if now.is_ok_and(|now| now == (held.dev(), held.ino())) {
            return Ok((lock, existed));
        }
    }
}

/// A writer that checks before each write whether to continue.
struct Asking<'a> {
    out: &'a mut File,
    go_on: &'a dyn Fn() -> io::Result<()>,
}

impl Write for Asking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.go_on)()?;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How the names of files begin that are not complete.
const TEMPORARY: &str = ".slimpack-";

/// Removes all files of a directory that are not complete.
fn remove_temporaries(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry
            .file_name()
            .as_bytes()
            .starts_with(TEMPORARY.as_bytes())
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn temporary(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        // The umask applies, as to any file that a compiler writes.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = temporary(folder, bytes)?;
    file.persist(folder.join(name))
        .map_err(|error| error.error)?;
    Ok(())
}
