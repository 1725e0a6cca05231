//! The facts of a layer as bytes: its members, and the parts of their data that are kept.
//!
//! In: a layer that was read from a stream, or the bytes that were written of one. Out: the bytes, or
//! the same layer. Bytes that come back are not trusted: every length is checked, the limits of the image
//! apply, and a checksum finds what was damaged by accident. The data of files stays where it is, and
//! is read when something asks for it.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::compression::CompressionFormat;
use super::keep::{Kept, KeptPart};
use super::layer::{IndexedLayer, Shared};
use super::members::{Member, MemberKind, TarError};
use super::node::{Data, Head};
use super::tree::IndexedMember;
use super::{Interest, Probe};
use crate::digest::{Blob, Checksum, is_hex};
use slimpack_vfs::MAX_CAPABILITIES;
use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};

/// The first bytes of a file with facts.
const MAGIC: [u8; 8] = *b"slimfact";
/// Version of the format, and of what is kept of a layer: raise it when either changes.
pub(super) const FORMAT: u32 = 1;
/// Bytes before those that the checksum covers: the magic number, the version, the checksum.
const HEAD: u64 = 8 + 4 + 16;
/// Longest name or link target in bytes: that of an extended header.
const MAX_NAME: usize = 1 << 20;
/// Length of a SHA-256 in hexadecimal.
const HEX: usize = 64;
/// What stands for a hard limit in a count that a file claims.
const PIECE: usize = 64 << 10;

/// Where the bytes of a file come from when they are written.
enum Held {
    Nothing,
    Parts(Arc<Kept>),
}

/// What is held of a member; `None` if it cannot be written.
fn held(entry: &IndexedMember, interest: Interest, probe: Probe) -> io::Result<Option<Held>> {
    Ok(Some(match &entry.data {
        Data::None => Held::Nothing,
        Data::Kept(kept) => Held::Parts(kept.clone()),
        // A large file that went to a temporary file as a whole.
        Data::InPlace(slice) => Held::Parts(Arc::new(match interest {
            Interest::Contents => Kept::whole(slice.clone()),
            _ => Kept::of(interest, probe, Head::Elf, slice)?,
        })),
        Data::Sparse(..) | Data::Host(..) => return Ok(None),
    }))
}

/// Writes the facts of a layer under a name; returns false if they cannot be written.
///
/// # Errors
/// When `out` fails, or the data of a file cannot be read.
pub(super) fn write(
    layer: &IndexedLayer,
    name: &str,
    shared: &Shared,
    out: &mut (impl Write + Seek),
) -> io::Result<bool> {
    let (Some(packed), Some(unpacked)) = (&layer.packed, &layer.unpacked) else {
        return Ok(false);
    };
    let mut entries = Vec::with_capacity(layer.entries.len());
    for entry in &layer.entries {
        match held(entry, shared.interest, shared.probe)? {
            Some(held) => entries.push((entry, held)),
            None => return Ok(false),
        }
    }
    let mut members = Vec::new();
    let mut at = 0;
    for (entry, held) in &entries {
        member(entry, held, &mut at, &mut members);
    }
    out.write_all(&[0; HEAD as usize])?;
    let mut body = Checksum::new(BufWriter::new(&mut *out));
    let mut start = Vec::new();
    text(name.as_bytes(), &mut start);
    start.push(match layer.compression {
        CompressionFormat::None => 0,
        CompressionFormat::Gzip => 1,
        CompressionFormat::Zstd => 2,
        CompressionFormat::Xz => 3,
        CompressionFormat::Unsupported(_) => return Ok(false),
    });
    for blob in [packed, unpacked] {
        text(blob.sha256.as_bytes(), &mut start);
        start.extend(blob.size.to_le_bytes());
    }
    start.extend((entries.len() as u64).to_le_bytes());
    start.extend((members.len() as u64).to_le_bytes());
    body.write_all(&start)?;
    body.write_all(&members)?;
    for (_, held) in &entries {
        if let Held::Parts(kept) = held {
            io::copy(&mut Sequential::new(kept.data().clone()), &mut body)?;
        }
    }
    body.flush()?;
    let checksum = body.value();
    drop(body);
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    out.write_all(&checksum.to_le_bytes())?;
    out.flush()?;
    Ok(true)
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Adds a member; `at` is the end of the data of those before it, and of its own afterwards.
fn member(entry: &IndexedMember, held: &Held, at: &mut u64, out: &mut Vec<u8>) {
    let member = &entry.member;
    text(&member.name, out);
    text(&member.link, out);
    let (kind, flag) = match member.kind {
        MemberKind::File => (0, 0),
        MemberKind::Directory => (1, 0),
        MemberKind::Symlink => (2, 0),
        MemberKind::HardLink => (3, 0),
        MemberKind::Special => (4, 0),
        MemberKind::Unknown(flag) => (5, flag),
    };
    out.extend([kind, flag]);
    out.extend(member.mode.to_le_bytes());
    let numbers = [
        member.uid,
        member.gid,
        member.mtime,
        member.size,
        member.stored,
        member.data_at,
    ];
    for number in numbers {
        out.extend(number.to_le_bytes());
    }
    out.push(u8::from(member.capabilities.is_some()));
    text(member.capabilities.as_deref().unwrap_or_default(), out);
    out.push(u8::from(member.names_others));
    out.push(match entry.head {
        None => 0,
        Some(Head::Elf) => 1,
        Some(Head::Script) => 2,
        Some(Head::Other) => 3,
    });
    out.push(u8::from(entry.fingerprint.is_some()));
    out.extend(entry.fingerprint.unwrap_or_default().to_le_bytes());
    let Held::Parts(kept) = held else {
        out.push(0);
        return;
    };
    out.push(1);
    out.extend(kept.size().to_le_bytes());
    out.extend((kept.parts().len() as u32).to_le_bytes());
    for part in kept.parts() {
        out.extend(part.offset.to_le_bytes());
        out.extend(part.length.to_le_bytes());
    }
    out.extend(at.to_le_bytes());
    *at += kept.bytes();
}

/// Whether the bytes of a file are those that were written under this name by this version. Reads all of
/// them.
pub(super) fn is_intact(file: &Slice, name: &str) -> io::Result<bool> {
    let head = file.prefix(0, HEAD)?;
    let is_own = head.len() as u64 == HEAD
        && head[..8] == MAGIC
        && head[8..12] == FORMAT.to_le_bytes()
        && file.prefix(HEAD + 4, name.len() as u64)? == name.as_bytes();
    if !is_own {
        return Ok(false);
    }
    let mut hash = Xxh3Default::new();
    let body = Slice::new(Arc::new(file.clone()), HEAD, file.size() - HEAD);
    body.each_chunk(&mut |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok(head[12..] == hash.digest128().to_le_bytes())
}

/// Reads the facts of a layer that were written under this name.
///
/// # Errors
/// When they are not what [`write`] writes, or exceed a limit.
pub(super) fn read(file: &Slice, name: &str, shared: &Shared) -> Result<IndexedLayer, TarError> {
    let size = file.size();
    let body = Slice::new(Arc::new(file.clone()), HEAD, size.saturating_sub(HEAD));
    let mut input = FactReader(BufReader::new(Sequential::new(body.clone())));
    if input.text(name.len())? != name.as_bytes() {
        return Err(malformed());
    }
    let compression = match input.byte()? {
        0 => CompressionFormat::None,
        1 => CompressionFormat::Gzip,
        2 => CompressionFormat::Zstd,
        3 => CompressionFormat::Xz,
        _ => return Err(malformed()),
    };
    let (packed, unpacked) = (input.blob()?, input.blob()?);
    let (count, length) = (input.number()?, input.number()?);
    let fixed = 4 + name.len() as u64 + 1 + 2 * (4 + HEX as u64 + 8) + 16;
    let data_at = fixed.checked_add(length).ok_or_else(malformed)?;
    let left = body.size().checked_sub(data_at).ok_or_else(malformed)?;
    let data = Slice::new(Arc::new(body), data_at, left);
    let mut entries = Vec::new();
    for _ in 0..count {
        shared.count_member()?;
        entries.push(input.member(&data, shared)?);
    }
    Ok(IndexedLayer {
        entries,
        compression,
        packed: Some(packed),
        unpacked: Some(unpacked),
    })
}

fn malformed() -> TarError {
    TarError::Damaged("its facts in the cache are malformed".to_owned())
}

/// Reads numbers, and texts no longer than a limit.
struct FactReader<R>(R);

impl<R: Read> FactReader<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], TarError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, TarError> {
        Ok(self.array::<1>()?[0])
    }

    fn flag(&mut self) -> Result<bool, TarError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(malformed()),
        }
    }

    fn number(&mut self) -> Result<u64, TarError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<usize, TarError> {
        let count = u32::from_le_bytes(self.array()?);
        usize::try_from(count).map_err(|_| malformed())
    }

    fn text(&mut self, most: usize) -> Result<Vec<u8>, TarError> {
        let length = self.count()?;
        if length > most {
            return Err(malformed());
        }
        let mut bytes = Vec::with_capacity(length.min(PIECE));
        let got = (&mut self.0).take(length as u64).read_to_end(&mut bytes)?;
        match got == length {
            true => Ok(bytes),
            false => Err(malformed()),
        }
    }

    fn blob(&mut self) -> Result<Blob, TarError> {
        let sha256 = String::from_utf8(self.text(HEX)?).map_err(|_| malformed())?;
        let size = self.number()?;
        match is_hex(&sha256) {
            true => Ok(Blob { sha256, size }),
            false => Err(malformed()),
        }
    }

    fn member(&mut self, data: &Slice, shared: &Shared) -> Result<IndexedMember, TarError> {
        let (name, link) = (self.text(MAX_NAME)?, self.text(MAX_NAME)?);
        // As much as reading the layer itself would take.
        shared.room.take((name.len() + link.len()) as u64)?;
        let kind = match self.array()? {
            [0, 0] => MemberKind::File,
            [1, 0] => MemberKind::Directory,
            [2, 0] => MemberKind::Symlink,
            [3, 0] => MemberKind::HardLink,
            [4, 0] => MemberKind::Special,
            [5, flag] => MemberKind::Unknown(flag),
            _ => return Err(malformed()),
        };
        let mut member = Member {
            name,
            link,
            kind,
            mode: u32::from_le_bytes(self.array()?),
            uid: self.number()?,
            gid: self.number()?,
            mtime: self.number()?,
            size: self.number()?,
            stored: self.number()?,
            data_at: self.number()?,
            sparse: None,
            capabilities: None,
            names_others: false,
        };
        let has_capabilities = self.flag()?;
        let capabilities = self.text(MAX_CAPABILITIES)?;
        member.capabilities = has_capabilities.then(|| capabilities.into_boxed_slice());
        member.names_others = self.flag()?;
        let head = match self.byte()? {
            0 => None,
            1 => Some(Head::Elf),
            2 => Some(Head::Script),
            3 => Some(Head::Other),
            _ => return Err(malformed()),
        };
        let is_compared = self.flag()?;
        let fingerprint = u128::from_le_bytes(self.array()?);
        Ok(IndexedMember {
            member,
            head,
            data: match self.flag()? {
                false => Data::None,
                true => Data::Kept(Arc::new(self.kept(data, shared)?)),
            },
            fingerprint: is_compared.then_some(fingerprint),
        })
    }

    /// The parts of a file, which are in `data` one after another.
    fn kept(&mut self, data: &Slice, shared: &Shared) -> Result<Kept, TarError> {
        let size = self.number()?;
        let count = self.count()?;
        let mut parts: Vec<KeptPart> = Vec::new();
        let (mut end, mut length_of_all) = (0_u64, 0_u64);
        for _ in 0..count {
            shared.room.take(size_of::<KeptPart>() as u64)?;
            let (offset, length) = (self.number()?, self.number()?);
            let is_after = parts.is_empty() || offset >= end;
            end = offset.checked_add(length).ok_or_else(malformed)?;
            if !is_after || end > size {
                return Err(malformed());
            }
            parts.push(KeptPart {
                offset,
                length,
                at: length_of_all,
            });
            length_of_all = length_of_all.checked_add(length).ok_or_else(malformed)?;
        }
        let at = self.number()?;
        let is_inside = at
            .checked_add(length_of_all)
            .is_some_and(|end| end <= data.size());
        if !is_inside {
            return Err(malformed());
        }
        // They stay in the file.
        let bytes = Slice::new(Arc::new(data.clone()), at, length_of_all);
        Ok(Kept::stored(size, parts, bytes))
    }
}
