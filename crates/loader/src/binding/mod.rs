//! Whether the libraries found can be bound: symbol versions and symbols.
//!
//! In: a closure. Out: versions and symbols that no object provides, as the loader would
//! report them. Objects are compared in pairs, each pair once per process: the same
//! library is paired with the same libc in every program.

mod glibc_release;
mod symbols;
mod versions;

pub use glibc_release::{GlibcRelease, glibc_needs};
pub use symbols::{Unresolved, Unused};
pub use versions::{LowestGlibc, MissingVersion};

use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use thiserror::Error;

use crate::closure::Closure;
use crate::{Loaded, Objects};
use slimpack_elf::{ElfError, Versions};
use slimpack_vfs::{FileId, View};

/// Why the symbols of an object cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the symbols of {}: {error}", .path.display())]
pub struct BindingError {
    /// The path of the object.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: ElfError,
}

/// Checks closures of one tree.
pub struct Binder<'v> {
    view: &'v View,
    versions: Known<(FileId, FileId), Arc<[usize]>>,
    symbols: Known<(FileId, FileId), Arc<symbols::Bits>>,
}

impl<'v> Binder<'v> {
    /// A binder for closures whose files are in `view`.
    pub fn new(view: &'v View) -> Self {
        Self {
            view,
            versions: Known::default(),
            symbols: Known::default(),
        }
    }

    fn versions_of<'o>(&self, object: &'o Loaded) -> Result<&'o Versions, BindingError> {
        of(object, self.view.versions(&object.walk, &object.object))
    }
}

/// Adds the object's path to an error.
fn of<T>(object: &Loaded, result: Result<T, ElfError>) -> Result<T, BindingError> {
    result.map_err(|error| BindingError {
        path: object.opened_as.clone(),
        error,
    })
}

/// Whether the closure's loader checks symbol versions.
fn has_versions(closure: &Closure) -> bool {
    closure
        .rules
        .as_ref()
        .is_some_and(|rules| rules.libc() == "glibc")
}

/// Results that were computed once.
struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// The result for `key`, computed if it is not known. Two threads may both compute it; their
    /// results are equal.
    fn get<E>(&self, key: K, work_out: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let known = self.lock().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = work_out()?;
        self.lock().insert(key, found.clone());
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        // A thread that panicked left the map consistent: every insertion is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
