//! Signals during compression, which does not return before its block is done.
//!
//! In: temporary paths. Out: the process ends within a second of the first signal and at once at the
//! second, and the paths are removed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;

use super::claim::{self, HeldDirectory};
use super::{Interrupts, SIGNALS};

/// What to remove if a signal ends the process before its owners can, and how many watch it: a name is used
/// again while the last owner of it still lets go.
static PATHS: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());
/// How long owners have to clean up.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often to check whether a second signal has arrived.
const GLANCE: Duration = Duration::from_millis(20);

/// A temporary path that is removed when a signal ends the process.
#[derive(Debug)]
pub struct Watched(PathBuf);

impl Watched {
    /// Watches `path` until it is dropped.
    pub fn new(path: &Path) -> Self {
        let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
        *paths.entry(path.to_owned()).or_default() += 1;
        Self(path.to_owned())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = paths.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                paths.remove(&self.0);
            }
        }
    }
}

/// A temporary directory that is removed when it is dropped, or when a signal ends the process.
#[derive(Debug)]
pub struct Scratch {
    /// Its inside, which whoever writes there may lock as well: an OCI layout does.
    content: PathBuf,
    _directory: HeldDirectory,
    /// Dropped after the directory that it watches.
    _watched: Watched,
}

impl Scratch {
    /// Creates one in the directory for temporary files.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> io::Result<Self> {
        let directory = claim::directory(&std::env::temp_dir(), OsStr::new("scratch"))?;
        let content = directory.path().join("content");
        let watched = Watched::new(directory.path());
        fs::create_dir(&content)?;
        Ok(Self {
            content,
            _watched: watched,
            _directory: directory,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.content
    }
}

/// From now on signals end the process, even during compression. A thread waits for them; if the
/// system allows no thread, they are noticed between two writes.
pub fn watch() {
    static WATCHER: Once = Once::new();
    WATCHER.call_once(|| {
        let Ok(mut signals) = Signals::new(SIGNALS) else {
            return;
        };
        // The thread decides when a signal terminates the process.
        let interrupts = Interrupts::hold();
        let wait = move || {
            let _interrupts = interrupts;
            let Some(signal) = signals.forever().next() else {
                return;
            };
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until && signals.pending().next().is_none() {
                std::thread::sleep(GLANCE);
            }
            // Held until the end, so that no path is added that would be left.
            let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
            for path in std::mem::take(&mut *paths).into_keys() {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        };
        // Without a thread, only the writers check.
        let _ = std::thread::Builder::new().spawn(wait);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_watched_until_its_last_owner_lets_go() {
        let path = Path::new("/nowhere/watched");
        let is_watched = || PATHS.lock().unwrap().contains_key(path);
        let (first, second) = (Watched::new(path), Watched::new(path));
        drop(first);
        assert!(is_watched());
        drop(second);
        assert!(!is_watched());
    }
}
