//! Which package a file belongs to, by the package manager's own records.
//!
//! In: a file tree. Out: packages with the files that they brought. dpkg keeps one list of paths
//! for each package (`/var/lib/dpkg/info/NAME.list`, dpkg-query(1)); apk one database of all
//! (`/lib/apk/db/installed`, "P:" names a package, "F:" a folder, "R:" a file in it). Records that
//! make no sense are passed over: nothing is decided by them alone.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::vfs::View;

/// Where dpkg keeps its lists.
const DPKG: &str = "/var/lib/dpkg/info";
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

/// One package.
#[derive(Debug)]
pub struct Package {
    files: Vec<u8>,
}

impl Package {
    /// The package that brought the file at a real path; `None` where no record tells.
    pub fn of(view: &View, path: &Path) -> Option<Self> {
        let names = names_of(path);
        if let Ok(lists) = view.read_dir(Path::new(DPKG)) {
            let lists = lists
                .iter()
                .filter(|name| name.as_bytes().ends_with(b".list"));
            return lists.take(MAX_PACKAGES).find_map(|name| {
                let files = view.read(&Path::new(DPKG).join(name), MAX_LIST).ok()?;
                let package = Self { files };
                names
                    .iter()
                    .any(|name| package.lists(name))
                    .then_some(package)
            });
        }
        let packages = apk(view)?;
        let mut all = packages.files.into_values();
        let is_own = |files: &Vec<PathBuf>| files.iter().any(|file| names.contains(file));
        let mut files = Vec::new();
        for file in all.find(is_own)? {
            // A record of apk names files, and folders only by them.
            for path in file.ancestors() {
                files.extend(path.as_os_str().as_bytes());
                files.push(b'\n');
            }
        }
        Some(Self { files })
    }

    /// Whether it brought the file or folder at `path`.
    pub fn has(&self, path: &Path) -> bool {
        names_of(path).iter().any(|name| self.lists(name))
    }

    fn lists(&self, path: &Path) -> bool {
        let name = path.as_os_str().as_bytes();
        memchr::memmem::find_iter(&self.files, name).any(|at| {
            let before = at.checked_sub(1).map(|at| self.files[at]);
            let after = self.files.get(at + name.len());
            before.is_none_or(|byte| byte == b'\n') && after.is_none_or(|byte| *byte == b'\n')
        })
    }
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
    for line in database.split(|byte| *byte == b'\n') {
        let Some((field, value)) = line.split_at_checked(2) else {
            continue;
        };
        let path = Path::new(OsStr::from_bytes(value));
        match field {
            b"P:" if packages.files.len() < MAX_PACKAGES => {
                package = String::from_utf8_lossy(value).into_owned();
                packages.files.entry(package.clone()).or_default();
            }
            // A folder that no path can have is none: each file repeats it.
            b"F:" if value.len() > MAX_PATH => folder = PathBuf::from("/"),
            b"F:" => folder = Path::new("/").join(path),
            b"R:" => {
                if let Some(files) = packages.files.get_mut(&package) {
                    files.push(folder.join(path));
                }
            }
            _ => {}
        }
    }
    (!packages.files.is_empty()).then_some(packages)
}
