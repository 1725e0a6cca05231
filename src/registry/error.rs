//! Why a registry does not give or take an image.

use std::io;

use oci_client::errors::OciDistributionError;
use thiserror::Error;

/// Why a registry does not give or take an image.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The name follows no grammar.
    #[error("{0:?} is no image in a registry ({1}); write one such as registry.example/me/app:1.0")]
    Reference(String, String),
    /// Credentials that are there cannot be read.
    #[error(
        "cannot read the credentials for {registry}: {why}; log in again with docker or podman login"
    )]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// The registry refuses who asks.
    #[error("{registry} refuses {who}; log in with docker or podman login {registry}")]
    Denied {
        /// The registry.
        registry: String,
        /// With which rights it was asked.
        who: String,
    },
    /// There is no such image, or no such blob of it.
    #[error("{0} is not in the registry")]
    Absent(String),
    /// No answer, or one that is cut off.
    #[error("{registry} does not answer as it should: {why}")]
    Connection {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// What it says breaks the rules of the distribution specification.
    #[error("{registry} says: {said}")]
    Said {
        /// The registry.
        registry: String,
        /// Its words.
        said: String,
    },
    /// A document that is none, or a digest that is no name.
    #[error("its manifest cannot be used: {0}")]
    Manifest(String),
    /// The machine's own files.
    #[error("cannot keep the image in a temporary folder: {0}; make room, or set TMPDIR")]
    Io(#[from] io::Error),
}

/// Whether asking again may help: the connection broke, or the server is in trouble.
pub(super) fn is_passing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(error) => {
            error.status().is_none_or(|s| s.is_server_error())
        }
        OciDistributionError::ServerError { code, .. } => *code >= 500,
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// What the library says, in slimpack's words.
pub(super) fn told(
    error: &OciDistributionError,
    registry: &str,
    what: &str,
    has_credentials: bool,
) -> RegistryError {
    let registry = registry.to_owned();
    let who = match has_credentials {
        true => "the credentials that are kept for it".to_owned(),
        false => "who has no credentials".to_owned(),
    };
    let status = match error {
        OciDistributionError::RequestError(error) => error.status().map(|status| status.as_u16()),
        OciDistributionError::ServerError { code, .. } => Some(*code),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => Some(401),
        OciDistributionError::ImageManifestNotFoundError(_) => Some(404),
        _ => None,
    };
    match (status, error) {
        (Some(401 | 403), _) => RegistryError::Denied { registry, who },
        (Some(404), _) => RegistryError::Absent(what.to_owned()),
        (_, OciDistributionError::RegistryError { envelope, .. }) => {
            // The codes of the distribution specification, written either way.
            let said = envelope.to_string();
            let has = |word: &str| said.to_lowercase().contains(word);
            match () {
                () if has("unauthorized") || has("denied") => {
                    RegistryError::Denied { registry, who }
                }
                () if has("unknown") => RegistryError::Absent(what.to_owned()),
                () => RegistryError::Said { registry, said },
            }
        }
        (_, OciDistributionError::RequestError(error)) => RegistryError::Connection {
            registry,
            why: root_cause(error),
        },
        (_, OciDistributionError::DigestError(error)) => RegistryError::Manifest(error.to_string()),
        (_, other) => RegistryError::Said {
            registry,
            said: other.to_string(),
        },
    }
}

/// The innermost reason: the outer ones repeat the address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
