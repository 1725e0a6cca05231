//! The rules, grouped by subject.
//!
//! In: a process (a program with everything it loads), an object, or the target as a whole. Out:
//! findings, not yet merged.

mod cache;
mod data;
mod dlopen;
mod features;
mod files;
mod gate;
mod hardening;
mod libraries;
mod lookup;
mod scripts;
mod search_paths;
mod start;
mod symbols;

pub(super) use files::faults;

use std::path::{Path, PathBuf};

use super::context::Context;
use super::finding::Finding;
use super::gate::Gate;
use super::survey::ElfFile;
use super::{NoClosure, Severity};
use crate::binding::Binder;
use crate::closure::{Closure, Program};
use crate::loader::{Environment, Scene, Target};
use crate::vfs::View;

/// A program with everything it loads.
pub struct LintedProcess<'a> {
    /// The file system that it runs in.
    pub view: &'a View,
    /// Checks symbol versions and symbols.
    pub binder: &'a Binder<'a>,
    /// The program and everything it loads.
    pub closure: &'a Closure,
    /// The environment in which the loader searches.
    pub environment: &'a Environment,
    /// Translates a path of the view to the path shown to the user.
    pub path_of: &'a dyn Fn(&Path) -> PathBuf,
}

impl LintedProcess<'_> {
    /// The path of the object at `index`, as shown to the user.
    fn path(&self, index: usize) -> PathBuf {
        (self.path_of)(&self.closure.map.objects()[index].opened_as)
    }

    /// The chain of first requesters from the program to an object.
    fn chain(&self, index: usize) -> Vec<PathBuf> {
        /// Maximum number of objects in a reported chain.
        const LONGEST: usize = 50;
        let mut chain = vec![self.path(index)];
        let mut at = index;
        while let Some(requester) = self.closure.map.objects()[at].requester
            && chain.len() < LONGEST
        {
            chain.push(self.path(requester));
            at = requester;
        }
        chain.reverse();
        chain
    }

    /// Sets the program, the requester and the chain of a finding.
    fn finding_by(&self, requester: usize, mut finding: Finding) -> Finding {
        finding.requesters = vec![self.path(requester)];
        finding.programs = vec![self.path(0)];
        finding.chain = self.chain(requester);
        finding
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            view: self.view,
            environment: self.environment,
            target: Target::of(&self.closure.program().object),
        }
    }
}

/// All findings about one process.
pub(super) fn process(
    context: &Context<'_>,
    gate: &Gate,
    process: &LintedProcess<'_>,
) -> Vec<Finding> {
    let mut findings = libraries::missing(process, Some(context));
    findings.extend(libraries::interpreter_mode(process));
    findings.extend(libraries::mixed(process));
    findings.extend(features::unsupported(process));
    findings.extend(symbols::versions(process));
    findings.extend(symbols::undefined(process));
    findings.extend(symbols::unused(process));
    findings.extend(lookup::by_environment(process));
    findings.extend(lookup::ambiguous(process));
    findings.extend(lookup::by_chance(process));
    findings.extend(lookup::variants(process));
    findings.extend(lookup::preloads(process));
    findings.extend(search_paths::writable(process));
    findings.extend(dlopen::unmet(process));
    findings.extend(data::absent(context, process));
    findings.extend(gate::libraries(gate, process));
    findings
}

/// What keeps a process from starting: only findings of severity error, for the proof that runs
/// before an image is written.
pub fn process_errors(process: &LintedProcess<'_>) -> Vec<Finding> {
    let mut findings = libraries::missing(process, None);
    findings.extend(libraries::mixed(process));
    findings.extend(features::unsupported(process));
    findings.extend(symbols::versions(process));
    findings.extend(symbols::undefined(process));
    findings.extend(dlopen::unmet(process));
    findings.retain(|finding| finding.severity == Severity::Error);
    findings
}

/// The findings for a program whose libraries cannot be resolved.
pub(super) fn no_closure(
    context: &Context<'_>,
    gate: &Gate,
    file: &ElfFile,
    error: &NoClosure,
) -> Vec<Finding> {
    let mut findings = vec![libraries::no_closure(context, file, error)];
    findings.extend(gate::needed_libraries(context, gate, file));
    if matches!(error, NoClosure::NoInterpreter { .. }) {
        findings.extend(libraries::missing_without_loader(context, file));
    }
    findings
}

/// Findings about a library that no program loads: what it needs, resolved on its own.
pub(super) fn plugin(context: &Context<'_>, gate: &Gate, file: &ElfFile) -> Vec<Finding> {
    let program = Program {
        path: file.path.clone(),
        walk: file.walk.clone(),
        object: file.object.clone(),
    };
    let source = context.source;
    let environment = &context.environment;
    // Without a loader in the root, the library is never loaded.
    let Ok(closure) = Closure::of(&program, &source.view, &source.loaders, environment) else {
        return Vec::new();
    };
    let process = LintedProcess {
        view: &source.view,
        binder: &context.binder,
        closure: &closure,
        environment,
        path_of: &|path| source.shown(path),
    };
    let mut findings = libraries::missing_of_plugin(context, &process);
    findings.extend(gate::libraries(gate, &process));
    findings
}

/// All findings about one object on its own.
pub(super) fn object(context: &Context<'_>, gate: &Gate, file: &ElfFile) -> Vec<Finding> {
    let mut findings = search_paths::of_object(context, file);
    findings.extend(hardening::of_object(context, file));
    findings.extend(dlopen::level(context, file));
    findings.extend(gate::glibc(context, gate, file));
    findings.extend(gate::dynamic(context, gate, file));
    findings
}

/// All findings about the target as a whole.
pub(super) fn target(context: &Context<'_>, gate: &Gate) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(start::entrypoint(context));
    findings.extend(start::shell_command(context));
    findings.extend(start::health_check(context));
    findings.extend(start::working_dir(context));
    findings.extend(start::unwritable(context));
    findings.extend(start::user(context));
    findings.extend(gate::unmatched(context, gate));
    if let Some(tree) = context.tree() {
        findings.extend(files::links(context));
        findings.extend(files::damaged(context));
        findings.extend(search_paths::variable(context));
        findings.extend(files::privileged(tree));
        findings.extend(files::dropped_capabilities(tree));
        findings.extend(start::low_ports(context, tree));
        findings.extend(files::keys(context, tree));
        findings.extend(files::waste(tree));
        findings.extend(files::names(tree));
        findings.extend(cache::of_root(context));
        findings.extend(search_paths::preload(context));
        findings.extend(scripts::of_root(context));
        findings.extend(gate::budget(context, &gate.budget, tree));
    }
    findings
}
