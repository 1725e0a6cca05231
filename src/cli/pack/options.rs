//! From command-line arguments to the options of a pack.
//!
//! In: the parsed arguments. Out: [`Options`].

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::{Common, PackArgs};
use crate::cli::error::CliError;
use crate::cli::values::LATEST;
use crate::image::{Configured, Tag};
use crate::needs::Selection;
use crate::pack::{Add, Grant, Mkdir, Options};
use crate::packages::RpmManifest;

/// Converts the arguments to the options of a pack.
pub(super) fn options(args: &PackArgs, common: &Common) -> Result<Options, CliError> {
    let current_dir = env::current_dir().map_err(CliError::CurrentDir)?;
    if (args.chown.is_some() || args.chmod.is_some())
        && args.add.is_empty()
        && args.mkdir.is_empty()
    {
        let message =
            "--chown and --chmod apply to what --add and --mkdir add, and there is neither";
        return Err(CliError::Usage(message.to_owned()));
    }
    Ok(Options {
        programs: args.files.clone(),
        roots: args.source.roots.clone(),
        current_dir,
        library_path: args.source.library_path.clone(),
        destination: args.dest.as_ref().map(PathBuf::from),
        hwcaps: args.hwcaps,
        needs: selection(args)?,
        wants_hints: args.json || !common.quiet,
        add: args
            .add
            .iter()
            .map(|add| Add {
                grant: granted(args, &add.grant),
                ..add.clone()
            })
            .collect(),
        mkdir: args
            .mkdir
            .iter()
            .map(|directory| Mkdir {
                grant: granted(args, &directory.grant),
                ..directory.clone()
            })
            .collect(),
        keep_setuid: args.keep_setuid,
        normalize: args.normalize,
        kept: Vec::new(),
        inherits_user: false,
        exclude: args.exclude.clone(),
        rpm_manifest: args.rpm_manifest.as_deref().map(manifest).transpose()?,
        busybox: args.busybox.clone(),
        allow_missing: args.allow_missing.clone(),
        require_static: args.require_static,
        hardlink: args.hardlink,
        strip: args.strip,
        wants_debug_files: args.debug_file.is_some(),
        traced: None,
        max_size: args.max_size,
        tags: without_repeats(&args.tags),
        entrypoint: args.entrypoint.clone().map(|words| words.0),
        configured: configured(args)?,
    })
}

/// Reads the list of the packages of a source with rpm.
fn manifest(path: &Path) -> Result<(PathBuf, Arc<RpmManifest>), CliError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| {
        let most = RpmManifest::MAX_SIZE.saturating_add(1);
        file.take(most).read_to_end(&mut text)
    });
    read.map_err(|error| CliError::File(path.to_path_buf(), error))?;
    let manifest = RpmManifest::parse(text);
    let manifest = manifest.map_err(|error| CliError::RpmManifest(path.to_path_buf(), error))?;
    Ok((path.to_path_buf(), Arc::new(manifest)))
}

/// The owner and mode of an item: its own, or those of all items.
fn granted(args: &PackArgs, own: &Grant) -> Grant {
    Grant {
        owner: own.owner.clone().or_else(|| args.chown.clone()),
        mode: own.mode.or(args.chmod),
    }
}

/// The settings for the image configuration.
fn configured(args: &PackArgs) -> Result<Configured, CliError> {
    Ok(Configured {
        cmd: args.cmd.clone().map(|words| words.0).unwrap_or_default(),
        env: last_of_each_name(&args.env),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        labels: args.labels.iter().cloned().collect(),
        author: args.author.clone(),
        expose: args.expose.clone(),
        volumes: args.volume.clone(),
        stop_signal: args.stop_signal.clone(),
        healthcheck: args.healthcheck.as_ref().map(|words| {
            let words = std::iter::once("CMD").chain(words.0.iter().map(String::as_str));
            serde_json::json!({ "Test": words.collect::<Vec<_>>() })
        }),
        annotations: args.annotations.iter().cloned().collect(),
        created: match args.created {
            Some(created) => created,
            None => source_date_epoch()?,
        },
    })
}

/// `--without` overrides every `--with`, whatever their order.
fn selection(args: &PackArgs) -> Result<Selection, CliError> {
    let mut selection = Selection::default();
    let with = args.with.iter().map(|word| (word, true));
    for (word, is_wanted) in with.chain(args.without.iter().map(|word| (word, false))) {
        let added = selection.add(word, is_wanted);
        added.map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(selection)
}

fn without_repeats(tags: &[Tag]) -> Vec<Tag> {
    let mut kept: Vec<Tag> = Vec::new();
    for tag in tags {
        if !kept.contains(tag) {
            kept.push(tag.clone());
        }
    }
    kept
}

/// As with `docker run -e`, the last value of a variable wins.
fn last_of_each_name(variables: &[String]) -> Vec<String> {
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let is_last = |(at, entry): &(usize, &String)| {
        !variables[at + 1..]
            .iter()
            .any(|later| name(later) == name(entry))
    };
    let kept = variables.iter().enumerate().filter(is_last);
    kept.map(|(_, entry)| entry.clone()).collect()
}

/// The time stamp of everything in the image, in seconds (reproducible-builds.org); 1970 if
/// the variable is not set.
pub(in crate::cli) fn source_date_epoch() -> Result<u64, CliError> {
    let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds <= LATEST)
        .ok_or_else(|| {
            CliError::Usage(format!(
                "SOURCE_DATE_EPOCH={} is not a number of seconds since 1970 up to the year 9999; correct it, or \
                 unset it",
                text.display()
            ))
        })
}
