//! Stripping what goes into an image.
//!
//! In: the finished tree. Out: the same tree, whose programs and libraries are read without
//! what no loader reads, and what that saves or would save.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::{Options, PackError};
use crate::bytes::ReadAt;
use crate::elf::Object;
use crate::rootfs::{Content, Rootfs};
use crate::strip::{DebugFile, LeftAlone, Level, Strip, checksum_of, strippable_bytes};
use crate::vfs::{View, Walk};

/// What stripping did, or could do.
#[derive(Debug, Default)]
pub struct Stripping {
    /// Files that are smaller in the image than in the source.
    pub files: Vec<StrippedFile>,
    /// Files that stay as they are, though `--strip` was said, and why.
    pub left_alone: Vec<(PathBuf, LeftAlone)>,
    /// Without `--strip`, about how many bytes it would save.
    pub could_save: u64,
}

/// A file that is stripped.
#[derive(Debug)]
pub struct StrippedFile {
    /// Its path in the image.
    pub path: PathBuf,
    /// Where it stands in the source.
    pub walk: Arc<Walk>,
    /// How it is stripped.
    pub strip: Arc<Strip>,
    /// What holds what it lacks, if that was asked for.
    pub debug: Option<DebugFile>,
}

impl Stripping {
    /// Bytes that are saved.
    pub fn saved(&self) -> u64 {
        let saved = self.files.iter().map(|file| file.strip.saved());
        saved.fold(0, u64::saturating_add)
    }
}

/// Strips the files of `rootfs`, or works out what that would save.
///
/// # Errors
/// When a file cannot be opened any more.
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
    // Two paths of one file stay one file.
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
                // Object files are data here.
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

/// Where the debug file of a path of the image goes, relative to the folder of all.
pub fn debug_path(path: &Path) -> PathBuf {
    let mut name = path
        .strip_prefix("/")
        .unwrap_or(path)
        .as_os_str()
        .to_owned();
    name.push(".debug");
    PathBuf::from(name)
}

/// The programs and libraries of a tree, with what the store knows of them.
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
