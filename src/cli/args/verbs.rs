//! Command-line arguments of each verb.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::cli::values::{self, Shard};
use crate::lint::FailOn;
use crate::sbom::SbomTarget;
use crate::source::Root;
use crate::strip::Level;

/// How images are read.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ImageArgs {
    /// Use only this platform of a multi-platform image, such as linux/arm64 [default: all]
    #[arg(
        hide_short_help = true,
        long = "image-platform",
        value_name = "OS/ARCH"
    )]
    pub platform: Option<String>,
    /// Change a limit: members, document, unpacked, ratio, kept, window, images, registry-time (repeatable)
    #[arg(hide_short_help = true, long = "limit", value_name = "NAME=N", value_parser = values::limit)]
    pub limits: Vec<(&'static str, u64)>,
    /// Access this registry without TLS (repeatable)
    #[arg(
        hide_short_help = true,
        long = "insecure-registry",
        value_name = "HOST[:PORT]"
    )]
    pub insecure: Vec<String>,
}

/// Output format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LintFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code-scanning services
    Sarif,
    /// Annotations of a GitHub Actions run
    Github,
    /// GitLab's code quality report
    Gitlab,
    /// JUnit XML: a test case for each finding
    Junit,
}

/// How many images are checked in one run, or in several.
#[derive(Debug, Args)]
pub(in crate::cli) struct ManyArgs {
    /// Check N targets at a time, which share the limits on memory
    ///
    /// The output is the same for any N.
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Keep what is read of layers in registries in DIR, for later runs, which do not fetch them again
    ///
    /// Several processes may use one DIR. Without it, layers are kept for the run if it has several
    /// targets.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Remove what was not used for the longest time from the cache when it exceeds SIZE, such as 500MB
    #[arg(long, value_name = "SIZE", value_parser = values::bytes, default_value = "2GB")]
    pub cache_size: u64,
    /// Check only part I of N of the list; the parts differ by one target at most
    #[arg(long, value_name = "I/N", value_parser = values::shard)]
    pub shard: Option<Shard>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LintArgs {
    /// ELF files, directories, or any images that inspect reads; - for standard input, @FILE for
    /// those that FILE lists, one per line
    #[arg(value_name = "TARGET", required_unless_present_any = ["explain", "list_rules"])]
    pub targets: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: LintFormat,
    /// Exit with status 1 for findings of this severity or worse [default: error]
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Ignore a rule, or its findings about paths and names that match a glob (repeatable)
    #[arg(long, value_name = "RULE[:GLOB]")]
    pub ignore: Vec<String>,
    /// Check only these rules
    #[arg(long, value_name = "RULE,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Check only for missing data that the programs started by an image probably read
    #[arg(long, conflicts_with = "only")]
    pub runtime: bool,
    /// Read ignores from this file [default: slimpack.toml next to the target]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Report only findings that are not in this file, and fail only for them
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write all findings to FILE, for --baseline; none of them fails the run
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// Show what would add missing libraries to an image: lines for its Dockerfile, --add options
    #[arg(long)]
    pub fix_hints: bool,
    /// Take what --fix-hints adds from below DIR instead of this machine
    #[arg(long, value_name = "DIR", requires = "fix_hints")]
    pub from_root: Option<PathBuf>,
    /// Write this file if no target fails; clean targets are then not reported
    #[arg(long, value_name = "FILE")]
    pub stamp: Option<PathBuf>,
    #[command(flatten)]
    pub many: ManyArgs,
    /// Explain a rule: what it means, why it matters, how to fix it
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
    /// A docker or OCI archive, an OCI layout directory, a root directory, a tar of one or an initrd,
    /// compressed or not; - for standard input, docker-daemon:NAME for an image in docker or
    /// podman, docker://NAME for an image in a registry; IMAGE#NAME for one image of several
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write a page of HTML to FILE, for a browser, instead of text; - for standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Show every file, as a tree
    #[arg(long)]
    pub files: bool,
    /// Show every layer with its digests, and the whole history
    #[arg(long, conflicts_with = "json")]
    pub layers: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SbomArgs {
    /// Any image that inspect reads
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Write to FILE, whose name ends in .spdx.json or .cdx.json (repeatable) [default: spdx-json]
    ///
    /// FORMAT=FILE for any other name, and FORMAT for standard output; formats are spdx-json and
    /// cyclonedx-json.
    #[arg(short, long, value_name = "[FORMAT=]FILE", value_parser = SbomTarget::parse)]
    pub output: Vec<SbomTarget>,
    #[command(flatten)]
    pub reading: ImageArgs,
}

/// Where libraries come from.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct SourceArgs {
    /// Take libraries from below DIR instead of this machine
    ///
    /// With ARCH=, only for programs of that architecture. Repeatable.
    #[arg(long = "root", value_name = "[ARCH=]DIR", value_parser = values::root)]
    pub roots: Vec<Root>,
    /// Also search DIR for libraries, like LD_LIBRARY_PATH
    ///
    /// Repeatable.
    #[arg(
        hide_short_help = true,
        short = 'L',
        long = "library-path",
        value_name = "DIR"
    )]
    pub library_path: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NeedsArgs {
    /// Programs to examine; without any, all needs are listed
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON: one object for each FILE
    #[arg(long)]
    pub json: bool,
    /// Assume that this variable is set in the image (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub env: Vec<String>,
    /// Assume that the image is started as this user
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user)]
    pub user: Option<String>,
    /// Also list what a recorded run looked up (repeatable)
    ///
    /// A recording of slimpack trace, or the output of strace -f -e trace=file,desc,process.
    #[arg(long, value_name = "FILE")]
    pub trace_log: Vec<PathBuf>,
    #[command(flatten)]
    pub source: SourceArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    /// Any image that inspect reads
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// A path in the image
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Assume that this program is started, too (repeatable)
    #[arg(long = "program", value_name = "PATH")]
    pub programs: Vec<PathBuf>,
    /// Print JSON: one object for each platform
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CatArgs {
    /// Any image that inspect reads; of several, the one for this machine
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// A file in the image; symbolic links are followed inside it
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Read only layer N; 1 is the lowest [default: all]
    #[arg(long, value_name = "N")]
    pub layer: Option<NonZeroUsize>,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExtractArgs {
    /// Any image that inspect reads; of several, the one for this machine
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Files, links and directories to extract, with what links lead to [default: everything]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Write to this directory, which must not exist or be empty; - for a tar on standard output
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Extract only what layer N holds; 1 is the lowest [default: all layers, applied in order]
    #[arg(long, value_name = "N")]
    pub layer: Option<NonZeroUsize>,
    /// Replace a directory that slimpack wrote and nobody has changed
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TreeArgs {
    /// Programs, shared libraries or images; for an image, the program that it starts
    #[arg(value_name = "FILE|IMAGE", required = true)]
    pub files: Vec<PathBuf>,
    /// Take each FILE from this image
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["roots", "library_path"])]
    pub from: Option<PathBuf>,
    /// Print one JSON object for each FILE
    #[arg(long, conflicts_with = "list")]
    pub json: bool,
    /// Print the graph in the DOT language, for Graphviz
    #[arg(long, conflicts_with_all = ["json", "list", "mermaid"])]
    pub dot: bool,
    /// Print the graph in Mermaid syntax, which code hosts render in Markdown
    #[arg(long, conflicts_with_all = ["json", "list"])]
    pub mermaid: bool,
    /// Print only paths, one per line
    #[arg(long)]
    pub list: bool,
    /// Print which symbol versions each object needs from each other, which are missing, and
    /// the lowest glibc version that the program runs on
    #[arg(long, conflicts_with_all = ["json", "list", "dot", "mermaid"])]
    pub versions: bool,
    /// Print undefined symbols, and needed libraries that are not used
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
    /// Any image that inspect reads, a root directory, or an ELF file
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The image, root directory or ELF file to compare A with
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write a page of HTML to FILE, for a browser, instead of text; - for standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ImageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SizeArgs {
    /// Any images that inspect reads
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
    /// An ELF program or shared library, for any machine
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the result to PATH, which may be FILE itself
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// What to remove: debug, or all, which includes the symbol table
    #[arg(long = "strip", value_name = "LEVEL", value_parser = Level::parse, default_value = "all")]
    pub level: Level,
    /// Save what is removed in debug files below DIR
    #[arg(long, value_name = "DIR")]
    pub debug_file: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell to print completions for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Write a page for each command into this directory [default: print slimpack(1)]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HelpArgs {
    /// A command, or one of the topics that slimpack help lists
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
}
