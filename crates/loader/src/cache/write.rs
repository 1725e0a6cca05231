//! Writing `/etc/ld.so.cache` for an image.
//!
//! In: names and their paths. Out: a cache in the new format, as the real loader searches it.
//! Nothing is executed, so `ldconfig` cannot be used; for these few entries it is enough to write
//! the format.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{NEW_ENTRY, NEW_HEADER, NEW_MAGIC, compare_names};

/// `cache_file_new_flags_endian_little` and `_big`.
const LITTLE_ENDIAN: u8 = 2;
const BIG_ENDIAN: u8 = 3;

/// The bytes of a cache that maps each name to its path, for loaders whose entries have
/// `flags`. The order of `entries` does not matter.
pub(crate) fn write(entries: &[(OsString, PathBuf)], flags: u32, big_endian: bool) -> Vec<u8> {
    let mut entries: Vec<(&OsStr, &Path)> = entries
        .iter()
        .map(|(name, path)| (name.as_os_str(), path.as_path()))
        .collect();
    // Descending, as the binary search requires; equal names by path, so that the bytes do not
    // depend on the input order.
    entries.sort_by(|left, right| {
        compare_names(right.0.as_bytes(), left.0.as_bytes()).then_with(|| left.1.cmp(right.1))
    });
    entries.dedup();

    let number = |value: usize| {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let table = NEW_HEADER + entries.len() * NEW_ENTRY;
    let mut strings = Vec::new();
    let mut lines = Vec::new();
    for (name, path) in &entries {
        let path = path.as_os_str().as_bytes();
        let value = table + strings.len();
        strings.extend_from_slice(path);
        strings.push(0);
        // The end of the path serves as the name if they are equal.
        let key = if path.ends_with(name.as_bytes()) {
            value + path.len() - name.len()
        } else {
            let key = table + strings.len();
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
            key
        };
        let flags = usize::try_from(flags).unwrap_or_default();
        for field in [flags, key, value] {
            lines.extend_from_slice(&number(field));
        }
        // No kernel version and no hardware capabilities are required.
        lines.extend_from_slice(&[0; NEW_ENTRY - 12]);
    }
    let mut bytes = NEW_MAGIC.to_vec();
    bytes.extend_from_slice(&number(entries.len()));
    bytes.extend_from_slice(&number(strings.len()));
    bytes.push(if big_endian {
        BIG_ENDIAN
    } else {
        LITTLE_ENDIAN
    });
    bytes.resize(NEW_HEADER, 0);
    bytes.extend_from_slice(&lines);
    bytes.extend_from_slice(&strings);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::*;

    #[test]
    fn what_is_written_is_found_again_in_both_byte_orders() {
        let entries: Vec<(OsString, PathBuf)> = (0..50)
            .map(|n| {
                let name = format!("lib{}.so.{n}", n % 7);
                (name.clone().into(), format!("/opt/{n}/{name}").into())
            })
            .chain([("other".into(), "/opt/libname.so".into())])
            .collect();
        for big_endian in [false, true] {
            let bytes = write(&entries, 0x303, big_endian);
            let cache = Cache::parse(bytes.clone(), big_endian).unwrap();
            for (name, path) in &entries {
                assert_eq!(cache.lookup(name, 0x303), Some(path.as_path()));
                assert_eq!(cache.lookup(name, 0xa03), None, "another machine's flags");
            }
            assert_eq!(cache.lookup(OsStr::new("libgone.so"), 0x303), None);
            let reversed: Vec<_> = entries.iter().rev().cloned().collect();
            assert_eq!(write(&reversed, 0x303, big_endian), bytes);
        }
    }
}
