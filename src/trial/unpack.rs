//! A tree as the root directory of a program.
//!
//! In: a tree, an empty directory, and which users and groups there are. Out: its files, directories and
//! links, with their modes and, where there is such a user, their owners.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::bytes::ReadAt;
use crate::image::{Inode, set_link_time, times};
use crate::run::IdMap;
use crate::vfs::{Metadata, NodeKind, Owner, View};

/// Bytes copied at a time.
const PIECE: usize = 256 << 10;

/// When a file was last changed, in seconds since 1970.
pub(super) type ChangeTime<'a> = dyn Fn(&Path) -> u64 + Sync + 'a;

/// Writes a tree into an empty directory.
pub(super) fn unpack(
    view: &View,
    changed: &ChangeTime<'_>,
    root: &Path,
    map: &IdMap,
) -> Result<(), String> {
    let mut unpacking = Unpacking {
        view,
        changed,
        root,
        map,
        first: HashMap::new(),
        buffer: vec![0; PIECE],
    };
    let mut stack = vec![PathBuf::from("/")];
    let mut directories = Vec::new();
    while let Some(path) = stack.pop() {
        let fail = |error: io::Error| unpacked(&path, &error);
        let metadata = view.lookup(&path).map_err(|errno| {
            let message = errno.message();
            format!("cannot read {} of the image: {message}", path.display())
        })?;
        if metadata.kind == NodeKind::Directory {
            let names = view.read_dir(&path).unwrap_or_default();
            stack.extend(names.into_iter().rev().map(|name| path.join(name)));
        }
        unpacking.node(&path, &metadata).map_err(fail)?;
        if metadata.kind == NodeKind::Directory {
            directories.push((path, metadata));
        }
    }
    // The innermost first: what is written into a directory changes its time, and needs its mode.
    for (path, metadata) in directories.into_iter().rev() {
        let at = unpacking.at(&path);
        let done = unpacking.own(&at, &metadata).and_then(|()| {
            fs::set_permissions(&at, Permissions::from_mode(metadata.mode))?;
            File::open(&at)?.set_times(times(changed(&path)))
        });
        // A directory that its owner may not open keeps the time of its making.
        done.or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ok(()),
            _ => Err(unpacked(&path, &error)),
        })?;
    }
    Ok(())
}

fn unpacked(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => format!(
            "cannot unpack {}: no memory is left for the files of the image; run it with --runtime",
            path.display()
        ),
        _ => format!("cannot unpack {}: {error}", path.display()),
    }
}

struct Unpacking<'a> {
    view: &'a View,
    changed: &'a ChangeTime<'a>,
    root: &'a Path,
    map: &'a IdMap,
    first: HashMap<Inode, PathBuf>,
    buffer: Vec<u8>,
}

impl Unpacking<'_> {
    fn at(&self, path: &Path) -> PathBuf {
        // No component of a path in the tree is a link, so none leads out of the directory.
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn node(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let at = self.at(path);
        match metadata.kind {
            NodeKind::Directory if path == Path::new("/") => Ok(()),
            NodeKind::Directory => fs::create_dir(&at),
            NodeKind::Symlink => {
                let target = self.view.read_link(path);
                symlink(
                    target.map_err(|errno| io::Error::other(errno.message()))?,
                    &at,
                )?;
                self.own(&at, metadata)?;
                set_link_time(&at, (self.changed)(path))
            }
            NodeKind::File => self.file(path, &at, metadata),
            // Nobody but root of the machine may make devices.
            NodeKind::Special => Ok(()),
        }
    }

    fn file(&mut self, path: &Path, at: &Path, metadata: &Metadata) -> io::Result<()> {
        let inode = Inode {
            id: metadata.id,
            mode: metadata.mode,
            owner: metadata.owner,
            capabilities: None,
        };
        if let Some(first) = self.first.get(&inode) {
            return fs::hard_link(first, at);
        }
        let fail = |errno: crate::vfs::Errno| io::Error::other(errno.message());
        let walk = self.view.walk(path).map_err(fail)?;
        let source = self.view.open(&walk).map_err(fail)?;
        let mut out = File::create_new(at)?;
        self.copy(source.as_ref(), &mut out)?;
        // A new owner takes the setuid bit away.
        self.own(at, metadata)?;
        out.set_permissions(Permissions::from_mode(metadata.mode))?;
        out.set_times(times((self.changed)(path)))?;
        self.first.insert(inode, at.to_path_buf());
        Ok(())
    }

    fn copy(&mut self, source: &dyn ReadAt, out: &mut File) -> io::Result<()> {
        let mut offset = 0;
        while offset < source.size() {
            let read = source.read_at(&mut self.buffer, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out.write_all(&self.buffer[..read])?;
            offset += read as u64;
        }
        Ok(())
    }

    fn own(&self, at: &Path, metadata: &Metadata) -> io::Result<()> {
        let Owner { uid, gid } = metadata.owner;
        let uid = Some(uid).filter(|id| self.map.has_user(*id));
        let gid = Some(gid).filter(|id| self.map.has_group(*id));
        lchown(at, uid, gid)
    }
}
