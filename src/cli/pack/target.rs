//! Where an image goes, and the dependencies beside it.
//!
//! In: `-o`, `--depfile`, `--if-changed` and a plan. Out: files that are there whole or not at all.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::cli::args::PackArgs;
use crate::cli::error::CliError;
use crate::depfile::{Depfile, Dialect};
use crate::image::{Destination, Written};
use crate::output::{AtomicFile, AtomicFolder, Output, OutputError};
use crate::pack::{Options, PackError, Plan};

/// Where an image goes.
pub(super) enum Target {
    /// Nowhere: the plan is shown.
    Plan,
    /// Standard output.
    Stdout,
    /// A file, with its dependencies.
    File(PathBuf, Option<PathBuf>),
    /// A root folder, with its dependencies.
    Folder(PathBuf, Option<PathBuf>),
}

/// What was done.
pub(super) enum Outcome {
    /// Nothing was written.
    Plan,
    /// An image.
    Image {
        written: Written,
        /// Whether the file that was there is the same and stays.
        is_unchanged: bool,
    },
    /// A root folder.
    Folder,
}

impl Outcome {
    /// Where the summary says that the image is.
    pub fn place(&self, target: &Target) -> crate::report::Place<'_> {
        use crate::report::Place;
        let output = target.output().unwrap_or(Path::new("-"));
        match self {
            Self::Image {
                written,
                is_unchanged,
            } => Place::Image {
                path: output.to_path_buf(),
                written,
                is_unchanged: *is_unchanged,
            },
            Self::Plan | Self::Folder => Place::Folder(output.to_path_buf()),
        }
    }
}

impl Target {
    /// What the command line asks for, if it can be had.
    pub fn of(args: &PackArgs) -> Result<Self, CliError> {
        let usage = |message: &str| Err(CliError::Usage(message.into()));
        if let (true, Some(Some(taken))) = (args.files.is_empty(), &args.depfile) {
            return Err(CliError::Usage(format!(
                "there is no program to pack: --depfile takes the word behind it, {}, for its file; \
                 write --depfile behind the program, or --depfile=FILE",
                taken.display()
            )));
        }
        let Some(output) = &args.output else {
            return match (&args.depfile, args.if_changed) {
                (None, false) => Ok(Self::Plan),
                (Some(_), _) => usage("--depfile names what an output depends on: add -o FILE"),
                (None, true) => usage("--if-changed is about an output: add -o FILE"),
            };
        };
        if output == Path::new("-") {
            if io::stdout().is_terminal() {
                return usage(
                    "an image is not for a terminal: redirect standard output, or write the image \
                     to a file with -o FILE",
                );
            }
            if args.json {
                return usage(
                    "--json and the image both want standard output; write the image to a file \
                     with -o FILE",
                );
            }
            if args.depfile.is_some() {
                return usage(
                    "--depfile needs the name of the output, and standard output has none; write \
                     the image to a file with -o FILE",
                );
            }
            if args.if_changed {
                return usage(
                    "--if-changed compares with a file; write the image to one with -o FILE",
                );
            }
            return Ok(Self::Stdout);
        }
        let is_folder = output.as_os_str().as_encoded_bytes().ends_with(b"/");
        let depfile = args.depfile.as_ref().map(|named| match named {
            Some(named) => named.clone(),
            None => {
                let plain: PathBuf = output.components().collect();
                let mut name = plain.into_os_string();
                name.push(".d");
                PathBuf::from(name)
            }
        });
        if depfile
            .as_ref()
            .is_some_and(|depfile| place(depfile) == place(output))
        {
            return Err(CliError::Usage(format!(
                "the image and its dependencies cannot both be {}; name another --depfile",
                output.display()
            )));
        }
        if is_folder {
            if args.if_changed {
                return usage(
                    "--if-changed compares with a file; a root folder is written anew, so leave it out",
                );
            }
            return Ok(Self::Folder(output.clone(), depfile));
        }
        refuse_to_replace_input(output, &args.files)?;
        Ok(Self::File(output.clone(), depfile))
    }

    /// What is written to, for people.
    pub fn output(&self) -> Option<&Path> {
        match self {
            Self::Plan => None,
            Self::Stdout => Some(Path::new("standard output")),
            Self::File(output, _) | Self::Folder(output, _) => Some(output),
        }
    }

    fn depfile(&self) -> Option<&Path> {
        match self {
            Self::Plan | Self::Stdout => None,
            Self::File(_, depfile) | Self::Folder(_, depfile) => depfile.as_deref(),
        }
    }

    /// Writes the image, its dependencies before it: with new ones and an old image a build system
    /// only builds once more.
    pub fn write(
        &self,
        plan: &Plan,
        args: &PackArgs,
        options: &Options,
    ) -> Result<Outcome, CliError> {
        self.refuse_inputs(plan)?;
        let depfile = match self.depfile() {
            None => None,
            Some(path) => Some(Dependencies {
                path,
                output: Output::create(path)?,
                text: self.dependencies(plan, args, options)?,
            }),
        };
        match self {
            Self::Plan => Ok(Outcome::Plan),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = plan.write(Destination::Stream(&mut out))?;
                // All of it or an error: nothing of the image stays in the buffer.
                out.flush()
                    .map_err(|error| PackError::Image(error.into()))?;
                Ok(Outcome::Image {
                    written,
                    is_unchanged: false,
                })
            }
            Self::File(path, _) => write_file(plan, path, depfile, args.if_changed),
            Self::Folder(path, _) => {
                let folder = AtomicFolder::create(path)?;
                let go_on = || match folder.interrupted() {
                    Some(_) => Err(io::Error::other("interrupted by a signal")),
                    None => Ok(()),
                };
                let result = plan.write_folder(folder.path(), &go_on);
                if let Some(signal) = folder.interrupted() {
                    drop(folder);
                    return Err(CliError::Interrupted(signal));
                }
                result?;
                publish(depfile)?;
                folder.publish()?;
                Ok(Outcome::Folder)
            }
        }
    }

    /// The text of the dependencies.
    fn dependencies(
        &self,
        plan: &Plan,
        args: &PackArgs,
        options: &Options,
    ) -> Result<Vec<u8>, CliError> {
        let output = self.output().unwrap_or(Path::new("-"));
        // A folder that a glob was matched in changes whenever the output is written into it.
        let mut inputs = plan.inputs.clone();
        let outputs = [Some(output), self.depfile()].into_iter().flatten();
        for folder in outputs.filter_map(|path| Some(place(path).parent()?.to_path_buf())) {
            inputs.folders.remove(&folder);
        }
        let typed: Vec<PathBuf> = args.files.iter().chain(&args.config).cloned().collect();
        let depfile = Depfile {
            target: output,
            typed: &typed,
            inputs: &inputs,
            relative_to: output
                .is_relative()
                .then_some(options.current_dir.as_path()),
            dialect: match is_below_ninja(&options.current_dir) {
                true => Dialect::Ninja,
                false => Dialect::Make,
            },
        };
        Ok(depfile.text()?)
    }

    /// What is written must not be what is read.
    fn refuse_inputs(&self, plan: &Plan) -> Result<(), CliError> {
        let outputs = match self {
            Self::Plan | Self::Stdout => [None, None],
            Self::File(output, depfile) | Self::Folder(output, depfile) => {
                [Some(output.as_path()), depfile.as_deref()]
            }
        };
        for output in outputs.into_iter().flatten() {
            let at = place(output);
            if plan.inputs.files.contains(&at) {
                return Err(CliError::Usage(format!(
                    "cannot write {}: it is a file that the image is made of; write it elsewhere",
                    output.display()
                )));
            }
            if let Some(folder) = plan
                .inputs
                .added
                .iter()
                .find(|folder| at.starts_with(folder))
            {
                return Err(CliError::Usage(format!(
                    "cannot write {}: it lies in {}, which is added to the image; write it elsewhere",
                    output.display(),
                    folder.display()
                )));
            }
        }
        Ok(())
    }
}

fn write_file(
    plan: &Plan,
    path: &Path,
    depfile: Option<Dependencies<'_>>,
    if_changed: bool,
) -> Result<Outcome, CliError> {
    let mut file = match Output::create(path)? {
        Output::Device(mut device) => {
            let written = plan.write(Destination::Stream(&mut device))?;
            publish(depfile)?;
            return Ok(Outcome::Image {
                written,
                is_unchanged: false,
            });
        }
        Output::File(file) => file,
    };
    file.reserve(plan.size_hint()?)?;
    let result = plan.write(Destination::File(&mut file));
    if let Some(signal) = file.interrupted() {
        drop(file);
        return Err(CliError::Interrupted(signal));
    }
    let written = result?;
    publish(depfile)?;
    let is_unchanged = publish_image(file, if_changed)?;
    Ok(Outcome::Image {
        written,
        is_unchanged,
    })
}

/// Puts an image in its place; whether the one that is there is the same and stays.
fn publish_image(mut file: AtomicFile, if_changed: bool) -> Result<bool, CliError> {
    if if_changed && file.is_same_as_before()? {
        return Ok(true);
    }
    file.publish()?;
    Ok(false)
}

/// A file of dependencies that is not written yet.
struct Dependencies<'a> {
    path: &'a Path,
    output: Output,
    text: Vec<u8>,
}

fn publish(depfile: Option<Dependencies<'_>>) -> Result<(), CliError> {
    let Some(Dependencies { path, output, text }) = depfile else {
        return Ok(());
    };
    let fail = |error| OutputError::Io(path.to_path_buf(), error);
    match output {
        Output::Device(mut device) => device.write_all(&text).map_err(fail)?,
        Output::File(mut file) => {
            file.write_all(&text).map_err(fail)?;
            file.publish()?;
        }
    }
    Ok(())
}

/// Whether a build of Ninja runs here: a build folder is where its file is, or below.
fn is_below_ninja(folder: &Path) -> bool {
    folder
        .ancestors()
        .any(|folder| folder.join("build.ninja").is_file())
}

/// Where a path that may not be there yet would be, without links.
fn place(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let plain: PathBuf = path.components().collect();
    let folder = plain
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
    let folder = folder.or_else(|_| env::current_dir()).unwrap_or_default();
    folder.join(plain.file_name().unwrap_or_default())
}

fn refuse_to_replace_input(output: &Path, files: &[PathBuf]) -> Result<(), CliError> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let Some(target) = identity(output) else {
        return Ok(());
    };
    match files.iter().find(|file| identity(file) == Some(target)) {
        Some(file) => Err(CliError::Usage(format!(
            "cannot write {}: it is the program {} itself; write it elsewhere",
            output.display(),
            file.display()
        ))),
        None => Ok(()),
    }
}
