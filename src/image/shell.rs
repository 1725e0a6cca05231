//! Which commands a text in the language of the shell starts.
//!
//! In: a script, or what stands behind `sh -c`. Out: files of the `PATH`. A guess: words where
//! commands stand, as the grammar of the shell has them (POSIX.1, XCU 2.10).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::command_path;

/// Shells, whose `-c` takes a command line.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "zsh", "ksh"];

/// Whether a program of that name reads the language of the shell.
pub fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name) || name == "busybox"
}

/// The command line that a shell called `name` is handed with `-c` before any other word among its
/// `arguments`; `None` for another program, or without one. The first argument of busybox is the
/// name that it goes by.
pub fn command_line<'w>(name: &str, arguments: &[&'w str]) -> Option<&'w str> {
    let mut words = arguments.iter();
    let name = match name {
        "busybox" => words.next()?,
        name => name,
    };
    if !SHELLS.contains(&name) {
        return None;
    }
    // Options stand before the first word, long ones and those with an argument (`-o pipefail`) too.
    while let Some(word) = words.next().filter(|word| word.starts_with(['-', '+'])) {
        if word.starts_with("--") {
            continue;
        }
        if word.ends_with('c') && word.starts_with('-') {
            return words.find(|word| !word.starts_with('-')).copied();
        }
        if word.ends_with(['o', 'O']) {
            words.next();
        }
    }
    None
}

/// The commands of a text in the language of the shell: words where commands stand, that are
/// files in the `PATH` of `env`.
pub fn commands_in(text: &str, env: &[String], is_file: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
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
            found.extend(command_path(word, env, Path::new("/"), is_file));
        }
    }
    found.into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::command_line;

    #[test]
    fn a_line_for_the_shell_stands_behind_its_option() {
        for (words, line) in [
            (&["sh", "-c", "sort x"][..], Some("sort x")),
            (
                &["bash", "-euo", "pipefail", "-c", "sort x"],
                Some("sort x"),
            ),
            (&["bash", "--norc", "-ec", "sort x", "name"], Some("sort x")),
            (&["busybox", "sh", "-c", "sort x"], Some("sort x")),
            (&["busybox", "httpd", "-f", "-c", "/etc/httpd.conf"], None),
            (&["busybox", "busybox", "busybox", "sh", "-c", "x"], None),
            (&["busybox"], None),
            (&["sh", "/entry.sh", "-c", "/etc/app.conf"], None),
            (&["sh", "-c"], None),
            (&["env", "-c", "sort x"], None),
        ] {
            assert_eq!(command_line(words[0], &words[1..]), line, "{words:?}");
        }
    }
}
