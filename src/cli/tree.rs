//! `slimpack tree FILE...`.

use std::env;
use std::io::Write;
use std::process::ExitCode;

use super::args::TreeArgs;
use super::error::CliError;
use crate::closure::{Closure, Program};
use crate::loader::Environment;
use crate::report;
use crate::source::Source;

pub(super) fn run(args: &TreeArgs, verbose: bool) -> Result<ExitCode, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    let source = Source::open(&args.source.root, &current_dir)?;
    let environment = Environment {
        extra: args
            .source
            .library_path
            .iter()
            .map(|folder| source.locate(folder))
            .collect(),
        working_dir: source.working_dir(),
        ..Environment::default()
    };
    let mut out = super::stdout();
    let mut status = 0;
    for path in &args.files {
        let program = Program::find(&source.view, &source.locate(path));
        let closure = program
            .and_then(|program| Closure::of(&program, &source.view, &source.loaders, &environment));
        match closure {
            Ok(closure) => {
                if args.json {
                    let json =
                        report::tree_json(&source, &closure).map_err(std::io::Error::from)?;
                    writeln!(out, "{json}")?;
                } else if args.list {
                    report::list(&source, &closure, &mut out)?;
                } else {
                    report::tree(&source, &closure, verbose, &mut out)?;
                }
                status = status.max(u8::from(!closure.is_complete()));
            }
            // The other files are answered all the same.
            Err(error) => {
                let path = path.clone();
                CliError::Program { path, error }.report();
                status = 2;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::from(status))
}
