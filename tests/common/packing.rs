//! Packing in tests: an image with the messages about it, and runs of it.

#![allow(dead_code)] // Each test program uses a part of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common;
pub use crate::common::text;

/// A packed image.
pub struct Packed {
    folder: tempfile::TempDir,
    /// The archive.
    pub archive: PathBuf,
    /// All output while it was packed.
    pub said: String,
}

/// Packs with these arguments after `slimpack`; must succeed.
pub fn pack<S: AsRef<OsStr>>(words: &[S]) -> Packed {
    pack_in(Path::new("/"), words)
}

/// The same, with paths relative to `current_dir`.
pub fn pack_in<S: AsRef<OsStr>>(current_dir: &Path, words: &[S]) -> Packed {
    let mut command = common::slimpack();
    pack_by(command.current_dir(current_dir).args(words))
}

/// The same, with a command to which the arguments are added.
pub fn pack_by(command: &mut Command) -> Packed {
    let folder = common::temporary();
    let archive = folder.path().join("image.tar");
    let output = common::output(command.arg("-o").arg(&archive));
    let said = text(&output);
    assert!(output.status.success(), "{command:?}\n{said}");
    Packed {
        folder,
        archive,
        said,
    }
}

/// A pack that must end with `status` and write nothing; returns its output.
pub fn refused<S: AsRef<OsStr>>(status: i32, words: &[S]) -> String {
    let folder = common::temporary();
    let archive = folder.path().join("image.tar");
    let mut command = common::slimpack();
    command.current_dir("/").args(words).arg("-o").arg(&archive);
    let said = common::fail_with(status, &mut command);
    assert!(!archive.exists(), "{command:?} wrote an image\n{said}");
    said
}

/// Whether this machine can run containers.
pub fn runs_containers() -> bool {
    common::is_root() && common::have(common::CONTAINER_TOOLS)
}

impl Packed {
    /// The nodes of the layer.
    pub fn layer(&self) -> common::Nodes {
        common::layer(&self.archive)
    }

    /// Whether the layer has this path, given without the leading slash.
    pub fn has(&self, path: &str) -> bool {
        self.node(path).is_some()
    }

    /// The node at this path of the layer, given without the leading slash.
    pub fn node(&self, path: &str) -> Option<String> {
        let layer = self.layer();
        let folder = format!("{path}/");
        layer.get(path).or_else(|| layer.get(&folder)).cloned()
    }

    /// A text file of the layer.
    pub fn file(&self, path: &str) -> String {
        let mut outer = tar::Archive::new(fs::File::open(&self.archive).unwrap());
        let first = common::first_file(&mut outer);
        for entry in tar::Archive::new(first).entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap() == Path::new(path) {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                return text;
            }
        }
        panic!("the layer has no {path}\n{}", self.said);
    }

    /// Whether the output says that a need was added.
    pub fn added(&self, need: &str) -> bool {
        let mut lines = self
            .said
            .lines()
            .filter_map(|line| line.strip_prefix("added "));
        lines.any(|line| line.split(", ").any(|added| added == need))
    }

    /// The option in the hint about a script's commands.
    pub fn suggested(&self) -> String {
        let mut words = self.said.split_whitespace();
        let flag = words.find(|word| word.starts_with("commands="));
        let flag = flag.unwrap_or_else(|| panic!("no commands are suggested\n{}", self.said));
        format!("--with={flag}")
    }

    /// Runs the image; `arguments` replace its command if there are any.
    pub fn run(&self, arguments: &[&str]) -> Output {
        common::run_image(&self.archive, arguments)
    }

    /// The output of a run that must succeed.
    pub fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?} ended with {}\n{}\npacked:\n{}",
            output.status,
            text(&output),
            self.said
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// In an image without `need`, the program fails or answers differently than here; with it, it does
/// what it does on this machine. Both packs have `flags`, of which `-e NAME=VALUE` are also set
/// here.
pub fn needs(need: &str, program: &Path, flags: &[&str]) -> Packed {
    let program_word = program.to_str().unwrap();
    let mut here = Command::new(program);
    here.env_clear();
    for pair in flags.windows(2).filter(|pair| pair[0] == "-e") {
        let (name, value) = pair[1].split_once('=').unwrap();
        here.env(name, value);
    }
    let expected = common::succeed(&mut here);
    let with = pack(&[&[program_word], flags].concat());
    assert!(with.added(need), "{}", with.said);
    let without = pack(&[&[program_word, "--without", need], flags].concat());
    assert!(!without.added(need), "{}", without.said);
    if runs_containers() {
        let output = without.run(&[]);
        let is_same = output.status.success() && output.stdout == expected.as_bytes();
        assert!(!is_same, "{program_word} does not need {need}");
        assert_eq!(with.prints(&[]), expected);
    }
    with
}
