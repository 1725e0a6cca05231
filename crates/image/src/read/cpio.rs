//! The members of an initrd: cpio archives, one after another, each compressed or not.
//!
//! In: a file or a stream. Out: the members of each archive, to be applied on top of those before, as
//! Linux does. Only the format of Linux is read: newc, with or without checksums. Source: Linux,
//! `Documentation/driver-api/early-userspace/buffer-format.rst` and `init/initramfs.c`.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compression::{CompressionFormat, Segment};
use super::input::{Input, Streamed};
use super::layer::{IndexedLayer, Shared, index_stream};
use super::members::{Member, MemberData, MemberKind, MemberSource, TarError, damaged};
use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};

/// Length of a header: a magic number, and 13 numbers of eight hexadecimal digits.
const HEADER: usize = 110;
/// Longest name and longest target of a link, in bytes (`PATH_MAX`).
const MAX_PATH: u64 = 4096;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Whether a file begins with an archive that Linux would unpack.
pub(super) fn begins_cpio(start: &[u8]) -> bool {
    start.starts_with(b"070701") || start.starts_with(b"070702")
}

/// Whether it begins with an archive in one of cpio's older formats, which Linux does not read.
pub(super) fn begins_old_cpio(start: &[u8]) -> bool {
    let magic = start.first_chunk().copied();
    start.starts_with(b"070707") || matches!(magic, Some([0xc7, 0x71] | [0x71, 0xc7]))
}

/// Whether a compressed file holds a cpio archive.
pub(super) fn is_packed_cpio(
    compression: CompressionFormat,
    file: &Slice,
    shared: &Shared,
) -> bool {
    let segment = Segment::new(Sequential::new(file.clone()));
    let Ok(mut decoder) = segment.decoder(compression, &shared.budget) else {
        return false;
    };
    let mut start = [0; 6];
    decoder.read_exact(&mut start).is_ok() && begins_cpio(&start)
}

/// All archives of a file, the first to be unpacked first.
pub(super) fn index_file(file: &Slice, shared: &Shared) -> Result<Vec<IndexedLayer>, TarError> {
    let mut layers = Vec::new();
    let mut at = 0;
    loop {
        let whole: Arc<dyn ReadAt> = Arc::new(file.clone());
        let rest = |at: u64| Sequential::new(Slice::new(whole.clone(), at, file.size() - at));
        let mut input = Streamed::new(rest(at));
        archives(&mut input, shared, &mut layers)?;
        at += input.position();
        let start = input.peek(CompressionFormat::MAGIC)?;
        if start.is_empty() {
            return Ok(layers);
        }
        let compression = CompressionFormat::of(start);
        if compression == CompressionFormat::None {
            return Err(stray(at));
        }
        let segment = Segment::new(rest(at));
        let taken = segment.taken();
        let mut unpacked = Streamed::new(segment.decoder(compression, &shared.budget)?);
        archives(&mut unpacked, shared, &mut layers)?;
        if !unpacked.peek(1)?.is_empty() {
            return Err(stray(at));
        }
        let taken = taken.load(Ordering::Relaxed);
        // A decoder that took nothing would begin here again.
        at = match at
            .checked_add(taken)
            .filter(|end| taken > 0 && *end <= file.size())
        {
            Some(end) => end,
            None => return Err(stray(at)),
        };
    }
}

/// All archives of a stream that is not compressed, or that has been decompressed.
pub(super) fn index_stream_of(
    stream: impl Read + Send,
    shared: &Shared,
) -> Result<Vec<IndexedLayer>, TarError> {
    let mut layers = Vec::new();
    let mut input = Streamed::new(stream);
    archives(&mut input, shared, &mut layers)?;
    match input.peek(1)?.is_empty() {
        true => Ok(layers),
        false => Err(stray(input.position())),
    }
}

fn stray(at: u64) -> TarError {
    damaged(at, "there is something other than a cpio archive")
}

/// Reads archives up to something that does not begin one.
fn archives<I: Input + Send>(
    input: &mut I,
    shared: &Shared,
    layers: &mut Vec<IndexedLayer>,
) -> Result<(), TarError> {
    loop {
        // Archives begin at multiples of four bytes; other tools pad to blocks.
        while input.peek(1)? == [0] {
            input.skip(1)?;
        }
        if !begins_cpio(input.peek(6)?) {
            return Ok(());
        }
        // Empty archives count, too: each takes some memory.
        shared.count_member()?;
        let mut members = CpioMembers::new(&mut *input, shared);
        layers.push(IndexedLayer {
            entries: index_stream(&mut members, shared, &mut |_, _, _| Ok(false))?,
            compression: CompressionFormat::None,
            packed: None,
            unpacked: None,
        });
    }
}

/// A file with several names. All but one of its members are empty: GNU cpio writes the data after
/// the last name, others after the first.
enum LinkedFile {
    /// Names that came before the data.
    Waiting(Vec<Member>),
    /// The name under which it has its data.
    Named(Vec<u8>),
}

/// The numbers that identify a file: inode, and both halves of the device.
type InodeNumbers = [u32; 3];

/// Walks the members of one archive.
struct CpioMembers<'i, I> {
    input: &'i mut I,
    shared: &'i Shared,
    /// Bytes of the current member's data and padding that have not been consumed.
    left: u64,
    padding: u64,
    has_ended: bool,
    /// Members that are complete, and have no data of their own.
    ready: VecDeque<Member>,
    linked: HashMap<InodeNumbers, LinkedFile>,
    /// The order in which linked files were found first.
    order: Vec<InodeNumbers>,
}

impl<'i, I: Input + Send> MemberSource for CpioMembers<'i, I> {
    type Data<'m>
        = MemberData<'m, I>
    where
        Self: 'm;

    fn next(&mut self) -> Result<Option<Member>, TarError> {
        loop {
            self.finish_member()?;
            if let Some(member) = self.ready.pop_front() {
                return Ok(Some(member));
            }
            if self.has_ended {
                return Ok(None);
            }
            if let Some(member) = self.read_member()? {
                return Ok(Some(member));
            }
        }
    }

    fn head(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = count.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.input.peek(count)
    }

    fn data(&mut self) -> MemberData<'_, I> {
        MemberData {
            input: self.input,
            left: &mut self.left,
        }
    }
}

impl<'i, I: Input> CpioMembers<'i, I> {
    fn new(input: &'i mut I, shared: &'i Shared) -> Self {
        Self {
            input,
            shared,
            left: 0,
            padding: 0,
            has_ended: false,
            ready: VecDeque::new(),
            linked: HashMap::new(),
            order: Vec::new(),
        }
    }

    fn finish_member(&mut self) -> Result<(), TarError> {
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        match self.input.skip(rest)? {
            true => Ok(()),
            false => Err(self.cut_off()),
        }
    }

    fn cut_off(&self) -> TarError {
        damaged(self.input.position(), "it is cut off inside a member")
    }

    /// Reads a header with its name; `None` if the member has to wait for data, or ends the archive.
    fn read_member(&mut self) -> Result<Option<Member>, TarError> {
        let at = self.input.position();
        let header = self.input.peek(HEADER)?;
        if header.len() < HEADER {
            return Err(damaged(at, "it ends without a trailer"));
        }
        if !begins_cpio(header) {
            return Err(damaged(at, "a header has no magic number"));
        }
        let fields =
            fields(&header[6..]).ok_or_else(|| damaged(at, "a header is not hexadecimal"))?;
        self.input.skip(HEADER as u64)?;
        let [inode, mode, uid, gid, links, mtime, size, major, minor, ..] = fields;
        let name_length = u64::from(fields[11]);
        if !(1..=MAX_PATH).contains(&name_length) {
            return Err(damaged(at, "a name is empty, or longer than any path"));
        }
        let mut name = self.text(name_length, HEADER as u64)?;
        name.truncate(memchr::memchr(0, &name).unwrap_or(name.len()));
        if name == TRAILER {
            self.end();
            return Ok(None);
        }
        let kind = kind(mode);
        let mut member = Member {
            name,
            link: Vec::new(),
            kind,
            mode: mode & 0o7777,
            uid: uid.into(),
            gid: gid.into(),
            mtime: mtime.into(),
            size: 0,
            stored: 0,
            data_at: self.input.position(),
            sparse: None,
            capabilities: None,
            names_others: false,
        };
        match kind {
            MemberKind::Symlink if u64::from(size) > MAX_PATH => {
                return Err(damaged(at, "the target of a link is longer than any path"));
            }
            MemberKind::Symlink => member.link = self.text(size.into(), 0)?,
            _ => {
                self.left = size.into();
                self.padding = padding(size.into());
            }
        }
        if kind != MemberKind::File {
            return Ok(Some(member));
        }
        (member.size, member.stored) = (size.into(), size.into());
        match links > 1 {
            true => self.link([inode, major, minor], member),
            false => Ok(Some(member)),
        }
    }

    /// Reads a text of a few bytes, and the padding after it.
    fn text(&mut self, length: u64, before: u64) -> Result<Vec<u8>, TarError> {
        let mut text = vec![0; length as usize];
        let mut done = 0;
        while done < text.len() {
            match self.input.read(&mut text[done..])? {
                0 => return Err(self.cut_off()),
                count => done += count,
            }
        }
        match self.input.skip(padding(before + length))? {
            true => Ok(text),
            false => Err(self.cut_off()),
        }
    }

    /// One name of a file that has several.
    fn link(
        &mut self,
        inode: InodeNumbers,
        mut member: Member,
    ) -> Result<Option<Member>, TarError> {
        let held = member.name.len() + size_of::<Member>();
        self.shared.room.take(held as u64)?;
        let name = member.name.clone();
        match (self.linked.get_mut(&inode), member.size) {
            (Some(LinkedFile::Named(first)), 0) => {
                hard_link(&mut member, first);
                Ok(Some(member))
            }
            (Some(LinkedFile::Waiting(waiting)), 0) => {
                waiting.push(member);
                Ok(None)
            }
            (None, 0) => {
                self.order.push(inode);
                self.linked.insert(inode, LinkedFile::Waiting(vec![member]));
                Ok(None)
            }
            _ => {
                let before = self.linked.insert(inode, LinkedFile::Named(name.clone()));
                if let Some(LinkedFile::Waiting(waiting)) = before {
                    self.release(waiting, &name);
                }
                Ok(Some(member))
            }
        }
    }

    /// Hands out names that waited for data under another name.
    fn release(&mut self, waiting: Vec<Member>, name: &[u8]) {
        for mut member in waiting {
            hard_link(&mut member, name);
            self.ready.push_back(member);
        }
    }

    /// Files whose data never came are empty.
    fn end(&mut self) {
        self.has_ended = true;
        for inode in std::mem::take(&mut self.order) {
            if let Some(LinkedFile::Waiting(mut waiting)) = self.linked.remove(&inode) {
                let first = waiting.remove(0);
                let name = first.name.clone();
                self.ready.push_back(first);
                self.release(waiting, &name);
            }
        }
    }
}

fn hard_link(member: &mut Member, to: &[u8]) {
    member.kind = MemberKind::HardLink;
    member.link = to.to_vec();
}

/// The bytes up to the next multiple of four.
fn padding(length: u64) -> u64 {
    (4 - length % 4) % 4
}

/// The numbers of a header.
fn fields(digits: &[u8]) -> Option<[u32; 13]> {
    let mut fields = [0; 13];
    for (field, digits) in fields.iter_mut().zip(digits.chunks_exact(8)) {
        let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|_| is_hexadecimal)?;
        *field = u32::from_str_radix(digits, 16).ok()?;
    }
    Some(fields)
}

/// What a member is, by the bits of its mode (`inode(7)`).
fn kind(mode: u32) -> MemberKind {
    match mode & 0o170_000 {
        0o100_000 => MemberKind::File,
        0o040_000 => MemberKind::Directory,
        0o120_000 => MemberKind::Symlink,
        0o010_000 | 0o020_000 | 0o060_000 | 0o140_000 => MemberKind::Special,
        other => MemberKind::Unknown((other >> 12) as u8),
    }
}
