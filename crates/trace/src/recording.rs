//! What a traced run looked up.
//!
//! In: lookups in sequence. Out: each distinct path once, with what was done to it, and the first
//! process that did it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::failures::{EndedProcess, FailedLookup, Failures};
use serde::{Deserialize, Serialize};

/// Maximum number of distinct paths of a recording, found or not.
pub const MAX_PATHS: usize = 2_000_000;

/// What a run did to a path, at least once.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Uses(u16);

impl Uses {
    /// Executed it.
    pub const EXECUTED: Self = Self(1);
    /// Mapped it as code.
    pub const MAPPED: Self = Self(1 << 1);
    /// Opened it.
    pub const OPENED: Self = Self(1 << 2);
    /// Read the names in the directory.
    pub const LISTED: Self = Self(1 << 3);
    /// Queried its status or permissions, or made it the working directory.
    pub const TESTED: Self = Self(1 << 4);
    /// Queried the link itself, or read it.
    pub const LINK: Self = Self(1 << 5);
    /// Opened for writing, replaced or changed what existed before.
    pub const CHANGED: Self = Self(1 << 6);
    /// Created it.
    pub const CREATED: Self = Self(1 << 7);
    /// Removed it, or moved it away.
    pub const REMOVED: Self = Self(1 << 8);
    /// A call failed because it exists: `mkdir` of a directory, `readlink` of a file.
    pub const REFUSED: Self = Self(1 << 9);

    const WORDS: [(Self, &'static str); 10] = [
        (Self::EXECUTED, "executed"),
        (Self::MAPPED, "mapped"),
        (Self::OPENED, "opened"),
        (Self::LISTED, "listed"),
        (Self::TESTED, "tested"),
        (Self::LINK, "link"),
        (Self::CHANGED, "changed"),
        (Self::CREATED, "created"),
        (Self::REMOVED, "removed"),
        (Self::REFUSED, "refused"),
    ];

    /// Whether it includes any of `others`.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These without `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names, as in a recording.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let words = Self::WORDS.into_iter();
        words
            .filter(move |(use_, _)| self.has(*use_))
            .map(|(_, word)| word)
    }
}

impl From<Uses> for Vec<String> {
    fn from(uses: Uses) -> Self {
        uses.words().map(str::to_owned).collect()
    }
}

impl TryFrom<Vec<String>> for Uses {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<Self, String> {
        let mut uses = Self::default();
        for word in words {
            let known = Self::WORDS.iter().find(|(_, known)| *known == word);
            let (known, _) = known.ok_or_else(|| format!("unknown use {word:?}"))?;
            uses = uses.and(*known);
        }
        Ok(uses)
    }
}

/// A path that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// What was done to it.
    pub uses: Uses,
    /// Index of the first process that did so.
    pub process: usize,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl Ending {
    /// Whether it exited with status 0.
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(status) => write!(out, "exit status {status}"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
        }
    }
}

/// Something that a recording cannot show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "path")]
pub enum Note {
    /// A process set up io_uring, whose calls are not seen.
    IoUring,
    /// A process made calls of another ABI, such as 32-bit ones.
    OtherAbi,
    /// A setuid or setgid program ran without its privileges.
    Setuid(PathBuf),
    /// A program for another architecture ran in an emulator, whose own files are recorded as well.
    Emulated(PathBuf),
    /// A program without a path was executed: it is in memory, or was deleted.
    Pathless(PathBuf),
}

/// A file as it was before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its permission bits (`0777`).
    pub mode: u32,
    /// User ID of its owner.
    pub uid: u32,
    /// Group ID of its owner.
    pub gid: u32,
}

/// What a run looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The command with its arguments.
    pub command: Vec<String>,
    /// How it ended; `None` if the recording does not contain it.
    pub ending: Option<Ending>,
    /// The arguments of each process that executed something, shortened.
    pub processes: Vec<Vec<String>>,
    /// Every path that was found, as it was looked up.
    pub found: BTreeMap<PathBuf, Traced>,
    /// Every path that was looked up and does not exist.
    pub absent: BTreeSet<PathBuf>,
    /// What it cannot show.
    pub notes: BTreeSet<Note>,
    /// Files that the run may have changed, as they were before it. Not part of a log.
    pub before: BTreeMap<PathBuf, Before>,
    /// Lookups that failed. Not part of a log.
    pub failures: Vec<FailedLookup>,
    /// Processes that have ended. Not part of a log.
    pub ended: Vec<EndedProcess>,
}

impl Recording {
    /// Merges the recording of another run.
    pub fn merge(&mut self, other: Self) {
        let before = self.processes.len();
        self.processes.extend(other.processes);
        for (path, traced) in other.found {
            let known = self.found.entry(path).or_insert(Traced {
                uses: Uses::default(),
                process: before + traced.process,
            });
            known.uses = known.uses.and(traced.uses);
        }
        self.absent.extend(other.absent);
        self.notes.extend(other.notes);
        for (path, before) in other.before {
            self.before.entry(path).or_insert(before);
        }
        if self.command.is_empty() {
            self.command = other.command;
        }
        // The first failure counts.
        if self.ending.is_none_or(Ending::is_success) {
            self.ending = other.ending.or(self.ending);
        }
    }

    /// The arguments of a process on one line.
    pub fn process(&self, index: usize) -> String {
        self.processes
            .get(index)
            .map(|words| words.join(" "))
            .unwrap_or_default()
    }
}

/// A recording in progress.
#[derive(Debug, Default)]
pub(crate) struct RunRecorder {
    pub processes: Vec<Vec<String>>,
    pub notes: BTreeSet<Note>,
    pub before: BTreeMap<PathBuf, Before>,
    pub failures: Failures,
    found: HashMap<PathBuf, Traced>,
    absent: HashSet<PathBuf>,
}

impl RunRecorder {
    /// Records a process that executes something; returns its index.
    pub fn process(&mut self, words: Vec<String>) -> usize {
        self.processes.push(words);
        self.processes.len() - 1
    }

    /// Records that `process` did something to a path.
    pub fn found(&mut self, path: &Path, uses: Uses, process: usize) {
        match self.found.get_mut(path) {
            Some(known) => known.uses = known.uses.and(uses),
            None => {
                let traced = Traced { uses, process };
                self.found.insert(path.to_owned(), traced);
            }
        }
    }

    /// Whether a path is known to exist.
    pub fn has_found(&self, path: &Path) -> bool {
        let known = self.found.get(path);
        known.is_some_and(|known| !known.uses.has(Uses::CREATED))
    }

    /// Whether a path was found, and all of these were done to it.
    pub fn has_used(&self, path: &Path, uses: Uses) -> bool {
        let known = self.found.get(path);
        known.is_some_and(|known| uses.without(known.uses).is_empty())
    }

    /// Whether the run has created the path.
    pub fn has_created(&self, path: &Path) -> bool {
        let known = self.found.get(path);
        known.is_some_and(|known| known.uses.has(Uses::CREATED))
    }

    /// Records a path that does not exist.
    pub fn absent(&mut self, path: &Path) {
        if !self.absent.contains(path) {
            self.absent.insert(path.to_owned());
        }
    }

    /// The number of paths so far.
    pub fn len(&self) -> usize {
        self.found.len() + self.absent.len()
    }

    /// The finished recording.
    pub fn finish(self, command: Vec<String>, ending: Option<Ending>) -> Recording {
        let found: BTreeMap<PathBuf, Traced> = self.found.into_iter().collect();
        // A path that existed at some time was not absent throughout the run.
        let absent = self.absent.into_iter();
        let absent = absent.filter(|path| !found.contains_key(path)).collect();
        Recording {
            command,
            ending,
            processes: self.processes,
            found,
            absent,
            notes: self.notes,
            before: self.before,
            failures: self.failures.lookups,
            ended: self.failures.ended,
        }
    }
}
