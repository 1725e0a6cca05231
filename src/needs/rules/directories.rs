//! Directories that programs write to and that nothing else in the image creates.

use std::path::{Path, PathBuf};

use super::{state, told_paths};
use crate::exec::Accounts;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::{NodeKind, View};

/// Functions by which a program changes its user or group.
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
/// Where packages install programs.
const SYSTEM: [&str; 4] = ["/usr", "/bin", "/sbin", "/lib"];
/// Maximum number of directories that a sign lists.
const TOLD: usize = 4;
/// Maximum number of directories that are examined.
const MAX_DIRECTORIES: usize = 100_000;

pub(super) static RULE: NeedRule = NeedRule {
    name: "directories",
    mode: Mode::Automatic,
    what: "directories to write to",
    sign: "from an image: an import of setuid, setgid, initgroups and the like by the program, or a \
           user that is not root; from this machine, as a hint: an import of these or of listen, and \
           directories below /var and /run that its package has or makes",
    adds: "these directories, empty, with their owners; from an image only those of that user, or \
           of any user but root",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_image {
        return of_package(process);
    }
    let runs_as = || match uid(process.view, process.user) {
        Some(0) | None => None,
        Some(_) => Some(Sign::new(0, format!("runs as the user {}", process.user))),
    };
    process.program_imports(&CHANGERS).or_else(runs_as)
}

/// Directories that the package of a program on this machine has or creates for it: without an
/// image, only the package records name them.
fn of_package(process: &Process<'_>) -> Option<Sign> {
    let real = &process.objects()[0].walk.real;
    let may_be_packaged =
        SYSTEM.iter().any(|folder| real.starts_with(folder)) && !real.starts_with("/usr/local");
    // Searching the records takes milliseconds, so it is done only for what looks like a server.
    if !process.wants_hints || !process.is_packed || !may_be_packaged {
        return None;
    }
    let looks = process.program_imports(&CHANGERS);
    looks.or_else(|| process.program_imports(&["listen"]))?;
    let paths = state::directories(process).iter();
    let paths = paths.filter_map(|addition| match addition {
        Addition::State { path, .. } => Some(path.as_path()),
        _ => None,
    });
    let paths = told_paths(paths, TOLD)?;
    let text = format!("has directories of its package to write to: {paths}");
    Some(Sign {
        is_weak: true,
        ..Sign::new(0, text)
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    if !supply.is_image {
        return match state::directories(supply.process) {
            [] => Err("no package has directories for the program to write to; use --mkdir".into()),
            directories => Ok(directories.to_vec()),
        };
    }
    let process = supply.process;
    let user = uid(supply.source, process.user);
    let becomes_any = process.program_imports(&CHANGERS).is_some();
    let is_wanted = |owner: u32| owner != 0 && (becomes_any || Some(owner) == user);
    let mut found = empty_directories(supply.source, is_wanted);
    // Programs may use the older path of what is below /run.
    let is_of_run = |addition: &Addition| matches!(addition, Addition::Folder(path, _) if path.starts_with("/run"));
    if let Ok(target) = supply.source.read_link(Path::new(state::OLD_RUN))
        && found.iter().any(is_of_run)
    {
        found.push(Addition::Link(state::OLD_RUN.into(), target));
    }
    Ok(found)
}

/// The number of a user; `None` if the image does not define the user.
fn uid(source: &View, user: &str) -> Option<u32> {
    let ids = Accounts::of(source).process(user);
    ids.ok().map(|ids| ids.uid)
}

/// The empty directories with a relevant owner, each with its own mode.
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
