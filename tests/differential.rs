//! slimpack against the machine's own loader, over the machine's own binaries.
//!
//! Every ELF file of /usr/bin, /usr/sbin, /usr/libexec and /usr/lib has to have the list of
//! objects, in the order, that `ld.so --list` prints. A stride of them by default, all with
//! `SLIMPACK_TEST_ALL=1`. Further trees (unpacked wheels, npm packages) are named in
//! `SLIMPACK_TEST_TREES`, separated by colons.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{output, slimpack};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Of the system's files one in this many is compared by default.
const STRIDE: usize = 10;

/// x86-64 programs and libraries below a folder, each inode once, sorted.
fn elf_files(folder: &Path, seen: &mut HashSet<(u64, u64)>, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        // Split debug information has the segments of a program and none of its bytes.
        if metadata.is_dir() && !path.ends_with("usr/lib/debug") {
            elf_files(&path, seen, found);
        } else if metadata.is_file()
            && is_native(&path)
            && seen.insert((metadata.dev(), metadata.ino()))
        {
            found.push(path);
        }
    }
}

fn is_native(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let is_program_or_library = matches!(head[16], 2 | 3);
    read.is_ok() && head.starts_with(b"\x7fELF\x02\x01") && is_program_or_library && head[18] == 62
}

/// Compares all `files`; returns how many and which differ.
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
    let next = AtomicUsize::new(0);
    let work = || {
        let mut differing = Vec::new();
        while let Some(tree) = trees.get(next.fetch_add(1, Ordering::Relaxed)) {
            differing.extend(difference(tree));
        }
        differing
    };
    let differing = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    (trees.len(), differing)
}

/// How one answer differs from the loader's, if it does.
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
    if !Path::new(LOADER).exists() {
        assert!(common::have(&[LOADER]));
        return;
    }
    let (mut seen, mut files) = (HashSet::new(), Vec::new());
    for folder in ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib"] {
        elf_files(Path::new(folder), &mut seen, &mut files);
    }
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
    let Some(trees) = std::env::var_os("SLIMPACK_TEST_TREES") else {
        eprintln!("skipped: SLIMPACK_TEST_TREES names no trees");
        assert!(
            std::env::var_os(common::REQUIRE_TOOLS).is_none(),
            "SLIMPACK_TEST_TREES is not set"
        );
        return;
    };
    let (mut seen, mut files) = (HashSet::new(), Vec::new());
    for tree in std::env::split_paths(&trees) {
        elf_files(&fs::canonicalize(tree).unwrap(), &mut seen, &mut files);
    }
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
