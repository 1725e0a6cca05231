//! What can be typed to pack.

use std::path::PathBuf;

use clap::Args;

use super::{ImageArgs, SourceArgs, Typed};
use crate::cli::values::{self, Words};
use crate::image::{Compression, Format, Tag};
use crate::pack::Add;
use crate::strip::Level;

#[derive(Debug, Args)]
pub(in crate::cli) struct PackArgs {
    /// Programs and scripts to pack; the first is started
    ///
    /// With --config the names of images in that file; with --from paths or commands of the image
    /// [default then: what it starts].
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "version", "depfile", "from"])]
    pub files: Vec<PathBuf>,

    /// Write the image to PATH [default: print the plan]
    ///
    /// - is standard output, a PATH that ends in / a root folder.
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Name the image (repeatable) [default: the program's name]
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = values::tag, help_heading = "Output")]
    pub tags: Vec<Tag>,
    /// Write what the image depends on to FILE, or to OUT.d
    ///
    /// For Make and Ninja, as gcc -MMD -MP does; see slimpack help make.
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
    /// Hand the image to docker, or else to podman
    #[arg(long, help_heading = "Output")]
    pub load: bool,
    /// Write the image as this [default: image; rootfs for a PATH that ends in /]
    #[arg(
        hide_short_help = true,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub format: Option<Format>,
    /// Compress the layer: none, gzip or zstd, with a level behind a colon [default: none]
    #[arg(hide_short_help = true, long, value_name = "METHOD[:LEVEL]", value_parser = Compression::parse, help_heading = "Output")]
    pub compress: Option<Compression>,
    /// Write a root folder over an older one that slimpack wrote
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub force: bool,
    /// Leave an output that would be the same as it is, with its time
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub if_changed: bool,
    /// Wait until the output is on the disk, so that a power cut loses nothing
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub sync: bool,
    /// Print the plan, and what was written, as one JSON object
    #[arg(hide_short_help = true, long, help_heading = "Output")]
    pub json: bool,

    /// Put the program at PATH; a folder when it ends in /
    #[arg(hide_short_help = true, long, value_name = "PATH", value_parser = values::destination, help_heading = "Contents")]
    pub dest: Option<String>,
    /// Add a file, a folder or what a glob matches
    ///
    /// Programs, scripts and libraries among them bring what they load. Repeatable.
    #[arg(long, value_name = "SRC[:DEST]", value_parser = values::add, help_heading = "Contents")]
    pub add: Vec<Add>,
    /// Serve needs beside libraries; slimpack needs lists them
    ///
    /// What programs read, start and open by themselves; also all and none.
    #[arg(
        long = "with",
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub with: Vec<String>,
    /// Do not serve these needs
    #[arg(
        hide_short_help = true,
        long,
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub without: Vec<String>,
    /// Add this static busybox with a link for each of its commands
    #[arg(
        hide_short_help = true,
        long,
        value_name = "FILE",
        help_heading = "Contents"
    )]
    pub busybox: Option<PathBuf>,
    /// Leave out what a glob matches; the image is proven afterwards (repeatable)
    #[arg(
        hide_short_help = true,
        long,
        value_name = "GLOB",
        help_heading = "Contents"
    )]
    pub exclude: Vec<String>,
    /// Pack the variants of libraries for newer processors too (glibc-hwcaps)
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub hwcaps: bool,
    /// Pack even when libraries are missing
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub allow_missing: bool,
    /// Fail unless the program is static
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub require_static: bool,
    /// Leave out symbol tables and debug information
    ///
    /// =debug leaves out debug information only. What is loaded stays as it is; data that a program keeps behind its sections, too.
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Level::parse, help_heading = "Contents")]
    pub strip: Option<Level>,
    /// Keep what --strip leaves out in files for debuggers below DIR
    #[arg(
        hide_short_help = true,
        long,
        value_name = "DIR",
        requires = "strip",
        help_heading = "Contents"
    )]
    pub debug_file: Option<PathBuf>,
    /// Write files of the same bytes once, the others as hard links; libraries stay files
    #[arg(hide_short_help = true, long, help_heading = "Contents")]
    pub hardlink: bool,
    /// Fail when the files of the image have more than BYTES, such as 10MB
    #[arg(hide_short_help = true, long, value_name = "BYTES", value_parser = values::bytes, help_heading = "Contents")]
    pub max_size: Option<u64>,

    #[command(flatten, next_help_heading = "Source")]
    pub source: SourceArgs,
    /// Take programs and libraries from an image, and inherit its configuration
    ///
    /// Any image that slimpack inspect reads. SRC of --add is a path of the image, too.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["roots", "library_path"], help_heading = "Source")]
    pub from: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Source")]
    pub reading: ImageArgs,
    /// Pack the images of a slimpack.toml, all or those named
    ///
    /// Other options win over what it says; see slimpack help config.
    #[arg(long, value_name = "FILE", help_heading = "Source")]
    pub config: Option<PathBuf>,

    /// What the image starts [default: the program]
    ///
    /// Words as in a shell, or a JSON list.
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, help_heading = "Image configuration")]
    pub entrypoint: Option<Words>,
    /// Its default arguments, as words or as a JSON list
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, allow_hyphen_values = true, help_heading = "Image configuration")]
    pub cmd: Option<Words>,
    /// Set an environment variable (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env, help_heading = "Image configuration")]
    pub env: Vec<String>,
    /// Run as this user, by name or number
    ///
    /// One with a name gets an entry in /etc/passwd.
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user, help_heading = "Image configuration")]
    pub user: Option<String>,
    /// Start in this folder of the image
    #[arg(hide_short_help = true, short, long, value_name = "PATH", value_parser = values::image_path, help_heading = "Image configuration")]
    pub workdir: Option<String>,
    /// Say that it listens on this port (repeatable)
    #[arg(hide_short_help = true, long, value_name = "PORT[/PROTOCOL]", value_parser = values::port, help_heading = "Image configuration")]
    pub expose: Vec<String>,
    /// Say that this folder is mounted over (repeatable)
    #[arg(hide_short_help = true, long, value_name = "PATH", value_parser = values::image_path, help_heading = "Image configuration")]
    pub volume: Vec<String>,
    /// End it with this signal, such as SIGINT
    #[arg(hide_short_help = true, long, value_name = "SIGNAL", value_parser = values::signal, help_heading = "Image configuration")]
    pub stop_signal: Option<String>,
    /// The command that says whether it is well, as words or as a JSON list
    #[arg(hide_short_help = true, long, value_name = "WORDS", value_parser = values::words, help_heading = "Image configuration")]
    pub healthcheck: Option<Words>,
    /// Annotate the manifest (repeatable)
    #[arg(hide_short_help = true, long = "annotation", value_name = "KEY=VALUE", value_parser = values::label, help_heading = "Image configuration")]
    pub annotations: Vec<(String, String)>,
    /// Say who made the image
    #[arg(
        hide_short_help = true,
        long,
        value_name = "NAME",
        help_heading = "Image configuration"
    )]
    pub author: Option<String>,
    /// The time of everything in the image, in seconds since 1970 or as 2026-01-31T12:00:00Z
    /// [default: SOURCE_DATE_EPOCH, or 1970]
    #[arg(hide_short_help = true, long, value_name = "TIME", value_parser = values::time, help_heading = "Image configuration")]
    pub created: Option<u64>,
    /// Set a label (repeatable)
    #[arg(hide_short_help = true, short, long = "label", value_name = "KEY=VALUE", value_parser = values::label, help_heading = "Image configuration")]
    pub labels: Vec<(String, String)>,

    /// With --config, the options as they were typed.
    #[arg(skip)]
    pub typed: Vec<Typed>,
}
