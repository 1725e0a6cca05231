//! Instructions of common runs: growth of more than 5 % is reported.
//!
//! The inputs are compiled here, so that no installed program counts. The compiler and its standard
//! library affect all counts alike; counts are therefore relative to a yardstick built by the same
//! compiler with the same options: work in this file that has nothing to do with slimpack.

use crate::{common, costs};
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, have, hello, slimpack, succeed, temporary};

/// The reviewed counts: a name and millionths of the yardstick per line.
const REVIEWED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/instructions.txt");
/// Growth that fails the test, in percent.
const GROWTH: u64 = 5;

/// The yardstick: strings, maps, sorting, and single bytes.
#[inline(never)]
fn reference_work() -> u64 {
    let mut map = BTreeMap::new();
    for number in 0..20_000_u64 {
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        map.insert(format!("/usr/lib/lib{scattered}.so.{number}"), number);
    }
    let mut names: Vec<Vec<u8>> = map
        .keys()
        .map(|name| name.bytes().rev().collect())
        .collect();
    names.sort();
    names.iter().flatten().fold(map.len() as u64, |sum, byte| {
        sum.wrapping_mul(33).wrapping_add(u64::from(*byte))
    })
}

#[test]
fn the_yardstick_does_the_same_work() {
    assert_eq!(black_box(reference_work()), black_box(reference_work()));
}

fn yardstick() -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "instructions::the_yardstick_does_the_same_work"]);
    // Run twice, as the test does.
    costs::instructions(&command, Some("reference_work")) / 2
}

/// A program with as many constants and symbols as an interpreter: 4 MiB and 2,000 functions.
fn large(folder: &Path) -> PathBuf {
    let mut source = String::from("const char text[4 << 20] = {1};\n");
    for number in 0..2000 {
        source.push_str(&format!(
            "int function_{number}(void) {{ return {number}; }}\n"
        ));
    }
    source.push_str("int main(void) { return text[7]; }\n");
    compile(folder, "large", &source, &["-rdynamic"])
}

#[test]
fn no_common_run_takes_more_instructions_than_were_reviewed() {
    if !have(&costs::TOOLS) {
        return;
    }
    let folder = temporary();
    // As many libraries and symbols as curl.
    let linked = costs::program_of(folder.path(), 40, 50);
    let large = large(folder.path());
    let out = folder.path().join("out.tar");
    let pack = |program: &Path| {
        let mut command = slimpack();
        command.args(["-q", "-o"]).arg(&out).arg(program);
        command
    };
    let mut files = vec![linked.clone(), large.clone(), hello().to_owned()];
    files.extend((0..40).map(|number| folder.path().join(format!("libx{number}.so"))));
    let tree = |flags: &[&str]| {
        let mut command = slimpack();
        command.arg("tree").args(flags).args(&files);
        command
    };
    let mut lint = slimpack();
    lint.args(["lint", "--fail-on=never"]).arg(&linked);
    let runs = [
        ("pack-hello", pack(hello())),
        ("pack-40-libraries", pack(&linked)),
        ("pack-large", pack(&large)),
        ("tree", tree(&[])),
        ("tree-json", tree(&["--json"])),
        ("lint-40-libraries", lint),
    ];
    let yardstick = yardstick();
    let counted = runs.map(|(name, run)| {
        let count = costs::instructions(&run, None);
        (name, 1_000_000 * count / yardstick, count)
    });
    let found: String = counted
        .iter()
        .map(|(name, relative, _)| format!("{name} {relative}\n"))
        .collect();
    if std::env::var_os("SLIMPACK_BLESS").is_some() {
        fs::write(REVIEWED, &found).unwrap();
    }
    let reviewed = fs::read_to_string(REVIEWED).unwrap();
    for (line, (name, relative, count)) in reviewed.lines().zip(&counted) {
        let (known, before) = line.split_once(' ').unwrap();
        assert_eq!(known, *name);
        let before: u64 = before.parse().unwrap();
        assert!(
            relative * 100 <= before * (100 + GROWTH),
            "{name} takes {count} instructions, {relative} millionths of the yardstick; reviewed are \
             {before}. Find out why, or accept all: SLIMPACK_BLESS=1 cargo test --test images \
             instructions\n{found}"
        );
    }
    assert_eq!(reviewed.lines().count(), counted.len());
    // The commands do what they are measured for.
    succeed(&mut pack(&linked));
}
