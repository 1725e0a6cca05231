//! Strings in the constant data of an object.
//!
//! In: the ranges of a file that a loader maps without write permission. Out: which of the strings
//! that rules look for it contains.

use aho_corasick::Span;
use aho_corasick::packed::Searcher;

use crate::bytes::ReadAt;
use crate::elf::Object;

/// Maximum size of a range that is searched for the strings of reliable rules, in bytes.
const MAX_SCAN: u64 = 256 << 20;
/// Size of the pieces that are searched, in bytes; a piece should fit in the CPU cache.
const PIECE: usize = 256 << 10;

/// Precedes the directory compiled into OpenSSL; a quotation mark follows it.
pub(super) const OPENSSL_FOLDER: &str = "OPENSSLDIR: \"";
/// Where time zones are.
pub(super) const ZONES: &str = "/usr/share/zoneinfo";
/// The bundle of CA certificates below the directories that Rust's openssl-probe tries.
pub(super) const PROBED: &str = "certs/ca-certificates.crt";
/// Where terminal descriptions are.
pub(super) const TERMINFO: &str = "/usr/share/terminfo";
/// All strings that rules look for, found in one pass.
const STRINGS: [&str; 11] = [
    "\0/tmp\0",
    "\0/tmp/",
    "/bin/sh\0",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/passwd",
    "/etc/hosts",
    OPENSSL_FOLDER,
    ZONES,
    TERMINFO,
    PROBED,
];

/// The offset of the first occurrence of each string in a file, in bytes.
#[derive(Clone, Debug)]
pub struct Places([Option<u64>; STRINGS.len()]);

impl Places {
    /// Searches the constant data of an object; `None` if it cannot be read.
    pub(super) fn in_constants(object: &Object, file: &dyn ReadAt) -> Option<Self> {
        let searcher = Searcher::new(STRINGS)?;
        let mut places = Self([None; STRINGS.len()]);
        for (offset, length) in object.constant_ranges() {
            places.look(&searcher, file, offset, length.min(MAX_SCAN))?;
        }
        Some(places)
    }

    /// The offset of the first occurrence of one of the strings, in bytes.
    pub(super) fn of(&self, text: &str) -> Option<u64> {
        let number = STRINGS.iter().position(|known| *known == text)?;
        self.0[number]
    }

    fn look(
        &mut self,
        searcher: &Searcher,
        file: &dyn ReadAt,
        offset: u64,
        length: u64,
    ) -> Option<()> {
        let longest = STRINGS.iter().map(|text| text.len()).max().unwrap_or(1);
        let mut piece = vec![0; usize::try_from(length).unwrap_or(PIECE).min(PIECE)];
        let mut at = 0;
        while at < length && self.0.contains(&None) {
            let wanted = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
            let start = offset.checked_add(at)?;
            let count = file.read_at(&mut piece[..wanted], start).ok()?;
            let mut span = Span::from(0..count);
            while let Some(found) = searcher.find_in(&piece[..count], span) {
                let place = start + found.start() as u64;
                self.0[found.pattern().as_usize()].get_or_insert(place);
                // Two strings may share a NUL.
                span.start = found.start() + 1;
            }
            if count < wanted || count <= longest {
                break;
            }
            // A string may span two pieces.
            at += match at + (count as u64) < length {
                true => (count - longest) as u64,
                false => count as u64,
            };
        }
        Some(())
    }
}
