//! Where an image is written, and its dependency file.
//!
//! In: `-o`, `--format`, `--depfile`, `--if-changed` and plans. Out: files that are complete or
//! absent.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::bills::{self, Bills};
use super::rights;
use crate::cli::args::PackArgs;
use crate::cli::error::CliError;
use crate::cli::inspect;
use crate::cli::registry;
use crate::cli::strip::write_debug;
use crate::depfile::{Depfile, Dialect};
use crate::engine::Engine;
use crate::image::{Compression, Destination, Format, ImageError, Style, Written};
use crate::inputs::Inputs;
use crate::output::{
    AtomicFile, AtomicFolder, Interrupts, Output, OutputError, Scratch, sync_tree, watch,
};
use crate::pack::{self, Options, PackError, Plan};
use crate::report::Made;

/// Where an image is written, and in which format.
pub(super) struct OutputTarget {
    place: Place,
    style: Style,
}

enum Place {
    /// Nowhere: the plan is printed.
    Plan,
    Stdout,
    /// The local engine, or registries.
    Elsewhere,
    /// A file or directory, and its dependency file.
    Path(PathBuf, Option<PathBuf>),
}

impl OutputTarget {
    /// The target that the command line requests; an error if the options contradict each other.
    pub fn of(args: &PackArgs) -> Result<Self, CliError> {
        let usage = |message: &str| Err(CliError::Usage(message.into()));
        let has_program = !args.files.is_empty() || args.from.is_some();
        if let (false, Some(Some(taken))) = (has_program, &args.depfile) {
            return Err(CliError::Usage(format!(
                "no program to pack: --depfile takes the word after it, {}, as its FILE; write \
                 --depfile after the program, or --depfile=FILE",
                taken.display()
            )));
        }
        let ends_in_slash = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let is_folder = args.output.as_ref().is_some_and(ends_in_slash);
        let format = args.format.unwrap_or(match is_folder {
            true => Format::Rootfs,
            false => Format::Image,
        });
        let style = Style {
            format,
            compression: args.compress.unwrap_or_default(),
        };
        refuse_unfit_format(args, style)?;
        let target = |place| Self { place, style };
        let Some(output) = &args.output else {
            let is_elsewhere = args.load || !args.push.is_empty();
            if is_elsewhere && args.depfile.is_none() && !args.if_changed {
                return Ok(target(Place::Elsewhere));
            }
            return match (&args.depfile, args.if_changed) {
                (None, false) => Ok(target(Place::Plan)),
                (Some(_), _) => usage("--depfile requires an output: add -o FILE"),
                (None, true) => usage("--if-changed requires an output: add -o FILE"),
            };
        };
        if (args.load || !args.push.is_empty()) && output == Path::new("-") {
            return usage(
                "cannot combine -o - with --load or --push; write to a file with -o FILE",
            );
        }
        if output == Path::new("-") {
            refuse_stdout(args, format)?;
            return Ok(target(Place::Stdout));
        }
        if is_folder && !format.is_folder() {
            return usage(
                "a PATH that ends in / is a directory; only --format rootfs and oci-dir write one",
            );
        }
        if args.if_changed && format.is_folder() {
            return usage(
                "--if-changed works only with files; a directory is always rewritten, so drop it",
            );
        }
        let depfile = dependency_file(args, output)?;
        refuse_misleading_name(output, style)?;
        bills::refuse_same_file(args, [Some(output.as_path()), depfile.as_deref()])?;
        refuse_to_replace_input(output, &args.files)?;
        Ok(target(Place::Path(output.clone(), depfile)))
    }

    /// The output as shown to users; `None` if only the plan is printed.
    pub fn output(&self) -> Option<&Path> {
        match &self.place {
            Place::Plan => None,
            Place::Stdout => Some(Path::new("standard output")),
            Place::Elsewhere => Some(Path::new("elsewhere")),
            Place::Path(output, _) => Some(output),
        }
    }

    /// Writes the images to the output, loads and pushes them if requested; returns what was
    /// written, and a text about each delivery.
    pub fn write(
        &self,
        plans: &[Plan],
        args: &PackArgs,
        options: &Options,
        bills: &mut Bills<'_>,
    ) -> Result<(Made, Vec<String>), CliError> {
        if plans.len() > 1 && !self.style.format.is_image() {
            let platforms = plans.iter().map(|plan| plan.settings.platform.to_string());
            return Err(CliError::Usage(format!(
                "a root is for one platform, but the programs are for {}; write an image",
                platforms.collect::<Vec<_>>().join(", ")
            )));
        }
        if !matches!(self.place, Place::Plan) {
            refuse_apparent_sizes(plans, args)?;
            if self.style.compression != Compression::None {
                watch();
            }
        }
        let made = match &self.place {
            Place::Plan | Place::Elsewhere => Made::Nothing,
            Place::Stdout => {
                let mut out = io::stdout().lock();
                let written = pack::write(plans, self.style, Destination::Stream(&mut out));
                written_anew(Path::new("standard output"), written)?
            }
            Place::Path(path, depfile) => {
                self.write_path(path, depfile.as_deref(), plans, args, options)?
            }
        };
        if self.style.format == Format::Cpio && self.output().is_some() {
            rights::report_lost_in_cpio(&plans[0]);
        }
        // After the image, so that a failed pack writes none.
        if let Some(folder) = &args.debug_file
            && !matches!(self.place, Place::Plan)
        {
            write_debug_files(plans, folder)?;
        }
        if let Made::Written { written, .. } = &made {
            bills.know(written);
        }
        Ok((made, deliver(plans, self.style, args, bills)?))
    }

    /// Writes a file or directory. The dependency file is published first: with a new one and an
    /// old image, a build system only builds once more.
    fn write_path(
        &self,
        path: &Path,
        depfile: Option<&Path>,
        plans: &[Plan],
        args: &PackArgs,
        options: &Options,
    ) -> Result<Made, CliError> {
        refuse_inputs(plans, &[Some(path), depfile])?;
        let depfile = match depfile {
            None => None,
            Some(named) => Some(Dependencies {
                path: named,
                output: Output::create(named)?,
                text: dependencies(plans, path, named, args, options)?,
            }),
        };
        match self.style.format {
            Format::Rootfs => {
                write_folder(&plans[0], path, depfile, args)?;
                Ok(Made::Folder)
            }
            Format::OciDir => {
                let interrupts = Interrupts::hold();
                let go_on = || interrupts.check();
                let written = pack::write_layout(plans, self.style, path, &go_on);
                if let Some(signal) = interrupts.received() {
                    return Err(CliError::Interrupted(signal));
                }
                let made = written_anew(path, written)?;
                sync(path, args)?;
                publish(depfile)?;
                Ok(made)
            }
            _ => write_file(plans, self.style, path, depfile, args),
        }
    }
}

/// Refuses options that the format of the output has no place for.
fn refuse_unfit_format(args: &PackArgs, style: Style) -> Result<(), CliError> {
    let Style {
        format,
        compression,
    } = style;
    let message = if format == Format::Rootfs && compression != Compression::None {
        "a root directory has no layer to compress; drop --compress"
    } else if args.force && format != Format::Rootfs {
        "--force applies only to root directories; other outputs are replaced anyway"
    } else if args.load && !matches!(format, Format::Image | Format::Docker) {
        "--load supports only --format image and docker; drop --load"
    } else if !args.push.is_empty() && !format.is_image() {
        "registries accept images; drop --push, or --format"
    } else {
        return Ok(());
    };
    Err(CliError::Usage(message.into()))
}

/// The dependency file that goes with an output: the one that `--depfile` names, or the output
/// with `.d` after it.
fn dependency_file(args: &PackArgs, output: &Path) -> Result<Option<PathBuf>, CliError> {
    let Some(named) = &args.depfile else {
        return Ok(None);
    };
    let depfile = named.clone().unwrap_or_else(|| {
        let plain: PathBuf = output.components().collect();
        let mut name = plain.into_os_string();
        name.push(".d");
        PathBuf::from(name)
    });
    if place(&depfile) == place(output) {
        return Err(CliError::Usage(format!(
            "the image and its dependency file cannot both be {}; name another --depfile",
            output.display()
        )));
    }
    Ok(Some(depfile))
}

/// Refuses an image that slimpack could not read again: one over its limit on unpacked bytes.
fn refuse_apparent_sizes(plans: &[Plan], args: &PackArgs) -> Result<(), CliError> {
    let limit = inspect::limits(&args.reading).unpacked;
    let bytes = plans.iter().map(|plan| plan.rootfs.bytes());
    match bytes.max().filter(|bytes| *bytes > limit) {
        None => Ok(()),
        Some(bytes) => Err(CliError::Usage(format!(
            "the image would hold {bytes} bytes, more than {limit}; leave its largest file out with \
             --exclude, or raise the limit with --limit unpacked={bytes}"
        ))),
    }
}

/// Writes the debug files of the images; with several platforms, in a directory for each.
fn write_debug_files(plans: &[Plan], folder: &Path) -> Result<(), CliError> {
    for plan in plans {
        let platform = plan.settings.platform.to_string().replace('/', "-");
        for file in &plan.stripping.files {
            let Some(debug) = &file.debug else { continue };
            let mut name = pack::debug_path(&file.path);
            if plans.len() > 1 {
                name = Path::new(&platform).join(name);
            }
            let view = &plan.source.view;
            let source = view
                .open(&file.walk)
                .map_err(|errno| PackError::Read(file.walk.real.clone(), errno))?;
            write_debug(folder, &name, debug, source.as_ref())?;
        }
    }
    Ok(())
}

/// What was written, for an output that is always replaced.
fn written_anew(path: &Path, written: Result<Written, ImageError>) -> Result<Made, CliError> {
    Ok(Made::Written {
        written: written.map_err(|error| image(path, error))?,
        is_unchanged: false,
    })
}

/// Loads images into the engine and pushes them to registries, if requested; returns a text about
/// each.
fn deliver(
    plans: &[Plan],
    style: Style,
    args: &PackArgs,
    bills: &mut Bills<'_>,
) -> Result<Vec<String>, CliError> {
    let mut delivered = Vec::new();
    if args.load {
        delivered.push(format!("loaded into {}", load(plans, style, bills)?));
    }
    if !args.push.is_empty() {
        let fail = |error| image(Path::new("a temporary directory"), error);
        let folder = Scratch::new().map_err(|error| fail(error.into()))?;
        let interrupts = Interrupts::hold();
        let written = pack::write_layout(plans, style, folder.path(), &|| interrupts.check());
        if let Some(signal) = interrupts.received() {
            return Err(CliError::Interrupted(signal));
        }
        bills.know(&written.map_err(fail)?);
        let attached = bills.attachments()?;
        let pushed = registry::push(folder.path(), &args.push, &args.reading, attached)?;
        delivered.extend(pushed);
    }
    Ok(delivered)
}

/// Loads images into the local engine; returns its name.
fn load(plans: &[Plan], style: Style, bills: &mut Bills<'_>) -> Result<&'static str, CliError> {
    let engine = Engine::find()?;
    let mut loading = engine.load()?;
    let written = match loading.pipe() {
        None => Err(ImageError::Write(io::ErrorKind::BrokenPipe.into())),
        Some(mut pipe) => pack::write(plans, style, Destination::Stream(&mut pipe)),
    };
    // If the engine stopped reading, its own message says why.
    loading.finish()?;
    bills.know(&written.map_err(|error| image(Path::new("to the engine"), error))?);
    Ok(engine.name())
}

/// The error of an image that cannot be written to `path`.
fn image(path: &Path, error: ImageError) -> CliError {
    CliError::Write {
        path: path.to_path_buf(),
        error,
    }
}

/// Refuses options that do not work with standard output.
fn refuse_stdout(args: &PackArgs, format: Format) -> Result<(), CliError> {
    let usage = |message: &str| Err(CliError::Usage(message.into()));
    if io::stdout().is_terminal() {
        return usage(
            "cannot write an image to a terminal; redirect standard output, or write to a file \
             with -o FILE",
        );
    }
    if args.json {
        return usage(
            "--json and the image cannot share standard output; write to a file with -o FILE",
        );
    }
    if args.depfile.is_some() {
        return usage(
            "--depfile needs the name of the output, but standard output has none; write the image \
             to a file with -o FILE",
        );
    }
    if args.if_changed {
        return usage("--if-changed compares with a file; write the image to one with -o FILE");
    }
    if format.is_folder() {
        return usage("cannot write a directory to standard output; name one with -o DIR/");
    }
    Ok(())
}

/// The text of the dependency file.
fn dependencies(
    plans: &[Plan],
    output: &Path,
    depfile: &Path,
    args: &PackArgs,
    options: &Options,
) -> Result<Vec<u8>, CliError> {
    let mut inputs = Inputs::default();
    for plan in plans {
        inputs.extend(&plan.inputs);
    }
    // A directory that a glob was matched in changes whenever the output is written to it.
    for folder in [output, depfile]
        .into_iter()
        .filter_map(|path| Some(place(path).parent()?.to_path_buf()))
    {
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

/// Refuses outputs that are inputs of the image.
pub(super) fn refuse_inputs(plans: &[Plan], outputs: &[Option<&Path>]) -> Result<(), CliError> {
    for output in outputs.iter().flatten() {
        let at = place(output);
        for plan in plans {
            if plan.inputs.files.contains(&at) {
                return Err(CliError::Usage(format!(
                    "cannot write {}: it is an input of the image; use another path",
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
                    "cannot write {}: it is in {}, which is added to the image; use another path",
                    output.display(),
                    folder.display()
                )));
            }
        }
    }
    Ok(())
}

fn write_folder(
    plan: &Plan,
    path: &Path,
    depfile: Option<Dependencies<'_>>,
    args: &PackArgs,
) -> Result<(), CliError> {
    let folder = AtomicFolder::create(path, args.force)?;
    let result = plan.write_folder(folder.path(), &|| folder.interrupts().check());
    if let Some(signal) = folder.interrupts().received() {
        drop(folder);
        return Err(CliError::Interrupted(signal));
    }
    result?;
    rights::report_lost_in_folder(plan, path);
    publish(depfile)?;
    if args.sync {
        folder.sync()?;
    }
    folder.publish()?;
    // Its receipt and its name.
    sync(path, args)
}

/// Syncs a written directory to disk, if requested.
fn sync(path: &Path, args: &PackArgs) -> Result<(), CliError> {
    match args.sync {
        true => Ok(sync_tree(path).map_err(|error| OutputError::Io(path.to_path_buf(), error))?),
        false => Ok(()),
    }
}

fn write_file(
    plans: &[Plan],
    style: Style,
    path: &Path,
    depfile: Option<Dependencies<'_>>,
    args: &PackArgs,
) -> Result<Made, CliError> {
    let mut file = match Output::create(path)? {
        Output::Device(mut device) => {
            let written = pack::write(plans, style, Destination::Stream(&mut device));
            let made = written_anew(path, written)?;
            publish(depfile)?;
            return Ok(made);
        }
        Output::File(file) => file,
    };
    file.reserve(pack::size_hint(plans, style))?;
    let result = pack::write(plans, style, Destination::File(&mut file));
    if let Some(signal) = file.interrupted() {
        drop(file);
        return Err(CliError::Interrupted(signal));
    }
    let written = result.map_err(|error| image(path, error))?;
    publish(depfile)?;
    let is_unchanged = publish_image(file, args)?;
    Ok(Made::Written {
        written,
        is_unchanged,
    })
}

/// Publishes an image; returns whether the existing one is identical and was kept.
fn publish_image(mut file: AtomicFile, args: &PackArgs) -> Result<bool, CliError> {
    if args.if_changed && file.is_same_as_before()? {
        if args.sync {
            file.sync_before()?;
        }
        return Ok(true);
    }
    match args.sync {
        true => file.publish_synced()?,
        false => file.publish()?,
    }
    Ok(false)
}

/// A dependency file that is not written yet.
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

/// Whether this is a Ninja build: `build.ninja` is in the build directory or above it.
fn is_below_ninja(folder: &Path) -> bool {
    folder
        .ancestors()
        .any(|folder| folder.join("build.ninja").is_file())
}

/// The real path of a file that may not exist yet, with links resolved.
pub(super) fn place(path: &Path) -> PathBuf {
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

/// Refuses a file name that claims compression: only the layer of an archive is compressed.
fn refuse_misleading_name(output: &Path, style: Style) -> Result<(), CliError> {
    let suffix = output.extension().and_then(|suffix| suffix.to_str());
    let promised = match suffix.unwrap_or_default() {
        "gz" | "tgz" => "gzip",
        "zst" | "zstd" | "tzst" => "zstd",
        "xz" | "txz" => "xz",
        "bz2" | "tbz2" => "bzip2",
        _ => return Ok(()),
    };
    let is_kept = match style.compression {
        Compression::None => false,
        Compression::Gzip(_) => promised == "gzip",
        Compression::Zstd(_) => promised == "zstd",
    };
    if is_kept && matches!(style.format, Format::RootfsTar | Format::Cpio) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{} would not be a {promised} file: --compress compresses the layer inside an archive; name it \
         .tar, or write {}",
        output.display(),
        match promised {
            "gzip" | "zstd" => format!("it with -o - | {promised} > {}", output.display()),
            _ => "a .tar and compress that".to_owned(),
        }
    )))
}

pub(super) fn refuse_to_replace_input(output: &Path, files: &[PathBuf]) -> Result<(), CliError> {
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
            "cannot write {}: it is the program {} itself; use another path",
            output.display(),
            file.display()
        ))),
        None => Ok(()),
    }
}
