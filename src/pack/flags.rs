//! Options that give the image of a traced run without a run.
//!
//! In: the options of a pack with a trace, and its plan. Out: `--with`, `--add` and `--mkdir`
//! options, shortest first, and what they cannot reproduce. Each proposal is planned, not guessed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Add, Grant, Mkdir};
use super::{Options, PackError, Plan};
use crate::needs::TRACE;
use crate::rootfs::{Content, Reason, Rootfs, RootfsNode};
use crate::vfs::{NodeKind, Owner, View};

/// A directory with more entries than this is not compared as a whole.
const ENTRIES_MAX: usize = 10_000;

/// Options, and how their image differs from that of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFlags {
    /// The options, each as one word of a command line.
    pub flags: Vec<String>,
    /// Paths that the trace adds and the options do not, or not identically.
    pub lacks: Vec<PathBuf>,
    /// Paths that only the options add.
    pub more: Vec<PathBuf>,
}

/// Finds options for what `traced` has because of a trace.
///
/// # Errors
/// When an image with proposed options cannot be planned.
pub fn without_trace(options: &Options, traced: &Plan) -> Result<TraceFlags, PackError> {
    let mut plain = options.clone();
    plain.traced = None;
    plain.wants_hints = true;
    let mut flags = Vec::new();
    let mut plan = fitting_needs(&mut plain, traced, &mut flags)?;
    // Files and links, or whole directories of them. Libraries come with what loads them, so they are
    // named only if nothing does.
    for is_loaded in [false, true] {
        for path in items(traced, &plan, is_loaded) {
            let source = path.to_string_lossy().into_owned();
            let owner = traced.rootfs.node(&path).and_then(owner);
            let chown = owner.as_ref().map(|owner| format!(",chown={owner}"));
            flags.push(format!("--add={source}{}", chown.unwrap_or_default()));
            plain.add.push(Add {
                source,
                destination: None,
                grant: Grant { owner, mode: None },
            });
        }
        plan = Plan::new(&plain)?;
    }
    directories(&mut plain, traced, &plan, &mut flags);
    plan = Plan::new(&plain)?;
    flags.sort_by_key(|flag| (flag.len(), flag.clone()));
    Ok(TraceFlags {
        flags,
        lacks: difference(&traced.rootfs, &plan.rootfs),
        more: difference(&plan.rootfs, &traced.rootfs),
    })
}

/// Requests the needs that bring nothing but what the run used; returns the plan with them.
fn fitting_needs(
    plain: &mut Options,
    traced: &Plan,
    flags: &mut Vec<String>,
) -> Result<Plan, PackError> {
    let mut plan = Plan::new(plain)?;
    for hint in std::mem::take(&mut plan.hints) {
        let Some(need) = hint.flag.strip_prefix("--with ") else {
            continue;
        };
        let mut with = plain.clone();
        if with.needs.add(need, true).is_err() {
            continue;
        }
        let Ok(tried) = Plan::new(&with) else {
            continue;
        };
        let more = difference(&tried.rootfs, &plan.rootfs);
        let is_within = difference(&tried.rootfs, &traced.rootfs).is_empty();
        if is_within && !more.is_empty() {
            flags.push(format!("--with={need}"));
            (*plain, plan) = (with, tried);
        }
    }
    Ok(plan)
}

/// Makes the directories that a run used and `plan` lacks.
fn directories(plain: &mut Options, traced: &Plan, plan: &Plan, flags: &mut Vec<String>) {
    for path in difference(&traced.rootfs, &plan.rootfs) {
        let Some(node) = traced.rootfs.node(&path) else {
            continue;
        };
        if let Content::Directory(mode) = node.content {
            let owner = owner(node);
            let mode = (mode != 0o755).then_some(mode);
            let chown = owner.as_ref().map(|owner| format!(",chown={owner}"));
            let chmod = mode.map(|mode| format!(",chmod={mode:04o}"));
            flags.push(format!(
                "--mkdir={}{}{}",
                path.display(),
                chown.unwrap_or_default(),
                chmod.unwrap_or_default()
            ));
            plain.mkdir.push(Mkdir {
                path,
                grant: Grant { owner, mode },
            });
        }
    }
}

/// What a run looked up and `plan` lacks: files, links, and complete directories.
fn items(traced: &Plan, plan: &Plan, is_loaded: bool) -> Vec<PathBuf> {
    let mut items = BTreeSet::new();
    for path in difference(&traced.rootfs, &plan.rootfs) {
        let Some(node) = traced.rootfs.node(&path) else {
            continue;
        };
        let is_needed = |reason: &Reason| matches!(reason, Reason::NeededBy { .. });
        let is_meant = node.reasons.iter().any(is_of_trace)
            && node.reasons.iter().any(is_needed) == is_loaded
            && !matches!(node.content, Content::Directory(_));
        if is_meant {
            items.insert(widest(&path, traced, &traced.source.view));
        }
    }
    let outer = items.iter().filter(|path| !is_below(path, &items));
    outer.cloned().collect()
}

/// The paths that `a` has and `b` lacks, or has with another content.
fn difference(a: &Rootfs, b: &Rootfs) -> Vec<PathBuf> {
    let different = a.nodes().filter(|(path, node)| {
        let same = b.node(path).is_some_and(|other| is_same(node, other));
        !same && !a.is_made(path)
    });
    different.map(|(path, _)| path.to_path_buf()).collect()
}

fn is_same(a: &RootfsNode, b: &RootfsNode) -> bool {
    let is_same = match (&a.content, &b.content) {
        (Content::Directory(a), Content::Directory(b)) => a == b,
        (Content::Symlink(a), Content::Symlink(b)) => a == b,
        (Content::File(a), Content::File(b)) => a.mode == b.mode && a.size() == b.size(),
        _ => false,
    };
    is_same && a.owner == b.owner
}

/// The owner of a node by number, unless it is root.
fn owner(node: &RootfsNode) -> Option<String> {
    let Owner { uid, gid } = node.owner;
    (node.owner != Owner::default()).then(|| format!("{uid}:{gid}"))
}

fn is_of_trace(reason: &Reason) -> bool {
    matches!(reason, Reason::Need { need: TRACE, .. })
}

fn is_below(path: &Path, items: &BTreeSet<PathBuf>) -> bool {
    path.ancestors().skip(1).any(|above| items.contains(above))
}

/// The highest directory above `path` that is completely in the image; the path itself if there is
/// none.
fn widest(path: &Path, traced: &Plan, view: &View) -> PathBuf {
    let above = path.ancestors().skip(1);
    // A top-level directory such as /usr is not the data of one program.
    let above = above.filter(|path| path.components().count() > 2);
    let whole = above.take_while(|path| is_whole(path, &traced.rootfs, view));
    whole.last().unwrap_or(path).to_path_buf()
}

/// Whether the image has everything that the source has in a directory.
fn is_whole(directory: &Path, rootfs: &Rootfs, view: &View) -> bool {
    let mut pending = vec![directory.to_path_buf()];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let Ok(names) = view.read_dir(&path) else {
            return false;
        };
        seen += names.len();
        if seen > ENTRIES_MAX {
            return false;
        }
        for name in names {
            let entry = path.join(name);
            let Ok(found) = view.lookup(&entry) else {
                return false;
            };
            if rootfs.node(&entry).is_none() {
                return false;
            }
            if found.kind == NodeKind::Directory {
                pending.push(entry);
            }
        }
    }
    true
}
