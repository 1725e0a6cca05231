//! The default directories of a glibc loader.
//!
//! In: the bytes of `ld.so`. Out: its system directories and its value of `$LIB`.
//! Distributions compile in different ones (Debian the multiarch directories, Fedora
//! `/lib64`, Nix a store path), so they are read from the loader itself, without running it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use memchr::{memmem, memrchr};

use slimpack_elf::Object;
use slimpack_vfs::bytes::ReadAt;

/// Maximum size of a loader's read-only data that is scanned, in bytes. Real loaders have about 200
/// KB.
const MAX_SCAN: u64 = 8 << 20;
/// Most system directories that are read from a loader; real ones have one to four.
const MAX_FOLDERS: usize = 16;
/// Shortest and longest path of a system directory, in bytes.
const LENGTH: std::ops::Range<usize> = 3..4096;

/// The values compiled into one loader.
#[derive(Clone, Debug)]
pub struct SystemFolders {
    /// In search order, without trailing slashes.
    pub folders: Vec<PathBuf>,
    /// The value of `$LIB`.
    pub lib: OsString,
}

impl SystemFolders {
    /// Reads them from the loader's constants, or from its code if they are there; if nothing is found,
    /// returns those of an unconfigured glibc.
    pub fn read(interpreter: &Object, file: &dyn ReadAt) -> Self {
        let constants = Self::within(interpreter.constant_ranges(), file);
        constants
            .or_else(|| Self::within(interpreter.read_only_ranges(), file))
            .unwrap_or_else(|| Self::fallback(interpreter))
    }

    fn within(ranges: impl Iterator<Item = (u64, u64)>, file: &dyn ReadAt) -> Option<Self> {
        let mut left = MAX_SCAN;
        let data: Vec<Vec<u8>> = ranges
            .filter_map(|(offset, length)| {
                let length = length.min(left);
                left -= length;
                file.prefix(offset, length).ok()
            })
            .collect();
        // glibc's `system_dirs` is several adjacent strings: the longest run is taken.
        let mut folders: Vec<&[u8]> = Vec::new();
        for run in data.iter().flat_map(|segment| runs(segment)) {
            if run.len() > folders.len() && run.len() <= MAX_FOLDERS {
                folders = run;
            }
        }
        let lib = folders
            .iter()
            .find_map(|folder| lib_token(folder, &data))
            .or_else(|| folders.iter().find_map(|folder| lib_part(folder).next()))
            .unwrap_or(b"lib");
        (!folders.is_empty()).then(|| Self {
            folders: folders
                .iter()
                .map(|folder| PathBuf::from(OsStr::from_bytes(&folder[..folder.len() - 1])))
                .collect(),
            lib: OsString::from_vec(lib.to_vec()),
        })
    }

    /// The directories of an unconfigured glibc.
    pub fn fallback(interpreter: &Object) -> Self {
        let lib = if interpreter.class_name() == "elf64" {
            "lib64"
        } else {
            "lib"
        };
        Self {
            folders: vec![format!("/{lib}").into(), format!("/usr/{lib}").into()],
            lib: lib.into(),
        }
    }
}

/// Runs of adjacent NUL-terminated strings that are absolute directory paths ending in a
/// slash.
fn runs(segment: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut runs: Vec<Vec<&[u8]>> = Vec::new();
    let mut previous_end = usize::MAX;
    for slash in memmem::find_iter(segment, b"/\0") {
        let start = memrchr(0, &segment[..slash]).map_or(0, |nul| nul + 1);
        let text = &segment[start..=slash];
        if !is_folder(text) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if previous_end == start => run.push(text),
            _ => runs.push(vec![text]),
        }
        previous_end = slash + 2;
    }
    runs
}

fn is_folder(text: &[u8]) -> bool {
    LENGTH.contains(&text.len())
        && text.starts_with(b"/")
        && text.ends_with(b"/")
        && !text.windows(2).any(|pair| pair == b"//")
        && text.iter().all(|b| b.is_ascii_graphic() && *b != b'%')
        && lib_part(text).next().is_some()
}

/// The suffixes of a directory that may be `$LIB`, longest first:
/// `usr/lib/x86_64-linux-gnu`, `lib/x86_64-linux-gnu`.
fn lib_part(folder: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = &folder[..folder.len() - 1];
    (0..inner.len())
        .filter(move |&at| inner[at] == b'/' && inner[at + 1..].starts_with(b"lib"))
        .map(move |at| &inner[at + 1..])
}

/// The suffix of `folder` that the loader also contains as a separate string, which only `$LIB`
/// requires.
fn lib_token<'f>(folder: &'f [u8], data: &[Vec<u8>]) -> Option<&'f [u8]> {
    lib_part(folder).find(|part| {
        let alone = [b"\0", *part, b"\0"].concat();
        data.iter()
            .any(|segment| memmem::find(segment, &alone).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_of_folders_wins_and_single_strings_do_not_hide_it() {
        let data =
            b"x\0/proc/self/\0/var/lib/one/\0y\0/lib/t/\0/usr/lib/t/\0/lib/\0/usr/lib/\0lib/t\0";
        let longest = runs(data).into_iter().max_by_key(Vec::len).unwrap();
        assert_eq!(longest.len(), 4);
        assert_eq!(lib_token(longest[0], &[data.to_vec()]), Some(&b"lib/t"[..]));
    }

    #[test]
    fn a_store_path_is_a_system_folder() {
        let data = b"\0/nix/store/abc-glibc-2.38/lib/\0";
        assert_eq!(runs(data), [[&b"/nix/store/abc-glibc-2.38/lib/"[..]]]);
    }
}
