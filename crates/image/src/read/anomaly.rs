//! What is irregular in a layer's archive without making it unreadable.

use std::path::PathBuf;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Most anomalies that are kept; the rest are only counted.
const MAX_KEPT: usize = 1000;

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// Its name begins with `/`.
    Absolute,
    /// Its name contains `..` but stays inside the root.
    DotDot,
    /// Its name points outside the root.
    Outside,
    /// Its name contains a NUL or is longer than any path can be.
    Name,
    /// Another member of the layer has the same name.
    Duplicate,
    /// A component of its path is not a directory.
    NotAFolder,
    /// The symbolic links on its path form a loop.
    LinkLoop,
    /// A symbolic link with an empty target, or one longer than any path can be.
    LinkTarget,
    /// A hard link to a file that does not exist.
    HardLink,
    /// A whiteout of an invalid name.
    Whiteout,
    /// An unknown member type.
    UnknownType,
    /// A directory or file of this machine that cannot be read.
    Unreadable,
}

impl AnomalyKind {
    /// Whether the member is left out of the tree.
    pub fn is_left_out(self) -> bool {
        !matches!(self, Self::Absolute | Self::DotDot | Self::Duplicate)
    }

    /// What is wrong, as the predicate of a sentence whose subject is the name.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Absolute => "is an absolute path",
            Self::DotDot => "contains ..",
            Self::Outside => "points outside the root",
            Self::Name => "is not a valid file name",
            Self::Duplicate => "occurs twice in the layer",
            Self::NotAFolder => "has a path component that is not a directory",
            Self::LinkLoop => "goes through too many symbolic links",
            Self::LinkTarget => "is a symbolic link with an invalid target",
            Self::HardLink => "is a hard link to a file that does not exist",
            Self::Whiteout => "is a whiteout of an invalid name",
            Self::UnknownType => "has an unknown member type",
            Self::Unreadable => "cannot be read",
        }
    }
}

/// One irregular member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The layer, the lowest is 0.
    pub layer: u32,
    /// The member's name as written in the archive.
    pub name: PathBuf,
    /// What is wrong.
    pub kind: AnomalyKind,
}

/// All anomalies of an image, in archive order.
#[derive(Clone, Debug, Default)]
pub struct Anomalies {
    /// The first anomalies, up to the limit.
    pub kept: Vec<Anomaly>,
    /// How many more there are.
    pub omitted: usize,
}

impl Anomalies {
    pub(super) fn note(&mut self, layer: u32, name: &[u8], kind: AnomalyKind) {
        /// Longest name that is kept, in bytes.
        const MAX_NAME: usize = 4096;
        if self.kept.len() == MAX_KEPT {
            self.omitted += 1;
            return;
        }
        let name = OsString::from_vec(name[..name.len().min(MAX_NAME)].to_vec());
        self.kept.push(Anomaly {
            layer,
            name: name.into(),
            kind,
        });
    }
}
