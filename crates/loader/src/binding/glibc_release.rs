//! Which release of glibc an object needs.
//!
//! In: the versions that the object needs. Out: the releases that define them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use slimpack_elf::Versions;

/// The version of glibc's private symbols.
const PRIVATE: &str = "GLIBC_PRIVATE";
/// The version without a number that objects with `DT_RELR` need, and the first release that has it.
const PACKED_RELOCATIONS: (&str, [u32; 2]) = ("GLIBC_ABI_DT_RELR", [2, 36]);
/// Numbers of a release: 2.2.5 has three.
const MOST_NUMBERS: usize = 4;

/// A release of glibc, such as 2.34 or 2.2.5.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcRelease(Vec<u32>);

impl GlibcRelease {
    /// Reads `2.34`; `None` for anything but numbers with dots.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split('.').map(|part| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let numbers: Vec<u32> = numbers.take(MOST_NUMBERS + 1).collect::<Option<_>>()?;
        (2..=MOST_NUMBERS)
            .contains(&numbers.len())
            .then_some(Self(numbers))
    }

    /// The first release with a symbol version such as `GLIBC_2.34`; `None` for any other name.
    pub fn of_version(version: &OsStr) -> Option<Self> {
        if version == PACKED_RELOCATIONS.0 {
            return Some(Self(PACKED_RELOCATIONS.1.to_vec()));
        }
        let number = version.as_bytes().strip_prefix(b"GLIBC_")?;
        Self::parse(std::str::from_utf8(number).ok()?)
    }
}

impl fmt::Display for GlibcRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// The glibc releases without which an object does not load, each with the symbol version that
/// requires it. Empty for the parts of glibc, and without versions whose absence is only a warning.
pub fn glibc_needs(versions: &Versions) -> impl Iterator<Item = (GlibcRelease, &OsStr)> {
    let is_of_glibc = versions.defines(&PRIVATE.into());
    let needs = versions.needs.iter().filter(move |_| !is_of_glibc);
    needs
        .flat_map(|need| &need.versions)
        .filter(|version| !version.is_weak)
        .filter_map(|version| Some((GlibcRelease::of_version(&version.name)?, &*version.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_their_numbers() {
        let release = |text| GlibcRelease::parse(text).unwrap();
        assert!(release("2.9") < release("2.10"));
        assert!(release("2.2.5") < release("2.3"));
        assert!(release("2.34") <= release("2.34"));
        assert_eq!(release("2.2.5").to_string(), "2.2.5");
        for text in [
            "",
            "2",
            "2.",
            ".2",
            "2.x",
            "+2.3",
            "2.1.1.1.1",
            "2.99999999999",
        ] {
            assert_eq!(GlibcRelease::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_version_stands_for_the_release_that_introduced_it() {
        let release = |name: &str| GlibcRelease::of_version(OsStr::new(name));
        assert_eq!(release("GLIBC_2.2.5"), GlibcRelease::parse("2.2.5"));
        assert_eq!(release("GLIBC_ABI_DT_RELR"), GlibcRelease::parse("2.36"));
        for name in [PRIVATE, "GLIBCXX_3.4", "OPENSSL_3.0.0", "2.34"] {
            assert_eq!(release(name), None, "{name}");
        }
    }
}
