//! The recipes of the README for other build systems, followed to the letter.

use crate::{common, recipes};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{compile, have, succeed, temporary};
use recipes::{path_with_slimpack, readme_block};

/// Runs a tool in `folder` with the slimpack under test, and returns its output.
fn run(folder: &Path, tool: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.current_dir(folder).args(arguments);
    succeed(command.env("PATH", path_with_slimpack(folder)))
}

/// A program that loads a library of its own, through a search that tries another directory first.
fn project(folder: &Path) {
    let library = compile(
        folder,
        "libfoo.so.1",
        "int foo(void) { return 1; }",
        &["-shared", "-fPIC", "-Wl,-soname,libfoo.so.1"],
    );
    let source = "int foo(void); int main(void) { return foo() - 1; }";
    let rpath = "-Wl,-rpath,$ORIGIN/none:$ORIGIN";
    compile(folder, "app", source, &[library.to_str().unwrap(), rpath]);
}

#[test]
fn ninja_packs_anew_when_an_input_changes_and_nothing_after_an_image_that_is_the_same() {
    if !have(&["ninja"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    project(folder.path());
    let mut recipe = readme_block("ninja", "restat");
    recipe.push_str("rule count\n  command = cat $in | wc -c > $out && echo counted\n");
    recipe.push_str("build size: count app.tar\n");
    fs::write(at("build.ninja"), recipe).unwrap();
    let ninja = || run(folder.path(), "ninja", &["-v"]);
    assert!(ninja().contains("slimpack app -o app.tar"));
    assert!(ninja().contains("no work to do"), "{}", ninja());
    // File timestamps are coarser than the time a test takes.
    std::thread::sleep(std::time::Duration::from_millis(20));
    succeed(Command::new("touch").arg(at("libfoo.so.1")));
    let said = ninja();
    assert!(
        said.contains("slimpack app") && !said.contains("counted"),
        "{said}"
    );
    assert!(ninja().contains("no work to do"), "{}", ninja());
    compile(
        folder.path(),
        "libfoo.so.1",
        "int foo(void) { return 1; } int more;",
        &["-shared", "-fPIC", "-Wl,-soname,libfoo.so.1"],
    );
    let said = ninja();
    assert!(
        said.contains("slimpack app") && said.contains("counted"),
        "{said}"
    );
    fs::remove_file(at("libfoo.so.1")).unwrap();
    let mut command = Command::new("ninja");
    command
        .current_dir(folder.path())
        .env("PATH", path_with_slimpack(folder.path()));
    let failed = command.output().unwrap();
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(
        !failed.status.success() && said.contains("libfoo.so.1 not found"),
        "{said}"
    );
}

#[test]
fn help_and_readme_give_the_same_recipes() {
    for (language, mark, topic) in [
        ("make", "--check-symlink-times", "make"),
        ("ninja", "restat", "ninja"),
        ("cmake", "slimpack_image", "cmake"),
        ("dockerfile", "RUN slimpack", "docker"),
    ] {
        let help = succeed(common::slimpack().args(["help", topic]));
        for line in readme_block(language, mark)
            .lines()
            .filter(|line| !line.is_empty())
        {
            assert!(help.contains(&format!("    {line}\n")), "{topic}: {line}");
        }
    }
}

#[test]
fn the_files_of_readme_and_help_are_read() {
    let folder = temporary();
    let path = folder.path().join("slimpack.toml");
    let help = succeed(common::slimpack().args(["help", "config"]));
    let help: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    for text in [readme_block("toml", "[[image]]"), help.join("\n")] {
        fs::write(&path, text).unwrap();
        let said = common::fail_with(2, common::slimpack().arg("--config").arg(&path));
        // The only error is that the programs do not exist.
        assert!(said.contains("build/server: no such file"), "{said}");
        assert!(said.contains("build/tool: no such file"), "{said}");
    }
}
