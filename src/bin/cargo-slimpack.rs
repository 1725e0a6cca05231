//! `cargo slimpack`: builds programs with cargo, and packs each of them with slimpack.
//!
//! In: options of cargo, and after `--` options of slimpack. Out: the images that `cargo build` and
//! `slimpack` would make, each next to its program.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use cargo_metadata::{Message, TargetKind};
use clap::{Args, Parser};

/// cargo calls `cargo-slimpack slimpack …`.
#[derive(Parser)]
#[command(name = "cargo", bin_name = "cargo")]
enum Cargo {
    /// Build programs, and pack each into the smallest container image that still runs it
    ///
    /// Each image is written next to its program: target/release/app.tar.
    #[command(version)]
    Slimpack(CargoArgs),
}

#[derive(Args)]
struct CargoArgs {
    /// Pack only this program (repeatable) [default: all programs of the selected packages]
    #[arg(long, value_name = "NAME")]
    bin: Vec<String>,
    /// Write the images to DIR
    #[arg(short, long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    #[command(flatten)]
    build: BuildArgs,
    /// Options of slimpack, such as -u 1000; see slimpack --help
    #[arg(last = true, value_name = "SLIMPACK OPTIONS")]
    slimpack: Vec<OsString>,
}

/// Options that `cargo build` gets as they are.
#[derive(Args)]
#[command(next_help_heading = "Options of cargo build")]
struct BuildArgs {
    /// Package to build (repeatable)
    #[arg(short, long, value_name = "SPEC")]
    package: Vec<String>,
    /// Build all packages of the workspace
    #[arg(long)]
    workspace: bool,
    /// Build with the release profile; this is the default
    #[arg(short, long, conflicts_with = "profile")]
    release: bool,
    /// Build with this profile
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,
    /// Build for this target
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Features to activate (repeatable)
    #[arg(short = 'F', long, value_name = "FEATURES")]
    features: Vec<String>,
    /// Activate all features
    #[arg(long)]
    all_features: bool,
    /// Do not activate the default feature
    #[arg(long)]
    no_default_features: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Number of parallel jobs
    #[arg(short, long, value_name = "N")]
    jobs: Option<String>,
    /// Assert that Cargo.lock does not change
    #[arg(long)]
    locked: bool,
    /// Run without the network
    #[arg(long)]
    offline: bool,
    /// Both --locked and --offline
    #[arg(long)]
    frozen: bool,
}

impl BuildArgs {
    fn words(&self) -> Vec<OsString> {
        let mut words = vec!["--profile".into(), self.profile.clone().into()];
        let mut add = |name: &str, values: Vec<OsString>| {
            for value in values {
                words.extend([name.into(), value]);
            }
        };
        let texts = |texts: &[String]| texts.iter().map(OsString::from).collect();
        add("--package", texts(&self.package));
        add("--features", texts(&self.features));
        add("--target", texts(self.target.as_slice()));
        add("--jobs", texts(self.jobs.as_slice()));
        let manifest = self.manifest_path.iter().map(OsString::from);
        add("--manifest-path", manifest.collect());
        for (is_set, flag) in [
            (self.workspace, "--workspace"),
            (self.all_features, "--all-features"),
            (self.no_default_features, "--no-default-features"),
            (self.locked, "--locked"),
            (self.offline, "--offline"),
            (self.frozen, "--frozen"),
        ] {
            words.extend(is_set.then(|| flag.into()));
        }
        words
    }
}

/// Why nothing can be packed.
enum Refusal {
    /// cargo has said why.
    Build(ExitStatus),
    /// What to say.
    Other(String),
}

fn not_started(program: &Path, error: &io::Error) -> Refusal {
    Refusal::Other(format!("cannot start {}: {error}", program.display()))
}

fn not_read(error: io::Error) -> Refusal {
    Refusal::Other(format!("cannot read what cargo reports: {error}"))
}

fn main() -> ExitCode {
    let Cargo::Slimpack(options) = Cargo::parse();
    run(&options).unwrap_or_else(|refusal| match refusal {
        Refusal::Build(status) => code(status),
        Refusal::Other(text) => {
            eprintln!("error: {text}");
            ExitCode::from(2)
        }
    })
}

/// Packs all programs, also if one of them cannot be packed; the status is that of the first that
/// cannot.
fn run(options: &CargoArgs) -> Result<ExitCode, Refusal> {
    let slimpack = slimpack();
    let mut failed = None;
    for program in programs(options)? {
        let mut image = match (&options.out_dir, program.file_name()) {
            (Some(directory), Some(name)) => directory.join(name),
            _ => program.clone(),
        }
        .into_os_string();
        image.push(".tar");
        let mut command = Command::new(&slimpack);
        command.arg(&program).arg("-o").arg(image);
        let status = command
            .args(&options.slimpack)
            .status()
            .map_err(|error| not_started(&slimpack, &error))?;
        failed = failed.or((!status.success()).then_some(status));
    }
    Ok(failed.map_or(ExitCode::SUCCESS, code))
}

/// Has cargo build the programs; their paths, in the order of their names.
fn programs(options: &CargoArgs) -> Result<Vec<PathBuf>, Refusal> {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(&cargo);
    command.args(["build", "--message-format=json-render-diagnostics"]);
    command.args(options.build.words());
    match options.bin.is_empty() {
        true => _ = command.arg("--bins"),
        false => options.bin.iter().for_each(|name| {
            command.args(["--bin", name]);
        }),
    }
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| not_started(&cargo, &error))?;
    let mut programs = Vec::new();
    if let Some(report) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(report)) {
            if let Message::CompilerArtifact(built) = message.map_err(not_read)?
                && built.target.kind.contains(&TargetKind::Bin)
            {
                programs.extend(built.executable.map(PathBuf::from));
            }
        }
    }
    let status = child.wait().map_err(not_read)?;
    if !status.success() {
        return Err(Refusal::Build(status));
    }
    programs.sort();
    programs.dedup();
    match programs.is_empty() {
        true => Err(Refusal::Other(
            "the selected packages have no program (a [[bin]] target, or src/main.rs)".to_owned(),
        )),
        false => Ok(programs),
    }
}

/// The slimpack that was installed together with this program; otherwise that of `PATH`.
fn slimpack() -> PathBuf {
    let beside = env::current_exe().map(|own| own.with_file_name("slimpack"));
    let beside = beside.ok().filter(|path: &PathBuf| Path::is_file(path));
    beside.unwrap_or_else(|| PathBuf::from("slimpack"))
}

fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}
