//! Which findings count: `--fail-on`, `--ignore`, `--only`, `slimpack.toml`, and the errors for an
//! invalid policy.

use crate::{common, roots};
use std::fs;
use std::path::Path;

use common::{fail_with, output, slimpack, succeed};
use roots::{Report, Root, lint};

/// A root with one error (SP001), two warnings (SP304) and some infos.
fn root() -> Root {
    let root = Root::without_a_library();
    root.link("opt/link", "nowhere");
    root.link("srv/link", "nowhere");
    root
}

/// The numbers of errors, warnings, infos and ignored findings.
fn counts(report: &Report) -> [u64; 4] {
    ["error", "warning", "info", "ignored"]
        .map(|name| report.json["summary"][name].as_u64().unwrap())
}

fn rules(report: &Report) -> Vec<String> {
    let mut rules: Vec<String> = report
        .findings()
        .iter()
        .map(|found| found["rule"].as_str().unwrap().to_owned())
        .collect();
    rules.sort();
    rules.dedup();
    rules
}

#[test]
fn the_exit_status_depends_on_the_worst_finding_and_fail_on() {
    let root = root();
    assert_eq!(counts(&root.lint()), [1, 2, 2, 0]);
    let worst = |ignored: &[&str], fail_on: Option<&str>| {
        let mut arguments: Vec<&str> = Vec::new();
        for rule in ignored {
            arguments.extend(["--ignore", rule]);
        }
        if let Some(severity) = fail_on {
            arguments.extend(["--fail-on", severity]);
        }
        root.lint_with(&arguments).status
    };
    let no_error = ["SP001"];
    let no_warning = ["SP001", "SP304"];
    let nothing = ["SP001", "SP304", "SP203", "SP204"];
    for (fail_on, expected) in [
        (None, [1, 0, 0, 0]),
        (Some("error"), [1, 0, 0, 0]),
        (Some("warning"), [1, 1, 0, 0]),
        (Some("info"), [1, 1, 1, 0]),
        (Some("never"), [0, 0, 0, 0]),
    ] {
        let found =
            [&[][..], &no_error, &no_warning, &nothing].map(|ignored| worst(ignored, fail_on));
        assert_eq!(found, expected, "{fail_on:?}");
    }
    let said = fail_with(2, slimpack().args(["lint", "--fail-on", "warn", "."]));
    assert!(said.contains("'warning'"), "{said}");
}

#[test]
fn an_ignore_passes_over_a_rule_or_what_its_glob_matches() {
    let root = root();
    for (ignore, expected) in [
        ("SP304", [1, 0, 2, 2]),
        ("SP304:/opt/*", [1, 1, 2, 1]),
        ("SP304:/opt/**", [1, 1, 2, 1]),
        ("SP304:/srv/link", [1, 1, 2, 1]),
        ("SP304:/usr/**", [1, 2, 2, 0]),
        // A pattern matches the subject of a finding as well as its path.
        ("SP001:libgone.so*", [0, 2, 2, 1]),
        ("SP001:/usr/bin/app", [0, 2, 2, 1]),
        ("SP001:libother.so", [1, 2, 2, 0]),
    ] {
        let report = root.lint_with(&["--ignore", ignore]);
        assert_eq!(counts(&report), expected, "{ignore}");
        assert_eq!(report.status, i32::from(expected[0] > 0));
    }
    let both = root.lint_with(&["--ignore", "SP304", "--ignore", "SP001"]);
    assert_eq!(counts(&both), [0, 0, 2, 3]);
}

#[test]
fn only_some_rules_are_checked() {
    let root = root();
    let report = root.lint_with(&["--only", "SP304"]);
    assert_eq!(
        (rules(&report), report.status),
        (vec!["SP304".to_owned()], 0)
    );
    for only in [
        &["--only", "SP304,SP001"][..],
        &["--only", "SP001", "--only", "SP304"],
    ] {
        let report = root.lint_with(only);
        assert_eq!(rules(&report), ["SP001", "SP304"]);
        assert_eq!(report.status, 1);
    }
    let report = root.lint_with(&["--only", "SP304", "--ignore", "SP304:/opt/*"]);
    assert_eq!(report.findings().len(), 1);
}

#[test]
fn a_rule_that_does_not_exist_is_refused_with_the_nearest() {
    for arguments in [
        &["--ignore", "SP01", "."][..],
        &["--ignore", "SP01:*.so", "."],
        &["--only", "SP304,SP01", "."],
        &["--explain", "SP01"],
        &["--explain", "sp01"],
    ] {
        let said = fail_with(2, slimpack().arg("lint").args(arguments));
        assert!(said.starts_with("error: there is no rule "), "{said}");
        assert!(
            said.contains("did you mean SP001?"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("--list-rules"), "{said}");
    }
    let said = fail_with(2, slimpack().args(["lint", "--only", "everything", "."]));
    assert!(
        said.contains("no rule everything;") && !said.contains("mean"),
        "{said}"
    );
}

const POLICY: &str = r#"
[lint]
fail-on = "warning"

[[lint.ignore]]
rule = "SP001"
reason = "it is installed later"

[[lint.ignore]]
rule = "SP304"
path = "/opt/*"
reason = "the volume has it"
"#;

#[test]
fn a_policy_beside_the_target_counts() {
    let root = root();
    fs::write(root.beside("slimpack.toml"), POLICY).unwrap();
    let report = root.lint();
    assert_eq!(counts(&report), [0, 1, 2, 2]);
    assert_eq!(report.status, 1, "it fails on warnings");
    // The command line overrides what fails, and adds to what is ignored.
    assert_eq!(root.lint_with(&["--fail-on", "error"]).status, 0);
    let report = root.lint_with(&["--ignore", "SP304:/srv/*"]);
    assert_eq!((counts(&report), report.status), ([0, 0, 2, 3], 0));
    // The policy file is also found next to a relative target.
    let mut command = slimpack();
    command.args(["lint", "--format", "json", "root"]);
    let output = output(command.current_dir(root.beside("")));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["summary"]["ignored"], 2);
}

#[test]
fn a_policy_counts_for_its_own_target_only() {
    let (with, without) = (root(), root());
    fs::write(with.beside("slimpack.toml"), POLICY).unwrap();
    let report = lint([&with.path, &without.path]);
    assert_eq!(counts(&report), [1, 3, 4, 2]);
}

#[test]
fn a_policy_that_is_named_counts_instead_of_the_one_beside() {
    let root = root();
    fs::write(root.beside("slimpack.toml"), POLICY).unwrap();
    let named = root.beside("other.toml");
    let rule = "[[lint.ignore]]\nrule = \"SP203\"\nreason = \"old\"\n";
    fs::write(&named, rule).unwrap();
    let named = named.to_str().unwrap();
    assert_eq!(counts(&root.lint_with(&["--config", named])), [1, 2, 1, 1]);
    fs::write(root.beside("other.toml"), "").unwrap();
    assert_eq!(counts(&root.lint_with(&["--config", named])), [1, 2, 2, 0]);
}

#[test]
fn a_value_of_none_is_a_value_for_a_verb_with_a_policy() {
    let root = root();
    let policy = root.beside("policy.toml");
    fs::write(&policy, "").unwrap();
    let mut command = slimpack();
    command.arg("lint").arg("--config").arg(&policy);
    let said = fail_with(2, command.args(["--root=none", "/bin/ls"]));
    assert!(said.contains("none"), "{said}");
}

fn refused(root: &Root, policy: &str) -> String {
    let path = root.beside("policy.toml");
    fs::write(&path, policy).unwrap();
    let mut command = slimpack();
    let said = fail_with(
        2,
        command
            .arg("lint")
            .arg("--config")
            .arg(&path)
            .arg(&root.path),
    );
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_policy_that_cannot_be_used_is_refused_with_its_line() {
    let root = Root::empty();
    let ignore = "[[lint.ignore]]\nrule = \"SP001\"\n";
    for (policy, says) in [
        (
            "[lint]\nfail_on = \"error\"\n",
            "line 2, column 1: unknown field `fail_on`",
        ),
        ("[Lint]\n", "line 1, column 2: unknown field `Lint`"),
        (
            "[lint]\nfail-on = \"warn\"\n",
            "line 2, column 11: unknown variant `warn`",
        ),
        ("[lint\n", "line 1, column "),
        ("lint = 3\n", "line 1, column 8: "),
        (
            &format!("\n{ignore}reasons = \"x\"\n"),
            "line 4, column 1: unknown field `reasons`",
        ),
        (&format!("\n{ignore}"), "missing field `reason`"),
        (&format!("{ignore}reason = \"\"\n"), "SP001 has no reason"),
        (
            "[[lint.ignore]]\nrule = \"SP01\"\nreason = \"x\"\n",
            "did you mean SP001?",
        ),
    ] {
        let said = refused(&root, policy);
        assert!(said.contains(says), "{policy}: {said}");
    }
    let mut command = slimpack();
    let absent = root.beside("absent.toml");
    let said = fail_with(
        2,
        command
            .arg("lint")
            .arg("--config")
            .arg(&absent)
            .arg(&root.path),
    );
    assert!(
        said.contains("absent.toml: No such file or directory"),
        "{said}"
    );
}

#[test]
fn a_broken_policy_beside_one_target_does_not_keep_the_others() {
    let (broken, good) = (root(), root());
    fs::write(broken.beside("slimpack.toml"), "ignore = 1\n").unwrap();
    let report = lint([&broken.path, &good.path]);
    assert_eq!(report.status, 2);
    assert!(
        report
            .stderr
            .contains("line 1, column 1: unknown field `ignore`"),
        "{}",
        report.stderr
    );
    assert_eq!(counts(&report), [1, 2, 2, 0]);
}

#[test]
fn quiet_prints_nothing_when_clean() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    let text = |root: &Path| succeed(slimpack().args(["lint", "-q"]).arg(root));
    assert_eq!(text(&root.path), "");
    root.link("opt/link", "nowhere");
    let shown = text(&root.path);
    assert!(
        shown.starts_with("warning SP304 /opt/link -> nowhere"),
        "{shown}"
    );
}
