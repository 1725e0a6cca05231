//! The tree of the image as the layer that it becomes.
//!
//! In: a [`Rootfs`] and the tree that its files come from. Out: what a writer of layers needs.

use std::path::Path;

use super::{Content, Rootfs, SourceFile};
use crate::bytes::ReadAt;
use crate::image::{LayerEntry, LayerFile, LayerNode, LayerSource};
use crate::vfs::{Capabilities, Errno, FileId, View};

/// A tree with the source of its files.
pub struct SourcedRootfs<'t> {
    rootfs: &'t Rootfs,
    files: Vec<Option<SourcedFile<'t>>>,
}

struct SourcedFile<'t> {
    file: &'t SourceFile,
    source: &'t View,
}

impl<'t> SourcedRootfs<'t> {
    /// The tree `rootfs`, whose files come from `source`.
    pub fn new(rootfs: &'t Rootfs, source: &'t View) -> Self {
        let files = rootfs.nodes().map(|(_, node)| match &node.content {
            Content::File(file) => Some(SourcedFile { file, source }),
            Content::Directory(_) | Content::Symlink(_) => None,
        });
        Self {
            rootfs,
            files: files.collect(),
        }
    }
}

impl LayerSource for SourcedRootfs<'_> {
    fn nodes(&self) -> Box<dyn Iterator<Item = LayerNode<'_>> + '_> {
        let nodes = self.rootfs.nodes().zip(&self.files);
        Box::new(nodes.filter_map(|((path, node), file)| {
            let entry = match (&node.content, file) {
                (Content::Directory(mode), _) => LayerEntry::Directory(*mode),
                (Content::Symlink(target), _) => LayerEntry::Symlink(target),
                (Content::File(of), Some(file)) => LayerEntry::File(of.mode, file),
                (Content::File(_), None) => return None,
            };
            Some(LayerNode {
                path,
                owner: node.owner,
                mtime: None,
                entry,
            })
        }))
    }

    fn bytes(&self) -> u64 {
        self.rootfs.bytes()
    }
}

impl LayerFile for SourcedFile<'_> {
    fn id(&self) -> FileId {
        self.file.id()
    }

    fn size(&self) -> u64 {
        self.file.size()
    }

    fn origin(&self) -> Option<&Path> {
        self.file.source_path()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.file.capabilities
    }

    fn open(&self) -> Result<Box<dyn ReadAt>, Errno> {
        self.file.open(self.source)
    }
}
