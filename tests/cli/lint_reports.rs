//! Reports for CI systems: JUnit XML, held against the schema of Jenkins, and GitLab's code quality,
//! held against the fields that GitLab and Code Climate require.

use crate::{common, root_images, roots};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{have, output, slimpack, succeed};
use roots::{Root, lint};
use serde_json::{Value, json};

/// A root with an error, warnings and infos.
fn root() -> Root {
    let root = Root::without_a_library();
    root.link("opt/link", "nowhere");
    root.link("opt/a & <b> \"c\" '\u{1}\u{1b}[31m\n\u{fffe}", "no]]>where");
    root
}

fn report(arguments: &[&str], targets: &[&Path]) -> (i32, String) {
    let output = output(slimpack().arg("lint").args(arguments).args(targets));
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

/// Fails unless the document is what the schema of Jenkins describes.
fn check_junit(root: &Root, text: &str) {
    let document = root.beside("junit.xml");
    fs::write(&document, text).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jenkins-junit.xsd");
    succeed(
        Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .args([&schema, &document]),
    );
}

/// What an XPath expression of the document is.
fn xpath(root: &Root, expression: &str) -> String {
    let document = root.beside("junit.xml");
    let found = Command::new("xmllint")
        .args(["--xpath", expression])
        .arg(document)
        .output()
        .unwrap();
    String::from_utf8(found.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn junit_has_a_case_for_each_finding_and_is_valid() {
    if !have(&["xmllint"]) {
        return;
    }
    let (root, clean) = (root(), Root::empty());
    let findings = root.lint().findings().len();
    for (fail_on, failures) in [("error", 1), ("warning", 3), ("never", 0)] {
        let arguments = ["--format", "junit", "--fail-on", fail_on];
        let (status, text) = report(&arguments, &[&root.path, &clean.path]);
        assert_eq!(status, i32::from(failures > 0));
        check_junit(&root, &text);
        let count = |expression: &str| xpath(&root, &format!("count({expression})"));
        assert_eq!(count("//testsuite"), "2");
        assert_eq!(count("//testsuite[1]/testcase"), findings.to_string());
        assert_eq!(count("//testcase/failure"), failures.to_string(), "{text}");
        // A target without findings is a test that passes.
        assert_eq!(count("//testsuite[2]/testcase[not(*)]"), "1");
        let attribute = |name: &str| xpath(&root, &format!("string(/testsuites/@{name})"));
        assert_eq!(attribute("tests"), (findings + 1).to_string());
        assert_eq!(attribute("failures"), failures.to_string());
    }
    let (_, text) = report(&["--format", "junit"], &[&root.path]);
    check_junit(&root, &text);
    assert_eq!(xpath(&root, "string(//failure/@type)"), "SP001");
    assert_eq!(
        xpath(&root, "string(//failure/@message)"),
        "libgone.so is missing"
    );
    assert_eq!(
        xpath(&root, "string(//testcase[failure]/@name)"),
        "SP001 /usr/bin/app: libgone.so"
    );
    let told = xpath(&root, "string(//failure)");
    assert!(
        told.contains("needed by /usr/bin/app\nfix: Add the library"),
        "{told}"
    );
    // The name as it is, but for what XML does not have.
    let odd = xpath(&root, "string(//testcase[contains(@name, '&')]/@name)");
    let shown = "SP304 /opt/a & <b> \"c\" '\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}: no]]>where";
    assert_eq!(odd, shown);
    assert_eq!(
        text,
        report(&["--format", "junit"], &[&root.path]).1,
        "twice the same"
    );
}

#[test]
fn junit_without_a_readable_target_is_valid() {
    if !have(&["xmllint"]) {
        return;
    }
    let root = Root::empty();
    let (status, text) = report(&["--format", "junit"], &[&root.beside("absent")]);
    assert_eq!(status, 2);
    check_junit(&root, &text);
    assert_eq!(xpath(&root, "string(/testsuites/@tests)"), "0");
}

/// The issues of a report, each with the fields that GitLab requires ("Code Quality report format")
/// and those of Code Climate's specification.
fn issues(targets: &[&Path]) -> Vec<Value> {
    let (_, text) = report(&["--format", "gitlab"], targets);
    let document: Value = serde_json::from_str(&text).unwrap();
    let text = json!({"type": "string", "minLength": 1});
    let schema = json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["description", "check_name", "fingerprint", "severity", "location",
                         "type", "categories"],
            "additionalProperties": false,
            "properties": {
                "type": {"const": "issue"},
                "description": text,
                "check_name": text,
                "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
                "categories": {"type": "array", "minItems": 1, "items": {"enum": [
                    "Bug Risk", "Clarity", "Compatibility", "Complexity", "Duplication",
                    "Performance", "Security", "Style"]}},
                "content": {"type": "object", "required": ["body"]},
                "location": {
                    "type": "object",
                    "required": ["path", "lines"],
                    "properties": {
                        "path": {"type": "string", "pattern": "^[^./]|^\\.[^/]|^/"},
                        "lines": {"type": "object", "required": ["begin"],
                                  "properties": {"begin": {"type": "integer", "minimum": 1}}},
                    },
                },
            },
        },
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    document.as_array().unwrap().clone()
}

#[test]
fn gitlab_has_an_issue_for_each_finding_with_a_fingerprint_of_its_own() {
    let root = root();
    let found = root.lint();
    let issues = issues(&[&root.path]);
    assert_eq!(issues.len(), found.findings().len());
    for (issue, finding) in issues.iter().zip(found.findings()) {
        assert_eq!(issue["check_name"], finding["rule"]);
        let severity = match finding["severity"].as_str().unwrap() {
            "error" => "critical",
            "warning" => "major",
            _ => "info",
        };
        assert_eq!(issue["severity"], severity);
        assert_eq!(issue["location"]["path"], root.path.to_str().unwrap());
        let told = issue["description"].as_str().unwrap();
        assert!(
            told.ends_with(finding["message"].as_str().unwrap()),
            "{told}"
        );
    }
    let fingerprints = common::strings(&json!(issues), "fingerprint");
    assert_eq!(
        fingerprints.iter().collect::<BTreeSet<_>>().len(),
        issues.len()
    );
}

#[test]
fn gitlab_fingerprints_survive_other_findings_and_differ_between_targets() {
    let root = root();
    let fingerprint = |targets: &[&Path]| {
        let issues = issues(targets);
        let all = issues.iter().filter(|issue| issue["check_name"] == "SP001");
        all.map(|issue| issue["fingerprint"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let before = fingerprint(&[&root.path]);
    root.link("opt/another", "nowhere");
    root.write("usr/share/large", [1; 100_000]);
    root.write("usr/share/large-too", [1; 100_000]);
    assert_eq!(fingerprint(&[&root.path]), before);
    let other = self::root();
    let both = fingerprint(&[&root.path, &other.path]);
    assert_eq!(both[0], before[0]);
    assert_ne!(both[1], before[0]);
}

#[test]
fn gitlab_names_the_file_of_a_relative_target_as_the_repository_does() {
    let root = root();
    let layer = image_layer(&root);
    let mut command = slimpack();
    command.args(["lint", "--format", "gitlab", "./image.tar"]);
    let output = output(command.current_dir(layer.parent().unwrap()));
    let issues: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(issues[0]["location"]["path"], "image.tar");
    assert_eq!(
        lint([layer]).findings().len(),
        issues.as_array().unwrap().len()
    );
}

fn image_layer(root: &Root) -> std::path::PathBuf {
    let layer = crate::image_writer::Layer::of(&root_images::members(&root.path));
    let path = root.beside("image.tar");
    let files = root_images::layout(&[layer], |_| {});
    fs::write(&path, crate::image_writer::archive(&files)).unwrap();
    path
}
