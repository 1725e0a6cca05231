//! Stripping: removes what no loader reads.
//!
//! In: ranged reads of one ELF file. Out: a [`Strip`], which describes how the smaller file is
//! assembled from its bytes, or why the file is better left alone. What is loaded is copied
//! unchanged, except for the three header fields that point to the section table (`e_shoff`,
//! `e_shnum`, `e_shstrndx`; elf(5)). No file is read whole.

mod debug;
mod pieces;
mod sections;
mod symbols;
mod table;

pub use debug::DebugFile;
pub use pieces::{Assembled, Pieces};

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::{ElfError, Object};
use sections::Sections;
use slimpack_vfs::bytes::ReadAt;

/// Largest file that is stripped, in bytes: a section may claim any size, and a sparse file may
/// have it.
pub(crate) const LARGEST: u64 = 16 << 30;

/// How much is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Debug information.
    Debug,
    /// The symbol table too, like `strip --strip-all`.
    All,
}

impl Level {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::All => "all",
        }
    }

    /// Parses a level.
    ///
    /// # Errors
    /// When the word is not a level; the message names the valid ones.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word {
            "debug" => Ok(Self::Debug),
            "all" => Ok(Self::All),
            _ => Err("expected debug or all".to_owned()),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a file is not stripped.
#[derive(Clone, Debug, Error)]
pub enum LeftAlone {
    /// It is larger than any program.
    #[error("it is larger than 16 GiB")]
    TooLarge,
    /// It would not get smaller.
    #[error("there is nothing to strip")]
    Nothing,
    /// It is an object file or a core dump.
    #[error("it is neither a program nor a shared library")]
    NotLinked,
    /// It has no section table, or one that does not match the file.
    #[error("it has no valid section table")]
    Misfit,
    /// Bytes that no header names: self-extracting archives, AppImages, PyInstaller's and Bun's
    /// programs read them from the end of their own file.
    #[error("{0} bytes at its end belong to no section; it may read them from its own file")]
    Appended(u64),
    /// The offset of such bytes before the end of the file.
    #[error("it has bytes at {0:#x} that belong to no section")]
    Unnamed(u64),
    /// A section that holds the program's own archive or a signature of the file.
    #[error("its section {0} is read from the file, or is a signature of it")]
    Special(String),
    /// A file next to it holds a checksum of it.
    #[error("{0} holds a checksum of it")]
    Checksum(String),
    /// patchelf puts new segments after the sections.
    #[error("what could be removed is between its segments, which would have to move")]
    Enclosed,
    /// Something that is kept refers to something that would be removed.
    #[error("{0} refers to what would be removed")]
    Referred(&'static str),
    /// It cannot be read.
    #[error("{0}")]
    Read(ElfError),
}

/// About how many bytes [`Strip::of`] would remove from `object`, read from `file`, at
/// [`Level::All`]; estimated from the section table alone.
pub fn strippable_bytes(object: &Object, file: &dyn ReadAt) -> u64 {
    let Ok(sections) = Sections::read(object, file) else {
        return 0;
    };
    let bytes = sections.removed_bytes(&sections.removed(Level::All));
    bytes.min(file.size().saturating_sub(sections.loaded))
}

/// Where a checksum of the file at `path` would be: FIPS modules use one to verify themselves
/// (`.libcrypto.so.3.hmac`).
pub fn checksum_of(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".hmac");
    Some(path.with_file_name(name))
}

/// The sections of `object`, read from `file`, and their sizes in bytes. Sections with the same
/// name are added up; a file without a valid section table has none.
pub fn section_sizes(object: &Object, file: &dyn ReadAt) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    if let Ok(sections) = Sections::read(object, file) {
        for header in sections.headers.iter().skip(1) {
            let name = String::from_utf8_lossy(sections.name(header)).into_owned();
            let size: &mut u64 = sizes.entry(name).or_default();
            *size = size.saturating_add(header.sh_size);
        }
    }
    sizes
}

/// A stripped file, not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    pieces: Arc<Pieces>,
    before: u64,
}

impl Strip {
    /// Works out how to strip `file`.
    ///
    /// # Errors
    /// Why it is left alone.
    pub fn of(file: &dyn ReadAt, level: Level) -> Result<Self, LeftAlone> {
        Self::linked(file, level, None)
    }

    /// The same, with a section `.gnu_debuglink` that points to the debug file.
    ///
    /// # Errors
    /// Why it is left alone.
    pub fn linked(
        file: &dyn ReadAt,
        level: Level,
        link: Option<&DebugFile>,
    ) -> Result<Self, LeftAlone> {
        if file.size() > LARGEST {
            return Err(LeftAlone::TooLarge);
        }
        let object = Object::read(file).map_err(LeftAlone::Read)?;
        let (sections, removed) = Sections::to_strip(&object, file, level)?;
        let pieces = table::write(&sections, file, &removed, link)?;
        let before = file.size();
        match pieces.size() < before {
            false if sections.encloses(&removed) => Err(LeftAlone::Enclosed),
            true => Ok(Self {
                pieces: Arc::new(pieces),
                before,
            }),
            false => Err(LeftAlone::Nothing),
        }
    }

    /// Size of the original file in bytes.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Size of the stripped file in bytes.
    pub fn after(&self) -> u64 {
        self.pieces.size()
    }

    /// How many bytes it saves.
    pub fn saved(&self) -> u64 {
        self.before.saturating_sub(self.after())
    }

    /// The pieces it is assembled from.
    pub fn pieces(&self) -> &Arc<Pieces> {
        &self.pieces
    }
}
