//! Command-line arguments of `slimpack run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ImageArgs;
use crate::cli::values;
use crate::run::Volume;

/// The network of a program that is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum NetworkMode {
    /// A loopback interface only
    #[default]
    None,
    /// That of this machine
    Host,
}

/// What runs an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum RuntimeName {
    /// runc, which needs root
    Runc,
    /// crun
    Crun,
    /// podman
    Podman,
    /// docker
    Docker,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TryArgs {
    /// Any image that inspect reads, or a program to pack
    #[arg(value_name = "IMAGE|FILE", required_unless_present = "check")]
    pub image: Option<PathBuf>,
    /// Arguments in place of the default ones
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub arguments: Vec<String>,
    /// Set a variable; without =VALUE, to its value here (repeatable)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = values::env_or_own)]
    pub env: Vec<String>,
    /// Run as this user, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = values::user)]
    pub user: Option<String>,
    /// Working directory; created if it is not in the image
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Start this program instead of the entrypoint
    #[arg(long, value_name = "CMD")]
    pub entrypoint: Option<String>,
    /// Show a file or directory of this machine to the program (repeatable)
    #[arg(short = 'v', long = "volume", value_name = "SRC:DEST[:ro]", value_parser = values::mounted)]
    pub volumes: Vec<Volume>,
    /// Network of the program
    #[arg(long, value_name = "MODE", value_enum, default_value = "none")]
    pub network: NetworkMode,
    /// Do not let the program write to the files of the image
    #[arg(long)]
    pub read_only: bool,
    /// Pass standard input on to the program
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the program a terminal
    #[arg(short = 't', long = "tty")]
    pub terminal: bool,
    /// Kill the program if it takes longer, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = values::seconds)]
    pub timeout: Option<u64>,
    /// If the program fails, print the likeliest cause, and the options of slimpack that add what it lacks
    #[arg(long)]
    pub diagnose: bool,
    /// With --diagnose, look for what is missing in this image [default: on this machine]
    #[arg(long, value_name = "IMAGE", requires = "diagnose")]
    pub from: Option<PathBuf>,
    /// Hand the image over to a runtime or engine of this machine
    #[arg(long, value_name = "NAME", value_enum)]
    pub runtime: Option<RuntimeName>,
    /// Print what slimpack run can do here, and exit
    #[arg(long, conflicts_with = "image")]
    pub check: bool,
    // Not -v, which docker and this command use for volumes.
    /// Print more
    #[arg(long = "verbose", action = clap::ArgAction::Count, help_heading = "Common options")]
    pub verbose: u8,
    #[command(flatten)]
    pub reading: ImageArgs,
}
