//! `slimpack FILE... [-o OUT]`.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{Common, PackArgs};
use super::error::CliError;
use crate::image::{Destination, Written};
use crate::output::Output;
use crate::pack::{Options, PackError, Plan};
use crate::report;

pub(super) fn run(args: &PackArgs, common: &Common) -> Result<ExitCode, CliError> {
    let options = options(args)?;
    if let Some(output) = &args.output {
        refuse_to_replace_input(output, &args.files)?;
    }
    let plan = Plan::new(&options).map_err(|error| with_hint(error, &options))?;
    let Some(output) = &args.output else {
        if !common.quiet {
            let mut out = super::stdout();
            report::plan(&plan, &mut out)?;
            out.flush()?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let (written, target) = if output == Path::new("-") {
        let mut out = io::stdout().lock();
        let written = plan.write(Destination::Stream(&mut out))?;
        out.flush()?;
        (written, Path::new("standard output"))
    } else {
        (write_file(&plan, output)?, output.as_path())
    };
    if !common.quiet {
        super::say(|out| report::summary(&plan, &written, target, common.verbose > 0, out));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_file(plan: &Plan, path: &Path) -> Result<Written, CliError> {
    match Output::create(path)? {
        Output::Device(mut device) => Ok(plan.write(Destination::Stream(&mut device))?),
        Output::File(mut file) => {
            file.reserve(plan.size_hint()?)?;
            let result = plan.write(Destination::File(&mut file));
            if let Some(signal) = file.interrupted() {
                drop(file);
                return Err(CliError::Interrupted(signal));
            }
            let written = result?;
            file.publish()?;
            Ok(written)
        }
    }
}

/// What was typed as what it means.
fn options(args: &PackArgs) -> Result<Options, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    Ok(Options {
        programs: args.files.clone(),
        roots: args.source.roots.clone(),
        current_dir,
        library_path: args.source.library_path.clone(),
        destination: args.dest.as_ref().map(PathBuf::from),
        hwcaps: args.hwcaps,
        allow_missing: args.allow_missing,
        require_static: args.require_static,
        max_size: args.max_size,
        tags: args.tags.clone(),
        entrypoint: args.entrypoint.clone().map(|words| words.0),
        cmd: args.cmd.clone().map(|words| words.0).unwrap_or_default(),
        env: args.env.clone(),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        labels: args.labels.iter().cloned().collect(),
        created: source_date_epoch()?,
    })
}

/// The time stamp of everything in the image (reproducible-builds.org); 1970 without
/// the variable.
fn source_date_epoch() -> Result<u64, CliError> {
    /// The last second of the year 9999, which dates in JSON can still name.
    const LATEST: u64 = 253_402_300_799;
    let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds <= LATEST)
        .ok_or_else(|| {
            CliError::Usage(format!(
                "SOURCE_DATE_EPOCH={} is not a number of seconds since 1970",
                text.display()
            ))
        })
}

fn refuse_to_replace_input(output: &Path, files: &[PathBuf]) -> Result<(), CliError> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let Some(target) = identity(output) else {
        return Ok(());
    };
    match files.iter().find(|file| identity(file) == Some(target)) {
        Some(file) => Err(CliError::Usage(format!(
            "cannot write {}: it is the program {} itself",
            output.display(),
            file.display()
        ))),
        None => Ok(()),
    }
}

/// slimpack does not read LD_LIBRARY_PATH, but a program that only starts because of it
/// is a common surprise: say which -L would help.
fn with_hint(error: PackError, options: &Options) -> CliError {
    let PackError::Incomplete(missing) = &error else {
        return error.into();
    };
    let Some(path) = env::var_os("LD_LIBRARY_PATH").filter(|_| options.roots.is_empty()) else {
        return error.into();
    };
    let mut folders: Vec<PathBuf> = env::split_paths(&path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .filter(|folder| {
            missing
                .iter()
                .any(|library| folder.join(OsStr::new(&library.name)).is_file())
        })
        .collect();
    folders.dedup();
    if !folders.is_empty() {
        let flags: Vec<_> = folders
            .iter()
            .map(|folder| format!("-L {}", folder.display()))
            .collect();
        super::say(|out| {
            writeln!(
                out,
                "note: LD_LIBRARY_PATH leads to what is missing, but is not used for images; \
                 pass {}",
                flags.join(" ")
            )
        });
    }
    error.into()
}
