//! The images of a `slimpack.toml`, each as if typed on a command line.
//!
//! In: the file, and the command line. Out: one [`PackArgs`] for each requested image; the command
//! line wins.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::keys::{FILE, Keys, NAME, PathBase, strings};
use crate::cli::args::{Cli, PackArgs, RunArgs, Typed, takes_booleans};
use crate::cli::error::CliError;
use crate::cli::help::nearest;
use crate::config::{Config, ImageSection};
use crate::suggest::did_you_mean;

/// One image to pack.
pub(super) struct Job {
    pub name: String,
    pub args: PackArgs,
}

/// An image of the file, as command-line words.
struct ConfigSection {
    name: String,
    files: Vec<PathBuf>,
    typed: Vec<Typed>,
}

/// The images of the file that `typed` requests.
pub(super) fn jobs(path: &Path, typed: &PackArgs) -> Result<Vec<Job>, CliError> {
    let fail = |what: String| CliError::Usage(format!("cannot use {}: {what}", path.display()));
    let config = Config::read(path).map_err(|error| fail(error.to_string()))?;
    if config.image.is_empty() {
        return Err(fail(
            "it has no [[image]]; see the example in slimpack help config".into(),
        ));
    }
    refuse_parts_of_tests(typed).map_err(fail)?;
    let keys = Keys::new();
    let mut sections: Vec<ConfigSection> = Vec::new();
    for section in &config.image {
        let directory = path.parent().unwrap_or(Path::new(""));
        let section = read_section(section, directory, &keys, &config).map_err(fail)?;
        let name = &section.name;
        if sections.iter().any(|other| other.name == *name) {
            return Err(fail(format!(
                "two images are called {name}; rename one of them"
            )));
        }
        sections.push(section);
    }
    let wanted = wanted(&sections, typed).map_err(fail)?;
    if !wanted.is_empty() {
        sections.retain(|section| wanted.contains(&section.name));
    }
    let of_one_image = [
        ("-o", typed.output.is_some()),
        ("--depfile FILE", matches!(typed.depfile, Some(Some(_)))),
        ("--push", !typed.push.is_empty()),
        ("--sbom", !typed.sbom.is_empty()),
    ];
    if let Some((option, _)) = of_one_image.iter().find(|(_, is_typed)| *is_typed)
        && sections.len() > 1
    {
        return Err(fail(format!(
            "{option} applies to one image, but it has {}; name one of them",
            sections.len()
        )));
    }
    let mut jobs = Vec::new();
    for section in sections {
        let name = section.name.clone();
        let args =
            args(section, &typed.typed).map_err(|what| fail(format!("image {name}: {what}")))?;
        // The file is a dependency of the image, too.
        let args = PackArgs {
            config: Some(path.to_path_buf()),
            json: typed.json,
            runs: RunArgs {
                fix: typed.runs.fix,
                suggest: typed.runs.suggest,
                ..args.runs
            },
            ..args
        };
        jobs.push(Job { name, args });
    }
    one_output_each(&jobs).map_err(fail)?;
    Ok(jobs)
}

/// What a test has to do stands in the file, beside it.
fn refuse_parts_of_tests(typed: &PackArgs) -> Result<(), String> {
    let runs = &typed.runs;
    let counts = [
        runs.test_stdout.len(),
        runs.test_status.len(),
        runs.test_timeout.len(),
    ];
    match counts == [0; 3] {
        true => Ok(()),
        false => Err(
            "--test-stdout, --test-status and --test-timeout are keys of an [[image.test]]".into(),
        ),
    }
}

/// Converts a section of the file to command-line words.
fn read_section(
    section: &ImageSection,
    directory: &Path,
    keys: &Keys,
    config: &Config,
) -> Result<ConfigSection, String> {
    let from = section.0.iter().find(|(key, _)| key.get_ref() == "from");
    let place = PathBase {
        directory,
        is_from_image: from.is_some(),
    };
    let (mut name, mut files) = (None, Vec::new());
    let mut typed = Vec::new();
    for (key, value) in &section.0 {
        let wrong = |what: String| config.error_at(value.span(), &what).to_string();
        match key.get_ref().as_str() {
            NAME => {
                let text = value.get_ref().as_str();
                name = Some(
                    text.ok_or_else(|| wrong("expected a string".into()))?
                        .to_owned(),
                );
            }
            FILE => files = strings(value.get_ref()).map_err(wrong)?,
            word => {
                let known = keys.get(word).ok_or_else(|| {
                    let near = did_you_mean(nearest(word, &keys.names()));
                    let what = format!("unknown key {word}{near}");
                    config.error_at(key.span(), &what).to_string()
                })?;
                typed.extend(known.typed(value.get_ref(), &place).map_err(wrong)?);
            }
        }
    }
    let source = from.and_then(|(_, value)| value.get_ref().as_str());
    let first = files.first().map(String::as_str).or(source);
    let own = || Path::new(first?).file_name()?.to_str().map(str::to_owned);
    let name = name.or_else(own);
    if first.is_none() {
        return Err("an [[image]] has no file; write file = \"PROGRAM\"".into());
    }
    let name = name.ok_or("an [[image]] has no name; write name = \"NAME\"")?;
    if !typed.iter().any(|word| word.id == "output") {
        let beside = toml::Value::from(format!("{name}.tar"));
        let output = keys.get("output").ok_or("it has no output")?;
        typed.extend(output.typed(&beside, &place)?);
    }
    let files = files.into_iter().map(|file| match place.is_from_image {
        true => file.into(),
        false => directory.join(file),
    });
    Ok(ConfigSection {
        name,
        files: files.collect(),
        typed,
    })
}

/// The names of images, which are typed in place of programs.
fn wanted(sections: &[ConfigSection], typed: &PackArgs) -> Result<Vec<String>, String> {
    let known: Vec<String> = sections
        .iter()
        .map(|section| section.name.clone())
        .collect();
    let mut wanted = Vec::new();
    for word in typed.files.iter().map(|file| file.display().to_string()) {
        if !known.contains(&word) {
            let near = did_you_mean(nearest(&word, &known));
            return Err(format!(
                "it has no image {word:?}{near}; its images are {}",
                known.join(", ")
            ));
        }
        wanted.push(word);
    }
    Ok(wanted)
}

fn one_output_each(jobs: &[Job]) -> Result<(), String> {
    for (number, job) in jobs.iter().enumerate() {
        for output in outputs(&job.args) {
            let same = |other: &&Job| outputs(&other.args).any(|path| path == output);
            if let Some(other) = jobs[..number].iter().find(same) {
                return Err(format!(
                    "the images {} and {} are both written to {}; change the output of one",
                    other.name,
                    job.name,
                    output.display()
                ));
            }
        }
    }
    Ok(())
}

/// The files that an image and its bills of materials are written to; `-` is standard output.
fn outputs(args: &PackArgs) -> impl Iterator<Item = &Path> {
    let bills = args.sbom.iter();
    let bills = bills.map(|target| target.file().unwrap_or(Path::new("-")));
    args.output.as_deref().into_iter().chain(bills)
}

/// The needs of a list, each as a word of its own; any other word as it is.
fn one_need_each(word: Typed) -> Vec<Typed> {
    match word.value.as_ref().and_then(|value| value.to_str()) {
        Some(needs) if ["with", "without"].contains(&&*word.id) => {
            let one = |need: &str| Typed {
                value: Some(need.into()),
                ..word.clone()
            };
            needs.split(',').map(one).collect()
        }
        _ => vec![word],
    }
}

/// The image as one command line: the options of the file, then those that were typed. A typed
/// single value replaces that of the file, and so do tags and roots; other lists are extended.
fn args(section: ConfigSection, typed: &[Typed]) -> Result<PackArgs, String> {
    let is_typed = |word: &Typed| typed.iter().any(|other| other.id == word.id);
    let is_replaced = |word: &Typed| !word.is_repeatable || ["tags", "roots"].contains(&&*word.id);
    // The last option about a need wins.
    let is_recalled = |word: &Typed| {
        let asks = |other: &Typed| other.id == "with" && other.value == word.value;
        word.id == "without" && typed.iter().any(asks)
    };
    let is_unset = |word: &Typed| typed.iter().any(|other| other.unsets(&word.id));
    let mut words: Vec<Typed> = section.typed.into_iter().flat_map(one_need_each).collect();
    words.retain(|word| {
        !(is_recalled(word) || is_unset(word) || (is_typed(word) && is_replaced(word)))
    });
    words.extend(typed.iter().filter(|word| !word.is_unset()).cloned());
    let line = std::iter::once("slimpack".into())
        .chain(words.iter().map(Typed::word))
        .chain(["--".into()])
        .chain(section.files.into_iter().map(PathBuf::into_os_string));
    let command = takes_booleans(Cli::command());
    let matches = command.try_get_matches_from(line);
    let cli = matches.and_then(|matches| Cli::of(&matches));
    cli.map(|cli| cli.line.pack).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })
}
