//! Commands that start other commands: `env`, `tini`, `gosu`, and shells with `-c`.
//!
//! In: the words of a command line. Out: the files that it starts besides the first.

use std::path::PathBuf;

use super::{Start, command_line, commands_in};
use crate::vfs::{NodeKind, View};

/// Commands that start the command after their options.
const STARTERS: [&str; 16] = [
    "env",
    "tini",
    "tini-static",
    "dumb-init",
    "catatonit",
    "gosu",
    "su-exec",
    "setpriv",
    "nice",
    "ionice",
    "timeout",
    "nohup",
    "stdbuf",
    "chpst",
    "docker-init",
    "exec",
];

/// Maximum length of a chain of commands that start one another.
const MAX_STARTERS: usize = 64;

/// Maximum number of words after a starter that may be the command, without options and
/// assignments.
const MAX_WORDS: usize = 256;

/// The programs that a command line starts besides its first word.
pub fn started_by(start: &Start, view: &View, words: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = words;
    while let Some((first, rest)) = left.split_first()
        && found.len() < MAX_STARTERS
    {
        let name = first.rsplit('/').next().unwrap_or(first);
        if let Some(text) = command_line(name, rest) {
            found.extend(commands_in(text, None, &start.env, &|path| {
                view.kind(path) == Some(NodeKind::File)
            }));
            break;
        }
        if !STARTERS.contains(&name) {
            break;
        }
        // A user or number may also precede the command: the first word found in PATH counts.
        let is_word = |word: &&&str| !word.starts_with('-') && !word.contains('=');
        let commands = rest.iter().enumerate().filter(|(_, word)| is_word(word));
        let mut commands = commands.take(MAX_WORDS);
        let next = commands.find_map(|(at, word)| Some((at, start.executable(view, word)?)));
        let Some((at, path)) = next else {
            break;
        };
        found.push(path);
        left = &rest[at..];
    }
    found
}
