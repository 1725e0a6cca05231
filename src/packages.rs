//! Which package a file belongs to, by the package manager's own records.
//!
//! In: a file tree. Out: packages with the files that they brought. dpkg keeps one list of paths
//! for each package (`/var/lib/dpkg/info/NAME.list`, dpkg-query(1)); apk one database of all
//! (`/lib/apk/db/installed`, "P:" names a package, "o:" what it was built from, "D:" what it needs,
//! "F:" a folder, "R:" a file in it). Records that make no sense are passed over: nothing is decided
//! by them alone.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::HashSet;

use crate::vfs::View;

/// Where dpkg keeps its lists.
const DPKG: &str = "/var/lib/dpkg/info";
/// Where it keeps what it knows of each package.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";
/// Largest list of one package, in bytes.
const MAX_LIST: u64 = 8 << 20;
/// Largest database of all, in bytes.
const MAX_DATABASE: u64 = 128 << 20;
/// Longest path, in bytes: `PATH_MAX`.
const MAX_PATH: usize = 4096;
/// Most packages that are read of.
const MAX_PACKAGES: usize = 50_000;

/// The installed packages.
#[derive(Debug, Default)]
pub struct Packages {
    files: BTreeMap<String, Vec<PathBuf>>,
    /// What they were built from, as far as the record of all says so.
    origins: Origins,
}

impl Packages {
    /// Reads the records of `view`; `None` where no package manager has any.
    pub fn read(view: &View) -> Option<Self> {
        dpkg(view).or_else(|| apk(view))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The packages, by name, each with its files as its record writes them: a path may lead
    /// through links of the tree (`/lib` to `/usr/lib`).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[PathBuf])> {
        let all = self.files.iter();
        all.map(|(name, files)| (name.as_str(), files.as_slice()))
    }
}

/// One package, with those that it needs and that were built beside it: `libmagic1` with
/// `libmagic-mgc`, `cmake` with `cmake-data`.
#[derive(Debug, Default)]
pub struct Package {
    /// Paths as the record writes them.
    files: HashSet<Vec<u8>>,
}

/// The records of a tree, read when they are asked for, each once.
pub struct Records<'v> {
    view: &'v View,
    origins: OnceCell<Origins>,
    apk: OnceCell<Option<Packages>>,
}

impl<'v> Records<'v> {
    /// Those of `view`.
    pub fn of(view: &'v View) -> Self {
        Self {
            view,
            origins: OnceCell::new(),
            apk: OnceCell::new(),
        }
    }

    /// The package that brought the file at a real path; `None` where no record tells.
    pub fn package_of(&self, path: &Path) -> Option<Package> {
        let names = names_of(path);
        if let Ok(lists) = self.view.read_dir(Path::new(DPKG)) {
            return self.package_of_dpkg(&lists, &names);
        }
        let packages = self.apk.get_or_init(|| apk(self.view)).as_ref()?;
        let is_own = |files: &Vec<PathBuf>| files.iter().any(|file| names.contains(file));
        let (own, _) = packages.files.iter().find(|(_, files)| is_own(files))?;
        let siblings = packages.origins.siblings(own);
        let files = siblings.iter().filter_map(|name| packages.files.get(*name));
        let (mut package, mut left) = (Package::default(), MAX_DATABASE);
        // A record of apk names files, and folders only by them.
        for path in files.flatten().flat_map(|file| file.ancestors()) {
            let path = path.as_os_str().as_bytes();
            if !package.files.contains(path) {
                left = left.checked_sub(path.len() as u64)?;
                package.files.insert(path.to_vec());
            }
        }
        Some(package)
    }

    fn package_of_dpkg(&self, lists: &[OsString], names: &[PathBuf]) -> Option<Package> {
        let lists = lists.iter().take(MAX_PACKAGES * 8);
        let lists: Vec<(&OsString, &str)> = lists
            .filter_map(|name| Some((name, package_of_list(name)?)))
            .collect();
        let read = |name: &OsString| self.view.read(&Path::new(DPKG).join(name), MAX_LIST);
        let mut left = MAX_DATABASE;
        let (own, list) = lists.iter().find_map(|(name, package)| {
            let list = read(name).ok().filter(|_| left > 0)?;
            left = left.saturating_sub(list.len() as u64);
            let is_own = names.iter().any(|name| has_line(&list, name));
            is_own.then_some((*package, list))
        })?;
        let (mut package, mut bytes) = (Package::default(), 0);
        package.add_list(&list);
        let origins = self.origins.get_or_init(|| Origins::of_dpkg(self.view));
        let siblings = origins.siblings(own);
        for (name, _) in lists
            .iter()
            .filter(|(_, name)| *name != own && siblings.contains(name))
        {
            let sibling = read(name).unwrap_or_default();
            bytes += sibling.len() as u64;
            if bytes > MAX_DATABASE {
                break;
            }
            package.add_list(&sibling);
        }
        Some(package)
    }
}

impl Package {
    /// Whether it brought the file or folder at `path`.
    pub fn has(&self, path: &Path) -> bool {
        let names = names_of(path);
        let mut names = names.iter().map(|name| name.as_os_str().as_bytes());
        names.any(|name| self.files.contains(name))
    }

    fn add_list(&mut self, list: &[u8]) {
        for path in list.split(|byte| *byte == b'\n') {
            self.files.insert(path.to_vec());
        }
    }
}

/// Whether a list of paths has one.
fn has_line(list: &[u8], path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    memchr::memmem::find_iter(list, name).any(|at| {
        let before = at.checked_sub(1).map(|at| list[at]);
        let after = list.get(at + name.len());
        before.is_none_or(|byte| byte == b'\n') && after.is_none_or(|byte| *byte == b'\n')
    })
}

/// How records may write a path: where `/lib` leads to `/usr/lib`, some have the shorter one.
fn names_of(path: &Path) -> Vec<PathBuf> {
    let short = path
        .strip_prefix("/usr")
        .ok()
        .map(|rest| Path::new("/").join(rest));
    [Some(path.to_path_buf()), short]
        .into_iter()
        .flatten()
        .collect()
}

/// The package whose files a list of dpkg names: `libc6:amd64.list`.
fn package_of_list(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?.strip_suffix(".list")?;
    Some(name.split_once(':').map_or(name, |(package, _)| package))
}

/// What packages were built from, and what they need.
#[derive(Debug, Default)]
struct Origins(BTreeMap<String, Origin>);

#[derive(Debug, Default)]
struct Origin {
    source: String,
    needs: BTreeSet<String>,
}

impl Origins {
    /// As dpkg keeps it (`deb-control(5)`; "Source" is left out where it has the same name).
    fn of_dpkg(view: &View) -> Self {
        let status = view.read(Path::new(DPKG_STATUS), MAX_DATABASE);
        let status = String::from_utf8_lossy(&status.unwrap_or_default()).into_owned();
        let (mut origins, mut package) = (Self::default(), "");
        for line in status.lines() {
            let Some((field, value)) = line.split_once(": ") else {
                continue;
            };
            match field {
                "Package" if origins.0.len() < MAX_PACKAGES => {
                    package = value;
                    let origin = origins.0.entry(value.to_owned()).or_default();
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
                    origins.note(package, |origin| {
                        origin.needs.extend(names.map(str::to_owned));
                    });
                }
                _ => {}
            }
        }
        origins
    }

    fn note(&mut self, package: &str, note: impl FnOnce(&mut Origin)) {
        if let Some(origin) = self.0.get_mut(package) {
            note(origin);
        }
    }

    /// A package with those that it needs and that come from the same source.
    fn siblings<'o>(&'o self, package: &'o str) -> BTreeSet<&'o str> {
        let source = self.0.get(package).map(|origin| &origin.source);
        let (mut siblings, mut pending) = (BTreeSet::new(), vec![package]);
        while let Some(name) = pending.pop() {
            let origin = self.0.get(name);
            let is_sibling = name == package || origin.map(|origin| &origin.source) == source;
            if is_sibling && siblings.insert(name) {
                let needs = origin.into_iter().flat_map(|origin| &origin.needs);
                pending.extend(needs.map(String::as_str));
            }
        }
        siblings
    }
}

fn dpkg(view: &View) -> Option<Packages> {
    let names = view.read_dir(Path::new(DPKG)).ok()?;
    let (mut packages, mut bytes) = (Packages::default(), 0);
    for name in names.iter().take(MAX_PACKAGES * 8) {
        let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let Ok(list) = view.read(&Path::new(DPKG).join(name), MAX_LIST) else {
            continue;
        };
        bytes += list.len() as u64;
        if bytes > MAX_DATABASE {
            break;
        }
        let lines = list.split(|byte| *byte == b'\n');
        let paths = lines.filter(|line| line.starts_with(b"/") && *line != b"/.");
        let paths = paths.map(|line| PathBuf::from(OsStr::from_bytes(line)));
        packages.files.insert(package.to_owned(), paths.collect());
    }
    (!packages.files.is_empty()).then_some(packages)
}

fn apk(view: &View) -> Option<Packages> {
    let database = view.read(Path::new("/lib/apk/db/installed"), MAX_DATABASE);
    let database = database.ok()?;
    let mut packages = Packages::default();
    let (mut package, mut folder) = (String::new(), PathBuf::from("/"));
    let mut left = MAX_DATABASE;
    for line in database.split(|byte| *byte == b'\n') {
        let Some((field, value)) = line.split_at_checked(2) else {
            continue;
        };
        let path = Path::new(OsStr::from_bytes(value));
        match field {
            b"P:" if packages.files.len() < MAX_PACKAGES => {
                package = String::from_utf8_lossy(value).into_owned();
                packages.files.entry(package.clone()).or_default();
                packages.origins.0.entry(package.clone()).or_default();
            }
            b"o:" => {
                let source = String::from_utf8_lossy(value).into_owned();
                packages
                    .origins
                    .note(&package, |origin| origin.source = source);
            }
            b"D:" => {
                let needs = String::from_utf8_lossy(value);
                let needs = needs.split_whitespace();
                // `cmd:NAME` and `so:NAME` are not packages; a version stands behind the name.
                let needs = needs.filter_map(|name| name.split(['=', '<', '>', '~']).next());
                packages.origins.note(&package, |origin| {
                    origin.needs.extend(needs.map(str::to_owned));
                });
            }
            // A folder that no path can have is none: each file repeats it.
            b"F:" if value.len() > MAX_PATH => folder = PathBuf::from("/"),
            b"F:" => folder = Path::new("/").join(path),
            b"R:" => {
                let file = folder.join(path);
                // Each file repeats its folder.
                left = left.saturating_sub(file.as_os_str().len() as u64);
                if let Some(files) = packages.files.get_mut(&package).filter(|_| left > 0) {
                    files.push(file);
                }
            }
            _ => {}
        }
    }
    (!packages.files.is_empty()).then_some(packages)
}
