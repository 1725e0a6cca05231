//! The file tree of the image: an ordered map from path to node.
//!
//! In: links, folders and files with the reason for each. Out: a tree in which every
//! path is real (no component is a link) and stands once. Links are collected first
//! and every file is routed through them, so that a real `/bin` never replaces the
//! link `/bin -> usr/bin` that another file came by.

mod builder;
mod duplicates;
mod place;
mod provide;
mod vfs;

pub use builder::Builder;
pub use place::{Placement, Placer, is_installed};
pub use provide::ProvideError;
pub use vfs::RootfsVfs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::bytes::{ReadAt, is_same};
use crate::needs::BY_HAND;
use crate::strip::{Assembled, Strip};
use crate::vfs::{Errno, FileId, MAX_LINKS, View, Walk};

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
    /// Whether a person asked for it with `--add`.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Need { need: BY_HAND, .. })
    }

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
    /// The same, without what no loader reads.
    Stripped(Arc<Walk>, Arc<Strip>),
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
            Bytes::Stripped(_, strip) => strip.after(),
            Bytes::Made(bytes, _) => bytes.len() as u64,
        }
    }

    /// Bytes that stripping spares.
    pub fn saved(&self) -> u64 {
        match &self.bytes {
            Bytes::Stripped(_, strip) => strip.saved(),
            Bytes::Source(_) | Bytes::Made(..) => 0,
        }
    }

    /// Identity of the content.
    pub fn id(&self) -> FileId {
        match &self.bytes {
            Bytes::Source(walk) | Bytes::Stripped(walk, _) => walk.metadata.id,
            Bytes::Made(_, id) => *id,
        }
    }

    /// Where it stands in the source tree; `None` for a file that was made.
    pub fn walk(&self) -> Option<&Arc<Walk>> {
        match &self.bytes {
            Bytes::Source(walk) | Bytes::Stripped(walk, _) => Some(walk),
            Bytes::Made(..) => None,
        }
    }

    /// The same file, stripped.
    pub fn stripped(&self, strip: Arc<Strip>) -> Self {
        Self {
            bytes: match &self.bytes {
                Bytes::Source(walk) => Bytes::Stripped(walk.clone(), strip),
                other => other.clone(),
            },
            executable: self.executable,
        }
    }

    /// The real path in the source tree; `None` for a file that was made.
    pub fn source_path(&self) -> Option<&Path> {
        self.walk().map(|walk| walk.real.as_path())
    }

    /// Opens the bytes.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn open(&self, source: &View) -> Result<Box<dyn ReadAt>, Errno> {
        match &self.bytes {
            Bytes::Source(walk) => source.open(walk),
            Bytes::Stripped(walk, strip) => {
                let file = source.open(walk)?;
                // One that has changed is not put together of the wrong parts: its size tells.
                Ok(match file.size() == strip.before() {
                    true => Box::new(Assembled::new(strip.pieces().clone(), file)),
                    false => file,
                })
            }
            Bytes::Made(bytes, _) => Ok(Box::new(bytes.clone())),
        }
    }

    /// Whether two files of the source hold the same; a file that cannot be read is like no
    /// other.
    fn is_copy_of(&self, other: &Self, source: &View) -> bool {
        let is_same = || {
            let (left, right) = (self.open(source).ok()?, other.open(source).ok()?);
            is_same(left.as_ref(), right.as_ref()).ok()
        };
        self.id() == other.id() || is_same().unwrap_or(false)
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

impl Rootfs {
    /// Puts other files in the place of some.
    pub fn replace_files(&mut self, other: impl Fn(&SourceFile) -> Option<SourceFile>) {
        for node in self.nodes.values_mut() {
            if let Content::File(file) = &mut node.content
                && let Some(other) = other(file)
            {
                *file = other;
            }
        }
    }

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
         --dest or --add SRC:DEST, or pack them into an image each",
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
    #[error("{} cannot be in an image: engines take a name that begins with .wh. for a removal; \
         rename it", .0.display())]
    Whiteout(PathBuf),
    /// A path in the image crosses too many links.
    #[error("the path {} crosses more than {MAX_LINKS} symbolic links in the image; they may lead in a \
         circle", .0.display())]
    TooManyLinks(PathBuf),
}
