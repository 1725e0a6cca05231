//! What is known of each ELF file: read once per process, whoever asks.
//!
//! In: the identity of a file and a way to open it. Out: its facts, its versions, its
//! symbols, or what is wrong with it. The tree a program comes from and the rootfs it is
//! packed into share one store, so the proof parses nothing again.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::elf::{Definitions, ElfError, Object, References, Versions};
use crate::vfs::{Errno, FileId, View, Walk};

/// Facts of one file, or why it has none.
pub type Facts = Result<Arc<Object>, ElfError>;

/// Facts by identity.
#[derive(Default)]
pub struct Store {
    facts: Known<FileId, Facts>,
    versions: Known<FileId, Result<Arc<Versions>, ElfError>>,
    references: Known<FileId, Result<Arc<References>, ElfError>>,
    definitions: Known<FileId, Result<Arc<Definitions>, ElfError>>,
}

/// Answers that were worked out once.
pub struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// The answer for `key`, worked out when it is not known. Two threads may both work
    /// one out; they come to the same.
    ///
    /// # Errors
    /// What `work_out` returns; an error is not remembered.
    pub fn get<E>(&self, key: K, work_out: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let known = self.lock().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = work_out()?;
        self.lock().insert(key, found.clone());
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        // A thread that panicked left the map whole: every insertion is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The ELF facts of a walked file.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn facts(&self, walk: &Walk) -> Result<Facts, Errno> {
        self.store().facts.get(walk.metadata.id, || {
            let file = self.open(walk)?;
            Ok(Object::read(file.as_ref()).map(Arc::new))
        })
    }

    /// The symbol versions of `object`, which is the walked file.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn versions(
        &self,
        walk: &Walk,
        object: &Object,
    ) -> Result<Result<Arc<Versions>, ElfError>, Errno> {
        self.store().versions.get(walk.metadata.id, || {
            let file = self.open(walk)?;
            Ok(Versions::read(object, file.as_ref()).map(Arc::new))
        })
    }

    /// The symbols that `object`, the walked file, refers to.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn references(
        &self,
        walk: &Walk,
        object: &Object,
    ) -> Result<Result<Arc<References>, ElfError>, Errno> {
        self.store().references.get(walk.metadata.id, || {
            let file = self.open(walk)?;
            Ok(self.versions(walk, object)?.and_then(|versions| {
                References::read(object, file.as_ref(), &versions).map(Arc::new)
            }))
        })
    }

    /// The symbols that `object`, the walked file, defines.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn definitions(
        &self,
        walk: &Walk,
        object: &Object,
    ) -> Result<Result<Arc<Definitions>, ElfError>, Errno> {
        self.store().definitions.get(walk.metadata.id, || {
            let file = self.open(walk)?;
            Ok(Definitions::read(object, file.as_ref()).map(Arc::new))
        })
    }
}
