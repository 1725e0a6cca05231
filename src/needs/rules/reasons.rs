//! The record of reasons as a file, which has room for more than a label.

use crate::image::RECORD_FILE;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

pub(super) static RULE: NeedRule = NeedRule {
    name: "reasons",
    mode: Mode::Request,
    what: "the reason of every file, for slimpack why",
    sign: "none; only on request",
    adds: "/usr/share/slimpack/reasons.json, with a reason for each path",
    fires: |_: &Process<'_>| -> Option<Sign> { None },
    supply,
    is_met: None,
};

/// The reasons are known only when the tree is complete; until then the file is empty.
fn supply(_: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    Ok(vec![Addition::Made(RECORD_FILE.into(), Vec::new())])
}
