//! A directory for temporary files.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Functions that create files in `/tmp`.
const MAKERS: [&str; 12] = [
    "mkstemp",
    "mkstemp64",
    "mkostemp",
    "mkostemp64",
    "mkstemps",
    "mkstemps64",
    "mkdtemp",
    "mktemp",
    "tmpfile",
    "tmpfile64",
    "tmpnam",
    "tempnam",
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "tmp",
    mode: Mode::Automatic,
    what: "a directory for temporary files (/tmp)",
    sign: "an import of mkstemp, mkdtemp, tmpfile and the like; the string /tmp in the program",
    adds: "the directory /tmp, mode 1777",
    fires,
    supply,
    is_met: Some(|process| process.has("/tmp")),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    // A static program contains the strings of the C library.
    let string = || match process.is_static() {
        true => None,
        false => process.program_string(&["\0/tmp\0", "\0/tmp/"]),
    };
    process.imports(&MAKERS).or_else(string)
}

fn supply(_: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    Ok(vec![Addition::Folder("/tmp".into(), 0o1777)])
}
