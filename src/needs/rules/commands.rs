//! Other programs that a program starts by name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::told;
use crate::image::{command_path, path_folders};
use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};
use crate::vfs::NodeKind;

/// Functions that start another program.
const STARTERS: [&str; 15] = [
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fexecve",
    "posix_spawn",
    "posix_spawnp",
    "popen",
    "system",
    "wordexp",
    "vfork",
    "g_spawn_async",
];
/// Names that a sign tells.
const TOLD: usize = 6;

pub(super) static RULE: Rule = Rule {
    name: "commands",
    mode: Mode::Hint,
    what: "the programs that it starts",
    sign: "an import of execvp, posix_spawn, popen and the like, and strings that are the names of \
           installed commands",
    adds: "all of them with what they load; with commands=NAME+NAME some",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed {
        return None;
    }
    process.program_imports(&STARTERS)?;
    let commands = commands(process).into_iter();
    let names: Vec<String> = commands.map(|(name, _)| name).collect();
    let names = told(&names, TOLD)?;
    Some(Sign {
        object: 0,
        text: format!("starts programs and names {names}"),
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let process = supply.process;
    let mut paths = Vec::new();
    if supply.arguments.is_empty() {
        paths.extend(commands(process).into_iter().map(|(_, path)| path));
    }
    for name in supply.arguments {
        match command(process, name) {
            Some(path) => paths.push(path),
            None => return Err(format!("there is no command {name} in PATH")),
        }
    }
    Ok(paths.into_iter().map(Addition::File).collect())
}

/// The commands whose names the program holds; those that are called after it come first.
fn commands(process: &Process<'_>) -> Vec<(String, PathBuf)> {
    let program = process.objects()[0]
        .opened_as
        .file_name()
        .unwrap_or_default();
    let own = format!("{}-", program.display());
    let installed = installed(process);
    let texts = process.texts(0);
    let names = texts.iter().filter(|text| {
        // A single letter, or a punctuation mark, is hardly ever meant as a command.
        text.len() > 1 && **text != *program.to_string_lossy() && installed.contains(text.as_str())
    });
    let mut names: Vec<&String> = names.collect();
    names.sort_by_key(|name| (!name.starts_with(&own), *name));
    names.dedup();
    let found = names.into_iter().filter_map(|name| {
        let path = command(process, name)?;
        Some((name.clone(), path))
    });
    found.collect()
}

/// The names in the folders of PATH.
fn installed(process: &Process<'_>) -> HashSet<String> {
    let folders = path_folders(process.env);
    let names = folders.filter_map(|folder| process.view.read_dir(folder).ok());
    let names = names.flatten().filter_map(|name| name.into_string().ok());
    names.collect()
}

fn command(process: &Process<'_>, name: &str) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        let walk = process.view.walk(path);
        walk.is_ok_and(|walk| {
            walk.metadata.kind == NodeKind::File && walk.metadata.mode & 0o111 != 0
        })
    };
    command_path(name, process.env, Path::new("/"), is_program)
}
