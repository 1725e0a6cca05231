//! The command-line arguments.

mod pack;
mod run;
mod runs;
mod tests;
mod typed;
mod verbs;

pub(super) use pack::PackArgs;
pub(super) use run::{NetworkMode, RuntimeName, TryArgs};
pub(super) use runs::{RunArgs, TraceArgs};
pub(super) use typed::{Typed, is_of_a_run, is_repeatable, may_lack_value, takes_booleans};
pub(super) use verbs::{
    CatArgs, CompletionsArgs, DiffArgs, ExtractArgs, HelpArgs, ImageArgs, InspectArgs, LintArgs,
    LintFormat, ManArgs, ManyArgs, NeedsArgs, SbomArgs, SizeArgs, SourceArgs, StripArgs, TreeArgs,
    WhyArgs,
};

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Turn a Linux program into the smallest container image that still runs it.
#[derive(Debug, Parser)]
#[command(
    name = "slimpack",
    disable_version_flag = true,
    disable_help_flag = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    override_usage = "slimpack [OPTIONS] FILE... [-o OUT]\n       slimpack COMMAND ...",
    after_help = MORE,
    after_long_help = EXAMPLES
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub line: Line,
}

/// A command line without a verb, and the options common to all.
#[derive(Debug, Args)]
pub(super) struct Line {
    #[command(flatten)]
    pub pack: PackArgs,
    #[command(flatten)]
    pub common: Common,
    /// Print the version; with -v, also print build information
    #[arg(short = 'V', long, help_heading = "Common options")]
    pub version: bool,
    /// Print help (see more with --help)
    #[arg(short, long, global = true, action = clap::ArgAction::Help, help_heading = "Common options")]
    help: Option<bool>,
}

impl Cli {
    /// Reads the command line of this process; exits on help and on misuse.
    pub fn read() -> Self {
        let typed: Vec<OsString> = std::env::args_os().collect();
        if let Some(cli) = Self::packing(&typed) {
            return cli;
        }
        let mut command = Self::command();
        let (line, unset) = typed::split(&command, typed.iter().cloned());
        let parse = |line: &[OsString]| {
            // Otherwise the help of a command would show `=true` and `=false` at each flag.
            takes_booleans(command.clone())
                .try_get_matches_from(line)
                .or_else(|_| command.clone().try_get_matches_from(line))
                .unwrap_or_else(|said| exit(&said))
        };
        let mut matches = parse(&line);
        // A verb has its own --config, and nothing to unset.
        if matches.subcommand_name().is_some() && !unset.is_empty() {
            matches = parse(&typed);
        }
        // The first word that is not a flag is the verb; packing flags before it would
        // be silently lost.
        if let Some(verb) = matches.subcommand_name() {
            let stray = matches.ids().find(|id| {
                let id = id.as_str();
                !["verbose", "quiet", "color"].contains(&id)
                    && matches.value_source(id) == Some(ValueSource::CommandLine)
                    && command.get_arguments().any(|arg| arg.get_id() == id)
            });
            if let Some(stray) = stray {
                let message = format!(
                    "--{stray} applies only to packing; put options of {verb} after it \
                     (to pack a program named {verb}, write ./{verb})"
                );
                command.error(ErrorKind::ArgumentConflict, message).exit();
            }
        }
        let mut cli = Self::of(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
        let pack = &mut cli.line.pack;
        if pack.config.is_some() {
            pack.typed = typed::words(&command, &matches);
            pack.typed.extend(unset);
        }
        cli
    }

    /// The options of a program that is packed without any.
    pub fn packing_only(program: &Path) -> Option<PackArgs> {
        let words = [
            OsStr::new("slimpack"),
            OsStr::new("--"),
            program.as_os_str(),
        ];
        Self::packing(&words.map(OsStr::to_owned)).map(|cli| cli.line.pack)
    }

    /// The parsed line, with what belongs to each test.
    pub fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        if matches.subcommand_name().is_none() {
            tests::attach(matches, &mut cli.line.pack.runs)?;
        }
        Ok(cli)
    }

    /// Parses a valid line without a verb and without --config. Setting up the options of all verbs
    /// takes as long as planning the image of a small program.
    fn packing(typed: &[OsString]) -> Option<Self> {
        let is_verb = |word: &OsString| word.to_str().is_some_and(Verb::has_subcommand);
        if typed.iter().any(is_verb) {
            return None;
        }
        let command = Command::new("slimpack")
            .disable_version_flag(true)
            .disable_help_flag(true);
        let matches = takes_booleans(Line::augment_args(command))
            .try_get_matches_from(typed)
            .ok()?;
        let cli = Self::of(&matches).ok()?;
        cli.line.pack.config.is_none().then_some(cli)
    }
}

const MORE: &str = "\
All options and examples: slimpack --help. Makefiles: slimpack help make. Write ./NAME for a program
named like a command. Exit status: 0 success, 1 library missing or check failed, 2 any other error.";

const EXAMPLES: &str = "\
Examples:
  slimpack ./hello -o hello.tar      pack, then: docker load -i hello.tar
  slimpack /usr/bin/curl             show what the image would hold; write nothing
  slimpack ./app -t app:1.0 -o - | podman load
  slimpack ./app -u 1000 -w /data    run as a user, in a directory that the user may write to
  slimpack ./app -u 1000 --add key:/etc/key,chown=1000,chmod=0400
  slimpack /usr/bin/ping -u 1000     keeps the capability that the file has (setcap)
  slimpack tree ./app                the libraries it loads, and the rule that finds each
  slimpack needs ./app               what else it reads and opens
  slimpack inspect app.tar           configuration, layers, history, the largest files
  slimpack extract app.tar -o root   its files; slimpack cat app.tar PATH prints one
  slimpack lint app.tar              check that everything in it would start
  slimpack app -o app.tar --depfile  for a Makefile; see slimpack help make
  slimpack --config slimpack.toml    pack every image in a file; see slimpack help config

More: slimpack help TOPIC, where TOPIC is make, ninja, cmake, docker or config, or
slimpack.mk, slimpack.cmake or slimpack.bzl, which are files for builds.
SLIMPACK_LOG=debug logs the search for libraries, like LD_DEBUG=libs.

To pack a program named like a command, write ./NAME. Exit status: 0 success, 1 a library is
missing or a check failed, 2 usage error, unreadable input or failed output.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show the libraries that a program loads, and the rule that finds each
    #[command(
        after_help = "Examples:\n  slimpack tree ./app                 which object needs what, and the rule that finds it\n  slimpack tree -q --versions ./app   only problems\n  slimpack tree app.tar               what the image's entrypoint loads"
    )]
    Tree(TreeArgs),
    /// Explain why a file is in an image: every chain to it from what the image starts
    #[command(
        after_help = "Examples:\n  slimpack why app.tar /usr/lib/x86_64-linux-gnu/libz.so.1\n  slimpack why app.tar /usr/bin/perl   nothing leads to it; how much could be saved\n\nExit status: 0 something leads to it, 1 nothing does, 2 any other error."
    )]
    Why(WhyArgs),
    /// List what programs can need besides libraries, or what a given program needs
    #[command(
        after_help = "Examples:\n  slimpack needs                      all needs: the sign of each, and what it adds\n  slimpack needs ./app                the needs that this program shows signs of\n  slimpack needs ./app -u www-data -e TZ=Europe/Paris"
    )]
    Needs(NeedsArgs),
    /// Check whether everything in programs, directories and images would start
    #[command(
        after_help = "Examples:\n  slimpack lint app.tar               check that everything in it would start\n  slimpack lint ./build/bin           check its programs, on this machine\n  slimpack lint app.tar --format sarif --fail-on never > app.sarif\n  slimpack lint --explain SP001       what a rule means, and how to fix it"
    )]
    Lint(LintArgs),
    /// Show what is in an image: configuration, layers, history, files by size
    #[command(
        after_help = "Examples:\n  slimpack inspect app.tar            configuration, layers, the largest files\n  slimpack inspect --files app.tar    every file, as a tree\n  slimpack inspect --html app.html app.tar    a page for a browser: map of bytes, graph, findings\n  docker save app | slimpack inspect -"
    )]
    Inspect(InspectArgs),
    /// Compare two images, roots or ELF files: files, modes, links, content, configuration
    #[command(
        after_help = "Examples:\n  slimpack diff app-1.tar app-2.tar   what a new release changes\n  slimpack diff app.tar ./root        an image and a directory\n  slimpack diff --html changes.html app-1.tar app-2.tar    a page for a browser\n  slimpack diff libz.so.1.2 libz.so.1.3   needed libraries, versions, sections\n\nExit status: 0 equal, 1 different, 2 any other error."
    )]
    Diff(DiffArgs),
    /// Compare images in a table: layers, files, bytes uncompressed and compressed
    #[command(
        after_help = "Examples:\n  slimpack size app.tar app-slim.tar  the ratio is that of the uncompressed bytes\n  slimpack size --json docker-daemon:app"
    )]
    Size(SizeArgs),
    /// Write a bill of materials of an image, in SPDX or CycloneDX
    #[command(
        after_help = "Examples:\n  slimpack sbom app.tar > app.spdx.json\n  slimpack sbom app.tar -o app.spdx.json -o app.cdx.json\n  slimpack sbom docker-daemon:nginx:1 -o cyclonedx-json | grype\n  slimpack ./app -o app.tar --sbom app.spdx.json    at the same time as the image"
    )]
    Sbom(SbomArgs),
    /// Print a file of an image
    #[command(
        after_help = "Examples:\n  slimpack cat app.tar /etc/passwd\n  slimpack cat docker-daemon:app /usr/bin/app > app\n  slimpack cat --layer 2 app.tar /etc/motd   as layer 2 has it, also if a later one replaces it\n\nNothing is printed of an image whose digests do not match."
    )]
    Cat(CatArgs),
    /// Extract an image, or some of its paths, to a directory or a tar
    #[command(
        after_help = "Examples:\n  slimpack extract app.tar -o root\n  slimpack extract app.tar /etc /usr/bin/app -o root   with the directories above them\n  slimpack extract --layer 2 app.tar -o layer   what layer 2 adds and replaces\n  slimpack extract app.tar /etc -o - | tar -tv\n\nThe directory appears complete or not at all. Nothing is written outside it: links of the image are\nresolved inside the image, never on this machine. Root gives files their owners, setuid bits and\ncapabilities; other users own what they extract. Device nodes and FIFOs are left out and reported.\nAs for --format rootfs, a receipt, .DIR.slimpack, is written next to DIR for --force."
    )]
    Extract(ExtractArgs),
    /// Run a command and record which files it looks up, for --trace-log
    #[command(
        after_help = "Examples:\n  slimpack trace -o app.trace -- ./app --selftest\n  slimpack ./app --trace-log app.trace -o app.tar\n  slimpack trace -o app.trace --only /usr/bin/app -- sh test.sh\n\nThe command runs on this machine, as this user; no privileges are needed. Processes that it leaves\nrunning are killed, as in a container. Exit status: 0 recorded, 1 the command failed, 2 any other error."
    )]
    Trace(TraceArgs),
    /// Run an image or a program, without a container engine
    #[command(
        override_usage = "slimpack run [OPTIONS] IMAGE|FILE [ARG]...",
        after_help = "Examples:\n  slimpack run app.tar                         what the image starts\n  slimpack run ./app --version                 pack a program and run it at once\n  slimpack run -it --entrypoint sh app.tar     a shell in the image, if it has one\n  slimpack run -v $PWD:/data:ro -w /data app.tar ls\n  slimpack run --network host app.tar          a server that this machine reaches\n  slimpack run --check                         what is possible here\n\nThe program runs in namespaces of its own, with docker's default capabilities and device nodes, and\nmay not gain privileges; no privileges are needed. Its files are in memory, and gone when it ends.\nExit status: that of the program, 128 and the number of the signal that ended it, 125 if it was not\nrun, 126 if it cannot be executed, 127 if it is not in the image."
    )]
    Run(TryArgs),
    /// Strip debug information and the symbol table from a program or library
    #[command(
        after_help = "Examples:\n  slimpack strip app -o app.small\n  slimpack strip app -o app --debug-file debug    then: gdb -iex 'set debug-file-directory debug' app\n\nWhat is loaded stays identical, byte for byte. A file that holds its own data after its\nsections, such as a self-extracting program, is copied unchanged."
    )]
    Strip(StripArgs),
    /// Print shell completions
    #[command(
        after_help = "Examples:\n  slimpack completions bash > /etc/bash_completion.d/slimpack"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    #[command(
        after_help = "Examples:\n  slimpack man | man -l -\n  slimpack man /usr/local/share/man/man1"
    )]
    Man(ManArgs),
    /// Print the JSON schema of slimpack.toml, for editors
    #[command(after_help = "Examples:\n  slimpack schema > slimpack.schema.json")]
    Schema,
    /// Print help about a command or a topic: make, ninja, cmake, docker, config
    #[command(
        after_help = "Examples:\n  slimpack help make                  images in a Makefile\n  slimpack help slimpack.mk > slimpack.mk\n  slimpack help lint                  same as slimpack lint --help"
    )]
    Help(HelpArgs),
}

/// Options common to all verbs.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Print more: every file and its reason, every path that was tried
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub verbose: u8,
    /// Print only the requested output and problems
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Common options"
    )]
    pub quiet: bool,
    #[command(flatten, next_help_heading = "Common options")]
    pub color: colorchoice_clap::Color,
}

/// Prints help or a usage error, and ends the process: with 2 if the help cannot be written, a
/// failure that `clap::Error::exit` ignores.
fn exit(said: &clap::Error) -> ! {
    let status = match said.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            super::say(|err| writeln!(err, "error: cannot write to standard output: {error}"));
            2
        }
        _ => said.exit_code(),
    };
    std::process::exit(status)
}
