//! What files say of the packages that they were built for.
//!
//! In: notes, and which records are written. Out: those that such a record can have. A note is the word of
//! whoever built the file: nothing of it becomes part of a path or of a record that is not plain.

use std::os::unix::ffi::OsStrExt;

use super::WantedFiles;
use crate::packages::Distribution;
use crate::vfs::View;

/// Longest name or version that is recorded, in bytes: names of files are made of it.
const MAX_WORD: usize = 200;

/// The package that a file was built for, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotedPackage<'n> {
    /// The kind of package: `deb`, `apk`, `rpm` …
    pub kind: &'n str,
    /// Its name, or that of its source package.
    pub name: &'n str,
    /// Its version, with the release.
    pub version: &'n str,
    /// The machine, as the package manager calls it.
    pub architecture: Option<&'n str>,
    /// The ID of the distribution.
    pub os: Option<&'n str>,
    /// The distribution by its CPE name.
    pub os_cpe: Option<&'n str>,
}

/// For each file the package of its note that a record of this kind can have; and what to report of the
/// others.
pub(super) fn usable<'f>(
    view: &View,
    wanted: &WantedFiles<'f>,
    kind: &str,
) -> (Vec<Option<NotedPackage<'f>>>, Vec<String>) {
    let mut unused = Vec::new();
    let has_notes = wanted.files.iter().any(|file| file.note.is_some());
    let distribution = has_notes.then(|| Distribution::of(view)).flatten();
    let notes = wanted.files.iter().map(|file| {
        let note = file.note?;
        // Records have a path on a line.
        let is_line = !file.image.as_os_str().as_bytes().contains(&b'\n');
        match note.refusal(distribution.as_ref(), kind) {
            None => Some(note).filter(|_| is_line),
            Some(why) => {
                unused.push(format!("{}: {why}", file.image.display()));
                None
            }
        }
    });
    let notes = notes.collect();
    (notes, unused)
}

/// Whether a text may be a name or a version in a record (Debian Policy 5.6.7 and 5.6.12, and what apk
/// and rpm add): no other becomes part of a path or of a field.
pub(super) fn is_plain(text: &str, more: &[u8]) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    !text.is_empty()
        && text.len() <= MAX_WORD
        && !text.starts_with('.')
        && text.bytes().all(is_known)
}

/// Characters of names, and of versions, besides letters and digits.
const NAME: &[u8] = b"+-._";
const VERSION: &[u8] = b"+-._~:^";

impl NotedPackage<'_> {
    /// Why the records of a distribution, which are of this kind, cannot have the package.
    fn refusal(&self, distribution: Option<&Distribution>, kind: &str) -> Option<String> {
        let architecture = self.architecture.unwrap_or("all");
        let is_clean = is_plain(self.kind, b"-")
            && is_plain(self.name, NAME)
            && is_plain(self.version, VERSION)
            && is_plain(architecture, NAME);
        if !is_clean {
            return Some("its package note names no package; it is ignored".to_owned());
        }
        let (name, version) = (self.name, self.version);
        let package = format!("built for the {} package {name} {version}", self.kind);
        if self.kind != kind {
            return Some(format!(
                "{package}, which records of {kind} packages cannot have; scanners will not find it"
            ));
        }
        let is_other = |noted: Option<&str>, own: Option<&str>| match (noted, own) {
            (Some(noted), Some(own)) => noted != own,
            _ => false,
        };
        // Vendor and product; the version may be that of another release.
        let product = |cpe: &str| cpe.split(':').skip(2).take(2).collect::<Vec<_>>().join(":");
        let id = distribution.map(|own| own.id.as_str());
        let cpe = distribution.and_then(|own| own.cpe.as_deref()).map(product);
        let noted = self.os_cpe.map(product);
        match is_other(self.os, id) || is_other(noted.as_deref(), cpe.as_deref()) {
            true => Some(format!(
                "{package} of another distribution; scanners will not find it"
            )),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a list of examples")]
    fn a_note_is_used_for_records_of_its_kind_and_distribution() {
        let fedora = Distribution {
            id: "fedora".to_owned(),
            cpe: Some("cpe:/o:fedoraproject:fedora:41".to_owned()),
            ..Distribution::default()
        };
        let note = NotedPackage {
            kind: "rpm",
            name: "curl",
            version: "8.6.0-8.fc40",
            architecture: Some("x86_64"),
            os: None,
            os_cpe: Some("cpe:/o:fedoraproject:fedora:40"),
        };
        let os = |os| NotedPackage {
            os: Some(os),
            os_cpe: None,
            ..note
        };
        let named = |name| NotedPackage { name, ..note };
        let long = "x".repeat(201);
        for (note, is_used) in [
            (note, true),
            (os("fedora"), true),
            (os("suse"), false),
            (
                NotedPackage {
                    os_cpe: Some("cpe:/o:redhat:enterprise_linux:9"),
                    ..note
                },
                false,
            ),
            (
                NotedPackage {
                    kind: "deb",
                    ..note
                },
                false,
            ),
            (named("../../etc/passwd"), false),
            (named("a\nPackage: b"), false),
            (named(""), false),
            (named(&long), false),
            (
                NotedPackage {
                    version: "1 2",
                    ..note
                },
                false,
            ),
            (
                NotedPackage {
                    architecture: Some("x\t"),
                    ..note
                },
                false,
            ),
        ] {
            assert_eq!(
                note.refusal(Some(&fedora), "rpm").is_none(),
                is_used,
                "{note:?}"
            );
        }
        assert_eq!(os("suse").refusal(None, "rpm"), None);
    }
}
