//! The distribution that a tree is of.
//!
//! In: a file tree. Out: what its `os-release` says. Source: os-release(5).

use std::path::Path;

use crate::vfs::View;

/// Where it is named, and most bytes that are read of it.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const MAX_RELEASE: u64 = 64 << 10;

/// A distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `ID`, not empty.
    pub id: String,
    /// `VERSION_ID`.
    pub version: Option<String>,
    /// `PRETTY_NAME`.
    pub name: Option<String>,
    /// `CPE_NAME`.
    pub cpe: Option<String>,
}

impl Distribution {
    /// The distribution that `view` is of; `None` if it does not say.
    pub fn of(view: &View) -> Option<Self> {
        let mut files = OS_RELEASE.iter();
        let text = files.find_map(|path| view.read(Path::new(path), MAX_RELEASE).ok())?;
        let text = String::from_utf8_lossy(&text);
        // The last of several counts, as for a shell.
        let field = |name: &str| {
            let mut lines = text.lines().rev();
            let value = lines.find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
            let words = shell_words::split(value).ok()?;
            Some(words.join(" ")).filter(|value| !value.is_empty())
        };
        Some(Self {
            id: field("ID")?,
            version: field("VERSION_ID"),
            name: field("PRETTY_NAME"),
            cpe: field("CPE_NAME"),
        })
    }
}
