//! A program with everything it loads, as the rules see it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::ReadAt;
use crate::closure::Closure;
use crate::elf::ElfError;
use crate::exec::variable;
use crate::loader::{Answer, Environment, FoundVia, Loaded, Objects, Scene, Target};
use crate::vfs::{NodeKind, View};

use super::provision::Addition;
use super::strings::Places;
use super::texts::{Texts, mentions, names};
use super::{Mode, NeedRule};

/// The evidence that a program has a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Index of the object that shows it.
    pub object: usize,
    /// What it shows, such as `imports getpwuid`.
    pub text: String,
    /// The part of the need that it requires, as after the `=` of `--with`; empty if unknown.
    pub arguments: Vec<String>,
    /// What else it may require, in the same form; these are guesses.
    pub names: Vec<String>,
    /// Whether it justifies only a hint, even if the need is automatic.
    pub is_weak: bool,
}

impl Sign {
    /// A sign that does not restrict the need to some part.
    pub fn new(object: usize, text: impl Into<String>) -> Self {
        Self {
            object,
            text: text.into(),
            arguments: Vec::new(),
            names: Vec::new(),
            is_weak: false,
        }
    }

    /// When a rule acts on this sign.
    pub fn mode(&self, rule: &NeedRule) -> Mode {
        match self.is_weak {
            true => Mode::Hint,
            false => rule.mode,
        }
    }
}

/// A program with everything it loads, and its configuration.
pub struct Process<'a> {
    /// The file system that it runs in.
    pub view: &'a View,
    /// The program and everything it loads.
    pub closure: &'a Closure,
    /// The environment in which its loader searches.
    pub environment: &'a Environment,
    /// The environment variables of the image, as `NAME=VALUE`.
    pub env: &'a [String],
    /// The user that the image runs as; empty for root.
    pub user: &'a str,
    /// The arguments of the program.
    pub arguments: &'a [String],
    /// The script that the program runs, if any.
    pub script: Option<&'a Path>,
    /// Whether the user named the program, rather than a need adding it.
    pub is_packed: bool,
    /// Whether it comes from an image, whose directories are in their final state.
    pub is_image: bool,
    /// Whether signs that justify only a hint are wanted, which take time.
    pub wants_hints: bool,
    /// Whether symbol tables and strings can be read: for compressed layers neither is kept, unless
    /// the whole image was requested.
    pub has_contents: bool,
    /// Real paths of files and whole directories that are in the image for other reasons.
    pub brought: Arc<BTreeSet<PathBuf>>,
    /// Results that several rules share.
    pub memo: RuleMemo,
}

/// Results that several rules share, each computed once.
#[derive(Default)]
pub struct RuleMemo {
    /// Directories of the interpreter's standard library.
    pub(super) library: OnceCell<Vec<PathBuf>>,
    /// Plugin directories, each with the index of the object that contains its path.
    pub(super) plugins: OnceCell<Vec<(usize, PathBuf)>>,
    /// Directories that the program's package creates for it.
    pub(super) state: OnceCell<Vec<Addition>>,
}

impl Process<'_> {
    /// The loaded objects, the program first.
    pub fn objects(&self) -> &[Loaded] {
        self.closure.map.objects()
    }

    /// The indices of the program and of the libraries that it names itself, except the C library:
    /// the other libraries are not specific to it.
    pub(super) fn own_objects(&self) -> impl Iterator<Item = usize> {
        let objects = self.objects();
        let is_own = |index: &usize| *index == 0 || objects[*index].requester == Some(0);
        let own = (0..objects.len()).filter(is_own);
        own.filter(|&index| !self.is_libc(index))
    }

    /// The program's file name; empty if it is not UTF-8.
    pub fn name(&self) -> &str {
        let name = self.objects()[0].opened_as.file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether what a path leads to is in the image for another reason, so that no hint is needed.
    pub(super) fn brings(&self, path: &Path) -> bool {
        if self.brought.is_empty() {
            return false;
        }
        let walk = self.view.walk(path);
        walk.is_ok_and(|walk| {
            let mut above = walk.real.ancestors();
            above.any(|path| self.brought.contains(path))
        })
    }

    /// Whether the program is static: no loader starts it.
    pub fn is_static(&self) -> bool {
        self.closure.rules.is_none()
    }

    /// Whether its C library is glibc.
    pub fn is_glibc(&self) -> bool {
        self.closure
            .rules
            .as_ref()
            .is_some_and(|rules| rules.libc() == "glibc")
    }

    /// The value of an environment variable of the image; `None` if unset or empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        variable(self.env, name).filter(|value| !value.is_empty())
    }

    /// The sign that the program imports one of these functions.
    pub fn program_imports(&self, symbols: &[&str]) -> Option<Sign> {
        self.imports_of(0, symbols)
    }

    /// The sign that any object except the C library imports one of these functions.
    pub fn imports(&self, symbols: &[&str]) -> Option<Sign> {
        (0..self.objects().len())
            .filter(|&index| !self.is_libc(index))
            .find_map(|index| self.imports_of(index, symbols))
    }

    /// The sign that one object imports one of these functions.
    pub(super) fn imports_of(&self, index: usize, symbols: &[&str]) -> Option<Sign> {
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

    /// The sign that one of these functions is in the symbol table of a static program: a linker
    /// takes only what is called from an archive.
    fn linked(&self, symbols: &[&str]) -> Option<Sign> {
        if !self.has_contents {
            return None;
        }
        let program = &self.objects()[0];
        let functions = self.view.functions(&program.walk, &program.object);
        let found = symbols.iter().find(|name| functions.0.contains(**name))?;
        Some(Sign::new(0, format!("is linked with {found}")))
    }

    /// Whether an object is the C library or its loader, whose symbols and strings would match
    /// nearly every rule.
    pub(super) fn is_libc(&self, index: usize) -> bool {
        let object = &self.objects()[index];
        object.via == FoundVia::Interpreter
            || object
                .object
                .soname()
                .is_some_and(|soname| soname == "libc.so.6")
    }

    /// The sign that the read-only data of the program itself contains one of these strings.
    pub fn program_string(&self, texts: &[&str]) -> Option<Sign> {
        let found = self.string_of(0, texts)?;
        let text = format!("contains the string {}", found.trim_matches('\0'));
        Some(Sign::new(0, text))
    }

    /// The sign that a static program contains one of these strings; those of the C library are
    /// linked in only if the program uses them.
    pub fn static_string(&self, texts: &[&str]) -> Option<Sign> {
        match self.is_static() && self.has_contents {
            true => self.program_string(texts),
            false => None,
        }
    }

    /// The first of these strings, all known to the rules, in the read-only data of an object.
    pub fn string_of<'t>(&self, index: usize, texts: &[&'t str]) -> Option<&'t str> {
        let places = self.places(index)?;
        texts.iter().copied().find(|text| places.of(text).is_some())
    }

    /// The offsets in an object of the strings that rules look for.
    pub(super) fn places(&self, index: usize) -> Option<Arc<Places>> {
        let object = &self.objects()[index];
        let look = || {
            let file = self.view.open(&object.walk).ok()?;
            Places::in_constants(&object.object, file.as_ref()).map(Arc::new)
        };
        self.view.remember(&object.walk, || look().ok_or(())).ok()
    }

    /// All texts in the read-only data of an object, within the limits for guesses.
    pub fn texts(&self, index: usize) -> Arc<Texts> {
        if !self.has_contents {
            return Arc::default();
        }
        let object = &self.objects()[index];
        let look = || {
            let file = self.view.open(&object.walk).ok()?;
            Some(Arc::new(Texts::of(&object.object, file.as_ref())))
        };
        let texts = self.view.remember(&object.walk, || look().ok_or(()));
        texts.unwrap_or_default()
    }

    /// The wanted names that are strings of the program.
    pub(super) fn names(&self, is_wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
        let object = &self.objects()[0].object;
        self.program_file()
            .map(|file| names(object, file.as_ref(), is_wanted))
            .unwrap_or_default()
    }

    /// Which of `names` occur as words in the program's read-only data.
    pub(super) fn mentions<'n>(&self, names: &'n BTreeMap<String, PathBuf>) -> BTreeSet<&'n str> {
        let object = &self.objects()[0].object;
        self.program_file()
            .map(|file| mentions(object, file.as_ref(), names))
            .unwrap_or_default()
    }

    /// The program's bytes, if they are available.
    pub(super) fn program_file(&self) -> Option<Box<dyn ReadAt>> {
        match self.has_contents {
            true => self.view.open(&self.objects()[0].walk).ok(),
            false => None,
        }
    }

    /// The index of the first object whose soname begins with `prefix`.
    pub fn loaded(&self, prefix: &str) -> Option<usize> {
        self.objects().iter().position(|object| {
            let soname = object.object.soname().and_then(|soname| soname.to_str());
            soname.is_some_and(|soname| soname.starts_with(prefix))
        })
    }

    /// Whether the loader would find a library that the object `by` opens under this name.
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

    /// Whether a path exists; links are followed.
    pub fn has(&self, path: &str) -> bool {
        self.view.walk(Path::new(path)).is_ok()
    }
}

/// Whether a file is an ELF object or a script: some data files have execute permission.
pub(super) fn begins_as_program(view: &View, path: &Path) -> bool {
    let facts = view.walk(path).and_then(|walk| view.facts(&walk));
    matches!(facts, Ok(Ok(_) | Err(ElfError::NotElf(true))))
}

/// The first of these paths that exists; links are followed.
pub(super) fn first_path<'p>(view: &View, paths: &[&'p str]) -> Option<&'p str> {
    paths
        .iter()
        .copied()
        .find(|path| view.walk(Path::new(path)).is_ok())
}
