//! `slimpack FILE... [-o OUT]`.

mod config;
mod hints;
mod options;
mod target;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rayon::prelude::*;

use super::args::{Common, PackArgs};
use super::error::CliError;
use super::progress::Progress;
use crate::pack::Plan;
use crate::report;
use target::{Outcome, Target};

pub(super) fn run(args: &PackArgs, common: &Common) -> Result<ExitCode, CliError> {
    let Some(path) = &args.config else {
        pack(args, common, true)?.print()?;
        return Ok(ExitCode::SUCCESS);
    };
    let jobs = config::jobs(path, args)?;
    let progress = Progress::start(
        format!("packing the images of {}", path.display()),
        common.quiet,
    );
    let packed = jobs.par_iter().map(|job| pack(&job.args, common, false));
    let packed: Vec<_> = packed.collect();
    drop(progress);
    let mut status = 0;
    for (job, packed) in jobs.iter().zip(packed) {
        match packed {
            Ok(said) => said.print()?,
            // The other images are told of all the same.
            Err(error) => {
                super::say(|out| writeln!(out, "image {} of {}:", job.name, path.display()));
                error.report();
                status = status.max(error.status());
            }
        }
    }
    Ok(ExitCode::from(status))
}

/// What a pack has to say.
#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    fn print(&self) -> io::Result<()> {
        super::say(|err| err.write_all(&self.err));
        let mut out = super::stdout();
        out.write_all(&self.out)?;
        out.flush()
    }
}

/// One image, from what was typed to what is said about it; whether progress shows while it is
/// written.
fn pack(args: &PackArgs, common: &Common, shows_progress: bool) -> Result<Said, CliError> {
    let target = Target::of(args)?;
    let options = options::options(args, common)?;
    let plans = Plan::for_each_platform(&options);
    let plans = plans.inspect_err(|error| hints::hint(error, &options))?;
    let progress = target.output().map(|output| {
        let what = format!("writing {}", output.display());
        Progress::start(what, common.quiet || !shows_progress)
    });
    let outcome = target.write(&plans, args, &options)?;
    drop(progress);
    let mut said = Said::default();
    let output = target.output().unwrap_or(Path::new("-"));
    if args.json {
        print_json(&plans, &outcome, output, &mut said.out)?;
        return Ok(said);
    }
    if common.quiet {
        return Ok(said);
    }
    let verbose = common.verbose > 0;
    match &outcome {
        Outcome::Plan => {
            for plan in &plans {
                report::plan(plan, &mut said.out)?;
            }
        }
        Outcome::Delivered(to) => {
            let made = report::Made::Delivered(to);
            report::summary(&plans, output, &made, verbose, &mut said.err)?;
        }
        Outcome::Folder => {
            let made = report::Made::Folder;
            report::summary(&plans, output, &made, verbose, &mut said.err)?;
        }
        Outcome::Written {
            written,
            is_unchanged,
            delivered,
        } => {
            let made = report::Made::Written(written, *is_unchanged, delivered);
            report::summary(&plans, output, &made, verbose, &mut said.err)?;
        }
    }
    Ok(said)
}

fn print_json(
    plans: &[Plan],
    outcome: &Outcome,
    output: &Path,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (number, plan) in plans.iter().enumerate() {
        let written = match outcome {
            Outcome::Written { written, .. } => Some((written, number, output)),
            Outcome::Plan | Outcome::Folder | Outcome::Delivered(_) => None,
        };
        writeln!(out, "{}", report::plan_json(plan, written)?)?;
    }
    Ok(())
}
