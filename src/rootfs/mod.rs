//! The file tree of the image: an ordered map from path to node.
//!
//! In: links, folders and files with the reason for each. Out: a tree in which every
//! path is real (no component is a link) and stands once. Links are collected first
//! and every file is routed through them, so that a real `/bin` never replaces the
//! link `/bin -> usr/bin` that another file came by.

mod place;
mod provide;
mod vfs;

pub use place::{Placement, Placer, is_installed};
pub use provide::ProvideError;
pub use vfs::RootfsVfs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::bytes::ReadAt;
use crate::vfs::{Errno, FileId, Link, MAX_LINKS, View, Walk};

/// Why a node is in the image. Paths are those of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for.
    Program,
    /// A program names it in `PT_INTERP`.
    InterpreterOf(PathBuf),
    /// An object asks for it.
    NeededBy {
        /// The object.
        requester: PathBuf,
        /// How the loader finds it, such as `RUNPATH $ORIGIN/../lib`.
        rule: String,
    },
    /// A path that the loader opens leads through it.
    OnTheWayTo(PathBuf),
    /// The loader reads it when it loads this program.
    LoaderConfiguration(PathBuf),
    /// A program reads, starts or opens it by itself.
    Need {
        /// The need.
        need: &'static str,
        /// The object that shows the sign; `None` for what was asked for.
        object: Option<PathBuf>,
        /// The sign, such as `imports getpwuid`.
        sign: String,
    },
}

impl Reason {
    /// Whether no loader asks for it: what only slimpack's own record can tell.
    pub fn is_need(&self) -> bool {
        matches!(self, Self::Need { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("program"),
            Self::InterpreterOf(program) => write!(f, "interpreter of {}", program.display()),
            Self::NeededBy { requester, rule } => {
                write!(f, "needed by {} via {rule}", requester.display())
            }
            Self::OnTheWayTo(path) => write!(f, "on the way to {}", path.display()),
            Self::LoaderConfiguration(program) => {
                write!(f, "read by the loader of {}", program.display())
            }
            Self::Need {
                need,
                object: Some(object),
                sign,
            } => write!(f, "{need}: {} {sign}", object.display()),
            Self::Need {
                need,
                object: None,
                sign,
            } => write!(f, "{need}: {sign}"),
        }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A folder and its permission bits.
    Directory(u32),
    /// A symbolic link and its target, as it is written.
    Symlink(PathBuf),
    /// A regular file.
    File(SourceFile),
}

/// A regular file and where its bytes come from.
#[derive(Clone, Debug)]
pub struct SourceFile {
    bytes: Bytes,
    /// Whether it has execute permission in the image: 0755, else 0644.
    pub executable: bool,
}

#[derive(Clone, Debug)]
enum Bytes {
    /// A file of the source tree.
    Source(Arc<Walk>),
    /// Made by slimpack.
    Made(Arc<Vec<u8>>, FileId),
}

impl SourceFile {
    /// A file of the source tree.
    pub fn of(walk: Arc<Walk>, executable: bool) -> Self {
        Self {
            bytes: Bytes::Source(walk),
            executable,
        }
    }

    /// A file that has no source. Files with the same bytes are the same.
    pub fn made(bytes: Vec<u8>) -> Self {
        use std::hash::{Hash, Hasher};
        // Not a random hash: the identity decides nothing but equality, and that is the
        // same in every run.
        let mut hasher = std::hash::DefaultHasher::new();
        bytes.hash(&mut hasher);
        let id = FileId {
            volume: MADE,
            number: hasher.finish(),
        };
        Self {
            bytes: Bytes::Made(Arc::new(bytes), id),
            executable: false,
        }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match &self.bytes {
            Bytes::Source(walk) => walk.metadata.size,
            Bytes::Made(bytes, _) => bytes.len() as u64,
        }
    }

    /// Identity of the content.
    pub fn id(&self) -> FileId {
        match &self.bytes {
            Bytes::Source(walk) => walk.metadata.id,
            Bytes::Made(_, id) => *id,
        }
    }

    /// The real path in the source tree; `None` for a file that was made.
    pub fn source_path(&self) -> Option<&Path> {
        match &self.bytes {
            Bytes::Source(walk) => Some(&walk.real),
            Bytes::Made(..) => None,
        }
    }

    /// Opens the bytes.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn open(&self, source: &View) -> Result<Box<dyn ReadAt>, Errno> {
        match &self.bytes {
            Bytes::Source(walk) => source.open(walk),
            Bytes::Made(bytes, _) => Ok(Box::new(bytes.clone())),
        }
    }

    fn described(&self) -> PathBuf {
        self.source_path().map_or_else(
            || PathBuf::from("a file made by slimpack"),
            Path::to_path_buf,
        )
    }
}

/// The volume of files that have no source; no device has this number.
const MADE: u64 = u64::MAX - 1;

/// A node of the image.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Why it is there; empty for the folders that merely hold something.
    pub reasons: Vec<Reason>,
}

/// The finished tree. `/` itself is not in the map.
#[derive(Clone, Debug, Default)]
pub struct Rootfs {
    nodes: BTreeMap<PathBuf, Node>,
    /// Copies of one file that want one path: which one stands for which.
    merged: BTreeMap<FileId, FileId>,
}

impl Rootfs {
    /// All nodes, folders before what is in them.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// The identity that a file of the source has in the image.
    pub fn identity(&self, id: FileId) -> FileId {
        self.merged.get(&id).copied().unwrap_or(id)
    }

    /// The node at a real path.
    pub fn node(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Files and links, folders not counted.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes()
            .filter(|(_, node)| !matches!(node.content, Content::Directory(_)))
    }

    /// Bytes of all regular files, hard links counted once: what `docker image ls`
    /// shows as the size.
    pub fn bytes(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        self.nodes
            .values()
            .filter_map(|node| match &node.content {
                Content::File(file) if seen.insert(file.id()) => Some(file.size()),
                _ => None,
            })
            .fold(0, u64::saturating_add)
    }
}

/// Permission bits of folders that nothing else is said about.
const FOLDER: u32 = 0o755;
/// What layers write before a name that they remove (`layer.md` of the specification).
const WHITEOUT: &str = ".wh.";

impl Rootfs {
    /// Removes whatever a glob matches, folders with all that is in them; a glob without a
    /// leading `/` matches at any depth. Returns how many nodes are gone.
    pub fn exclude(&mut self, globs: &[String]) -> usize {
        let globs: Vec<String> = globs
            .iter()
            .map(|glob| match glob.starts_with('/') {
                true => glob.clone(),
                false => format!("**/{glob}"),
            })
            .collect();
        let before = self.nodes.len();
        self.nodes.retain(|path, _| {
            let excluded = |path: &Path| {
                let text = path.as_os_str().as_encoded_bytes();
                globs
                    .iter()
                    .any(|glob| fast_glob::glob_match(glob.as_bytes(), text))
            };
            !path.ancestors().any(excluded)
        });
        before - self.nodes.len()
    }
}

/// Why a tree cannot be built.
#[derive(Debug, Error)]
pub enum RootfsError {
    /// Two different contents for one path.
    #[error(
        "two different files would be {} in the image: {} and {}; give them other places with \
         --dest, or pack them into an image each",
        .path.display(), .first.display(), .second.display()
    )]
    Conflict {
        /// The path in the image.
        path: PathBuf,
        /// The one that came first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// A name that engines take for the removal of another.
    #[error("{} cannot be in an image: engines take a name that begins with .wh. for a removal", .0.display())]
    Whiteout(PathBuf),
    /// A path in the image crosses too many links.
    #[error("the path {} crosses more than {MAX_LINKS} symbolic links in the image", .0.display())]
    TooManyLinks(PathBuf),
}

/// Collects what the image shall hold.
#[derive(Default)]
pub struct Builder {
    links: BTreeMap<PathBuf, (PathBuf, Vec<Reason>)>,
    moved_links: Vec<(PathBuf, PathBuf, Reason)>,
    folders: Vec<PathBuf>,
    given_folders: Vec<(PathBuf, u32, Reason)>,
    weak_links: Vec<(PathBuf, PathBuf, Reason)>,
    files: Vec<(PathBuf, SourceFile, Reason)>,
}

impl Builder {
    /// Adds a symbolic link at a real path.
    ///
    /// # Errors
    /// When another target was given for the same link.
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
        add_reason(reasons, reason);
        Ok(())
    }

    /// Adds a symbolic link under a path whose folders may lead through other links.
    pub fn moved_link(&mut self, path: PathBuf, target: PathBuf, reason: Reason) {
        self.moved_links.push((path, target, reason));
    }

    /// Adds a folder that must exist though it may stay empty.
    pub fn folder(&mut self, path: PathBuf) {
        self.folders.push(path);
    }

    /// Adds a folder with these permission bits for its own sake.
    pub fn given_folder(&mut self, path: PathBuf, mode: u32, reason: Reason) {
        self.given_folders.push((path, mode, reason));
    }

    /// Adds a symbolic link that gives way to anything else under its path.
    pub fn weak_link(&mut self, path: PathBuf, target: PathBuf, reason: Reason) {
        self.weak_links.push((path, target, reason));
    }

    /// Adds a file, under a path that may lead through links.
    pub fn file(&mut self, path: PathBuf, file: SourceFile, reason: Reason) {
        self.files.push((path, file, reason));
    }

    /// Routes everything through the links and builds the tree.
    ///
    /// # Errors
    /// When two things want the same path, or links go in circles.
    pub fn finish(mut self, source: &View) -> Result<Rootfs, RootfsError> {
        let mut rootfs = Rootfs::default();
        for (path, target, reason) in std::mem::take(&mut self.moved_links) {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let (folder, left) = self.route(folder)?;
            self.folders.extend(left);
            let name = path.file_name().unwrap_or_default();
            let at = folder.join(name);
            self.link(&Link { at, target }, reason)?;
        }
        for (at, (target, reasons)) in &self.links {
            let node = Node {
                content: Content::Symlink(target.clone()),
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
        for (path, file, reason) in &self.files {
            let (real, left) = self.route(path)?;
            for folder in &left {
                self.folder_at(&mut rootfs, folder)?;
            }
            self.folders_above(&mut rootfs, &real)?;
            let node = rootfs.nodes.entry(real.clone()).or_insert_with(|| Node {
                content: Content::File(file.clone()),
                reasons: Vec::new(),
            });
            match &mut node.content {
                Content::File(held) if held.id() == file.id() || same_bytes(held, file, source) => {
                    held.executable |= file.executable;
                    if held.id() != file.id() {
                        rootfs.merged.insert(file.id(), held.id());
                    }
                }
                other => {
                    return Err(RootfsError::Conflict {
                        path: real,
                        first: describe(other),
                        second: file.described(),
                    });
                }
            }
            add_reason(&mut node.reasons, reason.clone());
        }
        self.finish_given(&mut rootfs)?;
        let is_whiteout = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(WHITEOUT.as_bytes())
        };
        match rootfs.nodes.keys().find(is_whiteout) {
            Some(path) => Err(RootfsError::Whiteout(path.clone())),
            None => Ok(rootfs),
        }
    }

    /// Folders with a mode of their own, and links that give way to everything else.
    fn finish_given(&self, rootfs: &mut Rootfs) -> Result<(), RootfsError> {
        for (path, mode, reason) in &self.given_folders {
            let (real, _) = self.route(path)?;
            self.folder_at(rootfs, &real)?;
            if let Some(node) = rootfs.nodes.get_mut(&real) {
                node.content = Content::Directory(*mode);
                add_reason(&mut node.reasons, reason.clone());
            }
        }
        for (path, target, reason) in &self.weak_links {
            let (folder, _) = self.route(path.parent().unwrap_or(Path::new("/")))?;
            self.folder_at(rootfs, &folder)?;
            let node = Node {
                content: Content::Symlink(target.clone()),
                reasons: vec![reason.clone()],
            };
            let at = folder.join(path.file_name().unwrap_or_default());
            rootfs.nodes.entry(at).or_insert(node);
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
                .or_insert_with(|| Node {
                    content: Content::Directory(FOLDER),
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

    /// The real path that `path` leads to in the image, and the folders that it
    /// enters and leaves again. A link at the very end is followed as well: the file
    /// belongs where the link points.
    fn route(&self, path: &Path) -> Result<(PathBuf, Vec<PathBuf>), RootfsError> {
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
            let Some((target, _)) = self.links.get(&node) else {
                real = node;
                continue;
            };
            crossed += 1;
            if crossed > MAX_LINKS {
                return Err(RootfsError::TooManyLinks(path.to_path_buf()));
            }
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            pending.extend(reversed_components(target));
        }
        left.retain(|folder| folder.parent().is_some());
        Ok((real, left))
    }
}

/// Whether two files of the source hold the same; a file that cannot be read is like no
/// other.
fn same_bytes(one: &SourceFile, other: &SourceFile, source: &View) -> bool {
    const CHUNK: usize = 64 << 10;
    let (Ok(left), Ok(right)) = (one.open(source), other.open(source)) else {
        return false;
    };
    if left.size() != right.size() {
        return false;
    }
    let (mut here, mut there) = (vec![0; CHUNK], vec![0; CHUNK]);
    (0..left.size()).step_by(CHUNK).all(|offset| {
        let lengths = (
            left.read_at(&mut here, offset),
            right.read_at(&mut there, offset),
        );
        matches!(lengths, (Ok(l), Ok(r)) if l == r && here[..l] == there[..r])
    })
}

fn reversed_components(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

fn add_reason(reasons: &mut Vec<Reason>, reason: Reason) {
    if !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

fn describe(content: &Content) -> PathBuf {
    match content {
        Content::Directory(_) => PathBuf::from("a folder"),
        Content::Symlink(target) => target.clone(),
        Content::File(file) => file.described(),
    }
}
