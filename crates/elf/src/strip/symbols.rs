//! Rewrites the symbol table of a file whose sections are renumbered.
//!
//! In: a symbol table (elf(5), `Elf64_Sym`) and the new numbers. Out: the table without the
//! section symbols of removed sections.

use goblin::container::Ctx;
use goblin::elf::section_header::SHN_LORESERVE;
use goblin::elf::sym::{STB_LOCAL, Sym};
use object::elf::{SymbolInfo, SymbolOther, SymbolSection};
use object::endian::Endianness;
use object::write::elf::{Encoder, Sym as Written};
use scroll::Pread;

use super::LeftAlone;

/// A rewritten symbol table.
pub(super) struct Renumbered {
    pub bytes: Vec<u8>,
    /// Number of local symbols, which come first (`sh_info`).
    pub locals: u32,
    /// Whether symbols were removed, so that the others have new indices.
    pub is_shorter: bool,
}

/// Gives every symbol of `table` the new number of its section: `numbers` has `None` for
/// removed sections.
///
/// # Errors
/// When a symbol that others may refer to is in a removed section.
pub(super) fn renumber(
    table: &[u8],
    context: Ctx,
    encoder: Encoder<Endianness>,
    numbers: &[Option<u32>],
) -> Result<Renumbered, LeftAlone> {
    let mut renumbered = Renumbered {
        bytes: Vec::with_capacity(table.len()),
        locals: 0,
        is_shorter: false,
    };
    let mut offset = 0;
    while let Ok(symbol) = table.gread_with::<Sym>(&mut offset, context) {
        let section = match u32::try_from(symbol.st_shndx) {
            Ok(special) if special == 0 || special >= SHN_LORESERVE => special,
            _ => match numbers.get(symbol.st_shndx) {
                Some(Some(number)) => *number,
                Some(None) if symbol.st_bind() == STB_LOCAL => {
                    renumbered.is_shorter = true;
                    continue;
                }
                Some(None) => return Err(LeftAlone::Referred("a global symbol")),
                None => return Err(LeftAlone::Misfit),
            },
        };
        renumbered.locals += u32::from(symbol.st_bind() == STB_LOCAL);
        encoder.symbol(
            &mut renumbered.bytes,
            &Written {
                section: None,
                st_name: u32::try_from(symbol.st_name).unwrap_or_default(),
                st_info: SymbolInfo(symbol.st_info),
                st_other: SymbolOther(symbol.st_other),
                st_shndx: SymbolSection(u16::try_from(section).unwrap_or_default()),
                st_value: symbol.st_value,
                st_size: symbol.st_size,
            },
        );
    }
    Ok(renumbered)
}
