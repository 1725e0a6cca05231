//! Which file a command runs, and what runs a script.
//!
//! In: a command word, or the first line of a script. Out: a path. Source: `execvp(3)` and
//! `execve(2)`.

use std::path::{Path, PathBuf};

use crate::vfs::{NodeKind, View};

/// Default `PATH` of images that do not set it: that of docker, podman and containerd.
pub const ENGINE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Maximum number of directories of a `PATH` that are searched: an image may set one with millions,
/// and each word that may be a command is searched for in all of them.
const MAX_FOLDERS: usize = 256;

/// The value of a variable among `NAME=VALUE` entries; the last entry with that name wins.
pub fn variable<'e>(env: &'e [String], name: &str) -> Option<&'e str> {
    let mut values = env.iter().rev().filter_map(|entry| entry.split_once('='));
    values.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The directories in which commands without a `/` are searched, at most 256.
pub fn path_folders(env: &[String]) -> impl Iterator<Item = &Path> {
    let path = variable(env, "PATH").unwrap_or(ENGINE_PATH);
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(Path::new)
        .take(MAX_FOLDERS)
}

/// The path that is started for `word`: itself if it contains a `/`, else the first match in
/// `PATH`; `is_program` decides which paths can be started. `None` if there is no such path.
pub fn command_path(
    word: &str,
    env: &[String],
    working_dir: &Path,
    is_program: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(working_dir.join(word)).filter(|path| is_program(path));
    }
    let mut folders = path_folders(env).filter(|_| !word.is_empty());
    folders.find_map(|folder| {
        let path = working_dir.join(folder).join(word);
        is_program(&path).then_some(path)
    })
}

/// The first line of a script (`execve(2)`, "Interpreter scripts").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The program that runs it.
    pub interpreter: String,
    /// The rest of the line, which Linux passes as one argument.
    pub argument: String,
}

/// Parses the first line of a script; `None` if it is not a script or names no interpreter.
pub fn shebang(start: &[u8]) -> Option<Shebang> {
    let line = start
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let blanks = [' ', '\t'];
    let line = line.trim_start_matches(blanks).trim_end_matches(blanks);
    let (interpreter, argument) = line.split_once(blanks).unwrap_or((line, ""));
    (!interpreter.is_empty()).then(|| Shebang {
        interpreter: interpreter.to_owned(),
        argument: argument.trim_matches(blanks).to_owned(),
    })
}

impl Shebang {
    /// The command that `env` starts, which follows its options and assignments. With `-S` the rest
    /// of the line is split; without it Linux passes one argument. `None` for any other
    /// interpreter.
    pub fn env_command(&self) -> Option<&str> {
        if Path::new(&self.interpreter).file_name()? != "env" {
            return None;
        }
        let split = ["-S", "--split-string=", "-vS"];
        let rest = split
            .iter()
            .find_map(|option| self.argument.strip_prefix(option));
        let Some(rest) = rest else {
            let is_command = !self.argument.is_empty() && !self.argument.starts_with('-');
            return is_command.then_some(self.argument.as_str());
        };
        let mut words = rest.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                // Options of env(1) that take the next word as their argument.
                "-u" | "--unset" | "-C" | "--chdir" => drop(words.next()),
                word if word.starts_with('-') || word.contains('=') => {}
                word => return Some(word),
            }
        }
        None
    }
}

/// Bytes of a script's first line that Linux reads.
const FIRST_LINE: u64 = 256;

/// The programs that run a script: its interpreter, and the command if the interpreter is `env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreters {
    /// The interpreter in the first line.
    pub interpreter: PathBuf,
    /// The command that `env` starts.
    pub command: Option<PathBuf>,
}

impl Interpreters {
    /// Reads the first line of the file at `path`; `None` if it is not a script.
    ///
    /// # Errors
    /// A message that tells what is wrong with the line.
    pub fn of(view: &View, env: &[String], path: &Path) -> Option<Result<Self, String>> {
        let walk = view.walk(path).ok()?;
        let start = view.open(&walk).ok()?.prefix(0, FIRST_LINE).ok()?;
        if !start.starts_with(b"#!") {
            return None;
        }
        Some(Self::find(view, env, &start))
    }

    fn find(view: &View, env: &[String], start: &[u8]) -> Result<Self, String> {
        let is_file = |path: &Path| view.kind(path) == Some(NodeKind::File);
        let line = shebang(start).ok_or("its first line has no interpreter")?;
        let interpreter = Path::new("/").join(&line.interpreter);
        if !is_file(&interpreter) {
            let shown = line.interpreter.replace('\r', "\\r");
            return Err(format!("its interpreter {shown} does not exist"));
        }
        let command = match line.env_command() {
            None => None,
            Some(command) => match command_path(command, env, Path::new("/"), is_file) {
                Some(found) => Some(found),
                None => {
                    return Err(format!(
                        "the command {command} of its first line is not in PATH"
                    ));
                }
            },
        };
        Ok(Self {
            interpreter,
            command,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_starts_what_follows_its_options() {
        for (line, command) in [
            ("#!/usr/bin/env python3\nrest", Some("python3")),
            ("#! /usr/bin/env  -S python3 -u", Some("python3")),
            ("#!/bin/env -S -i A=1 perl -w", Some("perl")),
            ("#!/bin/env -S -u FOO sh", Some("sh")),
            // Linux passes the rest of the line as one argument.
            ("#!/usr/bin/env python3 -u", Some("python3 -u")),
            ("#!/usr/bin/env -i", None),
            ("#!/usr/bin/env", None),
            ("#!/bin/sh env", None),
        ] {
            let shebang = shebang(line.as_bytes()).unwrap();
            assert_eq!(shebang.env_command(), command, "{line}");
        }
        assert_eq!(shebang(b"#!\n"), None);
        assert_eq!(shebang(b"#!/bin/sh\r\n").unwrap().interpreter, "/bin/sh\r");
    }
}
