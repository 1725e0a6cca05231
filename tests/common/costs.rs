//! The cost of a run, counted rather than timed: instructions, system calls, bytes read, memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{compile, slimpack, temporary};

/// The measuring tools.
pub const TOOLS: [&str; 3] = ["valgrind", "strace", "python3"];

/// A run under another program: `strace -o LOG COMMAND...`. On one thread, as idle ones spin.
fn under(tool: &str, options: &[&str], command: &Command) -> Command {
    let mut run = Command::new(tool);
    run.args(options)
        .arg(command.get_program())
        .args(command.get_args())
        .env("RAYON_NUM_THREADS", "1");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => run.env(name, value),
            None => run.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        run.current_dir(folder);
    }
    run
}

/// Runs to the end; other tests check whether the command succeeds.
fn finish(mut run: Command) -> String {
    let ended = run.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let status = ended.status.code();
    assert!(matches!(status, Some(0..=2)), "{run:?}: {status:?}\n{said}");
    said
}

/// Instructions of a run (callgrind), without SHA-256, whose instructions valgrind's processor
/// lacks; with `only`, those of one function and its callees.
pub fn instructions(command: &Command, only: Option<&str>) -> u64 {
    let folder = temporary();
    let out = folder.path().join("callgrind.out");
    let mut options = vec!["--tool=callgrind".to_owned()];
    options.push(format!("--callgrind-out-file={}", out.display()));
    options.extend(only.map(|name| format!("--toggle-collect=*{name}*")));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    finish(under("valgrind", &options, command));
    sum(&fs::read_to_string(&out).unwrap(), "sha2::")
}

/// The cost of all functions in a profile, except those of one crate.
///
/// The format is in valgrind's manual: `fn=(ID) NAME` and lines `POSITION COST`; the line after
/// `calls=` is the cost of a callee, which is counted at the callee.
fn sum(profile: &str, without: &str) -> u64 {
    let mut excluded = std::collections::HashSet::new();
    let (mut is_excluded, mut is_call, mut total) = (false, false, 0);
    for line in profile.lines() {
        let definition = ["fn=", "cfn="]
            .iter()
            .find_map(|prefix| line.strip_prefix(prefix));
        if let Some(function) = definition {
            let (id, name) = function.split_once(' ').unwrap_or((function, ""));
            if name.contains(without) {
                excluded.insert(id);
            }
            if line.starts_with("fn=") {
                is_excluded = excluded.contains(id);
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line
                .split(' ')
                .nth(1)
                .map_or(0, |cost| cost.parse().unwrap());
            total += if is_call || is_excluded { 0 } else { cost };
            is_call = false;
        }
    }
    total
}

/// The system calls of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub count: u64,
    /// Bytes that they read.
    pub read: u64,
    /// Bytes that they wrote.
    pub written: u64,
}

/// Counts the system calls of a run (strace), except waiting for other threads.
pub fn calls(command: &Command) -> Calls {
    let folder = temporary();
    let log = folder.path().join("log");
    let options = [
        "-f",
        "-qq",
        "-e",
        "trace=!futex",
        "-o",
        log.to_str().unwrap(),
    ];
    finish(under("strace", &options, command));
    let mut calls = Calls::default();
    for line in fs::read_to_string(&log).unwrap().lines() {
        // A call during which another thread made one is on two lines; the second has the result.
        let is_rest = line.contains(" resumed>");
        calls.count += u64::from(!is_rest);
        let is = |name: &str| {
            line.contains(&format!(" {name}(")) || line.contains(&format!(" {name} resumed>"))
        };
        let result = line.rsplit_once("= ").map(|(_, result)| result);
        let bytes = result
            .and_then(|bytes| bytes.parse::<u64>().ok())
            .unwrap_or(0);
        if is("read") || is("pread64") {
            calls.read += bytes;
        } else if is("write") {
            calls.written += bytes;
        }
    }
    calls
}

/// The cost of an `inspect` of an image, by `measure`.
pub fn of_inspecting(image: &[u8], measure: impl FnOnce(&Command) -> u64) -> u64 {
    let folder = temporary();
    fs::write(folder.path().join("image"), image).unwrap();
    let mut command = slimpack();
    measure(command.args(["inspect", "image"]).current_dir(&folder))
}

/// The peak memory of a run, in bytes.
pub fn peak(command: &Command) -> u64 {
    const WAIT: &str = "import os, sys\n\
        child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n\
        print('peak', os.wait4(child, 0)[2].ru_maxrss, file=sys.stderr)";
    let said = finish(under("python3", &["-c", WAIT], command));
    let peak = said.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap().parse::<u64>().unwrap() << 10
}

/// A program in `folder` that needs `count` libraries, each of which defines `symbols` functions
/// and refers to those of the previous library.
pub fn program_of(folder: &Path, count: usize, symbols: usize) -> std::path::PathBuf {
    let name = |library: usize, symbol: usize| format!("f{library}_{symbol}");
    let mut before = Vec::new();
    let mut calls = String::new();
    let mut flags = vec![
        format!("-L{}", folder.display()),
        "-Wl,-rpath,$ORIGIN".to_owned(),
    ];
    for library in 0..count {
        let mut source = String::new();
        for symbol in 0..symbols {
            let (declared, call) = match library {
                0 => (String::new(), String::new()),
                _ => {
                    let other = name(library - 1, symbol);
                    (format!("void {other}(void);"), format!("{other}();"))
                }
            };
            let own = name(library, symbol);
            source.push_str(&format!("{declared} void {own}(void) {{ {call} }}\n"));
        }
        let soname = format!("-Wl,-soname,libx{library}.so");
        let mut own = vec!["-shared", "-fPIC", "-nostdlib", &soname];
        own.extend(before.iter().map(String::as_str));
        compile(folder, &format!("libx{library}.so"), &source, &own);
        before = vec![format!("-L{}", folder.display()), format!("-lx{library}")];
        calls.push_str(&format!("void {0}(void); ", name(library, 0)));
        flags.push(format!("-lx{library}"));
    }
    let body: String = (0..count)
        .map(|library| format!("{}();", name(library, 0)))
        .collect();
    let source = format!("{calls} int main(void) {{ {body} return 0; }}");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    compile(folder, "main", &source, &flags)
}
