//! Sections, which loaders ignore.
//!
//! In: the section table. Out: its headers, or the functions of the symbol table. The table may
//! be missing or invalid; the result is empty then.

use std::collections::HashSet;

use goblin::elf::header::Header;
use goblin::elf::section_header::{SHN_UNDEF, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::Sym;
use scroll::Pread;

use super::{ElfError, Object, context};
use slimpack_vfs::bytes::ReadAt;

/// Largest symbol table, and largest table of its names, that is read, in bytes.
const MAX_SYMBOLS: u64 = 8 << 20;
/// Largest table of the names of sections that is read, in bytes.
const MAX_NAMES: u64 = 1 << 20;
/// Longest function name that is kept, in bytes.
const MAX_FUNCTION: usize = 64;

/// The section headers of a file; empty when the table is invalid.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn sections(header: &Header, file: &dyn ReadAt) -> Result<Vec<SectionHeader>, ElfError> {
    let context = context(header)?;
    let size = SectionHeader::size(context);
    if usize::from(header.e_shentsize) != size {
        return Ok(Vec::new());
    }
    let length = u64::from(header.e_shnum) * size as u64;
    let Some(table) = file.range(header.e_shoff, length)? else {
        return Ok(Vec::new());
    };
    let (mut sections, mut offset) = (Vec::new(), 0);
    while let Ok(section) = table.gread_with::<SectionHeader>(&mut offset, context) {
        sections.push(section);
    }
    Ok(sections)
}

impl Object {
    /// The section headers; empty when the table is invalid.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sections(&self, file: &dyn ReadAt) -> Result<Vec<SectionHeader>, ElfError> {
        sections(&self.header, file)
    }

    /// The section of this name; `None` when there is none, or the table is invalid.
    pub fn section(&self, file: &dyn ReadAt, name: &[u8]) -> Option<SectionHeader> {
        let sections = self.sections(file).ok()?;
        let names = sections.get(usize::from(self.header.e_shstrndx))?;
        let names = match names.sh_size <= MAX_NAMES {
            true => file.range(names.sh_offset, names.sh_size).ok()??,
            false => return None,
        };
        let has_name = |section: &&SectionHeader| {
            let rest = names.get(section.sh_name..).unwrap_or_default();
            rest.strip_prefix(name).and_then(|rest| rest.first()) == Some(&0)
        };
        sections.iter().find(has_name).cloned()
    }

    /// The names of the functions that the symbol table (`SHT_SYMTAB`) defines.
    pub fn functions(&self, file: &dyn ReadAt) -> HashSet<String> {
        self.function_names(file).ok().flatten().unwrap_or_default()
    }

    fn function_names(&self, file: &dyn ReadAt) -> Result<Option<HashSet<String>>, ElfError> {
        let context = context(&self.header)?;
        let sections = sections(&self.header, file)?;
        let is_symbols = |section: &&SectionHeader| section.sh_type == SHT_SYMTAB;
        let table = |section: &SectionHeader| match section.sh_size <= MAX_SYMBOLS {
            true => file.range(section.sh_offset, section.sh_size),
            false => Ok(None),
        };
        let Some(symbols) = sections.iter().find(is_symbols) else {
            return Ok(None);
        };
        let Some(strings) = sections.get(symbols.sh_link as usize) else {
            return Ok(None);
        };
        let (Some(symbols), Some(strings)) = (table(symbols)?, table(strings)?) else {
            return Ok(None);
        };
        let (mut names, mut offset) = (HashSet::new(), 0);
        while let Ok(symbol) = symbols.gread_with::<Sym>(&mut offset, context) {
            if !symbol.is_function() || symbol.st_shndx == SHN_UNDEF as usize {
                continue;
            }
            let name = strings.get(symbol.st_name..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            // No library function has a longer name; a hostile table may repeat one text.
            if name.len() <= MAX_FUNCTION
                && let Ok(name) = std::str::from_utf8(name)
            {
                names.insert(name.to_owned());
            }
        }
        Ok(Some(names))
    }
}
