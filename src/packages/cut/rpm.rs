//! The manifest of the packages of rpm that own files of an image.
//!
//! In: a list of packages with their files, and what files say of their packages. Out:
//! `container-manifest-2`, which distroless images of Azure Linux have in place of rpm's database, and
//! which scanners read: a line for each package with fields between tabs. rpm's database itself is one of
//! several formats (SQLite, ndb, Berkeley DB), none of which a kept Rust library reads: `rpm -qa` does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use thiserror::Error;

use super::notes::{NotedPackage, usable};
use super::{PackageRecords, WantedFiles};
use crate::packages::dpkg::lines;
use crate::packages::{MAX_DATABASE, MAX_PACKAGES};
use crate::vfs::View;

/// Where the manifest is in an image.
const MANIFEST: &str = "/var/lib/rpmmanifest/container-manifest-2";
/// Fields of a line: name, version and release, times of installation and build, vendor, epoch, size,
/// architecture, number of the epoch, source package.
const FIELDS: usize = 10;

/// The packages of a source with rpm, with their files.
#[derive(Clone, Debug)]
pub struct RpmManifest {
    text: Vec<u8>,
}

/// Why a list of rpm's packages cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RpmManifestError {
    /// A line is neither a package nor a path.
    #[error(
        "its line {0} is neither a package nor a path; write it with {QUERY}",
        QUERY = RpmManifest::QUERY
    )]
    Line(usize),
    /// It has packages without paths.
    #[error(
        "it lists no files, by which slimpack finds the packages of an image; write it with {QUERY}",
        QUERY = RpmManifest::QUERY
    )]
    NoFiles,
    /// It is too large.
    #[error("it has more than 128 MiB")]
    TooLarge,
}

impl RpmManifest {
    /// The command that writes such a list.
    pub const QUERY: &'static str = r"rpm -qa --qf '%{NAME}\t%{VERSION}-%{RELEASE}\t%{INSTALLTIME}\t%{BUILDTIME}\t%{VENDOR}\t%{EPOCH}\t%{SIZE}\t%{ARCH}\t%{EPOCHNUM}\t%{SOURCERPM}\n[%{FILENAMES}\n]'";
    /// Largest list, in bytes.
    pub const MAX_SIZE: u64 = MAX_DATABASE;

    /// Checks a list: each package is a line of fields, followed by its paths.
    ///
    /// # Errors
    /// [`RpmManifestError`].
    pub fn parse(text: Vec<u8>) -> Result<Self, RpmManifestError> {
        if text.len() as u64 > Self::MAX_SIZE {
            return Err(RpmManifestError::TooLarge);
        }
        let (mut packages, mut has_paths) = (0, false);
        for (number, line) in (1..).zip(lines(&text)) {
            match line {
                [] => {}
                [b'/', ..] if packages > 0 => has_paths = true,
                // What rpm prints of a package without files.
                b"(none)" => {}
                line if RpmPackage::of(line).is_some() && packages < MAX_PACKAGES => packages += 1,
                _ => return Err(RpmManifestError::Line(number)),
            }
        }
        match has_paths {
            true => Ok(Self { text }),
            false => Err(RpmManifestError::NoFiles),
        }
    }
}

/// A line of a manifest.
#[derive(Clone, Copy)]
struct RpmPackage<'m> {
    line: &'m [u8],
    name: &'m [u8],
    version: &'m [u8],
    source: &'m [u8],
}

impl<'m> RpmPackage<'m> {
    fn of(line: &'m [u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').take(FIELDS + 1).collect();
        let is_whole = fields.len() == FIELDS && !fields[0].is_empty();
        is_whole.then(|| Self {
            line,
            name: fields[0],
            version: fields[1],
            source: fields[FIELDS - 1],
        })
    }

    /// Whether a file with this note is one of the package, or of another from the same source.
    fn is_of(&self, note: &NotedPackage<'_>) -> bool {
        let source = format!("{}-{}.src.rpm", note.name, note.version);
        let is_named = self.name == note.name.as_bytes();
        self.source == source.as_bytes() || is_named && self.version == note.version.as_bytes()
    }
}

/// The manifest of the packages that own wanted files.
pub(super) fn records(
    view: &View,
    wanted: &WantedFiles<'_>,
    manifest: Option<&RpmManifest>,
) -> PackageRecords {
    let (notes, unused) = usable(view, wanted, "rpm");
    let mut owners: Vec<Option<RpmPackage<'_>>> = vec![None; wanted.files.len()];
    let text = manifest.map_or(&[][..], |manifest| &manifest.text);
    let mut package = None;
    let mut named = Vec::new();
    for line in lines(text) {
        if line.starts_with(b"/") {
            for &file in wanted.named(line) {
                owners[file] = owners[file].or(package);
            }
        } else if let Some(found) = RpmPackage::of(line) {
            package = Some(found);
            if notes
                .iter()
                .flatten()
                .any(|note| note.name.as_bytes() == found.name)
            {
                named.push(found);
            }
        }
    }
    let mut noted = BTreeSet::new();
    for (owner, note) in owners.iter_mut().zip(&notes) {
        let Some(note) = note else { continue };
        if owner.is_some_and(|owner| owner.is_of(note)) {
            continue;
        }
        *owner = named.iter().find(|package| package.is_of(note)).copied();
        if owner.is_none() {
            noted.insert(line_of(note));
        }
    }
    if !wanted.has_owned(&owners) && noted.is_empty() {
        return PackageRecords {
            files: Vec::new(),
            unused,
        };
    }
    let owned = owners.iter().flatten();
    noted.extend(owned.map(|owner| [owner.line, b"\n"].concat()));
    PackageRecords {
        files: vec![(
            PathBuf::from(MANIFEST),
            noted.into_iter().flatten().collect(),
        )],
        unused,
    }
}

/// The line of a package that only a note names. Notes have the name and version of the source package.
fn line_of(note: &NotedPackage<'_>) -> Vec<u8> {
    let (name, version) = (note.name, note.version);
    let architecture = note.architecture.unwrap_or("(none)");
    let line = format!(
        "{name}\t{version}\t0\t0\t(none)\t(none)\t0\t{architecture}\t0\t{name}-{version}.src.rpm\n"
    );
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "zlib\t1.3-1.azl3\t1\t2\tVendor\t(none)\t9\tx86_64\t0\tzlib-1.3-1.azl3.src.rpm\n";

    #[test]
    fn a_list_is_lines_of_packages_and_of_their_paths() {
        let parse = |text: &str| RpmManifest::parse(text.into()).map(drop);
        let listed = format!("{LINE}/usr/lib/libz.so.1\n/usr/lib\n\n");
        assert_eq!(parse(&listed), Ok(()));
        assert_eq!(parse(&format!("{LINE}(none)\n{listed}")), Ok(()));
        assert_eq!(parse(LINE), Err(RpmManifestError::NoFiles));
        assert_eq!(parse(""), Err(RpmManifestError::NoFiles));
        assert_eq!(parse("/path\n"), Err(RpmManifestError::Line(1)));
        assert_eq!(
            parse(&format!("{listed}zlib-1.3\n")),
            Err(RpmManifestError::Line(5))
        );
        let wide = "x\t".repeat(1 << 20);
        assert_eq!(parse(&wide), Err(RpmManifestError::Line(1)));
    }
}
