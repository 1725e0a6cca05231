//! Which file an engine starts.
//!
//! In: an image's configuration, or an initrd. Out: a path in the image. Source: the OCI image specification
//! (`config.md`), and runc, which searches commands like `execvp(3)`, in the image's root and
//! working directory.

use std::path::{Path, PathBuf};

use super::command_path;
use crate::image::Settings;
use crate::image::read::{Image, Kind};
use crate::vfs::{NodeKind, View};

/// What Linux starts in an initrd (`ramdisk_execute_command` in `init/main.c`).
const INIT: &str = "/init";

/// How an image is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The entrypoint, followed by the default arguments.
    pub words: Vec<String>,
    /// How many of these words are the entrypoint.
    pub entrypoint: usize,
    /// Environment variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The absolute working directory; `/` by default.
    pub working_dir: PathBuf,
    /// `USER[:GROUP]` by name or number; empty for root.
    pub user: String,
    /// Volumes: directories that are mount points.
    pub volumes: Vec<PathBuf>,
    /// Exposed ports, as `PORT[-PORT][/PROTOCOL]`.
    pub ports: Vec<String>,
    /// The words of the health check; empty without one.
    pub check: Vec<String>,
}

/// The words that a health check runs, in docker's form: `["CMD", …]` or `["CMD-SHELL", TEXT]`.
fn check_words(healthcheck: Option<&serde_json::Value>) -> Vec<String> {
    let test = healthcheck.and_then(|check| check["Test"].as_array());
    let test = test.map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = test.iter().filter_map(|word| word.as_str()).collect();
    let words = match words.as_slice() {
        ["CMD", words @ ..] => words.to_vec(),
        ["CMD-SHELL", text, ..] => vec!["/bin/sh", "-c", text],
        _ => Vec::new(),
    };
    words.into_iter().map(str::to_owned).collect()
}

impl Start {
    /// Reads the configuration; without one, as in a bare root, nothing is started, but for the
    /// `/init` of an initrd.
    pub fn of(image: &Image) -> Self {
        let description = image.description.as_ref();
        let config = description.and_then(|description| description.config.config().as_ref());
        let Some(config) = config else {
            let words: Vec<String> = init(image).into_iter().collect();
            return Self {
                entrypoint: words.len(),
                words,
                working_dir: PathBuf::from("/"),
                ..Self::default()
            };
        };
        let words = config.entrypoint().iter().flatten();
        let working_dir = config.working_dir().as_deref().unwrap_or_default();
        Self {
            entrypoint: config.entrypoint().iter().flatten().count(),
            words: words
                .chain(config.cmd().iter().flatten())
                .cloned()
                .collect(),
            env: config.env().clone().unwrap_or_default(),
            working_dir: Path::new("/").join(working_dir),
            user: config.user().clone().unwrap_or_default(),
            volumes: config
                .volumes()
                .iter()
                .flatten()
                .map(|path| Path::new("/").join(path))
                .collect(),
            ports: config.exposed_ports().clone().unwrap_or_default(),
            check: check_words(
                description.and_then(|description| description.healthcheck.as_deref()),
            ),
        }
    }

    /// The start of an image that is still to be written.
    pub fn configured(settings: &Settings) -> Self {
        let configured = &settings.configured;
        Self {
            words: [&settings.entrypoint[..], &configured.cmd].concat(),
            entrypoint: settings.entrypoint.len(),
            env: configured.env.clone(),
            working_dir: Path::new("/").join(configured.working_dir.as_deref().unwrap_or_default()),
            user: configured.user.clone().unwrap_or_default(),
            volumes: configured
                .volumes
                .iter()
                .map(|path| Path::new("/").join(path))
                .collect(),
            ports: configured.expose.clone(),
            check: check_words(configured.healthcheck.as_ref()),
        }
    }

    /// The same start with another health check.
    #[must_use]
    pub fn checked_by(&self, healthcheck: Option<&serde_json::Value>) -> Self {
        Self {
            check: check_words(healthcheck),
            ..self.clone()
        }
    }

    /// The path of the program that is started in the image.
    ///
    /// # Errors
    /// A message that says why there is none.
    pub fn program(&self, view: &View) -> Result<PathBuf, String> {
        let Some(word) = self.words.first() else {
            return Err("it has no entrypoint".into());
        };
        self.command(view, word)
            .ok_or_else(|| format!("its entrypoint {word} is not in it"))
    }

    /// The file that is started for `word`: the first that is executable, else the first that
    /// exists.
    pub fn command(&self, view: &View, word: &str) -> Option<PathBuf> {
        let is_file = |path: &Path| view.kind(path) == Some(NodeKind::File);
        self.executable(view, word)
            .or_else(|| command_path(word, &self.env, &self.working_dir, is_file))
    }

    /// The first file for `word` that is executable.
    pub fn executable(&self, view: &View, word: &str) -> Option<PathBuf> {
        command_path(word, &self.env, &self.working_dir, |path| {
            let walk = view.walk(path);
            walk.is_ok_and(|walk| {
                walk.metadata.kind == NodeKind::File && walk.metadata.mode & 0o111 != 0
            })
        })
    }
}

/// The program that Linux starts in an initrd. One without it is an addition to another, such as
/// microcode, and starts nothing.
fn init(image: &Image) -> Option<String> {
    let is_there = || image.tree.node(INIT.as_bytes()).is_ok();
    (image.kind == Kind::Cpio && is_there()).then(|| INIT.to_owned())
}
