//! Lookups that failed, in the order in which they did, and how processes ended.
//!
//! In: one failure after the other. Out: each distinct one once, with when it was made last: what a
//! program looked for just before it gave up is the likeliest reason.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::calls::Action;
use crate::lookup::Lookup;
use crate::recording::Ending;

/// Maximum number of distinct failures that are kept.
const MAX_FAILURES: usize = 200_000;

/// What a process wanted of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookupGoal {
    /// To execute it.
    Execute,
    /// To read it, or the names in it.
    Read,
    /// To create, change or remove it.
    Write,
    /// To make it the working directory.
    Enter,
    /// To know whether it is there, or what it is.
    Test,
}

/// A lookup that failed, once or more often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLookup {
    /// The path, as it was looked up.
    pub path: PathBuf,
    /// The error number.
    pub error: i32,
    /// What for.
    pub wanted: LookupGoal,
    /// Index of the process that did so last.
    pub process: usize,
    /// When it failed last, among all events.
    pub order: usize,
}

/// A process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedProcess {
    /// Its index.
    pub process: usize,
    /// How it ended.
    pub ending: Ending,
    /// When it ended, among all events.
    pub order: usize,
}

/// Failures in the making.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    known: HashMap<(PathBuf, i32, LookupGoal), usize>,
    pub lookups: Vec<FailedLookup>,
    pub ended: Vec<EndedProcess>,
    order: usize,
}

impl Failures {
    /// A lookup failed.
    pub fn add(&mut self, path: &Path, error: i32, wanted: LookupGoal, process: usize) {
        self.order += 1;
        let key = (path.to_owned(), error, wanted);
        if let Some(known) = self.known.get(&key) {
            if let Some(known) = self.lookups.get_mut(*known) {
                (known.process, known.order) = (process, self.order);
            }
            return;
        }
        if self.lookups.len() < MAX_FAILURES {
            self.known.insert(key, self.lookups.len());
            self.lookups.push(FailedLookup {
                path: path.to_owned(),
                error,
                wanted,
                process,
                order: self.order,
            });
        }
    }

    /// A process ended.
    pub fn end(&mut self, process: usize, ending: Ending) {
        self.order += 1;
        if self.ended.len() < MAX_FAILURES {
            self.ended.push(EndedProcess {
                process,
                ending,
                order: self.order,
            });
        }
    }
}

/// What a call wants of its path; `None` for calls that are about something else.
pub(crate) fn wanted(call: &Lookup) -> Option<LookupGoal> {
    Some(match call.action {
        Action::Execute => LookupGoal::Execute,
        Action::Open | Action::OpenHow | Action::Create => {
            match Lookup::may_change(call.action, call.flags) {
                true => LookupGoal::Write,
                false => LookupGoal::Read,
            }
        }
        Action::List => LookupGoal::Read,
        Action::Test
        | Action::TestLink
        | Action::Status
        | Action::StatusOfLink
        | Action::ReadLink => LookupGoal::Test,
        Action::Enter | Action::EnterOpen | Action::Chroot => LookupGoal::Enter,
        Action::Make | Action::Link | Action::Rename | Action::Change | Action::Remove => {
            LookupGoal::Write
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_again_failed_last() {
        let mut failures = Failures::default();
        let mut add = |path: &str| failures.add(Path::new(path), libc::ENOENT, LookupGoal::Read, 0);
        add("/a");
        add("/b");
        add("/a");
        failures.end(0, Ending::Exit(1));
        let mut lookups = failures.lookups;
        lookups.sort_by_key(|lookup| lookup.order);
        let paths: Vec<_> = lookups.iter().map(|lookup| lookup.path.as_path()).collect();
        assert_eq!(paths, [Path::new("/b"), Path::new("/a")]);
        assert!(failures.ended[0].order > lookups[1].order);
    }
}
