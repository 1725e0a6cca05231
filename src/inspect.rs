//! What is in an image, in figures.
//!
//! In: an image that has been read. Out: how many files of which kind, which are the largest,
//! and what is carried in vain.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::elf::Linkage;
use crate::image::read::{Duplicate, Head, Image};
use crate::vfs::{NodeKind, View};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// An ELF file that is started.
    Program,
    /// An ELF file that is loaded.
    Library,
    /// A file that begins with `#!`.
    Script,
    /// Any other regular file.
    Data,
    /// A symbolic link; its bytes are none.
    Link,
}

impl FileKind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Program,
        Self::Library,
        Self::Script,
        Self::Data,
        Self::Link,
    ];

    /// The word used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "programs",
            Self::Library => "libraries",
            Self::Script => "scripts",
            Self::Data => "data",
            Self::Link => "links",
        }
    }
}

/// How many files of one kind, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Files, each hard link counted once.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The figures of one image.
pub struct Figures {
    /// Regular files, each counted once however many names it has.
    pub files: usize,
    /// Folders, the root not counted.
    pub folders: usize,
    /// Symbolic links.
    pub links: usize,
    /// Devices, pipes and sockets.
    pub specials: usize,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// By kind, in the order of [`FileKind::ALL`].
    pub kinds: [Share; 5],
    /// Regular files by size, the largest first.
    pub largest: Vec<(PathBuf, u64)>,
    /// Bytes that later layers hide.
    pub hidden_bytes: u64,
    /// Contents that several files hold.
    pub duplicates: Vec<Duplicate>,
    /// The efficiency that dive computes, between 0 and 1.
    pub efficiency: f64,
    /// Paths that several layers write: all their bytes, and how many layers.
    pub repeated: Vec<(PathBuf, u64, u32)>,
}

impl Figures {
    /// Counts the files of `image`, of which `view` is the view.
    pub fn of(image: &Image, view: &View) -> Self {
        let tree = &image.tree;
        let mut figures = Self {
            files: 0,
            folders: 0,
            links: 0,
            specials: 0,
            bytes: 0,
            kinds: Default::default(),
            largest: Vec::new(),
            hidden_bytes: tree.hidden_bytes(),
            duplicates: tree.duplicates(),
            efficiency: tree.efficiency(),
            repeated: tree.repeated(),
        };
        let mut seen = HashSet::new();
        for (path, number, node) in tree.walk().skip(1) {
            let kind = match node.kind() {
                NodeKind::Directory => {
                    figures.folders += 1;
                    continue;
                }
                NodeKind::Special => {
                    figures.specials += 1;
                    continue;
                }
                NodeKind::Symlink => {
                    figures.links += 1;
                    FileKind::Link
                }
                // A hard link is another name of what has been counted.
                NodeKind::File if !seen.insert(number) => continue,
                NodeKind::File => {
                    figures.files += 1;
                    figures.bytes = figures.bytes.saturating_add(node.size);
                    match node.head() {
                        Head::Elf => elf_kind(view, &path),
                        Head::Script => FileKind::Script,
                        Head::Other => FileKind::Data,
                    }
                }
            };
            let share = &mut figures.kinds[kind as usize];
            share.files += 1;
            share.bytes = share.bytes.saturating_add(node.size);
            if node.kind() == NodeKind::File {
                figures.largest.push((path, node.size));
            }
        }
        let by_size = |left: &(PathBuf, u64), right: &(PathBuf, u64)| {
            right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0))
        };
        figures.largest.sort_by(by_size);
        figures
    }

    /// Bytes that would be spared if every content were held once.
    pub fn duplicate_bytes(&self) -> u64 {
        let wasted = self.duplicates.iter().map(Duplicate::wasted);
        wasted.fold(0, u64::saturating_add)
    }
}

/// A program or a library; object files and damaged ones are data.
fn elf_kind(view: &View, path: &std::path::Path) -> FileKind {
    let facts = view.walk(path).and_then(|walk| view.facts(&walk));
    match facts {
        Ok(Ok(object)) if object.segments.is_empty() => FileKind::Data,
        Ok(Ok(object)) if object.linkage() == Linkage::Library => FileKind::Library,
        Ok(Ok(_)) => FileKind::Program,
        _ => FileKind::Data,
    }
}
