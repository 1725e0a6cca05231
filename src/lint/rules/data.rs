//! SP401: data that a program probably reads. The signs are those of [`crate::needs`].

use std::ffi::OsStr;
use std::path::Path;

use super::Process;
use crate::elf::Linkage;
use crate::image::variable;
use crate::lint::catalogue::SP401;
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::loader::Answer;
use crate::needs::{NEEDS, Need, Reach};
use crate::vfs::View;

/// Data that the symbols which a process refers to speak of, and its root does not have.
pub(super) fn absent(context: &Context<'_>, process: &Process<'_>) -> Vec<Finding> {
    // What files of a machine need is there or not, whatever they say.
    if context.tree().is_none() || process.closure.program().object.linkage() == Linkage::Library {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for need in NEEDS {
        if is_met(process, need) {
            continue;
        }
        if let Some((object, symbol)) = sign(process, need) {
            let message = format!(
                "{} refers to {symbol} and may want {}, which is not there",
                process.path(object).display(),
                need.what
            );
            findings.push(finding(
                process,
                object,
                need.name,
                message,
                need.paths.first(),
            ));
        }
    }
    findings.extend(time_zone(context, process));
    findings
}

fn finding(
    process: &Process<'_>,
    object: usize,
    name: &str,
    message: String,
    path: Option<&&str>,
) -> Finding {
    let path = path.map_or("/", |path| path);
    let finding = Finding::new(&SP401, Path::new(path), name, message).evidence("need", name);
    process.finding_by(object, finding)
}

fn is_met(process: &Process<'_>, need: &Need) -> bool {
    let is_glibc = process
        .closure
        .rules
        .as_ref()
        .is_some_and(|rules| rules.libc() == "glibc");
    if need.glibc_only && !is_glibc {
        return true;
    }
    if let (Some(library), Some(rules)) = (need.library, &process.closure.rules) {
        let map = &process.closure.map;
        let answer = rules.request(&process.scene(), map, OsStr::new(library), 0);
        return !matches!(answer, Answer::Missing(_));
    }
    need.paths.iter().any(|path| exists(process.view, path))
}

fn exists(view: &View, path: &str) -> bool {
    view.walk(Path::new(path)).is_ok()
}

/// The object and the symbol that speak of a need.
fn sign(process: &Process<'_>, need: &Need) -> Option<(usize, String)> {
    let objects = process.closure.map.objects();
    let reach = match need.reach {
        Reach::Program => 1,
        Reach::Closure => objects.len(),
    };
    objects
        .iter()
        .enumerate()
        .take(reach)
        .find_map(|(index, object)| {
            let references = process.view.references(&object.walk, &object.object).ok()?;
            let symbol = references.symbols.iter().find(|reference| {
                let name = reference.name.to_str();
                name.is_some_and(|name| need.symbols.contains(&name))
            })?;
            Some((index, symbol.name.display().to_string()))
        })
}

/// The zone that the image's `TZ` names.
fn time_zone(context: &Context<'_>, process: &Process<'_>) -> Option<Finding> {
    let zone = variable(&context.start.env, "TZ")?.trim_start_matches(':');
    // A rule such as `UTC0` or `CET-1CEST` needs no file.
    if !zone.contains('/') || zone.contains("..") {
        return None;
    }
    let path = Path::new("/usr/share/zoneinfo").join(zone);
    if process.view.walk(&path).is_ok() {
        return None;
    }
    let message = format!(
        "TZ is {zone}, and {} is not there: times are shown in UTC",
        path.display()
    );
    Some(finding(process, 0, "tzdata", message, None))
}
