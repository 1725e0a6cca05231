//! Suggestions for mistyped words.
//!
//! In: the word, and all known words. Out: the nearest, as the end of a message.

/// The nearest known word, if its Levenshtein distance is at most `most` and leaves half of the
/// word as it is.
pub fn nearest<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    most: usize,
) -> Option<&'k str> {
    let known = known.into_iter();
    let by_distance = known.map(|known| (strsim::levenshtein(known, word), known));
    let (distance, nearest) = by_distance.min()?;
    (distance <= most.min(word.chars().count() / 2)).then_some(nearest)
}

/// ` (did you mean …?)`, or nothing.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| {
        format!(" (did you mean {nearest}?)")
    })
}
