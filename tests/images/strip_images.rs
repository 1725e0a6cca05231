//! `--strip`: images of stripped programs, and the messages about them.

use crate::common;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{compile, fail_with, have, output, slimpack, succeed, temporary, text};

const SOURCE: &str = r#"
#include <stdio.h>
int main(void) { puts("it runs"); return 0; }
"#;

fn plan(program: &Path, arguments: &[&str]) -> serde_json::Value {
    let json = succeed(slimpack().arg(program).arg("--json").args(arguments));
    serde_json::from_str(&json).unwrap()
}

#[test]
fn a_stripped_image_is_smaller_runs_and_holds_what_strip_writes() {
    let folder = temporary();
    for (number, flags) in [&["-g"][..], &["-g", "-static"]].iter().enumerate() {
        let program = compile(folder.path(), &format!("program{number}"), SOURCE, flags);
        let [plain, small] = ["plain.tar", "small.tar"].map(|name| folder.path().join(name));
        succeed(slimpack().arg(&program).arg("-o").arg(&plain));
        succeed(
            slimpack()
                .arg(&program)
                .arg("--strip")
                .arg("-o")
                .arg(&small),
        );
        let sizes = [&small, &plain].map(|file| fs::metadata(file).unwrap().len());
        assert!(sizes[0] < sizes[1], "{sizes:?}");
        let alone = folder.path().join("alone");
        succeed(slimpack().arg("strip").arg(&program).arg("-o").arg(&alone));
        let root = folder.path().join(format!("root{number}"));
        common::unpack_layer(&small, &root);
        let packed = root.join(format!("usr/local/bin/program{number}"));
        assert_eq!(fs::read(packed).unwrap(), fs::read(&alone).unwrap());
        if have(&["runc", "umoci"]) && common::is_root() {
            assert_eq!(
                text(&common::run_image(&small, &[])),
                "it runs\n",
                "{flags:?}"
            );
        }
        // Packing again gives the same bytes.
        let again = folder.path().join("again.tar");
        succeed(
            slimpack()
                .arg(&program)
                .arg("--strip")
                .arg("-o")
                .arg(&again),
        );
        assert_eq!(fs::read(&again).unwrap(), fs::read(&small).unwrap());
        // Lint agrees that the packed program is stripped.
        let lint = ["lint", "--only", "SP204", "--fail-on", "info"];
        succeed(slimpack().args(lint).arg(&small));
        fail_with(1, slimpack().args(lint).arg(&plain));
    }
}

#[test]
fn the_plan_says_what_stripping_saves_and_would_save() {
    let folder = temporary();
    let program = compile(folder.path(), "program", SOURCE, &["-g", "-static"]);
    let whole = plan(&program, &[]);
    let small = plan(&program, &["--strip"]);
    let saved = whole["bytes"].as_u64().unwrap() - small["bytes"].as_u64().unwrap();
    let guessed = whole["strippable_bytes"].as_u64().unwrap();
    assert!(guessed.abs_diff(saved) * 20 < saved, "{guessed} of {saved}");
    let file = &small["stripped"][0];
    assert_eq!(
        file["before"].as_u64().unwrap() - file["after"].as_u64().unwrap(),
        saved
    );
    // Without debug information only, the size is in between.
    let debug = plan(&program, &["--strip=debug"])["bytes"]
        .as_u64()
        .unwrap();
    assert!(small["bytes"].as_u64().unwrap() < debug && debug < whole["bytes"].as_u64().unwrap());
    // A program half of which is symbols.
    let said = text(&output(slimpack().arg(env!("CARGO_BIN_EXE_slimpack"))));
    assert!(said.contains("--strip would save"), "{said}");
    let said = text(&output(slimpack().arg(&program).arg("--strip")));
    assert!(said.contains("stripped 1 file, "), "{said}");
    let line = said
        .lines()
        .find(|line| line.contains("/usr/local/bin/program"));
    assert!(line.unwrap().contains(" of "), "{said}");
    assert!(!said.contains("would save"), "{said}");
    // No hint if there is little to save.
    let said = text(&output(slimpack().arg("/bin/ls")));
    assert!(!said.contains("would save"), "{said}");
}

#[test]
fn files_that_are_checked_against_a_checksum_stay_as_they_are() {
    let folder = temporary();
    let program = compile(folder.path(), "program", SOURCE, &["-g"]);
    fs::write(folder.path().join(".program.hmac"), "0123").unwrap();
    let said = text(&output(slimpack().arg(&program).arg("--strip")));
    assert!(
        said.contains("program is not stripped: ") && said.contains(".program.hmac"),
        "{said}"
    );
    let plan = plan(&program, &["--strip"]);
    let bytes = fs::metadata(&program).unwrap().len();
    let entry = |entry: &&serde_json::Value| entry["path"] == "/usr/local/bin/program";
    let entries = plan["entries"].as_array().unwrap();
    assert_eq!(entries.iter().find(entry).unwrap()["bytes"], bytes);
    assert_eq!(plan["not_stripped"][0]["path"], "/usr/local/bin/program");
}

#[test]
fn debug_files_of_an_image_serve_a_debugger() {
    if !have(&["gdb"]) {
        return;
    }
    let folder = temporary();
    let program = compile(folder.path(), "program", SOURCE, &["-g"]);
    let [image, debug] = ["image.tar", "debug"].map(|name| folder.path().join(name));
    // A plan writes no file.
    succeed(
        slimpack()
            .arg(&program)
            .arg("--strip")
            .arg("--debug-file")
            .arg(&debug),
    );
    assert!(!debug.exists());
    succeed(
        slimpack()
            .arg(&program)
            .arg("--strip")
            .arg("--debug-file")
            .arg(&debug)
            .arg("-o")
            .arg(&image),
    );
    let kept = debug.join("usr/local/bin/program.debug");
    assert!(fs::metadata(&kept).unwrap().len() > 1000);
    let root = folder.path().join("root");
    common::unpack_layer(&image, &root);
    let setting = format!("set debug-file-directory {}", debug.display());
    let mut gdb = Command::new("gdb");
    gdb.args([
        "-nx",
        "-batch",
        "-iex",
        "set debuginfod enabled off",
        "-iex",
        &setting,
    ]);
    let said = succeed(
        gdb.args(["-ex", "info line main"])
            .arg(root.join("usr/local/bin/program")),
    );
    assert!(said.contains("Line 3 of"), "{said}");
    // Without --strip there is no debug information to keep.
    fail_with(2, slimpack().arg(&program).arg("--debug-file").arg(&debug));
}

#[test]
fn files_of_the_same_bytes_are_written_once_and_libraries_are_not() {
    let folder = temporary();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let library = compile(
        folder.path(),
        "libone.so",
        "int one;",
        &["-shared", "-fPIC"],
    );
    for name in ["a", "b", "c"] {
        fs::write(tree.join(name), vec![b'x'; 100_000]).unwrap();
    }
    fs::write(tree.join("other"), vec![b'y'; 100_000]).unwrap();
    let program = compile(folder.path(), "program", SOURCE, &[]);
    fs::copy(&program, tree.join("copy")).unwrap();
    for name in ["one.so", "two.so"] {
        fs::copy(&library, tree.join(name)).unwrap();
    }
    let image = folder.path().join("image.tar");
    let add = format!("--add={}:/data", tree.display());
    let pack = |flags: &[&str]| {
        let mut command = slimpack();
        command
            .arg(&program)
            .args([&add, "--json", "-o"])
            .arg(&image)
            .args(flags);
        let plan: serde_json::Value = serde_json::from_str(&succeed(&mut command)).unwrap();
        plan["bytes"].as_u64().unwrap()
    };
    let (plain, linked) = (pack(&[]), pack(&["--hardlink"]));
    let program_size = fs::metadata(&program).unwrap().len();
    assert_eq!(plain - linked, 200_000 + program_size);
    let nodes = common::layer(&image);
    assert_eq!(nodes["data/b"], "same as data/a");
    assert_eq!(nodes["data/c"], "same as data/a");
    assert!(nodes["data/other"].starts_with("file "));
    assert!(
        nodes["usr/local/bin/program"].starts_with("same as data/copy"),
        "{nodes:?}"
    );
    for library in ["data/one.so", "data/two.so"] {
        assert!(nodes[library].starts_with("file "), "{library}");
    }
    if have(common::CONTAINER_TOOLS) && common::is_root() {
        assert_eq!(text(&common::run_image(&image, &[])), "it runs\n");
    }
    // Stripped copies are hard-linked, too.
    pack(&["--hardlink", "--strip"]);
    assert!(common::layer(&image)["usr/local/bin/program"].starts_with("same as "));
}
