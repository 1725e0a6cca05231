//! The closure: everything the loader would map for one program.
//!
//! In: a program, a tree, and the loader's environment. Out: objects in load order,
//! which object requests which under what name, and what is missing. A missing library
//! is not an error: the walk continues, as the loader does when it only lists.

mod error;
mod interpreter;
#[cfg(test)]
mod rules_of_glibc;
#[cfg(test)]
mod rules_of_musl;
#[cfg(test)]
mod small_tree;
mod trace;

pub use error::ClosureError;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};

use interpreter::{Interpreter, find_interpreter};

use crate::{
    Answer, Environment, Found, FoundVia, LinkMap, Loaded, Loaders, Objects, Rules, Scene, Target,
    Tried,
};
use slimpack_elf::{DependencyKind, Linkage, Object};
use slimpack_vfs::{NodeKind, View, Walk};

/// Maximum number of objects in one process: protects against maliciously generated graphs.
const MAX_OBJECTS: usize = 20_000;
/// Most search attempts kept for one closure.
const MAX_ATTEMPTS: usize = 50_000;

/// Why one object requests another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// A tag in its dynamic table.
    Dependency(DependencyKind),
    /// Not the object, but `LD_PRELOAD` or `/etc/ld.so.preload`, as named here.
    Preload(&'static str),
    /// It opens the other at run time (`dlopen(3)`); the need that includes it.
    Opened(&'static str),
}

impl Request {
    /// Whether the loader continues if it is not found.
    pub fn is_optional(self) -> bool {
        !matches!(
            self,
            Self::Dependency(DependencyKind::Needed | DependencyKind::Filter)
        )
    }
}

/// A request of one object for another.
#[derive(Debug)]
pub struct Edge {
    /// Index of the requester.
    pub requester: usize,
    /// The requested name.
    pub name: OsString,
    /// The reason for the request.
    pub request: Request,
    /// Index of the object found; `None` if it is missing.
    pub target: Option<usize>,
    /// How this request was resolved, if that differs from how the object was first
    /// loaded.
    pub alias: Option<Box<Loaded>>,
}

/// A name that was not found.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The requested name.
    pub name: OsString,
    /// Indices of the objects that request it.
    pub requesters: Vec<usize>,
    /// What was tried, for the first of them.
    pub tried: Tried,
}

/// Everything the loader would map.
pub struct Closure {
    /// The loader's rules; `None` for a static program.
    pub rules: Option<Arc<Rules>>,
    /// The path in `PT_INTERP`, or where the loader was found for an object without
    /// one.
    pub interpreter: Option<OsString>,
    /// Objects in load order; the program is the first.
    pub map: LinkMap,
    /// Requests in the loader's order.
    pub edges: Vec<Edge>,
    /// The order in which symbols are looked up: breadth first, filters before the
    /// objects that name them. The interpreter is in it only when something needs it.
    pub scope: Vec<usize>,
    /// Hardware-specific variants of libraries (`glibc-hwcaps`), in addition to the baseline.
    pub variants: Vec<Loaded>,
    /// Missing libraries, by name, in the order of the first request.
    pub missing: Vec<Missing>,
}

/// A program found in a tree.
pub struct Program {
    /// The path as given.
    pub path: PathBuf,
    /// That path, resolved.
    pub walk: Arc<Walk>,
    /// The parsed ELF object.
    pub object: Arc<Object>,
}

impl Closure {
    /// What `LD_PRELOAD` and `/etc/ld.so.preload` name but is not found: the loader complains at
    /// each start and continues. The name, and which of the two has it.
    pub fn missing_preloads(&self) -> impl Iterator<Item = (&OsStr, &'static str)> {
        self.edges.iter().filter_map(|edge| match edge.request {
            Request::Preload(source) if edge.target.is_none() => Some((&*edge.name, source)),
            _ => None,
        })
    }
}

impl Program {
    /// Finds the program at `path`.
    ///
    /// # Errors
    /// When it is not an ELF program or library.
    pub fn find(view: &View, path: &Path) -> Result<Self, ClosureError> {
        use goblin::elf::header::{ET_CORE, ET_DYN, ET_EXEC, ET_REL};
        let walk = view.walk(path).map_err(ClosureError::Unreachable)?;
        match walk.metadata.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(ClosureError::NotAFile("a directory")),
            _ => return Err(ClosureError::NotAFile("a device, socket or pipe")),
        }
        let object = view.facts(&walk).map_err(ClosureError::Unreachable)??;
        match object.header.e_type {
            ET_EXEC | ET_DYN => {}
            ET_REL => return Err(ClosureError::NotLoadable("an object file (.o, .ko)")),
            ET_CORE => return Err(ClosureError::NotLoadable("a core dump")),
            _ => return Err(ClosureError::NotLoadable("an ELF file of unknown type")),
        }
        if object.segments.is_empty() {
            return Err(ClosureError::NotLoadable("an ELF file without segments"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            walk,
            object,
        })
    }
}

impl Closure {
    /// Computes the closure of `program`.
    ///
    /// # Errors
    /// When the interpreter cannot be used; missing libraries are part of the result.
    pub fn of(
        program: &Program,
        view: &View,
        loaders: &Loaders,
        environment: &Environment,
    ) -> Result<Self, ClosureError> {
        let loaded = Loaded::new(
            program.path.clone(),
            program.walk.clone(),
            program.object.clone(),
            program.path.clone().into_os_string(),
            None,
            FoundVia::Program,
        );
        let interpreter = match program.object.linkage() {
            Linkage::Static | Linkage::StaticPie => None,
            _ => find_interpreter(view, loaders, &program.object, &environment.working_dir)?,
        };
        let Some(Interpreter {
            requested,
            walk,
            object,
            rules,
        }) = interpreter
        else {
            return Ok(Self::empty(&loaded));
        };
        let mut map = LinkMap::default();
        map.add(&rules, loaded);
        map.add(
            &rules,
            Loaded::new(
                environment.working_dir.join(&requested),
                walk,
                object,
                requested.clone(),
                Some(0),
                FoundVia::Interpreter,
            ),
        );
        let scene = Scene {
            view,
            environment,
            target: Target::of(&program.object),
        };
        let closure = Self {
            rules: Some(rules.clone()),
            interpreter: Some(requested),
            map,
            edges: Vec::new(),
            scope: vec![0],
            variants: Vec::new(),
            missing: Vec::new(),
        };
        let mut walker = Walker::new(scene, &rules, closure);
        walker.preload()?;
        walker.run(0)?;
        Ok(walker.closure)
    }

    /// A closure with nothing but the program.
    pub fn empty(program: &Loaded) -> Self {
        let program = Loaded::new(
            program.opened_as.clone(),
            program.walk.clone(),
            program.object.clone(),
            program.requested_as.clone(),
            None,
            FoundVia::Program,
        );
        Self {
            rules: None,
            interpreter: None,
            map: LinkMap::of_static(program),
            edges: Vec::new(),
            scope: vec![0],
            variants: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Loads what the object `by` opens as `name` at run time, with everything it needs in turn.
    /// Returns the index of the object found; if none is, it is not counted as missing.
    ///
    /// # Errors
    /// When there are too many objects.
    pub fn open(
        &mut self,
        view: &View,
        environment: &Environment,
        by: usize,
        name: &OsStr,
        need: &'static str,
    ) -> Result<Option<usize>, ClosureError> {
        let Some(rules) = self.rules.clone() else {
            return Ok(None);
        };
        let scene = Scene {
            view,
            environment,
            target: Target::of(&self.program().object),
        };
        let at = self.scope.len();
        let closure = std::mem::replace(self, Self::empty(self.program()));
        let mut walker = Walker::new(scene, &rules, closure);
        let opened = walker.request(by, name, Request::Opened(need));
        if let Ok(Some(object)) = opened {
            walker.append(object);
        }
        let ran = walker.run(at);
        *self = walker.closure;
        ran?;
        opened
    }

    /// The program.
    pub fn program(&self) -> &Loaded {
        &self.map.objects()[0]
    }

    /// Requests that were resolved to an already loaded object by another route.
    pub fn aliases(&self) -> impl Iterator<Item = &Loaded> {
        self.edges.iter().filter_map(|edge| edge.alias.as_deref())
    }

    /// Whether every library was found.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether an object comes in only by a library that is opened at run time.
    pub fn is_opened(&self, mut index: usize) -> bool {
        let is_opened = |index: usize| {
            let is_of_it = |edge: &&Edge| edge.target == Some(index);
            let mut edges = self.edges.iter().filter(is_of_it);
            edges.all(|edge| matches!(edge.request, Request::Opened(_)))
        };
        // Each object is requested by an earlier one, down to the program.
        while let Some(requester) = self.map.objects()[index].requester {
            if is_opened(index) {
                return true;
            }
            index = requester;
        }
        false
    }

    /// All objects except the program, in the order in which the loader lists them: symbol
    /// lookup order, with an interpreter that nothing needs at the end.
    pub fn listed(&self) -> impl Iterator<Item = usize> {
        let scope: HashSet<usize> = self.scope.iter().copied().collect();
        let unneeded = (1..self.map.objects().len()).filter(move |index| !scope.contains(index));
        self.scope.iter().copied().skip(1).chain(unneeded)
    }

    /// For each object, the objects that request it, each once, in order.
    pub fn requesters(&self) -> Vec<Vec<usize>> {
        let mut requesters = vec![Vec::new(); self.map.objects().len()];
        for edge in &self.edges {
            // The requests of one object are adjacent.
            let Some(target) = edge.target else { continue };
            let known: &mut Vec<usize> = &mut requesters[target];
            if known.last() != Some(&edge.requester) {
                known.push(edge.requester);
            }
        }
        requesters
    }
}

/// Breadth first over the objects (`_dl_map_object_deps`, `load_deps`).
struct Walker<'a> {
    scene: Scene<'a>,
    rules: &'a Rules,
    closure: Closure,
    scoped: HashSet<usize>,
    visited: HashSet<usize>,
    /// Attempts that may still be kept for a report.
    attempts_left: usize,
}

impl<'a> Walker<'a> {
    fn new(scene: Scene<'a>, rules: &'a Rules, closure: Closure) -> Self {
        Self {
            scene,
            rules,
            visited: HashSet::new(),
            scoped: closure.scope.iter().copied().collect(),
            closure,
            attempts_left: MAX_ATTEMPTS,
        }
    }

    fn preload(&mut self) -> Result<(), ClosureError> {
        for (name, source) in self.rules.preloads(&self.scene) {
            if let Some(object) = self.request(0, &name, Request::Preload(source))? {
                self.append(object);
            }
        }
        Ok(())
    }

    /// Visits the objects of the scope from position `at` on, including those added on the way.
    fn run(&mut self, mut at: usize) -> Result<(), ClosureError> {
        while let Some(&current) = self.closure.scope.get(at) {
            if self.visited.insert(current) {
                self.visit(current, at)?;
                if self.scene.environment.hwcaps {
                    self.add_variants(current)?;
                }
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Finds the `glibc-hwcaps` variants of an object, and what they need instead.
    fn add_variants(&mut self, base: usize) -> Result<(), ClosureError> {
        for subfolder in self.rules.variants() {
            let object = &self.closure.map.objects()[base];
            // A name that is a path leads to one file, not to a variant of it.
            if matches!(
                object.via,
                FoundVia::Program | FoundVia::Interpreter | FoundVia::Path
            ) {
                return Ok(());
            }
            let (Some(folder), Some(name)) =
                (object.opened_as.parent(), object.opened_as.file_name())
            else {
                return Ok(());
            };
            let path = folder.join(subfolder).join(name);
            let Ok(walk) = self.scene.view.walk(&path) else {
                continue;
            };
            let Ok(Ok(variant)) = self.scene.view.facts(&walk) else {
                continue;
            };
            if !self.scene.target.matches(&variant.header) {
                continue;
            }
            let via = FoundVia::Variant {
                inner: Box::new(object.via.clone()),
                subfolder,
            };
            let requested = object.requested_as.clone();
            let loaded = Loaded::new(
                path,
                walk,
                variant.clone(),
                requested,
                object.requester,
                via,
            );
            self.closure.variants.push(loaded);
            for dependency in variant.dependencies() {
                let request = Request::Dependency(dependency.kind);
                if let Some(target) = self.request(base, &dependency.name, request)? {
                    self.append(target);
                }
            }
        }
        Ok(())
    }

    /// Requests what the object at position `at` of the scope depends on.
    fn visit(&mut self, current: usize, at: usize) -> Result<(), ClosureError> {
        let object = self.closure.map.objects()[current].object.clone();
        let mut insert_at = at;
        for dependency in object.dependencies() {
            let request = Request::Dependency(dependency.kind);
            let Some(target) = self.request(current, &dependency.name, request)? else {
                continue;
            };
            if dependency.kind == DependencyKind::Needed {
                self.append(target);
                continue;
            }
            // A filter comes just before the object that names it, unless it is already earlier in
            // the scope.
            if !self.scoped.insert(target) {
                match self
                    .closure
                    .scope
                    .iter()
                    .position(|&object| object == target)
                {
                    Some(position) if position > insert_at => {
                        self.closure.scope.remove(position);
                    }
                    _ => continue,
                }
            }
            self.closure.scope.insert(insert_at, target);
            insert_at += 1;
        }
        Ok(())
    }

    fn append(&mut self, object: usize) {
        if self.scoped.insert(object) {
            self.closure.scope.push(object);
        }
    }

    /// Makes one request; returns the index of the object found.
    fn request(
        &mut self,
        by: usize,
        name: &OsStr,
        request: Request,
    ) -> Result<Option<usize>, ClosureError> {
        let load = |found: Found| {
            let mut loaded = Loaded::new(
                found.opened_as,
                found.walk,
                found.object,
                name.to_owned(),
                Some(by),
                found.via,
            );
            loaded.tried = found.tried;
            loaded
        };
        let mut alias = None;
        let answer = self.rules.request(&self.scene, &self.closure.map, name, by);
        trace::search(&self.closure.map, name, by, &answer);
        let target = match answer {
            Answer::Kernel => return Ok(None),
            Answer::Loaded(index) => Some(index),
            Answer::Same(index, found) => {
                self.closure
                    .map
                    .also_known_as(self.rules, index, name, &found.opened_as);
                alias = Some(Box::new(load(*found)));
                Some(index)
            }
            Answer::Found(mut found) => {
                if self.closure.map.objects().len() >= MAX_OBJECTS {
                    return Err(ClosureError::TooManyObjects);
                }
                found.tried.keep_within(&mut self.attempts_left);
                Some(self.closure.map.add(self.rules, load(*found)))
            }
            Answer::Missing(mut tried) => {
                tried.keep_within(&mut self.attempts_left);
                if !request.is_optional() {
                    self.report_missing(by, name, tried);
                }
                None
            }
        };
        self.closure.edges.push(Edge {
            requester: by,
            name: name.to_owned(),
            request,
            target,
            alias,
        });
        Ok(target)
    }

    fn report_missing(&mut self, by: usize, name: &OsStr, tried: Tried) {
        match self
            .closure
            .missing
            .iter_mut()
            .find(|missing| missing.name == name)
        {
            Some(missing) => {
                if !missing.requesters.contains(&by) {
                    missing.requesters.push(by);
                }
            }
            None => self.closure.missing.push(Missing {
                name: name.to_owned(),
                requesters: vec![by],
                tried,
            }),
        }
    }
}
