//! The options that were typed: those of a `slimpack.toml` are put before them.
//!
//! In: the command line. Out: its options with their values as text, and those that unset what a
//! file sets: `--load=false`, `--push=none`, `--user=`.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Options for which `none` is an ordinary value.
const WITH_NONE: [&str; 3] = ["with", "without", "compress"];

/// An option with its value.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Typed {
    /// The ID of its clap argument.
    pub id: String,
    /// Its long name, without the two dashes.
    pub option: String,
    /// Whether another occurrence adds to it instead of replacing it.
    pub is_repeatable: bool,
    /// Its value, if it has one.
    pub value: Option<OsString>,
}

impl Typed {
    /// The option as one word of a command line, such as `--user=www-data`.
    pub fn word(&self) -> OsString {
        let mut word = OsString::from(format!("--{}", self.option));
        if let Some(value) = &self.value {
            word.push("=");
            word.push(value);
        }
        word
    }

    /// Whether it only unsets what a file sets.
    pub fn is_unset(&self) -> bool {
        self.id.starts_with(UNSET)
    }

    /// Whether it unsets what a file sets for the option with this ID.
    pub fn unsets(&self, id: &str) -> bool {
        self.id.strip_prefix(UNSET) == Some(id)
    }
}

/// Prefix of the ID of an option that is unset; no clap ID begins with it.
const UNSET: &str = "!";

/// Whether an option concerns one run instead of an image.
pub(in crate::cli) fn is_of_a_run(arg: &Arg) -> bool {
    let of_a_run = [
        "config",
        "fix",
        "json",
        "suggest",
        "test_status",
        "test_stdout",
        "test_timeout",
        "verbose",
        "quiet",
        "color",
        "version",
        "help",
    ];
    of_a_run.contains(&arg.get_id().as_str())
}

/// Whether the option can be given without a value, like a flag: `--depfile`.
pub(in crate::cli) fn may_lack_value(arg: &Arg) -> bool {
    let values = arg.get_num_args();
    values.is_some_and(|values| values.min_values() == 0)
}

/// Whether another occurrence of the option adds to it instead of replacing it.
pub(in crate::cli) fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Makes each packing flag accept `=true` and `=false`.
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

/// Splits `--OPTION=none`, `--OPTION=` and `--depfile=false` from a command line that has `--config`.
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

/// The option that a word unsets; `None` for any other word.
fn dropped(command: &Command, word: &str) -> Option<Typed> {
    let (name, value) = word.strip_prefix("--")?.split_once('=')?;
    let is_option = |arg: &&Arg| arg.get_long() == Some(name) && arg.get_action().takes_values();
    let arg = command.get_arguments().find(is_option)?;
    let is_none = value.is_empty()
        || (value == "none" && !WITH_NONE.contains(&name))
        || (value == "false" && may_lack_value(arg));
    (is_none && !is_of_a_run(arg)).then(|| Typed {
        id: format!("{UNSET}{}", arg.get_id()),
        option: name.to_owned(),
        is_repeatable: false,
        value: None,
    })
}

/// The packing options that were typed, in the order of their declaration.
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
            is_repeatable: is_repeatable(arg),
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
