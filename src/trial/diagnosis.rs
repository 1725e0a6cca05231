//! Why a program failed in an image.
//!
//! In: what it looked up and did not get, and the tree that the image was made from. Out: the likeliest
//! cause in words, and what else is missing, each with the option that adds it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::absent::Absent;
use super::obstacle::{Obstacle, missing, obstacle};
use super::places::{homes, is_library, is_noise, is_shared, plain};
use super::remedies::NeedOption;
use crate::exec::{AccountKind, Accounts, Start, path_folders};
use crate::run::{Ids, Ran};
use crate::trace::{Ending, FailedLookup, LookupGoal, Recording, Uses};
use crate::vfs::{NodeKind, View, Walk};

/// Most suspects of a diagnosis.
const MAX_SUSPECTS: usize = 200;
/// Error numbers (`errno(3)`); the same on all architectures that can be traced.
const EPERM: i32 = 1;
pub(super) const ENOENT: i32 = 2;
const EACCES: i32 = 13;
pub(super) const ENOTDIR: i32 = 20;
const EROFS: i32 = 30;
/// Signals (`signal(7)`).
const SIGILL: i32 = 4;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;
/// How the loader is configured: slimpack writes that itself where it is needed.
pub(super) const LOADER: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];

/// What engines provide, and no image has.
pub(super) const PROVIDED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// How likely something is the cause; the smaller, the likelier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A program or library that a process could not do without.
    Load,
    /// What a process looked for before it gave up.
    Lookup,
    /// A directory that other packages have files in, too.
    Shared,
    /// A user without an entry.
    Account,
    /// A directory that was listed, of which more is in the source.
    Listed,
    /// What most programs do without.
    Noise,
    /// A file of a user of this machine.
    Private,
}

/// A suspect, how likely it is, and how long before the end of its process it failed.
pub(super) type Ranked = (Rank, usize, Suspect);

/// Something that the image lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its path.
    pub path: PathBuf,
    /// What is wrong, in words.
    pub what: String,
    /// The process that wanted it.
    pub process: String,
    /// The option of slimpack that adds it, if one does.
    pub flag: Option<String>,
    /// Whether it is in the home of a user, and thus for the user alone to add.
    pub is_private: bool,
}

impl Suspect {
    /// Something at `path` that `process` wanted, and the option that adds it.
    pub fn new(path: &Path, what: String, process: String, flag: Option<String>) -> Self {
        Self {
            path: path.to_path_buf(),
            what,
            process,
            flag,
            is_private: false,
        }
    }
}

/// Why a program failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The likeliest cause.
    pub cause: String,
    /// What is missing or refused, the likeliest cause first.
    pub suspects: Vec<Suspect>,
    /// Whether the first of them is the cause.
    pub is_found: bool,
}

/// What is known of an image that failed.
pub struct Failed<'a> {
    /// Its files.
    pub view: &'a View,
    /// The tree that it was made from, where what it lacks is.
    pub source: &'a View,
    /// How it was started.
    pub start: &'a Start,
    /// Whom it ran as.
    pub ids: &'a Ids,
    /// The directory of the source in which slimpack was started; `None` if the source is another image.
    pub project: Option<&'a Path>,
    /// Options that bring more than one file.
    pub remedies: Vec<NeedOption>,
    /// The end of what the program wrote to standard error, as far as it is known.
    pub said: String,
}

impl Failed<'_> {
    /// Why the program was not executed. `path` is what was tried, or the word that was searched for.
    pub fn not_executed(&self, path: &str, error: &std::io::Error) -> Diagnosis {
        let at = match path.contains('/') {
            true => self.start.working_dir.join(path),
            false => match self.start.command(self.view, path) {
                Some(found) => found,
                None => return self.not_found(path),
            },
        };
        let Some(obstacle) = obstacle(self.view, &at) else {
            return Diagnosis {
                cause: format!("{path} cannot be executed: {error}"),
                suspects: Vec::new(),
                is_found: false,
            };
        };
        let suspect = self.of_obstacle(&obstacle, path);
        Diagnosis {
            cause: obstacle.what,
            suspects: vec![suspect],
            is_found: true,
        }
    }

    fn not_found(&self, word: &str) -> Diagnosis {
        let here = self.start.command(self.source, word);
        let what = format!("{word} is in no directory of the image's PATH");
        let suspects = here.map(|path| {
            let flag = Some(add(&path));
            Suspect::new(&path, what.clone(), word.to_owned(), flag)
        });
        Diagnosis {
            cause: what,
            is_found: suspects.is_some(),
            suspects: suspects.into_iter().collect(),
        }
    }

    fn of_obstacle(&self, obstacle: &Obstacle, process: &str) -> Suspect {
        let can_add = obstacle.is_missing && self.source.walk(&obstacle.path).is_ok();
        let flag = can_add.then(|| add(&obstacle.path));
        let what = obstacle.what.clone();
        Suspect::new(&obstacle.path, what, process.to_owned(), flag)
    }

    /// Why a program that ran failed.
    pub fn ran(&self, ran: &Ran) -> Diagnosis {
        let none = Recording::default();
        let recording = ran.recording.as_ref().unwrap_or(&none);
        let found = FoundPaths::of(recording);
        let (suspects, mut is_found) = self.suspects(recording, &found);
        let absent = self.absent(recording, &found);
        // What the program says itself is more likely than what it asked for.
        let is_told = |first: &Suspect| !self.is_named(&first.path);
        if absent.as_ref().is_some_and(|absent| absent.is_named) {
            is_found &= !suspects.first().is_some_and(is_told);
        }
        let how = match ran.ending {
            _ if ran.timed_out => "the program took too long".to_owned(),
            Ending::Exit(status) => format!("the program ended with status {status}"),
            Ending::Signal(SIGSYS) => {
                "the program made a system call that a seccomp filter forbids (SIGSYS)".to_owned()
            }
            Ending::Signal(SIGILL) => {
                "the program has an instruction that this processor lacks (SIGILL)".to_owned()
            }
            Ending::Signal(SIGSEGV) => "the program crashed (SIGSEGV)".to_owned(),
            Ending::Signal(signal) => format!("the program was ended by signal {signal}"),
        };
        let cause = match suspects.first().filter(|_| is_found) {
            Some(first) => format!("{}; {how}", first.what),
            None => self.unexplained(&how, absent, suspects.first()),
        };
        Diagnosis {
            cause,
            suspects,
            is_found,
        }
    }

    /// How a program ended, and what is known where no option is likely to help.
    fn unexplained(&self, how: &str, absent: Option<Absent>, first: Option<&Suspect>) -> String {
        let mut options = self.remedies.iter().map(|option| &option.flag);
        // An option that brings more of what was listed is likelier than a file that is nowhere.
        let is_of_need = first
            .and_then(|first| first.flag.as_ref())
            .is_some_and(|flag| options.any(|option| option == flag));
        match absent.filter(|absent| absent.is_named || !is_of_need) {
            Some(absent) => format!("{how}; {}", absent.what),
            None if is_of_need => how.to_owned(),
            None if first.is_none() => {
                format!("{how}; nothing that it looked for is missing in the image")
            }
            None => format!("{how}; what it looked for and did not find, most programs do without"),
        }
    }

    /// What the program lacks, and whether it is likely that it needs the first of it.
    fn suspects(&self, recording: &Recording, found: &FoundPaths<'_>) -> (Vec<Suspect>, bool) {
        let homes = self.project.map_or(Vec::new(), |_| homes(self.source));
        let mut ranked: Vec<Ranked> = self.named_in_output(recording);
        for failure in &recording.failures {
            if let Some((mut rank, mut suspect)) = self.suspect(failure, recording, found) {
                if self.is_private(&homes, &suspect.path) {
                    (rank, suspect.is_private) = (Rank::Private, true);
                }
                ranked.push((rank, found.distance(failure), suspect));
            }
        }
        if let Some(suspect) = self.account(recording) {
            ranked.push((Rank::Account, 0, suspect));
        }
        let mut ranked = self.remedied(ranked, recording);
        ranked.sort_by_key(|(rank, distance, _)| (*rank, *distance));
        let is_found = ranked
            .first()
            .is_some_and(|(rank, ..)| *rank < Rank::Listed);
        let mut named: HashSet<PathBuf> = HashSet::new();
        let suspects = ranked.into_iter().map(|(.., suspect)| suspect);
        let suspects = suspects
            .filter(|suspect| named.insert(self.real(&suspect.path)))
            .take(MAX_SUSPECTS);
        (suspects.collect(), is_found)
    }

    /// Whether a path is in the home of a user, and not in the project that is being packed.
    fn is_private(&self, homes: &[PathBuf], path: &Path) -> bool {
        let is_project = self.project.is_some_and(|project| {
            !homes.iter().any(|home| home.starts_with(project)) && path.starts_with(project)
        });
        !is_project && homes.iter().any(|home| path.starts_with(home))
    }

    /// The path of a suspect without links, where it is.
    fn real(&self, path: &Path) -> PathBuf {
        let walk = self.source.walk(path);
        walk.map_or_else(|_| path.to_path_buf(), |walk| walk.real.clone())
    }

    fn suspect(
        &self,
        failure: &FailedLookup,
        recording: &Recording,
        found: &FoundPaths<'_>,
    ) -> Option<(Rank, Suspect)> {
        let path = &plain(&failure.path);
        let is_provided = PROVIDED.iter().any(|top| path.starts_with(top));
        if is_provided || LOADER.iter().any(|file| path == Path::new(file)) {
            return None;
        }
        let name = path.file_name().unwrap_or_default();
        let process = recording.process(failure.process);
        // Found in another directory of PATH.
        let is_found = found.executed.contains(name) && self.is_searched(path);
        if failure.wanted == LookupGoal::Execute {
            let obstacle = obstacle(self.view, path).filter(|_| !is_found)?;
            if obstacle.is_missing && self.source.walk(&obstacle.path).is_err() {
                return None;
            }
            return Some((Rank::Load, self.of_obstacle(&obstacle, &process)));
        }
        if ![ENOENT, ENOTDIR].contains(&failure.error) {
            return Some((Rank::Lookup, self.refused(failure, path, &process)?));
        }
        if self.view.walk(path).is_ok() {
            return None;
        }
        if failure.wanted == LookupGoal::Write
            && (self.source.walk(path).is_err() || self.has_no_directory(path))
        {
            return Some((Rank::Lookup, self.no_directory(path, &process)?));
        }
        let Ok(here) = self.source.walk(path) else {
            return self.relative(failure, path, process, found);
        };
        let (gone, _) = missing(self.view, path);
        let is_noise = is_noise(path);
        if is_library(name) && !is_noise {
            if found.names.contains(name) || here.metadata.kind == NodeKind::Directory {
                return None;
            }
            let what = format!(
                "{} cannot load {}: {} is not in the image",
                who(&process),
                name.display(),
                gone.display()
            );
            let flag = Some(add(path));
            return Some((Rank::Load, Suspect::new(path, what, process, flag)));
        }
        let is_program = here.metadata.kind == NodeKind::File && here.metadata.mode & 0o111 != 0;
        let is_sought = failure.wanted == LookupGoal::Test && is_program;
        if is_sought && is_found {
            return None;
        }
        let rank = match () {
            () if is_noise => Rank::Noise,
            // A shell asks for a command before it says that there is none.
            () if is_sought && found.has_status(127) => Rank::Load,
            () if here.metadata.kind == NodeKind::Directory && self.is_shared(path) => Rank::Shared,
            () => Rank::Lookup,
        };
        Some((rank, self.unread(failure, path, &here, process)?))
    }

    /// Whether commands are searched where a path is.
    fn is_searched(&self, path: &Path) -> bool {
        let mut directories = path_folders(&self.start.env);
        directories.any(|directory| Some(directory) == path.parent())
    }

    /// Something that is not there to be read.
    fn unread(
        &self,
        failure: &FailedLookup,
        path: &Path,
        here: &Walk,
        process: String,
    ) -> Option<Suspect> {
        let verb = match failure.wanted {
            LookupGoal::Enter => "enter",
            LookupGoal::Test => "find",
            _ => "open",
        };
        let (gone, _) = missing(self.view, path);
        let also = match gone == *path {
            true => "it is not in the image".to_owned(),
            false => format!("{} is not in the image", gone.display()),
        };
        let what = format!("{} cannot {verb} {}: {also}", who(&process), path.display());
        let is_whole = failure.wanted != LookupGoal::Enter && failure.wanted != LookupGoal::Test;
        let flag = match here.metadata.kind {
            NodeKind::Directory if !is_whole || self.is_shared(path) => {
                self.mkdir(path, here, false)
            }
            NodeKind::Special => return None,
            _ => add(path),
        };
        Some(Suspect::new(path, what, process, Some(flag)))
    }

    /// Whether a directory is one of many packages, by its path or by where that leads.
    fn is_shared(&self, directory: &Path) -> bool {
        is_shared(directory, &self.start.env) || is_shared(&self.real(directory), &self.start.env)
    }

    /// The option that makes a directory as it is in the source; `is_written`: so that the program may
    /// create files in it.
    fn mkdir(&self, path: &Path, here: &Walk, is_written: bool) -> String {
        let owner = here.metadata.owner;
        let mut mode = self.source.mode(here) & 0o7777;
        let uid = self.ids.uid;
        // What is not of root is for the user that a server changes to.
        let owner = match is_written && uid != 0 && mode & 0o002 == 0 {
            true => uid,
            false if is_written => owner.uid,
            false => 0,
        };
        let chown = match owner {
            0 => String::new(),
            owner => format!(",chown={owner}"),
        };
        if is_written {
            mode |= 0o700;
        }
        let chmod = match mode {
            0o755 => String::new(),
            mode => format!(",chmod={mode:04o}"),
        };
        format!("--mkdir {}{chown}{chmod}", path.display())
    }

    fn has_no_directory(&self, path: &Path) -> bool {
        let parent = path.parent();
        parent.is_some_and(|parent| self.view.walk(parent).is_err())
    }

    /// Something that cannot be created, since there is nothing to create it in.
    fn no_directory(&self, path: &Path, process: &str) -> Option<Suspect> {
        let directory = path.parent()?;
        if self.view.walk(directory).is_ok() {
            return None;
        }
        let (gone, _) = missing(self.view, directory);
        let here = self.source.walk(&gone).ok()?;
        let what = format!(
            "{} cannot create {}: the directory {} is not in the image",
            who(process),
            path.display(),
            gone.display()
        );
        let flag = self.mkdir(&gone, &here, true);
        Some(Suspect::new(&gone, what, process.to_owned(), Some(flag)))
    }

    /// What is there, but not for this user.
    fn refused(&self, failure: &FailedLookup, path: &Path, process: &str) -> Option<Suspect> {
        let who = who(process);
        let uid = self.ids.uid;
        if ![EACCES, EPERM, EROFS].contains(&failure.error) {
            return None;
        }
        if failure.error == EROFS {
            let what = format!("{who} cannot write to {}: it is read-only", path.display());
            return Some(Suspect::new(path, what, process.to_owned(), None));
        }
        let is_write = failure.wanted == LookupGoal::Write;
        let at = match is_write && self.view.walk(path).is_err() {
            true => path.parent()?,
            false => path,
        };
        let walk = self.view.walk(at).ok()?;
        let mode = self.view.mode(&walk);
        let owner = walk.metadata.owner.uid;
        let verb = if is_write { "write to" } else { "read" };
        let what = format!(
            "{who} cannot {verb} {} as user {uid}: {} belongs to user {owner}, with mode {mode:04o}",
            path.display(),
            at.display()
        );
        let flag = match walk.metadata.kind {
            NodeKind::Directory => format!("--mkdir {},chown={uid}", at.display()),
            _ if self.source.walk(at).is_ok() => format!("{},chown={uid}", add(at)),
            _ => return None,
        };
        Some(Suspect::new(at, what, process.to_owned(), Some(flag)))
    }

    /// The user, if a program asked for its name in vain.
    fn account(&self, recording: &Recording) -> Option<Suspect> {
        let accounts = Accounts::of(self.view);
        let file = accounts.file(AccountKind::User);
        recording.found.get(file)?;
        let uid = self.ids.uid.to_string();
        if accounts.find(AccountKind::User, &uid).is_some() {
            return None;
        }
        let known = Accounts::of(self.source).find(AccountKind::User, &uid);
        let what = format!("user {uid} has no entry in {} of the image", file.display());
        let flag = known.map(|account| format!("-u {}", account.name()));
        Some(Suspect::new(file, what, String::new(), flag))
    }
}

/// What was found, in the forms in which it is asked for.
pub(super) struct FoundPaths<'a> {
    recording: &'a Recording,
    /// The last components of paths that were found, and of those that were executed.
    pub names: HashSet<&'a OsStr>,
    pub executed: HashSet<&'a OsStr>,
    /// When each process ended that failed.
    pub failed: BTreeMap<usize, usize>,
}

impl<'a> FoundPaths<'a> {
    fn of(recording: &'a Recording) -> Self {
        let opened = Uses::OPENED.and(Uses::MAPPED);
        let names = |uses: Uses| {
            let found = recording.found.iter();
            let found = found.filter(move |(_, traced)| traced.uses.has(uses));
            found.filter_map(|(path, _)| path.file_name()).collect()
        };
        let failed = recording.ended.iter();
        let failed = failed.filter(|ended| !ended.ending.is_success());
        Self {
            recording,
            names: names(opened),
            executed: names(Uses::EXECUTED),
            failed: failed.map(|ended| (ended.process, ended.order)).collect(),
        }
    }

    fn has_status(&self, status: i32) -> bool {
        let mut ended = self.recording.ended.iter();
        ended.any(|ended| ended.ending == Ending::Exit(status))
    }

    /// How long before the end of its process something failed, in events; of a process that did not
    /// fail, longer than of any that did.
    pub fn distance(&self, failure: &FailedLookup) -> usize {
        let end = self.failed.get(&failure.process);
        let before = end.and_then(|end| end.checked_sub(failure.order));
        before.unwrap_or(usize::MAX / 2 - failure.order)
    }
}

/// The program of a process, for a sentence.
pub(super) fn who(process: &str) -> String {
    let word = process.split(' ').next().unwrap_or_default();
    let name = Path::new(word)
        .file_name()
        .unwrap_or(OsStr::new("the program"));
    name.to_string_lossy().into_owned()
}

pub(super) fn add(path: &Path) -> String {
    format!("--add {}", path.display())
}
