//! The recipes of the README, for tests that follow them.

#![allow(dead_code)] // Each test program uses a part of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The block of this language in the README that has `mark` in it.
pub fn readme_block(language: &str, mark: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    let found = blocks.find(|block| block.contains(mark));
    found
        .unwrap_or_else(|| panic!("README has no {language} block with {mark}"))
        .to_owned()
}

/// A PATH in which `slimpack` is the one under test.
pub fn path_with_slimpack(folder: &Path) -> OsString {
    let tools = folder.join(".bin");
    fs::create_dir_all(&tools).unwrap();
    let link = tools.join("slimpack");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_slimpack"), &link).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}
