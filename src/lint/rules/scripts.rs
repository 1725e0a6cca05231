//! SP303: scripts and their interpreters (`execve(2)`, "Interpreter scripts").

use std::path::{Path, PathBuf};

use crate::exec::{command_path, path_folders, shebang};
use crate::lint::catalogue::{SP303, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::Script;
use crate::vfs::NodeKind;

/// Findings about all scripts of a root.
pub(super) fn of_root(context: &Context<'_>) -> Vec<Finding> {
    let scripts = context.survey.scripts.iter();
    scripts
        .filter_map(|script| of_script(context, script))
        .collect()
}

fn of_script(context: &Context<'_>, script: &Script) -> Option<Finding> {
    let shebang = shebang(script.line.as_bytes());
    let interpreter = shebang
        .as_ref()
        .map_or("", |shebang| shebang.interpreter.as_str());
    let view = &context.source.view;
    let is_file = |path: &Path| {
        let walk = view.walk(path);
        walk.is_ok_and(|walk| {
            walk.metadata.kind == NodeKind::File && walk.metadata.mode & 0o111 != 0
        })
    };
    let (env, folder) = (&context.start.env, &context.start.working_dir);
    let missing = if interpreter.is_empty() || !is_file(&folder.join(interpreter)) {
        interpreter.to_owned()
    } else {
        let command = shebang.as_ref()?.env_command()?;
        match command_path(command, env, folder, is_file) {
            Some(_) => return None,
            None => command.to_owned(),
        }
    };
    let is_started = context.is_started(&script.path);
    let in_path = script.is_executable && is_in_path(context, &script.path);
    let severity = match is_started || in_path {
        true => Severity::Error,
        false => Severity::Info,
    };
    let what = match missing.as_str() {
        "" => "an empty interpreter path".to_owned(),
        // DOS line endings: the carriage return is invisible in terminals.
        name if name.ends_with('\r') => format!("{name:?} (the name ends with a carriage return)"),
        name => name.to_owned(),
    };
    let message = format!(
        "{} runs with {what}, which is missing or not executable",
        script.path.display()
    );
    Some(
        Finding::new(&SP303, &script.path, missing, message)
            .severity(severity)
            .evidence("line", script.line.clone()),
    )
}

/// Whether a script is in a directory of `PATH`.
fn is_in_path(context: &Context<'_>, path: &Path) -> bool {
    let view = &context.source.view;
    let folder: Option<PathBuf> = path.parent().map(Path::to_path_buf);
    path_folders(&context.start.env).any(|in_path| {
        let real = view.walk(in_path).map(|walk| walk.real.clone());
        real.ok() == folder
    })
}
