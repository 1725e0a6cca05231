//! Locations of the tables that the dynamic table points to.
//!
//! In: tags and their values. Out: addresses and sizes, to be read when symbols or versions are
//! requested.

use goblin::elf::dynamic::{
    DT_GNU_HASH, DT_HASH, DT_JMPREL, DT_PLTREL, DT_PLTRELSZ, DT_REL, DT_RELA, DT_RELASZ, DT_RELSZ,
    DT_STRSZ, DT_STRTAB, DT_SYMTAB, DT_VERDEF, DT_VERNEED, DT_VERSYM,
};
use goblin::elf::program_header::ProgramHeader;

use super::mapped::file_range;
use super::relocations::RelocationTable;

/// Virtual addresses of the tables, and sizes in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub strings: Option<u64>,
    pub strings_size: u64,
    pub symbols: Option<u64>,
    pub hash: Option<u64>,
    pub gnu_hash: Option<u64>,
    pub symbol_versions: Option<u64>,
    pub version_needs: Option<u64>,
    pub version_definitions: Option<u64>,
    rela: TableLocation,
    rel: TableLocation,
    calls: TableLocation,
    calls_kind: u64,
    /// Whether there are relative relocations in the packed form.
    pub is_packed: bool,
}

/// `DT_RELR`: the address of packed relative relocations (the generic ABI of 2022).
const DT_RELR: u64 = 36;

#[derive(Clone, Copy, Debug, Default)]
struct TableLocation {
    address: Option<u64>,
    size: u64,
}

impl TableLocation {
    fn table(self, has_addends: bool) -> Option<RelocationTable> {
        Some(RelocationTable {
            address: self.address?,
            size: self.size,
            has_addends,
        })
    }
}

impl Tables {
    /// Records one entry of the dynamic table; tags that do not point to a table are ignored.
    pub fn note(&mut self, tag: u64, value: u64) {
        match tag {
            DT_STRTAB => self.strings = Some(value),
            DT_STRSZ => self.strings_size = value,
            DT_SYMTAB => self.symbols = Some(value),
            DT_HASH => self.hash = Some(value),
            DT_GNU_HASH => self.gnu_hash = Some(value),
            DT_VERSYM => self.symbol_versions = Some(value),
            DT_VERNEED => self.version_needs = Some(value),
            DT_VERDEF => self.version_definitions = Some(value),
            DT_RELA => self.rela.address = Some(value),
            DT_RELASZ => self.rela.size = value,
            DT_REL => self.rel.address = Some(value),
            DT_RELSZ => self.rel.size = value,
            DT_JMPREL => self.calls.address = Some(value),
            DT_PLTRELSZ => self.calls.size = value,
            DT_PLTREL => self.calls_kind = value,
            DT_RELR => self.is_packed = true,
            _ => {}
        }
    }

    /// Relocations applied when the object is loaded.
    pub fn data_relocations(&self) -> impl Iterator<Item = RelocationTable> {
        [self.rela.table(true), self.rel.table(false)]
            .into_iter()
            .flatten()
    }

    /// Relocations of the procedure linkage table.
    pub fn call_relocations(&self) -> Option<RelocationTable> {
        self.calls.table(self.calls_kind == DT_RELA)
    }

    /// Where in the file the string at `offset` begins, and where the string table ends.
    pub fn string(&self, segments: &[ProgramHeader], offset: u64) -> Option<(u64, u64)> {
        if offset >= self.strings_size {
            return None;
        }
        let (start, end) = file_range(segments, self.strings?)?;
        let table_end = start.checked_add(self.strings_size)?.min(end);
        let at = start.checked_add(offset)?;
        (at < table_end).then_some((at, table_end))
    }
}
