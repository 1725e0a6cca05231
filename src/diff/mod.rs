//! What differs between two images, roots or ELF files.
//!
//! In: two of them, read. Out: what was added, removed and changed, and in which way; what is
//! configured otherwise; bytes by folder.

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
use crate::vfs::NodeKind;

/// Folders are told by their first two names: `/usr/lib`.
const DEPTH: usize = 2;

/// What is different about one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Change {
    /// It was a file and is a link, or the like.
    Type {
        /// In the first.
        before: &'static str,
        /// In the second.
        after: &'static str,
    },
    /// Permission bits, octal.
    Mode {
        /// In the first.
        before: String,
        /// In the second.
        after: String,
    },
    /// `UID:GID`.
    Owner {
        /// In the first.
        before: String,
        /// In the second.
        after: String,
    },
    /// File capabilities, which one of them has.
    Capabilities {
        /// In the first.
        before: bool,
        /// In the second.
        after: bool,
    },
    /// The target of a symbolic link.
    Target {
        /// In the first.
        before: PathBuf,
        /// In the second.
        after: PathBuf,
    },
    /// The bytes of a file.
    Content {
        /// Size in bytes in the first.
        before: u64,
        /// Size in bytes in the second.
        after: u64,
        /// What changed of an ELF file.
        elf: Vec<ElfChange>,
    },
}

/// A path that is in one of them only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The path.
    pub path: PathBuf,
    /// `file`, `folder`, `link` or `special`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Size in bytes.
    pub bytes: u64,
}

/// A path that is in both and differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The path.
    pub path: PathBuf,
    /// In which ways.
    pub changes: Vec<Change>,
}

/// The bytes of files in one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderBytes {
    /// The folder.
    pub folder: PathBuf,
    /// In the first.
    pub before: u64,
    /// In the second.
    pub after: u64,
}

/// What differs between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TreeDiff {
    /// What only the second has.
    pub added: Vec<Entry>,
    /// What only the first has.
    pub removed: Vec<Entry>,
    /// What both have and differs.
    pub changed: Vec<Changed>,
    /// Folders whose files have more or fewer bytes.
    pub folders: Vec<FolderBytes>,
}

impl TreeDiff {
    /// Compares two trees.
    ///
    /// # Errors
    /// The path of a file that cannot be read, and why.
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

fn entry(path: &Path, node: &Node) -> Entry {
    Entry {
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
    // Nobody asks a link for its mode.
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
    if one.has_capabilities != other.has_capabilities {
        changes.push(Change::Capabilities {
            before: one.has_capabilities,
            after: other.has_capabilities,
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
