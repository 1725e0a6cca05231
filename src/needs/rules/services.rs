//! Names of network services.

use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};

const FILE: &str = "/etc/services";

pub(super) static RULE: Rule = Rule {
    name: "services",
    mode: Mode::Hint,
    what: "/etc/services",
    sign: "an import of getservbyname or getservbyport by the program",
    adds: "/etc/services",
    fires: |process: &Process<'_>| -> Option<Sign> {
        process.program_imports(&[
            "getservbyname",
            "getservbyname_r",
            "getservbyport",
            "getservbyport_r",
        ])
    },
    supply,
    is_met: Some(|process| process.has(FILE)),
};

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    match supply.source.walk(FILE.as_ref()) {
        Ok(_) => Ok(vec![Addition::File(FILE.into())]),
        Err(_) => Err("the source has no /etc/services (package netbase)".into()),
    }
}
