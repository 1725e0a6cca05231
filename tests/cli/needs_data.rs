//! Data files of libraries, and libraries loaded by name: each run in a container without and with
//! them.

use crate::{common, packing};
use std::fs;
use std::process::Command;

use packing::{Packed, pack, text};

/// The output of a run in the image, errors included, and whether it succeeds.
fn said(packed: &Packed, words: &[&str]) -> (bool, String) {
    let output = packed.run(words);
    (output.status.success(), text(&output))
}

/// glibc converts a name with `AI_IDN` by a library that it loads at that point.
#[test]
fn names_beyond_ascii_are_looked_up_with_libidn2() {
    let tools = ["getent", "/usr/lib/x86_64-linux-gnu/libidn2.so.0"];
    if !common::have(&tools) || !packing::runs_containers() {
        return;
    }
    let folder = common::temporary();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.7 xn--bcher-kva.test\n").unwrap();
    let add = format!("--add={}:/etc/hosts", hosts.display());
    let base = ["/usr/bin/getent", "--without", "hosts", &add];
    let env = ["-e", "LANG=C.UTF-8"];
    let base = [&base[..], &env].concat();
    let ask = ["/usr/bin/getent", "ahosts", "bücher.test"];
    let without = pack(&base);
    assert!(!said(&without, &ask).0);
    assert!(
        without.said.contains("--with libidn2") || without.said.contains("more hint"),
        "{}",
        without.said
    );
    let with = pack(&[&base[..], &["--with", "libidn2"]].concat());
    let (is_found, answer) = said(&with, &ask);
    assert!(is_found && answer.contains("127.0.0.7"), "{answer}");
    // A program that resolves names but does not contain the word IDN gets no hint.
    let other = pack(&["/usr/bin/logger", "-v"]);
    assert!(!other.said.contains("libidn2"), "{}", other.said);
}

/// GLib determines file types from the MIME database.
#[test]
fn the_types_of_files_are_a_need_of_glib() {
    let gio = "/usr/lib/x86_64-linux-gnu/libgio-2.0.so.0";
    let glib = "/usr/lib/x86_64-linux-gnu/libglib-2.0.so.0";
    let tools = ["cc", gio, "/usr/share/mime/mime.cache"];
    if !common::have(&tools) || !packing::runs_containers() {
        return;
    }
    let folder = common::temporary();
    let source = "#include <stdio.h>\nchar *g_content_type_guess(const char *, const void *, unsigned long, int *);\n\
        int main(void) { puts(g_content_type_guess(0, \"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>\", 54, 0)); return 0; }";
    let program = common::compile(folder.path(), "app", source, &[gio, glib]);
    let word = program.to_str().unwrap();
    let here = common::succeed(&mut Command::new(&program));
    let without = pack(&[word]);
    assert_ne!(said(&without, &[]).1, here);
    assert!(without.said.contains("--with mime"), "{}", without.said);
    let with = pack(&[word, "--with", "mime"]);
    assert_eq!(said(&with, &[]), (true, here));
    // Not the sources that the database is compiled from.
    assert!(!with.has("usr/share/mime/packages"));
}

#[test]
fn spelling_checkers_need_their_dictionaries() {
    if !common::have(&[
        "aspell",
        "hunspell",
        "enchant-2",
        "/usr/share/hunspell/en_US.dic",
    ]) || !packing::runs_containers()
    {
        return;
    }
    let folder = common::temporary();
    let words = folder.path().join("words");
    fs::write(&words, "hello wrld\n").unwrap();
    let add = format!("--add={}:/words", words.display());
    for (program, more, command) in [
        (
            "/usr/bin/aspell",
            "dictionaries",
            "aspell -d en_US list < /words",
        ),
        (
            "/usr/bin/hunspell",
            "dictionaries",
            "hunspell -d en_US -l /words",
        ),
        (
            "/usr/bin/enchant-2",
            "dictionaries,plugins",
            "enchant-2 -d en_US -l /words",
        ),
    ] {
        let base = [program, "/bin/sh", &add];
        let run = ["/bin/sh", "-c", command];
        let without = pack(&base);
        assert_ne!(said(&without, &run).1, "wrld\n", "{program}");
        assert!(
            without.said.contains("--with dictionaries"),
            "{}",
            without.said
        );
        let with = pack(&[&base[..], &["--with", more]].concat());
        assert_eq!(said(&with, &run), (true, "wrld\n".to_owned()), "{program}");
    }
}

/// The loader decides: a library that it would open is not a finding.
#[test]
fn sp401_a_library_that_is_loaded_by_name_and_missing() {
    let folder = common::temporary();
    let libraries = folder.path().join("lib");
    fs::create_dir(&libraries).unwrap();
    let flags = ["-shared", "-fPIC"];
    common::compile(&libraries, "libplugin.so.2", "int x;", &flags);
    let source = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) { \
        const char *text = \"libno.sofa\"; \
        puts(dlopen(\"libplugin.so.2\", RTLD_NOW) ? \"loaded\" : \"missing\"); return !text; }";
    let program = common::compile(
        folder.path(),
        "app",
        source,
        &["-Wl,-rpath,$ORIGIN/lib", "-O0"],
    );
    let word = program.to_str().unwrap();
    let lint = |packed: &Packed| {
        let mut lint = common::slimpack();
        lint.args(["lint", "--runtime"]).arg(&packed.archive);
        text(&common::output(&mut lint))
    };
    let without = pack(&[word]);
    let found = lint(&without);
    assert!(
        found.contains("SP401") && found.contains("libplugin.so.2, which is missing"),
        "{found}"
    );
    assert!(!found.contains("libno"), "{found}");
    let with = pack(&[word, "--with", "libraries"]);
    assert!(!lint(&with).contains("libplugin"), "{}", lint(&with));
    if packing::runs_containers() {
        assert_eq!(said(&without, &[]).1, "missing\n");
        assert_eq!(said(&with, &[]).1, "loaded\n");
    }
}

/// No package turns `ls` into a program with plugins.
#[test]
fn a_need_that_a_program_does_not_have_is_not_to_be_installed() {
    for need in ["plugins", "openssl", "stdlib", "dictionaries"] {
        let said = packing::refused(2, &["/bin/ls", "--with", need]);
        assert!(!said.contains("install"), "{said}");
        assert!(said.contains("leave the need out of --with"), "{said}");
    }
}

/// nginx does not start if its configuration names an unknown user.
#[test]
fn users_that_a_configuration_names_come_with_it() {
    if !common::have(&["nginx"]) || !packing::runs_containers() {
        return;
    }
    let nginx = common::find("nginx").unwrap();
    let nginx = nginx.to_str().unwrap();
    let test = [nginx, "-t"];
    let with = pack(&[nginx, "--with", "paths"]);
    assert!(
        with.file("etc/passwd").contains("www-data:"),
        "{}",
        with.said
    );
    // nginx gets past the user, up to an operation that needs capabilities.
    let (_, text) = said(&with, &test);
    assert!(text.contains("syntax is ok"), "{text}");
    assert!(!text.contains("getpwnam"), "{text}");
    let without = pack(&[nginx, "--with", "paths", "--without", "configuration"]);
    let (is_valid, text) = said(&without, &test);
    assert!(
        !is_valid && text.contains("getpwnam(\"www-data\") failed"),
        "{text}"
    );
}

/// The form of the `.load` files that name Apache's modules.
#[test]
fn modules_that_a_configuration_names_come_as_libraries() {
    let folder = common::temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("modules")).unwrap();
    let flags = ["-shared", "-fPIC"];
    let inner = common::compile(
        &at("modules"),
        "libinner.so.1",
        "int inner(void) { return 7; }",
        &flags,
    );
    let module = common::compile(
        &at("modules"),
        "mod_app.so",
        "int inner(void); int answer(void) { return inner(); }",
        &[
            "-shared",
            "-fPIC",
            inner.to_str().unwrap(),
            "-Wl,-rpath,$ORIGIN",
        ],
    );
    let source = "#include <dlfcn.h>\n#include <stdio.h>\n#include <string.h>\nint main(void) {\n\
        char line[4096], path[4096], word[64]; FILE *file = fopen(\"/etc/app.load\", \"r\");\n\
        if (!file || !fgets(line, sizeof line, file)) return 2;\n\
        if (sscanf(line, \"%63s app_module %4095s\", word, path) != 2) return 3;\n\
        void *module = dlopen(path, RTLD_NOW); if (!module) { puts(dlerror()); return 4; }\n\
        int (*answer)(void) = (int (*)(void))dlsym(module, \"answer\");\n\
        printf(\"%d\\n\", answer()); return 0; }";
    let program = common::compile(folder.path(), "app", source, &[]);
    let closed = at("key");
    fs::write(&closed, "secret\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&closed, mode).unwrap();
    let log = "/var/log/lastlog";
    let configuration = format!(
        "LoadModule app_module {}\n# LoadModule no_module /usr/bin/perl\nKey {}\nLog {log}\n",
        module.display(),
        closed.display()
    );
    fs::write(at("app.load"), configuration).unwrap();
    let add = format!("{}:/etc/app.load", at("app.load").display());
    let words = [program.to_str().unwrap(), "--add", &add];
    let with = pack(&words);
    let has = |path: &std::path::Path| with.has(path.to_str().unwrap().trim_start_matches('/'));
    assert!(has(&module) && has(&inner), "{}", with.said);
    // A module that is available is not necessarily enabled.
    let listed = format!("{}:/etc/x-available/perl.conf", at("perl.conf").display());
    let other = at("other");
    fs::write(&other, "text\n").unwrap();
    fs::write(at("perl.conf"), format!("Load {}\n", other.display())).unwrap();
    let listed = pack(&[words[0], "--add", &listed]);
    assert!(!listed.has(other.to_str().unwrap().trim_start_matches('/')));
    // Being named in a file is not enough to put a private key into an image.
    assert!(!has(&closed) && !with.has("usr/bin/perl") && !with.has(&log[1..]));
    let flag = format!("--add {}", closed.display());
    assert!(with.said.contains(&flag), "{}", with.said);
    if packing::runs_containers() {
        assert_eq!(said(&with, &[]), (true, "7\n".to_owned()));
        let without = pack(&[&words[..], &["--without", "configuration"]].concat());
        assert!(!said(&without, &[]).0);
    }
}

/// `su` asks pam_unix whether the account is valid; pam_unix runs a helper, which looks up the
/// account.
#[test]
fn su_of_root_starts_the_shell() {
    if !common::have(&["/bin/su", "chroot", "/usr/sbin/unix_chkpwd"]) || !common::is_root() {
        return;
    }
    let folder = common::temporary();
    let root = folder.path().join("root");
    let su = |options: &[&str]| {
        let mut pack = common::slimpack();
        pack.args(["/bin/su", "--with", "pam", "--force", "-qo"]);
        common::succeed(pack.arg(format!("{}/", root.display())).args(options));
        let mut chroot = Command::new("chroot");
        chroot.arg(&root).args(["/bin/su", "-c", "echo hi"]);
        let output = common::output(&mut chroot);
        (output.status.success(), text(&output))
    };
    assert_eq!(su(&[]), (true, "hi\n".to_owned()));
    let (works, said) = su(&["--exclude", "/etc/shadow"]);
    assert!(!works, "{said}");
}

/// In an image, accounts are those of the image, and none has a password any more.
#[test]
fn su_of_root_starts_its_shell_in_a_minimized_image() {
    let Some(debian) = common::given("SLIMPACK_TEST_DEBIAN") else {
        return;
    };
    if !common::have(&["chroot"]) || !common::is_root() {
        return;
    }
    let folder = common::temporary();
    let root = folder.path().join("root");
    let mut pack = common::slimpack();
    pack.arg("--from").arg(&debian);
    pack.args(["/bin/su", "--with", "pam", "-qo"]);
    common::succeed(pack.arg(format!("{}/", root.display())));
    for root in [&debian, &root] {
        let mut chroot = Command::new("chroot");
        chroot.arg(root).args(["/bin/su", "-c", "echo $SHELL"]);
        assert_eq!(text(&common::output(&mut chroot)), "/bin/bash\n");
    }
    let shadow = fs::read_to_string(root.join("etc/shadow")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let names = text.lines().map(|line| line.split(':').next().unwrap());
        names.map(str::to_owned).collect()
    };
    let passwd = fs::read_to_string(debian.join("etc/passwd")).unwrap();
    assert_eq!(names(&shadow), names(&passwd));
    assert!(
        shadow
            .lines()
            .all(|line| line.split(':').nth(1) == Some("*")),
        "{shadow}"
    );
}
