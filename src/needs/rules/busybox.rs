//! busybox: a shell and the usual commands in one static program, for debugging.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Where distributions install a static busybox.
const PLACES: [&str; 4] = [
    "/bin/busybox",
    "/usr/bin/busybox",
    "/sbin/busybox",
    "/bin/busybox.static",
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "busybox",
    mode: Mode::Request,
    what: "a shell for debugging",
    sign: "none; only on request",
    adds: "/bin/busybox and a link for each of its commands",
    fires: |_: &Process<'_>| -> Option<Sign> { None },
    supply,
    is_met: None,
};

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let found = PLACES
        .iter()
        .find(|path| supply.source.walk(path.as_ref()).is_ok());
    match found {
        Some(path) => Ok(vec![Addition::Busybox(path.into())]),
        None => Err(
            "the source has no busybox (package busybox-static), and there is no --busybox".into(),
        ),
    }
}
