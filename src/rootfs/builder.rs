//! Building the tree: links first, then everything routed through them.
//!
//! In: links, directories and files with the reason for each. Out: a [`Rootfs`] in which every path
//! is real and occurs once, or the two entries that conflict.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use foldhash::HashSet;

use super::{Content, Reason, Rootfs, RootfsError, RootfsNode, SourceFile};
use crate::needs::Ownership;
use crate::vfs::{Link, MAX_LINKS, Owner, View};

/// Default permission bits of directories.
const FOLDER: u32 = 0o755;
/// Prefix of a removed name in a layer (`layer.md` of the OCI image specification).
const WHITEOUT: &str = ".wh.";

/// Collects the contents of the image.
#[derive(Default)]
pub struct Builder {
    links: BTreeMap<PathBuf, (PathBuf, Vec<Reason>)>,
    moved_links: Vec<(PathBuf, PathBuf, Reason)>,
    folders: Vec<PathBuf>,
    given_folders: Vec<(PathBuf, u32, Reason)>,
    weak_links: Vec<(PathBuf, PathBuf, Reason)>,
    files: Vec<(PathBuf, SourceFile, Reason)>,
    weak_files: Vec<(PathBuf, SourceFile, Reason)>,
    /// Programs whose attribute `security.capability` is malformed.
    pub(super) malformed: Vec<PathBuf>,
    missing_folders: Vec<(PathBuf, Owner, Reason)>,
    ownerships: Vec<(PathBuf, Ownership)>,
    kept_owners: Vec<(PathBuf, Owner)>,
    /// Whether nodes get the owner, mode and capabilities that the source has at their paths.
    pub(super) keeps_owners: bool,
}

impl Builder {
    /// Adds a symbolic link at a real path.
    ///
    /// # Errors
    /// [`RootfsError::Conflict`] if the link already has another target.
    pub fn link(&mut self, link: &Link, reason: Reason) -> Result<(), RootfsError> {
        let (target, reasons) = self
            .links
            .entry(link.at.clone())
            .or_insert_with(|| (link.target.clone(), Vec::new()));
        if *target != link.target {
            return Err(RootfsError::Conflict {
                path: link.at.clone(),
                first: target.clone(),
                second: link.target.clone(),
            });
        }
        reasons.push(reason);
        Ok(())
    }

    /// Adds a symbolic link at a path whose directories may be other links.
    pub fn moved_link(&mut self, path: PathBuf, target: PathBuf, reason: Reason) {
        self.moved_links.push((path, target, reason));
    }

    /// Adds a directory that must exist even if it stays empty.
    pub fn folder(&mut self, path: PathBuf) {
        self.folders.push(path);
    }

    /// Adds a directory for its own sake, with these permission bits.
    pub fn given_folder(&mut self, path: PathBuf, mode: u32, reason: Reason) {
        self.given_folders.push((path, mode, reason));
    }

    /// Adds a symbolic link that yields to anything else at its path.
    pub fn weak_link(&mut self, path: PathBuf, target: PathBuf, reason: Reason) {
        self.weak_links.push((path, target, reason));
    }

    /// Adds a file at a path that may go through links.
    pub fn file(&mut self, path: PathBuf, file: SourceFile, reason: Reason) {
        self.files.push((path, file, reason));
    }

    /// Adds a file that yields to one that the user adds at its path.
    pub fn weak_file(&mut self, path: PathBuf, file: SourceFile, reason: Reason) {
        self.weak_files.push((path, file, reason));
    }

    /// Adds a directory that belongs to `owner`, unless something else is at its path.
    pub fn missing_folder(&mut self, path: PathBuf, owner: Owner, reason: Reason) {
        self.missing_folders.push((path, owner, reason));
    }

    /// Sets the owner and mode of what a path finally resolves to.
    pub fn own(&mut self, path: PathBuf, ownership: Ownership) {
        if !ownership.is_usual() {
            self.ownerships.push((path, ownership));
        }
    }

    /// The same, unless the user sets them.
    pub fn own_weakly(&mut self, path: PathBuf, ownership: Ownership) {
        self.ownerships.insert(0, (path, ownership));
    }

    /// Sets the owner of the final node at a path, and removes no rights.
    pub fn keep_owner(&mut self, path: PathBuf, owner: Owner) {
        self.kept_owners.push((path, owner));
    }

    /// Routes everything through the links and builds the tree.
    ///
    /// # Errors
    /// When two entries conflict, links form a loop, or a name is a whiteout.
    pub fn finish(mut self, source: &View) -> Result<Rootfs, RootfsError> {
        let mut rootfs = Rootfs::default();
        self.route_moved_links()?;
        for (at, (target, reasons)) in &self.links {
            let node = RootfsNode {
                content: Content::Symlink(target.clone()),
                owner: Owner::default(),
                reasons: reasons.clone(),
            };
            self.folders_above(&mut rootfs, at)?;
            rootfs.nodes.insert(at.clone(), node);
        }
        for path in &self.folders {
            let (real, left) = self.route(path)?;
            for folder in left.iter().chain([&real]) {
                self.folder_at(&mut rootfs, folder)?;
            }
        }
        for file in &self.files {
            self.finish_file(&mut rootfs, file, source, false)?;
        }
        for file in &self.weak_files {
            self.finish_file(&mut rootfs, file, source, true)?;
        }
        self.finish_given(&mut rootfs)?;
        rootfs.malformed = std::mem::take(&mut self.malformed);
        if self.keeps_owners {
            rootfs.restore(source)?;
        }
        self.finish_missing(&mut rootfs)?;
        self.finish_owners(&mut rootfs)?;
        for node in rootfs.nodes.values_mut() {
            drop_repeats(&mut node.reasons);
        }
        let is_whiteout = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(WHITEOUT.as_bytes())
        };
        match rootfs.nodes.keys().find(is_whiteout) {
            Some(path) => Err(RootfsError::Whiteout(path.clone())),
            None => Ok(rootfs),
        }
    }

    /// Turns links whose directories may be other links into links at their real paths.
    fn route_moved_links(&mut self) -> Result<(), RootfsError> {
        for (path, target, reason) in std::mem::take(&mut self.moved_links) {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let (folder, left) = self.route(folder)?;
            self.folders.extend(left);
            let name = path.file_name().unwrap_or_default();
            let at = folder.join(name);
            self.link(&Link { at, target }, reason)?;
        }
        Ok(())
    }

    /// Adds the directories that yield to anything else at their paths.
    fn finish_missing(&mut self, rootfs: &mut Rootfs) -> Result<(), RootfsError> {
        // Parents first, so that none is created on the way to another.
        self.missing_folders.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (path, owner, reason) in &self.missing_folders {
            let (real, _) = self.route(path)?;
            if rootfs.nodes.contains_key(&real) {
                continue;
            }
            self.folder_at(rootfs, &real)?;
            if let Some(node) = rootfs.nodes.get_mut(&real) {
                node.owner = *owner;
                node.reasons.push(reason.clone());
            }
        }
        Ok(())
    }

    /// Sets the owners and modes that nodes have been given.
    fn finish_owners(&self, rootfs: &mut Rootfs) -> Result<(), RootfsError> {
        for (path, owner) in &self.kept_owners {
            let (folder, _) = self.route(path.parent().unwrap_or(Path::new("/")))?;
            let at = folder.join(path.file_name().unwrap_or_default());
            if let Some(node) = rootfs.nodes.get_mut(&at) {
                node.owner = *owner;
            }
        }
        for (path, ownership) in &self.ownerships {
            let (real, _) = self.route(path)?;
            if let Some(node) = rootfs.nodes.get_mut(&real) {
                node.own(*ownership);
            }
        }
        Ok(())
    }

    fn finish_file(
        &self,
        rootfs: &mut Rootfs,
        (path, file, reason): &(PathBuf, SourceFile, Reason),
        source: &View,
        gives_way: bool,
    ) -> Result<(), RootfsError> {
        let (real, left) = self.route(path)?;
        for folder in &left {
            self.folder_at(rootfs, folder)?;
        }
        self.folders_above(rootfs, &real)?;
        let node = rootfs
            .nodes
            .entry(real.clone())
            .or_insert_with(|| RootfsNode {
                content: Content::File(file.clone()),
                owner: Owner::default(),
                reasons: Vec::new(),
            });
        match &mut node.content {
            Content::File(held) if held.is_copy_of(file, source) => {
                held.mode |= file.mode;
                if held.id() != file.id() {
                    rootfs.merged.insert(file.id(), held.id());
                }
            }
            _ if gives_way && node.reasons.iter().any(Reason::is_by_hand) => return Ok(()),
            other => {
                return Err(RootfsError::Conflict {
                    path: real,
                    first: describe(other),
                    second: file.described(),
                });
            }
        }
        node.reasons.push(reason.clone());
        Ok(())
    }

    /// Adds directories with their own modes, and links that yield to everything else.
    fn finish_given(&self, rootfs: &mut Rootfs) -> Result<(), RootfsError> {
        for (path, mode, reason) in &self.given_folders {
            let (real, _) = self.route(path)?;
            self.folder_at(rootfs, &real)?;
            if let Some(node) = rootfs.nodes.get_mut(&real) {
                // What was added closed is not opened by a rule that also needs the directory.
                let is_kept =
                    matches!(node.content, Content::Directory(held) if held & 0o055 != 0o055);
                if !is_kept {
                    node.content = Content::Directory(*mode);
                }
                node.reasons.push(reason.clone());
            }
        }
        for (path, target, reason) in &self.weak_links {
            let (folder, _) = self.route(path.parent().unwrap_or(Path::new("/")))?;
            self.folder_at(rootfs, &folder)?;
            let node = RootfsNode {
                content: Content::Symlink(target.clone()),
                owner: Owner::default(),
                reasons: vec![reason.clone()],
            };
            let at = folder.join(path.file_name().unwrap_or_default());
            match rootfs.nodes.get(&at) {
                Some(held)
                    if reason.is_by_hand() && matches!(held.content, Content::Directory(_)) =>
                {
                    return Err(RootfsError::Conflict {
                        path: at,
                        first: describe(&held.content),
                        second: target.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    rootfs.nodes.insert(at, node);
                }
            }
        }
        Ok(())
    }

    fn folders_above(&self, rootfs: &mut Rootfs, path: &Path) -> Result<(), RootfsError> {
        match path.parent() {
            Some(parent) => self.folder_at(rootfs, parent),
            None => Ok(()),
        }
    }

    fn folder_at(&self, rootfs: &mut Rootfs, path: &Path) -> Result<(), RootfsError> {
        for folder in path.ancestors().take_while(|path| path.parent().is_some()) {
            let node = rootfs
                .nodes
                .entry(folder.to_path_buf())
                .or_insert_with(|| RootfsNode {
                    content: Content::Directory(FOLDER),
                    owner: Owner::default(),
                    reasons: Vec::new(),
                });
            if !matches!(node.content, Content::Directory(_)) {
                return Err(RootfsError::Conflict {
                    path: folder.to_path_buf(),
                    first: describe(&node.content),
                    second: path.to_path_buf(),
                });
            }
        }
        Ok(())
    }

    /// The real path that `path` leads to in the image, and the directories that it enters and
    /// leaves again through `..`.
    fn route(&self, path: &Path) -> Result<(PathBuf, Vec<PathBuf>), RootfsError> {
        let link_at = |node: &Path| self.links.get(node).map(|(target, _)| target);
        route(path, link_at).ok_or_else(|| RootfsError::TooManyLinks(path.to_path_buf()))
    }
}

/// The real path that `path` leads to among links, and the directories that it enters and leaves
/// again through `..`; `None` after too many links. A link at the end is followed as well: the file
/// belongs where the link points.
pub(super) fn route<'l>(
    path: &Path,
    link_at: impl Fn(&Path) -> Option<&'l PathBuf>,
) -> Option<(PathBuf, Vec<PathBuf>)> {
    let mut real = PathBuf::from("/");
    let mut left = Vec::new();
    let mut crossed = 0;
    let mut pending: Vec<PathBuf> = reversed_components(path);
    while let Some(name) = pending.pop() {
        if name == Path::new("..") {
            left.push(real.clone());
            real.pop();
            continue;
        }
        let node = real.join(&name);
        let Some(target) = link_at(&node) else {
            real = node;
            continue;
        };
        crossed += 1;
        if crossed > MAX_LINKS {
            return None;
        }
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        pending.extend(reversed_components(target));
    }
    left.retain(|folder| folder.parent().is_some());
    Some((real, left))
}

fn reversed_components(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

/// Keeps the first of equal reasons: thousands of programs may share one library.
fn drop_repeats(reasons: &mut Vec<Reason>) {
    if reasons.len() < 2 {
        return;
    }
    let mut known = HashSet::default();
    let is_new: Vec<bool> = reasons.iter().map(|reason| known.insert(reason)).collect();
    let mut is_new = is_new.into_iter();
    reasons.retain(|_| is_new.next().unwrap_or(false));
}

fn describe(content: &Content) -> PathBuf {
    match content {
        Content::Directory(_) => PathBuf::from("a directory"),
        Content::Symlink(target) => target.clone(),
        Content::File(file) => file.described(),
    }
}
