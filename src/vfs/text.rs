//! Text from files and images, made safe for terminals and logs.
//!
//! In: any text. Out: the same on one line, without a character that a terminal or a reader could
//! mistake for something else.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// What stands for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// A text that stays on its line and says nothing to a terminal, whatever it holds: names of files
/// and documents of images are anybody's.
pub fn one_line(text: &str) -> String {
    let shown = |c: char| if is_safe(c) { c } else { REPLACEMENT };
    text.chars().map(shown).collect()
}

/// Whether a character shows what it is. Control characters (general category Cc) move cursors,
/// format characters (Cf) reorder or hide text, and line and paragraph separators (Zl, Zp) end lines
/// (Unicode Standard, 4.5, and Unicode Technical Report 36, "Bidirectional Text Spoofing").
pub fn is_safe(c: char) -> bool {
    // Most text is ASCII, which needs no table.
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
        }
        for text in ["plain-1.2_x", "naïve", "日本語", "עברית", "a b"] {
            assert_eq!(one_line(text), text);
        }
    }
}
