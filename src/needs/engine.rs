//! Needs and closures are one loop until nothing changes.
//!
//! In: the closures of the programs to pack. Out: the same closures with the libraries that are
//! opened at run time, further programs that are started, and the files that are read. What a
//! rule adds may have needs of its own, so everything that is added is looked at in its turn.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::process::Process;
use super::rules::RULES;
use super::selection::Selection;
use super::{Mode, Rule, SCRIPT, Sign, Supply};
use crate::closure::{Closure, ClosureError, Program};
use crate::image::Interpreters;
use crate::loader::{Environment, Loaders};
use crate::vfs::{NodeKind, View};

/// Most files that one folder may bring.
const MAX_FILES: usize = 100_000;
/// Most programs and libraries that are looked at.
const MAX_PROCESSES: usize = 2_000;

/// Something that a rule, or a person, adds to an image. Paths are those of the source, and are
/// kept in the image unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addition {
    /// A file that slimpack writes.
    Made(PathBuf, Vec<u8>),
    /// A folder with these permission bits.
    Folder(PathBuf, u32),
    /// A file, with the links that lead to it.
    File(PathBuf),
    /// A folder with everything in it.
    Tree(PathBuf),
    /// The same, without entries of the folder itself that match a glob.
    Part {
        /// The folder.
        path: PathBuf,
        /// The globs.
        without: &'static [&'static str],
    },
    /// A file or folder under another path.
    Copy {
        /// Where it is.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// A symbolic link and its target.
    Link(PathBuf, PathBuf),
    /// A program that is started, with all it loads.
    Program(PathBuf),
    /// A library that the object with this index opens by name.
    Library {
        /// Who opens it.
        by: usize,
        /// The name.
        name: String,
    },
    /// busybox with its commands.
    Busybox(PathBuf),
}

/// Why something is added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The need, or `--add`.
    pub need: &'static str,
    /// The object that shows the sign; `None` for what a person asked for.
    pub object: Option<PathBuf>,
    /// The sign.
    pub sign: String,
}

/// Something added, and why.
#[derive(Clone, Debug)]
pub struct Provision {
    /// What.
    pub addition: Addition,
    /// Why.
    pub cause: Cause,
}

/// A program or library that was added, with all it loads.
pub struct Started {
    /// Where it is in the source.
    pub path: PathBuf,
    /// Where it goes in the image, when that is another path.
    pub to: Option<PathBuf>,
    /// What it loads.
    pub closure: Closure,
    /// Why it is there.
    pub cause: Cause,
}

/// A need that may be there, with the flag that acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The need.
    pub need: &'static str,
    /// The object that shows the sign, and the sign.
    pub why: String,
    /// What it would add.
    pub adds: &'static str,
    /// What acts on it: `--with gconv=UTF-16`.
    pub flag: String,
    /// Programs that show the same sign, beside the first.
    pub more: usize,
}

/// Everything that was added.
#[derive(Default)]
pub struct Provisions {
    /// Files, folders and links.
    pub provisions: Vec<Provision>,
    /// Programs and libraries.
    pub started: Vec<Started>,
    /// Folders whose entries were all added.
    pub folders: BTreeSet<PathBuf>,
    /// What might be needed as well, those of the first program first.
    pub hints: Vec<Hint>,
    /// Needs that the source cannot serve.
    pub warnings: BTreeSet<String>,
}

/// Why a need that was asked for cannot be served.
#[derive(Debug, Error)]
pub enum NeedError {
    /// The source lacks what it adds.
    #[error("cannot serve the need {need}: {why}; install it, or leave the need out of --with")]
    Absent {
        /// The need.
        need: &'static str,
        /// What is lacking.
        why: String,
    },
    /// Something that was added cannot be used.
    #[error("cannot add {}: {why}", .path.display())]
    Path {
        /// The path in the source.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A program that was added has no closure.
    #[error("cannot add {}: {error}", .path.display())]
    Program {
        /// The path in the source.
        path: PathBuf,
        /// Why.
        error: ClosureError,
    },
    /// More files than can be looked at.
    #[error(
        "cannot add {}: it brings more than {MAX_FILES} files; add a part of it",
        .0.display()
    )]
    TooManyFiles(PathBuf),
    /// More programs than can be looked at.
    #[error(
        "cannot add {}: more than {MAX_PROCESSES} programs and libraries would come with it; add a \
         part of what was asked for",
        .0.display()
    )]
    TooManyPrograms(PathBuf),
}

/// What the loop works with.
pub struct Scene<'a> {
    /// The files that there are.
    pub source: &'a View,
    /// The loaders in them.
    pub loaders: &'a Loaders,
    /// What loaders are told.
    pub environment: &'a Environment,
    /// `NAME=VALUE` of the image.
    pub env: &'a [String],
    /// The user that the image is started as.
    pub user: &'a str,
    /// The words that the first program is started with.
    pub arguments: &'a [String],
    /// For each program the script that it runs.
    pub scripts: &'a [Option<PathBuf>],
    /// Whether the files are those of an image.
    pub is_image: bool,
    /// Which needs are served.
    pub selection: &'a Selection,
    /// Whether hints are worth the time.
    pub wants_hints: bool,
    /// A path as a person knows it.
    pub shown: &'a dyn Fn(&Path) -> PathBuf,
}

/// Serves the needs of `closures` and of everything that is `added` for other reasons.
///
/// # Errors
/// When something that was asked for is not there.
pub fn provide(
    scene: &Scene<'_>,
    closures: &mut [Closure],
    added: Vec<Provision>,
) -> Result<Provisions, NeedError> {
    let mut loop_ = Loop {
        scene,
        result: Provisions::default(),
        known: HashSet::new(),
        elsewhere: Vec::new(),
        told: HashSet::new(),
    };
    for provision in added {
        loop_.add(provision)?;
    }
    loop_.elsewhere = loop_.shown_by_others(closures);
    for (number, closure) in closures.iter_mut().enumerate() {
        loop_.serve(closure, &Role::Packed(number))?;
    }
    let mut next = 0;
    while next < loop_.result.started.len() {
        // Out of the list while it is looked at: its needs may add to the list.
        let placeholder = Closure::empty(loop_.result.started[next].closure.program());
        let mut closure = std::mem::replace(&mut loop_.result.started[next].closure, placeholder);
        let role = Role::of(&loop_.result.started[next].cause);
        loop_.serve(&mut closure, &role)?;
        loop_.result.started[next].closure = closure;
        next += 1;
    }
    Ok(loop_.result)
}

/// Why a program is looked at.
#[derive(PartialEq, Eq)]
enum Role {
    /// Somebody asked for it. The first is the one that is started: what is asked for by name is
    /// for it.
    Packed(usize),
    /// It runs a script that somebody asked for.
    Runs(Option<PathBuf>),
    /// A need or `--add` brought it.
    Added,
}

impl Role {
    fn of(cause: &Cause) -> Self {
        match cause.need {
            SCRIPT => Self::Runs(cause.object.clone()),
            _ => Self::Added,
        }
    }
}

struct Loop<'a> {
    scene: &'a Scene<'a>,
    result: Provisions,
    /// Programs and libraries that have been added, by source and destination.
    known: HashSet<(PathBuf, Option<PathBuf>)>,
    /// Needs that were asked for by name and whose signs another program than the first shows.
    elsewhere: Vec<&'static str>,
    /// Hints that were given, by flag and reason.
    told: HashSet<(String, String)>,
}

impl<'a> Loop<'a> {
    /// A program as the rules see it.
    fn process<'p>(&self, closure: &'p Closure, role: &'p Role) -> Process<'p>
    where
        'a: 'p,
    {
        let scene = self.scene;
        Process {
            view: scene.source,
            closure,
            environment: scene.environment,
            env: scene.env,
            user: scene.user,
            arguments: match role {
                Role::Packed(0) => scene.arguments,
                _ => &[],
            },
            script: match role {
                Role::Packed(number) => scene.scripts.get(*number).and_then(Option::as_deref),
                Role::Runs(script) => script.as_deref(),
                Role::Added => None,
            },
            is_packed: *role != Role::Added,
            has_contents: true,
        }
    }

    /// Needs that were asked for by name and whose signs another program than the first shows:
    /// `env` that starts Python for a script needs no library of Python.
    fn shown_by_others(&self, closures: &[Closure]) -> Vec<&'static str> {
        let demanded = RULES
            .iter()
            .filter(|rule| self.scene.selection.demands(rule));
        let packed = closures.iter().enumerate().skip(1);
        let packed = packed.map(|(number, closure)| (closure, Role::Packed(number)));
        let started = self.result.started.iter();
        let started = started.map(|started| (&started.closure, Role::of(&started.cause)));
        let others: Vec<_> = packed
            .chain(started)
            .filter(|(_, role)| *role != Role::Added)
            .collect();
        let shows = |rule: &Rule| {
            let mut others = others.iter();
            others.any(|(closure, role)| (rule.fires)(&self.process(closure, role)).is_some())
        };
        demanded
            .filter(|rule| shows(rule))
            .map(|rule| rule.name)
            .collect()
    }

    /// Serves the needs of one process until no library is opened any more.
    fn serve(&mut self, closure: &mut Closure, role: &Role) -> Result<(), NeedError> {
        let mut opened = HashSet::new();
        loop {
            let mut libraries = Vec::new();
            for rule in RULES {
                libraries.extend(self.apply(rule, closure, role)?);
            }
            libraries.retain(|library: &(usize, String, &'static str)| {
                opened.insert((library.0, library.1.clone()))
            });
            if libraries.is_empty() {
                return Ok(());
            }
            for (by, name, need) in libraries {
                let path = closure.program().opened_as.clone();
                let fail = |error| NeedError::Program { path, error };
                let scene = self.scene;
                closure
                    .open(scene.source, scene.environment, by, OsStr::new(&name), need)
                    .map_err(fail)?;
            }
        }
    }

    /// Applies one rule; the libraries that the process opens.
    fn apply(
        &mut self,
        rule: &'static Rule,
        closure: &Closure,
        role: &Role,
    ) -> Result<Vec<(usize, String, &'static str)>, NeedError> {
        let scene = self.scene;
        let demanded = *role == Role::Packed(0)
            && scene.selection.demands(rule)
            && !self.elsewhere.contains(&rule.name);
        let is_silent = match rule.mode {
            Mode::Automatic => false,
            Mode::Hint => !scene.wants_hints && !scene.selection.serves(rule),
            Mode::Request => true,
        };
        if scene.selection.forbids(rule) || (is_silent && !demanded) {
            return Ok(Vec::new());
        }
        let process = self.process(closure, role);
        let sign = (rule.fires)(&process);
        let selection = scene.selection;
        let is_enough = |sign: &Sign| !sign.is_weak || selection.demands(rule);
        let is_served = selection.serves(rule) && sign.as_ref().is_some_and(is_enough);
        if !demanded && !is_served {
            // What the source does not have no flag brings.
            let is_there = |_: &Sign| rule.is_met.is_none_or(|is_met| is_met(&process));
            let is_hint = |sign: &Sign| rule.mode == Mode::Hint || sign.is_weak;
            if let Some(sign) = sign.filter(is_hint).filter(is_there) {
                let object = (scene.shown)(&process.objects()[sign.object].opened_as);
                let (flag, adds) = match &sign.arguments[..] {
                    [] => (format!("--with {}", rule.name), rule.adds),
                    names => {
                        let flag = format!("--with {}={}", rule.name, names.join("+"));
                        (flag, "what it names, and no more")
                    }
                };
                self.hint(Hint {
                    need: rule.name,
                    why: format!("{} {}", object.display(), sign.text),
                    adds,
                    flag,
                    more: 0,
                });
            }
            return Ok(Vec::new());
        }
        let supply = Supply {
            source: scene.source,
            process: &process,
            arguments: scene.selection.arguments(rule),
            is_image: scene.is_image,
        };
        let additions = match (rule.supply)(&supply) {
            Ok(additions) => additions,
            Err(why) if demanded => {
                return Err(NeedError::Absent {
                    need: rule.name,
                    why,
                });
            }
            Err(why) => {
                self.result.warnings.insert(format!("{}: {why}", rule.name));
                return Ok(Vec::new());
            }
        };
        let cause = cause(rule, &process, sign);
        let mut libraries = Vec::new();
        for addition in additions {
            match addition {
                Addition::Library { by, name } => libraries.push((by, name, rule.name)),
                addition => self.add(Provision {
                    addition,
                    cause: cause.clone(),
                })?,
            }
        }
        Ok(libraries)
    }

    fn hint(&mut self, hint: Hint) {
        // A program is looked at again when it has opened a library.
        if !self.told.insert((hint.flag.clone(), hint.why.clone())) {
            return;
        }
        let hints = &mut self.result.hints;
        match hints.iter_mut().find(|known| known.flag == hint.flag) {
            Some(known) => known.more += 1,
            None => hints.push(hint),
        }
    }

    /// Adds files; those that are programs or libraries bring what they load.
    fn add(&mut self, provision: Provision) -> Result<(), NeedError> {
        let Provision { addition, cause } = provision;
        match addition {
            Addition::Program(path) => self.start(&path, None, &cause),
            Addition::File(path) => self.file(&path, None, &cause),
            Addition::Tree(path) => self.tree(&path, None, &[], &cause),
            Addition::Part { path, without } => self.tree(&path, None, without, &cause),
            Addition::Copy { from, to } => self.tree(&from, Some(&to), &[], &cause),
            addition => {
                self.note(addition, &cause);
                Ok(())
            }
        }
    }

    fn note(&mut self, addition: Addition, cause: &Cause) {
        let is_new = !self
            .result
            .provisions
            .iter()
            .any(|known| known.addition == addition && known.cause.need == cause.need);
        if is_new {
            self.result.provisions.push(Provision {
                addition,
                cause: cause.clone(),
            });
        }
    }

    /// A program or library with all it loads.
    fn start(&mut self, path: &Path, to: Option<&Path>, cause: &Cause) -> Result<(), NeedError> {
        let key = (path.to_path_buf(), to.map(Path::to_path_buf));
        if !self.known.insert(key) {
            return Ok(());
        }
        if self.known.len() > MAX_PROCESSES {
            return Err(NeedError::TooManyPrograms((self.scene.shown)(path)));
        }
        let fail = |error| NeedError::Program {
            path: (self.scene.shown)(path),
            error,
        };
        let program = Program::find(self.scene.source, path).map_err(fail)?;
        let Scene {
            source,
            loaders,
            environment,
            ..
        } = self.scene;
        let closure = Closure::of(&program, source, loaders, environment).map_err(fail)?;
        self.result.started.push(Started {
            path: path.to_path_buf(),
            to: to.map(Path::to_path_buf),
            closure,
            cause: cause.clone(),
        });
        Ok(())
    }

    fn file(&mut self, path: &Path, to: Option<&Path>, cause: &Cause) -> Result<(), NeedError> {
        let walk = self
            .scene
            .source
            .walk(path)
            .map_err(|errno| self.unusable(path, &errno.message()))?;
        if walk.metadata.kind != NodeKind::File {
            return Err(self.unusable(path, "it is a device, a socket or a pipe; leave it out"));
        }
        let facts = self.scene.source.facts(&walk);
        let is_loaded = matches!(facts, Ok(Ok(object)) if object.is_loadable());
        if is_loaded {
            return self.start(path, to, cause);
        }
        if walk.metadata.mode & 0o111 != 0 {
            self.script(path, cause)?;
        }
        let addition = match to {
            None => Addition::File(path.to_path_buf()),
            Some(to) => Addition::Copy {
                from: path.to_path_buf(),
                to: to.to_path_buf(),
            },
        };
        self.note(addition, cause);
        Ok(())
    }

    /// What runs a file if it is a script.
    fn script(&mut self, path: &Path, cause: &Cause) -> Result<(), NeedError> {
        let scene = self.scene;
        match Interpreters::of(scene.source, scene.env, path) {
            None => {}
            Some(Err(why)) => {
                let path = (scene.shown)(path);
                let warning = format!("{} will not start: {why}", path.display());
                self.result.warnings.insert(warning);
            }
            Some(Ok(found)) => {
                for program in [Some(found.interpreter), found.command]
                    .into_iter()
                    .flatten()
                {
                    self.start(&program, None, cause)?;
                }
            }
        }
        Ok(())
    }

    fn unusable(&self, path: &Path, why: &str) -> NeedError {
        NeedError::Path {
            path: (self.scene.shown)(path),
            why: why.to_owned(),
        }
    }

    /// A file, or a folder with everything in it. A link inside stays a link, and brings what it
    /// leads to.
    fn tree(
        &mut self,
        path: &Path,
        to: Option<&Path>,
        without: &[&str],
        cause: &Cause,
    ) -> Result<(), NeedError> {
        let source = self.scene.source;
        let mut pending = vec![(path.to_path_buf(), to.map(Path::to_path_buf))];
        let mut seen = HashSet::new();
        let mut count = 0;
        while let Some((path, to)) = pending.pop() {
            count += 1;
            if count > MAX_FILES {
                return Err(NeedError::TooManyFiles((self.scene.shown)(&path)));
            }
            if count > 1
                && let Some(to) = &to
                && let Ok(target) = source.read_link(&path)
            {
                self.note(Addition::Link(to.clone(), target), cause);
                continue;
            }
            // What leads nowhere is not followed, and without another place it stays away.
            let walk = match source.walk(&path) {
                Ok(walk) => walk,
                Err(errno) if count == 1 => return Err(self.unusable(&path, &errno.message())),
                Err(_) => continue,
            };
            match walk.metadata.kind {
                NodeKind::File => self.file(&path, to.as_deref(), cause)?,
                NodeKind::Directory if seen.insert((walk.real.clone(), to.clone())) => {
                    self.result.folders.insert(walk.real.clone());
                    let names = source.read_dir(&path);
                    let names = names.map_err(|errno| self.unusable(&path, &errno.message()))?;
                    if names.is_empty() {
                        let folder = to.clone().unwrap_or_else(|| walk.real.clone());
                        self.note(Addition::Folder(folder, 0o755), cause);
                    }
                    let is_wanted = |name: &&OsString| {
                        let mut globs = without.iter().filter(|_| count == 1);
                        !globs.any(|glob| fast_glob::glob_match(glob.as_bytes(), name.as_bytes()))
                    };
                    for name in names.iter().rev().filter(is_wanted) {
                        pending.push((path.join(name), to.as_ref().map(|to| to.join(name))));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn cause(rule: &'static Rule, process: &Process<'_>, sign: Option<Sign>) -> Cause {
    match sign {
        Some(sign) => Cause {
            need: rule.name,
            object: Some(process.objects()[sign.object].opened_as.clone()),
            sign: sign.text,
        },
        None => Cause {
            need: rule.name,
            object: None,
            sign: "--with".to_owned(),
        },
    }
}
