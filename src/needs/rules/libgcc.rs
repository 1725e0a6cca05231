//! `libgcc_s.so.1`, which glibc loads to cancel or exit a thread, and for `backtrace(3)`.

use super::opened_by_libc;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const LIBRARY: &str = "libgcc_s.so.1";

pub(super) static RULE: NeedRule = NeedRule {
    name: "libgcc_s",
    mode: Mode::Automatic,
    what: "libgcc_s.so.1",
    sign: "an import of pthread_cancel, pthread_exit or backtrace by a dynamic glibc program",
    adds: "libgcc_s.so.1, without which the process aborts",
    fires,
    supply,
    is_met: Some(|process| process.finds(0, LIBRARY)),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_glibc() || process.loaded("libgcc_s.so").is_some() {
        return None;
    }
    process.program_imports(&["pthread_cancel", "pthread_exit", "backtrace"])
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    Ok(vec![opened_by_libc(supply, LIBRARY, "libgcc-s1")?])
}
