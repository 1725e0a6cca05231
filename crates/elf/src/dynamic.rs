//! The dynamic table: what an object requests from the loader.
//!
//! In: the segment `PT_DYNAMIC` and the string table it points to. Out: needed names in order,
//! search paths and flags. Strings are read one by one: the string table of a large program takes
//! megabytes, and only a few names in it are needed. Of all other tables, only the location is
//! recorded.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use goblin::elf::dynamic::{
    DF_1_NODEFLIB, DF_1_NOW, DF_1_PIE, DF_BIND_NOW, DF_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1,
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_TEXTREL, Dyn,
};
use goblin::elf::header::Header;
use goblin::elf::program_header::ProgramHeader;
use scroll::Pread;

use super::mapped::{Pages, file_range};
use super::tables::Tables;
use super::{ElfError, MAX_NAME, Malformed, context};
use slimpack_vfs::bytes::ReadAt;

/// `DT_AUXILIARY` and `DT_FILTER` (`<elf.h>`); goblin does not name them.
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;

/// Largest dynamic table that is read, in bytes.
const MAX_TABLE: u64 = 16 << 20;
/// Longest search path that is read, in bytes.
const MAX_SEARCH_PATH: u64 = 4 << 20;
/// Maximum number of libraries that one object may name.
const MAX_DEPENDENCIES: usize = 16_384;

/// How an object requests a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DependencyKind {
    /// `DT_NEEDED`.
    Needed,
    /// `DT_AUXILIARY`: its symbols come first; it may be absent.
    Auxiliary,
    /// `DT_FILTER`: its symbols come first; it must be present.
    Filter,
}

/// A library that an object requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The tag of its entry.
    pub kind: DependencyKind,
    /// The name as written in the table.
    pub name: OsString,
}

/// The contents of `PT_DYNAMIC`.
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
    /// Locations of the tables that are read on demand.
    pub(super) tables: Tables,
}

/// Where the texts of a dynamic table start in its string table.
#[derive(Default)]
struct TextOffsets {
    dependencies: Vec<(DependencyKind, u64)>,
    soname: Option<u64>,
    rpath: Option<u64>,
    runpath: Option<u64>,
}

impl Dynamic {
    pub(super) fn read(
        file: &dyn ReadAt,
        header: &Header,
        segments: &[ProgramHeader],
        segment: &ProgramHeader,
    ) -> Result<Option<Self>, ElfError> {
        if segment.p_filesz == 0 {
            return Ok(None);
        }
        let (mut table, texts) = Self::entries(file, header, segments, segment)?;
        let mut pages = Pages::new(file);
        let mut text = |offset, what, limit| -> Result<OsString, ElfError> {
            let malformed = |what| ElfError::malformed(header, what);
            let Some((start, end)) = table.tables.string(segments, offset) else {
                return Err(malformed(match table.tables.strings {
                    Some(_) => Malformed::StringOffset(what),
                    None => Malformed::StringTable,
                }));
            };
            let text = pages.string(start, end, limit)?;
            text.map(OsString::from_vec).ok_or_else(|| {
                malformed(match end - start {
                    available if available < limit => Malformed::StringOffset(what),
                    _ => Malformed::NameTooLong(what),
                })
            })
        };
        let mut dependencies = Vec::with_capacity(texts.dependencies.len());
        for (kind, offset) in texts.dependencies {
            let name = text(offset, kind.tag(), MAX_NAME)?;
            dependencies.push(Dependency { kind, name });
        }
        let mut optional = |offset: Option<u64>, what, limit| {
            offset.map(|offset| text(offset, what, limit)).transpose()
        };
        let soname = optional(texts.soname, "DT_SONAME", MAX_NAME)?;
        let rpath = optional(texts.rpath, "DT_RPATH", MAX_SEARCH_PATH)?;
        let runpath = optional(texts.runpath, "DT_RUNPATH", MAX_SEARCH_PATH)?;
        table.dependencies = dependencies;
        table.soname = soname;
        table.rpath = rpath;
        table.runpath = runpath;
        Ok(Some(table))
    }

    /// The entries of the table: those that stand for themselves, and where the texts of the others
    /// start in `DT_STRTAB`, which may come after them.
    fn entries(
        file: &dyn ReadAt,
        header: &Header,
        segments: &[ProgramHeader],
        segment: &ProgramHeader,
    ) -> Result<(Self, TextOffsets), ElfError> {
        let malformed = |what| ElfError::malformed(header, what);
        let context = context(header)?;
        // The loader reads the table where it is mapped, not at p_offset.
        let offset =
            file_range(segments, segment.p_vaddr).map_or(segment.p_offset, |range| range.0);
        let bytes = (segment.p_filesz <= MAX_TABLE)
            .then(|| file.range(offset, segment.p_filesz))
            .transpose()?
            .flatten()
            .ok_or_else(|| malformed(Malformed::DynamicTable))?;

        let mut table = Self::default();
        let mut texts = TextOffsets::default();
        let mut position = 0;
        // As in the loader, the last entry of a kind counts.
        while let Ok(entry) = bytes.gread_with::<Dyn>(&mut position, context) {
            let value = entry.d_val;
            match entry.d_tag {
                DT_NULL => break,
                DT_NEEDED => texts.dependencies.push((DependencyKind::Needed, value)),
                DT_AUXILIARY => texts.dependencies.push((DependencyKind::Auxiliary, value)),
                DT_FILTER => texts.dependencies.push((DependencyKind::Filter, value)),
                DT_SONAME => texts.soname = Some(value),
                DT_RPATH => texts.rpath = Some(value),
                DT_RUNPATH => texts.runpath = Some(value),
                DT_FLAGS => table.flags |= value,
                DT_FLAGS_1 => table.flags_1 = value,
                DT_BIND_NOW => table.flags |= DF_BIND_NOW,
                DT_TEXTREL => table.flags |= DF_TEXTREL,
                tag => table.tables.note(tag, value),
            }
            if texts.dependencies.len() > MAX_DEPENDENCIES {
                return Err(malformed(Malformed::TooManyDependencies(MAX_DEPENDENCIES)));
            }
        }
        Ok((table, texts))
    }

    /// Whether the object is marked as a position-independent executable.
    pub fn is_pie(&self) -> bool {
        self.flags_1 & DF_1_PIE != 0
    }

    /// Whether all symbols are bound when the object is loaded (`DF_BIND_NOW`, `DF_1_NOW`).
    pub fn binds_now(&self) -> bool {
        self.flags & DF_BIND_NOW != 0 || self.flags_1 & DF_1_NOW != 0
    }

    /// Whether the loader's default directories are not searched for its dependencies.
    pub fn is_nodeflib(&self) -> bool {
        self.flags_1 & DF_1_NODEFLIB != 0
    }

    /// Whether loading the object modifies its code (`DF_TEXTREL`).
    pub fn has_text_relocations(&self) -> bool {
        self.flags & DF_TEXTREL != 0
    }

    pub(super) fn flags(&self) -> Vec<&'static str> {
        [
            (self.is_pie(), "pie"),
            (self.binds_now(), "bind-now"),
            (self.is_nodeflib(), "nodeflib"),
            (self.has_text_relocations(), "textrel"),
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
