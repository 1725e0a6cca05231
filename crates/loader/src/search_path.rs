//! Lists of directories to search.
//!
//! In: unexpanded `DT_RPATH`, `DT_RUNPATH`, `LD_LIBRARY_PATH`. Out: absolute directories
//! in order, each once, each with the rule that added it. Source: glibc `fillin_rpath`,
//! musl `path_open`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Environment;
use super::link_map::{FoundVia, LinkMap};

/// A directory to search.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub path: PathBuf,
    pub via: FoundVia,
}

/// The directories that one object contributes to a search.
#[derive(Clone, Debug, Default)]
pub(super) struct SearchPaths {
    /// Its own path and those of its loaders, up to the program.
    pub inherited: Arc<[Folder]>,
    /// Its own `DT_RUNPATH`, which glibc does not inherit.
    pub own: Arc<[Folder]>,
}

/// The directories of `-L`.
pub(super) fn extra_folders(environment: &Environment) -> Vec<Folder> {
    let folders = environment.extra.iter();
    folders
        .map(|path| Folder {
            path: path.clone(),
            via: FoundVia::Extra,
        })
        .collect()
}

/// Splits a path at separators. An empty element has a meaning in glibc, but a completely
/// empty path does not; musl skips both.
pub(super) fn elements<'p>(
    path: &'p OsStr,
    separators: &'static [u8],
) -> impl Iterator<Item = &'p OsStr> {
    path.as_bytes()
        .split(move |byte| separators.contains(byte))
        .map(OsStr::from_bytes)
        .filter(|_| !path.is_empty())
}

/// `path` made absolute relative to `working_dir`, without trailing slashes.
pub(super) fn absolute(path: &OsStr, working_dir: &Path) -> PathBuf {
    let bytes = path.as_bytes();
    let kept = bytes
        .iter()
        .rposition(|&b| b != b'/')
        .map_or(1, |end| end + 1);
    working_dir.join(OsStr::from_bytes(&bytes[..kept.min(bytes.len())]))
}

/// What the object `by` and its loaders, up to the program, contribute with `own`. Each
/// object's chain is its own part plus the chain of its loader, which is computed once, so
/// the cost per library does not grow with the length of the chain.
pub(super) fn chain(map: &LinkMap, by: usize, own: impl Fn(usize) -> Vec<Folder>) -> Arc<[Folder]> {
    let mut line = vec![by];
    let mut inherited: Arc<[Folder]> = Arc::default();
    while let Some(loader) = line.last().and_then(|&last| map.objects()[last].requester) {
        if let Some(known) = map.objects()[loader].chain.get() {
            inherited = known.clone();
            break;
        }
        line.push(loader);
    }
    for &object in line.iter().rev() {
        let folders = own(object);
        if !folders.is_empty() {
            inherited = without_repeats(folders.into_iter().chain(inherited.iter().cloned()));
        }
        inherited = map.objects()[object]
            .chain
            .get_or_init(|| inherited)
            .clone();
    }
    inherited
}

/// Drops duplicate directories: searching one again cannot find anything new.
pub(super) fn without_repeats(folders: impl IntoIterator<Item = Folder>) -> Arc<[Folder]> {
    let mut seen = std::collections::HashSet::new();
    folders
        .into_iter()
        .filter(|folder| seen.insert(folder.path.as_os_str().to_owned()))
        .collect()
}
