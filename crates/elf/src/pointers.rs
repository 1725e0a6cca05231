//! Which addresses the data and code of an object point to.
//!
//! In: the address range that a heuristic asks about. Out: the addresses in it that a data word
//! contains or an instruction computes. Linkers merge strings with common ends (`SHF_MERGE` with
//! `SHF_STRINGS` in the gABI), so the middle of a string is a separate string exactly where
//! something points to it.

use std::io;
use std::ops::Range;

use goblin::elf::header::{EM_AARCH64, EM_X86_64, ET_EXEC};
use goblin::elf::program_header::{PF_X, PT_LOAD, ProgramHeader};

use super::Object;
use slimpack_vfs::bytes::ReadAt;

/// Maximum number of bytes of an object that are scanned.
const MAX_SCAN: u64 = 64 << 20;
/// Bytes read at a time.
const PIECE: u64 = 1 << 20;
/// Bytes that two consecutive pieces share: more than two instructions that compute one address.
const OVERLAP: u64 = 64;
/// Maximum number of AArch64 instructions between the two that compute one address.
const MAX_GAP: usize = 8;

impl Object {
    /// The addresses at which a range of the file is mapped.
    pub fn addresses_of(&self, offset: u64, length: u64) -> Option<Range<u64>> {
        let mut loads = self.segments.iter().filter(|s| s.p_type == PT_LOAD);
        loads.find_map(|segment| {
            let inside = offset.checked_sub(segment.p_offset)?;
            let is_inside = inside.checked_add(length)? <= segment.p_filesz;
            let start = segment.p_vaddr.checked_add(inside)?;
            is_inside.then_some(start..start.checked_add(length)?)
        })
    }

    /// Whether [`Object::pointers`] can decode how code of this machine computes addresses.
    pub fn tells_pointers(&self) -> bool {
        matches!(self.header.e_machine, EM_X86_64 | EM_AARCH64)
    }

    /// The addresses in `wanted` that something in the object points to, in order, as far as can be
    /// determined: in code from x86-64 and AArch64 instructions, in data from every aligned word,
    /// so that relocation addends of any kind count. Uses one bit of memory for each address in
    /// `wanted`.
    ///
    /// # Errors
    /// When `file` cannot be read.
    pub fn pointers(&self, file: &dyn ReadAt, wanted: Range<u64>) -> io::Result<Vec<u64>> {
        let length = wanted.end.saturating_sub(wanted.start);
        let mut search = PointerScan {
            object: self,
            found: vec![0; length.div_ceil(64) as usize],
            wanted,
        };
        let mut left = MAX_SCAN;
        for segment in self.segments.iter().filter(|s| s.p_type == PT_LOAD) {
            let length = segment.p_filesz.min(left);
            left -= length;
            search.segment(file, segment, length)?;
        }
        let start = search.wanted.start;
        let words = search.found.iter().zip(0_u64..);
        let pointers = words.flat_map(|(word, number)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| start + number * 64 + bit)
        });
        Ok(pointers.collect())
    }
}

struct PointerScan<'a> {
    object: &'a Object,
    wanted: Range<u64>,
    /// One bit for each address.
    found: Vec<u64>,
}

impl PointerScan<'_> {
    fn segment(
        &mut self,
        file: &dyn ReadAt,
        segment: &ProgramHeader,
        length: u64,
    ) -> io::Result<()> {
        let is_code = segment.p_flags & PF_X != 0;
        let mut at = 0;
        while at < length {
            let wanted = PIECE.min(length - at);
            let bytes = file.prefix(segment.p_offset.saturating_add(at), wanted)?;
            let address = segment.p_vaddr.wrapping_add(at);
            match self.object.header.e_machine {
                EM_X86_64 if is_code => self.x86_64(&bytes, address),
                EM_AARCH64 if is_code => self.aarch64(&bytes, address),
                _ => {}
            }
            // A linker may have put constants and code into one segment.
            self.words(&bytes, address);
            if (bytes.len() as u64) < wanted || at + wanted >= length {
                break;
            }
            at += wanted - OVERLAP;
        }
        Ok(())
    }

    fn note(&mut self, address: u64) {
        if self.wanted.contains(&address) {
            let at = address - self.wanted.start;
            self.found[(at / 64) as usize] |= 1 << (at % 64);
        }
    }

    fn words(&mut self, bytes: &[u8], address: u64) {
        let size = match self.object.header.container() {
            Ok(container) if container.is_big() => 8,
            _ => 4,
        };
        let is_big_endian = self.object.is_big_endian();
        let skip = (size as u64 - address % size as u64) % size as u64;
        let words = bytes.get(skip as usize..).unwrap_or_default();
        for word in words.chunks_exact(size) {
            let mut wide = [0; 8];
            let value = match is_big_endian {
                true => {
                    wide[8 - size..].copy_from_slice(word);
                    u64::from_be_bytes(wide)
                }
                false => {
                    wide[..size].copy_from_slice(word);
                    u64::from_le_bytes(wide)
                }
            };
            self.note(value);
        }
    }

    /// RIP-relative `lea`; in a position-dependent program also every four-byte immediate (`mov`,
    /// `push`).
    fn x86_64(&mut self, bytes: &[u8], address: u64) {
        /// The opcode of `lea`.
        const LEA: u8 = 0x8d;
        /// Mask and value of ModRM for RIP-relative addressing.
        const RELATIVE: (u8, u8) = (0xc7, 0x05);
        for at in memchr::memchr_iter(LEA, bytes) {
            if let Some(&[_, how, a, b, c, d]) = bytes.get(at..at + 6)
                && how & RELATIVE.0 == RELATIVE.1
            {
                let next = address.wrapping_add(at as u64 + 6);
                let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
                self.note(next.wrapping_add_signed(distance));
            }
        }
        if self.object.header.e_type == ET_EXEC {
            for window in bytes.windows(4) {
                let value = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
                self.note(u64::from(value));
            }
        }
    }

    /// `adrp` for the page of an address, and the `add` after it for the offset in the page.
    fn aarch64(&mut self, bytes: &[u8], address: u64) {
        let skip = ((4 - address % 4) % 4) as usize;
        let words = bytes.get(skip..).unwrap_or_default().chunks_exact(4);
        let code: Vec<u32> = words
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        for (at, page) in code.iter().enumerate() {
            if page & 0x9f00_0000 != 0x9000_0000 {
                continue;
            }
            let low = i64::from(page >> 29 & 3);
            let high = i64::from((page << 8) as i32 >> 13) << 2;
            let here = address.wrapping_add((skip + at * 4) as u64) & !0xfff;
            let base = here.wrapping_add_signed((high | low) << 12);
            let register = page & 31;
            let rest = &code[at + 1..code.len().min(at + 1 + MAX_GAP)];
            for add in rest {
                // add Xd, Xn, #imm12
                if add & 0xffc0_0000 == 0x9100_0000 && add >> 5 & 31 == register {
                    self.note(base.wrapping_add(u64::from(add >> 10 & 0xfff)));
                }
            }
        }
    }
}
