//! What is out of order in a layer's archive, and does not keep it from being read.

use std::path::PathBuf;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Most anomalies that are kept; the rest is counted.
const MAX_KEPT: usize = 1000;

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// Its name begins with `/`.
    Absolute,
    /// Its name holds `..` and stays inside.
    DotDot,
    /// Its name leads out of the root.
    Outside,
    /// Its name holds a NUL or is longer than any can be.
    Name,
    /// Another member of the layer has the same name.
    Duplicate,
    /// A part of its path is no folder.
    NotAFolder,
    /// The links on its path lead in circles.
    LinkLoop,
    /// A symbolic link to nothing, or to a target longer than any can be.
    LinkTarget,
    /// A hard link to something that is not there.
    HardLink,
    /// A whiteout of no name.
    Whiteout,
    /// A type that no reader knows.
    UnknownType,
    /// A folder or file of this machine that cannot be read.
    Unreadable,
}

impl AnomalyKind {
    /// Whether the member is left out of the tree.
    pub fn is_left_out(self) -> bool {
        !matches!(self, Self::Absolute | Self::DotDot | Self::Duplicate)
    }

    /// What is wrong, as the rest of a sentence about the name.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Absolute => "is an absolute name",
            Self::DotDot => "holds ..",
            Self::Outside => "leads out of the root",
            Self::Name => "is no possible file name",
            Self::Duplicate => "stands in the layer twice",
            Self::NotAFolder => "has a part of its path that is no folder",
            Self::LinkLoop => "leads through too many links",
            Self::LinkTarget => "is a symbolic link with an impossible target",
            Self::HardLink => "is a hard link to something that is not there",
            Self::Whiteout => "removes no possible name",
            Self::UnknownType => "is of a type that no reader knows",
            Self::Unreadable => "cannot be read",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The layer, the lowest is 0.
    pub layer: u32,
    /// The member's name as it stands in the archive.
    pub name: PathBuf,
    /// What is wrong.
    pub kind: AnomalyKind,
}

/// All of them, in order.
#[derive(Clone, Debug, Default)]
pub struct Anomalies {
    /// The first ones.
    pub kept: Vec<Anomaly>,
    /// How many more there were.
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
