//! Lint: would everything in this target start?
//!
//! In: an image, a folder or single files, as a view. Out: findings of the rules in
//! [`catalogue`]. Programs are resolved by the code that packs, with the target's own environment
//! and configuration; nothing is executed.

pub mod catalogue;
mod context;
mod finding;
mod policy;
mod rules;
mod survey;

pub use catalogue::{RULES, Rule, Severity};
pub use context::{Context, Scope};
pub use finding::Finding;
pub use policy::{FailOn, known_rule};
pub use policy::{Ignore, Policy, PolicyError};
pub use rules::{Process, process_errors};
pub use survey::{ElfFile, Script, Survey};

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::closure::{Closure, ClosureError, Program};
use crate::image::read::Fault;
use crate::vfs::FileId;

/// What was found in one target.
pub struct Findings {
    /// All findings, the worst first.
    pub findings: Vec<Finding>,
    /// How many programs and libraries were checked.
    pub elf: usize,
    /// How many scripts were checked.
    pub scripts: usize,
    /// Findings that the policy passes over.
    pub ignored: usize,
}

/// Checks everything in a target. `faults` is asked last for blobs that are not what they
/// should be: they may have been worked out meanwhile.
///
/// # Errors
/// When a blob cannot be read.
pub fn lint(
    context: &Context<'_>,
    policy: &Policy,
    faults: impl FnOnce() -> io::Result<Vec<Fault>>,
) -> io::Result<Findings> {
    let survey = &context.survey;
    let (mut findings, of_target) =
        rayon::join(|| check_elf_files(context), || rules::target(context));
    findings.extend(of_target);
    findings.extend(rules::faults(&faults()?));

    let mut findings = finding::merge(findings);
    for finding in &mut findings {
        finding.layer = context.layer_of(&finding.path);
    }
    findings.retain(|finding| policy.asks_for(finding));
    let before = findings.len();
    findings.retain(|finding| !policy.ignores(finding));
    let ignored = before - findings.len();
    finding::sort(&mut findings, context.started.as_deref());
    Ok(Findings {
        findings,
        elf: survey.elf.len(),
        scripts: survey.scripts.len(),
        ignored,
    })
}

/// Checks programs with all they load, libraries that none of them loads, and each file by
/// itself.
fn check_elf_files(context: &Context<'_>) -> Vec<Finding> {
    let files = &context.survey.elf;
    // One program after the other on each core: they share what is known of libraries.
    let checked: Vec<(Vec<Finding>, Vec<FileId>)> = files
        .par_iter()
        .filter(|file| file.is_program())
        .map(|file| check_program(context, file))
        .collect();
    let mut findings = Vec::new();
    let mut reached = HashSet::new();
    for (found, objects) in checked {
        findings.extend(found);
        reached.extend(objects);
    }
    let plugins = files
        .par_iter()
        .filter(|file| !file.is_program() && !reached.contains(&file.walk.metadata.id))
        .flat_map_iter(|file| rules::plugin(context, file));
    findings.par_extend(plugins);
    let of_objects = files
        .par_iter()
        .filter(|file| file.is_first_name)
        .flat_map_iter(|file| rules::object(context, file));
    findings.par_extend(of_objects);
    findings
}

/// Checks what one program loads; also which files that are.
fn check_program(context: &Context<'_>, file: &ElfFile) -> (Vec<Finding>, Vec<FileId>) {
    let program = Program {
        path: file.path.clone(),
        walk: file.walk.clone(),
        object: file.object.clone(),
    };
    let environment = context.environment_of(file);
    let source = context.source;
    match Closure::of(&program, &source.view, &source.loaders, &environment) {
        Ok(closure) => {
            let objects = closure.map.objects().iter();
            let reached = objects.map(|object| object.walk.metadata.id).collect();
            let process = Process {
                view: &source.view,
                binder: &context.binder,
                closure: &closure,
                environment: &environment,
                path_of: &|path| source.shown(path),
            };
            (rules::process(context, &process), reached)
        }
        Err(error) => (vec![rules::no_closure(context, file, &error)], Vec::new()),
    }
}

/// Why a program has no closure, for rules.
pub(crate) type NoClosure = ClosureError;

/// The paths of a list, as JSON.
fn paths(paths: &[PathBuf]) -> serde_json::Value {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
