//! Many targets in one run: lists of them, parts of lists, and several at a time.
//!
//! In: the targets that were typed. Out: those to check, and what the check of each gave, in their order.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use super::args::ManyArgs;
use super::error::CliError;
use super::progress::Progress;
use super::registry;
use crate::image::read::{LayerCache, Limits};
use crate::output::Scratch;

/// Maximum size of a list in bytes, and of one of its lines.
const MAX_LIST: u64 = 16 << 20;
const MAX_LINE: usize = 4096;
/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Number of lines that are named when they are invalid.
const MOST_LINES: usize = 5;
/// Least memory for what is kept of the layers of one target, in bytes.
const LEAST_KEPT: u64 = 32 << 20;

/// The targets to check: those of lists in place of `@FILE`, and only those of the shard.
pub(super) fn targets(typed: &[PathBuf], args: &ManyArgs) -> Result<Vec<PathBuf>, CliError> {
    let mut targets = Vec::new();
    for target in typed {
        match target.to_str().and_then(|text| text.strip_prefix('@')) {
            Some(list) => targets.extend(listed(Path::new(list))?),
            None => targets.push(target.clone()),
        }
    }
    let Some(shard) = args.shard else {
        return Ok(targets);
    };
    // Parts of the list as it is: neighbors, such as versions of one image, share layers, which one part
    // then fetches; hashes of names would scatter them.
    let start = |part: usize| (targets.len() as u128 * part as u128 / shard.count as u128) as usize;
    Ok(targets[start(shard.index)..start(shard.index + 1)].to_vec())
}

/// The targets in a file, one per line.
fn listed(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let fail = |what: String| {
        CliError::Usage(format!(
            "cannot use {} as a list of targets: {what}",
            path.display()
        ))
    };
    let mut bytes = Vec::new();
    let standard_input = Path::new("/dev/stdin");
    let path = if path == Path::new("-") {
        standard_input
    } else {
        path
    };
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let read = file.take(MAX_LIST + 1).read_to_end(&mut bytes);
    if read.map_err(|error| fail(error.to_string()))? as u64 > MAX_LIST {
        return Err(fail(format!("it has more than {MAX_LIST} bytes")));
    }
    let (mut targets, mut faults) = (Vec::new(), Vec::new());
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        match target(line) {
            Ok(target) => targets.extend(target),
            Err(what) => faults.push(format!("line {number} {what}")),
        }
    }
    if !faults.is_empty() {
        let more = faults.len().saturating_sub(MOST_LINES);
        faults.truncate(MOST_LINES);
        let more = match more {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        return Err(fail(format!("{}{more}", faults.join("; "))));
    }
    match targets.is_empty() {
        true => Err(fail("it names no target".to_owned())),
        false => Ok(targets),
    }
}

/// The target in a line; `None` if it is blank or a comment.
fn target(line: &[u8]) -> Result<Option<PathBuf>, String> {
    if line.len() > MAX_LINE {
        return Err(format!("has more than {MAX_LINE} bytes"));
    }
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let line = line.trim();
    match line.chars().next() {
        None | Some('#') => Ok(None),
        Some('@') => Err("names another list".to_owned()),
        Some(_) if line.chars().any(char::is_control) => Err("has a control character".to_owned()),
        Some(_) => Ok(Some(line.into())),
    }
}

/// So many jobs, and the limits of each, that all of them keep to the limits of one.
pub(super) fn shares(jobs: usize, limits: &Limits) -> (usize, [(&'static str, u64); 4]) {
    // With less memory, single files are too large.
    let jobs = (jobs as u64).min(limits.kept / LEAST_KEPT).max(1);
    let share = |name, limit: u64| (name, limit.div_ceil(jobs));
    let limits = [
        share("members", limits.members),
        share("document", limits.document),
        share("kept", limits.kept),
        share("window", limits.window),
    ];
    (jobs as usize, limits)
}

/// Layers that are read once, and the directory of those that are kept for this run only.
pub(super) struct Layers {
    pub cache: LayerCache,
    _folder: Option<Scratch>,
}

impl Layers {
    /// The cache of `--cache`; one for this run if several of the targets are in registries.
    pub fn open(targets: &[PathBuf], args: &ManyArgs) -> Result<Option<Self>, CliError> {
        let fail = |path: &Path, error| {
            CliError::Usage(format!("cannot use {} as a cache: {error}", path.display()))
        };
        if let Some(path) = &args.cache {
            let cache =
                LayerCache::open(path, args.cache_size).map_err(|error| fail(path, error))?;
            return Ok(Some(Self {
                cache,
                _folder: None,
            }));
        }
        let in_registries = targets.iter().filter(|path| registry::name(path).is_some());
        if in_registries.count() < 2 {
            return Ok(None);
        }
        crate::output::watch();
        let temporary = std::env::temp_dir();
        let folder = Scratch::new().map_err(|error| fail(&temporary, error))?;
        let cache = LayerCache::open(folder.path(), args.cache_size)
            .map_err(|error| fail(&temporary, error))?;
        Ok(Some(Self {
            cache,
            _folder: Some(folder),
        }))
    }
}

/// Does `work` for each target, up to `jobs` at a time; returns the results in the order of the targets.
pub(super) fn in_parallel<T: Send>(
    targets: &[PathBuf],
    jobs: usize,
    quiet: bool,
    work: impl Fn(&Path) -> T + Sync,
) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<(usize, T)>> = Mutex::default();
    let all = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = targets.get(number) else {
                return;
            };
            let result = work(target);
            done.fetch_add(1, Ordering::Relaxed);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((number, result));
        }
    };
    let what = format!("checking {} targets", targets.len());
    Progress::count(what, "done", &done, quiet, || {
        thread::scope(|scope| {
            // If the system gives no more threads, there are fewer jobs.
            for _ in 1..jobs {
                if Builder::new().spawn_scoped(scope, all).is_err() {
                    break;
                }
            }
            all();
        });
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
