//! The parts of an image: the members of an archive, or the files of a directory.
//!
//! In: a path or standard input. Out: documents and layers by name, and the kind of image,
//! detected by content alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::cache::CachedLayer;
use super::compression::CompressionFormat;
use super::cpio;
use super::error::ReadError;
use super::input::{InPlace, Streamed};
use super::layer::{IndexedLayer, Shared, index_in_place, index_passing, index_stream};
use super::members::{Member, MemberKind, Members, TarError, begins_tar};
use super::node::Data;
use super::tree::IndexedMember;
use crate::digest::Blob;
use slimpack_vfs::bytes::{ReadAt, Sequential, Slice};
use slimpack_vfs::{Errno, HostFile, HostVfs, Memo, NodeKind, View};

/// What was opened.
pub(super) enum Opened {
    /// An archive or directory with image documents.
    Parts(Parts),
    /// A tar of a root.
    Root(IndexedLayer),
    /// The archives of an initrd, the first to be unpacked first.
    Cpio(Vec<IndexedLayer>),
    /// A root directory.
    Folder(std::path::PathBuf),
}

/// Maximum number of links between members that are followed (docker's legacy format links equal
/// layers).
const MAX_ALIASES: usize = 8;

/// Documents and layers by name.
pub(super) enum Parts {
    Archive {
        parts: HashMap<Vec<u8>, StoredPart>,
        aliases: HashMap<Vec<u8>, Vec<u8>>,
    },
    Folder(View),
}

/// A document or layer.
#[derive(Clone)]
pub(super) enum StoredPart {
    /// In a file that can be read again.
    File(Slice),
    /// A document read from a stream.
    Document(Arc<Vec<u8>>),
    /// A document from a stream that was too large to keep.
    TooLarge,
    /// A layer read from a stream, or why it is not a layer.
    Layer(Arc<Result<IndexedLayer, ReadError>>),
    /// A layer whose facts were kept when it was read before.
    Cached(CachedLayer),
}

/// Opens `path`; `-` is standard input.
pub(super) fn open(path: &Path, shared: &Shared) -> Result<Opened, ReadError> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(ReadError::NotAnImage("a terminal"));
        }
        let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let is_file = file.metadata()?.is_file();
        return if is_file && file.stream_position()? == 0 {
            open_file(file, shared)
        } else {
            open_stream(file, shared)
        };
    }
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        open_folder(path, shared)
    } else if kind.is_file() {
        open_file(file, shared)
    } else {
        open_stream(file, shared)
    }
}

/// Opens an archive that comes through a pipe.
pub(super) fn open_pipe(pipe: File, shared: &Shared) -> Result<Opened, ReadError> {
    open_stream(pipe, shared)
}

fn open_folder(path: &Path, shared: &Shared) -> Result<Opened, ReadError> {
    let root = path.canonicalize()?;
    let view = View::new(Box::new(HostVfs::new(&root)), Arc::new(Memo::default()));
    let has = |name: &str| {
        let walk = view.walk(&Path::new("/").join(name));
        walk.is_ok_and(|walk| walk.metadata.kind == NodeKind::File)
    };
    if has("oci-layout") && has("index.json") {
        return Ok(Opened::Parts(Parts::Folder(view)));
    }
    // An unpacked docker archive begins with a list; `skopeo copy … dir:` leaves a manifest under
    // the same name.
    match view.read(Path::new("/manifest.json"), shared.limits.document) {
        Ok(text) if text.starts_with(b"[") => Ok(Opened::Parts(Parts::Folder(view))),
        Ok(text) if text.starts_with(b"{") && has("version") => Err(ReadError::NotAnImage(
            "a directory in skopeo's dir: format (skopeo copy converts it to an OCI layout)",
        )),
        _ => Ok(Opened::Folder(root)),
    }
}

fn open_file(file: File, shared: &Shared) -> Result<Opened, ReadError> {
    let file = Slice::whole(Arc::new(HostFile::new(file)?));
    let start = file.prefix(0, BLOCK)?;
    let compression = CompressionFormat::of(&start);
    if compression != CompressionFormat::None {
        if cpio::is_packed_cpio(compression, &file, shared) {
            return cpio::index_file(&file, shared)
                .map(Opened::Cpio)
                .map_err(outer);
        }
        return open_compressed(compression, Sequential::new(file), shared);
    }
    if cpio::begins_cpio(&start) && !begins_tar(&start) {
        return cpio::index_file(&file, shared)
            .map(Opened::Cpio)
            .map_err(outer);
    }
    check_tar(&start, "")?;
    let mut members = Members::new(InPlace::new(file.clone()));
    let entries = index_in_place(&mut members, &file, shared).map_err(outer)?;
    let is_document = |entry: &IndexedMember| {
        matches!(
            plain_name(&entry.member.name),
            b"manifest.json" | b"oci-layout"
        )
    };
    let mut parts = HashMap::new();
    // A root has many names, none of which is needed here.
    if entries.iter().any(is_document) {
        for IndexedMember { member, data, .. } in &entries {
            if let Data::InPlace(slice) = data {
                parts.insert(
                    plain_name(&member.name).to_vec(),
                    StoredPart::File(slice.clone()),
                );
            }
        }
    }
    Ok(sort_out(entries, parts))
}

fn open_compressed(
    compression: CompressionFormat,
    packed: impl Read + Send,
    shared: &Shared,
) -> Result<Opened, ReadError> {
    if let CompressionFormat::Unsupported(name) = compression {
        return Err(ReadError::Compression("it".into(), name.to_owned()));
    }
    read_stream(
        compression.decoder(packed, &shared.budget)?,
        compression.name(),
        shared,
    )
}

fn open_stream(mut file: impl Read + Send, shared: &Shared) -> Result<Opened, ReadError> {
    let mut start = vec![0; CompressionFormat::MAGIC];
    let count = read_fully(&mut file, &mut start)?;
    start.truncate(count);
    let compression = CompressionFormat::of(&start);
    let whole = io::Cursor::new(start).chain(file);
    match compression {
        CompressionFormat::None => read_stream(whole, "", shared),
        _ => open_compressed(compression, whole, shared),
    }
}

fn read_stream(tar: impl Read + Send, packed: &str, shared: &Shared) -> Result<Opened, ReadError> {
    let mut tar = tar;
    let mut start = vec![0; BLOCK as usize];
    let count = read_fully(&mut tar, &mut start).map_err(|error| outer(error.into()))?;
    start.truncate(count);
    if cpio::begins_cpio(&start) && !begins_tar(&start) {
        let whole = io::Cursor::new(start).chain(tar);
        return cpio::index_stream_of(whole, shared)
            .map(Opened::Cpio)
            .map_err(outer);
    }
    check_tar(&start, packed)?;
    let mut members = Members::new(Streamed::new(io::Cursor::new(start).chain(tar)));
    let mut parts = HashMap::new();
    let mut take = |member: &Member, start: &[u8], data: &mut (dyn Read + Send)| {
        let name = plain_name(&member.name);
        let part = match looks_like(name, start) {
            Some(Looks::Document) if member.stored > shared.limits.document => StoredPart::TooLarge,
            Some(Looks::Document) => {
                shared.room.take(member.stored)?;
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes)?;
                StoredPart::Document(Arc::new(bytes))
            }
            Some(Looks::Layer) => {
                let layer = index_passing(start, &mut *data, member.stored, shared);
                // A member that is not a layer may not be part of the image at all.
                io::copy(data, &mut io::sink())?;
                let layer = layer.map_err(|error| within(error, &String::from_utf8_lossy(name)));
                StoredPart::Layer(Arc::new(layer))
            }
            _ => return Ok(false),
        };
        parts.insert(name.to_vec(), part);
        Ok(true)
    };
    let entries = index_stream(&mut members, shared, &mut take).map_err(outer)?;
    Ok(sort_out(entries, parts))
}

/// Whether the members are parts of an image or files of a root.
fn sort_out(entries: Vec<IndexedMember>, parts: HashMap<Vec<u8>, StoredPart>) -> Opened {
    let is_oci = parts.contains_key(&b"oci-layout"[..]);
    let has_root = entries.iter().any(|entry| {
        let name = plain_name(&entry.member.name);
        name.starts_with(b"etc/") || name.starts_with(b"usr/") || name.starts_with(b"bin/")
    });
    if !is_oci && (has_root || !parts.contains_key(&b"manifest.json"[..])) {
        return Opened::Root(IndexedLayer {
            entries,
            compression: CompressionFormat::None,
            packed: None,
            unpacked: None,
        });
    }
    let mut aliases = HashMap::new();
    for IndexedMember { member, .. } in &entries {
        let name = plain_name(&member.name).to_vec();
        match member.kind {
            MemberKind::HardLink => {
                aliases.insert(name, plain_name(&member.link).to_vec());
            }
            MemberKind::Symlink => {
                let folder = Path::new(std::ffi::OsStr::new(
                    std::str::from_utf8(&name).unwrap_or_default(),
                ))
                .parent();
                let link = std::str::from_utf8(&member.link).unwrap_or_default();
                if let Some(target) = folder.and_then(|folder| lexical(&folder.join(link))) {
                    aliases.insert(name, target.into_bytes());
                }
            }
            _ => {}
        }
    }
    Opened::Parts(Parts::Archive { parts, aliases })
}

/// A path inside the archive without `.` and `..`; `None` when it points outside.
fn lexical(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part.to_str()?),
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(parts.pop()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

enum Looks {
    Document,
    Layer,
}

/// A stream cannot be rewound: whatever a manifest could reference has to be kept as it passes.
fn looks_like(name: &[u8], start: &[u8]) -> Option<Looks> {
    let depth = name.iter().filter(|&&byte| byte == b'/').count();
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let is_hex = last.len() == 64 && last.iter().all(u8::is_ascii_hexdigit);
    let is_blob = name.starts_with(b"blobs/") && depth == 2 && is_hex;
    let is_packed = CompressionFormat::of(start) != CompressionFormat::None;
    let is_tar = begins_tar(start);
    let is_json = !is_tar && matches!(start, [b'{' | b'[', ..]);
    if is_json && (is_blob || depth <= 1) {
        return Some(Looks::Document);
    }
    let endings = [&b".tar"[..], b".tar.gz", b".tgz", b".tar.zst"];
    let is_named_so = endings.iter().any(|ending| name.ends_with(ending));
    let is_layer = is_named_so && depth <= 1 && (is_tar || is_packed);
    (is_blob || is_layer).then_some(Looks::Layer)
}

const BLOCK: u64 = 512;

/// Rejects anything that is not a tar.
fn check_tar(start: &[u8], packed: &str) -> Result<(), ReadError> {
    let what = match start {
        [] => "an empty file",
        _ if !packed.is_empty() && !begins_tar(start) => "a compressed file that is not a tar",
        [0x7f, b'E', b'L', b'F', ..] => "an ELF file",
        [b'#', b'!', ..] => "a script",
        _ if begins_tar(start) => return Ok(()),
        _ if cpio::begins_old_cpio(start) => {
            "a cpio archive in an old format (Linux reads those of cpio -H newc)"
        }
        _ => "not a tar",
    };
    Err(ReadError::NotAnImage(what))
}

/// A member's name as documents write it.
pub(super) fn plain_name(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    name
}

fn read_fully(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn outer(error: TarError) -> ReadError {
    within(error, "the archive")
}

/// A tar error with the name of the tar.
pub(super) fn within(error: TarError, name: &str) -> ReadError {
    match error {
        TarError::Damaged(what) => ReadError::Tar {
            within: name.to_owned(),
            what,
        },
        TarError::Io(error) => {
            use super::compression::Exceeded;
            let exceeded = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Exceeded>());
            match exceeded {
                Some(exceeded) => ReadError::Limit {
                    what: exceeded.what.to_owned(),
                    name: exceeded.name,
                    limit: exceeded.limit,
                },
                None if error.kind() == io::ErrorKind::Unsupported => {
                    ReadError::Compression(name.to_owned(), error.to_string())
                }
                None if error.kind() == io::ErrorKind::UnexpectedEof => ReadError::Tar {
                    within: name.to_owned(),
                    what: "it is cut off".to_owned(),
                },
                None => ReadError::Tar {
                    within: name.to_owned(),
                    what: error.to_string(),
                },
            }
        }
    }
}

impl Parts {
    /// The part called `name`, which `by` references.
    pub fn part(&self, name: &str, by: &str) -> Result<StoredPart, ReadError> {
        let absent = || ReadError::Absent {
            name: name.to_owned(),
            by: by.to_owned(),
        };
        match self {
            Self::Archive { parts, aliases } => {
                let mut key = name.as_bytes();
                for _ in 0..MAX_ALIASES {
                    if let Some(part) = parts.get(key) {
                        return Ok(part.clone());
                    }
                    key = aliases.get(key).ok_or_else(absent)?;
                }
                Err(absent())
            }
            Self::Folder(view) => {
                let path = Path::new("/").join(name);
                let walk = match view.walk(&path) {
                    Ok(walk) if walk.metadata.kind == NodeKind::File => walk,
                    Err(Errno::NotFound) | Ok(_) => return Err(absent()),
                    Err(errno) => return Err(unusable(&path, errno)),
                };
                let file = view.open(&walk).map_err(|errno| unusable(&path, errno))?;
                Ok(StoredPart::File(Slice::whole(Arc::from(file))))
            }
        }
    }

    /// Whether there is such a part.
    pub fn has(&self, name: &str) -> bool {
        self.part(name, "").is_ok()
    }

    /// The bytes of a document, and their digest and size.
    pub fn document(&self, name: &str, by: &str, limit: u64) -> Result<(Vec<u8>, Blob), ReadError> {
        let bytes = match self.part(name, by)? {
            StoredPart::Document(bytes) => bytes.as_ref().clone(),
            StoredPart::File(file) if file.size() <= limit => file.prefix(0, limit)?,
            StoredPart::File(_) | StoredPart::TooLarge => {
                return Err(ReadError::Limit {
                    what: format!("its {name} is larger than this many bytes"),
                    name: "document",
                    limit,
                });
            }
            StoredPart::Layer(_) | StoredPart::Cached(_) => {
                return Err(ReadError::Document {
                    name: name.to_owned(),
                    why: "it is not JSON".to_owned(),
                });
            }
        };
        let blob = Blob::of(&bytes);
        Ok((bytes, blob))
    }
}

fn unusable(path: &Path, errno: Errno) -> ReadError {
    ReadError::Path {
        path: path.to_path_buf(),
        why: errno.message(),
    }
}
