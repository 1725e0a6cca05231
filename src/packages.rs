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

fn dpkg(view: &View) -> Option<Packages> {
    const FOLDER: &str = "/var/lib/dpkg/info";
    let names = view.read_dir(Path::new(FOLDER)).ok()?;
    let mut packages = Packages::default();
    for name in names.iter().take(MAX_PACKAGES * 8) {
        let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let Ok(list) = view.read(&Path::new(FOLDER).join(name), MAX_LIST) else {
            continue;
        };
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
