//! Terminal descriptions (terminfo).

use crate::needs::process::first_path;
use crate::needs::strings::TERMINFO;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const READERS: [&str; 6] = [
    "setupterm",
    "tgetent",
    "initscr",
    "newterm",
    "newterm_sp",
    "_nc_setupterm",
];
/// The terminals in common use, each below its first letter (`term(5)`).
const ENTRIES: [&str; 10] = [
    "x/xterm",
    "x/xterm-256color",
    "l/linux",
    "s/screen",
    "s/screen-256color",
    "t/tmux",
    "t/tmux-256color",
    "v/vt100",
    "v/vt220",
    "d/dumb",
];
/// Where distributions install them.
const FOLDERS: [&str; 4] = [
    "/lib/terminfo",
    "/usr/share/terminfo",
    "/etc/terminfo",
    "/usr/lib/terminfo",
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "terminfo",
    mode: Mode::Automatic,
    what: "terminal descriptions (terminfo)",
    sign: "an import of setupterm, tgetent or initscr; as a hint, the string /usr/share/terminfo in a \
           program that reads the entries by itself",
    adds: "the entries for xterm, linux, screen, tmux, vt100 and dumb",
    fires,
    supply,
    is_met: Some(|process| first_path(process.view, &FOLDERS).is_some()),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    // As Rust's crates `term` and `terminfo` do.
    let by_path = || {
        let mut sign = process.program_string(&[TERMINFO])?;
        sign.is_weak = true;
        Some(sign)
    };
    process.imports(&READERS).or_else(by_path)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let mut additions = Vec::new();
    for entry in ENTRIES {
        let paths = FOLDERS.map(|folder| format!("{folder}/{entry}"));
        let found = paths
            .into_iter()
            .find(|path| supply.source.walk(path.as_ref()).is_ok());
        additions.extend(found.map(|path| Addition::File(path.into())));
    }
    match additions.is_empty() {
        true => Err("the source has no terminfo entries (package ncurses-base)".into()),
        false => Ok(additions),
    }
}
