//! Text on a terminal, in lines that fit it.
//!
//! In: lines of any length. Out: the same words; a line that is too long goes on below, indented, with
//! the branches of a tree drawn on. Nothing is left out, and no word is broken: paths and digests can
//! be copied. What goes elsewhere than to a terminal is not folded.

use std::io::{self, Write};

/// How much farther than its first line the rest of a folded one is indented.
const INDENT: &str = "    ";
/// What begins and ends a color.
const ESCAPE: char = '\x1b';
/// The longest line that is kept until its end, in bytes.
const MAX_LINE: usize = 64 << 10;

/// A writer that folds lines.
pub(super) struct Folded<W: Write> {
    out: W,
    columns: usize,
    line: Vec<u8>,
}

impl<W: Write> Folded<W> {
    pub fn new(out: W, columns: usize) -> Self {
        Self {
            out,
            columns,
            line: Vec::new(),
        }
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        match std::str::from_utf8(&line) {
            Ok(text) => self.out.write_all(folded(text, self.columns).as_bytes()),
            Err(_) => self.out.write_all(&line),
        }
    }
}

impl<W: Write> Write for Folded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > MAX_LINE {
                self.end_line()?;
            }
            return Ok(bytes.len());
        };
        self.line.extend_from_slice(&bytes[..end]);
        self.end_line()?;
        self.out.write_all(b"\n")?;
        Ok(end + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_line()?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Folded<W> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// The line, broken between words where it would be longer than `columns`.
fn folded(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let (lead, rest) = line.split_at(lead_length(line));
    let below: String = characters(lead)
        .map(|c| if c == '├' || c == '│' { '│' } else { ' ' })
        .chain(INDENT.chars())
        .collect();
    let mut text = lead.to_owned();
    let mut taken = width(lead);
    // Columns are kept apart by several spaces, which end with the line.
    let mut spaces = 0;
    for (number, word) in rest.split(' ').enumerate() {
        spaces += usize::from(number > 0);
        if word.is_empty() {
            continue;
        }
        let length = width(word);
        if number > 0 && taken + spaces + length > columns {
            text.push('\n');
            text.push_str(&below);
            taken = width(&below);
        } else {
            text.extend(std::iter::repeat_n(' ', spaces));
            taken += spaces;
        }
        text.push_str(word);
        taken += length;
        spaces = 0;
    }
    text
}

/// The length in bytes of the branches of a tree that a line begins with, and of their colors.
fn lead_length(line: &str) -> usize {
    let mut length = 0;
    let mut is_color = false;
    for (at, c) in line.char_indices() {
        match is_color {
            true => is_color = !c.is_ascii_alphabetic(),
            false if c == ESCAPE => is_color = true,
            false if " │├└─".contains(c) => {}
            false => break,
        }
        if !is_color {
            length = at + c.len_utf8();
        }
    }
    length
}

/// The columns that a text takes, without its colors.
fn width(text: &str) -> usize {
    characters(text).count()
}

/// The characters of a text, without its colors.
fn characters(text: &str) -> impl Iterator<Item = char> {
    let mut is_color = false;
    text.chars().filter(move |c| {
        match is_color {
            true => is_color = !c.is_ascii_alphabetic(),
            false if *c == ESCAPE => is_color = true,
            false => return true,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_and_no_word_is_lost() {
        assert_eq!(folded("a short line", 80), "a short line");
        assert_eq!(folded("  one two three", 10), "  one two\n      three");
        assert_eq!(
            folded("  longer-than-all b", 8),
            "  longer-than-all\n      b"
        );
        assert_eq!(
            folded("│   ├── liba.so → /lib/liba.so [cache]", 22),
            "│   ├── liba.so →\n│   │       /lib/liba.so\n│   │       [cache]"
        );
        assert_eq!(folded("\x1b[1mab\x1b[0m cd", 5), "\x1b[1mab\x1b[0m cd");
        assert_eq!(folded("a   b c", 5), "a   b\n    c");
        assert_eq!(
            folded("\x1b[2m│   ├── \x1b[0mlib one \x1b[2mtwo\x1b[0m", 15),
            "\x1b[2m│   ├── \x1b[0mlib one\n│   │       \x1b[2mtwo\x1b[0m"
        );
    }

    #[test]
    fn lines_are_folded_as_they_are_written() {
        let mut out = Vec::new();
        let mut folded = Folded::new(&mut out, 5);
        folded.write_all(b"one t").unwrap();
        folded.write_all(b"wo\nx\nend").unwrap();
        drop(folded);
        assert_eq!(out, b"one\n    two\nx\nend");
    }
}
