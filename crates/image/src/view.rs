//! The files that a view shows, as a layer.
//!
//! In: a view, such as that of an image, and when its nodes were changed. Out: all of it, or some paths
//! with the directories above them, for writers of tars and directories.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use slimpack_vfs::bytes::ReadAt;
use slimpack_vfs::{Capabilities, Errno, FileId, Metadata, NodeKind, Owner, View, Walk};

use super::layer::{LayerEntry, LayerError, LayerFile, LayerNode, LayerSource};

/// Nodes of a view.
pub struct ViewTree<'v> {
    view: &'v View,
    changed: &'v dyn Fn(&Path) -> u64,
    nodes: BTreeMap<PathBuf, ViewNode<'v>>,
    left_out: BTreeSet<PathBuf>,
}

struct ViewNode<'v> {
    owner: Owner,
    mtime: u64,
    content: ViewContent<'v>,
}

enum ViewContent<'v> {
    Directory(u32),
    Symlink(PathBuf),
    File(u32, ViewFile<'v>),
}

/// A file of a view.
pub struct ViewFile<'v> {
    view: &'v View,
    walk: Walk,
    capabilities: Option<Capabilities>,
}

impl<'v> ViewFile<'v> {
    /// The file at a path without links.
    pub fn new(view: &'v View, path: &Path, metadata: Metadata) -> Self {
        let walk = Walk {
            real: path.to_path_buf(),
            metadata,
            links: Vec::new(),
            left: Vec::new(),
        };
        let value = match metadata.has_capabilities {
            true => view.attributes(&walk).capabilities,
            false => None,
        };
        Self {
            view,
            walk,
            capabilities: value.and_then(|value| Capabilities::parse(&value)),
        }
    }
}

impl<'v> ViewTree<'v> {
    /// A tree without nodes. `changed` has the time of a node, in seconds since 1970.
    pub fn new(view: &'v View, changed: &'v dyn Fn(&Path) -> u64) -> Self {
        Self {
            view,
            changed,
            nodes: BTreeMap::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// Adds the node at a path without links, what is below it, and the directories above it.
    ///
    /// # Errors
    /// [`LayerError::Open`] if there is no such node.
    pub fn add(&mut self, path: &Path) -> Result<(), LayerError> {
        self.add_alone(path)?;
        let mut stack = vec![path.to_path_buf()];
        while let Some(path) = stack.pop() {
            if self.add_node(&path)? == NodeKind::Directory {
                let names = self.view.read_dir(&path).unwrap_or_default();
                stack.extend(names.into_iter().map(|name| path.join(name)));
            }
        }
        Ok(())
    }

    /// Adds the node at a path without links, and the directories above it.
    ///
    /// # Errors
    /// [`LayerError::Open`] if there is no such node.
    pub fn add_alone(&mut self, path: &Path) -> Result<(), LayerError> {
        for path in path.ancestors() {
            if !self.nodes.contains_key(path) {
                self.add_node(path)?;
            }
        }
        Ok(())
    }

    fn add_node(&mut self, path: &Path) -> Result<NodeKind, LayerError> {
        let fail = |errno| LayerError::Open {
            path: path.to_path_buf(),
            errno,
        };
        let metadata = self.view.lookup(path).map_err(fail)?;
        let mode = metadata.mode;
        let content = match metadata.kind {
            // Whoever writes the tree makes its root.
            NodeKind::Directory if path == Path::new("/") => return Ok(metadata.kind),
            NodeKind::Directory => ViewContent::Directory(mode),
            NodeKind::Symlink => ViewContent::Symlink(self.view.read_link(path).map_err(fail)?),
            NodeKind::File => ViewContent::File(mode, ViewFile::new(self.view, path, metadata)),
            NodeKind::Special => {
                self.left_out.insert(path.to_path_buf());
                return Ok(metadata.kind);
            }
        };
        let node = ViewNode {
            owner: metadata.owner,
            mtime: (self.changed)(path),
            content,
        };
        self.nodes.insert(path.to_path_buf(), node);
        Ok(metadata.kind)
    }

    /// Device nodes, FIFOs and sockets, which are not in the tree.
    pub fn left_out(&self) -> &BTreeSet<PathBuf> {
        &self.left_out
    }
}

impl LayerSource for ViewTree<'_> {
    fn nodes(&self) -> Box<dyn Iterator<Item = LayerNode<'_>> + '_> {
        Box::new(self.nodes.iter().map(|(path, node)| LayerNode {
            path,
            owner: node.owner,
            mtime: Some(node.mtime),
            entry: match &node.content {
                ViewContent::Directory(mode) => LayerEntry::Directory(*mode),
                ViewContent::Symlink(target) => LayerEntry::Symlink(target),
                ViewContent::File(mode, file) => LayerEntry::File(*mode, file),
            },
        }))
    }

    fn bytes(&self) -> u64 {
        let mut known = HashSet::new();
        let files = self.nodes.values().filter_map(|node| match &node.content {
            ViewContent::File(_, file) if known.insert(file.id()) => Some(file.size()),
            _ => None,
        });
        files.fold(0, u64::saturating_add)
    }
}

impl LayerFile for ViewFile<'_> {
    fn id(&self) -> FileId {
        self.walk.metadata.id
    }

    fn size(&self) -> u64 {
        self.walk.metadata.size
    }

    fn origin(&self) -> Option<&Path> {
        None
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.capabilities
    }

    fn open(&self) -> Result<Box<dyn ReadAt>, Errno> {
        self.view.open(&self.walk)
    }
}
