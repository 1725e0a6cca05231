//! SP101–SP107: library search paths of objects and of the root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::LintedProcess;
use crate::lint::catalogue::{SP101, SP102, SP103, SP104, SP105, SP106, SP107, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::ElfFile;
use crate::loader::default_interpreters;
use crate::vfs::NodeKind;

/// Largest `/etc/ld.so.preload` that is read, in bytes.
const MAX_PRELOAD: u64 = 64 << 10;
/// Directories where programs are built but never installed.
const BUILD_TREES: [&str; 10] = [
    "/home",
    "/root",
    "/tmp",
    "/var/tmp",
    "/build",
    "/builddir",
    "/usr/src",
    "/workspace",
    "/github",
    "/buildroot",
];
/// Maximum number of elements of one search path that are checked.
const MAX_ELEMENTS: usize = 1000;

/// All findings about the search paths of one object.
pub(super) fn of_object(context: &Context<'_>, file: &ElfFile) -> Vec<Finding> {
    let Some(dynamic) = &file.object.dynamic else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let path = context.source.shown(&file.path);
    if let (Some(rpath), Some(runpath)) = (&dynamic.rpath, &dynamic.runpath)
        && rpath != runpath
    {
        let message = format!(
            "the loader ignores DT_RPATH of {}: it also has DT_RUNPATH",
            path.display()
        );
        findings.push(
            Finding::new(&SP104, &path, rpath.display().to_string(), message)
                .evidence("rpath", rpath.display().to_string())
                .evidence("runpath", runpath.display().to_string()),
        );
    }
    let (tag, search_path) = match (&dynamic.runpath, &dynamic.rpath) {
        (Some(runpath), _) => ("DT_RUNPATH", runpath.as_os_str()),
        (None, Some(rpath)) => ("DT_RPATH", rpath.as_os_str()),
        (None, None) => ("", OsStr::new("")),
    };
    if !search_path.is_empty() {
        let elements = search_path
            .as_bytes()
            .split(|&byte| byte == b':')
            .take(MAX_ELEMENTS);
        for element in elements {
            findings.extend(element_finding(
                context,
                file,
                tag,
                OsStr::from_bytes(element),
            ));
        }
    }
    let needed = file.object.dependencies().iter();
    for needed in needed.filter(|needed| needed.name.as_bytes().contains(&b'/')) {
        let name = needed.name.display().to_string();
        let message = format!("{} needs {name} by path instead of by name", path.display());
        findings.push(Finding::new(&SP106, &path, name, message));
    }
    findings
}

/// The first thing wrong with an element of a search path.
fn element_finding(
    context: &Context<'_>,
    file: &ElfFile,
    tag: &str,
    element: &OsStr,
) -> Option<Finding> {
    let path = context.source.shown(&file.path);
    let text = element.display().to_string();
    let finding = |rule, message: String| {
        Finding::new(rule, &path, text.clone(), message)
            .evidence("tag", tag)
            .evidence("element", text.clone())
    };
    let bytes = element.as_bytes();
    let origin = file.walk.real.parent().unwrap_or(Path::new("/"));
    let is_musl = is_musl(context, file);
    if let Some(token) = unknown_token(bytes, is_musl) {
        let libc = if is_musl { "musl" } else { "glibc" };
        let message = format!(
            "{tag} {text} of {} has {token}, which {libc} does not expand",
            path.display()
        );
        return Some(finding(&SP105, message));
    }
    let starts_at_origin = bytes.starts_with(b"$ORIGIN") || bytes.starts_with(b"${ORIGIN}");
    if !bytes.starts_with(b"/") && !starts_at_origin {
        // musl skips empty elements.
        if bytes.is_empty() && is_musl {
            return None;
        }
        let what = match bytes.is_empty() {
            true => "an empty element".to_owned(),
            false => format!("a relative element ({text})"),
        };
        let severity = match file.walk.metadata.changes_identity() {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let message = format!(
            "{tag} of {} has {what}: the current directory is searched",
            path.display()
        );
        return Some(finding(&SP101, message).severity(severity));
    }
    let folder = expanded(&text, origin);
    match context.source.view.walk(&folder) {
        Ok(walk) if walk.metadata.kind == NodeKind::Directory => {
            let mode = walk.metadata.mode;
            (mode & 0o002 != 0).then(|| {
                let message = format!(
                    "{} searches {}, which is world-writable",
                    path.display(),
                    folder.display()
                );
                finding(&SP102, message).evidence("mode", format!("{mode:04o}"))
            })
        }
        // A directory relative to the object, or to be mounted, may be absent on purpose.
        _ => {
            let (severity, what) = match !starts_at_origin && looks_like_build_tree(&folder) {
                true => (Severity::Warning, "a build tree"),
                false => (Severity::Info, "a directory that does not exist"),
            };
            let message = format!("{tag} of {} leads to {what}: {text}", path.display());
            Some(finding(&SP103, message).severity(severity))
        }
    }
}

fn looks_like_build_tree(folder: &Path) -> bool {
    let is_below = BUILD_TREES.iter().any(|tree| folder.starts_with(tree));
    is_below || folder.components().any(|part| part.as_os_str() == ".libs")
}

/// An element with `$ORIGIN` replaced, to check whether the directory exists.
fn expanded(text: &str, origin: &Path) -> PathBuf {
    let origin = origin.display().to_string();
    let replaced = text
        .replace("${ORIGIN}", &origin)
        .replace("$ORIGIN", &origin);
    PathBuf::from(replaced)
}

/// The first `$` token that the C library does not expand.
fn unknown_token(bytes: &[u8], is_musl: bool) -> Option<String> {
    let known: &[&str] = match is_musl {
        true => &["ORIGIN"],
        false => &["ORIGIN", "LIB", "PLATFORM"],
    };
    let mut rest = bytes;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        let behind = &rest[dollar + 1..];
        let behind = behind.strip_prefix(b"{").unwrap_or(behind);
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let length = behind.iter().take_while(is_name).count();
        let name = String::from_utf8_lossy(&behind[..length]).into_owned();
        let is_known = match is_musl {
            true => name.starts_with("ORIGIN"),
            false => known.contains(&name.as_str()),
        };
        if !is_known {
            return Some(format!("${name}"));
        }
        rest = &behind[length..];
    }
    None
}

/// Whether musl's loader loads an object.
fn is_musl(context: &Context<'_>, file: &ElfFile) -> bool {
    let is_musl = |path: &str| path.contains("/ld-musl-");
    match &file.object.interpreter {
        Some(interpreter) => is_musl(&interpreter.display().to_string()),
        None => default_interpreters(&file.object, &context.source.view)
            .find(|path| context.source.view.walk(Path::new(path)).is_ok())
            .is_some_and(is_musl),
    }
}

/// World-writable directories that the loader searches for every object.
pub(super) fn writable(process: &LintedProcess<'_>) -> Vec<Finding> {
    let Some(rules) = &process.closure.rules else {
        return Vec::new();
    };
    let variable = process.environment.library_path.as_ref();
    let in_variable = variable.map_or(&[][..], |path| path.as_bytes());
    let in_variable = in_variable.split(|byte| matches!(byte, b':' | b';'));
    let folders = rules.system_folders().iter().cloned();
    let named = in_variable.map(|folder| PathBuf::from(OsStr::from_bytes(folder)));
    let mut findings = Vec::new();
    for folder in folders.chain(named.filter(|folder| folder.is_absolute())) {
        let Ok(walk) = process.view.walk(&folder) else {
            continue;
        };
        if walk.metadata.kind != NodeKind::Directory || walk.metadata.mode & 0o002 == 0 {
            continue;
        }
        let shown = (process.path_of)(&walk.real);
        let message = format!(
            "{} is world-writable, and the loader searches it for libraries",
            shown.display()
        );
        let finding = Finding::new(&SP102, &shown, shown.display().to_string(), message)
            .evidence("mode", format!("{:04o}", walk.metadata.mode));
        findings.push(process.finding_by(0, finding));
    }
    findings
}

/// Empty or relative elements in the image's `LD_LIBRARY_PATH`, such as the empty one that
/// `DIR:$LD_LIBRARY_PATH` leaves when the variable was not set.
pub(super) fn variable(context: &Context<'_>) -> Option<Finding> {
    let value = context
        .environment
        .library_path
        .as_ref()
        .filter(|value| !value.is_empty())?;
    let mut elements = value.as_bytes().split(|byte| matches!(byte, b':' | b';'));
    let relative =
        elements.find(|element| !element.starts_with(b"/") && !element.starts_with(b"$"))?;
    let what = match relative {
        [] => "an empty element".to_owned(),
        element => format!("a relative element ({})", String::from_utf8_lossy(element)),
    };
    let value = value.display().to_string();
    let message = format!("LD_LIBRARY_PATH={value} has {what}: the current directory is searched");
    let finding = Finding::new(&SP101, Path::new("/"), value, message);
    Some(finding.evidence("tag", "LD_LIBRARY_PATH"))
}

/// Libraries that `/etc/ld.so.preload` loads into every program.
pub(super) fn preload(context: &Context<'_>) -> Option<Finding> {
    let path = Path::new("/etc/ld.so.preload");
    let walk = context.source.view.walk(path).ok()?;
    let contents = context
        .source
        .view
        .read(path, MAX_PRELOAD)
        .unwrap_or_default();
    let contents = String::from_utf8_lossy(&contents).into_owned();
    let mut code = contents
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    if walk.metadata.kind != NodeKind::File || code.all(|line| line.trim().is_empty()) {
        return None;
    }
    let message = format!(
        "every program loads what /etc/ld.so.preload lists: {}",
        contents.trim()
    );
    Some(Finding::new(&SP107, path, contents.trim(), message).evidence("contents", contents))
}
