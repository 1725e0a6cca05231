//! Stripping what goes into an image.
//!
//! In: the finished tree. Out: the same tree, with programs and libraries reduced to what a loader
//! reads, and the bytes that this saves or would save.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::{Options, PackError};
use crate::bytes::ReadAt;
use crate::elf::Object;
use crate::loader::Objects;
use crate::rootfs::{Content, Rootfs};
use crate::strip::{DebugFile, LeftAlone, Level, Strip, checksum_of, strippable_bytes};
use crate::vfs::{View, Walk};

/// The result of stripping, or an estimate of it.
#[derive(Debug, Default)]
pub struct Stripping {
    /// Files that are smaller in the image than in the source.
    pub files: Vec<StrippedFile>,
    /// Files that stay unchanged despite `--strip`, each with the reason.
    pub left_alone: Vec<(PathBuf, LeftAlone)>,
    /// Without `--strip`, an estimate of the bytes it would save.
    pub could_save: u64,
}

/// A file that is stripped.
#[derive(Debug)]
pub struct StrippedFile {
    /// Its path in the image.
    pub path: PathBuf,
    /// Its location in the source.
    pub walk: Arc<Walk>,
    /// The stripped file.
    pub strip: Arc<Strip>,
    /// The separate debug file, if requested.
    pub debug: Option<DebugFile>,
}

impl Stripping {
    /// Total bytes saved.
    pub fn saved(&self) -> u64 {
        let saved = self.files.iter().map(|file| file.strip.saved());
        saved.fold(0, u64::saturating_add)
    }
}

/// Strips the files of `rootfs`, or estimates what that would save.
///
/// # Errors
/// When a file can no longer be opened.
pub(super) fn strip(
    rootfs: &mut Rootfs,
    source: &View,
    options: &Options,
) -> Result<Stripping, PackError> {
    let mut stripping = Stripping::default();
    let Some(level) = options.strip else {
        if options.wants_hints {
            stripping.could_save = could_save(rootfs, source);
        }
        return Ok(stripping);
    };
    // Hard links stay hard links.
    let mut known = HashMap::new();
    for (path, walk, _) in elf_files(rootfs, source) {
        if known.contains_key(&walk.metadata.id) {
            continue;
        }
        let file = source.open(&walk);
        let file = file.map_err(|errno| PackError::Read(walk.real.clone(), errno))?;
        let checksum = checksum_of(&walk.real).filter(|path| source.walk(path).is_ok());
        let stripped = match checksum {
            Some(checksum) => Err(LeftAlone::Checksum(checksum.display().to_string())),
            None => stripped(file.as_ref(), level, options.wants_debug_files, &path),
        };
        match stripped {
            Ok((strip, debug)) => {
                let strip = Arc::new(strip);
                known.insert(walk.metadata.id, Some(strip.clone()));
                stripping.files.push(StrippedFile {
                    path,
                    walk,
                    strip,
                    debug,
                });
            }
            Err(why) => {
                known.insert(walk.metadata.id, None);
                // Object files count as data here.
                if !matches!(why, LeftAlone::Nothing | LeftAlone::NotLinked) {
                    stripping.left_alone.push((path, why));
                }
            }
        }
    }
    rootfs.replace_files(|file| {
        let strip = known.get(&file.id())?.clone()?;
        Some(file.stripped(strip))
    });
    Ok(stripping)
}

fn stripped(
    file: &dyn ReadAt,
    level: Level,
    wants_debug_file: bool,
    path: &Path,
) -> Result<(Strip, Option<DebugFile>), LeftAlone> {
    let debug = match wants_debug_file {
        true => {
            let name = debug_path(path).file_name().map(OsString::from);
            Some(DebugFile::of(file, level, &name.unwrap_or_default())?)
        }
        false => None,
    };
    Ok((Strip::linked(file, level, debug.as_ref())?, debug))
}

/// The path of an image file's debug file, relative to the directory of all debug files.
pub fn debug_path(path: &Path) -> PathBuf {
    let mut name = path
        .strip_prefix("/")
        .unwrap_or(path)
        .as_os_str()
        .to_owned();
    name.push(".debug");
    PathBuf::from(name)
}

/// The ELF files of a tree, with their location in the source and their facts.
fn elf_files(rootfs: &Rootfs, source: &View) -> Vec<(PathBuf, Arc<Walk>, Arc<Object>)> {
    let nodes = rootfs
        .nodes()
        .filter_map(|(path, node)| match &node.content {
            Content::File(file) => {
                let walk = file.walk()?;
                let object = source.facts(walk).ok()?.ok()?;
                Some((path.to_path_buf(), walk.clone(), object))
            }
            _ => None,
        });
    nodes.collect()
}

fn could_save(rootfs: &Rootfs, source: &View) -> u64 {
    let mut seen = HashMap::new();
    for (_, walk, object) in elf_files(rootfs, source) {
        seen.entry(walk.metadata.id).or_insert_with(|| {
            let file = source.open(&walk);
            file.map_or(0, |file| strippable_bytes(&object, file.as_ref()))
        });
    }
    seen.values()
        .fold(0, |sum, bytes| sum.saturating_add(*bytes))
}
