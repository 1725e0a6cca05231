//! The dynamic symbols of one object: what it refers to and what it defines.
//!
//! In: symbol, string, version and hash tables. Out: references to look up elsewhere
//! ([`References`]), and a table to look them up in ([`Definitions`]). Source: glibc
//! `elf/dl-lookup.c`; the hash tables as in the System V ABI and `elf/dl-addr-obj`'s GNU form.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use goblin::container::Ctx;
use goblin::elf::sym::{STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_TLS, STV_DEFAULT, STV_PROTECTED, Sym};
use scroll::Pread;
use scroll::ctx::SizeWith;

use super::mapped::{Pages, bytes_at, file_range};
use super::relocations::{Binding, references};
use super::versions::Versions;
use super::{ElfError, Malformed, Object, context};
use slimpack_vfs::bytes::ReadAt;

/// Longest symbol name that is read, in bytes. C++ template names are long.
const MAX_SYMBOL: u64 = 1 << 20;
/// Maximum number of bytes of names that one object may refer to: many symbols may share one long
/// name.
const MAX_NAMES: usize = 256 << 20;
/// `STB_GNU_UNIQUE`.
const STB_GNU_UNIQUE: u8 = 10;
/// `SHN_ABS`.
const SHN_ABS: usize = 0xfff1;
/// The version index without the bit that hides a definition.
const INDEX: u16 = 0x7fff;

/// A symbol that an object refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The symbol's name.
    pub name: OsString,
    /// The requested version.
    pub version: Option<OsString>,
    /// Whether the object runs even if nothing defines it.
    pub is_weak: bool,
    /// When it is looked up.
    pub binding: Binding,
    gnu_hash: u32,
}

/// All symbols that an object looks up when it runs.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// In the order of the symbol table.
    pub symbols: Vec<Reference>,
}

impl References {
    /// Reads what `object` refers to.
    ///
    /// # Errors
    /// When a table is outside the file, or a relocation references a symbol that is not
    /// in the table.
    pub fn read(object: &Object, file: &dyn ReadAt, versions: &Versions) -> Result<Self, ElfError> {
        let malformed = || ElfError::malformed(&object.header, Malformed::SymbolTable);
        let mut symbols = Vec::new();
        let numbers = references(object, file)?;
        let Some(dynamic) = object.dynamic.as_ref().filter(|_| !numbers.is_empty()) else {
            return Ok(Self { symbols });
        };
        let tables = &dynamic.tables;
        let context = context(&object.header)?;
        let size = Sym::size_with(&context) as u64;
        let place = |address: Option<u64>| {
            address.and_then(|address| file_range(&object.segments, address))
        };
        let (start, end) = place(tables.symbols).ok_or_else(malformed)?;
        let version_table = place(tables.symbol_versions);
        let mut symbol_pages = Pages::new(file);
        let mut version_pages = Pages::new(file);
        let mut names = Pages::new(file);
        // Linkers sort names by their ends, so the names of adjacent symbols are not near each
        // other.
        if let Some((first, last)) = tables.string(&object.segments, 0) {
            names.read_table(first, last, numbers.len())?;
        }
        let mut left = MAX_NAMES;
        for (number, binding) in numbers {
            let at = start + u64::from(number) * size;
            let bytes = symbol_pages.at(at, size)?;
            if at + size > end || bytes.len() < size as usize {
                return Err(malformed());
            }
            let symbol: Sym = bytes.pread_with(0, context).map_err(|_| malformed())?;
            if !is_looked_up(&symbol, binding) {
                continue;
            }
            let (start, end) = tables
                .string(&object.segments, symbol.st_name as u64)
                .ok_or_else(malformed)?;
            let name = names
                .string(start, end, MAX_SYMBOL)?
                .ok_or_else(malformed)?;
            left = left.checked_sub(name.len()).ok_or_else(malformed)?;
            let version = match version_table {
                Some((start, _)) => {
                    let at = start + 2 * u64::from(number);
                    let bytes = version_pages.at(at, 2)?;
                    let index: u16 = bytes.pread_with(0, context.le).map_err(|_| malformed())?;
                    versions.name(index & INDEX).cloned()
                }
                None => None,
            };
            symbols.push(Reference {
                gnu_hash: gnu_hash(&name),
                name: OsString::from_vec(name),
                version,
                is_weak: symbol.st_bind() == STB_WEAK,
                binding,
            });
        }
        Ok(Self { symbols })
    }
}

/// Local and hidden symbols resolve to themselves. So does everything that the object defines: even
/// if another definition takes precedence, there is one.
fn is_looked_up(symbol: &Sym, binding: Binding) -> bool {
    symbol.st_bind() != STB_LOCAL
        && matches!(symbol.st_visibility(), STV_DEFAULT | STV_PROTECTED)
        && (symbol.st_shndx == 0 || binding == Binding::Copy)
}

/// The symbols that an object exports.
#[derive(Debug)]
pub struct Definitions {
    context: Ctx,
    symbols: Vec<u8>,
    strings: Vec<u8>,
    symbol_versions: Option<Vec<u8>>,
    hash: Hash,
}

#[derive(Debug)]
enum Hash {
    /// No hash table: a loader never finds anything in the object.
    None,
    SystemV {
        buckets: Vec<u32>,
        chains: Vec<u32>,
    },
    Gnu {
        first: u32,
        shift: u32,
        bloom: Vec<u64>,
        word_bits: u32,
        buckets: Vec<u32>,
        chains: Vec<u32>,
    },
}

impl Definitions {
    /// Reads what `object` defines.
    ///
    /// # Errors
    /// When a table is outside the file or has invalid counts.
    pub fn read(object: &Object, file: &dyn ReadAt) -> Result<Self, ElfError> {
        let malformed = || ElfError::malformed(&object.header, Malformed::SymbolTable);
        let context = context(&object.header)?;
        let nothing = Self {
            context,
            symbols: Vec::new(),
            strings: Vec::new(),
            symbol_versions: None,
            hash: Hash::None,
        };
        let Some(dynamic) = &object.dynamic else {
            return Ok(nothing);
        };
        let tables = &dynamic.tables;
        let (hash, count) = match (tables.gnu_hash, tables.hash) {
            (Some(address), _) => read_gnu_hash(object, file, address)?,
            (None, Some(address)) => read_system_v_hash(object, file, address)?,
            (None, None) => return Ok(nothing),
        };
        let read = |address: u64, length: u64| -> Result<Vec<u8>, ElfError> {
            bytes_at(file, &object.segments, address, length)?.ok_or_else(malformed)
        };
        if count == 0 {
            return Ok(nothing);
        }
        let size = Sym::size_with(&context) as u64;
        let symbols = read(tables.symbols.ok_or_else(malformed)?, count * size)?;
        let strings = read(tables.strings.ok_or_else(malformed)?, tables.strings_size)?;
        let symbol_versions = match tables.symbol_versions {
            Some(address) => Some(read(address, count * 2)?),
            None => None,
        };
        Ok(Self {
            context,
            symbols,
            strings,
            symbol_versions,
            hash,
        })
    }

    /// Whether this object satisfies a reference (`do_lookup_x` and `check_match`). `versions` are
    /// its own; without them, as for musl, any version matches.
    pub fn satisfies(&self, reference: &Reference, versions: Option<&Versions>) -> bool {
        // A reference without a version takes the base version, or the only default one.
        let mut defaults = 0;
        let mut is_found = false;
        self.for_each_candidate(reference, |number| {
            let Some(symbol) = self.symbol(number) else {
                return;
            };
            let is_defined = symbol.st_shndx != 0
                && (symbol.st_value != 0
                    || symbol.st_shndx == SHN_ABS
                    || symbol.st_type() == STT_TLS);
            let is_offered = matches!(symbol.st_bind(), STB_GLOBAL | STB_WEAK | STB_GNU_UNIQUE)
                && matches!(symbol.st_visibility(), STV_DEFAULT | STV_PROTECTED);
            if !is_defined || !is_offered || !self.has_name(&symbol, reference.name.as_bytes()) {
                return;
            }
            let (Some(table), Some(versions)) = (&self.symbol_versions, versions) else {
                is_found = true;
                return;
            };
            let at = 2 * number as usize;
            let raw: u16 = table.pread_with(at, self.context.le).unwrap_or_default();
            let (index, is_hidden) = (raw & INDEX, raw & !INDEX != 0);
            match &reference.version {
                Some(wanted) => {
                    let name = versions.name(index);
                    is_found |= name == Some(wanted) || (name.is_none() && !is_hidden);
                }
                None if index < 3 => is_found = true,
                None => defaults += usize::from(!is_hidden),
            }
        });
        is_found || defaults == 1
    }

    fn symbol(&self, number: u32) -> Option<Sym> {
        let size = Sym::size_with(&self.context);
        self.symbols
            .pread_with(number as usize * size, self.context)
            .ok()
    }

    /// Whether a symbol has this name. Does not search for the end of the name, which a hostile
    /// table can put far away.
    fn has_name(&self, symbol: &Sym, name: &[u8]) -> bool {
        let text = self.strings.get(symbol.st_name..);
        let rest = text.and_then(|text| text.strip_prefix(name));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Calls `visit` with the index of every symbol in the reference's hash chain.
    fn for_each_candidate(&self, reference: &Reference, mut visit: impl FnMut(u32)) {
        match &self.hash {
            Hash::None => {}
            Hash::SystemV { buckets, chains } => {
                let hash = system_v_hash(reference.name.as_bytes()) as usize;
                let mut number = buckets[hash % buckets.len()];
                // A chain cannot be longer than the table, unless it loops.
                for _ in 0..chains.len() {
                    if number == 0 {
                        break;
                    }
                    visit(number);
                    number = chains.get(number as usize).copied().unwrap_or(0);
                }
            }
            Hash::Gnu {
                first,
                shift,
                bloom,
                word_bits,
                buckets,
                chains,
            } => {
                let hash = reference.gnu_hash;
                let word = bloom[(hash / word_bits) as usize & (bloom.len() - 1)];
                let second = hash.checked_shr(*shift).unwrap_or(0);
                let bits = (1_u64 << (hash % word_bits)) | (1_u64 << (second % word_bits));
                if word & bits != bits {
                    return;
                }
                let start = buckets[hash as usize % buckets.len()];
                let Some(offset) = start.checked_sub(*first).filter(|_| start != 0) else {
                    return;
                };
                for (number, &entry) in (start..).zip(chains.iter().skip(offset as usize)) {
                    if entry | 1 == hash | 1 {
                        visit(number);
                    }
                    if entry & 1 != 0 {
                        break;
                    }
                }
            }
        }
    }
}

/// The hash table of the System V ABI, and how many symbols there are.
fn read_system_v_hash(
    object: &Object,
    file: &dyn ReadAt,
    address: u64,
) -> Result<(Hash, u64), ElfError> {
    let header = words(object, file, address, 2)?;
    let (buckets, chains) = (u64::from(header[0]), u64::from(header[1]));
    if buckets == 0 {
        return Ok((Hash::None, 0));
    }
    Ok((
        Hash::SystemV {
            buckets: words(object, file, address.saturating_add(8), buckets)?,
            chains: words(
                object,
                file,
                address.saturating_add(8 + 4 * buckets),
                chains,
            )?,
        },
        chains,
    ))
}

/// The GNU hash table, and how many symbols there are: to the end of the last chain.
fn read_gnu_hash(
    object: &Object,
    file: &dyn ReadAt,
    address: u64,
) -> Result<(Hash, u64), ElfError> {
    let malformed = || ElfError::malformed(&object.header, Malformed::HashTable);
    let wide = object.class_name() == "elf64";
    let header = words(object, file, address, 4)?;
    let [bucket_count, first, bloom_count, shift] = header[..] else {
        return Err(malformed());
    };
    // The loader uses the count minus one as a mask.
    if !bloom_count.is_power_of_two() {
        return Err(malformed());
    }
    let word = if wide { 8 } else { 4 };
    // No segment contains an address that overflows.
    let bloom_at = address.saturating_add(16);
    let bloom_size = u64::from(bloom_count) * word;
    let bytes = bytes_at(file, &object.segments, bloom_at, bloom_size)?.ok_or_else(malformed)?;
    let endian = context(&object.header)?.le;
    let bloom = bytes
        .chunks_exact(word as usize)
        .map(|chunk| match wide {
            true => chunk.pread_with(0, endian).unwrap_or_default(),
            false => chunk
                .pread_with::<u32>(0, endian)
                .unwrap_or_default()
                .into(),
        })
        .collect();
    if bucket_count == 0 {
        return Ok((Hash::None, 0));
    }
    let buckets_at = bloom_at.saturating_add(bloom_size);
    let buckets = words(object, file, buckets_at, bucket_count.into())?;
    let last = buckets.iter().copied().max().unwrap_or(0);
    if last < first {
        return Ok((Hash::None, 0));
    }
    let chains_at = buckets_at.saturating_add(4 * u64::from(bucket_count));
    let chains = chains_to(object, file, chains_at, last - first)?;
    let count = u64::from(first) + chains.len() as u64;
    Ok((
        Hash::Gnu {
            first,
            shift,
            bloom,
            word_bits: word as u32 * 8,
            buckets,
            chains,
        },
        count,
    ))
}

/// The chains of a GNU hash table, to the end of the one that begins at `last`.
fn chains_to(
    object: &Object,
    file: &dyn ReadAt,
    address: u64,
    last: u32,
) -> Result<Vec<u32>, ElfError> {
    /// Words read at a time after the last bucket.
    const STEP: u64 = 64;
    let malformed = || ElfError::malformed(&object.header, Malformed::HashTable);
    let mut chains = words(object, file, address, u64::from(last))?;
    loop {
        let at = address.saturating_add(4 * chains.len() as u64);
        let (start, end) = file_range(&object.segments, at).ok_or_else(malformed)?;
        let more = ((end - start) / 4).min(STEP);
        if more == 0 {
            return Err(malformed());
        }
        for word in words(object, file, at, more)? {
            chains.push(word);
            if word & 1 != 0 {
                return Ok(chains);
            }
        }
    }
}

fn words(
    object: &Object,
    file: &dyn ReadAt,
    address: u64,
    count: u64,
) -> Result<Vec<u32>, ElfError> {
    let malformed = || ElfError::malformed(&object.header, Malformed::HashTable);
    let endian = context(&object.header)?.le;
    if count == 0 {
        return Ok(Vec::new());
    }
    let length = count.checked_mul(4).ok_or_else(malformed)?;
    let bytes = bytes_at(file, &object.segments, address, length)?.ok_or_else(malformed)?;
    let word = |chunk: &[u8]| chunk.pread_with(0, endian).unwrap_or_default();
    Ok(bytes.chunks_exact(4).map(word).collect())
}

/// `dl_new_hash`.
fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(byte))
    })
}

/// `_dl_elf_hash`.
fn system_v_hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, &byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

impl Reference {
    /// `name@version`, as `nm -D` and the loader's messages write it.
    pub fn display(&self) -> String {
        let name = self.name.display();
        match &self.version {
            Some(version) => format!("{name}@{}", version.display()),
            None => name.to_string(),
        }
    }
}
