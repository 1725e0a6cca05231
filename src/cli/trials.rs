//! Runs of an image that may fail, and why they did.
//!
//! In: an image that can be started, and the tree that it was made from. Out: how its program ended, and
//! a diagnosis if it failed.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::CliError;
use crate::exec::Start;
use crate::run::{Ids, Ran, SandboxError};
use crate::source::Source;
use crate::trace::{Ending, TraceError};
use crate::trial::{self, Diagnosis, Failed, NeedOption, Startable, TrialError, TrialOptions};
use crate::vfs::View;

/// Suspects that are shown unless all are asked for.
const SHOWN: usize = 5;

/// How much is kept of what a program says, in bytes.
const KEPT: usize = 64 << 10;

/// The end of what a program says, for its diagnosis.
#[derive(Default)]
pub(super) struct KeptErrors(Mutex<Vec<u8>>);

impl KeptErrors {
    pub fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let before = kept.len().saturating_sub(KEPT);
        kept.drain(..before);
    }

    pub fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

/// A run that was recorded.
pub(super) struct Diagnosed {
    /// How it ended; `None` if the program was not executed.
    pub ran: Option<Ran>,
    /// Why it failed, if it did.
    pub diagnosis: Option<Diagnosis>,
    /// The error, if the program was not executed.
    pub error: Option<TrialError>,
}

/// What an image is compared with.
pub(super) struct TrialSource<'a> {
    /// The tree that it was made from, or this machine.
    pub source: &'a View,
    /// The current directory, if it is in that tree.
    pub project: Option<PathBuf>,
    /// Finds options that bring more than one file; called if a program failed.
    pub remedies: &'a dyn Fn() -> Vec<NeedOption>,
    /// What the program wrote to standard error so far, as far as it was kept.
    pub said: &'a dyn Fn() -> String,
}

impl<'a> TrialSource<'a> {
    /// A tree; `is_host` tells whether it is that of this machine.
    pub fn new(
        source: &'a View,
        is_host: bool,
        remedies: &'a dyn Fn() -> Vec<NeedOption>,
        said: &'a dyn Fn() -> String,
    ) -> Self {
        Self {
            source,
            project: env::current_dir().ok().filter(|_| is_host),
            remedies,
            said,
        }
    }

    /// What is known of an image that failed.
    pub fn failed<'f>(&'f self, view: &'f View, start: &'f Start, ids: &'f Ids) -> Failed<'f> {
        Failed {
            view,
            source: self.source,
            start,
            ids,
            project: self.project.as_deref(),
            remedies: (self.remedies)(),
            said: (self.said)(),
        }
    }
}

/// The tree of this machine.
pub(super) fn host() -> Result<std::sync::Arc<View>, CliError> {
    let directory = env::current_dir().map_err(CliError::CurrentDir)?;
    Ok(Source::open(Path::new("/"), &directory)?.view)
}

/// Runs an image, recorded if that is possible, and finds out why it failed. `is_good` tells whether it
/// did.
pub(super) fn diagnosed(
    image: &Startable,
    start: &Start,
    options: &TrialOptions<'_>,
    reference: &TrialSource<'_>,
    is_good: &dyn Fn(&Ran) -> bool,
) -> Result<Diagnosed, CliError> {
    let ids = match trial::ids(&image.view, start) {
        Ok(ids) => ids,
        Err(error) => return Ok(unknown_user(error, reference.source)),
    };
    let failed = || reference.failed(&image.view, start, &ids);
    match trial::run(image, start, options) {
        Ok(ran) => {
            let diagnosis = (!is_good(&ran)).then(|| failed().ran(&ran));
            Ok(Diagnosed {
                ran: Some(ran),
                diagnosis,
                error: None,
            })
        }
        Err(TrialError::Sandbox(SandboxError::Trace(
            error @ (TraceError::Refused { .. } | TraceError::Unsupported),
        ))) if options.conditions.is_traced => {
            super::say(|err| writeln!(err, "note: {error}"));
            let mut options = options.clone();
            options.conditions.is_traced = false;
            diagnosed(image, start, &options, reference, is_good)
        }
        Err(TrialError::Sandbox(SandboxError::NotExecuted { path, error })) => {
            let diagnosis = failed().not_executed(&path, &error);
            Ok(Diagnosed {
                ran: None,
                diagnosis: Some(diagnosis),
                error: Some(SandboxError::NotExecuted { path, error }.into()),
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn unknown_user(error: TrialError, source: &View) -> Diagnosed {
    let mut suspects = Vec::new();
    if let TrialError::UnknownUser { name, file, .. } = &error {
        let is_here = crate::exec::Accounts::of(source).process(name).is_ok();
        let what = format!("{name} has no entry in {} of the image", file.display());
        let flag = is_here.then(|| format!("-u {name}"));
        suspects.push(trial::Suspect::new(file, what, String::new(), flag));
    }
    Diagnosed {
        ran: None,
        diagnosis: Some(Diagnosis {
            cause: error.to_string(),
            suspects,
            is_found: true,
        }),
        error: Some(error),
    }
}

/// The diagnosis in lines, the cause first.
pub(super) fn lines(diagnosis: &Diagnosis, is_verbose: bool) -> Vec<String> {
    let mut lines = vec![diagnosis.cause.clone()];
    let shown = if is_verbose { usize::MAX } else { SHOWN };
    for (number, suspect) in diagnosis.suspects.iter().take(shown).enumerate() {
        let is_cause = number == 0 && diagnosis.is_found;
        let what = &suspect.what;
        lines.push(match &suspect.flag {
            Some(flag) if is_cause => format!("  add it with {flag}"),
            Some(flag) => format!("  also: {what}; {flag}"),
            None if is_cause => continue,
            None => format!("  also: {what}"),
        });
    }
    let more = diagnosis.suspects.len().saturating_sub(shown);
    if more > 0 {
        lines.push(format!("  and {more} more (-v shows them)"));
    }
    lines
}

/// How a program ended, in words.
pub(super) fn ending(ran: &Ran) -> String {
    match ran.ending {
        _ if ran.timed_out => "took too long".to_owned(),
        Ending::Exit(status) => format!("ended with status {status}"),
        Ending::Signal(signal) => format!("was ended by signal {signal}"),
    }
}
