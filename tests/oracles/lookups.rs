//! The paths that a trace records, checked against strace.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use slimpack::trace::{Recording, Uses};

use crate::common::{self, compile, have, output, temporary};
use crate::{machine, program_runs};
use program_runs::{Run, Stage, TREES};

/// Commands that look up files in all the ways there are. DIR is their own directory.
const COMMANDS: [&str; 15] = [
    "DIR/daemon",
    "ls -lR /etc/alternatives",
    "python3 -c 'import ssl, json, ctypes'",
    "sh -c 'cd /usr/share && cat ../lib/os-release ./base-files/motd >/dev/null; mkdir -p DIR/a/b; echo x >DIR/a/b/c; mv DIR/a/b/c DIR/a/d; rm -r DIR/a/b; ln -s d DIR/a/e; readlink -f DIR/a/e; test -e /nonexistent'",
    "git -C DIR init -q",
    "perl -MFile::Find -e 'find(sub {}, \"/usr/share/doc/perl\"); print -e \"/etc/passwd\"'",
    "find /usr/share/perl5 -name '*.pm' -newer /etc/passwd",
    "gcc -c -o DIR/probe.o DIR/probe.c",
    "make -f /dev/null -n nothing-to-do",
    "tar -cf DIR/x.tar -C /usr/share/doc/tar .",
    "bash -c 'exec -a other /bin/true'",
    "env -i /usr/bin/env",
    "xargs -a /etc/hostname -n1 echo",
    "DIR/threads",
    "DIR/odd",
];

/// Threads that open files, change their user (which glibc does by real-time signals), and exec.
const THREADS: &str = r#"
#include <pthread.h>
#include <unistd.h>
#include <stdio.h>
#include <fcntl.h>
static void *opens(void *n) {
    for (int i = 0; i < 20; i++) { access("/etc/passwd", R_OK); close(open("/etc/group", O_RDONLY)); }
    return n;
}
static void *executes(void *n) { execl("/bin/echo", "echo", "done", (char *)0); return n; }
int main(void) {
    pthread_t threads[200];
    for (long i = 0; i < 200; i++) if (pthread_create(threads + i, 0, opens, (void *)i)) return 1;
    if (setresuid(getuid(), getuid(), getuid())) return 2;
    for (int i = 0; i < 200; i++) pthread_join(threads[i], 0);
    pthread_create(threads, 0, executes, 0);
    pause();
}
"#;

/// System calls that few programs make.
const ODD: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
int main(void) {
    char link[4096], *arguments[] = {"true", 0};
    int status, usr = open("/usr", O_PATH | O_DIRECTORY), program = open("/usr/bin/true", O_PATH | O_CLOEXEC);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    if (syscall(SYS_openat2, usr, "lib/os-release", &how, sizeof how) < 0) return 1;
    if (openat(usr, "bin/../share/doc", O_RDONLY | O_DIRECTORY) < 0) return 2;
    if (fork() == 0) { syscall(SYS_execveat, program, "", arguments, 0, AT_EMPTY_PATH); _exit(9); }
    if (wait(&status) < 0 || status) return 3;
    if (vfork() == 0) { execl("/bin/true", "true", (char *)0); _exit(9); }
    if (wait(&status) < 0 || status) return 4;
    if (readlink("/proc/self/exe", link, sizeof link) < 0 || open("/proc/self/exe", O_RDONLY) < 0) return 5;
    getxattr("/etc/passwd", "user.none", link, sizeof link);
    struct statx found;
    if (statx(usr, "bin", AT_SYMLINK_NOFOLLOW, STATX_ALL, &found)) return 6;
    if (chdir("/usr/lib") || access("os-release", R_OK) || fchdir(usr) || access("lib/os-release", R_OK)) return 7;
    if (open("/etc/passwd/none", O_RDONLY) >= 0 || truncate("/nonexistent", 0) == 0) return 8;
    return 0;
}
"#;

pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How servers daemonize: the process that remains is a child of init, in its own session.
const DAEMON: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int main(void) {
    int ready[2];
    char byte;
    if (pipe(ready)) return 1;
    if (fork() == 0) {
        setsid();
        if (fork()) _exit(0);
        open("/etc/passwd", O_RDONLY);
        usleep(100000);
        open("/etc/group", O_RDONLY);
        return write(ready[1], "x", 1) != 1;
    }
    close(ready[1]);
    return read(ready[0], &byte, 1) != 1;
}
"#;

/// The C programs among the commands.
const PROGRAMS: [(&str, &str); 3] = [("threads", THREADS), ("odd", ODD), ("daemon", DAEMON)];

/// The tools that most of these tests need.
fn have_tools() -> bool {
    have(&["strace", "setpriv", "python3", "git", "perl", "gcc", "make"])
}

/// Sets up DIR as the commands expect it.
fn fresh(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).unwrap();
    let set = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(directory, 0o777);
    fs::write(
        directory.join("probe.c"),
        "#include <stdio.h>\nint main(void) { return puts(\"x\"); }\n",
    )
    .unwrap();
}

/// System calls with one path, which strace prints first or after a descriptor.
const ONE_PATH: [&str; 27] = [
    "open",
    "openat",
    "openat2",
    "creat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "statfs",
    "getxattr",
    "lgetxattr",
    "chdir",
    "execve",
    "execveat",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "chmod",
    "fchmodat",
    "utimensat",
    "rmdir",
];

/// The paths of successful calls in a log of one thread (`strace -ff -y`).
fn by_strace(log: &str, found: &mut BTreeSet<PathBuf>) {
    let mut directory = PathBuf::from("/");
    for line in log.lines() {
        // A thread that calls exec continues under the ID of its process, in another file.
        let executed = line
            .split_once(" <pid changed to")
            .or_else(|| line.split_once(" <unfinished ...>"))
            .filter(|(call, _)| call.starts_with("execve"))
            .map(|(call, _)| (call, "0"));
        let Some((call, result)) = executed.or_else(|| line.rsplit_once(" = ")) else {
            continue;
        };
        let Some((name, arguments)) = call.split_once('(') else {
            continue;
        };
        if let ("fchdir", Some((_, path))) = (name, arguments.split_once('<')) {
            directory = PathBuf::from(path.split('>').next().unwrap());
        }
        if !ONE_PATH.contains(&name) || !result.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        // `AT_FDCWD</work>, "file"`, `3</usr>, "lib"`, `"/etc/passwd"`.
        let (base, rest) = match arguments.split_once(">, ") {
            Some((descriptor, rest)) if !arguments.starts_with('"') => {
                let (_, base) = descriptor.split_once('<').unwrap();
                (Path::new(base), rest)
            }
            _ => (directory.as_path(), arguments),
        };
        // If the path is NULL, it is that of the descriptor.
        let Some(path) = rest.strip_prefix('"') else {
            continue;
        };
        let path = path.split('"').next().unwrap();
        let path: PathBuf = match path.is_empty() {
            true if name == "execveat" => base.to_path_buf(),
            true => continue,
            false => base.join(path).components().collect(),
        };
        if name == "chdir" {
            directory.clone_from(&path);
        }
        found.insert(path);
    }
}

fn is_of_kernel(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

/// The command for a line of the list.
fn command(text: &str) -> Command {
    let words = shell_words::split(text).unwrap();
    let mut command = Command::new("env");
    command.args([
        "-i",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "HOME=/nonexistent",
    ]);
    command.args(words);
    command
}

/// `PROGRAM FLAG… COMMAND…`, with the words of `command`, as this user or another. Setuid programs
/// have no effect, as under slimpack.
fn under(program: &Path, flags: &[&str], command: &Command, user: Option<&str>) -> Command {
    let mut whole = Command::new("setpriv");
    whole.arg("--no-new-privs");
    if let Some(user) = user {
        let ids = [format!("--reuid={user}"), format!("--regid={user}")];
        whole.args(ids).arg("--clear-groups");
    }
    whole
        .arg(program)
        .args(flags)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/");
    // Some programs inspect their standard streams.
    whole.stdin(Stdio::null()).stdout(Stdio::null());
    whole.stderr(Stdio::null());
    whole
}

/// The paths that a command looks up, by strace and by slimpack. `ready` resets its directory.
fn looked_up(
    command: &Command,
    user: Option<&str>,
    ready: impl Fn(&Path),
) -> (BySystemCalls, Recording) {
    let logs = temporary();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(logs.path(), permissions).unwrap();
    let place = |name: &str| logs.path().join(name).to_str().unwrap().to_owned();
    ready(logs.path());
    let trace = "trace=%file,%process,fchdir";
    let flags = ["-ff", "-y", "-e", trace, "-o", &place("log")];
    let plain = until_the_command_ends(
        &mut under(Path::new("strace"), &flags, command, user),
        logs.path(),
    );
    let mut found = BySystemCalls::default();
    let threads = threads(logs.path());
    let killed = killed(&threads);
    for (id, log) in &threads {
        let paths = match killed.contains(id.as_str()) {
            true => &mut found.by_killed,
            false => &mut found.certain,
        };
        by_strace(log, paths);
    }
    ready(logs.path());
    let recording = place("trace");
    let flags = ["trace", "--allow-failure", "-o", &recording, "--"];
    let slimpack = Path::new(env!("CARGO_BIN_EXE_slimpack"));
    let traced = output(&mut under(slimpack, &flags, command, user));
    assert!(traced.status.success(), "{command:?}");
    if plain.success() {
        let here = Recording::read(
            &mut BufReader::new(fs::File::open(&recording).unwrap()),
            Path::new("/"),
        );
        assert!(here.unwrap().ending.unwrap().is_success(), "{command:?}");
    }
    let file = fs::File::open(recording).unwrap();
    let recording = Recording::read(&mut BufReader::new(file), Path::new("/")).unwrap();
    (found, recording)
}

/// The paths that strace recorded.
#[derive(Default)]
struct BySystemCalls {
    certain: BTreeSet<PathBuf>,
    /// Paths looked up by processes that were killed, such as the shells of a server when its
    /// command ended, and by their children: how far they get differs from run to run.
    by_killed: BTreeSet<PathBuf>,
}

/// The threads of a run, and the log of each (`strace -ff`).
fn threads(logs: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(logs).unwrap();
    let threads = files.filter_map(|file| {
        let file = file.unwrap();
        let id = file.file_name().to_str()?.strip_prefix("log.")?.to_owned();
        Some((id, fs::read_to_string(file.path()).unwrap()))
    });
    threads.collect()
}

/// The threads that were killed, and those that they started.
fn killed(threads: &[(String, String)]) -> BTreeSet<&str> {
    let is_killed = |log: &str| log.contains("\n+++ killed by");
    let mut pending: Vec<&(String, String)> =
        threads.iter().filter(|(_, log)| is_killed(log)).collect();
    let mut killed = BTreeSet::new();
    while let Some((id, log)) = pending.pop() {
        if !killed.insert(id.as_str()) {
            continue;
        }
        let calls = log
            .lines()
            .filter(|line| line.starts_with("clone") || line.contains("fork("));
        let children: BTreeSet<&str> = calls
            .filter_map(|call| call.rsplit_once(" = ").map(|(_, child)| child))
            .collect();
        pending.extend(
            threads
                .iter()
                .filter(|(id, _)| children.contains(id.as_str())),
        );
    }
    killed
}

/// Runs strace, and kills what its command leaves in the background, as slimpack does: strace would
/// wait for it.
fn until_the_command_ends(strace: &mut Command, logs: &Path) -> ExitStatus {
    const GLANCE: Duration = Duration::from_millis(20);
    let mut child = strace.spawn().unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let threads = threads(logs);
        // Every command begins with env.
        let is_first =
            |log: &str| log.starts_with("execve(") && log[..100.min(log.len())].contains("/env\"");
        let is_over = |log: &str| log.contains("\n+++ ");
        if threads.iter().any(|(_, log)| is_first(log) && is_over(log)) {
            let left = threads.iter().filter(|(_, log)| !is_over(log));
            for (id, _) in left {
                output(Command::new("kill").args(["-9", id]));
            }
        }
        std::thread::sleep(GLANCE);
    }
}

/// The paths that a command of the list looks up.
fn both(directory: &Path, text: &str, user: Option<&str>) -> (BySystemCalls, Recording) {
    looked_up(&command(text), user, |place| {
        fresh(directory);
        for (name, source) in PROGRAMS {
            if text.ends_with(name) {
                let program = compile(place, name, source, &["-pthread", "-w"]);
                fs::copy(program, directory.join(name)).unwrap();
            }
        }
    })
}

/// The paths that only strace recorded, and those that only slimpack recorded, without names that
/// differ from run to run.
fn differences(
    directory: &Path,
    expected: &BySystemCalls,
    recording: &Recording,
) -> [Vec<PathBuf>; 2] {
    // Recorded from system calls that `by_strace` does not parse.
    let other_calls = Uses::MAPPED.and(Uses::LISTED).and(Uses::REFUSED);
    let other_calls = other_calls.and(Uses::CREATED).and(Uses::REMOVED);
    let other_calls = other_calls.and(Uses::CHANGED);
    let is_random = |path: &Path| path.starts_with("/tmp") && !path.starts_with(directory);
    let is_compared = |path: &&PathBuf| {
        !is_of_kernel(path) && !is_random(path) && path.symlink_metadata().is_ok()
    };
    let lacks = expected.certain.iter().filter(is_compared);
    let lacks = lacks.filter(|path| !recording.found.contains_key(*path));
    let found = recording.found.iter();
    let found = found.filter(|(_, traced)| !traced.uses.without(other_calls).is_empty());
    // The targets of links in /proc, and system calls with two paths.
    let more = found.map(|(path, _)| path).filter(is_compared);
    let is_expected =
        |path: &PathBuf| expected.certain.contains(path) || expected.by_killed.contains(path);
    let more = more.filter(|path| !is_expected(path) && !path.starts_with(directory));
    [lacks.cloned().collect(), more.cloned().collect()]
}

#[test]
fn a_trace_finds_what_strace_finds() {
    if !have_tools() || !common::is_root() {
        return;
    }
    let place = temporary();
    let directory = place.path().join("run");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path(), permissions).unwrap();
    let mut compared = 0;
    for text in COMMANDS {
        let text = text.replace("DIR", directory.to_str().unwrap());
        for user in [None, Some("65534")] {
            let (expected, recording) = both(&directory, &text, user);
            let [lacks, more] = differences(&directory, &expected, &recording);
            assert!(
                lacks.is_empty(),
                "{text} as {user:?}: not recorded: {lacks:?}"
            );
            assert!(
                more.is_empty(),
                "{text} as {user:?}: not in strace: {more:?}"
            );
            compared += expected.certain.len();
        }
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn a_log_of_strace_says_what_a_trace_says() {
    if !have_tools() {
        return;
    }
    let place = temporary();
    let directory = place.path().join("run");
    for annotate in [true, false] {
        for text in COMMANDS {
            let text = text.replace("DIR", directory.to_str().unwrap());
            let (_, live) = both(&directory, &text, None);
            fresh(&directory);
            for (name, source) in PROGRAMS {
                if text.ends_with(name) {
                    fs::copy(
                        compile(place.path(), name, source, &["-pthread", "-w"]),
                        directory.join(name),
                    )
                    .unwrap();
                }
            }
            let log = place.path().join("log");
            let mut flags = vec![
                "-f",
                "-tt",
                "-e",
                "trace=file,desc,process",
                "-o",
                log.to_str().unwrap(),
            ];
            flags.extend(annotate.then_some("-y"));
            output(&mut under(
                Path::new("strace"),
                &flags,
                &command(&text),
                None,
            ));
            let read = Recording::read(
                &mut BufReader::new(fs::File::open(&log).unwrap()),
                Path::new("/"),
            );
            let read = read.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.ending, live.ending, "{text}");
            let of = |recording: &Recording| -> BTreeSet<PathBuf> {
                let found = recording.found.iter();
                let found = found.filter(|(path, traced)| {
                    let is_random = path.starts_with("/tmp") && !path.starts_with(&directory);
                    let by_mapping = traced
                        .uses
                        .without(Uses::MAPPED.and(Uses::REFUSED))
                        .is_empty();
                    let is_gone = path.starts_with(&directory) && !path.exists();
                    !is_random && !is_gone && !by_mapping && !is_of_kernel(path)
                });
                found.map(|(path, _)| path.clone()).collect()
            };
            let (read, live) = (of(&read), of(&live));
            let different: Vec<_> = read.symmetric_difference(&live).collect();
            assert!(different.is_empty(), "{text}, -y {annotate}: {different:?}");
        }
    }
}

/// The runs of the table under strace and under slimpack, as root and as another user; by default a
/// sample of them.
#[test]
fn programs_of_the_table_are_traced_as_strace_does() {
    if !have(&["strace", "setpriv"]) || !common::is_root() {
        return;
    }
    let all = std::env::var_os("SLIMPACK_TEST_ALL").is_some();
    let runs: Vec<Run> = program_runs::all()
        .into_iter()
        .filter(|run| !run.setup.contains(TREES) || std::env::var_os(TREES).is_some())
        .filter(|run| run.program.starts_with("DIR") || common::find(&run.program).is_some())
        .step_by(if all { 1 } else { 8 })
        .collect();
    let start = || (0, Vec::new());
    let threads = machine::on_two_threads(&runs, start, |run, (paths, bad)| {
        for user in [None, Some("65534")] {
            match as_strace_does(run, user) {
                Ok(count) => *paths += count,
                Err(why) => {
                    // All of them take an hour.
                    println!("{why}");
                    bad.push(why);
                }
            }
        }
    });
    let bad: Vec<String> = threads.iter().flat_map(|(_, bad)| bad.clone()).collect();
    let paths: usize = threads.iter().map(|(paths, _)| paths).sum();
    println!("{} runs, {paths} paths", 2 * runs.len());
    assert!(bad.is_empty(), "{} differ\n{}", bad.len(), bad.join("\n"));
    assert!(paths > 500, "{paths}");
}

/// The number of paths in a run, or how the two recordings differ.
fn as_strace_does(run: &Run, user: Option<&str>) -> Result<usize, String> {
    /// A run looks up other paths when a clock or a thread is slower.
    const TRIES: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), permissions).unwrap();
    let stage = Stage::of(run, &folder.path().join("dir"));
    let mut command = Command::new("env");
    command.args(["-i", &format!("PATH={PATH}")]);
    command.args(
        stage
            .run
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    command
        .args(["timeout", "60"])
        .arg(&stage.run.program)
        .args(&stage.run.args);
    let mut different = Default::default();
    for _ in 0..TRIES {
        let (expected, recording) = looked_up(&command, user, |_| stage.set_up());
        different = differences(folder.path(), &expected, &recording);
        if different.iter().all(Vec::is_empty) {
            return Ok(expected.certain.len());
        }
    }
    let [lacks, more] = different;
    Err(format!(
        "{} as {user:?}: not recorded: {lacks:?}; not in strace: {more:?}",
        run.name
    ))
}
