//! `slimpack tree FILE...`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rayon::prelude::*;

use super::args::{Common, TreeArgs};
use super::error::CliError;
use crate::binding::Binder;
use crate::closure::{Closure, Program};
use crate::loader::Environment;
use crate::report;
use crate::source::{Source, choose_root};

/// Files from which on all cores resolve, and files resolved before they are printed.
const MANY: usize = 32;
const BATCH: usize = 512;

/// One file answered: what to print, and whether everything was found.
type Answer = Result<(Vec<u8>, bool), CliError>;

pub(super) fn run(args: &TreeArgs, common: &Common) -> Result<ExitCode, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    let mut out = super::stdout();
    let mut status = 0;
    let root = |file: &PathBuf| choose_root(&args.source.roots, file, &current_dir);
    // Files of one root stand together, unless roots are for architectures.
    for files in args
        .files
        .chunk_by(|left, right| root(left).ok() == root(right).ok())
    {
        let source = Source::open(&root(&files[0])?, &current_dir)?;
        let asked = Asked {
            args,
            verbose: common.verbose > 0,
            quiet: common.quiet,
            environment: environment(args, &source),
            binder: Binder::new(&source.view),
            source: &source,
        };
        status = status.max(asked.answer_all(files, &mut out)?);
    }
    out.flush()?;
    Ok(ExitCode::from(status))
}

fn environment(args: &TreeArgs, source: &Source) -> Environment {
    Environment {
        extra: args
            .source
            .library_path
            .iter()
            .map(|folder| source.locate(folder))
            .collect(),
        working_dir: source.working_dir(),
        ..Environment::with_variables(&args.env)
    }
}

/// What is asked of every file.
struct Asked<'a> {
    args: &'a TreeArgs,
    verbose: bool,
    quiet: bool,
    source: &'a Source,
    environment: Environment,
    binder: Binder<'a>,
}

impl Asked<'_> {
    /// Answers file by file, in order; the exit status.
    fn answer_all(&self, files: &[PathBuf], out: &mut impl Write) -> Result<u8, CliError> {
        let mut status = 0;
        for batch in files.chunks(BATCH) {
            let answers: Vec<Answer> = if files.len() >= MANY {
                batch.par_iter().map(|path| self.answer(path)).collect()
            } else {
                batch.iter().map(|path| self.answer(path)).collect()
            };
            for answer in answers {
                match answer {
                    Ok((text, is_sound)) => {
                        out.write_all(&text)?;
                        status = status.max(u8::from(!is_sound));
                    }
                    // The other files are answered all the same.
                    Err(error) => {
                        out.flush()?;
                        error.report();
                        status = 2;
                    }
                }
            }
        }
        Ok(status)
    }

    fn answer(&self, path: &Path) -> Answer {
        let Self { args, source, .. } = self;
        let fail = |error| CliError::Program {
            path: path.to_path_buf(),
            error,
        };
        let program = Program::find(&source.view, &source.locate(path)).map_err(fail)?;
        let environment = Environment {
            secure: program.walk.metadata.changes_identity(),
            ..self.environment.clone()
        };
        let closure =
            Closure::of(&program, &source.view, &source.loaders, &environment).map_err(fail)?;
        let mut text = Vec::new();
        let mut is_sound = closure.is_complete();
        if args.versions || args.symbols {
            let binding = report::BindingReport {
                source,
                closure: &closure,
                binder: &self.binder,
                quiet: self.quiet,
            };
            if args.versions {
                is_sound &= binding.versions(&mut text)?;
            }
            if args.symbols {
                is_sound &= binding.symbols(&mut text)?;
            }
        } else if args.json {
            let json = report::tree_json(source, &closure).map_err(io::Error::from)?;
            writeln!(text, "{json}")?;
        } else if args.list {
            report::list(source, &closure, &mut text)?;
        } else {
            report::tree(source, &closure, self.verbose, &mut text)?;
        }
        Ok((text, is_sound))
    }
}
