//! What was typed, option by option: a `slimpack.toml` is read as words before it.
//!
//! In: the command line. Out: its options with their values as text, and those that drop what a file
//! sets: `--load=false`, `--push=none`, `--user=`.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Options whose own values include `none`.
const WITH_NONE: [&str; 3] = ["with", "without", "compress"];

/// An option with its value.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Typed {
    /// What clap calls it.
    pub id: String,
    /// Its name behind the two dashes.
    pub option: String,
    /// Whether another one adds to it rather than replaces it.
    pub is_repeatable: bool,
    /// Its value, if it has one.
    pub value: Option<OsString>,
}

impl Typed {
    /// The option as one word.
    pub fn word(&self) -> OsString {
        let mut word = OsString::from(format!("--{}", self.option));
        if let Some(value) = &self.value {
            word.push("=");
            word.push(value);
        }
        word
    }

    /// Whether it only drops what a file sets.
    pub fn is_unset(&self) -> bool {
        self.id.starts_with(UNSET)
    }

    /// Whether it drops what a file sets for this option.
    pub fn unsets(&self, id: &str) -> bool {
        self.id.strip_prefix(UNSET) == Some(id)
    }
}

/// Before the ID of an option that is dropped; no ID of clap begins so.
const UNSET: &str = "!";

/// Whether an option is about one run, and not about an image.
pub(in crate::cli) fn is_of_a_run(arg: &Arg) -> bool {
    let of_a_run = [
        "config", "json", "verbose", "quiet", "color", "version", "help",
    ];
    of_a_run.contains(&arg.get_id().as_str())
}

/// Lets each flag of packing take `=true` and `=false`.
pub(in crate::cli) fn takes_booleans(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(BoolishValueParser::new()),
        _ => arg,
    })
}

/// Takes `--OPTION=none` and `--OPTION=` out of a command line that names a file of images.
pub(super) fn split(
    command: &Command,
    line: impl Iterator<Item = OsString>,
) -> (Vec<OsString>, Vec<Typed>) {
    let line: Vec<OsString> = line.collect();
    let options_end = line.iter().position(|word| word == "--");
    let options = &line[..options_end.unwrap_or(line.len())];
    let names_file = |word: &OsString| {
        word.to_str()
            .is_some_and(|word| word == "--config" || word.starts_with("--config="))
    };
    if !options.iter().any(names_file) {
        return (line, Vec::new());
    }
    let mut unset = Vec::new();
    let mut kept = Vec::new();
    for (at, word) in line.iter().enumerate() {
        let dropped = (at < options.len()).then(|| dropped(command, word.to_str()?));
        match dropped.flatten() {
            Some(typed) => unset.push(typed),
            None => kept.push(word.clone()),
        }
    }
    (kept, unset)
}

/// The option that a word drops.
fn dropped(command: &Command, word: &str) -> Option<Typed> {
    let (name, value) = word.strip_prefix("--")?.split_once('=')?;
    let is_option = |arg: &&Arg| arg.get_long() == Some(name) && arg.get_action().takes_values();
    let arg = command.get_arguments().find(is_option)?;
    let is_none = value.is_empty() || (value == "none" && !WITH_NONE.contains(&name));
    (is_none && !is_of_a_run(arg)).then(|| Typed {
        id: format!("{UNSET}{}", arg.get_id()),
        option: name.to_owned(),
        is_repeatable: false,
        value: None,
    })
}

/// The options of packing that were typed, in the order in which they are declared.
pub(super) fn words(command: &Command, matches: &ArgMatches) -> Vec<Typed> {
    let mut words = Vec::new();
    for arg in command.get_arguments() {
        let (id, Some(option)) = (arg.get_id().as_str(), arg.get_long()) else {
            continue;
        };
        let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
        if is_of_a_run(arg) || !is_typed {
            continue;
        }
        let word = |value| Typed {
            id: id.to_owned(),
            option: option.to_owned(),
            is_repeatable: matches!(arg.get_action(), ArgAction::Append),
            value,
        };
        for occurrence in matches.get_raw_occurrences(id).into_iter().flatten() {
            let values: Vec<_> = occurrence.collect();
            match values.is_empty() {
                true => words.push(word(None)),
                false => words.extend(values.into_iter().map(|value| word(Some(value.into())))),
            }
        }
    }
    words
}
