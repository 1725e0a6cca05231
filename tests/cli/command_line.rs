//! Conveniences of the command line: help, completions, colors, all errors at once.

use crate::common;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{compile, fail_with, have, hello, output, slimpack, succeed, temporary, text};

/// The names of all commands, as the help lists them.
fn verbs() -> Vec<String> {
    let help = succeed(slimpack().arg("-h"));
    let commands = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let names = commands
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.collect()
}

#[test]
fn short_help_fits_on_a_screen_and_says_where_there_is_more() {
    let help = succeed(slimpack().arg("-h"));
    assert!(help.lines().count() <= 56, "{} lines", help.lines().count());
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
    for word in [
        "--output",
        "--depfile",
        "slimpack help make",
        "--help",
        "Exit status",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    // The long help has what the short one leaves out.
    let long = succeed(slimpack().arg("--help"));
    for word in [
        "--if-changed",
        "--max-size",
        "--exclude",
        "Examples:",
        "SLIMPACK_LOG",
    ] {
        assert!(long.contains(word), "{word}: {long}");
    }
    for verb in verbs() {
        let help = succeed(slimpack().args([verb.as_str(), "--help"]));
        assert!(help.contains(&format!("slimpack {verb}")), "{verb}: {help}");
        let (_, examples) = help
            .split_once("\nExamples:\n")
            .unwrap_or_else(|| panic!("{verb}: {help}"));
        assert!(
            examples.contains(&format!("slimpack {verb}")),
            "{verb}: {examples}"
        );
        assert_eq!(
            succeed(slimpack().args(["help", &verb])).trim(),
            help.trim(),
            "{verb}"
        );
    }
}

#[test]
fn help_about_what_is_not_there_names_the_nearest() {
    assert!(succeed(slimpack().arg("help")).contains("slimpack help make"));
    let said = fail_with(2, slimpack().args(["help", "maek"]));
    assert!(said.contains("did you mean make?"), "{said}");
    let said = fail_with(2, slimpack().args(["--outptu", "x"]));
    assert!(said.contains("--output"), "{said}");
    let said = fail_with(2, slimpack().arg("inspekt"));
    assert!(said.contains("slimpack inspect"), "{said}");
}

#[test]
fn all_that_is_wrong_is_told_and_not_only_the_first() {
    let folder = temporary();
    fs::write(folder.path().join("text"), "no program\n").unwrap();
    let mut command = slimpack();
    command
        .current_dir(folder.path())
        .args(["gone", "text", "--add", "more:/x", "--add", "y"]);
    let said = fail_with(2, command.args(["-o", "out.tar"]));
    assert_eq!(said.matches("error: ").count(), 4, "{said}");
    for word in ["gone", "text", "more", "cannot add y"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(common::names_in(folder.path()), ["text"]);
}

#[test]
fn the_version_says_how_it_was_built_when_asked() {
    let version = format!("slimpack {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(succeed(slimpack().arg("--version")), version);
    assert_eq!(succeed(slimpack().arg("-V")), version);
    let more = succeed(slimpack().args(["--version", "--verbose"]));
    assert!(more.starts_with(&version), "{more}");
    for word in ["target: ", "linkage: ", "features: "] {
        assert!(more.contains(word), "{word}: {more}");
    }
}

#[test]
fn colours_are_a_choice() {
    let escapes = |command: &mut Command| text(&output(command)).contains('\u{1b}');
    let pack = || {
        let mut command = slimpack();
        command.arg(hello());
        command
    };
    assert!(!escapes(&mut pack()));
    assert!(escapes(pack().arg("--color=always")));
    assert!(escapes(pack().env("CLICOLOR_FORCE", "1")));
    assert!(!escapes(
        pack().env("CLICOLOR_FORCE", "1").arg("--color=never")
    ));
    assert!(escapes(
        slimpack().args(["--color", "always", "tree"]).arg(hello())
    ));
    if have(&["script"]) {
        // On a terminal.
        let program = slimpack().get_program().display().to_string();
        let terminal = |more: &str| {
            let line = format!("{program} {} {more}", hello().display());
            let mut command = Command::new("script");
            command
                .args(["-qec", &line, "/dev/null"])
                .env_remove("NO_COLOR")
                .env("TERM", "xterm");
            command
        };
        assert!(escapes(&mut terminal("")));
        assert!(!escapes(terminal("").env("NO_COLOR", "1")));
        assert!(!escapes(&mut terminal("--color never")));
    }
}

#[test]
fn shells_read_the_completions() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = succeed(slimpack().args(["completions", shell]));
        for word in ["depfile", "inspect", "if-changed"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        if have(&[shell]) {
            let folder = temporary();
            let path = folder.path().join("completions");
            fs::write(&path, script).unwrap();
            succeed(Command::new(shell).arg(check).arg(&path));
        }
    }
    let said = fail_with(2, slimpack().args(["completions", "csh"]));
    assert!(said.contains("bash"), "{said}");
}

#[test]
fn bash_completes_commands_and_options() {
    if !have(&["bash"]) {
        return;
    }
    let folder = temporary();
    let path = folder.path().join("completions");
    fs::write(&path, succeed(slimpack().args(["completions", "bash"]))).unwrap();
    for (words, expected) in [
        ("slimpack ins", "inspect"),
        ("slimpack --depf", "--depfile"),
    ] {
        let script = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD=1; COMP_LINE='{words}'; COMP_POINT=${{#COMP_LINE}}; \
             _slimpack slimpack \"${{COMP_WORDS[1]}}\" slimpack; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            path.display()
        );
        let completed = succeed(Command::new("bash").arg("-c").arg(script));
        assert_eq!(completed.trim(), expected);
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let page = succeed(slimpack().arg("man"));
    assert!(page.contains(".TH slimpack 1"), "{page}");
    let folder = temporary();
    succeed(slimpack().arg("man").arg(folder.path()));
    let names = common::names_in(folder.path());
    assert!(names.contains(&"slimpack.1".to_owned()), "{names:?}");
    for verb in verbs() {
        assert!(
            names.contains(&format!("slimpack-{verb}.1")),
            "{verb}: {names:?}"
        );
    }
    for name in &names {
        let page = fs::read_to_string(folder.path().join(name)).unwrap();
        for option in page.split("\n.TP\n").skip(1) {
            let lines: Vec<&str> = option.lines().collect();
            let has_text = lines.get(1).is_some_and(|line| !line.trim().is_empty());
            assert!(has_text, "{name} has no text for {}", lines[0]);
        }
    }
    if have(&["man"]) {
        for name in names {
            let mut man = Command::new("man");
            man.args(["--warnings=all", "-l"])
                .arg(folder.path().join(&name));
            let read = output(man.env("MANWIDTH", "80").env("MANPAGER", "cat"));
            assert!(
                read.status.success() && !read.stdout.is_empty(),
                "{name}: {}",
                text(&read)
            );
        }
    }
    let said = fail_with(2, slimpack().args(["man", "/no/such/folder"]));
    assert!(said.contains("/no/such/folder does not exist"), "{said}");
}

#[test]
fn the_log_shows_the_walk_of_the_loader() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    for name in ["lib1", "lib2"] {
        fs::create_dir(at(name)).unwrap();
    }
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libfoo.so.1"];
    let library = compile(
        &at("lib2"),
        "libfoo.so.1",
        "int foo(void) { return 0; }",
        &flags,
    );
    let source = "int foo(void); int main(void) { return foo(); }";
    let rpath = "-Wl,-rpath,$ORIGIN/lib1:$ORIGIN/lib2";
    let program = compile(
        folder.path(),
        "app",
        source,
        &[library.to_str().unwrap(), rpath],
    );
    let tried = |said: &str| -> Vec<String> {
        let files = said
            .lines()
            .filter_map(|line| line.split_once("trying file="));
        let files = files.map(|(_, file)| file.split(": ").next().unwrap().to_owned());
        // The baseline resolution ignores variants for newer machines.
        let is_plain = |file: &String| {
            let folder = Path::new(file).parent().unwrap();
            folder == at("lib1") || folder == at("lib2") || folder.ends_with("x86_64-linux-gnu")
        };
        files.filter(is_plain).collect()
    };
    let oracle = output(Command::new(&program).env_clear().env("LD_DEBUG", "libs"));
    let oracle = tried(&String::from_utf8_lossy(&oracle.stderr));
    assert!(oracle.len() > 2, "{oracle:?}");
    let mut command = slimpack();
    let logged = output(
        command
            .arg("tree")
            .arg(&program)
            .env("SLIMPACK_LOG", "debug"),
    );
    let said = String::from_utf8_lossy(&logged.stderr).into_owned();
    assert_eq!(tried(&said), oracle, "{said}");
    assert!(said.contains("found by RUNPATH $ORIGIN/lib2"), "{said}");
    let quiet = output(slimpack().arg("tree").arg(&program));
    assert!(quiet.stderr.is_empty(), "{}", text(&quiet));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let help = format!("{} --help | head -n 1", slimpack().get_program().display());
    let list = format!(
        "{} lint --list-rules | head -n 1",
        slimpack().get_program().display()
    );
    let man = format!("{} man | head -n 1", slimpack().get_program().display());
    for line in [help, list, man] {
        let mut command = Command::new("bash");
        let said = output(command.args(["-o", "pipefail", "-c", &line]));
        assert!(
            said.status.success() && said.stderr.is_empty(),
            "{line}: {}",
            text(&said)
        );
    }
}

#[test]
fn progress_shows_on_a_terminal_and_only_when_work_takes_long() {
    if !have(&["script", "mkfifo"]) {
        return;
    }
    let folder = temporary();
    let image = folder.path().join("image.tar");
    succeed(slimpack().arg(hello()).arg("-qo").arg(&image));
    let program = slimpack().get_program().display().to_string();
    let run = |line: &str| {
        let mut command = Command::new("script");
        text(&output(
            command
                .args(["-qec", line, "/dev/null"])
                .env("TERM", "xterm"),
        ))
    };
    let quick = run(&format!("{program} inspect {}", image.display()));
    assert!(!quick.contains("reading"), "{quick:?}");
    // The image arrives through a pipe after a second.
    let slow = format!(
        "(sleep 1.5; cat {}) | {program} inspect - >/dev/null",
        image.display()
    );
    let slow = run(&slow);
    assert!(slow.contains("reading"), "{slow:?}");
    let piped = format!(
        "(sleep 1; cat {}) | {program} inspect - 2>&1 | cat",
        image.display()
    );
    let mut command = Command::new("sh");
    let piped = text(&output(command.args(["-c", &piped])));
    assert!(!piped.contains("reading"), "{piped:?}");
}

#[test]
fn a_directory_of_libraries_that_does_not_exist_is_told() {
    let folder = temporary();
    let gone = folder.path().join("gone");
    let told = format!("warning: -L {}", gone.display());
    for verb in [&[][..], &["tree"], &["lint"], &["needs"]] {
        let mut command = slimpack();
        command.args(verb).arg(hello()).arg("-L").arg(&gone);
        let said = output(&mut command);
        assert!(
            said.status.success() && text(&said).contains(&told),
            "{}",
            text(&said)
        );
    }
    let quiet = output(slimpack().arg(hello()).arg("-qL").arg(&gone));
    assert!(!text(&quiet).contains("-L"), "{}", text(&quiet));
}

/// What is packed for a script are the needs of what runs it.
#[test]
fn needs_of_a_script_are_those_of_its_interpreter() {
    if !have(&["python3"]) {
        return;
    }
    let folder = temporary();
    let script = folder.path().join("script");
    for (text, needs) in [
        ("#!/bin/sh\nls | sort\n", "which calls ls, sort"),
        (
            "#!/usr/bin/env python3\nprint(1)\n",
            "startup (automatic): ",
        ),
    ] {
        fs::write(&script, text).unwrap();
        let said = succeed(slimpack().arg("needs").arg(&script));
        assert!(said.contains(needs), "{said}");
    }
    fs::write(&script, "#!/gone/interpreter\n").unwrap();
    let said = fail_with(2, slimpack().arg("needs").arg(&script));
    assert!(said.contains("/gone/interpreter"), "{said}");
}
