//! The table of programs: how each run went, and the totals.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::program_runs::Run;

/// How a run went.
pub struct Done {
    pub run: Run,
    pub files: u64,
    pub bytes: u64,
    pub stripped: u64,
    pub zstd: u64,
    /// Bytes of the files that this run does not need.
    pub spare: u64,
    /// The needs that the image meets.
    pub signs: Vec<String>,
    /// Hints that were not followed and turned out not to be needed.
    pub vain: Vec<String>,
}

/// Writes the table and the figures below it.
pub fn write(mut done: Vec<Done>, file: &Path) {
    done.sort_by(|left, right| left.run.name.cmp(&right.run.name));
    let mut text = String::from(
        "| run | files | bytes | stripped | zstd | smallest | seen by signs | options | unused hints |\n\
         |---|--:|--:|--:|--:|--:|---|---|---|\n",
    );
    for done in &done {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            done.run.name,
            done.files,
            thousands(done.bytes),
            thousands(done.stripped),
            thousands(done.zstd),
            thousands(done.bytes - done.spare),
            done.signs.join(", "),
            told(&done.run),
            done.vain.join(", ")
        );
    }
    text += &totals(&done);
    fs::write(file, text).unwrap();
}

/// The options of slimpack besides the program and its arguments.
fn told(run: &Run) -> String {
    let flags = run.flags();
    let flags = match flags.is_empty() {
        true => "–".to_owned(),
        false => format!("`{}`", flags.join(" ")),
    };
    match run.why.is_empty() {
        true => flags,
        false => format!("{flags} ({})", run.why),
    }
}

fn totals(done: &[Done]) -> String {
    let is_plain = |run: &Run| run.with.is_empty() && run.add.is_empty() && !run.trace;
    let count = |is: &dyn Fn(&Run) -> bool| done.iter().filter(|done| is(&done.run)).count();
    let (plain, added) = (count(&is_plain), count(&|run| !run.add.is_empty()));
    let traced = count(&|run| run.trace);
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>();
    let (bytes, spare) = (sum(|done| done.bytes), sum(|done| done.spare));
    let plain_runs = || done.iter().filter(|done| is_plain(&done.run));
    let plain_bytes = plain_runs().map(|done| done.bytes).sum();
    let plain_spare = plain_runs().map(|done| done.spare).sum();
    let mut vain: BTreeMap<&str, usize> = BTreeMap::new();
    for hint in done.iter().flat_map(|done| &done.vain) {
        *vain.entry(hint).or_default() += 1;
    }
    let hints: Vec<String> = vain
        .iter()
        .map(|(hint, count)| format!("{hint} {count}"))
        .collect();
    format!(
        "\n{} runs: {plain} with no flag, {} with flags that slimpack suggests, {added} with --add, {traced} with --trace.\n\
         The images have {} bytes, {} of them in files that their run can do without; those with no \
         flag {}, {} of them.\n\
         Hints that were not needed: {} ({}), in {} of the runs.\n",
        done.len(),
        done.len() - plain - added - traced,
        thousands(bytes),
        thousands(spare),
        thousands(plain_bytes),
        thousands(plain_spare),
        vain.values().sum::<usize>(),
        hints.join(", "),
        done.iter().filter(|done| !done.vain.is_empty()).count(),
    )
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join(",")
}
