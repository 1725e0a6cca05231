//! The effective tree of an image: its layers applied in order.
//!
//! In: the members of each layer, the lowest first. Out: the tree that an engine would mount,
//! and the anomalies in the archives. Source: the OCI image specification, `layer.md` ("Applying
//! Changesets"); where it is silent, the behavior of docker and umoci.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::anomaly::{Anomalies, AnomalyKind};
use super::members::{Member, MemberKind};
use super::names::{Name, OPAQUE, WHITEOUT};
use super::node::{Child, Data, Head, Node, NodeContent};
use super::waste::Waste;
use slimpack_vfs::{Errno, FileId, MAX_LINKS};

/// Longest target of a symbolic link in bytes (`PATH_MAX` - 1).
const MAX_TARGET: usize = 4095;
/// Most directory and link steps for all members together, in addition to one for each
/// component of a name.
const MAX_STEPS: u64 = 20_000_000;

/// All nodes of an image. The root is number 0.
pub struct Tree {
    nodes: Vec<Node>,
    /// Anomalies in the archives.
    pub anomalies: Anomalies,
    pub(super) waste: Waste,
    steps: u64,
    /// Most nodes, including implicit directories.
    most: u64,
    /// Opaque directories, and the layer that made them opaque.
    emptied: HashSet<(u32, u32)>,
    /// The capabilities that files of lower layers had at the paths of files that have none, by the
    /// number of the file.
    dropped: BTreeMap<u32, Box<[u8]>>,
    /// The parent directory of the last member, while nothing on its path has changed.
    last: Option<(Vec<u8>, u32)>,
}

/// A member of a layer, with the location of its data.
pub(super) struct IndexedMember {
    pub member: Member,
    pub head: Option<Head>,
    pub data: Data,
    pub fingerprint: Option<u128>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = implicit_folder(0);
        Self {
            nodes: vec![root],
            anomalies: Anomalies::default(),
            waste: Waste::default(),
            steps: 0,
            most: u64::MAX,
            emptied: HashSet::new(),
            dropped: BTreeMap::new(),
            last: None,
        }
    }
}

/// A directory without its own member, implied by the names below it.
fn implicit_folder(layer: u32) -> Node {
    Node {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: 0,
        layer,
        capabilities: None,
        names_others: false,
        content: NodeContent::Directory(BTreeMap::new()),
        head: None,
        fingerprint: None,
    }
}

impl Tree {
    /// The node at a real path (no component is a link).
    pub fn node(&self, path: &[u8]) -> Result<(u32, &Node), Errno> {
        let mut at = 0;
        for part in path
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
        {
            let NodeContent::Directory(children) = &self.nodes[at as usize].content else {
                return Err(Errno::NotADirectory);
            };
            at = children
                .get(OsStr::from_bytes(part))
                .ok_or(Errno::NotFound)?
                .node;
        }
        Ok((at, &self.nodes[at as usize]))
    }

    /// When the node at a real path was last changed, in seconds since 1970; 0 without such a node.
    pub fn changed(&self, path: &Path) -> u64 {
        let node = self.node(path.as_os_str().as_bytes());
        node.map_or(0, |(_, node)| node.mtime)
    }

    /// The node with a number returned by [`Self::walk`] or [`Self::node`].
    ///
    /// # Panics
    /// When there is no such number.
    pub fn numbered(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    /// All nodes with their paths and numbers, directories before their contents, siblings in
    /// order. Hard links share a number.
    pub fn walk(&self) -> impl Iterator<Item = (PathBuf, u32, &Node)> {
        // Siblings share their directory's path, because a directory may be deep and have many
        // names.
        let top = (Arc::new(PathBuf::from("/")), OsStr::new(""), 0_u32);
        let mut stack = vec![top];
        std::iter::from_fn(move || {
            let (folder, name, number) = stack.pop()?;
            let path = match name.is_empty() {
                true => PathBuf::from("/"),
                false => folder.join(name),
            };
            let node = &self.nodes[number as usize];
            if let NodeContent::Directory(children) = &node.content {
                let folder = Arc::new(path.clone());
                let below = children.iter().rev();
                stack.extend(
                    below.map(|(name, child)| (folder.clone(), name.as_os_str(), child.node)),
                );
            }
            Some((path, number, node))
        })
    }

    /// Number of regular files, hard links counted once, and all their bytes.
    pub fn totals(&self) -> (usize, u64) {
        let mut seen = std::collections::HashSet::new();
        let nodes = self.walk().map(|(_, number, node)| (number, node));
        let files = nodes.filter(|(number, node)| {
            node.kind() == slimpack_vfs::NodeKind::File && seen.insert(*number)
        });
        files.fold((0, 0), |(files, bytes): (usize, u64), (_, node)| {
            (files + 1, bytes.saturating_add(node.size))
        })
    }

    /// Bytes that later layers hide.
    pub fn hidden_bytes(&self) -> u64 {
        self.waste.hidden
    }

    /// The attribute `security.capability` that a lower layer's file had at the path of a file that
    /// has none; `number` is as for [`Self::numbered`].
    pub fn dropped_capabilities(&self, number: u32) -> Option<&[u8]> {
        self.dropped.get(&number).map(AsRef::as_ref)
    }

    /// The efficiency that dive computes, between 0 and 1.
    pub fn efficiency(&self) -> f64 {
        self.waste.efficiency()
    }

    /// Paths that several layers write: all their bytes, and how many layers.
    pub fn repeated(&self) -> Vec<(PathBuf, u64, u32)> {
        self.waste.repeated()
    }

    pub(super) fn children(&self, node: u32) -> Option<&BTreeMap<OsString, Child>> {
        match &self.nodes[node as usize].content {
            NodeContent::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// The identity that a loader would see.
    pub(super) fn id(&self, node: u32) -> FileId {
        FileId {
            volume: self.nodes[node as usize].layer.into(),
            number: node.into(),
        }
    }

    fn children_mut(&mut self, folder: u32) -> &mut BTreeMap<OsString, Child> {
        match &mut self.nodes[folder as usize].content {
            NodeContent::Directory(children) => children,
            _ => unreachable!("callers have seen that it is a folder"),
        }
    }

    /// Adds a node to a directory; for trees that are not made of layers.
    pub(super) fn insert(&mut self, folder: u32, name: OsString, node: Node) -> u32 {
        let layer = node.layer;
        let number = self.add(node);
        let child = Child {
            node: number,
            layer,
        };
        self.children_mut(folder).insert(name, child);
        number
    }

    /// Adds another name for a node.
    pub(super) fn link(&mut self, folder: u32, name: OsString, node: u32) {
        let layer = self.nodes[node as usize].layer;
        self.children_mut(folder)
            .insert(name, Child { node, layer });
    }

    pub(super) fn set_root(&mut self, mode: u32, uid: u64, gid: u64) {
        let root = &mut self.nodes[0];
        (root.mode, root.uid, root.gid) = (mode, uid, gid);
    }

    fn add(&mut self, node: Node) -> u32 {
        let number = self.nodes.len() as u32;
        self.nodes.push(node);
        number
    }

    /// An empty tree for at most `most` nodes, made of several layers or of one.
    pub(super) fn new(most: u64, is_layered: bool) -> Self {
        let mut tree = Self {
            most,
            ..Self::default()
        };
        tree.waste.is_layered = is_layered;
        tree
    }

    /// Applies the members of `layer`, in order, on top of the layers below; false when there are
    /// too many nodes.
    pub(super) fn apply(&mut self, layer: u32, entries: &[IndexedMember]) -> bool {
        for entry in entries {
            if let Err(kind) = self.try_apply(layer, entry) {
                self.anomalies.note(layer, &entry.member.name, kind);
            }
            if self.nodes.len() as u64 > self.most {
                return false;
            }
        }
        true
    }

    fn try_apply(&mut self, layer: u32, entry: &IndexedMember) -> Result<(), AnomalyKind> {
        let member = &entry.member;
        let name = Name::parse(&member.name)?;
        if let Some(kind) = name.oddity {
            self.anomalies.note(layer, &member.name, kind);
        }
        let Some((folder, last)) = name.split() else {
            // The root itself.
            if member.kind == MemberKind::Directory {
                self.set_root(member.mode, member.uid, member.gid);
            }
            return Ok(());
        };
        if let Some(whiteout) = last.strip_prefix(WHITEOUT) {
            // The contents of a removed directory are gone; umoci still lists them all.
            return match self.route(folder, ParentLookup::Lower, layer) {
                Ok(number) => self.white_out(layer, number, folder, whiteout),
                Err(_) => Ok(()),
            };
        }
        let folder_number = self.folder(folder, layer)?;
        self.waste.member(folder, last, member);
        if member.kind == MemberKind::HardLink {
            let target = self.hard_link_target(&member.link, layer)?;
            let child = Child {
                node: target,
                layer,
            };
            return self.put(layer, folder_number, last, child, member);
        }
        let content = match member.kind {
            MemberKind::File => NodeContent::File(entry.data.clone()),
            MemberKind::Directory => return self.put_folder(layer, folder_number, last, member),
            MemberKind::Symlink if member.link.len() > MAX_TARGET || member.link.is_empty() => {
                return Err(AnomalyKind::LinkTarget);
            }
            MemberKind::Symlink => {
                self.last = None;
                NodeContent::Symlink(OsString::from_vec(member.link.clone()).into())
            }
            MemberKind::Special => NodeContent::Special,
            MemberKind::HardLink | MemberKind::Unknown(_) => return Err(AnomalyKind::UnknownType),
        };
        let is_file = matches!(content, NodeContent::File(_));
        let node = self.add(Node {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            size: if is_file { member.size } else { 0 },
            layer,
            capabilities: member.capabilities.clone(),
            names_others: member.names_others,
            content,
            head: entry.head,
            fingerprint: entry.fingerprint,
        });
        self.put(layer, folder_number, last, Child { node, layer }, member)
    }

    /// A directory over a directory changes its mode and owner and keeps its contents.
    fn put_folder(
        &mut self,
        layer: u32,
        folder: u32,
        name: &[u8],
        member: &Member,
    ) -> Result<(), AnomalyKind> {
        let known = self
            .children(folder)
            .and_then(|children| children.get(OsStr::from_bytes(name)));
        let known = known
            .map(|child| child.node)
            .filter(|&node| self.children(node).is_some());
        let number = match known {
            Some(number) => number,
            None => {
                let number = self.add(implicit_folder(layer));
                let child = Child {
                    node: number,
                    layer,
                };
                self.put(layer, folder, name, child, member)?;
                number
            }
        };
        if let Some(child) = self.children_mut(folder).get_mut(OsStr::from_bytes(name)) {
            child.layer = layer;
        }
        let node = &mut self.nodes[number as usize];
        (node.mode, node.uid, node.gid, node.layer) = (member.mode, member.uid, member.gid, layer);
        node.names_others = member.names_others;
        Ok(())
    }

    /// Gives a node its name, replacing what had the name before.
    fn put(
        &mut self,
        layer: u32,
        folder: u32,
        name: &[u8],
        child: Child,
        member: &Member,
    ) -> Result<(), AnomalyKind> {
        let key = OsStr::from_bytes(name).to_owned();
        let Some(previous) = self.children_mut(folder).insert(key, child) else {
            return Ok(());
        };
        self.last = None;
        if member.kind == MemberKind::File && member.capabilities.is_none() {
            let lower = Some(&self.nodes[previous.node as usize]);
            let lower = lower.filter(|_| previous.layer != layer);
            let dropped = lower.and_then(|lower| lower.capabilities.clone());
            let dropped = dropped.or_else(|| self.dropped.get(&previous.node).cloned());
            self.dropped
                .extend(dropped.map(|dropped| (child.node, dropped)));
        }
        if previous.layer == layer {
            self.anomalies
                .note(layer, &member.name, AnomalyKind::Duplicate);
        } else {
            self.count_hidden(previous.node);
        }
        Ok(())
    }

    /// Applies a whiteout: removes a name, or everything, of the layers below from a directory.
    fn white_out(
        &mut self,
        layer: u32,
        folder: u32,
        path: &[&[u8]],
        name: &[u8],
    ) -> Result<(), AnomalyKind> {
        if name == OPAQUE {
            self.remove_lower(layer, folder);
            return Ok(());
        }
        // aufs left its own files under such names.
        if name.starts_with(WHITEOUT) {
            return Ok(());
        }
        if name.is_empty() || name == b"." || name == b".." {
            return Err(AnomalyKind::Whiteout);
        }
        let key = OsStr::from_bytes(name);
        let Some(&child) = self.children_mut(folder).get(key) else {
            self.waste.whiteout(path, name, 0);
            return Ok(());
        };
        self.last = None;
        let is_folder = self.children(child.node).is_some();
        let hidden = match is_folder && !self.emptied.contains(&(child.node, layer)) {
            true => self.bytes_below(child.node),
            false => 0,
        };
        self.waste.whiteout(path, name, hidden);
        if is_folder {
            self.remove_lower(layer, child.node);
            let is_empty = self.children(child.node).is_none_or(BTreeMap::is_empty);
            if child.layer != layer && is_empty {
                self.children_mut(folder).remove(key);
            }
        } else if child.layer != layer {
            self.count_hidden(child.node);
            self.children_mut(folder).remove(key);
        }
        Ok(())
    }

    /// Removes from a directory, recursively, what lower layers added.
    fn remove_lower(&mut self, layer: u32, folder: u32) {
        // Lower layers add nothing while a layer is applied, so once is enough.
        self.last = None;
        if self.emptied.contains(&(folder, layer)) {
            return;
        }
        let folders = self.folders_below(folder, layer);
        self.emptied
            .extend(folders.iter().map(|&folder| (folder, layer)));
        // Deepest first: a directory is kept if something is left in it.
        for &number in folders.iter().rev() {
            let NodeContent::Directory(children) = &mut self.nodes[number as usize].content else {
                continue;
            };
            let children = std::mem::take(children);
            let mut kept = BTreeMap::new();
            for (name, child) in children {
                let has_content = self
                    .children(child.node)
                    .is_some_and(|below| !below.is_empty());
                if child.layer == layer || has_content {
                    kept.insert(name, child);
                } else {
                    self.count_hidden(child.node);
                }
            }
            *self.children_mut(number) = kept;
        }
    }

    /// A directory and those below it, except what the layer has already made opaque.
    fn folders_below(&self, folder: u32, layer: u32) -> Vec<u32> {
        let mut folders = vec![folder];
        let mut next = 0;
        while let Some(&number) = folders.get(next) {
            let children = self.children(number).into_iter().flat_map(BTreeMap::values);
            let below = children
                .map(|child| child.node)
                .filter(|&n| self.children(n).is_some() && !self.emptied.contains(&(n, layer)));
            let below: Vec<u32> = below.collect();
            folders.extend(below);
            next += 1;
        }
        folders
    }

    fn bytes_below(&self, folder: u32) -> u64 {
        let folders = self.folders_below(folder, u32::MAX);
        let children = folders.iter().filter_map(|&number| self.children(number));
        let nodes = children
            .flat_map(BTreeMap::values)
            .map(|child| &self.nodes[child.node as usize]);
        nodes.fold(0, |total, node| total.saturating_add(node.size))
    }

    /// Counts the bytes of a lower layer's node that has lost a name.
    fn count_hidden(&mut self, node: u32) {
        let below = if self.children(node).is_some() {
            self.bytes_below(node)
        } else {
            0
        };
        let bytes = self.nodes[node as usize].size.saturating_add(below);
        self.waste.hidden = self.waste.hidden.saturating_add(bytes);
    }

    /// The target of a hard link: the node that has the name at this point, following links on the
    /// way.
    fn hard_link_target(&mut self, link: &[u8], layer: u32) -> Result<u32, AnomalyKind> {
        let name = Name::parse(link).map_err(|_| AnomalyKind::HardLink)?;
        let (folder, last) = name.split().ok_or(AnomalyKind::HardLink)?;
        let folder = self
            .route(folder, ParentLookup::Found, layer)
            .map_err(|_| AnomalyKind::HardLink)?;
        let children = self.children(folder).ok_or(AnomalyKind::HardLink)?;
        let target = children
            .get(OsStr::from_bytes(last))
            .ok_or(AnomalyKind::HardLink)?
            .node;
        match self.children(target) {
            None => Ok(target),
            Some(_) => Err(AnomalyKind::HardLink),
        }
    }

    /// The parent directory of a member, created if missing.
    fn folder(&mut self, parts: &[&[u8]], layer: u32) -> Result<u32, AnomalyKind> {
        let key = parts.join(&b'/');
        if let Some((known, folder)) = &self.last
            && *known == key
        {
            return Ok(*folder);
        }
        let folder = self.route(parts, ParentLookup::Made, layer)?;
        self.last = Some((key, folder));
        Ok(folder)
    }

    /// Resolves the path of a directory, following links inside the root, as the kernel would for a
    /// process whose root is the tree.
    fn route(
        &mut self,
        parts: &[&[u8]],
        way_of: ParentLookup,
        layer: u32,
    ) -> Result<u32, AnomalyKind> {
        let mut way = vec![0_u32];
        let mut links = 0;
        let mut pending: Vec<Vec<u8>> = parts.iter().rev().map(|part| part.to_vec()).collect();
        let mut taken = 0;
        while let Some(part) = pending.pop() {
            taken += 1;
            if taken > parts.len() {
                self.steps += 1;
            }
            if self.steps > MAX_STEPS {
                return Err(AnomalyKind::LinkLoop);
            }
            let here = way[way.len() - 1];
            if part == b".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let key = OsStr::from_bytes(&part);
            let child = self.children_mut(here).get(key).copied();
            let Some(child) = child else {
                if way_of != ParentLookup::Made {
                    return Err(AnomalyKind::NotAFolder);
                }
                let number = self.insert(here, key.to_owned(), implicit_folder(layer));
                way.push(number);
                continue;
            };
            match &self.nodes[child.node as usize].content {
                NodeContent::Directory(_) => way.push(child.node),
                // The layer removes what is below the old link; its own link replaces it.
                NodeContent::Symlink(_)
                    if way_of == ParentLookup::Lower && child.layer == layer =>
                {
                    return Err(AnomalyKind::NotAFolder);
                }
                NodeContent::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(AnomalyKind::LinkLoop);
                    }
                    let target = target.as_os_str().as_bytes();
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    let parts = target.split(|&byte| byte == b'/').rev();
                    pending.extend(
                        parts
                            .filter(|part| !matches!(part, [] | [b'.']))
                            .map(<[u8]>::to_vec),
                    );
                }
                _ => return Err(AnomalyKind::NotAFolder),
            }
        }
        Ok(way[way.len() - 1])
    }
}

/// How the parent directory of a name is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ParentLookup {
    /// Missing directories are created.
    Made,
    /// All of it has to exist.
    Found,
    /// It has to exist, and links of the same layer are ignored.
    Lower,
}
