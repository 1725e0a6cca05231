//! The dynamic table: what an object asks of the loader.
//!
//! In: the segment `PT_DYNAMIC` and the string table it points to. Out: needed
//! names in order, search paths and flags. Strings are read one by one: the table
//! of a large program is megabytes, the few names are in it somewhere.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use goblin::elf::dynamic::{
    DF_1_NODEFLIB, DF_1_NOW, DF_1_PIE, DF_BIND_NOW, DF_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1,
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_TEXTREL, Dyn,
};
use goblin::elf::header::Header;
use goblin::elf::program_header::{PT_LOAD, ProgramHeader};
use scroll::Pread;

use super::{ElfError, MAX_NAME, Malformed, context};
use crate::bytes::ReadAt;

/// `DT_AUXILIARY` and `DT_FILTER` (`<elf.h>`); goblin does not name them.
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;

/// Largest dynamic table that is read, in bytes.
const MAX_TABLE: u64 = 16 << 20;
/// Longest search path that is read, in bytes.
const MAX_SEARCH_PATH: u64 = 16 << 20;
/// Most libraries that one object may name.
const MAX_DEPENDENCIES: usize = 16_384;
/// Bytes read at a time while looking for the end of a string.
const WINDOW: u64 = 512;

/// In which way an object asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DependencyKind {
    /// `DT_NEEDED`.
    Needed,
    /// `DT_AUXILIARY`: its symbols come first; it may be absent.
    Auxiliary,
    /// `DT_FILTER`: its symbols come first; it must be there.
    Filter,
}

/// A library that an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// In which way.
    pub kind: DependencyKind,
    /// The name as it is written.
    pub name: OsString,
}

/// What `PT_DYNAMIC` says.
#[derive(Clone, Debug, Default)]
pub struct Dynamic {
    /// `DT_NEEDED`, `DT_AUXILIARY` and `DT_FILTER`, in order.
    pub dependencies: Vec<Dependency>,
    /// `DT_SONAME`.
    pub soname: Option<OsString>,
    /// `DT_RPATH`, even when `DT_RUNPATH` makes the loader ignore it.
    pub rpath: Option<OsString>,
    /// `DT_RUNPATH`.
    pub runpath: Option<OsString>,
    /// `DT_FLAGS`, with `DT_BIND_NOW` and `DT_TEXTREL` folded in.
    pub flags: u64,
    /// `DT_FLAGS_1`.
    pub flags_1: u64,
}

impl Dynamic {
    pub(super) fn read(
        file: &dyn ReadAt,
        header: &Header,
        segments: &[ProgramHeader],
        segment: &ProgramHeader,
    ) -> Result<Option<Self>, ElfError> {
        let malformed = |what| ElfError::malformed(header, what);
        let context = context(header)?;
        if segment.p_filesz == 0 {
            return Ok(None);
        }
        // The loader reads the table where it is mapped, not at p_offset.
        let offset = file_offset(segments, segment.p_vaddr).unwrap_or(segment.p_offset);
        let bytes = (segment.p_filesz <= MAX_TABLE)
            .then(|| file.range(offset, segment.p_filesz))
            .transpose()?
            .flatten()
            .ok_or_else(|| malformed(Malformed::DynamicTable))?;

        let mut table = Self::default();
        let mut strings = StringTable::default();
        let mut names = Vec::new();
        let (mut soname, mut rpath, mut runpath) = (None, None, None);
        let mut position = 0;
        // As in the loader, the last entry of a kind counts.
        while let Ok(entry) = bytes.gread_with::<Dyn>(&mut position, context) {
            let value = entry.d_val;
            match entry.d_tag {
                DT_NULL => break,
                DT_STRTAB => strings.address = Some(value),
                DT_STRSZ => strings.size = value,
                DT_NEEDED => names.push((DependencyKind::Needed, value)),
                DT_AUXILIARY => names.push((DependencyKind::Auxiliary, value)),
                DT_FILTER => names.push((DependencyKind::Filter, value)),
                DT_SONAME => soname = Some(value),
                DT_RPATH => rpath = Some(value),
                DT_RUNPATH => runpath = Some(value),
                DT_FLAGS => table.flags |= value,
                DT_FLAGS_1 => table.flags_1 = value,
                DT_BIND_NOW => table.flags |= DF_BIND_NOW,
                DT_TEXTREL => table.flags |= DF_TEXTREL,
                _ => {}
            }
            if names.len() > MAX_DEPENDENCIES {
                return Err(malformed(Malformed::TooManyDependencies(MAX_DEPENDENCIES)));
            }
        }

        let text = |offset, what, limit| {
            strings
                .read(file, segments, offset, limit)?
                .map_err(|fault| {
                    malformed(match fault {
                        Fault::NoTable => Malformed::StringTable,
                        Fault::Outside => Malformed::StringOffset(what),
                        Fault::TooLong => Malformed::NameTooLong(what),
                    })
                })
        };
        for (kind, offset) in names {
            table.dependencies.push(Dependency {
                kind,
                name: text(offset, kind.tag(), MAX_NAME)?,
            });
        }
        let optional = |offset: Option<u64>, what, limit| {
            offset.map(|offset| text(offset, what, limit)).transpose()
        };
        table.soname = optional(soname, "DT_SONAME", MAX_NAME)?;
        table.rpath = optional(rpath, "DT_RPATH", MAX_SEARCH_PATH)?;
        table.runpath = optional(runpath, "DT_RUNPATH", MAX_SEARCH_PATH)?;
        Ok(Some(table))
    }

    /// Whether the object is marked as a position-independent executable.
    pub fn is_pie(&self) -> bool {
        self.flags_1 & DF_1_PIE != 0
    }

    /// Whether the loader's default folders are closed to its dependencies.
    pub fn is_nodeflib(&self) -> bool {
        self.flags_1 & DF_1_NODEFLIB != 0
    }

    pub(super) fn flags(&self) -> Vec<&'static str> {
        let now = self.flags & DF_BIND_NOW != 0 || self.flags_1 & DF_1_NOW != 0;
        [
            (self.is_pie(), "pie"),
            (now, "bind-now"),
            (self.is_nodeflib(), "nodeflib"),
            (self.flags & DF_TEXTREL != 0, "textrel"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect()
    }
}

impl DependencyKind {
    /// The name of the tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Needed => "DT_NEEDED",
            Self::Auxiliary => "DT_AUXILIARY",
            Self::Filter => "DT_FILTER",
        }
    }
}

/// The file offset of a mapped address.
fn file_offset(segments: &[ProgramHeader], address: u64) -> Option<u64> {
    segments
        .iter()
        .filter(|s| s.p_type == PT_LOAD)
        .find_map(|s| {
            let inside = address.checked_sub(s.p_vaddr)?;
            (inside < s.p_filesz).then(|| s.p_offset.checked_add(inside))?
        })
}

#[derive(Default)]
struct StringTable {
    address: Option<u64>,
    size: u64,
}

enum Fault {
    NoTable,
    Outside,
    TooLong,
}

impl StringTable {
    /// The NUL-terminated string at `offset`, at most `limit` bytes with its NUL.
    fn read(
        &self,
        file: &dyn ReadAt,
        segments: &[ProgramHeader],
        offset: u64,
        limit: u64,
    ) -> Result<Result<OsString, Fault>, ElfError> {
        let Some(table) = self.address.and_then(|at| file_offset(segments, at)) else {
            return Ok(Err(Fault::NoTable));
        };
        if offset >= self.size {
            return Ok(Err(Fault::Outside));
        }
        let available = self.size - offset;
        let Some(start) = table.checked_add(offset) else {
            return Ok(Err(Fault::Outside));
        };
        let mut text = Vec::new();
        let mut window = WINDOW;
        while (text.len() as u64) < available.min(limit) {
            let done = text.len() as u64;
            let part = file.prefix(start + done, window.min(available - done))?;
            if let Some(end) = part.iter().position(|&b| b == 0) {
                text.extend_from_slice(&part[..end]);
                return Ok(if (text.len() as u64) < limit {
                    Ok(OsString::from_vec(text))
                } else {
                    Err(Fault::TooLong)
                });
            }
            if part.is_empty() {
                break;
            }
            text.extend_from_slice(&part);
            window *= 2;
        }
        Ok(Err(if text.len() as u64 >= limit {
            Fault::TooLong
        } else {
            Fault::Outside
        }))
    }
}
