//! Real programs still run: the table of `tests/programs.toml`.
//!
//! Each run is packed with the options in the table, run in runc, and must print what it prints on
//! this machine. By default every third run is tested, all with `SLIMPACK_TEST_ALL=1`;
//! `SLIMPACK_TEST_TABLE=FILE` writes the documentation's table to a file, and searches the smallest
//! set of files for each run; `SLIMPACK_TEST_PROGRAM=WORD` selects the runs with this word in their
//! name.

use crate::{common, machine, program_runs, program_table, smallest};
use std::fs;
use std::path::{Path, PathBuf};

use common::{have, strings, temporary, text};
use program_runs::{Run, Stage, TREES};
use program_table::Done;
use serde_json::Value;

/// The variable that names the file for the table.
const TABLE: &str = "SLIMPACK_TEST_TABLE";

/// Packs and runs one entry of the table; returns how it went, or what is wrong.
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn done(run: &Run) -> Result<Done, String> {
    let folder = match run.user.is_empty() {
        true => temporary(),
        // The user needs access to the directory.
        false => {
            let folder = tempfile::tempdir().unwrap();
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(folder.path(), permissions).unwrap();
            folder
        }
    };
    let stage = Stage::of(run, &folder.path().join("dir"));
    let run = &stage.run;
    let [image, other] = ["image.tar", "other.tar"].map(|name| folder.path().join(name));
    let plain = stage.pack(&[], &other)?;
    // The options must be those that the plan without them suggests.
    let hints = plain["hints"].as_array().unwrap();
    for (need, names) in run.asked() {
        let of_need: Vec<&Value> = hints.iter().filter(|hint| hint["need"] == need).collect();
        let told = of_need
            .iter()
            .flat_map(|hint| hint["names"].as_array().unwrap());
        let told: Vec<&Value> = told.collect();
        let is_told = |name: &&str| told.iter().any(|known| *known == name);
        if of_need.is_empty() || !names.iter().all(is_told) {
            return Err(format!(
                "{}: no hint tells of --with {need} {names:?}: {hints:?}",
                run.name
            ));
        }
    }
    let plan = stage.pack(&run.flags(), &image)?;
    let here = stage.here();
    // Two equal failures would prove nothing.
    if here.status.success() == run.fails {
        return Err(format!(
            "{}: here {}: {}",
            run.name,
            here.status,
            text(&here)
        ));
    }
    let runs = |image: &Path, how: &str| {
        let there = stage.there(image);
        match stage.is_same(&here, &there) {
            true => Ok(()),
            false => Err(format!(
                "{}{how}: here {}: {}\nin the image {}: {}",
                run.name,
                here.status,
                text(&here),
                there.status,
                text(&there)
            )),
        }
    };
    runs(&image, "")?;
    let strip = [&run.flags()[..], &["--strip".to_owned()]].concat();
    let stripped = stage.pack(&strip, &other)?;
    // Stripped programs behave the same.
    if runs_all() && !run.keeps_symbols {
        runs(&other, ", stripped")?;
    }
    let zstd = [&strip[..], &["--compress=zstd".to_owned()]].concat();
    stage.pack(&zstd, &other)?;
    let spare = match std::env::var_os(TABLE) {
        Some(_) => smallest::spare_bytes(&stage, &image, &here),
        None => 0,
    };
    let bytes = |plan: &Value| plan["bytes"].as_u64().unwrap();
    let asked: Vec<&str> = run.asked().map(|(need, _)| need).collect();
    Ok(Done {
        spare,
        files: plan["files"].as_u64().unwrap(),
        bytes: bytes(&plan),
        stripped: bytes(&stripped),
        zstd: fs::metadata(&other).unwrap().len(),
        signs: strings(&plan["needs"], "need"),
        vain: strings(&plain["hints"], "need")
            .into_iter()
            .filter(|hint| !asked.contains(&hint.as_str()))
            .collect(),
        run: run.clone(),
    })
}

/// Whether every run is requested, with all checks.
fn runs_all() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    is_set("SLIMPACK_TEST_ALL") || is_set(TABLE)
}

/// Whether there are packages that bring their own libraries (see `.ci/run`).
fn has_trees() -> bool {
    common::given(TREES).is_some()
}

/// The run, with the path of its program on this machine.
fn found(mut run: Run) -> Run {
    if let Some(found) = common::find(&run.program) {
        run.program = found.to_str().unwrap().to_owned();
    }
    run
}

#[test]
fn programs_of_the_table_still_run() {
    if !have(common::CONTAINER_TOOLS) || !common::is_root() {
        return;
    }
    let wanted = std::env::var("SLIMPACK_TEST_PROGRAM").ok();
    let step = match runs_all() || wanted.is_some() {
        true => 1,
        false => 3,
    };
    let is_wanted = |run: &Run| wanted.as_ref().is_none_or(|word| run.name.contains(word));
    let runs: Vec<Run> = program_runs::all()
        .into_iter()
        .step_by(step)
        .filter(is_wanted)
        .filter(|run| !run.setup.contains(TREES) || has_trees())
        .filter(|run| run.program.starts_with("DIR") || have(&[&run.program]))
        .map(found)
        .collect();
    let start = || (Vec::new(), Vec::new());
    let threads = machine::on_two_threads(&runs, start, |run, (good, bad)| {
        // Failures are printed above.
        let failed = |_| Err(format!("{}: the run panicked", run.name));
        match std::panic::catch_unwind(|| done(run)).unwrap_or_else(failed) {
            Ok(done) => good.push(done),
            Err(why) => bad.push(why),
        }
    });
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (more, wrong) in threads {
        good.extend(more);
        bad.extend(wrong);
    }
    println!("{} of {} runs", good.len(), runs.len());
    if let Some(file) = std::env::var_os(TABLE) {
        program_table::write(good, &PathBuf::from(file));
    }
    assert!(
        bad.is_empty(),
        "{} runs fail\n{}",
        bad.len(),
        bad.join("\n\n")
    );
}

#[test]
fn what_slimpack_cannot_know_is_said_why() {
    let runs = program_runs::all();
    for run in &runs {
        assert!(run.add.is_empty() || !run.why.is_empty(), "{}", run.name);
    }
    let without = runs.iter().filter(|run| run.add.is_empty()).count();
    assert!(
        runs.len() >= 60 && without >= 40,
        "{} {without}",
        runs.len()
    );
}
