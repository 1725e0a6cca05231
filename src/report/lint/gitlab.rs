//! GitLab's code quality report: an array of issues in the form of Code Climate ("Code Climate Engine
//! Specification", "Issues"; GitLab, "Code Quality report format").

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Linted;
use crate::image::Blob;
use crate::lint::{Finding, Severity};

/// The report for all targets.
pub fn gitlab(targets: &[Linted]) -> Value {
    // GitLab drops a report in which two issues have the same fingerprint.
    let mut seen = HashSet::new();
    let findings = targets.iter().flat_map(|target| {
        let findings = target.findings.findings.iter();
        findings.map(move |finding| (target, finding))
    });
    findings
        .map(|(target, finding)| (fingerprint(target, finding), target, finding))
        .filter(|(fingerprint, ..)| seen.insert(fingerprint.clone()))
        .map(|(fingerprint, target, finding)| issue(fingerprint, target, finding))
        .collect()
}

fn fingerprint(target: &Linted, finding: &Finding) -> String {
    let identity = format!("{}\0{}", target.name, finding.identity());
    Blob::of(identity.as_bytes()).sha256
}

fn issue(fingerprint: String, target: &Linted, finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Error => "critical",
        Severity::Warning => "major",
        Severity::Info => "info",
    };
    let inside = finding.path.display();
    let path = target.path.strip_prefix(".").unwrap_or(&target.path);
    json!({
        "type": "issue",
        "check_name": finding.rule.id,
        "description": format!("{inside}: {}", finding.message),
        "content": {"body": finding.fix},
        "categories": ["Bug Risk"],
        "severity": severity,
        "fingerprint": fingerprint,
        // An image has no lines.
        "location": {"path": path.display().to_string(), "lines": {"begin": 1}},
    })
}
