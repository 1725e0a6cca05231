//! Directories of plugins and data that belong to a program.
//!
//! A program opens what it finds in a directory whose path it, or one of its libraries, contains as
//! a string. Any program contains many paths; only those in its own package count.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{HOMES, is_straight, openssl, stdlib, told_paths};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::packages::Records;
use crate::vfs::{NodeKind, View};

/// Directories that other rules cover, or that programs open nothing from.
pub(super) const ELSEWHERE: [&str; 10] = [
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/usr/share/terminfo",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/bash-completion",
    "/usr/share/pixmaps",
    "/usr/share/applications",
    "/usr/lib/ssl",
];
/// Prefixes of paths that a program resolves relative to its own prefix.
const RELATIVE: [&str; 3] = ["share/", "lib/", "libexec/"];
/// Maximum number of directories that a sign lists.
const TOLD: usize = 3;
/// Maximum size of one directory, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Maximum number of files in one directory.
const MAX_FILES: usize = 100_000;

pub(super) static RULE: NeedRule = NeedRule {
    name: "plugins",
    mode: Mode::Hint,
    what: "plugins and data of the program's own package",
    sign: "strings of the program or a library that are directories below /usr/lib, /usr/share and \
           /usr/libexec, and belong to the same package according to dpkg or apk",
    adds: "these directories, with what programs and libraries in them load",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed || process.is_static() {
        return None;
    }
    let folders = folders(process).iter();
    let folders: Vec<_> = folders.filter(|(_, path)| !process.brings(path)).collect();
    let (object, _) = folders.first()?;
    let paths = folders.iter().map(|(_, path)| path.as_path());
    let text = format!("names package directories: {}", told_paths(paths, TOLD)?);
    Some(Sign::new(*object, text))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let folders = folders(supply.process);
    if folders.is_empty() {
        return Err(Unmet::NotShown(
            "neither the program nor its libraries name a directory of their package",
        ));
    }
    for (_, folder) in folders {
        if supply.source.kind(folder) != Some(NodeKind::Directory) {
            continue;
        }
        let bytes = bytes(supply.source, folder);
        if bytes > MAX_BYTES {
            return Err(format!(
                "the directory {} is larger than {} MiB; use --add for the parts that are needed",
                folder.display(),
                MAX_BYTES >> 20
            )
            .into());
        }
    }
    Ok(folders
        .iter()
        .map(|(_, path)| Addition::Tree(path.clone()))
        .collect())
}

/// The plugin directories.
pub(super) fn paths<'p>(process: &'p Process<'_>) -> impl Iterator<Item = &'p PathBuf> {
    folders(process).iter().map(|(_, path)| path)
}

/// The plugin directories, each with the index of the object that contains its path.
fn folders<'p>(process: &'p Process<'_>) -> &'p [(usize, PathBuf)] {
    process.memo.plugins.get_or_init(|| find(process))
}

fn find(process: &Process<'_>) -> Vec<(usize, PathBuf)> {
    let records = Records::of(process.view);
    let mut found: BTreeSet<(PathBuf, usize)> = BTreeSet::new();
    let objects = process.objects();
    for index in process.own_objects() {
        let candidates = candidates(process, index);
        if candidates.is_empty() {
            continue;
        }
        let package = |index: usize| records.package_of(&objects[index].walk.real);
        // A library may name the directory in which its program has plugins.
        let packages: Vec<_> = [package(index), package(0)].into_iter().flatten().collect();
        // A directory that other libraries are loaded from is shared by all programs.
        let is_shared = |path: &Path| {
            objects.iter().any(|object| {
                let real = &object.walk.real;
                real.parent() == Some(path) && !packages.iter().any(|package| package.has(real))
            })
        };
        let candidates = candidates.into_iter().filter(|path| !is_shared(path));
        let own = candidates.filter(|path| packages.iter().any(|package| package.has(path)));
        found.extend(own.map(|path| (path, index)));
    }
    let found = found.into_iter();
    let mut folders: Vec<(usize, PathBuf)> = found.map(|(path, index)| (index, path)).collect();
    // Paths are sorted: one inside another directory directly follows it, and is added with it.
    folders.dedup_by(|(_, path), (_, before)| path.starts_with(before));
    // An interpreter's standard library is a need of its own.
    let library = stdlib::paths(process);
    folders.retain(|(_, path)| !library.iter().any(|own| path.starts_with(own)));
    folders
}

/// The directories whose paths the texts of an object may be, and files made from them.
fn candidates(process: &Process<'_>, index: usize) -> BTreeSet<PathBuf> {
    let view = process.view;
    let texts = process.texts(index);
    // Some programs find their data relative to their own directory: `/usr/bin/../share/NAME`.
    let prefix = process.objects()[index]
        .walk
        .real
        .parent()
        .and_then(Path::parent);
    let mut found = BTreeSet::new();
    for text in &texts.words {
        let relative = text.trim_start_matches("../").trim_start_matches('/');
        let below = prefix.filter(|_| RELATIVE.iter().any(|start| relative.starts_with(start)));
        let places = [
            Some(text.clone()),
            below.map(|prefix| format!("{}/{relative}", prefix.display())),
        ];
        let places = places.into_iter().flatten();
        found.extend(places.filter_map(|place| candidate(view, &place)));
    }
    found.extend(beside(view, &found));
    found
}

/// Files compiled from those at `paths`, or from the directories: `magic` becomes `magic.mgc`.
fn beside(view: &View, paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut folders: BTreeMap<&Path, BTreeSet<OsString>> = BTreeMap::new();
    let mut found = Vec::new();
    for path in paths {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            continue;
        };
        let names = folders.entry(folder).or_insert_with(|| {
            let names = view.read_dir(folder).unwrap_or_default();
            names.into_iter().collect()
        });
        let mut start = name.to_os_string();
        start.push(".");
        let made = names.range(start.clone()..);
        let made = made.take_while(|name| name.as_bytes().starts_with(start.as_bytes()));
        let made = made.map(|name| folder.join(name));
        found.extend(made.filter(|path| view.kind(path) == Some(NodeKind::File)));
    }
    found
}

/// The directory whose path a text is.
fn candidate(view: &View, text: &str) -> Option<PathBuf> {
    if !HOMES.iter().any(|home| text.starts_with(home)) {
        return None;
    }
    let path: PathBuf = Path::new(text).components().collect();
    let is_openssl = openssl::MODULES.iter().any(|name| path.ends_with(name));
    let is_elsewhere = is_openssl || ELSEWHERE.iter().any(|folder| path.starts_with(folder));
    // /usr/lib/ARCH, /usr/share and the like are shared by all programs.
    let is_own = path.components().count() > 3 && is_straight(&path) && !is_elsewhere;
    (is_own && view.kind(&path) == Some(NodeKind::Directory)).then_some(path)
}

/// Bytes of all files in a directory; stops counting above the limits.
fn bytes(view: &View, folder: &Path) -> u64 {
    let (mut pending, mut bytes, mut files) = (vec![folder.to_path_buf()], 0_u64, 0);
    while let Some(folder) = pending.pop() {
        for name in view.read_dir(&folder).unwrap_or_default() {
            let path = folder.join(name);
            let Ok(found) = view.lookup(&path) else {
                continue;
            };
            match found.kind {
                NodeKind::Directory => pending.push(path),
                _ => bytes = bytes.saturating_add(found.size),
            }
            files += 1;
            if bytes > MAX_BYTES || files > MAX_FILES {
                return MAX_BYTES + 1;
            }
        }
    }
    bytes
}
