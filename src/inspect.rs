//! Figures about the contents of an image.
//!
//! In: an image that has been read. Out: the number and size of files by kind, the largest files,
//! and wasted bytes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::elf::Linkage;
use crate::image::read::{Duplicate, Head, Image, Node, Tree};
use crate::loader::Objects;
use crate::vfs::{NodeKind, View};

/// The kind of a file.
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
    /// A symbolic link.
    Link,
}

impl FileKind {
    /// All kinds, in report order.
    pub const ALL: [Self; 5] = [
        Self::Program,
        Self::Library,
        Self::Script,
        Self::Data,
        Self::Link,
    ];

    /// The kind of the file at `path`; `None` for directories, devices, pipes and sockets.
    pub fn of(view: &View, path: &Path, node: &Node) -> Option<Self> {
        match node.kind() {
            NodeKind::Directory | NodeKind::Special => None,
            NodeKind::Symlink => Some(Self::Link),
            NodeKind::File => Some(match node.head() {
                Head::Elf => elf_kind(view, path),
                Head::Script => Self::Script,
                Head::Other => Self::Data,
            }),
        }
    }

    /// The name used in reports and in JSON.
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

/// Number and size of the files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Number of files, hard links counted once.
    pub files: usize,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// The figures of one image.
pub struct Figures {
    /// Number of regular files, hard links counted once.
    pub files: usize,
    /// Number of directories, without the root.
    pub folders: usize,
    /// Number of symbolic links.
    pub links: usize,
    /// Number of devices, pipes and sockets.
    pub specials: usize,
    /// Size of all regular files, in bytes.
    pub bytes: u64,
    /// Number and size by kind, in the order of [`FileKind::ALL`].
    pub kinds: [Share; 5],
    /// Regular files by size, the largest first.
    pub largest: Vec<(PathBuf, u64)>,
    /// Bytes that later layers hide.
    pub hidden_bytes: u64,
    /// Groups of files with the same content.
    pub duplicates: Vec<Duplicate>,
    /// The efficiency as `dive` computes it, between 0 and 1.
    pub efficiency: f64,
    /// Paths that several layers write, with their total bytes and the number of layers.
    pub repeated: Vec<(PathBuf, u64, u32)>,
}

impl Figures {
    /// Counts the files of `image`; `view` is the view of that image.
    pub fn of(image: &Image, view: &View) -> Self {
        let tree = &image.tree;
        let (files, bytes) = tree.totals();
        let mut figures = Self {
            files,
            folders: 0,
            links: 0,
            specials: 0,
            bytes,
            kinds: Default::default(),
            largest: Vec::new(),
            hidden_bytes: tree.hidden_bytes(),
            duplicates: tree.duplicates(),
            efficiency: tree.efficiency(),
            repeated: tree.repeated(),
        };
        let mut seen = HashSet::new();
        for (path, number, node) in tree.walk().skip(1) {
            match node.kind() {
                NodeKind::Directory => figures.folders += 1,
                NodeKind::Special => figures.specials += 1,
                NodeKind::Symlink => figures.links += 1,
                // A hard link to a file that has been counted already.
                NodeKind::File if !seen.insert(number) => continue,
                NodeKind::File => {}
            }
            let Some(kind) = FileKind::of(view, &path, node) else {
                continue;
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

    /// Bytes that would be saved if every content were stored only once.
    pub fn duplicate_bytes(&self) -> u64 {
        let wasted = self.duplicates.iter().map(Duplicate::wasted);
        wasted.fold(0, u64::saturating_add)
    }
}

/// Whether an ELF file is a program or a library; object files and damaged files count as data.
fn elf_kind(view: &View, path: &Path) -> FileKind {
    let facts = view.walk(path).and_then(|walk| view.facts(&walk));
    match facts {
        Ok(Ok(object)) if object.segments.is_empty() => FileKind::Data,
        Ok(Ok(object)) if object.linkage() == Linkage::Library => FileKind::Library,
        Ok(Ok(_)) => FileKind::Program,
        _ => FileKind::Data,
    }
}

/// For each layer, the bytes of its files that no later layer hides.
pub fn visible_bytes(image: &Image) -> Vec<u64> {
    let mut visible = vec![0_u64; image.layers.len()];
    let mut seen = HashSet::new();
    for (_, number, node) in image.tree.walk() {
        if let Some(bytes) = visible.get_mut(node.layer as usize)
            && seen.insert(number)
        {
            *bytes = bytes.saturating_add(node.size);
        }
    }
    visible
}

/// The bytes of all regular files, hard links counted once.
pub fn file_bytes(tree: &Tree) -> u64 {
    let mut seen = HashSet::new();
    let nodes = tree.walk().filter(|(_, number, _)| seen.insert(*number));
    nodes.fold(0, |sum, (_, _, node)| sum.saturating_add(node.size))
}
