//! The rules about libraries that are found, but not as they should be: SP007 to SP012.

use crate::{common, roots};
use std::fs;
use std::process::Command;

use common::{have, is_root, succeed};
use roots::{MUSL_GCC, Root, assert_has};
use serde_json::json;
use sha2::{Digest, Sha256};

const APP: &str = "/usr/bin/app";

/// A program that needs `libdep.so`, which is in `/opt/lib`.
fn root_with_library_in_opt(flags: &[&str]) -> Root {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    let flags = [&["-Lopt/lib", "-ldep"], flags].concat();
    root.program("usr/bin/app", &["dep"], &flags);
    root
}

#[test]
fn sp007_only_a_variable_leads_to_the_library() {
    let root = root_with_library_in_opt(&[]);
    let report = root.lint_with(&["-e", "LD_LIBRARY_PATH=/srv:/opt/lib"]);
    assert_has(
        report.only("SP007"),
        &json!({
            "severity": "warning", "path": "/opt/lib/libdep.so", "subject": "libdep.so",
            "requesters": [APP], "programs": [APP],
            "evidence": {"variable": "LD_LIBRARY_PATH=/opt/lib", "path": "/opt/lib/libdep.so"},
        }),
    );
    report.has_no_error();
    root.starts_with(APP, &[("LD_LIBRARY_PATH", "/srv:/opt/lib")]);
    root.does_not_start(APP, "libdep.so: cannot open");
    root.lint().is_silent("SP007");
}

#[test]
fn sp007_a_library_that_has_a_path_of_its_own_is_not_found_by_the_variable_only() {
    // LD_LIBRARY_PATH is searched before DT_RUNPATH, and leads to the same file.
    let root = root_with_library_in_opt(&["-Wl,-rpath,/opt/lib", "-Wl,--enable-new-dtags"]);
    root.starts(APP);
    let report = root.lint_with(&["-e", "LD_LIBRARY_PATH=/opt/lib"]);
    report.is_silent("SP007");
}

#[test]
fn sp007_a_variable_that_names_a_system_folder_changes_nothing() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    root.starts(APP);
    root.lint_with(&["-e", "LD_LIBRARY_PATH=/lib"])
        .is_silent("SP007");
}

#[test]
fn sp007_the_variable_is_ignored_in_a_setuid_program() {
    let root = root_with_library_in_opt(&[]);
    root.mode("usr/bin/app", 0o4755);
    let report = root.lint_with(&["-e", "LD_LIBRARY_PATH=/opt/lib"]);
    report.is_silent("SP007");
    assert_has(report.only("SP001"), &json!({"subject": "libdep.so"}));
}

/// Runs `ldconfig` on a root; returns false if not permitted.
fn ldconfig(root: &Root) -> bool {
    if !is_root() {
        return false;
    }
    root.folder("etc");
    root.folder("var/cache/ldconfig");
    succeed(Command::new("/usr/sbin/ldconfig").arg("-r").arg(&root.path));
    true
}

#[test]
fn sp008_an_entry_of_the_cache_whose_file_is_gone() {
    let root = root_with_library_in_opt(&[]);
    root.library("opt/lib/libold.so", &[], &[]);
    root.write("etc/ld.so.conf", "/opt/lib\n");
    if !ldconfig(&root) {
        return;
    }
    let fresh = root.lint();
    fresh.is_silent("SP008");
    fresh.is_silent("SP009");
    root.starts(APP);

    root.remove("opt/lib/libold.so");
    let report = root.lint();
    assert_has(
        report.only("SP008"),
        &json!({
            "severity": "warning", "path": "/etc/ld.so.cache", "subject": "/opt/lib/libold.so",
            "evidence": {"entry": "libold.so => /opt/lib/libold.so"},
        }),
    );
    // A program that needs the library does not start.
    root.remove("opt/lib/libdep.so");
    let report = root.lint();
    assert_has(report.only("SP001"), &json!({"subject": "libdep.so"}));
    root.does_not_start(APP, "libdep.so: cannot open");
}

#[test]
fn sp008_a_cache_that_no_loader_reads() {
    let root = root_with_library_in_opt(&["-Wl,-rpath,/opt/lib"]);
    root.write("etc/ld.so.cache", "no cache");
    assert_has(
        root.lint().only("SP008"),
        &json!({"severity": "warning", "path": "/etc/ld.so.cache"}),
    );
    root.starts(APP);
}

#[test]
fn sp009_a_library_that_ldconfig_has_not_seen() {
    let root = root_with_library_in_opt(&[]);
    root.library("opt/lib/libnew.so.1", &[], &["-Wl,-soname,libnew.so.1"]);
    root.write(
        "etc/ld.so.conf",
        "# folders\ninclude /etc/ld.so.conf.d/*.conf\n",
    );
    root.write("etc/ld.so.conf.d/opt.conf", "/opt/lib\n");
    if !ldconfig(&root) {
        return;
    }
    root.lint().is_silent("SP009");
    let path = "opt/lib/liblate.so.1";
    root.library(path, &[], &["-Wl,-soname,liblate.so.1"]);
    assert_has(
        root.lint().only("SP009"),
        &json!({"severity": "warning", "path": "/opt/lib/liblate.so.1", "subject": "liblate.so.1"}),
    );
    root.program("usr/bin/late", &["late"], &["-Lopt/lib", "-l:liblate.so.1"]);
    root.does_not_start("/usr/bin/late", "liblate.so.1: cannot open");
    ldconfig(&root);
    root.starts("/usr/bin/late");
}

#[test]
fn sp009_without_any_cache_nothing_is_in_it() {
    let root = root_with_library_in_opt(&[]);
    root.library("opt/lib/libdep.so", &[], &["-Wl,-soname,libdep.so"]);
    root.write("etc/ld.so.conf", "/opt/lib\n");
    root.does_not_start(APP, "libdep.so: cannot open");
    let report = root.lint();
    assert_has(report.only("SP009"), &json!({"path": "/opt/lib/libdep.so"}));
}

#[test]
fn sp009_what_the_loader_searches_by_itself_and_other_folders_need_no_cache() {
    let root = Root::glibc();
    root.library("lib/libsystem.so", &[], &["-Wl,-soname,libsystem.so"]);
    root.library("srv/lib/libother.so", &[], &["-Wl,-soname,libother.so"]);
    root.library("opt/lib/plugin.so", &[], &["-Wl,-soname,plugin.so"]);
    root.write("etc/ld.so.conf", "/usr/lib\n/lib\n");
    if !ldconfig(&root) {
        return;
    }
    // Libraries that are missing from the cache for a reason: in a system directory, in a directory
    // that is not configured, and with a name that ldconfig ignores.
    root.library("lib/liblate.so", &[], &["-Wl,-soname,liblate.so"]);
    root.write("etc/ld.so.conf", "/usr/lib\n/lib\n/opt/lib\n");
    root.lint().is_silent("SP009");
}

fn sha256(root: &Root, path: &str) -> String {
    let hash = Sha256::digest(fs::read(root.at(path)).unwrap());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn sp010_two_different_files_of_one_name_in_system_folders() {
    let root = Root::glibc();
    root.folder("opt/lib");
    root.library("lib/libdep.so", &[], &[]);
    let flags = ["-Llib", "-ldep", "-Wl,-rpath,/opt/lib"];
    root.program("usr/bin/app", &["dep"], &flags);
    root.library("opt/lib/libdep.so", &[], &["-g"]);
    let report = root.lint();
    assert_has(
        report.only("SP010"),
        &json!({
            "severity": "warning", "subject": "libdep.so", "requesters": [APP],
            "evidence": {
                "loaded": "/opt/lib/libdep.so",
                "loaded_digest": sha256(&root, "opt/lib/libdep.so"),
                "other": "/lib/libdep.so",
                "other_digest": sha256(&root, "lib/libdep.so"),
            },
        }),
    );
    report.has_no_error();
}

#[test]
fn sp010_two_different_files_of_one_name_in_the_programs_own_path() {
    let root = Root::glibc();
    root.library("opt/one/libdep.so", &[], &[]);
    root.library("opt/two/libdep.so", &[], &["-g"]);
    let flags = ["-Lopt/one", "-ldep", "-Wl,-rpath,/opt/one:/opt/two"];
    root.program("usr/bin/app", &["dep"], &flags);
    root.starts(APP);
    let evidence = json!({"loaded": "/opt/one/libdep.so", "other": "/opt/two/libdep.so"});
    assert_has(&root.lint().only("SP010")["evidence"], &evidence);
}

#[test]
fn sp010_the_same_file_twice_and_a_file_that_is_no_candidate_are_fine() {
    let root = Root::glibc();
    for name in ["libcopy.so", "liblink.so", "libhard.so", "libother.so"] {
        root.library(&format!("opt/lib/{name}"), &[], &[]);
    }
    let flags = [
        "-Lopt/lib",
        "-lcopy",
        "-llink",
        "-lhard",
        "-lother",
        "-Wl,-rpath,/opt/lib",
    ];
    let calls = ["copy", "link", "hard", "other"];
    root.program("usr/bin/app", &calls, &flags);
    fs::copy(root.at("opt/lib/libcopy.so"), root.at("lib/libcopy.so")).unwrap();
    root.link("lib/liblink.so", "/opt/lib/liblink.so");
    fs::hard_link(root.at("opt/lib/libhard.so"), root.at("lib/libhard.so")).unwrap();
    // A library for another machine, a file that is not a library, and one outside the search path.
    let flags = ["-m32", "-shared", "-nostdlib", "-fPIC"];
    root.compile("lib/libother.so", "int other(void) { return 1; }", &flags);
    root.library("srv/libcopy.so", &[], &["-g"]);
    let report = root.lint();
    report.is_silent("SP010");
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn sp011_another_object_had_loaded_the_library_before() {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    let flags = ["-Lopt/lib", "-ldep", "-Wl,-rpath,/opt/lib"];
    root.library("lib/libfirst.so", &["dep"], &flags);
    root.library("lib/libsecond.so", &["dep"], &["-Lopt/lib", "-ldep"]);
    let flags = ["-Llib", "-lfirst", "-lsecond", "-Wl,-rpath-link,opt/lib"];
    root.program("usr/bin/app", &["first", "second"], &flags);
    let report = root.lint();
    report.has_no_error();
    assert_has(
        report.only("SP011"),
        &json!({
            "severity": "warning", "path": "/lib/libsecond.so", "subject": "libdep.so",
            "requesters": ["/lib/libsecond.so"], "programs": [APP],
            "evidence": {"first": "/lib/libfirst.so", "path": "/opt/lib/libdep.so"},
        }),
    );
    root.starts(APP);
    // Without the first library it does not start.
    let flags = ["-Llib", "-lsecond", "-Wl,-rpath-link,opt/lib"];
    root.program("usr/bin/alone", &["second"], &flags);
    root.does_not_start("/usr/bin/alone", "libdep.so: cannot open");
}

#[test]
fn sp011_another_object_had_loaded_the_library_by_its_path() {
    let root = Root::glibc();
    // Whatever is linked against a library with this soname needs it by that path.
    let soname = "-Wl,-soname,/opt/lib/libdep.so";
    root.library("opt/lib/libdep.so", &[], &[soname]);
    root.library("lib/libfirst.so", &["dep"], &["-Lopt/lib", "-ldep"]);
    root.library("opt/lib/libdep.so", &[], &["-Wl,-soname,libdep.so"]);
    root.library("lib/libsecond.so", &["dep"], &["-Lopt/lib", "-ldep"]);
    let rest = ["-Llib", "-lsecond", "-Wl,-rpath-link,opt/lib"];
    root.program("usr/bin/alone", &["second"], &rest);
    root.does_not_start("/usr/bin/alone", "libdep.so: cannot open");
    root.remove("usr/bin/alone");

    let flags = [&["-Llib", "-lfirst"], &rest[..]].concat();
    let flags = [&flags[..], &["-Wl,--allow-shlib-undefined"]].concat();
    root.program("usr/bin/app", &["first", "second"], &flags);
    root.starts(APP);
    let report = root.lint();
    report.has_no_error();
    assert_has(
        report.only("SP011"),
        &json!({
            "path": "/lib/libsecond.so", "subject": "libdep.so",
            "evidence": {"first": "/lib/libfirst.so", "path": "/opt/lib/libdep.so"},
        }),
    );
}

#[test]
fn sp011_a_requester_that_finds_the_library_by_itself_is_fine() {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    root.library("lib/libsystem.so", &[], &[]);
    let flags = [
        "-Lopt/lib",
        "-ldep",
        "-Llib",
        "-lsystem",
        "-Wl,-rpath,/opt/lib",
    ];
    root.library("lib/libfirst.so", &["dep", "system"], &flags);
    root.library("lib/libsecond.so", &["dep", "system"], &flags);
    // It inherits the search path of the object that loads it.
    let flags = ["-Lopt/lib", "-ldep"];
    root.library("opt/lib/libinner.so", &["dep"], &flags);
    let flags = [
        "-Llib",
        "-lfirst",
        "-lsecond",
        "-Lopt/lib",
        "-linner",
        "-ldep",
        "-Wl,--disable-new-dtags,-rpath,/opt/lib",
    ];
    let calls = ["first", "second", "inner", "dep"];
    root.program("usr/bin/app", &calls, &flags);
    let report = root.lint();
    report.is_silent("SP011");
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn sp012_variants_for_newer_processors() {
    let root = root_with_library_in_opt(&["-Wl,-rpath,/opt/lib"]);
    for level in ["x86-64-v2", "x86-64-v3"] {
        let path = format!("opt/lib/glibc-hwcaps/{level}/libdep.so");
        root.library(&path, &[], &["-g"]);
    }
    let report = root.lint();
    report.has_no_error();
    for level in ["x86-64-v2", "x86-64-v3"] {
        let variant = format!("/opt/lib/glibc-hwcaps/{level}/libdep.so");
        assert_has(
            report.about("SP012", &variant),
            &json!({
                "severity": "info", "path": "/opt/lib/libdep.so", "requesters": [APP],
                "evidence": {"level": format!("glibc-hwcaps/{level}")},
            }),
        );
    }
    assert_eq!(report.of("SP012").len(), 2);
}

#[test]
fn sp012_other_libraries_other_levels_and_musl_have_no_variants() {
    let root = root_with_library_in_opt(&["-Wl,-rpath,/opt/lib"]);
    let levels = "opt/lib/glibc-hwcaps";
    root.library(&format!("{levels}/x86-64-v3/libother.so"), &[], &[]);
    root.library(&format!("{levels}/power10/libdep.so"), &[], &[]);
    root.library("srv/glibc-hwcaps/x86-64-v3/libdep.so", &[], &[]);
    root.lint().is_silent("SP012");
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    root.library("lib/glibc-hwcaps/x86-64-v3/libdep.so", &[], &[]);
    let report = root.lint();
    report.is_silent("SP012");
    report.has_no_error();
    root.starts(APP);
}
