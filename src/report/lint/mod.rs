//! The findings of lint, as text, JSON, SARIF and GitHub annotations.

mod github;
mod json;
mod sarif;
mod text;

pub use github::github;
pub use json::json;
pub use sarif::sarif;
pub use text::{explain, list_rules, text};

use std::path::PathBuf;

use crate::lint::{Findings, Severity};

/// A target with its findings.
pub struct Linted {
    /// Its name from the command line, with the platform if there are several.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// The kind of target: `elf`, `folder`, `image`, or a kind of image.
    pub kind: &'static str,
    /// Findings, and the number of files that were checked.
    pub findings: Findings,
}

impl Linted {
    /// Whether there are findings other than infos.
    pub fn has_findings(&self) -> bool {
        let mut findings = self.findings.findings.iter();
        findings.any(|finding| finding.severity > Severity::Info)
    }
}

/// The number of findings by severity: errors, warnings, infos.
fn totals(targets: &[Linted]) -> [usize; 3] {
    let all = || targets.iter().flat_map(|target| &target.findings.findings);
    [Severity::Error, Severity::Warning, Severity::Info]
        .map(|severity| all().filter(|finding| finding.severity == severity).count())
}
