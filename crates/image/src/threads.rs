//! Whether threads can be started: `RLIMIT_NPROC`, `pids.max` and a small address space can prevent
//! it, and libraries panic then.
//!
//! In: how many are wanted. Out: whether the system allows them.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::Builder;

/// Whether the system lets this process start this many more threads.
pub fn can_start(threads: usize) -> bool {
    let (hold, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let started: Vec<_> = (0..threads)
        .map_while(|_| {
            let held = held.clone();
            let wait = move || drop(held.lock().map(|held| held.recv()));
            Builder::new().spawn(wait).ok()
        })
        .collect();
    // The threads end once `hold` is dropped.
    drop(hold);
    let count = started.len();
    for thread in started {
        let _ = thread.join();
    }
    count == threads
}
