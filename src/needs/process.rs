//! A program with all it loads, as the rules see it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::ReadAt;
use crate::closure::Closure;
use crate::exec::variable;
use crate::loader::{Answer, Environment, FoundVia, Loaded, Scene, Target};
use crate::vfs::{NodeKind, View};

use super::strings::Places;
use super::texts::{Texts, mentions, names};

/// What a rule was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Index of the object that shows it.
    pub object: usize,
    /// What it shows, such as `imports getpwuid`.
    pub text: String,
    /// What of the need it asks for, as behind the `=` of `--with`; nothing where it does not say.
    pub arguments: Vec<String>,
    /// What else it may ask for, in the same words: guesses.
    pub names: Vec<String>,
    /// Whether it is worth a hint only, also where the need is served by itself.
    pub is_weak: bool,
}

impl Sign {
    /// A sign that asks for a need as a whole.
    pub fn new(object: usize, text: impl Into<String>) -> Self {
        Self {
            object,
            text: text.into(),
            arguments: Vec::new(),
            names: Vec::new(),
            is_weak: false,
        }
    }
}

/// A program with all it loads, and what is configured for it.
pub struct Process<'a> {
    /// The files.
    pub view: &'a View,
    /// What it loads.
    pub closure: &'a Closure,
    /// What its loader is told.
    pub environment: &'a Environment,
    /// `NAME=VALUE` of the image.
    pub env: &'a [String],
    /// The user that the image is started as; empty for root.
    pub user: &'a str,
    /// The words that the program is started with.
    pub arguments: &'a [String],
    /// The script that the program runs.
    pub script: Option<&'a Path>,
    /// Whether somebody asked for the program, rather than a need.
    pub is_packed: bool,
    /// Whether symbol tables and strings can be looked at: of compressed layers neither is kept,
    /// unless a whole image was asked for.
    pub has_contents: bool,
    /// What several rules ask for.
    pub memo: Memo,
}

/// What several rules ask for, and what is worked out once.
#[derive(Default)]
pub struct Memo {
    /// Libraries that the program's own archive needs; `None` without one that can be read.
    pub(super) bundle: OnceCell<Option<Vec<String>>>,
    /// Folders of the standard library.
    pub(super) library: OnceCell<Vec<PathBuf>>,
    /// Folders of plugins, each with the object that holds it.
    pub(super) plugins: OnceCell<Vec<(usize, PathBuf)>>,
}

impl Process<'_> {
    /// The objects, the program first.
    pub fn objects(&self) -> &[Loaded] {
        self.closure.map.objects()
    }

    /// The program, and the libraries that it names itself, save the C library: others are not made
    /// for it.
    pub(super) fn own_objects(&self) -> impl Iterator<Item = usize> {
        let objects = self.objects();
        let is_own = |index: &usize| *index == 0 || objects[*index].requester == Some(0);
        let own = (0..objects.len()).filter(is_own);
        own.filter(|&index| !self.is_libc(index))
    }

    /// What the program is called: the last part of its path.
    pub fn name(&self) -> &str {
        let name = self.objects()[0].opened_as.file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether the program has no loader.
    pub fn is_static(&self) -> bool {
        self.closure.rules.is_none()
    }

    /// Whether the C library that it loads is glibc.
    pub fn is_glibc(&self) -> bool {
        self.closure
            .rules
            .as_ref()
            .is_some_and(|rules| rules.libc() == "glibc")
    }

    /// The value of a variable of the image.
    pub fn variable(&self, name: &str) -> Option<&str> {
        variable(self.env, name).filter(|value| !value.is_empty())
    }

    /// The program's import of one of these functions.
    pub fn program_imports(&self, symbols: &[&str]) -> Option<Sign> {
        self.imports_of(0, symbols)
    }

    /// The import of one of these functions by anything but the C library itself.
    pub fn imports(&self, symbols: &[&str]) -> Option<Sign> {
        (0..self.objects().len())
            .filter(|&index| !self.is_libc(index))
            .find_map(|index| self.imports_of(index, symbols))
    }

    fn imports_of(&self, index: usize, symbols: &[&str]) -> Option<Sign> {
        if index == 0 && self.is_static() {
            return self.linked(symbols);
        }
        let object = &self.objects()[index];
        let references = self.view.references(&object.walk, &object.object).ok()?;
        let found = references.symbols.iter().find(|reference| {
            reference
                .name
                .to_str()
                .is_some_and(|name| symbols.contains(&name))
        })?;
        let text = format!("imports {}", found.name.display());
        Some(Sign::new(index, text))
    }

    /// One of these functions in the symbol table of a static program: a linker takes from an
    /// archive what is called.
    fn linked(&self, symbols: &[&str]) -> Option<Sign> {
        if !self.has_contents {
            return None;
        }
        let program = &self.objects()[0];
        let functions = self.view.functions(&program.walk, &program.object);
        let found = symbols.iter().find(|name| functions.contains(**name))?;
        Some(Sign::new(0, format!("is linked with {found}")))
    }

    /// Whether an object is the C library or its loader, whose symbols and strings name nearly
    /// everything.
    pub(super) fn is_libc(&self, index: usize) -> bool {
        let object = &self.objects()[index];
        object.via == FoundVia::Interpreter
            || object
                .object
                .soname()
                .is_some_and(|soname| soname == "libc.so.6")
    }

    /// One of these strings in the read-only data of the program itself.
    pub fn program_string(&self, texts: &[&str]) -> Option<Sign> {
        let found = self.string_of(0, texts)?;
        let text = format!("holds the string {}", found.trim_matches('\0'));
        Some(Sign::new(0, text))
    }

    /// One of these strings in the data of a static program; those of the C library that it has
    /// inside are there if it uses them.
    pub fn static_string(&self, texts: &[&str]) -> Option<Sign> {
        match self.is_static() && self.has_contents {
            true => self.program_string(texts),
            false => None,
        }
    }

    /// Which of the strings, all of them known to the rules, the read-only data of an object holds.
    pub fn string_of<'t>(&self, index: usize, texts: &[&'t str]) -> Option<&'t str> {
        let places = self.places(index)?;
        texts.iter().copied().find(|text| places.of(text).is_some())
    }

    /// Where the strings that rules look for stand in an object.
    pub(super) fn places(&self, index: usize) -> Option<Arc<Places>> {
        let object = &self.objects()[index];
        self.view.strings(&object.walk, || {
            let file = self.view.open(&object.walk).ok()?;
            Places::in_constants(&object.object, file.as_ref())
        })
    }

    /// All texts in the read-only data of an object, as far as a guess looks.
    pub fn texts(&self, index: usize) -> Arc<Texts> {
        if !self.has_contents {
            return Arc::default();
        }
        let object = &self.objects()[index];
        self.view.texts(&object.walk, || {
            let file = self.view.open(&object.walk).ok()?;
            Some(Texts::of(&object.object, file.as_ref()))
        })
    }

    /// The names that are strings of the program.
    pub(super) fn names(&self, is_wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
        let object = &self.objects()[0].object;
        self.program_file()
            .map(|file| names(object, file.as_ref(), is_wanted))
            .unwrap_or_default()
    }

    /// Which of `names` the texts of the program mention.
    pub(super) fn mentions<'n>(&self, names: &'n BTreeMap<String, PathBuf>) -> BTreeSet<&'n str> {
        let object = &self.objects()[0].object;
        self.program_file()
            .map(|file| mentions(object, file.as_ref(), names))
            .unwrap_or_default()
    }

    /// The program's bytes, where they are at hand.
    pub(super) fn program_file(&self) -> Option<Box<dyn ReadAt>> {
        match self.has_contents {
            true => self.view.open(&self.objects()[0].walk).ok(),
            false => None,
        }
    }

    /// The index of the object with one of these sonames.
    pub fn loaded(&self, prefix: &str) -> Option<usize> {
        self.objects().iter().position(|object| {
            let soname = object.object.soname().and_then(|soname| soname.to_str());
            soname.is_some_and(|soname| soname.starts_with(prefix))
        })
    }

    /// Whether the loader would find a library that the object `by` opens by this name.
    pub fn finds(&self, by: usize, name: &str) -> bool {
        let Some(rules) = &self.closure.rules else {
            return false;
        };
        let scene = Scene {
            view: self.view,
            environment: self.environment,
            target: Target::of(&self.closure.program().object),
        };
        let answer = rules.request(&scene, &self.closure.map, OsStr::new(name), by);
        !matches!(answer, Answer::Missing(_))
    }

    /// Whether a path leads to a file.
    pub fn has_file(&self, path: &Path) -> bool {
        self.view.kind(path) == Some(NodeKind::File)
    }

    /// Whether a path leads to something.
    pub fn has(&self, path: &str) -> bool {
        self.view.walk(Path::new(path)).is_ok()
    }
}

/// The first of these paths that leads to something.
pub(super) fn first_path<'p>(view: &View, paths: &[&'p str]) -> Option<&'p str> {
    paths
        .iter()
        .copied()
        .find(|path| view.walk(Path::new(path)).is_ok())
}
