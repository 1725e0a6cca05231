//! Figures of an image's contents, for comparing images.
//!
//! In: a tree. Out: bytes, files, packages, setuid files and shells.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::exec::is_shell;
use crate::image::read::Image;
use crate::packages::Packages;
use crate::rootfs::{Content, Rootfs};
use crate::vfs::{NodeKind, View};

/// Write permission for group and others.
const WRITABLE: u32 = 0o022;

/// The figures of one tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Bytes of all files, hard links counted once.
    pub bytes: u64,
    /// Number of regular files, hard links counted once.
    pub files: usize,
    /// Number of packages with at least one file present; `None` without package records.
    pub packages: Option<usize>,
    /// Number of setuid and setgid files.
    pub setuid: usize,
    /// Number of shells.
    pub shells: usize,
    /// Number of directories that another user than root may write to.
    pub writable: usize,
}

impl Census {
    /// The figures of an image that has been read.
    pub(super) fn of_image(image: &Image, packages: Option<&Packages>) -> Self {
        let mut census = Self {
            packages: packages.map(Packages::count),
            ..Self::default()
        };
        let (mut seen, mut shells) = (HashSet::new(), HashSet::new());
        for (path, number, node) in image.tree.walk() {
            if node.kind() == NodeKind::Directory {
                census.writable += usize::from(node.uid != 0 || node.mode & WRITABLE != 0);
            }
            if node.kind() != NodeKind::File {
                continue;
            }
            if is_shell_file(&path) {
                shells.insert(number);
            }
            if seen.insert(number) {
                census.files += 1;
                census.bytes = census.bytes.saturating_add(node.size);
                census.setuid += usize::from(node.mode & 0o6000 != 0);
            }
        }
        census.shells = shells.len();
        census
    }

    /// The figures of a tree made from that image; `source` is the tree its files come from.
    pub(super) fn of_rootfs(rootfs: &Rootfs, packages: Option<&Packages>, source: &View) -> Self {
        let mut census = Self {
            bytes: rootfs.bytes(),
            packages: packages.map(|packages| kept(rootfs, packages, source)),
            ..Self::default()
        };
        let (mut seen, mut shells) = (HashSet::new(), HashSet::new());
        for (path, node) in rootfs.nodes() {
            if let Content::Directory(mode) = &node.content {
                census.writable += usize::from(node.owner.uid != 0 || mode & WRITABLE != 0);
            }
            if let Content::File(file) = &node.content {
                if seen.insert(file.id()) {
                    census.files += 1;
                    census.setuid += usize::from(file.mode & 0o6000 != 0);
                }
                if is_shell_file(path) {
                    shells.insert(file.id());
                }
            }
        }
        census.shells = shells.len();
        census
    }
}

fn is_shell_file(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    let is_command = folder.is_some_and(|folder| folder == "bin" || folder == "sbin");
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    is_command && is_shell(name)
}

/// Number of packages with at least one file in the tree.
fn kept(rootfs: &Rootfs, packages: &Packages, source: &View) -> usize {
    // Records may list /lib/... for what is /usr/lib/... in the tree.
    let mut folders: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut has = |path: &PathBuf| {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        if !folders.contains_key(folder) {
            let real = source.walk(folder).map(|walk| walk.real.clone());
            let real = real.unwrap_or_else(|_| folder.to_path_buf());
            folders.insert(folder.to_path_buf(), real);
        }
        let node = rootfs.node(&folders[folder].join(name));
        // Directories, and links to them, belong to many packages.
        node.is_some_and(|node| matches!(node.content, Content::File(_)))
    };
    let has_any = packages
        .iter()
        .filter(|(_, files)| files.iter().any(&mut has));
    has_any.count()
}
