//! Runs inside the image that decide whether it is written, and what would make them succeed.
//!
//! In: plans, and the options beside `--test`. Out: nothing if each run did what it should; otherwise why
//! one did not, and the options that add what it lacked.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Planned;
use crate::cli::args::{Common, PackArgs};
use crate::cli::error::CliError;
use crate::cli::trials::{self, TrialSource, diagnosed, ending};
use crate::cli::values::{self, TestRun};
use crate::exec::Start;
use crate::pack::{Options, Plan};
use crate::report;
use crate::run::{Conditions, OutputStream, Ran};
use crate::trace::Ending;
use crate::trial::{Changes, Diagnosis, NeedOption, Startable, Suspect, TrialOptions, is_shared};
use crate::vfs::one_line;

/// How much is kept of what a test writes, in bytes.
const MAX_OUTPUT: usize = 64 << 20;
/// How much is shown of it, in bytes.
const SHOWN: usize = 2000;
/// How much is shown of a line that differs, in bytes.
const MAX_LINE: usize = 100;
/// How long a test may run unless the user says so, in seconds.
const TIMEOUT: u64 = 60;
/// Most options that are added one after the other; from then on all at once.
const SINGLE_STEPS: usize = 6;
/// Most options that are added in all, and runs for it.
const MAX_FLAGS: usize = 400;
const MAX_STEPS: usize = 60;

/// Needs of which all is added at once: without the rest, the next file is missing.
const REMEDIES: [&str; 2] = ["stdlib", "dictionaries"];

/// After so many files of one directory, all of it is added.
const BESIDE: usize = 3;

/// A test that failed.
pub(super) struct FailedTest {
    pub words: String,
    pub why: String,
    pub said: String,
    pub diagnosis: Diagnosis,
    /// Whether it is likely that something is missing.
    names_suspects: bool,
}

impl FailedTest {
    pub fn error(mut self, is_verbose: bool) -> CliError {
        if !self.names_suspects {
            self.diagnosis.suspects.clear();
        }
        CliError::TestFailed {
            words: self.words,
            why: self.why,
            diagnosis: trials::lines(&self.diagnosis, is_verbose).join("\n"),
            said: self.said,
        }
    }
}

/// Runs the tests in the plans for this machine, until one fails.
pub(super) fn run(planned: &Planned, args: &PackArgs) -> Result<Option<FailedTest>, CliError> {
    for (number, plan) in planned.plans.iter().enumerate() {
        let again = |options: &Options| {
            let plans = match &args.from {
                Some(image) => super::from_image(image, args, options).ok()?.0,
                None => Plan::for_each_platform(options).ok()?,
            };
            plans.into_iter().nth(number)
        };
        let remedies = || remedies(&planned.options, &again, Some(plan));
        let start = Start::configured(&plan.settings);
        let time = plan.settings.configured.created;
        let image = Startable::of_files(Arc::new(plan.view()), start, time);
        for test in &args.runs.test {
            if let Some(failed) = one(&image, test, plan, &remedies)? {
                return Ok(Some(failed));
            }
        }
    }
    Ok(None)
}

/// What a test wrote to standard output and to standard error.
#[derive(Default)]
struct KeptOutput(Mutex<(Vec<u8>, Vec<u8>)>);

impl KeptOutput {
    fn get(&self) -> MutexGuard<'_, (Vec<u8>, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, stream: OutputStream, bytes: &[u8]) {
        let mut said = self.get();
        let kept = match stream {
            OutputStream::Out => &mut said.0,
            OutputStream::Err => &mut said.1,
        };
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Options of the hints about a plan that bring more than one file. `plan` makes it anew with other
/// options; `known` is the plan with these, if there is one.
pub(super) fn remedies(
    options: &Options,
    plan: &dyn Fn(&Options) -> Option<Plan>,
    known: Option<&Plan>,
) -> Vec<NeedOption> {
    let has_hints = options.wants_hints;
    let mut options = options.clone();
    options.wants_hints = true;
    let hints = match known.filter(|_| has_hints) {
        Some(known) => known.hints.clone(),
        None => plan(&options).map(|plan| plan.hints).unwrap_or_default(),
    };
    let hints = hints
        .into_iter()
        .filter(|hint| REMEDIES.contains(&hint.need));
    let remedies = hints.filter_map(|hint| {
        let mut with = options.clone();
        with.needs
            .add(hint.flag.strip_prefix("--with ")?, true)
            .ok()?;
        let view = plan(&with)?.view();
        Some(NeedOption {
            flag: hint.flag,
            view,
        })
    });
    remedies.collect()
}

fn one(
    image: &Startable,
    test: &TestRun,
    plan: &Plan,
    remedies: &dyn Fn() -> Vec<NeedOption>,
) -> Result<Option<FailedTest>, CliError> {
    let changes = Changes {
        arguments: test.args.clone(),
        ..Changes::default()
    };
    let mut start = changes.apply(&image.start);
    if test.args.is_empty() {
        start.words.truncate(start.entrypoint.max(1));
    }
    let expected = test.stdout.as_ref().map(expected).transpose()?;
    let said = KeptOutput::default();
    let keep = |stream: OutputStream, bytes: &[u8]| said.keep(stream, bytes);
    let options = TrialOptions {
        conditions: Conditions {
            output: Some(&keep),
            timeout: Some(Duration::from_secs(test.timeout.unwrap_or(TIMEOUT))),
            is_traced: true,
            ..Conditions::default()
        },
        ..TrialOptions::default()
    };
    let status = test.status.unwrap_or(0);
    let wrong = |ran: &Ran| {
        if ran.timed_out || ran.ending != Ending::Exit(status) {
            return Some(format!("it {} instead of status {status}", ending(ran)));
        }
        let is_same = expected
            .as_ref()
            .is_none_or(|expected| *expected == said.get().0);
        (!is_same).then(|| "it wrote something else to standard output".to_owned())
    };
    let is_good = |ran: &Ran| wrong(ran).is_none();
    let errors = || end_of(&said.get().1);
    let is_host = plan.source.is_host();
    let reference = TrialSource::new(&plan.source.view, is_host, remedies, &errors);
    let done = diagnosed(image, &start, &options, &reference, &is_good)?;
    let Some(mut diagnosis) = done.diagnosis else {
        return Ok(None);
    };
    let ending = done.ran.as_ref().filter(|ran| !ran.timed_out);
    let is_ended = ending.is_some_and(|ran| ran.ending == Ending::Exit(status));
    let mut names_suspects = true;
    if let Some(expected) = expected.as_ref().filter(|_| is_ended) {
        diagnosis.cause = difference(expected, &said.get().0);
        (names_suspects, diagnosis.is_found) = (diagnosis.is_found, false);
    }
    let why = match (&done.ran, &done.error) {
        (Some(ran), _) => wrong(ran).unwrap_or_default(),
        (None, Some(error)) => error.to_string(),
        (None, None) => String::new(),
    };
    let (out, err) = &*said.get();
    Ok(Some(FailedTest {
        words: shell_words::join(&start.words),
        why,
        said: end_of(if err.is_empty() { out } else { err }),
        diagnosis,
        names_suspects,
    }))
}

/// Where an output differs from what was expected.
fn difference(expected: &[u8], said: &[u8]) -> String {
    let lines = |text: &[u8]| text.strip_suffix(b"\n").unwrap_or(text).len();
    let (wanted, got) = (&expected[..lines(expected)], &said[..lines(said)]);
    if wanted == got {
        return match said.ends_with(b"\n") {
            true => "its output has a line end after its last line, and should not".to_owned(),
            false => "its output has no line end after its last line".to_owned(),
        };
    }
    let shown = |line: Option<&[u8]>| match line {
        Some(line) => format!("{:?}", beginning(line)),
        None => "nothing more".to_owned(),
    };
    let mut wanted = wanted.split(|byte| *byte == b'\n');
    let mut got = got.split(|byte| *byte == b'\n');
    let mut line = 0;
    loop {
        line += 1;
        let (wanted, got) = (wanted.next(), got.next());
        if wanted != got {
            let (wanted, got) = (shown(wanted), shown(got));
            return format!("line {line} of its output differs: expected {wanted}, got {got}");
        }
    }
}

/// The beginning of a line.
fn beginning(text: &[u8]) -> String {
    let most = text.len().min(MAX_LINE);
    let shown = String::from_utf8_lossy(&text[..most]);
    let more = if most < text.len() { "…" } else { "" };
    one_line(&format!("{shown}{more}"))
}

/// The end of an output.
fn end_of(said: &[u8]) -> String {
    let from = said.len().saturating_sub(SHOWN);
    String::from_utf8_lossy(&said[from..]).trim_end().to_owned()
}

/// What a test has to write: a text, or the content of `@FILE`.
fn expected(text: &String) -> Result<Vec<u8>, CliError> {
    match text.strip_prefix('@') {
        Some(file) => {
            let mut bytes = Vec::new();
            // No more of what a test writes is kept.
            let most = MAX_OUTPUT as u64 + 1;
            File::open(file)
                .and_then(|file| file.take(most).read_to_end(&mut bytes))
                .map_err(|error| CliError::File(PathBuf::from(file), error))?;
            Ok(bytes)
        }
        // A line as it is typed has no end.
        None => Ok(format!("{text}\n").into_bytes()),
    }
}

/// The options that have been added to make tests succeed.
#[derive(Default)]
pub(super) struct Fixes {
    added: Vec<String>,
    /// Those that were tried, whether they could be used or not.
    tried: Vec<String>,
    /// Runs, and options that were reported.
    steps: usize,
    reported: usize,
}

impl Fixes {
    /// The options of a pack, and those that were added.
    pub fn applied(&self, args: &PackArgs) -> PackArgs {
        let mut args = args.clone();
        for flag in &self.added {
            apply(flag, &mut args);
        }
        args
    }

    /// Adds what a failed test lacked; `false` if there is nothing left to try.
    pub fn add(&mut self, failed: &FailedTest, args: &PackArgs, common: &Common) -> bool {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.tried.len() > MAX_FLAGS {
            return false;
        }
        let suspects = failed.diagnosis.suspects.iter();
        let suspects = suspects.filter(|suspect| !suspect.is_private);
        let flags = suspects.filter_map(|suspect| Some((self.flag(suspect, args)?, &suspect.what)));
        let mut fresh = flags
            .filter(|(flag, _)| !self.tried.contains(flag))
            .peekable();
        if fresh.peek().is_none() {
            return false;
        }
        let count = match self.steps <= SINGLE_STEPS {
            true => 1,
            false => usize::MAX,
        };
        let fresh: Vec<(String, &String)> = fresh.take(count).collect();
        let mut applied = self.applied(args);
        for (flag, what) in fresh {
            if self.tried.contains(&flag) {
                continue;
            }
            self.tried.push(flag.clone());
            if apply(&flag, &mut applied) {
                self.reported += 1;
                if !common.quiet {
                    let fix = self.reported;
                    super::super::say(|err| {
                        writeln!(err, "fix {fix}: {} ({})", one_line(&flag), one_line(what))
                    });
                }
                self.added.push(flag);
            }
        }
        true
    }

    /// The option that adds what is missing. Of a directory that more and more is missing of, all is added.
    fn flag(&self, suspect: &Suspect, args: &PackArgs) -> Option<String> {
        let flag = suspect.flag.clone()?;
        let (Some(file), Some(directory)) = (flag.strip_prefix("--add "), suspect.path.parent())
        else {
            return Some(flag);
        };
        let beside = self.tried.iter().filter(|tried| {
            let tried = tried.strip_prefix("--add ");
            tried.is_some_and(|tried| Path::new(tried).parent() == Path::new(file).parent())
        });
        let all = format!("--add {}", directory.display());
        // What was tried with all of it, and could not be packed, is added alone.
        let is_all = beside.count() >= BESIDE
            && !is_shared(directory, &args.env)
            && !self.tried.contains(&all);
        Some(if is_all { all } else { flag })
    }

    /// Takes back the last option, with which nothing can be packed; `false` if there is none.
    pub fn take_back(&mut self) -> bool {
        self.added.pop().is_some()
    }

    /// Drops the options that the tests succeed without, the last first. `packed` is what was packed with
    /// all of them, and what is packed in the end; `pack` packs it and runs the tests.
    pub fn reduce<P>(
        &mut self,
        args: &PackArgs,
        common: &Common,
        mut packed: P,
        pack: impl Fn(&PackArgs) -> Option<P>,
    ) -> P {
        let before = self.added.len();
        // Without the only one, the tests failed.
        for at in (0..before).rev().filter(|_| before > 1) {
            if self.steps >= MAX_STEPS {
                break;
            }
            self.steps += 1;
            let flag = self.added.remove(at);
            match pack(&self.applied(args)) {
                Some(smaller) => packed = smaller,
                None => self.added.insert(at, flag),
            }
        }
        let dropped = before - self.added.len();
        if dropped > 0 && !common.quiet {
            let options = report::count(dropped, "option");
            super::super::say(|err| writeln!(err, "dropped {options} that the tests do not need"));
        }
        packed
    }

    /// Prints the command line that packs the image at once: what was typed, with the added options for
    /// `--fix`.
    pub fn print(&self, common: &Common) {
        if self.added.is_empty() || common.quiet {
            return;
        }
        let typed: Vec<String> = env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words = self.command_line(&typed);
        super::super::say(|err| writeln!(err, "fixed: {}", shell_words::join(&words)));
    }

    fn command_line(&self, typed: &[String]) -> Vec<String> {
        let end = typed.iter().position(|word| word == "--");
        let (options, operands) = typed.split_at(end.unwrap_or(typed.len()));
        let mut words = vec!["slimpack".to_owned()];
        words.extend(options.windows(2).filter_map(|pair| {
            // The word after --test is its value, whatever it looks like.
            let is_fix = pair[0] != "--test" && (pair[1] == "--fix" || pair[1] == "--fix=true");
            (!is_fix).then(|| pair[1].clone())
        }));
        for flag in &self.added {
            words.extend(flag.splitn(2, ' ').map(str::to_owned));
        }
        words.extend_from_slice(operands);
        words
    }
}

/// Adds an option to those of a pack; `false` if it has no meaning there.
fn apply(flag: &str, args: &mut PackArgs) -> bool {
    match flag.split_once(' ') {
        Some(("--add", value)) => values::add(value).map(|add| args.add.push(add)).is_ok(),
        Some(("--with", value)) => {
            args.with.push(value.to_owned());
            true
        }
        Some(("--mkdir", value)) => values::mkdir(value)
            .map(|made| args.mkdir.push(made))
            .is_ok(),
        Some(("-u", value)) if args.user.is_none() => {
            args.user = Some(value.to_owned());
            true
        }
        _ => false,
    }
}

/// Refuses options that belong to a test where there is none.
pub(super) fn refuse_without_test(args: &PackArgs) -> Result<(), CliError> {
    let runs = &args.runs;
    let is_about_tests = runs.fix
        || !runs.test_stdout.is_empty()
        || !runs.test_status.is_empty()
        || !runs.test_timeout.is_empty();
    match runs.test.is_empty() && is_about_tests {
        true => Err(CliError::Usage(
            "--test-stdout, --test-status, --test-timeout and --fix apply to --test".to_owned(),
        )),
        false => Ok(()),
    }
}
