//! Package URLs, as syft writes them.
//!
//! In: what identifies a package. Out: `pkg:deb/debian/curl@7.88.1-10%2Bdeb12u14?arch=amd64&distro=debian-12`.
//! Source: the purl specification. The library `packageurl` writes the namespace of a Go module in lower
//! case, as the specification has it; Go, its advisories and syft distinguish case there.

use std::fmt::Write;

use super::go::GoModule;
use crate::packages::{Distribution, InstalledPackage, PackageFormat};

/// The URL of a package of a distribution.
pub(super) fn installed(package: &InstalledPackage, distribution: Option<&Distribution>) -> String {
    let mut purl = Purl::new(match package.format {
        PackageFormat::Deb => "deb",
        PackageFormat::Apk => "apk",
    });
    if let Some(distribution) = distribution {
        purl.segment(&distribution.id.to_ascii_lowercase());
    }
    purl.segment(&package.name);
    purl.version(&package.version);
    purl.qualifier("arch", &package.architecture);
    if let Some(distribution) = distribution {
        let version = distribution.version.iter();
        let words = [&distribution.id].into_iter().chain(version);
        let words: Vec<&str> = words.map(String::as_str).collect();
        purl.qualifier("distro", &words.join("-"));
    }
    if let Some((name, version)) = &package.source {
        let upstream = match version {
            Some(version) => format!("{name}@{version}"),
            None => name.clone(),
        };
        purl.qualifier("upstream", &upstream);
    }
    purl.text
}

/// The URL of a module of Go: of a path with more than three parts, the rest is the subpath.
pub(super) fn go(module: &GoModule) -> String {
    let mut purl = Purl::new("golang");
    let parts: Vec<&str> = module.path.split('/').collect();
    for part in parts.iter().take(3) {
        purl.segment(part);
    }
    purl.version(&module.version);
    if parts.len() > 3 {
        purl.subpath(&parts[3..]);
    }
    purl.text
}

/// The URL of Go's standard library, whose version is that of Go.
pub(super) fn go_library(go: &str) -> String {
    let mut purl = Purl::new("golang");
    purl.segment("stdlib");
    // `go1.23.4 X:boringcrypto` names experiments, too.
    let version = go.split_whitespace().next().unwrap_or_default();
    purl.version(version.strip_prefix("go").unwrap_or(version));
    purl.text
}

/// The URL of a crate.
pub(super) fn cargo(name: &str, version: &str) -> String {
    let mut purl = Purl::new("cargo");
    purl.segment(name);
    purl.version(version);
    purl.text
}

/// The URL of an image by the digest of its manifest.
pub(super) fn oci(name: &str, digest: &str, architecture: &str) -> String {
    let mut purl = Purl::new("oci");
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let last = repository.rsplit('/').next().unwrap_or(repository);
    purl.segment(&last.to_ascii_lowercase());
    purl.version(digest);
    purl.qualifier("arch", architecture);
    if repository.contains('/') {
        purl.qualifier("repository_url", &repository.to_ascii_lowercase());
    }
    purl.qualifier("tag", tag.unwrap_or_default());
    purl.text
}

struct Purl {
    text: String,
    has_qualifiers: bool,
}

impl Purl {
    fn new(kind: &str) -> Self {
        Self {
            text: format!("pkg:{kind}"),
            has_qualifiers: false,
        }
    }

    fn segment(&mut self, segment: &str) {
        self.text.push('/');
        self.encode(segment);
    }

    fn version(&mut self, version: &str) {
        if !version.is_empty() {
            self.text.push('@');
            self.encode(version);
        }
    }

    /// Adds a qualifier; they are added in the order of their keys.
    fn qualifier(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let separator = match std::mem::replace(&mut self.has_qualifiers, true) {
            true => '&',
            false => '?',
        };
        self.text.push(separator);
        self.text.push_str(key);
        self.text.push('=');
        self.encode(value);
    }

    fn subpath(&mut self, parts: &[&str]) {
        let parts = parts.iter().filter(|part| !["", ".", ".."].contains(part));
        let mut separator = '#';
        for part in parts {
            self.text.push(separator);
            self.encode(part);
            separator = '/';
        }
    }

    fn encode(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'.' | b'-' | b'_' | b'~' | b':' => self.text.push(byte.into()),
                byte if byte.is_ascii_alphanumeric() => self.text.push(byte.into()),
                // Writing to a string cannot fail.
                byte => drop(write!(self.text, "%{byte:02X}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_and_versions_stay_what_they_are() {
        let package = InstalledPackage {
            format: PackageFormat::Deb,
            name: "a/b?c#d@e&f=g%41\u{1b}é".to_owned(),
            version: "1 ?x=y#z".to_owned(),
            architecture: "amd64&distro=none".to_owned(),
            source: None,
            maintainer: None,
            homepage: None,
            license: None,
            files: Vec::new(),
        };
        assert_eq!(
            installed(&package, None),
            "pkg:deb/a%2Fb%3Fc%23d%40e%26f%3Dg%2541%1B%C3%A9@1%20%3Fx%3Dy%23z?arch=amd64%26distro%3Dnone"
        );
    }

    #[test]
    fn modules_of_go_keep_their_case_and_the_rest_of_their_path() {
        let module = |path: &str, version: &str| {
            go(&GoModule {
                path: path.to_owned(),
                version: version.to_owned(),
            })
        };
        assert_eq!(
            module("github.com/Masterminds/semver/v3", "v3.3.0"),
            "pkg:golang/github.com/Masterminds/semver@v3.3.0#v3"
        );
        assert_eq!(module("dario.cat/mergo", ""), "pkg:golang/dario.cat/mergo");
        assert_eq!(module("a/b/c/../e", ""), "pkg:golang/a/b/c#e");
        assert_eq!(go_library("go1.23.4 X:none"), "pkg:golang/stdlib@1.23.4");
    }

    #[test]
    fn an_image_is_known_by_its_digest() {
        assert_eq!(
            oci("curl:latest", "sha256:ab", "amd64"),
            "pkg:oci/curl@sha256:ab?arch=amd64&tag=latest"
        );
        assert_eq!(
            oci("localhost:5000/Me/app", "sha256:ab", "arm64"),
            "pkg:oci/app@sha256:ab?arch=arm64&repository_url=localhost:5000%2Fme%2Fapp"
        );
    }
}
