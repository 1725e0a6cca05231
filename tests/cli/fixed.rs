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
