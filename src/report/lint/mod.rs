//! What lint found, in the formats that people and machines read.

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

/// A target with what was found in it.
pub struct Linted {
    /// As it was named on the command line; with a platform where there are several.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
    /// What kind of target it is.
    pub kind: &'static str,
    /// What was found.
    pub findings: Findings,
}

impl Linted {
    /// Whether there is more than infos to tell.
    pub fn has_findings(&self) -> bool {
        let mut findings = self.findings.findings.iter();
        findings.any(|finding| finding.severity > Severity::Info)
    }
}

/// How many findings of each severity there are: errors, warnings, infos.
fn totals(targets: &[Linted]) -> [usize; 3] {
    let all = || targets.iter().flat_map(|target| &target.findings.findings);
    [Severity::Error, Severity::Warning, Severity::Info]
        .map(|severity| all().filter(|finding| finding.severity == severity).count())
}
