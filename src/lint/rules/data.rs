//! SP401: data that a program probably reads, by the rules of [`crate::needs`].

use std::path::Path;
use std::sync::Arc;

use super::LintedProcess;
use crate::elf::Linkage;
use crate::lint::catalogue::SP401;
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::needs;

/// Data that the process shows signs of reading and that is missing from its root.
pub(super) fn absent(context: &Context<'_>, process: &LintedProcess<'_>) -> Vec<Finding> {
    // Only a whole root can lack data; a library does not read any on its own.
    if context.tree().is_none() || process.closure.program().object.linkage() == Linkage::Library {
        return Vec::new();
    }
    let runtime = context.runtime.as_ref();
    let path = &process.closure.program().opened_as;
    if runtime.is_some_and(|runtime| !runtime.starts(context, path)) {
        return Vec::new();
    }
    let is_started = context.is_started(path);
    let arguments = context.start.words.get(1..).filter(|_| is_started);
    let asked = needs::Process {
        view: process.view,
        closure: process.closure,
        environment: process.environment,
        env: &context.start.env,
        user: "",
        arguments: arguments.unwrap_or_default(),
        script: None,
        is_packed: true,
        is_image: false,
        wants_hints: runtime.is_some(),
        // Findings must not depend on how the layers are compressed.
        has_contents: runtime.is_some(),
        brought: Arc::default(),
        memo: needs::RuleMemo::default(),
    };
    let mut findings = Vec::new();
    for rule in needs::RULES {
        let Some((sign, why)) = lacks(rule, &asked) else {
            continue;
        };
        let path = process.path(sign.object);
        let message = format!(
            "{} {} and may need {}{}",
            path.display(),
            sign.text,
            rule.what,
            match why {
                None => ", which is missing".to_owned(),
                Some(why) => format!(": {why}"),
            }
        );
        let finding = Finding::new(&SP401, Path::new("/"), rule.name, message)
            .evidence("need", rule.name)
            .evidence("sign", sign.text);
        findings.push(process.finding_by(sign.object, finding));
    }
    if runtime.is_some() {
        findings.extend(paths(process, &asked));
        findings.extend(libraries(process, &asked));
    }
    findings.extend(name_services(process, &asked));
    findings
}

/// The sign of a need that the image does not meet, and what exactly is missing if only the
/// contents of files show that.
fn lacks(
    rule: &needs::NeedRule,
    asked: &needs::Process<'_>,
) -> Option<(needs::Sign, Option<String>)> {
    match rule.is_met {
        Some(is_met) if !is_met(asked) => Some(((rule.fires)(asked)?, None)),
        _ if asked.has_contents && rule.mode != needs::Mode::Request => {
            let sign = (rule.fires)(asked)?;
            let supply = needs::Supply {
                source: asked.view,
                process: asked,
                arguments: &sign.arguments,
                is_image: true,
            };
            let why = (rule.supply)(&supply).err()?;
            Some((sign, Some(why.to_string())))
        }
        _ => None,
    }
}

/// Paths in package directories that the program, or a library it names, contains as strings and
/// that do not exist.
fn paths(process: &LintedProcess<'_>, asked: &needs::Process<'_>) -> Option<Finding> {
    let absent = needs::absent_paths(asked);
    let (first, _) = absent.first()?;
    let told = absent.iter().map(|(_, path)| path.as_path());
    let message = format!(
        "{} contains paths that do not exist: {}",
        process.path(*first).display(),
        needs::told_paths(told, MAX_TOLD)?
    );
    let finding = Finding::new(&SP401, Path::new("/"), "paths", message).evidence("need", "paths");
    Some(process.finding_by(*first, finding))
}

/// Libraries that the program, or a library it names, loads by name and that no search finds.
fn libraries(process: &LintedProcess<'_>, asked: &needs::Process<'_>) -> Vec<Finding> {
    let absent = needs::absent_libraries(asked).into_iter();
    let finding = |(by, name): (usize, String)| {
        let message = format!(
            "{} loads libraries by name and contains {name}, which is missing",
            process.path(by).display()
        );
        let finding = Finding::new(&SP401, Path::new("/"), name, message)
            .evidence("need", "libraries")
            .evidence("sign", "contains the name");
        process.finding_by(by, finding)
    };
    absent.map(finding).collect()
}

/// Maximum number of paths that one finding lists.
const MAX_TOLD: usize = 5;

/// The functions that use each database of `/etc/nsswitch.conf`.
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

/// Missing modules that `/etc/nsswitch.conf` names for users, groups and hosts. glibc skips a
/// missing module, and every lookup fails if it was the only one.
fn name_services(process: &LintedProcess<'_>, asked: &needs::Process<'_>) -> Vec<Finding> {
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
                "{} {}, and {} uses the service {service}, whose {module} is missing",
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
