//! `-o DIR/`: the bare root file system, as a directory.

use crate::common;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{compile, fail_with, hello, names_in, slimpack, succeed, temporary};

/// Every node in a directory, in the notation of `common::layer`.
fn nodes(folder: &Path) -> common::Nodes {
    let mut nodes = common::Nodes::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            assert_eq!(found.mtime(), 0, "{}", path.display());
            let mode = found.permissions().mode() & 0o7777;
            let mut name = path.strip_prefix(folder).unwrap().display().to_string();
            let text = if found.is_symlink() {
                format!("link {}", fs::read_link(&path).unwrap().display())
            } else if found.is_dir() {
                pending.push(path.clone());
                name.push('/');
                format!("folder {mode:04o}")
            } else {
                format!("file {mode:04o} {}", found.len())
            };
            nodes.insert(name, text);
        }
    }
    nodes
}

#[test]
fn a_root_folder_holds_what_the_layer_holds_and_runs() {
    let folder = temporary();
    let image = folder.path().join("image.tar");
    let root = folder.path().join("out");
    let program = compile(folder.path(), "app", common::HELLO, &[]);
    let pack = |output: &str| {
        let mut command = slimpack();
        // The umask of the caller has no effect.
        let line = "umask 077; exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell
            .current_dir(folder.path())
            .args(["-c", line])
            .arg(command.arg("-q").get_program());
        succeed(
            shell
                .arg(&program)
                .args(["-q", "--with", "tmp,users", "-o", output]),
        );
    };
    pack("image.tar");
    pack("out/");
    assert_eq!(nodes(&root), common::layer(&image));
    assert_eq!(
        fs::metadata(&root).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    if common::is_root() {
        let expected = succeed(&mut Command::new(&program));
        let program = Path::new("/usr/local/bin/app");
        assert_eq!(succeed(&mut common::in_chroot(&root, program)), expected);
    }
}

#[test]
fn an_empty_folder_is_filled_and_any_other_stays() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let pack = || {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .arg(hello())
            .args(["-q", "-o", "out/"]);
        command
    };
    fs::create_dir(at("out")).unwrap();
    succeed(&mut pack());
    let before = nodes(&at("out"));
    let said = fail_with(2, &mut pack());
    assert!(
        said.contains("out/") && said.contains("not empty"),
        "{said}"
    );
    assert_eq!(nodes(&at("out")), before);
    fs::remove_dir_all(at("out")).unwrap();
    // If the output is a symbolic link, its target is filled.
    fs::create_dir(at("real")).unwrap();
    symlink("real", at("out")).unwrap();
    succeed(&mut pack());
    assert_eq!(nodes(&at("real")), before);
    fs::remove_file(at("out")).unwrap();
    fs::write(at("out"), "a file").unwrap();
    fail_with(2, &mut pack());
    assert_eq!(fs::read_to_string(at("out")).unwrap(), "a file");
    assert_eq!(
        names_in(folder.path()),
        [".out.slimpack", ".real.slimpack", "out", "real"]
    );
}

#[test]
fn a_pack_that_fails_leaves_no_folder() {
    let folder = temporary();
    let program = common::incomplete(folder.path());
    let before = names_in(folder.path());
    let mut command = slimpack();
    command
        .current_dir(folder.path())
        .arg(program)
        .args(["-o", "out/", "--depfile"]);
    fail_with(1, &mut command);
    assert_eq!(names_in(folder.path()), before);
    for output in ["no/such/out/", "libgone.so.c/out/"] {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .arg(hello())
            .args(["-o", output]);
        fail_with(2, &mut command);
    }
    assert_eq!(names_in(folder.path()), before);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn outputs_that_contradict_each_other_are_refused_and_nothing_is_written() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).unwrap();
    fs::write(at("data/file"), "x").unwrap();
    fs::copy(hello(), at("app")).unwrap();
    for (words, part) in [
        (
            &["-o", "app.tar", "--depfile", "app.tar"][..],
            "cannot both be app.tar",
        ),
        (
            &["-o", "app.tar", "--depfile", "./../DIR/app.tar"],
            "cannot both be",
        ),
        (&["-o", "-", "--depfile"], "needs the name of the output"),
        (
            &["-o", "-", "--depfile", "x.d"],
            "needs the name of the output",
        ),
        (&["-o", "-", "--if-changed"], "--if-changed"),
        (&["-o", "-", "--json"], "--json"),
        (&["--depfile"], "add -o FILE"),
        (&["--if-changed"], "add -o FILE"),
        (&["-o", "out/", "--if-changed"], "always rewritten"),
        (
            &["-o", "app.tar", "--depfile", "no/such/app.d"],
            "no/such does not exist",
        ),
        (&["-o", "data/app.tar", "--add", "data:/srv"], "it is in"),
        (&["-o", "data/out/", "--add", "data:/srv"], "it is in"),
        (
            &[
                "-o",
                "app.tar",
                "--depfile=data/app.d",
                "--add",
                "data:/srv",
            ],
            "it is in",
        ),
        (&["-o", "app"], "is the program app itself"),
        (
            &["-o", "data/file", "--add", "data/file:/x"],
            "an input of the image",
        ),
        (&["-o", "data"], "append /"),
    ] {
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let words = words.iter().map(|word| word.replace("DIR", name));
        let mut command = slimpack();
        command.current_dir(folder.path()).arg("app").args(words);
        let said = fail_with(2, &mut command);
        assert!(said.contains(part), "{command:?}: {said}");
        assert_eq!(names_in(folder.path()), ["app", "data"], "{command:?}");
        assert_eq!(names_in(&at("data")), ["file"], "{command:?}");
    }
    let said = fail_with(2, slimpack().args(["--depfile", "app", "-o", "x.tar"]));
    assert!(said.contains("--depfile takes the word after it"), "{said}");
    // Options that look contradictory but are not.
    let program = compile(&at("data"), "static", common::HELLO, &["-static"]);
    let mut command = slimpack();
    command
        .arg(program)
        .args(["--require-static", "--with", "tmp", "-qo"])
        .arg(at("x.tar"));
    succeed(&mut command);
}

#[test]
fn an_output_that_would_be_the_same_keeps_its_time_when_asked() {
    let folder = temporary();
    let image = folder.path().join("image.tar");
    let pack = |more: &[&str]| {
        let mut command = slimpack();
        let said = common::output(command.arg(hello()).arg("-o").arg(&image).args(more));
        assert!(said.status.success());
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        (fs::metadata(&image).unwrap().modified().unwrap(), said)
    };
    let (first, said) = pack(&["--if-changed"]);
    assert!(!said.contains("unchanged"), "{said}");
    let (second, said) = pack(&["--if-changed"]);
    assert!(second == first && said.contains("unchanged"), "{said}");
    let (third, said) = pack(&["--if-changed", "-e", "A=1"]);
    assert!(third > second && !said.contains("unchanged"), "{said}");
    let (fourth, _) = pack(&["-e", "A=1"]);
    assert!(fourth > third, "a pack renews the time as a compiler does");
    assert_eq!(names_in(folder.path()), ["image.tar"]);
}
