//! glibc's rules (`_dl_map_object` in `elf/dl-load.c`).
//!
//! In: a request and what is loaded. Out: the file, or everything that was tried. The
//! baseline machine is assumed, because the image has to run on machines other than this one:
//! `glibc-hwcaps` directories are searched only for what is nowhere else.

use super::Objects;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use goblin::elf::header::{EM_386, EM_ARM, EM_PPC64, EM_S390, EM_X86_64};

use super::cache::{self, Cache};
use super::candidate::{Outcome, Target, Tried, Verdict, judge_glibc};
use super::hwcaps;
use super::link_map::{FoundVia, LinkMap, Loaded};
use super::search_path::{
    Folder, SearchPaths, absolute, chain, elements, extra_folders, without_repeats,
};
use super::system::SystemFolders;
use super::{Answer, Found, Scene, Tokens};
use slimpack_elf::Object;
use slimpack_vfs::{Errno, NodeKind, View, Walk};

/// Longest expanded element of a search path, in bytes: longer paths cannot be opened.
const MAX_ELEMENT: usize = 4096;
/// Largest `/etc/ld.so.preload` that is read, in bytes.
const MAX_PRELOAD: u64 = 1 << 20;

/// One installed glibc loader.
pub struct Glibc {
    pub(super) system: Arc<SystemFolders>,
    cache: Option<Cache>,
    cache_flags: u32,
    big_endian: bool,
    pub(super) levels: &'static [&'static str],
    platform: &'static str,
}

/// The result of searching one list of directories.
enum Listed {
    Found(Box<Found>),
    /// Not found in this list; the next one is searched.
    Nothing,
    /// The program does not start.
    Dead,
}

impl Glibc {
    /// Reads the values compiled into the loader at `walk`, and its cache.
    pub(super) fn new(view: &View, walk: &Walk, interpreter: &Object) -> Self {
        let target = Target::of(interpreter);
        let cache = view
            .read(Path::new(cache::PATH), cache::MAX_SIZE)
            .ok()
            .and_then(|bytes| Cache::parse(bytes, target.is_big_endian()));
        Self {
            system: view.system_folders(walk, interpreter),
            cache,
            big_endian: target.is_big_endian(),
            levels: hwcaps::levels(target),
            cache_flags: cache::flags(target, interpreter.header.e_flags),
            platform: platform(target),
        }
    }

    pub(super) fn write_cache(&self, entries: &[(OsString, PathBuf)]) -> Vec<u8> {
        cache::write(entries, self.cache_flags, self.big_endian)
    }

    pub(super) fn tokens<'a>(&'a self, origin: &'a Path) -> Tokens<'a> {
        Tokens {
            origin,
            lib: &self.system.lib,
            platform: OsStr::new(self.platform),
        }
    }

    /// A loaded object matches the path it was opened by, the name it was requested by, and
    /// its soname. The kernel maps the program without a path.
    pub(super) fn own_names(loaded: &Loaded) -> Vec<OsString> {
        let mut names = Vec::with_capacity(3);
        if loaded.via != FoundVia::Program {
            names.extend(Self::further_names(&loaded.requested_as, &loaded.opened_as));
        }
        names.extend(loaded.object.soname().cloned());
        names
    }

    /// The path it was opened by, and the name it was requested by. A name with a token is
    /// stored as expanded for its requester: for others it may be another file
    /// (`_dl_map_object_deps` expands it first).
    pub(super) fn further_names(name: &OsStr, path: &Path) -> Vec<OsString> {
        let path = path.as_os_str().to_owned();
        if name.as_bytes().contains(&b'$') {
            return vec![path];
        }
        vec![name.to_owned(), path]
    }

    pub(super) fn request(
        &self,
        scene: &Scene<'_>,
        map: &LinkMap,
        name: &OsStr,
        by: usize,
    ) -> Answer {
        let expanded;
        let mut name = name;
        if name.as_bytes().contains(&b'$') {
            expanded = self.tokens(map.objects()[by].origin()).expand(name);
            name = &expanded;
        }
        if let Some(index) = map.named(name) {
            return Answer::Loaded(index);
        }
        if name.as_bytes() == vdso(scene.target).as_bytes() {
            return Answer::Kernel;
        }
        let mut tried = Tried::default();
        let found = self.search(scene, map, name, by, &mut tried);
        Answer::of_search(map, found, tried)
    }

    fn search(
        &self,
        scene: &Scene<'_>,
        map: &LinkMap,
        name: &OsStr,
        by: usize,
        tried: &mut Tried,
    ) -> Option<Box<Found>> {
        let requester = &map.objects()[by];
        if name.as_bytes().contains(&b'/') {
            return open_path(scene, name, tried);
        }
        let paths = requester
            .paths
            .get_or_init(|| self.search_paths(scene, map, by));
        let environment: Vec<Folder> = self.environment_folders(scene, map);
        for list in [&paths.inherited[..], &environment[..], &paths.own[..]] {
            match search_list(scene, list, name, tried) {
                Listed::Found(found) => return Some(found),
                Listed::Nothing => {}
                Listed::Dead => return None,
            }
        }
        let nodeflib = requester
            .object
            .dynamic
            .as_ref()
            .is_some_and(|dynamic| dynamic.is_nodeflib());
        match self.search_cache(scene, name, nodeflib, tried) {
            Listed::Found(found) => return Some(found),
            Listed::Nothing => {}
            Listed::Dead => return None,
        }
        let system: Vec<Folder> = match nodeflib {
            true => Vec::new(),
            false => self.system_list(),
        };
        match search_list(scene, &system, name, tried) {
            Listed::Found(found) => return Some(found),
            Listed::Nothing => {}
            Listed::Dead => return None,
        }
        // The image has to run on the baseline machine, where this would fail. But a library that
        // exists only for newer machines is better than none.
        let lists = [
            &paths.inherited[..],
            &environment[..],
            &paths.own[..],
            &system[..],
        ];
        lists.into_iter().flatten().find_map(|folder| {
            self.levels
                .iter()
                .find_map(|subfolder| variant(scene, folder, subfolder, name))
        })
    }

    fn system_list(&self) -> Vec<Folder> {
        let folders = self.system.folders.iter();
        folders
            .map(|path| Folder {
                path: path.clone(),
                via: FoundVia::SystemFolder,
            })
            .collect()
    }

    fn search_cache(
        &self,
        scene: &Scene<'_>,
        name: &OsStr,
        nodeflib: bool,
        tried: &mut Tried,
    ) -> Listed {
        let hit = self
            .cache
            .as_ref()
            .and_then(|cache| cache.lookup(name, self.cache_flags));
        let Some(path) = hit else {
            return Listed::Nothing;
        };
        let in_system_folder = || {
            let folders = &self.system.folders;
            folders.iter().any(|folder| path.starts_with(folder))
        };
        if nodeflib && in_system_folder() {
            tried.push(path.to_path_buf(), Outcome::NoDefaultFolder);
            return Listed::Nothing;
        }
        match judge_glibc(scene.view, scene.target, path) {
            Verdict::Take(walk, object) => Listed::Found(Box::new(Found {
                opened_as: path.to_path_buf(),
                walk,
                object,
                via: FoundVia::Cache,
                tried: Tried::default(),
            })),
            Verdict::Pass(outcome) | Verdict::EndList(outcome) => {
                tried.push(path.to_path_buf(), outcome);
                Listed::Nothing
            }
            Verdict::Die(outcome) => {
                tried.push(path.to_path_buf(), outcome);
                Listed::Dead
            }
        }
    }

    /// `LD_LIBRARY_PATH`, whose `$ORIGIN` is the program's.
    fn environment_folders(&self, scene: &Scene<'_>, map: &LinkMap) -> Vec<Folder> {
        let environment = scene.environment;
        let mut folders = extra_folders(environment);
        if let Some(path) = environment
            .library_path
            .as_deref()
            .filter(|_| !environment.secure)
        {
            let origin = map.objects()[0].origin();
            for element in elements(path, b":;") {
                let via = FoundVia::LibraryPath(element.to_owned());
                folders.extend(self.folder(scene, element, origin, via));
            }
        }
        folders
    }

    fn search_paths(&self, scene: &Scene<'_>, map: &LinkMap, by: usize) -> SearchPaths {
        let requester = &map.objects()[by];
        let runpath = requester
            .object
            .dynamic
            .as_ref()
            .and_then(|d| d.runpath.as_deref());
        if let Some(runpath) = runpath {
            let folders = elements(runpath, b":").filter_map(|element| {
                let via = FoundVia::Runpath {
                    owner: by,
                    element: element.to_owned(),
                };
                self.folder(scene, element, requester.origin(), via)
            });
            return SearchPaths {
                own: without_repeats(folders),
                inherited: Arc::default(),
            };
        }
        SearchPaths {
            own: Arc::default(),
            // An object with DT_RUNPATH contributes nothing, but the walk continues past it.
            inherited: chain(map, by, |owner| self.rpath(scene, map, owner)),
        }
    }

    /// The directories of an object's own `DT_RPATH`, which is ignored if there is a
    /// `DT_RUNPATH`.
    fn rpath(&self, scene: &Scene<'_>, map: &LinkMap, owner: usize) -> Vec<Folder> {
        let object = &map.objects()[owner];
        let dynamic = object.object.dynamic.as_ref();
        let rpath = dynamic
            .filter(|dynamic| dynamic.runpath.is_none())
            .and_then(|dynamic| dynamic.rpath.as_deref());
        elements(rpath.unwrap_or_default(), b":")
            .filter_map(|element| {
                let via = FoundVia::Rpath {
                    owner,
                    element: element.to_owned(),
                };
                self.folder(scene, element, object.origin(), via)
            })
            .collect()
    }

    /// An element as a directory. An empty one is the working directory; one that only
    /// becomes empty by expansion is dropped (`fillin_rpath`).
    fn folder(
        &self,
        scene: &Scene<'_>,
        element: &OsStr,
        origin: &Path,
        via: FoundVia,
    ) -> Option<Folder> {
        let environment = scene.environment;
        let secure_fault =
            environment.secure && !self.is_trusted_when_secure(element, origin, &via);
        let expanded = self.tokens(origin).expand(element);
        let is_usable = expanded.is_empty() == element.is_empty() && expanded.len() <= MAX_ELEMENT;
        if secure_fault || !is_usable {
            return None;
        }
        Some(Folder {
            path: absolute(&expanded, &environment.working_dir),
            via,
        })
    }

    /// With elevated privileges `$ORIGIN` is valid only as the first component, and for the
    /// program only if it leads to a system directory (`_dl_dst_substitute`).
    fn is_trusted_when_secure(&self, element: &OsStr, origin: &Path, via: &FoundVia) -> bool {
        if !super::tokens::uses_origin(element) {
            return true;
        }
        let bytes = element.as_bytes();
        let rest = bytes
            .strip_prefix(b"$ORIGIN")
            .or_else(|| bytes.strip_prefix(b"${ORIGIN}"));
        let first = rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
        let of_program = matches!(
            via,
            FoundVia::Rpath { owner: 0, .. } | FoundVia::Runpath { owner: 0, .. }
        );
        let expanded = self.tokens(origin).expand(element);
        let folder = absolute(&expanded, Path::new("/"));
        first && (!of_program || self.system.folders.contains(&folder))
    }
}

/// Opens a name with a slash, which is a path.
fn open_path(scene: &Scene<'_>, name: &OsStr, tried: &mut Tried) -> Option<Box<Found>> {
    let path = scene.environment.working_dir.join(name);
    match judge_glibc(scene.view, scene.target, &path) {
        Verdict::Take(walk, object) => Some(Box::new(Found {
            opened_as: path,
            walk,
            object,
            via: FoundVia::Path,
            tried: Tried::default(),
        })),
        Verdict::Pass(outcome) | Verdict::EndList(outcome) | Verdict::Die(outcome) => {
            tried.push(path, outcome);
            None
        }
    }
}

/// Searches one list (`open_path`).
fn search_list(scene: &Scene<'_>, list: &[Folder], name: &OsStr, tried: &mut Tried) -> Listed {
    let owner = |via: &FoundVia| match via {
        FoundVia::Rpath { owner, .. } => Some(*owner),
        _ => None,
    };
    let mut ended = None;
    for folder in list {
        if ended == Some(owner(&folder.via)) {
            continue;
        }
        let candidate = folder.path.join(name);
        // A missing directory is looked up once, whatever is searched for in it.
        if let Err(errno) = folder_at(scene.view, &folder.path) {
            tried.push(candidate, Outcome::Absent(errno));
            continue;
        }
        match judge_glibc(scene.view, scene.target, &candidate) {
            Verdict::Take(walk, object) => {
                return Listed::Found(Box::new(Found {
                    opened_as: candidate,
                    walk,
                    object,
                    via: folder.via.clone(),
                    tried: Tried::default(),
                }));
            }
            Verdict::Pass(outcome) => tried.push(candidate, outcome),
            // Each object contributes a separate list to the search.
            Verdict::EndList(outcome) => {
                tried.push(candidate, outcome);
                ended = Some(owner(&folder.via));
            }
            Verdict::Die(outcome) => {
                tried.push(candidate, outcome);
                return Listed::Dead;
            }
        }
    }
    Listed::Nothing
}

fn folder_at(view: &View, path: &Path) -> Result<(), Errno> {
    match view.walk(path)?.metadata.kind {
        NodeKind::Directory => Ok(()),
        _ => Err(Errno::NotADirectory),
    }
}

/// The hwcaps variant of a library in a subdirectory of a search directory.
fn variant(
    scene: &Scene<'_>,
    folder: &Folder,
    subfolder: &'static str,
    name: &OsStr,
) -> Option<Box<Found>> {
    let path = folder.path.join(subfolder).join(name);
    let Verdict::Take(walk, object) = judge_glibc(scene.view, scene.target, &path) else {
        return None;
    };
    Some(Box::new(Found {
        opened_as: path,
        walk,
        object,
        via: FoundVia::Variant {
            inner: Box::new(folder.via.clone()),
            subfolder,
        },
        tried: Tried::default(),
    }))
}

/// `LD_PRELOAD`, then `/etc/ld.so.preload`.
pub(super) fn preloads(scene: &Scene<'_>) -> Vec<(OsString, &'static str)> {
    let names = |text: &[u8], separators: &'static [u8], source: &'static str| {
        text.split(move |byte| separators.contains(byte))
            .filter(|name| !name.is_empty())
            .map(|name| (OsStr::from_bytes(name).to_owned(), source))
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    // With elevated privileges only setuid libraries in a system directory would count.
    let variable = scene.environment.preload.as_ref();
    if let Some(list) = variable.filter(|_| !scene.environment.secure) {
        found.extend(names(list.as_bytes(), b" :", "LD_PRELOAD"));
    }
    let file = Path::new(PRELOAD_FILE);
    if let Ok(text) = scene.view.read(file, MAX_PRELOAD) {
        for line in text.split(|&b| b == b'\n') {
            let code = line.split(|&b| b == b'#').next().unwrap_or_default();
            found.extend(names(code, b" \t\r:", PRELOAD_FILE));
        }
    }
    found
}

pub(super) const PRELOAD_FILE: &str = "/etc/ld.so.preload";

/// The soname of the object that the kernel maps into every process (`vdso(7)`).
fn vdso(target: Target) -> &'static str {
    match target.machine() {
        EM_386 => "linux-gate.so.1",
        EM_PPC64 | EM_S390 if target.is_64() => "linux-vdso64.so.1",
        _ => "linux-vdso.so.1",
    }
}

/// `AT_PLATFORM` of the oldest machine that distributions support.
fn platform(target: Target) -> &'static str {
    match target.machine() {
        EM_386 => "i686",
        EM_X86_64 => "x86_64",
        EM_ARM => "v7l",
        EM_PPC64 => "power8",
        EM_S390 => "z900",
        machine if machine == goblin::elf::header::EM_AARCH64 => "aarch64",
        _ => "",
    }
}

/// The paths at which programs of this target expect glibc's loader, for objects without
/// `PT_INTERP`.
pub(super) fn well_known(target: Target) -> &'static [&'static str] {
    use goblin::elf::header::{EM_AARCH64, EM_LOONGARCH, EM_RISCV};
    match (target.machine(), target.is_64(), target.is_big_endian()) {
        (EM_X86_64, true, _) => &["/lib64/ld-linux-x86-64.so.2"],
        (EM_X86_64, false, _) => &["/libx32/ld-linux-x32.so.2"],
        (EM_386, ..) => &["/lib/ld-linux.so.2"],
        (EM_AARCH64, _, false) => &["/lib/ld-linux-aarch64.so.1"],
        (EM_ARM, _, false) => &["/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.3"],
        (EM_RISCV, true, _) => &["/lib/ld-linux-riscv64-lp64d.so.1"],
        (EM_PPC64, _, false) => &["/lib64/ld64.so.2"],
        (EM_PPC64, _, true) => &["/lib64/ld64.so.1"],
        (EM_S390, true, _) => &["/lib/ld64.so.1"],
        (EM_LOONGARCH, true, _) => &["/lib64/ld-linux-loongarch-lp64d.so.1"],
        _ => &[],
    }
}
