//! Which symbols an object refers to, and how they bind.
//!
//! In: the relocation tables of the dynamic table. Out: the numbers of the symbols, each
//! with the kind of its binding. A symbol that no relocation names is never looked up.

use std::collections::BTreeMap;

use goblin::elf::header::{
    EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_MIPS, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64,
};
use goblin::elf::reloc::Reloc;
use scroll::Pread;
use scroll::ctx::SizeWith;

use super::mapped::bytes_at;
use super::{ElfError, Malformed, Object, context};
use slimpack_vfs::bytes::ReadAt;

/// How a reference binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// Only through the procedure linkage table: on the first call, unless the object
    /// requests immediate binding.
    Lazy,
    /// When the object is loaded.
    Now,
    /// When the program is loaded, by copying a library's variable (copy relocation). A reference
    /// without a definition is skipped.
    Copy,
}

/// A relocation table: address, size in bytes, and whether its entries have addends.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelocationTable {
    pub address: u64,
    pub size: u64,
    pub has_addends: bool,
}

/// The numbers of all symbols that relocations name, with how they bind.
pub(super) fn references(
    object: &Object,
    file: &dyn ReadAt,
) -> Result<BTreeMap<u32, Binding>, ElfError> {
    let mut found = BTreeMap::new();
    let Some(dynamic) = &object.dynamic else {
        return Ok(found);
    };
    // MIPS binds through its global offset table, without relocations.
    if object.header.e_machine == EM_MIPS {
        return Ok(found);
    }
    let context = context(&object.header)?;
    let copy = copy_relocation(object.header.e_machine);
    let tables = &dynamic.tables;
    let data = tables.data_relocations().map(|table| (table, Binding::Now));
    let calls = tables
        .call_relocations()
        .map(|table| (table, Binding::Lazy));
    for (table, binding) in data.chain(calls) {
        if table.size == 0 {
            continue;
        }
        let bytes = bytes_at(file, &object.segments, table.address, table.size)?;
        let Some(bytes) = bytes else {
            return Err(ElfError::malformed(
                &object.header,
                Malformed::RelocationTable,
            ));
        };
        let kind = (table.has_addends, context);
        let size = Reloc::size_with(&kind);
        for entry in bytes.chunks_exact(size) {
            let Ok(entry) = entry.pread_with::<Reloc>(0, kind) else {
                continue;
            };
            if entry.r_sym == 0 {
                continue;
            }
            let binding = match Some(entry.r_type) == copy {
                true => Binding::Copy,
                false => binding,
            };
            let Ok(symbol) = u32::try_from(entry.r_sym) else {
                continue;
            };
            let known = found.entry(symbol).or_insert(binding);
            *known = (*known).max(binding);
        }
    }
    Ok(found)
}

/// The type number of the copy relocation, by which a program takes over a library's variable
/// (`<elf.h>`).
fn copy_relocation(machine: u16) -> Option<u32> {
    match machine {
        EM_386 | EM_X86_64 => Some(5),
        EM_AARCH64 => Some(1024),
        EM_ARM => Some(20),
        EM_RISCV | EM_LOONGARCH => Some(4),
        EM_PPC64 => Some(19),
        EM_S390 => Some(9),
        _ => None,
    }
}
