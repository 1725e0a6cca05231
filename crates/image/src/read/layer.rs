//! One layer: its members, and the parts of their data that are kept.
//!
//! In: a tar, in a file or from a stream. Out: entries for the tree. In a file only headers are
//! read (and the first bytes of files, which follow them).

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3Default;

use super::compression::{Budget, CompressionFormat, Exceeded};
use super::input::{InPlace, Streamed};
use super::keep::{Interest, Kept, Probe, Room, Wanted, is_left_out};
use super::limits::Limits;
use super::members::{Member, MemberKind, MemberSource, Members, TarError};
use super::names::is_whiteout;
use super::node::{Data, Head};
use super::sparse::{SparseFile, SparseMap};
use super::spool::Spool;
use super::tree::IndexedMember;
use crate::digest::{Blob, Digester};
use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};

/// Smallest file that is compared with others, in bytes.
pub(super) const COMPARED_FROM: u64 = 4096;
/// Largest sparse file in a compressed layer that is examined, in bytes.
const MAX_SPARSE: u64 = 256 << 20;
/// Size from which a whole file goes to the temporary file rather than through memory, in bytes.
const SPOOLED_FROM: u64 = 4 << 20;
/// First bytes of a member that determine what it is: one tar block.
const START: usize = 512;
/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// State shared by all layers of one image while they are read.
pub(super) struct Shared {
    pub limits: Limits,
    pub interest: Interest,
    pub probe: Probe,
    pub budget: Budget,
    pub room: Room,
    members: AtomicU64,
    spool: Mutex<Option<Arc<Spool>>>,
}

impl Shared {
    pub fn new(limits: Limits, interest: Interest, probe: Probe) -> Self {
        Self {
            limits,
            interest,
            probe,
            budget: Budget::new(limits),
            room: Room::new(limits.kept),
            members: AtomicU64::new(0),
            spool: Mutex::default(),
        }
    }

    /// The temporary file for data from streams.
    fn spool(&self) -> io::Result<Arc<Spool>> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spool) = spool.as_ref() {
            return Ok(spool.clone());
        }
        Ok(spool.insert(Arc::new(Spool::new()?)).clone())
    }

    pub fn count_member(&self) -> Result<(), TarError> {
        if self.members.fetch_add(1, Ordering::Relaxed) < self.limits.members {
            return Ok(());
        }
        Err(TarError::Io(io::Error::other(Exceeded {
            what: "it has more than this many members",
            name: "members",
            limit: self.limits.members,
        })))
    }
}

/// A layer that has been read.
pub(super) struct IndexedLayer {
    pub entries: Vec<IndexedMember>,
    pub compression: CompressionFormat,
    /// The blob as it is stored; `None` when it is hashed elsewhere.
    pub packed: Option<Blob>,
    /// The tar in it; `None` when it is hashed elsewhere.
    pub unpacked: Option<Blob>,
}

impl IndexedLayer {
    /// Total size of the layer's files in bytes.
    pub fn bytes(&self) -> u64 {
        let files = self.files();
        files.fold(0, |total, entry| total.saturating_add(entry.member.size))
    }

    /// Number of its regular files.
    pub fn files(&self) -> impl Iterator<Item = &IndexedMember> {
        self.entries.iter().filter(|entry| {
            entry.member.kind == MemberKind::File && !is_whiteout(&entry.member.name)
        })
    }
}

/// Reads a layer in a file. An uncompressed one is not hashed here.
pub(super) fn index_file(blob: &Slice, shared: &Shared) -> Result<IndexedLayer, TarError> {
    let start = blob.prefix(0, CompressionFormat::MAGIC as u64)?;
    match CompressionFormat::of(&start) {
        CompressionFormat::None => {
            let mut members = Members::new(InPlace::new(blob.clone()));
            Ok(IndexedLayer {
                entries: index_in_place(&mut members, blob, shared)?,
                compression: CompressionFormat::None,
                packed: None,
                unpacked: None,
            })
        }
        compression => {
            let packed = Sequential::new(blob.clone());
            let decoder = compression.decoder(packed, &shared.budget)?;
            let (entries, unpacked) = index_hashed(decoder, blob.size(), shared)?;
            Ok(IndexedLayer {
                entries,
                compression,
                packed: None,
                unpacked: Some(unpacked),
            })
        }
    }
}

/// Reads a layer with this digest as if it came from a stream: nothing of its file is needed afterwards.
/// Fails for an uncompressed one with files that are not kept whole, which can be read where they are.
pub(super) fn index_once(
    blob: &Slice,
    sha256: &str,
    shared: &Shared,
) -> Result<IndexedLayer, TarError> {
    let start = blob.prefix(0, CompressionFormat::MAGIC as u64)?;
    let mut layer = match CompressionFormat::of(&start) {
        CompressionFormat::None => {
            let whole = Sequential::new(blob.clone());
            let (entries, unpacked) = index_hashed(whole, blob.size(), shared)?;
            if entries
                .iter()
                .any(|entry| is_left_out(&entry.member, entry.head))
            {
                return Err(TarError::Io(io::ErrorKind::Unsupported.into()));
            }
            IndexedLayer {
                entries,
                compression: CompressionFormat::None,
                packed: None,
                unpacked: Some(unpacked),
            }
        }
        _ => index_file(blob, shared)?,
    };
    layer.packed = Some(Blob {
        sha256: sha256.to_owned(),
        size: blob.size(),
    });
    Ok(layer)
}

/// Reads a layer from a stream; everything is hashed on the way. `size` in bytes is a hint.
pub(super) fn index_passing(
    start: &[u8],
    blob: impl Read + Send,
    size: u64,
    shared: &Shared,
) -> Result<IndexedLayer, TarError> {
    let compression = CompressionFormat::of(start);
    if compression == CompressionFormat::None {
        let (entries, blob) = index_hashed(blob, size, shared)?;
        return Ok(IndexedLayer {
            entries,
            compression,
            packed: Some(blob.clone()),
            unpacked: Some(blob),
        });
    }
    let mut hashed = Hashed::new(blob, size);
    let (entries, unpacked) = {
        let decoder = compression.decoder(&mut hashed, &shared.budget)?;
        index_hashed(decoder, size, shared)?
    };
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(IndexedLayer {
        entries,
        compression,
        packed: Some(hashed.digester.finish()?),
        unpacked: Some(unpacked),
    })
}

fn index_hashed(
    tar: impl Read + Send,
    size: u64,
    shared: &Shared,
) -> Result<(Vec<IndexedMember>, Blob), TarError> {
    let mut hashed = Hashed::new(tar, size);
    let mut members = Members::new(Streamed::new(&mut hashed));
    let entries = index_stream(&mut members, shared, &mut |_, _, _| Ok(false))?;
    members.drain()?;
    drop(members);
    Ok((entries, hashed.digester.finish()?))
}

/// A reader that hashes what is read.
struct Hashed<R> {
    inner: R,
    digester: Digester<io::Sink>,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R, size: u64) -> Self {
        Self {
            inner,
            digester: Digester::new(io::sink(), size),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        io::Write::write_all(&mut self.digester, &buffer[..count])?;
        Ok(count)
    }
}

/// All members of an uncompressed tar in a file.
pub(super) fn index_in_place(
    members: &mut Members<InPlace>,
    file: &Slice,
    shared: &Shared,
) -> Result<Vec<IndexedMember>, TarError> {
    let mut entries = Vec::new();
    let whole: Arc<dyn ReadAt> = Arc::new(file.clone());
    while let Some(member) = members.next()? {
        shared.count_member()?;
        let (mut head, mut data) = (None, Data::None);
        if member.kind == MemberKind::File {
            let slice = Slice::new(whole.clone(), member.data_at, member.stored);
            data = match &member.sparse {
                None => {
                    head = Some(Head::of(members.head(Head::LENGTH)?));
                    Data::InPlace(slice)
                }
                Some(map) => Data::Sparse(slice, map.clone()),
            };
        }
        entries.push(IndexedMember {
            member,
            head,
            data,
            fingerprint: None,
        });
    }
    Ok(entries)
}

/// Handles a member whose data is not that of a file; returns false if it does not handle it.
pub(super) type Take<'t> =
    dyn FnMut(&Member, &[u8], &mut (dyn Read + Send)) -> Result<bool, TarError> + 't;

/// All members of an archive from a stream; those that `take` handles have no data in the result.
pub(super) fn index_stream<M: MemberSource>(
    members: &mut M,
    shared: &Shared,
    take: &mut Take<'_>,
) -> Result<Vec<IndexedMember>, TarError> {
    let mut entries = Vec::new();
    while let Some(member) = members.next()? {
        shared.count_member()?;
        // Names compress well, and all of them are kept.
        let held = member.name.len() + member.link.len();
        let parts = member.sparse.as_ref().map_or(0, |map| map.bytes());
        shared.room.take((held + parts) as u64)?;
        let mut entry = IndexedMember {
            member,
            head: None,
            data: Data::None,
            fingerprint: None,
        };
        if entry.member.kind == MemberKind::File {
            let start = members.head(START)?.to_vec();
            let head = Head::of(&start);
            entry.head = Some(head);
            if take(&entry.member, &start, &mut members.data())? {
                // If it is a file of a root after all, nothing more is known about it.
                let known = start[..start.len().min(Head::LENGTH)].to_vec();
                entry.data = Data::Kept(Arc::new(Kept::start(entry.member.size, known)));
            } else {
                keep(&mut entry, head, &mut members.data(), shared)?;
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Keeps the needed parts of a file from a stream.
fn keep(
    entry: &mut IndexedMember,
    head: Head,
    data: &mut dyn Read,
    shared: &Shared,
) -> Result<(), TarError> {
    let member = &entry.member;
    if shared.interest == Interest::Contents && member.stored > 0 {
        return spool(entry, data, shared);
    }
    if let Some(map) = member.sparse.clone() {
        return keep_sparse(entry, map, data, shared);
    }
    let wanted = shared.interest.wants(member, head);
    if wanted == Wanted::Whole && member.size > SPOOLED_FROM && shared.spool().is_ok() {
        return spool(entry, data, shared);
    }
    let limit = match wanted {
        Wanted::Whole if !shared.room.admits(member.size) => 0,
        Wanted::Start(limit) => limit.min(member.size),
        Wanted::Whole => member.size,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut hash = (member.size >= COMPARED_FROM).then(Xxh3Default::new);
    let mut start = Vec::new();
    pass(data, member.stored, &mut |piece| {
        let missing = limit - start.len();
        start.extend_from_slice(&piece[..piece.len().min(missing)]);
        if let Some(hash) = &mut hash {
            hash.update(piece);
        }
    })?;
    let is_whole = start.len() as u64 == member.size;
    let kept = match is_whole {
        true => Kept::of(shared.interest, shared.probe, head, &start)?,
        false => Kept::start(member.size, start),
    };
    entry.fingerprint = hash.map(|hash| hash.digest128());
    hold(entry, kept, shared)
}

/// Keeps a whole file from a stream.
fn spool(entry: &mut IndexedMember, data: &mut dyn Read, shared: &Shared) -> Result<(), TarError> {
    let member = &entry.member;
    let is_compared = member.size >= COMPARED_FROM && member.sparse.is_none();
    let mut hash = is_compared.then(Xxh3Default::new);
    let stored = shared.spool()?.store(data, member.stored, &mut |piece| {
        if let Some(hash) = &mut hash {
            hash.update(piece);
        }
    })?;
    entry.fingerprint = hash.map(|hash| hash.digest128());
    entry.data = match &member.sparse {
        None => Data::InPlace(stored),
        Some(map) => {
            // Read errors are reported when its bytes are requested.
            entry.head = None;
            Data::Sparse(stored, map.clone())
        }
    };
    Ok(())
}

/// The same for a sparse file, whose first bytes may not be in the archive.
fn keep_sparse(
    entry: &mut IndexedMember,
    map: Arc<SparseMap>,
    data: &mut dyn Read,
    shared: &Shared,
) -> Result<(), TarError> {
    let (size, length) = (entry.member.size, entry.member.stored);
    // A file that begins with a hole is neither a program nor a script, and a huge one could use
    // any amount of memory.
    let is_small = size <= MAX_SPARSE && shared.room.admits(length);
    let is_wanted = shared.interest.wants(&entry.member, Head::Other) == Wanted::Whole;
    let is_held = is_small && (map.begins_at_zero() || is_wanted);
    let mut stored = Vec::new();
    pass(data, length, &mut |piece| {
        if is_held {
            stored.extend_from_slice(piece);
        }
    })?;
    if !is_held {
        entry.head = Some(Head::Other);
        return hold(entry, Kept::start(size, Vec::new()), shared);
    }
    let file = SparseFile { stored, map };
    let head = Head::of(&file.prefix(0, Head::LENGTH as u64)?);
    entry.head = Some(head);
    let kept = match shared.interest.wants(&entry.member, head) {
        Wanted::Start(limit) => Kept::start(size, file.prefix(0, limit)?),
        Wanted::Whole => Kept::of(shared.interest, shared.probe, head, &file)?,
    };
    hold(entry, kept, shared)
}

fn hold(entry: &mut IndexedMember, kept: Kept, shared: &Shared) -> Result<(), TarError> {
    shared.room.take(kept.bytes())?;
    let kept = kept.spooled(|| shared.spool());
    entry.data = Data::Kept(Arc::new(kept));
    Ok(())
}

/// Reads a member's data to its end.
fn pass(data: &mut dyn Read, size: u64, show: &mut dyn FnMut(&[u8])) -> Result<(), TarError> {
    let mut piece = vec![0; usize::try_from(size).map_or(PIECE, |size| size.min(PIECE))];
    loop {
        match data.read(&mut piece)? {
            0 => return Ok(()),
            count => show(&piece[..count]),
        }
    }
}
