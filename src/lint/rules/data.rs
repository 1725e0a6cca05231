//! SP401: data that a program probably reads, by the rules of [`crate::needs`].

use std::path::Path;

use super::Process;
use crate::elf::Linkage;
use crate::lint::catalogue::SP401;
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::needs;

/// Data whose signs a process shows and that its root does not have.
pub(super) fn absent(context: &Context<'_>, process: &Process<'_>) -> Vec<Finding> {
    // What files of a machine need is there or not, whatever they say.
    if context.tree().is_none() || process.closure.program().object.linkage() == Linkage::Library {
        return Vec::new();
    }
    let asked = needs::Process {
        view: process.view,
        closure: process.closure,
        environment: process.environment,
        env: &context.start.env,
        user: "",
        arguments: &[],
        script: None,
        is_packed: true,
        // One image has the same findings however it is packed.
        looks_into_static: false,
    };
    let mut findings = Vec::new();
    for rule in needs::RULES {
        if rule.is_met.is_none_or(|is_met| is_met(&asked)) {
            continue;
        }
        if let Some(sign) = (rule.fires)(&asked) {
            let path = process.path(sign.object);
            let message = format!(
                "{} {} and may want {}, which is not there",
                path.display(),
                sign.text,
                rule.what
            );
            let finding = Finding::new(&SP401, Path::new("/"), rule.name, message)
                .evidence("need", rule.name)
                .evidence("sign", sign.text);
            findings.push(process.finding_by(sign.object, finding));
        }
    }
    findings.extend(name_services(process, &asked));
    findings
}

/// Functions that look up what `/etc/nsswitch.conf` speaks of.
const LOOKUPS: [(&str, &[&str]); 3] = [
    (
        "passwd",
        &["getpwnam", "getpwnam_r", "getpwuid", "getpwuid_r"],
    ),
    (
        "group",
        &["getgrnam", "getgrnam_r", "getgrgid", "getgrgid_r"],
    ),
    (
        "hosts",
        &["getaddrinfo", "gethostbyname", "gethostbyname_r"],
    ),
];

/// Modules that `/etc/nsswitch.conf` names for users, groups and hosts: glibc passes over one
/// that is missing, and finds nobody if it was the only one.
fn name_services(process: &Process<'_>, asked: &needs::Process<'_>) -> Vec<Finding> {
    /// Largest file that is read, in bytes.
    const MAX_FILE: u64 = 1 << 20;
    let file = Path::new("/etc/nsswitch.conf");
    let text = process.view.read(file, MAX_FILE).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut findings = Vec::new();
    for line in text.lines().filter(|_| asked.is_glibc()) {
        let code = line.split('#').next().unwrap_or_default();
        let Some((database, services)) = code.split_once(':') else {
            continue;
        };
        let mut lookups = LOOKUPS.iter().filter(|(name, _)| *name == database.trim());
        let Some(sign) = lookups.find_map(|(_, symbols)| asked.imports(symbols)) else {
            continue;
        };
        let services = services.split_whitespace().filter(|service| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            // Built in since glibc 2.34.
            service.bytes().all(is_plain) && !matches!(*service, "files" | "dns")
        });
        for service in services {
            let module = format!("libnss_{service}.so.2");
            if asked.finds(0, &module) {
                continue;
            }
            let path = process.path(sign.object);
            let message = format!(
                "{} {} and {} sends it to {service}, whose {module} is not there",
                path.display(),
                sign.text,
                file.display()
            );
            let finding = Finding::new(&SP401, file, module, message)
                .evidence("need", "nss")
                .evidence("sign", sign.text.clone());
            findings.push(process.finding_by(sign.object, finding));
        }
    }
    findings
}
