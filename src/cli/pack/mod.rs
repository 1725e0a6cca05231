//! `slimpack FILE... [-o OUT]`.

mod bills;
mod config;
mod hints;
mod keys;
mod options;
mod rights;
mod runs;
mod target;
mod tests;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rayon::prelude::*;

use super::args::{Cli, Common, PackArgs};
use super::error::CliError;
use super::inspect::{self, OpenedImages};
use super::location::ImageLocation;
use super::progress::Progress;
use crate::image::read::Interest;
use crate::pack::{self, Options, Plan, TracedRuns};
use crate::report::{self, Made};
use crate::trial::NeedOption;
use bills::Bills;
pub(super) use keys::schema;
pub(super) use options::source_date_epoch;
use target::OutputTarget;

pub(super) fn run(args: &PackArgs, common: &Common) -> Result<ExitCode, CliError> {
    let Some(path) = &args.config else {
        pack(args, common, true)?.print()?;
        return Ok(ExitCode::SUCCESS);
    };
    let jobs = config::jobs(path, args)?;
    let progress = Progress::start(
        format!("packing the images of {}", path.display()),
        None,
        common.quiet,
    );
    let packed = jobs.par_iter().map(|job| pack(&job.args, common, false));
    let packed: Vec<_> = packed.collect();
    drop(progress);
    let mut status = 0;
    for (job, packed) in jobs.iter().zip(packed) {
        match packed {
            Ok(said) => said.print()?,
            // The other images are still reported.
            Err(error) => {
                super::say(|out| writeln!(out, "image {} of {}:", job.name, path.display()));
                error.report();
                status = status.max(error.status());
            }
        }
    }
    Ok(ExitCode::from(status))
}

/// The plan of a program that is packed without any option.
pub(super) fn plan_of(program: &Path, common: &Common) -> Result<Plan, CliError> {
    let path = program.display();
    let args = Cli::packing_only(program).ok_or_else(|| {
        CliError::Usage(format!("{path} is named like a command; write ./{path}"))
    })?;
    let options = options::options(&args, common)?;
    Ok(Plan::new(&options).inspect_err(|error| hints::hint(error, &options))?)
}

/// Options that bring more than one file of what a program needs.
pub(super) fn remedies_of(program: &Path, common: &Common) -> Vec<NeedOption> {
    let options = Cli::packing_only(program).and_then(|args| options::options(&args, common).ok());
    let plan = |options: &Options| Plan::new(options).ok();
    options.map_or(Vec::new(), |options| tests::remedies(&options, &plan, None))
}

/// The output of a pack, for standard output and standard error.
#[derive(Default)]
struct ConsoleOutput {
    out: Vec<u8>,
    /// Whether the former is text to read.
    is_text: bool,
    err: Vec<u8>,
}

impl ConsoleOutput {
    fn print(&self) -> io::Result<()> {
        super::say_folded(&self.err);
        let mut out = super::text_output(self.is_text);
        out.write_all(&self.out)?;
        out.flush()
    }
}

/// Packs one image and returns the report about it. `shows_progress` enables the progress display
/// while writing.
fn pack(args: &PackArgs, common: &Common, shows_progress: bool) -> Result<ConsoleOutput, CliError> {
    let target = OutputTarget::of(args)?;
    super::warn_of_library_path(&args.source, common);
    tests::refuse_without_test(args)?;
    let traced = runs::traced(args, common)?;
    if args.runs.test.is_empty() {
        return write(
            args,
            common,
            &target,
            planned(args, common, traced)?,
            shows_progress,
        );
    }
    let mut fixes = tests::Fixes::default();
    let planned = loop {
        let args = fixes.applied(args);
        let planned = match planned(&args, common, traced.clone()) {
            Err(_) if fixes.take_back() => continue,
            planned => planned?,
        };
        let Some(failed) = tests::run(&planned, &args)? else {
            break planned;
        };
        if !args.runs.fix || !fixes.add(&failed, &args, common) {
            return Err(failed.error(common.verbose > 0));
        }
    };
    let planned = fixes.reduce(args, common, planned, |args| {
        let planned = self::planned(args, common, traced.clone()).ok()?;
        let failed = tests::run(&planned, args).ok()?;
        failed.is_none().then_some(planned)
    });
    let args = fixes.applied(args);
    fixes.print(common);
    write(&args, common, &target, planned, shows_progress)
}

/// What is to be written.
struct Planned {
    options: Options,
    plans: Vec<Plan>,
    /// The image that the plans take files from.
    _image: Option<OpenedImages>,
}

fn planned(
    args: &PackArgs,
    common: &Common,
    traced: Option<TracedRuns>,
) -> Result<Planned, CliError> {
    let mut options = options::options(args, common)?;
    options.traced = traced;
    let (plans, image) = match &args.from {
        Some(image) => {
            let (plans, opened) = from_image(image, args, &options)?;
            (plans, Some(opened))
        }
        None => {
            let plans = Plan::for_each_platform(&options);
            (
                plans.inspect_err(|error| hints::hint(error, &options))?,
                None,
            )
        }
    };
    Ok(Planned {
        options,
        plans,
        _image: image,
    })
}

/// Writes what was planned, and returns the report about it.
fn write(
    args: &PackArgs,
    common: &Common,
    target: &OutputTarget,
    planned: Planned,
    shows_progress: bool,
) -> Result<ConsoleOutput, CliError> {
    let Planned { options, plans, .. } = &planned;
    let progress = target.output().map(|output| {
        let what = format!("writing {}", output.display());
        let bytes = plans.iter().map(|plan| plan.rootfs.bytes()).sum();
        Progress::start(what, Some(bytes), common.quiet || !shows_progress)
    });
    let mut bills = Bills::open(args, plans)?;
    let (made, delivered) = target.write(plans, args, options, &mut bills)?;
    let mut said = ConsoleOutput::default();
    bills.publish(args, common, &mut said)?;
    drop(progress);
    let output = target.output().unwrap_or(Path::new("-"));
    if args.json {
        print_json(plans, &made, output, &mut said.out)?;
    } else if common.quiet || bills::is_on_stdout(args) {
        // Only the image was requested, or the bill of materials.
    } else if matches!(made, Made::Nothing) && delivered.is_empty() {
        // What --suggest prints is for a shell.
        said.is_text = !args.runs.suggest;
        for plan in plans {
            report::plan(plan, common.verbose > 0, &mut said.out)?;
        }
    } else {
        let verbose = common.verbose > 0;
        report::summary(plans, output, &made, &delivered, verbose, &mut said.err)?;
    }
    if args.runs.suggest {
        suggest(options, &plans[0], args, &mut said)?;
    }
    Ok(said)
}

/// Prints the options that give the same image without a run.
fn suggest(
    options: &Options,
    plan: &Plan,
    args: &PackArgs,
    said: &mut ConsoleOutput,
) -> Result<(), CliError> {
    let found = pack::without_trace(options, plan)?;
    let is_output = args.output.as_deref() == Some(Path::new("-"));
    let is_free = !args.json && !is_output && !bills::is_on_stdout(args);
    let out = if is_free {
        &mut said.out
    } else {
        &mut said.err
    };
    for flag in &found.flags {
        writeln!(out, "{}", shell_words::quote(flag))?;
    }
    for path in found.lacks {
        writeln!(
            said.err,
            "note: these options do not add {} as the run needs it",
            path.display()
        )?;
    }
    for path in found.more {
        writeln!(said.err, "note: these options also add {}", path.display())?;
    }
    Ok(())
}

/// A plan for each platform of an image, whose digests are all verified; and the image, which must
/// stay open until the plans are carried out.
fn from_image(
    path: &Path,
    args: &PackArgs,
    options: &Options,
) -> Result<(Vec<Plan>, OpenedImages), CliError> {
    let mut images = inspect::open(path, &args.reading, Interest::Contents)?;
    let mut plans = Vec::new();
    for number in 0..images.count() {
        let image = inspect::read_one(path, &mut images, number)?;
        let plan = Plan::from_image(options, ImageLocation::of(path).path, &image)?;
        inspect::check(path, image)?;
        let platform = &plan.settings.platform;
        if plans
            .iter()
            .any(|other: &Plan| other.settings.platform == *platform)
        {
            return Err(CliError::Usage(format!(
                "{} holds several images for {platform}: {}; choose one with --from IMAGE#NAME",
                path.display(),
                images.names().join(", ")
            )));
        }
        plans.push(plan);
    }
    Ok((plans, images))
}

fn print_json(plans: &[Plan], made: &Made, output: &Path, out: &mut dyn Write) -> io::Result<()> {
    for (number, plan) in plans.iter().enumerate() {
        let written = match made {
            Made::Written { written, .. } => Some((written, number, output)),
            Made::Nothing | Made::Folder => None,
        };
        writeln!(out, "{}", report::plan_json(plan, written)?)?;
    }
    Ok(())
}
