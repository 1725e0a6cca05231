//! apk's database, cut to the packages and files of an image.
//!
//! In: `/lib/apk/db/installed`, a stanza for each package (apk-package(5), "installed database"):
//! after its fields come directories ("F:"), each with its files ("R:"), the modes of both ("M:",
//! "a:") and the digests of files ("Z:"). Out: the same without what the image does not have.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use foldhash::HashMap;

use super::notes::{NotedPackage, usable};
use super::{PackageRecords, WantedFiles};
use crate::packages::apk::DATABASE;
use crate::packages::dpkg::lines;
use crate::packages::{MAX_DATABASE, MAX_PACKAGES};
use crate::vfs::View;

/// The database of the packages that own wanted files; `None` if there is no database.
pub(super) fn records(view: &View, wanted: &WantedFiles<'_>) -> Option<PackageRecords> {
    let database = view.read(Path::new(DATABASE), MAX_DATABASE).ok()?;
    let (notes, unused) = usable(view, wanted, "apk");
    let stanzas: Vec<&[u8]> = stanzas(&database).take(MAX_PACKAGES).collect();
    let moved = Moved::of(&stanzas, wanted, &notes);
    let mut records = Vec::new();
    let mut has_owned = false;
    for (number, text) in stanzas.iter().enumerate() {
        let mut stanza = ApkStanza::default();
        for line in lines(text) {
            stanza.line(line, wanted, &moved);
        }
        for &file in moved.to.get(&Some(number)).into_iter().flatten() {
            stanza.add(file, wanted);
        }
        has_owned |= stanza.files.iter().any(|file| Some(*file) != wanted.beside);
        stanza.end(&mut records);
    }
    let mut noted: BTreeMap<NotedPackage<'_>, ApkStanza> = BTreeMap::new();
    for &file in moved.to.get(&None).into_iter().flatten() {
        if let Some(note) = notes[file] {
            let stanza = noted.entry(note).or_insert_with(|| ApkStanza::of(&note));
            stanza.add(file, wanted);
            has_owned = true;
        }
    }
    for stanza in noted.into_values() {
        stanza.end(&mut records);
    }
    let files = match has_owned {
        true => vec![(PathBuf::from(DATABASE), records)],
        false => Vec::new(),
    };
    Some(PackageRecords { files, unused })
}

/// The stanzas of a database, without the empty lines between them.
fn stanzas(database: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = database;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let end = memchr::memmem::find(rest, b"\n\n").unwrap_or(rest.len());
        let (stanza, behind) = rest.split_at(end);
        rest = behind;
        (!stanza.is_empty()).then_some(stanza)
    })
}

/// Files that belong to another package than the database has it, by their notes.
#[derive(Default)]
struct Moved {
    /// The files of each stanza, and those that no stanza is for.
    to: HashMap<Option<usize>, Vec<usize>>,
    is_moved: Vec<bool>,
}

impl Moved {
    fn of(stanzas: &[&[u8]], wanted: &WantedFiles<'_>, notes: &[Option<NotedPackage<'_>>]) -> Self {
        let mut moved = Self {
            is_moved: vec![false; notes.len()],
            ..Self::default()
        };
        if notes.iter().all(Option::is_none) {
            return moved;
        }
        // The stanza that is for each note, the owner first.
        let mut owners: Vec<Option<usize>> = vec![None; notes.len()];
        let mut named: Vec<Option<usize>> = vec![None; notes.len()];
        for (number, text) in stanzas.iter().enumerate() {
            let (mut folder, mut owned) = (&b""[..], Vec::<usize>::new());
            let (mut name, mut origin, mut version) = (&b""[..], &b""[..], &b""[..]);
            for line in lines(text) {
                match line.split_at_checked(2) {
                    Some((b"P:", value)) => name = value,
                    Some((b"o:", value)) => origin = value,
                    Some((b"V:", value)) => version = value,
                    Some((b"F:", value)) => folder = value,
                    Some((b"R:", file)) => owned.extend(wanted.named_inside(&path(folder, file))),
                    _ => {}
                }
            }
            let is_of = |note: &NotedPackage<'_>, is_origin: bool| {
                let is_named =
                    name == note.name.as_bytes() || is_origin && origin == note.name.as_bytes();
                is_named && version == note.version.as_bytes()
            };
            for file in owned {
                let note = notes[file].as_ref();
                if note.is_some_and(|note| is_of(note, true)) {
                    owners[file] = Some(number);
                }
            }
            for (known, note) in named.iter_mut().zip(notes) {
                let is_it = note.is_some_and(|note| is_of(&note, false));
                *known = known.or(is_it.then_some(number));
            }
        }
        for file in
            (0..notes.len()).filter(|file| notes[*file].is_some() && owners[*file].is_none())
        {
            moved.is_moved[file] = true;
            moved.to.entry(named[file]).or_default().push(file);
        }
        moved
    }
}

/// The path of a file in a directory of the database.
fn path(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        [] => name.to_vec(),
        _ => [folder, b"/", name].concat(),
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
    files: Vec<usize>,
}

impl ApkStanza {
    /// The stanza of a package that only a note names.
    fn of(note: &NotedPackage<'_>) -> Self {
        let mut text = format!("P:{}\nV:{}\n", note.name, note.version);
        if let Some(architecture) = note.architecture {
            text.push_str(&format!("A:{architecture}\n"));
        }
        Self {
            kept: text.into_bytes(),
            ..Self::default()
        }
    }

    fn line(&mut self, line: &[u8], wanted: &WantedFiles<'_>, moved: &Moved) {
        match line.split_at_checked(2) {
            Some((b"F:", folder)) => {
                self.folder = folder.to_vec();
                self.is_folder_kept = false;
                self.is_file_kept = false;
            }
            Some((b"R:", name)) => {
                let named = wanted.named_inside(&path(&self.folder, name));
                let Some(&file) = named.iter().find(|file| !moved.is_moved[**file]) else {
                    self.is_file_kept = false;
                    return;
                };
                self.is_file_kept = true;
                self.is_file_changed = wanted.files[file].is_changed;
                self.files.push(file);
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

    /// Adds a file that the database has elsewhere.
    fn add(&mut self, file: usize, wanted: &WantedFiles<'_>) {
        let path = wanted.files[file].image;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        let directory = directory.strip_prefix("/").unwrap_or(directory);
        self.keep(&[b"F:", directory.as_os_str().as_bytes()].concat());
        self.keep(&[b"R:", name.as_bytes()].concat());
        self.files.push(file);
    }

    fn keep(&mut self, line: &[u8]) {
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
    }

    fn end(self, records: &mut Vec<u8>) {
        if !self.files.is_empty() {
            records.extend(self.kept);
            records.push(b'\n');
        }
    }
}
