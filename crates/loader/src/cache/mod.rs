//! `/etc/ld.so.cache`: reading here, writing in [`write`].
//!
//! In: the bytes of the file, in the old, the new or the combined format. Out: the
//! path that glibc would take for a name. Sources: glibc `sysdeps/generic/dl-cache.h`
//! (layout) and `elf/dl-cache.c` (search). Every count and offset is checked against
//! the file before it is used; a file that glibc would reject has no entries.

mod write;

pub(super) use write::write;

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use goblin::elf::header::{
    EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_MIPS, EM_PPC64, EM_RISCV, EM_S390, EM_SPARCV9, EM_X86_64,
};
use scroll::{Endian, Pread};

use super::Target;

/// Path of the cache (`LD_SO_CACHE` in glibc).
pub const PATH: &str = "/etc/ld.so.cache";
/// Largest cache that is read, in bytes; a full desktop has about 200 KB.
pub const MAX_SIZE: u64 = 64 << 20;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;

/// `FLAG_ELF_LIBC6`.
const FLAG_ELF_LIBC6: u32 = 3;

/// A parsed cache.
#[derive(Debug)]
pub struct Cache {
    bytes: Vec<u8>,
    endian: Endian,
    entries: usize,
    entry_size: usize,
    count: usize,
    /// Base of the key and value offsets.
    strings: usize,
}

/// One line of `ldconfig -p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheEntry<'c> {
    /// The kind of library it is for (`FLAG_*` in glibc's `ldconfig.h`).
    pub flags: u32,
    /// The requested name.
    pub key: &'c [u8],
    /// The path of the library.
    pub value: &'c [u8],
    /// Hardware capabilities; 0 for the baseline library.
    pub hwcap: u64,
}

impl Cache {
    /// Parses `bytes` as a loader of the given byte order would; `None` when it would ignore
    /// the file.
    pub fn parse(bytes: Vec<u8>, big_endian: bool) -> Option<Self> {
        let endian = if big_endian {
            Endian::Big
        } else {
            Endian::Little
        };
        if bytes.starts_with(NEW_MAGIC) {
            return Self::parse_new(bytes, endian, 0);
        }
        if !bytes.starts_with(OLD_MAGIC) {
            return None;
        }
        let count = usize::try_from(bytes.pread_with::<u32>(12, endian).ok()?).ok()?;
        let strings = count.checked_mul(OLD_ENTRY)?.checked_add(OLD_HEADER)?;
        if strings > bytes.len() {
            return None;
        }
        // The new format may follow, aligned for its 64-bit fields; then it takes precedence.
        let new = strings.next_multiple_of(8);
        if bytes
            .get(new..)
            .is_some_and(|rest| rest.starts_with(NEW_MAGIC))
        {
            return Self::parse_new(bytes, endian, new);
        }
        Some(Self {
            bytes,
            endian,
            entries: OLD_HEADER,
            entry_size: OLD_ENTRY,
            count,
            strings,
        })
    }

    fn parse_new(bytes: Vec<u8>, endian: Endian, at: usize) -> Option<Self> {
        let count = usize::try_from(bytes.pread_with::<u32>(at + 20, endian).ok()?).ok()?;
        let end = count.checked_mul(NEW_ENTRY)?.checked_add(at + NEW_HEADER)?;
        // `cache_file_new_matches_endian`: 0 is a cache from before the flag.
        let matches = matches!(
            (bytes.get(at + 28)? & 3, endian),
            (0, _) | (2, Endian::Little) | (3, Endian::Big)
        );
        (matches && end <= bytes.len()).then_some(Self {
            bytes,
            endian,
            entries: at + NEW_HEADER,
            entry_size: NEW_ENTRY,
            count,
            strings: at,
        })
    }

    /// The entry at `index`; `None` when it points outside the file.
    fn entry(&self, index: usize) -> Option<CacheEntry<'_>> {
        let at = self.entries + index.checked_mul(self.entry_size)?;
        let field = |offset| self.bytes.pread_with::<u32>(at + offset, self.endian).ok();
        let hwcap = match self.entry_size {
            NEW_ENTRY => self.bytes.pread_with::<u64>(at + 16, self.endian).ok()?,
            _ => 0,
        };
        Some(CacheEntry {
            flags: field(0)?,
            key: self.string(field(4)?)?,
            value: self.string(field(8)?)?,
            hwcap,
        })
    }

    fn flags(&self, index: usize) -> Option<u32> {
        let at = self.entries + index.checked_mul(self.entry_size)?;
        self.bytes.pread_with(at, self.endian).ok()
    }

    /// The key of an entry with everything after its NUL: the binary search compares it often
    /// and need not know where it ends.
    fn key(&self, index: usize) -> Option<&[u8]> {
        let at = self.entries + index.checked_mul(self.entry_size)? + 4;
        let offset = self.bytes.pread_with::<u32>(at, self.endian).ok()?;
        self.bytes.get(self.strings + offset as usize..)
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let text = self.bytes.get(self.strings + offset as usize..)?;
        Some(&text[..text.iter().position(|&b| b == 0)?])
    }

    /// All entries in file order, up to the first invalid one.
    pub fn iter(&self) -> impl Iterator<Item = CacheEntry<'_>> {
        (0..self.count).map_while(|index| self.entry(index))
    }

    /// The path for `name` on the baseline machine; if there are only hwcaps entries, the
    /// first of them.
    ///
    /// This is glibc's own binary search, so that an unsorted cache misses the same
    /// names.
    pub fn lookup(&self, name: &OsStr, flags: u32) -> Option<&Path> {
        let name = name.as_bytes();
        let compare = |index| Some(compare_names(name, self.key(index)?));
        let (mut left, mut right) = (0, self.count);
        let hit = loop {
            if left >= right {
                return None;
            }
            let middle = left + (right - left - 1) / 2;
            match compare(middle)? {
                Ordering::Equal => break middle,
                Ordering::Less => left = middle + 1,
                Ordering::Greater => right = middle,
            }
        };
        let mut first = hit;
        while first > 0 && compare(first - 1)? == Ordering::Equal {
            first -= 1;
        }
        let mut variant = None;
        for index in first..right {
            if compare(index)? != Ordering::Equal {
                break;
            }
            if self.flags(index)? != flags {
                continue;
            }
            let Some(entry) = self.entry(index) else {
                break;
            };
            let path = Path::new(OsStr::from_bytes(entry.value));
            if entry.hwcap == 0 {
                return Some(path);
            }
            variant = variant.or(Some(path));
        }
        variant
    }
}

/// `_dl_cache_libcmp`: digit runs compare as numbers. The entries are sorted by it in
/// descending order. A name ends at its NUL or with the slice.
pub(super) fn compare_names(mut left: &[u8], mut right: &[u8]) -> Ordering {
    let first = |text: &'_ [u8]| text.first().copied().filter(|&byte| byte != 0);
    loop {
        let (a, b) = (first(left), first(right));
        match (a, b) {
            (None, None) => return Ordering::Equal,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                match leading_number(&mut left).cmp(&leading_number(&mut right)) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            (Some(x), _) if x.is_ascii_digit() => return Ordering::Greater,
            // At its own end, `name` compares by bytes alone.
            (Some(_), Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (Some(x), Some(y)) if x == y => {
                left = &left[1..];
                right = &right[1..];
            }
            (x, y) => {
                // As `char` on most machines: signed.
                let signed = |byte: Option<u8>| byte.map_or(0, u8::cast_signed);
                return signed(x).cmp(&signed(y));
            }
        }
    }
}

/// Parses and removes leading digits; overflow wraps around as C's `int` does in practice.
fn leading_number(text: &mut &[u8]) -> i32 {
    let mut value = 0_i32;
    while let Some(digit) = text.first().filter(|b| b.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
        *text = &text[1..];
    }
    value
}

/// The flags of cache entries for this target (`_DL_CACHE_DEFAULT_ID`).
pub(super) fn flags(target: Target, e_flags: u32) -> u32 {
    const EF_ARM_ABI_FLOAT_HARD: u32 = 0x400;
    const EF_MIPS_ABI2: u32 = 0x20;
    const EF_RISCV_FLOAT_ABI: u32 = 6;
    const EF_LOONGARCH_ABI_MODIFIER_MASK: u32 = 7;
    let architecture = match (target.machine(), target.is_64()) {
        (EM_X86_64, true) => 0x0300,
        (EM_X86_64, false) => 0x0800,
        (EM_S390, true) => 0x0400,
        (EM_PPC64, _) => 0x0500,
        (EM_ARM, _) if e_flags & EF_ARM_ABI_FLOAT_HARD != 0 => 0x0900,
        (EM_ARM, _) => 0x0b00,
        (EM_AARCH64, _) => 0x0a00,
        (EM_RISCV, wide) => match (wide, e_flags & EF_RISCV_FLOAT_ABI) {
            (true, 4) => 0x1000,
            (true, _) => 0x0f00,
            (false, 4) => 0x1500,
            (false, _) => 0x1400,
        },
        (EM_LOONGARCH, _) => match e_flags & EF_LOONGARCH_ABI_MODIFIER_MASK {
            1 => 0x1200,
            _ => 0x1300,
        },
        (EM_MIPS, true) => 0x0700,
        (EM_MIPS, false) if e_flags & EF_MIPS_ABI2 != 0 => 0x0600,
        (EM_SPARCV9, true) => 0x0100,
        _ => 0,
    };
    architecture | FLAG_ELF_LIBC6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_runs_compare_as_numbers() {
        for (left, right, expected) in [
            ("libc.so.6", "libc.so.6", Ordering::Equal),
            ("libc.so.10", "libc.so.6", Ordering::Greater),
            ("libc.so.6", "libc.so.6.1", Ordering::Less),
            ("liba1", "liba", Ordering::Greater),
            ("liba", "libax", Ordering::Less),
            ("liba1", "libax", Ordering::Greater),
        ] {
            assert_eq!(
                compare_names(left.as_bytes(), right.as_bytes()),
                expected,
                "{left} {right}"
            );
        }
    }

    #[test]
    fn counts_and_offsets_outside_the_file_are_refused() {
        let mut bytes = NEW_MAGIC.to_vec();
        bytes.resize(NEW_HEADER + NEW_ENTRY, 0);
        for count in [2_u32, u32::MAX] {
            bytes[20..24].copy_from_slice(&count.to_le_bytes());
            assert!(Cache::parse(bytes.clone(), false).is_none());
        }
        bytes[20..24].copy_from_slice(&1_u32.to_le_bytes());
        bytes[NEW_HEADER + 4..NEW_HEADER + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        let cache = Cache::parse(bytes, false).unwrap();
        assert_eq!(cache.lookup(OsStr::new("libc.so.6"), 0x303), None);
        assert_eq!(cache.iter().count(), 0);
    }

    #[test]
    fn a_cache_of_the_other_byte_order_is_ignored() {
        let mut bytes = NEW_MAGIC.to_vec();
        bytes.resize(NEW_HEADER, 0);
        bytes[28] = 3;
        assert!(Cache::parse(bytes.clone(), true).is_some());
        assert!(Cache::parse(bytes, false).is_none());
    }
}
