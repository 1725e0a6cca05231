//! What is kept of files that cannot be read again: those in compressed layers.
//!
//! In: a whole file, as it passes by. Out: the parts of it that a closure, or the checks of a
//! closure, will read. Which parts those are need not be known in advance: the same code reads
//! them once here, and what it reads is kept.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::compression::Exceeded;
use super::members::Member;
use super::node::Head;
use super::parts::plain_name;
use super::spool::Spool;
use crate::{MAX_RECORD_FILE, RECORD_FILE};
use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};

/// Bytes kept of a script: its first line, which Linux truncates at 255.
const SCRIPT: u64 = 256;
/// Largest file that is kept from a configuration directory (`etc`), in bytes.
const CONFIGURATION: u64 = 1 << 20;
/// Parts closer to each other than this are kept as one, in bytes.
const GAP: u64 = 512;
/// Most bytes of a file that are kept in memory; more go to a temporary file.
const IN_MEMORY: u64 = 1024;

/// What will be read of an image's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Names, sizes and kinds of files.
    Listing,
    /// What a loader reads to resolve closures.
    Closures,
    /// What a loader reads, plus symbol versions and symbols.
    Symbols,
    /// Everything: files are extracted from the image.
    Contents,
}

/// Reads from an ELF file what [`Interest`] will read of it later. Passed in by the caller, because
/// this crate does not know what loaders and checks read.
pub type Probe = fn(Interest, &dyn ReadAt);

/// How much of a passing file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Start(u64),
    Whole,
}

impl Interest {
    pub(super) fn wants(self, member: &Member, head: Head) -> Wanted {
        let name = plain_name(&member.name);
        match head {
            Head::Elf => Wanted::Whole,
            Head::Script => Wanted::Start(SCRIPT),
            Head::Other if is_configuration(name) && member.size <= CONFIGURATION => Wanted::Whole,
            Head::Other if is_record(name) && member.size <= MAX_RECORD_FILE => Wanted::Whole,
            Head::Other => Wanted::Start(SCRIPT),
        }
    }
}

/// Whether a file that would be read is too large to be kept; in an uncompressed layer it can be read.
pub(super) fn is_left_out(member: &Member, head: Option<Head>) -> bool {
    let name = plain_name(&member.name);
    let is_other = head == Some(Head::Other) && member.sparse.is_none();
    let is_large = member.size > CONFIGURATION && is_configuration(name)
        || member.size > MAX_RECORD_FILE && is_record(name);
    member.sparse.is_some() || is_other && is_large
}

/// Whether loaders or engines may read a file, judged by its directory, or by its name if a link
/// may point to it.
fn is_configuration(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let is_named_so = matches!(
        last,
        b"passwd" | b"group" | b"ld.so.cache" | b"nsswitch.conf"
    ) || [&b".conf"[..], b".path", b".preload"]
        .iter()
        .any(|ending| last.ends_with(ending));
    name.starts_with(b"etc/") || is_named_so
}

fn is_record(name: &[u8]) -> bool {
    Some(name) == RECORD_FILE.as_bytes().strip_prefix(b"/")
}

/// The kept parts of a file, by offset.
pub(super) struct Kept {
    size: u64,
    parts: Vec<KeptPart>,
    /// The bytes of all parts, one after the other.
    data: Slice,
}

/// A part of a file, and where its bytes are among those that are kept.
#[derive(Clone, Copy)]
pub(super) struct KeptPart {
    pub offset: u64,
    pub length: u64,
    pub at: u64,
}

impl Kept {
    /// The first bytes of a file.
    pub fn start(size: u64, bytes: Vec<u8>) -> Self {
        Self::new(size, vec![(0, bytes)])
    }

    fn new(size: u64, kept: Vec<(u64, Vec<u8>)>) -> Self {
        let mut parts = Vec::with_capacity(kept.len());
        let mut data = Vec::with_capacity(kept.iter().map(|(_, bytes)| bytes.len()).sum());
        for (offset, bytes) in kept {
            parts.push(KeptPart {
                offset,
                length: bytes.len() as u64,
                at: data.len() as u64,
            });
            data.extend(bytes);
        }
        Self {
            size,
            parts,
            data: Slice::whole(Arc::new(data)),
        }
    }

    /// All of a file that can be read again.
    pub fn whole(file: Slice) -> Self {
        let length = file.size();
        let part = KeptPart {
            offset: 0,
            length,
            at: 0,
        };
        Self::stored(length, vec![part], file)
    }

    /// Parts of a file of this size, ordered by offset, whose bytes are one after the other in `data`.
    pub fn stored(size: u64, parts: Vec<KeptPart>, data: Slice) -> Self {
        Self { size, parts, data }
    }

    /// The parts, ordered by offset.
    pub fn parts(&self) -> &[KeptPart] {
        &self.parts
    }

    /// The bytes of all parts, one after the other.
    pub fn data(&self) -> &Slice {
        &self.data
    }

    /// What `interest` will read of the ELF file `file`; all of any other file.
    pub fn of(interest: Interest, probe: Probe, head: Head, file: &dyn ReadAt) -> io::Result<Self> {
        let size = file.size();
        if head != Head::Elf || size <= GAP {
            return Ok(Self::start(size, file.prefix(0, size)?));
        }
        let recorder = Recorder {
            file,
            ranges: Mutex::default(),
        };
        probe(interest, &recorder);
        let ranges = recorder.ranges.into_inner().unwrap_or_default();
        let mut parts = Vec::new();
        for (start, end) in merged(ranges) {
            parts.push((start, file.prefix(start, end - start)?));
        }
        Ok(Self::new(size, parts))
    }

    /// Number of bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.data.size()
    }

    /// Moves the bytes to a temporary file, when they are many. Without such a file they stay in
    /// memory.
    pub fn spooled(mut self, spool: impl FnOnce() -> io::Result<Arc<Spool>>) -> Self {
        let size = self.bytes();
        if size > IN_MEMORY
            && let Ok(spool) = spool()
            && let Ok(moved) =
                spool.store(&mut Sequential::new(self.data.clone()), size, &mut |_| {})
        {
            self.data = moved;
        }
        self
    }
}

fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1.saturating_add(GAP) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

impl ReadAt for Kept {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let behind = self.parts.partition_point(|part| part.offset <= offset);
        let part = behind.checked_sub(1).map(|index| self.parts[index]);
        let part = part.ok_or_else(not_kept)?;
        let from = offset - part.offset;
        if part.length.saturating_sub(from) < wanted as u64 {
            return Err(not_kept());
        }
        self.data.read_at(&mut buffer[..wanted], part.at + from)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn not_kept() -> io::Error {
    io::Error::other(
        "this part of a file in a compressed layer was not kept; unpack the image first",
    )
}

/// Records which parts of a file are read.
struct Recorder<'f> {
    file: &'f dyn ReadAt,
    ranges: Mutex<Vec<(u64, u64)>>,
}

impl ReadAt for Recorder<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file.read_at(buffer, offset)?;
        if count > 0 {
            let mut ranges = self
                .ranges
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            ranges.push((offset, offset + count as u64));
        }
        Ok(count)
    }

    fn size(&self) -> u64 {
        self.file.size()
    }
}

/// Memory budget for what is kept.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicU64,
    limit: u64,
    has_refused: AtomicBool,
}

impl Room {
    pub fn new(limit: u64) -> Self {
        Self {
            left: AtomicU64::new(limit),
            limit,
            has_refused: AtomicBool::new(false),
        }
    }

    /// Takes `bytes` from the budget.
    pub fn take(&self, bytes: u64) -> io::Result<()> {
        let order = Ordering::Relaxed;
        let taken = self
            .left
            .fetch_update(order, order, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            io::Error::other(Exceeded {
                what: "reading its compressed layers takes more than this many bytes of memory",
                name: "kept",
                limit: self.limit,
            })
        })
    }

    /// Whether the budget admits a file of this size, in bytes.
    pub fn admits(&self, size: u64) -> bool {
        let admits = size <= self.limit;
        if !admits {
            self.has_refused.store(true, Ordering::Relaxed);
        }
        admits
    }

    /// Whether a file was too large, so that less is kept than another budget would keep.
    pub fn has_refused(&self) -> bool {
        self.has_refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_probe_reads_is_kept_and_nothing_else() {
        fn probe(_: Interest, file: &dyn ReadAt) {
            for offset in [0, 64, 8192] {
                let _ = file.range(offset, 32);
            }
        }
        let whole: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        let kept = Kept::of(Interest::Symbols, probe, Head::Elf, &whole).unwrap();
        assert!(kept.bytes() < 200, "{}", kept.bytes());
        for offset in [0, 64, 8192] {
            let expected = whole.range(offset, 32).unwrap();
            assert_eq!(kept.range(offset, 32).unwrap(), expected);
        }
        assert!(kept.range(4096, 8).is_err());
    }

    #[test]
    fn reads_outside_what_was_kept_fail_and_never_return_something_else() {
        let kept = Kept::new(100, vec![(10, vec![1; 10]), (50, vec![2; 10])]);
        assert_eq!(kept.range(12, 4).unwrap(), Some(vec![1; 4]));
        assert_eq!(kept.range(55, 5).unwrap(), Some(vec![2; 5]));
        for offset in [0, 9, 20, 49, 60, 99] {
            assert!(kept.range(offset, 1).is_err(), "{offset}");
        }
        assert!(kept.range(15, 10).is_err());
        assert_eq!(kept.range(100, 1).unwrap(), None);
    }
}
