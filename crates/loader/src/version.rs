//! The version of a musl loader, which decides what it can load.
//!
//! In: the bytes of `ld-musl-ARCH.so.1`. Out: its version, without running it. The versions of
//! glibc's libraries are given by the symbol versions that they define.

use memchr::{memchr_iter, memmem};

use slimpack_elf::Object;
use slimpack_vfs::bytes::ReadAt;

/// What musl's loader prints when it is run directly (`ldso/dynlink.c`).
const BANNER: &[u8] = b"musl libc (";
/// Most read-only data that is scanned, in bytes; musl has about 200 KB.
const MAX_SCAN: u64 = 8 << 20;

/// A version of musl: 1.2.4 is `[1, 2, 4]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MuslVersion(pub [u32; 3]);

impl MuslVersion {
    /// The first version that applies packed relative relocations (`DT_RELR`).
    pub const PACKED_RELOCATIONS: Self = Self([1, 2, 4]);
    /// The first version that looks up symbols by `DT_GNU_HASH`.
    pub const GNU_HASH: Self = Self([0, 9, 5]);

    /// Reads it from the loader; `None` if it is not musl's, or contains no version.
    pub fn read(loader: &Object, file: &dyn ReadAt) -> Option<Self> {
        let mut left = MAX_SCAN;
        let ranges = loader.read_only_ranges().filter_map(|(offset, length)| {
            let length = length.min(left);
            left -= length;
            file.prefix(offset, length).ok()
        });
        let data: Vec<Vec<u8>> = ranges.collect();
        let is_musl = |range: &Vec<u8>| memmem::find(range, BANNER).is_some();
        data.iter().any(is_musl).then_some(())?;
        data.iter().find_map(|range| {
            let mut start = 0;
            memchr_iter(0, range).find_map(|end| {
                let text = &range[start..end];
                start = end + 1;
                Self::parse(std::str::from_utf8(text).ok()?)
            })
        })
    }

    /// `1.2.4`, or `1.2.4-git-8-gabcdef`.
    fn parse(text: &str) -> Option<Self> {
        let (number, _) = text.split_once("-git-").unwrap_or((text, ""));
        let mut parts = number.split('.').map(|part| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let version = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self(version))
    }
}

impl std::fmt::Display for MuslVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::MuslVersion;

    #[test]
    fn a_version_has_three_numbers() {
        let parse = MuslVersion::parse;
        assert_eq!(parse("1.2.3"), Some(MuslVersion([1, 2, 3])));
        assert_eq!(parse("1.2.4-git-8-g1234"), Some(MuslVersion([1, 2, 4])));
        for other in ["127.0.0.1", "1.2", "1.2.x", "1..3", "99999999999.0.0", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert!(MuslVersion([1, 2, 3]) < MuslVersion::PACKED_RELOCATIONS);
    }
}
