//! SARIF 2.1.0, for code-scanning services (OASIS, "Static Analysis Results Interchange
//! Format").

use std::collections::BTreeMap;

use serde_sarif::sarif::{
    ArtifactLocation, Location, LogicalLocation, Message, MultiformatMessageString,
    PhysicalLocation, PropertyBag, ReportingConfiguration, ReportingDescriptor,
    Result as SarifResult, ResultLevel, Run, SCHEMA_URL, Sarif, Tool, ToolComponent,
};

use super::Linted;
use crate::lint::{Finding, RULES, Rule, Severity};

/// The document for all targets.
pub fn sarif(targets: &[Linted]) -> Sarif {
    let driver = ToolComponent::builder()
        .name("slimpack")
        .semantic_version(env!("CARGO_PKG_VERSION"))
        .rules(
            RULES
                .iter()
                .map(|rule| descriptor(rule))
                .collect::<Vec<_>>(),
        )
        .build();
    let results = targets.iter().flat_map(|target| {
        let findings = target.findings.findings.iter();
        findings.map(|finding| result(target, finding))
    });
    let run = Run::builder()
        .tool(Tool::builder().driver(driver).build())
        .results(results.collect::<Vec<_>>())
        .build();
    Sarif::builder()
        .schema(SCHEMA_URL)
        .version(serde_json::json!("2.1.0"))
        .runs(vec![run])
        .build()
}

fn level(severity: Severity) -> ResultLevel {
    match severity {
        Severity::Error => ResultLevel::Error,
        Severity::Warning => ResultLevel::Warning,
        Severity::Info => ResultLevel::Note,
    }
}

fn text(text: &str) -> MultiformatMessageString {
    MultiformatMessageString::builder().text(text).build()
}

fn descriptor(rule: &Rule) -> ReportingDescriptor {
    let level = serde_json::to_value(level(rule.severity)).unwrap_or_default();
    ReportingDescriptor::builder()
        .id(rule.id)
        .short_description(text(rule.title))
        .full_description(text(rule.why))
        .help(text(rule.fix))
        .default_configuration(ReportingConfiguration::builder().level(level).build())
        .build()
}

fn result(target: &Linted, finding: &Finding) -> SarifResult {
    let artifact = ArtifactLocation::builder()
        .uri(uri(&target.path.display().to_string()))
        .build();
    let inside = finding.path.display().to_string();
    let location = Location::builder()
        .physical_location(
            PhysicalLocation::builder()
                .artifact_location(artifact)
                .build(),
        )
        .logical_locations(vec![
            LogicalLocation::builder()
                .fully_qualified_name(inside.clone())
                .build(),
        ])
        .build();
    // Identifies a finding across runs, whatever other findings appear or disappear.
    let identity = format!("{}:{inside}:{}", finding.rule.id, finding.subject);
    let properties: BTreeMap<String, serde_json::Value> = [
        ("path".to_owned(), inside.into()),
        ("subject".to_owned(), finding.subject.clone().into()),
        ("evidence".to_owned(), finding.evidence.clone().into()),
    ]
    .into();
    SarifResult::builder()
        .rule_id(finding.rule.id)
        .level(level(finding.severity))
        .message(
            Message::builder()
                .text(format!("{} {}", finding.message, finding.fix))
                .build(),
        )
        .locations(vec![location])
        .partial_fingerprints(BTreeMap::from([("slimpack/v1".to_owned(), identity)]))
        .properties(
            PropertyBag::builder()
                .additional_properties(properties)
                .build(),
        )
        .build()
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
