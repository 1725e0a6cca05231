//! Information about slimpack itself: version, completions, manual pages, the schema of its
//! configuration.

use std::io::Write;
use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::error::CliError;
use crate::output::OutputError;

/// Prints the version; with `verbose`, also build information.
pub(super) fn version(verbose: bool) -> Result<ExitCode, CliError> {
    let mut out = super::stdout();
    writeln!(out, "slimpack {}", env!("CARGO_PKG_VERSION"))?;
    if verbose {
        let linkage = match cfg!(target_feature = "crt-static") {
            true => "static",
            false => "dynamic",
        };
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let features = match cfg!(feature = "registry") {
            true => "registry",
            false => "none",
        };
        writeln!(out, "target: {}", env!("SLIMPACK_TARGET"))?;
        writeln!(out, "linkage: {linkage}")?;
        writeln!(out, "profile: {profile}")?;
        writeln!(out, "features: {features}")?;
        writeln!(
            out,
            "reads: docker and OCI archives, OCI layouts, root directories; gzip, zstd, xz"
        )?;
        writeln!(out, "writes: docker and OCI archives, root directories")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the completion script of a shell.
pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "slimpack", &mut text);
    print(&text)
}

/// Prints slimpack(1), or writes a manual page for each command to a directory.
pub(super) fn man(args: &ManArgs) -> Result<ExitCode, CliError> {
    let Some(folder) = &args.folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(manual()).render(&mut text)?;
        return print(&text);
    };
    let fail = |error| OutputError::Io(folder.clone(), error);
    if !folder.is_dir() {
        let named = folder.join("slimpack.1");
        return Err(OutputError::NoFolder(named, folder.clone()).into());
    }
    clap_mangen::generate_to(manual(), folder).map_err(fail)?;
    Ok(ExitCode::SUCCESS)
}

/// The commands, as the manual shows them: clap_mangen takes an option that the short help leaves out for one
/// without help.
fn manual() -> Command {
    let shown = |arg: Arg| arg.hide_short_help(false);
    let verb = |verb: Command| verb.mut_args(shown);
    Cli::command().mut_args(shown).mut_subcommands(verb)
}

/// Prints the JSON schema of `slimpack.toml`.
pub(super) fn schema() -> Result<ExitCode, CliError> {
    let mut text =
        serde_json::to_vec_pretty(&super::pack::schema()).map_err(std::io::Error::from)?;
    text.push(b'\n');
    print(&text)
}

fn print(text: &[u8]) -> Result<ExitCode, CliError> {
    let mut out = super::stdout();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The names of all commands.
pub(super) fn verbs() -> Vec<String> {
    let command = Cli::command();
    let verbs = command.get_subcommands();
    verbs.map(|verb| verb.get_name().to_owned()).collect()
}
