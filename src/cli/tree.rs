//! `slimpack tree FILE|IMAGE...`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rayon::prelude::*;

use super::args::{Common, TreeArgs};
use super::error::CliError;
use super::inspect;
use crate::binding::Binder;
use crate::closure::{Closure, ClosureError, Program};
use crate::elf::ElfError;
use crate::exec::Start;
use crate::image::read::Interest;
use crate::loader::Environment;
use crate::needs::{self, Mode, NeedRule, Process, Sign};
use crate::report::{self, GraphLanguage};
use crate::source::{Source, choose_root};

/// With this many files or more, all cores are used; also the number resolved before printing.
const MANY: usize = 32;
const BATCH: usize = 128;

/// The answer for one file: the text to print, and whether everything was found.
type RenderedTree = Result<(Vec<u8>, bool), CliError>;

pub(super) fn run(args: &TreeArgs, common: &Common) -> Result<ExitCode, CliError> {
    super::warn_of_library_path(&args.source, common);
    let mut out = super::text_output(!args.json && !args.dot && !args.mermaid && !args.list);
    let status = match &args.from {
        Some(image) => in_images(args, common, image, Some(&args.files), &mut out)?,
        None => on_this_machine(args, common, &mut out)?,
    };
    out.flush()?;
    Ok(ExitCode::from(status))
}

fn on_this_machine(args: &TreeArgs, common: &Common, out: &mut impl Write) -> Result<u8, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    let mut status = 0;
    let root = |file: &PathBuf| choose_root(&args.source.roots, file, &current_dir);
    // All files have the same root, unless roots are for architectures.
    for files in args
        .files
        .chunk_by(|left, right| root(left).ok() == root(right).ok())
    {
        // What is known about the files of a batch is freed after it.
        for files in files.chunks(BATCH) {
            let source = Source::open(&root(&files[0])?, &current_dir)?;
            let asked = TreeContext::new(args, common, &source, &args.env);
            status = status.max(asked.answer_all(files, out)?);
        }
    }
    Ok(status)
}

/// Resolves programs in the images at `path`: the given ones, else those that the images start.
fn in_images(
    args: &TreeArgs,
    common: &Common,
    path: &Path,
    files: Option<&[PathBuf]>,
    out: &mut impl Write,
) -> Result<u8, CliError> {
    let interest = match args.versions || args.symbols {
        true => Interest::Symbols,
        false => Interest::Closures,
    };
    let mut images = inspect::open(path, &args.reading, interest)?;
    let mut status = 0;
    for number in 0..images.count() {
        let image = inspect::read_one(path, &mut images, number)?;
        let start = Start::of(&image);
        let source = Source::of_image(path, image.view(), &start.working_dir);
        let started;
        let files = match files {
            Some(files) => files,
            None => {
                started = [start.program(&source.view).map_err(|why| {
                    CliError::Usage(format!(
                        "cannot tell which program in {} to show: {why}; choose one with --from {} \
                         /path/of/program",
                        path.display(),
                        path.display(),
                    ))
                })?];
                &started[..]
            }
        };
        let variables: Vec<String> = start.env.iter().chain(&args.env).cloned().collect();
        let asked = TreeContext::new(args, common, &source, &variables);
        let mut text = Vec::new();
        status = status.max(asked.answer_all(files, &mut text)?);
        inspect::check(path, image)?;
        out.write_all(&text)?;
    }
    Ok(status)
}

/// Whether a file that is not a program may be an image.
fn may_be_image(error: &ClosureError) -> bool {
    matches!(
        error,
        ClosureError::NotAFile(_) | ClosureError::Elf(ElfError::NotElf(false))
    )
}

/// Everything that the files of one source share.
struct TreeContext<'a> {
    args: &'a TreeArgs,
    common: &'a Common,
    source: &'a Source,
    /// Environment of the program, as `NAME=VALUE`.
    env: &'a [String],
    environment: Environment,
    binder: Binder<'a>,
}

impl<'a> TreeContext<'a> {
    fn new(args: &'a TreeArgs, common: &'a Common, source: &'a Source, env: &'a [String]) -> Self {
        let environment = Environment::with_variables(env);
        Self {
            args,
            common,
            env,
            environment: source.environment(&args.source.library_path, environment),
            binder: Binder::new(&source.view),
            source,
        }
    }

    /// Resolves file by file, in order; returns the exit status.
    fn answer_all(&self, files: &[PathBuf], out: &mut impl Write) -> Result<u8, CliError> {
        let answers: Vec<RenderedTree> = if files.len() >= MANY {
            files.par_iter().map(|path| self.answer(path)).collect()
        } else {
            files.iter().map(|path| self.answer(path)).collect()
        };
        let mut status = 0;
        for answer in answers {
            match answer {
                Ok((text, is_sound)) => {
                    out.write_all(&text)?;
                    status = status.max(u8::from(!is_sound));
                }
                // The other files are still resolved.
                Err(error) => {
                    out.flush()?;
                    error.report();
                    status = 2;
                }
            }
        }
        Ok(status)
    }

    /// What the program certainly needs, besides what it loads.
    fn needs(
        &self,
        closure: &Closure,
        environment: &Environment,
    ) -> Vec<(&'static NeedRule, Sign)> {
        let process = Process {
            view: &self.source.view,
            closure,
            environment,
            env: self.env,
            user: "",
            arguments: &[],
            script: None,
            is_packed: true,
            wants_hints: false,
            is_image: false,
            has_contents: true,
            brought: Arc::default(),
            memo: needs::RuleMemo::default(),
        };
        let sure = needs::RULES
            .iter()
            .filter(|rule| rule.mode == Mode::Automatic);
        let signs = sure.filter_map(|rule| Some((*rule, (rule.fires)(&process)?)));
        signs.filter(|(_, sign)| !sign.is_weak).collect()
    }

    fn answer(&self, path: &Path) -> RenderedTree {
        let Self { args, source, .. } = self;
        let fail = |error| CliError::Program {
            path: path.to_path_buf(),
            error,
        };
        if inspect::is_name(path) {
            let mut text = Vec::new();
            let status = in_images(args, self.common, path, None, &mut text)?;
            return Ok((text, status == 0));
        }
        let program = match Program::find(&source.view, &source.locate(path)) {
            Ok(program) => program,
            Err(error) if source.is_host() && may_be_image(&error) => {
                let mut text = Vec::new();
                let status = in_images(args, self.common, path, None, &mut text)?;
                return Ok((text, status == 0));
            }
            Err(error) => return Err(fail(error)),
        };
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
                quiet: self.common.quiet,
            };
            if args.versions {
                is_sound &= binding.versions(&mut text)?;
            }
            if args.symbols {
                is_sound &= binding.symbols(&mut text)?;
            }
        } else if args.json {
            let needs = self.needs(&closure, &environment);
            let json = report::tree_json(source, &closure, &needs).map_err(io::Error::from)?;
            writeln!(text, "{json}")?;
        } else if args.dot {
            report::graph(source, &closure, GraphLanguage::Dot, &mut text)?;
        } else if args.mermaid {
            report::graph(source, &closure, GraphLanguage::Mermaid, &mut text)?;
        } else if args.list {
            report::list(source, &closure, &mut text)?;
        } else {
            report::tree(source, &closure, self.common.verbose > 0, &mut text)?;
            report::tree_needs(
                source,
                &closure,
                &self.needs(&closure, &environment),
                &mut text,
            )?;
        }
        Ok((text, is_sound))
    }
}
