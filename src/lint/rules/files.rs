//! SP301, SP304–SP307, SP309 and SP311: the image's files and blobs.

use std::path::{Component, Path, PathBuf};

use serde_json::json;

use crate::image::read::{AnomalyKind, Duplicate, Fault, Head, Tree};
use crate::lint::catalogue::{SP004, SP301, SP304, SP305, SP306, SP307, SP309, SP311, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::vfs::{Capabilities, Errno, MAX_LINKS, NodeKind, View};

/// Maximum number of entries of a list that are reported.
const MOST: usize = 20;
/// Directories that engines mount or programs fill at run time: links into them may resolve then.
const RUN_TIME: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/var/run", "/tmp"];

/// Largest file that may be a private key, in bytes.
const MAX_KEY: u64 = 64 << 10;
/// Bytes in which the first line of a key ends (RFC 7468: `-----BEGIN ENCRYPTED PRIVATE KEY-----`).
const BEGIN_LENGTH: u64 = 64;

/// Documentation, which minimal images leave out: a dangling link to it does no harm.
const DOCUMENTATION: [&str; 5] = [
    "/usr/share/man",
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/locale",
    "/usr/share/bug",
];

/// Blobs that do not match their descriptors.
pub fn faults(faults: &[Fault]) -> Vec<Finding> {
    let faults = faults.iter().map(|fault| {
        Finding::new(
            &SP301,
            Path::new(&fault.subject),
            fault.what,
            fault.to_string(),
        )
        .evidence("expected", fault.expected.clone())
        .evidence("found", fault.found.clone())
    });
    faults.collect()
}

/// Each symbolic link that a path crosses, as `at -> target`, up to the dangling one.
pub(super) fn hops(view: &View, path: &Path) -> Vec<String> {
    let mut hops = Vec::new();
    let mut path = path.to_path_buf();
    while hops.len() < MAX_LINKS {
        let Some((at, next)) = first_link(view, &path) else {
            break;
        };
        hops.push(at);
        path = next;
    }
    hops
}

/// The first link on a path, and the path with the link replaced.
fn first_link(view: &View, path: &Path) -> Option<(String, PathBuf)> {
    let mut before = PathBuf::from("/");
    let mut components = path.components();
    while let Some(component) = components.next() {
        if !matches!(component, Component::Normal(_) | Component::ParentDir) {
            continue;
        }
        let here = before.join(component);
        match view.read_link(&here) {
            Ok(target) => {
                let hop = format!("{} -> {}", here.display(), target.display());
                return Some((hop, before.join(target).join(components.as_path())));
            }
            // Nothing can follow a component that does not exist.
            Err(Errno::Other(_)) => {}
            Err(_) => return None,
        }
        before = here;
    }
    None
}

/// Links that are dangling, or that point outside the root.
pub(super) fn links(context: &Context<'_>) -> Vec<Finding> {
    let view = &context.source.view;
    let mut findings = Vec::new();
    for link in &context.survey.links {
        let Ok(target) = view.read_link(link) else {
            continue;
        };
        let leaves = leaves_root(link, &target);
        let why = match view.walk(link) {
            Ok(_) if leaves => "points outside the root".to_owned(),
            Ok(_) => continue,
            Err(Errno::NotFound) => "is dangling".to_owned(),
            Err(errno) => format!("cannot be resolved: {}", errno.message()),
        };
        let absolute = lexical(&link.parent().unwrap_or(Path::new("/")).join(&target));
        if RUN_TIME.iter().any(|folder| absolute.starts_with(folder)) {
            continue;
        }
        let chain = hops(view, link);
        let is_documentation =
            |path: &Path| DOCUMENTATION.iter().any(|folder| path.starts_with(folder));
        let severity = match is_documentation(&absolute) || is_documentation(link) {
            true => Severity::Info,
            false => Severity::Warning,
        };
        let message = format!("{} -> {} {why}", link.display(), target.display());
        findings.push(
            Finding::new(&SP304, link, target.display().to_string(), message)
                .severity(severity)
                .evidence("hops", chain),
        );
    }
    findings
}

/// A path with `.` and `..` resolved lexically, since its target does not exist.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(part) => plain.push(part),
            _ => {}
        }
    }
    plain
}

/// Whether `..` in a relative target climbs above the root.
fn leaves_root(link: &Path, target: &Path) -> bool {
    if target.is_absolute() {
        return false;
    }
    let mut depth = link.components().count().saturating_sub(2);
    for component in target.components() {
        match component {
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    false
}

/// Programs that grant privileges to whoever runs them.
pub(super) fn privileged(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _, node) in tree
        .walk()
        .filter(|(_, _, node)| node.kind() == NodeKind::File)
    {
        let is_executable = node.mode & 0o111 != 0;
        let bits = match node.mode & 0o6000 {
            0o6000 => "setuid and setgid",
            0o4000 => "setuid",
            0o2000 => "setgid",
            _ if node.capabilities.is_some() => match node.head() {
                Head::Script => "has file capabilities, which scripts do not get",
                Head::Elf | Head::Other => "has file capabilities",
            },
            _ => continue,
        };
        if !is_executable {
            continue;
        }
        let what = if node.mode & 0o6000 == 0 {
            bits.to_owned()
        } else {
            format!("is {bits}")
        };
        let message = format!("{} {what}", path.display());
        findings.push(
            Finding::new(&SP305, &path, bits, message)
                .evidence("mode", format!("{:04o}", node.mode))
                .evidence("uid", node.uid)
                .evidence("gid", node.gid)
                .evidence("capabilities", node.capabilities.is_some()),
        );
    }
    findings
}

/// Programs whose file in a lower layer has capabilities that this one lacks.
pub(super) fn dropped_capabilities(tree: &Tree) -> Vec<Finding> {
    let dropped = tree.walk().filter_map(|(path, number, node)| {
        let value = tree.dropped_capabilities(number)?;
        // A setuid program does not need them.
        if node.mode & 0o111 == 0 || node.mode & 0o4000 != 0 {
            return None;
        }
        let had = Capabilities::text(value);
        let message = format!(
            "layer {} has {} without the capabilities {had} that it has in a lower layer",
            node.layer + 1,
            path.display()
        );
        Some(Finding::new(&SP311, &path, had.clone(), message).evidence("capabilities", had))
    });
    dropped.collect()
}

/// Whether a file is named like a key: reading every file would take too long.
fn is_called_a_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".key", ".pem", "_key"]
        .iter()
        .any(|end| name.ends_with(end))
        || name.starts_with("id_")
}

/// Private keys that everybody may read.
pub(super) fn keys(context: &Context<'_>, tree: &Tree) -> Vec<Finding> {
    let open = tree.walk().filter(|(path, _, node)| {
        node.kind() == NodeKind::File
            && node.mode & 0o004 != 0
            && node.size <= MAX_KEY
            && is_called_a_key(path)
            && !DOCUMENTATION.iter().any(|folder| path.starts_with(folder))
    });
    let keys = open.filter(|(path, _, node)| {
        let start = node
            .open()
            .ok()
            .and_then(|file| file.prefix(0, BEGIN_LENGTH).ok());
        let is_key = start.is_some_and(|start| {
            let line = start
                .split(|&byte| byte == b'\n')
                .next()
                .unwrap_or_default();
            line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----")
        });
        // A parent directory may deny access to it.
        let mut above = path.ancestors().skip(1);
        is_key
            && above.all(|path| {
                let found = context.source.view.lookup(path);
                path.parent().is_none() || found.is_ok_and(|found| found.mode & 0o001 != 0)
            })
    });
    let findings = keys.map(|(path, _, node)| {
        let message = format!("{} is a world-readable private key", path.display());
        Finding::new(&SP309, &path, path.display().to_string(), message)
            .evidence("mode", format!("{:04o}", node.mode))
            .evidence("uid", node.uid)
            .evidence("gid", node.gid)
    });
    findings.collect()
}

/// Executable ELF files that no kernel would start.
pub(super) fn damaged(context: &Context<'_>) -> Vec<Finding> {
    let damaged = context.survey.damaged.iter().map(|(path, fault)| {
        let message = format!(
            "{} is executable but not a valid program: {fault}",
            path.display()
        );
        let name = path.file_name().unwrap_or_default().display().to_string();
        Finding::new(&SP004, path, name, message)
            .severity(Severity::Warning)
            .fix("Fetch or build the file again.")
            .evidence("file", path.display().to_string())
    });
    damaged.collect()
}

/// Bytes hidden by later layers, and bytes that are stored more than once.
pub(super) fn waste(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hidden = tree.hidden_bytes();
    if hidden > 0 {
        let repeated = tree.repeated().into_iter().take(MOST).map(|(path, bytes, layers)| {
            json!({"path": path.display().to_string(), "bytes": bytes, "layers": layers})
        });
        let message = format!("later layers hide {hidden} bytes of earlier ones");
        findings.push(
            Finding::new(&SP306, Path::new("/"), "hidden", message)
                .evidence("bytes", hidden)
                .evidence("paths", repeated.collect::<Vec<_>>()),
        );
    }
    let duplicates = tree.duplicates();
    let wasted = duplicates.iter().map(Duplicate::wasted);
    let bytes = wasted.fold(0, u64::saturating_add);
    if bytes > 0 {
        let listed = duplicates.iter().take(MOST).map(|duplicate| {
            let paths: Vec<_> = duplicate.paths.iter().take(MOST).cloned().collect();
            json!({"bytes": duplicate.size, "paths": super::super::paths(&paths)})
        });
        let message = format!("{bytes} bytes are stored more than once");
        findings.push(
            Finding::new(&SP306, Path::new("/"), "duplicates", message)
                .evidence("bytes", bytes)
                .evidence("files", listed.collect::<Vec<_>>()),
        );
    }
    findings
}

/// Archive members with unsafe or ambiguous names.
pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let anomalies = tree.anomalies.kept.iter();
    let anomalies = anomalies.filter(|anomaly| anomaly.kind != AnomalyKind::Unreadable);
    anomalies
        .map(|anomaly| {
            let path = Path::new("/").join(&anomaly.name);
            let left_out = if anomaly.kind.is_left_out() {
                "; it is left out"
            } else {
                ""
            };
            let message = format!(
                "{} in layer {} {}{left_out}",
                anomaly.name.display(),
                anomaly.layer + 1,
                anomaly.kind.describe()
            );
            Finding::new(&SP307, &path, anomaly.name.display().to_string(), message)
                .evidence("layer", anomaly.layer)
        })
        .collect()
}
