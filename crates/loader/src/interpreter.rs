//! Which loader a program requests, and where it is.
//!
//! In: `PT_INTERP`, or, for objects without one, the loaders installed in a root. Out:
//! the [`Rules`] of that loader, read once for all programs that share it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use thiserror::Error;

use super::Rules;
use super::candidate::Target;
use super::glibc::{self, Glibc};
use super::musl::{self, Musl};
use super::objects::Objects;
use slimpack_elf::Object;
use slimpack_vfs::{FileId, View, Walk};

/// The interpreter is neither glibc's nor musl's.
#[derive(Debug, Error)]
#[error(
    "the interpreter {} is neither glibc's nor musl's loader, the only ones that slimpack \
     supports; link the program statically",
    .0.display()
)]
pub struct UnknownLoader(pub OsString);

/// The loaders of one tree, read once each.
#[derive(Default)]
pub struct Loaders {
    known: Mutex<HashMap<(FileId, OsString), Arc<Rules>>>,
}

impl Loaders {
    /// The rules of the loader that programs request as `requested` and that is the
    /// file at `walk`.
    ///
    /// # Errors
    /// [`UnknownLoader`] for any loader other than glibc's and musl's.
    pub fn rules(
        &self,
        view: &View,
        requested: &OsStr,
        walk: &Walk,
        interpreter: &Object,
    ) -> Result<Arc<Rules>, UnknownLoader> {
        let key = (walk.metadata.id, requested.to_owned());
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(rules) = known.get(&key) {
            return Ok(rules.clone());
        }
        let rules = if musl::is_musl(Path::new(requested)) || musl::is_musl(&walk.real) {
            Rules::Musl(Musl::new(view, requested))
        } else if is_glibc(requested, interpreter) {
            Rules::Glibc(Glibc::new(view, walk, interpreter))
        } else {
            return Err(UnknownLoader(requested.to_owned()));
        };
        let rules = Arc::new(rules);
        known.insert(key, rules.clone());
        Ok(rules)
    }
}

/// glibc's loader is recognized by its soname, whatever path it is installed under.
fn is_glibc(requested: &OsStr, interpreter: &Object) -> bool {
    match interpreter.soname() {
        Some(_) => is_glibc_loader(interpreter),
        None => Path::new(requested)
            .file_name()
            .is_some_and(has_loader_name),
    }
}

/// Whether an object is glibc's loader, by its soname.
pub fn is_glibc_loader(object: &Object) -> bool {
    object
        .soname()
        .is_some_and(|soname| has_loader_name(soname))
}

fn has_loader_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"ld-linux") || name.starts_with(b"ld64.so") || name.starts_with(b"ld.so")
}

/// The program that shows which C library a tree is built on, if several are in it.
const SHELL: &str = "/bin/sh";

/// Where to look for the loader of an object without `PT_INTERP`: that of the C library
/// it needs itself, or else that of the tree's shell, before every known loader of its machine.
pub fn default_interpreters(object: &Object, view: &View) -> impl Iterator<Item = &'static str> {
    let target = Target::of(object);
    let needs = |name: &[u8]| {
        object
            .dependencies()
            .iter()
            .any(|dependency| dependency.name.as_bytes().starts_with(name))
    };
    let (glibc, musl) = (glibc::well_known(target), musl::well_known(target));
    // `libc.so` and `libc.musl-ARCH.so.1` are musl's; glibc's has a number.
    let is_musl = match needs(b"libc.so.6") {
        true => false,
        false if needs(b"libc.musl-") || needs(b"libc.so") => true,
        false => has_musl_shell(view),
    };
    let order = if is_musl {
        [musl, glibc]
    } else {
        [glibc, musl]
    };
    order.into_iter().flatten().copied()
}

fn has_musl_shell(view: &View) -> bool {
    let Ok(walk) = view.walk(Path::new(SHELL)) else {
        return false;
    };
    let Ok(Ok(shell)) = view.facts(&walk) else {
        return false;
    };
    let interpreter = shell.interpreter.as_ref();
    interpreter.is_some_and(|requested| musl::is_musl(Path::new(requested)))
}
