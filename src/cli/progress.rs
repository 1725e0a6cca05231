//! A progress spinner for long operations, on a terminal only.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Operations shorter than this show no progress.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// Shows what is being done, until dropped.
pub(super) struct Progress {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows `what` once it takes longer than [`PATIENCE`]; nothing if `quiet`.
    pub fn start(what: String, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { running: None };
        }
        let (end, ended) = channel::<()>();
        let work = move || {
            if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_message(what);
            spinner.enable_steady_tick(TICK);
            let _ = ended.recv();
            spinner.finish_and_clear();
        };
        let thread = std::thread::Builder::new().spawn(work).ok();
        Self {
            running: thread.map(|thread| (end, thread)),
        }
    }
}

impl Progress {
    /// Does `work`, and shows `what` with a count and the time while that takes longer than
    /// [`PATIENCE`].
    pub fn count<T>(
        what: String,
        unit: &str,
        number: &AtomicUsize,
        quiet: bool,
        work: impl FnOnce() -> T,
    ) -> T {
        if quiet || !io::stderr().is_terminal() {
            return work();
        }
        let (end, ended) = channel::<()>();
        let show = move || {
            if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_elapsed(PATIENCE);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let number = number.load(Ordering::Relaxed);
                spinner.set_message(format!("{what}: {number} {unit}"));
                spinner.tick();
            }
            spinner.finish_and_clear();
        };
        std::thread::scope(|scope| {
            let _ = std::thread::Builder::new().spawn_scoped(scope, show);
            let done = work();
            drop(end);
            done
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.running.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
