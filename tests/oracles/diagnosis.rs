//! The diagnosis of programs in images that lack one thing, and what `--fix` adds.
//!
//! A mutant is the root directory of a packed program of the table, from which a library, loader,
//! interpreter, data file, user or directory is removed. Only mutants whose program fails count.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{self, have, output, slimpack, temporary, text};
use crate::{machine, program_runs, runs};
use program_runs::{Run, Stage};

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Library,
    Loader,
    Interpreter,
    Data,
    User,
    Folder,
}

/// Most data files that are removed of one program, one after the other.
const DATA: usize = 10;

/// A packed program, as a root directory.
struct Packed {
    stage: Stage,
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Packed {
    fn of(run: &Run) -> Option<Self> {
        let folder = temporary();
        let stage = Stage::of(run, &folder.path().join("dir"));
        let root = folder.path().join("root");
        let output = PathBuf::from(format!("{}/", root.display()));
        let packed = stage.pack(&stage.run.flags(), &output).is_ok();
        stage.set_up();
        packed.then_some(Self {
            stage,
            root,
            _folder: folder,
        })
    }

    /// Runs the program in its root.
    fn tried(&self, program: &str) -> Output {
        let run = &self.stage.run;
        let mut command = slimpack();
        command.args([
            "run",
            "-q",
            "--diagnose",
            "--timeout",
            "30s",
            "--entrypoint",
            program,
        ]);
        for (name, value) in &run.env {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        if !run.user.is_empty() {
            command.args(["-u", &run.user]);
        }
        output(command.arg(&self.root).args(&run.args))
    }

    /// The regular files of the root.
    fn files(&self) -> Vec<PathBuf> {
        let mut stack = vec![self.root.clone()];
        let mut files = Vec::new();
        while let Some(directory) = stack.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => stack.push(entry.path()),
                    kind if kind.is_file() => files.push(entry.path()),
                    _ => {}
                }
            }
        }
        files.sort();
        files
    }

    /// Everything that can be removed.
    fn victims(&self) -> Vec<(Kind, PathBuf)> {
        let folder = self.root.join(self.stage.folder.strip_prefix("/").unwrap());
        let mut victims = Vec::new();
        let (mut libraries, mut data) = (Vec::new(), Vec::new());
        for file in self.files() {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let inside = Path::new("/").join(file.strip_prefix(&self.root).unwrap());
            if inside == Path::new(&self.stage.run.program) {
                continue;
            }
            if name.starts_with("ld-linux") || name.starts_with("ld-musl") {
                victims.push((Kind::Loader, file));
            } else if name.contains(".so") && !name.starts_with("ld.so") {
                libraries.push(file);
            } else if ["dash", "bash", "perl", "python3.11", "gawk", "mawk"]
                .contains(&name.as_str())
            {
                victims.push((Kind::Interpreter, file));
            } else if inside == Path::new("/etc/passwd") {
                victims.push((Kind::User, file));
            } else if file.starts_with(&folder) && name != "probe.c" {
                data.push(file);
            }
        }
        libraries.truncate(2);
        // A virtual environment has hundreds of files: some of them, evenly spread, stand for all.
        let step = data.len().div_ceil(DATA).max(1);
        let data = data.into_iter().step_by(step);
        victims.extend(data.map(|file| (Kind::Data, file)));
        victims.extend(libraries.into_iter().map(|file| (Kind::Library, file)));
        victims.push((Kind::Folder, folder));
        victims.push((Kind::Folder, self.root.join("tmp")));
        victims.retain(|(_, path)| path.exists());
        victims
    }
}

/// The first line of the diagnosis.
fn cause(said: &Output) -> String {
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let mut lines = said.lines().rev();
    let line = lines.find_map(|line| line.strip_prefix("diagnosis: "));
    line.unwrap_or_default().to_owned()
}

/// Removes one thing after another; returns what failed, whether it was named first, and the
/// output.
fn mutants(run: &Run) -> Vec<(Kind, bool, String)> {
    let Some(packed) = Packed::of(run) else {
        return Vec::new();
    };
    let program = packed.stage.run.program.clone();
    let before = packed.tried(&program);
    if !before.status.success() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (kind, victim) in packed.victims() {
        let aside = packed.root.with_file_name("aside");
        fs::rename(&victim, &aside).unwrap();
        let said = packed.tried(&program);
        fs::rename(&aside, &victim).unwrap();
        if said.status.success() {
            continue;
        }
        let inside = Path::new("/").join(victim.strip_prefix(&packed.root).unwrap());
        let cause = cause(&said);
        let is_named = match kind {
            Kind::User => cause.contains("/etc/passwd"),
            _ => {
                cause.contains(inside.to_str().unwrap()) || {
                    // Also correct: the name of the symbolic link to it.
                    let name = inside.file_name().unwrap().to_str().unwrap();
                    let name = name.split(".so.").next().unwrap();
                    kind == Kind::Library && cause.contains(name)
                }
            }
        };
        let text = format!("{} without {}: {cause}", run.name, inside.display());
        found.push((kind, is_named, text));
    }
    found
}

#[test]
fn the_missing_thing_is_named_first() {
    const MUTANTS: usize = 60;
    const NAMED: usize = 57;
    if !common::is_root() {
        return;
    }
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some();
    let chosen: Vec<Run> = runs::runs(1)
        .into_iter()
        .filter(|run| run.server.is_empty() && !run.fails && !run.trace)
        .step_by(if all { 1 } else { 3 })
        .collect();
    let start = BTreeMap::<Kind, Vec<(bool, String)>>::new;
    let threads = machine::on_two_threads(&chosen, start, |run, by_kind| {
        for (kind, is_named, text) in mutants(run) {
            by_kind.entry(kind).or_default().push((is_named, text));
        }
    });
    let mut by_kind = BTreeMap::<Kind, Vec<(bool, String)>>::new();
    for (kind, more) in threads.into_iter().flatten() {
        by_kind.entry(kind).or_default().extend(more);
    }
    // Equally many of each kind, until there are enough.
    let mut taken: Vec<(Kind, bool, String)> = Vec::new();
    for (kind, more) in &mut by_kind {
        more.sort_by(|one, other| one.1.cmp(&other.1));
        println!(
            "{kind:?}: {} of {}",
            more.iter().filter(|one| one.0).count(),
            more.len()
        );
    }
    for round in 0.. {
        let round: Vec<_> = by_kind
            .iter()
            .filter_map(|(kind, more)| more.get(round).map(|(is, text)| (*kind, *is, text.clone())))
            .collect();
        if round.is_empty() || taken.len() >= MUTANTS && !all {
            break;
        }
        taken.extend(round);
    }
    let bad: Vec<&String> = taken
        .iter()
        .filter(|one| !one.1)
        .map(|one| &one.2)
        .collect();
    println!(
        "{} of {} mutants named first",
        taken.len() - bad.len(),
        taken.len()
    );
    for text in &bad {
        println!("not: {text}");
    }
    assert!(taken.len() >= MUTANTS, "{} mutants", taken.len());
    assert!(
        bad.len() * MUTANTS <= taken.len() * (MUTANTS - NAMED),
        "{bad:#?}"
    );
}

/// Programs that static signs alone cannot pack get what they need by `--fix`.
#[test]
fn fixed_programs_run_without_any_other_flag() {
    if !have(common::CONTAINER_TOOLS) || !common::is_root() {
        return;
    }
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some();
    let wanted = std::env::var_os("SLIMPACK_TEST_PROGRAM").is_some();
    let chosen: Vec<Run> = runs::runs(1)
        .into_iter()
        .filter(|run| run.trace)
        .step_by(if all || wanted { 1 } else { 4 })
        .collect();
    let threads = machine::on_two_threads(&chosen, Vec::new, |run, bad: &mut Vec<String>| {
        if let Err(why) = fixed(run) {
            bad.push(why);
        }
    });
    let bad: Vec<String> = threads.into_iter().flatten().collect();
    println!(
        "{} of {} programs fixed",
        chosen.len() - bad.len(),
        chosen.len()
    );
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

fn fixed(run: &Run) -> Result<(), String> {
    let folder = temporary();
    let stage = Stage::of(run, &folder.path().join("dir"));
    let image = folder.path().join("image.tar");
    stage.set_up();
    let here = stage.here();
    let mut command = slimpack();
    command
        .arg(&stage.run.program)
        .arg("--add")
        .arg(&stage.folder);
    let words = serde_json::to_string(&stage.run.args).unwrap();
    command.args(["--fix", "--cmd", &words, "-o"]).arg(&image);
    command.arg("--test").arg(&words);
    if stage.run.same == program_runs::Same::Output {
        let expected = folder.path().join("expected");
        fs::write(&expected, &here.stdout).unwrap();
        command
            .arg("--test-stdout")
            .arg(format!("@{}", expected.display()));
    }
    let said = output(&mut command);
    if !said.status.success() {
        return Err(format!("{}: {}", run.name, text(&said)));
    }
    println!(
        "{}: {}",
        run.name,
        String::from_utf8_lossy(&said.stderr)
            .matches("fix ")
            .count()
    );
    let there = stage.there(&image);
    let is_same = here.status.code() == there.status.code()
        && (stage.run.same == program_runs::Same::Status || here.stdout == there.stdout);
    match is_same {
        true => Ok(()),
        false => Err(format!(
            "{}: in runc {}: {}",
            run.name,
            there.status,
            text(&there)
        )),
    }
}
