//! What is known of each ELF file: read once per process, whoever asks.
//!
//! In: the identity of a file and a way to open it. Out: its facts, or what is
//! wrong with it. The tree a program comes from and the rootfs it is packed into
//! share one store, so the proof parses nothing again.

use std::sync::{Arc, Mutex};

use foldhash::HashMap;

use crate::bytes::ReadAt;
use crate::elf::{ElfError, Object};
use crate::vfs::{Errno, FileId, View, Walk};

/// Facts of one file, or why it has none.
pub type Facts = Result<Arc<Object>, ElfError>;

/// Facts by identity.
#[derive(Default)]
pub struct Store {
    facts: Mutex<HashMap<FileId, Facts>>,
}

impl Store {
    /// The facts of the file `id`, which `open` opens when they are not known yet.
    ///
    /// # Errors
    /// Only what `open` returns; a file that is no ELF object is a fact.
    pub fn facts(
        &self,
        id: FileId,
        open: impl FnOnce() -> Result<Box<dyn ReadAt>, Errno>,
    ) -> Result<Facts, Errno> {
        let known = self.lock().get(&id).cloned();
        if let Some(facts) = known {
            return Ok(facts);
        }
        let file = open()?;
        let facts = Object::read(file.as_ref()).map(Arc::new);
        self.lock().insert(id, facts.clone());
        Ok(facts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Facts>> {
        // A thread that panicked left the map whole: every insertion is one step.
        self.facts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl View {
    /// The ELF facts of a walked file.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    pub fn facts(&self, walk: &Walk) -> Result<Facts, Errno> {
        self.store().facts(walk.metadata.id, || self.open(walk))
    }
}
