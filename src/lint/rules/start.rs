//! SP302 and SP308: how the image is started.

use std::path::Path;

use crate::elf::platform;
use crate::image::command_path;
use crate::lint::catalogue::{SP302, SP308};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::vfs::{NodeKind, View};

/// Largest `/etc/passwd` that is read, in bytes.
const MAX_PASSWD: u64 = 16 << 20;

/// Whether the entrypoint can be started.
pub(super) fn entrypoint(context: &Context<'_>) -> Option<Finding> {
    let word = context.start.words.first()?;
    let view = &context.source.view;
    let finding = |path: &Path, message: String| {
        let words = &context.start.words;
        Finding::new(&SP302, path, word.clone(), message).evidence("words", words.clone())
    };
    let is_file = |path: &Path| {
        view.walk(path)
            .is_ok_and(|walk| walk.metadata.kind == NodeKind::File)
    };
    let (env, folder) = (&context.start.env, &context.start.working_dir);
    let Some(path) = command_path(word, env, folder, is_file) else {
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
    let Ok(Ok(object)) = view.facts(&walk) else {
        return not_a_program(context, &path, &finding);
    };
    let wanted = context.platform.as_ref()?;
    let file = view.open(&walk).ok()?;
    let is = platform(&object, file.as_ref()).ok()??;
    if is.architecture.to_string() == wanted.architecture {
        return None;
    }
    let message = format!(
        "the entrypoint {} is for {is}, and the image says {wanted}",
        path.display()
    );
    Some(
        finding(&path, message)
            .evidence("is", is.to_string())
            .evidence("says", wanted.to_string()),
    )
}

/// A script is checked as one; anything else cannot be started.
fn not_a_program(
    context: &Context<'_>,
    path: &Path,
    finding: &dyn Fn(&Path, String) -> Finding,
) -> Option<Finding> {
    let view = &context.source.view;
    let walk = view.walk(path).ok()?;
    let start = view.open(&walk).ok()?.prefix(0, 2).ok()?;
    if start == b"#!" {
        return None;
    }
    let why = match view.facts(&walk).ok()? {
        Ok(_) => return None,
        Err(error) => error.to_string(),
    };
    let message = format!("the entrypoint {} is no program: {why}", path.display());
    Some(finding(path, message))
}

/// Whether the user and the group that are given by name are known.
pub(super) fn user(context: &Context<'_>) -> Vec<Finding> {
    let (user, group) = match context.start.user.split_once(':') {
        Some((user, group)) => (user, group),
        None => (context.start.user.as_str(), ""),
    };
    let view = &context.source.view;
    let checks = [
        ("user", user, "/etc/passwd"),
        ("group", group, "/etc/group"),
    ];
    let unknown = checks.iter().filter(|(_, name, file)| {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        !is_number && *name != "root" && !has_entry(view, file, name)
    });
    unknown
        .map(|(what, name, file)| {
            let message = format!("the image's {what} {name} is not in its {file}");
            Finding::new(&SP308, Path::new(file), *name, message)
        })
        .collect()
}

fn has_entry(view: &View, file: &str, name: &str) -> bool {
    let text = view.read(Path::new(file), MAX_PASSWD).unwrap_or_default();
    let mut lines = text.split(|&byte| byte == b'\n');
    lines.any(|line| line.split(|&byte| byte == b':').next() == Some(name.as_bytes()))
}
