//! What can be typed.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::values::{self, Words};
use crate::image::Tag;
use crate::lint::FailOn;
use crate::pack::Add;
use crate::source::Root;

/// Turn a Linux program into the smallest container image that still runs it.
#[derive(Debug, Parser)]
#[command(
    name = "slimpack",
    version,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    override_usage = "slimpack [OPTIONS] FILE... [-o OUT]\n       slimpack COMMAND ...",
    after_help = EXAMPLES
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub pack: PackArgs,
    #[command(flatten)]
    pub common: Common,
}

impl Cli {
    /// Reads the command line of this process; exits on help and on misuse.
    pub fn read() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        // The first word that is no flag is the verb, and flags of packing before it
        // would be lost in silence.
        if let Some(verb) = matches.subcommand_name() {
            let stray = matches.ids().find(|id| {
                let id = id.as_str();
                !["verbose", "quiet"].contains(&id)
                    && matches.value_source(id) == Some(ValueSource::CommandLine)
                    && command.get_arguments().any(|arg| arg.get_id() == id)
            });
            if let Some(stray) = stray {
                let message = format!(
                    "--{stray} is an option of packing; options of {verb} stand behind it \
                     (to pack a program called {verb}, write ./{verb})"
                );
                command.error(ErrorKind::ArgumentConflict, message).exit();
            }
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

const EXAMPLES: &str = "\
Examples:
  slimpack ./hello -o hello.tar      pack, then: docker load -i hello.tar
  slimpack /usr/bin/curl             say what the image would hold, write nothing
  slimpack ./app -t app:1.0 -o - | podman load
  slimpack tree ./app                which libraries, and which rule finds each
  slimpack needs ./app               what it reads and opens beside them
  slimpack inspect app.tar           configuration, layers, history, the largest files
  slimpack lint app.tar              would everything in it start?

A program called like a command is ./NAME. Exit status: 0 done, 1 a library is missing or a
check failed, 2 usage, unreadable input or failed output.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show the libraries that a program loads, and the rule that finds each
    Tree(TreeArgs),
    /// List what programs need beside libraries, or which of it a program needs
    Needs(NeedsArgs),
    /// Check whether everything in programs, folders and images would start
    Lint(LintArgs),
    /// Show what is in an image: configuration, layers, history, files by size
    Inspect(InspectArgs),
}

/// How images are read.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// Of an image for several platforms take this one, such as linux/arm64 [default: each]
    #[arg(long = "image-platform", value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Raise a limit for hostile images: members, document, unpacked, ratio, kept (repeatable)
    #[arg(long = "limit", value_name = "NAME=N", value_parser = values::limit)]
    pub limits: Vec<(&'static str, u64)>,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LintFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code-scanning services
    Sarif,
    /// Annotations of a GitHub Actions run
    Github,
}

#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// ELF files, folders, images of any kind that inspect reads; - for standard input
    #[arg(value_name = "TARGET", required_unless_present_any = ["explain", "list_rules"])]
    pub targets: Vec<PathBuf>,
    /// How to write what was found
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: LintFormat,
    /// End with status 1 for findings of this severity and worse [default: error]
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Pass over a rule, or its findings about paths and names that match a glob (repeatable)
    #[arg(long, value_name = "RULE[:GLOB]")]
    pub ignore: Vec<String>,
    /// Check these rules only
    #[arg(long, value_name = "RULE,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Take ignores from this file [default: slimpack.toml beside the target]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Explain a rule: what it means, why it matters, how to mend it
    #[arg(long, value_name = "RULE", conflicts_with = "targets")]
    pub explain: Option<String>,
    /// List all rules
    #[arg(long, conflicts_with = "targets")]
    pub list_rules: bool,
    /// Check as if this variable were set, such as LD_LIBRARY_PATH (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub env: Vec<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A docker or OCI archive, an OCI layout folder, a root folder or a tar of one, compressed
    /// or not; - for standard input
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show every file, as a tree
    #[arg(long)]
    pub files: bool,
    /// Show every layer with its digests and the whole history
    #[arg(long, conflicts_with = "json")]
    pub layers: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Say more: every file and its reason, every path that was tried
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Options")]
    pub verbose: u8,
    /// Say no more than was asked for, and what is wrong
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Options"
    )]
    pub quiet: bool,
}

/// Where libraries come from.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Take libraries from below DIR instead of this machine; with ARCH= for programs of that
    /// architecture only (repeatable)
    #[arg(long = "root", value_name = "[ARCH=]DIR", value_parser = values::root)]
    pub roots: Vec<Root>,
    /// Search DIR for libraries too, as LD_LIBRARY_PATH would (repeatable)
    #[arg(short = 'L', long = "library-path", value_name = "DIR")]
    pub library_path: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PackArgs {
    /// Programs and scripts to pack; the first is the one that the image starts
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Write the image to PATH, - for standard output; without it the plan is printed
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Name the image (repeatable) [default: the program's name]
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = values::tag, help_heading = "Output")]
    pub tags: Vec<Tag>,

    /// Put the program at PATH; a folder when it ends in /
    #[arg(long, value_name = "PATH", value_parser = values::destination, help_heading = "Contents")]
    pub dest: Option<String>,
    /// Add a file, a folder or what a glob matches, at DEST; programs and libraries bring what
    /// they load (repeatable)
    #[arg(long, value_name = "SRC[:DEST]", value_parser = values::add, help_heading = "Contents")]
    pub add: Vec<Add>,
    /// Serve these needs too: what programs read and open by themselves; all, none
    /// (slimpack needs lists them)
    #[arg(
        long = "with",
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub with: Vec<String>,
    /// Do not serve these needs
    #[arg(
        long,
        value_name = "NEED,...",
        value_delimiter = ',',
        help_heading = "Contents"
    )]
    pub without: Vec<String>,
    /// Add this static busybox with a link for each of its commands
    #[arg(long, value_name = "FILE", help_heading = "Contents")]
    pub busybox: Option<PathBuf>,
    /// Leave out what a glob matches; the image is proven afterwards (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Contents")]
    pub exclude: Vec<String>,
    /// Pack the variants of libraries for newer processors too (glibc-hwcaps)
    #[arg(long, help_heading = "Contents")]
    pub hwcaps: bool,
    /// Pack even when libraries are missing
    #[arg(long, help_heading = "Contents")]
    pub allow_missing: bool,
    /// Fail unless the program is static
    #[arg(long, help_heading = "Contents")]
    pub require_static: bool,
    /// Fail when the files of the image have more than BYTES, such as 10MB
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, help_heading = "Contents")]
    pub max_size: Option<u64>,

    /// Print the plan, and what was written, as one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    #[command(flatten, next_help_heading = "Source")]
    pub source: SourceArgs,

    /// What the image starts, as words or as a JSON list [default: the program]
    #[arg(long, value_name = "WORDS", value_parser = values::words, help_heading = "Image configuration")]
    pub entrypoint: Option<Words>,
    /// Its default arguments, as words or as a JSON list
    #[arg(long, value_name = "WORDS", value_parser = values::words, allow_hyphen_values = true, help_heading = "Image configuration")]
    pub cmd: Option<Words>,
    /// Set an environment variable (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env, help_heading = "Image configuration")]
    pub env: Vec<String>,
    /// Run as this user; one with a name gets an entry in /etc/passwd
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user, help_heading = "Image configuration")]
    pub user: Option<String>,
    /// Start in this folder of the image
    #[arg(short, long, value_name = "PATH", value_parser = values::image_path, help_heading = "Image configuration")]
    pub workdir: Option<String>,
    /// Set a label (repeatable)
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = values::label, help_heading = "Image configuration")]
    pub labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct NeedsArgs {
    /// Programs to say it of; without any, all rules are listed
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON: one object for each FILE
    #[arg(long)]
    pub json: bool,
    /// Say it as if this variable were set in the image (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub env: Vec<String>,
    /// Say it as if the image were started as this user
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user)]
    pub user: Option<String>,
    #[command(flatten)]
    pub source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct TreeArgs {
    /// Programs and shared libraries; or images, of which the program that they start is shown
    #[arg(value_name = "FILE|IMAGE", required = true)]
    pub files: Vec<PathBuf>,
    /// Each FILE is a path of this image
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["roots", "library_path"])]
    pub from: Option<PathBuf>,
    /// Print one JSON object for each FILE
    #[arg(long, conflicts_with = "list")]
    pub json: bool,
    /// Print paths only, one a line
    #[arg(long)]
    pub list: bool,
    /// Print which versions each object needs of which other, what is missing, and the
    /// lowest glibc that the program runs on
    #[arg(long, conflicts_with_all = ["json", "list"])]
    pub versions: bool,
    /// Print symbols that nothing defines, and needed libraries of which nothing is used
    #[arg(long, conflicts_with_all = ["json", "list"])]
    pub symbols: bool,
    /// Resolve as if this variable were set, such as LD_LIBRARY_PATH (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub env: Vec<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub reading: ImageArgs,
}
