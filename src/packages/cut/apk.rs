//! apk's database, cut to the packages and files of an image.
//!
//! In: `/lib/apk/db/installed`, a stanza for each package (apk-package(5), "installed database"):
//! after its fields come directories ("F:"), each with its files ("R:"), the modes of both ("M:",
//! "a:") and the digests of files ("Z:"). Out: the same without what the image does not have.

use std::path::{Path, PathBuf};

use super::WantedFiles;
use crate::packages::MAX_DATABASE;
use crate::packages::apk::DATABASE;
use crate::vfs::View;

/// The database of the packages that own wanted files; empty if there is none.
pub(super) fn records(view: &View, wanted: &WantedFiles<'_>) -> Vec<(PathBuf, Vec<u8>)> {
    let database = view.read(Path::new(DATABASE), MAX_DATABASE);
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
        false => vec![(PathBuf::from(DATABASE), records)],
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
                let path = [b"/", &self.folder[..], b"/", name].concat();
                let Some(&file) = wanted.named(&path).first() else {
                    self.is_file_kept = false;
                    return;
                };
                self.is_file_kept = true;
                self.is_file_changed = wanted.files[file].is_changed;
                self.has_files = true;
                if !self.is_folder_kept {
                    self.is_folder_kept = true;
                    self.keep(&[b"F:", &self.folder[..]].concat());
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
