//! A shell, `/bin/sh`.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const SHELL: &str = "/bin/sh";

pub(super) static RULE: NeedRule = NeedRule {
    name: "shell",
    mode: Mode::Automatic,
    what: "a shell (/bin/sh)",
    sign: "an import of system, popen or wordexp by the program; the string /bin/sh in a dynamic one",
    adds: "/bin/sh with what it loads",
    fires,
    supply,
    is_met: Some(|process| process.has(SHELL)),
};

/// A static program contains the strings of the C library, and every Rust program that can start
/// another contains `/bin/sh`.
fn fires(process: &Process<'_>) -> Option<Sign> {
    let string = || match process.is_static() {
        true => None,
        false => process.program_string(&["/bin/sh\0"]),
    };
    process
        .program_imports(&["system", "popen", "wordexp"])
        .or_else(string)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    match supply.source.walk(SHELL.as_ref()) {
        Ok(_) => Ok(vec![Addition::Program(SHELL.into())]),
        Err(_) => Err("the source has no /bin/sh (package dash, bash or busybox)".into()),
    }
}
