//! The requirements of a policy, `[lint.libraries]` and `[lint.image]`: what fires, and what is just
//! within them.

use crate::{common, roots};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{fail_with, have, slimpack, succeed};
use roots::{Report, Root, assert_has, lint};
use serde_json::json;

/// `/usr/bin/app` needs libouter.so, which needs libinner.so, and `/usr/bin/plain` needs libc alone.
fn root() -> Root {
    let root = Root::glibc();
    root.library("lib/libinner.so", &[], &["-Wl,-soname,libinner.so"]);
    root.library(
        "lib/libouter.so",
        &["inner"],
        &["-Wl,-soname,libouter.so", "-Llib", "-linner"],
    );
    let flags = ["-Llib", "-louter", "-Wl,-rpath-link,lib"];
    root.program("usr/bin/app", &["outer"], &flags);
    root.program("usr/bin/plain", &[], &[]);
    root
}

fn with_policy(root: &Root, policy: &str) -> Report {
    fs::write(root.beside("slimpack.toml"), policy).unwrap();
    root.lint()
}

/// The findings of one rule, as (path, subject).
fn told(report: &Report, rule: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let found = report.of(rule).into_iter();
    found
        .map(|found| (text(&found["path"]), text(&found["subject"])))
        .collect()
}

fn pair(path: &str, subject: &str) -> (String, String) {
    (path.to_owned(), subject.to_owned())
}

#[test]
fn a_denied_library_is_found_wherever_it_is_in_the_closure() {
    let root = root();
    let report = with_policy(&root, "[lint.libraries]\ndeny = [\"libinner.*\"]\n");
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP501"),
        &json!({"severity": "error", "path": "/usr/bin/app", "subject": "libinner.so",
                "requesters": ["/lib/libouter.so"], "programs": ["/usr/bin/app"]}),
    );
    // By its path, too.
    let report = with_policy(&root, "[lint.libraries]\ndeny = [\"/lib/libinner.so\"]\n");
    assert_eq!(report.of("SP501").len(), 1);
    for near in [
        "libinner",
        "libInner.so",
        "inner.so",
        "/usr/lib/libinner.so",
    ] {
        let policy = format!("[lint.libraries]\ndeny = [{near:?}]\n");
        with_policy(&root, &policy).is_silent("SP501");
    }
}

#[test]
fn a_denied_library_that_is_missing_or_whose_loader_is_missing_is_found() {
    let root = root();
    root.remove("lib/libinner.so");
    let policy = "[lint.libraries]\ndeny = [\"libinner.so\", \"libouter.so\"]\n";
    let report = with_policy(&root, policy);
    let both = [
        pair("/usr/bin/app", "libinner.so"),
        pair("/usr/bin/app", "libouter.so"),
    ];
    assert_eq!(told(&report, "SP501"), both);
    fs::remove_dir_all(root.at("lib64")).unwrap();
    let report = with_policy(&root, policy);
    assert_eq!(told(&report, "SP501"), both[1..]);
}

#[test]
fn a_library_that_no_program_loads_is_held_against_the_policy() {
    let root = root();
    root.remove("usr/bin/app");
    let report = with_policy(&root, "[lint.libraries]\ndeny = [\"libinner.so\"]\n");
    assert_eq!(
        told(&report, "SP501"),
        [pair("/usr/lib/libouter.so", "libinner.so")]
    );
}

#[test]
fn only_allowed_libraries_may_be_loaded_and_the_loader_always() {
    let root = root();
    let report = with_policy(
        &root,
        "[lint.libraries]\nallow = [\"libc.so.6\", \"libouter.so\"]\n",
    );
    assert_eq!(
        told(&report, "SP502"),
        [pair("/usr/bin/app", "libinner.so")]
    );
    let all = "[lint.libraries]\nallow = [\"libc.so.*\", \"lib{inner,outer}.so\"]\n";
    with_policy(&root, all).is_silent("SP502");
    // None at all.
    let report = with_policy(&root, "[lint.libraries]\nallow = []\n");
    let found: BTreeSet<String> = told(&report, "SP502")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    // What the loader of this machine says, without itself and the kernel's.
    let mut expected = BTreeSet::new();
    for program in ["usr/bin/app", "usr/bin/plain"] {
        if let Some(listed) = root.start(program, &[("LD_TRACE_LOADED_OBJECTS", "1")]) {
            let listed = listed.unwrap();
            let names = listed
                .lines()
                .filter_map(|line| line.trim().split(' ').next());
            let names =
                names.filter(|name| name.starts_with("lib") || name.starts_with("/lib/lib"));
            expected.extend(names.map(|name| name.trim_start_matches("/lib/").to_owned()));
        }
    }
    assert!(
        expected.is_empty() || found == expected,
        "{found:?} {expected:?}"
    );
}

#[test]
fn what_one_program_may_load_is_added_to_what_all_may() {
    let root = root();
    let policy = "[lint.libraries]\nallow = [\"libc.so.6\"]\n\
                  [[lint.libraries.program]]\npath = \"/usr/bin/ap?\"\nallow = [\"lib*er.so\"]\n";
    let report = with_policy(&root, policy);
    // /lib/libouter.so is loaded by the program, and is not checked on its own.
    report.is_silent("SP502");
    let policy = "[[lint.libraries.program]]\npath = \"/usr/bin/plain\"\n\
                  deny = [\"libouter.so\", \"libc.so.6\"]\nrequire = [\"libinner.so\"]\n";
    let report = with_policy(&root, policy);
    assert_eq!(
        told(&report, "SP501"),
        [pair("/usr/bin/plain", "libc.so.6")]
    );
    assert_eq!(
        told(&report, "SP503"),
        [pair("/usr/bin/plain", "libinner.so")]
    );
}

#[test]
fn a_required_library_is_missed_by_each_program_without_it() {
    let root = root();
    root.program("usr/bin/alone", &[], &["-static"]);
    let report = with_policy(&root, "[lint.libraries]\nrequire = [\"libinner.so\"]\n");
    let found = report.only("SP503");
    assert_has(
        found,
        &json!({"subject": "libinner.so", "severity": "error"}),
    );
    assert_eq!(
        found["programs"],
        json!(["/usr/bin/alone", "/usr/bin/plain"])
    );
    let policy = "[[lint.libraries.program]]\npath = \"/usr/bin/app\"\nrequire = [\"libin*.so\"]\n";
    with_policy(&root, policy).is_silent("SP503");
}

/// The highest release of glibc among the versions that `objdump -T` shows for undefined symbols.
fn objdump_release(path: &std::path::Path) -> Vec<u32> {
    let shown = succeed(Command::new("objdump").arg("-T").arg(path));
    let undefined = shown.lines().filter(|line| line.contains("*UND*"));
    let releases = undefined.filter_map(|line| {
        let (_, rest) = line.split_once("GLIBC_")?;
        let number = rest.split([')', ' ']).next()?;
        number.split('.').map(|part| part.parse().ok()).collect()
    });
    releases.max().unwrap()
}

fn release(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(".")
}

#[test]
fn an_object_needs_the_newest_release_that_objdump_shows() {
    if !have(&["objdump"]) {
        return;
    }
    let root = root();
    let source = "#include <pthread.h>\n#include <math.h>\n\
                  int threads(void) { return pthread_create(0, 0, 0, 0) + (int) pow(2, 3); }";
    let flags = ["-shared", "-fPIC", "-lm"];
    root.compile("opt/libthreads.so", source, &flags);
    for (object, others) in [
        ("opt/libthreads.so", "/usr/**"),
        ("usr/bin/plain", "/opt/*"),
    ] {
        let needed = objdump_release(&root.at(object));
        let path = format!("/{object}");
        let of_path = |report: &Report| {
            let mut found = told(report, "SP504");
            found.retain(|(found, _)| *found == path);
            found
        };
        let policy = |max: &str| {
            format!("[[lint.libraries.program]]\npath = \"{path}\"\nmax-glibc = {max:?}\n")
        };
        let report = with_policy(&root, &policy(&release(&needed)));
        assert_eq!(of_path(&report), [], "{report:?}");
        let mut older = needed.clone();
        older[1] -= 1;
        let report = with_policy(&root, &policy(&release(&older)));
        assert_eq!(of_path(&report), [pair(&path, "glibc")], "{others}");
        let found = report.only("SP504");
        assert_has(
            &found["evidence"],
            &json!({"needs": release(&needed), "max": release(&older)}),
        );
        let symbols = common::strings(&json!([{"s": found["evidence"]["symbols"][0]}]), "s");
        assert!(
            symbols[0].ends_with(&format!("@GLIBC_{}", release(&needed))),
            "{found}"
        );
    }
}

#[test]
fn the_parts_of_glibc_and_programs_for_musl_need_no_release() {
    let root = Root::glibc();
    let policy = "[lint.libraries]\nmax-glibc = \"2.1\"\n";
    with_policy(&root, policy).is_silent("SP504");
    if have(&[roots::MUSL_GCC]) {
        let root = Root::musl();
        root.program("usr/bin/app", &[], &[]);
        with_policy(&root, policy).is_silent("SP504");
    }
}

#[test]
fn the_lowest_limit_on_glibc_counts() {
    let root = root();
    let policy = "[lint.libraries]\nmax-glibc = \"2.99\"\n\
                  [[lint.libraries.program]]\npath = \"/usr/bin/p*\"\nmax-glibc = \"2.1\"\n";
    let report = with_policy(&root, policy);
    assert_eq!(told(&report, "SP504"), [pair("/usr/bin/plain", "glibc")]);
}

#[test]
fn programs_that_have_to_be_static_are() {
    let root = root();
    root.program("app/alone", &[], &["-static"]);
    root.program("app/pie", &[], &["-static-pie"]);
    let policy = "[lint.libraries]\nstatic = [\"/app/*\"]\n";
    with_policy(&root, policy).is_silent("SP505");
    root.program("app/deep/dynamic", &[], &[]);
    with_policy(&root, policy).is_silent("SP505");
    let policy = "[lint.libraries]\nstatic = [\"/app/**\"]\n";
    let report = with_policy(&root, policy);
    assert_has(
        report.only("SP505"),
        &json!({"path": "/app/deep/dynamic", "severity": "error",
                "evidence": {"needed": ["libc.so.6"]}}),
    );
    report.is_silent("SP509");
}

#[test]
fn a_pattern_that_matches_no_program_is_told() {
    let root = root();
    let policy = "[lint.libraries]\nstatic = [\"/ap/*\"]\n\
                  [[lint.libraries.program]]\npath = \"/usr/bin/absent\"\n\
                  [[lint.libraries.program]]\npath = \"/usr/bin/app\"\n";
    let report = with_policy(&root, policy);
    assert_eq!(
        told(&report, "SP509"),
        [pair("/", "/ap/*"), pair("/", "/usr/bin/absent")]
    );
    assert_eq!(report.status, 0, "a warning");
}

#[test]
fn a_budget_counts_files_and_bytes_as_find_does() {
    let root = root();
    root.write("opt/data", [7; 5000]);
    fs::hard_link(root.at("opt/data"), root.at("opt/same")).unwrap();
    let shown = succeed(
        Command::new("find")
            .arg(&root.path)
            .args(["-type", "f", "-printf", "%i %s\\n"]),
    );
    let inodes: BTreeSet<(u64, u64)> = shown
        .lines()
        .map(|line| {
            let (inode, size) = line.split_once(' ').unwrap();
            (inode.parse().unwrap(), size.parse().unwrap())
        })
        .collect();
    let (files, bytes) = (
        inodes.len(),
        inodes.iter().map(|(_, size)| size).sum::<u64>(),
    );
    let policy = format!("[lint.image]\nmax-files = {files}\nmax-size = {bytes}\n");
    with_policy(&root, &policy).is_silent("SP506");
    let policy = format!(
        "[lint.image]\nmax-files = {}\nmax-size = \"{}B\"\n",
        files - 1,
        bytes - 1
    );
    let report = with_policy(&root, &policy);
    assert_has(
        &report.about("SP506", "size")["evidence"],
        &json!({"bytes": bytes, "max": bytes - 1}),
    );
    assert_has(
        &report.about("SP506", "files")["evidence"],
        &json!({"files": files, "max": files - 1}),
    );
    with_policy(&root, "[lint.image]\nmax-size = \"1GiB\"\n").is_silent("SP506");
}

#[test]
fn setuid_programs_are_those_that_find_finds() {
    let root = root();
    for (file, mode) in [
        ("su", 0o4755),
        ("wall", 0o2755),
        ("plain", 0o755),
        ("data", 0o4644),
    ] {
        let path = format!("opt/{file}");
        root.write(&path, "text");
        root.mode(&path, mode);
    }
    let policy = "[lint.image]\nno-setuid = true\n";
    let report = with_policy(&root, policy);
    let shown = succeed(Command::new("find").arg(&root.path).args([
        "-type", "f", "-perm", "/6000", "-perm", "/111", "-printf", "/%P\\n",
    ]));
    let mut expected: Vec<&str> = shown.lines().collect();
    expected.sort_unstable();
    assert_eq!(expected, ["/opt/su", "/opt/wall"]);
    assert_eq!(
        told(&report, "SP507"),
        [pair("/opt/su", "setuid"), pair("/opt/wall", "setgid")]
    );
    with_policy(&root, "[lint.image]\nno-setuid = false\n").is_silent("SP507");
}

#[test]
fn shells_are_programs_and_links_with_a_name_of_one() {
    let root = root();
    root.program("usr/bin/dash", &[], &["-static"]);
    root.link("usr/bin/sh", "dash");
    root.link("usr/bin/ash", "nowhere");
    root.write("usr/share/completions/bash", "text");
    root.folder("opt/zsh");
    let report = with_policy(&root, "[lint.image]\nno-shell = true\n");
    assert_eq!(
        told(&report, "SP508"),
        [pair("/usr/bin/dash", "shell"), pair("/usr/bin/sh", "shell")]
    );
}

#[test]
fn single_programs_are_held_against_libraries_but_have_no_budget() {
    let root = root();
    let policy = root.beside("policy.toml");
    let app = root.at("usr/bin/app");
    fs::write(
        &policy,
        format!(
            "[lint.libraries]\ndeny = [\"libc.so.6\"]\nmax-glibc = \"2.1\"\nstatic = [{:?}]\n\
             [lint.image]\nmax-files = 0\nno-shell = true\n",
            app.display()
        ),
    )
    .unwrap();
    let report = lint([
        "--config".as_ref(),
        policy.as_os_str(),
        "-L".as_ref(),
        root.at("lib").as_os_str(),
        app.as_os_str(),
    ]);
    for rule in ["SP501", "SP504", "SP505"] {
        assert_eq!(report.of(rule).len(), 1, "{rule}: {report:?}");
    }
    for rule in ["SP506", "SP508", "SP509"] {
        report.is_silent(rule);
    }
}

#[test]
fn a_requirement_that_cannot_be_read_is_an_error() {
    let root = Root::empty();
    for (policy, says) in [
        (
            "[lint.libraries]\nmax-glibc = \"2\"\n",
            "max-glibc is \"2\"; write a release",
        ),
        (
            "[lint.libraries]\nmax-glibc = 2.31\n",
            "line 2, column 13: ",
        ),
        (
            "[lint.libraries]\ndenied = []\n",
            "line 2, column 1: unknown field `denied`",
        ),
        (
            "[[lint.libraries.program]]\ndeny = []\n",
            "missing field `path`",
        ),
        (
            "[lint.image]\nmax-size = \"20 megs\"\n",
            "max-size is \"20 megs\"; write a number",
        ),
        ("[lint.image]\nmax-files = -1\n", "line 2, column 13: "),
    ] {
        fs::write(root.beside("policy.toml"), policy).unwrap();
        let mut command = slimpack();
        command
            .arg("lint")
            .arg("--config")
            .arg(root.beside("policy.toml"));
        let said = fail_with(2, command.arg(&root.path));
        assert!(said.contains(says), "{policy}: {said}");
    }
}

#[test]
fn findings_of_the_policy_can_be_ignored_and_selected() {
    let root = root();
    let policy = "[lint.libraries]\ndeny = [\"libinner.so\"]\nmax-glibc = \"2.1\"\n\
                  [[lint.ignore]]\nrule = \"SP504\"\npath = \"/usr/bin/app\"\nreason = \"later\"\n";
    let report = with_policy(&root, policy);
    assert_eq!(told(&report, "SP504"), [pair("/usr/bin/plain", "glibc")]);
    let report = root.lint_with(&["--only", "SP501"]);
    assert_eq!(report.findings().len(), 1);
}
