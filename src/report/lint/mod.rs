//! The findings of lint, as text, JSON, SARIF, JUnit, and for code hosts.

mod github;
mod gitlab;
mod json;
mod junit;
mod remedies;
mod sarif;
mod text;

pub use github::github;
pub use gitlab::gitlab;
pub use json::json;
pub use junit::junit;
pub use sarif::sarif;
pub use text::{explain, list_rules, text};

use std::path::PathBuf;

use crate::lint::{Finding, Findings, Severity};
use crate::remedy::Remedies;

/// A target with its findings.
pub struct Linted {
    /// Its name from the command line, with the platform if there are several.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// The kind of target: `elf`, `folder`, `image`, or a kind of image.
    pub kind: &'static str,
    /// The lowest severity that makes the run fail.
    pub fail_on: Option<Severity>,
    /// What would fix it, if that was asked for.
    pub remedies: Option<Remedies>,
    /// Findings, and the number of files that were checked.
    pub findings: Findings,
}

impl Linted {
    /// Whether there are findings other than infos.
    pub fn has_findings(&self) -> bool {
        let mut findings = self.findings.findings.iter();
        findings.any(|finding| finding.severity > Severity::Info)
    }

    /// Whether a finding makes the run fail.
    pub fn fails(&self) -> bool {
        failing(self) > 0
    }
}

/// The number of findings of a target that make the run fail.
fn failing(target: &Linted) -> usize {
    let findings = target.findings.findings.iter();
    findings.filter(|finding| fails(target, finding)).count()
}

fn fails(target: &Linted, finding: &Finding) -> bool {
    target
        .fail_on
        .is_some_and(|least| finding.severity >= least)
}

/// The number of findings by severity: errors, warnings, infos.
fn totals(targets: &[Linted]) -> [usize; 3] {
    let all = || targets.iter().flat_map(|target| &target.findings.findings);
    [Severity::Error, Severity::Warning, Severity::Info]
        .map(|severity| all().filter(|finding| finding.severity == severity).count())
}
