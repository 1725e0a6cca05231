//! The host's files below one root directory.
//!
//! In: a root (`/` or `--root DIR`). Out: a [`Vfs`] whose `/` is that directory. It
//! never follows a link itself, so an absolute link in a sysroot cannot escape.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    Dir, Mode, OFlags, ResolveFlags, SeekFrom, fgetxattr, flistxattr, lgetxattr, llistxattr, open,
    openat, openat2, readlinkat, seek,
};
use rustix::io::Errno as Raw;

use foldhash::HashMap;

use super::{
    ACCESS_LIST, AccessList, Attributes, CAPABILITIES, Errno, FileId, MAX_ACCESS_LIST,
    MAX_CAPABILITIES, Metadata, NodeKind, Owner, Vfs,
};
use crate::bytes::{self, ReadAt};

/// Maximum size of the list of a file's extended attributes, in bytes; a file has few.
const MAX_NAMES: usize = 1024;

/// The files below one directory of this machine.
///
/// `/` is read by paths. Below any other root everything is opened through the root's own
/// descriptor, and no component may be a link: a user who can write in the root may swap a
/// directory for a link at any time, and must not lead out of it.
#[derive(Debug)]
pub struct HostVfs {
    /// The root's descriptor, or why there is none; `None` for `/`.
    below: Option<Result<OwnedFd, Raw>>,
    /// Devices that were queried for an attribute, each with whether its file system supports any.
    volumes: Mutex<HashMap<u64, bool>>,
}

impl HostVfs {
    /// A tree whose `/` is the directory `root`, an absolute path without links.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = (root != Path::new("/")).then(|| open(&root, flags, Mode::empty()));
        let volumes = Mutex::default();
        Self { below, volumes }
    }

    /// Whether the file system on a device has extended attributes; `None` before it is queried.
    fn has_attributes(&self, volume: u64) -> Option<bool> {
        self.volumes().get(&volume).copied()
    }

    fn volumes(&self) -> MutexGuard<'_, HashMap<u64, bool>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `lstat(2)` reports of the node at `path`.
    ///
    /// # Errors
    /// The error of `lstat(2)`.
    pub fn stat(&self, path: &Path) -> io::Result<fs::Metadata> {
        match self.descriptor(path, OFlags::PATH)? {
            None => fs::symlink_metadata(path),
            Some(node) => File::from(node).metadata(),
        }
    }

    /// Opens the node at `path`, no component of which may be a link; `None` if the root is `/`,
    /// where paths are used.
    fn descriptor(&self, path: &Path, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let root = match &self.below {
            None => return Ok(None),
            Some(Err(error)) => return Err((*error).into()),
            Some(Ok(root)) => root,
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut inside = PathBuf::new();
        inside.extend(
            path.components()
                .filter(|c| matches!(c, Component::Normal(_))),
        );
        if inside.as_os_str().is_empty() {
            inside.push(".");
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, &inside, flags, Mode::empty(), resolve) {
            // Linux before 5.6, and sandboxes that do not support it.
            Err(Raw::NOSYS | Raw::PERM) => Ok(Some(step_by_step(root, &inside, flags)?)),
            opened => Ok(Some(opened?)),
        }
    }
}

/// Opens a path component by component, each of which must be a directory and not a link.
fn step_by_step(root: &OwnedFd, inside: &Path, flags: OFlags) -> Result<OwnedFd, Raw> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(root, ".", step, Mode::empty())?;
    let mut components = inside.components().peekable();
    while let Some(component) = components.next() {
        if components.peek().is_none() {
            return openat(&at, component.as_os_str(), flags, Mode::empty());
        }
        at = openat(&at, component.as_os_str(), step, Mode::empty())?;
    }
    Ok(at)
}

impl Vfs for HostVfs {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        Ok(metadata(&self.stat(path).map_err(errno)?))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        let Some(link) = self.descriptor(path, OFlags::PATH).map_err(errno)? else {
            return fs::read_link(path).map_err(errno);
        };
        let target = readlinkat(link, "", Vec::new()).map_err(|raw| errno(raw.into()))?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut names: Vec<OsString> = match self.descriptor(path, flags).map_err(errno)? {
            None => {
                let entries = fs::read_dir(path).map_err(errno)?;
                let names = entries.map(|entry| entry.map(|e| e.file_name()).map_err(errno));
                names.collect::<Result<_, _>>()?
            }
            Some(directory) => {
                let entries = Dir::new(directory).map_err(|raw| errno(raw.into()))?;
                let names = entries.map(|entry| {
                    let entry = entry.map_err(|raw| errno(raw.into()))?;
                    Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
                });
                names.collect::<Result<_, _>>()?
            }
        };
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        // O_NONBLOCK: a fifo put in place of a library must not hang the reader.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.descriptor(path, flags).map_err(errno)? {
            Some(file) => File::from(file),
            None => OpenOptions::new()
                .read(true)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
                .open(path)
                .map_err(errno)?,
        };
        let file = HostFile::new(file).map_err(errno)?;
        Ok(Box::new(file))
    }

    fn attributes(&self, path: &Path, id: FileId) -> Attributes {
        if self.has_attributes(id.volume) == Some(false) {
            return Attributes::default();
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Ok(file) = self.descriptor(path, flags) else {
            return Attributes::default();
        };
        let file = file.as_ref();
        let mut names = [0_u8; MAX_NAMES];
        let length = match file {
            None => llistxattr(path, &mut names[..]),
            Some(file) => flistxattr(file, &mut names[..]),
        };
        let get = |name: &str, value: &mut [u8]| match file {
            None => lgetxattr(path, name, value),
            Some(file) => fgetxattr(file, name, value),
        };
        if matches!(length, Ok(0)) && self.has_attributes(id.volume).is_none() {
            // A file system that does not support attributes does not list any either.
            let probed = get(CAPABILITIES, &mut []);
            self.volumes()
                .insert(id.volume, probed != Err(Raw::OPNOTSUPP));
        }
        let names = length.map(|length| names.get(..length).unwrap_or_default());
        let has = |name: &str| match names {
            Ok(names) => names
                .split(|&byte| byte == 0)
                .any(|known| known == name.as_bytes()),
            // More names than fit.
            Err(error) => error == Raw::RANGE,
        };
        let capabilities = has(CAPABILITIES).then(|| {
            let mut value = [0; MAX_CAPABILITIES];
            let length = get(CAPABILITIES, &mut value).ok()?;
            Some(value[..length].to_vec())
        });
        let access_list = has(ACCESS_LIST).then(|| {
            let mut value = [0; MAX_ACCESS_LIST];
            match get(ACCESS_LIST, &mut value) {
                Ok(length) => Some(AccessList::parse(&value[..length])),
                Err(Raw::NODATA | Raw::OPNOTSUPP) => None,
                Err(_) => Some(AccessList::parse(&[])),
            }
        });
        Attributes {
            capabilities: capabilities.flatten(),
            access_list: access_list.flatten(),
        }
    }
}

/// An open file of this machine.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    size: u64,
}

impl HostFile {
    /// Wraps `file`, whose size must not change afterwards.
    ///
    /// # Errors
    /// When its size cannot be determined.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for HostFile {
    fn next_data(&self, offset: u64) -> u64 {
        // All reads specify their position; the position of the descriptor is not used.
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(at) => at.min(self.size),
            Err(Raw::NXIO) => self.size,
            Err(_) => offset.min(self.size),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        bytes::read_at(&self.file, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// The identity of a file of this machine.
pub fn identity(found: &fs::Metadata) -> FileId {
    FileId {
        volume: found.dev(),
        number: found.ino(),
    }
}

fn metadata(found: &fs::Metadata) -> Metadata {
    let kind = if found.is_file() {
        NodeKind::File
    } else if found.is_dir() {
        NodeKind::Directory
    } else if found.is_symlink() {
        NodeKind::Symlink
    } else {
        NodeKind::Special
    };
    Metadata {
        kind,
        mode: found.mode() & 0o7777,
        owner: Owner {
            uid: found.uid(),
            gid: found.gid(),
        },
        has_capabilities: false,
        id: identity(found),
        size: found.len(),
    }
}

fn errno(error: io::Error) -> Errno {
    match Raw::from_io_error(&error) {
        Some(Raw::NOENT) => Errno::NotFound,
        Some(Raw::ACCESS) => Errno::AccessDenied,
        Some(Raw::NOTDIR) => Errno::NotADirectory,
        Some(Raw::LOOP) => Errno::TooManyLinks,
        Some(Raw::NAMETOOLONG) => Errno::NameTooLong,
        Some(other) => Errno::Other(other.raw_os_error()),
        // No error number: the name has a NUL byte, which no file name can have.
        None => Errno::NotFound,
    }
}
