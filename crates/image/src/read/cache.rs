//! Facts of layers, and configurations, that later images and later runs need again.
//!
//! In: a directory, and blobs that were pulled from a registry. Out: what was kept of them, by digest.
//! Several processes may use one directory: an entry is written to a temporary sibling that is renamed when
//! it is complete, nothing waits for a lock, and an entry that was removed can be read by those that have
//! opened it. Whatever is damaged, from another version, or not a file counts as absent.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile};

use super::layer::{IndexedLayer, Shared, index_once};
use super::members::TarError;
use super::{Interest, ReadOptions, facts};
use crate::digest::{Blob, digits, is_hex};
use slimpack_vfs::HostFile;
use slimpack_vfs::bytes::Slice;

/// What names of entries that are being written begin with.
const TEMPORARY: &str = ".slimpack-";
/// What names of layers and configurations begin with.
const LAYER: &str = "layer-";
const CONFIGURATION: &str = "config-";

/// Layers by digest (`sha256:` and hexadecimal digits).
pub type HeldLayers = HashMap<String, CachedLayer>;

/// A directory with facts of layers.
#[derive(Debug)]
pub struct LayerCache {
    folder: PathBuf,
    size: u64,
    claimed: Mutex<HashSet<String>>,
}

/// The facts of one layer, which have been checked.
#[derive(Clone)]
pub struct CachedLayer {
    file: Slice,
    name: String,
}

impl std::fmt::Debug for CachedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CachedLayer({})", self.name)
    }
}

impl CachedLayer {
    pub(super) fn read(&self, shared: &Shared) -> Result<IndexedLayer, TarError> {
        facts::read(&self.file, &self.name, shared)
    }
}

/// The right to fetch a blob, which one thread of the process has at a time; given up when dropped.
#[derive(Debug)]
pub struct Claim<'c> {
    cache: &'c LayerCache,
    digest: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.cache.claimed().remove(&self.digest);
    }
}

impl LayerCache {
    /// A cache in `folder`, which is made for this user alone if it does not exist, whose entries together
    /// have at most `size` bytes.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(folder: &Path, size: u64) -> io::Result<Self> {
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder)?;
        let cache = Self {
            folder: folder.to_path_buf(),
            size,
            claimed: Mutex::default(),
        };
        cache.make_room()?;
        Ok(cache)
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to fetch a blob; `None` while another thread has it.
    pub fn claim(&self, digest: &str) -> Option<Claim<'_>> {
        let is_free = self.claimed().insert(digest.to_owned());
        is_free.then(|| Claim {
            cache: self,
            digest: digest.to_owned(),
        })
    }

    /// What is known of a layer whose blob has at most `most` bytes.
    pub fn layer(&self, digest: &str, most: u64, options: &ReadOptions) -> Option<CachedLayer> {
        let name = layer_name(digest, options.interest)?;
        let file = self.entry(&name)?;
        let file = Slice::whole(Arc::new(HostFile::new(file).ok()?));
        if !facts::is_intact(&file, &name).ok()? {
            return None;
        }
        let known = CachedLayer { file, name };
        // The checksum is no secret: the facts may still be nonsense.
        let read = known.read(&shared(options)).ok()?;
        let packed = read.packed?;
        (packed.digest() == digest && packed.size <= most).then_some(known)
    }

    /// Reads a blob that has this digest, and keeps what is known of it; `None` if it cannot be read or
    /// kept, and has to be read where it is.
    pub fn keep_layer(
        &self,
        digest: &str,
        blob: &Path,
        options: &ReadOptions,
    ) -> Option<CachedLayer> {
        let name = layer_name(digest, options.interest)?;
        let shared = shared(options);
        let file = HostFile::new(File::open(blob).ok()?).ok()?;
        let sha256 = digest.strip_prefix("sha256:")?;
        let layer = index_once(&Slice::whole(Arc::new(file)), sha256, &shared).ok()?;
        if shared.room.has_refused() {
            return None;
        }
        let mut written = self.temporary().ok()?;
        let is_complete = facts::write(&layer, &name, &shared, written.as_file_mut());
        if !is_complete.unwrap_or(false) {
            return None;
        }
        // It can be read even if another process removes it at once.
        let file = written.as_file().try_clone().ok()?;
        let file = Slice::whole(Arc::new(HostFile::new(file).ok()?));
        self.publish(written, &name).ok()?;
        Some(CachedLayer { file, name })
    }

    /// A configuration of at most `most` bytes.
    pub fn configuration(&self, digest: &str, most: u64) -> Option<Vec<u8>> {
        let file = self.entry(&configuration_name(digest)?)?;
        let mut bytes = Vec::new();
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        let is_whole = read.is_ok_and(|count| count as u64 <= most);
        (is_whole && Blob::of(&bytes).digest() == digest).then_some(bytes)
    }

    /// Keeps a configuration, if that is possible.
    pub fn keep_configuration(&self, digest: &str, bytes: &[u8]) {
        let Some(name) = configuration_name(digest) else {
            return;
        };
        let written = self.temporary().and_then(|mut written| {
            written.write_all(bytes)?;
            self.publish(written, &name)
        });
        if let Err(error) = written {
            log::info!("cannot keep {name}: {error}");
        }
    }

    /// Opens an entry, and notes that it is in use.
    fn entry(&self, name: &str) -> Option<File> {
        // A pipe would wait for a writer.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(self.folder.join(name))
            .ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() > self.size {
            return None;
        }
        // Without it, the entry is removed earlier than others.
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    /// A file that nobody takes for that of a dead process.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        loop {
            let file = Builder::new().prefix(TEMPORARY).tempfile_in(&self.folder)?;
            // Another thread or process that makes room may have come before the lock. File systems
            // without locks have no dead processes to tell.
            let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
            if locked != Err(Errno::WOULDBLOCK) && file.path().exists() {
                return Ok(file);
            }
        }
    }

    fn publish(&self, written: NamedTempFile, name: &str) -> io::Result<()> {
        let size = written.as_file().metadata()?.len();
        if size > self.size {
            return Err(io::Error::other(
                "it has more bytes than the cache may have",
            ));
        }
        self.make_room()?;
        written
            .persist(self.folder.join(name))
            .map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes what dead processes left, and the entries that were not used for the longest time, until
    /// the others fit, with those that are being written.
    fn make_room(&self) -> io::Result<()> {
        let (mut entries, mut total) = (Vec::new(), 0_u64);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let is_temporary = name.starts_with(TEMPORARY);
            if !is_temporary && !is_entry(name) {
                continue;
            }
            // Another process may have removed it.
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if !found.is_file() || (is_temporary && remove_dead(&entry.path())) {
                continue;
            }
            total = total.saturating_add(found.len());
            if !is_temporary {
                let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((used, entry.path(), found.len()));
            }
        }
        entries.sort();
        for (_, path, size) in entries {
            if total <= self.size {
                break;
            }
            let _ = fs::remove_file(path);
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

fn shared(options: &ReadOptions) -> Shared {
    Shared::new(options.limits, options.interest, options.probe)
}

/// Removes a temporary whose process is gone; returns whether it did.
fn remove_dead(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let is_dead = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    is_dead && fs::remove_file(path).is_ok()
}

/// Whether this or another version writes entries of this name.
fn is_entry(name: &str) -> bool {
    let rest = name
        .strip_prefix(LAYER)
        .or_else(|| name.strip_prefix(CONFIGURATION));
    let hex = rest.and_then(|rest| rest.split('-').next());
    hex.is_some_and(is_hex)
}

/// What is kept of a layer depends on what will be read of it, and on this version's code.
fn layer_name(digest: &str, interest: Interest) -> Option<String> {
    let kept = match interest {
        Interest::Listing => "listing",
        Interest::Closures => "closures",
        Interest::Symbols => "symbols",
        Interest::Contents => "contents",
    };
    let version = env!("CARGO_PKG_VERSION");
    Some(format!("{LAYER}{}-{kept}-{version}", digits(digest)?))
}

fn configuration_name(digest: &str) -> Option<String> {
    Some(format!("{CONFIGURATION}{}", digits(digest)?))
}
