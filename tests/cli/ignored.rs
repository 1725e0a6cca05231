//! What the test harness reports when the machine lacks a tool.

use std::env;
use std::process::Command;

use crate::common::{have, output, text};

#[test]
fn uses_a_tool() {
    // Does nothing else: the test below runs this one where the tool is not installed.
    have(&["ls"]);
}

#[test]
fn a_test_without_its_tools_is_ignored_with_the_reason() {
    let mut run = Command::new(env::current_exe().unwrap());
    run.args(["--exact", "ignored::uses_a_tool"]);
    run.env("PATH", "/nonexistent")
        .env_remove("SLIMPACK_REQUIRE_TOOLS");
    let ignored = output(&mut run);
    let said = text(&ignored);
    assert!(ignored.status.success(), "{said}");
    assert!(said.contains("ignored (ls is not installed)"), "{said}");
    assert!(said.contains("0 passed; 0 failed; 1 ignored"), "{said}");

    let failed = output(run.env("SLIMPACK_REQUIRE_TOOLS", "1"));
    let said = text(&failed);
    assert!(!failed.status.success(), "{said}");
    assert!(said.contains("and ls is not installed"), "{said}");
}
