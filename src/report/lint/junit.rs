//! JUnit XML, as Jenkins and most CI systems read it: a suite for each target, a case for each finding.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Linted, failing, fails};
use crate::lint::Finding;
use crate::vfs::one_line;

/// Writes the document for all targets. A case fails if its finding makes the run fail; a target
/// without findings has one case, which passes.
///
/// # Errors
/// When `out` fails.
pub fn junit(targets: &[Linted], out: &mut dyn Write) -> io::Result<()> {
    let mut xml = Writer::new_with_indent(out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (tests, failures) = targets.iter().fold((0, 0), |(tests, failures), target| {
        (tests + cases(target), failures + failing(target))
    });
    let (tests, failures) = (tests.to_string(), failures.to_string());
    let suites = xml.create_element("testsuites").with_attributes([
        ("name", "slimpack lint"),
        ("tests", tests.as_str()),
        ("failures", failures.as_str()),
    ]);
    if targets.is_empty() {
        suites.write_empty()?;
    } else {
        suites
            .write_inner_content(|xml| targets.iter().try_for_each(|target| suite(xml, target)))?;
    }
    writeln!(xml.into_inner())
}

/// The number of cases of a target.
fn cases(target: &Linted) -> usize {
    target.findings.findings.len().max(1)
}

fn suite(xml: &mut Writer<&mut dyn Write>, target: &Linted) -> io::Result<()> {
    let (name, tests) = (valid(&target.name), cases(target).to_string());
    let failures = failing(target).to_string();
    let suite = xml.create_element("testsuite").with_attributes([
        ("name", name.as_str()),
        ("tests", tests.as_str()),
        ("failures", failures.as_str()),
        ("errors", "0"),
    ]);
    suite.write_inner_content(|xml| {
        if target.findings.findings.is_empty() {
            let case = xml.create_element("testcase");
            case.with_attributes([("name", "slimpack lint"), ("classname", name.as_str())])
                .write_empty()?;
        }
        let mut findings = target.findings.findings.iter();
        findings.try_for_each(|finding| case(xml, &name, finding, fails(target, finding)))
    })?;
    Ok(())
}

fn case(
    xml: &mut Writer<&mut dyn Write>,
    class: &str,
    finding: &Finding,
    fails: bool,
) -> io::Result<()> {
    let name = valid(&format!(
        "{} {}: {}",
        finding.rule.id,
        finding.path.display(),
        finding.subject
    ));
    let message = valid(&finding.message);
    let text = details(finding);
    let case = xml.create_element("testcase");
    case.with_attributes([("name", name.as_str()), ("classname", class)])
        .write_inner_content(|xml| {
            let text = BytesText::new(&text);
            if fails {
                let attributes = [("type", finding.rule.id), ("message", message.as_str())];
                let failure = xml.create_element("failure").with_attributes(attributes);
                failure.write_text_content(text)?;
            } else {
                xml.create_element("system-out").write_text_content(text)?;
            }
            Ok(())
        })?;
    Ok(())
}

/// What text reports print about a finding.
fn details(finding: &Finding) -> String {
    let mut lines = vec![format!(
        "{} {}: {}",
        finding.severity.as_str(),
        finding.rule.id,
        finding.message
    )];
    let requesters = finding.requesters.iter();
    lines.extend(requesters.map(|path| format!("needed by {}", path.display())));
    lines.push(format!("fix: {}", finding.fix));
    let lines: Vec<String> = lines.iter().map(|line| valid(line)).collect();
    lines.join("\n")
}

/// The text without characters that XML 1.0 does not have, and on one line: names come from images.
fn valid(text: &str) -> String {
    one_line(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
