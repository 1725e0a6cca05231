//! `slimpack needs [FILE...]`.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::args::{Common, NeedsArgs};
use super::error::CliError;
use super::trace;
use crate::closure::{Closure, ClosureError, Program};
use crate::elf::ElfError;
use crate::exec::Interpreters;
use crate::loader::Environment;
use crate::needs;
use crate::pack::{self, PackError, TracedRuns};
use crate::report;
use crate::source::{Source, choose_root};
use crate::trace::Recording;

pub(super) fn run(args: &NeedsArgs, common: &Common) -> Result<ExitCode, CliError> {
    super::warn_of_library_path(&args.source, common);
    let mut out = super::text_output(!args.json);
    if args.files.is_empty() {
        report::need_rules(args.json, &mut out)?;
    }
    if args.files.is_empty() && !args.trace_log.is_empty() {
        return Err(CliError::Usage("--trace-log applies to a FILE".to_owned()));
    }
    let runs = recorded(&args.trace_log)?;
    let mut status = 0;
    for file in &args.files {
        match of_file(args, file, runs.as_ref()) {
            Ok(text) => out.write_all(&text)?,
            // The other files are still examined.
            Err(error) => {
                out.flush()?;
                error.report();
                status = 2;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::from(status))
}

/// All recorded runs as one.
fn recorded(logs: &[PathBuf]) -> Result<Option<TracedRuns>, CliError> {
    let mut all = Recording::default();
    for log in logs {
        all.merge(trace::read(log)?);
    }
    Ok((!logs.is_empty()).then(|| TracedRuns {
        recording: Arc::new(all),
        ignore: Vec::new(),
        whole_directories: false,
    }))
}

/// The program in a file; for a script, what runs it, and its path in the source.
fn program(
    source: &Source,
    file: &Path,
    env: &[String],
) -> Result<(Program, Option<PathBuf>), CliError> {
    let fail = |error| CliError::Program {
        path: file.to_path_buf(),
        error,
    };
    let path = source.locate(file);
    let found = match Program::find(&source.view, &path) {
        Err(ClosureError::Elf(ElfError::NotElf(true))) => {
            Interpreters::of(&source.view, env, &path)
        }
        found => return Ok((found.map_err(fail)?, None)),
    };
    let found = found.unwrap_or_else(|| Err("it can no longer be read".to_owned()));
    let found = found.map_err(|why| PackError::Script {
        path: file.to_path_buf(),
        why,
    })?;
    let runner = found.command.unwrap_or(found.interpreter);
    let program = Program::find(&source.view, &runner).map_err(fail)?;
    Ok((program, Some(path)))
}

fn of_file(args: &NeedsArgs, file: &Path, runs: Option<&TracedRuns>) -> Result<Vec<u8>, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    let root = choose_root(&args.source.roots, file, &current_dir)?;
    let source = Source::open(&root, &current_dir)?;
    let fail = |error| CliError::Program {
        path: file.to_path_buf(),
        error,
    };
    let told = Environment::with_variables(&args.env);
    let environment = source.environment(&args.source.library_path, told);
    let (program, script) = program(&source, file, &args.env)?;
    let closure =
        Closure::of(&program, &source.view, &source.loaders, &environment).map_err(fail)?;
    let process = needs::Process {
        view: &source.view,
        closure: &closure,
        environment: &environment,
        env: &args.env,
        user: args.user.as_deref().unwrap_or_default(),
        arguments: &[],
        script: script.as_deref(),
        is_packed: true,
        is_image: false,
        wants_hints: true,
        has_contents: true,
        brought: Arc::default(),
        memo: needs::RuleMemo::default(),
    };
    let signs: Vec<_> = needs::signs(&process).collect();
    let mut text = Vec::new();
    let path_of = |index: usize| source.shown(&closure.map.objects()[index].opened_as);
    let lookups = runs.map(|runs| pack::lookups(&source, &closure, runs));
    let needs = report::NeedsOf {
        program: file,
        signs: &signs,
        lookups: lookups.as_deref(),
    };
    needs.write(&path_of, args.json, &mut text)?;
    Ok(text)
}
