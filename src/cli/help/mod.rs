//! `slimpack help [TOPIC]`.
//!
//! In: the name of a command or of a topic. Out: its help.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use super::args::{Cli, HelpArgs};
use super::error::CliError;
use crate::suggest::{self, did_you_mean};

/// Help topics: name, one-line description, text.
const TOPICS: [(&str, &str, &str); 8] = [
    ("make", "images in a Makefile", include_str!("make.txt")),
    (
        "slimpack.mk",
        "the file to include in a Makefile",
        include_str!("slimpack.mk"),
    ),
    ("ninja", "images in build.ninja", include_str!("ninja.txt")),
    (
        "cmake",
        "images in CMakeLists.txt",
        include_str!("cmake.txt"),
    ),
    (
        "slimpack.cmake",
        "the file to include in CMakeLists.txt",
        include_str!("slimpack.cmake"),
    ),
    (
        "slimpack.bzl",
        "the rule to load in Bazel",
        include_str!("slimpack.bzl"),
    ),
    (
        "docker",
        "in a multi-stage Dockerfile",
        include_str!("docker.txt"),
    ),
    (
        "config",
        "the file slimpack.toml",
        include_str!("config.txt"),
    ),
];

pub(super) fn run(args: &HelpArgs) -> Result<ExitCode, CliError> {
    let mut out = super::stdout();
    match args.topic.as_deref() {
        None => {
            write!(out, "{}", of_flag(&["slimpack", "--help"]))?;
            writeln!(out, "\nTopics:")?;
            for (name, about, _) in TOPICS {
                writeln!(out, "  slimpack help {name:12} {about}")?;
            }
        }
        Some(name) => {
            let topic = TOPICS.iter().find(|(topic, ..)| *topic == name);
            match topic {
                Some((_, _, text)) => out.write_all(text.as_bytes())?,
                None => write!(out, "{}", verb(name)?)?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The help that a command line with a help flag prints.
fn of_flag(words: &[&str]) -> String {
    let asked = Cli::command().try_get_matches_from(words);
    asked.map_or_else(|help| help.render().ansi().to_string(), |_| String::new())
}

/// The help of a command.
fn verb(name: &str) -> Result<String, CliError> {
    if Cli::command().find_subcommand(name).is_some() {
        return Ok(of_flag(&["slimpack", name, "--help"]));
    }
    let topics = TOPICS.iter().map(|(topic, ..)| (*topic).to_owned());
    let known: Vec<String> = super::about::verbs().into_iter().chain(topics).collect();
    let nearest = did_you_mean(nearest(name, &known));
    Err(CliError::Usage(format!(
        "no help about {name:?}{nearest}; topics are {}",
        known.join(", ")
    )))
}

/// The known word closest to a mistyped `name`; a short word allows fewer edits.
pub(super) fn nearest<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    let most = name.len().saturating_sub(1).min(2);
    suggest::nearest(name, known.iter().map(String::as_str), most)
}
