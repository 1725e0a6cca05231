//! The rules about conflicts within a process, SP004 to SP006: where a rule fires, the real loader
//! refuses; a near miss starts.

use crate::{common, roots};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{have, succeed};
use roots::{MUSL_GCC, Root, assert_has};
use serde_json::json;

const APP: &str = "/usr/bin/app";
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// Where the C library of a root is.
fn libc(root: &Root) -> String {
    let lines = succeed(
        Command::new("find")
            .arg(root.at("usr"))
            .args(["-name", "libc.so.6"]),
    );
    let path = Path::new(lines.trim()).strip_prefix(&root.path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A program that searches `/opt/bad` before `/opt/good`, which has the library.
fn shadowed() -> Root {
    let root = Root::glibc();
    root.library("opt/good/libdep.so", &[], &[]);
    root.folder("opt/bad");
    let flags = ["-Lopt/good", "-ldep", "-Wl,-rpath,/opt/bad:/opt/good"];
    root.program("usr/bin/app", &["dep"], &flags);
    root
}

#[test]
fn sp004_a_file_that_the_loader_dies_of_hides_a_good_one() {
    let mut other_endian = fs::read("/bin/true").unwrap();
    other_endian[5] = 2;
    let good = fs::read("/bin/true").unwrap();
    let cases: [(&[u8], &str); 4] = [
        (
            b"a text, not a library, of some length, longer than any header is, so far",
            "invalid ELF header",
        ),
        (b"", "file too short"),
        (&good[..20], "file too short"),
        (&other_endian, "not little-endian"),
    ];
    for (contents, why) in cases {
        let root = shadowed();
        root.write("opt/bad/libdep.so", contents);
        let report = root.lint();
        assert_eq!(report.status, 1);
        assert_has(
            report.only("SP004"),
            &json!({
                "severity": "error", "path": "/opt/bad/libdep.so", "subject": "libdep.so",
                "requesters": [APP], "programs": [APP],
                "evidence": {
                    "file": "/opt/bad/libdep.so",
                    "good": ["/opt/good/libdep.so"],
                },
            }),
        );
        report.is_silent("SP001");
        root.does_not_start(APP, why);
    }
}

#[test]
fn sp004_a_folder_with_the_librarys_name_hides_a_good_one() {
    let root = shadowed();
    root.folder("opt/bad/libdep.so");
    assert_has(
        root.lint().only("SP004"),
        &json!({"severity": "error", "path": "/opt/bad/libdep.so", "subject": "libdep.so"}),
    );
    root.does_not_start(APP, "cannot read file data");
}

#[test]
fn sp004_nothing_is_hidden_by_a_bad_file_behind_the_good_one() {
    let root = shadowed();
    root.library("opt/bad/libdep.so", &[], &[]);
    root.write("opt/good/libdep.so", "text\n");
    let report = root.lint();
    report.is_silent("SP004");
    report.has_no_error();
    root.starts(APP);
}

/// What a library must define for the program of [`old_library`].
const SOURCE: &str = "int first(void) { return 1; } int second(void) { return 2; }";

/// A program that needs `V_2` of a library, which is then rebuilt from `source`, with another
/// version script if one is given.
fn old_library(source: &str, script: Option<&str>, flags: &[&str]) -> Root {
    let root = Root::glibc();
    let build = |source: &str, script: Option<&str>| {
        let path = root.beside("versions.map");
        let option = format!("-Wl,--version-script,{}", path.display());
        let mut flags = vec!["-shared", "-fPIC", "-Wl,-soname,libdep.so"];
        if let Some(script) = script {
            fs::write(&path, script).unwrap();
            flags.push(&option);
        }
        root.compile("lib/libdep.so", source, &flags);
    };
    let both = "V_1 { global: first; }; V_2 { global: second; } V_1;";
    build(SOURCE, Some(both));
    let flags = [&["-Llib", "-ldep"], flags].concat();
    root.program("usr/bin/app", &["second"], &flags);
    build(source, script);
    root
}

#[test]
fn sp005_a_version_that_the_library_does_not_define() {
    let root = old_library(SOURCE, Some("V_1 { global: first; second; };"), &[]);
    let report = root.lint();
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP005"),
        &json!({
            "severity": "error", "path": APP, "subject": "V_2 of /lib/libdep.so",
            "requesters": [APP], "programs": [APP],
            "evidence": {
                "needer": APP, "provider": "/lib/libdep.so",
                "version": "V_2", "newest": "V_1",
            },
        }),
    );
    root.does_not_start(APP, "version `V_2' not found");
}

#[test]
fn sp005_a_program_for_a_newer_glibc_is_told_which_one_there_is() {
    let root = Root::glibc();
    let script = root.beside("future.map");
    let versions = "GLIBC_2.34 { global: __libc_start_main; }; GLIBC_2.99 { global: future; };";
    fs::write(&script, versions).unwrap();
    let script = format!("-Wl,--version-script,{}", script.display());
    let source = "int __libc_start_main(void) { return 1; } int future(void) { return 1; }";
    let flags = [
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-Wl,-soname,libc.so.6",
        &script,
    ];
    root.compile("stub/libfuture.so", source, &flags);
    root.program("usr/bin/app", &["future"], &["-Lstub", "-lfuture"]);
    fs::remove_dir_all(root.at("stub")).unwrap();
    let library = libc(&root);

    let report = root.lint();
    let found = report.only("SP005");
    let evidence = &found["evidence"];
    assert_has(evidence, &json!({"needer": APP, "version": "GLIBC_2.99"}));
    let provider = evidence["provider"].as_str().unwrap();
    assert!(provider.ends_with("/libc.so.6"), "{provider}");
    let shown = succeed(
        Command::new("readelf")
            .args(["-W", "-V"])
            .arg(root.at(&library)),
    );
    let newest = evidence["newest"].as_str().unwrap();
    assert!(shown.contains(&format!("Name: {newest}\n")), "{newest}");
    assert!(newest.starts_with("GLIBC_2."), "{newest}");
    root.does_not_start(APP, "version `GLIBC_2.99' not found");
}

#[test]
fn sp005_a_library_that_defines_no_version_at_all_or_all_of_them_is_fine() {
    let versions = "V_1 { global: first; }; V_2 { global: second; } V_1;";
    // The library needs a version of libc, so it has DT_VERSYM.
    let needs = "#include <stdio.h>\nint second(void) { return puts(\"second\"); }";
    for (source, script) in [(SOURCE, Some(versions)), (needs, None)] {
        let root = old_library(source, script, &[]);
        let report = root.lint();
        report.is_silent("SP005");
        report.has_no_error();
        root.starts(APP);
    }
}

#[test]
fn sp005_the_loader_dies_of_a_library_without_a_version_table() {
    // check_match in elf/dl-lookup.c: the provider named by DT_VERNEED has no DT_VERSYM.
    let root = old_library(SOURCE, None, &["-Wl,-z,now"]);
    root.does_not_start(APP, "check_match");
    let report = root.lint();
    assert_has(report.only("SP005"), &json!({"severity": "error"}));
}

#[test]
fn sp006_a_library_for_musl_in_a_process_of_glibc() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::glibc();
    let source = "#include <stdio.h>\nint dep(void) { return puts(\"dep\"); }";
    let flags = ["-shared", "-fPIC"];
    root.compile_with(MUSL_GCC, "lib/libdep.so", source, &flags);
    root.program(
        "usr/bin/app",
        &["dep"],
        &["-Llib", "-ldep", "-Wl,--allow-shlib-undefined"],
    );
    let report = root.lint();
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP006"),
        &json!({
            "severity": "error", "path": "/lib/libdep.so", "subject": "libc.so",
            "requesters": ["/lib/libdep.so"], "programs": [APP],
            "evidence": {"interpreter": format!("/{LOADER}"), "needed": "libc.so"},
        }),
    );
    root.does_not_start(APP, "libc.so: cannot open shared object file");
}

#[test]
fn sp006_a_library_for_glibc_in_a_process_of_musl() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    // A function that musl does not have.
    let source = "#include <stdio.h>\nint dep(void) { return gnu_get_libc_version() != 0; }\n";
    let source = format!("const char *gnu_get_libc_version(void);\n{source}");
    let flags = ["-shared", "-fPIC"];
    root.compile_with(common::c_compiler(), "lib/libdep.so", &source, &flags);
    root.program(
        "usr/bin/app",
        &["dep"],
        &["-Llib", "-ldep", "-Wl,--allow-shlib-undefined"],
    );
    let report = root.lint();
    assert_has(
        report.only("SP006"),
        &json!({
            "severity": "error", "path": "/lib/libdep.so", "subject": "libc.so.6",
            "evidence": {"interpreter": "/lib/ld-musl-x86_64.so.1", "needed": "libc.so.6"},
        }),
    );
    root.does_not_start(APP, "gnu_get_libc_version: symbol not found");
}

#[test]
fn sp006_a_library_for_glibc_of_which_musl_has_everything_is_no_error() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    // musl's loader provides libc.so.6 itself, so the process has only one C library.
    let root = Root::musl();
    let source = "#include <string.h>\nint dep(const char *text) { return strlen(text); }";
    let flags = ["-shared", "-fPIC", "-fno-builtin"];
    root.compile_with(common::c_compiler(), "lib/libdep.so", source, &flags);
    let source = "int dep(const char *); int main(int n, char **v) { return dep(v[0]) < 1; }";
    let flags = ["-Llib", "-ldep", "-Wl,--allow-shlib-undefined"];
    root.compile("usr/bin/app", source, &flags);
    root.starts(APP);
    root.lint().has_no_error();
}

#[test]
fn sp006_both_c_libraries_in_one_root_are_fine_and_so_is_gcompat() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::glibc();
    root.library("lib/libgnu.so", &[], &[]);
    root.program("usr/bin/gnu", &["gnu"], &["-Llib", "-lgnu"]);
    let root = root.with_musl();
    root.library("lib/libmusl.so", &[], &[]);
    root.program("usr/bin/musl", &["musl"], &["-Llib", "-lmusl"]);
    // gcompat, with which musl runs glibc programs.
    let soname = "-Wl,-soname,libgcompat.so.0";
    root.library("lib/libgcompat.so.0", &[], &[soname]);
    let flags = [
        "-Llib",
        "-lgnu",
        "-l:libgcompat.so.0",
        "-Wl,--allow-shlib-undefined",
    ];
    root.program("usr/bin/compat", &["gnu", "gcompat"], &flags);
    let report = root.lint();
    report.is_silent("SP006");
    report.has_no_error();
    for program in ["/usr/bin/musl", "/usr/bin/gnu", "/usr/bin/compat"] {
        root.starts(program);
    }
}
