//! Data for the script of a page.
//!
//! In: a value. Out: JSON that can be the content of `<script type="application/json">` whatever its
//! texts are: no text ends the element, or begins a comment in it (HTML Standard, 4.12.1.3).

use serde::Serialize;

/// The JSON of a value.
pub(super) fn embedded(value: &impl Serialize) -> String {
    // The values have no maps with other keys than strings.
    let json = serde_json::to_string(value).unwrap_or_default();
    // In JSON these characters are in strings alone.
    let is_special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    let mut escaped = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find(is_special) {
        let (before, special) = rest.split_at(at);
        let mut special = special.chars();
        escaped.push_str(before);
        if let Some(c) = special.next() {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
        rest = special.as_str();
    }
    escaped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_the_element() {
        let text = "</script><!--&\u{2028}\u{2029}\"\\\n<é";
        let json = embedded(&[text]);
        assert_eq!(
            json,
            r#"["\u003c/script\u003e\u003c!--\u0026\u2028\u2029\"\\\n\u003cé"]"#
        );
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, [text]);
    }
}
