//! The members of a tar.
//!
//! In: blocks. Out: members with full names and sizes, in any of the formats (v7, ustar, GNU,
//! pax). Every size is checked before it is used. Source: POSIX `pax`, GNU
//! tar's manual ("Basic Tar Format"), Go's `archive/tar`, which docker and umoci read with.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::extensions::{Extensions, is_extension};
use super::input::Input;
use super::sparse::SparseMap;

const BLOCK: usize = 512;
/// Largest extension header (a long name, pax records), in bytes.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most extension headers before one member.
const MAX_EXTENSIONS: usize = 16;
/// Most blocks of a sparse map.
const MAX_MAP: usize = 16_384;

/// Why a tar cannot be read to its end.
#[derive(Debug)]
pub(super) enum TarError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Directory,
    Symlink,
    HardLink,
    Special,
    /// An unknown type; its type flag.
    Unknown(u8),
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: MemberKind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// When it was last changed, in seconds since 1970.
    pub mtime: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of it stored in the archive; fewer than `size` if it is sparse.
    pub stored: u64,
    /// Offset of its data in the archive, in bytes.
    pub data_at: u64,
    pub sparse: Option<Arc<SparseMap>>,
    /// The attribute `security.capability`.
    pub capabilities: Option<Box<[u8]>>,
    /// Whether its access control list has entries for users or groups by name.
    pub names_others: bool,
}

impl Member {
    /// Notes where the parts of a sparse file are in its data.
    fn set_sparse(&mut self, header_at: u64, parts: &[(u64, u64)]) -> Result<(), TarError> {
        let map = SparseMap::new(parts, self.size, self.stored)
            .ok_or_else(|| damaged(header_at, "the map of a sparse file is malformed"))?;
        self.sparse = Some(Arc::new(map));
        Ok(())
    }
}

/// An archive whose members can be walked.
pub(super) trait MemberSource {
    /// Reads the data of the current member.
    type Data<'m>: Read + Send
    where
        Self: 'm;

    /// The next member; `None` at the end of the archive.
    fn next(&mut self) -> Result<Option<Member>, TarError>;

    /// The first bytes of the current member's data.
    fn head(&mut self, count: usize) -> io::Result<&[u8]>;

    /// The data of the current member that is stored.
    fn data(&mut self) -> Self::Data<'_>;
}

/// Walks the members of a tar.
pub(super) struct Members<I> {
    input: I,
    /// Bytes of the current member's data and padding that have not been consumed.
    left: u64,
    padding: u64,
    has_ended: bool,
}

/// Reads the data of one member, of which `left` bytes have not been consumed.
pub(super) struct MemberData<'m, I> {
    pub input: &'m mut I,
    pub left: &'m mut u64,
}

impl<I: Input> Read for MemberData<'_, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(*self.left).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let read = self.input.read(&mut buffer[..count])?;
        if read == 0 && count > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *self.left -= read as u64;
        Ok(read)
    }
}

impl<I: Input + Send> MemberSource for Members<I> {
    type Data<'m>
        = MemberData<'m, I>
    where
        I: 'm;

    fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut extensions = Extensions::default();
        for _ in 0..MAX_EXTENSIONS {
            self.finish_member()?;
            let header_at = self.input.position();
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let stored = number_field(&header.as_bytes()[SIZE])
                .ok_or_else(|| damaged(header_at, "a size is not a number"))?;
            let kind = header.entry_type();
            if is_extension(kind) {
                let text = self.extension(header_at, stored)?;
                extensions
                    .note(kind, &text)
                    .ok_or_else(|| damaged(header_at, "an extended header is malformed"))?;
                continue;
            }
            return self
                .member(header_at, &header, stored, extensions)
                .map(Some);
        }
        Err(damaged(
            self.input.position(),
            "too many extended headers in a row",
        ))
    }

    fn head(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = count.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.input.peek(count)
    }

    fn data(&mut self) -> MemberData<'_, I> {
        MemberData {
            input: &mut self.input,
            left: &mut self.left,
        }
    }
}

impl<I: Input> Members<I> {
    pub fn new(input: I) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
            has_ended: false,
        }
    }

    /// Consumes everything after the end of the archive.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.input.skip(1 << 20)? {}
        Ok(())
    }

    fn cut_off(&self) -> TarError {
        damaged(self.input.position(), "it is cut off inside a member")
    }

    fn finish_member(&mut self) -> Result<(), TarError> {
        let (left, padding) = (self.left, self.padding);
        (self.left, self.padding) = (0, 0);
        if !self.input.skip(left)? {
            return Err(self.cut_off());
        }
        // Some writers leave out the padding of the last member.
        self.has_ended |= !self.input.skip(padding)?;
        Ok(())
    }

    /// The next header; `None` at a block of zeros or the end of the input.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let at = self.input.position();
        if self.has_ended {
            return Ok(None);
        }
        let block = self.input.peek(BLOCK)?;
        if block.is_empty() {
            return Ok(None);
        }
        let is_zero = |block: &[u8]| block.iter().all(|&byte| byte == 0);
        if block.len() == BLOCK && is_zero(block) {
            // Two blocks of zeros end an archive; a single one followed by more hides the rest from
            // some readers.
            let two = self.input.peek(2 * BLOCK)?;
            return match two.len() < 2 * BLOCK || is_zero(two) {
                true => Ok(None),
                false => Err(damaged(at, "there is a single zero block between members")),
            };
        }
        if block.len() < BLOCK {
            return Err(damaged(at, "it is cut off inside a header"));
        }
        let header = parse(block).ok_or_else(|| damaged(at, "a header has a wrong checksum"))?;
        self.input.skip(BLOCK as u64)?;
        Ok(Some(header))
    }

    fn extension(&mut self, at: u64, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENSION {
            return Err(damaged(at, "an extended header is over 1 MiB"));
        }
        self.begin(size);
        let mut text = Vec::new();
        let mut data = MemberData {
            input: &mut self.input,
            left: &mut self.left,
        };
        data.read_to_end(&mut text)?;
        Ok(text)
    }

    fn begin(&mut self, stored: u64) {
        self.left = stored;
        self.padding = (BLOCK as u64 - stored % BLOCK as u64) % BLOCK as u64;
    }

    fn member(
        &mut self,
        header_at: u64,
        header: &Header,
        stored: u64,
        mut extensions: Extensions,
    ) -> Result<Member, TarError> {
        let bytes = header.as_bytes();
        let owner = |field: Range<usize>| {
            number_field(&bytes[field])
                .ok_or_else(|| damaged(header_at, "an owner is not a number"))
        };
        let (name, link) = extensions.names(header);
        let pax = extensions.pax;
        let kind = kind(header, &name);
        let mut stored = pax.size.unwrap_or(stored);
        // Only files have data, whatever size another header has.
        if !matches!(kind, MemberKind::File | MemberKind::Unknown(_)) {
            stored = 0;
        }
        let mode = number_field(&bytes[MODE]).unwrap_or_default() as u32 & 0o7777;
        let mut member = Member {
            name,
            link,
            kind,
            mode: match pax.access_list.filter(|_| kind != MemberKind::Symlink) {
                Some(list) => list.mode(mode),
                None => mode,
            },
            uid: match pax.uid {
                Some(uid) => uid,
                None => owner(UID)?,
            },
            gid: match pax.gid {
                Some(gid) => gid,
                None => owner(GID)?,
            },
            mtime: (pax.mtime)
                .or_else(|| number_field(&bytes[MTIME]))
                .unwrap_or_default(),
            size: stored,
            stored,
            data_at: 0,
            sparse: None,
            capabilities: pax.capabilities,
            names_others: pax.access_list.is_some_and(|list| list.names_others),
        };
        if header.entry_type() == EntryType::GNUSparse {
            let map = self.old_map(header_at, header)?;
            member.size = number_field(&bytes[REAL_SIZE])
                .ok_or_else(|| damaged(header_at, "a size is not a number"))?;
            self.begin(stored);
            member.set_sparse(header_at, &map)?;
        } else {
            self.begin(stored);
            if let Some(size) = pax.sparse_size {
                member.size = size;
                let map = match pax.sparse_in_data {
                    true => self.map_in_data(header_at, &mut member.stored)?,
                    false => pax.sparse_map,
                };
                member.set_sparse(header_at, &map)?;
            }
        }
        member.data_at = self.input.position();
        Ok(member)
    }

    /// The map of GNU's own format: four parts in the header, 21 in each block after it.
    fn old_map(&mut self, at: u64, header: &Header) -> Result<Vec<(u64, u64)>, TarError> {
        let malformed = || damaged(at, "the map of a sparse file is malformed");
        let gnu = header.as_gnu().ok_or_else(malformed)?;
        let mut map = Vec::new();
        note_parts(&mut map, &gnu.sparse).map_err(|_| malformed())?;
        let mut more = gnu.is_extended();
        for _ in 0..MAX_MAP {
            if !more {
                return Ok(map);
            }
            let mut extended = GnuExtSparseHeader::new();
            let block = self.input.peek(BLOCK)?;
            if block.len() < BLOCK {
                return Err(self.cut_off());
            }
            extended.as_mut_bytes().copy_from_slice(block);
            self.input.skip(BLOCK as u64)?;
            note_parts(&mut map, extended.sparse()).map_err(|_| malformed())?;
            more = extended.is_extended();
        }
        Err(malformed())
    }

    /// The map of the pax format 1.0, which takes whole blocks of the data.
    fn map_in_data(&mut self, at: u64, stored: &mut u64) -> Result<Vec<(u64, u64)>, TarError> {
        let malformed = || damaged(at, "the map of a sparse file is malformed");
        let mut text = Vec::new();
        // Lines read so far, and lines required, which the first line gives.
        let (mut lines, mut wanted) = (0, None);
        for _ in 0..MAX_MAP {
            if self.left < BLOCK as u64 {
                break;
            }
            let block = self.input.peek(BLOCK)?;
            if block.len() < BLOCK {
                return Err(self.cut_off());
            }
            lines += memchr::memchr_iter(b'\n', block).count();
            text.extend_from_slice(block);
            self.input.skip(BLOCK as u64)?;
            self.left -= BLOCK as u64;
            *stored -= BLOCK as u64;
            if wanted.is_none() && lines > 0 {
                let count = SparseMap::parse_count(&text).ok_or_else(malformed)?;
                wanted = Some(2 * count + 1);
            }
            if wanted.is_some_and(|wanted| lines >= wanted) {
                return SparseMap::parse_lines(&text).ok_or_else(malformed);
            }
        }
        Err(malformed())
    }
}

/// The block as a header if its checksum is right.
fn parse(block: &[u8]) -> Option<Header> {
    let header = Header::from_byte_slice(block.get(..BLOCK)?).clone();
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let bytes = header.as_bytes();
    let blanks = CHECKSUM.len() as u32 * u32::from(b' ');
    let expected = sum(bytes) - sum(&bytes[CHECKSUM]) + blanks;
    (header.cksum().ok()? == expected).then_some(header)
}

/// Whether a file that begins with this block is a tar: a header, or the zeros that end an
/// empty one.
pub(super) fn begins_tar(block: &[u8]) -> bool {
    parse(block).is_some() || (block.len() >= BLOCK && block.iter().all(|&byte| byte == 0))
}

fn note_parts(map: &mut Vec<(u64, u64)>, parts: &[GnuSparseHeader]) -> io::Result<()> {
    for part in parts.iter().take_while(|part| !part.is_empty()) {
        map.push((part.offset()?, part.length()?));
    }
    Ok(())
}

/// Where the fields of a header are (POSIX `ustar`, GNU for the last).
const MODE: Range<usize> = 100..108;
const SIZE: Range<usize> = 124..136;
const KIND: usize = 156;
const REAL_SIZE: Range<usize> = 483..495;
const UID: Range<usize> = 108..116;
const MTIME: Range<usize> = 136..148;
const GID: Range<usize> = 116..124;
const CHECKSUM: Range<usize> = 148..156;

/// A numeric header field: octal digits, or base 256 when the highest bit is set. Writers leave
/// unknown fields empty. `None` when it is neither, negative or too large.
fn number_field(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let (high, low) = rest.split_at(rest.len().saturating_sub(8));
        let is_small = *first == 0x80 && high.iter().all(|&byte| byte == 0);
        let value = low
            .iter()
            .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        return is_small.then_some(value);
    }
    let is_blank = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    let digits = std::str::from_utf8(&digits[..end]).ok()?;
    match digits {
        "" => Some(0),
        _ if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            u64::from_str_radix(digits, 8).ok()
        }
        _ => None,
    }
}

pub(super) fn damaged(at: u64, what: &str) -> TarError {
    TarError::Damaged(format!("{what} (at byte {at})"))
}

fn kind(header: &Header, name: &[u8]) -> MemberKind {
    match header.entry_type() {
        // The oldest writers marked a directory by a trailing slash, which means nothing elsewhere.
        EntryType::Regular if header.as_bytes()[KIND] == 0 && name.ends_with(b"/") => {
            MemberKind::Directory
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => MemberKind::Symlink,
        EntryType::Link => MemberKind::HardLink,
        EntryType::Char | EntryType::Block | EntryType::Fifo => MemberKind::Special,
        other => MemberKind::Unknown(other.as_byte()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::{InPlace, Streamed};
    use super::*;
    use slimpack_vfs::bytes::Slice;

    fn read_all(tar: &[u8]) -> Result<Vec<Member>, TarError> {
        let mut members = Members::new(InPlace::new(Slice::whole(Arc::new(tar.to_vec()))));
        let mut streamed = Members::new(Streamed::new(tar));
        let mut all = Vec::new();
        loop {
            let (here, there) = (members.next(), streamed.next());
            match (here?, there?) {
                (None, None) => return Ok(all),
                (here, there) => {
                    assert_eq!(format!("{here:?}"), format!("{there:?}"));
                    all.extend(here);
                }
            }
        }
    }

    fn header(name: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    #[test]
    fn long_names_and_pax_records_belong_to_the_member_behind_them() {
        let mut tar = tar::Builder::new(Vec::new());
        let long = format!("{}/file", "long".repeat(60));
        tar.append_data(&mut header("x", 3), &long, &b"abc"[..])
            .unwrap();
        tar.append_pax_extensions([
            ("path", &b"from pax"[..]),
            ("SCHILY.xattr.security.capability", &b"\x01\n=\0"[..]),
        ])
        .unwrap();
        tar.append(&header("short", 0), io::empty()).unwrap();
        tar.append(&header("last", 0), io::empty()).unwrap();
        let members = read_all(&tar.into_inner().unwrap()).unwrap();
        let names: Vec<_> = members.iter().map(|m| m.name.as_slice()).collect();
        assert_eq!(names, [long.as_bytes(), b"from pax", b"last"]);
        assert_eq!(members[0].size, 3);
        assert!(members[1].capabilities.is_some() && members[2].capabilities.is_none());
    }

    #[test]
    fn a_number_is_octal_or_base_256_and_never_negative_or_beyond_64_bits() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   12 \0\0", Some(0o12)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"-0000001", None),
            (b"0000008\0", None),
            (b"777777777777777777777777", None),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number_field(field), expected, "{field:?}");
        }
    }

    #[test]
    fn sizes_that_overflow_or_are_cut_off_are_errors() {
        let mut negative = header("negative", 0);
        negative.as_mut_bytes()[124..136].fill(0xff);
        negative.set_cksum();
        let mut no_number = header("no-number", 0);
        no_number.as_mut_bytes()[124..136].copy_from_slice(b"-00000000001");
        no_number.set_cksum();
        let huge = header("huge", u64::MAX - 100);
        for header in [negative, no_number, huge] {
            let tar = [header.as_bytes().to_vec(), vec![0; 1024]].concat();
            assert!(read_all(&tar).is_err(), "{:?}", header.path());
        }
        let mut wrong = header("wrong", 0);
        wrong.as_mut_bytes()[0] ^= 1;
        assert!(read_all(wrong.as_bytes()).is_err());
        assert!(read_all(&header("x", 0).as_bytes()[..300]).is_err());
        assert!(read_all(b"").unwrap().is_empty());
    }
}
