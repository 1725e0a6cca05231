//! `slimpack run --runtime`: another program runs the image.
//!
//! In: an image that can be started, and the options of the run. Out: the exit status of runc, crun,
//! podman or docker, which get a bundle or an archive of the image in a temporary directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use serde_json::{Value, json};

use super::args::{NetworkMode, RuntimeName, TryArgs};
use super::error::CliError;
use super::inspect;
use crate::engine::EngineError;
use crate::exec::Start;
use crate::output::Scratch;
use crate::run::{IdMap, Ids, default_capabilities};
use crate::trial::{self, Startable};

impl RuntimeName {
    fn command(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}

/// Has a runtime run a bundle of the image.
pub(super) fn run_bundle(
    runtime: RuntimeName,
    image: &Startable,
    start: &Start,
    args: &TryArgs,
) -> Result<ExitCode, CliError> {
    let name = runtime.command();
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::Usage(format!(
            "--runtime {name} needs root; use --runtime podman, or slimpack run without --runtime"
        )));
    }
    let ids = trial::ids(&image.view, start)?;
    let scratch = Scratch::new().map_err(|error| failed(name, error))?;
    let root = scratch.path().join("rootfs");
    fs::create_dir(&root).map_err(|error| failed(name, error))?;
    trial::unpack(image, &root, &IdMap::for_program(&ids)).map_err(CliError::Usage)?;
    let config = bundle_config(image, start, &ids, args).to_string();
    fs::write(scratch.path().join("config.json"), config).map_err(|error| failed(name, error))?;
    let id = format!("slimpack-{}", std::process::id());
    let log = scratch.path().join("log");
    let mut command = Command::new(name);
    command.arg("--root").arg(scratch.path().join("state"));
    command
        .arg("--log")
        .arg(&log)
        .args(["--log-format", "json"]);
    command
        .args(["run", "--bundle"])
        .arg(scratch.path())
        .arg(id);
    let ended = finish(name, command, args)?;
    // Its own errors have the statuses of programs.
    match refusal(&log) {
        Some(why) if ended != ExitCode::SUCCESS => Err(CliError::Usage(format!(
            "{name} cannot run the image: {why}; run it without --runtime"
        ))),
        _ => Ok(ended),
    }
}

/// The first error in the log of a runtime.
fn refusal(log: &Path) -> Option<String> {
    /// The longest log that is read, in bytes.
    const MAX_LOG: u64 = 1 << 20;
    let mut text = String::new();
    let file = File::open(log).ok()?;
    file.take(MAX_LOG).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let is_error = ["error", "fatal"]
            .iter()
            .any(|level| entry["level"] == *level);
        entry["msg"]
            .as_str()
            .filter(|_| is_error)
            .map(str::to_owned)
    })
}

/// Has an engine load and run an image.
pub(super) fn run_image(runtime: RuntimeName, args: &TryArgs) -> Result<ExitCode, CliError> {
    let name = runtime.command();
    let Some(path) = &args.image else {
        return Err(CliError::Usage("name an image to run".to_owned()));
    };
    let reference = match inspect::reference(path) {
        Some(reference) => reference.to_owned(),
        None => load(name, path)?,
    };
    let mut command = Command::new(name);
    command.args(["run", "--rm"]);
    command.args(["--network", network(args)]);
    for variable in &args.env {
        command.arg("-e").arg(variable);
    }
    if let Some(user) = &args.user {
        command.arg("-u").arg(user);
    }
    if let Some(directory) = &args.workdir {
        command.arg("-w").arg(directory);
    }
    if let Some(entrypoint) = &args.entrypoint {
        command.arg("--entrypoint").arg(entrypoint);
    }
    for volume in &args.volumes {
        let mut text = volume.source.clone().into_os_string();
        text.push(":");
        text.push(&volume.destination);
        text.push(if volume.is_read_only { ":ro" } else { "" });
        command.arg("-v").arg(text);
    }
    for (is_set, flag) in [
        (args.read_only, "--read-only"),
        (args.interactive, "-i"),
        (args.terminal, "-t"),
    ] {
        command.args(is_set.then_some(flag));
    }
    command.arg("--").arg(reference).args(&args.arguments);
    finish(name, command, args)
}

fn network(args: &TryArgs) -> &'static str {
    match args.network {
        NetworkMode::None => "none",
        NetworkMode::Host => "host",
    }
}

/// Loads an archive; returns its name in the engine.
fn load(name: &'static str, path: &Path) -> Result<String, CliError> {
    let file = File::open(path).map_err(|error| CliError::File(path.to_path_buf(), error))?;
    let mut command = Command::new(name);
    let command = command.args(["load", "--quiet"]).stdin(Stdio::from(file));
    let said = command.output().map_err(|error| failed(name, error))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let loaded = text.lines().rev().find_map(|line| line.split_once(": "));
    match (said.status.success(), loaded) {
        (true, Some((_, loaded))) => Ok(loaded.trim().to_owned()),
        _ => Err(CliError::Usage(format!(
            "{name} cannot load {}: {}",
            path.display(),
            String::from_utf8_lossy(&said.stderr).trim()
        ))),
    }
}

fn failed(name: &'static str, error: std::io::Error) -> CliError {
    let program = PathBuf::from(name);
    CliError::Engine(EngineError::Start { program, error })
}

/// Waits for a runtime, which has the streams and the signals of this process.
fn finish(name: &'static str, mut command: Command, args: &TryArgs) -> Result<ExitCode, CliError> {
    if !args.interactive {
        command.stdin(Stdio::null());
    }
    let status = command.status().map_err(|error| failed(name, error))?;
    Ok(ExitCode::from(code(status)))
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// The configuration of a bundle (`config.md` of the OCI runtime specification).
fn bundle_config(image: &Startable, start: &Start, ids: &Ids, args: &TryArgs) -> Value {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
    ];
    for volume in &args.volumes {
        let access = if volume.is_read_only { "ro" } else { "rw" };
        mounts.push(json!({
            "destination": volume.destination, "type": "bind", "source": volume.source,
            "options": ["rbind", access],
        }));
    }
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if args.network == NetworkMode::None {
        namespaces.push("network");
    }
    let namespaces = namespaces.into_iter().map(|kind| json!({ "type": kind }));
    let given = default_capabilities();
    let kept: &[&str] = if ids.uid == 0 { &given } else { &[] };
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": args.read_only },
        "hostname": "slimpack",
        "process": {
            "terminal": args.terminal,
            "user": { "uid": ids.uid, "gid": ids.gid(), "additionalGids": ids.gids.get(1..).unwrap_or_default() },
            "args": start.words,
            "env": trial::environment(&image.view, start, args.terminal),
            "cwd": start.working_dir,
            "noNewPrivileges": true,
            "capabilities": { "bounding": given, "effective": kept, "permitted": kept },
        },
        "mounts": mounts,
        "linux": { "namespaces": namespaces.collect::<Vec<_>>() },
    })
}
