//! A finding, and how findings about the same thing become one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::catalogue::{Rule, Severity};

/// Something that a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// The object it is about.
    pub path: PathBuf,
    /// What about it: the name of a library, a version, an element.
    pub subject: String,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Who asks for the subject, the most important first.
    pub requesters: Vec<PathBuf>,
    /// The programs that it concerns.
    pub programs: Vec<PathBuf>,
    /// The way from a program to the first requester.
    pub chain: Vec<PathBuf>,
    /// The layer that the object comes from.
    pub layer: Option<String>,
    /// What was seen.
    pub evidence: Map<String, Value>,
}

impl Finding {
    /// A finding of `rule` about `path`, as bad as the rule says.
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

    /// Whether it is about a library that the loader asks for and does not get.
    pub fn is_missing_library(&self) -> bool {
        matches!(self.rule.id, "SP001" | "SP003" | "SP004")
    }

    /// Whether it is about a library that a program opens by itself.
    pub fn is_opened_library(&self) -> bool {
        self.rule.id == "SP014"
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

    /// What has to be equal for two findings to be one.
    fn key(&self) -> (&'static str, Severity, PathBuf, String) {
        // What is missing is missing once, whoever asks for it.
        let is_by_subject = matches!(
            self.rule.id,
            "SP001" | "SP002" | "SP003" | "SP004" | "SP005" | "SP007" | "SP010" | "SP012"
        );
        let path = match is_by_subject {
            true => PathBuf::new(),
            false => self.path.clone(),
        };
        (self.rule.id, self.severity, path, self.subject.clone())
    }
}

/// Findings about the same thing, each once, with all who ask for it.
#[derive(Default)]
pub(super) struct Merger {
    places: HashMap<(&'static str, Severity, PathBuf, String), usize>,
    merged: Vec<Finding>,
    requesters: HashSet<(usize, PathBuf)>,
}

impl Merger {
    /// Adds findings; one that concerns the program that is started tells the way to it.
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

    /// All findings, each program named once, the one that is started first.
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

/// The worst first; among equals what concerns the program that is started, then what concerns
/// most programs.
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
