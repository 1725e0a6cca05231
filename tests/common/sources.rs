//! The source files of the workspace, for tests about the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file in a directory, sorted.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every Rust file of the program and of the published crates, sorted.
pub fn all_sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = sources(&root.join("src"));
    let crates = fs::read_dir(root.join("crates")).unwrap();
    let mut crates: Vec<_> = crates.map(|entry| entry.unwrap().path()).collect();
    crates.sort();
    let is_published = |one: &PathBuf| {
        let manifest = fs::read_to_string(one.join("Cargo.toml")).unwrap();
        !manifest.contains("\npublish = false\n")
    };
    for one in crates.iter().filter(|one| is_published(one)) {
        found.extend(sources(&one.join("src")));
    }
    found
}

/// The code of a file without its unit tests.
pub fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut parts = text.split("#[cfg(test)]\nmod tests");
    parts.next().unwrap().to_owned()
}
