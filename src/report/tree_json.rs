//! `slimpack tree --json`: the contract of schema 1. Fields may be added, never
//! renamed.

use std::path::Path;

use serde::Serialize;

use crate::closure::Closure;
use crate::elf::Linkage;
use crate::needs::{NeedRule, Sign};
use crate::source::Source;

#[derive(Serialize)]
struct TreeDocument {
    schema: u32,
    program: String,
    root: String,
    class: &'static str,
    machine: &'static str,
    linkage: &'static str,
    #[serde(rename = "static")]
    is_static: bool,
    interpreter: Option<TreeInterpreter>,
    soname: Option<String>,
    rpath: Option<String>,
    runpath: Option<String>,
    flags: Vec<&'static str>,
    objects: Vec<TreeObject>,
    missing: Vec<TreeMissing>,
    needs: Vec<TreeNeed>,
}

#[derive(Serialize)]
struct TreeInterpreter {
    requested: String,
    path: String,
}

#[derive(Serialize)]
struct TreeObject {
    path: String,
    opened_as: String,
    soname: Option<String>,
    needed_by: Vec<String>,
    found_via: String,
}

#[derive(Serialize)]
struct TreeNeed {
    need: &'static str,
    object: String,
    sign: String,
}

#[derive(Serialize)]
struct TreeMissing {
    name: String,
    needed_by: Vec<String>,
    tried: Vec<TreeAttempt>,
}

#[derive(Serialize)]
struct TreeAttempt {
    path: String,
    result: String,
}

/// The closure as one JSON object on one line.
///
/// # Errors
/// Never for real closures; the type is that of the serializer.
pub fn tree_json(
    source: &Source,
    closure: &Closure,
    needs: &[(&NeedRule, Sign)],
) -> serde_json::Result<String> {
    let shown = |path: &Path| source.shown(path).display().to_string();
    let objects = closure.map.objects();
    let opened = |index: &usize| shown(&objects[*index].opened_as);
    let program = closure.program();
    let dynamic = program.object.dynamic.as_ref();
    let text = |value: &std::ffi::OsString| value.display().to_string();
    let linkage = program.object.linkage();
    let tree = TreeDocument {
        schema: 1,
        program: shown(&program.opened_as),
        root: source.root().display().to_string(),
        class: program.object.class_name(),
        machine: program.object.machine_name(),
        linkage: linkage.as_str(),
        is_static: linkage.is_static(),
        interpreter: interpreter(source, closure),
        soname: program.object.soname().map(text),
        rpath: dynamic.and_then(|d| d.rpath.as_ref()).map(text),
        runpath: dynamic.and_then(|d| d.runpath.as_ref()).map(text),
        flags: program.object.flags(),
        objects: tree_objects(source, closure),
        missing: closure
            .missing
            .iter()
            .map(|missing| TreeMissing {
                name: text(&missing.name),
                needed_by: missing.requesters.iter().map(opened).collect(),
                tried: missing
                    .tried
                    .attempts
                    .iter()
                    .map(|attempt| TreeAttempt {
                        path: shown(&attempt.path),
                        result: attempt.outcome.to_string(),
                    })
                    .collect(),
            })
            .collect(),
        needs: needs
            .iter()
            .map(|(rule, sign)| TreeNeed {
                need: rule.name,
                object: opened(&sign.object),
                sign: sign.text.clone(),
            })
            .collect(),
    };
    serde_json::to_string(&tree)
}

/// The libraries that the loader would map.
fn tree_objects(source: &Source, closure: &Closure) -> Vec<TreeObject> {
    let shown = |path: &Path| source.shown(path).display().to_string();
    let objects = closure.map.objects();
    let opened = |index: &usize| shown(&objects[*index].opened_as);
    let requesters = closure.requesters();
    let listed = closure.listed().map(|index| {
        let object = &objects[index];
        let requester = object.requester.unwrap_or(0);
        let soname = object.object.soname();
        TreeObject {
            path: shown(&object.walk.real),
            opened_as: shown(&object.opened_as),
            soname: soname.map(|name| name.display().to_string()),
            needed_by: requesters[index].iter().map(opened).collect(),
            found_via: object
                .via
                .rule(requester, &|index| source.shown(&objects[index].opened_as)),
        }
    });
    listed.collect()
}

/// The interpreter of a program; `None` for a library, whose loader is not a property of
/// the library.
fn interpreter(source: &Source, closure: &Closure) -> Option<TreeInterpreter> {
    if closure.program().object.linkage() == Linkage::Library {
        return None;
    }
    let requested = closure.interpreter.as_ref()?;
    let object = closure.map.objects().get(1)?;
    Some(TreeInterpreter {
        requested: requested.display().to_string(),
        path: source.shown(&object.walk.real).display().to_string(),
    })
}
