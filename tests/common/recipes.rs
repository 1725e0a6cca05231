//! The recipes of the README and the book, for tests that follow them.

#![allow(dead_code)] // Each test program uses a part of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The block in this language that contains `mark`, in the README or on a page of the book.
pub fn readme_block(language: &str, mark: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs/src")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|suffix| suffix == "md"));
    pages.sort();
    pages.insert(0, root.join("README.md"));
    let fence = format!("```{language}\n");
    for page in pages {
        let text = fs::read_to_string(page).unwrap();
        let blocks = text.split(&fence).skip(1);
        let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
        if let Some(block) = blocks.find(|block| block.contains(mark)) {
            return block.to_owned();
        }
    }
    panic!("neither README nor docs/src has a {language} block with {mark}")
}

/// A PATH in which `slimpack` is the binary under test.
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
