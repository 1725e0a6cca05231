//! dpkg's records of the packages that own files of an image.
//!
//! dpkg has no index from files to packages: `dpkg -S` reads the list of every package. Here lists
//! are read in the order in which they are likely to help: those of packages named like a file, then
//! those of their dependencies, and the others only for files that are left.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::HashMap;

use super::notes::{NotedPackage, is_plain, usable};
use super::{PackageRecords, WantedFiles};
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

/// Longest of these fields that is recorded, in bytes.
const MAX_FIELD: usize = 4 << 10;
/// Fields that say what a package needs.
const NEEDS: [&str; 2] = ["Pre-Depends", "Depends"];

/// The records of the packages that own wanted files; `None` without a database of dpkg.
pub(super) fn records(
    view: &View,
    wanted: &WantedFiles<'_>,
    sum: &dyn Fn(&Path) -> Option<String>,
) -> Option<PackageRecords> {
    let (status, alone) = status(view);
    if status.is_empty() {
        return None;
    }
    let installed = DebStatus::of(&status, alone);
    let (notes, unused) = usable(view, wanted, "deb");
    let mut owners = OwnerSearch::new(view, &installed, wanted).owners();
    let mut noted: BTreeMap<NotedPackage<'_>, Vec<usize>> = BTreeMap::new();
    for (file, note) in notes.iter().enumerate() {
        let Some(note) = note else { continue };
        let is_of = |stanza: &usize| installed.stanzas[*stanza].is_of(note);
        if owners[file].as_ref().is_some_and(is_of) {
            continue;
        }
        owners[file] = installed.named(note.name).find(is_of);
        if owners[file].is_none() {
            noted.entry(*note).or_default().push(file);
        }
    }
    let mut records = DebRecords {
        wanted,
        sum,
        files: BTreeMap::new(),
    };
    if wanted.has_owned(&owners) || !noted.is_empty() {
        for (key, (stanza, files)) in by_key(&installed, &owners) {
            let stanza = &installed.stanzas[stanza];
            let fields = stanza.fields();
            let sums = view.read(&stanza.file(&fields, "md5sums"), MAX_LIST);
            let sums = recorded_sums(&sums.unwrap_or_default(), wanted, &files);
            records.add(stanza.name, &key, fields.record(), &files, &sums);
        }
        for (note, files) in noted {
            let key = format!("{}_{}", note.name, note.version);
            records.add(
                note.name,
                &key,
                noted_record(&note),
                &files,
                &HashMap::default(),
            );
        }
    }
    Some(PackageRecords {
        files: records.files.into_iter().collect(),
        unused,
    })
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
    let mut files = vec![Vec::new(); installed.stanzas.len()];
    let owners = OwnerSearch::new(view, &installed, wanted).owners();
    for (file, owner) in owners.into_iter().enumerate() {
        if let Some(stanza) = owner {
            files[stanza].push(wanted.given(file));
        }
    }
    let packages = installed.sorted().into_iter().filter_map(|index| {
        let (stanza, files) = (&installed.stanzas[index], std::mem::take(&mut files[index]));
        let fields = stanza.fields();
        let is_usable = fields.is_installed() && is_name(stanza.name);
        (is_usable && (all || !files.is_empty())).then(|| stanza.package(&fields, files))
    });
    Some(packages.collect())
}

/// The stanzas that own files, by the names that dpkg has for their packages, with the files.
fn by_key(
    installed: &DebStatus<'_>,
    owners: &[Option<usize>],
) -> BTreeMap<String, (usize, Vec<usize>)> {
    let mut files = BTreeMap::<usize, Vec<usize>>::new();
    for (file, owner) in owners.iter().enumerate() {
        if let Some(stanza) = owner {
            files.entry(*stanza).or_default().push(file);
        }
    }
    let keyed = files.into_iter().map(|(stanza, files)| {
        let found = &installed.stanzas[stanza];
        (found.key(&found.fields()), (stanza, files))
    });
    keyed.collect()
}

/// The digests that a package came with, of files that did not change (deb-md5sums(5)). Files of
/// configuration have none.
fn recorded_sums(text: &[u8], wanted: &WantedFiles<'_>, files: &[usize]) -> HashMap<usize, String> {
    let mut recorded = HashMap::default();
    for (sum, path) in sums(text) {
        for &file in wanted.named_inside(path) {
            let is_digest = sum.iter().all(u8::is_ascii_hexdigit);
            if is_digest && files.contains(&file) && !wanted.files[file].is_changed {
                let sum = String::from_utf8_lossy(sum);
                recorded.entry(file).or_insert_with(|| sum.into_owned());
            }
        }
    }
    recorded
}

/// The stanza of a package that only notes of its files name.
fn noted_record(note: &NotedPackage<'_>) -> String {
    let (name, version) = (note.name, note.version);
    let mut record = format!("Package: {name}\n");
    if let Some(architecture) = note.architecture {
        record.push_str(&format!("Architecture: {architecture}\n"));
    }
    record.push_str(&format!(
        "Version: {version}\nDescription: named by its files themselves (.note.package)\n"
    ));
    record
}

/// The records that are written.
struct DebRecords<'r> {
    wanted: &'r WantedFiles<'r>,
    sum: &'r dyn Fn(&Path) -> Option<String>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl DebRecords<'_> {
    /// Adds those of a package, by its name, or by `key` if another has the name: two architectures of
    /// one package have a record each.
    fn add(
        &mut self,
        name: &str,
        key: &str,
        record: String,
        files: &[usize],
        known: &HashMap<usize, String>,
    ) {
        let directory = Path::new(STATUS_D);
        let own = match self.files.contains_key(&directory.join(name)) {
            true => key,
            false => name,
        };
        let mut lines = Vec::new();
        for &file in files {
            let path = self.wanted.files[file].image;
            let inside = path.strip_prefix("/").unwrap_or(path).as_os_str();
            let sum = known.get(&file).cloned().or_else(|| (self.sum)(path));
            // The name of a file may hold anything, and a list has one on a line.
            if let Some(sum) = sum.filter(|_| !inside.as_bytes().contains(&b'\n')) {
                lines.push([sum.as_bytes(), b"  ", inside.as_bytes(), b"\n"].concat());
            }
        }
        lines.sort_by(|one, other| one[32..].cmp(&other[32..]));
        self.files
            .insert(directory.join(format!("{own}.md5sums")), lines.concat());
        self.files.insert(directory.join(own), record.into_bytes());
    }
}

/// A stanza of the status, which is that of a package from its name on.
struct DebStanza<'s> {
    name: &'s str,
    text: &'s [u8],
    is_in_status_d: bool,
}

/// The first lines of the fields of a stanza.
struct DebFields<'s> {
    values: [Option<&'s str>; FIELDS.len()],
    needs: [Option<&'s str>; NEEDS.len()],
}

impl<'s> DebFields<'s> {
    fn get(&self, name: &str) -> Option<&'s str> {
        let at = FIELDS.iter().position(|known| *known == name)?;
        self.values[at]
    }

    /// Whether the package is installed.
    fn is_installed(&self) -> bool {
        let status = self.get("Status");
        status.is_none_or(|status| status.ends_with(" installed"))
    }

    /// The names of the packages that it depends on.
    fn dependencies(&self) -> impl Iterator<Item = &'s str> {
        let values = self.needs.into_iter().flatten();
        let names = values.flat_map(|value| value.split([',', '|']));
        names.filter_map(|name| name.trim().split([' ', ':']).next())
    }

    /// The stanza of its record.
    fn record(&self) -> String {
        let mut record = String::new();
        for (name, value) in FIELDS.iter().zip(self.values) {
            if let Some(value) = value {
                record.push_str(name);
                record.push_str(": ");
                record.push_str(value);
                record.push('\n');
            }
        }
        record
    }
}

impl<'s> DebStanza<'s> {
    /// Its fields. An empty line ends the stanza.
    fn fields(&self) -> DebFields<'s> {
        let mut fields = DebFields {
            values: [None; FIELDS.len()],
            needs: [None; NEEDS.len()],
        };
        for line in lines(self.text).take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let of = |known: &[&str]| known.iter().position(|known| known.as_bytes() == name);
            let field = match (of(&FIELDS), of(&NEEDS)) {
                (Some(_), _) if value.len() > MAX_FIELD => continue,
                (Some(at), _) => &mut fields.values[at],
                (None, Some(at)) => &mut fields.needs[at],
                (None, None) => continue,
            };
            if field.is_none() {
                *field = std::str::from_utf8(value).ok().map(str::trim);
            }
        }
        fields
    }

    /// The name as dpkg has it in the names of its files: with the architecture where several can be
    /// installed.
    fn key(&self, fields: &DebFields<'_>) -> String {
        let architecture = match fields.get("Multi-Arch") {
            Some("same") => fields.get("Architecture").filter(|name| is_name(name)),
            _ => None,
        };
        match architecture {
            Some(architecture) => format!("{}:{architecture}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// Where its list or its sums are.
    fn file(&self, fields: &DebFields<'_>, suffix: &str) -> PathBuf {
        match self.is_in_status_d {
            true => Path::new(STATUS_D).join(format!("{}.md5sums", self.name)),
            false => Path::new(INFO).join(format!("{}.{suffix}", self.key(fields))),
        }
    }

    /// Absolute paths, one a line.
    fn paths(&self, fields: &DebFields<'_>, view: &View) -> Vec<u8> {
        let text = view.read(&self.file(fields, "list"), MAX_LIST);
        let text = text.unwrap_or_default();
        match self.is_in_status_d {
            true => paths_of_sums(&text),
            false => text,
        }
    }

    /// The package, which owns `files`.
    fn package(&self, fields: &DebFields<'_>, files: Vec<usize>) -> InstalledPackage {
        let text = |name: &str| fields.get(name).map(bounded);
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

    /// Whether a file with this note is one of the package: notes have the name and the version of the
    /// package, or of its source (deb-src-control(5)), which a binary rebuild does not change.
    fn is_of(&self, note: &NotedPackage<'_>) -> bool {
        let fields = self.fields();
        if !fields.is_installed() || !is_name(self.name) {
            return false;
        }
        let version = fields.get("Version").unwrap_or_default();
        let rebuilt = version.rsplit_once("+b");
        let rebuilt =
            rebuilt.filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let source = fields.get("Source").unwrap_or(self.name);
        let (source, source_version) = match source.split_once(' ') {
            Some((source, version)) => (source, version.trim_matches(['(', ')'])),
            None => (source, rebuilt.map_or(version, |(version, _)| version)),
        };
        let is_named = [self.name, source].contains(&note.name);
        is_named && [version, source_version].contains(&note.version)
    }
}

/// Whether dpkg accepts this as the name of a package or an architecture (Debian Policy 5.6.7): no
/// other name becomes part of a path.
fn is_name(name: &str) -> bool {
    is_plain(name, b"+-.")
}

/// The stanzas of all packages.
struct DebStatus<'s> {
    stanzas: Vec<DebStanza<'s>>,
    /// The first stanza of each name, and for each stanza the next of the same name: there is one for
    /// each architecture.
    first: HashMap<&'s str, usize>,
    next: Vec<Option<usize>>,
}

impl<'s> DebStatus<'s> {
    /// Finds the names. It is the first field of a stanza wherever a tool of Debian writes one.
    fn of(status: &'s [u8], alone: usize) -> Self {
        const NAME: &[u8] = b"\nPackage:";
        /// Bytes of a stanza, at least as many as most have.
        const USUAL: usize = 512;
        let first = status.starts_with(&NAME[1..]).then_some(0);
        let further = memchr::memmem::find_iter(status, NAME).map(|at| at + 1);
        let mut starts = first.into_iter().chain(further).peekable();
        let mut stanzas = Vec::with_capacity((status.len() / USUAL).min(MAX_PACKAGES));
        while let Some(start) = starts.next().filter(|_| stanzas.len() < MAX_PACKAGES) {
            let text = &status[start..starts.peek().copied().unwrap_or(status.len())];
            let name = &text[NAME.len() - 1..];
            let end = name.iter().position(|byte| *byte == b'\n');
            let name = name[..end.unwrap_or(name.len())].trim_ascii();
            if let Ok(name) = std::str::from_utf8(name) {
                stanzas.push(DebStanza {
                    name,
                    text,
                    is_in_status_d: start >= alone,
                });
            }
        }
        let mut first = HashMap::with_capacity_and_hasher(stanzas.len(), Default::default());
        let mut next = vec![None; stanzas.len()];
        for (index, stanza) in stanzas.iter().enumerate().rev() {
            next[index] = first.insert(stanza.name, index);
        }
        Self {
            stanzas,
            first,
            next,
        }
    }

    /// Where the stanzas of a name are.
    fn named(&self, name: &str) -> impl Iterator<Item = usize> {
        let first = self.first.get(name).copied();
        std::iter::successors(first, |index| self.next[*index])
    }

    /// All stanzas, sorted by name.
    fn sorted(&self) -> Vec<usize> {
        let mut sorted: Vec<usize> = (0..self.stanzas.len()).collect();
        sorted.sort_by_key(|index| self.stanzas[*index].name);
        sorted
    }
}

/// Looks for the owners of files.
struct OwnerSearch<'s> {
    view: &'s View,
    installed: &'s DebStatus<'s>,
    wanted: &'s WantedFiles<'s>,
    /// The stanza that owns each file. Of two packages with one path it is the first that is read.
    owners: Vec<Option<usize>>,
    /// How many files have none so far and may have one.
    left: usize,
    /// The stanzas whose lists were read.
    is_read: Vec<bool>,
    /// Bytes of lists that may still be read.
    bytes: u64,
}

impl<'s> OwnerSearch<'s> {
    fn new(view: &'s View, installed: &'s DebStatus<'s>, wanted: &'s WantedFiles<'s>) -> Self {
        let ownable = wanted.can_be_owned.iter().filter(|can_be| **can_be);
        Self {
            view,
            installed,
            wanted,
            owners: vec![None; wanted.files.len()],
            left: ownable.count(),
            is_read: vec![false; installed.stanzas.len()],
            bytes: MAX_DATABASE,
        }
    }

    /// The stanza that owns each wanted file.
    fn owners(mut self) -> Vec<Option<usize>> {
        for (index, file) in self.wanted.files.iter().enumerate() {
            if self.owners[index].is_none() && self.wanted.can_be_owned[index] {
                self.read_with_dependencies(&likely(file.source));
            }
        }
        if self.left > 0 {
            for index in self.installed.sorted() {
                self.read(index);
            }
        }
        self.owners
    }

    /// Reads the list of a package, and if it owns anything those of its dependencies.
    fn read_with_dependencies(&mut self, name: &str) {
        let installed = self.installed;
        let mut pending = VecDeque::from([name]);
        while let Some(name) = pending.pop_front().filter(|_| self.left > 0) {
            for index in installed.named(name) {
                if let Some(fields) = self.read(index) {
                    pending.extend(fields.dependencies());
                }
            }
        }
    }

    /// Reads the list of a package, unless it was read before; its fields if it owns wanted files.
    fn read(&mut self, index: usize) -> Option<DebFields<'s>> {
        let was_read = std::mem::replace(&mut self.is_read[index], true);
        let stanza = &self.installed.stanzas[index];
        if was_read || self.left == 0 || self.bytes == 0 || !is_name(stanza.name) {
            return None;
        }
        let fields = stanza.fields();
        if !fields.is_installed() {
            return None;
        }
        let paths = stanza.paths(&fields, self.view);
        self.bytes = self.bytes.saturating_sub(paths.len() as u64);
        let mut owns = false;
        for path in lines(&paths) {
            for &file in self.wanted.named(path) {
                if self.owners[file].is_none() && self.wanted.can_be_owned[file] {
                    self.owners[file] = Some(index);
                    self.left -= 1;
                    owns = true;
                }
            }
        }
        owns.then_some(fields)
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
