//! The rules about what a process needs to start, SP001 to SP003: where a rule fires, the real
//! loader refuses; a near miss starts.

use crate::{common, roots};
use std::fs;
use std::path::Path;

use common::{have, is_root};
use roots::{Root, assert_has};
use serde_json::{Value, json};

const APP: &str = "/usr/bin/app";
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const ARM: &str = "aarch64-linux-gnu-gcc";

/// The paths that a loader tries for a library, in order, without the variants for this machine.
fn tried_by_the_loader(root: &Root, library: &str) -> Vec<String> {
    let said = root.start(APP, &[("LD_DEBUG", "libs")]).unwrap();
    let said = said.unwrap_or_else(|said| said);
    let paths = said
        .lines()
        .filter_map(|line| line.split_once("trying file="));
    let mut paths: Vec<String> = paths.map(|(_, path)| path.trim().to_owned()).collect();
    // Before glibc 2.37 the loader also tries legacy subdirectories.
    let is_variant = |path: &str| {
        [
            "glibc-hwcaps",
            "/tls/",
            "/x86_64/",
            "/haswell/",
            "/avx512_1/",
        ]
        .iter()
        .any(|part| path.contains(part))
    };
    paths.retain(|path| path.ends_with(library) && !is_variant(path));
    paths
}

fn tried(found: &Value) -> Vec<String> {
    common::strings(&found["evidence"]["tried"], "path")
}

#[test]
fn sp001_a_missing_library_is_told_with_every_path_that_the_loader_tries() {
    let root = Root::glibc();
    root.library("opt/lib/libgone.so", &[], &[]);
    root.folder("srv/lib");
    let flags = ["-Lopt/lib", "-lgone", "-Wl,-rpath,/opt/absent:/srv/lib"];
    root.program("usr/bin/app", &["gone"], &flags);
    root.remove("opt/lib/libgone.so");

    let report = root.lint();
    assert_eq!(report.status, 1);
    let found = report.only("SP001");
    assert_has(
        found,
        &json!({
            "severity": "error", "path": APP, "subject": "libgone.so", "layer": null,
            "requesters": [APP], "programs": [APP], "chain": [APP],
        }),
    );
    let reasons = common::strings(&found["evidence"]["tried"], "result");
    assert!(reasons.iter().all(|why| why == "ENOENT"), "{reasons:?}");
    if is_root() {
        assert_eq!(tried(found), tried_by_the_loader(&root, "libgone.so"));
    }
    root.does_not_start(APP, "libgone.so: cannot open shared object file");
}

#[test]
fn sp001_a_library_is_missing_once_whoever_needs_it() {
    let root = Root::glibc();
    root.library("lib/libgone.so", &[], &[]);
    root.library("lib/libmiddle.so", &["gone"], &["-Llib", "-lgone"]);
    root.program("usr/bin/app", &["gone"], &["-Llib", "-lgone"]);
    let flags = ["-Llib", "-lmiddle", "-Wl,-rpath-link,lib"];
    root.program("usr/bin/other", &["middle"], &flags);
    root.remove("lib/libgone.so");

    let report = root.lint();
    let found = report.only("SP001");
    assert_has(
        found,
        &json!({"subject": "libgone.so", "programs": [APP, "/usr/bin/other"]}),
    );
    let mut requesters: Vec<_> = found["requesters"].as_array().unwrap().clone();
    requesters.sort_by_key(Value::to_string);
    assert_eq!(requesters, ["/lib/libmiddle.so", APP]);
    root.does_not_start("/usr/bin/other", "libgone.so: cannot open");
}

#[test]
fn sp001_the_chain_leads_from_the_program_to_the_requester() {
    let root = Root::glibc();
    root.library("lib/libgone.so", &[], &[]);
    root.library("lib/libinner.so", &["gone"], &["-Llib", "-lgone"]);
    let flags = ["-Llib", "-linner", "-Wl,-rpath-link,lib"];
    root.library("lib/libouter.so", &["inner"], &flags);
    let flags = ["-Llib", "-louter", "-Wl,-rpath-link,lib"];
    root.program("usr/bin/app", &["outer"], &flags);
    root.remove("lib/libgone.so");
    let report = root.lint();
    let found = report.only("SP001");
    let inner = "/lib/libinner.so";
    assert_has(
        found,
        &json!({
            "requesters": [inner], "programs": [APP],
            "chain": [APP, "/lib/libouter.so", inner],
        }),
    );
}

#[test]
fn sp001_a_library_in_a_folder_that_is_not_searched_is_named_in_the_fix() {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Lopt/lib", "-ldep"]);
    let report = root.lint();
    let found = report.only("SP001");
    assert_has(
        found,
        &json!({"evidence": {"elsewhere": ["/opt/lib/libdep.so"]}}),
    );
    let fix = found["fix"].as_str().unwrap();
    assert!(
        fix.contains("/opt/lib/libdep.so") && fix.contains("-Wl,-rpath,/opt/lib"),
        "{fix}"
    );
    root.does_not_start(APP, "libdep.so: cannot open");
    // The suggested fix works.
    root.starts_with(APP, &[("LD_LIBRARY_PATH", "/opt/lib")]);
}

#[test]
fn sp001_what_the_loader_finds_or_does_without_is_not_missing() {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    let flags = [
        "-Lopt/lib",
        "-ldep",
        "-Wl,-rpath,/opt/absent:/opt/lib",
        // A DT_AUXILIARY library may be absent.
        "-Wl,--auxiliary,libabsent.so",
    ];
    root.library("lib/libouter.so", &["dep"], &flags);
    let flags = ["-Llib", "-louter", "-Wl,-rpath-link,opt/lib"];
    root.program("usr/bin/app", &["outer"], &flags);
    let report = root.lint();
    report.is_silent("SP001");
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn sp001_a_plugin_without_its_library_is_a_warning() {
    let root = Root::glibc();
    root.library("lib/libgone.so", &[], &[]);
    root.library("opt/plugin.so", &["gone"], &["-Llib", "-lgone"]);
    root.remove("lib/libgone.so");
    let report = root.lint();
    assert_has(
        report.only("SP001"),
        &json!({
            "severity": "warning", "subject": "libgone.so",
            "requesters": ["/opt/plugin.so"], "programs": [],
        }),
    );
    assert_eq!(report.status, 0);
}

#[test]
fn sp001_a_plugin_whose_library_is_somewhere_is_only_worth_knowing() {
    let root = Root::glibc();
    root.library("opt/host/libhost.so", &[], &["-Wl,-soname,libhost.so"]);
    root.library("opt/libplugin.so", &["host"], &["-Lopt/host", "-lhost"]);
    let found = root.lint();
    let found = found.only("SP001");
    assert_has(found, &json!({"severity": "info", "subject": "libhost.so"}));
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("/opt/host/libhost.so"), "{message}");
}

#[test]
fn sp001_a_plugin_that_finds_its_libraries_is_silent() {
    let root = Root::glibc();
    root.library("opt/host/libhost.so", &[], &[]);
    let flags = ["-Lopt/host", "-lhost", "-Wl,-rpath,$ORIGIN/host"];
    root.library("opt/libplugin.so", &["host"], &flags);
    root.lint().is_silent("SP001");
}

#[test]
fn sp002_a_missing_interpreter_is_told() {
    let root = Root::glibc();
    let flags = ["-Wl,--dynamic-linker=/opt/ld-gone.so.2"];
    root.program("usr/bin/app", &[], &flags);
    let report = root.lint();
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP002"),
        &json!({
            "severity": "error", "path": APP, "subject": "/opt/ld-gone.so.2",
            "programs": [APP], "evidence": {"errno": "ENOENT", "hops": []},
        }),
    );
    root.does_not_start(APP, "No such file or directory");
}

/// Both faults are reported at once, so that one round of fixes is enough.
#[test]
fn sp002_does_not_hide_the_libraries_that_are_missing_too() {
    let root = Root::glibc();
    root.library("usr/lib/libinner.so", &[], &["-Wl,-soname,libinner.so"]);
    let needs_inner = ["-Lusr/lib", "-linner"];
    root.library("usr/lib/libouter.so", &["inner"], &needs_inner);
    root.library("usr/lib/libgone.so", &[], &["-Wl,-soname,libgone.so"]);
    let link = ["-Lusr/lib", "-louter", "-lgone", "-Wl,-rpath-link,usr/lib"];
    let flags = [&link[..], &["-Wl,--dynamic-linker=/opt/ld-gone.so.2"]].concat();
    root.program("usr/bin/app", &["outer", "gone"], &flags);
    root.program("usr/bin/with-loader", &["outer", "gone"], &link);
    root.remove("usr/lib/libgone.so");
    root.remove("usr/lib/libinner.so");
    let report = root.lint();
    report.only("SP002");
    // The loader of the other program shows what the first one would also lack.
    let subjects = |program: &str| {
        let found = report.of("SP001").into_iter();
        let of_program = found.filter(|found| {
            found["programs"]
                .as_array()
                .unwrap()
                .contains(&json!(program))
        });
        let mut subjects: Vec<String> = of_program
            .map(|found| found["subject"].as_str().unwrap().to_owned())
            .collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects(APP), ["libgone.so", "libinner.so"]);
    assert_eq!(subjects(APP), subjects("/usr/bin/with-loader"));
}

#[test]
fn sp002_a_dangling_interpreter_is_told_with_each_hop() {
    let root = Root::glibc();
    let flags = ["-Wl,--dynamic-linker=/opt/loader"];
    root.program("usr/bin/app", &[], &flags);
    root.link("opt/loader", "/opt/first");
    root.link("opt/first", "second");
    root.link("opt/second", "gone");
    let report = root.lint();
    assert_has(
        report.only("SP002"),
        &json!({
            "subject": "/opt/loader",
            "evidence": {"errno": "ENOENT", "hops": [
                "/opt/loader -> /opt/first", "/opt/first -> second", "/opt/second -> gone",
            ]},
        }),
    );
    root.does_not_start(APP, "No such file or directory");
}

#[test]
fn sp002_an_interpreter_behind_links_and_a_static_program_are_fine() {
    let root = Root::glibc();
    let real = fs::canonicalize(Path::new("/").join(LOADER)).unwrap();
    root.remove(LOADER);
    root.write("opt/loader", fs::read(real).unwrap());
    root.mode("opt/loader", 0o755);
    root.link("opt/hop", "loader");
    root.link(LOADER, "/opt/hop");
    root.program("usr/bin/app", &[], &[]);
    root.program("usr/bin/static", &[], &["-static"]);
    root.program("usr/bin/pie", &[], &["-static-pie"]);
    // A library that can be executed names an interpreter, too.
    let flags = ["-Wl,-soname,librun.so", "-Wl,--dynamic-linker=/gone"];
    root.library("lib/librun.so", &[], &flags);
    let report = root.lint();
    report.is_silent("SP002");
    report.has_no_error();
    for program in [APP, "/usr/bin/static", "/usr/bin/pie"] {
        root.starts(program);
    }
}

#[test]
fn sp003_an_interpreter_for_another_machine_is_told_with_both_headers() {
    if !have(&[ARM]) {
        return;
    }
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    root.remove(LOADER);
    let loader = Path::new(LOADER);
    fs::create_dir_all(root.at("lib64")).unwrap();
    let flags = ["-shared", "-nostdlib", "-Wl,-soname,ld-linux-x86-64.so.2"];
    root.compile_with(ARM, loader.to_str().unwrap(), "int f;", &flags);
    let report = root.lint();
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP003"),
        &json!({
            "severity": "error", "path": APP, "subject": format!("/{LOADER}"), "programs": [APP],
            "evidence": {"is": "aarch64 (elf64)", "wanted": "x86_64 (elf64)"},
        }),
    );
    root.does_not_start(APP, "");
}

#[test]
fn sp003_a_library_that_is_there_for_another_machine_only() {
    if !have(&[ARM]) {
        return;
    }
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    let flags = ["-shared", "-nostdlib", "-fPIC"];
    root.compile_with(ARM, "lib/libdep.so", "int dep(void) { return 1; }", &flags);
    let report = root.lint();
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP003"),
        &json!({
            "severity": "error", "path": APP, "subject": "libdep.so", "requesters": [APP],
            "evidence": {
                "file": "/lib/libdep.so",
                "is": "aarch64 (elf64)", "wanted": "x86_64 (elf64)",
            },
        }),
    );
    report.is_silent("SP001");
    root.does_not_start(APP, "libdep.so: cannot open shared object file");
}

#[test]
fn sp003_a_library_of_the_other_class() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    let flags = ["-m32", "-shared", "-nostdlib", "-fPIC"];
    root.compile("lib/libdep.so", "int dep(void) { return 1; }", &flags);
    assert_has(
        root.lint().only("SP003"),
        &json!({"subject": "libdep.so", "evidence": {"is": "i386 (elf32)"}}),
    );
    root.does_not_start(APP, "libdep.so: ");
}

#[test]
fn sp003_a_library_for_another_machine_is_passed_over_when_a_good_one_follows() {
    if !have(&[ARM]) {
        return;
    }
    let root = Root::glibc();
    root.library("opt/good/libdep.so", &[], &[]);
    let flags = ["-Lopt/good", "-ldep", "-Wl,-rpath,/opt/other:/opt/good"];
    root.program("usr/bin/app", &["dep"], &flags);
    let flags = ["-shared", "-nostdlib", "-fPIC"];
    root.compile_with(
        ARM,
        "opt/other/libdep.so",
        "int dep(void) { return 1; }",
        &flags,
    );
    let report = root.lint();
    report.is_silent("SP003");
    report.is_silent("SP001");
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn a_target_without_faults_has_no_finding_of_error_or_warning() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    let report = root.lint_with(&["--fail-on", "warning"]);
    assert_eq!(report.status, 0, "{report:?}");
    let checked = &report.json["targets"][0]["checked"];
    // The program, the library, the loader and the C library.
    assert_has(checked, &json!({"elf": 4, "scripts": 0}));
    root.starts(APP);
}
