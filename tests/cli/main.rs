//! The command line: options, messages, reports and the findings of lint, on small inputs.

#![allow(clippy::unwrap_used)]

// Replaces the standard attribute in all modules.
#[macro_use(test)]
extern crate slimpack_test_attribute;

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/docker.rs"]
mod docker;
#[path = "../common/messages.rs"]
mod examples;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/image_writer.rs"]
mod image_writer;
#[path = "../common/layers.rs"]
mod layers;
#[path = "../common/packing.rs"]
mod packing;
#[path = "../common/recipes.rs"]
mod recipes;
#[path = "../common/releases.rs"]
mod releases;
#[path = "../common/root_images.rs"]
mod root_images;
#[path = "../common/roots.rs"]
mod roots;
#[path = "../common/messages_cli.rs"]
mod runs;
#[path = "../common/sources.rs"]
mod sources;
#[path = "../common/trees.rs"]
mod trees;

mod additions;
mod bad_input;
mod build_systems;
mod cargo;
mod ci_systems;
mod cli;
mod cmake;
mod columns;
mod command_line;
mod config_file;
mod damaged;
mod dependencies;
mod diff;
mod distribution;
mod dockerfile;
mod documentation;
mod fixed;
mod hermetic;
mod hints;
mod ignored;
mod inspect;
mod lint_access;
mod lint_baseline;
mod lint_data;
mod lint_features;
mod lint_files;
mod lint_fix_hints;
mod lint_formats;
mod lint_gate;
mod lint_images;
mod lint_lookup;
mod lint_objects;
mod lint_packed;
mod lint_policy;
mod lint_process;
mod lint_reports;
mod lint_rules;
mod lint_search_paths;
mod lint_targets;
mod make;
mod messages;
mod missing;
mod needs_data;
mod needs_requests;
mod needs_signs;
mod page;
mod page_access;
mod page_diff;
mod release;
mod silent;
mod tested;
mod tidy;
mod traces;
mod traces_places;
mod tree;
mod tried;
mod why;

fn main() -> std::process::ExitCode {
    harness::run()
}
