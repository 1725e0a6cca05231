//! Hints derived from the shell's environment after a failure.
//!
//! In: the error of a pack. Out: a note on standard error, or nothing.

use std::env;
use std::path::{Path, PathBuf};

use crate::cli::about::verbs;
use crate::cli::help::nearest;
use crate::cli::say;
use crate::closure::ClosureError;
use crate::pack::{MissingLibrary, Options, PackError};
use crate::vfs::Errno;

/// Prints what would help, if the environment shows it.
pub(super) fn hint(error: &PackError, options: &Options) {
    match error {
        PackError::Incomplete(missing) if options.roots.is_empty() => library_path_hint(missing),
        PackError::Program {
            path,
            error: ClosureError::Unreachable(Errno::NotFound),
        } => command_hint(path),
        PackError::Several(errors) => errors.iter().for_each(|error| hint(error, options)),
        _ => {}
    }
}

/// slimpack does not read LD_LIBRARY_PATH, but programs that start only because of it are a
/// common surprise: print the -L options that would help.
fn library_path_hint(missing: &[MissingLibrary]) {
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .filter(|folder| {
            let has = |library: &MissingLibrary| folder.join(&library.name).is_file();
            missing.iter().any(has)
        })
        .collect();
    folders.dedup();
    if folders.is_empty() {
        return;
    }
    let flags: Vec<_> = folders
        .iter()
        .map(|folder| format!("-L {}", folder.display()))
        .collect();
    say(|out| {
        writeln!(
            out,
            "note: LD_LIBRARY_PATH leads to missing libraries, but is not used for images; pass {}",
            flags.join(" ")
        )
    });
}

/// A bare name is a path, as for `docker cp` and `ldd`; a shell would search PATH.
fn command_hint(name: &Path) {
    if name.components().count() != 1 {
        return;
    }
    let verbs = verbs();
    if let Some(verb) = nearest(&name.to_string_lossy(), &verbs) {
        say(|out| writeln!(out, "note: did you mean the command slimpack {verb}?"));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let command = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file());
    if let Some(command) = command {
        say(|out| {
            writeln!(
                out,
                "note: there is a command of that name in PATH: {}",
                command.display()
            )
        });
    }
}
