//! The loop that resolves needs and closures until nothing changes.
//!
//! In: the closures of the programs to pack. Out: the same closures with the libraries that are
//! opened at run time, further programs that are started, and the files that are read. What a
//! rule adds may have needs of its own, so everything that is added is processed in turn.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::process::{Process, RuleMemo, begins_as_program};
use super::provision::Ownership;
use super::provision::{Addition, Cause, Hint, NeedError, Provision, Provisions};
use super::rules::{BUNDLE, COMMANDS, RULES, script_with_data, told_paths, unknown_payload};
use super::selection::Selection;
use super::{Mode, NeedRule, SCRIPT, Sign, Supply, Unmet};
use crate::closure::{Closure, Program};
use crate::loader::{Environment, Loaders};
use crate::vfs::{NodeKind, View};

/// Takes the place of the need's name in hints at files that arguments name.
const ARGUMENTS: &str = "arguments";

/// The input of the loop.
pub struct NeedsContext<'a> {
    /// The file system of the source.
    pub source: &'a View,
    /// The loaders of the source.
    pub loaders: &'a Loaders,
    /// The environment in which loaders search.
    pub environment: &'a Environment,
    /// The environment variables of the image, as `NAME=VALUE`.
    pub env: &'a [String],
    /// The user that the image runs as; empty for root.
    pub user: &'a str,
    /// The arguments of the first program.
    pub arguments: &'a [String],
    /// For each program, the script that it runs, if any.
    pub scripts: &'a [Option<PathBuf>],
    /// Whether the source is an image.
    pub is_image: bool,
    /// Which needs are enabled.
    pub selection: &'a Selection,
    /// Whether to collect hints, which takes time.
    pub wants_hints: bool,
    /// Whether something in an added directory is excluded, by its paths in the source and in the
    /// image.
    pub is_excluded: &'a dyn Fn(&Path, &Path) -> bool,
    /// Translates a path of the source to the path shown to the user.
    pub shown: &'a dyn Fn(&Path) -> PathBuf,
}

/// Resolves the needs of `closures` and of everything that is `added` for other reasons.
///
/// # Errors
/// [`NeedError`] if something that was requested is missing.
pub fn provide(
    context: &NeedsContext<'_>,
    closures: &mut [Closure],
    added: Vec<Provision>,
) -> Result<Provisions, NeedError> {
    let mut loop_ = Loop {
        context,
        result: Provisions::default(),
        known: HashSet::new(),
        demanding: Vec::new(),
        scripts: Vec::new(),
        told: HashSet::new(),
        noted: HashSet::new(),
        unmet: BTreeMap::new(),
        access_lists: Vec::new(),
        configured_users: BTreeSet::new(),
        brought: Arc::default(),
        machine: closures
            .first()
            .map(|closure| closure.program().object.machine_name()),
        foreign: Vec::new(),
    };
    loop_.add_all(added)?;
    loop_.warn_of_access_lists();
    loop_.demanding = loop_.shown_by_others(closures);
    for (number, closure) in closures.iter_mut().enumerate() {
        loop_.serve(closure, &Role::Packed(number))?;
    }
    loop_.hint_at_arguments();
    let (mut next, mut read, mut followed) = (0, 0, 0);
    loop {
        if next == loop_.result.started.len() {
            loop_.follow_configurations(&mut followed)?;
            if next < loop_.result.started.len() {
                continue;
            }
            let Some(script) = loop_.scripts.get(read).cloned() else {
                break;
            };
            read += 1;
            loop_.read_script(&script)?;
            continue;
        }
        // Taken out of the list while it is processed: its needs may add to the list.
        let placeholder = Closure::empty(loop_.result.started[next].closure.program());
        let mut closure = std::mem::replace(&mut loop_.result.started[next].closure, placeholder);
        let role = Role::of(&loop_.result.started[next].cause);
        loop_.serve(&mut closure, &role)?;
        loop_.result.started[next].closure = closure;
        next += 1;
    }
    loop_.add_configured_users()?;
    loop_.warn_of_foreign_files();
    loop_.finish()
}

/// Files that engines mount themselves.
pub(super) const MOUNTED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Why a program is processed.
#[derive(Clone, PartialEq, Eq)]
enum Role {
    /// The user named it. The first is the one that is started: needs requested by name apply to
    /// it.
    Packed(usize),
    /// It runs a script that the user named.
    Runs(Option<PathBuf>),
    /// A need or `--add` added it.
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

/// An added script, which may start what no program does.
#[derive(Clone)]
pub(super) struct AddedScript {
    pub(super) path: PathBuf,
    pub(super) interpreter: PathBuf,
    /// Whether the user or a recorded run added it: other scripts are part of something that was requested, and give
    /// no hints.
    pub(super) is_by_hand: bool,
}

/// The state of the loop.
pub(super) struct Loop<'a> {
    pub(super) context: &'a NeedsContext<'a>,
    pub(super) result: Provisions,
    /// Programs and libraries that have been added, by source and destination.
    pub(super) known: HashSet<(PathBuf, Option<PathBuf>)>,
    /// Needs requested by name whose sign is shown by another program than the first, with that
    /// program.
    demanding: Vec<(&'static str, Role)>,
    /// Scripts that were added, in order.
    pub(super) scripts: Vec<AddedScript>,
    /// Needs requested by name that a program could not get, with the reason.
    unmet: BTreeMap<&'static str, Unmet>,
    /// Everything that was added, by need.
    pub(super) noted: HashSet<(&'static str, Addition, Ownership)>,
    /// What the user added that has an access control list naming users or groups.
    pub(super) access_lists: Vec<PathBuf>,
    /// Users named in configurations that were added.
    pub(super) configured_users: BTreeSet<String>,
    /// Hints that were given, by flag and reason.
    told: HashSet<(String, String)>,
    /// Real paths of what the user and recorded runs added, files and whole directories.
    brought: Arc<BTreeSet<PathBuf>>,
    /// The machine that the programs are for.
    pub(super) machine: Option<&'static str>,
    /// Programs and libraries for other machines, which come without what they load.
    pub(super) foreign: Vec<PathBuf>,
}

impl<'a> Loop<'a> {
    /// Adds what others than the rules bring.
    fn add_all(&mut self, added: Vec<Provision>) -> Result<(), NeedError> {
        let mut brought = BTreeSet::new();
        for provision in added {
            brought.extend(self.directory_of(&provision));
            self.add(provision)?;
        }
        brought.extend(self.added_files());
        self.brought = Arc::new(brought);
        Ok(())
    }

    /// Everything that was added, unless nothing has met a need that was requested.
    fn finish(self) -> Result<Provisions, NeedError> {
        let is_met = |need: &str| {
            let provisions = self.result.provisions.iter();
            let causes = provisions.map(|provision| &provision.cause);
            let started = self.result.started.iter().map(|started| &started.cause);
            causes.chain(started).any(|cause| cause.need == need)
        };
        match self.unmet.into_iter().find(|(need, _)| !is_met(need)) {
            Some((need, Unmet::Absent(why))) => Err(NeedError::Absent { need, why }),
            Some((need, Unmet::NotShown(why))) => Err(NeedError::NotShown { need, why }),
            None => Ok(self.result),
        }
    }

    /// The real path of a directory that is added with all that is in it.
    fn directory_of(&self, provision: &Provision) -> Option<PathBuf> {
        let Addition::Tree(path) = &provision.addition else {
            return None;
        };
        self.real(path)
    }

    /// The real paths of the files that have been added where they are.
    fn added_files(&self) -> BTreeSet<PathBuf> {
        let started = self.result.started.iter();
        let started = started.filter(|started| started.to.is_none());
        let started = started.map(|started| &started.path);
        let files = self.result.provisions.iter();
        let files = files.filter_map(|provision| match &provision.addition {
            Addition::File(path) => Some(path),
            _ => None,
        });
        started
            .chain(files)
            .filter_map(|path| self.real(path))
            .collect()
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        let walk = self.context.source.walk(path).ok()?;
        Some(walk.real.clone())
    }

    /// A program as the rules see it.
    fn process<'p>(&self, closure: &'p Closure, role: &'p Role) -> Process<'p>
    where
        'a: 'p,
    {
        let context = self.context;
        Process {
            view: context.source,
            closure,
            environment: context.environment,
            env: context.env,
            user: context.user,
            arguments: match role {
                Role::Packed(0) => context.arguments,
                // The command that `env` starts for the script that is packed.
                Role::Runs(script) if context.scripts.first() == Some(script) => context.arguments,
                _ => &[],
            },
            script: match role {
                Role::Packed(number) => context.scripts.get(*number).and_then(Option::as_deref),
                Role::Runs(script) => script.as_deref(),
                Role::Added => None,
            },
            is_packed: *role != Role::Added,
            is_image: context.is_image,
            // What is requested by name is added for the program that shows its sign, even without
            // a hint.
            wants_hints: context.wants_hints
                || RULES.iter().any(|rule| context.selection.demands(rule)),
            has_contents: true,
            brought: self.brought.clone(),
            memo: RuleMemo::default(),
        }
    }

    /// Needs requested by name whose sign is shown by another program than the first, with that
    /// program: `env` that starts Python for a script does not itself need Python's library.
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
            .filter(|rule| self.context.selection.demands(rule));
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

    /// Resolves the needs of one process until it opens no further library.
    fn serve(&mut self, closure: &mut Closure, role: &Role) -> Result<(), NeedError> {
        let mut opened = HashSet::new();
        let mut is_first = true;
        if *role != Role::Added {
            let process = self.process(closure, role);
            let payload = unknown_payload(&process).map(|payload| {
                let program = (self.context.shown)(&closure.program().opened_as);
                format!("{} {payload}", program.display())
            });
            self.result.warnings.extend(payload);
            let data = script_with_data(&process).map(|script| {
                let script = (self.context.shown)(script);
                let script = script.display();
                format!("{script} has data after its commands, whose needs are unknown")
            });
            self.result.warnings.extend(data);
        }
        loop {
            let mut libraries = Vec::new();
            let process = self.process(closure, role);
            for rule in RULES {
                // Hints are only about the program and the libraries that it names itself.
                let is_hint = rule.mode == Mode::Hint && !self.context.selection.serves(rule);
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
                let context = self.context;
                let opened = closure
                    .open(
                        context.source,
                        context.environment,
                        by,
                        OsStr::new(&name),
                        need,
                    )
                    .map_err(fail)?;
                if opened.is_none() && need == BUNDLE {
                    let program = (context.shown)(&closure.program().opened_as);
                    self.result.warnings.insert(format!(
                        "{name} not found (needed by a file in the archive of {})",
                        program.display()
                    ));
                }
            }
        }
    }

    /// Applies one rule; returns the libraries that the process opens.
    fn apply(
        &mut self,
        rule: &'static NeedRule,
        process: &Process<'_>,
        role: &Role,
    ) -> Result<Vec<(usize, String, &'static str)>, NeedError> {
        let context = self.context;
        let demanding = self.demanding.iter().find(|(name, _)| *name == rule.name);
        let is_demanding = match demanding {
            Some((_, demanding)) => demanding == role,
            None => *role == Role::Packed(0),
        };
        let demanded = is_demanding && context.selection.demands(rule);
        let is_silent = match rule.mode {
            Mode::Automatic => false,
            Mode::Hint => !context.wants_hints && !context.selection.serves(rule),
            Mode::Request => true,
        };
        if context.selection.forbids(rule) || (is_silent && !demanded) {
            return Ok(Vec::new());
        }
        let sign = (rule.fires)(process);
        let selection = context.selection;
        let is_enough = |sign: &Sign| !sign.is_weak || selection.demands(rule);
        let is_served = selection.serves(rule) && sign.as_ref().is_some_and(is_enough);
        if !demanded && !is_served {
            // No hint if the source lacks it: the flag could not add it.
            let is_there = |_: &Sign| rule.is_met.is_none_or(|is_met| is_met(process));
            let is_hint = |sign: &Sign| rule.mode == Mode::Hint || sign.is_weak;
            if let Some(sign) = sign.filter(is_hint).filter(is_there) {
                let object = (context.shown)(&process.objects()[sign.object].opened_as);
                self.hint(hint_of(rule, sign, &object));
            }
            return Ok(Vec::new());
        }
        let supply = Supply {
            source: context.source,
            process,
            arguments: context.selection.arguments(rule),
            is_image: context.is_image,
        };
        let additions = match (rule.supply)(&supply) {
            Ok(additions) => additions,
            // Another program may show the sign, such as one that a need or a script adds.
            Err(why) if demanded => {
                self.unmet.entry(rule.name).or_insert(why);
                return Ok(Vec::new());
            }
            // The requested names belong to another program.
            Err(_) if !supply.arguments.is_empty() => return Ok(Vec::new()),
            Err(Unmet::Absent(why)) => {
                self.result.warnings.insert(format!("{}: {why}", rule.name));
                return Ok(Vec::new());
            }
            Err(Unmet::NotShown(_)) => return Ok(Vec::new()),
        };
        let cause = cause(rule, process, sign);
        let mut libraries = Vec::new();
        for addition in additions {
            match addition {
                Addition::Library { by, name } => libraries.push((by, name, rule.name)),
                addition => self.add(Provision::usual(addition, cause.clone()))?,
            }
        }
        Ok(libraries)
    }

    fn warn_of_foreign_files(&mut self) {
        let paths = self.foreign.iter().map(PathBuf::as_path);
        let warning = told_paths(paths, 1).map(|paths| {
            format!(
                "added for another architecture, without the libraries that they load: {paths}; leave \
                 them out with --exclude"
            )
        });
        self.result.warnings.extend(warning);
    }

    fn warn_of_access_lists(&mut self) {
        let paths = self.access_lists.iter().map(PathBuf::as_path);
        let warning = told_paths(paths, 1).map(|paths| {
            format!(
                "the access control list of {paths} is not in the image, only the rights of owner, \
                 group and others: give it to its user with --add SRC:DEST,chown=OWNER,chmod=MODE"
            )
        });
        self.result.warnings.extend(warning);
    }

    /// Applies the rule about commands to a script that was added.
    fn read_script(&mut self, script: &AddedScript) -> Result<(), NeedError> {
        let context = self.context;
        if !script.is_by_hand && !context.selection.serves(&COMMANDS) {
            return Ok(());
        }
        let fail = |error| NeedError::Program {
            path: (context.shown)(&script.interpreter),
            error,
        };
        let program = Program::find(context.source, &script.interpreter).map_err(fail)?;
        let closure = Closure::of(
            &program,
            context.source,
            context.loaders,
            context.environment,
        );
        let closure = closure.map_err(fail)?;
        let role = Role::Runs(Some(script.path.clone()));
        let process = self.process(&closure, &role);
        self.apply(&COMMANDS, &process, &role).map(drop)
    }

    /// Hints at files in the arguments that are not added otherwise: `haproxy -f FILE`.
    fn hint_at_arguments(&mut self) {
        let context = self.context;
        if !context.wants_hints {
            return;
        }
        for argument in context.arguments {
            let path = argument
                .split_once('=')
                .map_or(&**argument, |(_, value)| value);
            let path = Path::new(path);
            let is_mounted = MOUNTED.iter().any(|top| path.starts_with(top));
            if !path.is_absolute()
                || is_mounted
                || self.brings(path)
                || !is_plain(&path.display().to_string())
            {
                continue;
            }
            // Programs are covered by the need `commands`; a directory may be a mount point.
            let is_file = context.source.kind(path) == Some(NodeKind::File);
            if is_file && !begins_as_program(context.source, path) {
                let path = (context.shown)(path);
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

    /// Whether the file at `path` was already added.
    fn brings(&self, path: &Path) -> bool {
        let provisions = self.result.provisions.iter();
        let mut places = provisions.filter_map(|provision| match &provision.addition {
            Addition::File(at) | Addition::Copy { to: at, .. } => Some(at),
            _ => None,
        });
        places.any(|at| path.starts_with(at))
    }

    pub(super) fn hint(&mut self, hint: Hint) {
        // A program is processed again after it has opened a library.
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

/// Whether a name can be in a list after `--with NEED=` without quoting in a shell.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@:".contains(&byte);
    name.bytes().all(is_plain)
}

/// What a hint says about a sign of `object`.
fn hint_of(rule: &NeedRule, sign: Sign, object: &Path) -> Hint {
    let (flag, adds) = match &sign.arguments[..] {
        // Names that do not fit in a flag are still in the reason.
        names if names.iter().any(|name| !is_plain(name)) => {
            (format!("--with {}", rule.name), rule.adds.to_owned())
        }
        [] => (format!("--with {}", rule.name), rule.adds.to_owned()),
        names => (
            format!("--with {}={}", rule.name, names.join("+")),
            format!("just those, --with {} adds all", rule.name),
        ),
    };
    Hint {
        need: rule.name,
        why: format!("{} {}", object.display(), sign.text),
        adds,
        flag,
        names: [sign.arguments, sign.names].concat(),
        more: 0,
    }
}

fn cause(rule: &'static NeedRule, process: &Process<'_>, sign: Option<Sign>) -> Cause {
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
