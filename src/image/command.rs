//! Which file an engine starts for a word of the entrypoint.
//!
//! In: the word, and the image's environment. Out: a path of the image. Source: runc, which
//! looks commands up as `execvp(3)` does, in the image's root and working directory.

use std::path::{Path, PathBuf};

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
