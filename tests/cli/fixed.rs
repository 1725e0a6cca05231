//! What `--fix` adds, and what it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{have, output, slimpack, temporary, text};

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
