//! SP001–SP004 and SP006: what the loader needs and cannot load.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::LintedProcess;
use crate::closure::{ClosureError, Missing};
use crate::elf::{Linkage, Object};
use crate::lint::catalogue::{SP001, SP002, SP003, SP004, SP006, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::ElfFile;
use crate::loader::{FoundVia, Objects, Outcome, Target, Tried};

/// Maximum number of paths tried in one search that are reported.
const MOST_TRIED: usize = 100;
/// Maximum number of other locations of a library that are reported.
const MOST_ELSEWHERE: usize = 10;
/// Maximum number of requesters of one library in one process that are reported.
const MOST_REQUESTERS: usize = 1000;

/// Libraries that the loader does not find.
pub(super) fn missing(process: &LintedProcess<'_>, context: Option<&Context<'_>>) -> Vec<Finding> {
    let missing = process.closure.missing.iter();
    missing
        .map(|missing| {
            let finding = one_missing(process, context, missing);
            let mut finding = process.finding_by(missing.requesters[0], finding);
            let requesters = missing.requesters.iter().take(MOST_REQUESTERS);
            finding.requesters = requesters.map(|&index| process.path(index)).collect();
            finding
        })
        .collect()
}

fn one_missing(
    process: &LintedProcess<'_>,
    context: Option<&Context<'_>>,
    missing: &Missing,
) -> Finding {
    let name = missing.name.display().to_string();
    let path = process.path(missing.requesters[0]);
    let tried = tried(process, &missing.tried);
    let program = &process.closure.program().object;
    let elsewhere = context.map_or_else(Vec::new, |context| {
        elsewhere(context, &missing.name, program)
    });
    if let Some(fatal) = missing.tried.fatal() {
        let file = (process.path_of)(&fatal.path);
        let mut message = format!("{} hides {name}: {}", file.display(), fatal.outcome);
        if let Some(good) = elsewhere.iter().find(|good| **good != file) {
            message.push_str(&format!(
                "; the usable one at {} is never reached",
                good.display()
            ));
        }
        return Finding::new(&SP004, &file, name, message)
            .evidence("file", file.display().to_string())
            .evidence("good", super::super::paths(&elsewhere))
            .evidence("tried", tried);
    }
    let is_other =
        |outcome: &Outcome| matches!(outcome, Outcome::OtherClass | Outcome::OtherMachine(_));
    let mut attempts = missing.tried.attempts.iter();
    let other = attempts.find(|attempt| is_other(&attempt.outcome));
    if let Some(other) = other {
        let file = (process.path_of)(&other.path);
        let is = machine_at(process, &other.path);
        let wanted = describe(program);
        let message = format!(
            "{name} exists only for {is} ({}), but {} is for {wanted}",
            file.display(),
            path.display(),
        );
        return Finding::new(&SP003, &path, name, message)
            .evidence("file", file.display().to_string())
            .evidence("is", is)
            .evidence("wanted", wanted)
            .evidence("tried", tried);
    }
    let finding = Finding::new(&SP001, &path, name.clone(), format!("{name} is missing"))
        .evidence("tried", tried);
    match elsewhere.first() {
        None => finding,
        Some(found) => {
            let folder = found.parent().unwrap_or(Path::new("/")).display();
            finding
                .fix(format!(
                    "It is at {}, where the loader does not look: link with \
                     -Wl,-rpath,{folder}, set LD_LIBRARY_PATH={folder}, or run ldconfig with {folder} \
                     in /etc/ld.so.conf.",
                    found.display()
                ))
                .evidence("elsewhere", super::super::paths(&elsewhere))
        }
    }
}

/// The paths that one search tried, as JSON.
fn tried(process: &LintedProcess<'_>, tried: &Tried) -> Value {
    let attempts = tried.attempts.iter().take(MOST_TRIED);
    let attempts = attempts.map(|attempt| {
        json!({
            "path": (process.path_of)(&attempt.path).display().to_string(),
            "result": attempt.outcome.to_string(),
        })
    });
    attempts.collect()
}

/// Libraries of this name in the target that the program could load.
fn elsewhere(context: &Context<'_>, name: &OsStr, program: &Object) -> Vec<PathBuf> {
    let target = Target::of(program);
    let files = context.libraries_called(name);
    files
        .filter(|file| target.matches(&file.object.header))
        .map(|file| context.source.shown(&file.path))
        .take(MOST_ELSEWHERE)
        .collect()
}

fn describe(object: &Object) -> String {
    format!("{} ({})", object.machine_name(), object.class_name())
}

fn machine_at(process: &LintedProcess<'_>, path: &Path) -> String {
    let facts = process
        .view
        .walk(path)
        .and_then(|walk| process.view.facts(&walk));
    match facts {
        Ok(Ok(object)) => describe(&object),
        _ => "another machine".to_owned(),
    }
}

/// Missing dependencies of a library that no known program loads. The process that loads it may
/// already have loaded them.
pub(super) fn missing_of_plugin(
    context: &Context<'_>,
    process: &LintedProcess<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for missing in &process.closure.missing {
        let program = &process.closure.program().object;
        let known = elsewhere(context, &missing.name, program);
        let name = missing.name.display().to_string();
        let path = process.path(0);
        let (severity, message) = match known.first() {
            Some(known) => (
                Severity::Info,
                format!(
                    "{name} is found only if the program that loads {} has already loaded {}",
                    path.display(),
                    known.display()
                ),
            ),
            None => (
                Severity::Warning,
                format!(
                    "{name} is missing for {}, which no program here needs",
                    path.display()
                ),
            ),
        };
        let finding = Finding::new(&SP001, &path, name, message)
            .severity(severity)
            .evidence("tried", tried(process, &missing.tried));
        let mut finding = process.finding_by(missing.requesters[0], finding);
        finding.programs.clear();
        findings.push(finding);
    }
    findings
}

/// A program whose libraries cannot be resolved.
pub(super) fn no_closure(context: &Context<'_>, file: &ElfFile, error: &ClosureError) -> Finding {
    let program = context.source.shown(&file.path);
    let finding = match error {
        ClosureError::NoInterpreter { path, errno, .. } => {
            let path = context.source.shown(path);
            let hops = super::files::hops(&context.source.view, &path);
            let message = format!(
                "the interpreter {} of {} is missing: {}",
                path.display(),
                program.display(),
                errno.message()
            );
            Finding::new(&SP002, &program, path.display().to_string(), message)
                .evidence("errno", errno.to_string())
                .evidence("hops", hops)
        }
        ClosureError::BadInterpreter { path, why } => {
            let path = context.source.shown(path);
            let is_other = context.source.view.walk(&path).ok().and_then(|walk| {
                let facts = context.source.view.facts(&walk).ok()?.ok()?;
                (!Target::of(&file.object).matches(&facts.header)).then(|| describe(&facts))
            });
            let message = format!(
                "the interpreter {} cannot start {}: {why}",
                path.display(),
                program.display()
            );
            let rule = if is_other.is_some() { &SP003 } else { &SP004 };
            Finding::new(rule, &program, path.display().to_string(), message)
                .evidence("is", is_other)
                .evidence("wanted", describe(&file.object))
        }
        other => {
            let message = format!("{} cannot be checked: {other}", program.display());
            Finding::new(&SP002, &program, program.display().to_string(), message)
                .severity(Severity::Info)
                .fix("Nothing, if the program uses a loader that slimpack does not support.")
        }
    };
    let mut finding = finding;
    finding.requesters = vec![program.clone()];
    finding.programs = vec![program.clone()];
    finding.chain = vec![program];
    finding
}

/// Libraries that a program with a missing loader lacks as well: no file in the target has their
/// name, so no loader could find them. Those of the C library come with the loader.
pub(super) fn missing_without_loader(context: &Context<'_>, file: &ElfFile) -> Vec<Finding> {
    if context.tree().is_none() {
        return Vec::new();
    }
    let program = context.source.shown(&file.path);
    let target = Target::of(&file.object);
    let (mut known, mut findings) = (HashSet::new(), Vec::new());
    let mut files = vec![file];
    while let Some(file) = files.pop() {
        for needed in file.object.dependencies() {
            let name = &needed.name;
            let is_path = name.as_bytes().contains(&b'/');
            if is_path || is_of_c_library(name) || !known.insert(name) {
                continue;
            }
            let mut found = context.libraries_called(name);
            match found.find(|found| target.matches(&found.object.header)) {
                Some(found) => files.push(found),
                None => {
                    let requester = context.source.shown(&file.path);
                    let name = name.display().to_string();
                    let message = format!("{name} is missing");
                    let mut finding = Finding::new(&SP001, &requester, name, message)
                        .evidence("tried", json!([]));
                    finding.requesters = vec![requester.clone()];
                    finding.programs = vec![program.clone()];
                    finding.chain = match requester == program {
                        true => vec![requester],
                        false => vec![program.clone(), requester],
                    };
                    findings.push(finding);
                }
            }
        }
    }
    findings
}

/// Whether a library is one of those that glibc or musl consist of.
fn is_of_c_library(name: &OsStr) -> bool {
    const PARTS: [&str; 13] = [
        "anl",
        "c",
        "crypt",
        "dl",
        "m",
        "mvec",
        "nsl",
        "nss_dns",
        "nss_files",
        "pthread",
        "resolv",
        "rt",
        "util",
    ];
    let name = name.to_string_lossy();
    let stem = name.split(".so").next().unwrap_or_default();
    let part = stem.strip_prefix("lib").unwrap_or_default();
    PARTS.contains(&part) || name.starts_with("ld") || name.starts_with("libc.musl-")
}

/// Objects that need another C library than the program's loader belongs to.
pub(super) fn mixed(process: &LintedProcess<'_>) -> Vec<Finding> {
    let Some(rules) = &process.closure.rules else {
        return Vec::new();
    };
    let libc = rules.libc();
    let objects = process.closure.map.objects();
    // gcompat lets musl run glibc programs.
    let has_gcompat = objects.iter().any(|object| {
        object
            .object
            .soname()
            .is_some_and(|soname| soname.as_bytes().starts_with(b"libgcompat."))
    });
    if has_gcompat {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let needed = object
            .object
            .dependencies()
            .iter()
            .map(|needed| &needed.name);
        for name in needed.filter(|name| belongs_to_other(libc, name.as_bytes())) {
            let path = process.path(index);
            let (interpreter, other) = match libc {
                "glibc" => ("glibc", "musl"),
                _ => ("musl", "glibc"),
            };
            let message = format!(
                "{} was built for {other} (it needs {}), but {} uses {interpreter}'s loader",
                path.display(),
                name.display(),
                process.path(0).display(),
            );
            let interpreter = process.closure.interpreter.as_ref();
            // musl resolves libc.so.6 to itself, and defines most of its symbols.
            let severity = match libc == "musl" && binds(process, index) {
                true => Severity::Warning,
                false => Severity::Error,
            };
            let finding = Finding::new(&SP006, &path, name.display().to_string(), message)
                .severity(severity)
                .evidence(
                    "interpreter",
                    interpreter.map(|path| path.display().to_string()),
                )
                .evidence("needed", name.display().to_string());
            findings.push(process.finding_by(index, finding));
        }
    }
    findings
}

/// Whether every symbol that an object binds at load is defined.
fn binds(process: &LintedProcess<'_>, index: usize) -> bool {
    let unresolved = process.binder.unresolved(process.closure);
    let mut unresolved = unresolved.into_iter().flatten();
    !unresolved.any(|fault| fault.needer == index && fault.fails_at_load)
}

fn belongs_to_other(libc: &str, name: &[u8]) -> bool {
    match libc {
        "glibc" => name == b"libc.so" || name.starts_with(b"libc.musl-"),
        _ => name == b"libc.so.6" || name.starts_with(b"ld-linux"),
    }
}

/// An interpreter without execute permission.
pub(super) fn interpreter_mode(process: &LintedProcess<'_>) -> Option<Finding> {
    let objects = process.closure.map.objects();
    let interpreter = objects
        .iter()
        .find(|object| object.via == FoundVia::Interpreter)?;
    let is_program = process.closure.program().object.linkage() == Linkage::Dynamic;
    if interpreter.walk.metadata.mode & 0o111 != 0 || !is_program {
        return None;
    }
    let (path, program) = ((process.path_of)(&interpreter.opened_as), process.path(0));
    let mode = format!("{:04o}", interpreter.walk.metadata.mode);
    let message = format!(
        "the interpreter {} of {} is not executable (mode {mode})",
        path.display(),
        program.display()
    );
    let finding = Finding::new(&SP002, &program, path.display().to_string(), message)
        .fix("Make it executable (chmod a+x).")
        .evidence("mode", mode);
    Some(process.finding_by(0, finding))
}
