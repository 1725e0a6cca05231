//! `slimpack tree FILE...`.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rayon::prelude::*;

use super::args::TreeArgs;
use super::error::CliError;
use crate::closure::{Closure, ClosureError, Program};
use crate::loader::Environment;
use crate::report;
use crate::source::Source;

/// Files from which on all cores resolve, and files resolved before they are printed.
const MANY: usize = 32;
const BATCH: usize = 512;

/// With these mode bits a program runs with raised privileges, unless its owner starts it.
const SETUID_OR_SETGID: u32 = 0o6000;

/// One file answered: what to print, and whether everything was found.
type Answer = Result<(Vec<u8>, bool), ClosureError>;

pub(super) fn run(args: &TreeArgs, verbose: bool) -> Result<ExitCode, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    let roots = &args.source.roots;
    let source = Source::choose(roots, args.files.first().map(AsRef::as_ref), &current_dir)?;
    let environment = Environment {
        extra: args
            .source
            .library_path
            .iter()
            .map(|folder| source.locate(folder))
            .collect(),
        working_dir: source.working_dir(),
        ..Environment::with_variables(&args.env)
    };
    let answer = |path: &std::path::PathBuf| one(args, verbose, &source, &environment, path);
    let mut out = super::stdout();
    let mut status = 0;
    for batch in args.files.chunks(BATCH) {
        let answers: Vec<Answer> = if args.files.len() >= MANY {
            batch.par_iter().map(answer).collect()
        } else {
            batch.iter().map(answer).collect()
        };
        for (path, answer) in batch.iter().zip(answers) {
            match answer {
                Ok((text, is_complete)) => {
                    out.write_all(&text)?;
                    status = status.max(u8::from(!is_complete));
                }
                // The other files are answered all the same.
                Err(error) => {
                    out.flush()?;
                    let path = path.clone();
                    CliError::Program { path, error }.report();
                    status = 2;
                }
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::from(status))
}

fn one(
    args: &TreeArgs,
    verbose: bool,
    source: &Source,
    environment: &Environment,
    path: &Path,
) -> Answer {
    let program = Program::find(&source.view, &source.locate(path))?;
    let environment = Environment {
        secure: program.walk.metadata.mode & SETUID_OR_SETGID != 0,
        ..environment.clone()
    };
    let closure = Closure::of(&program, &source.view, &source.loaders, &environment)?;
    let mut text = Vec::new();
    let written = if args.json {
        report::tree_json(source, &closure)
            .map_err(io::Error::from)
            .and_then(|json| writeln!(text, "{json}"))
    } else if args.list {
        report::list(source, &closure, &mut text)
    } else {
        report::tree(source, &closure, verbose, &mut text)
    };
    // Writing to memory does not fail.
    debug_assert!(written.is_ok());
    Ok((text, closure.is_complete()))
}
