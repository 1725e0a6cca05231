//! Limits and surroundings that a process does not choose: descriptors, memory, standard streams,
//! no /proc, permissions; and that none of its commands executes anything.

use crate::{common, faults};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{fail_with, have, hello, is_root, names_in, output, slimpack, succeed, temporary};
use faults::{KINDS, is_orderly, pack, snapshot, words};

/// Runs of every kind that read an image, program or directory and write only to `out`.
fn runs(folder: &Path, image: &Path) -> Vec<Vec<String>> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (program, image, out) = (text(hello()), text(image), text(&folder.join("x")));
    let verbs = ["lint", "inspect", "size", "tree", "needs"];
    let mut runs: Vec<Vec<String>> = verbs[..3]
        .iter()
        .map(|verb| vec![(*verb).to_owned(), image.clone()])
        .collect();
    for verb in ["lint", "tree", "needs"] {
        runs.push(vec![verb.into(), program.clone()]);
    }
    runs.push(vec!["diff".into(), image.clone(), image.clone()]);
    runs.push(vec!["why".into(), "libc.so.6".into(), program.clone()]);
    runs.push(["--from", &image, "-qo", &out].map(str::to_owned).into());
    for (_, flags) in KINDS {
        let mut pack = [&*program, "-qo", &out].map(str::to_owned).to_vec();
        pack.extend(flags.iter().map(|flag| (*flag).to_owned()));
        runs.push(pack);
    }
    runs
}

#[test]
fn few_descriptors_are_an_error_and_leave_nothing() {
    if !have(&["prlimit"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("out")).unwrap();
    succeed(&mut pack(&at("image"), &[]));
    // With fewer than six, the test cannot remove the trees of failed runs: each level takes one.
    for count in [6, 7, 8, 9, 10, 12, 16] {
        for words in runs(&at("out"), &at("image")) {
            let mut command = Command::new("prlimit");
            command.arg(format!("--nofile={count}"));
            command.arg(slimpack().get_program()).args(&words);
            let ended = output(command.env("TMPDIR", at("out")));
            is_orderly(&ended, &format!("{count} descriptors, {words:?}"));
            if ended.status.code() == Some(2) {
                assert_eq!(
                    names_in(&at("out")),
                    [""; 0],
                    "{count} descriptors, {words:?}"
                );
            }
            fs::remove_dir_all(at("out")).unwrap();
            fs::create_dir(at("out")).unwrap();
        }
    }
}

#[test]
fn small_files_leave_the_output_before() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let limited = |limit: &str, flags: &[&str]| {
        let _ = fs::remove_dir_all(at("out"));
        fs::create_dir(at("out")).unwrap();
        succeed(&mut pack(&at("out/x"), flags));
        let before = snapshot(&at("out"));
        let mut command = Command::new("sh");
        // Other bytes than before, to see whether they were written.
        let other = [flags, &["-e", "A=1"]].concat();
        command
            .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")])
            .args(words(&at("out/x"), &other))
            .env("TMPDIR", at("out"));
        (output(&mut command), before)
    };
    for (name, flags) in KINDS {
        for limit in ["-f 1", "-f 100", "-f 1500"] {
            let (ended, before) = limited(limit, flags);
            is_orderly(&ended, &format!("{name} with {limit}"));
            if ended.status.code() == Some(2) {
                assert_eq!(snapshot(&at("out")), before, "{name} with {limit}");
            }
        }
    }
}

#[test]
fn closed_standard_streams_do_not_end_up_in_the_output() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut pack(&at("image"), &[]));
    for closed in [
        "<&-",
        ">&-",
        "2>&-",
        "<&- >&-",
        "<&- 2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
    ] {
        for words in runs(folder.path(), &at("image")) {
            let usual = output(slimpack().args(&words));
            let was = at("x").exists().then(|| snapshot(folder.path()));
            let clean = || {
                let _ = fs::remove_file(at("x")).or_else(|_| fs::remove_dir_all(at("x")));
                let _ = fs::remove_file(at(".x.slimpack"));
            };
            clean();
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec \"$0\" \"$@\" {closed}")]);
            command.arg(slimpack().get_program()).args(&words);
            let ended = output(&mut command);
            assert_eq!(
                ended.status.code(),
                usual.status.code(),
                "{closed} {words:?}"
            );
            if !closed.split(' ').any(|word| word == ">&-") {
                assert!(ended.stdout == usual.stdout, "{closed} {words:?}");
            }
            let is = at("x").exists().then(|| snapshot(folder.path()));
            assert!(is == was, "{closed} {words:?}");
            clean();
        }
    }
}

#[test]
fn without_proc_all_is_the_same() {
    if !is_root() || !have(&["unshare", "mount"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut pack(&at("image"), &[]));
    for words in runs(folder.path(), &at("image")) {
        let run = |script: &str| {
            let _ = fs::remove_file(at("x")).or_else(|_| fs::remove_dir_all(at("x")));
            // The receipt of the previous run.
            let _ = fs::remove_file(at(".x.slimpack"));
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script]);
            let ended = output(command.arg(slimpack().get_program()).args(&words));
            let status = ended.status.code();
            (status, ended.stdout, ended.stderr, snapshot(folder.path()))
        };
        let usual = run("exec \"$0\" \"$@\"");
        let without = run("mount -t tmpfs none /proc && exec \"$0\" \"$@\"");
        assert!(usual == without, "{words:?}: {usual:?} {without:?}");
    }
}

#[test]
fn what_a_user_may_not_read_is_named_and_nothing_is_left() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("closed")).unwrap();
    fs::create_dir(at("out")).unwrap();
    for name in ["secret", "closed/file", "program", "image"] {
        fs::copy(hello(), at(name)).unwrap();
    }
    succeed(&mut pack(&at("image"), &[]));
    for (name, mode) in [
        ("secret", 0o600),
        ("program", 0o711),
        ("image", 0),
        ("closed", 0o700),
    ] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(at("out"), fs::Permissions::from_mode(0o777)).unwrap();
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let (program, out) = (hello().to_str().unwrap(), path("out/x"));
    let pack = ["-q", "-o", &out];
    for (words, named) in [
        (
            [&[program, "--add", &path("secret")][..], &pack].concat(),
            "secret",
        ),
        (
            [&[program, "--add", &path("closed")], &pack[..]].concat(),
            "closed",
        ),
        (
            [&[program, "--add", &path("closed/file")], &pack[..]].concat(),
            "closed/file",
        ),
        ([&[&*path("program")], &pack[..]].concat(), "program"),
        ([&["--from", &path("image")], &pack[..]].concat(), "image"),
        (vec!["lint", &path("image")], "image"),
        (vec!["inspect", &path("image")], "image"),
        (vec!["size", &path("image")], "image"),
        (vec!["tree", &path("program")], "program"),
        (vec!["strip", &path("program"), "-o", &out], "program"),
        (vec!["diff", &path("image"), &path("image")], "image"),
        (vec![program, "-qo", &path("here")], "here"),
    ] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(slimpack().get_program()).args(&words);
        let said = fail_with(2, &mut command);
        let is_said = said.to_lowercase().contains("permission denied") || said.contains("EACCES");
        assert!(is_said && said.contains(&path(named)), "{words:?}: {said}");
        assert_eq!(names_in(&at("out")), [""; 0], "{words:?}");
    }
    assert_eq!(
        names_in(folder.path()),
        ["closed", "image", "out", "program", "secret"]
    );
}

#[test]
fn nothing_but_slimpack_itself_is_executed() {
    if !have(&["strace"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("out")).unwrap();
    succeed(&mut pack(&at("image"), &["--compress", "gzip"]));
    // A script that leaves a file behind if it is executed.
    let script: PathBuf = at("script");
    fs::write(
        &script,
        format!("#!/bin/sh\necho >{}\n", at("ran").display()),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut all = runs(&at("out"), &at("image"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    all.push(vec![text(&script), "-qo".into(), text(&at("out/x"))]);
    for verb in ["tree", "needs", "lint"] {
        all.push(vec![verb.into(), text(&script)]);
    }
    for words in all {
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=execve,execveat",
                "-e",
                "signal=none",
                "-o",
            ])
            .arg(at("log"))
            .arg(slimpack().get_program())
            .args(&words);
        let ended = output(&mut command);
        assert!(matches!(ended.status.code(), Some(0..=2)), "{words:?}");
        let log = fs::read_to_string(at("log")).unwrap();
        assert_eq!(log.matches("execve").count(), 1, "{words:?}: {log}");
        let _ = fs::remove_dir_all(at("out"));
        fs::create_dir(at("out")).unwrap();
    }
    assert!(!at("ran").exists());
}

/// Another run may hold the lock of a layout for any length of time.
#[test]
fn a_signal_ends_a_run_that_waits_for_a_layout() {
    let folder = temporary();
    let layout = folder.path().join("layout");
    fs::create_dir(&layout).unwrap();
    let held = fs::File::open(&layout).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut pack = slimpack();
    pack.arg(common::hello())
        .args(["-q", "--format", "oci-dir", "-o"]);
    let mut child = pack.arg(&layout).stderr(Stdio::null()).spawn().unwrap();
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let id = format!(" {} ", child.id());
        let opens = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let mut opens = opens.filter_map(|open| fs::read_link(open.ok()?.path()).ok());
        locks
            .lines()
            .any(|line| line.contains("->") && line.contains(&id))
            || opens.any(|open| open == layout)
    };
    while !waits() {
        std::thread::yield_now();
    }
    let ended = |child: &mut std::process::Child| {
        for _ in 0..500 {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    };
    let pid = child.id().to_string();
    succeed(Command::new("kill").args(["-TERM", &pid]));
    let status = ended(&mut child).expect("it still waits");
    assert_eq!(status.signal(), Some(15), "{status}");
    assert_eq!(common::names_in(&layout), [""; 0]);
}
