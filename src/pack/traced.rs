//! What traced runs looked up, as additions to the image.
//!
//! In: a recording, and what is known about the programs without it. Out: files, directories and
//! links to add, and what the recording cannot provide. It only adds: what the loader needs is
//! there anyway.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::subjects::Subject;
use super::{Options, TracedRuns};
use crate::closure::Closure;
use crate::needs::{Addition, Cause, Hint, Ownership, Provision, TRACE};
use crate::rootfs::{Reason, Rootfs, is_closed, is_excluded};
use crate::source::Source;
use crate::trace::{Before, Note, Traced, Uses};
use crate::vfs::{NodeKind, Owner, View, Walk};

/// Files larger than this that were only tested for existence are not packed, in bytes.
const TESTED_MAX: u64 = 1_000_000;
/// Paths that engines mount, or that are not files.
const MOUNTED: [&str; 3] = ["/proc", "/sys", "/dev"];
/// The loaders' configuration (`ld.so(8)`; `ldso/dynlink.c` of musl), which slimpack writes itself.
const LOADER: [&str; 3] = ["/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf"];
/// Uses of a path that only test whether it exists.
const TESTS: Uses = Uses::TESTED.and(Uses::LINK).and(Uses::REFUSED);
/// Longest text of a process in a reason, in characters.
const PROCESS_MAX: usize = 60;

/// What runs add to the image.
#[derive(Default)]
pub(super) struct FromRuns {
    pub provisions: Vec<Provision>,
    /// The real paths of what they created.
    pub created: BTreeSet<PathBuf>,
    pub partly: PartlyPacked,
    pub warnings: BTreeSet<String>,
}

/// What the runs looked up and the image lacks without them.
pub(super) fn added(
    options: &Options,
    source: &Source,
    subjects: &[Subject],
    closures: &[Closure],
) -> FromRuns {
    let Some(runs) = &options.traced else {
        return FromRuns::default();
    };
    joined(source, runs, known(source, subjects, closures))
}

/// What runs looked up beyond what a program loads: each path, and which process did what with it.
pub fn lookups(source: &Source, closure: &Closure, runs: &TracedRuns) -> Vec<(PathBuf, String)> {
    let objects = closure.map.objects().iter();
    let known = objects.map(|object| object.walk.real.clone()).collect();
    let provisions = joined(source, runs, known).provisions;
    let lookups = provisions.into_iter().filter_map(|provision| {
        let path = place(&provision.addition)?.to_path_buf();
        Some((path, provision.cause.sign))
    });
    let lookups: BTreeMap<PathBuf, String> = lookups.collect();
    lookups.into_iter().collect()
}

/// What a run looked up that leads to an addition; links on its way are none.
fn place(addition: &Addition) -> Option<&Path> {
    match addition {
        Addition::Made(path, _)
        | Addition::Folder(path, _)
        | Addition::State { path, .. }
        | Addition::File(path)
        | Addition::Tree(path)
        | Addition::Program(path) => Some(path),
        _ => None,
    }
}

fn joined(source: &Source, runs: &TracedRuns, known: HashSet<PathBuf>) -> FromRuns {
    let mut join = Join {
        view: &source.view,
        runs,
        known,
        result: FromRuns {
            created: created(source, runs),
            ..FromRuns::default()
        },
    };
    join.notes();
    for (path, traced) in &runs.recording.found {
        if !join.is_left_out(path) {
            join.path(path, *traced);
        }
    }
    join.result
}

/// What runs looked up without reading all of it.
#[derive(Default)]
pub(super) struct PartlyPacked {
    /// Large files that were only tested for existence: path, size in bytes, and process.
    tested: Vec<(PathBuf, u64, String)>,
    /// Directories in which a process read the names, and that process.
    listed: Vec<(PathBuf, String)>,
}

impl PartlyPacked {
    /// Hints at what the image lacks of it.
    pub fn hints(&self, rootfs: &Rootfs, view: &View) -> Vec<Hint> {
        let has = |path: &Path| {
            view.location(path)
                .is_ok_and(|at| rootfs.node(&at).is_some())
        };
        let tested = self.tested.iter();
        let tested = tested.filter(|(path, ..)| !has(path));
        let tested = tested.map(|(path, size, process)| Hint {
            need: TRACE,
            why: format!("{process} only tests whether it exists"),
            adds: format!("{} ({size} bytes)", path.display()),
            flag: format!("--add {}", path.display()),
            names: Vec::new(),
            more: 0,
        });
        let is_whole = |directory: &Path| {
            let names = view.read_dir(directory).unwrap_or_default();
            names.iter().all(|name| has(&directory.join(name)))
        };
        let listed = self.listed.iter();
        let listed: Vec<_> = listed.filter(|(path, _)| !is_whole(path)).collect();
        tested.chain(listing_hint(&listed)).collect()
    }
}

/// A hint that directories contain more than the run used; `None` without directories.
fn listing_hint(listed: &[&(PathBuf, String)]) -> Option<Hint> {
    let (first, process) = listed.first()?;
    let more = match listed.len() - 1 {
        0 => String::new(),
        1 => " and another directory".to_owned(),
        more => format!(" and {more} other directories"),
    };
    let names = listed.iter().map(|(path, _)| path.display().to_string());
    Some(Hint {
        need: TRACE,
        why: format!("{process} lists {}{more}", first.display()),
        adds: "everything in them, not only what the run used".to_owned(),
        flag: "--trace-dirs".to_owned(),
        names: names.collect(),
        more: 0,
    })
}

/// The provisions without files from runs that slimpack generates for the image, such as
/// `/etc/passwd`.
pub(super) fn without_made<'p>(
    provisions: &'p [Provision],
    source: &Source,
) -> impl Iterator<Item = &'p Provision> {
    let is_traced = |provision: &Provision| provision.cause.need == TRACE;
    let made = provisions.iter().filter(|provision| !is_traced(provision));
    let made = made.filter_map(|provision| match &provision.addition {
        Addition::Made(path, _) => Some(path.as_path()),
        _ => None,
    });
    let made: HashSet<&Path> = made.collect();
    provisions
        .iter()
        .filter(move |provision| match &provision.addition {
            Addition::File(path) if is_traced(provision) => {
                let walk = source.view.walk(path);
                !walk.is_ok_and(|walk| made.contains(walk.real.as_path()))
            }
            Addition::Made(path, _) => !is_traced(provision) || !made.contains(path.as_path()),
            _ => true,
        })
}

/// Paths that a run looked up without finding them, and that the image has.
pub(super) fn unexpected(options: &Options, rootfs: &Rootfs) -> Vec<String> {
    let runs = options.traced.iter();
    let absent = runs.flat_map(|runs| &runs.recording.absent);
    let there = absent.filter(|path| {
        let node = rootfs.node(path);
        // What slimpack generates is there for another reason.
        node.is_some_and(|node| node.reasons.iter().any(Reason::is_by_hand))
    });
    let messages = there.map(|path| {
        format!(
            "{} is in the image, but did not exist when the traced run looked it up",
            path.display()
        )
    });
    messages.collect()
}

/// The real paths of what the image has without the runs: programs, and what they load.
fn known(source: &Source, subjects: &[Subject], closures: &[Closure]) -> HashSet<PathBuf> {
    let scripts = subjects.iter().filter_map(|subject| {
        let walk = source.view.walk(subject.script.as_ref()?).ok()?;
        Some(walk.real.clone())
    });
    let programs = subjects
        .iter()
        .map(|subject| subject.program.walk.real.clone());
    let objects = closures.iter().flat_map(|closure| closure.map.objects());
    let objects = objects.map(|object| object.walk.real.clone());
    scripts.chain(programs).chain(objects).collect()
}

struct Join<'a> {
    view: &'a View,
    runs: &'a TracedRuns,
    known: HashSet<PathBuf>,
    result: FromRuns,
}

/// The real paths of what the runs created.
fn created(source: &Source, runs: &TracedRuns) -> BTreeSet<PathBuf> {
    let found = runs.recording.found.iter();
    let created = found.filter(|(_, traced)| traced.uses.has(Uses::CREATED));
    created
        .filter_map(|(path, _)| source.view.location(path).ok())
        .collect()
}

impl Join<'_> {
    /// Whether a path, as it was looked up, is left out.
    fn is_left_out(&self, path: &Path) -> bool {
        let is_below = |roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
        let is_loaders = LOADER.iter().any(|file| path == Path::new(file))
            || (path.starts_with("/etc") && is_musl_path_file(path));
        is_below(&MOUNTED)
            || is_loaders
            || path == Path::new("/")
            || is_excluded(path, &self.runs.ignore)
    }

    /// The start of the command line of a process.
    fn process(&self, traced: Traced) -> String {
        short(&self.runs.recording.process(traced.process))
    }

    fn cause(&self, traced: Traced, done: &str) -> Cause {
        Cause {
            need: TRACE,
            object: None,
            sign: format!("{} {done} it", self.process(traced)),
        }
    }

    fn add(&mut self, addition: Addition, cause: &Cause) {
        self.result
            .provisions
            .push(Provision::usual(addition, cause.clone()));
    }

    /// Directories that the path enters and leaves, and links on its way.
    fn way(&mut self, walk: &Walk, cause: &Cause) {
        for link in &walk.links {
            self.add(Addition::Link(link.at.clone(), link.target.clone()), cause);
        }
        for folder in &walk.left {
            self.add(Addition::Folder(folder.clone(), 0o755), cause);
        }
    }

    fn path(&mut self, path: &Path, traced: Traced) {
        let uses = traced.uses;
        let Ok(location) = self.view.location(path) else {
            return self.gone(path, traced);
        };
        if self.is_left_out(&location) {
            return;
        }
        if location
            .ancestors()
            .any(|path| self.result.created.contains(path))
        {
            return self.folder_of(&location, traced);
        }
        let cause = self.cause(traced, verb(uses));
        // Only the link itself was queried.
        if uses.without(Uses::LINK).is_empty()
            && let Ok(target) = self.view.read_link(path)
        {
            let parent = path.parent().unwrap_or(Path::new("/"));
            if let Ok(walk) = self.view.walk(parent) {
                self.way(&walk, &cause);
            }
            return self.add(Addition::Link(location, target), &cause);
        }
        let Ok(walk) = self.view.walk(path) else {
            return match self.view.read_link(path) {
                // It is dangling, and was for the run.
                Ok(target) => self.add(Addition::Link(location, target), &cause),
                Err(_) => self.gone(path, traced),
            };
        };
        if self.is_left_out(&walk.real) {
            return;
        }
        match walk.metadata.kind {
            NodeKind::File => self.file(path, &walk, traced, &cause),
            NodeKind::Directory => self.directory(path, &walk, traced, &cause),
            // Devices, sockets and pipes are created by the programs that use them.
            NodeKind::Symlink | NodeKind::Special => {}
        }
    }

    fn file(&mut self, path: &Path, walk: &Walk, traced: Traced, cause: &Cause) {
        let uses = traced.uses;
        if self.known.contains(&walk.real) {
            // It is already in the image; the run may have used another path.
            return self.way(walk, cause);
        }
        if uses.has(Uses::CHANGED.and(Uses::REMOVED)) && self.changed(path, walk, cause) {
            return;
        }
        if uses.without(TESTS).is_empty() && walk.metadata.size > TESTED_MAX {
            let tested = (path.to_path_buf(), walk.metadata.size, self.process(traced));
            return self.result.partly.tested.push(tested);
        }
        self.add_for_owner(Addition::File(path.to_path_buf()), walk, cause);
    }

    /// Adds something. What is closed to group or others keeps its owner, who could not read it
    /// otherwise.
    fn add_for_owner(&mut self, addition: Addition, walk: &Walk, cause: &Cause) {
        self.result.provisions.push(Provision {
            addition,
            cause: cause.clone(),
            ownership: Ownership {
                owner: is_closed(self.view.mode(walk)).then_some(walk.metadata.owner),
                mode: None,
            },
        });
    }

    /// A file that existed before the run, which wrote to it; returns whether it was handled.
    fn changed(&mut self, path: &Path, walk: &Walk, cause: &Cause) -> bool {
        let before = self.runs.recording.before.get(path);
        let now = self.view.read(path, MAX_BEFORE);
        match (before, now) {
            (Some(before), Ok(now)) if before.bytes == now => false,
            (Some(before), _) => {
                self.way(walk, cause);
                self.before(walk.real.clone(), before, cause);
                true
            }
            (None, _) => {
                self.result.warnings.insert(format!(
                    "the traced run changed {}, which existed before; the image has it as it is now",
                    path.display()
                ));
                false
            }
        }
    }

    /// Adds a file as it was before the run, with no more permissions than it had.
    fn before(&mut self, path: PathBuf, before: &Before, cause: &Cause) {
        let Before { mode, uid, gid, .. } = *before;
        self.result.provisions.push(Provision {
            addition: Addition::Made(path, before.bytes.clone()),
            cause: cause.clone(),
            ownership: Ownership {
                owner: is_closed(mode).then_some(Owner { uid, gid }),
                mode: Some(mode),
            },
        });
    }

    fn directory(&mut self, path: &Path, walk: &Walk, traced: Traced, cause: &Cause) {
        let is_listed = traced.uses.has(Uses::LISTED);
        if is_listed && self.runs.whole_directories {
            return self.add(Addition::Tree(path.to_path_buf()), cause);
        }
        if is_listed {
            let process = self.process(traced);
            let listed = (path.to_path_buf(), process);
            self.result.partly.listed.push(listed);
        }
        self.way(walk, cause);
        let mode = self.view.mode(walk) & 0o1777;
        let folder = Addition::Folder(walk.real.clone(), mode | 0o700);
        self.add_for_owner(folder, walk, cause);
    }

    /// Something that the run created: adds its directory, so that it can be created again.
    fn folder_of(&mut self, location: &Path, traced: Traced) {
        let mut folders = location.ancestors().skip(1);
        let Some(folder) = folders.find(|folder| !self.result.created.contains(*folder)) else {
            return;
        };
        if folder.parent().is_none()
            || folder
                .ancestors()
                .any(|path| self.result.created.contains(path))
        {
            return;
        }
        let Ok(walk) = self.view.walk(folder) else {
            return;
        };
        let cause = self.cause(traced, "creates files in");
        let mode = self.view.mode(&walk) & 0o1777;
        self.result.provisions.push(Provision {
            addition: Addition::Folder(folder.to_path_buf(), mode),
            cause,
            ownership: Ownership {
                owner: Some(walk.metadata.owner),
                mode: Some(mode),
            },
        });
    }

    /// A path that no longer exists.
    fn gone(&mut self, path: &Path, traced: Traced) {
        if traced.uses.has(Uses::CREATED) {
            return;
        }
        let parent = path.parent().and_then(|parent| self.view.walk(parent).ok());
        let before = self.runs.recording.before.get(path);
        if let (Some(before), Some(parent), Some(name)) = (before, parent, path.file_name()) {
            let cause = self.cause(traced, verb(traced.uses));
            self.way(&parent, &cause);
            return self.before(parent.real.join(name), before, &cause);
        }
        self.result.warnings.insert(format!(
            "{} existed when the traced run used it, but no longer does",
            path.display()
        ));
    }

    fn notes(&mut self) {
        for note in &self.runs.recording.notes {
            let text = match note {
                Note::IoUring => {
                    "the traced run uses io_uring, whose file accesses cannot be seen; add what is missing \
                     with --add"
                        .to_owned()
                }
                Note::OtherAbi => {
                    "the traced run has 32-bit programs, whose file accesses were not recorded; pack \
                     them with --add"
                        .to_owned()
                }
                Note::Setuid(path) => format!(
                    "{} ran without its setuid or setgid privileges in the traced run",
                    path.display()
                ),
                Note::Emulated(path) => format!(
                    "{} ran in an emulator in the traced run; files of the emulator are in the image, too",
                    path.display()
                ),
                Note::Pathless(path) => format!(
                    "the traced run executed {}, which has no path to pack",
                    path.display()
                ),
            };
            self.result.warnings.insert(text);
        }
    }
}

/// Largest file that is compared with its state before a run, in bytes.
const MAX_BEFORE: u64 = 64 << 20;

/// The start of a command line.
fn short(process: &str) -> String {
    let short: String = process.chars().take(PROCESS_MAX).collect();
    let more = if short.len() < process.len() {
        "…"
    } else {
        ""
    };
    format!("{short}{more}")
}

/// The strongest use of a path, as a verb.
fn verb(uses: Uses) -> &'static str {
    let verbs = [
        (Uses::EXECUTED, "executed"),
        (Uses::MAPPED, "loaded"),
        (Uses::LISTED, "listed"),
        (Uses::OPENED, "opened"),
        (Uses::CHANGED, "opened"),
    ];
    let known = verbs.iter().find(|(known, _)| uses.has(*known));
    known.map_or("looked for", |(_, verb)| verb)
}

/// `/etc/ld-musl-ARCH.path`.
fn is_musl_path_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("ld-musl-") && name.ends_with(".path")
}
