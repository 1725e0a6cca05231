//! apk's database, cut to the packages and files of an image.
//!
//! In: `/lib/apk/db/installed`, a stanza for each package (apk-package(5), "installed database"):
//! after its fields come directories ("F:"), each with its files ("R:"), the modes of both ("M:",
//! "a:") and the digests of files ("Z:"). Out: the same without what the image does not have.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::WantedFiles;
use crate::packages::MAX_DATABASE;
use crate::vfs::View;

/// apk's database.
const INSTALLED: &str = "/lib/apk/db/installed";

/// The database of the packages that own wanted files; empty if there is none.
pub(super) fn records(view: &View, wanted: &WantedFiles<'_>) -> Vec<(PathBuf, Vec<u8>)> {
    let database = view.read(Path::new(INSTALLED), MAX_DATABASE);
    let database = database.unwrap_or_default();
    let mut records = Vec::new();
    let mut stanza = ApkStanza::default();
    for line in database.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            std::mem::take(&mut stanza).end(&mut records);
        } else {
            stanza.line(line, wanted);
        }
    }
    stanza.end(&mut records);
    match records.is_empty() {
        true => Vec::new(),
        false => vec![(PathBuf::from(INSTALLED), records)],
    }
}

/// A package's stanza, as it is cut.
#[derive(Default)]
struct ApkStanza {
    kept: Vec<u8>,
    folder: Vec<u8>,
    is_folder_kept: bool,
    /// Whether the last file is kept, and has the bytes that its digest is of.
    is_file_kept: bool,
    is_file_changed: bool,
    has_files: bool,
}

impl ApkStanza {
    fn line(&mut self, line: &[u8], wanted: &WantedFiles<'_>) {
        match line.split_at_checked(2) {
            Some((b"F:", folder)) => {
                self.folder = folder.to_vec();
                self.is_folder_kept = false;
                self.is_file_kept = false;
            }
            Some((b"R:", name)) => {
                let path = Path::new("/")
                    .join(Path::new(std::ffi::OsStr::from_bytes(&self.folder)))
                    .join(std::ffi::OsStr::from_bytes(name));
                let file = wanted.named(path.as_os_str().as_bytes());
                self.is_file_kept = file.is_some();
                let Some(file) = file else {
                    return;
                };
                self.is_file_changed = wanted.files[file].is_changed;
                self.has_files = true;
                if !self.is_folder_kept {
                    self.is_folder_kept = true;
                    let folder = std::mem::take(&mut self.folder);
                    self.keep(&[b"F:", &folder[..]].concat());
                    self.folder = folder;
                }
                self.keep(line);
            }
            // Directories are the image's own.
            Some((b"M:", _)) => {}
            Some((b"a:", _)) if self.is_file_kept => self.keep(line),
            Some((b"Z:", _)) if self.is_file_kept && !self.is_file_changed => self.keep(line),
            Some((b"a:" | b"Z:", _)) => {}
            _ => self.keep(line),
        }
    }

    fn keep(&mut self, line: &[u8]) {
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
    }

    fn end(self, records: &mut Vec<u8>) {
        if self.has_files {
            records.extend(self.kept);
            records.push(b'\n');
        }
    }
}
