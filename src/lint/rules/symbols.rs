//! SP005, SP015 and SP016: symbol versions and symbols.

use super::LintedProcess;
use crate::binding::BindingError;
use crate::elf::Linkage;
use crate::lint::catalogue::{SP004, SP005, SP015, SP016, Severity};
use crate::lint::finding::Finding;

/// Symbol versions that the library they are bound to does not define.
pub(super) fn versions(process: &LintedProcess<'_>) -> Vec<Finding> {
    let missing = match process.binder.missing_versions(process.closure) {
        Ok(missing) => missing,
        Err(error) => return vec![damaged(process, &error)],
    };
    let fatal = missing.iter().filter(|fault| !fault.is_weak);
    fatal
        .map(|fault| {
            let (needer, provider) = (process.path(fault.needer), process.path(fault.provider));
            let version = fault.version.display().to_string();
            let newest = fault
                .newest
                .as_ref()
                .map(|newest| newest.display().to_string());
            let has = match &newest {
                Some(newest) => format!("its newest is {newest}"),
                None => "it has no version of that name".to_owned(),
            };
            let message = format!("{} does not define {version}; {has}", provider.display());
            let subject = format!("{version} of {}", provider.display());
            let finding = Finding::new(&SP005, &needer, subject, message)
                .evidence("needer", needer.display().to_string())
                .evidence("provider", provider.display().to_string())
                .evidence("version", version)
                .evidence("newest", newest);
            process.finding_by(fault.needer, finding)
        })
        .collect()
}

/// Symbols that no object defines: one finding per object that refers to them.
pub(super) fn undefined(process: &LintedProcess<'_>) -> Vec<Finding> {
    /// Maximum number of symbols in the message, and in the evidence.
    const NAMED: usize = 3;
    const LISTED: usize = 200;
    // A library may leave symbols for the program that loads it to define.
    if process.closure.program().object.linkage() == Linkage::Library {
        return Vec::new();
    }
    let unresolved = match process.binder.unresolved(process.closure) {
        Ok(unresolved) => unresolved,
        Err(error) => return vec![damaged(process, &error)],
    };
    let mut findings = Vec::new();
    for faults in unresolved.chunk_by(|left, right| left.needer == right.needer) {
        for (severity, when) in [
            (Severity::Error, "at load"),
            (Severity::Warning, "when called"),
        ] {
            let symbols: Vec<String> = faults
                .iter()
                .filter(|fault| fault.fails_at_load == (severity == Severity::Error))
                .map(|fault| fault.reference.display())
                .collect();
            if symbols.is_empty() {
                continue;
            }
            let needer = faults[0].needer;
            let path = process.path(needer);
            let named = symbols
                .iter()
                .take(NAMED)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let more = match symbols.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!(
                "no library of {} defines {named}{more}, which {} binds {when}",
                process.path(0).display(),
                path.display()
            );
            let listed: Vec<_> = symbols.iter().take(LISTED).cloned().collect();
            let finding = Finding::new(&SP015, &path, symbols[0].clone(), message)
                .severity(severity)
                .evidence("symbols", listed)
                .evidence("count", symbols.len());
            findings.push(process.finding_by(needer, finding));
        }
    }
    findings
}

/// Libraries that are needed but unused.
pub(super) fn unused(process: &LintedProcess<'_>) -> Vec<Finding> {
    if process.closure.rules.is_none() || !process.closure.is_complete() {
        return Vec::new();
    }
    let Ok(unused) = process.binder.unused(process.closure) else {
        return Vec::new();
    };
    let unused = unused.iter().map(|unused| {
        let (path, name) = (
            process.path(unused.needer),
            unused.name.display().to_string(),
        );
        let message = format!("{} needs {name} but uses nothing from it", path.display());
        process.finding_by(unused.needer, Finding::new(&SP016, &path, name, message))
    });
    unused.collect()
}

/// An object with damaged symbol tables, which the loader would trust.
fn damaged(process: &LintedProcess<'_>, error: &BindingError) -> Finding {
    let path = (process.path_of)(&error.path);
    let subject = path
        .file_name()
        .map_or_else(String::new, |name| name.display().to_string());
    let message = format!("{} is damaged: {}", path.display(), error.error);
    process.finding_by(0, Finding::new(&SP004, &path, subject, message))
}
