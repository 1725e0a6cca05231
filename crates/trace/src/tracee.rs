//! A stopped thread: its memory, and where its paths begin.
//!
//! In: a thread ID and arguments of its call. Out: strings, and absolute paths of this machine. Source:
//! proc(5).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::{self, Tid};

/// Longest path that the kernel accepts, in bytes, with its NUL.
const PATH_MAX: usize = 4096;
/// Paths are read in pieces of this many bytes; most fit into one.
const PIECE: usize = 256;
/// Maximum length of an argument that is kept of a process, in bytes, and maximum number of
/// arguments.
const WORD_MAX: usize = 200;
const WORDS_MAX: usize = 20;
/// How many bytes of a process's arguments are read.
const ARGUMENTS_MAX: u64 = 16 << 10;

/// A stopped thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracee {
    pub tid: Tid,
    /// Whether a process of the run has changed its root directory.
    pub may_be_in_chroot: bool,
}

impl Tracee {
    /// What a link below `/proc/TID` leads to.
    pub fn link(self, name: &str) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/{name}", self.tid)).ok()
    }

    /// The path of an open file; `None` for pipes, sockets, and what was deleted.
    pub fn file(self, descriptor: i32) -> Option<PathBuf> {
        let path = self.link(&format!("fd/{descriptor}"))?;
        is_there(&path).then_some(path)
    }

    /// The absolute path that a call names, and whether a slash or a dot follows its name; `None` if it is
    /// empty or cannot be read. `directory` is the argument with the directory's descriptor.
    pub fn path(self, directory: Option<u64>, address: u64) -> Option<(PathBuf, bool)> {
        let name = self.string(address)?;
        let ends_in_slash = name.ends_with(b"/") || name.ends_with(b"/.");
        let name = Path::new(OsStr::from_bytes(&name));
        if name.as_os_str().is_empty() {
            return None;
        }
        let base = match name.is_absolute() {
            true if self.may_be_in_chroot => self.link("root")?,
            true => PathBuf::new(),
            false => self.directory(directory)?,
        };
        // `join` would drop the base for an absolute name. `.` and double slashes are removed, but
        // `..` is kept: what it leads to depends on links.
        let name = name.strip_prefix("/").unwrap_or(name);
        let path = Path::new("/").join(base).join(name).components().collect();
        Some((path, ends_in_slash))
    }

    /// What decides which files it may use: its users, groups and capabilities, and the name by which a
    /// security module knows it.
    pub fn rights(self) -> String {
        let read = |name| fs::read_to_string(format!("/proc/{}/{name}", self.tid));
        let status = read("status").unwrap_or_default();
        let is_right = |line: &&str| {
            let (name, _) = line.split_once(':').unwrap_or_default();
            matches!(name, "Uid" | "Gid" | "Groups" | "CapEff")
        };
        let rights = status.lines().filter(is_right);
        // Without a security module there is none.
        let label = read("attr/current").unwrap_or_default();
        rights.chain([label.as_str()]).collect()
    }

    /// The directory that relative paths start from.
    fn directory(self, argument: Option<u64>) -> Option<PathBuf> {
        match argument.map(descriptor) {
            None | Some(libc::AT_FDCWD) => self.link("cwd").filter(|path| is_there(path)),
            Some(descriptor) => self.file(descriptor),
        }
    }

    /// A string of its memory, without the NUL.
    fn string(self, mut address: u64) -> Option<Vec<u8>> {
        const PAGE: u64 = 4096;
        let mut string = Vec::new();
        let mut piece = [0; PIECE];
        while string.len() < PATH_MAX {
            // Up to the end of the page: the next one may not be mapped.
            let left = usize::try_from(PAGE - address % PAGE).ok()?.min(PIECE);
            let read = sys::read_memory(self.tid, address, &mut piece[..left]).ok()?;
            let piece = piece.get(..read).filter(|piece| !piece.is_empty())?;
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    string.extend_from_slice(&piece[..end]);
                    return Some(string);
                }
                None => string.extend_from_slice(piece),
            }
            address = address.checked_add(read as u64)?;
        }
        None
    }

    /// A number of its memory.
    pub fn number(self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = sys::read_memory(self.tid, address, &mut bytes).ok()?;
        (read == bytes.len()).then(|| u64::from_ne_bytes(bytes))
    }

    /// The arguments of its process, shortened.
    pub fn arguments(self) -> Vec<String> {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(format!("/proc/{}/cmdline", self.tid)) {
            let _ = file.take(ARGUMENTS_MAX).read_to_end(&mut bytes);
        }
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        let words = bytes.split(|byte| *byte == 0).take(WORDS_MAX);
        words.map(shortened).collect()
    }
}

/// A word of at most [`WORD_MAX`] bytes.
fn shortened(word: &[u8]) -> String {
    match word.get(..WORD_MAX) {
        Some(start) if start.len() < word.len() => format!("{}…", String::from_utf8_lossy(start)),
        _ => String::from_utf8_lossy(word).into_owned(),
    }
}

/// A file descriptor in an argument: the kernel uses only its lower half.
pub(crate) fn descriptor(argument: u64) -> i32 {
    (argument as u32).cast_signed()
}

/// Whether a link of `/proc` leads to a path.
pub(crate) fn is_there(path: &Path) -> bool {
    path.is_absolute() && !path.as_os_str().as_bytes().ends_with(b" (deleted)")
}
