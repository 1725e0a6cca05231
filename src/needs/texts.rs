//! Texts in the constant data of an object, for guesses.
//!
//! In: the ranges of a file that a loader maps without write permission. Out: what stands there
//! between two NULs, what of it is a string of its own, and which names are mentioned in it.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use crate::bytes::ReadAt;
use crate::elf::Object;

/// Constant data of an object that is looked through, in bytes: a program of more data hardly
/// starts others by name, and is not worth the time.
const MAX_GUESS: u64 = 16 << 20;
/// Longest text that a guess is made from, in bytes: `PATH_MAX`.
const MAX_TEXT: usize = 4096;
/// Longest name that is looked for at the end of another text, in bytes.
const MAX_NAME: usize = 64;
/// Most names that are looked at.
const MAX_NAMES: usize = 10_000;

/// What the constants of an object say.
#[derive(Debug, Default)]
pub struct Texts {
    /// Texts that may be names or paths, each once; the parts of a list such as `PATH`, too.
    pub words: BTreeSet<String>,
    /// The first words of what looks like a line for a shell: `gzip -dc %s`.
    pub started: BTreeSet<String>,
}

/// The constants of an object with the places where they stand in the file; none of an object that
/// is too large for a guess.
fn constants(object: &Object, file: &dyn ReadAt) -> Vec<(u64, Vec<u8>)> {
    let total = object.constant_ranges().map(|(_, length)| length);
    if total.fold(0, u64::saturating_add) > MAX_GUESS {
        return Vec::new();
    }
    let read = |(offset, length)| Some((offset, file.prefix(offset, length).ok()?));
    object.constant_ranges().filter_map(read).collect()
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._+-@".contains(&byte)
}

impl Texts {
    /// Reads the constants of an object.
    pub(super) fn of(object: &Object, file: &dyn ReadAt) -> Self {
        let names = object.dynamic_strings();
        let is_name =
            |at: u64| names.is_some_and(|(start, length)| at >= start && at - start < length);
        let mut texts = Self::default();
        for (offset, bytes) in constants(object, file) {
            let mut start = 0;
            for end in memchr::memchr_iter(0, &bytes) {
                let (text, at) = (&bytes[start..end], offset + start as u64);
                start = end + 1;
                if (2..MAX_TEXT).contains(&text.len()) && !is_name(at) {
                    texts.add(text);
                }
            }
        }
        texts
    }

    fn add(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        if text.bytes().all(is_of_word) {
            self.words.insert(text.to_owned());
        } else if text.starts_with('/') && text.bytes().all(|byte| is_of_word(byte) || byte == b':')
        {
            let parts = text.split(':').filter(|part| part.len() > 1);
            self.words.extend(parts.map(str::to_owned));
        } else if let Some((word, rest)) = text.split_once(' ')
            && !word.is_empty()
            && word.bytes().all(is_of_word)
            && rest.starts_with(['-', '%', '/', '\'', '"', '<', '>', '$', '|'])
        {
            self.started.insert(word.to_owned());
        }
    }
}

/// The names that are strings of the object: something points at them. They may stand at the end
/// of other texts, as `gzip` does in `ungzip`; and bytes that only look like a text are none.
pub(super) fn names(
    object: &Object,
    file: &dyn ReadAt,
    is_wanted: &dyn Fn(&str) -> bool,
) -> BTreeSet<String> {
    let mut ends: Vec<(u64, String)> = Vec::new();
    let tells_pointers = object.tells_pointers();
    for (offset, bytes) in constants(object, file) {
        let mut start = 0;
        for end in memchr::memchr_iter(0, &bytes) {
            let text = &bytes[start..end];
            start = end + 1;
            let word = text.iter().rev().take(MAX_NAME);
            let longest = word.take_while(|byte| is_of_word(**byte)).count();
            let shortest = match tells_pointers {
                true => 2,
                false => text.len().max(2),
            };
            for length in shortest..=longest {
                let name = std::str::from_utf8(&text[text.len() - length..]);
                if let Ok(name) = name
                    && is_wanted(name)
                    && let Some(address) = object.address_of(offset + (end - length) as u64)
                {
                    ends.push((address, name.to_owned()));
                }
            }
        }
    }
    ends.truncate(MAX_NAMES);
    let addresses: Vec<u64> = ends.iter().map(|(address, _)| *address).collect();
    let meant = object.pointed_at(file, &addresses).unwrap_or_default();
    let ends = ends.into_iter();
    let names = ends.filter(|(address, _)| !tells_pointers || meant.contains(address));
    names.map(|(_, name)| name).collect()
}

/// Which of `names` stand as words anywhere in the constants.
pub(super) fn mentions<'n>(
    object: &Object,
    file: &dyn ReadAt,
    names: &'n [String],
) -> BTreeSet<&'n str> {
    let mut found = BTreeSet::new();
    let Ok(search) = AhoCorasick::new(names) else {
        return found;
    };
    for (_, bytes) in constants(object, file) {
        for place in search.find_overlapping_iter(&bytes) {
            let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| is_of_word(*byte));
            let before = place.start().checked_sub(1).and_then(|at| bytes.get(at));
            if !is_part(before) && !is_part(bytes.get(place.end())) {
                found.insert(names[place.pattern().as_usize()].as_str());
            }
        }
    }
    found
}
