//! The rules about search paths inside objects: SP101 to SP107.

use crate::{common, roots};
use common::have;
use roots::{MUSL_GCC, Root, assert_has, lint};
use serde_json::json;
use slimpack_test_elf::Elf;

const APP: &str = "/usr/bin/app";

/// A program with this search path and a library in `/opt/lib`.
fn root_with_path(path: &str) -> Root {
    let root = Root::glibc();
    with_path(&root, path, "--enable-new-dtags");
    root
}

fn with_path(root: &Root, path: &str, tags: &str) {
    root.library("opt/lib/libdep.so", &[], &[]);
    let flags = ["-Lopt/lib", "-ldep", &format!("-Wl,{tags},-rpath,{path}")];
    root.program("usr/bin/app", &["dep"], &flags);
}

#[test]
fn sp101_an_empty_element_is_found_and_origin_is_not() {
    for (path, count) in [
        (":/opt/lib", 1),
        ("/opt/lib:", 1),
        ("/opt/lib::$ORIGIN", 1),
        ("$ORIGIN/../../opt/lib", 0),
        ("${ORIGIN}/../../opt/lib", 0),
        ("/opt/lib", 0),
    ] {
        let root = root_with_path(path);
        let report = root.lint();
        assert_eq!(report.of("SP101").len(), count, "{path}: {report:?}");
        if count == 1 {
            assert_has(
                report.only("SP101"),
                &json!({
                    "severity": "warning", "path": APP, "subject": "",
                    "evidence": {"tag": "DT_RUNPATH", "element": ""},
                }),
            );
            // The working directory is searched: the root directory here.
            std::fs::rename(root.at("opt/lib/libdep.so"), root.at("libdep.so")).unwrap();
        }
        root.starts(APP);
    }
}

#[test]
fn sp101_a_relative_element_is_told_with_its_tag() {
    for (tags, tag) in [
        ("--enable-new-dtags", "DT_RUNPATH"),
        ("--disable-new-dtags", "DT_RPATH"),
    ] {
        let root = Root::glibc();
        with_path(&root, "opt/lib:/srv", tags);
        assert_has(
            root.lint().only("SP101"),
            &json!({
                "severity": "warning", "subject": "opt/lib",
                "evidence": {"tag": tag, "element": "opt/lib"},
            }),
        );
        root.starts(APP);
    }
}

#[test]
fn sp101_origin_behind_something_else_is_relative() {
    let root = root_with_path("lib$ORIGIN:/opt/lib");
    assert_has(root.lint().only("SP101"), &json!({"subject": "lib$ORIGIN"}));
}

#[test]
fn sp101_a_setuid_file_makes_it_an_error() {
    let root = root_with_path(":/opt/lib");
    for (mode, severity, status) in [
        (0o4755, "error", 1),
        (0o2755, "error", 1),
        (0o755, "warning", 0),
    ] {
        root.mode("usr/bin/app", mode);
        let report = root.lint();
        assert_has(report.only("SP101"), &json!({"severity": severity}));
        assert_eq!(report.status, status, "{mode:o}");
    }
}

#[test]
fn sp101_musl_passes_over_empty_elements_and_takes_relative_ones() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    with_path(&root, ":/opt/lib", "--enable-new-dtags");
    root.lint().is_silent("SP101");
    root.starts(APP);
    with_path(&root, "opt/lib", "--enable-new-dtags");
    assert_has(root.lint().only("SP101"), &json!({"subject": "opt/lib"}));
    root.starts(APP);
}

#[test]
fn sp102_a_folder_that_others_may_write_is_told_with_its_mode() {
    let root = root_with_path("/opt/lib");
    for (mode, shown) in [(0o777, "0777"), (0o1777, "1777"), (0o757, "0757")] {
        root.mode("opt/lib", mode);
        assert_has(
            root.lint().only("SP102"),
            &json!({
                "severity": "warning", "path": APP, "subject": "/opt/lib",
                "evidence": {"tag": "DT_RUNPATH", "element": "/opt/lib", "mode": shown},
            }),
        );
    }
    for mode in [0o755, 0o775, 0o700] {
        root.mode("opt/lib", mode);
        root.lint().is_silent("SP102");
    }
}

#[test]
fn sp102_a_folder_reached_through_origin_counts_and_the_program_s_own_does_not() {
    let root = root_with_path("$ORIGIN/../../opt/lib");
    root.mode("usr/bin", 0o777);
    root.lint().is_silent("SP102");
    root.mode("opt/lib", 0o777);
    assert_has(
        root.lint().only("SP102"),
        &json!({"subject": "$ORIGIN/../../opt/lib", "evidence": {"mode": "0777"}}),
    );
}

#[test]
fn sp102_a_system_folder_is_searched_too() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["-Llib", "-ldep"]);
    root.lint().is_silent("SP102");
    root.mode("lib", 0o777);
    assert_has(
        root.lint().only("SP102"),
        &json!({"severity": "warning", "evidence": {"mode": "0777"}}),
    );
}

#[test]
fn sp103_a_build_tree_that_is_not_there() {
    for tree in [
        "/home/me/build/lib",
        "/root/build",
        "/tmp/build/lib",
        "/build/lib",
        "/usr/src/app/.libs",
        "/opt/app/.libs",
    ] {
        let root = root_with_path(&format!("{tree}:/opt/lib"));
        assert_has(
            root.lint().only("SP103"),
            &json!({
                "severity": "warning", "path": APP, "subject": tree,
                "evidence": {"tag": "DT_RUNPATH", "element": tree},
            }),
        );
        root.starts(APP);
    }
}

#[test]
fn sp103_any_other_folder_that_is_not_there_is_worth_knowing() {
    let root = root_with_path("/opt/plugins:$ORIGIN/private:/opt/lib");
    let report = root.lint();
    for element in ["/opt/plugins", "$ORIGIN/private"] {
        assert_has(
            report.about("SP103", element),
            &json!({"severity": "info", "path": APP}),
        );
    }
    assert_eq!(report.of("SP103").len(), 2);
}

#[test]
fn sp103_folders_that_are_there_are_fine() {
    let root = Root::glibc();
    root.folder("home/me/lib");
    root.link("opt/link", "lib");
    let path = "/home/me/lib:$ORIGIN:${ORIGIN}/../../opt/link:/opt/lib";
    with_path(&root, path, "--enable-new-dtags");
    root.lint().is_silent("SP103");
    root.starts(APP);
}

#[test]
fn sp104_runpath_makes_the_loader_ignore_rpath() {
    let root = Root::glibc();
    let object = |rpath: Option<&str>, runpath: Option<&str>| Elf {
        soname: Some("libouter.so".into()),
        needed: vec!["libdep.so".into()],
        rpath: rpath.map(Into::into),
        runpath: runpath.map(Into::into),
        ..Elf::default()
    };
    root.library("opt/lib/libdep.so", &[], &[]);
    root.folder("srv");
    root.library("lib/libouter.so", &[], &["-Wl,-soname,libouter.so"]);
    root.program(
        "usr/bin/app",
        &[],
        &["-Wl,--no-as-needed", "-Llib", "-louter"],
    );

    root.write(
        "lib/libouter.so",
        object(Some("/opt/lib"), Some("/srv")).bytes(),
    );
    let report = root.lint();
    assert_has(
        report.only("SP104"),
        &json!({
            "severity": "warning", "subject": "/opt/lib",
            "evidence": {"rpath": "/opt/lib", "runpath": "/srv"},
        }),
    );
    assert_has(report.only("SP001"), &json!({"subject": "libdep.so"}));
    // It has no entry point to run.
    root.finds_all(APP, false);

    for near in [
        object(Some("/opt/lib"), None),
        object(None, Some("/opt/lib")),
        object(Some("/opt/lib"), Some("/opt/lib")),
    ] {
        root.write("lib/libouter.so", near.bytes());
        let report = root.lint();
        report.is_silent("SP104");
        report.has_no_error();
        root.finds_all(APP, true);
    }
}

#[test]
fn sp105_glibc_takes_an_unknown_token_literally() {
    for element in ["$ORIGINAL/lib", "/opt/$FOO", "${HOME}/lib", "/opt/$"] {
        let root = root_with_path(&format!("{element}:/opt/lib"));
        assert_has(
            root.lint().only("SP105"),
            &json!({
                "severity": "warning", "path": APP, "subject": element,
                "evidence": {"tag": "DT_RUNPATH", "element": element},
            }),
        );
        // A directory with this literal name is searched.
        root.remove("opt/lib/libdep.so");
        root.library(
            &format!("{}/libdep.so", element.trim_start_matches('/')),
            &[],
            &[],
        );
        root.starts(APP);
    }
}

#[test]
fn sp105_the_tokens_of_glibc_are_known() {
    let path = "$ORIGIN/../../opt/lib:${ORIGIN}/x:/opt/$LIB:/opt/${PLATFORM}/lib";
    let root = root_with_path(path);
    root.lint().is_silent("SP105");
    root.starts(APP);
}

#[test]
fn sp105_musl_knows_origin_only_and_drops_the_whole_path() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    with_path(&root, "/opt/$LIB:/opt/lib", "--enable-new-dtags");
    let report = root.lint();
    assert_has(
        report.only("SP105"),
        &json!({"severity": "warning", "path": APP, "subject": "/opt/$LIB"}),
    );
    assert_has(report.only("SP001"), &json!({"subject": "libdep.so"}));
    root.does_not_start(APP, "libdep.so: No such file or directory");

    with_path(
        &root,
        "${ORIGIN}/x:$ORIGIN/../../opt/lib",
        "--enable-new-dtags",
    );
    let report = root.lint();
    report.is_silent("SP105");
    report.has_no_error();
    root.starts(APP);
}

#[test]
fn sp106_a_library_without_a_soname_is_needed_by_its_path() {
    let root = Root::glibc();
    root.library("opt/lib/libdep.so", &[], &[]);
    root.program("usr/bin/app", &["dep"], &["opt/lib/libdep.so"]);
    assert_has(
        root.lint().only("SP106"),
        &json!({"severity": "warning", "path": APP, "subject": "opt/lib/libdep.so"}),
    );
    root.starts(APP);
}

#[test]
fn sp106_a_name_is_fine_wherever_the_library_was_linked_from() {
    let root = Root::glibc();
    root.library("lib/libdep.so", &[], &["-Wl,-soname,libdep.so"]);
    root.program("usr/bin/app", &["dep"], &["lib/libdep.so"]);
    root.library("lib/libother.so", &[], &[]);
    root.program("usr/bin/other", &["other"], &["-Llib", "-lother"]);
    root.lint().is_silent("SP106");
    root.starts(APP);
    root.starts("/usr/bin/other");
}

#[test]
fn sp107_a_preload_file_is_told_with_its_contents() {
    let root = Root::glibc();
    root.library("opt/lib/libspy.so", &[], &[]);
    root.program("usr/bin/app", &[], &[]);
    root.write("etc/ld.so.preload", "/opt/lib/libspy.so\n");
    assert_has(
        root.lint().only("SP107"),
        &json!({
            "severity": "warning", "path": "/etc/ld.so.preload",
            "evidence": {"contents": "/opt/lib/libspy.so\n"},
        }),
    );
    root.starts(APP);
}

#[test]
fn sp107_a_preload_file_that_names_nothing_is_fine() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    for text in ["", "\n \n", "# nothing is preloaded\n"] {
        root.write("etc/ld.so.preload", text);
        let report = root.lint();
        assert!(report.of("SP107").is_empty(), "{text:?}: {report:?}");
        root.starts(APP);
    }
    root.remove("etc/ld.so.preload");
    root.lint().is_silent("SP107");
}

#[test]
fn search_paths_of_single_files_are_checked_too() {
    let root = root_with_path(":/opt/lib:/home/nobody-builds-here/lib");
    let report = lint([
        "--root".as_ref(),
        root.path.as_os_str(),
        root.at("usr/bin/app").as_os_str(),
    ]);
    assert_has(report.only("SP101"), &json!({"path": APP}));
    assert_has(report.only("SP103"), &json!({"severity": "warning"}));
    report.has_no_error();
    assert_eq!(report.json["targets"][0]["kind"], "elf");
}
