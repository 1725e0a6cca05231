//! What kind of place a path is: whose files are there, and how likely a program needs them.
//!
//! In: paths. Out: whether they are shared by many packages, belong to a user, or are optional for most
//! programs.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::exec::{AccountKind, Accounts, path_folders};
use crate::vfs::View;

/// Where programs look for things of which most machines have only some: texts of other languages, and
/// caches that are only faster.
const NOISE: [&str; 7] = [
    "/usr/share/locale",
    "/usr/lib/locale",
    "/usr/share/locale-langpack",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/usr/share/zoneinfo",
    "/etc/locale.alias",
];
/// Directories of the same, wherever they are.
const NOISE_NAMES: [&str; 3] = ["LC_MESSAGES", "gconv-modules.cache", "__pycache__"];

/// Names of directories in which many packages have files.
const SHARED_NAMES: [&str; 26] = [
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "libexec",
    "share",
    "local",
    "games",
    "include",
    "src",
    "man",
    "doc",
    "etc",
    "conf.d",
    "tmp",
    "home",
    "log",
    "cache",
    "spool",
    "run",
    "locale",
    "site_perl",
    "dist-packages",
    "site-packages",
];
/// Directories that an interpreter looks for at every start, and most machines have empty or not at all.
const PACKAGES: [&str; 3] = ["dist-packages", "site-packages", "site_perl"];
/// Where every entry is of somebody else.
const HOMES: [&str; 2] = ["/root", "/home"];
/// IDs of users who log in, of most distributions.
const LOGIN_USERS: std::ops::Range<u32> = 1000..60_000;

/// Whether many packages have files in a directory, or it is the home of a user: then it is never added
/// with all that is in it. `env` has the PATH.
pub fn is_shared(directory: &Path, env: &[String]) -> bool {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.components().count() < 3
        || directory
            .parent()
            .is_some_and(|parent| parent == Path::new("/home"))
        || SHARED_NAMES.contains(&&*name)
        || name.contains("-linux-")
        || path_folders(env).any(|folder| folder == directory)
}

/// The homes of the users who log in.
pub(super) fn homes(source: &View) -> Vec<PathBuf> {
    let accounts = Accounts::of(source).all(AccountKind::User);
    let people = accounts
        .iter()
        .filter(|account| account.id == 0 || LOGIN_USERS.contains(&account.id));
    let homes = people.map(|account| PathBuf::from(account.field(5)));
    // A home that is `/` makes nothing private.
    let homes = homes.filter(|home| home.is_absolute() && home.components().count() > 1);
    HOMES.iter().map(PathBuf::from).chain(homes).collect()
}

/// Whether most programs do without a path.
pub(super) fn is_noise(path: &Path) -> bool {
    let mut names = path.components().map(Component::as_os_str);
    NOISE.iter().any(|noise| path.starts_with(noise))
        || PACKAGES.iter().any(|name| path.ends_with(name))
        || names.any(|name| NOISE_NAMES.iter().any(|noise| name == *noise))
}

/// Whether a name is that of a library.
pub(super) fn is_library(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".so") || name.contains(".so.")
}

/// A path without `.` and `..`, of which no link is known.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_many_packages_and_homes_are_shared() {
        let env = ["PATH=/opt/tool/commands:/usr/bin".to_owned()];
        for path in [
            "/sbin",
            "/usr/bin",
            "/usr/local/sbin",
            "/root",
            "/home/me",
            "/var/log",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/python3/dist-packages",
            "/opt/tool/commands",
        ] {
            assert!(is_shared(Path::new(path), &env), "{path}");
        }
        for path in ["/usr/lib/git-core", "/opt/tool/data", "/home/me/project"] {
            assert!(!is_shared(Path::new(path), &env), "{path}");
        }
    }
}
