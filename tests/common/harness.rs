//! Runs the tests of one target. In the standard harness a test, once started, can only pass or
//! fail; this one reports a test that lacks something on the machine as ignored, with the reason.

use std::cell::RefCell;
use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

/// The environment variable that turns "ignored" into a failure.
const REQUIRE_TOOLS: &str = "SLIMPACK_REQUIRE_TOOLS";

/// A function with `#[test]`.
pub struct Test {
    /// Its path, with the name of the target.
    pub path: &'static str,
    /// The function.
    pub run: fn(),
}

inventory::collect!(Test);

thread_local! {
    /// What the current thread's test was missing so far.
    static MISSED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes that the test cannot run, or not completely: when it ends, it is reported as ignored for
/// this reason, unless it fails.
///
/// # Panics
///
/// With `SLIMPACK_REQUIRE_TOOLS=1`.
pub fn miss(reason: String) {
    assert!(
        env::var_os(REQUIRE_TOOLS).is_none(),
        "{REQUIRE_TOOLS} is set, and {reason}"
    );
    MISSED.with_borrow_mut(|missed| {
        if !missed.contains(&reason) {
            missed.push(reason);
        }
    });
}

/// Runs the tests that the command line selects.
pub fn run() -> ExitCode {
    let tests = inventory::iter::<Test>.into_iter();
    let mut tests: Vec<(&str, fn())> = tests.map(|test| (name(test.path), test.run)).collect();
    tests.sort_unstable_by_key(|(name, _)| *name);
    let trials = tests.into_iter().map(|(name, run)| {
        Trial::ignorable_test(name, move || {
            MISSED.take();
            run();
            let missed = MISSED.take();
            Ok(match missed.is_empty() {
                true => Completion::Completed,
                false => Completion::ignored_with(missed.join("; ")),
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A path without the name of the target, as the standard harness shows it.
fn name(path: &'static str) -> &'static str {
    path.split_once("::").map_or(path, |(_, name)| name)
}
