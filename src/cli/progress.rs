//! Progress of long operations: a bar of bytes, on a terminal only.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::LocalModes;

use super::location::ImageLocation;
use crate::bytes::bytes_read;

/// Operations shorter than this show no progress.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// Shows the current operation until dropped.
pub(super) struct Progress {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows `what` once it takes longer than [`PATIENCE`], with the bytes that have been read of
    /// `total`, or of an unknown number; nothing if `quiet`.
    pub fn start(what: String, total: Option<u64>, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { running: None };
        }
        let before = bytes_read();
        let (end, ended) = channel::<()>();
        let is_over =
            |ended: &Receiver<()>, wait| ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        let work = move || {
            if is_over(&ended, PATIENCE) {
                return;
            }
            let bar = bar(total).with_message(what);
            loop {
                let bytes = bytes_read().saturating_sub(before);
                // Some files are read twice: the first time for their facts.
                bar.set_position(total.map_or(bytes, |total| bytes.min(total)));
                bar.tick();
                if is_over(&ended, TICK) {
                    break;
                }
            }
            bar.finish_and_clear();
        };
        let thread = std::thread::Builder::new().spawn(work).ok();
        Self {
            running: thread.map(|thread| (end, thread)),
        }
    }

    /// The same, for an operation that reads the file at `path`.
    pub fn reading(path: &Path, what: &str, quiet: bool) -> Self {
        let found = fs::metadata(ImageLocation::of(path).path)
            .ok()
            .filter(fs::Metadata::is_file);
        let what = format!("{what} {}", path.display());
        Self::start(what, found.map(|found| found.len()), quiet)
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{wide_msg} {bar:20} {decimal_bytes}/{decimal_total_bytes}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {wide_msg} {decimal_bytes}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Whether a program has taken the terminal over, and reads single keys: nothing is drawn over it.
pub(super) fn is_full_screen() -> bool {
    let modes = rustix::termios::tcgetattr(io::stderr());
    modes.is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
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
                if is_full_screen() {
                    continue;
                }
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
