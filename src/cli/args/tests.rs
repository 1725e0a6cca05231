//! Which test an option is about.
//!
//! In: where the options are on the command line. Out: tests with what they have to do.

use clap::ArgMatches;
use clap::error::ErrorKind;

use super::RunArgs;
use crate::cli::values::TestRun;

/// Gives each `--test` the options after it.
pub(super) fn attach(matches: &ArgMatches, runs: &mut RunArgs) -> Result<(), clap::Error> {
    let at = |id: &str| -> Vec<usize> {
        let indices = matches.indices_of(id);
        indices.into_iter().flatten().collect()
    };
    let tests = at("test");
    let stdout = at("test_stdout").into_iter().zip(&runs.test_stdout);
    let status = at("test_status").into_iter().zip(&runs.test_status);
    let timeout = at("test_timeout").into_iter().zip(&runs.test_timeout);
    let mut set = |index: usize, option: &str, change: &dyn Fn(&mut TestRun)| {
        let before = tests.iter().filter(|test| **test < index).count();
        let test = before
            .checked_sub(1)
            .and_then(|last| runs.test.get_mut(last));
        let message = || {
            clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                format!("{option} is about the --test before it, and there is none\n"),
            )
        };
        change(test.ok_or_else(message)?);
        Ok::<_, clap::Error>(())
    };
    for (index, text) in stdout {
        set(index, "--test-stdout", &|test| {
            test.stdout = Some(text.clone())
        })?;
    }
    for (index, status) in status {
        set(index, "--test-status", &|test| {
            test.status = Some(i32::from(*status))
        })?;
    }
    for (index, seconds) in timeout {
        set(index, "--test-timeout", &|test| {
            test.timeout = Some(*seconds)
        })?;
    }
    Ok(())
}
