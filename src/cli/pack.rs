//! `slimpack FILE... [-o OUT]`.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{Common, PackArgs};
use super::error::CliError;
use crate::closure::ClosureError;
use crate::image::{Destination, Tag, Written};
use crate::needs::Selection;
use crate::output::Output;
use crate::pack::{MissingLibrary, Options, PackError, Plan};
use crate::report;
use crate::vfs::Errno;

pub(super) fn run(args: &PackArgs, common: &Common) -> Result<ExitCode, CliError> {
    let options = options(args, common)?;
    if let Some(output) = &args.output {
        if output == Path::new("-") && io::stdout().is_terminal() {
            let message = "an image is not for a terminal: redirect standard output, or write \
                           the image to a file with -o FILE";
            return Err(CliError::Usage(message.into()));
        }
        if output == Path::new("-") && args.json {
            let message = "--json and the image both want standard output; write one of them to a \
                           file with -o FILE";
            return Err(CliError::Usage(message.into()));
        }
        refuse_to_replace_input(output, &args.files)?;
    }
    let plan = Plan::new(&options).inspect_err(|error| hint(error, &options))?;
    let Some(output) = &args.output else {
        if args.json {
            print_json(&plan, None)?;
        } else if !common.quiet {
            let mut out = super::stdout();
            report::plan(&plan, &mut out)?;
            out.flush()?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let (written, target) = if output == Path::new("-") {
        let mut out = io::stdout().lock();
        let written = plan.write(Destination::Stream(&mut out))?;
        // All of it or an error: nothing of the image stays in the buffer.
        out.flush()
            .map_err(|error| PackError::Image(error.into()))?;
        (written, Path::new("standard output"))
    } else {
        (write_file(&plan, output)?, output.as_path())
    };
    if args.json {
        print_json(&plan, Some((&written, target)))?;
    } else if !common.quiet {
        super::say(|out| report::summary(&plan, &written, target, common.verbose > 0, out));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(plan: &Plan, written: Option<(&Written, &Path)>) -> Result<(), CliError> {
    let json = report::plan_json(plan, written).map_err(io::Error::from)?;
    let mut out = super::stdout();
    writeln!(out, "{json}")?;
    Ok(out.flush()?)
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
fn options(args: &PackArgs, common: &Common) -> Result<Options, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    Ok(Options {
        programs: args.files.clone(),
        roots: args.source.roots.clone(),
        current_dir,
        library_path: args.source.library_path.clone(),
        destination: args.dest.as_ref().map(PathBuf::from),
        hwcaps: args.hwcaps,
        needs: selection(args)?,
        wants_hints: args.json || !common.quiet,
        add: args.add.clone(),
        exclude: args.exclude.clone(),
        busybox: args.busybox.clone(),
        allow_missing: args.allow_missing,
        require_static: args.require_static,
        max_size: args.max_size,
        tags: without_repeats(&args.tags),
        entrypoint: args.entrypoint.clone().map(|words| words.0),
        cmd: args.cmd.clone().map(|words| words.0).unwrap_or_default(),
        env: last_of_each_name(&args.env),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        labels: args.labels.iter().cloned().collect(),
        created: source_date_epoch()?,
    })
}

/// `--without` is the narrower word: it counts after every `--with`.
fn selection(args: &PackArgs) -> Result<Selection, CliError> {
    let mut selection = Selection::default();
    let with = args.with.iter().map(|word| (word, true));
    for (word, is_wanted) in with.chain(args.without.iter().map(|word| (word, false))) {
        let added = selection.add(word, is_wanted);
        added.map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(selection)
}

fn without_repeats(tags: &[Tag]) -> Vec<Tag> {
    let mut kept: Vec<Tag> = Vec::new();
    for tag in tags {
        if !kept.contains(tag) {
            kept.push(tag.clone());
        }
    }
    kept
}

/// As for `docker run -e`, the last value of a variable counts.
fn last_of_each_name(variables: &[String]) -> Vec<String> {
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let is_last = |(at, entry): &(usize, &String)| {
        !variables[at + 1..]
            .iter()
            .any(|later| name(later) == name(entry))
    };
    let kept = variables.iter().enumerate().filter(is_last);
    kept.map(|(_, entry)| entry.clone()).collect()
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

/// Says what would help, where the environment of this shell tells.
fn hint(error: &PackError, options: &Options) {
    match error {
        PackError::Incomplete(missing) if options.roots.is_empty() => library_path_hint(missing),
        PackError::Program {
            path,
            error: ClosureError::Unreachable(Errno::NotFound),
        } => command_hint(path),
        _ => {}
    }
}

/// slimpack does not read LD_LIBRARY_PATH, but a program that only starts because of it
/// is a common surprise: say which -L would help.
fn library_path_hint(missing: &[MissingLibrary]) {
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .filter(|folder| {
            let has = |library: &MissingLibrary| folder.join(&library.name).is_file();
            missing.iter().any(has)
        })
        .collect();
    folders.dedup();
    if folders.is_empty() {
        return;
    }
    let flags: Vec<_> = folders
        .iter()
        .map(|folder| format!("-L {}", folder.display()))
        .collect();
    super::say(|out| {
        writeln!(
            out,
            "note: LD_LIBRARY_PATH leads to what is missing, but is not used for images; pass {}",
            flags.join(" ")
        )
    });
}

/// A bare name is a file here, as for `docker cp` and `ldd`; a shell would look in PATH.
fn command_hint(name: &Path) {
    if name.components().count() != 1 {
        return;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let command = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file());
    if let Some(command) = command {
        super::say(|out| {
            writeln!(
                out,
                "note: there is a command of that name: {}",
                command.display()
            )
        });
    }
}
