//! Requests of the OCI distribution specification, and their responses.
//!
//! In: what to request from a registry. Out: the response, or the reason why there is none.
//! Credentials are sent only when the registry asks for them, and again after a token has expired.
//! A response is not read beyond its announced length, and a stalled one is aborted. Sources: the
//! distribution specification, and distribution's token authentication.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use oci_spec::distribution::Reference;
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::error::{Asked, RegistryError, Said, retry_after, root_cause};
use super::layout::{BlobDescriptor, MANIFESTS};
use crate::{Blob, Digester};

/// Timeouts of connecting, and of a small response.
const CONNECTION: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
/// A blob must advance by this many bytes in this time, in either direction.
const SLOWEST: u64 = 64 << 10;
const STANDSTILL: Duration = Duration::from_secs(120);
/// Maximum size of a manifest in bytes (the specification requires at least 4 MB), and of a token
/// or an error.
const MANIFEST: usize = 4 << 20;
const DOCUMENT: usize = 1 << 20;
/// Size of an upload chunk, in bytes.
const CHUNK: usize = 32 << 10;

/// A client for one repository.
pub(super) struct Wire {
    http: Client,
    /// `https://registry.example/`
    origin: Url,
    reference: Reference,
    auth: Credentials,
    session: RefCell<Session>,
}

/// The transfer's settings and progress.
#[derive(Default)]
struct Session {
    is_push: bool,
    /// The scopes requested from the token server.
    scopes: Vec<String>,
    pass: Pass,
}

/// The authorization sent to the registry.
#[derive(Clone, Default)]
enum Pass {
    #[default]
    None,
    Basic(String, String),
    Bearer(String),
}

/// The response of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Wire {
    pub fn open(
        reference: Reference,
        auth: Credentials,
        is_plain: bool,
    ) -> Result<Self, RegistryError> {
        // Fails if one is already installed, which is then the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .user_agent(concat!("slimpack/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECTION)
            .build()
            .map_err(|error| RegistryError::Client(root_cause(&error)))?;
        let scheme = match is_plain {
            true => "http",
            false => "https",
        };
        let origin = format!("{scheme}://{}/", reference.resolve_registry());
        let origin = Url::parse(&origin)
            .map_err(|error| RegistryError::Reference(reference.whole(), error.to_string()))?;
        Ok(Self {
            http,
            origin,
            reference,
            auth,
            session: RefCell::default(),
        })
    }

    /// What the transfer does: push, with blobs that may be mounted from `other`, or pull.
    pub fn begin(&self, is_push: bool, other: Option<&str>) {
        let rights = match is_push {
            true => "pull,push",
            false => "pull",
        };
        let own = format!("repository:{}:{rights}", self.reference.repository());
        let other = other.map(|other| format!("repository:{other}:pull"));
        *self.session.borrow_mut() = Session {
            is_push,
            scopes: [own].into_iter().chain(other).collect(),
            pass: Pass::None,
        };
    }

    /// A manifest or index, and its digest.
    pub async fn manifest(&self, reference: &Reference) -> Result<(Bytes, String), RegistryError> {
        let name = name_of(reference);
        let what = reference.whole();
        let url = self.url(&format!("manifests/{name}"));
        let ask = |http: &Client| {
            let request = http.get(&url).header(ACCEPT, MANIFESTS.join(", "));
            request.timeout(PATIENCE)
        };
        let answer = self.send(&what, &ask).await?;
        let promised = text(answer.headers(), "docker-content-digest").map(str::to_owned);
        let bytes = read(answer, MANIFEST).await;
        let bytes = bytes.map_err(|error| self.asked(&what).unanswered(&error))?;
        let bytes = bytes.ok_or_else(|| bad(format!("it has more than {MANIFEST} bytes")))?;
        let digest = Blob::of(&bytes).digest();
        let promised = promised.filter(|digest| digest.starts_with("sha256:"));
        for promise in reference.digest().into_iter().chain(promised.as_deref()) {
            if promise != digest {
                return Err(bad(format!("its digest is {digest}, not {promise}")));
            }
        }
        Ok((Bytes::from(bytes), digest))
    }

    /// Downloads a blob into a new file.
    pub async fn pull_blob(&self, blob: &BlobDescriptor, path: &Path) -> Result<(), RegistryError> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        let fail = |why: String| RegistryError::Blob {
            digest: blob.digest.clone(),
            why,
        };
        let too_large = || {
            fail(format!(
                "it is larger than its descriptor says, {}",
                blob.size
            ))
        };
        let moved = AtomicU64::new(0);
        let pulling = async {
            let mut answer = self
                .send(&blob.digest, &|http: &Client| http.get(&url))
                .await?;
            if answer
                .content_length()
                .is_some_and(|length| length > blob.size)
            {
                return Err(too_large());
            }
            let mut out = Digester::new(File::create(path)?, blob.size);
            let mut size = 0;
            let cut = |error: reqwest::Error| self.asked(&blob.digest).unanswered(&error);
            while let Some(piece) = answer.chunk().await.map_err(cut)? {
                size += piece.len() as u64;
                if size > blob.size {
                    return Err(too_large());
                }
                out.write_all(&piece)?;
                moved.store(size, Ordering::Relaxed);
            }
            let got = out.finish()?.digest();
            match got == blob.digest {
                true => Ok(()),
                false => Err(fail(format!("its digest is {got}"))),
            }
        };
        self.moving(&moved, pulling).await
    }

    /// Whether the repository has a blob.
    pub async fn has(&self, blob: &BlobDescriptor) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        let ask = |http: &Client| http.head(&url).timeout(PATIENCE);
        match self.send(&blob.digest, &ask).await {
            Ok(_) => Ok(true),
            Err(RegistryError::Absent { .. } | RegistryError::NoRepository { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a blob, or has the registry mount it from `other`; returns whether it was mounted.
    pub async fn push_blob(
        &self,
        blob: &BlobDescriptor,
        path: &Path,
        other: Option<&str>,
    ) -> Result<bool, RegistryError> {
        let answer = match other {
            None => self.upload(&[]).await?,
            Some(other) => match self
                .upload(&[("mount", &blob.digest), ("from", other)])
                .await
            {
                Ok(answer) if answer.status() == StatusCode::CREATED => return Ok(true),
                Ok(answer) => answer,
                // A registry that does not mount blobs is not an error.
                Err(_) => self.upload(&[]).await?,
            },
        };
        let location = text(answer.headers(), LOCATION.as_str());
        let url = location.and_then(|location| answer.url().join(location).ok());
        let mut url = url.ok_or_else(|| RegistryError::Refused {
            registry: self.reference.registry().to_owned(),
            said: Said("its upload response has no Location".to_owned()),
        })?;
        self.keep_tls(&mut url)?;
        url.query_pairs_mut().append_pair("digest", &blob.digest);
        let moved = Arc::new(AtomicU64::new(0));
        let put = |http: &Client| {
            http.put(url.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, blob.size)
                .body(Body::wrap_stream(pieces(path.to_owned(), moved.clone())))
        };
        let pushing = async {
            match url.origin() == self.origin.origin() {
                true => self.send(&blob.digest, &put).await,
                // Credentials are for the registry only, not for the host of the upload location.
                false => {
                    let answer = self.once(&blob.digest, &put, Pass::None).await?;
                    self.heard(&blob.digest, answer).await
                }
            }
        };
        self.moving(&moved, pushing).await?;
        Ok(false)
    }

    /// Sets the scheme of an upload location to that of the registry: a registry behind a proxy that
    /// terminates TLS returns the scheme of its own connection (docker's distribution client does the same).
    fn keep_tls(&self, url: &mut Url) -> Result<(), RegistryError> {
        let is_registry = url.host_str() == self.origin.host_str()
            && (url.port().is_none() || url.port() == self.origin.port());
        if is_registry && url.scheme() != self.origin.scheme() {
            let _ = url.set_scheme(self.origin.scheme());
            let _ = url.set_port(self.origin.port());
        }
        if self.origin.scheme() == "https" && url.scheme() != "https" {
            return Err(RegistryError::Refused {
                registry: self.reference.registry().to_owned(),
                said: Said(format!("its upload URL does not use TLS: {url}")),
            });
        }
        Ok(())
    }

    /// Sends a manifest under a tag, or under its digest; returns whether the registry lists it as a
    /// referrer of its subject.
    pub async fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, RegistryError> {
        let url = self.url(&format!("manifests/{name}"));
        let put = |http: &Client| {
            let request = http.put(&url).header(CONTENT_TYPE, media_type);
            request.body(bytes.clone()).timeout(PATIENCE)
        };
        let answer = self.send(&self.reference.whole(), &put).await?;
        Ok(answer.headers().contains_key("oci-subject"))
    }

    /// Starts an upload session.
    async fn upload(&self, query: &[(&str, &str)]) -> Result<Response, RegistryError> {
        let url = self.url("blobs/uploads/");
        let post = |http: &Client| {
            let request = http.post(&url).query(query).header(CONTENT_LENGTH, 0);
            request.timeout(PATIENCE)
        };
        self.send(&self.reference.whole(), &post).await
    }

    fn url(&self, rest: &str) -> String {
        format!("{}v2/{}/{rest}", self.origin, self.reference.repository())
    }

    fn asked<'a>(&'a self, what: &'a str) -> Asked<'a> {
        Asked {
            registry: self.reference.registry(),
            repository: self.reference.repository(),
            what,
            is_push: self.session.borrow().is_push,
            has_credentials: !matches!(self.auth, Credentials::Anonymous),
        }
    }

    /// Sends a request; and a second time, with new authorization, if the registry requires it.
    async fn send(
        &self,
        what: &str,
        ask: &impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let pass = self.session.borrow().pass.clone();
        let mut answer = self.once(what, ask, pass).await?;
        // Only the registry itself may request credentials, not a host that it redirects to.
        let is_registry = answer.url().origin() == self.origin.origin();
        if answer.status() == StatusCode::UNAUTHORIZED && is_registry {
            let pass = self.pass(answer.headers()).await?;
            if let Some(pass) = pass {
                self.session.borrow_mut().pass = pass.clone();
                answer = self.once(what, ask, pass).await?;
            }
        }
        self.heard(what, answer).await
    }

    async fn once(
        &self,
        what: &str,
        ask: &impl Fn(&Client) -> RequestBuilder,
        pass: Pass,
    ) -> Result<Response, RegistryError> {
        let request = match pass {
            Pass::None => ask(&self.http),
            Pass::Basic(user, password) => ask(&self.http).basic_auth(user, Some(password)),
            Pass::Bearer(token) => ask(&self.http).bearer_auth(token),
        };
        let answer = request.send().await;
        answer.map_err(|error| self.asked(what).unanswered(&error))
    }

    /// A successful response; otherwise what it means.
    async fn heard(&self, what: &str, answer: Response) -> Result<Response, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let wait = text(answer.headers(), RETRY_AFTER.as_str()).and_then(retry_after);
        let body = read(answer, DOCUMENT).await.ok().flatten();
        Err(self
            .asked(what)
            .refused(Some(status), wait, &body.unwrap_or_default()))
    }

    /// The authorization for a registry's challenge; `None` if no stored credentials apply.
    async fn pass(&self, headers: &HeaderMap) -> Result<Option<Pass>, RegistryError> {
        let headers = headers.get_all(WWW_AUTHENTICATE).iter();
        for header in headers.filter_map(|header| header.to_str().ok()) {
            for challenge in http_auth::parse_challenges(header).unwrap_or_default() {
                let parameter = |name: &str| {
                    let mut parameters = challenge.params.iter();
                    let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                let is = |scheme: &str| challenge.scheme.eq_ignore_ascii_case(scheme);
                if is("Bearer")
                    && let Some(realm) = parameter("realm")
                {
                    return self.token(&realm, parameter("service")).await.map(Some);
                }
                if is("Basic")
                    && let Credentials::Basic(user, password) = &self.auth
                {
                    return Ok(Some(Pass::Basic(user.clone(), password.clone())));
                }
            }
        }
        Ok(None)
    }

    /// Requests a token for the transfer from the token server; an identity token is exchanged for
    /// one.
    async fn token(&self, realm: &str, service: Option<String>) -> Result<Pass, RegistryError> {
        let refuse = |said: String| RegistryError::Refused {
            registry: self.reference.registry().to_owned(),
            said: Said(said),
        };
        let url = Url::parse(realm).map_err(|error| refuse(format!("{realm:?}: {error}")))?;
        if self.origin.scheme() == "https" && url.scheme() != "https" {
            return Err(refuse(format!("its token server {realm} does not use TLS")));
        }
        let scopes = self.session.borrow().scopes.clone();
        let scope = scopes.join(" ");
        let mut fields: Vec<(&str, &str)> = Vec::new();
        fields.extend(service.iter().map(|service| ("service", service.as_str())));
        let request = match &self.auth {
            Credentials::Identity(identity) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", identity),
                    ("client_id", "slimpack"),
                    ("scope", &scope),
                ]);
                self.http.post(url).form(&fields)
            }
            who => {
                fields.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                let request = self.http.get(url).query(&fields);
                match who {
                    Credentials::Basic(user, password) => request.basic_auth(user, Some(password)),
                    _ => request,
                }
            }
        };
        let what = self.reference.whole();
        let cut = |error: reqwest::Error| self.asked(&what).unanswered(&error);
        let answer = request.timeout(PATIENCE).send().await.map_err(cut)?;
        let answer = self.heard(&what, answer).await?;
        let body = read(answer, DOCUMENT)
            .await
            .map_err(cut)?
            .unwrap_or_default();
        let token = serde_json::from_slice::<Token>(&body)
            .ok()
            .and_then(|token| token.token.or(token.access_token));
        match token {
            Some(token) => Ok(Pass::Bearer(token)),
            None => Err(refuse(format!("its token server {realm} sends no token"))),
        }
    }

    /// The result of `work`, unless it stalls.
    async fn moving<T>(
        &self,
        moved: &AtomicU64,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let mut work = pin!(work);
        let mut before = 0;
        loop {
            if let Ok(done) = timeout(STANDSTILL, work.as_mut()).await {
                return done;
            }
            let now = moved.load(Ordering::Relaxed);
            // A retry may have started over.
            if now.saturating_sub(before) < SLOWEST {
                return Err(RegistryError::Cut {
                    registry: self.reference.registry().to_owned(),
                    why: format!("no data was transferred for {} s", STANDSTILL.as_secs()),
                });
            }
            before = now;
        }
    }
}

/// A digest, or a tag.
pub(super) fn name_of(reference: &Reference) -> &str {
    reference.digest().or(reference.tag()).unwrap_or("latest")
}

/// The body of a response; `None` if it has more than `most` bytes.
async fn read(mut answer: Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if bytes.len() + piece.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

/// A file, piece by piece; adds to `moved`.
fn pieces(path: PathBuf, moved: Arc<AtomicU64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(None, move |file: Option<File>| {
        let (path, moved) = (path.clone(), moved.clone());
        async move {
            let mut file = match file {
                Some(file) => file,
                None => File::open(&path)?,
            };
            let mut piece = vec![0; CHUNK];
            let count = file.read(&mut piece)?;
            piece.truncate(count);
            moved.fetch_add(count as u64, Ordering::Relaxed);
            Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(piece), Some(file))))
        }
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bad(why: String) -> RegistryError {
    RegistryError::Manifest(why)
}
