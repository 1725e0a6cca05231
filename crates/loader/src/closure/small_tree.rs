//! A tree in memory for the tests of the rules: takes a few objects, returns what a loader loads.

use std::path::Path;
use std::sync::Arc;

use slimpack_test_elf::Elf;
use slimpack_vfs::memory::MemoryVfs;
use slimpack_vfs::{Memo, View};

use super::{Closure, Program};
use crate::{Environment, Loaders};

/// Where the program is.
pub(super) const APP: &str = "/usr/bin/app";

/// A library that needs these.
pub(super) fn library(needed: &[&str]) -> Elf {
    Elf {
        needed: needed.iter().map(|&name| name.to_owned()).collect(),
        ..Elf::default()
    }
}

/// A library with this search path in `DT_RPATH`.
pub(super) fn with_rpath(path: &str, needed: &[&str]) -> Elf {
    Elf {
        rpath: Some(path.to_owned()),
        ..library(needed)
    }
}

/// A library with this search path in `DT_RUNPATH`.
pub(super) fn with_runpath(path: &str, needed: &[&str]) -> Elf {
    Elf {
        runpath: Some(path.to_owned()),
        ..library(needed)
    }
}

/// Objects, and what else is in the tree.
pub(super) struct SmallTree {
    vfs: MemoryVfs,
    loader: &'static str,
    /// The loader's settings.
    pub(super) environment: Environment,
}

impl SmallTree {
    /// A tree with a loader at this path.
    pub(super) fn new(loader: &'static str, object: &Elf) -> Self {
        Self {
            vfs: MemoryVfs::new().file(loader, object.bytes()),
            loader,
            environment: Environment::default(),
        }
    }

    /// Adds the program.
    pub(super) fn app(self, object: Elf) -> Self {
        self.app_at(APP, object)
    }

    /// Adds the program at another path.
    pub(super) fn app_at(self, path: &str, object: Elf) -> Self {
        let interpreter = Some(self.loader.to_owned());
        self.with(
            path,
            &Elf {
                interpreter,
                ..object
            },
        )
    }

    /// Adds libraries that need nothing.
    pub(super) fn libraries(self, paths: &[&str]) -> Self {
        let add = |tree: Self, path: &&str| tree.with(path, &Elf::default());
        paths.iter().fold(self, add)
    }

    /// Adds an object.
    pub(super) fn with(self, path: &str, object: &Elf) -> Self {
        self.file(path, object.bytes())
    }

    /// Adds a file.
    pub(super) fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.vfs = self.vfs.file(path, bytes);
        self
    }

    /// Adds a symbolic link.
    pub(super) fn link(mut self, path: &str, target: &str) -> Self {
        self.vfs = self.vfs.symlink(path, target);
        self
    }

    /// Sets `LD_LIBRARY_PATH`.
    pub(super) fn library_path(mut self, path: &str) -> Self {
        self.environment.library_path = Some(path.into());
        self
    }

    /// Gives the program the privileges of a setuid program.
    pub(super) fn secure(mut self) -> Self {
        self.environment.secure = true;
        self
    }

    /// What the loader loads, in its order.
    pub(super) fn loads(self) -> Vec<String> {
        self.loads_of(APP)
    }

    /// What it loads for the program at this path.
    pub(super) fn loads_of(self, path: &str) -> Vec<String> {
        self.resolved(path, |_, _, closure| lines(closure))
    }

    /// What is loaded after the object of this path has opened `name` at run time.
    pub(super) fn loads_when(self, by: &str, name: &str) -> Vec<String> {
        self.resolved(APP, |view, environment, closure| {
            let objects = closure.map.objects();
            let by = objects
                .iter()
                .position(|object| object.opened_as == Path::new(by))
                .unwrap();
            let opened = closure.open(view, environment, by, name.as_ref(), "test");
            let mut lines = lines(closure);
            if opened.unwrap().is_none() {
                lines.push(format!("! {name}"));
            }
            lines
        })
    }

    /// What the closure of a program contains.
    pub(super) fn resolved<T>(
        self,
        path: &str,
        answer: impl FnOnce(&View, &Environment, &mut Closure) -> T,
    ) -> T {
        let view = View::new(Box::new(self.vfs), Arc::new(Memo::default()));
        let program = Program::find(&view, Path::new(path)).unwrap();
        let loaders = Loaders::default();
        let mut closure = Closure::of(&program, &view, &loaders, &self.environment).unwrap();
        answer(&view, &self.environment, &mut closure)
    }
}

/// The path of each library, without the loader; `! NAME` for those that are missing.
pub(super) fn lines(closure: &Closure) -> Vec<String> {
    let objects = closure.map.objects();
    let loaded = closure
        .listed()
        .filter(|&index| objects[index].via != crate::FoundVia::Interpreter)
        .map(|index| objects[index].opened_as.display().to_string());
    let missing = closure.missing.iter();
    let missing = missing.map(|missing| format!("! {}", missing.name.display()));
    loaded.chain(missing).collect()
}
