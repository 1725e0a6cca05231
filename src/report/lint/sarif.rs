//! SARIF 2.1.0, for code-scanning services (OASIS, "Static Analysis Results Interchange
//! Format").

use serde_json::{Value, json};

use super::Linted;
use crate::lint::{Finding, RULES, Rule, Severity};

const SCHEMA: &str = "https://schemastore.azurewebsites.net/schemas/json/sarif-2.1.0.json";

/// The document for all targets. A library with a type for each object of the standard would take a
/// twentieth of slimpack's build time.
pub fn sarif(targets: &[Linted]) -> Value {
    let rules: Vec<Value> = RULES.iter().map(|rule| descriptor(rule)).collect();
    let results = targets.iter().flat_map(|target| {
        let findings = target.findings.findings.iter();
        findings.map(|finding| result(target, finding))
    });
    json!({
        "$schema": SCHEMA,
        "runs": [{
            "results": results.collect::<Vec<_>>(),
            "tool": {"driver": {
                "name": "slimpack",
                "rules": rules,
                "semanticVersion": env!("CARGO_PKG_VERSION"),
            }},
        }],
        "version": "2.1.0",
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "defaultConfiguration": {"level": level(rule.severity)},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        "id": rule.id,
        "shortDescription": {"text": rule.title},
    })
}

fn result(target: &Linted, finding: &Finding) -> Value {
    let inside = finding.path.display().to_string();
    json!({
        "level": level(finding.severity),
        "locations": [{
            "logicalLocations": [{"fullyQualifiedName": inside}],
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&target.path.display().to_string())},
            },
        }],
        "message": {"text": format!("{}. {}", finding.message, finding.fix)},
        "partialFingerprints": {"slimpack/v1": finding.identity()},
        "properties": {
            "evidence": finding.evidence,
            "path": inside,
            "subject": finding.subject,
        },
        "ruleId": finding.rule.id,
    })
}

/// A relative URI reference for a path: all but unreserved characters and slashes is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into());
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
