//! `slimpack run IMAGE|FILE`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::args::{Common, ImageArgs, NetworkMode, RuntimeName, TryArgs};
use super::error::CliError;
use super::progress::Progress;
use super::trials::{KeptErrors, TrialSource};
use super::{inspect, pack, runtime, trials};
use crate::exec::{Interpreters, Start};
use crate::image::read::{Head, Interest};
use crate::run::{Conditions, IdMap, Ran, SandboxError};
use crate::trace::Ending;
use crate::trial::{self, Changes, Diagnosis, NeedOption, Startable, TrialError, TrialOptions};
use crate::vfs::{View, one_line};

/// Exit status if the program was not run, as of docker run.
const NOT_RUN: u8 = 125;
/// If it cannot be executed, and if it is not there.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn run(args: &TryArgs, common: &Common) -> Result<ExitCode, CliError> {
    if args.check {
        return check();
    }
    // The program ends with any status; errors of slimpack need others than it usually has.
    started(args, common).or_else(|error| match error {
        CliError::Interrupted(_) => Err(error),
        error => {
            error.report();
            Ok(ExitCode::from(status_of(&error)))
        }
    })
}

fn started(args: &TryArgs, common: &Common) -> Result<ExitCode, CliError> {
    let Some(path) = &args.image else {
        return Err(CliError::Usage(
            "name an image or a program to run".to_owned(),
        ));
    };
    if args.terminal && args.interactive && !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "standard input is not a terminal; drop -t, or -i".to_owned(),
        ));
    }
    if let Some(engine @ (RuntimeName::Podman | RuntimeName::Docker)) = args.runtime {
        if is_program(path) {
            return Err(CliError::Usage(format!(
                "an engine runs images; pack {} first, with -o",
                path.display()
            )));
        }
        return runtime::run_image(engine, args);
    }
    if !common.quiet {
        note_options(args, path);
    }
    let image = open(path, &args.reading, common)?;
    let start = changes(args).apply(&image.start);
    if let Some(runtime) = args.runtime {
        return runtime::run_bundle(runtime, &image, &start, args);
    }
    if !common.quiet {
        note_strangers(&image, &start)?;
    }
    let options = conditions(args);
    if args.diagnose {
        return diagnose(args, &image, &start, options, common);
    }
    let ran = match trial::run(&image, &start, &options) {
        Err(TrialError::Sandbox(SandboxError::NotExecuted { path, error })) => {
            return not_executed(args, common, &image, &start, (&path, &error));
        }
        ran => ran?,
    };
    if ran.timed_out {
        let message = "note: the program was killed because it took longer than --timeout";
        super::say(|err| writeln!(err, "{message}"));
    }
    Ok(exit_code(ran.ending))
}

/// Prints why a program was not executed; nothing has to be recorded for that.
fn not_executed(
    args: &TryArgs,
    common: &Common,
    image: &Startable,
    start: &Start,
    (path, error): (&str, &io::Error),
) -> Result<ExitCode, CliError> {
    let source = source(args, common)?;
    let reference = TrialSource::new(&source, args.from.is_none(), &Vec::new, &String::new);
    let ids = trial::ids(&image.view, start)?;
    let failed = reference.failed(&image.view, start, &ids);
    let why = failed.not_executed(path, error);
    print("error: cannot run the image", &why, args, common);
    Ok(ExitCode::from(status_of_start(error)))
}

/// What the program sees of this machine.
fn conditions(args: &TryArgs) -> TrialOptions<'_> {
    TrialOptions {
        conditions: Conditions {
            volumes: args.volumes.clone(),
            has_network: args.network == NetworkMode::Host,
            is_read_only: args.read_only,
            is_interactive: args.interactive,
            has_terminal: args.terminal,
            timeout: args.timeout.map(Duration::from_secs),
            ..Conditions::default()
        },
        network_files: match args.network {
            NetworkMode::Host => network_files(),
            NetworkMode::None => Vec::new(),
        },
    }
}

/// Runs an image, and prints why it fails.
fn diagnose(
    args: &TryArgs,
    image: &Startable,
    start: &Start,
    options: TrialOptions<'_>,
    common: &Common,
) -> Result<ExitCode, CliError> {
    let source = source(args, common)?;
    let remedies = || match args.from {
        Some(_) => Vec::new(),
        None => remedies(image, start, common),
    };
    let is_host = args.from.is_none();
    let said = KeptErrors::default();
    let (keep, errors) = (|_, bytes: &[u8]| said.keep(bytes), || said.text());
    let reference = TrialSource::new(&source, is_host, &remedies, &errors);
    // Of the shorter lifetime of what it borrows here.
    let mut options: TrialOptions<'_> = options;
    options.conditions.is_traced = true;
    options.conditions.copy = Some(&keep);
    let is_good = |ran: &Ran| ran.ending.is_success() && !ran.timed_out;
    let done = trials::diagnosed(image, start, &options, &reference, &is_good)?;
    match &done.diagnosis {
        Some(diagnosis) => print("diagnosis", diagnosis, args, common),
        None if common.quiet => {}
        None => super::say(|err| writeln!(err, "diagnosis: the program succeeded")),
    }
    Ok(match (done.ran, done.error) {
        (Some(ran), _) => exit_code(ran.ending),
        (None, Some(error)) => ExitCode::from(status_of(&error.into())),
        (None, None) => ExitCode::from(NOT_RUN),
    })
}

/// Options that bring more than one file of what the started program needs, or its interpreter.
fn remedies(image: &Startable, start: &Start, common: &Common) -> Vec<NeedOption> {
    let command = start.words.first();
    let Some(path) = command.and_then(|word| start.command(&image.view, word)) else {
        return Vec::new();
    };
    let program = match Interpreters::of(&image.view, &start.env, &path) {
        Some(Ok(found)) => found.command.unwrap_or(found.interpreter),
        _ => path,
    };
    match is_program(&program) {
        true => pack::remedies_of(&program, common),
        false => Vec::new(),
    }
}

/// What an image is compared with: another image, or this machine.
fn source(args: &TryArgs, common: &Common) -> Result<Arc<View>, CliError> {
    match &args.from {
        Some(from) => Ok(read(from, &args.reading, common)?.view),
        None => trials::host(),
    }
}

/// Prints why a program failed, after what introduces it.
fn print(title: &str, diagnosis: &Diagnosis, args: &TryArgs, common: &Common) {
    let is_verbose = common.verbose + args.verbose > 0;
    super::say(|err| {
        let mut lines = trials::lines(diagnosis, is_verbose).into_iter();
        let cause = lines.next().unwrap_or_default();
        writeln!(err, "{title}: {}", one_line(&cause))?;
        lines.try_for_each(|line| writeln!(err, "{}", one_line(&line)))
    });
}

/// The status of a program, as a shell has it.
fn exit_code(ending: Ending) -> ExitCode {
    let status = match ending {
        Ending::Exit(status) => status,
        Ending::Signal(signal) => 128 + signal,
    };
    ExitCode::from(u8::try_from(status & 0xff).unwrap_or(NOT_RUN))
}

fn status_of(error: &CliError) -> u8 {
    match error {
        CliError::Trial(TrialError::Sandbox(SandboxError::NotExecuted { error, .. })) => {
            status_of_start(error)
        }
        _ => NOT_RUN,
    }
}

fn status_of_start(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

fn changes(args: &TryArgs) -> Changes {
    Changes {
        arguments: args.arguments.clone(),
        entrypoint: args.entrypoint.clone(),
        env: args.env.clone(),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
    }
}

/// Opens an image, or packs a program.
fn open(path: &Path, reading: &ImageArgs, common: &Common) -> Result<Startable, CliError> {
    if is_program(path) {
        let plan = pack::plan_of(path, common)?;
        let view = plan.view();
        let start = Start::configured(&plan.settings);
        let time = plan.settings.configured.created;
        return Ok(Startable::of_files(Arc::new(view), start, time));
    }
    read(path, reading, common)
}

/// Whether a file is to be packed.
fn is_program(path: &Path) -> bool {
    let mut start = [0; Head::LENGTH];
    let is_file = path.is_file();
    let read =
        is_file && fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok());
    read && Head::of(&start) != Head::Other
}

/// Reads the image for this machine, all of it.
fn read(path: &Path, reading: &ImageArgs, common: &Common) -> Result<Startable, CliError> {
    let _progress = Progress::reading(path, "reading", common.quiet);
    let mut images = inspect::open(path, reading, Interest::Contents)?;
    let image = inspect::read_own(path, &mut images)?;
    let startable = Startable::of_image(&image);
    // Nothing is executed whose digests do not match.
    inspect::check(path, image)?;
    Ok(startable)
}

/// The files of this machine's network.
fn network_files() -> Vec<(PathBuf, Vec<u8>)> {
    let paths = ["/etc/hosts", "/etc/resolv.conf"].map(PathBuf::from);
    let read = |path: PathBuf| fs::read(&path).ok().map(|bytes| (path, bytes));
    paths.into_iter().filter_map(read).collect()
}

/// Notes options after the image, which docker would pass to the program.
fn note_options(args: &TryArgs, image: &Path) {
    let typed: Vec<OsString> = env::args_os().collect();
    let words = typed.iter().skip_while(|word| *word != image).skip(1);
    let words = words.take_while(|word| *word != "--");
    let taken = words.map(|word| word.to_string_lossy()).find(|word| {
        word.len() > 1 && word.starts_with('-') && !args.arguments.iter().any(|arg| arg == word)
    });
    // With `--` it is clear which words are meant for the program.
    if let (Some(option), false) = (taken, typed.iter().any(|word| word == "--")) {
        super::say(|err| {
            writeln!(
                err,
                "note: {option} is an option of slimpack run; write -- before the arguments of the program to \
                 pass it on"
            )
        });
    }
}

/// Notes that an image needs more users than this run has.
fn note_strangers(image: &Startable, start: &Start) -> Result<(), CliError> {
    let ids = trial::ids(&image.view, start)?;
    let map = IdMap::for_program(&ids);
    if !map.is_one() {
        return Ok(());
    }
    let count = trial::strangers(&image.view, &map);
    if count > 0 {
        super::say(|err| {
            writeln!(
                err,
                "note: {count} files of the image belong to other users or groups; this run has one user, who \
                 owns them all; with newuidmap and lines in /etc/subuid and /etc/subgid it has more"
            )
        });
    }
    Ok(())
}

/// `slimpack run --check`.
fn check() -> Result<ExitCode, CliError> {
    let mut out = super::stdout();
    match crate::run::check() {
        Ok(map) => {
            writeln!(out, "slimpack run works here, with {}", map.describe())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(out, "{error}")?;
            out.flush()?;
            Ok(ExitCode::from(1))
        }
    }
}
