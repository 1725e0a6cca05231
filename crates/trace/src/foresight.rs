//! What a call comes to, known before it returns.
//!
//! In: a call that begins, and what the run has recorded so far. Out: its result, if it is certain. Then
//! its thread does not have to stop a second time, which costs more than all else that a tracer does.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::calls::Action;
use crate::lookup::{Lookup, has, is_of_process};
use crate::recording::RunRecorder;

/// The flag of the kernel, which a C library of 64 bits does not have (`fcntl.h` of x86, and of arm64).
const O_LARGEFILE: i32 = match cfg!(target_arch = "aarch64") {
    true => 0o400_000,
    false => 0o100_000,
};

/// What a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foresight {
    /// Nothing that is not recorded already.
    Known,
    /// It succeeds.
    Succeeds,
    /// It fails with this error number.
    Fails(i32),
}

/// What is certain of a call. `is_alike` says that the kernel answers its thread as it answers this one:
/// they have the same rights and root directory.
pub(crate) fn of(call: &Lookup, recorder: &RunRecorder, is_alike: bool) -> Option<Foresight> {
    let [path] = &call.paths[..] else { return None };
    // Links of /proc lead elsewhere for each process.
    if !call.only_looks() || is_of_process(path) {
        return None;
    }
    if recorder.has_used(path, call.most_uses()) {
        return Some(Foresight::Known);
    }
    match is_alike {
        true => asked(call, path),
        false => None,
    }
}

/// Asks the kernel for the same.
fn asked(call: &Lookup, path: &Path) -> Option<Foresight> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) => {
            let error = error.raw_os_error()?;
            let is_absent = matches!(error, libc::ENOENT | libc::ENOTDIR);
            return is_absent.then_some(Foresight::Fails(error));
        }
    };
    // A slash at the end asks for a directory.
    if call.ends_in_slash && !found.is_dir() {
        return None;
    }
    let is_link_itself = match call.action {
        Action::StatusOfLink => true,
        // It is open already.
        Action::List if found.is_dir() => return Some(Foresight::Succeeds),
        Action::Status => has(call.flags, libc::AT_SYMLINK_NOFOLLOW),
        Action::ReadLink if !found.is_symlink() => return Some(Foresight::Fails(libc::EINVAL)),
        Action::Open if is_read(call.flags) => return is_readable(path, call.flags),
        // Other calls may fail for other reasons.
        _ => return None,
    };
    (is_link_itself || !found.is_symlink()).then_some(Foresight::Succeeds)
}

/// Whether a file is opened to read it, with no flag that has conditions of its own.
fn is_read(flags: u64) -> bool {
    let without = [
        libc::O_CLOEXEC,
        libc::O_DIRECTORY,
        libc::O_NOCTTY,
        libc::O_NONBLOCK,
    ];
    let without = without
        .into_iter()
        .fold(O_LARGEFILE, |all, flag| all | flag);
    flags & !u64::from(without.cast_unsigned()) == 0
}

/// An open file or directory, should it have one that may be read. A thread that has too many files open
/// does not get it, but reads it as soon as it can.
fn is_readable(path: &Path, flags: u64) -> Option<Foresight> {
    let kind = fs::metadata(path).ok()?.file_type();
    let access = || accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS);
    // Opening anything else does more, or waits.
    let is_plain = kind.is_file() && !has(flags, libc::O_DIRECTORY) || kind.is_dir();
    (is_plain && access().is_ok()).then_some(Foresight::Succeeds)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{CWD, Foresight, of};
    use crate::calls::Action;
    use crate::lookup::Lookup;
    use crate::recording::{RunRecorder, Uses};

    fn call(action: Action, path: &str, flags: i32) -> Lookup {
        Lookup {
            action,
            paths: vec![PathBuf::from(path)],
            flags: u64::from(flags.cast_unsigned()),
            ..Lookup::default()
        }
    }

    #[test]
    fn only_what_is_certain_is_foreseen() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (file, link, gone) = (place("file"), place("link"), place("gone"));
        let (pipe, folder) = (place("pipe"), place("."));
        let mode = rustix::fs::Mode::from_bits_retain(0o666);
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("gone", &link).unwrap();
        let (succeeds, none) = (Some(Foresight::Succeeds), None);
        let fails = |error| Some(Foresight::Fails(error));
        for (action, path, flags, expected) in [
            (Action::Status, &file, 0, succeeds),
            (Action::StatusOfLink, &link, 0, succeeds),
            (Action::Status, &link, libc::AT_SYMLINK_NOFOLLOW, succeeds),
            // It leads nowhere.
            (Action::Status, &link, 0, none),
            (Action::Status, &gone, 0, fails(libc::ENOENT)),
            (Action::Open, &gone, 0, fails(libc::ENOENT)),
            (
                Action::Status,
                &format!("{file}/x"),
                0,
                fails(libc::ENOTDIR),
            ),
            (Action::ReadLink, &file, 0, fails(libc::EINVAL)),
            (Action::ReadLink, &link, 0, none),
            (Action::Open, &file, libc::O_CLOEXEC, succeeds),
            (Action::Open, &folder, 0, succeeds),
            (Action::Open, &folder, libc::O_DIRECTORY, succeeds),
            // Opening it may wait, or follow other rules.
            (Action::Open, &pipe, 0, none),
            (Action::Open, &link, 0, none),
            (Action::Open, &file, libc::O_NOFOLLOW, none),
            (Action::Open, &file, libc::O_NOATIME, none),
            (Action::Open, &file, libc::O_DIRECTORY, none),
            // What is asked for is in another argument.
            (Action::Test, &file, 0, none),
            (Action::Open, &gone, libc::O_CREAT | libc::O_WRONLY, none),
            (Action::Make, &gone, 0, none),
            (Action::Status, &"/proc/self/none".to_owned(), 0, none),
        ] {
            let call = call(action, path, flags);
            let recorder = RunRecorder::default();
            assert_eq!(of(&call, &recorder, true), expected, "{call:?}");
            assert_eq!(of(&call, &recorder, false), None, "{call:?}");
        }
        let slash = Lookup {
            ends_in_slash: true,
            ..call(Action::Status, &file, 0)
        };
        assert_eq!(of(&slash, &RunRecorder::default(), true), None);
    }

    #[test]
    fn what_is_recorded_is_known_without_asking() {
        let mut recorder = RunRecorder::default();
        let path = PathBuf::from("/a");
        recorder.found(&path, Uses::TESTED, 0);
        let of =
            |recorder: &RunRecorder, action, flags| of(&call(action, "/a", flags), recorder, false);
        let known = Some(Foresight::Known);
        assert_eq!(of(&recorder, Action::Status, 0), known);
        assert_eq!(
            of(&recorder, Action::Status, libc::AT_SYMLINK_NOFOLLOW),
            None
        );
        assert_eq!(of(&recorder, Action::Open, 0), None);
        // One of a file that is not a link would be recorded as refused.
        recorder.found(&path, Uses::LINK, 0);
        assert_eq!(of(&recorder, Action::ReadLink, 0), None);
        recorder.found(&path, Uses::REFUSED, 0);
        assert_eq!(of(&recorder, Action::ReadLink, 0), known);
        assert_eq!(of(&recorder, Action::Change, 0), None);
    }
}
