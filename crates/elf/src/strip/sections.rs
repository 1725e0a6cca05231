//! Which part of a file is loaded, and which sections can be removed.
//!
//! In: the headers of a file. Out: its sections with their names, and for each whether it is
//! removed. Sections are classified by type and name, as in binutils (`bfd/elf.c`, the names of
//! debug sections) and elfutils (`libebl/eblsectionstripp.c`).

use goblin::container::Ctx;
use goblin::elf::header::{ET_DYN, ET_EXEC};
use goblin::elf::section_header::{
    SHF_ALLOC, SHT_GROUP, SHT_NOBITS, SHT_NULL, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, SectionHeader,
};

use super::{LeftAlone, Level};
use crate::{ElfError, Object};
use slimpack_vfs::bytes::ReadAt;

/// Largest table of section names that is read, in bytes.
const MAX_NAMES: u64 = 16 << 20;
/// Longest section name, in bytes.
const MAX_NAME: usize = 1024;
/// Bytes read at a time.
const CHUNK: u64 = 64 << 10;
/// Maximum number of zero bytes at the end of a file that count as padding: patchelf leaves them.
const PADDING: u64 = 16;

/// Name prefixes of debug sections. `.gnu_debugaltlink` points to another file of them.
const DEBUG: [&[u8]; 8] = [
    b".debug",
    b".zdebug",
    b".gnu.debuglto_",
    b".gnu.linkonce.wi.",
    b".line",
    b".stab",
    b".gdb_index",
    b".gnu_debugaltlink",
];
/// Sections that a program reads from its own file, or that sign the file.
const SPECIAL: [&[u8]; 7] = [
    b"pydata",
    b".upd_info",
    b".sha256_sig",
    b".sig_key",
    b".sig",
    b".signature",
    b".SUNW_signature",
];

/// The sections of a file.
pub(super) struct Sections<'o> {
    pub object: &'o Object,
    pub context: Ctx,
    pub headers: Vec<SectionHeader>,
    names: Vec<u8>,
    /// End of the loaded part, as a file offset: what follows may move.
    pub loaded: u64,
}

impl<'o> Sections<'o> {
    pub fn read(object: &'o Object, file: &dyn ReadAt) -> Result<Self, LeftAlone> {
        if !matches!(object.header.e_type, ET_EXEC | ET_DYN) {
            return Err(LeftAlone::NotLinked);
        }
        let context = object.context().map_err(LeftAlone::Read)?;
        let headers = object.sections(file).map_err(LeftAlone::Read)?;
        let names = names(object, &headers, file)?;
        let mut sections = Self {
            loaded: loaded(object).ok_or(LeftAlone::Misfit)?,
            object,
            context,
            headers,
            names,
        };
        for header in &sections.headers {
            // Each name is read; without this, an unterminated table would be scanned once for
            // each.
            let name = sections.names.get(header.sh_name..).unwrap_or_default();
            let name = name.get(..MAX_NAME).unwrap_or(name);
            if name.len() == MAX_NAME && !name.contains(&0) {
                return Err(LeftAlone::Misfit);
            }
            let end = end(header).filter(|end| *end <= file.size());
            let end = end.ok_or(LeftAlone::Misfit)?;
            if is_loaded(header) {
                sections.loaded = sections.loaded.max(end);
            }
        }
        match sections.loaded <= file.size() {
            true => Ok(sections),
            false => Err(LeftAlone::Misfit),
        }
    }

    /// The sections, and for each whether it is removed.
    ///
    /// # Errors
    /// When the file is left alone; the reason.
    pub fn to_strip(
        object: &'o Object,
        file: &dyn ReadAt,
        level: Level,
    ) -> Result<(Self, Vec<bool>), LeftAlone> {
        let sections = Self::read(object, file)?;
        let removed = sections.removed(level);
        if !removed.contains(&true) {
            return Err(LeftAlone::Nothing);
        }
        sections.check(file)?;
        // A file has one symbol table (System V ABI, "Sections"), and it is rewritten.
        let symbols = sections.headers.iter().zip(&removed);
        let symbols = symbols.filter(|(header, gone)| !**gone && header.sh_type == SHT_SYMTAB);
        if symbols.count() > 1 {
            return Err(LeftAlone::Misfit);
        }
        let shares_names = |(header, gone): (&SectionHeader, &bool)| {
            !gone
                && header.sh_type == SHT_SYMTAB
                && header.sh_link as usize == sections.names_number()
        };
        match sections.headers.iter().zip(&removed).any(shares_names) {
            // Section names are rewritten; symbol names in the same table would be lost.
            true => Err(LeftAlone::Referred("a symbol table")),
            false => Ok((sections, removed)),
        }
    }

    /// The number of the section name table (`e_shstrndx`).
    pub fn names_number(&self) -> usize {
        usize::from(self.object.header.e_shstrndx)
    }

    /// The name of a section.
    pub fn name(&self, header: &SectionHeader) -> &[u8] {
        let rest = self.names.get(header.sh_name..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// For each section, whether it is removed.
    pub fn removed(&self, level: Level) -> Vec<bool> {
        let goes = |header: &SectionHeader| {
            let is_symbols = header.sh_type == SHT_SYMTAB && level == Level::All;
            let is_debug = DEBUG.iter().any(|name| self.name(header).starts_with(name));
            !is_loaded(header) && header.sh_type != SHT_NULL && (is_symbols || is_debug)
        };
        let mut removed: Vec<bool> = self.headers.iter().map(goes).collect();
        let names = self.names_number();
        // Kept whatever its name: it contains the names of the others.
        if let Some(names) = removed.get_mut(names) {
            *names = false;
        }
        let only_by_removed = self.used_only_by(&removed);
        for (number, header) in self.headers.iter().enumerate() {
            if is_loaded(header) || removed[number] || number == names {
                continue;
            }
            let goes = |section: u32| removed.get(section as usize) == Some(&true);
            let follows = match header.sh_type {
                SHT_REL | SHT_RELA => goes(header.sh_link) || goes(header.sh_info),
                SHT_GROUP | SHT_SYMTAB_SHNDX => goes(header.sh_link),
                // The string table of a symbol table is removed with it, if nothing else uses it.
                SHT_STRTAB => only_by_removed[number],
                _ => false,
            };
            removed[number] = follows;
        }
        removed
    }

    /// For each section, whether others link to it and all of them are removed.
    fn used_only_by(&self, removed: &[bool]) -> Vec<bool> {
        let (mut used, mut stays) = (vec![false; removed.len()], vec![false; removed.len()]);
        for (header, gone) in self.headers.iter().zip(removed) {
            let linked = header.sh_link as usize;
            if linked < removed.len() {
                used[linked] = true;
                stays[linked] |= !gone;
            }
        }
        used.iter()
            .zip(stays)
            .map(|(used, stays)| *used && !stays)
            .collect()
    }

    /// Whether something that is removed is before the end of the loaded part.
    pub fn encloses(&self, removed: &[bool]) -> bool {
        let mut all = self.headers.iter().zip(removed);
        all.any(|(header, gone)| *gone && header.sh_offset < self.loaded)
    }

    /// Total size of the removed sections in bytes.
    pub fn removed_bytes(&self, removed: &[bool]) -> u64 {
        let all = self.headers.iter().zip(removed);
        let gone = all.filter(|(header, gone)| **gone && header.sh_type != SHT_NOBITS);
        gone.fold(0, |sum, (header, _)| sum.saturating_add(header.sh_size))
    }

    /// Checks that the file can be reassembled without what is removed.
    fn check(&self, file: &dyn ReadAt) -> Result<(), LeftAlone> {
        for header in &self.headers {
            let name = self.name(header);
            if !is_loaded(header) && SPECIAL.contains(&name) {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(LeftAlone::Special(name));
            }
        }
        self.check_rest(file)
    }

    /// Checks that every byte after the loaded part belongs to a section or to the section table.
    fn check_rest(&self, file: &dyn ReadAt) -> Result<(), LeftAlone> {
        let header = &self.object.header;
        let table = u64::from(header.e_shnum) * u64::from(header.e_shentsize);
        let mut known: Vec<(u64, u64)> = self
            .headers
            .iter()
            .filter(|header| !matches!(header.sh_type, SHT_NOBITS | SHT_NULL))
            .filter_map(|header| Some((header.sh_offset, end(header)?)))
            .chain([(header.e_shoff, header.e_shoff.saturating_add(table))])
            .collect();
        known.sort_unstable();
        let mut position = self.loaded;
        for (start, end) in known {
            if start > position
                && let Some(at) = nonzero(file, position, start)?
            {
                return Err(LeftAlone::Unnamed(at));
            }
            position = position.max(end);
        }
        let rest = file.size().saturating_sub(position);
        if rest > PADDING || nonzero(file, position, file.size())?.is_some() {
            return Err(LeftAlone::Appended(rest));
        }
        Ok(())
    }
}

/// Whether a section is part of the running program.
pub(super) fn is_loaded(header: &SectionHeader) -> bool {
    header.sh_flags & u64::from(SHF_ALLOC) != 0
}

/// End of a section in the file; `None` on overflow.
fn end(header: &SectionHeader) -> Option<u64> {
    match header.sh_type {
        SHT_NOBITS | SHT_NULL => Some(0),
        _ => header.sh_offset.checked_add(header.sh_size),
    }
}

/// End of the last segment and of the program headers, as a file offset.
fn loaded(object: &Object) -> Option<u64> {
    let header = &object.header;
    let table = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    let mut end = u64::from(header.e_ehsize).max(header.e_phoff.checked_add(table)?);
    for segment in &object.segments {
        end = end.max(segment.p_offset.checked_add(segment.p_filesz)?);
    }
    Some(end)
}

fn names(
    object: &Object,
    headers: &[SectionHeader],
    file: &dyn ReadAt,
) -> Result<Vec<u8>, LeftAlone> {
    let table = headers
        .get(usize::from(object.header.e_shstrndx))
        .filter(|table| table.sh_type == SHT_STRTAB && !is_loaded(table))
        .filter(|table| table.sh_size <= MAX_NAMES)
        .ok_or(LeftAlone::Misfit)?;
    let names = file.range(table.sh_offset, table.sh_size);
    names
        .map_err(|error| LeftAlone::Read(ElfError::from(error)))?
        .ok_or(LeftAlone::Misfit)
}

/// Offset of the first nonzero byte of a range.
fn nonzero(file: &dyn ReadAt, start: u64, end: u64) -> Result<Option<u64>, LeftAlone> {
    let mut position = start;
    while position < end {
        let read = file.prefix(position, CHUNK.min(end - position));
        let bytes = read.map_err(|error| LeftAlone::Read(ElfError::from(error)))?;
        if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
            return Ok(Some(position + at as u64));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        position += bytes.len() as u64;
    }
    Ok(None)
}
