//! Names of network services.

use std::collections::BTreeSet;

use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};

const FILE: &str = "/etc/services";

pub(super) static RULE: Rule = Rule {
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
    "getservbyname_r",
    "getservbyport",
    "getservbyport_r",
];
/// Largest file that is looked through, in bytes.
const MAX_FILE: u64 = 4 << 20;

fn fires(process: &Process<'_>) -> Option<Sign> {
    let mut sign = process.program_imports(&READERS)?;
    if process.arguments.is_empty() {
        return Some(sign);
    }
    // What an image is started with says whether it asks for a service by name.
    let file = process.view.read(FILE.as_ref(), MAX_FILE);
    let file = String::from_utf8_lossy(&file.unwrap_or_default()).into_owned();
    let names = file.lines().filter_map(|line| {
        let name = line.split_whitespace().next()?;
        (!name.starts_with('#')).then_some(name)
    });
    let words = process.arguments.iter().map(String::as_str);
    let words: BTreeSet<&str> = words.collect();
    let name = names.into_iter().find(|name| words.contains(name))?;
    sign.text = format!("{} and is told {name}", sign.text);
    Some(sign)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    match supply.source.walk(FILE.as_ref()) {
        Ok(_) => Ok(vec![Addition::File(FILE.into())]),
        Err(_) => Err("the source has no /etc/services (package netbase)".into()),
    }
}
