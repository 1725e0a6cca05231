//! SP303: scripts and what they are started with (`execve(2)`, "Interpreter scripts").

use std::path::{Path, PathBuf};

use crate::image::{command_path, path_folders};
use crate::lint::catalogue::{SP303, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::Script;
use crate::vfs::NodeKind;

/// Every script of a root.
pub(super) fn of_root(context: &Context<'_>) -> Vec<Finding> {
    let scripts = context.survey.scripts.iter();
    scripts
        .filter_map(|script| of_script(context, script))
        .collect()
}

fn of_script(context: &Context<'_>, script: &Script) -> Option<Finding> {
    let line = script.line.trim_start_matches([' ', '\t']);
    let (interpreter, arguments) = match line.split_once([' ', '\t']) {
        Some((interpreter, arguments)) => (interpreter, arguments.trim()),
        None => (line.trim_end(), ""),
    };
    let view = &context.source.view;
    let is_file = |path: &Path| {
        view.walk(path)
            .is_ok_and(|walk| walk.metadata.kind == NodeKind::File)
    };
    let (env, folder) = (&context.start.env, &context.start.working_dir);
    let missing = if interpreter.is_empty() || !is_file(&folder.join(interpreter)) {
        interpreter.to_owned()
    } else if Path::new(interpreter)
        .file_name()
        .is_some_and(|name| name == "env")
    {
        let command = env_command(arguments)?;
        match command_path(command, env, folder, is_file) {
            Some(_) => return None,
            None => command.to_owned(),
        }
    } else {
        return None;
    };
    let is_started = context.started.as_ref() == Some(&script.path);
    let in_path = script.is_executable && is_in_path(context, &script.path);
    let severity = match is_started || in_path {
        true => Severity::Error,
        false => Severity::Info,
    };
    let what = match missing.as_str() {
        "" => "no interpreter".to_owned(),
        // A line from a DOS text: the name has an invisible character.
        name if name.ends_with('\r') => format!("{name:?} (a carriage return belongs to the name)"),
        name => name.to_owned(),
    };
    let message = format!(
        "{} is started with {what}, which is missing",
        script.path.display()
    );
    Some(
        Finding::new(&SP303, &script.path, missing, message)
            .severity(severity)
            .evidence("line", format!("#!{}", script.line)),
    )
}

/// Whether a script lies in a folder in which commands are looked up.
fn is_in_path(context: &Context<'_>, path: &Path) -> bool {
    let view = &context.source.view;
    let folder: Option<PathBuf> = path.parent().map(Path::to_path_buf);
    path_folders(&context.start.env).any(|in_path| {
        let real = view.walk(in_path).map(|walk| walk.real.clone());
        real.ok() == folder
    })
}

/// The command that `env` starts: behind its options and assignments. With `-S` the rest of
/// the line is split as a shell would; without it Linux hands over one argument.
fn env_command(arguments: &str) -> Option<&str> {
    let rest = arguments
        .strip_prefix("-S")
        .or_else(|| arguments.strip_prefix("--split-string="))
        .or_else(|| arguments.strip_prefix("-vS"));
    let Some(rest) = rest else {
        return (!arguments.is_empty() && !arguments.starts_with('-')).then_some(arguments);
    };
    let mut words = rest.split_whitespace();
    words.find(|word| !word.starts_with('-') && !word.contains('='))
}

#[cfg(test)]
mod tests {
    use super::env_command;

    #[test]
    fn env_starts_what_stands_behind_its_options() {
        for (arguments, command) in [
            ("python3", Some("python3")),
            ("-S python3 -u", Some("python3")),
            ("-S -i A=1 perl -w", Some("perl")),
            // Linux hands this over as one word.
            ("python3 -u", Some("python3 -u")),
            ("-i", None),
            ("", None),
        ] {
            assert_eq!(env_command(arguments), command, "{arguments}");
        }
    }
}
