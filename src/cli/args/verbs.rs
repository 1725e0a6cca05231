//! What can be typed behind each verb.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::cli::values;
use crate::lint::FailOn;
use crate::source::Root;
use crate::strip::Level;

/// How images are read.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImageArgs {
    /// Of an image for several platforms take this one, such as linux/arm64 [default: each]
    #[arg(
        hide_short_help = true,
        long = "image-platform",
        value_name = "OS/ARCH"
    )]
    pub platform: Option<String>,
    /// Raise a limit for hostile images: members, document, unpacked, ratio, kept (repeatable)
    #[arg(hide_short_help = true, long = "limit", value_name = "NAME=N", value_parser = values::limit)]
    pub limits: Vec<(&'static str, u64)>,
    /// Speak to this registry without TLS (repeatable)
    #[arg(
        hide_short_help = true,
        long = "insecure-registry",
        value_name = "HOST[:PORT]"
    )]
    pub insecure: Vec<String>,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LintFormat {
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
pub(in crate::cli) struct LintArgs {
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
    /// Check only for data that the programs an image starts probably read and that is not there
    #[arg(long, conflicts_with = "only")]
    pub runtime: bool,
    /// Take ignores from this file [default: slimpack.toml beside the target]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write this file when no target fails; then clean targets are not told of
    #[arg(long, value_name = "FILE")]
    pub stamp: Option<PathBuf>,
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
pub(in crate::cli) struct InspectArgs {
    /// A docker or OCI archive, an OCI layout folder, a root folder or a tar of one, compressed
    /// or not; - for standard input, docker-daemon:NAME for one of docker's or podman's,
    /// docker://NAME for one in a registry
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

/// Where libraries come from.
#[derive(Debug, Args)]
pub(in crate::cli) struct SourceArgs {
    /// Take libraries from below DIR instead of this machine
    ///
    /// With ARCH= for programs of that architecture only. Repeatable.
    #[arg(long = "root", value_name = "[ARCH=]DIR", value_parser = values::root)]
    pub roots: Vec<Root>,
    /// Search DIR for libraries too, as LD_LIBRARY_PATH would
    ///
    /// Repeatable.
    #[arg(short = 'L', long = "library-path", value_name = "DIR")]
    pub library_path: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NeedsArgs {
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
pub(in crate::cli) struct WhyArgs {
    /// An image of any kind that inspect reads
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// A path of the image
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Take this for a program that is started, too (repeatable)
    #[arg(long = "program", value_name = "PATH")]
    pub programs: Vec<PathBuf>,
    /// Print JSON: one object for each platform
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TreeArgs {
    /// Programs and shared libraries; or images, of which the program that they start is shown
    #[arg(value_name = "FILE|IMAGE", required = true)]
    pub files: Vec<PathBuf>,
    /// Each FILE is a path of this image
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["roots", "library_path"])]
    pub from: Option<PathBuf>,
    /// Print one JSON object for each FILE
    #[arg(long, conflicts_with = "list")]
    pub json: bool,
    /// Print the graph in the DOT language, for Graphviz
    #[arg(long, conflicts_with_all = ["json", "list", "mermaid"])]
    pub dot: bool,
    /// Print the graph for Mermaid, as code hosts draw it in Markdown
    #[arg(long, conflicts_with_all = ["json", "list"])]
    pub mermaid: bool,
    /// Print paths only, one a line
    #[arg(long)]
    pub list: bool,
    /// Print which versions each object needs of which other, what is missing, and the
    /// lowest glibc that the program runs on
    #[arg(long, conflicts_with_all = ["json", "list", "dot", "mermaid"])]
    pub versions: bool,
    /// Print symbols that nothing defines, and needed libraries of which nothing is used
    #[arg(long, conflicts_with_all = ["json", "list", "dot", "mermaid"])]
    pub symbols: bool,
    /// Resolve as if this variable were set, such as LD_LIBRARY_PATH (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub env: Vec<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// An image of any kind that inspect reads, a root folder, or an ELF file
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SizeArgs {
    /// Images of any kind that inspect reads
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StripArgs {
    /// An ELF program or shared library, of any machine
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the result to PATH, which may be FILE itself
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// What goes: debug, or all, which is the symbol table too
    #[arg(long = "strip", value_name = "LEVEL", value_parser = Level::parse, default_value = "all")]
    pub level: Level,
    /// Keep what goes in files for debuggers below DIR
    #[arg(long, value_name = "DIR")]
    pub debug_file: Option<PathBuf>,
    /// Print what was done as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Write a page for each command into this folder [default: print slimpack(1)]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HelpArgs {
    /// A command, or one of the topics that slimpack help lists
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
}
