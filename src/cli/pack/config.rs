//! The images of a `slimpack.toml`, as if each had been typed.
//!
//! In: the file, and the command line. Out: one [`PackArgs`] for each image that is asked for; what
//! was typed wins.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::cli::args::{Cli, PackArgs};
use crate::cli::error::CliError;
use crate::cli::help::nearest;
use crate::cli::inspect;
use crate::config::{Config, Depfile, Few, ImageSection, MAX_SIZE, Size};
use crate::suggest::did_you_mean;

/// One image.
pub(super) struct Job {
    pub name: String,
    pub args: PackArgs,
}

/// The images that `typed` asks for.
pub(super) fn jobs(path: &Path, typed: &PackArgs) -> Result<Vec<Job>, CliError> {
    let fail = |what: String| CliError::Usage(format!("cannot use {}: {what}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text))
        .map_err(|error| fail(error.to_string()))?;
    let config = Config::parse(&text).map_err(|error| fail(error.to_string()))?;
    if config.image.is_empty() {
        return Err(fail(
            "it has no [[image]]; slimpack help config shows one".into(),
        ));
    }
    let mut jobs = Vec::new();
    for section in &config.image {
        let name = name(section)
            .ok_or_else(|| fail("an [[image]] has no file; write file = \"PROGRAM\"".into()))?;
        if jobs.iter().any(|job: &Job| job.name == name) {
            return Err(fail(format!(
                "two images are called {name}; give one of them another name"
            )));
        }
        let args = args(section, &name, path.parent().unwrap_or(Path::new("")))
            .map_err(|what| fail(format!("image {name}: {what}")))?;
        jobs.push(Job { name, args });
    }
    let wanted = wanted(&jobs, typed).map_err(fail)?;
    if !wanted.is_empty() {
        jobs.retain(|job| wanted.contains(&job.name));
    }
    if jobs.len() > 1 && (typed.output.is_some() || matches!(typed.depfile, Some(Some(_)))) {
        return Err(fail(format!(
            "-o and --depfile FILE are for one image, and it has {}; name one of them",
            jobs.len()
        )));
    }
    for job in &mut jobs {
        overlay(&mut job.args, typed, path);
    }
    one_output_each(&jobs).map_err(fail)?;
    Ok(jobs)
}

fn name(section: &ImageSection) -> Option<String> {
    let first = section.file.values().first().or(section.from.as_ref())?;
    let own = || {
        Path::new(first)
            .file_name()
            .map(|name| name.display().to_string())
    };
    section.name.clone().or_else(own)
}

/// The names that were typed in place of programs.
fn wanted(jobs: &[Job], typed: &PackArgs) -> Result<Vec<String>, String> {
    let known: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let mut wanted = Vec::new();
    for word in typed.files.iter().map(|file| file.display().to_string()) {
        if !known.contains(&word) {
            let near = did_you_mean(nearest(&word, &known));
            return Err(format!(
                "it has no image {word:?}{near}; it has {}",
                known.join(", ")
            ));
        }
        wanted.push(word);
    }
    Ok(wanted)
}

fn one_output_each(jobs: &[Job]) -> Result<(), String> {
    for (number, job) in jobs.iter().enumerate() {
        let same = |other: &&Job| other.args.output == job.args.output;
        if let Some(other) = jobs[..number].iter().find(same) {
            let output = job.args.output.clone().unwrap_or_default();
            return Err(format!(
                "the images {} and {} are both written to {}; give one of them another output",
                other.name,
                job.name,
                output.display()
            ));
        }
    }
    Ok(())
}

/// A section as the words that it stands for, read as those of the command line are.
fn args(section: &ImageSection, name: &str, folder: &Path) -> Result<PackArgs, String> {
    let mut words = Words {
        folder,
        words: vec!["slimpack".into()],
    };
    let output = section
        .output
        .clone()
        .unwrap_or_else(|| format!("{name}.tar"));
    words.path("--output", &output);
    words.texts("--tag", section.tag.as_ref());
    words.text("--format", section.format.as_deref());
    words.text("--compress", section.compress.as_deref());
    words.flag("--force", section.force);
    match &section.depfile {
        None | Some(Depfile::Default(false)) => {}
        Some(Depfile::Default(true)) => words.flag("--depfile", Some(true)),
        Some(Depfile::File(file)) => words.path("--depfile", file),
    }
    words.flag("--if-changed", section.if_changed);
    words.text("--dest", section.dest.as_deref());
    for add in section.add.iter().flat_map(Few::values) {
        match section.from {
            Some(_) => words.text("--add", Some(add)),
            None => words.path("--add", add),
        }
    }
    words.texts("--with", section.with.as_ref());
    words.texts("--without", section.without.as_ref());
    if let Some(busybox) = &section.busybox {
        words.path("--busybox", busybox);
    }
    words.texts("--exclude", section.exclude.as_ref());
    words.flag("--hwcaps", section.hwcaps);
    words.flag("--allow-missing", section.allow_missing);
    words.flag("--require-static", section.require_static);
    words.flag("--hardlink", section.hardlink);
    words.text("--strip", section.strip.as_deref());
    if let Some(folder) = &section.debug_file {
        words.path("--debug-file", folder);
    }
    match &section.max_size {
        None => {}
        Some(Size::Number(bytes)) => words.text("--max-size", Some(&bytes.to_string())),
        Some(Size::Text(text)) => words.text("--max-size", Some(text)),
    }
    for root in section.root.iter().flat_map(Few::values) {
        words.root(root);
    }
    if let Some(image) = &section.from {
        // A name of docker or of a registry is no path here.
        match inspect::is_name(Path::new(image)) {
            true => words.text("--from", Some(image)),
            false => words.path("--from", image),
        }
    }
    words.text("--image-platform", section.image_platform.as_deref());
    words.texts("--limit", section.limit.as_ref());
    for folder in section.library_path.iter().flat_map(Few::values) {
        words.path("--library-path", folder);
    }
    words.command("--entrypoint", section.entrypoint.as_ref());
    words.command("--cmd", section.cmd.as_ref());
    for (key, value) in section.env.iter().flatten() {
        words.text("--env", Some(&format!("{key}={value}")));
    }
    words.text("--user", section.user.as_deref());
    words.text("--workdir", section.workdir.as_deref());
    words.texts("--expose", section.expose.as_ref());
    words.texts("--volume", section.volume.as_ref());
    words.text("--stop-signal", section.stop_signal.as_deref());
    words.command("--healthcheck", section.healthcheck.as_ref());
    for (key, value) in section.annotation.iter().flatten() {
        words.text("--annotation", Some(&format!("{key}={value}")));
    }
    words.text("--author", section.author.as_deref());
    words.text("--created", section.created.as_deref());
    for (key, value) in section.label.iter().flatten() {
        words.text("--label", Some(&format!("{key}={value}")));
    }
    words.words.push("--".into());
    for file in section.file.values() {
        words.words.push(match section.from {
            Some(_) => file.into(),
            None => folder.join(file).into(),
        });
    }
    let typed = Cli::try_parse_from(words.words);
    typed.map(|cli| cli.pack).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })
}

struct Words<'a> {
    folder: &'a Path,
    words: Vec<OsString>,
}

impl Words<'_> {
    fn add(&mut self, option: &str, value: OsString) {
        let mut word = OsString::from(option);
        word.push("=");
        word.push(value);
        self.words.push(word);
    }

    fn flag(&mut self, option: &str, value: Option<bool>) {
        if value == Some(true) {
            self.words.push(option.into());
        }
    }

    fn text(&mut self, option: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(option, value.into());
        }
    }

    fn texts(&mut self, option: &str, values: Option<&Few<String>>) {
        for value in values.into_iter().flat_map(Few::values) {
            self.add(option, value.into());
        }
    }

    /// A path that starts from the folder of the file.
    fn path(&mut self, option: &str, path: impl AsRef<Path>) {
        self.add(option, self.folder.join(path).into());
    }

    /// `[ARCH=]DIR`.
    fn root(&mut self, root: &str) {
        match root.split_once('=') {
            Some((architecture, folder)) if !architecture.contains('/') => {
                let folder = self.folder.join(folder);
                self.add(
                    "--root",
                    format!("{architecture}={}", folder.display()).into(),
                );
            }
            _ => self.path("--root", root),
        }
    }

    /// Words in one text, or a list that is not split any more.
    fn command(&mut self, option: &str, words: Option<&Few<String>>) {
        match words {
            None => {}
            Some(Few::One(text)) => self.text(option, Some(text)),
            Some(Few::List(list)) => {
                let list = serde_json::Value::from(list.clone()).to_string();
                self.text(option, Some(&list));
            }
        }
    }
}

/// What was typed wins: single values and names replace, lists go on.
fn overlay(args: &mut PackArgs, typed: &PackArgs, path: &Path) {
    fn replace<T: Clone>(value: &mut Option<T>, typed: &Option<T>) {
        if typed.is_some() {
            value.clone_from(typed);
        }
    }
    fn replace_all<T: Clone>(values: &mut Vec<T>, typed: &[T]) {
        if !typed.is_empty() {
            *values = typed.to_vec();
        }
    }
    fn go_on<T: Clone>(values: &mut Vec<T>, typed: &[T]) {
        values.extend_from_slice(typed);
    }
    replace(&mut args.output, &typed.output);
    replace_all(&mut args.tags, &typed.tags);
    replace(&mut args.depfile, &typed.depfile);
    args.if_changed |= typed.if_changed;
    args.json |= typed.json;
    replace(&mut args.dest, &typed.dest);
    go_on(&mut args.add, &typed.add);
    // The last word about a need counts.
    args.without.retain(|need| !typed.with.contains(need));
    go_on(&mut args.with, &typed.with);
    go_on(&mut args.without, &typed.without);
    replace(&mut args.busybox, &typed.busybox);
    go_on(&mut args.exclude, &typed.exclude);
    args.hwcaps |= typed.hwcaps;
    args.allow_missing |= typed.allow_missing;
    args.require_static |= typed.require_static;
    args.hardlink |= typed.hardlink;
    replace(&mut args.strip, &typed.strip);
    replace(&mut args.debug_file, &typed.debug_file);
    replace(&mut args.max_size, &typed.max_size);
    replace(&mut args.from, &typed.from);
    replace(&mut args.reading.platform, &typed.reading.platform);
    go_on(&mut args.reading.limits, &typed.reading.limits);
    go_on(&mut args.reading.insecure, &typed.reading.insecure);
    replace_all(&mut args.source.roots, &typed.source.roots);
    go_on(&mut args.source.library_path, &typed.source.library_path);
    replace(&mut args.entrypoint, &typed.entrypoint);
    replace(&mut args.cmd, &typed.cmd);
    go_on(&mut args.env, &typed.env);
    replace(&mut args.user, &typed.user);
    replace(&mut args.workdir, &typed.workdir);
    go_on(&mut args.labels, &typed.labels);
    replace(&mut args.format, &typed.format);
    replace(&mut args.compress, &typed.compress);
    args.force |= typed.force;
    go_on(&mut args.expose, &typed.expose);
    go_on(&mut args.volume, &typed.volume);
    replace(&mut args.stop_signal, &typed.stop_signal);
    replace(&mut args.healthcheck, &typed.healthcheck);
    go_on(&mut args.annotations, &typed.annotations);
    replace(&mut args.author, &typed.author);
    replace(&mut args.created, &typed.created);
    // The image depends on the file, too.
    args.config = Some(PathBuf::from(path));
}
