//! musl's rules (`load_library` in `ldso/dynlink.c`).
//!
//! In: a request and what is loaded. Out: the file, or everything that was tried.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use goblin::elf::header::{
    EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64,
};

use super::candidate::{Target, Tried, Verdict, judge_musl};
use super::link_map::{FoundVia, LinkMap, Loaded};
use super::search_path::{Folder, SearchPaths, chain, elements, extra_folders};
use super::tokens::expand_musl;
use super::{Answer, Found, Scene};
use slimpack_vfs::{Errno, View};

/// Largest path file that is read, in bytes.
const MAX_PATH_FILE: u64 = 1 << 20;
/// The names that are parts of musl's one library (`reserved` in `load_library`).
const RESERVED: [&str; 7] = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
const DEFAULT_PATH: &str = "/lib:/usr/local/lib:/usr/lib";
const SEPARATORS: &[u8] = b":\n";

/// One installed musl loader.
pub struct Musl {
    /// `PT_INTERP` of the programs it loads.
    interpreter: OsString,
    pub(super) path_file: PathBuf,
    /// The system path, in order.
    pub(super) folders: Vec<PathBuf>,
    from_file: bool,
}

impl Musl {
    /// Reads the path file of the loader that programs request as `interpreter`.
    pub(super) fn new(view: &View, interpreter: &OsStr) -> Self {
        let path_file = path_file(Path::new(interpreter));
        // Any failure but ENOENT makes the list empty.
        let configured = match view.read(&path_file, MAX_PATH_FILE) {
            Ok(text) => Some(text),
            Err(Errno::NotFound) => None,
            Err(_) => Some(Vec::new()),
        };
        let from_file = configured.is_some();
        let list = configured.unwrap_or_else(|| DEFAULT_PATH.into());
        // C reads it as a string: it ends at the first NUL.
        let list = list.split(|&b| b == 0).next().unwrap_or_default();
        Self {
            interpreter: interpreter.to_owned(),
            path_file,
            folders: elements(OsStr::from_bytes(list), SEPARATORS)
                .filter(|element| !element.is_empty())
                .map(PathBuf::from)
                .collect(),
            from_file,
        }
    }

    /// A loaded object matches the base name of the file that a search found, never its
    /// soname; one that was opened by a path matches no name.
    pub(super) fn own_names(loaded: &Loaded) -> Vec<OsString> {
        match loaded.via {
            FoundVia::Program | FoundVia::Interpreter | FoundVia::Path => Vec::new(),
            _ => loaded
                .opened_as
                .file_name()
                .map(OsStr::to_owned)
                .into_iter()
                .collect(),
        }
    }

    /// An object that was opened by a path gets a name when a search finds it; any other
    /// keeps its name.
    pub(super) fn further_names(loaded: &Loaded, name: &OsStr) -> Vec<OsString> {
        let is_nameless = loaded.via == FoundVia::Path;
        let is_searched = !name.as_bytes().contains(&b'/');
        let base = loaded
            .opened_as
            .file_name()
            .filter(|_| is_nameless && is_searched);
        base.map(OsStr::to_owned).into_iter().collect()
    }

    pub(super) fn request(
        &self,
        scene: &Scene<'_>,
        map: &LinkMap,
        name: &OsStr,
        by: usize,
    ) -> Answer {
        if self.is_itself(name) {
            return match interpreter_index(map) {
                Some(index) => Answer::Loaded(index),
                None => Answer::Missing(Tried::default()),
            };
        }
        let slash = name.as_bytes().contains(&b'/');
        if let Some(index) = map.named(name).filter(|_| !slash) {
            return Answer::Loaded(index);
        }
        let mut tried = Tried::default();
        let found = if slash {
            let path = scene.environment.working_dir.join(name);
            self.consider(scene, path, FoundVia::Path, &mut tried)
        } else {
            self.search(scene, map, name, by, &mut tried)
        };
        Answer::of_search(map, found.unwrap_or(None), tried)
    }

    fn is_itself(&self, name: &OsStr) -> bool {
        let reserved = name.as_bytes().strip_prefix(b"lib").is_some_and(|rest| {
            RESERVED
                .iter()
                .any(|part| rest.starts_with(part.as_bytes()))
        });
        reserved || name == self.interpreter
    }

    /// Searches a list of directories.
    ///
    /// # Errors
    /// [`Stopped`] when an open error ends the whole search.
    fn search(
        &self,
        scene: &Scene<'_>,
        map: &LinkMap,
        name: &OsStr,
        by: usize,
        tried: &mut Tried,
    ) -> Result<Option<Box<Found>>, Stopped> {
        let environment = scene.environment;
        let mut folders = extra_folders(environment);
        if let Some(path) = environment
            .library_path
            .as_deref()
            .filter(|_| !environment.secure)
        {
            folders.extend(self.folders(scene, path, |element| {
                FoundVia::LibraryPath(element.to_owned())
            }));
        }
        let requester = &map.objects()[by];
        let paths = requester.paths.get_or_init(|| SearchPaths {
            inherited: chain(map, by, |owner| self.own_path(scene, map, owner)),
            own: Arc::default(),
        });
        folders.extend(paths.inherited.iter().cloned());
        folders.extend(self.folders.iter().map(|path| Folder {
            path: environment.working_dir.join(path),
            via: if self.from_file {
                FoundVia::PathFile
            } else {
                FoundVia::SystemFolder
            },
        }));
        for folder in folders {
            let candidate = folder.path.join(name);
            if let Some(found) = self.consider(scene, candidate, folder.via, tried)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn consider(
        &self,
        scene: &Scene<'_>,
        path: PathBuf,
        via: FoundVia,
        tried: &mut Tried,
    ) -> Result<Option<Box<Found>>, Stopped> {
        match judge_musl(scene.view, &path) {
            Verdict::Take(walk, object) => Ok(Some(Box::new(Found {
                opened_as: path,
                walk,
                object,
                via,
                tried: Tried::default(),
            }))),
            Verdict::Pass(outcome) => {
                tried.push(path, outcome);
                Ok(None)
            }
            Verdict::EndList(outcome) | Verdict::Die(outcome) => {
                tried.push(path, outcome);
                Err(Stopped)
            }
        }
    }

    /// The directories of an object's own path: `DT_RUNPATH` replaces `DT_RPATH`.
    fn own_path(&self, scene: &Scene<'_>, map: &LinkMap, owner: usize) -> Vec<Folder> {
        let object = &map.objects()[owner];
        let Some(dynamic) = &object.object.dynamic else {
            return Vec::new();
        };
        let Some(path) = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()) else {
            return Vec::new();
        };
        // musl drops the whole path if it contains an unknown token, or any token in a program
        // with elevated privileges.
        let drops = expand_musl(path, object.origin()).is_none()
            || (scene.environment.secure && owner == 0 && path.as_bytes().contains(&b'$'));
        if drops {
            return Vec::new();
        }
        let via = |element: OsString| match dynamic.runpath {
            Some(_) => FoundVia::Runpath { owner, element },
            None => FoundVia::Rpath { owner, element },
        };
        elements(path, SEPARATORS)
            .filter(|element| !element.is_empty())
            .map(|element| {
                let expanded = expand_musl(element, object.origin()).unwrap_or_default();
                Folder {
                    path: scene.environment.working_dir.join(expanded),
                    via: via(element.to_owned()),
                }
            })
            .collect()
    }

    fn folders<'p>(
        &self,
        scene: &Scene<'_>,
        path: &'p OsStr,
        via: impl Fn(&OsStr) -> FoundVia + 'p,
    ) -> impl Iterator<Item = Folder> + 'p {
        let working_dir = scene.environment.working_dir.clone();
        elements(path, SEPARATORS)
            .filter(|element| !element.is_empty())
            .map(move |element| Folder {
                path: working_dir.join(element),
                via: via(element),
            })
    }
}

/// An open error after which musl searches no further.
struct Stopped;

fn interpreter_index(map: &LinkMap) -> Option<usize> {
    map.objects()
        .iter()
        .position(|object| object.via == FoundVia::Interpreter)
}

/// `<prefix>/etc/ld-musl-<arch>.path`; the prefix is the interpreter's path without its
/// last two components.
fn path_file(interpreter: &Path) -> PathBuf {
    let stem = interpreter
        .file_name()
        .map(OsStr::as_bytes)
        .and_then(|name| name.split(|&b| b == b'.').next())
        .unwrap_or(b"ld-musl");
    let mut name = OsStr::from_bytes(stem).to_owned();
    name.push(".path");
    let prefix = interpreter
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"));
    prefix.join("etc").join(name)
}

/// Whether this interpreter path is that of musl's loader.
pub(super) fn is_musl(interpreter: &Path) -> bool {
    interpreter
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"))
}

/// `LD_PRELOAD`; musl has no preload file.
pub(super) fn preloads(scene: &Scene<'_>) -> Vec<(OsString, &'static str)> {
    let Some(list) = scene
        .environment
        .preload
        .as_deref()
        .filter(|_| !scene.environment.secure)
    else {
        return Vec::new();
    };
    list.as_bytes()
        .split(|byte| b": \t\n\r\x0b\x0c".contains(byte))
        .filter(|name| !name.is_empty())
        .map(|name| (OsStr::from_bytes(name).to_owned(), "LD_PRELOAD"))
        .collect()
}

/// The paths at which programs of this target expect musl's loader.
pub(super) fn well_known(target: Target) -> &'static [&'static str] {
    match (target.machine(), target.is_64()) {
        (EM_X86_64, true) => &["/lib/ld-musl-x86_64.so.1"],
        (EM_X86_64, false) => &["/lib/ld-musl-x32.so.1"],
        (EM_386, _) => &["/lib/ld-musl-i386.so.1"],
        (EM_AARCH64, _) => &["/lib/ld-musl-aarch64.so.1"],
        (EM_ARM, _) => &["/lib/ld-musl-armhf.so.1", "/lib/ld-musl-arm.so.1"],
        (EM_RISCV, true) => &["/lib/ld-musl-riscv64.so.1"],
        (EM_PPC64, _) => &["/lib/ld-musl-powerpc64le.so.1"],
        (EM_S390, true) => &["/lib/ld-musl-s390x.so.1"],
        (EM_LOONGARCH, true) => &["/lib/ld-musl-loongarch64.so.1"],
        _ => &[],
    }
}
