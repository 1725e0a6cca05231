//! Where each object of a closure goes in the image.
//!
//! In: closures of the source tree. Out: the path of every object in the image. An installed file
//! keeps its path; a program from a build directory moves, and what it finds through its own
//! `$ORIGIN` moves with it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::{Builder, Reason, Rootfs, RootfsError, SourceFile};
use crate::closure::{Closure, Request};
use crate::elf::Linkage;
use crate::loader::{FoundVia, Loaded, Rules};
use crate::vfs::{Link, View, Walk};

/// Top-level directories that belong to an installation, not to a build.
const INSTALLED: [&str; 6] = ["bin", "sbin", "usr", "opt", "nix", "gnu"];
/// Where all other programs go; it is in the default PATH of every engine.
const PROGRAM_FOLDER: &str = "/usr/local/bin";

/// Whether a path belongs to an installation, and is therefore kept in the image.
pub fn is_installed(path: &Path) -> bool {
    let mut components = path.components().skip(1).map(|c| c.as_os_str().as_bytes());
    let (first, second) = (components.next(), components.next());
    let Some(top) = first.filter(|_| second.is_some()) else {
        return false;
    };
    (top.starts_with(b"lib") || INSTALLED.iter().any(|folder| folder.as_bytes() == top))
        && !path.starts_with("/usr/src")
}

/// Where one program is in the image.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The path that starts it.
    pub program: PathBuf,
}

/// Places closures and builds the tree that holds them.
pub struct Placer<'a> {
    pub(super) source: &'a View,
    working_dir: &'a Path,
    pub(super) builder: Builder,
    cache: WantedCache,
    /// Whether every path is kept, not only installed ones.
    keeps_all: bool,
    /// Whether programs keep their setuid and setgid bits.
    keeps_setuid: bool,
    /// Whether programs keep their capabilities.
    keeps_capabilities: bool,
    /// Paths of placed objects: in the source, and in the image.
    places: HashMap<PathBuf, PathBuf>,
}

/// The loader cache that the image will need, if `rules` is set.
#[derive(Default)]
struct WantedCache {
    entries: Vec<(OsString, PathBuf)>,
    rules: Option<Arc<Rules>>,
    /// The programs whose libraries are found only through a cache.
    wanted_by: Vec<PathBuf>,
}

impl<'a> Placer<'a> {
    /// A placer for files of `source`; relative search paths start from `working_dir` in the image.
    pub fn new(source: &'a View, working_dir: &'a Path) -> Self {
        Self {
            source,
            working_dir,
            builder: Builder::default(),
            cache: WantedCache::default(),
            keeps_all: false,
            keeps_setuid: false,
            keeps_capabilities: true,
            places: HashMap::new(),
        }
    }

    /// Sets whether paths outside of an installation are kept too, as for files of an image, which
    /// already are in their final place.
    pub fn keeping_all_paths(mut self, keeps_all: bool) -> Self {
        self.keeps_all = keeps_all;
        self
    }

    /// Sets whether programs keep the setuid and setgid bits, with the owner.
    pub fn keeping_setuid(mut self, keeps_setuid: bool) -> Self {
        self.keeps_setuid = keeps_setuid;
        self
    }

    /// Sets whether everything keeps its owner, mode and capabilities, as files of an image do.
    pub fn keeping_owners(mut self, keeps_owners: bool) -> Self {
        self.builder.keeps_owners = keeps_owners;
        self
    }

    /// Sets whether programs keep their capabilities.
    pub fn keeping_capabilities(mut self, keeps_capabilities: bool) -> Self {
        self.keeps_capabilities = keeps_capabilities;
        self
    }

    fn keeps(&self, path: &Path) -> bool {
        self.keeps_all || is_installed(path)
    }

    /// The path in the image of an object that was placed.
    pub(super) fn place_of(&self, source: &Path) -> Option<&PathBuf> {
        self.places.get(source)
    }

    /// Places a program, which is there for `reason`, and everything it loads. `destination`
    /// overrides the path of the program.
    ///
    /// # Errors
    /// [`RootfsError::Conflict`] if two links with different targets have the same path.
    pub fn place(
        &mut self,
        closure: &Closure,
        destination: Option<&Path>,
        reason: &Reason,
    ) -> Result<Placement, RootfsError> {
        let (path, real) = self.place_started(closure.program(), destination, reason)?;
        let objects = closure.map.objects();
        let mut opened = vec![path.clone()];
        for object in &objects[1..] {
            opened.push(match &closure.rules {
                Some(rules) => self.image_path(rules, &opened, &real, object, &object.via),
                None => object.opened_as.clone(),
            });
        }
        let mut reasons = reasons_to_load(closure, &opened);
        for extra in closure.aliases().chain(&closure.variants) {
            let (Some(rules), Some(by)) = (&closure.rules, extra.requester) else {
                continue;
            };
            let image_path = self.image_path(rules, &opened, &real, extra, &extra.via);
            let reason = Reason::NeededBy {
                requester: opened[by].clone(),
                rule: extra.via.rule(by, &|index| opened[index].clone()),
            };
            self.place_library(extra, &image_path, &[reason])?;
        }
        for (index, object) in objects.iter().enumerate().skip(1) {
            if object.via == FoundVia::Interpreter {
                reasons[index].insert(0, Reason::InterpreterOf(path.clone()));
            }
            self.place_library(object, &opened[index], &reasons[index])?;
        }
        self.place_configuration(closure, &path)?;
        self.note_cache_entries(closure, &path);
        for (object, image) in objects.iter().zip(&opened) {
            let places = &mut self.places;
            places
                .entry(object.opened_as.clone())
                .or_insert_with(|| image.clone());
        }
        Ok(Placement { program: path })
    }

    /// Places the program itself; returns its path as it is started, and without links.
    fn place_started(
        &mut self,
        program: &Loaded,
        destination: Option<&Path>,
        reason: &Reason,
    ) -> Result<(PathBuf, PathBuf), RootfsError> {
        let found = program.walk.metadata;
        let is_program = program.object.linkage() != Linkage::Library;
        let mut file = match reason.is_by_hand() {
            true => SourceFile::added(program.walk.clone(), self.source),
            false => SourceFile::of(program.walk.clone(), is_program || found.mode & 0o111 != 0),
        };
        // If everything keeps what it has in the source, so do programs.
        let keeps_capabilities = self.keeps_capabilities && !self.builder.keeps_owners;
        if is_program && keeps_capabilities && !file.keep_capabilities(self.source) {
            self.builder.malformed.push(program.walk.real.clone());
        }
        let is_setuid = is_program && self.keeps_setuid && found.mode & 0o6000 != 0;
        if is_setuid || file.capabilities.is_some() {
            // Users who may not start it in the source do not get its privileges in the image.
            file.mode = self.source.mode(&program.walk) & 0o755;
        }
        if is_setuid {
            file.mode |= found.mode & 0o6000;
        }
        let started = &program.opened_as;
        let (path, real) = self.place_program(started, &program.walk, file, destination, reason)?;
        if is_setuid {
            self.builder.keep_owner(real.clone(), found.owner);
        }
        Ok((path, real))
    }

    /// Keeps the loader's configuration files that affect how the libraries are found.
    fn place_configuration(
        &mut self,
        closure: &Closure,
        program: &Path,
    ) -> Result<(), RootfsError> {
        let Some(rules) = &closure.rules else {
            return Ok(());
        };
        let is_used = |file: &Path| {
            match rules.as_ref() {
            Rules::Glibc(_) => closure.edges.iter().any(|edge| {
                matches!(edge.request, Request::Preload(source) if Path::new(source) == file)
            }),
            // The directory that -L libraries move to may be one that the file names.
            Rules::Musl(_) => closure
                .map
                .objects()
                .iter()
                .any(|object| matches!(object.via, FoundVia::PathFile | FoundVia::Extra)),
        }
        };
        for file in rules.configuration() {
            let Ok(walk) = self.source.walk(file) else {
                continue;
            };
            if is_used(file) {
                self.keep_way(&walk, file)?;
                let source = SourceFile::of(walk.clone(), false);
                let reason = Reason::LoaderConfiguration(program.to_path_buf());
                self.builder.file(walk.real.clone(), source, reason);
            }
        }
        Ok(())
    }

    /// Records what is found through the cache of the source: if any of it is outside the
    /// directories that the loader searches by default, the image needs a cache too.
    fn note_cache_entries(&mut self, closure: &Closure, program: &Path) {
        let Some(rules) = &closure.rules else { return };
        let found = closure.map.objects().iter().chain(closure.aliases());
        for object in found.filter(|object| object.via == FoundVia::Cache) {
            let folder = object.opened_as.parent().unwrap_or(Path::new("/"));
            let is_outside = !rules.system_folders().iter().any(|known| known == folder);
            let entry = (object.requested_as.clone(), object.opened_as.clone());
            self.cache.entries.push(entry);
            if is_outside {
                self.cache.wanted_by.push(program.to_path_buf());
                self.cache.rules = Some(rules.clone());
            }
        }
    }

    /// Builds the tree.
    ///
    /// # Errors
    /// When two entries conflict, or links form a loop.
    pub fn finish(mut self) -> Result<Rootfs, RootfsError> {
        let written = self
            .cache
            .rules
            .and_then(|rules| rules.write_cache(&self.cache.entries));
        if let Some((path, bytes)) = written {
            let file = SourceFile::made(bytes);
            for program in self.cache.wanted_by {
                let reason = Reason::LoaderConfiguration(program);
                self.builder.file(path.to_path_buf(), file.clone(), reason);
            }
        }
        self.builder.finish(self.source)
    }

    /// Places the program file; returns the path that starts it in the image, and its real path
    /// there.
    pub(super) fn place_program(
        &mut self,
        started: &Path,
        walk: &Walk,
        file: SourceFile,
        destination: Option<&Path>,
        reason: &Reason,
    ) -> Result<(PathBuf, PathBuf), RootfsError> {
        let name = started.file_name().unwrap_or(OsStr::new("program"));
        let default = Path::new(PROGRAM_FOLDER).join(name);
        let real = &walk.real;
        if let Some(path) = destination {
            self.builder.file(path.to_path_buf(), file, reason.clone());
            return Ok((path.to_path_buf(), path.to_path_buf()));
        }
        if !self.keeps(real) {
            let path = if self.keeps(started) {
                started.to_path_buf()
            } else {
                default
            };
            self.builder.file(path.clone(), file, reason.clone());
            return Ok((path.clone(), path));
        }
        let path = if self.keeps(started) {
            self.keep_way(walk, started)?;
            started.to_path_buf()
        } else if walk.links.is_empty() {
            real.clone()
        } else {
            // A link from a build directory to an installed program: many programs check the name
            // they were started by.
            self.builder
                .moved_link(default.clone(), real.clone(), reason.clone());
            default
        };
        self.builder.file(real.clone(), file, reason.clone());
        Ok((path, real.clone()))
    }

    /// The path under which the loader will open `object` in the image: the rule that found it,
    /// applied to the place of its requester there.
    fn image_path(
        &self,
        rules: &Rules,
        opened: &[PathBuf],
        program: &Path,
        object: &Loaded,
        via: &FoundVia,
    ) -> PathBuf {
        let origin = |index: usize| {
            let path = if index == 0 { program } else { &opened[index] };
            path.parent().unwrap_or(Path::new("/"))
        };
        let expand = |element: &OsStr, owner: usize| {
            let expanded = rules
                .expand(element, origin(owner))
                .unwrap_or_else(|| element.to_owned());
            self.working_dir.join(expanded)
        };
        let name = &object.requested_as;
        match via {
            FoundVia::Rpath { owner, element } | FoundVia::Runpath { owner, element } => {
                expand(element, *owner).join(name)
            }
            FoundVia::LibraryPath(element) => expand(element, 0).join(name),
            FoundVia::Path => expand(name, object.requester.unwrap_or(0)),
            FoundVia::Extra => {
                let first = rules.system_folders().first();
                let folder = first.map_or(Path::new("/lib"), PathBuf::as_path);
                folder.join(Path::new(name).file_name().unwrap_or(name))
            }
            FoundVia::Variant { inner, .. } if inner.keeps_its_path() => object.opened_as.clone(),
            FoundVia::Variant { inner, subfolder } => {
                let beside = self.image_path(rules, opened, program, object, inner);
                let folder = beside.parent().unwrap_or(Path::new("/"));
                folder.join(subfolder).join(name)
            }
            FoundVia::Program
            | FoundVia::Interpreter
            | FoundVia::Cache
            | FoundVia::SystemFolder
            | FoundVia::PathFile => object.opened_as.clone(),
        }
    }

    fn place_library(
        &mut self,
        object: &Loaded,
        image_path: &Path,
        reasons: &[Reason],
    ) -> Result<(), RootfsError> {
        // The kernel requires execute permission only on an interpreter.
        let file = SourceFile::of(object.walk.clone(), object.via == FoundVia::Interpreter);
        let real = if image_path == object.opened_as {
            self.keep_way(&object.walk, image_path)?;
            object.walk.real.clone()
        } else {
            self.move_links(object, image_path)
        };
        for reason in reasons {
            self.builder
                .file(real.clone(), file.clone(), reason.clone());
        }
        Ok(())
    }

    /// Moves the links from a library's name to its file along with it; returns where the file
    /// itself goes.
    fn move_links(&mut self, object: &Loaded, image_path: &Path) -> PathBuf {
        let mut path = image_path.to_path_buf();
        if object.via != FoundVia::Extra {
            for link in links_in_folder(self.source, object) {
                let next = path.with_file_name(&link.target);
                let reason = Reason::OnTheWayTo(image_path.to_path_buf());
                self.builder.moved_link(path, link.target, reason);
                path = next;
            }
        }
        path
    }

    /// Keeps the links and directories through which `path` leads to its file.
    fn keep_way(&mut self, walk: &Walk, path: &Path) -> Result<(), RootfsError> {
        self.keep_way_for(walk, &Reason::OnTheWayTo(path.to_path_buf()))
    }

    /// The same, with `reason` as the reason.
    pub(super) fn keep_way_for(&mut self, walk: &Walk, reason: &Reason) -> Result<(), RootfsError> {
        for link in &walk.links {
            self.builder.link(link, reason.clone())?;
        }
        for folder in &walk.left {
            self.builder.folder(folder.clone());
        }
        Ok(())
    }
}

/// Why each object of a closure is loaded; `opened` are their paths in the image.
fn reasons_to_load(closure: &Closure, opened: &[PathBuf]) -> Vec<Vec<Reason>> {
    let objects = closure.map.objects();
    let mut reasons = vec![Vec::new(); objects.len()];
    for edge in &closure.edges {
        let Some(target) = edge.target.filter(|&target| target != 0) else {
            continue;
        };
        let object = &objects[target];
        let requester = opened[edge.requester].clone();
        reasons[target].push(match edge.request {
            Request::Opened(need) => Reason::Need {
                need,
                object: Some(requester),
                sign: format!("loads {} at run time", edge.name.display()),
            },
            _ if object.requester == Some(edge.requester) => Reason::NeededBy {
                requester,
                rule: object
                    .via
                    .rule(edge.requester, &|index| opened[index].clone()),
            },
            _ => Reason::NeededBy {
                requester,
                rule: "an already loaded name".to_owned(),
            },
        });
    }
    reasons
}

/// The links from a library's name to its file, if all of them stay in one directory
/// (`libz.so.1 -> libz.so.1.3`) and so can move together; otherwise empty.
fn links_in_folder(source: &View, object: &Loaded) -> Vec<Link> {
    let folder = object.opened_as.parent().unwrap_or(Path::new("/"));
    let Ok(folder) = source.walk(folder) else {
        return Vec::new();
    };
    let links = &object.walk.links[folder.links.len().min(object.walk.links.len())..];
    let stays = |link: &Link| link.target.components().count() == 1 && !link.target.is_absolute();
    if links.iter().all(stays) {
        links.to_vec()
    } else {
        Vec::new()
    }
}
