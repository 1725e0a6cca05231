//! `slimpack lint --format json`: schema 1. Fields may be added, never renamed.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Linted, totals};
use crate::lint::Finding;

/// The document for all targets.
pub fn json(targets: &[Linted]) -> Value {
    let [error, warning, info] = totals(targets);
    let ignored: usize = targets.iter().map(|target| target.findings.ignored).sum();
    let known: usize = targets.iter().map(|target| target.findings.known).sum();
    json!({
        "schema": 1,
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
        "summary": {"error": error, "warning": warning, "info": info, "ignored": ignored, "known": known},
    })
}

fn target(target: &Linted) -> Value {
    let remedies = target.remedies.as_ref().map(super::remedies::remedies_json);
    let mut document = json!({
        "target": target.name,
        "kind": target.kind,
        "checked": {"elf": target.findings.elf, "scripts": target.findings.scripts},
        "findings": target.findings.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    if let Some(remedies) = remedies {
        document["fix_hints"] = remedies;
    }
    document
}

fn finding(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.id,
        "severity": finding.severity.as_str(),
        "path": finding.path.display().to_string(),
        "message": finding.message,
        "fix": finding.fix,
        "subject": finding.subject,
        "requesters": paths(&finding.requesters),
        "programs": paths(&finding.programs),
        "chain": paths(&finding.chain),
        "layer": finding.layer,
        "evidence": finding.evidence,
    })
}

fn paths(paths: &[PathBuf]) -> Value {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
