//! Files whose paths a program contains as strings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{HOMES, is_straight, plugins, stdlib, told_paths};
use crate::exec::path_folders;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::NodeKind;

/// Maximum number of paths that a sign lists.
const TOLD: usize = 4;
/// Directories that engines provide, that belong to a user, or that another rule covers.
const ELSEWHERE: [&str; 13] = [
    "/proc",
    "/sys",
    "/dev",
    "/tmp",
    "/var/tmp",
    "/home",
    "/root",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/usr/src",
    "/usr/include",
    "/etc/ssl",
    "/etc/pki",
];
/// Files that other rules or an engine write.
pub(in crate::needs) const WRITTEN: [&str; 8] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/ld.so.cache",
];

/// Shared directories: the path of something directly in them is not a sign by itself.
const SHARED: [Option<&str>; 3] = [Some("/"), Some("/etc"), Some("/var")];

pub(super) static RULE: NeedRule = NeedRule {
    name: "paths",
    mode: Mode::Hint,
    what: "the files and directories whose paths it contains",
    sign: "strings that are paths of files, of directories named after the program, or of files \
           that it writes below /var and /run",
    adds: "these files and directories; below /etc the directory of the file, below /var and /run empty directories",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    // A static program contains the paths of the C library.
    if !process.is_packed || process.is_static() {
        return None;
    }
    let additions = additions(process);
    let mut paths: BTreeSet<_> = additions.iter().filter_map(path_of).collect();
    if paths.is_empty() {
        return None;
    }
    // Paths that other rules already hint at.
    let others = stdlib::paths(process).iter().chain(plugins::paths(process));
    let others: BTreeSet<&Path> = others.map(PathBuf::as_path).collect();
    paths.retain(|path| !path.ancestors().any(|above| others.contains(above)));
    paths.retain(|path| !process.brings(path));
    // Files directly in /etc are the administrator's choice, and /run or /var/log are shared:
    // programs work without them.
    let is_weak = |path: &&Path| {
        let is_shared = |folder: &Path| SHARED.contains(&folder.to_str());
        // A program's own directory in /etc contains more than an administrator's file.
        let is_own = || additions.contains(&Addition::Tree(path.to_path_buf()));
        path.parent().is_some_and(is_shared) && !is_own()
    };
    if paths.iter().all(is_weak) {
        return None;
    }
    let noun = if paths.len() == 1 { "path" } else { "paths" };
    let paths = told_paths(paths, TOLD)?;
    Some(Sign::new(0, format!("contains the {noun} {paths}")))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    match additions(supply.process) {
        additions if additions.is_empty() => {
            Err(Unmet::NotShown("the program contains no path of a file"))
        }
        additions => Ok(additions.into_iter().collect()),
    }
}

fn path_of(addition: &Addition) -> Option<&Path> {
    match addition {
        Addition::File(path) | Addition::Tree(path) | Addition::Folder(path, _) => Some(path),
        _ => None,
    }
}

fn additions(process: &Process<'_>) -> BTreeSet<Addition> {
    let texts = process.texts(0);
    let additions = texts
        .words
        .iter()
        .filter_map(|text| addition(process, text));
    additions.collect()
}

/// What to add for one string, if it is a path that counts.
fn addition(process: &Process<'_>, text: &str) -> Option<Addition> {
    let path = plain(text)?;
    let interpreter = process.objects()[0].object.interpreter.as_ref();
    if interpreter.is_some_and(|interpreter| *interpreter == *text) {
        return None;
    }
    let mut folders = path_folders(process.env);
    let is_command = folders.any(|folder| path.parent() == Some(folder));
    let is_elsewhere = ELSEWHERE.iter().any(|folder| path.starts_with(folder));
    if is_command || is_elsewhere || WRITTEN.iter().any(|written| path == Path::new(written)) {
        return None;
    }
    let parent = path.parent()?;
    // The files there belong to this machine (logs, locks, data); the program needs only their
    // directory.
    if path.starts_with("/var") || path.starts_with("/run") {
        let folder = match process.view.kind(&path) {
            Some(NodeKind::Directory) => &path,
            _ => parent,
        };
        let found = process.view.walk(folder).ok()?.metadata;
        let mode = match process.is_image {
            true => found.mode,
            false => 0o755,
        };
        return (found.kind == NodeKind::Directory && folder != Path::new("/var"))
            .then(|| Addition::Folder(folder.to_path_buf(), mode));
    }
    let name = process.objects()[0].opened_as.file_name()?;
    match process.view.kind(&path)? {
        // `/etc/app/app.conf` includes its neighbours.
        NodeKind::File if path.starts_with("/etc") && parent != Path::new("/etc") => {
            Some(Addition::Tree(parent.to_path_buf()))
        }
        NodeKind::File => Some(Addition::File(path)),
        NodeKind::Directory => path
            .components()
            .any(|part| part.as_os_str() == name)
            .then_some(Addition::Tree(path)),
        NodeKind::Symlink | NodeKind::Special => None,
    }
}

/// Paths in package directories that do not exist, each with the index of the object that contains
/// it: the program or a library that it names itself.
pub fn absent(process: &Process<'_>) -> Vec<(usize, PathBuf)> {
    // A static program contains the paths of the C library.
    if process.is_static() {
        return Vec::new();
    }
    let mut found: BTreeSet<(usize, PathBuf)> = BTreeSet::new();
    for index in process.own_objects() {
        let texts = process.texts(index);
        let paths = texts.words.iter().filter_map(|text| plain(text));
        let paths = paths.filter(|path| {
            let is_of_package = HOMES.iter().any(|home| path.starts_with(home));
            let is_elsewhere = ELSEWHERE.iter().chain(&plugins::ELSEWHERE);
            is_of_package
                && path.components().count() > 3
                && !is_elsewhere
                    .into_iter()
                    .any(|folder| path.starts_with(folder))
                && process.view.walk(path).is_err()
        });
        found.extend(paths.map(|path| (index, path)));
    }
    let mut absent: Vec<(usize, PathBuf)> = found.into_iter().collect();
    // Paths are sorted: one inside another missing directory directly follows it, and is dropped.
    absent.dedup_by(|(_, path), (_, before)| path.starts_with(before));
    absent
}

/// A string as an absolute path of at least two components, without `..` or special characters.
fn plain(text: &str) -> Option<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@".contains(c);
    if !text.starts_with('/') || !text.chars().all(is_plain) {
        return None;
    }
    let path: PathBuf = Path::new(text).components().collect();
    let count = path.components().count();
    (is_straight(&path) && count > 2).then_some(path)
}
