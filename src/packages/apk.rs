//! apk's database.
//!
//! In: `/lib/apk/db/installed`, one database of all packages: "P:" is the package, "V:" its
//! version, "o:" its origin, "D:" its dependencies, "F:" a directory, "R:" a file in it. Out: [`Packages`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{MAX_DATABASE, MAX_PACKAGES, PER_PATH, Packages};
use crate::vfs::View;

/// The database of all installed packages.
pub(super) const DATABASE: &str = "/lib/apk/db/installed";
/// Longest path, in bytes: `PATH_MAX`.
const MAX_PATH: usize = 4096;

/// The installed packages; `None` without a database.
pub(super) fn read(view: &View) -> Option<Packages> {
    let database = view.read(Path::new(DATABASE), MAX_DATABASE);
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
                packages
                    .origins
                    .packages
                    .entry(package.clone())
                    .or_default();
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
                // `cmd:NAME` and `so:NAME` are not packages; a version may follow the name.
                let needs = needs.filter_map(|name| name.split(['=', '<', '>', '~']).next());
                packages.origins.need(&package, needs);
            }
            // A directory too long for any path is ignored: each file would repeat it.
            b"F:" if value.len() > MAX_PATH => folder = PathBuf::from("/"),
            b"F:" => folder = Path::new("/").join(path),
            b"R:" => {
                let file = folder.join(path);
                // Each file repeats its directory.
                left = left.saturating_sub(file.as_os_str().len() as u64 + PER_PATH);
                if let Some(files) = packages.files.get_mut(&package).filter(|_| left > 0) {
                    files.push(file);
                }
            }
            _ => {}
        }
    }
    (!packages.files.is_empty()).then_some(packages)
}
