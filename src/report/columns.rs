//! Texts that fit into 80 columns.
//!
//! In: a text or a path. Out: lines of at most as many characters, or the path without its middle.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

const LABEL: Style = AnsiColor::Yellow.on_default().bold();
/// A space at which no line is broken.
pub(super) const FIRM: &str = "\u{a0}";
/// Columns of a terminal.
pub(super) const COLUMNS: usize = 80;
/// Indentation of the lines that continue a paragraph; no label is shorter.
const INDENT: &str = "    ";

/// What is left of a line after `taken` characters.
pub(super) fn rest(taken: usize) -> usize {
    COLUMNS.saturating_sub(taken)
}

/// Writes `label: text` in lines that fit; those after the first, and after a line break in the
/// text, are indented.
///
/// # Errors
/// When `out` fails.
pub(super) fn paragraph(label: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    labelled(&format!("{label}:"), LABEL, text, out)
}

/// The same with a label of another kind, and no colon.
///
/// # Errors
/// When `out` fails.
pub(super) fn labelled(
    label: &str,
    style: Style,
    text: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let room = rest(label.len() + " ".len());
    let lines = text.split('\n').flat_map(|part| wrapped(part, room));
    let mut lines = lines.map(|line| line.replace(FIRM, " "));
    let first = lines.next().unwrap_or_default();
    writeln!(out, "{style}{label}{style:#} {first}")?;
    lines.try_for_each(|line| writeln!(out, "{INDENT}{line}"))
}

/// A path of at most `most` characters: a longer one loses its middle.
pub(super) fn middle_out(path: &str, most: usize) -> String {
    let length = path.chars().count();
    if length <= most {
        return path.to_owned();
    }
    // The end is more useful: it has the name of the file.
    let end = most.saturating_sub(1) * 2 / 3;
    let start = most.saturating_sub(1) - end;
    let head: String = path.chars().take(start).collect();
    let tail: String = path.chars().skip(length - end).collect();
    format!("{head}…{tail}")
}

/// The words of a text in lines of at most `most` characters; a longer word gets its own line.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= most
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{middle_out, wrapped};

    #[test]
    fn a_long_path_loses_its_middle_and_keeps_its_name() {
        assert_eq!(middle_out("/usr/bin/ls", 11), "/usr/bin/ls");
        let short = middle_out("/usr/lib/x86_64-linux-gnu/libgone.so", 21);
        assert_eq!(short, "/usr/li…nu/libgone.so");
        assert_eq!(short.chars().count(), 21);
    }

    #[test]
    fn words_are_kept_whole() {
        assert_eq!(wrapped("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrapped("a /usr/lib b", 3), ["a", "/usr/lib", "b"]);
    }
}
