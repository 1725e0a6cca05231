//! Signs of needs, and where in a program or its libraries they are found.

use crate::{common, packing, roots};
use std::fs;
use std::path::{Path, PathBuf};

use packing::{pack, refused};

/// Compiles a program in `folder` that loads a library of its own from `libraries`.
fn with_library(folder: &Path, library: &str, libraries: &Path) -> PathBuf {
    fs::create_dir_all(libraries).unwrap();
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libown.so.0"];
    let object = common::compile(libraries, "libown.so.0", library, &flags);
    let program = "int own(void); int main(void) { return own(); }";
    let rpath = format!("-Wl,-rpath,{}", libraries.display());
    common::compile(folder, "app", program, &[object.to_str().unwrap(), &rpath])
}

#[test]
fn a_library_of_the_program_that_converts_gives_a_hint() {
    let folder = common::temporary();
    let library = "#include <iconv.h>\nint own(void) { return iconv_open(\"UTF-16\", \"UTF-8\") == (iconv_t)-1; }";
    let program = with_library(folder.path(), library, &folder.path().join("lib"));
    let packed = pack(&[program.to_str().unwrap()]);
    assert!(packed.said.contains("--with gconv"), "{}", packed.said);
    let plain = with_library(
        folder.path(),
        "int own(void) { return 0; }",
        &folder.path().join("lib"),
    );
    let packed = pack(&[plain.to_str().unwrap()]);
    assert!(!packed.said.contains("gconv"), "{}", packed.said);
}

#[test]
fn paths_are_found_in_initialized_data_and_in_large_constants() {
    let folder = common::temporary();
    // A directory that contains only the file named by the program.
    let directory = Path::new("/etc/apt");
    if !directory.is_dir() {
        common::miss("/etc/apt does not exist".to_owned());
        return;
    }
    let data = "#include <stdio.h>\nchar path[] = \"/etc/apt\";\nint main(void) { return puts(path) < 0; }";
    let large = "#include <stdio.h>\n\
        __asm__(\".section .rodata\\n.globl large\\nlarge: .zero 20000000\\n.previous\");\n\
        extern const char large[]; static const char *const volatile path = \"/etc/apt\";\n\
        int main(void) { return puts(path) + large[1] < 0; }";
    for (name, source) in [("data", data), ("large", large)] {
        let program = common::compile(folder.path(), name, source, &[]);
        // A directory with the name of the program belongs to it.
        let named = folder.path().join("apt");
        let _ = fs::remove_file(&named);
        fs::rename(&program, &named).unwrap();
        let packed = pack(&[named.to_str().unwrap()]);
        assert!(packed.said.contains("/etc/apt"), "{name}: {}", packed.said);
    }
}

#[test]
fn a_program_that_reads_terminfo_by_itself_gives_a_hint() {
    let folder = common::temporary();
    let source =
        "#include <stdio.h>\nint main(void) { return puts(\"/usr/share/terminfo/x\") < 0; }";
    let program = common::compile(folder.path(), "term", source, &[]);
    let packed = pack(&[program.to_str().unwrap()]);
    assert!(packed.said.contains("--with terminfo"), "{}", packed.said);
    assert!(!packed.layer().keys().any(|path| path.contains("terminfo")));
    let packed = pack(&[program.to_str().unwrap(), "--with", "terminfo"]);
    assert!(packed.layer().keys().any(|path| path.ends_with("xterm")));
}

#[test]
fn plugins_may_be_beside_a_library_of_the_same_package_or_be_named_by_another() {
    let folder = common::temporary();
    let root = folder.path().join("root");
    let libraries = root.join("usr/libexec/app");
    // The library is in the plugin directory, and names it.
    let library = "#include <stdio.h>\nint own(void) { return puts(\"/usr/libexec/app\") < 0; }";
    let bin = root.join("usr/bin");
    fs::create_dir_all(&bin).unwrap();
    let program = {
        fs::create_dir_all(&libraries).unwrap();
        let flags = ["-shared", "-fPIC", "-Wl,-soname,libown.so.0"];
        let object = common::compile(&libraries, "libown.so.0", library, &flags);
        let program = "int own(void); int main(void) { return own(); }";
        let rpath = "-Wl,-rpath,/usr/libexec/app";
        common::compile(&bin, "app", program, &[object.to_str().unwrap(), rpath])
    };
    for object in [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ] {
        let target = root.join(&object[1..]);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(object, target).unwrap();
    }
    fs::write(libraries.join("plugin.conf"), "x").unwrap();
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let list = |name: &str, paths: &str| fs::write(info.join(name), paths).unwrap();
    let words = [
        "--root",
        root.to_str().unwrap(),
        program.to_str().unwrap(),
        "--with",
        "plugins",
    ];
    // Everything belongs to one package.
    list(
        "app.list",
        "/.\n/usr/bin/app\n/usr/libexec/app\n/usr/libexec/app/libown.so.0\n/usr/libexec/app/plugin.conf\n",
    );
    assert!(pack(&words).has("usr/libexec/app/plugin.conf"));
    // The library belongs to another package, and names the directory of the program's package.
    list(
        "app.list",
        "/.\n/usr/bin/app\n/usr/libexec/app\n/usr/libexec/app/plugin.conf\n/usr/libexec/app/libown.so.0\n",
    );
    list("libown.list", "/.\n/usr/libexec/app/libown.so.0\n");
    assert!(pack(&words).has("usr/libexec/app/plugin.conf"));
    // A directory that holds only libraries of other packages is not a plugin directory.
    list("app.list", "/.\n/usr/bin/app\n");
    list("libown.list", "/.\n/usr/libexec\n");
    let said = refused(2, &words);
    assert!(said.contains("a directory of their package"), "{said}");
}

/// Each interpreter, a script that uses only what the interpreter starts with, and a part of its
/// standard library that is not needed at startup.
const SCRIPTS: [(&str, &str, &str); 4] = [
    (
        "python3",
        "import sys, os\nprint('starts', os.sep)",
        "/json/",
    ),
    (
        "perl",
        "use strict; use warnings; use utf8; use Carp; print \"starts /\\n\";",
        "/POSIX.pm",
    ),
    ("ruby", "puts 'starts /'", "/json/"),
    ("tclsh", "puts {starts /}; auto_load nothing", "/http"),
];

#[test]
fn a_script_starts_with_nothing_asked_for() {
    if !common::have(&["python3", "perl", "ruby", "tclsh"]) || !packing::runs_containers() {
        return;
    }
    let folder = common::temporary();
    let script = folder.path().join("script");
    for (interpreter, text, absent) in SCRIPTS {
        fs::write(&script, format!("#!/usr/bin/env {interpreter}\n{text}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        let here = common::output(&mut std::process::Command::new(&script));
        let packed = pack(&[script.to_str().unwrap()]);
        assert_eq!(
            packing::text(&packed.run(&[])),
            packing::text(&here),
            "{interpreter}"
        );
        assert!(packed.said.contains("--with stdlib"), "{}", packed.said);
        // Only what the interpreter starts with.
        assert!(!packed.layer().keys().any(|path| path.contains(absent)));
        // All of it is needed: without it, the interpreter fails or complains.
        let bare = pack(&[script.to_str().unwrap(), "--without", "startup"]);
        assert_ne!(packing::text(&bare.run(&[])), "starts /\n", "{interpreter}");

        // An interpreter that is added starts, too.
        let added = format!("{}:/usr/bin/added", script.display());
        let packed = pack(&["/bin/sh", "--add", &added]);
        let run = packed.run(&["/bin/sh", "-c", "exec added"]);
        assert_eq!(packing::text(&run), "starts /\n", "{interpreter}");
    }
}

#[test]
fn java_starts_with_nothing_asked_for() {
    if !common::have(&["java"]) || !packing::runs_containers() {
        return;
    }
    let run = |options: &[&str]| {
        let java = [&["/usr/bin/java"], options].concat();
        pack(&java).run(&["/usr/bin/java", "-version"])
    };
    // The class data sharing archive only speeds up startup.
    let here = ["-Xshare:off", "-version"];
    let here = common::output(std::process::Command::new("java").args(here));
    let ended = run(&[]);
    assert!(ended.status.success(), "{}", packing::text(&ended));
    assert_eq!(packing::text(&ended), packing::text(&here));
    assert!(!run(&["--without", "startup"]).status.success());
}

#[test]
fn a_virtual_environment_that_is_apart_leaves_the_packages_of_its_base() {
    if !common::have(&["/usr/bin/python3"]) {
        return;
    }
    let folder = common::temporary();
    // The layout of pyenv, uv and the python.org images: packages are inside the standard library.
    let base = folder.path().join("base");
    let library = base.join("lib/python3.11");
    fs::create_dir_all(base.join("bin")).unwrap();
    fs::create_dir_all(library.join("site-packages/large")).unwrap();
    fs::create_dir_all(library.join("collections")).unwrap();
    fs::write(library.join("os.py"), "").unwrap();
    fs::write(library.join("collections/__init__.py"), "").unwrap();
    fs::write(library.join("site-packages/large/__init__.py"), "").unwrap();
    fs::copy("/usr/bin/python3.11", base.join("bin/python3.11")).unwrap();
    let venv = folder.path().join("venv");
    fs::create_dir_all(venv.join("bin")).unwrap();
    fs::create_dir_all(venv.join("lib/python3.11/site-packages/own")).unwrap();
    fs::write(
        venv.join("lib/python3.11/site-packages/own/__init__.py"),
        "",
    )
    .unwrap();
    std::os::unix::fs::symlink(base.join("bin/python3.11"), venv.join("bin/python")).unwrap();
    let program = venv.join("bin/python");
    for (setting, sees) in [
        ("", false),
        ("include-system-site-packages = false\n", false),
        ("include-system-site-packages = TRUE\n", true),
    ] {
        let settings = format!("home = {}\n{setting}", base.join("bin").display());
        fs::write(venv.join("pyvenv.cfg"), settings).unwrap();
        let packed = pack(&[
            program.to_str().unwrap(),
            "--with",
            "stdlib",
            "--dest",
            program.to_str().unwrap(),
        ]);
        let has = |end: &str| packed.layer().keys().any(|path| path.ends_with(end));
        assert_eq!(has("site-packages/large/__init__.py"), sees, "{setting}");
        assert!(has("site-packages/own/__init__.py") && has("collections/__init__.py"));
    }
}

#[test]
fn a_program_that_loads_by_name_gives_a_hint_for_what_is_found() {
    let folder = common::temporary();
    let libraries = folder.path().join("lib");
    fs::create_dir(&libraries).unwrap();
    let flags = ["-shared", "-fPIC"];
    common::compile(&libraries, "libplugin.so.2", "int x;", &flags);
    let source = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) { \
        dlopen(\"libgone.so.1\", RTLD_NOW); \
        puts(dlopen(\"libplugin.so.2\", RTLD_NOW) ? \"loaded\" : dlerror()); return 0; }";
    let rpath = format!("-Wl,-rpath,{}", libraries.display());
    let program = common::compile(folder.path(), "app", source, &[&rpath]);
    let word = program.to_str().unwrap();
    let plain = pack(&[word]);
    let flag = "--with libraries=libplugin.so.2";
    assert!(plain.said.contains(flag), "{}", plain.said);
    assert!(!plain.said.contains("libgone"), "{}", plain.said);
    let with = pack(&[word, "--with", "libraries=libplugin.so.2"]);
    if packing::runs_containers() {
        assert_ne!(plain.prints(&[]), "loaded\n");
        assert_eq!(with.prints(&[]), "loaded\n");
    }
    let said = refused(
        2,
        &[common::hello().to_str().unwrap(), "--with", "libraries"],
    );
    assert!(said.contains("names no such library"), "{said}");
}

#[test]
fn a_program_that_probes_for_certificates_gets_them() {
    if !common::have(&["/etc/ssl/certs/ca-certificates.crt"]) {
        return;
    }
    let folder = common::temporary();
    // Directory and file name in separate strings, as in openssl-probe.
    let source = "#include <stdio.h>\nint main(void) { puts(\"/etc/ssl\"); \
        return puts(\"certs/ca-certificates.crt\") < 0; }";
    let program = common::compile(folder.path(), "probe", source, &[]);
    let packed = pack(&[program.to_str().unwrap()]);
    assert!(
        packed.has("etc/ssl/certs/ca-certificates.crt"),
        "{}",
        packed.said
    );
}

#[test]
fn one_path_of_a_program_in_etc_is_a_sign() {
    let root = roots::Root::glibc();
    root.write("etc/only/file.conf", "x\n");
    let source = "#include <stdio.h>\n\
        int main(void) { return fopen(\"/etc/only/file.conf\", \"r\") == 0; }";
    root.compile("usr/bin/app", source, &[]);
    let plan = |more: &[&str]| {
        let mut command = common::slimpack();
        command.arg("--root").arg(&root.path).args(more);
        let said = common::output(command.arg(root.at("usr/bin/app")));
        assert!(said.status.success(), "{}", common::text(&said));
        common::text(&said)
    };
    let said = plan(&[]);
    assert!(said.contains("--with paths"), "{said}");
    assert!(plan(&["--with", "paths", "--json"]).contains("/etc/only/file.conf"));
}

#[test]
fn a_file_that_an_argument_names_is_told() {
    let folder = common::temporary();
    let file = folder.path().join("my.cfg");
    fs::write(&file, "x\n").unwrap();
    let file = file.to_str().unwrap();
    let packed = pack(&["/bin/cat", "--cmd", &format!("-n {file}")]);
    let added = format!("--add {file}");
    assert!(packed.said.contains(&added), "{}", packed.said);
    let packed = pack(&["/bin/cat", "--cmd", &format!("-n {file}"), "--add", file]);
    assert!(!packed.said.contains(&added), "{}", packed.said);
}

#[test]
fn localhost_has_both_its_addresses() {
    if !common::is_root() || !common::have(common::CONTAINER_TOOLS) {
        return;
    }
    let folder = common::temporary();
    let source = "#include <arpa/inet.h>\n#include <netdb.h>\n#include <stdio.h>\n\
        int main(void) {\n\
          struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;\n\
          if (getaddrinfo(\"localhost\", \"80\", &hints, &found)) return 1;\n\
          for (char text[64]; found; found = found->ai_next) {\n\
            getnameinfo(found->ai_addr, found->ai_addrlen, text, 64, 0, 0, NI_NUMERICHOST);\n\
            puts(text);\n\
          }\n\
        }";
    let program = common::compile(folder.path(), "addresses", source, &[]);
    let image = folder.path().join("image.tar");
    common::succeed(common::slimpack().arg(&program).arg("-o").arg(&image));
    let said = common::run_image(&image, &[]);
    let said = common::text(&said);
    assert!(
        said.contains("::1\n") && said.contains("127.0.0.1\n"),
        "{said}"
    );
}

#[test]
fn a_name_that_promises_another_format_is_refused() {
    let folder = common::temporary();
    for (name, format) in [
        ("a.tar.gz", "gzip"),
        ("a.tgz", "gzip"),
        ("a.tar.zst", "zstd"),
    ] {
        let image = folder.path().join(name);
        let said = common::fail_with(2, common::slimpack().arg("/bin/ls").arg("-o").arg(&image));
        assert!(
            said.contains(&format!("would not be a {format} file")),
            "{said}"
        );
        assert!(!image.exists());
    }
}
