//! Rules about the source itself.

use crate::sources;
use std::fs;
use std::path::{Path, PathBuf};

use sources::{code, sources};

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn rooms_that_resolve_know_neither_the_file_system_nor_the_environment() {
    let root = source_folder();
    let rooms = [
        "binding",
        "elf",
        "lint",
        "loader",
        "needs",
        "rootfs",
        "closure",
        "proof.rs",
        "store.rs",
        "layer.rs",
        "vfs/view.rs",
        "vfs/mod.rs",
    ];
    let mut checked = 0;
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        if !rooms.iter().any(|room| inside.starts_with(room)) {
            continue;
        }
        checked += 1;
        for (number, line) in code(&path).lines().enumerate() {
            for forbidden in ["std::fs", "std::env", "env::var", "File::open"] {
                assert!(
                    !line.contains(forbidden),
                    "{}:{}: {forbidden}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
    assert!(checked > rooms.len(), "the rooms have moved");
}

#[test]
fn every_module_says_what_comes_in_and_what_goes_out() {
    for path in sources(&source_folder()) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
    }
}

#[test]
fn no_file_outgrows_its_room() {
    const MOST_LINES: usize = 600;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in sources(&root.join("src"))
        .into_iter()
        .chain(sources(&root.join("tests")))
    {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= MOST_LINES,
            "{} has {lines} lines: split it",
            path.display()
        );
    }
}

#[test]
fn a_build_without_the_feature_compiles_no_c() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(
        manifest.contains("default = [\"registry\"]\n"),
        "a default feature may pull in the fixtures"
    );
    assert!(manifest.contains(r#"cc = { version = "1.11.3", optional = true }"#));
}
