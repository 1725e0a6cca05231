//! The configuration of the image, from options and programs.
//!
//! In: the options and the placed programs. Out: the image's settings, or why it could not be
//! started with them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::accounts::Owners;
use super::{Options, PackError, PackedProgram, Plan, record};
use crate::exec::{Start, command_path};
use crate::image::{Platform, Settings, Tag};
use crate::rootfs::{Content, Rootfs};
use crate::source::Source;

/// Where the program `typed` goes in the image; `None` to derive it from its own path.
pub(super) fn destination(options: &Options, typed: &Path) -> Result<Option<PathBuf>, PackError> {
    let Some(path) = &options.destination else {
        return Ok(None);
    };
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder {
        let name = typed.file_name().unwrap_or(OsStr::new("program"));
        return Ok(Some(path.join(name)));
    }
    match options.programs.len() {
        1 => Ok(Some(path.clone())),
        count => Err(PackError::OneDestination {
            path: path.clone(),
            count,
        }),
    }
}

/// A warning about a health check whose program is not in the image.
pub(super) fn absent_check(plan: &Plan) -> Option<String> {
    let start = Start::configured(&plan.settings);
    let word = start.check.first()?;
    let is_there = start.command(&plan.view(), word).is_some();
    (!is_there).then(|| {
        format!(
            "the health check cannot be started: {word} is not in the image; add it with --add, or \
             check with a program that is in it"
        )
    })
}

/// The configuration that `options` request.
pub(super) fn settings(
    options: &Options,
    programs: &[PackedProgram],
    platform: Platform,
    rootfs: &Rootfs,
    source: &Source,
) -> Result<Settings, PackError> {
    let main = &programs[0];
    let entrypoint = match &options.entrypoint {
        Some(words) => {
            check_entrypoint(words, options, programs, rootfs)?;
            words.clone()
        }
        None if main.is_library() => {
            return Err(PackError::Library(main.typed.clone()));
        }
        None => match main.path.to_str() {
            Some(path) => vec![path.to_owned()],
            None => return Err(PackError::NotText(main.path.clone())),
        },
    };
    let tags = if options.tags.is_empty() {
        let name = main.path.file_name().unwrap_or_default();
        vec![Tag::for_program(&name.display().to_string())]
    } else {
        options.tags.clone()
    };
    let mut configured = options.configured.clone();
    if !options.inherits_user
        && let Some(user) = &configured.user
    {
        configured.user = Some(Owners::new(source, options).numbers(user)?);
    }
    Ok(Settings {
        platform,
        tags,
        entrypoint,
        configured,
        reasons: record::reasons(rootfs),
        made_of: record::made_of(programs.iter().map(|program| program.path.as_path())),
    })
}

/// Checks that the entrypoint is an executable file of the image, given by its path or by a name
/// found in PATH.
fn check_entrypoint(
    words: &[String],
    options: &Options,
    programs: &[PackedProgram],
    rootfs: &Rootfs,
) -> Result<(), PackError> {
    let configured = &options.configured;
    // An image without an entrypoint starts its arguments.
    let words = words.iter().chain(&configured.cmd);
    let first = words.map(String::as_str).next().unwrap_or_default();
    let working_dir = Path::new("/").join(configured.working_dir.as_deref().unwrap_or_default());
    let is_program = |path: &Path| {
        let node = rootfs.node(path);
        programs
            .iter()
            .any(|program| program.path == path && !program.is_library())
            || node.is_some_and(|node| match &node.content {
                Content::File(file) => file.is_executable(),
                Content::Symlink(_) => true,
                Content::Directory(_) => false,
            })
    };
    if command_path(first, &configured.env, &working_dir, is_program).is_some() {
        return Ok(());
    }
    let paths: Vec<_> = programs
        .iter()
        .filter(|program| !program.is_library())
        .map(|program| program.path.display().to_string())
        .collect();
    let known = match paths.is_empty() {
        true => "none".to_owned(),
        false => paths.join(", "),
    };
    Err(PackError::Entrypoint(first.to_owned(), known))
}
