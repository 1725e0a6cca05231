//! dpkg's database.
//!
//! In: `/var/lib/dpkg`. Out: lists of paths, one for each package, and their source packages.
//! An installed system has `info/NAME[:ARCH].list` (dpkg-query(1)) and one `status` of all packages;
//! images without dpkg, as distroless builds them, have `status.d/NAME` with the stanza of one package,
//! and `status.d/NAME.md5sums` with its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{MAX_DATABASE, MAX_PACKAGES, Origins, PER_PATH, Packages};
use crate::vfs::View;

/// Directory of dpkg's file lists.
pub(super) const INFO: &str = "/var/lib/dpkg/info";
/// dpkg's status file, with one stanza for each package.
pub(super) const STATUS: &str = "/var/lib/dpkg/status";
/// The same in distroless images, with one file for each package.
pub(super) const STATUS_D: &str = "/var/lib/dpkg/status.d";
/// Largest list or stanza of one package, in bytes.
pub(super) const MAX_LIST: u64 = 8 << 20;

/// The paths of one package.
#[derive(Debug)]
pub(super) struct List {
    /// The package name as printed by dpkg-query: `libc6:amd64`, or `tzdata`.
    name: String,
    /// The file that lists its paths; it may be missing in an image.
    file: PathBuf,
}

impl List {
    /// The package name without the architecture.
    pub fn package(&self) -> &str {
        self.name
            .split_once(':')
            .map_or(&*self.name, |(package, _)| package)
    }

    /// Absolute paths, one per line; `None` when they cannot be read.
    pub fn paths(&self, view: &View) -> Option<Vec<u8>> {
        let text = view.read(&self.file, MAX_LIST).ok()?;
        match self.has_directories() {
            true => Some(text),
            false => Some(paths_of_sums(&text)),
        }
    }

    /// Whether the directories of the package are among its paths.
    pub fn has_directories(&self) -> bool {
        self.file.extension() != Some(OsStr::new("md5sums"))
    }
}

/// The lines of a text, without their ends.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain([text.len()]);
    ends.map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

/// Digests and paths of a list of sums: a digest, two spaces, and the path without its first slash
/// (deb-md5sums(5)).
pub(super) fn sums(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(text).filter_map(|line| Some((line.get(..32)?, line.get(34..)?)))
}

/// The paths of a list of sums, absolute and one per line.
pub(super) fn paths_of_sums(text: &[u8]) -> Vec<u8> {
    let paths = sums(text).map(|(_, path)| [b"/", path, b"\n"].concat());
    paths.flatten().collect()
}

/// All stanzas: those of an installed system, and from the offset that is returned those of an image
/// without dpkg.
pub(super) fn status(view: &View) -> (Vec<u8>, usize) {
    let status = view.read(Path::new(STATUS), MAX_DATABASE);
    let mut status = status.unwrap_or_default();
    let alone = status.len();
    for name in names(view, STATUS_D) {
        if name.ends_with(".md5sums") {
            continue;
        }
        let stanza = view.read(&Path::new(STATUS_D).join(&name), MAX_LIST);
        let stanza = stanza.unwrap_or_default();
        if (status.len() + stanza.len()) as u64 <= MAX_DATABASE {
            status.extend_from_slice(b"\n\n");
            status.extend(stanza);
        }
    }
    (status, alone)
}

/// The lists of all packages, sorted by name.
pub(super) fn lists(view: &View) -> Vec<List> {
    let installed = names(view, INFO).into_iter().filter_map(|file| {
        let name = file.strip_suffix(".list")?.to_owned();
        let file = Path::new(INFO).join(file);
        Some(List { name, file })
    });
    let alone = names(view, STATUS_D)
        .into_iter()
        .filter(|name| !name.ends_with(".md5sums"));
    let alone = alone.map(|file| {
        let path = Path::new(STATUS_D).join(&file);
        let stanza = view.read(&path, MAX_LIST).unwrap_or_default();
        let stanza = String::from_utf8_lossy(&stanza).into_owned();
        let mut fields = stanza
            .lines()
            .filter_map(|line| line.strip_prefix("Package: "));
        List {
            name: fields.next().unwrap_or(&file).trim().to_owned(),
            file: Path::new(STATUS_D).join(format!("{file}.md5sums")),
        }
    });
    installed.chain(alone).take(MAX_PACKAGES).collect()
}

/// The UTF-8 names in a directory, bounded.
pub(super) fn names(view: &View, directory: &str) -> Vec<String> {
    let names = view.read_dir(Path::new(directory)).unwrap_or_default();
    // Next to its list, a package has scripts, checksums and triggers.
    let names = names.into_iter().take(MAX_PACKAGES * 8);
    names.filter_map(|name| name.into_string().ok()).collect()
}

/// The installed packages; `None` without a record.
pub(super) fn read(view: &View) -> Option<Packages> {
    let (mut packages, mut bytes) = (Packages::default(), 0);
    for list in lists(view) {
        let paths = list.paths(view).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', &paths).count();
        bytes += paths.len() as u64 + lines as u64 * PER_PATH;
        if bytes > MAX_DATABASE {
            break;
        }
        let lines = paths.split(|byte| *byte == b'\n');
        let paths = lines.filter(|line| line.starts_with(b"/") && *line != b"/.");
        let paths = paths.map(|line| PathBuf::from(OsStr::from_bytes(line)));
        packages.files.entry(list.name).or_default().extend(paths);
    }
    (!packages.files.is_empty()).then_some(packages)
}

/// Source packages and dependencies (`deb-control(5)`; "Source" is omitted if it has the same
/// name).
pub(super) fn origins(view: &View) -> Origins {
    let (status, _) = status(view);
    let text = String::from_utf8_lossy(&status);
    let (mut origins, mut package) = (Origins::default(), "");
    for line in text.lines() {
        let Some((field, value)) = line.split_once(": ") else {
            continue;
        };
        match field {
            "Package" if origins.packages.len() < MAX_PACKAGES => {
                package = value;
                let origin = origins.packages.entry(value.to_owned()).or_default();
                value.clone_into(&mut origin.source);
            }
            "Source" => {
                let source = value.split_whitespace().next().unwrap_or_default();
                origins.note(package, |origin| source.clone_into(&mut origin.source));
            }
            "Depends" | "Pre-Depends" => {
                let names = value.split([',', '|']);
                let names = names.filter_map(|name| name.split_whitespace().next());
                let names = names.filter_map(|name| name.split(':').next());
                origins.need(package, names);
            }
            _ => {}
        }
    }
    origins
}
