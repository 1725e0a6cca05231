//! The baseline: findings that are known, so that only new ones count.
//!
//! In: the findings of an earlier run, as a file. Out: which findings of this run are new, and
//! which entries no longer occur. An entry is a rule, a path and a subject: neither sizes nor the
//! order of findings matter, and a library that is missing for one more program is new.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::catalogue::Severity;
use super::finding::Finding;
use super::policy::Policy;

/// The version of the file.
const SCHEMA: u64 = 1;

/// Why a baseline cannot be used.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// It is not JSON, or not of this form.
    #[error("it is not a baseline: {0}; write it anew with --write-baseline")]
    Malformed(#[from] serde_json::Error),
    /// It has a version that is not known yet.
    #[error(
        "it was written by a newer version of slimpack (schema {0}, this version reads {SCHEMA}); \
         use that version, or write it anew with --write-baseline"
    )]
    Newer(u64),
}

#[derive(Deserialize)]
struct BaselineVersion {
    #[serde(default)]
    schema: u64,
}

#[derive(Serialize, Deserialize)]
struct BaselineFile {
    schema: u64,
    findings: Vec<Group>,
}

/// The places of one rule, severity and subject.
#[derive(Serialize, Deserialize)]
struct Group {
    rule: String,
    severity: SeverityWord,
    subject: String,
    paths: Vec<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum SeverityWord {
    Info,
    Warning,
    Error,
}

impl From<Severity> for SeverityWord {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

/// One known finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownFinding {
    /// The ID of the rule.
    pub rule: String,
    /// The name or detail that it is about.
    pub subject: String,
    /// The file that it is about.
    pub path: String,
}

/// Findings that are known, and which of them have occurred again.
#[derive(Default)]
pub struct Baseline {
    known: BTreeMap<KnownFinding, SeverityWord>,
    seen: BTreeSet<KnownFinding>,
}

impl Baseline {
    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// When it is damaged, or written by a newer version.
    pub fn parse(text: &[u8]) -> Result<Self, BaselineError> {
        // First of all, since a newer version may have other fields.
        let BaselineVersion { schema } = serde_json::from_slice(text)?;
        if schema > SCHEMA {
            return Err(BaselineError::Newer(schema));
        }
        let file: BaselineFile = serde_json::from_slice(text)?;
        let mut baseline = Self::default();
        for group in file.findings {
            for path in group.paths {
                let known = KnownFinding {
                    rule: group.rule.clone(),
                    subject: group.subject.clone(),
                    path,
                };
                baseline.insert(known, group.severity);
            }
        }
        Ok(baseline)
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: &Finding) {
        for known in entries(finding) {
            self.insert(known, finding.severity.into());
        }
    }

    fn insert(&mut self, known: KnownFinding, severity: SeverityWord) {
        let worst = self.known.entry(known).or_insert(severity);
        *worst = severity.max(*worst);
    }

    /// Removes the findings that are known at this severity or a worse one, and returns their
    /// number.
    pub fn remove_known(&mut self, findings: &mut Vec<Finding>) -> usize {
        let before = findings.len();
        findings.retain(|finding| {
            let entries = entries(finding);
            let severity = SeverityWord::from(finding.severity);
            let is_known = |entry| {
                self.known
                    .get(entry)
                    .is_some_and(|known| *known >= severity)
            };
            let all_known = entries.iter().all(is_known);
            let is_entry = |entry: &KnownFinding| self.known.contains_key(entry);
            self.seen.extend(entries.into_iter().filter(is_entry));
            !all_known
        });
        before - findings.len()
    }

    /// The entries that have not occurred again, of the rules that are checked.
    pub fn stale(&self, policy: &Policy) -> Vec<&KnownFinding> {
        let known = self.known.keys();
        let unseen = known.filter(|entry| !self.seen.contains(entry));
        unseen.filter(|entry| policy.selects(&entry.rule)).collect()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The text of the file: the same for the same findings, and a line for each path.
    ///
    /// # Errors
    /// None for these types.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut groups: BTreeMap<(&str, &str, SeverityWord), Vec<String>> = BTreeMap::new();
        for (known, severity) in &self.known {
            let key = (known.rule.as_str(), known.subject.as_str(), *severity);
            groups.entry(key).or_default().push(known.path.clone());
        }
        let findings = groups
            .into_iter()
            .map(|((rule, subject, severity), paths)| Group {
                rule: rule.to_owned(),
                severity,
                subject: subject.to_owned(),
                paths,
            });
        let file = BaselineFile {
            schema: SCHEMA,
            findings: findings.collect(),
        };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }
}

/// What a finding is in a baseline: an entry for each file that it is about.
fn entries(finding: &Finding) -> BTreeSet<KnownFinding> {
    let places = finding.places().into_iter();
    places
        .map(|path| KnownFinding {
            rule: finding.rule.id.to_owned(),
            subject: finding.subject.clone(),
            path: path.display().to_string(),
        })
        .collect()
}
