//! Names of network services.

use std::collections::BTreeSet;

use super::runs_scripts;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const FILE: &str = "/etc/services";

pub(super) static RULE: NeedRule = NeedRule {
    name: "services",
    mode: Mode::Hint,
    what: "/etc/services",
    sign: "an import of getservbyname or getservbyport by the program",
    adds: "/etc/services",
    fires,
    supply,
    is_met: Some(|process| process.has(FILE)),
};

/// Functions that read the file.
const READERS: [&str; 4] = [
    "getservbyname",
    "getservbyport",
    "getservbyname_r",
    "getservbyport_r",
];
/// Largest `/etc/services` that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

fn fires(process: &Process<'_>) -> Option<Sign> {
    // In a static program, getaddrinfo pulls in the other two.
    let readers = match process.is_static() {
        true => &READERS[..2],
        false => &READERS[..],
    };
    let mut sign = process.program_imports(readers)?;
    if runs_scripts(process) {
        return None;
    }
    if process.arguments.is_empty() {
        return Some(sign);
    }
    // The arguments of the image show whether it looks up a service by name.
    let Ok(file) = process.view.read(FILE.as_ref(), MAX_FILE) else {
        return Some(sign);
    };
    let words = process.arguments.iter();
    let words = words.flat_map(|word| word.split([':', ',', '=']));
    let words: BTreeSet<&str> = words.collect();
    let file = String::from_utf8_lossy(&file);
    let name = file.lines().find_map(|line| {
        // The name, the port, and other names.
        let code = line.split('#').next()?;
        let mut names = code.split_whitespace();
        names.find(|name| words.contains(name))
    })?;
    sign.text = format!("{} and is passed {name}", sign.text);
    Some(sign)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    match supply.source.walk(FILE.as_ref()) {
        Ok(_) => Ok(vec![Addition::File(FILE.into())]),
        Err(_) => Err("the source has no /etc/services (package netbase)".into()),
    }
}
