//! What a call does to its paths.
//!
//! In: a call that has returned, whether it was traced or read from a log. Out: entries of a recording.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use crate::calls::Action;
use crate::failures::wanted;
use crate::recording::{RunRecorder, Uses};

/// A call with its paths.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    pub action: Action,
    /// Absolute paths; of two, the last is the one that is created.
    pub paths: Vec<PathBuf>,
    /// `O_` or `AT_` flags, by action.
    pub flags: u64,
    /// Whether the last path existed before; queried only for calls that may create or change it.
    pub existed: bool,
    /// Whether a slash or a dot follows the name of the path: then it has to be a directory.
    pub ends_in_slash: bool,
}

impl Lookup {
    /// Whether it may create or change its last path.
    pub fn may_change(action: Action, flags: u64) -> bool {
        match action {
            Action::Open | Action::OpenHow | Action::Create => {
                let is_written = matches!(flags & 3, 1 | 2);
                let changes = has(flags, libc::O_CREAT) || has(flags, libc::O_TRUNC) || is_written;
                changes && !has(flags, libc::O_PATH)
            }
            Action::Rename => true,
            _ => false,
        }
    }

    /// Whether previous content may be lost.
    pub fn overwrites(action: Action, flags: u64) -> bool {
        let is_write = matches!(action, Action::Change | Action::Remove);
        is_write || Self::may_change(action, flags)
    }

    /// Whether it only looks at what is there.
    pub fn only_looks(&self) -> bool {
        match self.action {
            Action::Open | Action::OpenHow => !Self::may_change(self.action, self.flags),
            Action::Status
            | Action::StatusOfLink
            | Action::Test
            | Action::TestLink
            | Action::ReadLink
            | Action::List
            | Action::Enter => true,
            _ => false,
        }
    }

    /// What it may do to its last path, whether it succeeds or fails.
    pub fn most_uses(&self) -> Uses {
        match self.action {
            Action::Test | Action::TestLink | Action::ReadLink => self.uses().and(Uses::REFUSED),
            _ => self.uses(),
        }
    }

    /// What a success did to its last path.
    fn uses(&self) -> Uses {
        let flags = self.flags;
        match self.action {
            Action::Open | Action::OpenHow | Action::Create => {
                let uses = match (Self::may_change(self.action, flags), self.existed) {
                    (true, true) => Uses::OPENED.and(Uses::CHANGED),
                    (true, false) => Uses::CREATED,
                    (false, _) if has(flags, libc::O_PATH) => Uses::TESTED,
                    (false, _) => Uses::OPENED,
                };
                match has(flags, libc::O_NOFOLLOW) && has(flags, libc::O_PATH) {
                    true => uses.and(Uses::LINK),
                    false => uses,
                }
            }
            Action::Status | Action::Test if has(flags, libc::AT_SYMLINK_NOFOLLOW) => Uses::LINK,
            Action::Status | Action::Test | Action::Enter | Action::EnterOpen | Action::Chroot => {
                Uses::TESTED
            }
            Action::StatusOfLink | Action::TestLink | Action::ReadLink => Uses::LINK,
            Action::List => Uses::LISTED,
            Action::Make | Action::Link => Uses::CREATED,
            Action::Change => Uses::CHANGED,
            Action::Remove => Uses::REMOVED,
            Action::Rename if self.existed => Uses::CHANGED,
            Action::Rename => Uses::CREATED,
            Action::Map => Uses::MAPPED,
            Action::Execute => Uses::EXECUTED,
            Action::Unshare
            | Action::Clone3
            | Action::Mount
            | Action::IoUring
            | Action::ChangeRights => Uses::default(),
        }
    }

    /// Records a successful call.
    pub fn succeeded(&self, recorder: &mut RunRecorder, process: usize) {
        let Some(last) = self.paths.last() else {
            return;
        };
        if let [first, _] = &self.paths[..] {
            let uses = match self.action {
                Action::Link => Uses::LINK,
                _ => Uses::REMOVED,
            };
            recorder.found(first, uses, process);
        }
        let uses = self.uses();
        // What the run itself created did not exist before.
        let uses = match recorder.has_created(last) {
            true => uses.without(Uses::CHANGED),
            false => uses,
        };
        if !uses.is_empty() {
            recorder.found(last, uses, process);
        }
    }

    /// Records a call that failed with this error number.
    pub fn failed(&self, recorder: &mut RunRecorder, error: i32, process: usize) {
        // Of two paths, it is unknown which one is missing.
        let [path] = &self.paths[..] else { return };
        if is_of_process(path) {
            return;
        }
        if let Some(wanted) = wanted(self) {
            recorder.failures.add(path, error, wanted, process);
        }
        let is_test = matches!(self.action, Action::Test | Action::TestLink);
        match error {
            libc::ENOENT | libc::ENOTDIR => recorder.absent(path),
            // Not a link.
            libc::EINVAL if self.action == Action::ReadLink => {
                recorder.found(path, Uses::REFUSED, process);
            }
            // It lacks this attribute, or has none.
            libc::ENODATA | libc::EOPNOTSUPP | libc::ERANGE if is_test => {
                recorder.found(path, Uses::REFUSED, process);
            }
            // ENOEXEC: a script without `#!`, which a shell then reads.
            libc::ENOEXEC
            | libc::EEXIST
            | libc::EISDIR
            | libc::ENOTEMPTY
            | libc::ETXTBSY
            | libc::EROFS => recorder.found(path, Uses::REFUSED, process),
            _ => {}
        }
    }
}

/// Whether `flags` has one of the bits of `flag`.
pub(crate) fn has(flags: u64, flag: libc::c_int) -> bool {
    flags & u64::from(flag.cast_unsigned()) != 0
}

/// Whether a path belongs to the kernel, with links that lead to files of processes.
pub(crate) fn is_of_process(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

/// The path of an open file as the kernel shows it, for one with `..`: what that leads to depends on links.
/// Where the path is not on this machine, there are none.
pub(crate) fn without_parents(path: &Path) -> Rc<Path> {
    let is_parent = |part: &Component<'_>| *part == Component::ParentDir;
    if !path.components().any(|part| is_parent(&part)) {
        return path.into();
    }
    let lexical = || {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match is_parent(&part) {
                true => drop(plain.pop()),
                false => plain.push(part),
            }
        }
        plain
    };
    let path = fs::canonicalize(path).unwrap_or_else(|_| lexical());
    path.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::without_parents;

    #[test]
    fn the_parent_of_an_open_directory_is_where_its_links_lead() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir_all(place.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a/b", place.join("link")).unwrap();
        assert_eq!(*without_parents(&place.join("link/..")), *place.join("a"));
        for (path, expected) in [
            ("/nowhere/a/../b", "/nowhere/b"),
            ("/../nowhere", "/nowhere"),
            ("/nowhere/a", "/nowhere/a"),
        ] {
            assert_eq!(*without_parents(Path::new(path)), *Path::new(expected));
        }
    }
}
