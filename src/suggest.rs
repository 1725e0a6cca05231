//! What somebody who mistyped a word may have meant.
//!
//! In: the word, and all that are known. Out: the nearest, as the end of a message.

/// The known word that is no more than `most` edits (`Levenshtein`) away.
pub fn nearest<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    most: usize,
) -> Option<&'k str> {
    let known = known.into_iter();
    let by_distance = known.map(|known| (strsim::levenshtein(known, word), known));
    let (distance, nearest) = by_distance.min()?;
    (distance <= most).then_some(nearest)
}

/// ` (did you mean …?)`, or nothing.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| {
        format!(" (did you mean {nearest}?)")
    })
}
