//! The records of the packages that own files of the image.
//!
//! In: the finished tree, and the source that it came from. Out: the tree with `os-release` and the
//! part of the package database that is about its files, which scanners read.

use std::path::Path;

use md5::{Digest, Md5};

use super::Options;
use crate::bytes::ReadAt;
use crate::needs::{PACKAGE_RECORDS, rule};
use crate::packages::{DATABASES, PackedFile, records};
use crate::rootfs::{Content, Reason, Rootfs, SourceFile, is_excluded};
use crate::source::Source;
use crate::vfs::View;

/// What names the distribution (os-release(5)).
const OS_RELEASE: &str = "/etc/os-release";
/// Bytes that are hashed at a time.
const PIECE: usize = 256 << 10;

/// Adds the records, unless they are not wanted.
pub(super) fn add_records(rootfs: &mut Rootfs, options: &Options, source: &Source) {
    let is_unwanted = rule(PACKAGE_RECORDS).is_none_or(|rule| options.needs.forbids(rule));
    // An image with the database of a whole system is recorded already.
    let has_database = |path: &&str| rootfs.node(Path::new(path)).is_some();
    if is_unwanted || DATABASES.iter().any(has_database) {
        return;
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
    });
    let sum = |path: &Path| match rootfs.node(path).map(|node| &node.content) {
        Some(Content::File(file)) => md5_of(file, view),
        Some(Content::Directory(_) | Content::Symlink(_)) => None,
        None => md5_of(&SourceFile::of(release.clone()?, false), view),
    };
    let made = records(view, &packed(rootfs), added, &sum);
    if made.is_empty() {
        return;
    }
    let reason = |sign: &str| Reason::Need {
        need: PACKAGE_RECORDS,
        object: None,
        sign: sign.to_owned(),
    };
    if let Some(walk) = &release {
        for link in &walk.links {
            let content = Content::Symlink(link.target.clone());
            rootfs.add(&link.at, content, reason("names the distribution"));
        }
        let file = Content::File(SourceFile::of(walk.clone(), false));
        rootfs.add(&walk.real, file, reason("names the distribution"));
    }
    for (path, bytes) in made {
        if !is_excluded(&path, &options.exclude) {
            let file = Content::File(SourceFile::made(bytes));
            rootfs.add(&path, file, reason("packages own files of the image"));
        }
    }
}

/// The files that came out of the source.
fn packed(rootfs: &Rootfs) -> Vec<PackedFile<'_>> {
    let files = rootfs.nodes().filter_map(|(image, node)| {
        let Content::File(file) = &node.content else {
            return None;
        };
        Some(PackedFile {
            source: file.source_path()?,
            image,
            is_changed: file.saved() > 0,
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
