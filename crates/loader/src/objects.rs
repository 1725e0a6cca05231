//! The ELF facts of files in a tree, read once per process.
//!
//! In: a walked file of a [`View`]. Out: its facts, versions, symbols and notes, or what is wrong
//! with it.

use std::collections::HashSet;
use std::sync::Arc;

use super::{MuslVersion, SystemFolders};
use slimpack_elf::{Definitions, ElfError, Notes, Object, References, Versions};
use slimpack_vfs::bytes::ReadAt;
use slimpack_vfs::{Errno, View, Walk};

/// The facts of one file, or why it has none.
pub type Facts = Result<Arc<Object>, ElfError>;

/// Access to the ELF facts of a view's files.
pub trait Objects {
    /// The ELF facts of a walked file.
    ///
    /// # Errors
    /// The error number of `open(2)`.
    fn facts(&self, walk: &Walk) -> Result<Facts, Errno>;

    /// The values compiled into the glibc loader `interpreter`, which is the walked file; the
    /// defaults of an unconfigured glibc if it can no longer be opened.
    fn system_folders(&self, walk: &Walk, interpreter: &Object) -> Arc<SystemFolders>;

    /// The symbol versions of `object`, which is the walked file.
    ///
    /// # Errors
    /// When they cannot be read.
    fn versions<'o>(&self, walk: &Walk, object: &'o Object) -> Result<&'o Versions, ElfError>;

    /// The symbols that `object`, the walked file, refers to.
    ///
    /// # Errors
    /// When they cannot be read.
    fn references<'o>(&self, walk: &Walk, object: &'o Object) -> Result<&'o References, ElfError>;

    /// The symbols that `object`, the walked file, defines.
    ///
    /// # Errors
    /// When they cannot be read.
    fn definitions<'o>(&self, walk: &Walk, object: &'o Object)
    -> Result<&'o Definitions, ElfError>;

    /// The notes of `object`, which is the walked file; none when it cannot be read.
    fn notes(&self, walk: &Walk, object: &Object) -> Arc<Notes>;

    /// The version of the musl loader `object`, which is the walked file; `None` if it has none.
    fn musl_version(&self, walk: &Walk, object: &Object) -> Option<MuslVersion>;

    /// The functions in the symbol table of `object`, which is the walked file; empty if it has no
    /// symbol table.
    fn functions(&self, walk: &Walk, object: &Object) -> Arc<Functions>;
}

/// The names of the functions in a symbol table.
#[derive(Debug, Default)]
pub struct Functions(pub HashSet<String>);

impl Objects for View {
    fn facts(&self, walk: &Walk) -> Result<Facts, Errno> {
        self.remember(walk, || {
            let file = self.open(walk)?;
            Ok(Object::read(file.as_ref()).map(Arc::new))
        })
    }

    fn system_folders(&self, walk: &Walk, interpreter: &Object) -> Arc<SystemFolders> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(SystemFolders::read(interpreter, file.as_ref())))
        };
        self.remember(walk, read)
            .unwrap_or_else(|_| Arc::new(SystemFolders::fallback(interpreter)))
    }

    fn versions<'o>(&self, walk: &Walk, object: &'o Object) -> Result<&'o Versions, ElfError> {
        object.versions(|| open_elf(self, walk))
    }

    fn references<'o>(&self, walk: &Walk, object: &'o Object) -> Result<&'o References, ElfError> {
        object.references(|| open_elf(self, walk))
    }

    fn definitions<'o>(
        &self,
        walk: &Walk,
        object: &'o Object,
    ) -> Result<&'o Definitions, ElfError> {
        object.definitions(|| open_elf(self, walk))
    }

    fn notes(&self, walk: &Walk, object: &Object) -> Arc<Notes> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(Notes::read(object, file.as_ref())))
        };
        self.remember(walk, read).unwrap_or_default()
    }

    fn musl_version(&self, walk: &Walk, object: &Object) -> Option<MuslVersion> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(MuslVersion::read(object, file.as_ref()))
        };
        self.remember(walk, read).unwrap_or_default()
    }

    fn functions(&self, walk: &Walk, object: &Object) -> Arc<Functions> {
        let read = || {
            let file = self.open(walk)?;
            Ok::<_, Errno>(Arc::new(Functions(object.functions(file.as_ref()))))
        };
        self.remember(walk, read).unwrap_or_default()
    }
}

fn open_elf(view: &View, walk: &Walk) -> Result<Box<dyn ReadAt>, ElfError> {
    view.open(walk)
        .map_err(|errno| ElfError::Unreadable(errno.message()))
}
