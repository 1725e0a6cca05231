//! Stores files with the same content only once.
//!
//! In: the finished tree. Out: the same tree, in which duplicates are hard links to the first copy.
//! Shared libraries stay separate files: a loader tells them apart by their inode.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Content, Rootfs, SourceFile};
use crate::elf::Linkage;
use crate::loader::Objects;
use crate::vfs::View;

impl Rootfs {
    /// Turns files with the same content, mode, owner and capabilities into hard links; returns the
    /// bytes saved. Files that cannot be read stay unchanged.
    pub fn link_duplicates(&mut self, source: &View) -> u64 {
        let mut by_size: BTreeMap<_, Vec<(PathBuf, SourceFile)>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Content::File(file) = &node.content
                && file.size() > 0
                && !is_library(file, source)
            {
                let key = (file.size(), file.mode, node.owner, file.capabilities);
                by_size
                    .entry(key)
                    .or_default()
                    .push((path.clone(), file.clone()));
            }
        }
        let mut spared = 0_u64;
        for group in by_size.into_values().filter(|group| group.len() > 1) {
            // The first file with each content.
            let mut firsts: Vec<SourceFile> = Vec::new();
            for (path, file) in group {
                let Some(first) = firsts.iter().find(|first| first.is_copy_of(&file, source))
                else {
                    firsts.push(file);
                    continue;
                };
                if first.id() != file.id() {
                    spared = spared.saturating_add(file.size());
                    self.merged.insert(file.id(), first.id());
                    if let Some(node) = self.nodes.get_mut(&path) {
                        node.content = Content::File(first.clone());
                    }
                }
            }
        }
        spared
    }
}

fn is_library(file: &SourceFile, source: &View) -> bool {
    let facts = file.walk().and_then(|walk| source.facts(walk).ok());
    matches!(facts, Some(Ok(object)) if object.linkage() == Linkage::Library)
}
