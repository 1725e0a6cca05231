//! The name-service modules of glibc before 2.34; later releases have them built in.

use super::opened_by_libc;
use crate::loader::Objects;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const LOOKUPS: [&str; 10] = [
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_r",
    "getpwnam",
    "getpwnam_r",
    "getpwuid",
    "getpwuid_r",
    "getgrnam",
    "getgrgid",
    "initgroups",
];
/// The symbol version that marks releases with `files` and `dns` built in.
const BUILT_IN: &str = "GLIBC_2.34";
const MODULES: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];

pub(super) static RULE: NeedRule = NeedRule {
    name: "nss",
    mode: Mode::Automatic,
    what: "the name-service modules",
    sign: "an import of getaddrinfo, getpwnam and the like, with a glibc before 2.34",
    adds: "libnss_files.so.2 and libnss_dns.so.2",
    fires,
    supply,
    is_met: Some(|process| process.finds(0, MODULES[0])),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    let libc = process.loaded("libc.so.6")?;
    let object = &process.objects()[libc];
    let versions = process.view.versions(&object.walk, &object.object).ok()?;
    if versions.defines(&BUILT_IN.into()) {
        return None;
    }
    process.imports(&LOOKUPS)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let modules = MODULES.iter();
    modules
        .map(|name| opened_by_libc(supply, name, "libc6"))
        .collect()
}
