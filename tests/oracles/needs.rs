//! Each need besides the libraries: a program that fails without it, and one that only looks as if
//! it had it.

use crate::{common, packing, probes};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use packing::{needs, pack, refused, runs_containers};
use probes::*;

fn musl(folder: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, program) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("musl-gcc");
    compiler.arg("-O2").arg(&file).arg("-o").arg(&program);
    common::succeed(compiler.args(flags));
    program
}

fn library(folder: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let soname = format!("-Wl,-soname,{name}");
    let flags = [&["-shared", "-fPIC", soname.as_str()], flags].concat();
    common::compile(folder, name, source, &flags)
}

/// The program fails without the need and runs with it: with glibc, and with musl where installed,
/// dynamic and static.
fn with_either_c_library(need: &str, source: &str) {
    let folder = common::temporary();
    for (name, flags) in [("dynamic", &[][..]), ("static", &["-static"])] {
        let program = common::compile(folder.path(), name, source, flags);
        needs(need, &program, &[]);
        if common::have(&["musl-gcc"]) {
            let program = musl(folder.path(), &format!("musl-{name}"), source, flags);
            needs(need, &program, &[]);
        }
    }
}

#[test]
fn a_stripped_static_program_still_shows_what_it_reads() {
    let folder = common::temporary();
    for (need, source) in [("users", USERS), ("hosts", HOSTS)] {
        let program = common::compile(folder.path(), need, source, &["-static", "-s"]);
        needs(need, &program, &[]);
    }
}

#[test]
fn who_looks_a_user_up_gets_users() {
    with_either_c_library("users", USERS);
}

#[test]
fn who_looks_a_host_up_gets_localhost() {
    with_either_c_library("hosts", HOSTS);
}

#[test]
fn who_makes_a_temporary_file_gets_tmp() {
    with_either_c_library("tmp", TMP);
    let folder = common::temporary();
    let program = common::compile(folder.path(), "tmp", TMP, &[]);
    let packed = pack(&[program]);
    assert_eq!(packed.node("tmp").unwrap(), "folder 1777");
}

#[test]
fn who_calls_system_gets_a_shell() {
    with_either_c_library("shell", SHELL);
}

#[test]
fn who_ends_threads_gets_libgcc_with_a_dynamic_glibc_only() {
    let folder = common::temporary();
    for (name, source) in [("cancel", CANCEL), ("leave", EXIT)] {
        let program = common::compile(folder.path(), name, source, &["-pthread"]);
        needs("libgcc_s", &program, &[]);
        let flags = ["-pthread", "-static"];
        let mut others = vec![common::compile(folder.path(), "static", source, &flags)];
        if common::have(&["musl-gcc"]) {
            others.push(musl(folder.path(), "musl", source, &["-pthread"]));
        }
        for other in others {
            let packed = pack(&[&other]);
            assert!(!packed.said.contains("libgcc_s"), "{}", packed.said);
            if runs_containers() {
                let expected = common::succeed(&mut Command::new(&other));
                assert_eq!(packed.prints(&[]), expected);
            }
        }
    }
}

#[test]
fn who_asks_for_a_terminal_gets_terminfo() {
    let folder = common::temporary();
    let flags = ["-Wl,--no-as-needed", "-l:libtinfo.so.6"];
    let program = common::compile(folder.path(), "terminal", TERMINAL, &flags);
    let packed = needs("terminfo", &program, &[]);
    let layer = packed.layer();
    assert!(layer.keys().any(|path| path.ends_with("terminfo/l/linux")));
}

#[test]
fn a_zone_in_tz_brings_that_zone_and_no_other() {
    if !common::have(&["/usr/share/zoneinfo/Europe/Paris"]) {
        return;
    }
    let folder = common::temporary();
    let program = common::compile(folder.path(), "clock", CLOCK, &[]);
    let packed = needs("tzdata", &program, &["-e", "TZ=Europe/Paris"]);
    let layer = packed.layer();
    let zones = layer.keys().filter(|path| path.contains("zoneinfo/"));
    let zones: Vec<_> = zones
        .filter(|path| layer[*path].starts_with("file"))
        .collect();
    assert_eq!(zones, ["usr/share/zoneinfo/Europe/Paris"]);
    // A static program reads the same file.
    let program = common::compile(folder.path(), "static-clock", CLOCK, &["-static"]);
    needs("tzdata", &program, &["-e", "TZ=Europe/Paris"]);
    for zone in [
        &[][..],
        &["-e", "TZ=UTC0"],
        &["-e", "TZ=CET-1CEST,M3.5.0,M10.5.0/3"],
    ] {
        let packed = pack(&[&[program.to_str().unwrap()], zone].concat());
        assert!(!packed.said.contains("tzdata"), "{zone:?} {}", packed.said);
    }
}

#[test]
fn a_zone_that_the_source_lacks_is_a_warning() {
    let packed = pack(&[common::hello().to_str().unwrap(), "-e", "TZ=Europe/Nowhere"]);
    assert!(packed.said.contains("warning: tzdata: "), "{}", packed.said);
    assert!(packed.said.contains("Europe/Nowhere"), "{}", packed.said);
}

#[test]
fn a_locale_in_lang_brings_that_locale() {
    if !common::have(&["/usr/lib/locale/C.utf8/LC_CTYPE"]) {
        return;
    }
    let folder = common::temporary();
    let program = common::compile(folder.path(), "codeset", CODESET, &[]);
    needs("locale", &program, &["-e", "LANG=C.UTF-8"]);
    let word = program.to_str().unwrap();
    for flags in [&[][..], &["-e", "LANG=C"], &["-e", "LANG="]] {
        let packed = pack(&[&[word], flags].concat());
        assert!(!packed.said.contains("locale"), "{flags:?} {}", packed.said);
    }
    if common::have(&["musl-gcc"]) {
        let program = musl(folder.path(), "musl", CODESET, &[]);
        let packed = pack(&[program.to_str().unwrap(), "-e", "LANG=C.UTF-8"]);
        assert!(!packed.said.contains("locale"), "{}", packed.said);
    }
}

#[test]
fn who_trusts_the_authorities_of_the_system_gets_them_where_openssl_looks() {
    const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
    const OPENSSL: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
    if ![BUNDLE, OPENSSL]
        .iter()
        .all(|path| Path::new(path).exists())
    {
        return;
    }
    let folder = common::temporary();
    let flags = ["-l:libssl.so.3", "-l:libcrypto.so.3"];
    let program = common::compile(folder.path(), "tls", AUTHORITIES, &flags);
    let with = pack(&[&program]);
    assert!(with.has(&BUNDLE[1..]), "{}", with.said);
    let link = with.node("usr/lib/ssl/cert.pem");
    assert_eq!(
        link.as_deref(),
        Some("link /etc/ssl/certs/ca-certificates.crt")
    );
    let without = pack(&[program.to_str().unwrap(), "--without", "ca-certificates"]);
    assert!(!without.has(&BUNDLE[1..]) && !without.has("usr/lib/ssl/cert.pem"));
    if runs_containers() {
        with.prints(&[]);
        assert_eq!(without.run(&[]).status.code(), Some(2));
    }
}

#[test]
fn converters_are_a_hint_until_they_are_asked_for() {
    let folder = common::temporary();
    let program = common::compile(folder.path(), "convert", CONVERT, &[]);
    let word = program.to_str().unwrap();
    let plain = pack(&[word]);
    assert!(plain.said.contains("--with gconv"), "{}", plain.said);
    assert!(!plain.layer().keys().any(|path| path.contains("gconv")));
    let with = pack(&[word, "--with", "gconv=UTF-16"]);
    let converters = with.layer();
    let converters = converters.keys().filter(|path| path.ends_with(".so"));
    assert_eq!(converters.count(), 1, "{:?}", with.layer());
    let said = refused(2, &[word, "--with", "gconv=UTF-99"]);
    assert!(said.contains("UTF-99"), "{said}");
    if runs_containers() {
        assert_eq!(plain.run(&[]).status.code(), Some(1));
        assert_eq!(with.prints(&[]), "converts\n");
    }
}

#[test]
fn a_static_program_takes_the_converters_of_the_installed_library() {
    let folder = common::temporary();
    let program = common::compile(folder.path(), "convert", CONVERT, &["-static"]);
    let word = program.to_str().unwrap();
    let with = pack(&[word, "--with", "gconv=UTF-16"]);
    assert!(
        with.layer()
            .keys()
            .any(|path| path.ends_with("gconv/UTF-16.so"))
    );
    if runs_containers() {
        assert_eq!(pack(&[word]).run(&[]).status.code(), Some(1));
        assert_eq!(with.prints(&[]), "converts\n");
    }
}

#[test]
fn services_are_a_hint_until_they_are_asked_for() {
    if !common::have(&["/etc/services"]) {
        return;
    }
    let folder = common::temporary();
    let program = common::compile(folder.path(), "service", SERVICE, &[]);
    let word = program.to_str().unwrap();
    let plain = pack(&[word]);
    assert!(plain.said.contains("--with services"), "{}", plain.said);
    assert!(!plain.has("etc/services"));
    let with = pack(&[word, "--with", "services"]);
    if runs_containers() {
        assert_eq!(plain.run(&[]).status.code(), Some(1));
        assert_eq!(with.prints(&[]), "443\n");
    }
}

#[test]
fn a_note_brings_the_library_that_a_program_opens() {
    let folder = common::temporary();
    library(folder.path(), "libgreet.so.1", GREET, &[]);
    for notes in [
        r#"[{"soname":["libgreet.so.1"],"priority":"recommended"}]"#,
        r#"[{"soname":["libabsent.so.9","libgreet.so.1"]}]"#,
    ] {
        let source = opener(notes, "main");
        let program = common::compile(folder.path(), "open", &source, &["-Wl,-rpath,$ORIGIN"]);
        let packed = needs("dlopen", &program, &[]);
        assert!(packed.has("usr/local/bin/libgreet.so.1"), "{notes}");
    }
}

#[test]
fn a_required_library_comes_and_stays_away_when_it_is_declined() {
    let folder = common::temporary();
    library(folder.path(), "libgreet.so.1", GREET, &[]);
    let notes = r#"[{"soname":["libgreet.so.1"],"priority":"required"}]"#;
    let flags = ["-Wl,-rpath,$ORIGIN"];
    let program = common::compile(folder.path(), "open", &opener(notes, "main"), &flags);
    let packed = pack(&[&program]);
    assert!(packed.has("usr/local/bin/libgreet.so.1"), "{}", packed.said);
    needs("dlopen", &program, &[]);
}

#[test]
fn a_note_of_a_library_counts_as_that_of_the_program() {
    let folder = common::temporary();
    library(folder.path(), "libgreet.so.1", GREET, &[]);
    let source = opener(r#"[{"soname":["libgreet.so.1"]}]"#, "middle");
    let own_folder = "-Wl,-rpath,$ORIGIN";
    let middle = library(folder.path(), "libmiddle.so.1", &source, &[own_folder]);
    let main = "int middle(void); int main(void) { return middle(); }\n";
    let flags = [middle.to_str().unwrap(), own_folder];
    let program = common::compile(folder.path(), "through", main, &flags);
    needs("dlopen", &program, &[]);
}

#[test]
fn a_suggested_library_comes_when_it_is_asked_for() {
    let folder = common::temporary();
    library(folder.path(), "libgreet.so.1", GREET, &[]);
    let notes = r#"[{"soname":["libgreet.so.1"],"priority":"suggested"}]"#;
    let flags = ["-Wl,-rpath,$ORIGIN"];
    let program = common::compile(folder.path(), "open", &opener(notes, "main"), &flags);
    let word = program.to_str().unwrap();
    let plain = pack(&[word]);
    assert!(!plain.has("usr/local/bin/libgreet.so.1"));
    let with = pack(&[word, "--with", "dlopen=suggested"]);
    assert!(with.has("usr/local/bin/libgreet.so.1"), "{}", with.said);
    if runs_containers() {
        assert_eq!(plain.run(&[]).status.code(), Some(1));
        assert_eq!(with.prints(&[]), "greeted\n");
    }
}

#[test]
fn a_required_library_that_is_absent_keeps_the_image_back_unless_it_is_declined() {
    let folder = common::temporary();
    let notes = r#"[{"soname":["libabsent.so.9"],"priority":"required"}]"#;
    let program = common::compile(folder.path(), "open", &opener(notes, "main"), &[]);
    let program = program.to_str().unwrap();
    for (status, flags) in [(1, &[][..]), (2, &["--with", "dlopen"])] {
        let said = refused(status, &[&[program], flags].concat());
        assert!(said.contains("libabsent.so.9"), "{said}");
    }
    for flags in [&["--without", "dlopen"][..], &["--allow-missing"]] {
        pack(&[&[program], flags].concat());
    }
}

#[test]
fn a_program_that_needs_nothing_gets_nothing() {
    let folder = common::temporary();
    let hello = common::compile(folder.path(), "static", common::HELLO, &["-static"]);
    let packed = pack(&[&hello]);
    let is_file = |node: &&String| !node.starts_with("folder");
    assert_eq!(packed.layer().values().filter(is_file).count(), 1);
    assert!(!packed.said.contains("added "), "{}", packed.said);

    // The libraries belong to a package, which the image would record.
    let packed = pack(&[common::hello(), Path::new("--without=package-records")]);
    let layer = packed.layer();
    let files = layer.values().filter(|node| node.starts_with("file"));
    assert_eq!(files.count(), 3, "{layer:?}");
    for word in ["added ", "hint:", "warning:"] {
        assert!(!packed.said.contains(word), "{}", packed.said);
    }
}

#[test]
fn a_static_program_that_holds_the_name_of_a_shell_gets_none() {
    let folder = common::temporary();
    let source = "#include <stdio.h>\nint main(int c, char **v) { (void)v; \
                  puts(c > 1 ? \"/bin/sh\" : \"/tmp\"); return 0; }\n";
    let program = common::compile(folder.path(), "holds", source, &["-static"]);
    let packed = pack(&[&program]);
    assert!(!packed.said.contains("added "), "{}", packed.said);
    assert_eq!(
        packed
            .layer()
            .values()
            .filter(|n| n.starts_with("file"))
            .count(),
        1
    );
    // A dynamic program gets both.
    let program = common::compile(folder.path(), "dynamic", source, &[]);
    let packed = pack(&[&program]);
    assert!(
        packed.has("tmp") && packed.added("shell"),
        "{}",
        packed.said
    );
}

#[test]
fn the_user_of_an_image_has_an_entry_with_its_name() {
    let folder = common::temporary();
    let program = common::compile(folder.path(), "whoami", WHOAMI, &[]);
    for (user, entry, answer) in [
        ("nobody", "nobody:x:65534:", "nobody"),
        ("daemon:7", "daemon:x:1:1:", "daemon 7"),
        ("1000", "x:1000:", ""),
        ("www-data", "www-data:x:33:33:", "www-data 33"),
    ] {
        let packed = pack(&[program.to_str().unwrap(), "-u", user]);
        let passwd = packed.file("etc/passwd");
        assert!(passwd.starts_with("root:x:0:0:"), "{passwd}");
        assert!(passwd.contains(entry), "{user}: {passwd}");
        assert!(packed.file("etc/group").starts_with("root:x:0:"));
        if runs_containers() {
            let printed = packed.prints(&[]);
            assert!(printed.starts_with(answer), "{user}: {printed}");
        }
    }
    // A user name in -u adds the entries even if the program does not read them.
    let packed = pack(&[common::hello().to_str().unwrap(), "-u", "daemon"]);
    assert!(packed.file("etc/passwd").contains("daemon:x:1:1:"));
    let packed = pack(&[common::hello().to_str().unwrap(), "-u", "1000"]);
    assert!(!packed.has("etc/passwd"), "{}", packed.said);
}

#[test]
fn all_rules_are_listed() {
    let listed = common::succeed(common::slimpack().arg("needs"));
    let json = common::succeed(common::slimpack().args(["needs", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names = common::strings(&json["needs"], "need");
    for name in [
        "users", "hosts", "tmp", "shell", "libgcc_s", "terminfo", "dlopen", "tzdata",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    for name in names {
        assert!(listed.contains(&name), "{name}: {listed}");
    }
}

#[test]
fn the_needs_of_a_file_are_told_with_their_signs() {
    let folder = common::temporary();
    let program = common::compile(folder.path(), "tmp", TMP, &[]);
    let said = common::succeed(common::slimpack().arg("needs").arg(&program));
    assert!(
        said.contains("tmp (automatic)") && said.contains("imports mkstemp"),
        "{said}"
    );
    let json = common::succeed(common::slimpack().args(["needs", "--json"]).arg(&program));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(common::strings(&json["needs"], "need"), ["tmp"]);
    let said = common::succeed(common::slimpack().arg("needs").arg(common::hello()));
    assert!(said.contains("nothing besides its libraries"), "{said}");
}

#[test]
fn an_unknown_need_is_refused_with_the_nearest() {
    let hello = common::hello().to_str().unwrap();
    for flag in ["--with", "--without"] {
        let said = refused(2, &[hello, flag, "user"]);
        assert!(said.contains("did you mean users?"), "{said}");
    }
    let said = refused(2, &[hello, "--with", "hosts=root"]);
    assert!(said.contains("does not take a value"), "{said}");
}

#[test]
fn what_the_source_lacks_is_an_error_when_asked_for_and_else_a_warning() {
    let folder = common::temporary();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    let source = "#include <stdio.h>\nint main(void) { puts(\"/etc/ssl/certs\"); return 0; }\n";
    let program = common::compile(folder.path(), "trusting", source, &["-static"]);
    let words = [program.to_str().unwrap(), "--root", root.to_str().unwrap()];
    let packed = pack(&words);
    let warning = "warning: ca-certificates: ";
    assert!(packed.said.contains(warning), "{}", packed.said);
    let said = refused(2, &[&words[..], &["--with", "ca-certificates"]].concat());
    assert!(said.contains("package ca-certificates"), "{said}");
    let packed = pack(&[&words[..], &["--without", "ca-certificates"]].concat());
    assert!(!packed.said.contains("ca-certificates"), "{}", packed.said);
}

#[test]
fn the_same_needs_give_the_same_bytes() {
    let folder = common::temporary();
    let source = [
        USERS,
        "\nextern int system(const char *); int more(void) { return system(\"\"); }",
    ];
    let program = common::compile(folder.path(), "several", &source.concat(), &[]);
    let words = [
        program.to_str().unwrap(),
        "-u",
        "daemon",
        "-e",
        "TZ=Europe/Paris",
    ];
    let read = || {
        let packed = pack(&words);
        fs::read(&packed.archive).unwrap()
    };
    assert!(read() == read());
}

#[test]
fn all_and_none_are_every_need_and_no_need() {
    let folder = common::temporary();
    let program = common::compile(folder.path(), "users", USERS, &[]);
    let word = program.to_str().unwrap();
    let none = pack(&[word, "--with", "none"]);
    assert!(!none.said.contains("added "), "{}", none.said);
    let one = pack(&[word, "--with", "none,users"]);
    assert!(one.has("etc/passwd"), "{}", one.said);
    let others = pack(&[word, "--with", "users=daemon+bin"]);
    let getent = |database: &str, name: &str| {
        common::succeed(std::process::Command::new("getent").args([database, name]))
    };
    for user in ["daemon", "bin"] {
        assert!(others.file("etc/passwd").contains(&getent("passwd", user)));
        assert!(others.file("etc/group").contains(&format!("{user}:x:")));
    }
    let said = refused(2, &[word, "--with", "users=no-such-user"]);
    assert!(said.contains("there is no user no-such-user"), "{said}");
    let convert = common::compile(folder.path(), "convert", CONVERT, &[]);
    let all = pack(&[convert.to_str().unwrap(), "--with", "all"]);
    assert!(all.added("gconv"), "{}", all.said);
    // `all` means the needs that show a sign.
    assert!(!all.has("etc/passwd") && !all.has("bin/busybox"));
}

/// A root whose C library is named like glibc's and defines these versions, with name-service
/// modules, and a program that looks up users.
fn old_glibc(folder: &Path, versions: &[&str]) -> (PathBuf, PathBuf) {
    let root = folder.join(versions.join("-"));
    let libraries = root.join("lib/x86_64-linux-gnu");
    fs::create_dir_all(&libraries).unwrap();
    fs::create_dir_all(root.join("lib64")).unwrap();
    let script = root.join("versions");
    let mut text = String::new();
    for (number, version) in versions.iter().enumerate() {
        let symbols = if number == 0 {
            "global: getpwnam; local: *;"
        } else {
            ""
        };
        text.push_str(&format!("{version} {{ {symbols} }};\n"));
    }
    fs::write(&script, text).unwrap();
    let bare = ["-nostdlib", "-Wl,--no-as-needed"];
    let versioned = format!("-Wl,--version-script={}", script.display());
    let source = "void *getpwnam(const char *name) { (void)name; return 0; }\n";
    let libc = [&bare[..], &[versioned.as_str()]].concat();
    let libc = library(&libraries, "libc.so.6", source, &libc);
    for module in ["libnss_files.so.2", "libnss_dns.so.2"] {
        library(&libraries, module, "int module;\n", &bare);
    }
    fs::copy(
        "/lib64/ld-linux-x86-64.so.2",
        root.join("lib64/ld-linux-x86-64.so.2"),
    )
    .unwrap();
    let source = "void *getpwnam(const char *);\n\
                  void _start(void) { getpwnam(\"x\"); for (;;); }\n";
    let flags = [&bare[..], &["-nostartfiles", libc.to_str().unwrap()]].concat();
    (common::compile(&root, "program", source, &flags), root)
}

#[test]
fn a_glibc_before_2_34_gets_its_name_service_modules() {
    if !common::have(&["/lib64/ld-linux-x86-64.so.2"]) {
        return;
    }
    let folder = common::temporary();
    for (versions, has_modules) in [
        (&["GLIBC_2.2.5", "GLIBC_2.33"][..], true),
        (&["GLIBC_2.2.5", "GLIBC_2.34"], false),
    ] {
        let (program, root) = old_glibc(folder.path(), versions);
        let packed = pack(&[&program, Path::new("--root"), &root]);
        let modules = ["libnss_files.so.2", "libnss_dns.so.2"];
        for module in modules.map(|module| format!("lib/x86_64-linux-gnu/{module}")) {
            assert_eq!(
                packed.has(&module),
                has_modules,
                "{versions:?} {}",
                packed.said
            );
        }
    }
}
