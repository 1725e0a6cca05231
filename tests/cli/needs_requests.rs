//! Needs that are met only on request: standard libraries, plugins, OpenSSL.

use crate::{common, packing};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use packing::{pack, refused};

/// A program that contains `text`, installed as `name` in a root with the loader of this machine.
fn installed(folder: &Path, name: &str, text: &str) -> (PathBuf, PathBuf) {
    let root = folder.join("root");
    let bin = root.join("usr/bin");
    fs::create_dir_all(&bin).unwrap();
    let source = format!("#include <stdio.h>\nint main(void) {{ puts(\"{text}\"); return 0; }}\n");
    let program = common::compile(&bin, name, &source, &[]);
    for object in [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ] {
        let target = root.join(object.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(object, target).unwrap();
    }
    fs::remove_file(bin.join(format!("{name}.c"))).ok();
    (root, program)
}

fn words<'a>(root: &'a Path, program: &'a Path, flags: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["--root", root.to_str().unwrap(), program.to_str().unwrap()];
    words.extend(flags);
    words
}

#[test]
fn a_standard_library_is_for_interpreters_that_have_one() {
    let hello = common::hello().to_str().unwrap();
    let said = refused(2, &[hello, "--with", "stdlib"]);
    assert!(
        said.contains("not an interpreter with a standard library"),
        "{said}"
    );
    let folder = common::temporary();
    let (root, python) = installed(folder.path(), "python3.11", "a");
    let said = refused(2, &words(&root, &python, &["--with", "stdlib"]));
    assert!(
        said.contains("the standard library of Python 3.11 is not installed"),
        "{said}"
    );
    // The landmark that CPython searches for in the directories above the program.
    let library = root.join("usr/lib/python3.11");
    for module in ["json", "collections"] {
        fs::create_dir_all(library.join(module)).unwrap();
        fs::write(library.join(module).join("__init__.py"), "").unwrap();
    }
    fs::write(library.join("os.py"), "").unwrap();
    let plain = pack(&words(&root, &python, &[]));
    assert!(plain.said.contains("--with stdlib"), "{}", plain.said);
    let packed = pack(&words(&root, &python, &["--with", "stdlib"]));
    assert!(packed.has("usr/lib/python3.11/json/__init__.py"));
}

#[test]
fn node_has_its_library_inside_save_what_a_distribution_took_out() {
    let folder = common::temporary();
    let part = "/usr/share/nodejs/acorn/acorn.js";
    let (root, node) = installed(folder.path(), "node", part);
    let whole = pack(&words(&root, &node, &[]));
    assert!(!whole.said.contains("stdlib"), "{}", whole.said);
    let said = refused(2, &words(&root, &node, &["--with", "stdlib"]));
    assert!(said.contains("not an interpreter"), "{said}");
    let file = root.join(part.trim_start_matches('/'));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "").unwrap();
    let plain = pack(&words(&root, &node, &[]));
    assert!(plain.said.contains("runs Node.js from"), "{}", plain.said);
    let packed = pack(&words(&root, &node, &["--with", "stdlib"]));
    assert!(packed.has(&part[1..]));
}

#[test]
fn python_is_the_one_that_the_environment_was_made_of() {
    let folder = common::temporary();
    let (root, python) = installed(folder.path(), "python3.11", "a");
    // Another standard library is closer to the root of the tree.
    for library in [
        "usr/lib/python3.11",
        "lib/python3.11",
        "opt/own/lib/python3.11",
    ] {
        fs::create_dir_all(root.join(library)).unwrap();
        fs::write(root.join(library).join("os.py"), library).unwrap();
    }
    fs::create_dir_all(root.join("opt/own/bin")).unwrap();
    fs::rename(&python, root.join("opt/own/bin/python3.11")).unwrap();
    let venv = root.join("opt/venv");
    fs::create_dir_all(venv.join("bin")).unwrap();
    std::os::unix::fs::symlink("/opt/own/bin/python3.11", venv.join("bin/python3")).unwrap();
    for (settings, library) in [
        ("home = /opt/own/bin\n", "opt/own/lib/python3.11"),
        ("home = /usr/bin\n", "usr/lib/python3.11"),
        ("home = nowhere\n", "opt/own/lib/python3.11"),
        ("no settings", "opt/own/lib/python3.11"),
    ] {
        fs::write(venv.join("pyvenv.cfg"), settings).unwrap();
        let program = venv.join("bin/python3");
        let packed = pack(&words(&root, &program, &["--with", "stdlib"]));
        let landmarks: Vec<String> = packed
            .layer()
            .into_keys()
            .filter(|path| path.ends_with("os.py"))
            .collect();
        assert_eq!(landmarks, [format!("{library}/os.py")], "{settings}");
    }
}

#[test]
fn a_virtual_environment_brings_its_packages_and_its_parent() {
    let python = Path::new("/usr/bin/python3");
    if !common::have(&["/usr/bin/python3", "/usr/lib/python3.11/os.py"]) {
        return;
    }
    let folder = common::temporary();
    let venv = folder.path().join("venv");
    common::succeed(
        Command::new(python)
            .args(["-m", "venv", "--without-pip"])
            .arg(&venv),
    );
    fs::write(
        venv.join("lib/python3.11/site-packages/own.py"),
        "answer = 42\n",
    )
    .unwrap();
    let program = venv.join("bin/python3");
    let place = format!("--dest={}", program.display());
    let packed = pack(&[program.to_str().unwrap(), "--with=stdlib", &place]);
    if packing::runs_containers() {
        let words = [
            program.to_str().unwrap(),
            "-c",
            "import own, json; print(own.answer)",
        ];
        assert_eq!(packed.prints(&words), "42\n");
    }
}

#[test]
fn plugins_are_folders_of_the_same_package() {
    let folder = common::temporary();
    let (root, program) = installed(folder.path(), "app", "/usr/lib/app-plugins");
    let data = root.join("usr/lib/app-plugins");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("one.conf"), "one").unwrap();
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let flags = ["--with", "plugins"];
    // No record says which package owns the directory.
    let said = refused(2, &words(&root, &program, &flags));
    assert!(said.contains("a directory of their package"), "{said}");
    // It belongs to another package.
    fs::write(
        info.join("other.list"),
        "/.\n/usr/lib\n/usr/lib/app-plugins\n",
    )
    .unwrap();
    fs::write(info.join("app.list"), "/.\n/usr/bin\n/usr/bin/app\n").unwrap();
    refused(2, &words(&root, &program, &flags));
    // The record is not text.
    fs::write(info.join("app.list"), [0xff, 0, b'\n', 0xfe]).unwrap();
    refused(2, &words(&root, &program, &flags));
    // It belongs to the package of the program.
    fs::write(
        info.join("app.list"),
        "/.\n/usr/bin/app\n/usr/lib/app-plugins\n",
    )
    .unwrap();
    let plain = pack(&words(&root, &program, &[]));
    assert!(
        plain.said.contains("/usr/lib/app-plugins --with plugins"),
        "{}",
        plain.said
    );
    let packed = pack(&words(&root, &program, &flags));
    assert!(packed.has("usr/lib/app-plugins/one.conf"));
    // A sparse file of two gigabytes.
    fs::File::create(data.join("large"))
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let said = refused(2, &words(&root, &program, &flags));
    assert!(said.contains("larger than 512 MiB"), "{said}");
}

#[test]
fn packages_of_apk_own_files_too() {
    let folder = common::temporary();
    let (root, program) = installed(folder.path(), "app", "/usr/lib/app-plugins");
    let data = root.join("usr/lib/app-plugins");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("one.conf"), "one").unwrap();
    let database = root.join("lib/apk/db/installed");
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    let text =
        "P:other\nF:usr/share\nR:b\n\nP:app\nF:usr/bin\nR:app\nF:usr/lib/app-plugins\nR:one.conf\n";
    fs::write(&database, text).unwrap();
    let packed = pack(&words(&root, &program, &["--with", "plugins"]));
    assert!(packed.has("usr/lib/app-plugins/one.conf"));
}

/// A root with `app`, which names `/usr/share/app/data`, a directory of another package.
fn data_of_another_package(folder: &Path, status: &str) -> (PathBuf, PathBuf) {
    let (root, program) = installed(folder, "app", "/usr/share/app/data");
    let data = root.join("usr/share/app");
    fs::create_dir_all(data.join("data")).unwrap();
    fs::write(data.join("data/one"), "one").unwrap();
    fs::write(data.join("data.db"), "compiled").unwrap();
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let lists = [
        ("app", "/.\n/usr/bin\n/usr/bin/app\n"),
        (
            "app-data:all",
            "/.\n/usr/share/app\n/usr/share/app/data\n/usr/share/app/data.db\n",
        ),
    ];
    for (name, list) in lists {
        fs::write(info.join(format!("{name}.list")), list).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    (root, program)
}

#[test]
fn packages_of_one_source_that_need_each_other_are_one() {
    let status = |source: &str, needs: &str| {
        format!(
            "Package: app\nDepends: libc6 (>= 2.34), {needs}\nSource: suite (1.0)\n\n\
             Package: app-data\nSource: {source}\nVersion: 1\n"
        )
    };
    let folder = common::temporary();
    let one = status("suite", "app-data (= 1.0)");
    let (root, program) = data_of_another_package(folder.path(), &one);
    let flags = ["--with", "plugins"];
    let packed = pack(&words(&root, &program, &flags));
    // Including the database compiled from the data, which no string names.
    assert!(packed.has("usr/share/app/data/one") && packed.has("usr/share/app/data.db"));
    for other in [status("other", "app-data"), status("suite", "libapp")] {
        let folder = common::temporary();
        let (root, program) = data_of_another_package(folder.path(), &other);
        refused(2, &words(&root, &program, &flags));
    }
}

#[test]
fn lint_names_the_data_that_an_image_lacks() {
    if !common::have(&["/usr/bin/python3"]) {
        return;
    }
    let folder = common::temporary();
    for (flags, lacks) in [(&[][..], true), (&["--with=stdlib,services"], false)] {
        let image = folder.path().join("image.tar");
        let mut pack = common::slimpack();
        pack.args(["/usr/bin/python3", "-q", "-o"])
            .arg(&image)
            .args(flags);
        common::succeed(&mut pack);
        let mut lint = common::slimpack();
        let said = common::output(lint.args(["lint", "--runtime"]).arg(&image));
        let text = common::text(&said);
        assert_eq!(said.status.code(), Some(i32::from(lacks)), "{text}");
        assert_eq!(text.contains("runs Python 3"), lacks, "{text}");
    }
    // A program that has all it needs.
    let image = folder.path().join("hello.tar");
    common::succeed(
        common::slimpack()
            .arg(common::hello())
            .arg("-o")
            .arg(&image),
    );
    common::succeed(common::slimpack().args(["lint", "--runtime"]).arg(&image));
}

/// The output of `lint --runtime` on an image packed with these arguments, and its exit status.
fn runtime(words: &[&str]) -> (String, Option<i32>) {
    let packed = pack(words);
    let said = common::output(
        common::slimpack()
            .args(["lint", "--runtime"])
            .arg(&packed.archive),
    );
    (common::text(&said), said.status.code())
}

#[test]
fn lint_speaks_of_what_the_image_starts() {
    if !common::have(&["/usr/bin/python3", "/usr/bin/perl"]) {
        return;
    }
    let [python, perl] = ["/usr/bin/python3", "/usr/bin/perl"];
    let hello = common::hello().to_str().unwrap();
    // With any compression: the kind of a program shows in its strings.
    for compression in ["--compress=none", "--compress=gzip", "--compress=zstd"] {
        let (said, status) = runtime(&[hello, python, perl, compression]);
        assert_eq!(status, Some(0), "{compression}: {said}");
        let (said, status) = runtime(&[perl, hello, python, compression]);
        assert_eq!(status, Some(1), "{compression}: {said}");
        assert!(
            said.contains("/usr/bin/perl contains paths that do not exist"),
            "{said}"
        );
        assert!(!said.contains("Python"), "{said}");
    }
    // A program that the entrypoint is told to start counts, too.
    let words = ["--entrypoint", r#"["/usr/bin/env", "python3"]"#];
    let (said, _) = runtime(&[&["/usr/bin/env", python][..], &words].concat());
    assert!(said.contains("runs Python 3"), "{said}");
}

#[test]
fn lint_names_the_folders_that_a_program_holds_and_that_are_not_there() {
    if !common::have(&["/usr/bin/file"]) {
        return;
    }
    let (said, status) = runtime(&["/usr/bin/file", "--compress=gzip"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("libmagic.so.1 contains paths that do not exist: /usr/share/misc/magic"),
        "{said}"
    );
    let (said, status) = runtime(&["/usr/bin/file", "--with=plugins"]);
    assert_eq!(status, Some(0), "{said}");
}
