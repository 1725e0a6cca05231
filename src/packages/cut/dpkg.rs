//! dpkg's records of the packages that own files of an image.
//!
//! dpkg has no index from files to packages: `dpkg -S` reads the list of every package. Here lists
//! are read in the order in which they are likely to help: those of packages named like a file, then
//! those of their dependencies, and the others only for files that are left.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::HashMap;

use super::WantedFiles;
use crate::packages::dpkg::{INFO, MAX_LIST, STATUS_D, lines, paths_of_sums, status, sums};
use crate::packages::installed::bounded;
use crate::packages::{InstalledPackage, MAX_DATABASE, MAX_PACKAGES, PackageFormat};
use crate::vfs::View;

/// The fields of a stanza that say what a package is and where it is from (deb-control(5)), in the
/// order in which dpkg writes them.
const FIELDS: [&str; 11] = [
    "Package",
    "Status",
    "Priority",
    "Section",
    "Maintainer",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Description",
    "Homepage",
];

/// The records of the packages that own wanted files; `None` without a database of dpkg.
pub(super) fn records(
    view: &View,
    wanted: &WantedFiles<'_>,
    sum: &dyn Fn(&Path) -> Option<String>,
) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let (status, alone) = status(view);
    if status.is_empty() {
        return None;
    }
    let installed = DebStatus::of(&status, alone);
    let owners = OwnerSearch::new(view, &installed, wanted).owners();
    if wanted.is_only_beside(owners.values().flat_map(|owner| &owner.files)) {
        return Some(Vec::new());
    }
    let mut records = BTreeMap::new();
    for (name, owner) in owners {
        let (package, files) = (owner.stanza, owner.files);
        let directory = Path::new(STATUS_D);
        // Two architectures of one package have a record each.
        let own = match records.contains_key(&directory.join(package.name)) {
            true => name.clone(),
            false => package.name.to_owned(),
        };
        let recorded = package.sums(view);
        let mut lines = Vec::new();
        for file in files.iter().map(|&file| wanted.files[file]) {
            let names = super::names_of(file.source);
            let mut known = names.iter().filter_map(|name| recorded.get(name.as_path()));
            let known = known.next().filter(|_| !file.is_changed);
            if let Some(sum) = known.cloned().or_else(|| sum(file.image)) {
                let path = file.image.strip_prefix("/").unwrap_or(file.image);
                lines.push((path, sum));
            }
        }
        lines.sort();
        let mut sums = Vec::new();
        for (path, sum) in lines {
            sums.extend_from_slice(sum.as_bytes());
            sums.extend_from_slice(b"  ");
            sums.extend_from_slice(path.as_os_str().as_bytes());
            sums.push(b'\n');
        }
        records.insert(directory.join(format!("{own}.md5sums")), sums);
        records.insert(directory.join(own), package.record());
    }
    Some(records.into_iter().collect())
}

/// The packages that own wanted files, with `all` those that own none too; `None` without a database
/// of dpkg.
pub(in crate::packages) fn owners(
    view: &View,
    wanted: &WantedFiles<'_>,
    all: bool,
) -> Option<Vec<InstalledPackage>> {
    let (status, alone) = status(view);
    if status.is_empty() {
        return None;
    }
    let installed = DebStatus::of(&status, alone);
    let mut owners = OwnerSearch::new(view, &installed, wanted).owners();
    let usable = installed.0.iter().filter(|stanza| stanza.is_usable());
    let packages = usable.filter_map(|stanza| {
        let owner = owners.remove(&stanza.key());
        let files = owner.map(|owner| owner.files).unwrap_or_default();
        let files: Vec<usize> = files.into_iter().map(|file| wanted.given(file)).collect();
        (all || !files.is_empty()).then(|| stanza.package(files))
    });
    Some(packages.collect())
}

/// A stanza of the status, which is that of a package from its name on.
struct DebStanza<'s> {
    name: &'s str,
    text: &'s [u8],
    is_in_status_d: bool,
}

impl<'s> DebStanza<'s> {
    /// Whether the package is installed, and has a name that dpkg accepts.
    fn is_usable(&self) -> bool {
        let status = field(self.text, "Status");
        let is_installed = status.is_none_or(|status| status.ends_with(" installed"));
        is_installed && is_name(self.name)
    }

    /// The name as dpkg has it in the names of its files: with the architecture where several can be
    /// installed.
    fn key(&self) -> String {
        let architecture = match field(self.text, "Multi-Arch") {
            Some("same") => field(self.text, "Architecture").filter(|name| is_name(name)),
            _ => None,
        };
        match architecture {
            Some(architecture) => format!("{}:{architecture}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// Where its list or its sums are.
    fn file(&self, suffix: &str) -> PathBuf {
        match self.is_in_status_d {
            true => Path::new(STATUS_D).join(format!("{}.md5sums", self.name)),
            false => Path::new(INFO).join(format!("{}.{suffix}", self.key())),
        }
    }

    /// Absolute paths, one a line.
    fn paths(&self, view: &View) -> Vec<u8> {
        let text = view.read(&self.file("list"), MAX_LIST).unwrap_or_default();
        match self.is_in_status_d {
            true => paths_of_sums(&text),
            false => text,
        }
    }

    /// The digests that the package came with, by absolute path (deb-md5sums(5)). Files of
    /// configuration have none.
    fn sums(&self, view: &View) -> HashMap<PathBuf, String> {
        let text = view.read(&self.file("md5sums"), MAX_LIST);
        let text = text.unwrap_or_default();
        let sums = sums(&text).filter_map(|(sum, path)| {
            let sum = std::str::from_utf8(sum).ok()?;
            let is_digest = sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_digest.then(|| (Path::new("/").join(OsStr::from_bytes(path)), sum.to_owned()))
        });
        sums.collect()
    }

    /// The names of the packages that it depends on.
    fn dependencies(&self) -> Vec<&'s str> {
        let fields = ["Pre-Depends", "Depends"].map(|name| field(self.text, name));
        let names = fields.into_iter().flatten();
        let names = names.flat_map(|value| value.split([',', '|']));
        let names = names.filter_map(|name| name.trim().split([' ', ':']).next());
        names.collect()
    }

    /// The package, which owns `files`.
    fn package(&self, files: Vec<usize>) -> InstalledPackage {
        let text = |name: &str| field(self.text, name).map(bounded);
        // "Source" is omitted if it has the same name, and its version if that is the same.
        let source = text("Source").map(|source| match source.split_once(" (") {
            Some((name, version)) => {
                let version = version.trim_end_matches(')').to_owned();
                (name.trim().to_owned(), Some(version))
            }
            None => (source, None),
        });
        InstalledPackage {
            format: PackageFormat::Deb,
            name: bounded(self.name),
            version: text("Version").unwrap_or_default(),
            architecture: text("Architecture").unwrap_or_default(),
            source,
            maintainer: text("Maintainer"),
            homepage: text("Homepage"),
            license: None,
            files,
        }
    }

    /// The stanza of its record.
    fn record(&self) -> Vec<u8> {
        let mut record = String::new();
        for name in FIELDS {
            if let Some(value) = field(self.text, name) {
                record.push_str(&format!("{name}: {value}\n"));
            }
        }
        record.into_bytes()
    }
}

/// Whether dpkg accepts this as the name of a package or an architecture (Debian Policy 5.6.7): no
/// other name becomes part of a path.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// The first line of a field. An empty line ends the stanza.
fn field<'s>(stanza: &'s [u8], name: &str) -> Option<&'s str> {
    let mut lines = lines(stanza).take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// The stanzas of all packages, sorted by name.
struct DebStatus<'s>(Vec<DebStanza<'s>>);

impl<'s> DebStatus<'s> {
    /// Finds the names. It is the first field of a stanza wherever a tool of Debian writes one.
    fn of(status: &'s [u8], alone: usize) -> Self {
        const NAME: &[u8] = b"\nPackage:";
        let first = status.starts_with(&NAME[1..]).then_some(0);
        let further = memchr::memmem::find_iter(status, NAME).map(|at| at + 1);
        let mut starts = first.into_iter().chain(further).peekable();
        let mut stanzas = Vec::new();
        while let Some(start) = starts.next().filter(|_| stanzas.len() < MAX_PACKAGES) {
            let text = &status[start..starts.peek().copied().unwrap_or(status.len())];
            let name = lines(text).next().unwrap_or_default();
            if let Ok(name) = std::str::from_utf8(&name[NAME.len() - 1..]) {
                stanzas.push(DebStanza {
                    name: name.trim(),
                    text,
                    is_in_status_d: start >= alone,
                });
            }
        }
        stanzas.sort_by_key(|stanza| stanza.name);
        Self(stanzas)
    }

    /// Where the stanzas of a name are: one for each architecture.
    fn named(&self, name: &str) -> Range<usize> {
        let start = self.0.partition_point(|stanza| stanza.name < name);
        let length = self.0[start..].partition_point(|stanza| stanza.name == name);
        start..start + length
    }
}

/// A package with files that are wanted.
struct DebOwner<'s> {
    stanza: &'s DebStanza<'s>,
    files: Vec<usize>,
}

/// Looks for the owners of files.
struct OwnerSearch<'s> {
    view: &'s View,
    installed: &'s DebStatus<'s>,
    wanted: &'s WantedFiles<'s>,
    /// By the names of their files.
    owners: BTreeMap<String, DebOwner<'s>>,
    /// The files whose owner is known, and how many are left.
    is_found: Vec<bool>,
    left: usize,
    /// The stanzas whose lists were read.
    is_read: Vec<bool>,
    /// Bytes of lists that may still be read.
    bytes: u64,
}

impl<'s> OwnerSearch<'s> {
    fn new(view: &'s View, installed: &'s DebStatus<'s>, wanted: &'s WantedFiles<'s>) -> Self {
        Self {
            view,
            installed,
            wanted,
            owners: BTreeMap::new(),
            is_found: vec![false; wanted.files.len()],
            left: wanted.files.len(),
            is_read: vec![false; installed.0.len()],
            bytes: MAX_DATABASE,
        }
    }

    /// Each package that owns wanted files.
    fn owners(mut self) -> BTreeMap<String, DebOwner<'s>> {
        for (index, file) in self.wanted.files.iter().enumerate() {
            if !self.is_found[index] {
                self.read_with_dependencies(&likely(file.source));
            }
        }
        for index in 0..self.installed.0.len() {
            self.read(index);
        }
        self.owners
    }

    /// Reads the list of a package, and if it owns anything those of its dependencies.
    fn read_with_dependencies(&mut self, name: &str) {
        let installed = self.installed;
        let mut pending = VecDeque::from([name]);
        while let Some(name) = pending.pop_front().filter(|_| self.left > 0) {
            for index in installed.named(name) {
                if self.read(index) {
                    pending.extend(installed.0[index].dependencies());
                }
            }
        }
    }

    /// Reads the list of a package, unless it was read before; whether it owns wanted files.
    fn read(&mut self, index: usize) -> bool {
        let stanza = &self.installed.0[index];
        let was_read = std::mem::replace(&mut self.is_read[index], true);
        if was_read || self.left == 0 || self.bytes == 0 || !stanza.is_usable() {
            return false;
        }
        let paths = stanza.paths(self.view);
        self.bytes = self.bytes.saturating_sub(paths.len() as u64);
        let mut files = Vec::new();
        for path in lines(&paths) {
            for &file in self.wanted.named(path) {
                if !std::mem::replace(&mut self.is_found[file], true) {
                    self.left -= 1;
                    files.push(file);
                }
            }
        }
        let owns = !files.is_empty();
        if owns {
            self.owners.insert(stanza.key(), DebOwner { stanza, files });
        }
        owns
    }
}

/// The name that the package of a file is likely to have: that of the program, and for a library
/// its name and version (Debian Policy 8.1).
fn likely(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match &*name {
        "os-release" => return "base-files".to_owned(),
        "libm.so.6" => return "libc6".to_owned(),
        name if name.starts_with("ld-linux") => return "libc6".to_owned(),
        _ => {}
    }
    let name = name.to_lowercase().replace('_', "-");
    let Some((stem, version)) = name.split_once(".so.") else {
        return name;
    };
    let version = version.split('.').next().unwrap_or_default();
    match stem.ends_with(|c: char| c.is_ascii_digit()) {
        true => format!("{stem}-{version}"),
        false => format!("{stem}{version}"),
    }
}
