//! SP501–SP509: what the policy of a team requires, besides that everything starts.
//!
//! In: the tables `[lint.libraries]` and `[lint.image]`. Out: a finding for each requirement that
//! is not fulfilled.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::Path;

use bytesize::ByteSize;

use super::LintedProcess;
use crate::binding::{GlibcRelease, glibc_needs};
use crate::elf::Linkage;
use crate::exec::is_shell;
use crate::image::read::Tree;
use crate::lint::catalogue::{Rule, SP501, SP502, SP503, SP504, SP505, SP506, SP507, SP508, SP509};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::gate::{Demands, Gate, ImageLimits, matches};
use crate::lint::survey::ElfFile;
use crate::loader::{FoundVia, Objects};
use crate::vfs::NodeKind;

/// Maximum number of symbols that are reported for one object.
const MOST_SYMBOLS: usize = 20;

/// A library that a program loads, or fails to find.
struct Library {
    /// The name to report: the soname, or the name that is needed.
    name: String,
    /// Every name that a pattern may have: soname, file names, paths.
    names: Vec<String>,
    /// Index of the object that needs it.
    requester: usize,
    /// Whether it is the program's interpreter, which no program chooses freely.
    is_interpreter: bool,
}

impl Library {
    fn is_one_of(&self, patterns: &[String]) -> bool {
        let mut names = self.names.iter();
        names.any(|name| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| fast_glob::glob_match(pattern, name))
        })
    }
}

/// What a process, or a library on its own, loads that it may not, and does not load.
pub(super) fn libraries(gate: &Gate, process: &LintedProcess<'_>) -> Vec<Finding> {
    let program = process.path(0);
    let demands = demands_on(gate, &program);
    if demands.is_empty() {
        return Vec::new();
    }
    let loaded = loaded(process);
    let is_program = process.closure.program().object.linkage() != Linkage::Library;
    verdicts(&demands, &program, &loaded, is_program)
        .into_iter()
        .map(|(requester, finding)| process.finding_by(requester, finding))
        .collect()
}

/// The same for a program whose loader is missing: only what it needs itself is known.
pub(super) fn needed_libraries(context: &Context<'_>, gate: &Gate, file: &ElfFile) -> Vec<Finding> {
    let program = context.source.shown(&file.path);
    let demands = demands_on(gate, &program);
    let needed = file.object.dependencies().iter().map(|needed| Library {
        name: needed.name.display().to_string(),
        names: vec![needed.name.display().to_string()],
        requester: 0,
        is_interpreter: false,
    });
    let mut findings = Vec::new();
    for (_, mut finding) in verdicts(&demands, &program, &needed.collect::<Vec<_>>(), true) {
        finding.requesters = vec![program.clone()];
        finding.programs = vec![program.clone()];
        finding.chain = vec![program.clone()];
        findings.push(finding);
    }
    findings
}

fn demands_on<'g>(gate: &'g Gate, program: &Path) -> Vec<&'g Demands> {
    let demands = gate.demands.iter();
    demands.filter(|one| one.hold_for(program)).collect()
}

/// All libraries of a process: those that it loads, and those that it needs and are missing.
fn loaded(process: &LintedProcess<'_>) -> Vec<Library> {
    let file_name = |path: &Path| Some(path.file_name()?.display().to_string());
    let objects = process.closure.map.objects().iter().enumerate().skip(1);
    let found = objects.map(|(index, object)| {
        let soname = object.object.soname();
        let soname = soname.map(|name| name.display().to_string());
        let path = process.path(index);
        let files = [&path, &object.walk.real].map(|path| file_name(path));
        let names = [soname.clone(), Some(path.display().to_string())];
        Library {
            name: soname.or_else(|| file_name(&path)).unwrap_or_default(),
            names: names.into_iter().chain(files).flatten().collect(),
            requester: object.requester.unwrap_or(0),
            is_interpreter: object.via == FoundVia::Interpreter,
        }
    });
    let missing = process.closure.missing.iter().map(|missing| Library {
        name: missing.name.display().to_string(),
        names: vec![missing.name.display().to_string()],
        requester: missing.requesters[0],
        is_interpreter: false,
    });
    found.chain(missing).collect()
}

/// Holds libraries against the demands on a program; each finding with the requester's index.
fn verdicts(
    demands: &[&Demands],
    program: &Path,
    loaded: &[Library],
    is_program: bool,
) -> Vec<(usize, Finding)> {
    let mut findings = Vec::new();
    let mut report = |rule: &'static Rule, library: &Library, what: &str| {
        let message = format!("{} {what} {}", program.display(), library.name);
        let finding = Finding::new(rule, program, library.name.clone(), message);
        findings.push((library.requester, finding));
    };
    let mut allow = demands.iter().filter_map(|one| one.allow.as_ref());
    let allowed: Option<Vec<String>> = allow.next().map(|first| {
        let rest = allow.flatten();
        first.iter().chain(rest).cloned().collect()
    });
    for library in loaded {
        if demands.iter().any(|one| library.is_one_of(&one.deny)) {
            report(&SP501, library, "loads the denied library");
        }
        let is_allowed = |allowed: &Vec<String>| library.is_one_of(allowed);
        if !library.is_interpreter && !allowed.as_ref().is_none_or(is_allowed) {
            report(&SP502, library, "loads a library that is not allowed:");
        }
    }
    let required = demands.iter().flat_map(|one| &one.require);
    let required: BTreeSet<&String> = required.filter(|_| is_program).collect();
    for pattern in required {
        let patterns = std::slice::from_ref(pattern);
        if !loaded.iter().any(|library| library.is_one_of(patterns)) {
            let message = format!("{} does not load {pattern}", program.display());
            findings.push((0, Finding::new(&SP503, program, pattern.clone(), message)));
        }
    }
    findings
}

/// An object that needs a newer glibc than the lowest limit that holds for it.
pub(super) fn glibc(context: &Context<'_>, gate: &Gate, file: &ElfFile) -> Option<Finding> {
    let path = context.source.shown(&file.path);
    let demands = gate.demands.iter().filter(|one| one.hold_for(&path));
    let most = demands.filter_map(|one| one.max_glibc.as_ref()).min()?;
    let view = &context.source.view;
    let versions = view.versions(&file.walk, &file.object).ok()?;
    let newer: Vec<(GlibcRelease, &OsStr)> = glibc_needs(versions)
        .filter(|(release, _)| release > most)
        .collect();
    let needed = newer.iter().map(|(release, _)| release).max()?;
    let versions: HashSet<&OsStr> = newer.iter().map(|(_, version)| *version).collect();
    let references = view.references(&file.walk, &file.object);
    let references = references.map_or(&[][..], |references| &references.symbols[..]);
    let symbols: BTreeSet<String> = references
        .iter()
        .filter_map(|reference| {
            let version = reference.version.as_deref()?;
            let (name, version) = (reference.name.display(), versions.get(version)?.display());
            Some(format!("{name}@{version}"))
        })
        .collect();
    let because = match symbols.first() {
        Some(first) if symbols.len() == 1 => format!(" because of {first}"),
        Some(first) => format!(" because of {first} and {} more", symbols.len() - 1),
        None => String::new(),
    };
    let message = format!("{} needs glibc {needed}{because}", path.display());
    Some(
        Finding::new(&SP504, &path, "glibc", message)
            .evidence("needs", needed.to_string())
            .evidence("max", most.to_string())
            .evidence(
                "symbols",
                symbols.into_iter().take(MOST_SYMBOLS).collect::<Vec<_>>(),
            ),
    )
}

/// A program that has to be static and is not.
pub(super) fn dynamic(context: &Context<'_>, gate: &Gate, file: &ElfFile) -> Option<Finding> {
    let path = context.source.shown(&file.path);
    let is_named = || gate.statics.iter().any(|glob| matches(glob, &path));
    if file.object.linkage() != Linkage::Dynamic || !is_named() {
        return None;
    }
    let needed = file.object.dependencies().iter();
    let needed: Vec<String> = needed.map(|one| one.name.display().to_string()).collect();
    let message = match needed.len() {
        0 => format!("{} needs a dynamic loader", path.display()),
        _ => format!(
            "{} is dynamic: it needs {}",
            path.display(),
            needed.join(", ")
        ),
    };
    Some(Finding::new(&SP505, &path, "static", message).evidence("needed", needed))
}

/// Patterns that match no program of the target: what they require is not checked at all.
pub(super) fn unmatched(context: &Context<'_>, gate: &Gate) -> Vec<Finding> {
    let of_programs = gate.demands.iter().filter_map(|one| one.programs.as_ref());
    let patterns: BTreeSet<&String> = gate.statics.iter().chain(of_programs).collect();
    if patterns.is_empty() {
        return Vec::new();
    }
    let paths = context.survey.elf.iter();
    let paths: Vec<_> = paths.map(|file| context.source.shown(&file.path)).collect();
    let unmatched = patterns
        .into_iter()
        .filter(|glob| !paths.iter().any(|path| matches(glob, path)));
    unmatched
        .map(|glob| {
            let message = format!("no program of the target matches {glob}");
            Finding::new(&SP509, Path::new("/"), glob.clone(), message)
        })
        .collect()
}

/// What an image has beyond its budget.
pub(super) fn budget(context: &Context<'_>, budget: &ImageLimits, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = Path::new("/");
    if budget.max_size.is_some() || budget.max_files.is_some() {
        let (files, bytes) = tree.totals();
        if let Some(most) = budget.max_size.filter(|most| bytes > *most) {
            let shown = [bytes, most].map(|bytes| ByteSize(bytes).display().si());
            let message = format!("the files have {}, {} are permitted", shown[0], shown[1]);
            findings.push(
                Finding::new(&SP506, root, "size", message)
                    .evidence("bytes", bytes)
                    .evidence("max", most),
            );
        }
        if let Some(most) = budget.max_files.filter(|most| files > *most) {
            let message = format!("there are {files} files, {most} are permitted");
            findings.push(
                Finding::new(&SP506, root, "files", message)
                    .evidence("files", files)
                    .evidence("max", most),
            );
        }
    }
    if budget.no_setuid {
        let programs = super::files::privileged(tree).into_iter();
        // Capabilities are not bits of the mode.
        let programs = programs.filter(|found| found.subject.starts_with("set"));
        findings.extend(programs.map(|found| Finding {
            evidence: found.evidence,
            ..Finding::new(&SP507, &found.path, found.subject, found.message)
        }));
    }
    if budget.no_shell {
        findings.extend(shells(context, tree));
    }
    findings
}

/// Executable files, and links to some, that are named like a shell.
fn shells(context: &Context<'_>, tree: &Tree) -> Vec<Finding> {
    let is_named = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(is_shell)
    };
    let named = tree.walk().filter(|(path, _, node)| {
        matches!(node.kind(), NodeKind::File | NodeKind::Symlink) && is_named(path)
    });
    let shells = named.filter(|(path, ..)| {
        let walk = context.source.view.walk(path);
        walk.is_ok_and(|walk| {
            walk.metadata.kind == NodeKind::File && walk.metadata.mode & 0o111 != 0
        })
    });
    let findings = shells.map(|(path, ..)| {
        let message = format!("{} is a shell", path.display());
        Finding::new(&SP508, &path, "shell", message)
    });
    findings.collect()
}
