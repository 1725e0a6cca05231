//! The released slimpack: one static file that is reproducible on any machine, and an image of it
//! that it packs itself.
//!
//! Builds a release twice, by the command in the README. This takes minutes, so it runs only if
//! `SLIMPACK_TEST_RELEASE` is set.

use crate::{common, recipes};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{succeed, temporary};
use recipes::{path_with_slimpack, readme_block};

/// Builds a copy of the sources in `folder` by the first line of the recipe, and packs it by the
/// second.
fn build(folder: &Path, recipe: &str) -> PathBuf {
    common::copy_source(folder);
    for line in recipe.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut shell = Command::new("sh");
        shell
            .current_dir(folder)
            .args(["-c", line])
            .env("PATH", path_with_slimpack(folder));
        succeed(shell.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS"));
    }
    folder.join("target/x86_64-unknown-linux-gnu/dist/slimpack")
}

#[test]
fn a_static_release_is_small_and_the_same_everywhere_and_packs_itself() {
    if common::given("SLIMPACK_TEST_RELEASE").is_none() {
        return;
    }
    let folder = temporary();
    let recipe = readme_block("console build", "./release.sh --no-default-features");
    let first = build(&folder.path().join("one"), &recipe);
    let second = build(&folder.path().join("another-folder"), &recipe);
    let bytes = fs::read(&first).unwrap();
    assert!(
        bytes == fs::read(second).unwrap(),
        "another folder gives another file"
    );
    assert!(bytes.len() < 8_000_000, "{} bytes", bytes.len());
    let image = folder.path().join("one/slimpack.tar");
    let layer = common::layer(&image);
    let files: Vec<_> = layer
        .iter()
        .filter(|(_, node)| node.starts_with("file"))
        .collect();
    assert_eq!(files.len(), 1, "{layer:?}");
    // The binary packs an image of itself that is identical to the byte.
    let own = folder.path().join("own.tar");
    succeed(
        Command::new(&first)
            .arg(&first)
            .args(["--require-static", "--with=none", "-qo"])
            .arg(&own),
    );
    assert!(fs::read(&own).unwrap() == fs::read(&image).unwrap());
    if common::is_root() && common::have(common::CONTAINER_TOOLS) {
        let output = common::run_image(&image, &["/usr/local/bin/slimpack", "--version", "-v"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("linkage: static"), "{output:?}");
    }
}
