//! What programs need besides the libraries that they name.
//!
//! In: a program with everything it loads, and its configuration. Out: the files, programs and
//! libraries that it reads, starts or opens at run time, each with the sign that shows it. The
//! rules were measured on the programs of a distribution: reliable ones are on by default, the
//! others give hints.

mod additions;
mod configuration;
mod engine;
mod process;
mod provision;
mod pyinstaller;
mod rules;
mod selection;
mod strings;
mod texts;

pub use engine::{NeedsContext, provide};
pub use process::{Process, RuleMemo, Sign};
pub use provision::{Addition, Cause, Hint, NeedError, Ownership, Provision, Provisions, Started};
pub use rules::{
    PACKAGE_RECORDS, RULES, absent_libraries, absent_paths, nearest, rule, signs, told_paths,
};
pub use selection::{Selection, SelectionError};
pub use strings::Places;
pub use texts::Texts;

use crate::vfs::View;

/// Takes the place of the need's name for files that the user adds.
pub const BY_HAND: &str = "--add";
/// Takes the place of the need's name for what traced runs looked up.
pub const TRACE: &str = "trace";
/// Takes the place of the need's name for the interpreter that a script names.
pub const SCRIPT: &str = "script";

/// When a rule adds files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whenever a program shows its sign.
    Automatic,
    /// When requested; otherwise it gives a hint if a program shows its sign.
    Hint,
    /// Only when requested.
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

/// Why a rule has nothing to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The source lacks it, as this says.
    Absent(String),
    /// The program is not one that has the need, as this says: nothing that is installed helps.
    NotShown(&'static str),
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(why) => f.write_str(why),
            Self::NotShown(why) => f.write_str(why),
        }
    }
}

impl From<String> for Unmet {
    fn from(why: String) -> Self {
        Self::Absent(why)
    }
}

impl From<&str> for Unmet {
    fn from(why: &str) -> Self {
        Self::Absent(why.to_owned())
    }
}

/// One kind of need.
pub struct NeedRule {
    /// Its name for `--with` and `--without`.
    pub name: &'static str,
    /// When it adds files.
    pub mode: Mode,
    /// What it provides, in a few words.
    pub what: &'static str,
    /// The sign that it looks for, as text for the user.
    pub sign: &'static str,
    /// What it adds, as text for the user.
    pub adds: &'static str,
    /// The sign that the process shows, if any.
    pub fires: fn(&Process<'_>) -> Option<Sign>,
    /// What to add, or why there is nothing.
    pub supply: fn(&Supply<'_>) -> Result<Vec<Addition>, Unmet>,
    /// Whether an image already has what the rule would add; `None` if that cannot be determined.
    pub is_met: Option<fn(&Process<'_>) -> bool>,
}

/// The input of [`NeedRule::supply`].
pub struct Supply<'a> {
    /// The file system of the source.
    pub source: &'a View,
    /// The program with everything it loads.
    pub process: &'a Process<'a>,
    /// The values after the `=` of `--with NAME=…`.
    pub arguments: &'a [String],
    /// Whether the source is an image: then its files already match its programs.
    pub is_image: bool,
}
