//! Why pushing to or pulling from a registry failed.
//!
//! In: an unsuccessful response, by its status, the codes of the distribution specification and
//! `Retry-After`; or a request without a response. Out: what it means, with advice on what to do
//! next, and whether and when a retry may help. The text of a response is shown, but never
//! interpreted.

use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::StatusCode;
use serde::Deserialize;
use thiserror::Error;

/// Longest pause that a registry may ask for; a longer one is reported to the user instead.
const LONGEST: Duration = Duration::from_secs(60);
/// Most characters shown of a response that does not follow the specification.
const SHOWN: usize = 200;

/// Why pushing to or pulling from a registry failed.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The name is not a valid reference.
    #[error(
        "{0:?} is not a valid image reference ({1}); an example is registry.example/me/app:1.0"
    )]
    Reference(String, String),
    /// The stored credentials cannot be read.
    #[error(
        "cannot read the credentials for {registry}: {why}; log in again with docker or podman login"
    )]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// 401 or 403 without credentials; registries also answer so for an image that does not exist.
    #[error(
        "{registry} requires credentials{said}; check the name, or run docker login {registry}"
    )]
    Login {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
    },
    /// 401 despite credentials.
    #[error("{registry} rejects the stored credentials{said}; run docker login {registry} again")]
    Password {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
    },
    /// 403 despite credentials.
    #[error(
        "{registry} denies access to this account{said}; request access, or run docker login {registry} with another account"
    )]
    Denied {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
    },
    /// `NAME_UNKNOWN`, or a 404 on a push.
    #[error("{registry} has no repository {repository}{said}; check the name, or create it first")]
    NoRepository {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What the registry reported.
        said: Said,
    },
    /// Another 404: no such manifest, or no such blob.
    #[error("{what} is not in the registry{said}; check the name and the tag")]
    Absent {
        /// The image, or the blob.
        what: String,
        /// What the registry reported.
        said: Said,
    },
    /// 429.
    #[error("{registry} limits the rate of requests{said}; {}", advice(.wait.as_ref(), .registry))]
    Busy {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
        /// When to retry.
        wait: Option<Duration>,
    },
    /// 408, 5xx, and an upload session that the registry lost.
    #[error("{registry} cannot serve the request now{said}; try again later")]
    Trouble {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
        /// When to retry.
        wait: Option<Duration>,
    },
    /// Any other unsuccessful response.
    #[error("{registry} rejects the request{said}; check the name, and what the registry accepts")]
    Refused {
        /// The registry.
        registry: String,
        /// What the registry reported.
        said: Said,
    },
    /// No connection: unknown host, closed port, or untrusted TLS certificate.
    #[error(
        "cannot reach {registry}: {why}; check the name and the network, or pass --insecure-registry {registry} if it does not use TLS"
    )]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// No response, or an incomplete one.
    #[error("no complete answer from {registry}: {why}; try again later")]
    Cut {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// The whole transfer takes too long.
    #[error("{registry} did not finish within {} s; raise --limit registry-time=SECONDS, or try again later", .after.as_secs())]
    Late {
        /// The registry.
        registry: String,
        /// How long it was allowed to take.
        after: Duration,
    },
    /// A malformed or oversized manifest, or an invalid digest.
    #[error("its manifest cannot be used: {0}")]
    Manifest(String),
    /// The content does not match its descriptor.
    #[error("its blob {digest} cannot be used: {why}; push the image again")]
    Blob {
        /// The digest of its descriptor.
        digest: String,
        /// Why.
        why: String,
    },
    /// The image is larger than the free disk space.
    #[error(
        "its blobs have {needed} bytes, but only {free} bytes are free; free up space, or set TMPDIR"
    )]
    Room {
        /// Total size by its descriptors, in bytes.
        needed: u64,
        /// Free disk space in bytes.
        free: u64,
    },
    /// A signal arrived.
    #[error("interrupted by a signal")]
    Interrupted(i32),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
    /// Local files cannot be read or written.
    #[error("cannot store the image in a temporary directory: {0}; free up space, or set TMPDIR")]
    Io(#[from] io::Error),
}

impl RegistryError {
    /// Whether a retry may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. } | Self::Trouble { .. } | Self::Cut { .. }
        )
    }

    /// How long to wait before a retry, at least `pause`; `None` if that would be too long.
    pub(super) fn pause(&self, pause: Duration) -> Option<Duration> {
        match self {
            Self::Busy {
                wait: Some(wait), ..
            }
            | Self::Trouble {
                wait: Some(wait), ..
            } => (*wait <= LONGEST).then_some(pause.max(*wait)),
            _ => Some(pause),
        }
    }
}

/// What a registry reported, in parentheses; empty if it reported nothing.
#[derive(Debug, Default)]
pub struct Said(pub String);

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => Ok(()),
            false => write!(out, " ({})", self.0),
        }
    }
}

fn advice(wait: Option<&Duration>, registry: &str) -> String {
    let when = match wait.map(Duration::as_secs) {
        None | Some(0) => "a while".to_owned(),
        Some(seconds @ ..120) => format!("{seconds} s"),
        Some(seconds) => format!("{} minutes", seconds.div_ceil(60)),
    };
    format!("wait {when}, or run docker login {registry} for a higher limit")
}

/// The body of an error response (the distribution specification, "Error Codes").
#[derive(Deserialize)]
struct ErrorResponse {
    errors: Vec<Problem>,
}

/// One error in it.
#[derive(Deserialize)]
pub(super) struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The codes that are interpreted; registries also have their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Other,
}

impl Problem {
    fn code(&self) -> Code {
        match self.code.as_str() {
            "BLOB_UNKNOWN" => Code::BlobUnknown,
            "BLOB_UPLOAD_INVALID" => Code::BlobUploadInvalid,
            "BLOB_UPLOAD_UNKNOWN" => Code::BlobUploadUnknown,
            "DENIED" => Code::Denied,
            "MANIFEST_BLOB_UNKNOWN" => Code::ManifestBlobUnknown,
            "MANIFEST_UNKNOWN" => Code::ManifestUnknown,
            "NAME_UNKNOWN" => Code::NameUnknown,
            // Used by Harbor.
            "NOT_FOUND" => Code::NotFound,
            "TOOMANYREQUESTS" | "TOO_MANY_REQUEST" => Code::TooManyRequests,
            "UNAUTHORIZED" => Code::Unauthorized,
            _ => Code::Other,
        }
    }
}

/// What was requested, for messages about the response.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// As written in a reference: docker.io, not index.docker.io.
    pub registry: &'a str,
    pub repository: &'a str,
    /// The full name, or the blob.
    pub what: &'a str,
    pub is_push: bool,
    pub has_credentials: bool,
}

impl Asked<'_> {
    /// What an unsuccessful response means.
    pub fn refused(
        &self,
        status: Option<StatusCode>,
        wait: Option<Duration>,
        body: &[u8],
    ) -> RegistryError {
        match serde_json::from_slice::<ErrorResponse>(body) {
            Ok(envelope) => self.meaning(status, wait, &envelope.errors, ""),
            Err(_) => self.meaning(status, wait, &[], &first_line(body)),
        }
    }

    /// Decides by the status, and if that is ambiguous by the first code.
    pub fn meaning(
        &self,
        status: Option<StatusCode>,
        wait: Option<Duration>,
        errors: &[Problem],
        text: &str,
    ) -> RegistryError {
        let registry = self.registry.to_owned();
        let said = words(status, errors, text);
        let code = errors.first().map(Problem::code);
        match (status.map(|status| status.as_u16()), code) {
            (Some(429), _) | (_, Some(Code::TooManyRequests)) => RegistryError::Busy {
                registry,
                said,
                wait,
            },
            (Some(408 | 500..), _) => RegistryError::Trouble {
                registry,
                said,
                wait,
            },
            // The upload session is gone: a new one helps.
            (_, Some(Code::BlobUploadUnknown | Code::BlobUploadInvalid)) => {
                RegistryError::Trouble {
                    registry,
                    said,
                    wait,
                }
            }
            // Quay sends DENIED with 405 while it is read-only for everyone.
            (Some(405), _) => RegistryError::Refused { registry, said },
            (Some(401 | 403), _) | (_, Some(Code::Unauthorized | Code::Denied))
                if !self.has_credentials =>
            {
                RegistryError::Login { registry, said }
            }
            (Some(401), _) => RegistryError::Password { registry, said },
            (Some(403), _) | (_, Some(Code::Denied)) => RegistryError::Denied { registry, said },
            (_, Some(Code::Unauthorized)) => RegistryError::Password { registry, said },
            (_, Some(Code::NameUnknown)) => self.no_repository(said),
            // Something that the pushed manifest references: not a name that the user gave.
            (_, Some(Code::ManifestBlobUnknown)) => RegistryError::Refused { registry, said },
            (Some(404), _) if self.is_push => self.no_repository(said),
            (Some(404), _)
            | (_, Some(Code::ManifestUnknown | Code::BlobUnknown | Code::NotFound)) => {
                RegistryError::Absent {
                    what: self.what.to_owned(),
                    said,
                }
            }
            _ => RegistryError::Refused { registry, said },
        }
    }

    fn no_repository(&self, said: Said) -> RegistryError {
        RegistryError::NoRepository {
            registry: self.registry.to_owned(),
            repository: self.repository.to_owned(),
            said,
        }
    }

    /// What it means if there is no response.
    pub fn unanswered(&self, error: &reqwest::Error) -> RegistryError {
        let (registry, why) = (self.registry.to_owned(), root_cause(error));
        match error.is_connect() || error.is_builder() || error.is_redirect() {
            true => RegistryError::Unreachable { registry, why },
            false => RegistryError::Cut { registry, why },
        }
    }
}

/// What a registry reported, in docker's form: `name unknown: repository name not known to
/// registry`.
fn words(status: Option<StatusCode>, errors: &[Problem], text: &str) -> Said {
    let one = |error: &Problem| {
        let code = error.code.to_lowercase().replace('_', " ");
        match error.message.trim() {
            message if message.is_empty() || message.eq_ignore_ascii_case(&code) => code,
            message => format!("{code}: {message}"),
        }
    };
    let told: Vec<String> = errors.iter().map(one).collect();
    Said(match (status, told.is_empty(), text) {
        (_, false, _) => told.join("; "),
        (Some(status), true, "") => status.to_string(),
        (Some(status), true, text) => format!("{status}: {text}"),
        (None, true, text) => text.to_owned(),
    })
}

/// The beginning of a text; nothing of an HTML page.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let line = text.trim().lines().next().unwrap_or_default();
    match line.starts_with('<') {
        true => String::new(),
        false => line.chars().take(SHOWN).collect(),
    }
}

/// When to retry (RFC 9110, 10.2.3): after this many seconds, or at a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    // A date in the past means no wait.
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

/// The innermost cause: the outer ones repeat the address.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'static> = Asked {
        registry: "registry.example",
        repository: "me/app",
        what: "registry.example/me/app:1",
        is_push: false,
        has_credentials: false,
    };

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("60"), Some(Duration::from_secs(60)));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        assert!(retry_after("Tue, 01 Jan 2999 00:00:00 GMT").unwrap() > LONGEST);
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn a_code_that_the_specification_does_not_know_leaves_the_status() {
        let body = br#"{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}"#;
        let error = ASKED.refused(Some(StatusCode::BAD_REQUEST), None, body);
        assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
        let error = ASKED.refused(Some(StatusCode::INTERNAL_SERVER_ERROR), None, body);
        assert!(error.is_passing(), "{error}");
    }
}
