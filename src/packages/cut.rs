//! The part of a package database that is about the files of an image, so that scanners and SBOM
//! tools know what is in it.
//!
//! In: the tree of the source, the files that came out of it, and what they say of their packages. Out:
//! records in the form that the database's own images have: for dpkg `status.d/NAME` with the stanza of
//! each package that owns a file, and `NAME.md5sums` with those files, as distroless images have them; for
//! apk its database with those packages and files alone; for rpm a manifest.

mod apk;
mod dpkg;
mod notes;
mod rpm;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::{HashMap, HashMapExt};

pub(super) use dpkg::owners as dpkg_owners;

use super::names_of;
use crate::vfs::View;
pub use notes::NotedPackage;
pub use rpm::{RpmManifest, RpmManifestError};

/// A file of an image that came from the source.
pub struct PackedFile<'f> {
    /// Its real path in the source.
    pub source: &'f Path,
    /// Its path in the image.
    pub image: &'f Path,
    /// Whether the image has other bytes, such as those of a stripped library.
    pub is_changed: bool,
    /// The package that it says it was built for.
    pub note: Option<NotedPackage<'f>>,
}

/// The records of the packages that own files of an image.
#[derive(Debug, Default)]
pub struct PackageRecords {
    /// Paths and contents, sorted by path.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The notes that no record could be made of, each with the reason.
    pub unused: Vec<String>,
}

/// Top-level directories that packages install to (FHS 3.0), besides `/lib` and its variants.
const INSTALLED: [&str; 7] = ["bin", "boot", "etc", "opt", "sbin", "usr", "var"];
/// Directories in them that are the administrator's (Debian Policy 9.1.2).
const LOCAL: [&str; 2] = ["/usr/local", "/usr/src"];
/// Files that maintainer scripts, tools and administrators write, which no package owns.
const GENERATED: [&str; 8] = [
    "/etc/group",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// The records of the packages that own files of an image. None when no package owns any of `files`; a
/// package that owns `beside` has a record only if another file has one. What a file says of its package
/// counts more than a database. `manifest` lists the packages of a source with rpm. `sum` is the MD5 digest
/// of a file in the image, in lower-case hexadecimal digits; `None` if it cannot be read.
pub fn records(
    view: &View,
    files: &[PackedFile<'_>],
    beside: Option<PackedFile<'_>>,
    manifest: Option<&RpmManifest>,
    sum: &dyn Fn(&Path) -> Option<String>,
) -> PackageRecords {
    let wanted = WantedFiles::new(files, beside.as_ref());
    if wanted.files.len() == usize::from(wanted.beside.is_some()) {
        return PackageRecords::default();
    }
    if manifest.is_some() {
        return rpm::records(view, &wanted, manifest);
    }
    dpkg::records(view, &wanted, sum)
        .or_else(|| apk::records(view, &wanted))
        .unwrap_or_else(|| rpm::records(view, &wanted, None))
}

/// Whether a package can own the file at a real path.
fn can_be_owned(path: &Path) -> bool {
    // Not by components: this is asked of every file, and paths are slow to compare.
    let path = path.as_os_str().as_bytes();
    let is_below = |directory: &str| {
        let rest = path.strip_prefix(directory.as_bytes());
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    };
    let top = path.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
    let is_installed = INSTALLED.iter().any(|known| known.as_bytes() == top);
    let is_generated = GENERATED.iter().any(|file| path == file.as_bytes());
    (is_installed || top.starts_with(b"lib"))
        && !LOCAL.iter().copied().any(is_below)
        && !is_generated
}

/// The files whose owners are sought, by each path that a record may have for them.
pub(super) struct WantedFiles<'f> {
    files: Vec<&'f PackedFile<'f>>,
    /// The position that each of them was given at.
    given: Vec<usize>,
    /// Paths without their first slash.
    by_name: HashMap<Vec<u8>, Vec<usize>>,
    /// Whether a name in `by_name` has this length.
    lengths: Vec<bool>,
    /// Whether a package can own each file.
    can_be_owned: Vec<bool>,
    /// The last file, if it counts only with others.
    beside: Option<usize>,
}

impl<'f> WantedFiles<'f> {
    pub fn new(files: &'f [PackedFile<'f>], beside: Option<&'f PackedFile<'f>>) -> Self {
        let judged = files.iter().map(|file| (file, can_be_owned(file.source)));
        let known = judged.enumerate();
        let known = known.filter(|(_, (file, can_be_owned))| *can_be_owned || file.note.is_some());
        let (given, judged): (Vec<_>, Vec<_>) = known.unzip();
        let (mut files, mut can_be_owned): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
        let beside = beside.map(|file| {
            files.push(file);
            can_be_owned.push(true);
            files.len() - 1
        });
        let mut by_name = HashMap::<_, Vec<usize>>::new();
        let mut lengths = Vec::new();
        for (index, file) in files.iter().enumerate() {
            for name in names_of(file.source) {
                let name = name.as_os_str().as_bytes();
                let name = name.strip_prefix(b"/").unwrap_or(name).to_vec();
                lengths.resize(lengths.len().max(name.len() + 1), false);
                lengths[name.len()] = true;
                by_name.entry(name).or_default().push(index);
            }
        }
        Self {
            files,
            given,
            by_name,
            lengths,
            can_be_owned,
            beside,
        }
    }

    /// Whether any of these has an owner, besides the file that counts only with others.
    fn has_owned<T>(&self, owners: &[Option<T>]) -> bool {
        let mut owned = (0..).zip(owners).filter(|(_, owner)| owner.is_some());
        owned.any(|(file, _)| Some(file) != self.beside)
    }

    /// Number of files.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The position that a file was given at.
    pub fn given(&self, file: usize) -> usize {
        self.given[file]
    }

    /// The files that a record calls by this absolute path: one may be packed twice.
    pub fn named(&self, path: &[u8]) -> &[usize] {
        let inside = path.strip_prefix(b"/");
        inside.map_or(&[], |inside| self.named_inside(inside))
    }

    /// The same for a path without its first slash.
    fn named_inside(&self, path: &[u8]) -> &[usize] {
        // Most lines of a list need no more than this.
        let may_be = self.lengths.get(path.len()).copied().unwrap_or_default();
        let found = may_be.then(|| self.by_name.get(path)).flatten();
        found.map_or(&[], Vec::as_slice)
    }
}
