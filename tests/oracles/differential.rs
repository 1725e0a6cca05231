//! slimpack against this machine's own loader, on this machine's own binaries.
//!
//! For every ELF file in /usr/bin, /usr/sbin, /usr/libexec and /usr/lib, the list of objects must
//! equal that of `ld.so --list`, in the same order. By default a sample is compared, and all files
//! with `SLIMPACK_TEST_ALL=1`. `SLIMPACK_TEST_TREES` names further trees (unpacked wheels, npm
//! packages), separated by colons.

use crate::{common, machine};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{output, slimpack};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// By default, one in this many system files is compared.
const STRIDE: usize = 10;

/// Compares all `files`; returns their number and those that differ.
fn compare(files: &[PathBuf]) -> (usize, Vec<String>) {
    let mut trees: Vec<serde_json::Value> = Vec::new();
    for batch in files.chunks(2000) {
        let answers = output(slimpack().args(["tree", "--json"]).args(batch));
        let text = String::from_utf8(answers.stdout).unwrap();
        trees.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    assert!(
        trees.len() * 100 >= files.len() * 99,
        "{} of {}",
        trees.len(),
        files.len()
    );
    let threads = machine::on_two_threads(&trees, Vec::new, |tree, differing| {
        differing.extend(difference(tree));
    });
    let differing = threads.concat();
    (trees.len(), differing)
}

/// The difference between one answer and the loader's, if any.
fn difference(tree: &serde_json::Value) -> Option<String> {
    let program = tree["program"].as_str().unwrap();
    let interpreter = tree["interpreter"]["requested"].as_str().unwrap_or(LOADER);
    if tree["static"] == true || interpreter != LOADER {
        return None;
    }
    let listing = output(Command::new(LOADER).arg("--list").arg(program));
    let missing = common::strings(&tree["missing"], "name");
    if !listing.status.success() {
        // The loader stops at the first missing library.
        let stderr = String::from_utf8_lossy(&listing.stderr);
        let agrees = missing.iter().any(|name| stderr.contains(name.as_str()));
        return (!agrees).then(|| format!("{program}: {stderr}, slimpack misses {missing:?}"));
    }
    let is_loader = |path: &String| fs::canonicalize(path).ok() == fs::canonicalize(LOADER).ok();
    let mut expected =
        common::traced_objects(&String::from_utf8_lossy(&listing.stdout), Path::new("/"));
    let mut found = common::strings(&tree["objects"], "opened_as");
    expected.retain(|path| !is_loader(path));
    found.retain(|path| !is_loader(path));
    (found != expected || !missing.is_empty())
        .then(|| format!("{program}: slimpack {found:?}, missing {missing:?}; loader {expected:?}"))
}

#[test]
fn every_system_binary_is_resolved_as_the_loader_does() {
    if !common::have(&[LOADER]) {
        return;
    }
    let folders = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib"].map(Path::new);
    let mut files = machine::elf_files(&folders, machine::is_native);
    // Those that no loader of a C library that slimpack knows starts: objects, klibc's programs, and files
    // with debug information alone.
    let is_other = |path: &PathBuf| {
        let of = |directory| path.starts_with(directory);
        path.extension().is_some_and(|suffix| suffix == "o")
            || of("/usr/lib/klibc")
            || of("/usr/lib/debug")
    };
    files.retain(|path| !is_other(path));
    if std::env::var_os("SLIMPACK_TEST_ALL").is_none() {
        files = files.into_iter().step_by(STRIDE).collect();
    }
    let (count, differing) = compare(&files);
    println!("{count} files compared");
    assert!(count > 50, "{count} files");
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn packages_that_bring_their_own_libraries_are_resolved_as_the_loader_does() {
    let Some(trees) = common::given("SLIMPACK_TEST_TREES") else {
        return;
    };
    let trees: Vec<PathBuf> = std::env::split_paths(&trees)
        .map(|tree| fs::canonicalize(tree).unwrap())
        .collect();
    let folders: Vec<&Path> = trees.iter().map(PathBuf::as_path).collect();
    let files = machine::elf_files(&folders, machine::is_native);
    let (count, differing) = compare(&files);
    println!("{count} files compared");
    assert!(count > 10, "{count} files");
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
}
