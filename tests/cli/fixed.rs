//! What `--fix` adds, and what it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{compile, have, output, slimpack, temporary, text};

/// Packs a script with the directory's own path at DIR; whether it was written, and what was said.
fn fixed(directory: &Path, source: &str, words: &[&str]) -> (bool, String) {
    let path = directory.join("app");
    let source = source.replace("DIR", directory.to_str().unwrap());
    fs::write(&path, source).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = slimpack();
    command.args(["./app", "-o", "out.tar"]).args(words);
    let said = output(command.current_dir(directory));
    (said.status.success(), text(&said))
}

#[test]
fn shared_directories_are_never_added_whole() {
    let place = temporary();
    let source =
        "#!/bin/sh\nfor file in /sbin/* /usr/local/bin/*; do [ -e \"$file\" ] || exit 3; done";
    let (is_good, said) = fixed(place.path(), source, &["--test", ""]);
    assert!(!is_good && said.contains("--mkdir /sbin"), "{said}");
    assert!(!said.contains("--add"), "{said}");
    let (is_good, said) = fixed(place.path(), source, &["--test", "", "--fix"]);
    assert!(!is_good && !said.contains("--add"), "{said}");
}

#[test]
fn only_options_are_kept_without_which_a_test_fails() {
    let place = temporary();
    let place = place.path();
    for name in ["needed", "optional", "other"] {
        fs::write(place.join(name), "x\n").unwrap();
    }
    let source =
        "#!/bin/sh\nread x < DIR/needed || bad=1\ncat DIR/optional DIR/other\n[ -z \"$bad\" ]";
    let cat = ["--with", "commands=cat"];
    let (is_good, said) = fixed(
        place,
        source,
        &[&cat[..], &["--test", "", "--fix"]].concat(),
    );
    assert!(is_good, "{said}");
    assert!(
        said.contains("dropped 2 options that the tests do not need"),
        "{said}"
    );
    let line = said
        .lines()
        .find(|line| line.starts_with("fixed: "))
        .unwrap();
    assert_eq!(line.matches("--add").count(), 1, "{line}");
    assert!(
        line.contains(&format!("--add {}/needed", place.display())),
        "{line}"
    );
    // Each option has a number of its own.
    let numbers = |said: &str| {
        let fixes = said.lines().filter_map(|line| line.strip_prefix("fix "));
        let numbers = fixes.filter_map(|line| line.split(':').next()?.parse().ok());
        numbers.collect::<Vec<usize>>()
    };
    assert_eq!(numbers(&said), [1, 2, 3], "{said}");
    for number in 0..12 {
        fs::write(place.join(format!("many{number}")), "x\n").unwrap();
    }
    let mut source = "#!/bin/sh\n".to_owned();
    for number in 0..12 {
        fs::create_dir(place.join(format!("at{number}"))).unwrap();
        fs::rename(
            place.join(format!("many{number}")),
            place.join(format!("at{number}/file")),
        )
        .unwrap();
        source += &format!("read x < DIR/at{number}/file || bad=1\n");
    }
    source += "[ -z \"$bad\" ]";
    let (is_good, said) = fixed(place, &source, &["--test", "", "--fix"]);
    assert!(is_good, "{said}");
    assert_eq!(numbers(&said), (1..=12).collect::<Vec<_>>(), "{said}");
    assert!(!said.contains("dropped"), "{said}");
}

#[test]
fn the_library_of_an_interpreter_is_added_before_single_files() {
    for (interpreter, source, part) in [
        (
            "/usr/bin/python3",
            "import json\nprint(json.dumps([1]))",
            "does not find json",
        ),
        (
            "/usr/bin/perl",
            "use JSON::PP; use List::Util qw(sum); print sum(1, 2);",
            "JSON/PP.pm",
        ),
        (
            "/usr/bin/ruby",
            "require 'json'; puts JSON.generate([1])",
            "ruby",
        ),
        ("/usr/bin/tclsh", "package require http", "tcl"),
    ] {
        if !have(&[interpreter.strip_prefix("/usr/bin/").unwrap()]) {
            continue;
        }
        let place = temporary();
        let source = format!("#!{interpreter}\n{source}\n");
        let (is_good, said) = fixed(place.path(), &source, &["--test", ""]);
        assert!(
            !is_good && said.contains("add it with --with stdlib"),
            "{said}"
        );
        assert!(said.contains(part), "{said}");
        let app = place.path().join("app");
        let ran = text(&output(slimpack().args(["run", "--diagnose"]).arg(app)));
        assert!(ran.contains("--with stdlib"), "{ran}");
        assert!(!ran.contains("not on this machine"), "{ran}");
        let (is_good, said) = fixed(place.path(), &source, &["--test", "", "--fix"]);
        assert!(is_good, "{said}");
        let line = said
            .lines()
            .find(|line| line.starts_with("fixed: "))
            .unwrap();
        assert!(line.ends_with("--with stdlib"), "{line}");
        assert_eq!(said.matches("fix ").count(), 1, "{said}");
    }
}

#[test]
fn another_cause_is_named_before_the_library_of_an_interpreter() {
    if !have(&["python3"]) {
        return;
    }
    let place = temporary();
    fs::write(place.path().join("data"), "x\n").unwrap();
    let source = "#!/usr/bin/python3\nimport sys\nopen('DIR/data')\n";
    let (is_good, said) = fixed(place.path(), source, &["--test", ""]);
    let data = place.path().join("data");
    let add = format!("add it with --add {}", data.display());
    assert!(!is_good && said.contains(&add), "{said}");
    let (is_good, said) = fixed(place.path(), source, &["--test", "", "--fix"]);
    assert!(is_good, "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with("fixed: "))
        .unwrap();
    assert!(!line.contains("--with"), "{line}");
}

#[test]
fn what_is_nowhere_is_named_as_such() {
    let place = temporary();
    let place = place.path();
    let read = "#!/bin/sh\nread x < /etc/slimpack-none.conf || exit 4";
    let (_, said) = fixed(place, read, &["--test", ""]);
    let sentence = "it looked for /etc/slimpack-none.conf, which is not on this machine either";
    assert!(said.contains(sentence), "{said}");
    let diagnosed = output(
        slimpack()
            .args(["run", "--diagnose"])
            .arg(place.join("app")),
    );
    assert!(text(&diagnosed).contains(sentence), "{}", text(&diagnosed));
    let (_, said) = fixed(place, "#!/bin/sh\nexit 4", &["--test", ""]);
    assert!(
        said.contains("nothing that it looked for is missing in the image"),
        "{said}"
    );
    if !have(&["cc"]) {
        return;
    }
    let opens = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) { if (dlopen(\"libslimpackgone.so\", RTLD_NOW)) \
                 return 0; fprintf(stderr, \"%s\\n\", dlerror()); return 1; }";
    compile(place, "opens", opens, &["-ldl"]);
    compile(
        place,
        "libslimpackgone.so",
        "int gone(void) { return 0; }",
        &["-shared", "-fPIC"],
    );
    let links = "int gone(void); int main(void) { return gone(); }";
    let search = format!("-L{}", place.display());
    compile(place, "links", links, &[&search, "-lslimpackgone"]);
    fs::remove_file(place.join("libslimpackgone.so")).unwrap();
    for (name, by) in [
        ("opens", "opens loads it"),
        ("links", "/usr/local/bin/links needs it"),
    ] {
        let mut command = slimpack();
        command
            .arg(format!("./{name}"))
            .args(["--test", "", "-o", "x.tar", "--allow-missing"]);
        let said = text(&output(command.current_dir(place)));
        let sentence = format!("libslimpackgone.so is not in the image, nor on this machine; {by}");
        assert!(said.contains(&sentence), "{said}");
        assert!(!said.contains("nothing that it looked for"), "{said}");
    }
}

#[test]
fn a_file_of_the_current_directory_is_added_where_the_program_looks() {
    let place = temporary();
    let place = place.path();
    fs::write(place.join("data.txt"), "hello\n").unwrap();
    fs::write(place.join(".secret"), "hello\n").unwrap();
    let (_, said) = fixed(place, "#!/bin/sh\nread x < .secret", &["--test", ""]);
    assert!(!said.contains("--add"), "{said}");
    let source = "#!/bin/sh\nread x < data.txt && echo $x";
    for (words, at) in [(&[][..], "/data.txt"), (&["-w", "/srv"], "/srv/data.txt")] {
        let (_, said) = fixed(place, source, &[words, &["--test", ""]].concat());
        let add = format!("add it with --add ./data.txt:{at}");
        assert!(said.contains(&add), "{said}");
        let test = ["--test", "", "--test-stdout", "hello", "--fix"];
        let (is_good, said) = fixed(place, source, &[words, &test].concat());
        assert!(is_good, "{said}");
    }
}

#[test]
fn outputs_that_differ_are_shown_where_they_do() {
    let place = temporary();
    let place = place.path();
    let long = "x".repeat(500);
    for (prints, expected, part) in [
        (
            "one\\ntwo\\n",
            "one\nthree",
            "line 2 of its output differs: expected \"three\", got \"two\"",
        ),
        (
            "one\\n",
            "one\ntwo",
            "line 2 of its output differs: expected \"two\", got nothing more",
        ),
        (
            "one",
            "one",
            "its output has no line end after its last line",
        ),
        ("\\033[2J\\n", "one", "got \"\u{fffd}[2J\""),
        (&long, "one", "xxx…\""),
    ] {
        let source = format!("#!/bin/sh\nprintf '{prints}'");
        let (is_good, said) = fixed(place, &source, &["--test", "", "--test-stdout", expected]);
        assert!(!is_good && said.contains(part), "{said}");
        assert!(!said.contains("missing in the image"), "{said}");
        assert!(!said.contains("also:"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn an_unknown_user_is_told_which_there_are() {
    let place = temporary();
    let place = place.path();
    fixed(place, "#!/bin/sh\n", &[]);
    let mut command = slimpack();
    command
        .args(["./app", "-q", "-o", "rootfs/"])
        .current_dir(place);
    assert!(output(&mut command).status.success());
    fs::create_dir_all(place.join("rootfs/etc")).unwrap();
    fs::write(
        place.join("rootfs/etc/passwd"),
        "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )
    .unwrap();
    let run = |user: &str| {
        let mut command = slimpack();
        let command = command
            .args(["run", "-u", user, "rootfs"])
            .current_dir(place);
        text(&output(command))
    };
    let said = run("nobdy");
    assert!(said.contains("(did you mean nobody?)"), "{said}");
    assert!(
        said.contains("by name or by number, such as -u 1000"),
        "{said}"
    );
    assert!(!run("nosuchuser").contains("pack it with"));
}
