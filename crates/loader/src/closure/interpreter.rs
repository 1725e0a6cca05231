//! The loader that starts a program.
//!
//! In: a program and a tree. Out: the interpreter that it names, or, for a library without
//! `PT_INTERP`, the one installed in the tree; with its rules.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use super::ClosureError;
use crate::{Loaders, Objects, Rules, Target, default_interpreters};
use slimpack_elf::Object;
use slimpack_vfs::{NodeKind, View, Walk};

pub(super) struct Interpreter {
    pub requested: OsString,
    pub walk: Arc<Walk>,
    pub object: Arc<Object>,
    pub rules: Arc<Rules>,
}

/// The loader that `program` requests, or, for a library without `PT_INTERP`, the one
/// installed in its tree.
pub(super) fn find_interpreter(
    view: &View,
    loaders: &Loaders,
    program: &Object,
    working_dir: &Path,
) -> Result<Option<Interpreter>, ClosureError> {
    if let Some(requested) = &program.interpreter {
        return open_interpreter(view, loaders, program, requested, working_dir).map(Some);
    }
    let mut first_fault = None;
    for requested in default_interpreters(program, view) {
        match open_interpreter(view, loaders, program, OsStr::new(requested), working_dir) {
            Ok(found) => return Ok(Some(found)),
            Err(fault) => drop(first_fault.get_or_insert(fault)),
        }
    }
    match first_fault {
        Some(fault) if !program.dependencies().is_empty() => Err(fault),
        _ => Ok(None),
    }
}

fn open_interpreter(
    view: &View,
    loaders: &Loaders,
    program: &Object,
    requested: &OsStr,
    working_dir: &Path,
) -> Result<Interpreter, ClosureError> {
    // The kernel opens a relative path from the current directory.
    let path = working_dir.join(requested);
    let absent = |errno| ClosureError::NoInterpreter {
        path: path.clone(),
        errno,
        hint: format!(
            "it is built for {}: install the C library it was linked with, or give a directory \
             that has it with --root",
            program.machine_name()
        ),
    };
    let bad = |why: String| ClosureError::BadInterpreter {
        path: path.clone(),
        why,
    };
    let walk = view.walk(&path).map_err(absent)?;
    if walk.metadata.kind != NodeKind::File {
        return Err(bad("it is not a regular file".into()));
    }
    let object = view
        .facts(&walk)
        .map_err(absent)?
        .map_err(|error| bad(error.to_string()))?;
    if !Target::of(program).matches(&object.header) {
        return Err(bad(format!(
            "it is for {}, the program is for {}",
            object.machine_name(),
            program.machine_name()
        )));
    }
    let rules = loaders.rules(view, requested, &walk, &object)?;
    Ok(Interpreter {
        requested: requested.to_owned(),
        walk,
        object,
        rules,
    })
}
