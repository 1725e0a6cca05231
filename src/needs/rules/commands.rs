//! Other programs that a program starts by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use foldhash::HashSet;

use super::{HOMES, stdlib, told};
use crate::image::{command_line, command_path, commands_in, is_shell, path_folders};
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
/// Those of them that hand a line to a shell.
const SHELL_STARTERS: [&str; 3] = ["popen", "system", "wordexp"];
/// Commands whose names programs hold as words of a language, of an option or of a table: hardly
/// one starts them.
const WORDS: [&str; 30] = [
    "arch", "clear", "cluster", "column", "compare", "date", "dir", "display", "expand", "expr",
    "false", "file", "fold", "free", "import", "init", "join", "link", "locale", "login", "paste",
    "select", "size", "split", "test", "time", "true", "tty", "unlink", "yes",
];
/// Names that a sign tells.
const TOLD: usize = 6;
/// Largest script whose commands are looked for, in bytes.
const MAX_SCRIPT: u64 = 1 << 20;
/// Most helpers that are looked for.
const MAX_HELPERS: usize = 2_000;

pub(super) static RULE: Rule = Rule {
    name: "commands",
    mode: Mode::Hint,
    what: "the programs that it starts",
    sign: "commands in the script or in the arguments that it is started with; or an import of execvp, \
           posix_spawn, popen and the like, with strings that are names of installed commands or of \
           programs in folders that it holds",
    adds: "all of them with what they load; with commands=NAME+NAME some",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed {
        return None;
    }
    let name_of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().display().to_string();
        // Outside of PATH it is no name that says which.
        match command(process, &name).is_some_and(|found| found == *path) {
            true => name,
            false => path.display().to_string(),
        }
    };
    let arguments: Vec<String> = ordered(process).iter().map(name_of).collect();
    let held = held(process);
    let held = held.iter().filter_map(|path| path.file_name());
    let held: Vec<String> = held.map(|name| name.display().to_string()).collect();
    let held = told(&held, TOLD).map(|names| format!("starts programs and names {names}"));
    let ordered = told(&arguments, TOLD).map(|names| match process.script {
        Some(script) => format!("runs {}, which names {names}", script.display()),
        None => format!("is told to start {names}"),
    });
    let parts: Vec<String> = ordered.into_iter().chain(held).collect();
    (!parts.is_empty()).then(|| Sign {
        object: 0,
        text: parts.join(", and "),
        arguments,
        is_weak: false,
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let process = supply.process;
    let mut paths = Vec::new();
    if supply.arguments.is_empty() {
        paths.extend(ordered(process));
        paths.extend(held(process));
    }
    let helpers = match supply.arguments.is_empty() {
        true => BTreeMap::new(),
        false => helpers(process),
    };
    for name in supply.arguments {
        let path = command(process, name).or_else(|| helpers.get(name).cloned());
        paths.push(path.ok_or_else(|| format!("there is no command {name} in PATH"))?);
    }
    Ok(paths.into_iter().map(Addition::File).collect())
}

/// The commands that the script or the arguments of the program name.
fn ordered(process: &Process<'_>) -> Vec<PathBuf> {
    let is_file = |path: &Path| process.view.kind(path) == Some(NodeKind::File);
    let name = name(process);
    if let Some(script) = process.script.filter(|_| is_shell(name)) {
        let text = process.view.read(script, MAX_SCRIPT).unwrap_or_default();
        return commands_in(&String::from_utf8_lossy(&text), process.env, &is_file);
    }
    let words: Vec<&str> = process.arguments.iter().map(String::as_str).collect();
    if let Some(text) = command_line(name, &words) {
        return commands_in(text, process.env, &is_file);
    }
    if words.is_empty() || process.program_imports(&STARTERS).is_none() {
        return Vec::new();
    }
    let words = words.iter().filter(|word| !word.starts_with('-'));
    // `-exec cat` names a command; a folder or a file to read is none.
    let found: BTreeSet<PathBuf> = words.filter_map(|word| command(process, word)).collect();
    found.into_iter().collect()
}

/// What the program is called.
fn name<'p>(process: &'p Process<'_>) -> &'p str {
    let name = process.objects()[0].opened_as.file_name();
    name.and_then(|name| name.to_str()).unwrap_or_default()
}

/// The commands whose names the program holds; those that are called after it come first.
fn held(process: &Process<'_>) -> Vec<PathBuf> {
    // What a shell or an interpreter starts stands in scripts.
    let runs_scripts =
        process.script.is_some() || is_shell(name(process)) || !stdlib::paths(process).is_empty();
    if runs_scripts || process.program_imports(&STARTERS).is_none() {
        return Vec::new();
    }
    let program = &process.objects()[0];
    let own_name = program.opened_as.file_name().unwrap_or_default();
    let own_prefix = format!("{}-", own_name.display());
    let installed = installed(process);
    // Nor is a single letter, or a punctuation mark, meant as a command.
    let is_command = |name: &str| {
        let is_meant = name.len() > 1 && !WORDS.contains(&name) && *name != *own_name;
        is_meant && installed.contains(name)
    };
    let texts = process.texts(0);
    let strings = process.names(&is_command);
    let mut names: BTreeSet<&str> = strings.iter().map(String::as_str).collect();
    if process.program_imports(&SHELL_STARTERS).is_some() {
        names.extend(texts.started.iter().map(String::as_str));
    }
    let helpers = helpers(process);
    let mentioned = process.mentions(&helpers);
    let mut found: BTreeMap<(bool, &str), PathBuf> = BTreeMap::new();
    for name in names.iter().filter(|name| is_command(name)) {
        if let Some(path) = command(process, name) {
            found.insert((!name.starts_with(&own_prefix), name), path);
        }
    }
    for name in mentioned.iter().filter(|name| ***name != *own_name) {
        let key = (!name.starts_with(&own_prefix), *name);
        found.entry(key).or_insert_with(|| helpers[*name].clone());
    }
    found.into_values().collect()
}

/// Programs in folders that are not in PATH and that the program looks in: its own, and those
/// whose paths it holds, such as `/usr/lib/git-core`. A folder may be made of several strings, as
/// GCC makes `/usr/lib/gcc/`, `x86_64-linux-gnu` and `12` one (`gcc/gcc.cc`, `find_a_program`).
fn helpers(process: &Process<'_>) -> BTreeMap<String, PathBuf> {
    let view = process.view;
    let texts = process.texts(0);
    let is_everybodys = |path: &Path| {
        let mut libraries = process.objects().iter();
        path_folders(process.env).any(|folder| folder == path)
            || libraries.any(|object| object.walk.real.parent() == Some(path))
    };
    let mut folders: Vec<PathBuf> = texts
        .words
        .iter()
        .filter(|text| HOMES.iter().any(|home| text.starts_with(home)))
        .map(|text| Path::new(text).components().collect::<PathBuf>())
        .filter(|path| {
            path.components().count() > 3 && view.kind(path) == Some(NodeKind::Directory)
        })
        .collect();
    for _ in 0..2 {
        let below = folders.iter().flat_map(|folder| {
            let names = view.read_dir(folder).unwrap_or_default();
            let known = names.into_iter().filter(|name| {
                let name = name.to_str();
                name.is_some_and(|name| texts.words.contains(name) || is_number(name))
            });
            known.map(|name| folder.join(name)).collect::<Vec<_>>()
        });
        let below: Vec<PathBuf> = below
            .filter(|path| view.kind(path) == Some(NodeKind::Directory))
            .collect();
        folders.extend(below);
        folders.sort();
        folders.dedup();
    }
    let own = process.objects()[0].walk.real.parent();
    folders.extend(own.map(Path::to_path_buf));
    let mut helpers = BTreeMap::new();
    for folder in folders.iter().filter(|folder| !is_everybodys(folder)) {
        for name in view.read_dir(folder).unwrap_or_default() {
            if helpers.len() >= MAX_HELPERS {
                return helpers;
            }
            let path = folder.join(&name);
            if let Ok(name) = name.into_string()
                && name.len() > 1
                // A library may be executable.
                && !name.contains(".so")
                && is_program(process, &path)
            {
                helpers.entry(name).or_insert(path);
            }
        }
    }
    helpers
}

/// A version is often too short for a string of its own.
fn is_number(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The names in the folders of PATH.
fn installed(process: &Process<'_>) -> HashSet<String> {
    let mut folders: Vec<PathBuf> = path_folders(process.env)
        .filter_map(|folder| Some(process.view.walk(folder).ok()?.real.clone()))
        .collect();
    // `/bin` may be a link to `/usr/bin`.
    folders.sort();
    folders.dedup();
    let names = folders
        .iter()
        .filter_map(|folder| process.view.read_dir(folder).ok());
    let names = names.flatten().filter_map(|name| name.into_string().ok());
    names.collect()
}

fn is_program(process: &Process<'_>, path: &Path) -> bool {
    let walk = process.view.walk(path);
    walk.is_ok_and(|walk| walk.metadata.kind == NodeKind::File && walk.metadata.mode & 0o111 != 0)
}

fn command(process: &Process<'_>, name: &str) -> Option<PathBuf> {
    command_path(name, process.env, Path::new("/"), |path| {
        is_program(process, path)
    })
}
