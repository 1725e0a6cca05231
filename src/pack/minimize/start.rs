//! Which programs an image starts.
//!
//! In: entrypoint, arguments and health check, in exec or shell form. Out: files of the image.
//! Source: the OCI image specification (`config.md`) and docker's own `Healthcheck`.

use std::path::{Path, PathBuf};

use crate::exec::{Start, started_by};
use crate::pack::PackError;
use crate::vfs::View;

/// The program that the user typed: a plain name is looked up in PATH, as an engine does.
pub(super) fn named(start: &Start, view: &View, typed: &Path) -> PathBuf {
    let is_name = typed.components().count() == 1 && !typed.is_absolute();
    let found = typed.to_str().filter(|_| is_name);
    let found = found.and_then(|word| start.command(view, word));
    found.unwrap_or_else(|| typed.to_path_buf())
}

/// The programs that entrypoint and arguments start, the entrypoint itself first.
///
/// # Errors
/// When there is none, or it is not in the image.
pub(super) fn programs(
    start: &Start,
    view: &View,
    entrypoint: &[String],
    cmd: &[String],
    image: &Path,
) -> Result<Vec<PathBuf>, PackError> {
    let words: Vec<&str> = entrypoint.iter().chain(cmd).map(String::as_str).collect();
    let first = *words.first().ok_or_else(|| PackError::NoEntrypoint {
        image: image.to_path_buf(),
    })?;
    let found = start.command(view, first);
    let first = found.ok_or_else(|| PackError::EntrypointGone {
        image: image.to_path_buf(),
        word: first.to_owned(),
    })?;
    let mut programs = vec![first];
    let mut add = |path: PathBuf| {
        if !programs.contains(&path) {
            programs.push(path);
        }
    };
    started_by(start, view, &words)
        .into_iter()
        .for_each(&mut add);
    // A wrapper entrypoint starts its arguments: docker-entrypoint.sh redis-server.
    if !entrypoint.is_empty()
        && let Some(word) = cmd.first()
        && let Some(path) = start.executable(view, word)
    {
        add(path);
        let cmd: Vec<&str> = cmd.iter().map(String::as_str).collect();
        started_by(start, view, &cmd).into_iter().for_each(&mut add);
    }
    Ok(programs)
}

/// The programs that the health check starts.
pub(super) fn checkers(start: &Start, view: &View) -> Vec<PathBuf> {
    let words: Vec<&str> = start.check.iter().map(String::as_str).collect();
    let first = words.first().and_then(|word| start.executable(view, word));
    let mut found: Vec<PathBuf> = first.into_iter().collect();
    found.extend(started_by(start, view, &words));
    found
}
