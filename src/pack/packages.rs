//! The records of the packages that own files of the image.
//!
//! In: the finished tree, and the source that it came from. Out: the tree with `os-release` and the
//! part of the package database that is about its files, which scanners read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};

use super::Options;
use crate::bytes::ReadAt;
use crate::closure::Closure;
use crate::elf::Notes;
use crate::loader::Objects;
use crate::needs::{PACKAGE_RECORDS, rule};
use crate::packages::{DATABASES, NotedPackage, PackedFile, records};
use crate::rootfs::{Content, Reason, Rootfs, SourceFile, is_excluded};
use crate::source::Source;
use crate::vfs::{View, Walk};

/// What names the distribution (os-release(5)).
const OS_RELEASE: &str = "/etc/os-release";
/// Bytes that are hashed at a time.
const PIECE: usize = 256 << 10;

/// Adds the records, unless they are not wanted; returns what to report of files that no record has. The
/// objects of `closures` may say which packages they are of.
pub(super) fn add_records<'c>(
    rootfs: &mut Rootfs,
    options: &Options,
    source: &Source,
    closures: impl Iterator<Item = &'c Closure>,
) -> Vec<String> {
    let is_unwanted = rule(PACKAGE_RECORDS).is_none_or(|rule| options.needs.forbids(rule));
    // An image with the database of a whole system is recorded already.
    let has_database = |path: &&str| rootfs.node(Path::new(path)).is_some();
    if is_unwanted || DATABASES.iter().any(has_database) {
        return Vec::new();
    }
    let view = &source.view;
    let release = view.walk(Path::new(OS_RELEASE)).ok();
    let release = release.filter(|walk| {
        !is_excluded(&walk.real, &options.exclude) && rootfs.node(&walk.real).is_none()
    });
    let added = release.as_ref().map(|walk| PackedFile {
        source: &walk.real,
        image: &walk.real,
        is_changed: false,
        note: None,
    });
    let sum = |path: &Path| match rootfs.node(path).map(|node| &node.content) {
        Some(Content::File(file)) => md5_of(file, view),
        Some(Content::Directory(_) | Content::Symlink(_)) => None,
        None => md5_of(&SourceFile::of(release.clone()?, false), view),
    };
    let notes = notes(view, closures);
    let packed = packed(rootfs, &notes);
    let invalid = packed.iter().filter(|file| {
        let notes = notes.get(file.source);
        notes.is_some_and(|notes| notes.has_invalid_package)
    });
    let invalid = invalid.map(|file| {
        let path = file.image.display();
        format!("{path}: its package note (.note.package) is malformed; it is ignored")
    });
    let mut warnings: Vec<String> = invalid.collect();
    let manifest = options.rpm_manifest.as_ref();
    let manifest = manifest.map(|(_, manifest)| manifest.as_ref());
    let made = records(view, &packed, added, manifest, &sum);
    warnings.extend(made.unused);
    if made.files.is_empty() {
        return warnings;
    }
    place(rootfs, &made.files, release.as_ref(), options);
    warnings
}

/// Adds the records to the tree, with what names the distribution.
fn place(
    rootfs: &mut Rootfs,
    made: &[(PathBuf, Vec<u8>)],
    release: Option<&Arc<Walk>>,
    options: &Options,
) {
    let reason = |sign: &str| Reason::Need {
        need: PACKAGE_RECORDS,
        object: None,
        sign: sign.to_owned(),
    };
    if let Some(walk) = release {
        for link in &walk.links {
            let content = Content::Symlink(link.target.clone());
            rootfs.add(&link.at, content, reason("names the distribution"));
        }
        let file = Content::File(SourceFile::of(walk.clone(), false));
        rootfs.add(&walk.real, file, reason("names the distribution"));
    }
    // All of them are in one directory.
    let Some(directory) = made.first().and_then(|(path, _)| path.parent()) else {
        return;
    };
    let files = made.iter();
    let files = files.filter(|(path, _)| !is_excluded(path, &options.exclude));
    let files = files.filter_map(|(path, bytes)| {
        let content = Content::File(SourceFile::made(bytes.clone()));
        Some((path.file_name()?, content))
    });
    rootfs.add_in(directory, files, &reason("packages own files of the image"));
}

/// The notes of all objects that programs load, by their real paths in the source.
fn notes<'c>(
    view: &View,
    closures: impl Iterator<Item = &'c Closure>,
) -> HashMap<&'c Path, Arc<Notes>> {
    let mut notes = HashMap::new();
    for object in closures.flat_map(|closure| closure.map.objects()) {
        let path = object.walk.real.as_path();
        notes
            .entry(path)
            .or_insert_with(|| view.notes(&object.walk, &object.object));
    }
    notes
}

/// The files that came out of the source.
fn packed<'r>(rootfs: &'r Rootfs, notes: &'r HashMap<&Path, Arc<Notes>>) -> Vec<PackedFile<'r>> {
    let files = rootfs.nodes().filter_map(|(image, node)| {
        let Content::File(file) = &node.content else {
            return None;
        };
        let source = file.source_path()?;
        let note = notes.get(source).and_then(|notes| notes.package.as_ref());
        Some(PackedFile {
            source,
            image,
            is_changed: file.saved() > 0,
            note: note.map(|note| NotedPackage {
                kind: &note.kind,
                name: &note.name,
                version: &note.version,
                architecture: note.architecture.as_deref(),
                os: note.os.as_deref(),
                os_cpe: note.os_cpe.as_deref(),
            }),
        })
    });
    files.collect()
}

/// The MD5 digest of a file, as `md5sums` have it; `None` if it cannot be read.
fn md5_of(file: &SourceFile, view: &View) -> Option<String> {
    let file = file.open(view).ok()?;
    let mut digest = Md5::new();
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let count = file.read_at(&mut piece, offset).ok()?;
        if count == 0 {
            break;
        }
        digest.update(&piece[..count]);
        offset += count as u64;
    }
    let digest = digest.finalize();
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
