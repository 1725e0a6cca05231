//! Command-line arguments of packing.

use std::path::PathBuf;

use clap::Args;

use super::{ImageArgs, RunArgs, SourceArgs, Typed};
use crate::cli::values::{self, Words};
use crate::image::{Compression, Format, Tag};
use crate::pack::{Add, Mkdir};
use crate::sbom::SbomTarget;
use crate::strip::Level;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct PackArgs {
    /// Programs and scripts to pack; the image starts the first
    ///
    /// With --config, names of images in that file; with --from, paths or commands in the image
    /// [default: what it starts].
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "version", "depfile", "from"])]
    pub files: Vec<PathBuf>,

    /// Write the image to PATH [default: print the plan]
    ///
    /// - is standard output; a PATH that ends in / is a root directory.
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Name the image (repeatable) [default: the program's name]
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = values::tag, help_heading = "Output")]
    pub tags: Vec<Tag>,
    /// Write the dependencies of the image to FILE, or to OUT.d
    ///
    /// For Make and Ninja, like gcc -MMD -MP; see slimpack help make.
    #[arg(long, value_name = "FILE", num_args = 0..=1, help_heading = "Output")]
    pub depfile: Option<Option<PathBuf>>,
    /// Push the image to a registry under this name (repeatable)
    #[arg(
        hide_short_help = true,
        long,
        value_name = "NAME[:TAG]",
        help_heading = "Output"
    )]
    pub push: Vec<String>,
    /// Write a bill of materials to FILE, whose name ends in .spdx.json or .cdx.json
    ///
    /// FORMAT=FILE for any other name, and FORMAT for standard output; formats are spdx-json and
    /// cyclonedx-json. With --push, it is also attached to the image. Repeatable.
    #[arg(hide_short_help = true, long, value_name = "[FORMAT=]FILE", value_parser = SbomTarget::parse, help_heading = "Output")]
    pub sbom: Vec<SbomTarget>,
    /// Load the image into docker, or podman
    #[arg(long, help_heading = "Output")]
    pub load: bool,
    /// Output format [default: image; rootfs for a PATH that ends in /]
    #[arg(
        hide_short_help = true,
        long,
        value_parser = values::format(),
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub format: Option<Format>,
    /// Compress the layer: none, gzip or zstd, optionally with a level [default: none]
    #[arg(hide_short_help = true, long, value_name = "METHOD[:LEVEL]", value_parser = Compression::parse, help_heading = "Output")]
    pub compress: Option<Compression>,
    /// Replace an older root directory that slimpack wrote
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub force: bool,
    /// Do not touch the output if the image is unchanged
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub if_changed: bool,
    /// Wait until the output is on disk, so that it survives a power failure
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub sync: bool,
    /// Print the plan and the output as one JSON object
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub json: bool,

    /// Put the program at PATH, or in the directory PATH if it ends in /
    #[arg(hide_short_help = true, long, value_name = "PATH", value_parser = values::destination, help_heading = "Contents")]
    pub dest: Option<String>,
    /// Add a file, a directory or what a glob matches
    ///
    /// Programs, scripts and libraries among them pull in what they load. Repeatable.
    ///
    /// Append ,chown=OWNER[:GROUP] and ,chmod=MODE to set the owner and the permission bits of all of
    /// it.
    #[arg(long, value_name = "SRC[:DEST]", value_parser = values::add, help_heading = "Contents")]
    pub add: Vec<Add>,
    /// Create a directory for the program to write to
    ///
    /// Append ,chown=OWNER[:GROUP] and ,chmod=MODE. Repeatable. The directories of --workdir and
    /// --volume are created without it, and belong to the user of --user.
    #[arg(hide_short_help = true, long, value_name = "PATH", value_parser = values::mkdir, help_heading = "Contents")]
    pub mkdir: Vec<Mkdir>,
    /// Owner of what --add and --mkdir add, by name or number [default: root]
    #[arg(hide_short_help = true, long, value_name = "OWNER[:GROUP]", value_parser = values::user, help_heading = "Contents")]
    pub chown: Option<String>,
    /// Permission bits of what --add and --mkdir add, such as 0640; directories also get execute where
    /// they get read
    #[arg(hide_short_help = true, long, value_name = "MODE", value_parser = values::mode, help_heading = "Contents")]
    pub chmod: Option<u32>,
    /// Keep the setuid and setgid bits of programs, and their owner
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub keep_setuid: bool,
    /// Drop file capabilities; with --from, also set owner root and mode 0755 or 0644
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub normalize: bool,
    /// Include needs besides libraries; slimpack needs lists them
    ///
    /// Needs are what programs read, start and open at run time; also all and none.
    #[arg(
        long = "with",
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub with: Vec<String>,
    /// Leave out these needs
    #[arg(
        hide_short_help = true,
        long,
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub without: Vec<String>,
    /// Record the packages of a source with rpm that own files, from this list of all packages
    ///
    /// FILE is the output of rpm -qa in the source, in the format that the documentation of scanners has.
    #[arg(
        hide_short_help = true,
        long,
        value_name = "FILE",
        help_heading = "Contents"
    )]
    pub rpm_manifest: Option<PathBuf>,
    /// Add this static busybox with a link for each of its commands
    #[arg(
        hide_short_help = true,
        long,
        value_name = "FILE",
        help_heading = "Contents"
    )]
    pub busybox: Option<PathBuf>,
    /// Leave out what a glob matches; the programs must still start (repeatable)
    #[arg(
        hide_short_help = true,
        long,
        value_name = "GLOB",
        help_heading = "Contents"
    )]
    pub exclude: Vec<String>,
    /// Also pack the variants of libraries for newer processors (glibc-hwcaps)
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub hwcaps: bool,
    /// Pack even if libraries are missing: all, or those whose name a glob matches
    ///
    /// Such as drivers that the host mounts: --allow-missing='libcuda.so*'. Repeatable.
    #[arg(hide_short_help = true, long, value_name = "GLOB", num_args = 0..=1, require_equals = true, default_missing_value = "*", value_parser = values::missing, help_heading = "Contents")]
    pub allow_missing: Vec<String>,
    /// Fail unless the program is static
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub require_static: bool,
    /// Leave out symbol tables and debug information
    ///
    /// =debug leaves out only debug information. What is loaded stays identical, and so does data
    /// that a program keeps after its sections.
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Level::parse, help_heading = "Contents")]
    pub strip: Option<Level>,
    /// Save what --strip removes in debug files below DIR
    #[arg(
        hide_short_help = true,
        long,
        value_name = "DIR",
        requires = "strip",
        help_heading = "Contents"
    )]
    pub debug_file: Option<PathBuf>,
    /// Store identical files once, the others as hard links; libraries are not linked
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub hardlink: bool,
    /// Fail if the files of the image have more than BYTES in total, such as 10MB
    #[arg(hide_short_help = true, long, value_name = "BYTES", value_parser = values::bytes, help_heading = "Contents")]
    pub max_size: Option<u64>,

    #[command(flatten, next_help_heading = "Source")]
    pub source: SourceArgs,
    /// Take programs and libraries from an image, and inherit its configuration
    ///
    /// Any image that slimpack inspect reads. SRC of --add is then a path in the image.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["roots", "library_path"], help_heading = "Source")]
    pub from: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Source")]
    pub reading: ImageArgs,
    /// Pack the images of a slimpack.toml: all, or those named
    ///
    /// Other options override the file; see slimpack help config.
    #[arg(long, value_name = "FILE", help_heading = "Source")]
    pub config: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Contents")]
    pub runs: RunArgs,

    /// Command that the image starts [default: the program]
    ///
    /// Shell words, or a JSON list.
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, help_heading = "Image configuration")]
    pub entrypoint: Option<Words>,
    /// Default arguments of the entrypoint, as shell words or a JSON list
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, allow_hyphen_values = true, help_heading = "Image configuration")]
    pub cmd: Option<Words>,
    /// Set an environment variable (repeatable)
    #[arg(hide_short_help = true, short, long, value_name = "NAME=VALUE", value_parser = values::env, help_heading = "Image configuration")]
    pub env: Vec<String>,
    /// Run as this user, by name or number
    ///
    /// A user given by name gets an entry in /etc/passwd.
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user, help_heading = "Image configuration")]
    pub user: Option<String>,
    /// Set the working directory in the image
    #[arg(hide_short_help = true, short, long, value_name = "PATH", value_parser = values::image_path, help_heading = "Image configuration")]
    pub workdir: Option<String>,
    /// Declare a port that the program listens on (repeatable)
    #[arg(hide_short_help = true, long, value_name = "PORT[/PROTOCOL]", value_parser = values::port, help_heading = "Image configuration")]
    pub expose: Vec<String>,
    /// Declare a volume, that is, a mount point (repeatable)
    #[arg(hide_short_help = true, long, value_name = "PATH", value_parser = values::volume, help_heading = "Image configuration")]
    pub volume: Vec<String>,
    /// Signal that stops the container, such as SIGINT
    #[arg(hide_short_help = true, long, value_name = "SIGNAL", value_parser = values::signal, help_heading = "Image configuration")]
    pub stop_signal: Option<String>,
    /// Health-check command, as shell words or a JSON list
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, help_heading = "Image configuration")]
    pub healthcheck: Option<Words>,
    /// Add an annotation to the manifest (repeatable)
    #[arg(hide_short_help = true, long = "annotation", value_name = "KEY=VALUE", value_parser = values::label, help_heading = "Image configuration")]
    pub annotations: Vec<(String, String)>,
    /// Set the author of the image
    #[arg(
        hide_short_help = true,
        long,
        value_name = "NAME",
        help_heading = "Image configuration"
    )]
    pub author: Option<String>,
    /// Time stamp of everything in the image, in seconds since 1970 or as 2026-01-31T12:00:00Z
    /// [default: SOURCE_DATE_EPOCH, or 1970]
    #[arg(hide_short_help = true, long, value_name = "TIME", value_parser = values::time, help_heading = "Image configuration")]
    pub created: Option<u64>,
    /// Set a label (repeatable)
    #[arg(hide_short_help = true, short, long = "label", value_name = "KEY=VALUE", value_parser = values::label, help_heading = "Image configuration")]
    pub labels: Vec<(String, String)>,

    /// With --config, the options that were typed.
    #[arg(skip)]
    pub typed: Vec<Typed>,
}
