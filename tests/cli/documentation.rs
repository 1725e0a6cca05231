//! The commands of the README and the book, run as written: each block in its own directory.
//!
//! The test first creates the reader's program `app` and the files that the text names. Blocks that
//! need more (an engine, a registry, a build of slimpack itself) are marked after the language of
//! the block, and are run by other tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{HELLO, compile, have, slimpack, succeed, temporary, text};
use crate::recipes::path_with_slimpack;

/// Marks of blocks whose commands need something that these tests do not provide. A block without a
/// mark is run.
const MARKS: [&str; 7] = [
    // Needs docker or podman.
    "engine",
    "registry",
    // Needs the source of slimpack.
    "build",
    "measurement",
    "debugger",
    // Writes to directories of the machine.
    "system",
    // Names files of the reader.
    "example",
];

/// A fenced block of a page.
struct Block {
    page: String,
    language: String,
    is_run: bool,
    text: String,
}

fn blocks() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs/src")).unwrap();
    let mut pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|suffix| suffix == "md"));
    pages.sort();
    pages.insert(0, root.join("README.md"));
    let mut blocks = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let parts: Vec<&str> = text.split("```").collect();
        for part in parts.chunks_exact(2).map(|pair| pair[1]) {
            let (language, text) = part.split_once('\n').unwrap_or_default();
            let (language, mark) = language.split_once(' ').unwrap_or((language, ""));
            let page = page.file_name().unwrap().display().to_string();
            assert!(mark.is_empty() || MARKS.contains(&mark), "{page}: {mark}");
            blocks.push(Block {
                page,
                language: language.to_owned(),
                is_run: mark.is_empty(),
                text: text.to_owned(),
            });
        }
    }
    blocks
}

/// The files that the reader has.
fn project(at: &Path) {
    let make = |name: &str| compile(at, name, HELLO, &[]);
    let write = |name: &str, text: &str| {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for name in ["app.c", "hello.c"] {
        write(name, HELLO);
    }
    let library = "/lib/x86_64-linux-gnu/libz.so.1";
    compile(at, "app", HELLO, &["-Wl,--no-as-needed", library]);
    compile(at, "hello", HELLO, &["-static"]);
    make("app-amd64");
    for name in ["build/bin", "build/server", "build/tool", "build/helper"] {
        fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
        make(name);
    }
    for name in ["libz.so.1.2", "libz.so.1.3"] {
        fs::copy(library, at.join(name)).unwrap();
    }
    for name in [
        "key",
        "key.pem",
        "words",
        "conf/app.conf",
        "site/index.html",
    ] {
        write(name, "text\n");
    }
    let config = blocks()
        .into_iter()
        .find(|block| block.text.contains("[[image]]"));
    write("slimpack.toml", &config.unwrap().text);
    let programs = ["ls", "perl", "curl", "jq"].map(|name| format!("/usr/bin/{name}"));
    let pack = |words: &[&str]| {
        let mut pack = slimpack();
        succeed(pack.current_dir(at).args(words));
    };
    let programs = programs.iter().map(String::as_str);
    pack(
        &["./app", "-qo", "app.tar"]
            .into_iter()
            .chain(programs)
            .collect::<Vec<_>>(),
    );
    for (program, image) in [
        ("./app", "app-1.tar"),
        ("./app", "app-2.tar"),
        ("./app", "root/"),
        ("/bin/ls", "ls.tar"),
        ("/bin/bash", "count.tar"),
    ] {
        pack(&[program, "-qo", image]);
    }
}

/// A copy of the project for one block.
fn directory(project: &Path, block: &Block) -> tempfile::TempDir {
    let folder = temporary();
    let copy = format!("{}/.", project.display());
    succeed(Command::new("cp").args(["-a", &copy]).arg(folder.path()));
    if block.text.contains("-o root/") {
        fs::remove_dir_all(folder.path().join("root")).unwrap();
    }
    if block.text.contains("libgone.so") {
        let flags = ["-shared", "-Wl,-soname,libgone.so"];
        let library = compile(folder.path(), "libgone.so", "int gone;", &flags);
        let flags = ["-Wl,--no-as-needed", library.to_str().unwrap()];
        compile(folder.path(), "app", HELLO, &flags);
        fs::remove_file(library).unwrap();
        let mut pack = slimpack();
        pack.args(["./app", "--allow-missing", "-qo", "app.tar"]);
        succeed(pack.current_dir(folder.path()));
    }
    folder
}

#[test]
fn every_command_of_the_documentation_runs_as_it_is_typed() {
    let tools = [
        "sh",
        "cc",
        "dot",
        "curl",
        "jq",
        "perl",
        "skopeo",
        "aarch64-linux-gnu-gcc",
        "busybox",
        "nginx",
    ];
    if !have(&tools) || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let source = temporary();
    project(source.path());
    let arm = source.path().join("app-arm64");
    let hello = source.path().join("hello.c");
    succeed(
        Command::new("aarch64-linux-gnu-gcc")
            .arg(hello)
            .arg("-o")
            .arg(arm),
    );
    let (mut run, mut failed) = (0, Vec::new());
    let blocks = blocks();
    let blocks = blocks.iter().filter(|block| block.language == "console");
    for block in blocks.filter(|block| block.is_run) {
        let folder = directory(source.path(), block);
        let fails = block.text.lines().any(|line| line.starts_with("error"));
        let lines: Vec<&str> = block.text.lines().collect();
        let commands = lines.iter().filter_map(|line| line.strip_prefix("$ "));
        let commands: Vec<&str> = commands.collect();
        for (number, line) in commands.iter().enumerate() {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]).current_dir(folder.path());
            let output = shell
                .env("PATH", path_with_slimpack(folder.path()))
                .output()
                .unwrap();
            run += 1;
            // In a block that shows an error, the last command is the one that fails.
            let is_expected = fails && number + 1 == commands.len();
            // Images that differ, and a file that nothing needs, are negative answers: exit status
            // 1.
            let is_question = line.starts_with("slimpack diff") || line.starts_with("slimpack why");
            let is_answer = is_question && output.status.code() == Some(1);
            if output.status.success() == is_expected && !is_answer {
                failed.push(format!("{}: $ {line}\n{}", block.page, text(&output)));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(run > 50, "only {run} commands");
}

/// Make builds the program from its source, then packs it.
#[test]
fn the_yaml_of_the_documentation_can_be_parsed() {
    if !have(&["python3"]) {
        return;
    }
    let folder = temporary();
    let file = folder.path().join("block.yaml");
    let yaml = blocks()
        .into_iter()
        .filter(|block| block.language == "yaml");
    let mut count = 0;
    for block in yaml {
        fs::write(&file, &block.text).unwrap();
        let script = "import sys, yaml; assert list(yaml.safe_load_all(open(sys.argv[1])))";
        let mut python = Command::new("python3");
        succeed(python.args(["-c", script]).arg(&file));
        count += 1;
    }
    assert!(count > 1);
}

#[test]
fn the_makefiles_of_the_documentation_begin_with_a_source() {
    if !have(&["make", "cc"]) {
        return;
    }
    for block in blocks() {
        let folder = temporary();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("app.c"), HELLO).unwrap();
        let mut line = "make app.tar".to_owned();
        if block.language == "make" {
            fs::write(at("Makefile"), &block.text).unwrap();
        } else if block.text.contains("> Makefile") {
            let lines = block
                .text
                .lines()
                .filter_map(|line| line.strip_prefix("$ "));
            line = lines.collect::<Vec<_>>().join(" && ");
        } else {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(folder.path());
        succeed(shell.env("PATH", path_with_slimpack(folder.path())));
        assert!(at("app.tar").is_file(), "{}", block.page);
    }
}

/// The image that README builds by hand has the same bytes as slimpack's.
#[test]
fn three_lines_of_a_dockerfile_give_a_static_program_the_same_bytes() {
    if !have(&["cc"]) {
        return;
    }
    let folder = temporary();
    let program = compile(folder.path(), "hello", HELLO, &["-static"]);
    let root = folder.path().join("root");
    let mut pack = slimpack();
    pack.arg(&program).args(["--dest", "/hello", "-qo"]);
    succeed(pack.arg(format!("{}/", root.display())));
    let names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["hello"]);
    assert!(fs::read(root.join("hello")).unwrap() == fs::read(&program).unwrap());
}
