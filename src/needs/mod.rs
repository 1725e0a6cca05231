//! What programs need beside the libraries that they name.
//!
//! In: a program with all it loads, and what is configured for it. Out: the files, programs and
//! libraries that it reads, starts or opens by itself, each with the sign that says so. The rules
//! were measured on the programs of a distribution: sure ones are on by default, the others hint.

mod additions;
mod engine;
mod process;
mod provision;
mod pyinstaller;
mod rules;
mod selection;
mod strings;
mod texts;

pub use engine::{Scene, provide};
pub use process::{Memo, Process, Sign};
pub use provision::{Addition, Cause, Hint, NeedError, Provision, Provisions, Started};
pub use rules::{RULES, absent_paths, nearest, rule, signs, told_paths};
pub use selection::{Selection, SelectionError};
pub use strings::Places;
pub use texts::Texts;

use crate::vfs::View;

/// What stands for a need where a person adds something.
pub const BY_HAND: &str = "--add";
/// What stands for a need where a script names what runs it.
pub const SCRIPT: &str = "script";

/// When a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whenever its sign is there.
    Automatic,
    /// When asked for; else it hints where its sign is there.
    Hint,
    /// When asked for.
    Request,
}

impl Mode {
    /// The word used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Hint => "hint",
            Self::Request => "on request",
        }
    }
}

/// One kind of need.
pub struct Rule {
    /// What `--with` and `--without` call it.
    pub name: &'static str,
    /// When it acts.
    pub mode: Mode,
    /// What it is about.
    pub what: &'static str,
    /// The sign, in words.
    pub sign: &'static str,
    /// What it adds, in words.
    pub adds: &'static str,
    /// Whether the sign is there.
    pub fires: fn(&Process<'_>) -> Option<Sign>,
    /// What to add for it; or what the source lacks.
    pub supply: fn(&Supply<'_>) -> Result<Vec<Addition>, String>,
    /// Whether an image has what it would add; `None` for a rule of which that cannot be told.
    pub is_met: Option<fn(&Process<'_>) -> bool>,
}

/// What a rule has to work with.
pub struct Supply<'a> {
    /// The files that there are.
    pub source: &'a View,
    /// The program with all it loads.
    pub process: &'a Process<'a>,
    /// What stands behind the `=` of `--with NAME=…`.
    pub arguments: &'a [String],
    /// Whether the files are those of an image: what it has is what its programs know.
    pub is_image: bool,
}
