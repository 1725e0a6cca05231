//! The tree that programs and libraries come from.
//!
//! In: the host, a sysroot (`--root DIR`), or an image. Out: a [`View`] of it, and for each
//! path typed by the user its path in that tree.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::bytes::ReadAt;
use crate::elf::{Object, go_machine, machine_name};
use crate::image::read::Interest;
use crate::loader::{Environment, Loaders, MuslVersion, SystemFolders, is_glibc_loader};
use crate::vfs::{Grafted, HostVfs, Memo, Vfs, View};

/// Why a source tree cannot be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The root does not exist.
    #[error("cannot use {} as the root: {error}", .path.display())]
    Root {
        /// The directory given with `--root`.
        path: PathBuf,
        /// Why it cannot be used.
        error: io::Error,
    },
    /// Roots were given, but none for the program's architecture.
    #[error("no --root given for {0} programs; add one with --root {0}=DIR")]
    NoRootFor(String),
    /// The root is not a directory.
    #[error("cannot use {} as the root: it is not a directory", .0.display())]
    NotAFolder(PathBuf),
}

/// A directory to use as the root, for programs of one architecture or of any.
#[derive(Clone, Debug)]
pub struct Root {
    /// The architecture, as images (`arm64`) or `uname -m` (`aarch64`) call it.
    pub architecture: Option<String>,
    /// The directory, as given.
    pub folder: PathBuf,
}

/// A tree to take files from.
pub struct Source {
    /// The file tree.
    pub view: Arc<View>,
    /// The loaders that are installed in it.
    pub loaders: Loaders,
    origin: Origin,
}

enum Origin {
    Folder {
        root: PathBuf,
        typed_root: PathBuf,
        current_dir: PathBuf,
    },
    Image {
        name: PathBuf,
        working_dir: PathBuf,
    },
}

impl Source {
    /// The tree below `root`. Relative paths typed by the user start from `current_dir`.
    ///
    /// # Errors
    /// When `root` is not a readable directory.
    pub fn open(root: &Path, current_dir: &Path) -> Result<Self, SourceError> {
        let typed_root = current_dir.join(root);
        let fail = |error| SourceError::Root {
            path: root.to_path_buf(),
            error,
        };
        let real = fs::canonicalize(&typed_root).map_err(fail)?;
        if !fs::metadata(&real).map_err(fail)?.is_dir() {
            return Err(SourceError::NotAFolder(root.to_path_buf()));
        }
        let vfs: Box<dyn Vfs> = Box::new(HostVfs::new(&real));
        let vfs = if real == Path::new("/") {
            vfs
        } else {
            Box::new(Grafted::new(vfs))
        };
        Ok(Self {
            view: Arc::new(View::new(vfs, Arc::new(Memo::default()))),
            loaders: Loaders::default(),
            origin: Origin::Folder {
                root: real,
                typed_root,
                current_dir: current_dir.to_path_buf(),
            },
        })
    }

    /// The tree of the image called `name`, whose programs start in `working_dir`.
    pub fn of_image(name: &Path, view: View, working_dir: &Path) -> Self {
        Self {
            view: Arc::new(view),
            loaders: Loaders::default(),
            origin: Origin::Image {
                name: name.to_path_buf(),
                working_dir: Path::new("/").join(working_dir),
            },
        }
    }

    /// Whether the tree is this machine's own.
    pub fn is_host(&self) -> bool {
        matches!(&self.origin, Origin::Folder { root, .. } if root == Path::new("/"))
    }

    /// Whether the tree is that of an image.
    pub fn is_image(&self) -> bool {
        matches!(&self.origin, Origin::Image { .. })
    }

    /// The root directory on this machine, or the image.
    pub fn root(&self) -> &Path {
        match &self.origin {
            Origin::Folder { root, .. } => root,
            Origin::Image { name, .. } => name,
        }
    }

    /// The directory that a program's relative search paths start from in this tree: the user's
    /// current directory if the program could be started as it is.
    pub fn working_dir(&self) -> PathBuf {
        match &self.origin {
            Origin::Folder { current_dir, .. } if self.is_host() => current_dir.clone(),
            Origin::Folder { .. } => PathBuf::from("/"),
            Origin::Image { working_dir, .. } => working_dir.clone(),
        }
    }

    /// The loader's environment in this tree: `told`, with the `-L` directories as typed.
    pub fn environment(&self, library_path: &[PathBuf], told: Environment) -> Environment {
        let folders = library_path.iter();
        Environment {
            extra: folders.map(|folder| self.locate(folder)).collect(),
            working_dir: self.working_dir(),
            ..told
        }
    }

    /// The path in the tree for a typed path: below the root it keeps its path inside it, and
    /// anything else belongs to the host. In an image every path belongs to the image.
    pub fn locate(&self, typed: &Path) -> PathBuf {
        let (root, typed_root, current_dir) = match &self.origin {
            Origin::Folder {
                root,
                typed_root,
                current_dir,
            } => (root, typed_root, current_dir),
            Origin::Image { working_dir, .. } => return working_dir.join(typed),
        };
        let path = plain(&current_dir.join(typed));
        if self.is_host() {
            return path;
        }
        let inside = path
            .strip_prefix(typed_root)
            .or_else(|_| path.strip_prefix(root));
        match inside {
            Ok(inside) => Path::new("/").join(inside),
            Err(_) => Grafted::path_of(&path),
        }
    }

    /// The path on this machine for a path of the tree: prefixed with `--root DIR` if given.
    pub fn host_path(&self, path: &Path) -> PathBuf {
        let shown = self.shown(path);
        match &self.origin {
            Origin::Folder { root, .. } if shown == path && !self.is_host() => {
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => shown,
        }
    }

    /// A path of the tree as shown to the user.
    pub fn shown(&self, path: &Path) -> PathBuf {
        Grafted::host_path(path)
    }
}

/// A path of this machine without `.` and `..`, independent of the directory it was typed
/// in. Its last component may be a link, which is not followed.
fn plain(path: &Path) -> PathBuf {
    let without_dots: PathBuf = path.components().collect();
    if !path.components().any(|part| part == Component::ParentDir) {
        return without_dots;
    }
    let (Some(folder), Some(name)) = (without_dots.parent(), without_dots.file_name()) else {
        return fs::canonicalize(path).unwrap_or(without_dots);
    };
    match fs::canonicalize(folder) {
        Ok(folder) => folder.join(name),
        Err(_) => without_dots,
    }
}

/// The root that a program takes its libraries from: the one given for its architecture,
/// else the one given for any, else this machine's.
///
/// # Errors
/// When roots were given, but none for its architecture.
pub fn choose_root(
    roots: &[Root],
    program: &Path,
    current_dir: &Path,
) -> Result<PathBuf, SourceError> {
    let general = roots.iter().rev().find(|root| root.architecture.is_none());
    let names = if roots.iter().any(|root| root.architecture.is_some()) {
        architecture_names(&current_dir.join(program))
    } else {
        Vec::new()
    };
    let special = roots.iter().rev().find(|root| {
        let architecture = root.architecture.as_ref();
        architecture.is_some_and(|architecture| names.contains(architecture))
    });
    match (special.or(general), names.last()) {
        (Some(root), _) => Ok(root.folder.clone()),
        (None, Some(name)) => Err(SourceError::NoRootFor(name.clone())),
        (None, None) => Ok(PathBuf::from("/")),
    }
}

/// Names of a program's architecture in images and in `uname -m`; empty when it is not a
/// program, which is reported when it is packed.
fn architecture_names(program: &Path) -> Vec<String> {
    let Ok(real) = fs::canonicalize(program) else {
        return Vec::new();
    };
    let Ok(file) = HostVfs::new("/").open(&real) else {
        return Vec::new();
    };
    let Ok(object) = Object::read(file.as_ref()) else {
        return Vec::new();
    };
    let image_name = go_machine(&object, file.as_ref()).ok().flatten();
    let machine = machine_name(&object.header).to_owned();
    [machine]
        .into_iter()
        .chain(image_name.map(|platform| platform.architecture.to_string()))
        .collect()
}

/// Reads from an ELF file in an image what closures, or checks of closures, will read of it: what
/// is streamed from a compressed layer cannot be read again.
pub fn probe(interest: Interest, file: &dyn ReadAt) {
    let Ok(object) = Object::read(file) else {
        return;
    };
    // What cannot be read now cannot be read later: the error will be reported then.
    let _ = go_machine(&object, file);
    if is_glibc_loader(&object) {
        SystemFolders::read(&object, file);
    }
    if object.interpreter.is_none() && object.dependencies().is_empty() {
        MuslVersion::read(&object, file);
    }
    if matches!(interest, Interest::Symbols | Interest::Contents) {
        object.read_for_checks(file);
        crate::strip::strippable_bytes(&object, file);
    }
}
