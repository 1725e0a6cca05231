//! Lint: would everything in this target start?
//!
//! In: an image, a directory or single files, as a view. Out: findings of the rules in
//! [`catalogue`]. Programs are resolved by the same code that packs, with the target's own
//! environment and configuration; nothing is executed.

mod baseline;
pub mod catalogue;
mod context;
mod finding;
mod gate;
mod policy;
mod rules;
mod survey;

pub use baseline::{Baseline, BaselineError, KnownFinding};
pub use catalogue::{RULES, Rule, Severity};
pub use context::{Context, Runtime, Scope};
pub use finding::Finding;
pub use gate::{BudgetSection, Demands, Gate, ImageLimits, LibrariesSection};
pub use policy::{FailOn, known_rule};
pub use policy::{Ignore, LintSection, Policy, PolicyError};
pub use rules::{LintedProcess, process_errors};
pub use survey::{ElfFile, Script, Survey};

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use finding::Merger;
use rayon::prelude::*;

use crate::closure::{Closure, ClosureError, Program};
use crate::image::read::{Fault, Verification};
use crate::vfs::FileId;

/// The result of checking one target.
pub struct Findings {
    /// All findings, the worst first.
    pub findings: Vec<Finding>,
    /// Number of programs and libraries that were checked.
    pub elf: usize,
    /// Number of scripts that were checked.
    pub scripts: usize,
    /// Number of findings that the policy ignores.
    pub ignored: usize,
    /// Number of findings that the baseline knows.
    pub known: usize,
}

/// Checks everything in a target. `digests` finds the blobs that do not match their descriptors; it
/// is asked last, so that they can be verified in the meantime.
///
/// # Errors
/// The error of `digests`: a blob cannot be read.
pub fn lint(
    context: &Context<'_>,
    policy: &Policy,
    digests: Option<Verification>,
) -> io::Result<Findings> {
    let survey = &context.survey;
    let started = context.started.as_deref().and_then(|path| {
        let walk = context.source.view.walk(path).ok()?;
        Some((path.to_path_buf(), walk.real.clone()))
    });
    let is_started = |path: &Path| {
        let paths = started.as_ref();
        paths.is_some_and(|(named, real)| path == named || path == real)
    };
    let mut merger = Merger::default();
    let (of_target, ()) = rayon::join(
        || rules::target(context, &policy.gate),
        || check_elf_files(context, &policy.gate, &mut merger, &is_started),
    );
    merger.add(of_target, &is_started);
    let faults = digests.map_or(Ok(Vec::new()), Verification::finish)?;
    merger.add(rules::faults(&faults), &is_started);
    let mut findings = merger.finish(&is_started);
    for finding in &mut findings {
        finding.layer = context.layer_of(&finding.path);
    }
    findings.retain(|finding| policy.asks_for(finding));
    let before = findings.len();
    findings.retain(|finding| !policy.ignores(finding));
    let ignored = before - findings.len();
    finding::sort(&mut findings, &is_started);
    Ok(Findings {
        findings,
        elf: survey.elf.len(),
        scripts: survey.scripts.len(),
        ignored,
        known: 0,
    })
}

/// Findings about an image in which nothing but its blobs can be checked.
pub fn of_faults(faults: &[Fault], policy: &Policy) -> Findings {
    let mut findings = rules::faults(faults);
    findings.retain(|finding| policy.asks_for(finding));
    let before = findings.len();
    findings.retain(|finding| !policy.ignores(finding));
    Findings {
        ignored: before - findings.len(),
        findings,
        elf: 0,
        scripts: 0,
        known: 0,
    }
}

/// Number of files that are checked before their findings are merged; bounds memory use.
const BATCH: usize = 256;

/// Checks programs with everything they load, libraries that no program loads, and each file on
/// its own.
fn check_elf_files(
    context: &Context<'_>,
    gate: &Gate,
    merger: &mut Merger,
    is_started: &(dyn Fn(&Path) -> bool + Sync),
) {
    let files = &context.survey.elf;
    let mut reached = HashSet::new();
    // Hard links in one directory load the same libraries, whatever their names.
    let mut groups: BTreeMap<_, Vec<&ElfFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_program()) {
        let key = (file.walk.metadata.id, file.walk.real.parent());
        groups.entry(key).or_default().push(file);
    }
    let mut groups: Vec<Vec<&ElfFile>> = groups.into_values().collect();
    groups.sort_by(|left, right| left[0].path.cmp(&right[0].path));
    for batch in groups.chunks(BATCH) {
        // Programs run in parallel and share the cached facts of libraries.
        let checked: Vec<(Vec<Finding>, Vec<FileId>)> = batch
            .par_iter()
            .map(|group| check_program(context, gate, group))
            .collect();
        for (found, objects) in checked {
            merger.add(found, is_started);
            reached.extend(objects);
        }
    }
    for batch in files.chunks(BATCH) {
        let found: Vec<Finding> = batch
            .par_iter()
            .filter(|file| file.is_first_name)
            .flat_map_iter(|file| {
                let is_plugin = !file.is_program() && !reached.contains(&file.walk.metadata.id);
                let alone = if is_plugin {
                    rules::plugin(context, gate, file)
                } else {
                    Vec::new()
                };
                rules::object(context, gate, file).into_iter().chain(alone)
            })
            .collect();
        merger.add(found, is_started);
    }
}

/// Checks what one program loads; returns the findings, and the files that it loads.
fn check_program(
    context: &Context<'_>,
    gate: &Gate,
    group: &[&ElfFile],
) -> (Vec<Finding>, Vec<FileId>) {
    let file = group[0];
    let program = Program {
        path: file.path.clone(),
        walk: file.walk.clone(),
        object: file.object.clone(),
    };
    let environment = context.environment_of(file);
    let source = context.source;
    let closure = Closure::of(&program, &source.view, &source.loaders, &environment);
    let (mut findings, reached): (Vec<Finding>, Vec<FileId>) = match closure {
        Ok(closure) => {
            let objects = closure.map.objects().iter();
            let reached = objects.map(|object| object.walk.metadata.id).collect();
            let process = LintedProcess {
                view: &source.view,
                binder: &context.binder,
                closure: &closure,
                environment: &environment,
                path_of: &|path| source.shown(path),
            };
            (rules::process(context, gate, &process), reached)
        }
        Err(error) => (rules::no_closure(context, gate, file, &error), Vec::new()),
    };
    let others: Vec<PathBuf> = group[1..]
        .iter()
        .map(|other| source.shown(&other.path))
        .collect();
    for finding in &mut findings {
        finding.programs.extend(others.iter().cloned());
    }
    (findings, reached)
}

/// Why a program has no closure, for the rules.
pub(crate) type NoClosure = ClosureError;

/// A list of paths as a JSON array of strings.
fn paths(paths: &[PathBuf]) -> serde_json::Value {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
