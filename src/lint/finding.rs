//! A finding, and how findings about the same thing are merged.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::catalogue::{Rule, Severity};

/// One problem that a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// How bad it is here; may differ from the rule's default.
    pub severity: Severity,
    /// The file it is about.
    pub path: PathBuf,
    /// The detail it is about: a library name, a symbol version, a search path element.
    pub subject: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// How to fix it, in one sentence.
    pub fix: String,
    /// The files that request the subject, the most important first.
    pub requesters: Vec<PathBuf>,
    /// The programs that are affected.
    pub programs: Vec<PathBuf>,
    /// The path of requests from a program to the first requester.
    pub chain: Vec<PathBuf>,
    /// The digest of the layer that the file comes from.
    pub layer: Option<String>,
    /// Details for reports, by JSON key.
    pub evidence: Map<String, Value>,
}

impl Finding {
    /// A finding of `rule` about `path`, with the rule's default severity and fix.
    pub(super) fn new(
        rule: &'static Rule,
        path: &Path,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            path: path.to_path_buf(),
            subject: subject.into(),
            message: message.into(),
            fix: rule.fix.to_owned(),
            requesters: Vec::new(),
            programs: Vec::new(),
            chain: Vec::new(),
            layer: None,
            evidence: Map::new(),
        }
    }

    /// Whether it is about a library that the loader searches for and cannot load.
    pub fn is_missing_library(&self) -> bool {
        matches!(self.rule.id, "SP001" | "SP003" | "SP004")
    }

    /// Whether it is about a library that a program loads with `dlopen`.
    pub fn is_opened_library(&self) -> bool {
        self.rule.id == "SP014"
    }

    /// Identifies it across runs, whatever else is found: rule, path and subject. Sizes and the
    /// order of findings do not matter.
    pub fn identity(&self) -> String {
        format!("{}:{}:{}", self.rule.id, self.path.display(), self.subject)
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    pub(super) fn evidence(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.evidence.insert(name.to_owned(), value.into());
        self
    }

    /// Findings with equal keys are merged.
    fn key(&self) -> (&'static str, Severity, PathBuf, String) {
        let path = match self.is_by_subject() {
            true => PathBuf::new(),
            false => self.path.clone(),
        };
        (self.rule.id, self.severity, path, self.subject.clone())
    }

    /// A missing library is reported once, no matter how many objects request it.
    fn is_by_subject(&self) -> bool {
        matches!(
            self.rule.id,
            "SP001"
                | "SP002"
                | "SP003"
                | "SP004"
                | "SP005"
                | "SP007"
                | "SP010"
                | "SP012"
                | "SP501"
                | "SP502"
                | "SP503"
        )
    }

    /// All files that it is about: those that were merged into it, each once.
    pub(super) fn places(&self) -> BTreeSet<&Path> {
        let merged = self.requesters.iter().chain(&self.programs);
        let mut places: BTreeSet<&Path> = match self.is_by_subject() {
            true => merged.map(PathBuf::as_path).collect(),
            false => BTreeSet::new(),
        };
        if places.is_empty() {
            places.insert(&self.path);
        }
        places
    }
}

/// Merges findings about the same thing into one with all its requesters.
#[derive(Default)]
pub(super) struct Merger {
    places: HashMap<(&'static str, Severity, PathBuf, String), usize>,
    merged: Vec<Finding>,
    requesters: HashSet<(usize, PathBuf)>,
}

impl Merger {
    /// Adds findings. A merged finding keeps the chain of the program that is started, if any.
    pub fn add(&mut self, findings: Vec<Finding>, is_started: &dyn Fn(&Path) -> bool) {
        for finding in findings {
            let place = *self
                .places
                .entry(finding.key())
                .or_insert(self.merged.len());
            let concerns_start = finding.programs.iter().any(|program| is_started(program));
            if place == self.merged.len() {
                let requesters = finding.requesters.iter().cloned();
                self.requesters
                    .extend(requesters.map(|requester| (place, requester)));
                self.merged.push(finding);
                continue;
            }
            let first = &mut self.merged[place];
            let mut new = Vec::new();
            for requester in finding.requesters {
                if self.requesters.insert((place, requester.clone())) {
                    new.push(requester);
                }
            }
            if concerns_start {
                first.path = finding.path;
                first.chain = finding.chain;
                first.message = finding.message;
                first.requesters.splice(..0, new);
                first.programs.splice(..0, finding.programs);
            } else {
                first.requesters.extend(new);
                first.programs.extend(finding.programs);
            }
        }
    }

    /// All findings, each listing a program once and the program that is started first.
    pub fn finish(mut self, is_started: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
        for finding in &mut self.merged {
            finding.programs.sort();
            finding.programs.dedup();
            let started = finding
                .programs
                .iter()
                .position(|program| is_started(program));
            if let Some(started) = started {
                let program = finding.programs.remove(started);
                finding.programs.insert(0, program);
            }
        }
        self.merged
    }
}

/// Sorts the worst first; among equals, findings that affect the program that is started, then by
/// rule, then those that affect the most programs.
pub(super) fn sort(findings: &mut [Finding], is_started: &dyn Fn(&Path) -> bool) {
    findings.sort_by_cached_key(|finding| {
        let concerns_start = is_started(&finding.path)
            || finding
                .programs
                .first()
                .is_some_and(|program| is_started(program));
        (
            std::cmp::Reverse(finding.severity),
            !concerns_start,
            finding.rule.id,
            std::cmp::Reverse(finding.programs.len()),
            finding.path.clone(),
            finding.subject.clone(),
        )
    });
}
