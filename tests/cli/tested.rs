//! Images that are written only if their tests pass, why tests fail, and what `--fix` adds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{self, compile, have, output, slimpack, succeed, temporary, text};
use crate::recipes::path_with_slimpack;

/// Writes an executable script in which DIR stands for the path of the directory.
fn script(directory: &Path, source: &str) -> PathBuf {
    let path = directory.join("app");
    let source = source.replace("DIR", directory.to_str().unwrap());
    fs::write(&path, format!("#!/bin/sh\n{source}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn pack(directory: &Path, words: &[&str]) -> Output {
    let mut command = slimpack();
    command.arg("./app").args(words).args(["-o", "out.tar"]);
    output(command.current_dir(directory))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn an_image_is_written_only_if_its_tests_succeed() {
    let place = temporary();
    let place = place.path();
    script(place, "echo \"$1\"; echo other >&2; exit ${2:-0}");
    fs::write(place.join("expected"), "one\n").unwrap();
    for (words, is_good, part) in [
        (&["--test", "one"][..], true, ""),
        (&["--test", "one", "--test-stdout", "one"], true, ""),
        (&["--test", "one", "--test-stdout", "@expected"], true, ""),
        (
            &[
                "--test",
                "one 3",
                "--test-status",
                "3",
                "--test",
                "two",
                "--test-stdout",
                "two",
            ],
            true,
            "",
        ),
        (&["--test", "[\"a b\"]", "--test-stdout", "a b"], true, ""),
        (
            &["--test", "one 3"],
            false,
            "it ended with status 3 instead of status 0",
        ),
        (
            &["--test", "one", "--test-stdout", "two"],
            false,
            "it wrote something else to standard output",
        ),
        (
            &["--test", "one", "--test", "one", "--test-status", "1"],
            false,
            "status 0 instead of status 1",
        ),
    ] {
        let said = pack(place, words);
        let (status, said) = (said.status.code(), text(&said));
        assert_eq!(
            status,
            Some(if is_good { 0 } else { 1 }),
            "{words:?}: {said}"
        );
        assert!(said.contains(part), "{words:?}: {said}");
        assert_eq!(place.join("out.tar").exists(), is_good, "{words:?}");
        let _ = fs::remove_file(place.join("out.tar"));
    }
    script(place, "while :; do :; done");
    let said = pack(place, &["--test", "", "--test-timeout", "1s"]);
    assert!(text(&said).contains("it took too long"), "{}", text(&said));
    for (words, part) in [
        (&["--fix"][..], "apply to --test"),
        (
            &["--test-status", "1", "--test", ""],
            "is about the --test before it",
        ),
        (&["--test", "'"], "--test <ARGS>"),
    ] {
        let said = pack(place, words);
        assert_eq!(said.status.code(), Some(2), "{words:?}: {}", text(&said));
        assert!(text(&said).contains(part), "{words:?}: {}", text(&said));
    }
}

#[test]
fn tests_of_a_config_file_are_tables() {
    let place = temporary();
    let place = place.path();
    script(place, "echo \"$1\"; exit ${2:-0}");
    fs::write(place.join("expected"), "one\n").unwrap();
    let write = |status: u8| {
        let tests = format!(
            "[[image]]\nfile = \"app\"\noutput = \"out.tar\"\n[[image.test]]\nargs = [\"one\"]\nstdout = \"@expected\"\n\
             [[image.test]]\nargs = \"two 4\"\nstatus = {status}\ntimeout = \"20s\"\n"
        );
        fs::write(place.join("slimpack.toml"), tests).unwrap();
        output(
            slimpack()
                .args(["--config", "slimpack.toml"])
                .current_dir(place),
        )
    };
    let said = write(5);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    assert!(!place.join("out.tar").exists());
    let said = write(4);
    assert!(said.status.success(), "{}", text(&said));
    fs::write(
        place.join("slimpack.toml"),
        "[[image]]\nfile = \"app\"\n[[image.test]]\narg = \"x\"\n",
    )
    .unwrap();
    let said = output(
        slimpack()
            .args(["--config", "slimpack.toml"])
            .current_dir(place),
    );
    assert!(text(&said).contains("unknown key arg"), "{}", text(&said));
}

#[test]
fn what_a_test_lacks_is_named_and_added() {
    let place = temporary();
    let place = place.path();
    fs::write(place.join("data"), "d\n").unwrap();
    script(
        place,
        "read x < DIR/data || exit 3; echo $x; /usr/bin/sort DIR/data",
    );
    let data = place.join("data").display().to_string();
    let said = pack(place, &["--test", ""]);
    assert_eq!(said.status.code(), Some(1));
    let said = text(&said);
    assert!(
        said.contains(&format!("sh cannot open {data}"))
            || said.contains(&format!("app cannot open {data}")),
        "{said}"
    );
    assert!(
        said.contains(&format!("add it with --add {data}")),
        "{said}"
    );
    assert!(!place.join("out.tar").exists());
    fs::write(place.join("expected"), "d\nd\n").unwrap();
    let options = ["-e", "A=b c", "--test", "", "--test-stdout", "@expected"];
    let said = pack(
        place,
        &[&options[..], &["--fix", "--label", "x=y"]].concat(),
    );
    assert!(said.status.success(), "{}", text(&said));
    let said = text(&said);
    assert!(said.contains(&format!("fix 1: --add {data}")), "{said}");
    let fixed = said
        .lines()
        .find_map(|line| line.strip_prefix("fixed: slimpack "))
        .unwrap();
    // The printed command line packs the same image at once, with all other options.
    let before = fs::read(place.join("out.tar")).unwrap();
    fs::remove_file(place.join("out.tar")).unwrap();
    let line = format!("slimpack {fixed}");
    succeed(
        Command::new("sh")
            .args(["-c", &line])
            .env("PATH", path_with_slimpack(place))
            .current_dir(place),
    );
    assert_eq!(fs::read(place.join("out.tar")).unwrap(), before);
    let config = succeed(
        slimpack()
            .args(["inspect", "--json", "out.tar"])
            .current_dir(place),
    );
    assert!(config.contains("A=b c"), "{config}");
    let mut command = slimpack();
    let ran = succeed(command.args(["run", "-q", "out.tar"]).current_dir(place));
    assert_eq!(ran, "d\nd\n");
}

#[test]
fn nothing_is_fixed_that_is_not_missing() {
    let place = temporary();
    let place = place.path();
    script(place, "exit 3");
    let said = pack(place, &["--test", "", "--fix"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text(&said).contains("nothing that it looked for is missing"),
        "{}",
        text(&said)
    );
}

#[test]
fn a_minimized_image_is_tested_too() {
    let place = temporary();
    let place = place.path();
    script(place, "read x < DIR/data && echo $x");
    fs::write(place.join("data"), "d\n").unwrap();
    let data = place.join("data").display().to_string();
    succeed(
        slimpack()
            .args(["./app", "--add", &data, "-q", "-o", "whole.tar"])
            .current_dir(place),
    );
    fs::remove_file(place.join("data")).unwrap();
    let slim = |words: &[&str]| {
        let mut command = slimpack();
        command.args([
            "--from",
            "whole.tar",
            "--test",
            "",
            "--test-stdout",
            "d",
            "-o",
            "slim.tar",
        ]);
        output(command.args(words).current_dir(place))
    };
    let said = slim(&[]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    assert!(
        text(&said).contains(&format!("--add {data}")),
        "{}",
        text(&said)
    );
    let said = slim(&["--fix"]);
    assert!(said.status.success(), "{}", text(&said));
}

#[test]
fn a_minimized_image_gets_the_library_of_its_interpreter_at_once() {
    if !have(&["python3"]) {
        return;
    }
    let place = temporary();
    let place = place.path();
    let app = place.join("app");
    fs::write(
        &app,
        "#!/usr/bin/python3\nimport json\nprint(json.dumps(1))\n",
    )
    .unwrap();
    fs::set_permissions(&app, fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["./app", "--with=stdlib", "-q", "-o", "whole.tar"];
    succeed(slimpack().args(words).current_dir(place));
    let words = ["--from", "whole.tar", "--test=", "--fix", "-o", "slim.tar"];
    let said = output(slimpack().args(words).current_dir(place));
    assert!(said.status.success(), "{}", text(&said));
    let said = text(&said);
    assert!(said.contains("fix 1: --with stdlib"), "{said}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn the_cause_is_the_first_line_in_words() {
    let place = temporary();
    let place = place.path();
    let root = place.join("root");
    script(place, "cat /etc/hostname");
    let packed = format!("{}/", root.display());
    succeed(
        slimpack()
            .args(["./app", "-q", "-o", &packed])
            .current_dir(place),
    );
    fs::write(root.join("plain"), "x").unwrap();
    fs::write(root.join("gone"), "#!/no/such/interpreter\n").unwrap();
    fs::write(root.join("bytes"), [0x7f, b'E', b'L', b'F', 9, 9]).unwrap();
    for name in ["gone", "bytes"] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let diagnosed = |words: &[&str]| {
        let mut command = slimpack();
        let said = output(command.args(["run", "-q", "--diagnose"]).args(words));
        let line = String::from_utf8(said.stderr).unwrap();
        let line = line.lines().find(|line| line.starts_with("diagnosis: "));
        (said.status.code(), line.unwrap_or_default().to_owned())
    };
    let path = root.to_str().unwrap();
    for (words, status, part) in [
        (
            &["--entrypoint", "/plain", path][..],
            126,
            "/plain is not executable: its mode is 0644",
        ),
        (
            &["--entrypoint", "/gone", path],
            127,
            "/no/such/interpreter, the interpreter of /gone, is not in the image",
        ),
        (&["--entrypoint", "/bytes", path], 126, "/bytes is damaged"),
        (
            &["--entrypoint", "/none", path],
            127,
            "/none is not in the image",
        ),
        (
            &["--entrypoint", "none", path],
            127,
            "none is in no directory of the image's PATH",
        ),
        (
            &["--entrypoint", "/app", "-u", "nosuchuser", path],
            125,
            "user nosuchuser is not in /etc/passwd of the image; choose another",
        ),
        (
            &["--entrypoint", "/bin/sh", path, "-c", "cat /x"],
            127,
            "/usr/bin/cat is not in the image",
        ),
        (
            &[
                "--entrypoint",
                "/bin/sh",
                path,
                "-c",
                "kill -SYS $$; sh -c 'kill -SYS $$'; exit $?",
            ],
            159,
            "status 159",
        ),
    ] {
        let (found, line) = diagnosed(words);
        assert!(line.contains(part), "{words:?}: {line}");
        assert_eq!(found, Some(status), "{words:?}: {line}");
    }
    let readonly = diagnosed(&[
        "--read-only",
        "--entrypoint",
        "/bin/sh",
        path,
        "-c",
        "echo > /usr/x",
    ]);
    assert!(
        readonly
            .1
            .contains("cannot write to /usr/x: it is read-only"),
        "{readonly:?}"
    );
    let closed = diagnosed(&[
        "-u",
        "7",
        "--entrypoint",
        "/bin/sh",
        path,
        "-c",
        "echo > /usr/x",
    ]);
    assert!(
        !common::is_root() || closed.1.contains("/usr belongs to user 0"),
        "{closed:?}"
    );
    if have(&["aarch64-linux-gnu-gcc"])
        && !Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists()
    {
        let foreign = place.join("foreign");
        fs::write(place.join("f.c"), "int main(void) { return 0; }").unwrap();
        let mut compiler = std::process::Command::new("aarch64-linux-gnu-gcc");
        succeed(
            compiler
                .args(["-static", "-o"])
                .arg(&foreign)
                .arg(place.join("f.c")),
        );
        let (status, line) = diagnosed(&[foreign.to_str().unwrap()]);
        assert!(
            status == Some(126) && line.contains("is for aarch64") && line.contains("qemu"),
            "{line}"
        );
        // Without a diagnosis, too.
        let said = text(&output(slimpack().args(["run", "-q"]).arg(&foreign)));
        assert!(said.contains("is for aarch64"), "{said}");
    }
}

/// A file that was never looked for, because its directory was listed before, is known only from what
/// the program says.
#[test]
fn what_a_program_says_is_passed_on_and_read_for_the_diagnosis() {
    let place = temporary();
    let place = place.path();
    let parts = place.join("parts");
    fs::create_dir(&parts).unwrap();
    for name in ["one.plugin", "part.plugin"] {
        fs::write(parts.join(name), "").unwrap();
    }
    script(
        place,
        "echo said; /bin/ls DIR/parts; echo \"cannot load 'part'\" >&2; exit 3",
    );
    let one = parts.join("one.plugin");
    let words = ["./app", "--add", "/bin/ls", "--add", one.to_str().unwrap()];
    succeed(
        slimpack()
            .args(words)
            .args(["-q", "-o", "image.tar"])
            .current_dir(place),
    );
    let mut command = slimpack();
    let said = output(
        command
            .args(["run", "-q", "--diagnose", "image.tar"])
            .current_dir(place),
    );
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    assert_eq!(String::from_utf8_lossy(&said.stdout), "said\none.plugin\n");
    let errors = String::from_utf8_lossy(&said.stderr);
    let (first, cause) = errors.split_once('\n').unwrap();
    assert_eq!(first, "cannot load 'part'");
    let missing = parts.join("part.plugin");
    let expected = format!("does not find part: {}", missing.display());
    assert!(cause.contains(&expected), "{cause}");
}

#[test]
fn a_crash_is_reported_in_words() {
    if !have(&["cc"]) {
        return;
    }
    let place = temporary();
    for (name, source, part) in [
        (
            "segv",
            "int main(void) { return *(volatile int *)8; }",
            "the program crashed (SIGSEGV)",
        ),
        ("ill", "int main(void) { __builtin_trap(); }", "(SIGILL)"),
    ] {
        let program = compile(place.path(), name, source, &["-w"]);
        let said = output(
            slimpack()
                .args(["run", "-q", "--diagnose", "--timeout", "30s"])
                .arg(program),
        );
        assert!(text(&said).contains(part), "{}", text(&said));
        assert!(
            said.status.code().is_some_and(|status| status > 128),
            "{}",
            text(&said)
        );
    }
}

#[test]
fn hostile_images_are_not_run() {
    let place = temporary();
    let place = place.path();
    script(place, "echo ran");
    succeed(
        slimpack()
            .args(["./app", "-q", "-o", "image.tar"])
            .current_dir(place),
    );
    let run = |words: &[&str]| output(slimpack().arg("run").args(words).current_dir(place));
    let limited = run(&["--limit", "members=1", "image.tar"]);
    assert_eq!(limited.status.code(), Some(125), "{}", text(&limited));
    let mut bytes = fs::read(place.join("image.tar")).unwrap();
    let at = bytes
        .windows(8)
        .position(|part| part == b"echo ran")
        .unwrap();
    bytes[at] = b'E';
    fs::write(place.join("image.tar"), bytes).unwrap();
    let damaged = run(&["image.tar"]);
    assert_eq!(damaged.status.code(), Some(125), "{}", text(&damaged));
    assert!(!text(&damaged).contains("ran\n"), "{}", text(&damaged));
}
