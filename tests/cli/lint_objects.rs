//! The rules about single objects and their declarations: SP013 to SP016, SP201 to SP204.

use crate::{common, root_images, roots};
use std::fs;
use std::process::Command;

use common::{have, succeed};
use root_images::lint_image;
use roots::{MUSL_GCC, Root, assert_has};
use serde_json::{Value, json};

const APP: &str = "/usr/bin/app";

#[test]
fn sp013_an_object_for_a_newer_processor_than_the_platform() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &["-Wl,-z,x86-64-v3"]);
    for (variant, finds) in [
        (None, true),
        (Some("v2"), true),
        (Some("v3"), false),
        (Some("v4"), false),
    ] {
        let report = lint_image(&root, |config| {
            if let Some(variant) = variant {
                config["variant"] = json!(variant);
            }
        });
        if !finds {
            report.is_silent("SP013");
            continue;
        }
        let platform = ["linux/amd64"].into_iter().chain(variant);
        let platform = platform.collect::<Vec<_>>().join("/");
        assert_has(
            report.only("SP013"),
            &json!({
                "severity": "warning", "path": APP, "subject": "x86-64-v3",
                "evidence": {"needed": 3, "platform": platform},
            }),
        );
    }
    // A bare root directory has no platform.
    root.lint().is_silent("SP013");
}

#[test]
fn sp013_variants_the_baseline_and_what_is_only_used_are_fine() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    let used = ["-march=x86-64-v3", "-Wa,-mx86-used-note=yes"];
    root.program(
        "usr/bin/app",
        &["dep"],
        &[&["-Llib", "-ldep"], &used[..]].concat(),
    );
    let variant = "lib/glibc-hwcaps/x86-64-v3/libdep.so";
    root.library(variant, &[], &["-Wl,-z,x86-64-v3"]);
    lint_image(&root, |_| ()).is_silent("SP013");
}

/// Adds to a C source a note that declares a library opened by name.
fn with_note(source: &str, note: &Value) -> String {
    let text = note.to_string().replace('"', r#"\\\""#);
    format!(
        r#"__asm__(".pushsection .note.dlopen,\"a\",@note\n.balign 4\n.long 4, 2f - 1f, 0x407c0c0a\n"
        ".asciz \"FDO\"\n1: .asciz \"{text}\"\n2: .balign 4\n.popsection\n");
        {source}"#
    )
}

const MAIN: &str = "int main(void) { return 0; }";

#[test]
fn sp014_an_unmet_note_is_as_bad_as_its_priority() {
    for (priority, severity, status) in [
        (json!("required"), "error", 1),
        (json!("recommended"), "warning", 0),
        (json!("suggested"), "info", 0),
        (Value::Null, "warning", 0),
    ] {
        let mut entry = json!({
            "soname": ["libz9.so.1", "libz9-ng.so.2"],
            "feature": "zip", "description": "compressed archives",
        });
        if !priority.is_null() {
            entry["priority"] = priority;
        }
        let root = Root::glibc();
        let source = with_note(MAIN, &json!([entry]));
        root.compile("usr/bin/app", &source, &[]);
        let report = root.lint();
        assert_eq!(report.status, status);
        let found = report.only("SP014");
        assert_has(
            found,
            &json!({
                "severity": severity, "path": APP, "requesters": [APP], "programs": [APP],
                "subject": "libz9.so.1 or libz9-ng.so.2",
                "evidence": {"feature": "zip", "sonames": ["libz9.so.1", "libz9-ng.so.2"]},
            }),
        );
        let message = found["message"].as_str().unwrap();
        assert!(message.contains("compressed archives"), "{message}");
    }
}

#[test]
fn sp014_a_note_of_a_library_counts_for_the_program_that_loads_it() {
    let root = Root::glibc();
    let note = json!([{"soname": ["libgone.so"], "priority": "required"}]);
    let source = with_note("int dep(void) { return 1; }", &note);
    root.compile("lib/libdep.so", &source, &["-shared", "-fPIC"]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    assert_has(
        root.lint().only("SP014"),
        &json!({
            "severity": "error", "path": "/lib/libdep.so", "programs": [APP],
            "chain": [APP, "/lib/libdep.so"],
        }),
    );
}

#[test]
fn sp014_one_of_several_libraries_is_enough_wherever_the_object_finds_it() {
    let root = Root::glibc();
    let note = json!([
        {"soname": ["libgone.so", "libsystem.so"], "priority": "required"},
        {"soname": ["libown.so"], "priority": "required"},
    ]);
    root.library("lib/libsystem.so", &[], &[]);
    root.library("opt/lib/libown.so", &[], &[]);
    root.compile(
        "usr/bin/app",
        &with_note(MAIN, &note),
        &["-Wl,-rpath,/opt/lib"],
    );
    let report = root.lint();
    report.is_silent("SP014");
    report.has_no_error();
}

/// A library that calls `gone`, and a program that never makes it do so.
fn undefined(root: &Root, dep: &str, flags: &[&str]) {
    let source = format!("{dep}\nint dep(int really);");
    root.compile(
        "lib/libdep.so",
        &source,
        &[&["-shared", "-fPIC"], flags].concat(),
    );
    let source = "int dep(int really); int main(void) { return dep(0) != 1; }";
    let flags = ["-Llib", "-ldep", "-Wl,--allow-shlib-undefined"];
    root.compile("usr/bin/app", source, &flags);
}

const CALLS: &str = "int gone(void); int dep(int really) { return really ? gone() : 1; }";

#[test]
fn sp015_a_function_that_is_missed_when_it_is_called_is_a_warning() {
    let root = Root::glibc();
    undefined(&root, CALLS, &["-Wl,-z,lazy"]);
    let report = root.lint();
    assert_has(
        report.only("SP015"),
        &json!({
            "severity": "warning", "path": "/lib/libdep.so", "subject": "gone",
            "requesters": ["/lib/libdep.so"], "programs": [APP],
            "evidence": {"symbols": ["gone"], "count": 1},
        }),
    );
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn sp015_what_is_bound_at_load_is_an_error() {
    let variable = "extern int gone; int dep(int really) { return really ? gone : 1; }";
    let pointer = "int gone(void); int (*pointer)(void) = gone;\n\
        int dep(int really) { return really ? pointer() : 1; }";
    for (source, flags) in [
        (CALLS, &["-Wl,-z,now"][..]),
        (variable, &[]),
        (pointer, &[]),
    ] {
        let root = Root::glibc();
        undefined(&root, source, flags);
        let report = root.lint();
        assert_eq!(report.status, 1);
        assert_has(
            report.only("SP015"),
            &json!({"severity": "error", "path": "/lib/libdep.so", "subject": "gone"}),
        );
        root.does_not_start(APP, "undefined symbol: gone");
    }
}

#[test]
fn sp015_musl_binds_everything_at_load() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    undefined(&root, CALLS, &["-Wl,-z,lazy"]);
    assert_has(
        root.lint().only("SP015"),
        &json!({"severity": "error", "subject": "gone"}),
    );
    root.does_not_start(APP, "gone: symbol not found");
}

#[test]
fn sp015_weak_symbols_and_those_that_somebody_defines_are_fine() {
    // A weak symbol.
    let root = Root::glibc();
    let weak = "__attribute__((weak)) int gone(void);\n\
        int dep(int really) { return gone && really ? gone() : 1; }";
    undefined(&root, weak, &["-Wl,-z,now"]);
    // Defined by the program itself.
    root.compile(
        "opt/lib/libhook.so",
        CALLS,
        &["-shared", "-fPIC", "-Wl,-z,now"],
    );
    let source = "int gone(void) { return 1; } int dep(int);\n\
        int main(void) { return dep(1) != 1; }";
    let path = ["-Lopt/lib", "-lhook", "-Wl,-rpath,/opt/lib"];
    root.compile("usr/bin/host", source, &path);
    // Defined by a library that only the program needs.
    root.library("opt/lib/libgone.so", &[], &[]);
    let source = "int gone(void); int dep(int); int main(void) { return dep(1) != gone(); }";
    let flags = [&path[..], &["-lgone"]].concat();
    root.compile("usr/bin/both", source, &flags);
    // Left to the program that loads it.
    root.library("opt/plugin.so", &["unknown"], &["-Wl,-z,now"]);
    let report = root.lint();
    report.is_silent("SP015");
    report.has_no_error();
    for program in [APP, "/usr/bin/host", "/usr/bin/both"] {
        root.starts(program);
    }
}

#[test]
fn sp016_a_library_of_which_nothing_is_used() {
    let root = Root::glibc();
    root.library("lib/libunused.so", &[], &[]);
    root.program(
        "usr/bin/app",
        &[],
        &["-Wl,--no-as-needed", "-Llib", "-lunused"],
    );
    assert_has(
        root.lint().only("SP016"),
        &json!({
            "severity": "info", "path": APP, "subject": "libunused.so", "requesters": [APP],
        }),
    );
    root.program(
        "usr/bin/app",
        &[],
        &["-Wl,--as-needed", "-Llib", "-lunused"],
    );
    root.lint().is_silent("SP016");
}

#[test]
fn sp016_a_library_is_used_by_one_symbol_of_any_kind() {
    let root = Root::glibc();
    let library = ["-shared", "-fPIC"];
    root.compile("lib/libdata.so", "int data = 1;", &library);
    root.compile("lib/libweak.so", "int weak(void) { return 1; }", &library);
    let source = "extern int data; __attribute__((weak)) int weak(void);\n\
        int main(void) { return data != weak(); }";
    let flags = ["-no-pie", "-Wl,--no-as-needed", "-Llib", "-ldata", "-lweak"];
    root.compile("usr/bin/app", source, &flags);
    root.lint().is_silent("SP016");
    root.starts(APP);
}

#[test]
fn sp201_an_executable_stack_and_a_segment_that_can_be_written_and_executed() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &["-Wl,-z,execstack"]);
    root.library("opt/libdep.so", &[], &["-Wl,-z,execstack"]);
    let open = |flags: &[&str]| {
        let source = "void _start(void) { __builtin_trap(); }";
        let flags = [&["-static", "-nostdlib"], flags].concat();
        root.compile("usr/bin/open", source, &flags);
    };
    open(&["-Wl,-N"]);
    let report = root.lint();
    let mut found: Vec<_> = report
        .of("SP201")
        .iter()
        .map(|found| {
            (
                found["path"].as_str().unwrap(),
                found["subject"].as_str().unwrap(),
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("/opt/libdep.so", "an executable stack"),
            (APP, "an executable stack"),
            ("/usr/bin/open", "a writable and executable segment"),
        ]
    );
    assert!(
        report
            .of("SP201")
            .iter()
            .all(|found| found["severity"] == "warning")
    );
    root.program("usr/bin/app", &[], &["-Wl,-z,noexecstack"]);
    root.library("opt/libdep.so", &[], &[]);
    open(&[]);
    root.lint().is_silent("SP201");
}

#[test]
fn sp202_code_that_is_changed_when_it_is_loaded() {
    let root = Root::glibc();
    let source = "__asm__(\".text\\n.globl dep\\ndep: movabs $other, %rax\\nret\\n\");";
    root.compile("lib/libdep.so", source, &["-shared", "-Wl,-z,notext"]);
    assert_has(
        root.lint().only("SP202"),
        &json!({"severity": "warning", "path": "/usr/lib/libdep.so", "subject": "DT_TEXTREL"}),
    );
    root.library("lib/libdep.so", &["other"], &["-Wl,-z,notext"]);
    root.lint().is_silent("SP202");
}

#[test]
fn sp203_which_protections_a_program_lacks() {
    let root = Root::glibc();
    for (flags, lacks) in [
        (
            &["-no-pie", "-Wl,-z,norelro,-z,lazy"][..],
            &["PIE", "RELRO", "BIND_NOW"][..],
        ),
        (&["-no-pie", "-Wl,-z,relro,-z,now"], &["PIE"]),
        (&["-pie", "-Wl,-z,norelro,-z,now"], &["RELRO"]),
        (&["-pie", "-Wl,-z,relro,-z,lazy"], &["BIND_NOW"]),
        (&["-static", "-no-pie"], &["PIE"]),
        (&["-pie", "-Wl,-z,relro,-z,now"], &[]),
        (&["-static-pie", "-Wl,-z,relro,-z,now"], &[]),
    ] {
        root.program("usr/bin/app", &[], flags);
        // The rule does not apply to libraries.
        root.library("opt/libdep.so", &[], &["-Wl,-z,norelro,-z,lazy"]);
        let report = root.lint();
        if lacks.is_empty() {
            report.is_silent("SP203");
            continue;
        }
        assert_has(
            report.only("SP203"),
            &json!({"severity": "info", "path": APP, "evidence": {"without": lacks}}),
        );
    }
}

#[test]
fn sp204_the_bytes_are_those_that_strip_saves() {
    for flags in [&["-g"][..], &["-g", "-gz"], &[]] {
        let root = Root::glibc();
        root.program("usr/bin/app", &[], flags);
        let report = root.lint();
        let found = report.only("SP204");
        assert_has(found, &json!({"severity": "info", "path": APP}));
        let bytes = found["evidence"]["bytes"].as_i64().unwrap();
        let size = || fs::metadata(root.at("usr/bin/app")).unwrap().len() as i64;
        let before = size();
        succeed(Command::new("strip").arg(root.at("usr/bin/app")));
        // The figure does not include the section headers and section names.
        let saved = before - size();
        assert!(
            (bytes..bytes + 2048).contains(&saved),
            "{bytes}, strip {saved}"
        );
        root.lint().is_silent("SP204");
    }
}
