//! Needs and closures are one loop until nothing changes.
//!
//! In: the closures of the programs to pack. Out: the same closures with the libraries that are
//! opened at run time, further programs that are started, and the files that are read. What a
//! rule adds may have needs of its own, so everything that is added is looked at in its turn.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::process::{Memo, Process};
use super::provision::{Addition, Cause, Hint, NeedError, Provision, Provisions};
use super::rules::{BUNDLE, RULES, unknown_payload};
use super::selection::Selection;
use super::{Mode, Rule, SCRIPT, Sign, Supply};
use crate::closure::Closure;
use crate::elf::ElfError;
use crate::loader::{Environment, Loaders};
use crate::vfs::{NodeKind, View};

/// What hints at files that arguments name are filed under.
const ARGUMENTS: &str = "arguments";

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
        demanding: Vec::new(),
        told: HashSet::new(),
        noted: HashSet::new(),
    };
    for provision in added {
        loop_.add(provision)?;
    }
    loop_.demanding = loop_.shown_by_others(closures);
    for (number, closure) in closures.iter_mut().enumerate() {
        loop_.serve(closure, &Role::Packed(number))?;
    }
    loop_.hint_at_arguments();
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
#[derive(Clone, PartialEq, Eq)]
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

/// The loop at work.
pub(super) struct Loop<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) result: Provisions,
    /// Programs and libraries that have been added, by source and destination.
    pub(super) known: HashSet<(PathBuf, Option<PathBuf>)>,
    /// Needs that were asked for by name and whose signs not the first program shows, with the
    /// program that does.
    demanding: Vec<(&'static str, Role)>,
    /// Everything that was added for a need.
    pub(super) noted: HashSet<(&'static str, Addition)>,
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
            memo: Memo::default(),
        }
    }

    /// Needs that were asked for by name and whose signs not the first program shows, with the
    /// program that does: `env` that starts Python for a script needs no library of Python.
    fn shown_by_others(&self, closures: &[Closure]) -> Vec<(&'static str, Role)> {
        let packed = closures.iter().enumerate();
        let packed = packed.map(|(number, closure)| (closure, Role::Packed(number)));
        let started = self.result.started.iter();
        let started = started.map(|started| (&started.closure, Role::of(&started.cause)));
        let programs: Vec<_> = packed
            .chain(started)
            .filter(|(_, role)| *role != Role::Added)
            .collect();
        if programs.len() < 2 {
            return Vec::new();
        }
        let demanded = RULES
            .iter()
            .filter(|rule| self.scene.selection.demands(rule));
        let shown = demanded.filter_map(|rule| {
            let mut programs = programs.iter();
            let shows = |(closure, role): &&(&Closure, Role)| {
                (rule.fires)(&self.process(closure, role)).is_some()
            };
            let (_, role) = programs.find(shows)?;
            Some((rule.name, role.clone()))
        });
        shown.collect()
    }

    /// Serves the needs of one process until no library is opened any more.
    fn serve(&mut self, closure: &mut Closure, role: &Role) -> Result<(), NeedError> {
        let mut opened = HashSet::new();
        let mut is_first = true;
        if *role != Role::Added {
            let process = self.process(closure, role);
            let payload = unknown_payload(&process).map(|payload| {
                let program = (self.scene.shown)(&closure.program().opened_as);
                format!("{} {payload}", program.display())
            });
            self.result.warnings.extend(payload);
        }
        loop {
            let mut libraries = Vec::new();
            let process = self.process(closure, role);
            for rule in RULES {
                // Hints are about the program and what it names itself.
                let is_hint = rule.mode == Mode::Hint && !self.scene.selection.serves(rule);
                if is_first || !is_hint {
                    libraries.extend(self.apply(rule, &process, role)?);
                }
            }
            libraries.retain(|library: &(usize, String, &'static str)| {
                opened.insert((library.0, library.1.clone()))
            });
            if libraries.is_empty() {
                return Ok(());
            }
            is_first = false;
            for (by, name, need) in libraries {
                let path = closure.program().opened_as.clone();
                let fail = |error| NeedError::Program { path, error };
                let scene = self.scene;
                let opened = closure
                    .open(scene.source, scene.environment, by, OsStr::new(&name), need)
                    .map_err(fail)?;
                if opened.is_none() && need == BUNDLE {
                    let program = (scene.shown)(&closure.program().opened_as);
                    self.result.warnings.insert(format!(
                        "{name} is not found, which a file in the archive of {} needs",
                        program.display()
                    ));
                }
            }
        }
    }

    /// Applies one rule; the libraries that the process opens.
    fn apply(
        &mut self,
        rule: &'static Rule,
        process: &Process<'_>,
        role: &Role,
    ) -> Result<Vec<(usize, String, &'static str)>, NeedError> {
        let scene = self.scene;
        let demanding = self.demanding.iter().find(|(name, _)| *name == rule.name);
        let is_demanding = match demanding {
            Some((_, demanding)) => demanding == role,
            None => *role == Role::Packed(0),
        };
        let demanded = is_demanding && scene.selection.demands(rule);
        let is_silent = match rule.mode {
            Mode::Automatic => false,
            Mode::Hint => !scene.wants_hints && !scene.selection.serves(rule),
            Mode::Request => true,
        };
        if scene.selection.forbids(rule) || (is_silent && !demanded) {
            return Ok(Vec::new());
        }
        let sign = (rule.fires)(process);
        let selection = scene.selection;
        let is_enough = |sign: &Sign| !sign.is_weak || selection.demands(rule);
        let is_served = selection.serves(rule) && sign.as_ref().is_some_and(is_enough);
        if !demanded && !is_served {
            // What the source does not have no flag brings.
            let is_there = |_: &Sign| rule.is_met.is_none_or(|is_met| is_met(process));
            let is_hint = |sign: &Sign| rule.mode == Mode::Hint || sign.is_weak;
            if let Some(sign) = sign.filter(is_hint).filter(is_there) {
                let object = (scene.shown)(&process.objects()[sign.object].opened_as);
                let (flag, adds) = match &sign.arguments[..] {
                    // What a flag cannot say stands in the reason.
                    names if names.iter().any(|name| !is_plain(name)) => {
                        (format!("--with {}", rule.name), rule.adds.to_owned())
                    }
                    [] => (format!("--with {}", rule.name), rule.adds.to_owned()),
                    names => (
                        format!("--with {}={}", rule.name, names.join("+")),
                        format!("just that, --with {} all", rule.name),
                    ),
                };
                self.hint(Hint {
                    need: rule.name,
                    why: format!("{} {}", object.display(), sign.text),
                    adds,
                    flag,
                    names: [sign.arguments, sign.names].concat(),
                    more: 0,
                });
            }
            return Ok(Vec::new());
        }
        let supply = Supply {
            source: scene.source,
            process,
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
            // What was asked for by name is another program's.
            Err(_) if !supply.arguments.is_empty() => return Ok(Vec::new()),
            Err(why) => {
                self.result.warnings.insert(format!("{}: {why}", rule.name));
                return Ok(Vec::new());
            }
        };
        let cause = cause(rule, process, sign);
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

    /// Hints at files that the arguments name and nothing brings: `haproxy -f FILE`.
    fn hint_at_arguments(&mut self) {
        let scene = self.scene;
        if !scene.wants_hints {
            return;
        }
        for argument in scene.arguments {
            let path = argument
                .split_once('=')
                .map_or(&**argument, |(_, value)| value);
            let path = Path::new(path);
            if !path.is_absolute() || self.brings(path) || !is_plain(&path.display().to_string()) {
                continue;
            }
            let Ok(walk) = scene.source.walk(path) else {
                continue;
            };
            // Programs are the need `commands`; a directory may be meant to be mounted.
            let is_program = matches!(
                scene.source.facts(&walk),
                Ok(Ok(_) | Err(ElfError::NotElf(true)))
            );
            if walk.metadata.kind == NodeKind::File && !is_program {
                let path = (scene.shown)(path);
                self.hint(Hint {
                    need: ARGUMENTS,
                    why: format!("an argument names {}", path.display()),
                    adds: "the file".to_owned(),
                    flag: format!("--add {}", path.display()),
                    names: vec![path.display().to_string()],
                    more: 0,
                });
            }
        }
    }

    /// Whether something else brings the file at `path`.
    fn brings(&self, path: &Path) -> bool {
        let provisions = self.result.provisions.iter();
        let mut places = provisions.filter_map(|provision| match &provision.addition {
            Addition::File(at) | Addition::Tree(at) | Addition::Copy { to: at, .. } => Some(at),
            _ => None,
        });
        places.any(|at| path.starts_with(at))
    }

    fn hint(&mut self, hint: Hint) {
        // A program is looked at again when it has opened a library.
        if !self.told.insert((hint.flag.clone(), hint.why.clone())) {
            return;
        }
        let hints = &mut self.result.hints;
        match hints.iter_mut().find(|known| known.flag == hint.flag) {
            Some(known) => {
                known.more += 1;
                let names = hint.names.into_iter();
                let new: Vec<_> = names.filter(|name| !known.names.contains(name)).collect();
                known.names.extend(new);
            }
            None => hints.push(hint),
        }
    }
}

/// Whether a name can stand in a list behind `--with NEED=` and is the same word for a shell.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@:".contains(&byte);
    name.bytes().all(is_plain)
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
