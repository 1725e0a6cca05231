//! The errors that only the binary can produce: one run for each text.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{common, messages::Told};

/// Arguments that are refused, in the directory that [`folder`] creates.
const REFUSED: &[&[&str]] = &[
    &["--config", "./empty.toml"],
    &["--config", "./no-file.toml"],
    &["--config", "./none.toml"],
    &["--config", "./one-output.toml"],
    &["--config", "./two-names.toml"],
    &["--config", "./two.toml", "-o", "out.tar"],
    &["--config", "./two.toml", "ap"],
    &["--config", "./user.toml"],
    &["--depfile", "./app"],
    &["./app", "--add", "./conf:/conf", "-o", "conf/app.tar"],
    &["./app", "--add", "./notes:/notes", "-o", "notes"],
    &["./app", "--depfile"],
    &["./app", "--if-changed"],
    &["./app", "--with", "host"],
    &["./app", "-o", "-", "--depfile"],
    &["./app", "-o", "-", "--format", "oci-dir"],
    &["./app", "--load", "--format", "oci"],
    &["./app", "--load", "-o", "-"],
    &["./app", "-o", "app.tar", "--force"],
    &["./app", "-o", "app/", "--format", "oci"],
    &["./app", "-o", "root/", "--compress", "gzip"],
    &["./app", "-o", "-", "--if-changed"],
    &["./app", "-o", "-", "--json"],
    &["./app", "-o", "./app"],
    &["./app", "-o", "app.tar", "--depfile=./app.tar"],
    &["./app", "-o", "root/", "--if-changed"],
    &["./app", "--fix"],
    &["./app", "--suggest"],
    &["./app", "--trace-timeout", "5s"],
    &["./app", "--root", "/", "--trace", ""],
    &["diff", "-", "-"],
    &["diff", "./app", "./root.tar.gz"],
    &["help", "maek"],
    &["lint", "--config", "./reason.toml", "./app"],
    &["lint", "--explain", "SP0001"],
    &["./app", "--sbom", "spdx-json", "--json"],
    &["./app", "--sbom", "./a.cdx.json", "-o", "a.cdx.json"],
    &[
        "sbom",
        "./root.tar.gz",
        "-o",
        "spdx-json",
        "-o",
        "cyclonedx-json",
    ],
    &["tree", "./root.tar.gz"],
    &["why", "./root.tar.gz", "/usr/bin/app"],
    &[
        "why",
        "./root.tar.gz",
        "--program",
        "/usr/bin/app",
        "/usr/bin/ap",
    ],
];

/// Configurations by name.
const CONFIGS: &[(&str, &str)] = &[
    ("empty.toml", ""),
    ("no-file.toml", "[[image]]\nfile = []\n"),
    (
        "one-output.toml",
        "[[image]]\nfile = \"app\"\noutput = \"out.tar\"\n\
         [[image]]\nfile = \"tool\"\noutput = \"out.tar\"\n",
    ),
    (
        "reason.toml",
        "[[lint.ignore]]\nrule = \"SP305\"\nreason = \"\"\n",
    ),
    (
        "two-names.toml",
        "[[image]]\nfile = \"app\"\n[[image]]\nfile = \"app\"\n",
    ),
    (
        "two.toml",
        "[[image]]\nfile = \"app\"\n[[image]]\nfile = \"tool\"\n",
    ),
    (
        "user.toml",
        "[[image]]\nfile = \"app\"\nuser = \"no user\"\n",
    ),
];

/// All texts.
pub fn all() -> Vec<Told> {
    let folder = folder();
    let folder = folder.path();
    let slimpack = |words: &[&str]| {
        let mut command = common::slimpack();
        command.args(words);
        command
    };
    let run = |name: &str, command: &mut Command| {
        let stderr = common::fail_with(2, command.current_dir(folder));
        (format!("CliError::{name}"), text(&stderr, folder))
    };
    let mut told: Vec<Told> = REFUSED
        .iter()
        .map(|words| run("Usage", &mut slimpack(words)))
        .collect();
    let mut command = slimpack(&["./app"]);
    told.push(run("Usage", command.env("SOURCE_DATE_EPOCH", "now")));
    told.push(run("Program", &mut slimpack(&["needs", "./none"])));
    told.push(run("Image", &mut slimpack(&["inspect", "./none.tar"])));
    told.push(run(
        "File",
        &mut slimpack(&["strip", "./none", "-o", "out"]),
    ));
    told.push(run(
        "Strip",
        &mut slimpack(&["strip", "./notes", "-o", "out"]),
    ));
    // The limit is less than what is kept of a program.
    let words = ["lint", "./root.tar.gz", "--limit", "kept=4000"];
    told.push(run("Unread", &mut slimpack(&words)));
    told.push(run("NothingToCheck", &mut slimpack(&["lint", "./empty"])));
    let full = File::options().write(true).open("/dev/full").unwrap();
    told.push(run("Stdout", slimpack(&["needs"]).stdout(full)));
    let words = ["./app", "--push", "UPPER"];
    told.push(run("Registry", &mut slimpack(&words)));
    told.push(run("Write", &mut slimpack(&["./app", "-o", "/dev/full"])));
    let mut command = Command::new("sh");
    let script = "cd gone && rmdir ../gone && exec \"$0\" needs ./app";
    command.args(["-c", script, env!("CARGO_BIN_EXE_slimpack")]);
    command.env_remove("CLICOLOR_FORCE");
    told.push(run("CurrentDir", &mut command));
    told.push(run(
        "Log",
        &mut slimpack(&["./app", "--trace-log", "notes"]),
    ));
    told.push(run(
        "RpmManifest",
        &mut slimpack(&["./app", "--rpm-manifest", "notes"]),
    ));
    let mut command = slimpack(&["trace", "-o", "log", "--", "/bin/sh", "-c", "exit 3"]);
    let stderr = common::fail_with(1, command.current_dir(folder));
    told.push(("CliError::RunFailed".to_owned(), text(&stderr, folder)));
    let words = ["./app", "--test", "", "--test-status", "3"];
    let stderr = common::fail_with(1, slimpack(&words).current_dir(folder));
    told.push(("CliError::TestFailed".to_owned(), text(&stderr, folder)));
    told.push(("CliError::Interrupted".to_owned(), interrupted(folder)));
    told
}

/// A directory with one file of each kind.
fn folder() -> tempfile::TempDir {
    let folder = common::temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    for program in ["app", "tool"] {
        fs::copy(common::hello(), at(program)).unwrap();
    }
    for name in ["conf", "gone"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["notes", "conf/app.conf"] {
        fs::write(at(name), "text\n").unwrap();
    }
    for (name, text) in CONFIGS {
        fs::write(at(name), text).unwrap();
    }
    let file = File::create(at("root.tar.gz")).unwrap();
    let packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let mut root = tar::Builder::new(packed);
    for name in ["app", "tool"] {
        let inside = Path::new("usr/bin").join(name);
        root.append_path_with_name(at(name), inside).unwrap();
    }
    root.into_inner().unwrap().finish().unwrap();
    folder
}

/// The text after `error: `.
fn text(stderr: &str, folder: &Path) -> String {
    let text = stderr.strip_prefix("error: ");
    let mut text = text.unwrap_or_else(|| panic!("{stderr}")).to_owned();
    for place in [fs::canonicalize(folder).unwrap(), folder.to_path_buf()] {
        text = text.replace(place.to_str().unwrap(), "DIR");
    }
    text.trim_end().to_owned()
}

/// The message when a signal arrives while an image is being written.
fn interrupted(folder: &Path) -> String {
    let program = folder.join("large");
    fs::copy(common::hello(), &program).unwrap();
    // Zeros after the program make packing slow enough to be interrupted.
    let file = File::options().write(true).open(&program).unwrap();
    file.set_len(1 << 28).unwrap();
    let target = folder.join("target");
    fs::create_dir(&target).unwrap();
    let child = common::slimpack()
        .arg("-q")
        .arg(&program)
        .arg("-o")
        .arg(target.join("large.tar"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !common::has_begun_in(&target, &child) {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    text(&String::from_utf8_lossy(&output.stderr), folder)
}
