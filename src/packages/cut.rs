//! The part of a package database that is about the files of an image, so that scanners and SBOM
//! tools know what is in it.
//!
//! In: the tree of the source, and the files that came out of it. Out: records in the form that the
//! database's own images have: for dpkg `status.d/NAME` with the stanza of each package that owns a
//! file, and `NAME.md5sums` with those files, as distroless images have them; for apk its database
//! with those packages and files alone.

mod apk;
mod dpkg;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::{HashMap, HashMapExt};

pub(super) use dpkg::owners as dpkg_owners;

use super::names_of;
use crate::vfs::View;

/// A file of an image that came from the source.
pub struct PackedFile<'f> {
    /// Its real path in the source.
    pub source: &'f Path,
    /// Its path in the image.
    pub image: &'f Path,
    /// Whether the image has other bytes, such as those of a stripped library.
    pub is_changed: bool,
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

/// The records of the packages that own files of an image: paths and contents, sorted by path.
/// Empty when no package owns any of `files`; a package that owns `beside` has a record only if
/// another file has one. `sum` is the MD5 digest of a file in the image, in lower-case
/// hexadecimal digits; `None` if it cannot be read.
pub fn records(
    view: &View,
    files: &[PackedFile<'_>],
    beside: Option<PackedFile<'_>>,
    sum: &dyn Fn(&Path) -> Option<String>,
) -> Vec<(PathBuf, Vec<u8>)> {
    let wanted = WantedFiles::new(files, beside.as_ref());
    if wanted.files.len() == usize::from(wanted.beside.is_some()) {
        return Vec::new();
    }
    match dpkg::records(view, &wanted, sum) {
        Some(records) => records,
        None => apk::records(view, &wanted),
    }
}

/// Whether a package can own the file at a real path.
fn can_be_owned(path: &Path) -> bool {
    let top = path.iter().nth(1).and_then(|name| name.to_str());
    let is_installed = top.is_some_and(|top| INSTALLED.contains(&top) || top.starts_with("lib"));
    let is_local = LOCAL.iter().any(|directory| path.starts_with(directory));
    let is_generated = GENERATED.iter().any(|file| path == Path::new(file));
    is_installed && !is_local && !is_generated
}

/// The files whose owners are sought, by each path that a record may have for them.
pub(super) struct WantedFiles<'f> {
    files: Vec<&'f PackedFile<'f>>,
    /// The position that each of them was given at.
    given: Vec<usize>,
    by_name: HashMap<Vec<u8>, Vec<usize>>,
    /// Whether a name in `by_name` has this length.
    lengths: Vec<bool>,
    /// The last file, if it counts only with others.
    beside: Option<usize>,
}

impl<'f> WantedFiles<'f> {
    pub fn new(files: &'f [PackedFile<'f>], beside: Option<&'f PackedFile<'f>>) -> Self {
        let owned = files.iter().enumerate();
        let owned = owned.filter(|(_, file)| can_be_owned(file.source));
        let (given, mut files): (Vec<_>, Vec<_>) = owned.unzip();
        let beside = beside.map(|file| {
            files.push(file);
            files.len() - 1
        });
        let mut by_name = HashMap::<_, Vec<usize>>::new();
        let mut lengths = Vec::new();
        for (index, file) in files.iter().enumerate() {
            for name in names_of(file.source) {
                let name = name.as_os_str().as_bytes().to_vec();
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
            beside,
        }
    }

    /// Whether none of these is more than the file that counts only with others.
    fn is_only_beside<'i>(&self, mut files: impl Iterator<Item = &'i usize>) -> bool {
        files.all(|file| Some(*file) == self.beside)
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
        // Most lines of a list need no more than this.
        let may_be = self.lengths.get(path.len()).copied().unwrap_or_default();
        let found = may_be.then(|| self.by_name.get(path)).flatten();
        found.map_or(&[], Vec::as_slice)
    }
}
