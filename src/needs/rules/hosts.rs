//! The name `localhost`, which neither C library resolves without a file.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Functions that resolve host names.
const RESOLVERS: [&str; 6] = [
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_r",
    "gethostbyname2",
    "gethostbyname2_r",
    "gethostbyaddr",
];
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost\n";
/// Without it, glibc uses only the first line for a name (`host.conf(5)`): `localhost` would not be
/// ::1.
const HOST_CONF: &str = "multi on\n";

pub(super) static RULE: NeedRule = NeedRule {
    name: "hosts",
    mode: Mode::Automatic,
    what: "the name localhost (/etc/hosts)",
    sign: "an import of getaddrinfo, gethostbyname and the like, or the string /etc/hosts in a static \
           program",
    adds: "/etc/hosts with localhost (engines mount their own over it), and with glibc /etc/host.conf",
    fires,
    supply,
    is_met: Some(|process| process.has("/etc/hosts")),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    process
        .imports(&RESOLVERS)
        .or_else(|| process.static_string(&["/etc/hosts"]))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let mut additions = vec![Addition::Made("/etc/hosts".into(), HOSTS.into())];
    if supply.process.is_glibc() {
        additions.push(Addition::Made("/etc/host.conf".into(), HOST_CONF.into()));
    }
    Ok(additions)
}
