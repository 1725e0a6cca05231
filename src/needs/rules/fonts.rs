//! Fonts, and the configuration by which they are found (fontconfig).
//!
//! A program without them draws no text but exits with 0. `fonts.conf(5)`: the configuration is
//! `/etc/fonts/fonts.conf` with what its directories link to, and names the font directories.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::{NodeKind, View};

const CONFIGURATION: &str = "/etc/fonts";
/// Where distributions install fonts.
const DIRECTORIES: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];
/// Fonts that cover most scripts, the smallest first; any other is better than none.
const COMMON: [&str; 4] = [
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
    "FreeSans.ttf",
];
/// Suffixes of font files.
const ENDINGS: [&str; 4] = ["ttf", "otf", "ttc", "pcf.gz"];
/// Maximum number of directories that are searched for fonts.
const MAX_DIRECTORIES: usize = 1000;

pub(super) static RULE: NeedRule = NeedRule {
    name: "fonts",
    mode: Mode::Hint,
    what: "fonts",
    sign: "libfontconfig is loaded",
    adds: "/etc/fonts and one font, DejaVu Sans if it is installed; add others with --add",
    fires,
    supply,
    is_met: Some(|process| process.has(CONFIGURATION)),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    let object = process.loaded("libfontconfig.so")?;
    Some(Sign::new(object, "looks for fonts"))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let source = supply.source;
    if source.kind(Path::new(CONFIGURATION)) != Some(NodeKind::Directory) {
        return Err("the source has no /etc/fonts (package fontconfig-config)".into());
    }
    let font = font(source).ok_or("the source has no fonts (package fonts-dejavu-core)")?;
    Ok(vec![
        Addition::Tree(CONFIGURATION.into()),
        Addition::File(font),
    ])
}

/// The best of the installed fonts.
fn font(source: &View) -> Option<PathBuf> {
    let fonts = fonts(source);
    let called = |name: &&str| {
        let mut fonts = fonts.iter();
        fonts.find(|path| path.file_name().is_some_and(|file| file == *name))
    };
    let common = COMMON.iter().find_map(called);
    common.or_else(|| fonts.first()).cloned()
}

fn fonts(source: &View) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending: VecDeque<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
    for _ in 0..MAX_DIRECTORIES {
        let Some(directory) = pending.pop_front() else {
            break;
        };
        for name in source.read_dir(&directory).unwrap_or_default() {
            let path = directory.join(name);
            let is_font = || {
                let text = path.to_string_lossy();
                ENDINGS
                    .iter()
                    .any(|ending| text.ends_with(&format!(".{ending}")))
            };
            match source.kind(&path) {
                Some(NodeKind::Directory) => pending.push_back(path),
                Some(NodeKind::File) if is_font() => found.push(path),
                _ => {}
            }
        }
    }
    found
}
