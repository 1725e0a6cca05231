//! SP401: data that a program probably reads and its root file system lacks.

use crate::{common, root_images, roots};
use common::have;
use root_images::lint_image;
use roots::{MUSL_GCC, Report, Root, assert_has, lint};
use serde_json::{Value, json};

const APP: &str = "/usr/bin/app";

/// A program that references a function without calling it.
fn refers_to(function: &str) -> String {
    format!(
        "void {function}(void); int main(int n, char **v) {{ if (n > 9) {function}(); return 0; }}"
    )
}

fn needs(report: &Report) -> Vec<String> {
    let found = report.of("SP401").into_iter();
    found
        .map(|found| found["subject"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn sp401_a_function_speaks_of_data_until_it_is_there() {
    for (function, need, path) in [
        ("getpwnam", "users", "etc/passwd"),
        ("initgroups", "users", "etc/passwd"),
        ("mkstemp", "tmp", "tmp/.keep"),
        ("getaddrinfo", "hosts", "etc/hosts"),
        ("system", "shell", "bin/sh"),
    ] {
        let root = Root::glibc();
        root.compile("usr/bin/app", &refers_to(function), &["-fno-builtin"]);
        let report = root.lint();
        let found = report.only("SP401");
        assert_has(
            found,
            &json!({
                "severity": "info", "subject": need, "requesters": [APP], "programs": [APP],
                "evidence": {"need": need},
            }),
        );
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(function), "{message}");
        report.has_no_error();

        root.write(path, "");
        let report = root.lint();
        assert!(report.of("SP401").is_empty(), "{function}: {report:?}");
    }
}

#[test]
fn sp401_a_library_may_speak_for_the_program() {
    for (library, function, need, path) in [
        (
            "libssl.so.3",
            "SSL_CTX_set_default_verify_paths",
            "ca-certificates",
            "etc/ssl/certs/ca-certificates.crt",
        ),
        (
            "libtinfo.so.6",
            "setupterm",
            "terminfo",
            "usr/share/terminfo/x/xterm",
        ),
    ] {
        let root = Root::glibc();
        let shared = ["-shared", "-fPIC"];
        let source = format!("int {function}(void) {{ return 1; }}");
        let soname = format!("-Wl,-soname,{library}");
        root.compile(
            &format!("lib/{library}"),
            &source,
            &[&shared[..], &[&soname]].concat(),
        );
        let source = format!("int {function}(void); int dep(void) {{ return {function}(); }}");
        let link = format!("-l:{library}");
        root.compile(
            "lib/libdep.so",
            &source,
            &[&shared[..], &["-Llib", &link]].concat(),
        );
        root.program(
            "usr/bin/app",
            &["dep"],
            &["-Llib", "-ldep", "-Wl,-rpath-link,lib"],
        );
        assert_has(
            root.lint().only("SP401"),
            &json!({"subject": need, "requesters": ["/lib/libdep.so"], "programs": [APP]}),
        );
        root.write(path, "");
        root.lint().is_silent("SP401");
    }
}

#[test]
fn sp401_glibc_opens_libgcc_s_when_a_thread_ends_early() {
    let root = Root::glibc();
    root.compile("usr/bin/app", &refers_to("pthread_exit"), &[]);
    assert_has(root.lint().only("SP401"), &json!({"subject": "libgcc_s"}));
    root.library("lib/libgcc_s.so.1", &[], &[]);
    root.lint().is_silent("SP401");
    if have(&[MUSL_GCC]) {
        let root = Root::musl();
        root.compile("usr/bin/app", &refers_to("pthread_exit"), &[]);
        root.lint().is_silent("SP401");
    }
}

#[test]
fn sp401_programs_that_refer_to_nothing_of_it_need_nothing() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    root.compile("usr/bin/other", &refers_to("getpid"), &[]);
    root.program("usr/bin/static", &[], &["-static"]);
    root.lint().is_silent("SP401");
}

#[test]
fn sp401_single_files_of_a_machine_are_not_asked_for_data() {
    let root = Root::glibc();
    root.compile("usr/bin/app", &refers_to("getpwnam"), &[]);
    let report = lint([
        "--root".as_ref(),
        root.path.as_os_str(),
        root.at("usr/bin/app").as_os_str(),
    ]);
    report.is_silent("SP401");
}

fn with_env(root: &Root, env: &[&str]) -> Report {
    let env: Vec<Value> = env.iter().map(|entry| json!(entry)).collect();
    lint_image(root, |config| {
        config["config"] = json!({"Entrypoint": [APP], "Env": env});
    })
}

#[test]
fn sp401_a_time_zone_that_the_image_names_and_does_not_have() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    for zone in ["TZ=Europe/Berlin", "TZ=:Europe/Berlin"] {
        let report = with_env(&root, &[zone]);
        let found = report.only("SP401");
        assert_has(found, &json!({"severity": "info", "subject": "tzdata"}));
        let message = found["message"].as_str().unwrap();
        assert!(
            message.contains("Europe/Berlin") && !message.contains("--with"),
            "{message}"
        );
    }
    // No TZ, and POSIX rules that need no file.
    for env in [
        &[][..],
        &["TZ=UTC0"],
        &["TZ=CET-1CEST,M3.5.0,M10.5.0/3"],
        &["TZ="],
    ] {
        let report = with_env(&root, env);
        assert!(report.of("SP401").is_empty(), "{env:?}: {report:?}");
    }
    root.write("usr/share/zoneinfo/Europe/Berlin", "TZif");
    with_env(&root, &["TZ=Europe/Berlin"]).is_silent("SP401");
}

#[test]
fn sp401_a_locale_that_the_image_names_and_does_not_have() {
    let root = Root::glibc();
    root.compile("usr/bin/app", &refers_to("setlocale"), &["-fno-builtin"]);
    for env in [&[][..], &["LANG=C"], &["LC_ALL=POSIX"]] {
        with_env(&root, env).is_silent("SP401");
    }
    let report = with_env(&root, &["LANG=de_DE.UTF-8"]);
    assert_eq!(needs(&report), ["locale"], "{report:?}");
    root.write("usr/lib/locale/de_DE.utf8/LC_CTYPE", "");
    with_env(&root, &["LANG=de_DE.UTF-8"]).is_silent("SP401");
}

#[test]
fn sp401_conversions_between_character_sets() {
    let root = Root::glibc();
    root.compile("usr/bin/app", &refers_to("iconv_open"), &[]);
    let report = root.lint();
    assert_eq!(needs(&report), ["gconv"], "{report:?}");
}

#[test]
fn sp401_a_module_that_nsswitch_conf_names() {
    let root = Root::glibc();
    let source = "#include <pwd.h>\nint main(void) { return getpwnam(\"root\") == 0; }";
    root.compile("usr/bin/app", source, &[]);
    root.write("etc/passwd", "root:x:0:0::/:\n");
    root.write("etc/nsswitch.conf", "passwd: files\nhosts: files dns\n");
    root.lint().is_silent("SP401");
    root.starts(APP);
    // Without its NSS module no user is found, and libc does not say why.
    root.write("etc/nsswitch.conf", "passwd: compat\n");
    root.does_not_start(APP, "exit status: 1");
    let report = root.lint();
    assert_eq!(report.of("SP401").len(), 1, "{report:?}");
}
