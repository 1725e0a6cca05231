//! SP302, SP308, SP310, SP312 and SP313: the image's entrypoint, working directory, volumes, ports,
//! user and health check.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::elf::{ElfError, go_machine};
use crate::exec::{Accounts, TELLING, UnknownAccount, command_line, describe, first_command};
use crate::image::Platform;
use crate::image::read::Tree;
use crate::lint::catalogue::{SP302, SP308, SP310, SP312, SP313};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::loader::Objects;
use crate::vfs::{Capabilities, NodeKind};

/// An entrypoint that cannot be started.
pub(super) fn entrypoint(context: &Context<'_>) -> Option<Finding> {
    let word = context.start.words.first()?;
    let view = &context.source.view;
    let finding = |path: &Path, message: String| {
        let words = &context.start.words;
        Finding::new(&SP302, path, word.clone(), message).evidence("words", words.clone())
    };
    let Some(path) = context.start.command(view, word) else {
        let where_ = if word.contains('/') {
            "in the image"
        } else {
            "in the image's PATH"
        };
        let message = format!("the entrypoint {word} is not {where_}");
        return Some(finding(Path::new(word), message));
    };
    let walk = view.walk(&path).ok()?;
    let mode = walk.metadata.mode;
    if mode & 0o111 == 0 {
        let message = format!(
            "the entrypoint {} is not executable (mode {mode:04o})",
            path.display()
        );
        return Some(finding(&path, message).evidence("mode", format!("{mode:04o}")));
    }
    if let Some(why) = denied(context, &walk.real, Permission::Enter) {
        let message = format!(
            "the entrypoint {} cannot be executed: {why}",
            path.display()
        );
        return Some(finding(&path, message).evidence("user", context.start.user.clone()));
    }
    let Ok(Ok(object)) = view.facts(&walk) else {
        return not_a_program(context, &path, &finding);
    };
    let wanted = context.platform.as_ref()?;
    let file = view.open(&walk).ok()?;
    let machine = go_machine(&object, file.as_ref()).ok()??;
    let is = Platform::linux(machine.architecture, machine.variant);
    if machine.architecture == wanted.architecture {
        return None;
    }
    let message = format!(
        "the entrypoint {} is for {is}, but the image says {wanted}",
        path.display()
    );
    Some(
        finding(&path, message)
            .evidence("is", is.to_string())
            .evidence("says", wanted.to_string()),
    )
}

/// A missing command of a shell entrypoint (`["/bin/sh", "-ec", "exec /app/run --now"]`). Only
/// absolute paths are checked: a plain name may be a shell builtin.
pub(super) fn shell_command(context: &Context<'_>) -> Option<Finding> {
    let words = context.start.words.iter().map(String::as_str);
    let words: Vec<&str> = words.collect();
    let (shell, arguments) = words.split_first()?;
    let name = Path::new(shell).file_name()?.to_str()?;
    let command = first_command(command_line(name, arguments)?)?;
    if !command.starts_with('/') || context.source.view.walk(Path::new(command)).is_ok() {
        return None;
    }
    let message = format!("{shell} would start {command}, which is not in the image");
    let words = context.start.words.clone();
    Some(Finding::new(&SP302, Path::new(command), command, message).evidence("words", words))
}

/// A health check that cannot be started: every run of it fails, however well the program is.
pub(super) fn health_check(context: &Context<'_>) -> Option<Finding> {
    let (start, view) = (&context.start, &context.source.view);
    let words: Vec<&str> = start.check.iter().map(String::as_str).collect();
    let (first, arguments) = words.split_first()?;
    let finding = |word: &str, what: &str| {
        let message = format!("the health check cannot be started: {word} {what}");
        let words = start.check.clone();
        Finding::new(&SP313, Path::new(word), word, message).evidence("words", words)
    };
    let place = |word: &str| match word.contains('/') {
        true => "is not in the image",
        false => "is not in the image's PATH",
    };
    let Some(path) = start.command(view, first) else {
        return Some(finding(first, place(first)));
    };
    let walk = view.walk(&path).ok()?;
    if walk.metadata.mode & 0o111 == 0 {
        return Some(finding(first, "is not executable"));
    }
    let name = path.file_name()?.to_str()?;
    let command = first_command(command_line(name, arguments)?)?;
    // busybox runs its commands without links to it.
    let is_busybox = walk.real.file_name().is_some_and(|name| name == "busybox");
    let is_known = start.command(view, command).is_some() || (is_busybox && !command.contains('/'));
    (!is_known).then(|| finding(command, place(command)))
}

/// A working directory that is not a directory, or that the user may not enter. Engines create one
/// that does not exist.
pub(super) fn working_dir(context: &Context<'_>) -> Option<Finding> {
    let folder = &context.start.working_dir;
    let walk = context.source.view.walk(folder).ok()?;
    let is_directory = walk.metadata.kind == NodeKind::Directory;
    let message = match denied(context, &walk.real, Permission::Enter) {
        _ if !is_directory => format!(
            "the working directory {} is not a directory",
            folder.display()
        ),
        Some(why) => format!(
            "the working directory {} cannot be entered: {why}",
            folder.display()
        ),
        None => return None,
    };
    let subject = folder.display().to_string();
    Some(Finding::new(&SP302, folder, subject, message))
}

/// An entrypoint that is neither ELF nor a script; scripts are checked elsewhere.
fn not_a_program(
    context: &Context<'_>,
    path: &Path,
    finding: &dyn Fn(&Path, String) -> Finding,
) -> Option<Finding> {
    let view = &context.source.view;
    let walk = view.walk(path).ok()?;
    let why = match view.facts(&walk).ok()? {
        Ok(_) | Err(ElfError::NotElf(true)) => return None,
        Err(ElfError::NotElf(false)) => {
            let start = view.open(&walk).ok()?.prefix(0, TELLING).ok()?;
            describe(&start).to_owned()
        }
        Err(error) => error.to_string(),
    };
    let message = format!("the entrypoint {} cannot be started: {why}", path.display());
    Some(finding(path, message))
}

/// A user or group that is given by name and not in `/etc/passwd` or `/etc/group`.
pub(super) fn user(context: &Context<'_>) -> Vec<Finding> {
    let accounts = Accounts::of(&context.source.view);
    let unknown = accounts.unknown(&context.start.user).into_iter();
    let findings = unknown.map(|UnknownAccount { kind, name }| {
        let file = accounts.file(kind);
        let message = format!("the image's {kind} {name} is not in its {}", file.display());
        Finding::new(&SP308, file, name, message)
    });
    findings.collect()
}

/// The working directory and volumes that the image's user may not write to.
pub(super) fn unwritable(context: &Context<'_>) -> Vec<Finding> {
    let start = &context.start;
    let working_dir = Some(&start.working_dir).filter(|path| *path != Path::new("/"));
    let working_dir = working_dir.map(|path| ("working directory", path));
    let volumes = start.volumes.iter().map(|path| ("volume", path));
    let unwritable = working_dir.into_iter().chain(volumes);
    let unwritable = unwritable.filter_map(|(what, path)| {
        let walk = context.source.view.walk(path).ok()?;
        let why = denied(context, &walk.real, Permission::Write)?;
        let message = format!("the {what} {} cannot be written to: {why}", path.display());
        let subject = path.display().to_string();
        Some(Finding::new(&SP310, path, subject, message).evidence("user", start.user.clone()))
    });
    unwritable.collect()
}

/// Exposed ports that only root may listen on, or a program with the capability
/// (`capabilities(7)`, `ip(7)`).
pub(super) fn low_ports(context: &Context<'_>, tree: &Tree) -> Vec<Finding> {
    let start = &context.start;
    let low = start.ports.iter().filter(|port| is_low(port));
    let low: Vec<&String> = low.collect();
    if low.is_empty() {
        return Vec::new();
    }
    let ids = Accounts::of(&context.source.view).process(&start.user);
    // The entrypoint may start another program that listens.
    let may_listen = |capabilities: &[u8]| {
        let parsed = Capabilities::parse(capabilities);
        parsed.is_some_and(|parsed| parsed.permits(LISTEN))
    };
    let is_allowed = || {
        let mut capabilities = tree
            .walk()
            .filter_map(|(.., node)| node.capabilities.as_deref());
        let started = context.started.as_deref();
        let started = started.and_then(|path| context.source.view.walk(path).ok());
        let is_setuid = started
            .is_some_and(|walk| walk.metadata.mode & 0o4000 != 0 && walk.metadata.owner.uid == 0);
        is_setuid || capabilities.any(may_listen)
    };
    if !ids.is_ok_and(|ids| ids.uid != 0) || is_allowed() {
        return Vec::new();
    }
    let findings = low.into_iter().map(|port| {
        let user = &start.user;
        let message = format!("the user {user} may not listen on port {port} in every engine");
        Finding::new(&SP312, Path::new("/"), port.clone(), message).evidence("user", user.clone())
    });
    findings.collect()
}

/// The capability to listen on a port below [`FIRST_PORT`].
const LISTEN: &str = "net_bind_service";
/// The first port that every user may listen on, by default.
const FIRST_PORT: u16 = 1024;

/// Whether `PORT[-PORT][/PROTOCOL]` begins below [`FIRST_PORT`].
fn is_low(port: &str) -> bool {
    let first = port.split(['/', '-']).next().unwrap_or_default();
    first
        .parse()
        .is_ok_and(|first: u16| (1..FIRST_PORT).contains(&first))
}

/// What a user may do with a file, in addition to searching its parent directories.
#[derive(Clone, Copy, PartialEq)]
enum Permission {
    /// Execute a file, or search a directory.
    Enter,
    /// Write to a directory, which includes searching it.
    Write,
}

/// Why the image's user lacks this permission, which also requires search permission on every
/// parent directory (`path_resolution(7)`).
fn denied(context: &Context<'_>, real: &Path, access: Permission) -> Option<String> {
    let tree = context.tree()?;
    let accounts = Accounts::of(&context.source.view);
    let ids = accounts.process(&context.start.user).ok()?;
    if ids.uid == 0 {
        return None;
    }
    let is_in = |gid: u64| ids.gids.iter().any(|&own| u64::from(own) == gid);
    for path in real.ancestors() {
        let (_, node) = tree.node(path.as_os_str().as_bytes()).ok()?;
        let shift = match (node.uid == u64::from(ids.uid), is_in(node.gid)) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        let (bits, verb) = match access {
            Permission::Write if path == real => (0o3, "write to"),
            _ => (0o1, "execute or search"),
        };
        if node.mode >> shift & bits != bits {
            return Some(format!(
                "the user {} may not {verb} {} (mode {:04o}, owner {}:{})",
                context.start.user,
                path.display(),
                node.mode,
                node.uid,
                node.gid
            ));
        }
    }
    None
}
