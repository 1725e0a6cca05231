//! `slimpack tree`: how it shows a closure.

use crate::common;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, fail_with, hello, is_root, output, slimpack, succeed, temporary};

/// A program that finds `libinner.so` through `RUNPATH`, after two directories without it.
fn with_library(folder: &Path) -> PathBuf {
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libinner.so"];
    let library = compile(
        folder,
        "libinner.so",
        "int inner(void) { return 0; }",
        &flags,
    );
    fs::create_dir(folder.join("lib")).unwrap();
    fs::rename(library, folder.join("lib/libinner.so")).unwrap();
    let lib = format!("-L{}", folder.join("lib").display());
    let source = "int inner(void); int main(void) { return inner(); }";
    let search = "-Wl,--enable-new-dtags,-rpath,/no/such:$ORIGIN/lib";
    compile(folder, "app", source, &[&lib, "-linner", search])
}

#[test]
fn verbose_shows_what_was_tried_before_an_object_was_found() {
    let folder = temporary();
    let program = with_library(folder.path());
    let text = succeed(slimpack().arg("tree").arg(&program));
    assert!(
        text.contains("[RUNPATH $ORIGIN/lib]") && !text.contains("tried"),
        "{text}"
    );
    let text = succeed(slimpack().args(["tree", "-v"]).arg(&program));
    assert!(
        text.contains("tried /no/such/libinner.so: ENOENT"),
        "{text}"
    );
    assert!(
        text.contains("interpreter: /lib64/ld-linux-x86-64.so.2"),
        "{text}"
    );
    assert!(text.contains("runpath: /no/such:$ORIGIN/lib"), "{text}");
}

#[test]
fn an_object_is_drawn_once_and_then_referred_to() {
    let folder = temporary();
    let program = with_library(folder.path());
    let text = succeed(slimpack().arg("tree").arg(&program));
    let libc: Vec<_> = text
        .lines()
        .filter(|line| line.contains("libc.so.6 →"))
        .collect();
    assert!(!libc[0].contains("(above)"), "{text}");
    assert!(
        libc[1..].iter().all(|line| line.contains("(above)")),
        "{text}"
    );
}

#[test]
fn a_list_is_the_paths_that_the_loader_lists() {
    let listed = succeed(slimpack().args(["tree", "--list"]).arg(hello()));
    let traced = succeed(Command::new(hello()).env("LD_TRACE_LOADED_OBJECTS", "1"));
    let traced = common::traced_objects(&traced, Path::new("/"));
    assert_eq!(listed.lines().collect::<Vec<_>>(), traced);
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let text = succeed(
        slimpack()
            .args(["tree", "--json"])
            .arg(hello())
            .arg("/bin/true"),
    );
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "one object a line");
    let tree = &lines[0];
    assert_eq!(tree["schema"], 1);
    assert_eq!(tree["program"], hello().to_str().unwrap());
    assert_eq!(tree["root"], "/");
    assert_eq!(tree["class"], "elf64");
    assert_eq!(tree["machine"], "x86_64");
    assert_eq!(tree["linkage"], "dynamic");
    assert_eq!(tree["static"], false);
    assert_eq!(
        tree["interpreter"]["requested"],
        "/lib64/ld-linux-x86-64.so.2"
    );
    let real = fs::canonicalize("/lib64/ld-linux-x86-64.so.2").unwrap();
    assert_eq!(tree["interpreter"]["path"], real.to_str().unwrap());
    assert_eq!(tree["missing"], serde_json::json!([]));
    let libc = &tree["objects"][0];
    assert_eq!(libc["soname"], "libc.so.6");
    assert_eq!(
        libc["needed_by"],
        serde_json::json!([hello().to_str().unwrap()])
    );
    assert_eq!(libc["found_via"], "ld.so.cache");
    let opened_as = libc["opened_as"].as_str().unwrap();
    assert_eq!(
        libc["path"],
        fs::canonicalize(opened_as).unwrap().to_str().unwrap()
    );
}

#[test]
fn one_bad_file_does_not_keep_the_others_from_being_answered() {
    let answers = output(slimpack().args(["tree", "--list", "/no/such"]).arg(hello()));
    assert_eq!(answers.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&answers.stdout).contains("libc.so.6"));
    assert!(String::from_utf8_lossy(&answers.stderr).contains("cannot read /no/such"));
}

#[test]
fn the_answers_stand_in_the_order_of_the_files_whichever_core_gave_them() {
    let programs: Vec<_> = ["/bin/true", "/bin/ls", "/bin/cat"]
        .iter()
        .cycle()
        .take(99)
        .collect();
    let text = succeed(slimpack().args(["tree", "--json"]).args(&programs));
    for (line, program) in text.lines().zip(&programs) {
        let tree: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(tree["program"], **program);
    }
    assert_eq!(text.lines().count(), 99);
}

#[test]
fn a_setuid_program_uses_origin_only_where_its_loader_does() {
    if !is_root() {
        return;
    }
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = with_library(folder.path());
    succeed(slimpack().arg("tree").arg(&program));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    const NOBODY: u32 = 65534;
    let loader = output(Command::new(&program).uid(NOBODY).gid(NOBODY));
    assert_eq!(
        loader.status.code(),
        Some(127),
        "the loader refuses as well"
    );
    fail_with(1, slimpack().arg("tree").arg(&program));
    let text = output(slimpack().arg("tree").arg(&program)).stdout;
    assert!(String::from_utf8_lossy(&text).contains("libinner.so not found"));
    // The image has the library without the bit, so the program starts there.
    succeed(slimpack().arg(&program));
}
