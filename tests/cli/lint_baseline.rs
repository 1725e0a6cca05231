//! `--baseline` and `--write-baseline`: only new findings count.

use crate::{common, roots};
use std::fs;
use std::path::PathBuf;

use common::{fail_with, output, slimpack};
use roots::{Report, Root};
use serde_json::{Value, json};

/// A root whose program lacks a library, with a dangling link.
fn root() -> Root {
    let root = Root::without_a_library();
    root.link("opt/link", "nowhere");
    root
}

/// The same program under another name.
fn second_program(root: &Root, name: &str) {
    fs::copy(root.at("usr/bin/app"), root.at(name)).unwrap();
}

fn written(root: &Root) -> PathBuf {
    let path = root.beside("baseline.json");
    let report = root.lint_with(&["--write-baseline", path.to_str().unwrap()]);
    assert_eq!(
        report.status, 0,
        "what is written does not fail: {report:?}"
    );
    assert!(!report.findings().is_empty(), "it is still reported");
    path
}

fn held(root: &Root, baseline: &std::path::Path, arguments: &[&str]) -> Report {
    let arguments = [arguments, &["--baseline", baseline.to_str().unwrap()]].concat();
    root.lint_with(&arguments)
}

fn rules(report: &Report) -> Vec<(String, String)> {
    let found = report.findings();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found
        .iter()
        .map(|found| (text(&found["rule"]), text(&found["subject"])))
        .collect()
}

#[test]
fn only_what_is_new_is_reported_and_fails() {
    let root = root();
    let all = root.lint();
    assert_eq!(all.status, 1);
    let baseline = written(&root);
    let report = held(&root, &baseline, &["--fail-on", "info"]);
    assert_eq!(rules(&report), []);
    assert_eq!((report.status, report.stderr.as_str()), (0, ""));
    assert_eq!(report.json["summary"]["known"], all.findings().len());
    root.link("opt/new", "gone");
    let report = held(&root, &baseline, &["--fail-on", "warning"]);
    assert_eq!(rules(&report), [("SP304".into(), "gone".into())]);
    assert_eq!(report.status, 1);
    assert_eq!(held(&root, &baseline, &[]).status, 0, "a warning");
    let text = output(
        slimpack()
            .args(["lint", "--baseline"])
            .args([&baseline, &root.path]),
    );
    let text = String::from_utf8(text.stdout).unwrap();
    let known = format!(", {} in the baseline\n", all.findings().len());
    assert!(text.ends_with(&known), "{text}");
}

#[test]
fn sizes_and_order_do_not_make_a_finding_new() {
    let root = root();
    root.write("usr/share/one", [1; 9000]);
    root.write("usr/share/two", [1; 9000]);
    let baseline = written(&root);
    assert!(held(&root, &baseline, &[]).of("SP306").is_empty());
    // More bytes are wasted.
    root.write("usr/share/one", [1; 20_000]);
    root.write("usr/share/two", [1; 20_000]);
    let report = held(&root, &baseline, &["--fail-on", "info"]);
    assert_eq!((rules(&report), report.status), (vec![], 0));
}

#[test]
fn one_more_program_without_a_library_is_new_and_one_less_is_not() {
    let root = root();
    second_program(&root, "usr/bin/b");
    let baseline = written(&root);
    // The first of them is gone: the finding is about the other.
    root.remove("usr/bin/app");
    assert_eq!(root.lint().only("SP001")["path"], "/usr/bin/b");
    assert!(held(&root, &baseline, &[]).of("SP001").is_empty());
    fs::rename(root.at("usr/bin/b"), root.at("usr/bin/c")).unwrap();
    let report = held(&root, &baseline, &[]);
    assert_eq!(report.only("SP001")["path"], "/usr/bin/c");
    assert_eq!(report.status, 1);
}

#[test]
fn a_finding_that_became_worse_is_new() {
    let root = root();
    let baseline = written(&root);
    let text = fs::read_to_string(&baseline).unwrap();
    assert!(text.contains("\"severity\": \"error\""), "{text}");
    fs::write(&baseline, text.replace("\"error\"", "\"warning\"")).unwrap();
    let report = held(&root, &baseline, &[]);
    assert_eq!(rules(&report), [("SP001".into(), "libgone.so".into())]);
    fs::write(&baseline, text.replace("\"warning\"", "\"error\"")).unwrap();
    assert_eq!(rules(&held(&root, &baseline, &[])), []);
}

#[test]
fn entries_that_no_longer_occur_are_told() {
    let root = root();
    let baseline = written(&root);
    root.remove("opt/link");
    let report = held(&root, &baseline, &[]);
    let name = baseline.display();
    assert_eq!(
        report.stderr,
        format!(
            "warning: {name}: SP304 nowhere at /opt/link no longer occurs; \
             --write-baseline {name} removes them\n"
        )
    );
    assert_eq!(report.status, 0);
    // Rules that are not checked say nothing.
    assert_eq!(held(&root, &baseline, &["--only", "SP001"]).stderr, "");
    root.remove("usr/bin/app");
    let report = held(&root, &baseline, &[]);
    assert!(
        report.stderr.contains(" entries no longer occur; "),
        "{}",
        report.stderr
    );
    assert!(
        report
            .stderr
            .contains("\n  SP001 libgone.so at /usr/bin/app\n"),
        "{}",
        report.stderr
    );
    // Nor does a run that could not check everything.
    let mut command = slimpack();
    command.args(["lint", "-q", "--baseline"]).arg(&baseline);
    let said = fail_with(2, command.args([&root.path, &root.beside("absent")]));
    assert!(!said.contains("no longer"), "{said}");
}

#[test]
fn the_file_is_the_same_for_the_same_findings_whatever_the_order_of_targets() {
    let (one, two) = (root(), Root::glibc());
    two.link("srv/link", "nowhere");
    let text = |targets: [&Root; 2]| {
        let path = one.beside("both.json");
        let mut command = slimpack();
        command.args(["lint", "--write-baseline"]).arg(&path);
        output(command.args(targets.map(|root| &root.path)));
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(text([&one, &two]), text([&two, &one]));
    let document: Value = serde_json::from_str(&text([&one, &two])).unwrap();
    assert_eq!(document["schema"], 1);
    let links = document["findings"].as_array().unwrap().iter();
    let links: Vec<_> = links.filter(|found| found["rule"] == "SP304").collect();
    assert_eq!(
        links,
        [
            &json!({"rule": "SP304", "severity": "warning", "subject": "nowhere",
                 "paths": ["/opt/link", "/srv/link"]})
        ]
    );
}

#[test]
fn a_run_that_cannot_check_everything_leaves_the_file() {
    let root = root();
    let baseline = written(&root);
    let before = fs::read(&baseline).unwrap();
    root.link("opt/new", "nowhere");
    let mut command = slimpack();
    command
        .args(["lint", "-q", "--write-baseline"])
        .arg(&baseline);
    fail_with(2, command.args([&root.path, &root.beside("absent")]));
    assert_eq!(fs::read(&baseline).unwrap(), before);
    // Renewed from itself: new findings still fail this run, and none fails the next.
    let path = baseline.to_str().unwrap();
    let report = held(
        &root,
        &baseline,
        &["--write-baseline", path, "--fail-on", "warning"],
    );
    assert_eq!(report.status, 1);
    assert_eq!(held(&root, &baseline, &["--fail-on", "info"]).status, 0);
}

#[test]
fn a_baseline_that_cannot_be_read_is_an_error() {
    let root = root();
    let baseline = written(&root);
    let text = fs::read_to_string(&baseline).unwrap();
    for (text, says) in [
        (
            text.replace("\"schema\": 1", "\"schema\": 2"),
            "it was written by a newer version of slimpack (schema 2, this version reads 1)",
        ),
        (
            "{\"schema\": 7}".to_owned(),
            "by a newer version of slimpack (schema 7",
        ),
        (
            text[..text.len() / 2].to_owned(),
            "it is not a baseline: EOF while parsing",
        ),
        (
            text.replace("\"paths\"", "\"path\""),
            "missing field `paths`",
        ),
        (
            text.replace("\"error\"", "\"fatal\""),
            "unknown variant `fatal`",
        ),
        ("[]".to_owned(), "it is not a baseline: "),
        (String::new(), "it is not a baseline: EOF"),
        ("{}".to_owned(), "missing field `schema`"),
        ("\0\u{1}garbage".to_owned(), "it is not a baseline: "),
    ] {
        fs::write(&baseline, &text).unwrap();
        let mut command = slimpack();
        command.args(["lint", "--baseline"]).arg(&baseline);
        let said = fail_with(2, command.arg(&root.path));
        let start = format!("error: cannot use {}: ", baseline.display());
        assert!(said.starts_with(&start) && said.contains(says), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let mut command = slimpack();
    command
        .args(["lint", "--baseline"])
        .arg(root.beside("absent.json"));
    let said = fail_with(2, command.arg(&root.path));
    assert!(said.contains("absent.json: No such file"), "{said}");
}
