//! Which findings count.
//!
//! In: the command line and a `slimpack.toml`. Out: whether a finding is shown, and whether it
//! makes the run fail.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::catalogue::{self, Rule, Severity};
use super::finding::Finding;
use super::gate::{BudgetSection, Gate, LibrariesSection};
use crate::suggest::did_you_mean;

/// Why a policy cannot be used.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// No rule has this ID.
    #[error("there is no rule {0}{hint}; slimpack lint --list-rules lists them", hint = did_you_mean(catalogue::nearest(.0)))]
    UnknownRule(String),
    /// An ignore entry of the policy file gives no reason.
    #[error("the ignore entry for {0} has no reason; say why its findings do not matter")]
    NoReason(String),
    /// `max-glibc` is not a release.
    #[error("max-glibc is {0:?}; write a release of glibc, such as 2.31")]
    BadRelease(String),
    /// `max-size` is not a size.
    #[error("max-size is {0:?}; write a number of bytes, such as 500000, 10MB or 2MiB")]
    BadSize(String),
}

/// Findings to ignore.
#[derive(Clone, Debug)]
pub struct Ignore {
    /// The rule whose findings are ignored.
    pub rule: &'static Rule,
    /// Ignores only findings whose path or subject matches this glob.
    pub glob: Option<String>,
}

impl Ignore {
    /// Reads `RULE[:GLOB]`.
    ///
    /// # Errors
    /// [`PolicyError::UnknownRule`] if there is no such rule.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (id, glob) = match text.split_once(':') {
            Some((id, glob)) => (id, Some(glob.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            rule: known_rule(id)?,
            glob,
        })
    }

    fn covers(&self, finding: &Finding) -> bool {
        if self.rule.id != finding.rule.id {
            return false;
        }
        let Some(glob) = &self.glob else { return true };
        let path = finding.path.display().to_string();
        [path.as_str(), finding.subject.as_str()]
            .iter()
            .any(|text| fast_glob::glob_match(glob, text))
    }
}

/// The rule with this ID, case-insensitively.
///
/// # Errors
/// [`PolicyError::UnknownRule`] if there is no such rule.
pub fn known_rule(id: &str) -> Result<&'static Rule, PolicyError> {
    catalogue::rule(&id.to_uppercase()).ok_or_else(|| PolicyError::UnknownRule(id.to_owned()))
}

/// Which findings are ignored, and which make the run fail.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Findings to ignore.
    pub ignore: Vec<Ignore>,
    /// Checks only these rules; all rules if empty.
    pub only: Vec<&'static Rule>,
    /// Lowest severity that makes the run fail; `None` never fails.
    pub fail_on: Option<Severity>,
    /// What programs and images have to fulfil, besides starting.
    pub gate: Gate,
}

impl Policy {
    /// Whether the finding's rule is selected.
    pub fn asks_for(&self, finding: &Finding) -> bool {
        self.selects(finding.rule.id)
    }

    /// Whether the rule with this ID is selected.
    pub fn selects(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|rule| rule.id == id)
    }

    /// Whether a finding is ignored.
    pub fn ignores(&self, finding: &Finding) -> bool {
        self.ignore.iter().any(|ignore| ignore.covers(finding))
    }

    /// Adds the `[lint]` section of a `slimpack.toml`; `fail-on` of the command line wins.
    ///
    /// # Errors
    /// When an entry names an unknown rule or gives no reason, or when a value cannot be read.
    pub fn add_section(
        &mut self,
        section: LintSection,
        fail_on_is_set: bool,
    ) -> Result<(), PolicyError> {
        for entry in section.ignore {
            if entry.reason.trim().is_empty() {
                return Err(PolicyError::NoReason(entry.rule));
            }
            self.ignore.push(Ignore {
                rule: known_rule(&entry.rule)?,
                glob: entry.path.map(|path| path.display().to_string()),
            });
        }
        if let Some(word) = section.fail_on.filter(|_| !fail_on_is_set) {
            self.fail_on = word.severity();
        }
        self.gate.add(section.libraries, section.image)
    }
}

/// The `[lint]` section of a `slimpack.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LintSection {
    /// Findings to ignore
    #[serde(default)]
    ignore: Vec<IgnoreEntry>,
    /// Lowest severity that makes a run fail [default: error]
    fail_on: Option<FailOn>,
    /// What programs may load, and have to load
    #[serde(default)]
    libraries: LibrariesSection,
    /// What an image may contain
    #[serde(default)]
    image: BudgetSection,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IgnoreEntry {
    /// The rule, such as SP305
    rule: String,
    /// Ignore only paths or names that match this glob
    path: Option<PathBuf>,
    /// Why these findings do not matter
    reason: String,
}

/// The value of `--fail-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// Fail on errors.
    Error,
    /// Fail on warnings too.
    Warning,
    /// Fail on any finding.
    Info,
    /// Never fail.
    Never,
}

impl FailOn {
    /// The lowest severity that makes the run fail; `None` never fails.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn finding(id: &str, path: &str) -> Finding {
        Finding::new(known_rule(id).unwrap(), Path::new(path), "libz.so.1", "")
    }

    #[test]
    fn an_ignore_covers_its_rule_and_what_its_glob_matches() {
        let mut policy = Policy::default();
        let text = "fail-on = \"warning\"\n[[ignore]]\nrule = \"SP305\"\n\
                    path = \"/usr/bin/*\"\nreason = \"they belong there\"\n";
        let section = toml::from_str(text).unwrap();
        policy.add_section(section, false).unwrap();
        assert!(policy.ignores(&finding("SP305", "/usr/bin/su")));
        assert!(!policy.ignores(&finding("SP305", "/opt/su")));
        assert!(!policy.ignores(&finding("SP304", "/usr/bin/su")));
        assert_eq!(policy.fail_on, Some(Severity::Warning));
        let by_subject = Ignore::parse("SP001:libz.so.*").unwrap();
        assert!(by_subject.covers(&finding("SP001", "/app")));
    }

    #[test]
    fn unknown_rules_and_ignores_without_reason_are_refused() {
        for (text, expected) in [
            (
                "[[ignore]]\nrule = \"SP999\"\nreason = \"x\"",
                "there is no rule SP999",
            ),
            (
                "[[ignore]]\nrule = \"SP001\"\nreason = \" \"",
                "has no reason",
            ),
        ] {
            let section = toml::from_str(text).unwrap();
            let error = Policy::default().add_section(section, false).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
