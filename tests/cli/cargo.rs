//! `cargo slimpack`: the images are those that `cargo build` and `slimpack` make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{names_in, output, slimpack, succeed, temporary, text};

/// A workspace of three programs without dependencies, and a library without any.
fn workspace(place: &Path) -> PathBuf {
    let root = place.join("workspace");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let members = "members = [\"one\", \"two\", \"library\"]";
    write(
        "Cargo.toml",
        &format!("[workspace]\nresolver = \"3\"\n{members}\n"),
    );
    let package = |name: &str| format!("[package]\nname = {name:?}\nedition = \"2024\"\n");
    let main = |word: &str| format!("fn main() {{ println!(\"{{}}\", {word:?}); }}\n");
    write("one/Cargo.toml", &package("one"));
    write("one/src/main.rs", &main("one"));
    write("one/src/bin/other.rs", &main("other"));
    write(
        "two/Cargo.toml",
        &format!("{}[features]\nloud = []\n", package("two")),
    );
    write("two/src/main.rs", &main("two"));
    write("library/Cargo.toml", &package("library"));
    write("library/src/lib.rs", "");
    root
}

/// `cargo slimpack` with these words in a directory.
fn cargo_slimpack(directory: &Path, words: &[&str]) -> Output {
    let tools = Path::new(env!("CARGO_BIN_EXE_cargo-slimpack"))
        .parent()
        .unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(tools.to_path_buf()).chain(std::env::split_paths(&path));
    let mut command = Command::new("cargo");
    command.arg("slimpack").args(words).current_dir(directory);
    // What the tests themselves are built with.
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    output(command.env("PATH", std::env::join_paths(path).unwrap()))
}

#[test]
fn each_program_of_a_workspace_is_built_and_packed() {
    let place = temporary();
    let root = workspace(place.path());
    let said = cargo_slimpack(&root, &["--workspace", "--", "-q", "-u", "1000"]);
    assert!(said.status.success(), "{}", text(&said));
    let built = root.join("target/release");
    for name in ["one", "other", "two"] {
        let (image, own) = (
            built.join(format!("{name}.tar")),
            place.path().join("own.tar"),
        );
        let mut pack = slimpack();
        pack.arg(built.join(name)).args(["-q", "-u", "1000", "-o"]);
        succeed(pack.arg(&own));
        assert_eq!(fs::read(&image).unwrap(), fs::read(&own).unwrap(), "{name}");
        let ran = succeed(slimpack().args(["run", "-q"]).arg(&image));
        assert_eq!(ran, format!("{name}\n"));
    }
}

#[test]
fn programs_profiles_and_targets_are_chosen_as_for_cargo() {
    let place = temporary();
    let root = workspace(place.path());
    let images = root.join("images");
    let words = [
        "--bin",
        "two",
        "--profile",
        "dev",
        "-p",
        "two",
        "-F",
        "loud",
        "-o",
        "images",
    ];
    fs::create_dir(&images).unwrap();
    let said = cargo_slimpack(&root, &[&words[..], &["--", "-q"]].concat());
    assert!(said.status.success(), "{}", text(&said));
    assert_eq!(names_in(&images), ["two.tar"]);
    assert!(root.join("target/debug/two").exists());
    let target = "x86_64-unknown-linux-gnu";
    let said = cargo_slimpack(&root, &["--bin", "other", "--target", target, "--offline"]);
    assert!(said.status.success(), "{}", text(&said));
    assert!(
        root.join("target")
            .join(target)
            .join("release/other.tar")
            .exists()
    );
}

#[test]
fn what_cannot_be_built_or_packed_is_an_error() {
    let place = temporary();
    let root = workspace(place.path());
    let fails = |words: &[&str], status: i32, part: &str| {
        let said = cargo_slimpack(&root, words);
        assert_eq!(
            said.status.code(),
            Some(status),
            "{words:?}: {}",
            text(&said)
        );
        assert!(text(&said).contains(part), "{words:?}: {}", text(&said));
    };
    fails(&["--bin", "gone"], 101, "no bin target named `gone`");
    fails(
        &["-p", "library"],
        2,
        "the selected packages have no program",
    );
    fails(&["--release", "--profile", "dev"], 2, "cannot be used with");
    fails(
        &["--bin", "two", "--", "-o", "x.tar"],
        2,
        "cannot be used multiple times",
    );
    // The others are packed all the same.
    fails(&["-p", "one", "--", "--add", "/gone", "-q"], 2, "/gone");
    fs::write(root.join("two/src/main.rs"), "fn main() { broken }").unwrap();
    fails(&["-p", "two"], 101, "cannot find value `broken`");
    assert!(!root.join("target/release/two.tar").exists());
}
