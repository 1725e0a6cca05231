//! Credentials stored by docker and podman.
//!
//! In: the name of a registry. Out: its credentials: those of `docker login`, else those of
//! `podman login`, including credential helpers; anonymous if none are stored. Source: docker's
//! `config.json`, `containers-auth.json(5)`.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use super::RegistryError;

/// How to authenticate to a registry.
#[derive(Clone)]
pub(super) enum Credentials {
    /// Anonymously.
    Anonymous,
    /// With a user name and a password.
    Basic(String, String),
    /// With a token that the token server exchanges for another (docker's `identitytoken`).
    Identity(String),
}

/// The stored credentials for a registry.
///
/// # Errors
/// When a credentials file exists but is invalid.
pub(super) fn find(registry: &str) -> Result<Credentials, RegistryError> {
    for path in files() {
        let fail = |why: String| RegistryError::Credentials {
            registry: registry.to_owned(),
            why: format!("{}: {why}", path.display()),
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error.to_string())),
        };
        for key in keys(registry) {
            match get_credential_from_reader(&text[..], key) {
                Ok(DockerCredential::UsernamePassword(user, password)) => {
                    return Ok(Credentials::Basic(user, password));
                }
                Ok(DockerCredential::IdentityToken(token)) => {
                    return Ok(Credentials::Identity(token));
                }
                Err(error) if has_none(&error) => {}
                Err(error) => return Err(fail(error.to_string())),
            }
        }
    }
    Ok(Credentials::Anonymous)
}

/// The keys of a registry in the file: docker uses a special one for Docker Hub.
fn keys(registry: &str) -> impl Iterator<Item = &str> {
    const HUB: [&str; 2] = ["docker.io", "index.docker.io"];
    let own = HUB
        .contains(&registry)
        .then_some("https://index.docker.io/v1/");
    [registry].into_iter().chain(own)
}

/// Whether no credentials are stored, including as reported by a helper.
fn has_none(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => {
            let says = |text: &String| text.contains("credentials not found");
            says(stdout) || says(stderr)
        }
        _ => false,
    }
}

/// The files that may contain them, in order.
fn files() -> impl Iterator<Item = PathBuf> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = folder("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = folder("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    let files = [
        docker.map(|folder| folder.join("config.json")),
        folder("REGISTRY_AUTH_FILE"),
        folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        below_home(".config/containers/auth.json"),
    ];
    files.into_iter().flatten()
}
