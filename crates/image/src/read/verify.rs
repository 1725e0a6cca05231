//! Digests of layers in a file, computed in the background.
//!
//! In: parts of files and their expected digests. Out: faults. All cores but one hash while the
//! tree is examined; the caller that waits for the result helps with what is left.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::error::Fault;
use crate::digest::Blob;
use slimpack_vfs::bytes::{ReadAt, Slice};

/// If there is less than this in total, in bytes, the caller hashes it without threads.
const THREADS_FROM: u64 = 1 << 20;

/// One blob to hash.
#[derive(Clone)]
pub(super) struct Task {
    pub blob: Slice,
    /// The declared digests: the subject, the kind of digest, and its value.
    pub expected: Vec<(String, &'static str, String)>,
}

impl Task {
    fn check(&self) -> io::Result<Vec<Fault>> {
        let found = Blob::of_file(&self.blob)?.digest();
        Ok(faults(&self.expected, &found))
    }
}

/// The expected digests that `found` does not match.
pub(super) fn faults(expected: &[(String, &'static str, String)], found: &str) -> Vec<Fault> {
    let broken = expected.iter().filter(|(_, _, digest)| digest != found);
    broken
        .map(|(subject, what, digest)| Fault {
            subject: subject.clone(),
            what,
            expected: digest.clone(),
            found: found.to_owned(),
        })
        .collect()
}

/// Hashing in progress.
pub struct Verification {
    tasks: Arc<Tasks>,
    threads: Vec<JoinHandle<io::Result<Vec<Fault>>>>,
    found: Vec<Fault>,
}

struct Tasks {
    tasks: Vec<Task>,
    next: AtomicUsize,
}

impl Tasks {
    fn work(&self) -> io::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        while let Some(task) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            faults.extend(task.check()?);
        }
        Ok(faults)
    }
}

impl Verification {
    /// Starts hashing; `found` are the faults already known.
    pub(super) fn start(tasks: Vec<Task>, found: Vec<Fault>) -> Self {
        let bytes: u64 = tasks.iter().map(|task| task.blob.size()).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = match bytes {
            0..THREADS_FROM => 0,
            _ => tasks.len().min((cores - 1).max(1)),
        };
        let tasks = Arc::new(Tasks {
            tasks,
            next: AtomicUsize::new(0),
        });
        // If the system gives no more threads, whoever waits for the digests computes them.
        let threads = (0..count).map_while(|_| {
            let tasks = tasks.clone();
            let work = move || tasks.work();
            std::thread::Builder::new().spawn(work).ok()
        });
        Self {
            threads: threads.collect(),
            tasks,
            found,
        }
    }

    /// Waits for the digests; returns all mismatches.
    ///
    /// # Errors
    /// When a blob cannot be read.
    pub fn finish(self) -> io::Result<Vec<Fault>> {
        let mut faults = self.found;
        faults.extend(self.tasks.work()?);
        for thread in self.threads {
            let died = |_| io::Error::other("the hashing thread failed");
            faults.extend(thread.join().map_err(died)??);
        }
        faults.sort();
        faults.dedup();
        Ok(faults)
    }
}
