//! Ten times the input costs at most ten times as much: system calls, bytes read and memory are
//! counted, not seconds.

use crate::{common, costs};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{have, hello, slimpack, succeed, temporary};

/// The most that an item may cost with ten times as many, relative to its first cost.
const MOST: f64 = 1.3;

/// Bytes read for each item of an archive that does not fit into the first read.
const BYTES: f64 = 2048.0;

/// Compares the costs of commands for 1, `count` and ten times as many items. Each item may take
/// `held` bytes of memory.
fn assert_linear(what: &str, count: usize, held: u64, command: impl Fn(usize) -> Command) {
    if !have(&costs::TOOLS) {
        return;
    }
    let commands = [1, count, 10 * count].map(&command);
    let [one, few, many] = commands.each_ref().map(|command| {
        let calls = costs::calls(command);
        [calls.count, calls.read, costs::instructions(command, None)]
    });
    for (number, figure) in ["system calls", "bytes read", "instructions"]
        .into_iter()
        .enumerate()
    {
        let each = |costs: &[u64; 3], items: usize| {
            costs[number].saturating_sub(one[number]) as f64 / (items - 1) as f64
        };
        let (small, large) = (each(&few, count), each(&many, 10 * count));
        // A few items fit into one read; more need further reads.
        let slack = if figure == "bytes read" { BYTES } else { 1.0 };
        assert!(
            large <= MOST * small + slack,
            "{what}: {small:.0} {figure} for each of {count}, {large:.0} for each of ten times as many"
        );
    }
    let [_, few, many] = commands.each_ref().map(costs::peak);
    let each = many.saturating_sub(few) / (9 * count) as u64;
    assert!(each <= held, "{what}: {each} bytes held for each");
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn libraries_of_one_program_cost_the_same_each() {
    let folder = temporary();
    let at = |count: usize| {
        let folder = folder.path().join(count.to_string());
        fs::create_dir(&folder).unwrap();
        costs::program_of(&folder, count, 2)
    };
    let programs = [1, 30, 300].map(|count| (count, at(count)));
    let program = |count: usize| {
        let found = programs.iter().find(|(size, _)| *size == count);
        found.unwrap().1.to_str().unwrap().to_owned()
    };
    for words in [&["lint", "--fail-on=never"][..], &["tree", "--symbols"]] {
        assert_linear(&words.join(" "), 30, 64 << 10, |count| {
            let mut command = slimpack();
            command.args(words).arg(program(count));
            command
        });
    }
}

#[test]
fn programs_of_one_image_cost_the_same_each() {
    let folder = temporary();
    let names: Vec<String> = (0..300)
        .map(|n| path(folder.path(), &format!("p{n}")))
        .collect();
    for name in &names {
        fs::copy(hello(), name).unwrap();
    }
    let out = path(folder.path(), "out.tar");
    assert_linear("programs", 30, 64 << 10, |count| {
        let mut command = slimpack();
        command.args(["-q", "-o", &out]).args(&names[..count]);
        command
    });
    // The memory of one batch is freed before the next is read.
    assert_linear("tree", 30, 16 << 10, |count| {
        let mut command = slimpack();
        command.arg("tree").args(&names[..count]);
        command
    });
}

#[test]
fn files_that_are_added_cost_the_same_each() {
    let folder = temporary();
    for count in [1, 100, 1000] {
        let data = folder.path().join(format!("data{count}"));
        fs::create_dir(&data).unwrap();
        for number in 0..count {
            fs::write(data.join(format!("file{number}")), "some text").unwrap();
        }
    }
    let out = path(folder.path(), "out.tar");
    let add = |count: usize, out: &str| {
        let data = path(folder.path(), &format!("data{count}"));
        let mut command = slimpack();
        command.arg(hello()).args(["-q", "-o", out]);
        command.arg("--add").arg(format!("{data}:/data"));
        // Package records would take more of the first read than a file does.
        command.arg("--without=package-records");
        command
    };
    assert_linear("files", 100, 16 << 10, |count| add(count, &out));
    let images = [1, 100, 1000].map(|count| {
        let image = path(folder.path(), &format!("image{count}.tar"));
        succeed(&mut add(count, &image));
        (count, image)
    });
    for verb in ["lint", "inspect"] {
        assert_linear(verb, 100, 16 << 10, |count| {
            let image = images.iter().find(|(size, _)| *size == count);
            let mut command = slimpack();
            command.arg(verb).arg(&image.unwrap().1);
            command
        });
    }
}

/// A traced run stores each path once, however often it is looked up.
#[test]
fn memory_of_a_trace_grows_with_distinct_paths_only() {
    const FEW: usize = 10_000;
    /// Bytes that one path may take, and how much the memory of two runs may differ.
    const EACH: u64 = 400;
    const NOISE: u64 = 2 << 20;
    if !have(&["python3"]) {
        return;
    }
    let folder = temporary();
    // Looks up COUNT names, DISTINCT of which are different.
    let source = r#"
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
int main(int count, char **words) {
    char path[64];
    for (int n = 0; n < atoi(words[1]); n++) {
        snprintf(path, sizeof path, "/etc/none-%d", n % atoi(words[2]));
        if (access(path, F_OK)) close(open("/etc/passwd", O_RDONLY));
    }
    return 0;
}"#;
    let program = common::compile(folder.path(), "looks", source, &["-w"]);
    let held = |count: usize, distinct: usize| {
        let log = path(folder.path(), "log");
        let mut command = slimpack();
        command.args(["trace", "-q", "-o", &log, "--"]);
        command
            .arg(&program)
            .args([count, distinct].map(|number| number.to_string()));
        costs::peak(&command)
    };
    let (few, many) = (held(FEW, 100), held(10 * FEW, 100));
    assert!(
        many <= few + NOISE,
        "{few} bytes, {many} for ten times as many of the same"
    );
    let distinct = held(10 * FEW, 10 * FEW);
    assert!(distinct > few + NOISE, "{distinct} bytes are not measured");
    let most = few + NOISE + EACH * 10 * FEW as u64;
    assert!(distinct <= most, "{distinct} bytes for {} paths", 10 * FEW);
}

#[test]
fn holes_of_a_file_are_holes_of_the_archive() {
    let folder = temporary();
    let sparse = folder.path().join("sparse");
    let file = fs::File::create(&sparse).unwrap();
    file.set_len(256 << 20).unwrap();
    let add = format!("{}:/data", sparse.display());
    let at = |name: &str| folder.path().join(name);
    let pack = |out: &str| {
        let mut command = slimpack();
        command.arg(hello()).args(["-q", "--add", &add, "-o", out]);
        command
    };
    succeed(&mut pack(at("file").to_str().unwrap()));
    let mut stream = pack("-");
    stream.stdout(fs::File::create(at("stream")).unwrap());
    assert!(stream.status().unwrap().success());
    succeed(Command::new("cmp").arg(at("file")).arg(at("stream")));
    assert!(fs::metadata(at("file")).unwrap().len() > 256 << 20);
    // Counts bytes written rather than blocks, which may be preallocated.
    if have(&costs::TOOLS) {
        let calls = costs::calls(&pack(at("again").to_str().unwrap()));
        assert!(calls.written < 16 << 20, "{calls:?}");
    }
}
