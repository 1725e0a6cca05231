//! Traced runs without ptrace, and on a terminal; and where their reasons are printed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{compile, have, output, slimpack, succeed, temporary, text};

/// Runs a command under a seccomp filter that refuses ptrace, like those of container engines.
const WITHOUT_PTRACE: &str = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 9;
    execv(words[1], words + 1);
    return 8;
}
"#;

#[test]
fn a_refused_ptrace_names_the_setting_and_the_way_without_it() {
    let place = temporary();
    let helper = compile(place.path(), "helper", WITHOUT_PTRACE, &["-w"]);
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    for words in [
        &["trace", "-o", "log", "--", "/bin/true"][..],
        &["/bin/true", "--trace", "", "-o", "out.tar"],
    ] {
        let mut command = Command::new(&helper);
        command.arg(slimpack).args(words).current_dir(place.path());
        let said = output(&mut command);
        assert_eq!(said.status.code(), Some(2), "{}", text(&said));
        for part in ["cannot trace /bin/true", "SYS_PTRACE", "--trace-log"] {
            assert!(text(&said).contains(part), "{part}: {}", text(&said));
        }
        let left = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, 2, "only the helper and its source");
    }
}

/// `slimpack trace -o log` of a shell script, in its own terminal.
fn on_a_terminal(directory: &Path, source: &str) -> Command {
    traced_on_a_terminal(directory, "-q", source)
}

/// The same with an option.
fn traced_on_a_terminal(directory: &Path, option: &str, source: &str) -> Command {
    fs::write(directory.join("run.sh"), source).unwrap();
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    let line = format!("{slimpack} trace {option} -o log -- /bin/sh run.sh");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

#[test]
fn a_traced_command_reads_the_terminal_as_its_foreground_process_group() {
    if !have(&["script", "ps"]) {
        return;
    }
    let place = temporary();
    // `+` marks the foreground process group; a background process that reads is stopped for ever.
    let source = "ps -o stat= -p $$; echo ready; read word < /dev/tty; echo \"got $word\"";
    let mut child = on_a_terminal(place.path(), source).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let state = lines.next().unwrap().unwrap();
    assert!(state.contains('+'), "{state}");
    assert_eq!(lines.next().unwrap().unwrap().trim(), "ready");
    stdin.write_all(b"word\n").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        rest.iter().any(|line| line.trim() == "got word"),
        "{rest:?}"
    );
    assert!(child.wait().unwrap().success());
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    assert!(log.contains("/dev/tty"), "{log}");
}

#[test]
fn control_c_ends_a_traced_command_on_its_terminal() {
    if !have(&["script"]) {
        return;
    }
    let place = temporary();
    let source = "trap '' INT; echo $$; while :; do sleep 1; done";
    let mut child = on_a_terminal(place.path(), source).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut id = String::new();
    out.read_line(&mut id).unwrap();
    stdin.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    // script(1) ends as its command does: by the signal.
    assert_eq!(child.wait().unwrap().code(), Some(128 + 2), "{rest}");
    assert!(!place.path().join("log").exists());
    let state = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// An interactive shell on a terminal of its own.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<String>>,
}

impl Shell {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new("script");
        command.args(["-qec", "exec bash --norc --noprofile -i", "/dev/null"]);
        command.current_dir(directory).env("PS1", "$ ");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut out, kept) = (child.stdout.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                kept.lock().unwrap().push_str(&text);
            }
        });
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, said }
    }

    fn types(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until it shows a text, and forgets what it showed up to there.
    fn shows(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let mut said = self.said.lock().unwrap();
            if let Some(at) = said.find(text) {
                said.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < until, "no {text:?}: {said:?}");
            drop(said);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ends(mut self) {
        self.types("exit 0\n");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_traced_command_is_stopped_by_control_z_and_goes_on() {
    if !have(&["script", "bash"]) {
        return;
    }
    let place = temporary();
    let source = "echo re''ady; read word < /dev/tty; echo \"got $word\"; sh -c 'echo al''so'";
    fs::write(place.path().join("run.sh"), source).unwrap();
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    let mut shell = Shell::start(place.path());
    shell.types(&format!("{slimpack} trace -q -o log -- /bin/sh run.sh\n"));
    shell.shows("ready");
    for _ in 0..2 {
        shell.types("\x1a");
        shell.shows("Stopped");
        // It does not run meanwhile.
        shell.types("echo here $((40 + 2))\n");
        shell.shows("here 42");
        shell.types("fg\n");
        shell.shows("run.sh");
    }
    shell.types("word\n");
    shell.shows("got word");
    shell.shows("also");
    shell.types("echo status $?\n");
    shell.shows("status 0");
    shell.ends();
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    assert!(log.contains("/dev/tty") || log.contains("run.sh"), "{log}");
}

#[test]
fn a_program_in_an_image_outlives_control_z() {
    if !have(&["script", "bash"]) {
        return;
    }
    let place = temporary();
    let packed = ["/bin/sh", "-q", "-o", "sh.tar"];
    succeed(slimpack().args(packed).current_dir(place.path()));
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    let mut shell = Shell::start(place.path());
    let source = "echo re''ady; read word; echo \"got $word\"; exit 3";
    shell.types(&format!(
        "{slimpack} run -q -i sh.tar -c {}\n",
        shell_words::quote(source)
    ));
    shell.shows("ready");
    shell.types("\x1a");
    shell.shows("Stopped");
    shell.types("fg\n");
    shell.shows("run -q");
    shell.types("word\n");
    shell.shows("got word");
    shell.types("echo status $?\n");
    shell.shows("status 3");
    shell.ends();
}

/// The display is redrawn in place: each state is a part of what the terminal received.
#[test]
fn a_trace_shows_what_runs_for_how_long_and_how_many_paths_it_looked_up() {
    if !have(&["script"]) {
        return;
    }
    let place = temporary();
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    // The command ends when the display has shown what is expected.
    let source = "while ! test -e shown; do sleep 0.1; done";
    fs::write(place.path().join("run.sh"), source).unwrap();
    let line = format!("{slimpack} trace -o log -- /bin/sh run.sh");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(place.path())
        .env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut out, mut said, mut bytes) = (child.stdout.take().unwrap(), String::new(), [0; 4096]);
    let is_shown = |said: &str| {
        let mut parts = said.split("tracing /bin/sh: ").skip(1);
        // `12 paths (1s)`: the time is the second part.
        parts.any(|part| {
            let (number, rest) = part.split_once(" paths (").unwrap_or_default();
            number.parse::<u32>().is_ok_and(|number| number > 2) && !rest.starts_with("0s")
        })
    };
    while !is_shown(&said) {
        let read = out.read(&mut bytes).unwrap();
        assert!(read > 0, "{said:?}");
        said += &String::from_utf8_lossy(&bytes[..read]);
    }
    fs::write(place.path().join("shown"), "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    // Nothing of it is left on the screen but the summary.
    let last = rest.rsplit("\x1b[2K").next().unwrap_or_default();
    assert!(!last.contains("tracing"), "{last:?}");
}

#[test]
fn the_reasons_of_a_trace_are_in_the_plan_the_json_and_the_record() {
    let place = temporary();
    let data = place.path().join("data");
    fs::write(&data, "x").unwrap();
    let image = place.path().join("out.tar");
    let pack = |flags: &[&str]| {
        let mut command = slimpack();
        command
            .args(["/bin/cat", "--trace"])
            .arg(data.display().to_string());
        succeed(command.args(flags))
    };
    let reason = "trace: /bin/cat";
    let json = pack(&["--json"]);
    assert!(json.contains(reason), "{json}");
    pack(&["-q", "-o", image.to_str().unwrap()]);
    // `why` has only the record in the image.
    let why = succeed(slimpack().arg("why").arg(&image).arg(&data));
    assert!(why.contains(reason), "{why}");
    let record = succeed(slimpack().args(["inspect", "--json"]).arg(&image));
    assert!(record.contains(reason), "{record}");
}

#[test]
fn needs_lists_what_a_recorded_run_looked_up() {
    let place = temporary();
    let place = place.path();
    fs::write(place.join("data"), "d\n").unwrap();
    let data = place.join("data").display().to_string();
    let read = format!("read x < {data}");
    let record = ["trace", "-qo", "run.trace", "--", "/bin/sh", "-c", &read];
    succeed(slimpack().args(record).current_dir(place));
    let needs = |words: &[&str]| {
        let mut command = slimpack();
        command.args(["needs", "/bin/sh", "--trace-log", "run.trace"]);
        succeed(command.args(words).current_dir(place))
    };
    let listed = needs(&[]);
    let start = format!("  trace {data}: /bin/sh -c read");
    let line = listed.lines().find(|line| line.starts_with(&start));
    assert!(
        line.is_some_and(|line| line.ends_with("opened it")),
        "{listed}"
    );
    let value: serde_json::Value = serde_json::from_str(&needs(&["--json"])).unwrap();
    let paths: Vec<_> = value["trace"].as_array().unwrap().iter().collect();
    let paths: Vec<_> = paths
        .iter()
        .map(|found| found["path"].as_str().unwrap())
        .collect();
    assert!(paths.contains(&data.as_str()), "{paths:?}");
    // Libraries that the loader finds are not needs.
    assert!(
        paths.iter().all(|path| !path.contains("libc.so")),
        "{paths:?}"
    );
    let without = output(
        slimpack()
            .args(["needs", "--trace-log", "run.trace"])
            .current_dir(place),
    );
    assert_eq!(without.status.code(), Some(2), "{}", text(&without));
}

/// A program that has taken the terminal over is not drawn over, however long it runs.
#[test]
fn no_progress_is_drawn_over_a_program_that_reads_single_keys() {
    if !have(&["script"]) {
        return;
    }
    let place = temporary();
    let mut child = traced_on_a_terminal(
        place.path(),
        "--color=auto",
        "stty -icanon; sleep 1; echo done",
    );
    let shown = output(child.stdin(Stdio::null()).env("TERM", "xterm"));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("done") && !shown.contains("tracing"),
        "{shown}"
    );
}
