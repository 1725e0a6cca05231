//! Registries (the OCI distribution specification).
//!
//! In: an image layout to push, or the name of an image to pull. Out: the image in the registry, or
//! as a layout in a directory. A blob that the registry has is not sent again; one that another of
//! its repositories has is mounted. Downloads are bounded by the sizes in the manifest and by the
//! free disk space, and are verified when read. Transient failures are retried with growing pauses,
//! or when the registry says.

mod attach;
mod credentials;
mod error;
mod known;
mod layout;
mod wire;

pub use attach::Attachment;
pub use error::{RegistryError, Said};
pub use known::KnownLayers;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use oci_spec::distribution::Reference;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::read::HeldLayers;
use known::KnownPull;
use layout::{BlobDescriptor, Layout};
use wire::{Wire, name_of};

/// How often a request is retried, and when: after 250 ms plus jitter, then twice as long each
/// time.
const AGAIN: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(10))
    .with_max_times(4)
    .with_jitter();
/// How often to check whether a signal has arrived.
const GLANCE: Duration = Duration::from_millis(100);

/// How to access registries.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Registries that are accessed without TLS, in addition to those on the loopback interface.
    pub insecure: &'a [String],
    /// How long the transfer of one image may take.
    pub deadline: Duration,
    /// The signal that has arrived meanwhile, if any: it ends every wait.
    pub interrupted: &'a dyn Fn() -> Option<i32>,
}

/// An image in a registry.
pub struct Registry<'a> {
    runtime: Runtime,
    wire: Wire,
    reference: Reference,
    access: Access<'a>,
}

/// The result of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Number of blobs sent.
    pub sent: usize,
    /// Their size in bytes.
    pub sent_bytes: u64,
    /// Number of blobs mounted from another repository of the registry.
    pub mounted: usize,
    /// Number of blobs that the repository already had.
    pub there: usize,
}

impl<'a> Registry<'a> {
    /// The image called `name`.
    ///
    /// # Errors
    /// When the name is invalid, or the stored credentials for the registry cannot be read.
    pub fn open(name: &str, access: Access<'a>) -> Result<Self, RegistryError> {
        let reference: Reference = name
            .parse()
            .map_err(|error| RegistryError::Reference(name.to_owned(), format!("{error}")))?;
        let registry = reference.resolve_registry().to_owned();
        let is_plain = access.insecure.contains(&registry) || is_loopback(&registry);
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            wire: Wire::open(
                reference.clone(),
                credentials::find(reference.registry())?,
                is_plain,
            )?,
            reference,
            access,
        })
    }

    /// The full name.
    pub fn name(&self) -> String {
        self.reference.whole()
    }

    /// The registry and the repository.
    pub fn repository(&self) -> (&str, &str) {
        (
            self.reference.resolve_registry(),
            self.reference.repository(),
        )
    }

    /// Pushes the image of the layout at `folder`; blobs that `other` has may be mounted.
    ///
    /// # Errors
    /// When the registry does not accept it.
    pub fn push(&self, folder: &Path, other: Option<&Self>) -> Result<Pushed, RegistryError> {
        let layout = Layout::read(folder)?;
        let other = other.map(Self::repository).filter(|other| {
            let own = self.repository();
            other.0 == own.0 && *other != own
        });
        let other = other.map(|(_, repository)| repository);
        self.wire.begin(true, other);
        self.in_time(self.push_layout(&layout, other))
    }

    async fn push_layout(
        &self,
        layout: &Layout,
        other: Option<&str>,
    ) -> Result<Pushed, RegistryError> {
        let mut pushed = Pushed::default();
        let mut seen = HashSet::new();
        for blob in &layout.blobs {
            if seen.insert(blob.digest.as_str()) {
                self.push_blob(layout, blob, other, &mut pushed).await?;
            }
        }
        for (number, manifest) in layout.manifests.iter().enumerate() {
            let is_last = number + 1 == layout.manifests.len();
            let name = match is_last {
                true => name_of(&self.reference),
                false => &manifest.digest,
            };
            let bytes = Bytes::from(layout.document(manifest)?);
            again(|| self.wire.push_manifest(name, &manifest.media_type, &bytes)).await?;
        }
        Ok(pushed)
    }

    async fn push_blob(
        &self,
        layout: &Layout,
        blob: &BlobDescriptor,
        other: Option<&str>,
        pushed: &mut Pushed,
    ) -> Result<(), RegistryError> {
        if again(|| self.wire.has(blob)).await? {
            pushed.there += 1;
            return Ok(());
        }
        let path = layout.path(blob);
        if again(|| self.wire.push_blob(blob, &path, other)).await? {
            pushed.mounted += 1;
            return Ok(());
        }
        pushed.sent += 1;
        pushed.sent_bytes += blob.size;
        Ok(())
    }

    /// Pulls the image into a new layout at `folder`: of several platforms, the requested one, else
    /// that of this machine, else all. Layers and configurations that `known` has are not fetched, and
    /// others are kept there. Returns the layers that are not in the layout.
    ///
    /// # Errors
    /// When the registry does not provide it.
    pub fn pull(
        &self,
        folder: &Path,
        platform: Option<&str>,
        known: Option<KnownLayers<'_>>,
    ) -> Result<HeldLayers, RegistryError> {
        self.wire.begin(false, None);
        self.in_time(self.pull_layout(folder, platform, known))
    }

    async fn pull_layout(
        &self,
        folder: &Path,
        platform: Option<&str>,
        known: Option<KnownLayers<'_>>,
    ) -> Result<HeldLayers, RegistryError> {
        let mut held = HeldLayers::new();
        let (bytes, digest) = again(|| self.wire.manifest(&self.reference)).await?;
        let mut layout = Layout::create(folder, &self.name())?;
        let wanted = layout.top(&bytes, &digest, platform)?;
        for (digest, bytes) in wanted {
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => {
                    let reference = self.reference.clone_with_digest(digest.clone());
                    again(|| self.wire.manifest(&reference)).await?.0
                }
            };
            let [config, layers] = layout.manifest(&digest, &bytes)?;
            match known {
                Some(known) => {
                    let pull = KnownPull {
                        registry: self,
                        known,
                        folder,
                        layout: &layout,
                    };
                    pull.all(&config, &layers, &mut held).await?;
                }
                None => {
                    let mut blobs = [config, layers].concat();
                    blobs.retain(|blob| !layout.path(blob).exists());
                    has_room(folder, &blobs)?;
                    for blob in &blobs {
                        self.pull_blob(&layout, blob).await?;
                    }
                }
            }
        }
        layout.finish()?;
        Ok(held)
    }

    async fn pull_blob(&self, layout: &Layout, blob: &BlobDescriptor) -> Result<(), RegistryError> {
        let path = layout.path(blob);
        if !path.exists() {
            again(|| self.wire.pull_blob(blob, &path)).await?;
        }
        Ok(())
    }

    /// Runs the whole transfer, unless it takes too long or a signal arrives.
    fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let late = RegistryError::Late {
            registry: self.reference.registry().to_owned(),
            after: self.access.deadline,
        };
        let interrupted = async {
            loop {
                if let Some(signal) = (self.access.interrupted)() {
                    return Err(RegistryError::Interrupted(signal));
                }
                sleep(GLANCE).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                done = timeout(self.access.deadline, work) => done.unwrap_or(Err(late)),
                interrupted = interrupted => interrupted,
            }
        })
    }
}

/// Retries transient failures, within the time limit.
async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    ask.retry(AGAIN)
        .when(RegistryError::is_passing)
        .adjust(|error, pause| error.pause(pause?))
        .notify(|error, pause| log::info!("{error}; retrying in {pause:?}"))
        .await
}

/// Checks that blobs of this size fit into a directory before they are downloaded.
fn has_room(folder: &Path, blobs: &[BlobDescriptor]) -> Result<(), RegistryError> {
    let needed = blobs
        .iter()
        .fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
    let disk = rustix::fs::statvfs(folder).map_err(std::io::Error::from)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    match needed <= free {
        true => Ok(()),
        false => Err(RegistryError::Room { needed, free }),
    }
}

/// Whether a registry is on this machine; docker and podman also access these without TLS.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
