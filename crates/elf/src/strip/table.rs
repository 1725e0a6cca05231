//! The stripped file: the loaded part unchanged, the other kept sections, and a new section table.
//!
//! In: sections, and which of them are removed. Out: the pieces of the file.

use goblin::elf::section_header::{
    SHF_INFO_LINK, SHT_NOBITS, SHT_NULL, SHT_PROGBITS, SHT_REL, SHT_RELA, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, SectionHeader,
};
use object::elf::{Machine, SectionFlags, SectionType};
use object::endian::Endianness;
use object::write::StringTable;
use object::write::elf::{Encoder, SectionHeader as Written};

use super::LeftAlone;
use super::debug::DebugFile;
use super::pieces::Pieces;
use super::sections::{Sections, is_loaded};
use super::symbols::renumber;
use crate::ElfError;
use slimpack_vfs::bytes::ReadAt;

/// Largest symbol table that is rewritten, in bytes.
const MAX_SYMBOLS: u64 = 256 << 20;
/// The section that points a debugger to the debug file (GDB manual, "Debugging Information in
/// Separate Files").
const DEBUG_LINK: &[u8] = b".gnu_debuglink";

/// A section of the new file.
#[derive(Default)]
struct Section<'a> {
    name: &'a [u8],
    header: SectionHeader,
}

/// Writes the file without the sections that are `removed`.
///
/// # Errors
/// When the file is left alone; the reason.
pub(super) fn write(
    sections: &Sections<'_>,
    file: &dyn ReadAt,
    removed: &[bool],
    link: Option<&DebugFile>,
) -> Result<Pieces, LeftAlone> {
    let encoder = encoder(sections);
    let replaces = |header: &SectionHeader| {
        link.is_some() && !is_loaded(header) && sections.name(header) == DEBUG_LINK
    };
    let last_loaded = sections.headers.iter().rposition(is_loaded);
    let (mut numbers, mut kept): (Vec<Option<u32>>, Vec<Section<'_>>) = Default::default();
    for (at, header) in sections.headers.iter().enumerate() {
        let stays = !removed[at] && !replaces(header);
        numbers.push(stays.then_some(kept.len() as u32));
        if stays {
            kept.push(Section {
                name: sections.name(header),
                header: header.clone(),
            });
        } else if Some(at) < last_loaded {
            // Dynamic symbols hold the numbers of loaded sections: an empty header keeps them.
            kept.push(Section::default());
        }
    }
    let mut body = Pieces::default();
    let start = u64::from(sections.object.header.e_ehsize);
    // Filled in once the header is known.
    body.source(0, start);
    body.source(start, sections.loaded.saturating_sub(start));
    renumber_links(&mut kept, &numbers);
    place(sections, file, &numbers, encoder, &mut kept, &mut body)?;
    if let Some(link) = link {
        body.align(4);
        let content = link.section(sections.context.le.is_little());
        kept.push(Section {
            name: DEBUG_LINK,
            header: SectionHeader {
                sh_type: SHT_PROGBITS,
                sh_offset: body.size(),
                sh_size: content.len() as u64,
                sh_addralign: 4,
                ..SectionHeader::default()
            },
        });
        body.bytes(content);
    }
    let names = numbers[sections.names_number()];
    finish(
        sections,
        file,
        encoder,
        kept,
        names.unwrap_or_default(),
        body,
    )
}

pub(super) fn encoder(sections: &Sections<'_>) -> Encoder<Endianness> {
    let endian = match sections.context.le.is_little() {
        true => Endianness::Little,
        false => Endianness::Big,
    };
    let machine = Machine(sections.object.header.e_machine);
    Encoder::new(endian, sections.context.is_big(), machine)
}

/// Updates section references to the new numbers.
fn renumber_links(kept: &mut [Section<'_>], numbers: &[Option<u32>]) {
    let new = |number: u32| {
        let number = numbers.get(number as usize).copied().flatten();
        number.unwrap_or_default()
    };
    for Section { header, .. } in kept {
        header.sh_link = new(header.sh_link);
        let is_relocations = matches!(header.sh_type, SHT_REL | SHT_RELA);
        if is_relocations || header.sh_flags & u64::from(SHF_INFO_LINK) != 0 {
            header.sh_info = new(header.sh_info);
        }
    }
}

/// Places the sections that are not loaded after the loaded part, in file order.
fn place(
    sections: &Sections<'_>,
    file: &dyn ReadAt,
    numbers: &[Option<u32>],
    encoder: Encoder<Endianness>,
    kept: &mut [Section<'_>],
    body: &mut Pieces,
) -> Result<(), LeftAlone> {
    let names = numbers[sections.names_number()];
    let moves = |(number, section): &(usize, &Section<'_>)| {
        let header = &section.header;
        !is_loaded(header)
            && !matches!(header.sh_type, SHT_NULL | SHT_NOBITS)
            && header.sh_offset >= sections.loaded
            && Some(*number as u32) != names
    };
    let mut order: Vec<usize> = kept
        .iter()
        .enumerate()
        .filter(moves)
        .map(|(n, _)| n)
        .collect();
    order.sort_by_key(|&number| kept[number].header.sh_offset);
    let mut is_shorter = false;
    for number in order {
        let header = &mut kept[number].header;
        body.align(header.sh_addralign);
        let offset = body.size();
        if header.sh_type == SHT_SYMTAB {
            let table = match header.sh_size <= MAX_SYMBOLS {
                true => file.range(header.sh_offset, header.sh_size),
                false => Ok(None),
            };
            let table = table.map_err(|error| LeftAlone::Read(ElfError::from(error)))?;
            let table = table.ok_or(LeftAlone::Misfit)?;
            let symbols = renumber(&table, sections.context, encoder, numbers)?;
            is_shorter |= symbols.is_shorter;
            header.sh_info = symbols.locals;
            header.sh_size = symbols.bytes.len() as u64;
            body.bytes(symbols.bytes);
        } else {
            body.source(header.sh_offset, header.sh_size);
        }
        header.sh_offset = offset;
    }
    let by_number = |section: &Section<'_>| {
        let is_relocations = matches!(section.header.sh_type, SHT_REL | SHT_RELA);
        (is_relocations && !is_loaded(&section.header))
            || section.header.sh_type == SHT_SYMTAB_SHNDX
    };
    match is_shorter && kept.iter().any(by_number) {
        true => Err(LeftAlone::Referred("a relocation table")),
        false => Ok(()),
    }
}

/// Writes the section names, the section table and the header that points to them. The section
/// `names` contains the names.
fn finish(
    sections: &Sections<'_>,
    file: &dyn ReadAt,
    encoder: Encoder<Endianness>,
    mut kept: Vec<Section<'_>>,
    names: u32,
    mut body: Pieces,
) -> Result<Pieces, LeftAlone> {
    let mut strings = StringTable::new();
    let ids: Vec<_> = kept
        .iter()
        .map(|section| (!section.name.is_empty()).then(|| strings.add(section.name)))
        .collect();
    let mut bytes = vec![0];
    strings
        .write(&mut bytes, 1)
        .map_err(|_| LeftAlone::Misfit)?;
    if let Some(section) = kept.get_mut(names as usize) {
        section.header.sh_offset = body.size();
        section.header.sh_size = bytes.len() as u64;
    }
    body.bytes(bytes);
    body.align(if sections.context.is_big() { 8 } else { 4 });
    let table = body.size();
    let mut bytes = Vec::new();
    for (Section { header, .. }, id) in kept.iter().zip(ids) {
        let name = strings.maybe_get_offset(id);
        encoder.section_header(&mut bytes, &written(header, name));
    }
    body.bytes(bytes);
    let header = header(sections, file, table, kept.len(), names)?;
    body.replace_start(header);
    Ok(body)
}

pub(super) fn written(header: &SectionHeader, name: u32) -> Written {
    Written {
        sh_name: name,
        sh_type: SectionType(header.sh_type),
        sh_flags: SectionFlags(header.sh_flags),
        sh_addr: header.sh_addr,
        sh_offset: header.sh_offset,
        sh_size: header.sh_size,
        sh_link: header.sh_link,
        sh_info: header.sh_info,
        sh_addralign: header.sh_addralign,
        sh_entsize: header.sh_entsize,
    }
}

/// The file's own ELF header with another section table.
pub(super) fn header(
    sections: &Sections<'_>,
    file: &dyn ReadAt,
    table: u64,
    count: usize,
    names: u32,
) -> Result<Vec<u8>, LeftAlone> {
    let size = u64::from(sections.object.header.e_ehsize);
    let header = file.range(0, size);
    let header = header.map_err(|error| LeftAlone::Read(ElfError::from(error)))?;
    let mut header = header.ok_or(LeftAlone::Misfit)?;
    let is_little = sections.context.le.is_little();
    let mut put = |at: usize, value: u64, width: usize| {
        let field = header.get_mut(at..at + width).ok_or(LeftAlone::Misfit)?;
        match is_little {
            true => field.copy_from_slice(&value.to_le_bytes()[..width]),
            false => field.copy_from_slice(&value.to_be_bytes()[8 - width..]),
        }
        Ok(())
    };
    // Offsets of e_shoff, e_shnum and e_shstrndx in Elf64_Ehdr and Elf32_Ehdr, elf(5).
    let (offset, width, number, index) = match sections.context.is_big() {
        true => (0x28, 8, 0x3c, 0x3e),
        false => (0x20, 4, 0x30, 0x32),
    };
    put(offset, table, width)?;
    put(number, count as u64, 2)?;
    put(index, u64::from(names), 2)?;
    Ok(header)
}
