//! A program with all it loads, as the rules see it.

use std::ffi::OsStr;
use std::path::Path;

use memchr::memmem;

use crate::bytes::ReadAt;
use crate::closure::Closure;
use crate::image::variable;
use crate::loader::{Answer, Environment, FoundVia, Loaded, Scene, Target};
use crate::vfs::View;

/// Read-only data of a program that is looked through for strings, in bytes.
const MAX_SCAN: u64 = 256 << 20;

/// The strings that rules look for, all in one pass.
const STRINGS: [&str; 5] = [
    "\0/tmp\0",
    "\0/tmp/",
    "/bin/sh\0",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
];

/// What a rule was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Index of the object that shows it.
    pub object: usize,
    /// What it shows, such as `imports getpwuid`.
    pub text: String,
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
}

impl Process<'_> {
    /// The objects, the program first.
    pub fn objects(&self) -> &[Loaded] {
        self.closure.map.objects()
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
        let object = &self.objects()[index];
        let references = self.view.references(&object.walk, &object.object).ok()?;
        let found = references.symbols.iter().find(|reference| {
            reference
                .name
                .to_str()
                .is_some_and(|name| symbols.contains(&name))
        })?;
        Some(Sign {
            object: index,
            text: format!("imports {}", found.name.display()),
        })
    }

    /// Whether an object is the C library or its loader, whose symbols and strings name nearly
    /// everything.
    fn is_libc(&self, index: usize) -> bool {
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
        Some(Sign {
            object: 0,
            text: format!("holds the string {}", found.trim_matches('\0')),
        })
    }

    /// Which of the strings, all of them known to the rules, the read-only data of an object holds.
    pub fn string_of<'t>(&self, index: usize, texts: &[&'t str]) -> Option<&'t str> {
        let object = &self.objects()[index];
        let held = self.view.strings(&object.walk, || {
            let file = self.view.open(&object.walk).ok()?;
            let mut held = 0_u32;
            for (offset, length) in object.object.constant_ranges() {
                held |= strings_in(file.as_ref(), offset, length.min(MAX_SCAN), held)?;
            }
            Some(held)
        })?;
        texts.iter().copied().find(|text| {
            let number = STRINGS.iter().position(|known| known == text);
            number.is_some_and(|number| held & (1 << number) != 0)
        })
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

    /// Whether a path leads to something.
    pub fn has(&self, path: &str) -> bool {
        self.view.walk(Path::new(path)).is_ok()
    }
}

/// Which of [`STRINGS`] a part of a file holds, a bit each; those in `known` are not looked for.
/// Piece by piece: a piece that stays in the cache is searched faster than it is read.
fn strings_in(file: &dyn ReadAt, offset: u64, length: u64, known: u32) -> Option<u32> {
    const PIECE: usize = 256 << 10;
    let longest = STRINGS.iter().map(|text| text.len()).max().unwrap_or(1);
    let mut found = known;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
        let count = file
            .read_at(&mut piece[..wanted], offset.checked_add(at)?)
            .ok()?;
        for (number, text) in STRINGS.iter().enumerate() {
            let bit = 1 << number;
            if found & bit == 0 && memmem::find(&piece[..count], text.as_bytes()).is_some() {
                found |= bit;
            }
        }
        if count < wanted || count <= longest {
            break;
        }
        // A string may lie across two pieces.
        at += match at + (count as u64) < length {
            true => (count - longest) as u64,
            false => count as u64,
        };
    }
    Some(found)
}

/// The first of these paths that leads to something.
pub(super) fn first_path<'p>(view: &View, paths: &[&'p str]) -> Option<&'p str> {
    paths
        .iter()
        .copied()
        .find(|path| view.walk(Path::new(path)).is_ok())
}
