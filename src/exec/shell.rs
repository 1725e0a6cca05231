//! Which commands a shell script starts.
//!
//! In: a script, or the argument of `sh -c`. Out: files in the `PATH`. A heuristic: the words in
//! command position, by the grammar of the shell (POSIX.1, XCU 2.10).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::command_path;

/// Shells that read the POSIX shell language.
const POSIX_SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"];
/// Shells with their own languages.
const OTHER_SHELLS: [&str; 3] = ["fish", "tcsh", "csh"];

/// Builtins that are followed by options and assignments.
const DECLARING: [&str; 5] = ["export", "readonly", "declare", "typeset", "local"];

/// Maximum number of distinct words of a script that are searched for in the `PATH`; a script of a
/// megabyte may have hundreds of thousands.
const MAX_COMMANDS: usize = 2000;

/// Whether a program with this name is a shell, or contains one like busybox.
pub fn is_shell(name: &str) -> bool {
    reads_posix_scripts(name) || OTHER_SHELLS.contains(&name)
}

/// Whether a program with this name reads the shell command language (POSIX.1, XCU 2).
pub fn reads_posix_scripts(name: &str) -> bool {
    POSIX_SHELLS.contains(&name) || name == "busybox"
}

/// The command line that a shell called `name` is passed with `-c`, before any operand among its
/// `arguments`; `None` for another program, or without `-c`. The first argument of busybox is the
/// name of the applet.
pub fn command_line<'w>(name: &str, arguments: &[&'w str]) -> Option<&'w str> {
    let mut words = arguments.iter();
    let name = match name {
        "busybox" => words.next()?,
        name => name,
    };
    if !POSIX_SHELLS.contains(&name) && !OTHER_SHELLS.contains(&name) {
        return None;
    }
    // Options precede the first operand, including long ones and `-o pipefail`.
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

/// The command that a line for a POSIX shell starts first; `None` if the shell does it itself, or the
/// word is not plain.
pub fn first_command(line: &str) -> Option<&str> {
    let is_prefix = |word: &&str| KEYWORDS.contains(word) || word.contains('=');
    let word = line.split_whitespace().find(|word| !is_prefix(word))?;
    let word = word.trim_end_matches(';');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    (word.bytes().all(is_plain) && !BUILTINS.contains(&word)).then_some(word)
}

/// The commands in a shell script: the words in command position that are files in the `PATH` of
/// `env`. `script` is the path of the script, the value of `$0`.
pub fn commands_in(
    text: &str,
    script: Option<&Path>,
    env: &[String],
    is_file: &dyn Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let (mut found, mut searched) = (BTreeSet::new(), HashSet::new());
    let mut variables = Variables::new(script);
    for line in text.lines() {
        let code = line.split(" #").next().unwrap_or_default();
        if code.trim_start().starts_with('#') {
            continue;
        }
        // A statement sees the variables of earlier ones; braces are first taken as those of a
        // variable name.
        for statement in code.split(['|', ';', '&']) {
            let statement = variables.expand(statement);
            for piece in statement.split(['(', ')', '`', '{', '}']) {
                let mut words = piece.split_whitespace().peekable();
                let mut declares = false;
                while let Some(word) = words.peek() {
                    declares |= DECLARING.contains(word);
                    // A variable that is declared without a value is not a command.
                    let is_prefix = KEYWORDS.contains(word) || variables.note(word);
                    if !is_prefix && !declares {
                        break;
                    }
                    words.next();
                }
                let Some(word) = words.next() else { continue };
                let word = word.replace(['"', '\''], "");
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.+/[".contains(c);
                if !word.chars().all(is_plain) || BUILTINS.contains(&&*word) {
                    continue;
                }
                if searched.len() < MAX_COMMANDS && searched.insert(word.clone()) {
                    found.extend(command_path(&word, env, Path::new("/"), is_file));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Variables that a script has set to literals so far: `exe="/usr/bin/jq"` before `exec "$exe"`.
struct Variables(HashMap<String, String>);

impl Variables {
    /// Maximum length of a value, and of a line after expansion, in bytes: each line may double a
    /// value of the line before.
    const LONGEST: usize = 4096;
    /// Maximum number of variables.
    const MOST: usize = 1000;

    fn new(script: Option<&Path>) -> Self {
        let path = script.and_then(Path::to_str);
        let zero = path.map(|path| ("0".to_owned(), path.to_owned()));
        Self(zero.into_iter().collect())
    }

    /// Records a word that is an assignment; returns whether it is one.
    fn note(&mut self, word: &str) -> bool {
        let Some((name, value)) = word.split_once('=') else {
            return false;
        };
        if name.is_empty() || !name.chars().all(is_name) {
            return true;
        }
        let value = value.replace(['"', '\''], "");
        let is_literal = |c: char| c.is_ascii_alphanumeric() || "_-.+/".contains(c);
        let is_kept = value.chars().all(is_literal)
            && value.len() <= Self::LONGEST
            && self.0.len() < Self::MOST;
        match is_kept {
            true => drop(self.0.insert(name.to_owned(), value)),
            // The value is known only at run time.
            false => drop(self.0.remove(name)),
        }
        true
    }

    /// Expands `$NAME` and `${NAME}` in a line; unknown variables are left as written.
    fn expand(&self, line: &str) -> String {
        let mut expanded = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('$')
            && expanded.len() <= Self::LONGEST
        {
            expanded.push_str(before);
            let (name, left) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap_or(("", after)),
                // A positional parameter has one digit.
                None if after.starts_with(|c: char| c.is_ascii_digit()) => after.split_at(1),
                None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
            };
            match self.0.get(name) {
                Some(value) => {
                    expanded.push_str(value);
                    rest = left;
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded + rest
    }
}

/// Whether the name of a variable may contain `c` (POSIX.1, XBD 3.216).
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Words that precede a command.
const KEYWORDS: [&str; 14] = [
    "if", "then", "else", "elif", "while", "until", "do", "time", "!", "exec", "command", "fi",
    "done", "in",
];
/// Commands built into shells.
const BUILTINS: [&str; 34] = [
    "[", "test", "echo", "printf", "cd", "exit", "return", "set", "unset", "export", "local",
    "read", "shift", "trap", "true", "false", "eval", "source", ".", ":", "case", "esac", "for",
    "function", "wait", "kill", "umask", "ulimit", "type", "hash", "alias", "pwd", "getopts",
    "break",
];

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::{Path, PathBuf};

    use super::{command_line, commands_in};

    #[test]
    fn commands_are_followed_through_variables_that_hold_literals() {
        let script = Some(Path::new("/usr/bin/tool"));
        for (text, commands) in [
            ("exe=\"/usr/bin/jq\"\nexec \"$exe\"", &["/usr/bin/jq"][..]),
            ("SED=/bin/sed; x | ${SED} s/a/b/", &["/bin/sed"]),
            ("exec \"$0.bin\" \"$@\"", &["/usr/bin/tool.bin"]),
            (
                "ROOT='/usr/lib/erlang'\nBIN=$ROOT/bin\nexport BIN\nexec \"$BIN/erlexec\" -x",
                &["/usr/lib/erlang/bin/erlexec"],
            ),
            (
                "  exec /usr/bin/valgrind.bin \"$@\"",
                &["/usr/bin/valgrind.bin"],
            ),
            ("A=/bin/x\nA=$(which y)\n$A", &[]),
            ("\"$unknown/x\"", &[]),
            ("X=1 Y=2 /bin/z", &["/bin/z"]),
        ] {
            let found = commands_in(text, script, &[], &|path| {
                path.starts_with("/usr") || path.starts_with("/bin")
            });
            let expected: Vec<PathBuf> = commands.iter().map(PathBuf::from).collect();
            // In this test, bare names are found in the first directory of PATH.
            let found: Vec<PathBuf> = found
                .into_iter()
                .filter(|path| !path.starts_with("/usr/local"))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn values_that_double_are_bounded() {
        let mut text = String::from("A=xxxxxxxxxxxxxxxx\n");
        text.push_str(&"A=$A$A\n".repeat(1000));
        assert!(commands_in(&text, None, &[], &|_| true).len() < 10);
    }

    #[test]
    fn commands_times_directories_of_path_are_bounded() {
        let path: String = (0..1000).map(|n| format!("/{n}:")).collect();
        let text: String = (0..4000).map(|n| format!("c{n};")).collect();
        let searched = Cell::new(0_u64);
        let is_file = |_: &Path| {
            searched.set(searched.get() + 1);
            false
        };
        commands_in(&text, None, &[format!("PATH={path}")], &is_file);
        assert_eq!(searched.get(), 2000 * 256);
        assert_eq!(commands_in("/bin/a;/bin/a", None, &[], &|_| true).len(), 1);
    }

    #[test]
    fn a_line_for_the_shell_follows_its_option() {
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
