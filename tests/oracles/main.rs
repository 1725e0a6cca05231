//! Programs: slimpack's findings, checked against loaders, engines and real runs.

#![allow(clippy::unwrap_used)]

// Replaces the standard attribute in all modules.
#[macro_use(test)]
extern crate slimpack_test_attribute;

#[path = "../common/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/docker.rs"]
mod docker;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/owners.rs"]
mod owners;
#[path = "../common/packing.rs"]
mod packing;
#[path = "../common/probes.rs"]
mod probes;
#[path = "../common/program_runs.rs"]
mod program_runs;
#[path = "../common/program_table.rs"]
mod program_table;
#[path = "../common/servers.rs"]
mod servers;
#[path = "../common/smallest.rs"]
mod smallest;

mod binding;
mod cross;
mod diagnosis;
mod differential;
mod fixtures;
mod lint_debian;
mod lookups;
mod needs;
mod needs_commands;
mod needs_programs;
mod needs_servers;
mod package_scans;
mod programs;
mod runs;
mod strip;
mod traces;

fn main() -> std::process::ExitCode {
    harness::run()
}
