//! dpkg's records of the packages that own files of an image.
//!
//! dpkg has no index from files to packages: `dpkg -S` reads the list of every package. Here lists
//! are read in the order in which they are likely to help: those of packages named like a file, then
//! those of their dependencies, and the others only for files that are left.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::WantedFiles;
use crate::packages::dpkg::{INFO, MAX_LIST, STATUS, STATUS_D, names};
use crate::packages::{MAX_DATABASE, MAX_PACKAGES};
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
    let (status, alone) = status(view)?;
    let installed = DebStatus::of(&status, alone);
    let owners = OwnerSearch::new(view, &installed, wanted).owners();
    if wanted.is_only_beside(owners.values().flat_map(|owner| &owner.files)) {
        return Some(Vec::new());
    }
    let mut records = BTreeMap::new();
    for (
        name,
        DebOwner {
            stanza: package,
            files,
        },
    ) in owners
    {
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

/// All stanzas: those of an installed system, and from the offset that is returned those of an image
/// without dpkg.
fn status(view: &View) -> Option<(Vec<u8>, usize)> {
    let found = view.read(Path::new(STATUS), MAX_DATABASE);
    let mut status = found.unwrap_or_default();
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
    (!status.is_empty()).then_some((status, alone))
}

/// The stanza of one installed package.
struct DebStanza<'s> {
    name: &'s str,
    text: &'s [u8],
    is_in_status_d: bool,
}

impl<'s> DebStanza<'s> {
    fn of(text: &'s [u8], is_in_status_d: bool) -> Option<Self> {
        let name = field(text, "Package")?;
        let status = field(text, "Status");
        let is_installed = status.is_none_or(|status| status.ends_with(" installed"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        (is_installed && !name.starts_with('.') && name.bytes().all(is_name)).then_some(Self {
            name,
            text,
            is_in_status_d,
        })
    }

    /// The name as dpkg has it in the names of its files: with the architecture where several can be
    /// installed.
    fn key(&self) -> String {
        match (
            field(self.text, "Multi-Arch"),
            field(self.text, "Architecture"),
        ) {
            (Some("same"), Some(architecture)) => format!("{}:{architecture}", self.name),
            _ => self.name.to_owned(),
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
            true => sum_lines(&text)
                .flat_map(|(_, path)| [b"/", path, b"\n"].concat())
                .collect(),
            false => text,
        }
    }

    /// The digests that the package came with, by absolute path (deb-md5sums(5)). Files of
    /// configuration have none.
    fn sums(&self, view: &View) -> HashMap<PathBuf, String> {
        let text = view.read(&self.file("md5sums"), MAX_LIST);
        let text = text.unwrap_or_default();
        let sums = sum_lines(&text).filter_map(|(sum, path)| {
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

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain([text.len()]);
    ends.map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

/// The first line of a field.
fn field<'s>(stanza: &'s [u8], name: &str) -> Option<&'s str> {
    lines(stanza).find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// Digests and paths of a file of sums: a digest, two spaces, and the path without its first slash.
fn sum_lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(text).filter_map(|line| Some((line.get(..32)?, line.get(34..)?)))
}

/// Where the stanza of each package is.
struct DebStatus<'s> {
    stanzas: HashMap<&'s str, &'s [u8]>,
    /// Further stanzas of a name, for other architectures.
    further: BTreeMap<&'s str, Vec<&'s [u8]>>,
    /// Where the stanzas of an image without dpkg begin.
    alone: *const u8,
}

impl<'s> DebStatus<'s> {
    fn of(status: &'s [u8], alone: usize) -> Self {
        let mut installed = Self {
            stanzas: HashMap::new(),
            further: BTreeMap::new(),
            alone: status[alone.min(status.len())..].as_ptr(),
        };
        let mut start = 0;
        let ends = memchr::memmem::find_iter(status, b"\n\n").chain([status.len()]);
        for end in ends.take(MAX_PACKAGES) {
            let text = status[start.min(end)..end].trim_ascii_start();
            start = end + 2;
            // It is the first field wherever a tool of Debian writes a stanza.
            let Some(name) = field(text, "Package") else {
                continue;
            };
            if installed.stanzas.contains_key(name) {
                installed.further.entry(name).or_default().push(text);
            } else {
                installed.stanzas.insert(name, text);
            }
        }
        installed
    }

    /// The installed packages of a name.
    fn named(&self, name: &str) -> impl Iterator<Item = DebStanza<'s>> {
        let first = self.stanzas.get(name).into_iter();
        let further = self.further.get(name).into_iter().flatten();
        first
            .chain(further)
            .filter_map(|text| DebStanza::of(text, text.as_ptr() >= self.alone))
    }

    /// The names of all packages, sorted.
    fn names(&self) -> Vec<&'s str> {
        let mut names: Vec<_> = self.stanzas.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

/// A package with files that are wanted.
struct DebOwner<'s> {
    stanza: DebStanza<'s>,
    files: Vec<usize>,
}

/// Looks for the owners of files.
struct OwnerSearch<'s> {
    view: &'s View,
    installed: &'s DebStatus<'s>,
    wanted: &'s WantedFiles<'s>,
    /// By the names of their files.
    owners: BTreeMap<String, DebOwner<'s>>,
    is_found: Vec<bool>,
    left: usize,
    /// Packages whose lists were read, by the place of their stanzas.
    read: HashSet<*const u8>,
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
            read: HashSet::new(),
            bytes: MAX_DATABASE,
        }
    }

    /// Each package that owns wanted files.
    fn owners(mut self) -> BTreeMap<String, DebOwner<'s>> {
        let (wanted, installed) = (self.wanted, self.installed);
        for (index, file) in wanted.files.iter().enumerate() {
            if !self.is_found[index] {
                self.read_with_dependencies(&likely(file.source));
            }
        }
        if self.left > 0 {
            for name in installed.names() {
                for stanza in installed.named(name) {
                    self.read(stanza);
                }
            }
        }
        self.owners
    }

    /// Reads the list of a package, and if it owns anything those of its dependencies.
    fn read_with_dependencies(&mut self, name: &str) {
        let installed = self.installed;
        let mut pending = VecDeque::from([name]);
        while let Some(name) = pending.pop_front().filter(|_| self.left > 0) {
            for stanza in installed.named(name) {
                let dependencies = stanza.dependencies();
                if self.read(stanza) {
                    pending.extend(dependencies);
                }
            }
        }
    }

    /// Reads the list of a package, unless it was read before; whether it owns wanted files.
    fn read(&mut self, stanza: DebStanza<'s>) -> bool {
        if self.left == 0 || self.bytes == 0 || !self.read.insert(stanza.text.as_ptr()) {
            return false;
        }
        let paths = stanza.paths(self.view);
        self.bytes = self.bytes.saturating_sub(paths.len() as u64);
        let mut files = Vec::new();
        for path in lines(&paths) {
            if let Some(file) = self.wanted.named(path)
                && !self.is_found[file]
            {
                self.is_found[file] = true;
                self.left -= 1;
                files.push(file);
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
