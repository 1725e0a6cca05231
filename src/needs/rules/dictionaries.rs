//! The dictionaries of spelling checkers.
//!
//! Aspell and Hunspell open them in directories that are compiled in (`aspell config`,
//! `hunspell -D`), and Enchant loads one of both.

use std::path::{Path, PathBuf};

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::NodeKind;

/// The libraries, and the directories of their dictionaries.
const CHECKERS: [(&str, &[&str]); 3] = [
    ("libaspell.so", &ASPELL),
    ("libhunspell", &HUNSPELL),
    ("libenchant", &ENCHANT),
];
const ASPELL: [&str; 5] = [
    "/usr/lib/aspell",
    "/usr/lib/aspell-0.60",
    "/usr/lib64/aspell-0.60",
    "/usr/share/aspell",
    "/var/lib/aspell",
];
const HUNSPELL: [&str; 2] = ["/usr/share/hunspell", "/usr/share/myspell"];
const ENCHANT: [&str; 7] = [
    HUNSPELL[0],
    HUNSPELL[1],
    ASPELL[0],
    ASPELL[1],
    ASPELL[2],
    ASPELL[3],
    ASPELL[4],
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "dictionaries",
    mode: Mode::Hint,
    what: "dictionaries of a spelling checker",
    sign: "libaspell, libhunspell or libenchant is loaded",
    adds: "the installed dictionaries",
    fires,
    supply,
    is_met: Some(|process| !installed(process).is_empty()),
};

/// The checker that is loaded.
fn checker(process: &Process<'_>) -> Option<(usize, &'static [&'static str])> {
    let mut checkers = CHECKERS.iter();
    checkers.find_map(|(library, places)| Some((process.loaded(library)?, *places)))
}

/// The directories of its dictionaries that are there.
fn installed(process: &Process<'_>) -> Vec<PathBuf> {
    let places = checker(process).map_or(&[][..], |(_, places)| places);
    let places = places.iter().map(Path::new);
    let is_there = |path: &&Path| process.view.kind(path) == Some(NodeKind::Directory);
    places.filter(is_there).map(Path::to_path_buf).collect()
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    let (object, _) = checker(process)?;
    Some(Sign::new(object, "checks spelling by dictionaries"))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    if checker(supply.process).is_none() {
        return Err(Unmet::NotShown(
            "the program loads neither libaspell nor libhunspell nor libenchant",
        ));
    }
    let found = installed(supply.process);
    match found.is_empty() {
        true => Err("the source has no dictionaries (packages aspell-en, hunspell-en-us)".into()),
        false => Ok(found.into_iter().map(Addition::Tree).collect()),
    }
}
