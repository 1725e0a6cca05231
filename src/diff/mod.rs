//! What differs between two images, roots or ELF files.
//!
//! In: two of them, read. Out: what was added, removed and changed, and how; configuration fields
//! that differ; bytes by directory.

mod config;
mod elf;

pub use config::{Setting, settings};
pub use elf::{ElfChange, elf_changes};

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::bytes::is_same;
use crate::image::read::{Head, Node, Tree};
use crate::vfs::{Capabilities, NodeKind};

/// Number of leading components of the directories that bytes are summed for: `/usr/lib`.
const DEPTH: usize = 2;

/// One difference between two nodes at the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Change {
    /// The type of the node, such as a file that became a link.
    Type {
        /// Type in the first tree.
        before: &'static str,
        /// Type in the second tree.
        after: &'static str,
    },
    /// Permission bits, octal.
    Mode {
        /// Mode in the first tree.
        before: String,
        /// Mode in the second tree.
        after: String,
    },
    /// The owner, as `UID:GID`.
    Owner {
        /// Owner in the first tree.
        before: String,
        /// Owner in the second tree.
        after: String,
    },
    /// File capabilities, as `getcap(8)` prints them.
    Capabilities {
        /// Capabilities in the first tree; `None` if it has none.
        before: Option<String>,
        /// Capabilities in the second tree.
        after: Option<String>,
    },
    /// The target of a symbolic link.
    Target {
        /// Target in the first tree.
        before: PathBuf,
        /// Target in the second tree.
        after: PathBuf,
    },
    /// The bytes of a file.
    Content {
        /// Size in the first tree, in bytes.
        before: u64,
        /// Size in the second tree, in bytes.
        after: u64,
        /// What changed in an ELF file; empty for other files.
        elf: Vec<ElfChange>,
    },
}

/// A path that is in only one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffEntry {
    /// The absolute path in the tree.
    pub path: PathBuf,
    /// `file`, `folder`, `link` or `special`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Size in bytes.
    pub bytes: u64,
}

/// A path that is in both trees, with differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The absolute path in both trees.
    pub path: PathBuf,
    /// The differences.
    pub changes: Vec<Change>,
}

/// The bytes of the files in one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderBytes {
    /// The directory.
    pub folder: PathBuf,
    /// Bytes in the first tree.
    pub before: u64,
    /// Bytes in the second tree.
    pub after: u64,
}

/// What differs between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TreeDiff {
    /// Paths that only the second has.
    pub added: Vec<DiffEntry>,
    /// Paths that only the first has.
    pub removed: Vec<DiffEntry>,
    /// Paths that both have and that differ.
    pub changed: Vec<Changed>,
    /// Directories whose files have more or fewer bytes.
    pub folders: Vec<FolderBytes>,
}

impl TreeDiff {
    /// Compares two trees.
    ///
    /// # Errors
    /// The path of a file that cannot be read, and the error.
    pub fn of(before: &Tree, after: &Tree) -> Result<Self, (PathBuf, io::Error)> {
        let index = |tree: &'_ Tree| -> BTreeMap<PathBuf, u32> {
            tree.walk()
                .skip(1)
                .map(|(path, number, _)| (path, number))
                .collect()
        };
        let (left, right) = (index(before), index(after));
        let mut diff = Self::default();
        let mut bytes: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
        // Hard links are counted, and compared, once.
        let (mut seen_before, mut seen_after) = (BTreeSet::new(), BTreeSet::new());
        let paths: BTreeSet<&PathBuf> = left.keys().chain(right.keys()).collect();
        for path in paths {
            let one = left
                .get(path)
                .map(|&number| (number, before.numbered(number)));
            let other = right
                .get(path)
                .map(|&number| (number, after.numbered(number)));
            if let Some((number, node)) = one
                && seen_before.insert(number)
            {
                bytes.entry(folder(path)).or_default().0 += node.size;
            }
            if let Some((number, node)) = other
                && seen_after.insert(number)
            {
                bytes.entry(folder(path)).or_default().1 += node.size;
            }
            match (one, other) {
                (Some((_, one)), Some((_, other))) => {
                    let changes = changes(one, other).map_err(|error| (path.clone(), error))?;
                    if !changes.is_empty() {
                        diff.changed.push(Changed {
                            path: path.clone(),
                            changes,
                        });
                    }
                }
                (Some((_, node)), None) => diff.removed.push(entry(path, node)),
                (None, Some((_, node))) => diff.added.push(entry(path, node)),
                (None, None) => {}
            }
        }
        let differing = bytes
            .into_iter()
            .filter(|(_, (before, after))| before != after);
        diff.folders = differing
            .map(|(folder, (before, after))| FolderBytes {
                folder,
                before,
                after,
            })
            .collect();
        Ok(diff)
    }

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn folder(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new("/"));
    parent.components().take(DEPTH + 1).collect()
}

fn entry(path: &Path, node: &Node) -> DiffEntry {
    DiffEntry {
        path: path.to_path_buf(),
        kind: node.kind().as_str(),
        bytes: node.size,
    }
}

fn changes(one: &Node, other: &Node) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    if one.kind() != other.kind() {
        changes.push(Change::Type {
            before: one.kind().as_str(),
            after: other.kind().as_str(),
        });
        return Ok(changes);
    }
    // The mode of a link is never used.
    if one.mode != other.mode && one.kind() != NodeKind::Symlink {
        changes.push(Change::Mode {
            before: format!("{:04o}", one.mode),
            after: format!("{:04o}", other.mode),
        });
    }
    if (one.uid, one.gid) != (other.uid, other.gid) {
        changes.push(Change::Owner {
            before: format!("{}:{}", one.uid, one.gid),
            after: format!("{}:{}", other.uid, other.gid),
        });
    }
    if one.capabilities != other.capabilities {
        changes.push(Change::Capabilities {
            before: one.capabilities.as_deref().map(Capabilities::text),
            after: other.capabilities.as_deref().map(Capabilities::text),
        });
    }
    if let (Some(before), Some(after)) = (one.target(), other.target())
        && before != after
    {
        changes.push(Change::Target {
            before: before.clone(),
            after: after.clone(),
        });
    }
    if one.kind() == NodeKind::File {
        changes.extend(content_change(one, other)?);
    }
    Ok(changes)
}

fn content_change(one: &Node, other: &Node) -> io::Result<Option<Change>> {
    let open = |node: &Node| {
        node.open()
            .map_err(|errno| io::Error::other(errno.message()))
    };
    let (left, right) = (open(one)?, open(other)?);
    if is_same(left.as_ref(), right.as_ref())? {
        return Ok(None);
    }
    let elf = match (one.head(), other.head()) {
        (Head::Elf, Head::Elf) => elf_changes(left.as_ref(), right.as_ref()),
        _ => Vec::new(),
    };
    Ok(Some(Change::Content {
        before: one.size,
        after: other.size,
        elf,
    }))
}
