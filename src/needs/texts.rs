//! Texts in the data of an object, for guesses.
//!
//! In: the ranges of a file that are constants or initialized data. Out: the texts between two
//! NULs, the names that something points to, and the names that occur as words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use foldhash::HashSet;

use crate::bytes::ReadAt;
use crate::elf::Object;

/// Maximum size of an object's constant data that is read whole, in bytes: a larger program rarely
/// starts others by name. It is still searched for paths.
const MAX_GUESS: u64 = 16 << 20;
/// Maximum size of a range that is searched for paths, in bytes.
const MAX_SEARCH: u64 = 1 << 30;
/// Size of the pieces that are searched, in bytes.
const PIECE: u64 = 1 << 20;
/// Maximum number of constant ranges that are read: linkers emit one or two.
const MAX_RANGES: usize = 4;
/// Maximum number of texts that are kept per object.
const MAX_TEXTS: usize = 100_000;
/// Longest text that is considered, in bytes: `PATH_MAX`.
const MAX_TEXT: usize = 4096;
/// Longest name that is considered, in bytes.
const MAX_NAME: usize = 64;

/// The texts in the constants and the initialized data of an object; of very large constants only
/// those that begin with a slash.
#[derive(Debug, Default)]
pub struct Texts {
    /// Texts that may be names or paths, each once; also the parts of a list such as `PATH`.
    pub words: BTreeSet<String>,
    /// The first words of what looks like a shell command line: `gzip -dc %s`.
    pub started: BTreeSet<String>,
}

fn size_of_constants(object: &Object) -> u64 {
    let lengths = object.constant_ranges().map(|(_, length)| length);
    lengths.fold(0, u64::saturating_add)
}

/// The constant data of an object, each range with its file offset; empty if the object is too
/// large.
fn constants(object: &Object, file: &dyn ReadAt) -> Vec<(u64, Vec<u8>)> {
    if size_of_constants(object) > MAX_GUESS {
        return Vec::new();
    }
    let read = |(offset, length)| Some((offset, file.prefix(offset, length).ok()?));
    let ranges = object.constant_ranges().take(MAX_RANGES);
    ranges.filter_map(read).collect()
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
        let data = object
            .data_ranges()
            .filter(|(_, length)| *length <= MAX_GUESS);
        let data = data
            .take(MAX_RANGES)
            .filter_map(|(offset, length)| Some((offset, file.prefix(offset, length).ok()?)));
        for (offset, bytes) in constants(object, file).into_iter().chain(data) {
            let mut start = 0;
            for end in memchr::memchr_iter(0, &bytes) {
                let (text, at) = (&bytes[start..end], offset + start as u64);
                start = end + 1;
                if (2..MAX_TEXT).contains(&text.len()) && !is_name(at) {
                    texts.add(text);
                }
            }
        }
        if size_of_constants(object) > MAX_GUESS {
            for (offset, length) in object.constant_ranges().take(MAX_RANGES) {
                texts.add_paths(file, offset, length.min(MAX_SEARCH));
            }
        }
        texts
    }

    /// Adds the texts of a range that begin with a slash, which a search finds without looking at each
    /// byte.
    fn add_paths(&mut self, file: &dyn ReadAt, offset: u64, length: u64) {
        let begin = memchr::memmem::Finder::new(b"\0/");
        let mut at = 0;
        while at < length {
            // A text may continue in the next piece.
            let wanted = (PIECE + MAX_TEXT as u64).min(length - at);
            let Ok(piece) = file.prefix(offset.saturating_add(at), wanted) else {
                return;
            };
            for start in begin.find_iter(&piece) {
                let text = &piece[start + 1..];
                let text = &text[..text.len().min(MAX_TEXT)];
                if let Some(end) = memchr::memchr(0, text) {
                    self.add(&text[..end]);
                }
            }
            at += PIECE;
        }
    }

    fn add(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        if self.words.len() + self.started.len() >= MAX_TEXTS {
            return;
        }
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

/// The names that something in the object points to. A name may be the end of another text, as
/// `gzip` is of `ungzip`; bytes that merely look like text do not count.
pub(super) fn names(
    object: &Object,
    file: &dyn ReadAt,
    is_wanted: &dyn Fn(&str) -> bool,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (offset, bytes) in constants(object, file) {
        let starts: Vec<usize> = match object.tells_pointers() {
            true => pointed_at(object, file, offset, bytes.len()),
            false => memchr::memchr_iter(0, &bytes).map(|nul| nul + 1).collect(),
        };
        for start in starts {
            let rest = bytes.get(start..).unwrap_or_default();
            let rest = &rest[..rest.len().min(MAX_NAME)];
            let length = rest.iter().position(|byte| !is_of_word(*byte));
            let Some(length) = length.filter(|length| *length > 1 && rest[*length] == 0) else {
                continue;
            };
            if let Ok(name) = std::str::from_utf8(&rest[..length])
                && is_wanted(name)
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// Offsets into a range of the file that pointers in the object refer to.
fn pointed_at(object: &Object, file: &dyn ReadAt, offset: u64, length: usize) -> Vec<usize> {
    let Some(addresses) = object.addresses_of(offset, length as u64) else {
        return Vec::new();
    };
    let start = addresses.start;
    let pointers = object.pointers(file, addresses).unwrap_or_default();
    let starts = pointers.into_iter();
    starts.map(|address| (address - start) as usize).collect()
}

/// Which of `names` occur as words anywhere in the constant data.
pub(super) fn mentions<'n>(
    object: &Object,
    file: &dyn ReadAt,
    names: &'n BTreeMap<String, PathBuf>,
) -> BTreeSet<&'n str> {
    let mut found = BTreeSet::new();
    if names.is_empty() {
        return found;
    }
    // Each word of the constants is looked up.
    let names: HashSet<&str> = names.keys().map(String::as_str).collect();
    for (_, bytes) in constants(object, file) {
        for word in bytes.split(|byte| !is_of_word(*byte)) {
            if let Ok(word) = std::str::from_utf8(word)
                && let Some(name) = names.get(word)
            {
                found.insert(*name);
            }
        }
    }
    found
}
