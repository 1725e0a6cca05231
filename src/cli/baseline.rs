//! `slimpack lint --baseline FILE --write-baseline FILE`.
//!
//! In: the file of an earlier run. Out: findings without the known ones, a note about entries that
//! no longer occur, and the file for later runs.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::args::LintArgs;
use super::error::CliError;
use crate::lint::{Baseline, Policy};
use crate::output::{Output, OutputError};
use crate::report::lint::Linted;
use crate::vfs::one_line;

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Maximum size of the file, in bytes.
const MAX_SIZE: u64 = 64 << 20;
/// Number of entries that are listed when they no longer occur.
const MOST_STALE: usize = 5;

/// The baselines of one run.
pub(super) struct Baselines<'a> {
    args: &'a LintArgs,
    known: Option<Baseline>,
    current: Baseline,
}

impl<'a> Baselines<'a> {
    /// Reads the file of `--baseline`.
    pub fn open(args: &'a LintArgs) -> Result<Self, CliError> {
        let known = args.baseline.as_deref().map(read).transpose()?;
        Ok(Self {
            args,
            known,
            current: Baseline::default(),
        })
    }

    /// Notes the findings of a target, and removes those that are known. Returns whether the others
    /// may fail the run.
    pub fn apply(&mut self, target: &mut Linted) -> bool {
        let is_writing = self.args.write_baseline.is_some();
        if is_writing {
            let findings = target.findings.findings.iter();
            findings.for_each(|finding| self.current.add(finding));
        }
        if let Some(known) = &mut self.known {
            target.findings.known = known.remove_known(&mut target.findings.findings);
        }
        self.known.is_some() || !is_writing
    }

    /// Reports what no longer occurs, and writes the new file. All targets have been checked.
    pub fn finish(&self, policy: &Policy) -> Result<(), CliError> {
        if let (Some(known), Some(path)) = (&self.known, &self.args.baseline) {
            report_stale(known, path, policy, self.args.write_baseline.is_some());
        }
        if let Some(path) = &self.args.write_baseline {
            let fail = |error| OutputError::Io(path.clone(), error);
            let text = self.current.to_json().map_err(|error| fail(error.into()))?;
            match Output::create(path)? {
                Output::File(mut file) => {
                    file.write_all(text.as_bytes()).map_err(fail)?;
                    file.publish()?;
                }
                Output::Device(mut device) => device.write_all(text.as_bytes()).map_err(fail)?,
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Baseline, CliError> {
    let fail = |what: String| CliError::Usage(format!("cannot use {}: {what}", path.display()));
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let read = file.take(MAX_SIZE + 1).read_to_end(&mut text);
    if read.map_err(|error| fail(error.to_string()))? as u64 > MAX_SIZE {
        return Err(fail(format!("it has more than {MAX_SIZE} bytes")));
    }
    Baseline::parse(&text).map_err(|error| fail(error.to_string()))
}

fn report_stale(known: &Baseline, path: &Path, policy: &Policy, is_rewritten: bool) {
    let stale = known.stale(policy);
    let Some(first) = stale.first() else { return };
    let path = one_line(&path.display().to_string());
    let renew = match is_rewritten {
        true => String::new(),
        false => format!("; --write-baseline {path} removes them"),
    };
    let what = match stale.len() {
        1 => format!(
            "{} {} at {} no longer occurs",
            first.rule, first.subject, first.path
        ),
        count => format!("{count} entries no longer occur"),
    };
    super::say(|out| {
        writeln!(
            out,
            "{WARNING}warning:{WARNING:#} {path}: {}{renew}",
            one_line(&what)
        )?;
        if stale.len() == 1 {
            return Ok(());
        }
        for entry in stale.iter().take(MOST_STALE) {
            let text = format!("{} {} at {}", entry.rule, entry.subject, entry.path);
            writeln!(out, "  {}", one_line(&text))?;
        }
        match stale.len().checked_sub(MOST_STALE).filter(|more| *more > 0) {
            Some(more) => writeln!(out, "  and {more} more"),
            None => Ok(()),
        }
    });
}
