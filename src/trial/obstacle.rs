//! Why the kernel does not execute a file.
//!
//! In: a path in a tree. Out: the path that is to blame, and a sentence. Source: execve(2).

use std::path::{Path, PathBuf};

use super::places::plain;
use crate::bytes::ReadAt;
use crate::elf::Object;
use crate::exec::{TELLING, describe, shebang};
use crate::image::read::Head;
use crate::vfs::{MAX_LINKS, NodeKind, View};

/// Scripts may have scripts as interpreters, four of them.
const MAX_DEPTH: usize = 5;

/// What keeps a program from being executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The path to blame.
    pub path: PathBuf,
    /// What is wrong, as a sentence about it.
    pub what: String,
    /// Whether it is missing, so that adding it may help.
    pub is_missing: bool,
}

/// What keeps the file at a path from being executed on this machine; `None` if nothing is seen.
pub(super) fn obstacle(view: &View, path: &Path) -> Option<Obstacle> {
    below(view, path, None, 0)
}

fn below(view: &View, path: &Path, script: Option<&Path>, depth: usize) -> Option<Obstacle> {
    let shown = path.display();
    let blame = |what: String| {
        Some(Obstacle {
            path: path.to_path_buf(),
            what,
            is_missing: false,
        })
    };
    let Ok(walk) = view.walk(path) else {
        return Some(absent(view, path, script));
    };
    if walk.metadata.kind != NodeKind::File {
        return blame(format!("{shown} is not a file"));
    }
    if walk.metadata.mode & 0o111 == 0 {
        let mode = walk.metadata.mode;
        return blame(format!(
            "{shown} is not executable: its mode is {mode:04o}; pack it with chmod=0755"
        ));
    }
    let file = view.open(&walk).ok()?;
    let start = file.prefix(0, TELLING).ok()?;
    match Head::of(&start) {
        Head::Elf => {
            let object = match Object::read(file.as_ref()) {
                Ok(object) => object,
                Err(error) => return blame(format!("{shown} is damaged: {error}")),
            };
            let (is, own) = (object.machine_name(), std::env::consts::ARCH);
            if !runs_here(is, own) {
                return blame(format!(
                    "{shown} is for {is}, and this machine is {own}; install qemu-user-static with its \
                     binfmt entries to run it"
                ));
            }
            let interpreter = object.interpreter.as_ref()?;
            below(view, Path::new(interpreter), Some(path), MAX_DEPTH)
        }
        Head::Script if depth < MAX_DEPTH => {
            let interpreter = shebang(&start)?.interpreter;
            below(view, Path::new(&interpreter), Some(path), depth + 1)
        }
        Head::Script => None,
        Head::Other => blame(format!("{shown} cannot be executed: {}", describe(&start))),
    }
}

/// A path that is not there, and the script whose interpreter it is.
fn absent(view: &View, path: &Path, script: Option<&Path>) -> Obstacle {
    let (path, link) = missing(view, path);
    let what = match (script, link) {
        (Some(script), _) => format!(
            "{}, the interpreter of {}, is not in the image",
            path.display(),
            script.display()
        ),
        (None, Some(link)) => format!(
            "{} is not in the image; {} leads to it",
            path.display(),
            link.display()
        ),
        (None, None) => format!("{} is not in the image", path.display()),
    };
    Obstacle {
        path,
        what,
        is_missing: true,
    }
}

/// Whether the processor of this machine has the instructions of a program.
fn runs_here(machine: &str, own: &str) -> bool {
    machine == own
        || (own == "x86_64" && ["i386", "x32"].contains(&machine))
        || (own == "aarch64" && machine == "arm")
}

/// What is missing at a path: itself, or what a link there leads to; with that link.
pub(super) fn missing(view: &View, path: &Path) -> (PathBuf, Option<PathBuf>) {
    let (gone, link) = followed(view, path);
    // Without the links of its directories.
    let there = gone.ancestors().find_map(|known| {
        let walk = view.walk(known).ok()?;
        Some(walk.real.join(gone.strip_prefix(known).ok()?))
    });
    (there.unwrap_or(gone), link)
}

/// The same, as the links name it.
fn followed(view: &View, path: &Path) -> (PathBuf, Option<PathBuf>) {
    let (mut at, mut link) = (path.to_path_buf(), None);
    for _ in 0..MAX_LINKS {
        let is_there = |path: &&Path| view.location(path).is_ok_and(|at| view.lookup(&at).is_ok());
        let Some(known) = at.ancestors().find(is_there) else {
            return (at, link);
        };
        let Ok(place) = view.location(known) else {
            return (at, link);
        };
        let (Ok(target), Ok(rest)) = (view.read_link(&place), at.strip_prefix(known)) else {
            return (at, link);
        };
        let directory = place.parent().unwrap_or(Path::new("/"));
        let next = plain(&directory.join(target).join(rest));
        link = Some(place);
        at = next;
    }
    (at, link)
}
