//! Images under `slimpack run`, compared with runc.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{self, have, output, text};
use crate::{machine, program_runs};
use program_runs::{Run, Stage, TREES};

/// The user who runs an image.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Runner {
    Root,
    /// A user without any IDs but its own.
    Nobody,
    /// A user with further IDs in `/etc/subuid` and `/etc/subgid`.
    Subordinate,
}

/// Programs that become other users, or give files to them: one ID is not enough.
const OF_SEVERAL_USERS: [&str; 3] = ["nginx", "su", "sudo"];

impl Runner {
    /// `slimpack run` by this user.
    fn command(self, slimpack: &Path) -> Command {
        match self {
            Self::Root => Command::new(slimpack),
            Self::Nobody => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                command.arg(slimpack);
                command
            }
            Self::Subordinate => {
                let mut command = Command::new("unshare");
                let script = "mount --bind $0 /etc/subuid && mount --bind $0 /etc/subgid && exec setpriv \
                              --reuid=65534 --regid=65534 --clear-groups \"$@\"";
                command.args(["-m", "sh", "-ec", script]);
                command.arg(slimpack.with_file_name("ids")).arg(slimpack);
                command
            }
        }
    }
}

/// A directory that every user may read, which contains slimpack.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("slimpack");
    fs::hard_link(env!("CARGO_BIN_EXE_slimpack"), &copy)
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_slimpack"), &copy).map(drop))
        .unwrap();
    fs::write(folder.path().join("ids"), "nobody:100000:65536\n").unwrap();
    folder
}

/// The behavior of an image under `slimpack run`.
fn tried(stage: &Stage, image: &Path, folder: &Path, runner: Runner) -> Output {
    let mut command = runner.command(&folder.join("slimpack"));
    command.args(["run", "-q", "--timeout", "60s"]);
    if stage.has_server() {
        command.args(["--network", "host"]);
    }
    output(command.arg(image).current_dir("/"))
}

/// Packs a run, and compares its behavior in runc and under `slimpack run`.
fn compared(run: &Run) -> Result<(), String> {
    let folder = open_folder();
    let stage = Stage::of(run, &folder.path().join("dir"));
    let image = folder.path().join("image.tar");
    stage.pack(&stage.run.flags(), &image)?;
    stage.set_up();
    let there = stage.there(&image);
    for runner in [Runner::Root, Runner::Nobody, Runner::Subordinate] {
        if runner == Runner::Nobody && OF_SEVERAL_USERS.contains(&run.name.as_str()) {
            continue;
        }
        stage.set_up();
        let here = tried(&stage, &image, folder.path(), runner);
        let is_same = here.status.code() == there.status.code()
            && (stage.run.same == program_runs::Same::Status || here.stdout == there.stdout);
        if !is_same {
            return Err(format!(
                "{}: in runc {}: {}\nunder slimpack run by {runner:?} {}: {}",
                run.name,
                there.status,
                text(&there),
                here.status,
                text(&here)
            ));
        }
    }
    Ok(())
}

/// The runs of the table whose programs are installed.
pub fn runs(step: usize) -> Vec<Run> {
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some();
    let wanted = std::env::var("SLIMPACK_TEST_PROGRAM").ok();
    let step = if all || wanted.is_some() { 1 } else { step };
    program_runs::all()
        .into_iter()
        .step_by(step)
        .filter(|run| wanted.as_ref().is_none_or(|word| run.name.contains(word)))
        .filter(|run| !run.setup.contains(TREES) || common::given(TREES).is_some())
        .filter(|run| run.program.starts_with("DIR") || common::find(&run.program).is_some())
        .map(|mut run| {
            if let Some(found) = common::find(&run.program) {
                run.program = found.to_str().unwrap().to_owned();
            }
            run
        })
        .collect()
}

#[test]
fn programs_do_what_they_do_in_runc() {
    if !have(common::CONTAINER_TOOLS) || !have(&["setpriv", "newuidmap"]) || !common::is_root() {
        return;
    }
    let runs = runs(4);
    let threads = machine::on_two_threads(
        &runs,
        || (0, Vec::new()),
        |run, (good, bad)| {
            let failed = |_| Err(format!("{}: the run panicked", run.name));
            match std::panic::catch_unwind(|| compared(run)).unwrap_or_else(failed) {
                Ok(()) => *good += 1,
                Err(why) => bad.push(why),
            }
        },
    );
    let good: usize = threads.iter().map(|(good, _)| good).sum();
    let bad: Vec<String> = threads.into_iter().flat_map(|(_, bad)| bad).collect();
    println!("{good} of {} runs", runs.len());
    assert!(
        bad.is_empty(),
        "{} runs differ\n{}",
        bad.len(),
        bad.join("\n\n")
    );
}
