//! Other programs that a program starts by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashSet;

use super::{HOMES, runs_scripts, told};
use crate::exec::{command_line, command_path, commands_in, path_folders, reads_posix_scripts};
use crate::needs::process::begins_as_program;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
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
/// Those of them that pass a command line to a shell.
const SHELL_STARTERS: [&str; 3] = ["popen", "system", "wordexp"];
/// Commands whose names are also common words, options or table entries: hardly any program that
/// contains the word starts the command.
const WORDS: [&str; 76] = [
    "arch",
    "bridge",
    "clear",
    "cluster",
    "col",
    "column",
    "comm",
    "compare",
    "date",
    "dir",
    "display",
    "dot",
    "echo",
    "editor",
    "expand",
    "expr",
    "factor",
    "false",
    "file",
    "fold",
    "free",
    "gold",
    "groups",
    "halt",
    "head",
    "i386",
    "import",
    "init",
    "join",
    "last",
    "link",
    "locale",
    "login",
    "more",
    "node",
    "nop",
    "opt",
    "pager",
    "passwd",
    "paste",
    "patch",
    "printf",
    "prune",
    "red",
    "reset",
    "rev",
    "script",
    "select",
    "seq",
    "service",
    "size",
    "slot",
    "split",
    "stat",
    "stream",
    "sum",
    "sync",
    "tabs",
    "tail",
    "test",
    "time",
    "timeout",
    "top",
    "true",
    "truncate",
    "tty",
    "unlink",
    "users",
    "view",
    "write",
    "x86_64",
    "yes",
    // The names under which coreutils programs recognize themselves.
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
];
/// Names of two letters that are commands rather than options or languages.
const SHORT: [&str; 17] = [
    "ar", "as", "cc", "cp", "id", "ld", "ln", "ls", "mv", "nm", "ps", "rm", "sh", "su", "vi", "wc",
    "xz",
];
/// Those that are also language codes (ISO 639): two of them together are a list of languages.
const LANGUAGES: [&str; 7] = ["ar", "as", "id", "ln", "ps", "su", "vi"];
/// Maximum number of single words that count as commands: more of them are a table or a vocabulary,
/// such as the file types of an editor, and not what the program starts.
const MAX_BARE: usize = 18;
/// Maximum number of names that a sign lists.
const TOLD: usize = 6;
/// Largest script that is searched for commands, in bytes.
const MAX_SCRIPT: u64 = 1 << 20;
/// Maximum number of arguments that are searched in the `PATH`.
const MAX_WORDS: usize = 1000;
/// Maximum number of helper directories, and of their entries, that are read.
const MAX_FOLDERS: usize = 256;
const MAX_ENTRIES: usize = 20_000;

pub(in crate::needs) static RULE: NeedRule = NeedRule {
    name: "commands",
    mode: Mode::Hint,
    what: "the programs that it starts",
    sign: "commands in its script or arguments; or an import of execvp, posix_spawn, popen and the \
           like, with strings that are names of installed commands, or of programs in directories \
           whose paths it contains",
    adds: "all of them with what they load; --with commands=NAME+NAME only those",
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
        // Outside of PATH, a name alone does not identify the program.
        match command(process, &name).is_some_and(|found| found == *path) {
            true => name,
            false => path.display().to_string(),
        }
    };
    let (source, mut ordered) = ordered(process);
    ordered.retain(|path| !process.brings(path));
    let arguments: Vec<String> = ordered.iter().map(name_of).collect();
    let mut held = held(process);
    held.retain(|path| !process.brings(path));
    let held = held.iter().filter_map(|path| path.file_name());
    let held: Vec<String> = held.map(|name| name.display().to_string()).collect();
    let told_held = told(&held, TOLD).map(|names| format!("starts programs and mentions {names}"));
    let told_ordered = told(&arguments, TOLD).map(|names| match source {
        Some(script) => format!("runs {}, which calls {names}", script.display()),
        None => format!("is passed the commands {names}"),
    });
    let parts: Vec<String> = told_ordered.into_iter().chain(told_held).collect();
    (!parts.is_empty()).then(|| Sign {
        arguments,
        names: held,
        ..Sign::new(0, parts.join(", and "))
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let process = supply.process;
    if supply.arguments.is_empty() {
        let paths = ordered(process).1.into_iter().chain(held(process));
        return Ok(paths.map(Addition::File).collect());
    }
    let (helpers, mut paths) = (helpers(process), Vec::new());
    for name in supply.arguments {
        let path = command(process, name).or_else(|| helpers.get(name).cloned());
        paths.push(path.ok_or_else(|| format!("no command {name} in PATH"))?);
    }
    Ok(paths.into_iter().map(Addition::File).collect())
}

/// The text of a script, as far as it is searched.
#[derive(Clone)]
struct ScriptText {
    text: Arc<str>,
    /// Whether it is followed by data, as in a self-extracting script.
    has_data: bool,
}

/// The text of a script, read once; `None` if it cannot be read.
fn text_of(process: &Process<'_>, script: &Path) -> Option<ScriptText> {
    let view = process.view;
    let walk = view.walk(script).ok()?;
    let read = || {
        let start = view.open(&walk).ok()?.prefix(0, MAX_SCRIPT).ok()?;
        // Text has no NUL, whereas archives have one in their first line.
        let nul = memchr::memchr(0, &start);
        let text = match nul {
            Some(nul) => &start[..memchr::memrchr(b'\n', &start[..nul]).unwrap_or(0)],
            None => &start[..],
        };
        Some(ScriptText {
            text: String::from_utf8_lossy(text).into(),
            has_data: nul.is_some(),
        })
    };
    view.remember(&walk, || read().ok_or(())).ok()
}

/// The script that the process runs, if its text is followed by data.
pub(in crate::needs) fn script_with_data<'p>(process: &Process<'p>) -> Option<&'p Path> {
    let script = process
        .script
        .filter(|_| reads_posix_scripts(process.name()))?;
    text_of(process, script)?.has_data.then_some(script)
}

/// The commands in the program's script or arguments, and the script if they come from it.
fn ordered<'p>(process: &Process<'p>) -> (Option<&'p Path>, Vec<PathBuf>) {
    let is_program =
        |path: &Path| is_program(process, path) && begins_as_program(process.view, path);
    let name = process.name();
    if let Some(script) = process.script.filter(|_| reads_posix_scripts(name)) {
        let text = text_of(process, script).map_or_else(|| "".into(), |found| found.text);
        let mut found = commands_in(&text, Some(script), process.env, &is_program);
        // `exec "$@"`, as entrypoints end: the first argument is a command.
        if passes_arguments_on(&text) {
            let first = process
                .arguments
                .first()
                .filter(|word| !word.starts_with('-'));
            let first = first.and_then(|word| command(process, word));
            let first = first.filter(|path| is_program(path) && !found.contains(path));
            found.extend(first);
        }
        return (Some(script), found);
    }
    let words: Vec<&str> = process.arguments.iter().map(String::as_str).collect();
    if let Some(text) = command_line(name, &words) {
        return (None, commands_in(text, None, process.env, &is_program));
    }
    if words.is_empty() || process.program_imports(&STARTERS).is_none() {
        return (None, Vec::new());
    }
    let words = words.iter().filter(|word| !word.starts_with('-'));
    let words = words.take(MAX_WORDS);
    // `-exec cat` names a command; a directory or a file to read does not.
    let found = words.filter_map(|word| command(process, word));
    let found: BTreeSet<PathBuf> = found.filter(|path| is_program(path)).collect();
    (None, found.into_iter().collect())
}

/// Whether a script executes its arguments as a command.
fn passes_arguments_on(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "exec")
            && words.any(|word| word.trim_end_matches(';') == "\"$@\"" || word == "\"${@}\"")
    })
}

/// The commands whose names the program contains; those named after it (`git-*`) come first.
fn held(process: &Process<'_>) -> Vec<PathBuf> {
    // What a shell or an interpreter starts is named in scripts.
    if runs_scripts(process) || process.program_imports(&STARTERS).is_none() {
        return Vec::new();
    }
    let own_name = process.name();
    let own_prefix = format!("{own_name}-");
    let installed = installed(process);
    let is_command = |name: &str| {
        let is_meant = match name.len() {
            // The C library in a static program contains `sh`.
            2 => SHORT.contains(&name) && !(name == "sh" && process.is_static()),
            length => length > 2 && !WORDS.contains(&name),
        };
        is_meant && installed.contains(name)
    };
    let texts = process.texts(0);
    let strings = process.names(&is_command);
    let mut names: BTreeSet<&str> = strings.iter().map(String::as_str).collect();
    let own = |name: &&str| name.starts_with(&own_prefix) || *name == own_name;
    if LANGUAGES
        .iter()
        .filter(|name| names.contains(**name))
        .count()
        > 1
    {
        names.retain(|name| !LANGUAGES.contains(name));
    }
    let is_table =
        |names: &BTreeSet<&str>| names.iter().filter(|name| !own(name)).count() > MAX_BARE;
    if is_table(&names) {
        // Otherwise `mkdir` in a message about the function of that name would count.
        names.retain(|name| own(name) || process.program_imports(&[name]).is_none());
    }
    if is_table(&names) {
        names.retain(own);
    }
    if process.program_imports(&SHELL_STARTERS).is_some() {
        // The first word of a shell command line is a command, even if it is in WORDS.
        let started = texts
            .started
            .iter()
            .filter(|name| installed.contains(*name));
        names.extend(started.map(String::as_str));
    }
    let helpers = helpers(process);
    let mentioned = process.mentions(&helpers);
    let mut found: BTreeMap<(bool, &str), PathBuf> = BTreeMap::new();
    for name in names.iter().filter(|name| **name != own_name) {
        if let Some(path) = command(process, name) {
            found.insert((!name.starts_with(&own_prefix), name), path);
        }
    }
    for name in mentioned.iter().filter(|name| **name != own_name) {
        let key = (!name.starts_with(&own_prefix), *name);
        found.entry(key).or_insert_with(|| helpers[*name].clone());
    }
    found.into_values().collect()
}

/// Programs in directories outside of PATH that the program searches: its own, and those whose
/// paths it contains, such as `/usr/lib/git-core`. Such a path may be composed of several strings,
/// as GCC joins `/usr/lib/gcc/`, `x86_64-linux-gnu` and `12` (`gcc/gcc.cc`, `find_a_program`).
fn helpers(process: &Process<'_>) -> BTreeMap<String, PathBuf> {
    let view = process.view;
    let mut left = MAX_ENTRIES;
    let mut entries = |folder: &Path| {
        let mut names = view.read_dir(folder).unwrap_or_default();
        names.truncate(left);
        left -= names.len();
        names
    };
    let mut folders = held_folders(process, &mut entries);
    folders.extend(
        process.objects()[0]
            .walk
            .real
            .parent()
            .map(Path::to_path_buf),
    );
    let mut everybodys: HashSet<PathBuf> = command_folders(process).into_iter().collect();
    let libraries = process.objects().iter().skip(1);
    everybodys.extend(libraries.filter_map(|object| Some(object.walk.real.parent()?.to_owned())));
    let mut helpers = BTreeMap::new();
    for folder in folders
        .iter()
        .filter(|folder| !everybodys.contains(*folder))
    {
        for name in entries(folder) {
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

/// The real paths of package directories whose paths the program contains, and of directories
/// below them whose names it also contains.
fn held_folders(
    process: &Process<'_>,
    entries: &mut dyn FnMut(&Path) -> Vec<OsString>,
) -> BTreeSet<PathBuf> {
    let real = |path: &Path| {
        let walk = process.view.walk(path).ok()?;
        (walk.metadata.kind == NodeKind::Directory).then(|| walk.real.clone())
    };
    let texts = process.texts(0);
    let held = texts.words.iter().filter(|text| {
        let is_of_package = HOMES.iter().any(|home| text.starts_with(home));
        is_of_package && Path::new(text).components().count() > 3
    });
    let held = held.filter_map(|text| real(Path::new(text)));
    let mut folders: BTreeSet<PathBuf> = held.take(MAX_FOLDERS).collect();
    let mut level: Vec<PathBuf> = folders.iter().cloned().collect();
    for _ in 0..2 {
        let mut below = Vec::new();
        for folder in level {
            let names = entries(&folder).into_iter().filter(|name| {
                let name = name.to_str();
                name.is_some_and(|name| texts.words.contains(name) || is_number(name))
            });
            below.extend(names.filter_map(|name| real(&folder.join(name))));
        }
        below.retain(|path| folders.len() < MAX_FOLDERS && folders.insert(path.clone()));
        level = below;
    }
    folders
}

/// Whether a name is a version number, which is often too short to be kept as a string.
fn is_number(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The file names in the directories of PATH.
fn installed(process: &Process<'_>) -> HashSet<String> {
    let folders = command_folders(process).into_iter();
    let names = folders.filter_map(|folder| process.view.read_dir(&folder).ok());
    let names = names.flatten().filter_map(|name| name.into_string().ok());
    names.collect()
}

/// The real paths of the directories of PATH, including the engine's default PATH: `/bin` may be a
/// link to `/usr/bin`.
fn command_folders(process: &Process<'_>) -> BTreeSet<PathBuf> {
    let folders = path_folders(process.env).chain(path_folders(&[]));
    let real = folders.filter_map(|folder| process.view.walk(folder).ok());
    real.map(|walk| walk.real.clone()).collect()
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
