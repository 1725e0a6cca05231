//! Which commands a text in the language of the shell starts.
//!
//! In: a script, or what stands behind `sh -c`. Out: files of the `PATH`. A guess: words where
//! commands stand, as the grammar of the shell has them (POSIX.1, XCU 2.10).

use std::path::{Path, PathBuf};

use super::command_path;

/// Shells, whose `-c` takes a command line.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "zsh", "ksh"];

/// Whether a program of that name reads the language of the shell.
pub fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name) || name == "busybox"
}

/// The command line that a shell called `name` is handed with `-c` among its `arguments`; `None`
/// for another program, or without one.
pub fn command_line<'w>(name: &str, arguments: &[&'w str]) -> Option<&'w str> {
    if !is_shell(name) {
        return None;
    }
    let is_option = |word: &&str| word.starts_with('-') && word.ends_with('c');
    let at = arguments.iter().position(is_option)?;
    arguments.get(at + 1).copied()
}

/// The commands of a text in the language of the shell: words where commands stand, that are
/// files in the `PATH` of `env`.
pub fn commands_in(text: &str, env: &[String], is_file: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in text.lines() {
        let code = line.split(" #").next().unwrap_or_default();
        if code.trim_start().starts_with('#') {
            continue;
        }
        for piece in code.split(['|', ';', '&', '(', ')', '`', '{', '}']) {
            let is_prefix = |word: &&str| word.contains('=') || KEYWORDS.contains(word);
            let Some(word) = piece.split_whitespace().find(|word| !is_prefix(word)) else {
                continue;
            };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.+/[".contains(c);
            if !word.chars().all(is_plain) || BUILTINS.contains(&word) {
                continue;
            }
            if let Some(path) = command_path(word, env, Path::new("/"), is_file)
                && !found.contains(&path)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Words after which a command stands.
const KEYWORDS: [&str; 14] = [
    "if", "then", "else", "elif", "while", "until", "do", "time", "!", "exec", "command", "fi",
    "done", "in",
];
/// What shells do by themselves.
const BUILTINS: [&str; 34] = [
    "[", "test", "echo", "printf", "cd", "exit", "return", "set", "unset", "export", "local",
    "read", "shift", "trap", "true", "false", "eval", "source", ".", ":", "case", "esac", "for",
    "function", "wait", "kill", "umask", "ulimit", "type", "hash", "alias", "pwd", "getopts",
    "break",
];
