//! The licenses of a package of Debian, where its copyright file says them in machine-readable form.
//!
//! In: the bytes of `/usr/share/doc/NAME/copyright`. Out: the synopses of its `License` fields, as they
//! are written. A file in free text says nothing here: no license is guessed from prose. Source:
//! "Machine-readable debian/copyright file" 1.0 (DEP-5).

use std::collections::BTreeSet;

/// Largest copyright file that is read, in bytes: those of Firefox and of the kernel have 1 MB.
pub(super) const MAX_COPYRIGHT: u64 = 4 << 20;
/// Longest synopsis that is kept, in bytes, and most synopses of one package.
const MAX_SYNOPSIS: usize = 500;
const MAX_SYNOPSES: usize = 200;

/// The distinct synopses of the licenses, sorted; empty if the file is not in machine-readable form.
pub fn declared(copyright: &[u8]) -> BTreeSet<String> {
    let mut synopses = BTreeSet::new();
    let mut lines = copyright.split(|byte| *byte == b'\n');
    let format = lines.find(|line| !line.trim_ascii().is_empty());
    let format = format.and_then(|line| field(line, b"Format"));
    let is_format = |value: &[u8]| {
        let marks: [&[u8]; 2] = [b"copyright-format", b"dep5"];
        marks
            .iter()
            .any(|mark| memchr::memmem::find(value, mark).is_some())
    };
    if !format.is_some_and(is_format) {
        return synopses;
    }
    for line in lines {
        let Some(synopsis) = field(line, b"License").and_then(|value| str::from_utf8(value).ok())
        else {
            continue;
        };
        let words: Vec<&str> = synopsis.split_whitespace().collect();
        let synopsis = words.join(" ");
        if !synopsis.is_empty() && synopsis.len() <= MAX_SYNOPSIS {
            synopses.insert(synopsis);
        }
        if synopses.len() == MAX_SYNOPSES {
            break;
        }
    }
    synopses
}

/// The value of a field on this line. Field names have no case (Debian Policy 5.1).
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";

    fn found(text: &str) -> Vec<String> {
        declared(text.as_bytes()).into_iter().collect()
    }

    #[test]
    fn licenses_are_those_of_the_fields() {
        let text = format!(
            "{FORMAT}Upstream-Name: x\n\nFiles: *\nCopyright: me\nLicense: curl\n Text:\n License: \
             no\n\nFiles: a\nlicense:  GPL-2+ \t or  MIT\n\nLicense: curl\n COPYRIGHT\n"
        );
        assert_eq!(found(&text), ["GPL-2+ or MIT", "curl"]);
    }

    #[test]
    fn prose_and_what_only_looks_like_fields_say_nothing() {
        assert!(found("This is prose.\nLicense: GPL-2\n").is_empty());
        assert!(found("Format: text\nLicense: GPL-2\n").is_empty());
        assert!(found(&format!("{FORMAT}License:\nLicenses: MIT\nLicense MIT\n")).is_empty());
        assert!(found("").is_empty());
    }

    #[test]
    fn synopses_without_end_are_bounded() {
        let many: String = (0..1000).map(|n| format!("License: L{n:03}\n")).collect();
        assert_eq!(found(&format!("{FORMAT}{many}")).len(), MAX_SYNOPSES);
        let long = format!("{FORMAT}License: {}\n", "x".repeat(MAX_SYNOPSIS + 1));
        assert!(found(&long).is_empty());
    }
}
