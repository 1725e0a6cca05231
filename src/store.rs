//! Cache of parsed ELF files: each is read once per process.
//!
//! In: the identity of a file and a way to open it. Out: its ELF object, its versions, its
//! symbols, or what is wrong with it. The tree that a program comes from and the rootfs that
//! it is packed into share one store, so the proof does not parse anything again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::bytes::ReadAt;
use crate::elf::{Definitions, ElfError, Notes, Object, References, Versions};
use crate::loader::SystemFolders;
use crate::needs::{Places, Texts};
use crate::vfs::{Errno, FileId, View, Walk};

/// The parsed ELF object of a file, or why it is not one.
pub type Facts = Result<Arc<Object>, ElfError>;

/// Parsed files by identity.
#[derive(Default)]
pub struct Store {
    facts: Known<FileId, Facts>,
    system: Known<FileId, Arc<SystemFolders>>,
    notes: Known<FileId, Arc<Notes>>,
    strings: Known<FileId, Arc<Places>>,
    texts: Known<FileId, Arc<Texts>>,
    functions: Known<FileId, Arc<HashSet<String>>>,
}

/// A map of values that are computed once.
pub struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// The value for `key`, computed if it is not known. Two threads may compute it at the
    /// same time; their results are equal.
    ///
    /// # Errors
    /// The error of `work_out`; errors are not cached.
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
        // Every insertion is one step, so a panic cannot leave the map inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The parsed ELF object of a walked file.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn facts(&self, walk: &Walk) -> Result<Facts, Errno> {
        self.store().facts.get(walk.metadata.id, || {
            let file = self.open(walk)?;
            Ok(Object::read(file.as_ref()).map(Arc::new))
        })
    }

    /// The values compiled into the glibc loader `interpreter`, the walked file; those of an
    /// unconfigured glibc if the file can no longer be opened.
    pub fn system_folders(&self, walk: &Walk, interpreter: &Object) -> Arc<SystemFolders> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(SystemFolders::read(interpreter, file.as_ref())))
        };
        self.store()
            .system
            .get(walk.metadata.id, read)
            .unwrap_or_else(|_| Arc::new(SystemFolders::fallback(interpreter)))
    }

    /// The symbol versions of `object`, the walked file.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn versions<'o>(&self, walk: &Walk, object: &'o Object) -> Result<&'o Versions, ElfError> {
        object.versions(|| self.open_elf(walk))
    }

    /// The symbols that `object`, the walked file, refers to.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn references<'o>(
        &self,
        walk: &Walk,
        object: &'o Object,
    ) -> Result<&'o References, ElfError> {
        object.references(|| self.open_elf(walk))
    }

    /// The symbols that `object`, the walked file, defines.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn definitions<'o>(
        &self,
        walk: &Walk,
        object: &'o Object,
    ) -> Result<&'o Definitions, ElfError> {
        object.definitions(|| self.open_elf(walk))
    }

    /// The notes of `object`, the walked file; empty when it cannot be read.
    pub fn notes(&self, walk: &Walk, object: &Object) -> Arc<Notes> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(Notes::read(object, file.as_ref())))
        };
        let notes = self.store().notes.get(walk.metadata.id, read);
        notes.unwrap_or_default()
    }

    /// Locations in the walked file of the strings that indicate needs; `look` is called once.
    pub fn strings(
        &self,
        walk: &Walk,
        look: impl FnOnce() -> Option<Places>,
    ) -> Option<Arc<Places>> {
        let look = || look().map(Arc::new).ok_or(());
        self.store().strings.get(walk.metadata.id, look).ok()
    }

    /// The texts in the walked file that heuristics work on; `look` is called once.
    pub fn texts(&self, walk: &Walk, look: impl FnOnce() -> Option<Texts>) -> Arc<Texts> {
        let look = || look().map(Arc::new).ok_or(());
        let texts = self.store().texts.get(walk.metadata.id, look);
        texts.unwrap_or_default()
    }

    /// The functions in the symbol table of `object`, the walked file; empty when it is stripped.
    pub fn functions(&self, walk: &Walk, object: &Object) -> Arc<HashSet<String>> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(object.functions(file.as_ref())))
        };
        let functions = self.store().functions.get(walk.metadata.id, read);
        functions.unwrap_or_default()
    }

    fn open_elf(&self, walk: &Walk) -> Result<Box<dyn ReadAt>, ElfError> {
        self.open(walk)
            .map_err(|errno| ElfError::Unreadable(errno.message()))
    }
}
