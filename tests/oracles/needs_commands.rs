//! Programs that start others by name, and other needs that show in their arguments and code.

use crate::{common, packing};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, have, succeed, temporary};
use packing::{pack, refused, runs_containers};
use serde_json::Value;

/// A program that starts `gzip`, and also mentions `ungzip`.
const STARTS_GZIP: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    puts("ungzip");
    return execlp("gzip", "gzip", "--version", (char *)0);
}
"#;
/// A program that only mentions `gzip`.
const SAYS_UNGZIP: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    puts("ungzip");
    return execlp(argv[1], argv[1], (char *)0);
}
"#;

/// A plan's hints about one need: the sign and the option.
fn hints(words: &[&str], need: &str) -> Vec<(String, String)> {
    let mut command = common::slimpack();
    let plan = succeed(command.arg("--json").args(words));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let all = plan["hints"].as_array().unwrap().iter();
    let text = |hint: &Value, field: &str| hint[field].as_str().unwrap().to_owned();
    all.filter(|hint| hint["need"] == need)
        .map(|hint| (text(hint, "why"), text(hint, "flag")))
        .collect()
}

fn command_hint(program: &Path) -> String {
    let hints = hints(&[program.to_str().unwrap()], "commands");
    hints.into_iter().map(|(why, _)| why).collect()
}

#[test]
fn a_name_at_the_end_of_another_text_is_one_where_code_points_at_it() {
    let folder = temporary();
    for (number, flags) in [&[][..], &["-no-pie"], &["-static"]].iter().enumerate() {
        let name = format!("starts{number}");
        let starts = compile(folder.path(), &name, STARTS_GZIP, flags);
        let bytes = fs::read(&starts).unwrap();
        let is_merged = memchr::memmem::find(&bytes, b"\0gzip\0").is_none();
        assert!(is_merged, "the linker keeps the two texts apart: {flags:?}");
        assert!(command_hint(&starts).contains("mentions gzip"), "{flags:?}");
        let name = format!("says{number}");
        let says = compile(folder.path(), &name, SAYS_UNGZIP, flags);
        assert!(!command_hint(&says).contains("gzip"), "{flags:?}");
    }
}

#[test]
fn code_of_aarch64_points_at_names_too() {
    const COMPILER: &str = "aarch64-linux-gnu-gcc";
    const ROOT: &str = "/usr/aarch64-linux-gnu";
    if !have(&[COMPILER]) {
        return;
    }
    let folder = temporary();
    // Only commands in the root count.
    let root = folder.path().join("root");
    succeed(Command::new("cp").args(["-a", ROOT]).arg(&root));
    let bin = root.join("usr/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("gzip"), "").unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bin.join("gzip"), permissions).unwrap();
    for (name, source, says) in [("starts", STARTS_GZIP, true), ("says", SAYS_UNGZIP, false)] {
        let file = folder.path().join(format!("{name}.c"));
        fs::write(&file, source).unwrap();
        let program = root.join("usr/bin").join(name);
        succeed(
            Command::new(COMPILER)
                .arg("-O2")
                .arg(&file)
                .arg("-o")
                .arg(&program),
        );
        let words = ["--root", root.to_str().unwrap(), program.to_str().unwrap()];
        let hints = hints(&words, "commands");
        let names = hints.iter().any(|(why, _)| why.contains("gzip"));
        assert_eq!(names, says, "{name}: {hints:?}");
    }
}

#[test]
fn tar_is_seen_to_start_what_it_unpacks_with() {
    if !have(&["tar", "gzip", "xz", "zstd"]) {
        return;
    }
    // tar's help is the oracle: it has an option for each of these programs.
    let help = succeed(Command::new("tar").arg("--help"));
    let tar = common::find("tar").unwrap();
    let packed = pack(&[tar.to_str().unwrap(), "--with", "commands"]);
    for name in ["gzip", "xz", "zstd", "bzip2"] {
        let is_known = help.contains(&format!("--{name}")) && common::find(name).is_some();
        let is_there = packed
            .layer()
            .keys()
            .any(|path| path.ends_with(&format!("bin/{name}")));
        assert_eq!(is_there, is_known, "{name}: {}", packed.said);
    }
}

/// An editor contains the names of many file types, none of which it starts.
#[test]
fn a_vocabulary_is_not_a_list_of_commands() {
    let folder = temporary();
    const NAMES: [&str; 20] = [
        "awk", "bash", "basename", "cp", "dirname", "ls", "mv", "rm", "cat", "chmod", "cmp", "cut",
        "diff", "find", "grep", "gzip", "perl", "sed", "sort", "tar",
    ];
    let program = |name: &str, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let source = format!(
            "#include <unistd.h>\nconst char *const names[] = {{{}}};\n\
             int main(int argc, char **argv) {{ return execvp(names[argc], argv); }}",
            names.join(", ")
        );
        compile(folder.path(), name, &source, &[])
    };
    let few = command_hint(&program("few", &NAMES[..6]));
    assert!(few.contains("mentions") && few.contains("awk"), "{few}");
    let many = command_hint(&program("many", &NAMES));
    assert_eq!(many, "");
    // Language codes in a text library that Go links into many programs.
    let languages = command_hint(&program("languages", &["ar", "id", "vi", "gzip"]));
    assert!(languages.ends_with("mentions gzip"), "{languages}");
}

#[test]
fn what_stands_in_a_line_for_a_shell_is_a_command() {
    let folder = temporary();
    let source = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) { FILE *lines = popen("sort -r /dev/null", "r"); return pclose(lines) + system("cat"); }
"#;
    let program = compile(folder.path(), "lines", source, &[]);
    let hint = command_hint(&program);
    assert!(hint.contains("cat, sort"), "{hint}");
}

/// A root with `app`, which contains the path of a directory and the name of a helper in it.
fn root_with_helpers(folder: &Path) -> (PathBuf, PathBuf) {
    let root = folder.join("root");
    let [bin, helpers] = ["usr/bin", "usr/lib/app-helpers/2"].map(|path| root.join(path));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&helpers).unwrap();
    let source = r#"
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("%s/%s runs app-worker for %s", "/usr/lib/app-helpers/", argv[1], argv[2]);
    return execv(argv[1], argv);
}
"#;
    let program = compile(&bin, "app", source, &["-static"]);
    for name in ["app-worker", "app-other"] {
        compile(&helpers, name, common::HELLO, &["-static"]);
    }
    (root, program)
}

#[test]
fn helpers_are_programs_in_folders_that_a_program_holds() {
    let folder = temporary();
    let (root, program) = root_with_helpers(folder.path());
    let words = ["--root", root.to_str().unwrap(), program.to_str().unwrap()];
    let hints = hints(&words, "commands");
    let [(why, _)] = &hints[..] else {
        panic!("{hints:?}");
    };
    assert!(why.ends_with("mentions app-worker"), "{why}");
    let packed = pack(&[&words[..], &["--with", "commands"]].concat());
    assert!(packed.has("usr/lib/app-helpers/2/app-worker"));
    assert!(!packed.has("usr/lib/app-helpers/2/app-other"));
    // A command given by name is added even if the program does not mention it.
    let packed = pack(&[&words[..], &["--with", "commands=app-other"]].concat());
    assert!(packed.has("usr/lib/app-helpers/2/app-other"));
    let said = refused(2, &[&words[..], &["--with", "commands=app-none"]].concat());
    assert!(said.contains("no command app-none"), "{said}");
}

/// With symbolic links that lead back, any number of them is another spelling of one directory.
#[test]
fn links_among_folders_of_helpers_do_not_multiply() {
    let folder = temporary();
    let (root, program) = root_with_helpers(folder.path());
    let helpers = root.join("usr/lib/app-helpers");
    for number in 10..400 {
        std::os::unix::fs::symlink(".", helpers.join(number.to_string())).unwrap();
        std::os::unix::fs::symlink("..", helpers.join(format!("2/{number}"))).unwrap();
    }
    let words = ["--root", root.to_str().unwrap(), program.to_str().unwrap()];
    let told = hints(&words, "commands");
    assert!(told[0].0.ends_with("mentions app-worker"), "{told:?}");
}

#[test]
fn arguments_name_commands() {
    if !have(&["bash", "find", "sort", "wc"]) {
        return;
    }
    let [bash, find] = ["bash", "find"].map(|name| common::find(name).unwrap());
    let [bash, find] = [&bash, &find].map(|path| path.to_str().unwrap());
    for (words, flag) in [
        (
            vec![bash, "--cmd", r#"["-c", "sort /etc/hosts | wc -l"]"#],
            "--with commands=sort+wc",
        ),
        (
            vec![find, "--cmd", r#"["/", "-exec", "wc", "{}", ";"]"#],
            "--with commands=wc",
        ),
        (
            vec![
                find,
                "--entrypoint",
                &format!(r#"["{find}", "/", "-exec", "wc", "{{}}", ";"]"#),
            ],
            "--with commands=wc",
        ),
    ] {
        let hints = hints(&words, "commands");
        assert!(hints.iter().any(|(_, known)| known == flag), "{hints:?}");
    }
    // A command outside PATH is named by its path.
    let folder = temporary();
    let tool = compile(folder.path(), "tool", common::HELLO, &["-static"]);
    let words = format!(r#"["/", "-exec", "{}", ";"]"#, tool.display());
    let told = hints(&[find, "--cmd", &words], "commands");
    let flag = format!("--with commands={}", tool.display());
    assert!(told.iter().any(|(_, known)| *known == flag), "{told:?}");
    let flag = format!("--with=commands={}", tool.display());
    let packed = pack(&[find, "--cmd", &words, &flag]);
    assert!(packed.has(tool.to_str().unwrap().trim_start_matches('/')));
    // A data file is not a command, nor is an argument of a program that starts no others.
    let ls = common::find("ls").unwrap();
    let words = [ls.to_str().unwrap(), "--cmd", r#"["sort", "wc"]"#];
    assert_eq!(hints(&words, "commands"), []);
    let told = hints(
        &[find, "--cmd", r#"["/etc/passwd", "-name", "x"]"#],
        "commands",
    );
    assert!(told.iter().all(|(_, flag)| !flag.contains('=')), "{told:?}");
}

#[test]
fn a_script_that_env_starts_has_the_needs_of_its_interpreter() {
    if !have(&["python3"]) {
        return;
    }
    let folder = temporary();
    let script = folder.path().join("script");
    fs::write(
        &script,
        "#!/usr/bin/env python3\nimport json\nprint(json.dumps([1]))\n",
    )
    .unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, permissions).unwrap();
    let word = script.to_str().unwrap();
    let told = hints(&[word], "stdlib");
    assert_eq!(told.len(), 1, "{told:?}");
    // Words that only a shell would run are not commands.
    assert_eq!(hints(&[word], "commands"), []);
    let packed = pack(&[word, "--with", "stdlib"]);
    if runs_containers() {
        assert_eq!(packed.prints(&[]), "[1]\n");
    }
}

fn shell_script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    path
}

#[test]
fn a_script_that_is_added_is_read_for_commands() {
    if !have(&["sh", "sort", "wc"]) {
        return;
    }
    let folder = temporary();
    // The second script is added as a command of the first.
    let inner = shell_script(folder.path(), "inner", "#!/bin/sh\nsort -u | wc -l\n");
    let text = format!("#!/bin/sh\nprintf 'a\\na\\n' | {}\n", inner.display());
    let outer = shell_script(folder.path(), "outer", &text);
    let sh = common::find("sh").unwrap();
    let cmd = format!(r#"["{}"]"#, "/opt/outer");
    let add = format!("{}:/opt/outer", outer.display());
    let words = [sh.to_str().unwrap(), "--cmd", &cmd, "--add", &add];
    let plain = pack(&words);
    let told = hints(&words, "commands");
    assert!(
        told.iter().any(|(why, _)| why.contains("which calls")),
        "{told:?}"
    );
    let packed = pack(&[&words[..], &["--with", "commands"]].concat());
    assert!(
        packed.has("usr/bin/sort") && packed.has("usr/bin/wc"),
        "{}",
        packed.said
    );
    assert!(!plain.has("usr/bin/sort"), "{}", plain.said);
    if runs_containers() {
        assert!(!plain.run(&[]).status.success());
        assert_eq!(packed.prints(&[]).trim(), "1");
    }
}

#[test]
fn the_first_argument_of_an_entrypoint_that_passes_them_on_is_a_command() {
    if !have(&["sh", "sort"]) {
        return;
    }
    let folder = temporary();
    for (name, line, is_passed) in [
        ("entry", "exec \"$@\"", true),
        ("niced", "exec nice \"$@\"", true),
        ("other", "echo \"$@\"", false),
    ] {
        let text = format!("#!/bin/sh\nset -e\n{line}\n");
        let entry = shell_script(folder.path(), name, &text);
        let words = [entry.to_str().unwrap(), "--cmd", r#"["sort", "--version"]"#];
        let plain = pack(&words);
        let told = hints(&words, "commands");
        let is_told = told.iter().any(|(_, flag)| flag.contains("sort"));
        assert_eq!(is_told, is_passed, "{told:?}");
        let packed = pack(&[&words[..], &["--with", "commands"]].concat());
        assert_eq!(packed.has("usr/bin/sort"), is_passed, "{}", packed.said);
        if runs_containers() && is_passed {
            assert!(!plain.run(&[]).status.success());
            assert!(packed.prints(&[]).contains("sort (GNU coreutils)"));
        }
    }
}

/// The converters for some character sets: with them alone, iconv prints what it prints here.
#[test]
fn each_character_set_is_converted_by_its_own_modules() {
    if !have(&["iconv"]) || !common::is_root() {
        return;
    }
    let iconv = common::find("iconv").unwrap();
    let listed = succeed(Command::new(&iconv).arg("-l"));
    let all = listed.split([',', '\n']);
    let names: Vec<&str> = all
        .map(|name| name.trim().trim_end_matches("//"))
        .filter(|name| !name.is_empty() && !name.contains(['/', ' ', '+']))
        .collect();
    assert!(names.len() > 500, "{listed}");
    let step = match std::env::var_os("SLIMPACK_TEST_ALL") {
        Some(_) => 1,
        None => 23,
    };
    let folder = temporary();
    let text = folder.path().join("text");
    fs::write(&text, "A text, 42.\n").unwrap();
    for name in names.iter().step_by(step) {
        let root = folder.path().join("root");
        let _ = fs::remove_dir_all(&root);
        let mut pack = common::slimpack();
        pack.arg(&iconv).arg(format!("--with=gconv={name}"));
        pack.arg(format!("--add={}:/text", text.display()));
        succeed(pack.arg("-q").arg("-o").arg(format!("{}/", root.display())));
        let words = ["-f", "ASCII", "-t", name];
        let here = common::output(Command::new(&iconv).args(words).arg(&text));
        let there = common::output(common::in_chroot(&root, &iconv).args(words).arg("/text"));
        assert_eq!(
            here.stdout,
            there.stdout,
            "{name}: {}",
            common::text(&there)
        );
        assert_eq!(
            here.status,
            there.status,
            "{name}: {}",
            common::text(&there)
        );
        // And the other way.
        fs::write(root.join("back"), &here.stdout).unwrap();
        fs::write(folder.path().join("back"), &here.stdout).unwrap();
        let words = ["-f", name, "-t", "UTF-8"];
        let back = folder.path().join("back");
        let here = common::output(Command::new(&iconv).args(words).arg(&back));
        let there = common::output(common::in_chroot(&root, &iconv).args(words).arg("/back"));
        assert_eq!(
            here.stdout,
            there.stdout,
            "{name}: {}",
            common::text(&there)
        );
    }
}

fn word_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_was_asked_for_is_refused_by_the_program_that_shows_its_sign() {
    if !have(&["iconv", "git", "tar"]) {
        return;
    }
    let [iconv, git, tar] = ["iconv", "git", "tar"].map(|name| common::find(name).unwrap());
    let [iconv, git, tar] = [&iconv, &git, &tar].map(|path| word_of(path));
    for words in [&[iconv, git][..], &[git, iconv], &["/bin/true", iconv]] {
        let words = [words, &["--with", "gconv=UTF-61"]].concat();
        let said = refused(2, &words);
        assert!(said.contains("no converter for UTF-61"), "{said}");
    }
    let said = refused(2, &[tar, git, "--with", "commands=gti"]);
    assert!(said.contains("no command gti"), "{said}");
}

#[test]
fn an_image_that_lacks_what_its_arguments_name_is_told_of() {
    if !have(&["iconv", "getent"]) {
        return;
    }
    for (program, words, need) in [
        ("iconv", r#"["-f", "UTF-16"]"#, "gconv"),
        ("getent", r#"["services", "https"]"#, "services"),
    ] {
        let program = common::find(program).unwrap();
        let packed = pack(&[word_of(&program), "--cmd", words]);
        for flags in [&["lint", "-v"][..], &["lint", "--runtime"]] {
            let mut lint = common::slimpack();
            let said = common::text(&common::output(lint.args(flags).arg(&packed.archive)));
            assert!(said.contains("SP401"), "{need}: {said}");
        }
    }
}

#[test]
fn an_image_with_some_converters_has_no_others() {
    if !have(&["iconv"]) {
        return;
    }
    let iconv = common::find("iconv").unwrap();
    let word = iconv.to_str().unwrap();
    let told = hints(
        &[word, "--cmd", r#"["-f", "latin1", "-t", "UTF-8"]"#],
        "gconv",
    );
    assert!(told[0].1.ends_with("gconv=latin1"), "{told:?}");
    for word in ["--from-code=latin1", "-flatin1", "latin1//TRANSLIT"] {
        let words = format!(r#"["{word}", "-t", "UTF-8"]"#);
        let told = hints(&[word_of(&iconv), "--cmd", &words], "gconv");
        assert!(told[0].1.ends_with("gconv=latin1"), "{told:?}");
    }
    // Built-in conversions need nothing, so there is no hint.
    assert_eq!(
        hints(
            &[word, "--cmd", r#"["-f", "UTF-8", "-t", "ASCII"]"#],
            "gconv"
        ),
        []
    );
    let packed = pack(&[word, "--with", "gconv=LATIN1"]);
    let layer = packed.layer();
    let names: Vec<&str> = layer
        .keys()
        .filter_map(|path| path.split_once("/gconv/").map(|(_, name)| name))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names, ["ISO8859-1.so", "gconv-modules"]);
    if runs_containers() {
        let said = packed.run(&[word, "-f", "UTF-16", "-t", "UTF-8", "/dev/null"]);
        assert!(!said.status.success());
        let said = packed.run(&[word, "-f", "L1", "-t", "UTF-8", "/dev/null"]);
        assert!(said.status.success(), "{}", common::text(&said));
    }
}
