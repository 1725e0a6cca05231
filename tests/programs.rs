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

/// The variable that names the file for README's table.
const TABLE: &str = "SLIMPACK_TEST_TABLE";

/// The variable that names the folder of packages.
const TREES: &str = "SLIMPACK_TEST_TREES";

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
    /// Bytes without the needs that this run can do without.
    smallest: u64,
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
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
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

    /// Packs the program with the folder as setup leaves it: an earlier run may have written there.
    fn pack(&self, folder: &Path, flags: &[String], image: &Path) -> Result<Value, String> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir(folder).unwrap();
        if !self.setup.is_empty() {
            succeed(
                Command::new("sh")
                    .args(["-ec", &self.setup])
                    .current_dir(folder),
            );
        }
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

    /// Whether the program did in the image what it did here.
    fn is_same(&self, here: &Output, there: &Output) -> bool {
        let is_same = match self.same {
            Same::Output => text(here) == text(there),
            Same::Status => true,
        };
        is_same && here.status.code() == there.status.code() && text(there).contains(&self.contains)
    }

    /// Leaves out one need after the other, as long as the run goes well: the bytes of the image
    /// that is left.
    fn smallest(&self, folder: &Path, plan: &Value, here: &Output, words: &[&str]) -> u64 {
        let image = folder.with_file_name("smallest.tar");
        let (mut flags, mut bytes) = (self.flags(), plan["bytes"].as_u64().unwrap());
        let asked = |need: &str| {
            self.with
                .iter()
                .any(|with| with.split('=').next() == Some(need))
        };
        for need in strings(&plan["needs"], "need")
            .into_iter()
            .filter(|need| !asked(need))
        {
            flags.push(format!("--without={need}"));
            let smaller = self.pack(folder, &flags, &image);
            let works = || self.is_same(here, &common::run_image_as_docker(&image, words));
            match smaller {
                Ok(plan) if works() => bytes = plan["bytes"].as_u64().unwrap(),
                _ => drop(flags.pop()),
            }
        }
        bytes
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
    let there = common::run_image_as_docker(&image, &words);
    if !run.is_same(&here, &there) {
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
    // Stripped programs do what they did.
    if runs_all() {
        let stripped = common::run_image_as_docker(&other, &words);
        if !run.is_same(&here, &stripped) {
            return Err(format!("{}, stripped: {}", run.name, text(&stripped)));
        }
    }
    let flags = ["--strip".to_owned(), "--compress=zstd".to_owned()];
    run.pack(&dir, &[&run.flags()[..], &flags].concat(), &other)?;
    let smallest = match std::env::var_os(TABLE) {
        Some(_) => run.smallest(&dir, &plan, &here, &words),
        None => 0,
    };
    let needs = strings(&plan["needs"], "need")
        .into_iter()
        .map(str::to_owned);
    let acted = |hint: &str| {
        run.with
            .iter()
            .any(|need| need.split('=').next() == Some(hint))
    };
    Ok(Done {
        smallest,
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

/// Whether every run is wanted, and everything about it.
fn runs_all() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    is_set("SLIMPACK_TEST_ALL") || is_set(TABLE)
}

/// Whether there are packages that bring their own libraries: `.ci/run` downloads them.
fn has_trees() -> bool {
    let is_set = std::env::var_os(TREES).is_some();
    if !is_set {
        eprintln!("skipped: {TREES} names no trees");
        assert!(
            std::env::var_os(common::REQUIRE_TOOLS).is_none(),
            "{TREES} is not set"
        );
    }
    is_set
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
    let all = runs_all();
    let wanted = std::env::var("SLIMPACK_TEST_PROGRAM").ok();
    let runs: Vec<Run> = runs
        .into_iter()
        .step_by(if all || wanted.is_some() { 1 } else { 3 })
        .filter(|run| {
            wanted
                .as_ref()
                .is_none_or(|wanted| run.name.contains(wanted))
        })
        .filter(|run| !run.setup.contains(TREES) || has_trees())
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
    if let Some(file) = std::env::var_os(TABLE) {
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
            thousands(done.bytes),
            thousands(done.stripped),
            thousands(done.zstd),
            done.signs.join(", "),
            done.run.told()
        );
    }
    let is_plain = |run: &Run| run.with.is_empty() && run.add.is_empty();
    let is_added = |run: &Run| !run.add.is_empty() && !run.hinted;
    let count = |is: &dyn Fn(&Run) -> bool| done.iter().filter(|done| is(&done.run)).count();
    let (plain, added) = (count(&is_plain), count(&is_added));
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>();
    let (bytes, smallest) = (sum(|done| done.bytes), sum(|done| done.smallest));
    let mut vain: BTreeMap<&str, usize> = BTreeMap::new();
    for hint in done.iter().flat_map(|done| &done.vain) {
        *vain.entry(hint).or_default() += 1;
    }
    let hints: Vec<String> = vain
        .iter()
        .map(|(hint, count)| format!("{hint} {count}"))
        .collect();
    text += &format!(
        "\n{} runs: {plain} with no flag, {} with flags that slimpack suggests, {added} with --add. \
         Needs that the runs could do without have {} of {} bytes. Hints that they could do without: \
         {}.\n",
        done.len(),
        done.len() - plain - added,
        thousands(bytes - smallest),
        thousands(bytes),
        hints.join(", ")
    );
    fs::write(file, text).unwrap();
}

/// 1234567 as 1,234,567.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join(",")
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
