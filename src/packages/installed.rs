//! Packages with what identifies them, and the files of an image that they own.
//!
//! In: a tree with the database of a package manager, and files of it. Out: name, version,
//! architecture and source of each package, for a bill of materials. Fields are the database's own
//! words: nothing is checked but their length.

use std::path::Path;

use super::apk::DATABASE;
use super::cut::{PackedFile, WantedFiles, dpkg_owners};
use super::{MAX_DATABASE, MAX_PACKAGES};
use crate::vfs::View;

/// Longest field that is kept, in bytes; a longer one is cut.
const MAX_FIELD: usize = 4096;

/// The format of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageFormat {
    /// Of dpkg.
    Deb,
    /// Of apk.
    Apk,
}

/// A package of a distribution.
#[derive(Clone, Debug)]
pub struct InstalledPackage {
    /// Its format.
    pub format: PackageFormat,
    /// Its name, without the architecture.
    pub name: String,
    /// Its version; empty if none is recorded.
    pub version: String,
    /// Its architecture, as its distribution calls it; empty if none is recorded.
    pub architecture: String,
    /// The source package, if it has another name or version.
    pub source: Option<(String, Option<String>)>,
    /// Who maintains it.
    pub maintainer: Option<String>,
    /// Its homepage.
    pub homepage: Option<String>,
    /// The license that the database has: apk's, not dpkg's.
    pub license: Option<String>,
    /// The files that it owns, by their position among those that were given.
    pub files: Vec<usize>,
}

/// The packages that own any of `files`, dpkg's by name and apk's in the order of its database; with
/// `all`, also those that own none. Empty without a database.
pub fn installed(view: &View, files: &[PackedFile<'_>], all: bool) -> Vec<InstalledPackage> {
    let wanted = WantedFiles::new(files, None);
    match dpkg_owners(view, &wanted, all) {
        Some(packages) => packages,
        None => of_apk(view, &wanted, all),
    }
}

/// A field of a stanza, bounded.
pub(super) fn bounded(value: &str) -> String {
    let mut end = value.len().min(MAX_FIELD);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value[..end].to_owned()
}

/// The packages of apk's database: "P:" is the name, "V:" the version, "A:" the architecture, "o:" the
/// origin, "m:" the maintainer, "U:" the homepage, "L:" the license, "F:" a directory, "R:" a file in
/// it.
fn of_apk(view: &View, wanted: &WantedFiles<'_>, all: bool) -> Vec<InstalledPackage> {
    let database = view.read(Path::new(DATABASE), MAX_DATABASE);
    let database = database.unwrap_or_default();
    let mut packages = Vec::new();
    let mut is_found = vec![false; wanted.count()];
    let (mut package, mut folder) = (InstalledPackage::of_apk(), Vec::new());
    let end: &[u8] = b"";
    for line in database.split(|byte| *byte == b'\n').chain([end]) {
        match line.split_at_checked(2) {
            None => {
                let package = std::mem::replace(&mut package, InstalledPackage::of_apk());
                let is_wanted = all || !package.files.is_empty();
                if is_wanted && !package.name.is_empty() && packages.len() < MAX_PACKAGES {
                    packages.push(package);
                }
                folder = Vec::new();
            }
            Some((b"F:", value)) => folder = value.to_vec(),
            Some((b"R:", name)) => {
                let path = [b"/", &folder[..], b"/", name].concat();
                for &file in wanted.named(&path) {
                    if !std::mem::replace(&mut is_found[file], true) {
                        package.files.push(wanted.given(file));
                    }
                }
            }
            Some((&[field, b':'], value)) => package.note(field, value),
            Some(_) => {}
        }
    }
    packages
}

impl InstalledPackage {
    /// A package of apk of which nothing is known yet.
    fn of_apk() -> Self {
        Self {
            format: PackageFormat::Apk,
            name: String::new(),
            version: String::new(),
            architecture: String::new(),
            source: None,
            maintainer: None,
            homepage: None,
            license: None,
            files: Vec::new(),
        }
    }

    /// Notes a field of apk.
    fn note(&mut self, field: u8, value: &[u8]) {
        let text = || bounded(&String::from_utf8_lossy(value));
        match field {
            b'P' => self.name = text(),
            b'V' => self.version = text(),
            b'A' => self.architecture = text(),
            // The origin comes after the name; it is named even if it is the same.
            b'o' => self.source = Some((text(), None)).filter(|(origin, _)| *origin != self.name),
            b'm' => self.maintainer = Some(text()),
            b'U' => self.homepage = Some(text()),
            b'L' => self.license = Some(text()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vfs::Memo;
    use crate::vfs::memory::MemoryVfs;

    fn found(vfs: MemoryVfs, all: bool) -> Vec<InstalledPackage> {
        let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
        let paths = ["/usr/bin/own", "/usr/lib/libz.so.1", "/usr/bin/other"].map(Path::new);
        let files = paths.map(|path| PackedFile {
            source: path,
            image: path,
            is_changed: false,
            note: None,
        });
        installed(&view, &files, all)
    }

    #[test]
    fn a_package_of_dpkg_is_known_by_its_stanza_and_owns_what_its_list_has() {
        let status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\n\
                      Multi-Arch: same\nSource: zlib (1:1.2)\nVersion: 1:1.2+b1\n\n\
                      Package: empty\nStatus: install ok installed\nVersion: 3\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 2\n";
        let vfs = || {
            MemoryVfs::new()
                .file("/var/lib/dpkg/status", status)
                .file("/var/lib/dpkg/info/zlib1g:amd64.list", "/lib/libz.so.1\n")
        };
        let packages = found(vfs(), false);
        let [zlib] = &packages[..] else {
            panic!("{packages:?}")
        };
        let source = ("zlib".to_owned(), Some("1:1.2".to_owned()));
        assert_eq!(
            (
                &*zlib.name,
                &*zlib.version,
                &*zlib.architecture,
                &zlib.source,
                &zlib.files
            ),
            ("zlib1g", "1:1.2+b1", "amd64", &Some(source), &vec![1])
        );
        let names: Vec<_> = found(vfs(), true).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["empty", "zlib1g"]);
    }

    #[test]
    fn a_package_of_apk_is_known_by_its_stanza_and_owns_what_it_lists() {
        let database = "P:tool\nV:1.2-r0\nA:x86_64\nL:MIT\no:tools\nF:usr/bin\nR:other\n\n\
                        P:empty\nV:1\n\nV:nameless\nF:usr/bin\nR:own";
        let vfs = || MemoryVfs::new().file("/lib/apk/db/installed", database);
        let packages = found(vfs(), false);
        let [tool] = &packages[..] else {
            panic!("{packages:?}")
        };
        assert_eq!(tool.files, [2]);
        assert_eq!(tool.license.as_deref(), Some("MIT"));
        assert_eq!(tool.source, Some(("tools".to_owned(), None)));
        assert_eq!(found(vfs(), true).len(), 2);
    }
}
