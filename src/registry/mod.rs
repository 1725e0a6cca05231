//! Registries (the OCI distribution specification).
//!
//! In: an image layout to push, or the name of an image to pull. Out: the same in the registry, or as a
//! layout in a folder. A blob that the registry has is not sent again; one that another repository of
//! it has is mounted. What comes is bounded by what the manifest says, and checked when it is read.

mod credentials;
mod error;
mod layout;

pub use error::RegistryError;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::runtime::Runtime;

use credentials::credentials;
use error::{is_passing, told};
use layout::{Blob, Layout, Limited, MANIFESTS};

/// How often something is tried, and how long is waited after the first time.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// Bytes that are handed over at a time.
const CHUNK: usize = 1 << 20;
/// How long a registry may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// An image in a registry.
pub struct Registry {
    runtime: Runtime,
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

/// What a push did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that another repository of the registry had.
    pub mounted: usize,
    /// Blobs that were there.
    pub there: usize,
}

impl Registry {
    /// The image called `name`; registries in `insecure`, and those of this machine itself, are
    /// spoken to without TLS.
    ///
    /// # Errors
    /// When the name is none, or the credentials kept for the registry cannot be read.
    pub fn open(name: &str, insecure: &[String]) -> Result<Self, RegistryError> {
        let reference: Reference = name
            .parse()
            .map_err(|error| RegistryError::Reference(name.to_owned(), format!("{error}")))?;
        // Fails when there is one already, which then is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = reference.resolve_registry().to_owned();
        let is_plain = insecure.contains(&registry) || is_loopback(&registry);
        let protocol = match is_plain {
            true => ClientProtocol::HttpsExcept(vec![registry.clone()]),
            false => ClientProtocol::Https,
        };
        let client = Client::new(ClientConfig {
            protocol,
            use_monolithic_push: true,
            read_timeout: Some(PATIENCE),
            connect_timeout: Some(PATIENCE),
            user_agent: concat!("slimpack/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client,
            auth: credentials(&registry)?,
            reference,
        })
    }

    /// The whole name.
    pub fn name(&self) -> String {
        self.reference.whole()
    }

    /// The name in the same registry that blobs may be mounted from.
    pub fn repository(&self) -> (&str, &str) {
        (
            self.reference.resolve_registry(),
            self.reference.repository(),
        )
    }

    /// Pushes the one image of the layout at `folder`; `other` may have its blobs.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn push(&self, folder: &Path, other: Option<&Self>) -> Result<Pushed, RegistryError> {
        let layout = Layout::read(folder)?;
        let other = other.filter(|other| {
            other.repository().0 == self.repository().0 && other.repository() != self.repository()
        });
        self.runtime.block_on(self.push_layout(&layout, other))
    }

    async fn push_layout(
        &self,
        layout: &Layout,
        other: Option<&Self>,
    ) -> Result<Pushed, RegistryError> {
        let registry = self.reference.resolve_registry();
        self.client.store_auth_if_needed(registry, &self.auth).await;
        let mut pushed = Pushed::default();
        let mut seen = HashSet::new();
        for blob in layout
            .blobs
            .iter()
            .filter(|blob| seen.insert(blob.digest.clone()))
        {
            self.push_blob(layout, blob, other, &mut pushed).await?;
        }
        for (number, manifest) in layout.manifests.iter().enumerate() {
            let is_last = number + 1 == layout.manifests.len();
            let reference = match is_last {
                true => self.reference.clone(),
                false => self.reference.clone_with_digest(manifest.digest.clone()),
            };
            let media_type = manifest.media_type.parse();
            let media_type =
                media_type.map_err(|_| RegistryError::Manifest("it has no media type".into()))?;
            let bytes = Bytes::from(layout.document(manifest)?);
            self.again(|| {
                self.client
                    .push_manifest_raw(&reference, bytes.clone(), Clone::clone(&media_type))
            })
            .await?;
        }
        Ok(pushed)
    }

    async fn push_blob(
        &self,
        layout: &Layout,
        blob: &Blob,
        other: Option<&Self>,
        pushed: &mut Pushed,
    ) -> Result<(), RegistryError> {
        let digest = blob.digest.as_str();
        if self
            .again(|| self.client.blob_exists(&self.reference, digest))
            .await?
        {
            pushed.there += 1;
            return Ok(());
        }
        if let Some(other) = other {
            // A registry that does not mount is no error: the blob is sent.
            let mounted = self
                .client
                .mount_blob(&self.reference, &other.reference, digest);
            if mounted.await.is_ok() {
                pushed.mounted += 1;
                return Ok(());
            }
        }
        let path = layout.path(blob);
        self.again(|| async {
            let file = File::open(&path)?;
            let bytes = stream::unfold(file, |mut file| async move {
                let mut piece = vec![0; CHUNK];
                match file.read(&mut piece) {
                    Ok(0) => None,
                    Ok(count) => {
                        piece.truncate(count);
                        Some((Ok(Bytes::from(piece)), file))
                    }
                    Err(error) => Some((Err(OciDistributionError::IoError(error)), file)),
                }
            });
            let size = Some(blob.size);
            let sending = self
                .client
                .push_blob_stream(&self.reference, bytes, digest, size);
            sending.await
        })
        .await?;
        pushed.sent += 1;
        pushed.sent_bytes += blob.size;
        Ok(())
    }

    /// Pulls the image into a new layout at `folder`: of several platforms the wanted one, else that
    /// of this machine, else all.
    ///
    /// # Errors
    /// When the registry does not give it.
    pub fn pull(&self, folder: &Path, platform: Option<&str>) -> Result<(), RegistryError> {
        self.runtime.block_on(self.pull_layout(folder, platform))
    }

    async fn pull_layout(
        &self,
        folder: &Path,
        platform: Option<&str>,
    ) -> Result<(), RegistryError> {
        let (bytes, digest) = self.manifest(&self.reference).await?;
        let mut layout = Layout::create(folder, &self.name())?;
        let wanted = layout.top(&bytes, &digest, platform)?;
        for (digest, bytes) in wanted {
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => {
                    let reference = self.reference.clone_with_digest(digest.clone());
                    self.manifest(&reference).await?.0
                }
            };
            for blob in layout.manifest(&digest, &bytes)? {
                self.pull_blob(&layout, &blob).await?;
            }
        }
        layout.finish()
    }

    async fn manifest(&self, reference: &Reference) -> Result<(Bytes, String), RegistryError> {
        self.again(|| {
            self.client
                .pull_manifest_raw(reference, &self.auth, MANIFESTS)
        })
        .await
    }

    async fn pull_blob(&self, layout: &Layout, blob: &Blob) -> Result<(), RegistryError> {
        let path = layout.path(blob);
        if path.exists() {
            return Ok(());
        }
        self.again(|| async {
            let out = Limited::new(File::create(&path)?, blob.size);
            let digest = blob.digest.as_str();
            self.client.pull_blob(&self.reference, digest, out).await
        })
        .await
    }

    /// Asks until the answer is one, or a no.
    async fn again<T, F>(&self, ask: impl Fn() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if left > 0 && is_passing(&error) => pause(left).await,
                Err(error) => return Err(self.told(&error)),
            }
        }
    }

    fn told(&self, error: &OciDistributionError) -> RegistryError {
        let has_credentials = !matches!(self.auth, RegistryAuth::Anonymous);
        told(
            error,
            self.reference.resolve_registry(),
            &self.name(),
            has_credentials,
        )
    }
}

/// Longer each time.
async fn pause(left: u32) {
    tokio::time::sleep(PAUSE * 2_u32.pow(ATTEMPTS - left - 1)).await;
}

/// Whether a registry is this machine itself, which docker and podman speak to without TLS as well.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
