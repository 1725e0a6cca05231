//! Adding: additions become files, programs with what they load, and directories.
//!
//! In: additions of rules and of users. Out: provisions for the tree, and programs for the engine
//! to process in turn.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::engine::{AddedScript, Loop, NeedsContext};
use super::provision::{Addition, NeedError, Provision, Started};
use super::{BY_HAND, TRACE};
use crate::closure::{Closure, Program};
use crate::exec::{Interpreters, reads_posix_scripts};
use crate::loader::Objects;
use crate::vfs::{NodeKind, Walk};

/// Maximum number of files in one added directory.
pub(super) const MAX_FILES: usize = 100_000;
/// Why something that is neither a file nor a directory cannot be added.
const SPECIAL: &str = "it is a device, socket or pipe; leave it out";
/// Maximum number of added scripts that are read for commands.
const MAX_SCRIPTS: usize = 1_000;
/// Maximum number of programs and libraries that are added.
pub(super) const MAX_PROCESSES: usize = 2_000;

impl Loop<'_> {
    /// Adds files; programs and libraries are added with what they load.
    pub(super) fn add(&mut self, provision: Provision) -> Result<(), NeedError> {
        match &provision.addition {
            Addition::Program(path) => self.start(path, None, &provision, false),
            Addition::File(path) => self.file(path, None, &provision, false),
            Addition::Tree(path) => self.tree(path, None, &[], &provision),
            Addition::Part { path, without } => self.tree(path, None, without, &provision),
            Addition::Copy { from, to } => self.tree(from, Some(to), &[], &provision),
            addition => {
                self.note(addition.clone(), &provision);
                Ok(())
            }
        }
    }

    /// Adds something as a part of `whole`.
    fn note(&mut self, addition: Addition, whole: &Provision) {
        let Provision {
            cause, ownership, ..
        } = whole;
        if self
            .noted
            .insert((cause.need, addition.clone(), *ownership))
        {
            self.result.provisions.push(Provision {
                addition,
                cause: cause.clone(),
                ownership: *ownership,
            });
        }
    }

    /// Adds a program or library with everything it loads. What is only a part of a directory, and
    /// for another architecture whose loader is not installed, comes without.
    fn start(
        &mut self,
        path: &Path,
        to: Option<&Path>,
        whole: &Provision,
        is_part: bool,
    ) -> Result<(), NeedError> {
        let key = (path.to_path_buf(), to.map(Path::to_path_buf));
        if !self.known.insert(key) {
            return Ok(());
        }
        if self.known.len() > MAX_PROCESSES {
            return Err(NeedError::TooManyPrograms((self.context.shown)(path)));
        }
        let fail = |error| NeedError::Program {
            path: (self.context.shown)(path),
            error,
        };
        let program = Program::find(self.context.source, path).map_err(fail)?;
        let NeedsContext {
            source,
            loaders,
            environment,
            ..
        } = self.context;
        let closure = match Closure::of(&program, source, loaders, environment) {
            Err(_) if is_part && self.is_foreign(&program) => {
                self.foreign.push((self.context.shown)(path));
                self.note(in_place(path, to), whole);
                return Ok(());
            }
            closure => closure.map_err(fail)?,
        };
        self.result.started.push(Started {
            path: path.to_path_buf(),
            to: to.map(Path::to_path_buf),
            closure,
            cause: whole.cause.clone(),
            ownership: whole.ownership,
        });
        Ok(())
    }

    fn is_foreign(&self, program: &Program) -> bool {
        let machine = program.object.machine_name();
        self.machine.is_some_and(|own| own != machine)
    }

    fn file(
        &mut self,
        path: &Path,
        to: Option<&Path>,
        whole: &Provision,
        is_part: bool,
    ) -> Result<(), NeedError> {
        let walk = self
            .context
            .source
            .walk(path)
            .map_err(|errno| self.unusable(path, &errno.message()))?;
        if walk.metadata.kind != NodeKind::File {
            return Err(self.unusable(path, SPECIAL));
        }
        self.note_access_list(&walk, whole);
        let facts = self.context.source.facts(&walk);
        let is_loaded = matches!(facts, Ok(Ok(object)) if object.is_loadable());
        if is_loaded {
            return self.start(path, to, whole, is_part);
        }
        if walk.metadata.mode & 0o111 != 0 {
            self.script(path, whole)?;
        }
        self.note(in_place(path, to), whole);
        Ok(())
    }

    /// Adds the interpreter of a file if it is a script.
    fn script(&mut self, path: &Path, whole: &Provision) -> Result<(), NeedError> {
        let context = self.context;
        match Interpreters::of(context.source, context.env, path) {
            None => {}
            // Modules with a `#!` line are imported, so their interpreter does not matter.
            Some(Err(_)) if whole.cause.need == super::rules::STDLIB => {}
            Some(Err(why)) => {
                let path = (context.shown)(path);
                let warning = format!("{} will not start: {why}", path.display());
                self.result.warnings.insert(warning);
            }
            Some(Ok(found)) => {
                let interpreter = found.command.as_ref().unwrap_or(&found.interpreter);
                let name = interpreter.file_name().and_then(|name| name.to_str());
                if name.is_some_and(reads_posix_scripts) && self.scripts.len() < MAX_SCRIPTS {
                    self.scripts.push(AddedScript {
                        path: path.to_path_buf(),
                        interpreter: interpreter.clone(),
                        is_by_hand: [BY_HAND, TRACE].contains(&whole.cause.need),
                    });
                }
                // The interpreter does not belong to a specific script.
                let plain = Provision::usual(whole.addition.clone(), whole.cause.clone());
                for program in [Some(found.interpreter), found.command]
                    .into_iter()
                    .flatten()
                {
                    self.start(&program, None, &plain, false)?;
                }
            }
        }
        Ok(())
    }

    /// Records that users and groups lose the rights that an access control list gives them by
    /// name.
    fn note_access_list(&mut self, walk: &Walk, whole: &Provision) {
        let is_asked = whole.cause.need == BY_HAND && whole.ownership.mode.is_none();
        // Without a mask, which is shown as the group's bits, the list names no users or groups.
        if !is_asked || walk.metadata.mode & 0o070 == 0 {
            return;
        }
        let list = self.context.source.attributes(walk).access_list;
        if list.is_some_and(|list| list.names_others) {
            self.access_lists.push((self.context.shown)(&walk.real));
        }
    }

    fn unusable(&self, path: &Path, why: &str) -> NeedError {
        NeedError::Path {
            path: (self.context.shown)(path),
            why: why.to_owned(),
        }
    }

    /// Adds a directory for its own sake, unless its contents bring it in as it is.
    fn folder(&mut self, walk: &Walk, to: Option<&Path>, is_empty: bool, whole: &Provision) {
        // A directory that is closed to others stays closed; any other is added with its contents.
        let mode = self.context.source.mode(walk);
        self.note_access_list(walk, whole);
        let is_closed = mode & 0o055 != 0o055;
        let is_for_all = mode & 0o002 != 0;
        if !is_empty && !is_closed && !is_for_all && whole.ownership.is_usual() {
            return;
        }
        // Its owner may write to it, so that a root directory can be removed.
        let mode = match is_closed || is_for_all {
            true => (mode & 0o1777) | 0o700,
            false => 0o755,
        };
        let folder = to.unwrap_or(&walk.real).to_path_buf();
        self.note(Addition::Folder(folder, mode), whole);
        // No file in it would add the links that lead to it.
        for link in walk.links.iter().filter(|_| to.is_none()) {
            let link = Addition::Link(link.at.clone(), link.target.clone());
            self.note(link, whole);
        }
    }

    /// Adds a file, or a directory with everything in it. A link inside stays a link, and its
    /// target is added too.
    fn tree(
        &mut self,
        path: &Path,
        to: Option<&Path>,
        without: &[&str],
        whole: &Provision,
    ) -> Result<(), NeedError> {
        let source = self.context.source;
        let mut pending = vec![(path.to_path_buf(), to.map(Path::to_path_buf))];
        let mut seen = HashSet::new();
        let mut count = 0;
        while let Some((path, to)) = pending.pop() {
            count += 1;
            if count > MAX_FILES {
                return Err(NeedError::TooManyFiles((self.context.shown)(&path)));
            }
            if count > 1
                && let Some(to) = &to
                && let Ok(target) = source.read_link(&path)
            {
                self.note(Addition::Link(to.clone(), target), whole);
                continue;
            }
            // What is left out is not loaded, and therefore cannot lack anything.
            let place = to.as_deref().unwrap_or(&path);
            if count > 1 && (self.context.is_excluded)(&path, place) {
                continue;
            }
            // A dangling link inside is not followed, and not added unless it is copied.
            let walk = match source.walk(&path) {
                Ok(walk) => walk,
                Err(errno) if count == 1 => return Err(self.unusable(&path, &errno.message())),
                Err(_) => continue,
            };
            match walk.metadata.kind {
                NodeKind::File => self.file(&path, to.as_deref(), whole, count > 1)?,
                NodeKind::Directory if seen.insert((walk.real.clone(), to.clone())) => {
                    self.result.folders.insert(walk.real.clone());
                    let names = source.read_dir(&path);
                    let names = names.map_err(|errno| self.unusable(&path, &errno.message()))?;
                    self.folder(&walk, to.as_deref(), names.is_empty(), whole);
                    let is_wanted = |name: &&OsString| {
                        let mut globs = without.iter().filter(|_| count == 1);
                        !globs.any(|glob| fast_glob::glob_match(glob.as_bytes(), name.as_bytes()))
                    };
                    for name in names.iter().rev().filter(is_wanted) {
                        pending.push((path.join(name), to.as_ref().map(|to| to.join(name))));
                    }
                }
                NodeKind::Special if count == 1 => {
                    return Err(self.unusable(&path, SPECIAL));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A file under its own path, or under another one.
fn in_place(path: &Path, to: Option<&Path>) -> Addition {
    match to {
        None => Addition::File(path.to_path_buf()),
        Some(to) => Addition::Copy {
            from: path.to_path_buf(),
            to: to.to_path_buf(),
        },
    }
}
