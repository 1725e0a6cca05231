//! A root directory of this machine as a tree.
//!
//! In: a directory. Out: the same tree that a layer with its files would produce. Other file
//! systems mounted in it (`/proc`) are skipped.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::anomaly::AnomalyKind;
use super::compression::Exceeded;
use super::error::ReadError;
use super::limits::Limits;
use super::node::{Data, Node, NodeContent};
use super::parts::within;
use super::tree::Tree;
use slimpack_vfs::{Attributes, HostVfs, Vfs, identity};

/// Reads the names below `root`, a path without links.
pub(super) fn read(root: &Path, limits: &Limits) -> Result<Tree, ReadError> {
    let mut tree = Tree::default();
    let host = Arc::new(HostVfs::new(root));
    let top = host.stat(Path::new("/"))?;
    tree.set_root(top.mode() & 0o7777, top.uid().into(), top.gid().into());
    let mut walker = DirectoryWalker {
        host: host.clone(),
        device: top.dev(),
        hard_links: HashMap::new(),
        left: limits.members,
    };
    let mut pending = vec![(PathBuf::from("/"), 0_u32)];
    while let Some((inside, number)) = pending.pop() {
        let Ok(names) = host.read_dir(&inside) else {
            tree.anomalies
                .note(0, inside.as_os_str().as_bytes(), AnomalyKind::Unreadable);
            continue;
        };
        for name in names {
            walker.left = walker.left.checked_sub(1).ok_or_else(|| too_many(limits))?;
            let path = inside.join(&name);
            // It was removed in the meantime.
            if let Ok(found) = host.stat(&path)
                && let Some(folder) = walker.add(&mut tree, number, name, &path, &found)
            {
                pending.push((path, folder));
            }
        }
    }
    Ok(tree)
}

fn too_many(limits: &Limits) -> ReadError {
    let error = io::Error::other(Exceeded {
        what: "it has more than this many files",
        name: "members",
        limit: limits.members,
    });
    within(super::members::TarError::Io(error), "the folder")
}

struct DirectoryWalker {
    host: Arc<HostVfs>,
    device: u64,
    hard_links: HashMap<(u64, u64), u32>,
    left: u64,
}

impl DirectoryWalker {
    /// Adds one name; returns the number of the node if it is a directory still to be read.
    fn add(
        &mut self,
        tree: &mut Tree,
        folder: u32,
        name: OsString,
        path: &Path,
        found: &fs::Metadata,
    ) -> Option<u32> {
        let is_linked = found.nlink() > 1 && !found.is_dir();
        if let Some(&known) = self
            .hard_links
            .get(&(found.dev(), found.ino()))
            .filter(|_| is_linked)
        {
            tree.link(folder, name, known);
            return None;
        }
        let content = if found.is_file() {
            NodeContent::File(Data::Host(self.host.clone(), path.to_path_buf()))
        } else if found.is_dir() {
            NodeContent::Directory(Default::default())
        } else if found.is_symlink() {
            NodeContent::Symlink(slimpack_vfs::Vfs::read_link(self.host.as_ref(), path).ok()?)
        } else {
            NodeContent::Special
        };
        let is_here = found.dev() == self.device;
        let attributes = match found.is_file() || found.is_dir() {
            true => self.host.attributes(path, identity(found)),
            false => Attributes::default(),
        };
        let mode = found.mode() & 0o7777;
        let list = attributes.access_list;
        let number = tree.insert(
            folder,
            name,
            Node {
                mode: list.map_or(mode, |list| list.mode(mode)),
                uid: found.uid().into(),
                gid: found.gid().into(),
                mtime: found.mtime().try_into().unwrap_or_default(),
                size: if found.is_file() { found.len() } else { 0 },
                layer: 0,
                capabilities: attributes.capabilities.map(Vec::into_boxed_slice),
                names_others: list.is_some_and(|list| list.names_others),
                content,
                head: None,
                fingerprint: None,
            },
        );
        if is_linked {
            self.hard_links.insert((found.dev(), found.ino()), number);
        }
        (found.is_dir() && is_here).then_some(number)
    }
}
