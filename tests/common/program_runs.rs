//! The runs of `tests/programs.toml`: how each is set up, run on this machine, and packed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use crate::authority::Authority;
use crate::common::{self, output, slimpack, succeed};
use crate::servers::{Server, free_port};

/// The variable that names the directory of packages.
pub const TREES: &str = "SLIMPACK_TEST_TREES";

/// The longest that a run may take in its image, in seconds.
const MAX_SECONDS: &str = "60";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    run: Vec<Run>,
    probe: Vec<Probe>,
}

/// One entry of the table.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    pub name: String,
    pub program: String,
    /// Further programs of the image.
    pub more: Vec<String>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// The user that it runs as; root if empty.
    pub user: String,
    /// A command to run in the directory first, on this machine.
    pub setup: String,
    /// A server on this machine that the program connects to, on PORT.
    pub server: String,
    /// The needs for which slimpack prints hints.
    pub with: Vec<String>,
    /// What slimpack cannot know, as `--add`.
    pub add: Vec<String>,
    /// Why it cannot.
    pub why: String,
    /// Whether a traced run finds what it needs.
    pub trace: bool,
    /// Whether it reads the symbols that `--strip` removes.
    pub keeps_symbols: bool,
    pub same: Same,
    pub contains: String,
    /// Whether it is expected to exit with a status other than 0.
    pub fails: bool,
}

/// A small C program, built in several ways: one run for each.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Probe {
    name: String,
    source: String,
    /// Further flags for the compiler.
    flags: String,
    /// Any of "glibc", "glibc static", "musl" and "musl static".
    builds: Vec<String>,
    env: BTreeMap<String, String>,
    with: Vec<String>,
    add: Vec<String>,
    why: String,
}

/// What must be the same.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Same {
    #[default]
    Output,
    Status,
}

/// All runs of the table.
pub fn all() -> Vec<Run> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs.toml");
    let table: Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut runs = table.run;
    runs.extend(table.probe.iter().flat_map(Probe::runs));
    runs
}

impl Probe {
    fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.builds.iter().map(|build| {
            let compiler = match build.starts_with("musl") {
                true => "musl-gcc",
                false => "cc",
            };
            let flags = match build.ends_with("static") {
                true => "-static",
                false => "",
            };
            let source = crate::probes::named(&self.source).replace('\'', "'\\''");
            Run {
                name: format!("{} in C ({build})", self.name),
                program: "DIR/probe".to_owned(),
                env: self.env.clone(),
                setup: format!(
                    "printf %s '{source}' > probe.c; {compiler} -O2 -w {flags} -o probe probe.c -pthread {}",
                    self.flags
                ),
                with: self.with.clone(),
                add: self.add.clone(),
                why: self.why.clone(),
                ..Run::default()
            }
        })
    }
}

/// The authority that certifies servers as `localhost`.
fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::of("localhost"))
}

/// A run in its directory, with its server.
pub struct Stage {
    pub run: Run,
    pub folder: PathBuf,
    server: Option<Server>,
}

impl Stage {
    /// Sets a run up in `folder`.
    pub fn of(run: &Run, folder: &Path) -> Self {
        let port = match run.server.is_empty() {
            true => 0,
            false => free_port(),
        };
        let text = |text: &String| {
            text.replace("DIR", folder.to_str().unwrap())
                .replace("PORT", &port.to_string())
        };
        let texts = |texts: &[String]| texts.iter().map(text).collect();
        let run = Run {
            program: text(&run.program),
            more: texts(&run.more),
            args: texts(&run.args),
            env: run
                .env
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            setup: text(&run.setup),
            server: text(&run.server),
            add: texts(&run.add),
            ..run.clone()
        };
        let mut stage = Self {
            run,
            folder: folder.to_path_buf(),
            server: None,
        };
        stage.set_up();
        if port != 0 {
            let mut command = Command::new("sh");
            command.args(["-ec", &stage.run.server]).current_dir(folder);
            stage.server = Some(Server::start(command, port));
        }
        stage
    }

    /// Prepares the directory: an earlier run may have written there.
    pub fn set_up(&self) {
        // The files of a server that is still running are kept.
        if self.server.is_some() {
            return;
        }
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir(&self.folder).unwrap();
        if self.run.setup.is_empty() {
            return;
        }
        let mut command = Command::new("sh");
        command.args(["-ec", &self.run.setup]);
        if self.run.setup.contains("AUTHORITY") {
            command.env("AUTHORITY", authority().path(""));
        }
        succeed(command.current_dir(&self.folder));
    }

    /// Runs the program on this machine.
    pub fn here(&self) -> Output {
        let mut command = Command::new(&self.run.program);
        command.args(&self.run.args).env_clear().envs(&self.run.env);
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        if !self.run.user.is_empty() {
            let id = |flag: &str| {
                let mut command = Command::new("id");
                let id = succeed(command.args([flag, &self.run.user]));
                id.trim().parse().unwrap()
            };
            command.uid(id("-u")).gid(id("-g"));
        }
        command.current_dir("/").stdin(Stdio::null());
        output(&mut command)
    }

    /// Packs the program with its directory; returns the plan, or slimpack's output.
    pub fn pack(&self, flags: &[String], image: &Path) -> Result<Value, String> {
        self.set_up();
        let run = &self.run;
        let mut command = slimpack();
        command.arg(&run.program).args(&run.more);
        command.arg("--json").arg("-o").arg(image);
        command.arg("--add").arg(&self.folder).args(flags);
        if !run.args.is_empty() {
            let words = serde_json::to_string(&run.args).unwrap();
            command.arg("--cmd").arg(words);
        }
        if !run.user.is_empty() {
            command.arg("--user").arg(&run.user);
        }
        for (name, value) in &run.env {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        let said = output(&mut command);
        match said.status.success() {
            true => Ok(serde_json::from_slice(&said.stdout).unwrap()),
            false => Err(format!("{}: {}", run.name, common::text(&said))),
        }
    }

    /// A container of the image: without a network, unless it connects to a server on this machine.
    pub fn container(&self, image: &Path) -> (tempfile::TempDir, Command) {
        let (folder, runc) = match self.server {
            Some(_) => common::container_beside(image, &[]),
            None => common::container_as_docker(image, &[]),
        };
        // A program that waits for something that the image lacks would wait for ever.
        let mut command = Command::new("timeout");
        command
            .args(["-s", "KILL", MAX_SECONDS])
            .arg(runc.get_program());
        command.args(runc.get_args());
        (folder, command)
    }

    /// Whether it connects to a server on this machine.
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// Runs the program in the image.
    pub fn there(&self, image: &Path) -> Output {
        let (folder, mut command) = self.container(image);
        run(&mut command, folder.path())
    }

    /// Whether the program did in the image what it did here.
    pub fn is_same(&self, here: &Output, there: &Output) -> bool {
        let run = &self.run;
        let (here_text, there_text) = (common::text(here), common::text(there));
        let is_same = match run.same {
            Same::Output => here_text == there_text,
            Same::Status => true,
        };
        is_same
            && here.status.code() == there.status.code()
            && [here_text, there_text]
                .iter()
                .all(|text| text.contains(&run.contains))
    }
}

/// Runs a container in its directory; removes it if it took too long.
pub fn run(container: &mut Command, folder: &Path) -> Output {
    /// The exit status of `timeout` after SIGKILL.
    const KILLED: i32 = 137;
    let done = output(container);
    if done.status.code().is_none_or(|code| code == KILLED) {
        let mut delete = Command::new("runc");
        delete.arg("--root").arg(folder.join("state"));
        delete
            .args(["delete", "-f"])
            .arg(folder.file_name().unwrap());
        output(&mut delete);
    }
    done
}

impl Run {
    /// The flags in the table.
    pub fn flags(&self) -> Vec<String> {
        let with = self.with.iter().map(|need| format!("--with={need}"));
        let add = self.add.iter().map(|path| format!("--add={path}"));
        let words = serde_json::to_string(&self.args).unwrap();
        let trace = self.trace.then(|| format!("--trace={words}"));
        with.chain(add).chain(trace).collect()
    }

    /// The needs that are requested, with their arguments.
    pub fn asked(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.with.iter().map(|need| match need.split_once('=') {
            Some((need, names)) => (need, names.split('+').collect()),
            None => (need.as_str(), Vec::new()),
        })
    }
}
