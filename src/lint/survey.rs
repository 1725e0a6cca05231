//! Everything in a target that can be checked: ELF files, scripts, links.
//!
//! In: the tree of an image, or paths on this machine. Out: lists of these files, with their facts.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::elf::{ElfError, Linkage, Object};
use crate::image::read::{Head, Tree};
use crate::loader::Objects;
use crate::vfs::{NodeKind, View, Walk};

/// Bytes of a script's first line that are read, as in Linux (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;
/// Where separate debug files are: ELF files that are never loaded.
const DEBUG_FILES: &str = "/usr/lib/debug";

/// An ELF program or library.
pub struct ElfFile {
    /// Its path.
    pub path: PathBuf,
    /// The result of walking that path, which crosses no link.
    pub walk: Arc<Walk>,
    /// Its ELF facts.
    pub object: Arc<Object>,
    /// Whether it is the first of its hard links.
    pub is_first_name: bool,
}

impl ElfFile {
    /// Whether it is a program rather than a library.
    pub fn is_program(&self) -> bool {
        self.object.linkage() != Linkage::Library
    }
}

/// A file that begins with `#!`.
pub struct Script {
    /// Its path.
    pub path: PathBuf,
    /// The first line, without the newline.
    pub line: String,
    /// Whether it has an execute bit.
    pub is_executable: bool,
}

/// The files of a target that can be checked.
#[derive(Default)]
pub struct Survey {
    /// Programs and libraries by path. A hard link counts as a separate program, since its
    /// `$ORIGIN` may differ.
    pub elf: Vec<ElfFile>,
    /// Scripts by path.
    pub scripts: Vec<Script>,
    /// Symbolic links by path.
    pub links: Vec<PathBuf>,
    /// Executable ELF files that are damaged, each with the error.
    pub damaged: Vec<(PathBuf, String)>,
    /// Files whose contents cannot be read or were not kept.
    pub unreadable: Vec<PathBuf>,
}

impl Survey {
    /// Surveys a whole tree; `view` is the view of that tree.
    pub fn of_tree(tree: &Tree, view: &View) -> Self {
        let mut survey = Self::default();
        let mut seen = HashSet::new();
        let mut candidates = Vec::new();
        for (path, number, node) in tree.walk() {
            match node.kind() {
                NodeKind::Symlink => survey.links.push(path),
                NodeKind::File if node.size > 0 => {
                    candidates.push((path, node, seen.insert(number)));
                }
                _ => {}
            }
        }
        let heads: Vec<Head> = candidates
            .par_iter()
            .map(|(_, node, _)| node.head())
            .collect();
        let (mut elf, mut modes) = (Vec::new(), Vec::new());
        for ((path, node, is_first_name), head) in candidates.into_iter().zip(heads) {
            match head {
                Head::Elf if !path.starts_with(DEBUG_FILES) => {
                    modes.push(node.mode);
                    elf.push((path, is_first_name));
                }
                Head::Script if is_first_name => {
                    let start = node
                        .open()
                        .ok()
                        .and_then(|file| file.prefix(0, FIRST_LINE).ok());
                    survey.scripts.push(Script {
                        path,
                        line: first_line(&start.unwrap_or_default()),
                        is_executable: node.mode & 0o111 != 0,
                    });
                }
                _ if node.open().is_err() => survey.unreadable.push(path),
                _ => {}
            }
        }
        let faults: Vec<Option<String>> =
            elf.par_iter().map(|(path, _)| fault(view, path)).collect();
        for (((path, is_first_name), mode), fault) in elf.iter().zip(modes).zip(faults) {
            match fault {
                Some(fault) if fault == NOT_KEPT => survey.unreadable.push(path.clone()),
                Some(fault) if mode & 0o111 != 0 && *is_first_name => {
                    survey.damaged.push((path.clone(), fault));
                }
                _ => {}
            }
        }
        survey.elf = elf
            .par_iter()
            .filter_map(|(path, is_first_name)| elf_file(view, path, *is_first_name))
            .collect();
        survey
    }

    /// Surveys the given files of a view.
    pub fn of_files(files: &[PathBuf], view: &View) -> Self {
        Self {
            elf: files
                .par_iter()
                .filter_map(|path| elf_file(view, path, true))
                .collect(),
            ..Self::default()
        }
    }
}

/// The ELF program or library at `path`; `None` for object files, core dumps and files that
/// cannot be parsed.
fn elf_file(view: &View, path: &Path, is_first_name: bool) -> Option<ElfFile> {
    let walk = view.walk(path).ok()?;
    let object = view.facts(&walk).ok()?.ok()?;
    object.is_loadable().then(|| ElfFile {
        path: path.to_path_buf(),
        walk,
        object,
        is_first_name,
    })
}

/// What is wrong with an ELF file that a kernel or loader would refuse.
fn fault(view: &View, path: &Path) -> Option<String> {
    let walk = view.walk(path).ok()?;
    match view.facts(&walk) {
        Err(_) | Ok(Err(ElfError::Unreadable(_))) => Some(NOT_KEPT.to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(_)) => None,
    }
}

/// Marks a file that cannot be read, as opposed to a damaged one.
const NOT_KEPT: &str = "";

fn first_line(start: &[u8]) -> String {
    let line = start
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}
