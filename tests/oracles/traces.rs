//! Images packed by a trace alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{self, have, output, slimpack, succeed, temporary, text};
use crate::lookups::PATH;
use crate::{machine, program_runs, program_table, smallest};
use program_runs::{Run, Stage, TREES};

/// The runs of the table, packed by a trace and without other options.
#[test]
fn traced_programs_run_without_any_other_flag() {
    if !have(common::CONTAINER_TOOLS) || !common::is_root() {
        return;
    }
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some();
    let wanted = std::env::var("SLIMPACK_TEST_PROGRAM").ok();
    let step = if all || wanted.is_some() { 1 } else { 6 };
    let runs: Vec<Run> = program_runs::all()
        .into_iter()
        .filter(|run| wanted.as_ref().is_none_or(|word| run.name.contains(word)))
        .filter(|run| !run.setup.contains(TREES) || std::env::var_os(TREES).is_some())
        .filter(|run| run.program.starts_with("DIR") || common::find(&run.program).is_some())
        // Rows with `trace` are tested as programs, too; here, those that need options go first.
        .filter(|run| all || wanted.is_some() || !run.trace && !run.flags().is_empty())
        .step_by(step)
        .collect();
    let start = || (Vec::new(), Vec::new());
    let threads = machine::on_two_threads(&runs, start, |run, (rows, bad)| {
        let failed = |_| Err(format!("{}: the run panicked", run.name));
        match std::panic::catch_unwind(|| traced(run)).unwrap_or_else(failed) {
            Ok(sizes) => rows.push((run.name.clone(), sizes)),
            Err(why) => bad.push(why),
        }
    });
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for (more, wrong) in threads {
        rows.extend(more);
        bad.extend(wrong);
    }
    println!("{} of {} runs", rows.len(), runs.len());
    if let Some(file) = std::env::var_os("SLIMPACK_TEST_TABLE") {
        write_table(rows, Path::new(&file));
    }
    assert!(
        bad.is_empty(),
        "{} runs fail\n{}",
        bad.len(),
        bad.join("\n\n")
    );
}

/// Writes the table of docs/src/traced-programs.md.
fn write_table(mut rows: Vec<(String, Sizes)>, file: &Path) {
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    let all = rows.iter().fold(Sizes::default(), |all, (_, row)| Sizes {
        plain: all.plain + row.plain,
        traced: all.traced + row.traced,
        read: all.read + row.read,
    });
    rows.push((format!("all {}", rows.len()), all));
    let thousands = program_table::thousands;
    let mut text = String::from(
        "| run | by static rules | added by the trace | smallest set |\n|---|--:|--:|--:|\n",
    );
    for (
        name,
        Sizes {
            plain,
            traced,
            read,
        },
    ) in &rows
    {
        let [plain, added, read] = [*plain, traced.saturating_sub(*plain), *read].map(thousands);
        text += &format!("| {name} | {plain} | {added} | {read} |\n");
    }
    fs::write(file, text).unwrap();
}

/// Bytes of the files in the images of a run.
#[derive(Clone, Copy, Default)]
struct Sizes {
    /// Without the trace.
    plain: u64,
    /// With it.
    traced: u64,
    /// Of those that the run reads in the image; 0 unless the table is written.
    read: u64,
}

/// The options that have a run traced.
fn flags(stage: &Stage, log: &Path) -> Vec<String> {
    let run = &stage.run;
    let words = serde_json::to_string(&stage.run.args).unwrap();
    let mut flags = vec![format!("--trace={words}"), "--quiet".to_owned()];
    if run.fails {
        flags.push("--trace-allow-failure".to_owned());
    }
    if !run.user.is_empty() {
        // A traced program runs as the user who traces it.
        let log = log.to_str().unwrap();
        let mut command = Command::new("setpriv");
        command.args([
            &format!("--reuid={}", run.user),
            &format!("--regid={}", run.user),
            "--clear-groups",
        ]);
        command.args([
            env!("CARGO_BIN_EXE_slimpack"),
            "trace",
            "-q",
            "-o",
            log,
            "--",
            &stage.run.program,
        ]);
        command
            .args(&stage.run.args)
            .env_clear()
            .envs(&stage.run.env)
            .env("PATH", PATH)
            .current_dir("/");
        succeed(&mut command);
        flags = vec![format!("--trace-log={log}")];
    }
    flags
}

/// Packs a run by its trace, and runs it.
fn traced(run: &Run) -> Result<Sizes, String> {
    let folder = tempfile::tempdir().unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), permissions).unwrap();
    let mut run = run.clone();
    if let Some(found) = common::find(&run.program) {
        run.program = found.to_str().unwrap().to_owned();
    }
    let stage = Stage::of(&run, &folder.path().join("dir"));
    let image = folder.path().join("image.tar");
    let flags = flags(&stage, &folder.path().join("log"));
    let bytes = |plan: serde_json::Value| plan["bytes"].as_u64().unwrap();
    let plain = bytes(stage.pack(&[], &image)?);
    let traced = bytes(stage.pack(&flags, &image)?);
    stage.set_up();
    let here = stage.here();
    stage.set_up();
    let there = stage.there(&image);
    let read = || match std::env::var_os("SLIMPACK_TEST_TABLE") {
        Some(_) => smallest::read_bytes(&stage, &image, &here),
        None => 0,
    };
    match stage.is_same(&here, &there) {
        true => Ok(Sizes {
            plain,
            traced,
            read: read(),
        }),
        false => Err(format!(
            "{}: here {}: {}\nin the image {}: {}",
            run.name,
            here.status,
            text(&here),
            there.status,
            text(&there)
        )),
    }
}

#[test]
fn suggested_options_give_the_same_image_without_a_run() {
    if !have(&["python3", "git"]) {
        return;
    }
    for (program, arguments) in [
        ("/usr/bin/python3", "-c 'import ssl, json'"),
        ("/bin/ls", "-l /etc/alternatives"),
        ("/usr/bin/git", "--version"),
    ] {
        let place = temporary();
        let (traced, plain) = (
            place.path().join("traced.tar"),
            place.path().join("plain.tar"),
        );
        let mut command = slimpack();
        command
            .args([program, "--trace", arguments, "--suggest", "-q", "-o"])
            .arg(&traced);
        let said = output(command.current_dir("/"));
        assert!(said.status.success(), "{}", text(&said));
        let flags = String::from_utf8(said.stdout).unwrap();
        let flags: Vec<String> = flags
            .lines()
            .flat_map(|line| shell_words::split(line).unwrap())
            .collect();
        let mut command = slimpack();
        command
            .arg(program)
            .args(&flags)
            .arg("-q")
            .arg("-o")
            .arg(&plain);
        succeed(&mut command);
        let mut command = slimpack();
        let compared = output(command.arg("diff").arg(&traced).arg(&plain));
        let compared = String::from_utf8(compared.stdout).unwrap();
        // The record names the reason of each file, which differs.
        let mut different = compared
            .lines()
            .filter(|line| !line.contains("dev.slimpack.reasons"));
        assert_eq!(different.next(), None, "{program} {flags:?}");
        assert!(!flags.is_empty(), "{program}");
    }
}
