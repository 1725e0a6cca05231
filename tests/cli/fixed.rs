//! What `--fix` adds, and what it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{output, slimpack, temporary, text};

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
