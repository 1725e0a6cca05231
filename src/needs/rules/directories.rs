//! Directories of an image that its programs write to as another user than root.

use std::path::PathBuf;

use crate::exec::Accounts;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply};
use crate::vfs::{NodeKind, View};

/// Functions that a program changes its user or group with.
const CHANGERS: [&str; 12] = [
    "setuid",
    "setgid",
    "seteuid",
    "setegid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "initgroups",
    "setfsuid",
    "setfsgid",
];
/// Directories that are looked into at most.
const MAX_DIRECTORIES: usize = 100_000;

pub(super) static RULE: NeedRule = NeedRule {
    name: "directories",
    mode: Mode::Automatic,
    what: "directories to write to",
    sign: "from an image only: an import of setuid, setgid, initgroups and the like by the program; a \
           user that is not root",
    adds: "the empty directories that belong to that user, or to any but root if the program changes \
           its user",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_image {
        return None;
    }
    let runs_as = || match uid(process.view, process.user) {
        Some(0) | None => None,
        Some(_) => Some(Sign::new(0, format!("runs as the user {}", process.user))),
    };
    process.program_imports(&CHANGERS).or_else(runs_as)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    if !supply.is_image {
        return Err("it is about the directories of an image (--from); use --mkdir".into());
    }
    let process = supply.process;
    let user = uid(supply.source, process.user);
    let becomes_any = process.program_imports(&CHANGERS).is_some();
    let is_wanted = |owner: u32| owner != 0 && (becomes_any || Some(owner) == user);
    Ok(empty_directories(supply.source, is_wanted))
}

/// The number of a user; `None` if the image does not know it.
fn uid(source: &View, user: &str) -> Option<u32> {
    let ids = Accounts::of(source).process(user);
    ids.ok().map(|ids| ids.uid)
}

/// The empty directories whose owner is wanted, each with its own mode.
fn empty_directories(source: &View, is_wanted: impl Fn(u32) -> bool) -> Vec<Addition> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/")];
    for _ in 0..MAX_DIRECTORIES {
        let Some(directory) = pending.pop() else {
            break;
        };
        let Ok(names) = source.read_dir(&directory) else {
            continue;
        };
        let below = names.iter().map(|name| directory.join(name));
        for path in below {
            let Ok(metadata) = source.lookup(&path) else {
                continue;
            };
            if metadata.kind != NodeKind::Directory {
                continue;
            }
            let is_empty = || source.read_dir(&path).is_ok_and(|names| names.is_empty());
            if is_wanted(metadata.owner.uid) && is_empty() {
                found.push(Addition::Folder(path.clone(), metadata.mode));
            }
            pending.push(path);
        }
    }
    found.sort();
    found
}
