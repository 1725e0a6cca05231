//! CA certificates, for TLS.

use std::path::{Path, PathBuf};

use super::is_straight;
use crate::needs::process::first_path;
use crate::needs::strings::{OPENSSL_FOLDER, PROBED};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Functions that read the system's CA certificates.
const READERS: [&str; 14] = [
    "SSL_CTX_set_default_verify_paths",
    "SSL_CTX_set_default_verify_file",
    "SSL_CTX_set_default_verify_dir",
    "SSL_CTX_set_default_verify_store",
    "SSL_CTX_load_verify_locations",
    "SSL_CTX_load_verify_file",
    "X509_STORE_set_default_paths",
    "X509_STORE_load_locations",
    "X509_STORE_load_file",
    "X509_STORE_load_path",
    "gnutls_certificate_set_x509_trust_file",
    "gnutls_certificate_set_x509_trust_dir",
    "gnutls_certificate_set_x509_system_trust",
    "gnutls_x509_trust_list_add_system_trust",
];
/// Paths in programs that include their own TLS (Go's `crypto/x509/root_linux.go`, Rust's
/// openssl-probe).
const STRINGS: [&str; 3] = ["/etc/ssl/certs", "/etc/pki/tls/certs", PROBED];
/// Where distributions install the bundle.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The bundle in OpenSSL's directory (`X509_CERT_FILE` in `internal/cryptlib.h`).
const OWN_FILE: &str = "cert.pem";
/// Longest path that may be compiled in, in bytes (`PATH_MAX`).
const MAX_PATH: u64 = 4096;
/// Where most programs look first.
const COMMON: &str = BUNDLES[0];

pub(super) static RULE: NeedRule = NeedRule {
    name: "ca-certificates",
    mode: Mode::Automatic,
    what: "CA certificates",
    sign: "an import of SSL_CTX_set_default_verify_paths, gnutls_certificate_set_x509_system_trust \
           and the like; the string /etc/ssl/certs or certs/ca-certificates.crt in the program",
    adds: "the CA bundle, and the links through which OpenSSL, GnuTLS, Go and Rust find it",
    fires,
    supply,
    is_met: Some(|process| first_path(process.view, &BUNDLES).is_some()),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    process
        .imports(&READERS)
        .or_else(|| process.program_string(&STRINGS))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let Some(bundle) = first_path(supply.source, &BUNDLES) else {
        return Err("the source has no CA bundle (package ca-certificates)".into());
    };
    let mut additions = vec![Addition::File(bundle.into())];
    if bundle != COMMON {
        additions.push(Addition::Link(COMMON.into(), bundle.into()));
    }
    let own_file = openssl_folder(supply.process)
        .map(|folder| folder.join(OWN_FILE))
        .or_else(|| own_file(supply.process));
    if let Some(path) = own_file.filter(|path| *path != Path::new(bundle)) {
        additions.push(match supply.source.walk(&path) {
            Ok(_) => Addition::File(path),
            // Distributions use a directory of hashed links; one file does the same.
            Err(_) => Addition::Link(path, bundle.into()),
        });
    }
    Ok(additions)
}

/// The OPENSSLDIR compiled into libcrypto, or into the program if OpenSSL is linked statically.
fn openssl_folder(process: &Process<'_>) -> Option<PathBuf> {
    let index = process.loaded("libcrypto.so").unwrap_or(0);
    let place = process.places(index)?.of(OPENSSL_FOLDER)?;
    let file = process.view.open(&process.objects()[index].walk).ok()?;
    let start = place + OPENSSL_FOLDER.len() as u64;
    let bytes = file.prefix(start, MAX_PATH).ok()?;
    let end = memchr::memchr(b'"', &bytes)?;
    let folder = std::str::from_utf8(&bytes[..end]).ok()?;
    // What only searches for the string, as slimpack does, has other constants after it.
    let is_plain = folder.bytes().all(|byte| byte.is_ascii_graphic());
    (folder.starts_with('/') && is_plain).then(|| PathBuf::from(folder))
}

/// The path of the bundle in a program with OpenSSL linked in statically: such a program contains
/// OPENSSLDIR on its own only if it can print its version.
fn own_file(process: &Process<'_>) -> Option<PathBuf> {
    if !process.is_static() {
        return None;
    }
    let texts = process.texts(0);
    // OpenSSL contains its three paths: certs, private and cert.pem.
    let has = |path: PathBuf| path.to_str().is_some_and(|path| texts.words.contains(path));
    let mut folders = texts.words.iter().filter_map(|text| {
        let folder = Path::new(text.strip_suffix(OWN_FILE)?.strip_suffix('/')?);
        is_straight(folder).then_some(folder)
    });
    let folder = folders.find(|folder| has(folder.join("certs")) && has(folder.join("private")))?;
    Some(folder.join(OWN_FILE))
}
