//! Content that an image contains more than once.
//!
//! In: a tree. Out: files that are identical byte for byte, not counting hard links. Only files
//! of equal size are read, and in full only if their beginnings are equal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::layer::COMPARED_FROM;
use super::node::Node;
use super::tree::Tree;

/// Bytes that are compared first, and that are read at a time.
const BEGINNING: u64 = 4 << 10;
const PIECE: usize = 64 << 10;

/// Content shared by several files.
#[derive(Clone, Debug)]
pub struct Duplicate {
    /// Size of one of them in bytes.
    pub size: u64,
    /// All paths, sorted.
    pub paths: Vec<PathBuf>,
}

impl Duplicate {
    /// Bytes that keeping a single copy would save.
    pub fn wasted(&self) -> u64 {
        self.size.saturating_mul(self.paths.len() as u64 - 1)
    }
}

type Files<'t> = Vec<(PathBuf, &'t Node)>;

impl Tree {
    /// Files with the same content under several paths, most wasteful first; files smaller than
    /// 4 KiB are not compared.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut by_size: BTreeMap<u64, Files<'_>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (path, number, node) in self.walk() {
            // A sparse file may have any size with almost no data in it.
            if node.size >= COMPARED_FROM && !node.is_sparse() && seen.insert(number) {
                by_size.entry(node.size).or_default().push((path, node));
            }
        }
        let mut duplicates = Vec::new();
        for (size, files) in by_size {
            // The beginning of a file that was hashed while streaming is not available.
            let has_passed = files.iter().any(|(_, node)| node.fingerprint.is_some());
            let candidates: Vec<Files<'_>> = match has_passed {
                true => vec![files],
                false => grouped(files, beginning).collect(),
            };
            for files in candidates {
                let equal = grouped(files, whole);
                duplicates.extend(equal.map(|files| Duplicate {
                    size,
                    paths: files.into_iter().map(|(path, _)| path).collect(),
                }));
            }
        }
        duplicates.sort_by(|left, right| {
            let by_waste = right.wasted().cmp(&left.wasted());
            by_waste.then_with(|| left.paths.cmp(&right.paths))
        });
        duplicates
    }
}

/// Groups of at least two files with the same key; files without a key are unique.
fn grouped(files: Files<'_>, key: fn(&Node) -> Option<u128>) -> impl Iterator<Item = Files<'_>> {
    let mut groups: HashMap<u128, Files<'_>> = HashMap::new();
    if files.len() > 1 {
        for (path, node) in files {
            if let Some(key) = key(node) {
                groups.entry(key).or_default().push((path, node));
            }
        }
    }
    groups.into_values().filter(|files| files.len() > 1)
}

/// A hash of the first bytes.
fn beginning(node: &Node) -> Option<u128> {
    Some(xxh3_128(&node.open().ok()?.prefix(0, BEGINNING).ok()?))
}

/// A hash of all bytes.
fn whole(node: &Node) -> Option<u128> {
    if node.fingerprint.is_some() {
        return node.fingerprint;
    }
    let file = node.open().ok()?;
    let mut hash = Xxh3Default::new();
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        match file.read_at(&mut piece, offset).ok()? {
            0 => return Some(hash.digest128()),
            count => {
                hash.update(&piece[..count]);
                offset += count as u64;
            }
        }
    }
}
