//! SP008 and SP009: the loader's cache compared with the files.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::lint::catalogue::{SP008, SP009};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::loader::{Cache, LD_SO_CACHE, MAX_CACHE};
use crate::vfs::{NodeKind, View};

/// Largest configuration file that is read, in bytes.
const MAX_CONF: u64 = 1 << 20;
/// Maximum nesting of `include` lines, and of directories and files that they name.
const MAX_DEPTH: usize = 8;
const MAX_FOLDERS: usize = 1000;
const MAX_FILES: usize = 1000;
/// Maximum number of stale cache entries that are reported.
const MAX_STALE: usize = 1000;

/// Checks the cache of a root that has glibc.
pub(super) fn of_root(context: &Context<'_>) -> Vec<Finding> {
    let view = &context.source.view;
    let path = Path::new(LD_SO_CACHE);
    let Ok(bytes) = view.read(path, MAX_CACHE) else {
        // If ldconfig was never run, no configured directory is searched.
        return not_cached(context, &HashSet::new());
    };
    let big_endian = context
        .survey
        .elf
        .first()
        .is_some_and(|file| file.object.is_big_endian());
    let Some(cache) = Cache::parse(bytes, big_endian) else {
        let message = "the loader ignores /etc/ld.so.cache: it is damaged or for another machine";
        return vec![Finding::new(&SP008, path, LD_SO_CACHE, message)];
    };
    let mut findings = Vec::new();
    let (mut names, mut gone) = (HashSet::new(), HashSet::new());
    for entry in cache.iter() {
        names.insert(entry.key.to_vec());
        let file = Path::new(OsStr::from_bytes(entry.value));
        let is_there = view
            .walk(file)
            .is_ok_and(|walk| walk.metadata.kind == NodeKind::File);
        if !is_there && findings.len() < MAX_STALE && gone.insert(file.to_path_buf()) {
            let message = format!(
                "/etc/ld.so.cache lists {}, which does not exist",
                file.display()
            );
            let name = String::from_utf8_lossy(entry.key).into_owned();
            findings.push(
                Finding::new(&SP008, path, file.display().to_string(), message)
                    .evidence("entry", format!("{name} => {}", file.display())),
            );
        }
    }
    findings.extend(not_cached(context, &names));
    findings
}

/// Libraries in directories of `ld.so.conf` that the loader does not search by default.
fn not_cached(context: &Context<'_>, names: &HashSet<Vec<u8>>) -> Vec<Finding> {
    let view = &context.source.view;
    let mut read = Configuration::default();
    read.file(view, Path::new("/etc/ld.so.conf"), 0);
    let mut folders = read.folders;
    // The loader searches these directories anyway.
    let is_searched = |folder: &Path| {
        let has = |system: &Path| {
            let real = |path| view.walk(path).map(|walk| walk.real.clone()).ok();
            real(system) == real(folder)
        };
        let system = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(Path::new);
        let multiarch = folder
            .file_name()
            .is_some_and(|name| name.as_bytes().contains(&b'-'));
        system.iter().any(|system| {
            has(system)
                || (multiarch
                    && folder
                        .file_name()
                        .is_some_and(|name| has(&system.join(name))))
        })
    };
    folders.retain(|folder| !is_searched(folder));
    let mut findings = Vec::new();
    for file in context.survey.elf.iter().filter(|file| !file.is_program()) {
        let (Some(folder), Some(soname)) = (file.path.parent(), file.object.soname()) else {
            continue;
        };
        let is_configured = folders
            .iter()
            .any(|configured| view.walk(configured).is_ok_and(|walk| walk.real == folder));
        // ldconfig considers only lib*.so*.
        let is_library = soname.as_bytes().starts_with(b"lib");
        if is_configured && is_library && !names.contains(soname.as_bytes()) {
            let message = format!(
                "{} is in a directory of /etc/ld.so.conf but not in /etc/ld.so.cache",
                file.path.display()
            );
            findings.push(Finding::new(
                &SP009,
                &file.path,
                soname.display().to_string(),
                message,
            ));
        }
    }
    findings
}

/// The directories of an `ld.so.conf` and of the files that it includes (`ldconfig(8)`).
#[derive(Default)]
struct Configuration {
    folders: Vec<PathBuf>,
    /// Files that have been read, so that a file that includes itself is read once.
    files: HashSet<PathBuf>,
}

impl Configuration {
    fn file(&mut self, view: &View, path: &Path, depth: usize) {
        let Ok(walk) = view.walk(path) else { return };
        if depth > MAX_DEPTH
            || self.files.len() > MAX_FILES
            || !self.files.insert(walk.real.clone())
        {
            return;
        }
        let text = view.read(path, MAX_CONF).unwrap_or_default();
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_whitespace();
            match words.next() {
                Some("include") => {
                    for pattern in words {
                        for file in included(view, path, pattern) {
                            self.file(view, &file, depth + 1);
                        }
                    }
                }
                Some(folder) if folder.starts_with('/') && self.folders.len() < MAX_FOLDERS => {
                    self.folders.push(PathBuf::from(folder));
                }
                _ => {}
            }
        }
    }
}

/// The files that an `include` names; only its last component may be a pattern.
fn included(view: &View, by: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = by.parent().unwrap_or(Path::new("/")).join(pattern);
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    // glob(3) supports neither braces nor `**`.
    let mut plain = name
        .to_string_lossy()
        .replace('{', "\\{")
        .replace('}', "\\}");
    while plain.contains("**") {
        plain = plain.replace("**", "*");
    }
    let matches = |found: &OsString| fast_glob::glob_match(plain.as_bytes(), found.as_bytes());
    let names = view.read_dir(folder).unwrap_or_default();
    names
        .into_iter()
        .filter(matches)
        .map(|name| folder.join(name))
        .collect()
}
