//! The ELF files on this machine, for comparisons with other tools that read ELF.

#![allow(dead_code)] // Each test program uses a part of it.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Programs and libraries in these directories, each inode once, sorted: those whose first bytes
/// `is_meant` accepts.
pub fn elf_files(folders: &[&Path], is_meant: fn(&[u8; 20]) -> bool) -> Vec<PathBuf> {
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for folder in folders {
        below(folder, is_meant, &mut seen, &mut found);
    }
    found
}

fn below(
    folder: &Path,
    is_meant: fn(&[u8; 20]) -> bool,
    seen: &mut HashSet<(u64, u64)>,
    found: &mut Vec<PathBuf>,
) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        // A file of split debug information has a program's segments but not their bytes.
        if metadata.is_dir() && !path.ends_with("usr/lib/debug") {
            below(&path, is_meant, seen, found);
        } else if metadata.is_file()
            && head(&path).is_some_and(|head| is_linked(&head) && is_meant(&head))
            && seen.insert((metadata.dev(), metadata.ino()))
        {
            found.push(path);
        }
    }
}

fn head(path: &Path) -> Option<[u8; 20]> {
    let mut head = [0; 20];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    Some(head)
}

/// Whether the type is `ET_EXEC` or `ET_DYN`.
fn is_linked(head: &[u8; 20]) -> bool {
    let kind = if head[5] == 1 { head[16] } else { head[17] };
    head.starts_with(b"\x7fELF") && matches!(kind, 2 | 3)
}

/// Whether a file is for x86-64.
pub fn is_native(head: &[u8; 20]) -> bool {
    head[4..6] == [2, 1] && head[18] == 62
}

/// Processes all items on two threads; returns the result of each thread.
pub fn on_two_threads<T: Sync, R: Send>(
    items: &[T],
    start: impl Fn() -> R + Sync,
    work: impl Fn(&T, &mut R) + Sync,
) -> [R; 2] {
    let next = AtomicUsize::new(0);
    let thread = || {
        let mut result = start();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item, &mut result);
        }
        result
    };
    std::thread::scope(|scope| {
        [scope.spawn(thread), scope.spawn(thread)].map(|thread| thread.join().unwrap())
    })
}
