//! Which file an engine starts.
//!
//! In: an image's configuration. Out: a path of the image. Source: the OCI image specification
//! (`config.md`), and runc, which looks commands up as `execvp(3)` does, in the image's root and
//! working directory.

use std::path::{Path, PathBuf};

use super::read::Description;
use crate::vfs::{NodeKind, View};

/// `PATH` where the image sets none: what docker, podman and containerd use.
const ENGINE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The value of a variable among `NAME=VALUE` entries; the last of a name counts.
pub fn variable<'e>(env: &'e [String], name: &str) -> Option<&'e str> {
    let mut values = env.iter().rev().filter_map(|entry| entry.split_once('='));
    values.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The folders in which commands without a `/` are looked up.
pub fn path_folders(env: &[String]) -> impl Iterator<Item = &Path> {
    let path = variable(env, "PATH").unwrap_or(ENGINE_PATH);
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(Path::new)
}

/// The path that is started for `word`: itself when it has a `/`, else the first one in
/// `PATH`; `is_program` says which paths can be started. `None` when none can.
pub fn command_path(
    word: &str,
    env: &[String],
    working_dir: &Path,
    is_program: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if word.contains('/') {
        candidates.push(working_dir.join(word));
    } else if !word.is_empty() {
        candidates.extend(path_folders(env).map(|folder| working_dir.join(folder).join(word)));
    }
    candidates.into_iter().find(|path| is_program(path))
}

/// How an image is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Entrypoint and default arguments, one after the other.
    pub words: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// `USER[:GROUP]` by name or number; empty for root.
    pub user: String,
}

impl Start {
    /// What the configuration says; nothing for a bare root.
    pub fn of(description: Option<&Description>) -> Self {
        let config = description.and_then(|description| description.config.config().as_ref());
        let Some(config) = config else {
            return Self {
                working_dir: PathBuf::from("/"),
                ..Self::default()
            };
        };
        let words = config.entrypoint().iter().flatten();
        let working_dir = config.working_dir().as_deref().unwrap_or_default();
        Self {
            words: words
                .chain(config.cmd().iter().flatten())
                .cloned()
                .collect(),
            env: config.env().clone().unwrap_or_default(),
            working_dir: Path::new("/").join(working_dir),
            user: config.user().clone().unwrap_or_default(),
        }
    }

    /// The program that is started, where it stands in the image.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn program(&self, view: &View) -> Result<PathBuf, String> {
        let Some(word) = self.words.first() else {
            return Err("it has no entrypoint".into());
        };
        let is_file = |path: &Path| {
            let walk = view.walk(path);
            walk.is_ok_and(|walk| walk.metadata.kind == NodeKind::File)
        };
        command_path(word, &self.env, &self.working_dir, is_file)
            .ok_or_else(|| format!("its entrypoint {word} is not in it"))
    }
}
