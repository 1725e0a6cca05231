//! Text from files and images, made safe for terminals and logs.
//!
//! In: any text. Out: the same on one line, without a character that a terminal or a reader could
//! mistake for something else.

use std::fmt::{self, Display, Write};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Replacement for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// The text on one line and without control over a terminal: file names and image documents are
/// untrusted.
pub fn one_line(text: &str) -> String {
    let shown = |c: char| if is_safe(c) { c } else { REPLACEMENT };
    text.chars().map(shown).collect()
}

/// The same for what is about to be printed: a path, a reason, a name.
pub fn safe<T: Display>(value: T) -> Safe<T> {
    Safe(value)
}

/// A value whose text is printed on one line, as by [`one_line`].
pub struct Safe<T>(T);

impl<T: Display> Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_some() {
            return f.pad(&one_line(&self.0.to_string()));
        }
        write!(Filter(f), "{}", self.0)
    }
}

/// Passes on the characters that are safe.
struct Filter<'f, 'o>(&'f mut fmt::Formatter<'o>);

impl Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, strange)) = rest.char_indices().find(|(_, c)| !is_safe(*c)) {
            self.0.write_str(&rest[..at])?;
            self.0.write_char(REPLACEMENT)?;
            rest = &rest[at + strange.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a character is safe to print. Control characters (general category Cc) move cursors,
/// format characters (Cf) reorder or hide text, and line and paragraph separators (Zl, Zp) end lines
/// (Unicode Standard, 4.5, and Unicode Technical Report 36, "Bidirectional Text Spoofing").
pub fn is_safe(c: char) -> bool {
    // Most text is ASCII, which needs no table lookup.
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reorders_hides_or_breaks_text_is_replaced_and_letters_stay() {
        for c in [
            '\u{1b}',
            '\n',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200f}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(one_line(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
            assert_eq!(safe(format!("a{c}b")).to_string(), "a\u{fffd}b", "{c:?}");
        }
        for text in ["plain-1.2_x", "naïve", "日本語", "עברית", "a b"] {
            assert_eq!(one_line(text), text);
        }
    }
}
