//! SP007 and SP010–SP012: libraries that are found, but not the way they should be.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::LintedProcess;
use crate::bytes::ReadAt;
use crate::closure::Request;
use crate::elf::DependencyKind;
use crate::image::Blob;
use crate::lint::catalogue::{SP007, SP010, SP011, SP012, SP017};
use crate::lint::finding::Finding;
use crate::loader::{Answer, Environment, FoundVia, LinkMap, Loaded, Objects, Scene, Target};
use crate::vfs::Walk;

/// Maximum number of elements of one search path that are checked.
const MAX_ELEMENTS: usize = 64;
/// Maximum number of directories searched for one name, and of requesters considered.
const MAX_FOLDERS: usize = 128;
const MAX_REQUESTERS: usize = 16;
/// Maximum number of searches that are repeated for one process.
const MAX_SEARCHES: usize = 500;
/// Largest library whose content is compared, in bytes.
const MAX_COMPARED: u64 = 1 << 30;

/// Libraries that are found only through `LD_LIBRARY_PATH`.
pub(super) fn by_environment(process: &LintedProcess<'_>) -> Vec<Finding> {
    let objects = process.closure.map.objects().iter();
    let found = objects.filter_map(|object| match &object.via {
        FoundVia::LibraryPath(element) => Some((object, element)),
        _ => None,
    });
    found
        .take(MAX_SEARCHES)
        .filter(|(object, _)| {
            let by = object.requester.unwrap_or(0);
            let without = Environment {
                library_path: None,
                ..process.environment.clone()
            };
            !finds_alone(process, by, &object.requested_as, &without)
        })
        .map(|(object, element)| {
            let path = (process.path_of)(&object.opened_as);
            let name = object.requested_as.display().to_string();
            let message = format!("{} is found only through LD_LIBRARY_PATH", path.display());
            let finding = Finding::new(&SP007, &path, name, message)
                .evidence("variable", format!("LD_LIBRARY_PATH={}", element.display()))
                .evidence("path", path.display().to_string());
            process.finding_by(object.requester.unwrap_or(0), finding)
        })
        .collect()
}

/// Whether an object was found by a search for its name.
fn was_searched(object: &Loaded) -> bool {
    let by_name = !object.requested_as.as_bytes().contains(&b'/');
    by_name
        && !matches!(
            object.via,
            FoundVia::Program | FoundVia::Interpreter | FoundVia::Path
        )
}

/// Names of more than one file in the directories that this process searches.
pub(super) fn ambiguous(process: &LintedProcess<'_>) -> Vec<Finding> {
    let Some(rules) = &process.closure.rules else {
        return Vec::new();
    };
    let objects = process.closure.map.objects();
    let system: BTreeSet<PathBuf> = rules.system_folders().iter().cloned().collect();
    let requesters = process.closure.requesters();
    let mut findings = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        if !was_searched(object) {
            continue;
        }
        // Where the requesters would search: apart from the program's search path, nothing is
        // inherited.
        let mut folders = system.clone();
        folders.extend(own_folders(process, &objects[0]));
        for &requester in requesters[index].iter().take(MAX_REQUESTERS) {
            folders.extend(own_folders(process, &objects[requester]));
        }
        folders.extend(object.opened_as.parent().map(Path::to_path_buf));
        for folder in folders.iter().take(MAX_FOLDERS) {
            let candidate = folder.join(&object.requested_as);
            let Ok(walk) = process.view.walk(&candidate) else {
                continue;
            };
            if walk.metadata.id == object.walk.metadata.id || !is_library(process, &walk) {
                continue;
            }
            let (chosen, other) = (process.view.open(&object.walk), process.view.open(&walk));
            let (Ok(chosen), Ok(other)) = (chosen, other) else {
                continue;
            };
            if let Some(finding) = differ(process, object, &candidate, &*chosen, &*other) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// The absolute directories in an object's own search path.
fn own_folders(process: &LintedProcess<'_>, object: &Loaded) -> Vec<PathBuf> {
    let dynamic = object.object.dynamic.as_ref();
    let path = dynamic.and_then(|dynamic| dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()));
    let (Some(path), Some(rules)) = (path, &process.closure.rules) else {
        return Vec::new();
    };
    let elements = path
        .as_bytes()
        .split(|&byte| byte == b':')
        .take(MAX_ELEMENTS);
    elements
        .filter_map(|element| rules.expand(OsStr::from_bytes(element), object.origin()))
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// Whether a file is an object that the process could load.
fn is_library(process: &LintedProcess<'_>, walk: &Walk) -> bool {
    let target = Target::of(&process.closure.program().object);
    let facts = process.view.facts(walk);
    matches!(facts, Ok(Ok(object)) if target.matches(&object.header))
}

fn differ(
    process: &LintedProcess<'_>,
    object: &Loaded,
    candidate: &Path,
    chosen: &dyn ReadAt,
    other: &dyn ReadAt,
) -> Option<Finding> {
    let digest = |file: &dyn ReadAt| match file.size() <= MAX_COMPARED {
        true => Blob::of_file(file).map(|blob| blob.digest()),
        false => Err(std::io::ErrorKind::FileTooLarge.into()),
    };
    // Contents of files in compressed layers may not be kept: compare sizes instead.
    let (first, second) = match (digest(chosen), digest(other)) {
        (Ok(first), Ok(second)) => (first, second),
        _ if chosen.size() == other.size() => return None,
        _ => (
            format!("{} bytes", chosen.size()),
            format!("{} bytes", other.size()),
        ),
    };
    if first == second {
        return None;
    }
    let path = (process.path_of)(&object.opened_as);
    let other_path = (process.path_of)(candidate);
    let name = object.requested_as.display().to_string();
    let message = format!(
        "two different files are named {name}: {} is loaded, {} is not",
        path.display(),
        other_path.display()
    );
    let finding = Finding::new(&SP010, &path, name, message)
        .evidence("loaded", path.display().to_string())
        .evidence("loaded_digest", first)
        .evidence("other", other_path.display().to_string())
        .evidence("other_digest", second);
    Some(process.finding_by(object.requester.unwrap_or(0), finding))
}

/// Whether the search of one object finds a name if only it and its chain of requesters are
/// loaded.
fn finds_alone(
    process: &LintedProcess<'_>,
    requester: usize,
    name: &OsStr,
    environment: &Environment,
) -> bool {
    let Some(rules) = &process.closure.rules else {
        return false;
    };
    let objects = process.closure.map.objects();
    let mut line = vec![requester];
    while let Some(requester) = objects[line[line.len() - 1]].requester {
        line.push(requester);
    }
    let mut map = LinkMap::default();
    for (index, &object) in line.iter().rev().enumerate() {
        let object = &objects[object];
        let loaded = Loaded::new(
            object.opened_as.clone(),
            object.walk.clone(),
            object.object.clone(),
            object.requested_as.clone(),
            index.checked_sub(1),
            object.via.clone(),
        );
        map.add(rules, loaded);
    }
    let scene = Scene {
        environment,
        ..process.scene()
    };
    let answer = rules.request(&scene, &map, name, line.len() - 1);
    !matches!(answer, Answer::Missing(_))
}

/// Names that their requester's own search does not find.
pub(super) fn by_chance(process: &LintedProcess<'_>) -> Vec<Finding> {
    let objects = process.closure.map.objects();
    let mut findings = Vec::new();
    let mut searched = HashSet::new();
    for edge in &process.closure.edges {
        let Some(target) = edge.target else { continue };
        let first = objects[target].requester;
        let is_by_name = !edge.name.as_bytes().contains(&b'/')
            && edge.request == Request::Dependency(DependencyKind::Needed);
        let owner = match &objects[target].via {
            FoundVia::Rpath { owner, .. } | FoundVia::Runpath { owner, .. } => Some(*owner),
            FoundVia::Path => first,
            _ => continue,
        };
        let is_own = owner == Some(edge.requester) || first == Some(edge.requester);
        if !is_by_name
            || is_own
            || searched.len() >= MAX_SEARCHES
            || !searched.insert((edge.requester, &edge.name))
            || finds_alone(process, edge.requester, &edge.name, process.environment)
        {
            continue;
        }
        let (path, loaded) = (process.path(edge.requester), process.path(target));
        let name = edge.name.display().to_string();
        let by = process.path(first.unwrap_or(0));
        let message = format!(
            "{} finds {name} only because {} has already loaded {}",
            path.display(),
            by.display(),
            loaded.display()
        );
        let finding = Finding::new(&SP011, &path, name, message)
            .evidence("first", by.display().to_string())
            .evidence("path", loaded.display().to_string());
        findings.push(process.finding_by(edge.requester, finding));
    }
    findings
}

/// Variants of libraries for newer processors.
pub(super) fn variants(process: &LintedProcess<'_>) -> Vec<Finding> {
    let Some(rules) = &process.closure.rules else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for object in process
        .closure
        .map
        .objects()
        .iter()
        .filter(|object| was_searched(object))
    {
        let (Some(folder), Some(name)) = (object.opened_as.parent(), object.opened_as.file_name())
        else {
            continue;
        };
        for level in rules.variants() {
            let variant = folder.join(level).join(name);
            if process.view.walk(&variant).is_err() {
                continue;
            }
            let (path, variant) = (
                (process.path_of)(&object.opened_as),
                (process.path_of)(&variant),
            );
            let message = format!(
                "{} is loaded instead of {} on processors with {level}",
                variant.display(),
                path.display()
            );
            let finding = Finding::new(&SP012, &path, variant.display().to_string(), message)
                .evidence("level", *level);
            findings.push(process.finding_by(object.requester.unwrap_or(0), finding));
        }
    }
    findings
}

/// SP017: libraries in `LD_PRELOAD` and `/etc/ld.so.preload` that the loader does not find.
pub(super) fn preloads(process: &LintedProcess<'_>) -> Vec<Finding> {
    let missing = process.closure.missing_preloads();
    let findings = missing.map(|(name, source)| {
        let name = name.display().to_string();
        let message = format!("{source} names {name}, which the loader does not find");
        // The same for every program: one finding, with all of them.
        let finding =
            Finding::new(&SP017, Path::new("/"), name, message).evidence("source", source);
        process.finding_by(0, finding)
    });
    findings.collect()
}
