//! Real programs still run: the table of `tests/programs.toml`.
//!
//! Each run is packed with the flags of the table, run in runc without network, and has to say what
//! it says on this machine. Every third run by default, all with `SLIMPACK_TEST_ALL=1`;
//! `SLIMPACK_TEST_TABLE=FILE` writes the table of the README to a file.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/machine.rs"]
mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{have, output, slimpack, succeed, temporary};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    run: Vec<Run>,
}

/// One line of the table.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    name: String,
    program: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What is run in the folder first, on this machine.
    #[serde(default)]
    setup: String,
    /// Needs that slimpack hints at.
    #[serde(default)]
    with: Vec<String>,
    /// What it cannot know, as `--add`.
    #[serde(default)]
    add: Vec<String>,
    /// Why it cannot.
    #[serde(default)]
    why: String,
    /// Whether the additions are hinted at, too.
    #[serde(default)]
    hinted: bool,
    #[serde(default)]
    same: Same,
    #[serde(default)]
    contains: String,
}

/// What has to be the same.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Same {
    #[default]
    Output,
    Status,
}

/// How a run went.
struct Done {
    run: Run,
    files: u64,
    bytes: u64,
    stripped: u64,
    zstd: u64,
    /// What slimpack saw.
    signs: Vec<String>,
    /// Hints that were not acted on, and were not needed.
    vain: Vec<String>,
}

impl Run {
    fn in_folder(&self, folder: &Path) -> Self {
        let text = |text: &String| text.replace("DIR", folder.to_str().unwrap());
        Self {
            program: text(&self.program),
            args: self.args.iter().map(text).collect(),
            ..self.clone()
        }
    }

    fn on_this_machine(&self, folder: &Path) -> Output {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env);
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.current_dir(folder).stdin(Stdio::null());
        output(&mut command)
    }

    fn pack(&self, folder: &Path, flags: &[String], image: &Path) -> Result<Value, String> {
        let mut command = slimpack();
        command
            .arg(&self.program)
            .arg("--json")
            .arg("-o")
            .arg(image);
        command.arg("--add").arg(folder).args(flags);
        for (name, value) in &self.env {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        let said = output(&mut command);
        match said.status.success() {
            true => Ok(serde_json::from_slice(&said.stdout).unwrap()),
            false => Err(format!("{}: {}", self.name, text(&said))),
        }
    }

    fn flags(&self) -> Vec<String> {
        let with = self.with.iter().map(|need| format!("--with={need}"));
        let add = self.add.iter().map(|path| format!("--add={path}"));
        with.chain(add).collect()
    }

    /// What slimpack was told beside the program, for the table.
    fn told(&self) -> String {
        let flags = self.flags();
        match flags.is_empty() {
            true => "–".to_owned(),
            false => format!("`{}`", flags.join(" ")),
        }
    }
}

/// Packs and runs one line of the table; what is wrong with it, or how it went.
fn done(run: &Run) -> Result<Done, String> {
    let folder = temporary();
    let dir = folder.path().join("dir");
    fs::create_dir(&dir).unwrap();
    if !run.setup.is_empty() {
        succeed(
            Command::new("sh")
                .args(["-ec", &run.setup])
                .current_dir(&dir),
        );
    }
    let run = run.in_folder(&dir);
    let [image, other] = ["image.tar", "other.tar"].map(|name| folder.path().join(name));
    let plain = run.pack(&dir, &[], &other)?;
    // Flags are those that the plan without them suggests.
    let hints: Vec<&str> = strings(&plain["hints"], "need");
    for need in run.with.iter().map(|need| need.split('=').next().unwrap()) {
        if !hints.contains(&need) {
            return Err(format!(
                "{}: no hint tells of --with {need}: {hints:?}",
                run.name
            ));
        }
    }
    let plan = run.pack(&dir, &run.flags(), &image)?;
    let program = plan["programs"][0]["path"].as_str().unwrap();
    let mut words = vec![program];
    words.extend(run.args.iter().map(String::as_str));
    let here = run.on_this_machine(&dir);
    // What the image holds is what was there before the program ran here.
    let there = common::run_image(&image, &words);
    let same = match run.same {
        Same::Output => (text(&here), here.status.code()) == (text(&there), there.status.code()),
        Same::Status => here.status.code() == there.status.code(),
    };
    if !same || !text(&there).contains(&run.contains) {
        return Err(format!(
            "{}: here {}: {}\nin the image {}: {}",
            run.name,
            here.status,
            text(&here),
            there.status,
            text(&there)
        ));
    }
    let stripped = run.pack(
        &dir,
        &[&run.flags()[..], &["--strip".to_owned()]].concat(),
        &other,
    )?;
    let flags = ["--strip".to_owned(), "--compress=zstd".to_owned()];
    run.pack(&dir, &[&run.flags()[..], &flags].concat(), &other)?;
    let needs = strings(&plan["needs"], "need")
        .into_iter()
        .map(str::to_owned);
    let acted = |hint: &str| {
        run.with
            .iter()
            .any(|need| need.split('=').next() == Some(hint))
    };
    Ok(Done {
        files: plan["files"].as_u64().unwrap(),
        bytes: plan["bytes"].as_u64().unwrap(),
        stripped: stripped["bytes"].as_u64().unwrap(),
        zstd: fs::metadata(&other).unwrap().len(),
        signs: needs.collect(),
        vain: hints
            .iter()
            .filter(|hint| !acted(hint))
            .map(|hint| (*hint).to_owned())
            .collect(),
        run,
    })
}

/// Both streams, without what names this machine.
fn text(output: &Output) -> String {
    common::text(output)
}

fn strings<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|entry| entry[field].as_str().unwrap())
        .collect()
}

fn table() -> Vec<Run> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs.toml");
    let table: Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    table.run
}

#[test]
fn programs_of_the_table_still_run() {
    if !have(common::CONTAINER_TOOLS) || !common::is_root() {
        return;
    }
    let runs = table();
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some()
        || std::env::var_os("SLIMPACK_TEST_TABLE").is_some();
    let wanted = std::env::var("SLIMPACK_TEST_PROGRAM").ok();
    let runs: Vec<Run> = runs
        .into_iter()
        .step_by(if all || wanted.is_some() { 1 } else { 3 })
        .filter(|run| {
            wanted
                .as_ref()
                .is_none_or(|wanted| run.name.contains(wanted))
        })
        .filter(|run| run.program.starts_with("DIR") || have(&[&run.program]))
        .map(|mut run| {
            if let Some(found) = common::find(&run.program) {
                run.program = found.to_str().unwrap().to_owned();
            }
            run
        })
        .collect();
    let start = || (Vec::new(), Vec::new());
    let threads = machine::on_two_threads(&runs, start, |run, (good, bad)| match done(run) {
        Ok(done) => good.push(done),
        Err(why) => bad.push(why),
    });
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (more, wrong) in threads {
        good.extend(more);
        bad.extend(wrong);
    }
    println!("{} of {} runs", good.len(), runs.len());
    if let Some(file) = std::env::var_os("SLIMPACK_TEST_TABLE") {
        write_table(good, &PathBuf::from(file));
    }
    assert!(
        bad.is_empty(),
        "{} runs fail\n{}",
        bad.len(),
        bad.join("\n\n")
    );
}

fn write_table(mut done: Vec<Done>, file: &Path) {
    done.sort_by(|left, right| left.run.name.cmp(&right.run.name));
    let mut text = String::from(
        "| run | files | bytes | stripped | zstd | seen by signs | told |\n\
         |---|--:|--:|--:|--:|---|---|\n",
    );
    for done in &done {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            done.run.name,
            done.files,
            done.bytes,
            done.stripped,
            done.zstd,
            done.signs.join(", "),
            done.run.told()
        );
    }
    let count = |is: &dyn Fn(&Run) -> bool| done.iter().filter(|done| is(&done.run)).count();
    let adds = |run: &Run| !run.add.is_empty() && !run.hinted;
    let plain = count(&|run| run.with.is_empty() && run.add.is_empty());
    let added = count(&adds);
    let vain: usize = done.iter().map(|done| done.vain.len()).sum();
    text += &format!(
        "\n{} runs: {plain} with no flag, {} with flags that slimpack suggests, {added} with --add; \
         {vain} hints were not needed.\n",
        done.len(),
        done.len() - plain - added
    );
    fs::write(file, text).unwrap();
}

#[test]
fn what_slimpack_cannot_know_is_said_why() {
    let runs = table();
    for run in &runs {
        assert!(
            run.add.is_empty() || run.hinted || !run.why.is_empty(),
            "{}",
            run.name
        );
    }
    assert!(runs.len() >= 60, "{}", runs.len());
}
