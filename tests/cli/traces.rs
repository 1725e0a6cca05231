//! Traced runs: what they add to an image, and what aborts them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::{self, compile, have, output, slimpack, succeed, temporary, text};

/// slimpack with these arguments, in a directory.
fn run(directory: &Path, words: &[&str]) -> Output {
    output(slimpack().args(words).current_dir(directory))
}

/// A run that must fail: its exit status and its output.
fn refused(directory: &Path, words: &[&str]) -> (Option<i32>, String) {
    let said = run(directory, words);
    assert!(!said.status.success(), "{words:?}: {}", text(&said));
    (said.status.code(), String::from_utf8(said.stderr).unwrap())
}

/// Writes an executable script in which DIR stands for the path of the directory.
fn script(directory: &Path, source: &str) -> PathBuf {
    let path = directory.join("app");
    let source = source.replace("DIR", directory.to_str().unwrap());
    fs::write(&path, format!("#!/bin/sh\n{source}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Packs a program by a trace into a root directory.
fn traced(directory: &Path, program: &Path, flags: &[&str]) -> (PathBuf, String) {
    let root = directory.join("root");
    let mut command = slimpack();
    command
        .arg(program)
        .args(["--trace", "", "-o"])
        .arg(format!("{}/", root.display()));
    let said = output(command.args(flags).current_dir(directory));
    assert!(said.status.success(), "{}", text(&said));
    (root, text(&said))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_run_that_cannot_be_used_writes_nothing() {
    let place = temporary();
    let place = place.path();
    script(place, "exit 3");
    fs::write(place.join("text"), "no program").unwrap();
    for (words, status, part) in [
        (
            &["trace", "-o", "log", "--", "nosuchcommand"][..],
            2,
            "cannot run nosuchcommand: it is not in PATH",
        ),
        (
            &["trace", "-o", "log", "--", "./gone"],
            2,
            "cannot run ./gone: No such file or directory",
        ),
        (
            &["trace", "-o", "log", "--", "./text"],
            2,
            "cannot run ./text: Permission denied",
        ),
        (
            &["trace", "-o", "log", "--", "./app"],
            1,
            "./app failed with exit status 3",
        ),
        (
            &["trace", "-o", "gone/log", "--", "/bin/true"],
            2,
            "gone does not exist",
        ),
        (
            &["trace", "-o", "log", "--only", "/bin/ls", "--", "/bin/true"],
            2,
            "the command did not run /usr/bin/ls",
        ),
        (
            &[
                "trace",
                "-o",
                "log",
                "--timeout",
                "1s",
                "--",
                "/bin/sleep",
                "60",
            ],
            1,
            "failed with signal 15",
        ),
        (
            &["./app", "--trace", "", "-o", "log"],
            1,
            "failed with exit status 3",
        ),
        (
            &["./app", "--trace", "'", "-o", "log"],
            2,
            "--trace <WORDS>",
        ),
        (
            &["./app", "--trace-cmd", "nosuchcommand", "-o", "log"],
            2,
            "it is not in PATH",
        ),
        (
            &["./app", "--trace-dirs", "-o", "log"],
            2,
            "apply to --trace",
        ),
        (
            &["./app", "--trace-timeout", "1s", "-o", "log"],
            2,
            "apply to --trace",
        ),
        (
            &["/bin/true", "--root", "/", "--trace", "", "-o", "log"],
            2,
            "use --trace-log",
        ),
        (
            &["/bin/true", "--trace-log", "gone", "-o", "log"],
            2,
            "cannot read gone: No such file",
        ),
    ] {
        let (found, said) = refused(place, words);
        assert_eq!(found, Some(status), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
        assert_eq!(names(place), ["app", "text"], "{words:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_damaged_or_foreign_log_is_refused_with_its_line() {
    let place = temporary();
    let place = place.path();
    succeed(
        slimpack()
            .args(["trace", "-q", "-o", "good", "--", "/bin/true"])
            .current_dir(place),
    );
    let good = fs::read_to_string(place.join("good")).unwrap();
    let log = place.join("log");
    let found = good
        .lines()
        .position(|line| line.contains("\"path\""))
        .unwrap();
    for (content, part) in [
        (String::new(), "it is empty"),
        (
            "hello\nworld\n".to_owned(),
            "line 1, column 1: expected a line of strace output",
        ),
        (
            "openat(AT_FDCWD, \"/etc/passwd\n".to_owned(),
            "line 1, column 8: the arguments of openat are unterminated",
        ),
        (
            "openat(AT_FDCWD, \"/x\", O_RDONLY) 3\n".to_owned(),
            "expected = and the result of openat",
        ),
        ("{\n".to_owned(), "line 1, column"),
        (
            "{\"schema\":2,\"format\":\"slimpack-trace\",\"command\":[],\"ending\":null}\n"
                .to_owned(),
            "version 2 is unknown",
        ),
        (
            "{\"absent\":\"/x\"}\n".to_owned(),
            "line 1, column 1: expected {\"schema\":1",
        ),
        (
            good.replacen("opened", "eaten", 1),
            &format!("line {}, column 1", found + 2),
        ),
        (
            good.replacen("\"by\":0", "\"by\":0,\"x\":1", 1),
            &format!("line {}, column 1", found + 1),
        ),
        (
            format!("{good}\u{1}\n"),
            &format!("line {}, column 1", good.lines().count() + 1),
        ),
    ] {
        fs::write(&log, &content).unwrap();
        let (status, said) = refused(place, &["/bin/true", "--trace-log", "log", "-o", "out.tar"]);
        assert_eq!(status, Some(2), "{content}: {said}");
        assert!(
            said.contains("cannot read log: ") && said.contains(part),
            "{content}: {said}"
        );
        assert!(!place.join("out.tar").exists());
    }
    // A log with a line of any length takes no memory.
    fs::File::create(&log).unwrap().set_len(1 << 33).unwrap();
    let (_, said) = refused(place, &["/bin/true", "--trace-log", "log"]);
    assert!(said.contains("longer than 1048576 bytes"), "{said}");
}

#[test]
fn what_a_run_reads_is_in_the_image_and_what_it_writes_is_not() {
    let place = temporary();
    let place = place.path();
    for directory in ["data", "state", "listed"] {
        fs::create_dir(place.join(directory)).unwrap();
    }
    fs::set_permissions(place.join("state"), fs::Permissions::from_mode(0o1777)).unwrap();
    for (name, content) in [
        ("data/read", "r"),
        ("data/other", "o"),
        ("data/changed", "before"),
        ("data/secret", "s"),
        ("listed/a", "a"),
        ("data/gone", "g"),
    ] {
        fs::write(place.join(name), content).unwrap();
    }
    fs::set_permissions(place.join("data/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("data", place.join("link")).unwrap();
    let program = script(
        place,
        "read x < DIR/link/read; read x < DIR/data/secret; echo after >> DIR/data/changed; echo new > DIR/state/new\n\
         test -e DIR/data/../listed && for x in DIR/listed/*; do :; done; /bin/rm DIR/data/gone; test -e DIR/absent || :",
    );
    let (root, said) = traced(place, &program, &[]);
    let inside = |name: &str| root.join(place.strip_prefix("/").unwrap()).join(name);
    assert_eq!(
        fs::read_to_string(inside("data/read")).unwrap(),
        "r",
        "{said}"
    );
    assert_eq!(fs::read_link(inside("link")).unwrap(), Path::new("data"));
    assert_eq!(
        fs::read_to_string(inside("data/changed")).unwrap(),
        "before"
    );
    assert_eq!(fs::read_to_string(inside("data/gone")).unwrap(), "g");
    assert_eq!(
        fs::metadata(inside("data/secret")).unwrap().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(inside("state")).unwrap().mode() & 0o7777,
        0o1777
    );
    for absent in ["data/other", "state/new", "listed/a", "absent"] {
        assert!(!inside(absent).exists(), "{absent}");
    }
    assert!(root.join("usr/bin/rm").exists());
    assert!(said.contains("--trace-dirs"), "{said}");
    // Restores the files that the run changed and removed.
    fs::write(place.join("data/changed"), "before").unwrap();
    fs::write(place.join("data/gone"), "g").unwrap();
    let (root, said) = traced(
        place,
        &program,
        &["--trace-dirs", "--trace-ignore", "**/read", "--force"],
    );
    let inside = |name: &str| root.join(place.strip_prefix("/").unwrap()).join(name);
    assert!(inside("listed/a").exists(), "{said}");
    assert!(!inside("data/read").exists());
    let plan =
        succeed(
            slimpack()
                .arg(&program)
                .args(["--json", "--trace", "", "--trace-allow-failure"]),
        );
    assert!(plan.contains("trace: "), "{plan}");
}

#[test]
fn files_that_are_only_tested_for_are_packed_up_to_a_megabyte() {
    let place = temporary();
    let place = place.path();
    for (name, size) in [("small", 1000), ("large", 2_000_000)] {
        fs::File::create(place.join(name))
            .unwrap()
            .set_len(size)
            .unwrap();
    }
    let program = script(place, "test -e DIR/small && test -e DIR/large");
    let (root, said) = traced(place, &program, &[]);
    let inside = root.join(place.strip_prefix("/").unwrap());
    assert!(
        inside.join("small").exists() && !inside.join("large").exists(),
        "{said}"
    );
    assert!(
        said.contains(&format!("--add {}/large", place.display())),
        "{said}"
    );
}

#[test]
fn what_is_closed_to_others_stays_its_owners() {
    if !common::is_root() {
        return;
    }
    let place = temporary();
    let place = place.path();
    fs::write(place.join("secret"), "s").unwrap();
    fs::set_permissions(place.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(place.join("secret"), Some(1234), Some(1235)).unwrap();
    let program = script(place, "read x < DIR/secret; :");
    let (root, said) = traced(place, &program, &["--suggest"]);
    let inside = root.join(place.strip_prefix("/").unwrap()).join("secret");
    let found = fs::metadata(inside).unwrap();
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o777),
        (1234, 1235, 0o600)
    );
    let flag = format!("--add={}/secret,chown=1234:1235", place.display());
    assert!(said.contains(&flag), "{said}");
}

#[test]
fn what_a_run_changes_or_removes_is_no_more_open_than_it_was() {
    let place = temporary();
    let place = place.path();
    for name in ["changed", "opened", "removed"] {
        fs::write(place.join(name), "s").unwrap();
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let program = script(
        place,
        "echo t > DIR/changed; echo t > DIR/opened; /bin/chmod 644 DIR/opened; /bin/rm DIR/removed",
    );
    let (root, said) = traced(place, &program, &[]);
    for name in ["changed", "opened", "removed"] {
        let inside = root.join(place.strip_prefix("/").unwrap()).join(name);
        assert_eq!(fs::read_to_string(&inside).unwrap(), "s", "{name}: {said}");
        let mode = fs::metadata(inside).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}: {said}");
    }
}

#[test]
fn a_command_that_drives_the_program_is_not_packed() {
    let place = temporary();
    let place = place.path();
    fs::write(place.join("read"), "x").unwrap();
    let app = script(place, "read x < DIR/read");
    fs::write(
        place.join("test.sh"),
        "cat /etc/hostname > /dev/null; ./app; /usr/bin/sort /dev/null\n",
    )
    .unwrap();
    let root = place.join("root");
    let mut command = slimpack();
    command
        .arg(&app)
        .args(["--trace-cmd", "sh test.sh", "-o"])
        .arg(format!("{}/", root.display()));
    succeed(command.current_dir(place));
    assert!(
        root.join(place.strip_prefix("/").unwrap())
            .join("read")
            .exists()
    );
    assert!(!root.join("usr/bin/sort").exists() && !root.join("etc/hostname").exists());
}

#[test]
fn the_output_of_a_run_is_not_the_image() {
    let place = temporary();
    let program = script(place.path(), "echo spoken");
    let said = output(
        slimpack()
            .arg(&program)
            .args(["--trace", "", "-q", "-o", "-"]),
    );
    assert!(said.status.success());
    assert_eq!(&said.stdout[257..262], b"ustar");
    assert_eq!(said.stderr, b"spoken\n");
    let said = run(place.path(), &["trace", "-q", "-o", "log", "--", "./app"]);
    assert_eq!(said.stdout, b"spoken\n");
    let said = run(place.path(), &["trace", "-q", "-o", "-", "--", "./app"]);
    assert!(said.stdout.starts_with(b"{\"schema\":1"));
    assert_eq!(said.stderr, b"spoken\n");
}

#[test]
fn what_a_trace_cannot_see_is_reported() {
    let place = temporary();
    let place = place.path();
    let source = r#"
#include <sys/syscall.h>
#include <unistd.h>
#include <sys/mman.h>
#include <fcntl.h>
int main(int count, char **words) {
    char parameters[120] = {0};
    syscall(SYS_io_uring_setup, 1, parameters);
    if (count > 1) { int f = open(words[1], O_RDONLY); char b[4096]; long n; int m = memfd_create("m", 0);
        while ((n = read(f, b, sizeof b)) > 0) write(m, b, n);
        char *none[] = {"m", 0}; return fexecve(m, none, none); }
    return 0;
}"#;
    let program = compile(place, "rings", source, &["-w", "-D_GNU_SOURCE"]);
    let mut command = slimpack();
    command
        .arg(&program)
        .args(["--trace", "/bin/true", "--json"]);
    let said = output(&mut command);
    let said = text(&said);
    assert!(
        said.contains("io_uring") && said.contains("has no path to pack"),
        "{said}"
    );
    if !common::is_root() {
        return;
    }
    let unshares = script(place, "unshare -m true");
    if have(&["unshare"]) {
        let (status, said) = refused(place, &[unshares.to_str().unwrap(), "--trace", ""]);
        assert!(
            status == Some(2) && said.contains("its own mount namespace"),
            "{said}"
        );
    }
    // Needs root; the setuid bit has no effect under a tracer.
    let user = compile(
        place,
        "user",
        "#include <unistd.h>\nint main(void) { return geteuid() != getuid(); }",
        &[],
    );
    fs::set_permissions(&user, fs::Permissions::from_mode(0o4755)).unwrap();
    let said = text(&output(
        slimpack().arg(&user).args(["--trace", "", "--json"]),
    ));
    assert!(said.contains("without its setuid"), "{said}");
}

#[test]
fn an_interrupt_ends_the_run_and_leaves_nothing() {
    let place = temporary();
    let place = place.path();
    let program = script(place, "/bin/sleep 1234 & echo $! > pids; wait");
    for signal in ["INT", "TERM"] {
        let mut command = slimpack();
        command
            .arg(&program)
            .args(["--trace", "", "-o", "out.tar"])
            .current_dir(place);
        let mut child = command.spawn().unwrap();
        let pids = place.join("pids");
        let until = Instant::now() + Duration::from_secs(60);
        while fs::read_to_string(&pids).is_ok_and(|text| text.is_empty()) || !pids.exists() {
            assert!(Instant::now() < until, "the run does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sleeper = fs::read_to_string(&pids).unwrap();
        succeed(
            Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(child.id().to_string()),
        );
        let status = child.wait().unwrap();
        assert!(!status.success(), "{signal}");
        // A zombie, if init has not reaped it yet.
        let state =
            fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
        assert!(
            state.is_empty() || state.contains(") Z "),
            "{signal}: {state}"
        );
        fs::remove_file(pids).unwrap();
        assert_eq!(names(place), ["app"], "{signal}");
    }
}
