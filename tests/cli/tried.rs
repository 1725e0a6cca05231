//! Images run by slimpack itself: what their programs see, and what a run leaves behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{self, compile, have, output, slimpack, succeed, temporary, text};

/// An archive with a shell and a few commands.
fn shell(directory: &Path) -> PathBuf {
    let image = directory.join("shell.tar");
    let mut command = slimpack();
    let commands = "commands=cat+ls+id+mount+ps+kill+sleep+touch+stat+hostname+unshare+env+tty";
    command.args(["/bin/sh", "--with", commands, "--mkdir", "/tmp,chmod=1777"]);
    for name in [
        "cat", "ls", "id", "mount", "touch", "stat", "hostname", "unshare", "env", "tty", "sleep",
    ] {
        command.arg("--add").arg(common::find(name).unwrap());
    }
    succeed(command.args(["-q", "-o"]).arg(&image));
    image
}

/// The output of a script in an image.
fn tried(image: &Path, options: &[&str], script: &str) -> Output {
    let mut command = slimpack();
    command.args(["run", "-q"]).args(options).arg(image);
    output(command.args(["-c", script]))
}

fn said(image: &Path, options: &[&str], script: &str) -> String {
    let said = tried(image, options, script);
    assert!(said.status.success(), "{script}: {}", text(&said));
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn a_program_sees_what_engines_give_it() {
    let place = temporary();
    let image = shell(place.path());
    let nodes = said(&image, &[], "ls /dev");
    for node in [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stdin", "tty", "urandom",
        "zero",
    ] {
        assert!(nodes.lines().any(|line| line == node), "{node}: {nodes}");
    }
    assert_eq!(
        said(&image, &[], "echo $$; cat /etc/hostname; hostname"),
        "1\nslimpack\nslimpack\n"
    );
    assert!(said(&image, &[], "cat /etc/hosts").contains("127.0.0.1\tlocalhost"));
    assert_eq!(said(&image, &["-w", "/new/place"], "pwd"), "/new/place\n");
    assert_eq!(said(&image, &["-e", "A=1", "-e", "A=2"], "echo $A"), "2\n");
    assert_eq!(said(&image, &["-u", "7:8"], "id -u; id -g"), "7\n8\n");
    assert_eq!(said(&image, &[], "ls /proc/self/fd"), "0\n1\n2\n3\n");
    let status = said(&image, &[], "cat /proc/self/status");
    for line in [
        "CapBnd:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapInh:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let entrypoint = ["--entrypoint", "/bin/cat"];
    let mut command = slimpack();
    command
        .args(["run", "-q"])
        .args(entrypoint)
        .arg(&image)
        .arg("/etc/hostname");
    assert_eq!(succeed(&mut command), "slimpack\n");
}

#[test]
fn a_program_cannot_leave_its_root() {
    let place = temporary();
    let image = shell(place.path());
    for script in [
        "mount -t tmpfs none /tmp",
        "unshare -U true",
        "unshare -m true",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "cat /proc/kcore | read x",
        "echo x > /sys/kernel/mm/ksm/run",
        "exec 3< /dev/tty",
        "touch /proc/1/root/../../../../work/x",
    ] {
        let said = tried(&image, &[], script);
        assert!(!said.status.success(), "{script}: {}", text(&said));
    }
    let read_only = tried(&image, &["--read-only"], "touch /x");
    assert!(!read_only.status.success());
    assert_eq!(
        said(&image, &["--read-only"], "echo > /dev/shm/x && echo yes"),
        "yes\n"
    );
    // The network is only a loopback interface.
    assert_eq!(said(&image, &[], "ls /sys/class/net"), "lo\n");
    let secret = place.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let mut command = slimpack();
    command
        .args(["run", "-q"])
        .arg(&image)
        .args(["-c", "cat $0"])
        .arg(&secret);
    assert!(!output(&mut command).status.success());
}

#[test]
fn refused_calls_fail_and_do_not_kill() {
    if !have(&["cc"]) {
        return;
    }
    let place = temporary();
    let source = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>
#define REFUSED(call) errno = 0; if ((call) != -1 || errno != EPERM) { printf("%s: %d\n", #call, errno); bad = 1; }
int main(void) {
    int bad = 0;
    REFUSED(syscall(SYS_mount, 0, 0, 0, 0, 0));
    REFUSED(syscall(SYS_umount2, "/", 0));
    REFUSED(ptrace(PTRACE_TRACEME, 0, 0, 0));
    REFUSED(syscall(SYS_bpf, 0, 0, 0));
    REFUSED(syscall(SYS_kexec_load, 0, 0, 0, 0));
    REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    REFUSED(syscall(SYS_add_key, 0, 0, 0, 0, 0));
    REFUSED(syscall(SYS_unshare, CLONE_NEWUSER));
    REFUSED(syscall(SYS_setns, 0, 0));
    REFUSED(syscall(SYS_io_uring_setup, 1, 0));
    REFUSED(syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    REFUSED(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
    char c = 'x';
    REFUSED(ioctl(0, TIOCSTI, &c));
    errno = 0;
    if (syscall(SYS_clone3, 0, 0) != -1 || errno != ENOSYS) { printf("clone3: %d\n", errno); bad = 1; }
    return bad;
}"#;
    let program = compile(
        place.path(),
        "refused",
        source,
        &["-static", "-D_GNU_SOURCE", "-w"],
    );
    let done = output(slimpack().args(["run", "-q"]).arg(program));
    assert!(done.status.success(), "{}", text(&done));
}

#[test]
fn signals_and_statuses_are_passed_on() {
    let place = temporary();
    let image = shell(place.path());
    assert_eq!(tried(&image, &[], "exit 7").status.code(), Some(7));
    let done = tried(&image, &[], "sh -c 'kill -SEGV $$'; exit $?");
    assert_eq!(done.status.code(), Some(139), "{}", text(&done));
    let run = |words: &[&str]| output(slimpack().args(["run", "-q"]).args(words));
    let path = image.to_str().unwrap();
    assert_eq!(
        run(&["--entrypoint", "gone", path]).status.code(),
        Some(127)
    );
    assert_eq!(
        run(&["--entrypoint", "/etc/hostname", path]).status.code(),
        Some(126)
    );
    assert_eq!(run(&["-u", "nosuchuser", path]).status.code(), Some(125));
    assert_eq!(run(&["gone.tar"]).status.code(), Some(125));
    // One script handles the signal, the other does not.
    for (script, signal, status) in [
        (
            "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.1; done",
            "TERM",
            5,
        ),
        ("echo ready; while :; do sleep 0.1; done", "TERM", 143),
        ("echo ready; while :; do sleep 0.1; done", "INT", 130),
    ] {
        let mut command = slimpack();
        command.args(["run", "-q"]).arg(&image).args(["-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        let id = child.id().to_string();
        succeed(Command::new("kill").args([&format!("-{signal}"), &id]));
        assert_eq!(
            child.wait().unwrap().code(),
            Some(status),
            "{script} {signal}"
        );
    }
    let done = tried(&image, &["--timeout", "1s"], "sleep 60");
    assert_eq!(done.status.code(), Some(137), "{}", text(&done));
}

/// The mounts, processes and temporary files on this machine that a run could leave behind.
fn traces_of_runs(mark: &str) -> Vec<String> {
    let mut left = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.push(mounts.lines().count().to_string());
    for process in fs::read_dir("/proc").unwrap() {
        let process = process.unwrap().path();
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        if words.contains(mark) {
            left.push(words);
        }
    }
    left
}

#[test]
fn nothing_is_left_of_runs() {
    let place = temporary();
    let image = shell(place.path());
    let scratch = place.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let mark = "1234.5678";
    let before = traces_of_runs(mark);
    let command = |script: &str| {
        let mut command = slimpack();
        command.args(["run", "-q"]).arg(&image).args(["-c", script]);
        command.env("TMPDIR", &scratch).stdout(Stdio::null());
        command
    };
    let runs = std::env::var("SLIMPACK_TEST_RUNS")
        .ok()
        .and_then(|text| text.parse().ok());
    for _ in 0..runs.unwrap_or(30) {
        succeed(&mut command("sleep 1234.5678 & touch /tmp/x"));
    }
    // When slimpack is killed, everything in the container ends with it.
    let mut child = command("sleep 1234.5678 & sleep 1234.5678")
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while traces_of_runs(mark).len() < before.len() + 3 {
        assert!(Instant::now() < until, "the run does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while traces_of_runs(mark) != before {
        assert!(Instant::now() < until, "{:?}", traces_of_runs(mark));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
}

#[test]
fn an_image_that_does_not_fit_into_memory_is_reported() {
    if !have(&["strace"]) {
        return;
    }
    let place = temporary();
    let image = shell(place.path());
    // The file system of the root is full, as if it had half of a small memory.
    let full = "inject=write:error=ENOSPC:when=9+";
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=write",
        "-e",
        full,
    ]);
    command.args([env!("CARGO_BIN_EXE_slimpack"), "run", "-q"]);
    let said = output(command.arg(&image).args(["-c", "echo ran"]));
    assert_eq!(said.status.code(), Some(125), "{}", text(&said));
    let expected = "no memory is left for its files; run it with --runtime";
    assert!(text(&said).contains(expected), "{}", text(&said));
    assert!(!text(&said).contains("ran\n"), "{}", text(&said));
}

#[test]
fn volumes_are_shown_and_may_be_read_only() {
    let place = temporary();
    let image = shell(place.path());
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(data.join("a"), "one\n").unwrap();
    let volume = format!("{}:/data", data.display());
    assert_eq!(
        said(&image, &["-v", &volume], "cat /data/a; echo two > /data/b"),
        "one\n"
    );
    assert_eq!(fs::read_to_string(data.join("b")).unwrap(), "two\n");
    let closed = format!("{volume}:ro");
    assert!(
        !tried(&image, &["-v", &closed], "echo > /data/c")
            .status
            .success()
    );
    let file = format!("{}:/etc/one:ro", data.join("a").display());
    assert_eq!(said(&image, &["-v", &file], "cat /etc/one"), "one\n");
    let gone = tried(&image, &["-v", "/nosuch:/data"], "true");
    assert_eq!(gone.status.code(), Some(2));
    assert!(
        text(&gone).contains("/nosuch does not exist"),
        "{}",
        text(&gone)
    );
}

#[test]
fn input_is_read_only_where_asked() {
    let place = temporary();
    let image = shell(place.path());
    for (options, expected) in [(&["-i"][..], "one\n"), (&[], "")] {
        let mut command = slimpack();
        command
            .args(["run", "-q"])
            .args(options)
            .arg(&image)
            .args(["-c", "cat"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let _ = std::io::Write::write_all(&mut input, b"one\n");
        drop(input);
        let done = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
    }
}

#[test]
fn a_terminal_is_the_programs_own() {
    if !have(&["script"]) {
        return;
    }
    let place = temporary();
    let image = shell(place.path());
    let inside = |options: &str| {
        let slimpack = env!("CARGO_BIN_EXE_slimpack");
        let line = format!(
            "{slimpack} run -q {options} {} -c 'tty; exit 3'",
            image.display()
        );
        let mut command = Command::new("script");
        let done = output(
            command
                .args(["-qec", &line, "/dev/null"])
                .stdin(Stdio::null()),
        );
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (status, said) = inside("-t");
    assert!(
        status == Some(3) && said.contains("/dev/pts/0"),
        "{status:?} {said}"
    );
    // Without -t, the program does not see the terminal of this machine.
    let (status, said) = inside("");
    assert!(
        status == Some(3) && said.contains("not a tty"),
        "{status:?} {said}"
    );
}

#[test]
fn a_normal_user_runs_images_too() {
    if !common::is_root() || !have(&["setpriv"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let image = shell(place.path());
    let copy = place.path().join("slimpack");
    fs::copy(env!("CARGO_BIN_EXE_slimpack"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy);
    command
        .args(["run", "-u", "33"])
        .arg(&image)
        .args(["-c", "id -u; touch /new; stat -c %u /new /etc"]);
    let done = output(&mut command);
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "33\n33\n33\n",
        "{}",
        text(&done)
    );
    assert!(
        text(&done).contains("files of the image belong to other users"),
        "{}",
        text(&done)
    );
}

#[test]
fn options_after_the_image_are_not_lost_in_silence() {
    let place = temporary();
    let image = shell(place.path());
    let run = |words: &[&str]| output(slimpack().arg("run").arg(&image).args(words));
    let script = ["-c", "echo $K $0", "-u"];
    // The program's own options begin with the first that is none of slimpack's.
    let said = run(&[&["-e", "K=v"], &script[..]].concat());
    assert_eq!(String::from_utf8_lossy(&said.stdout), "v -u\n");
    assert!(
        text(&said).contains("note: -e is an option of slimpack run"),
        "{}",
        text(&said)
    );
    let said = run(&[&["-e", "K=v", "--"], &script[..]].concat());
    assert_eq!(text(&said), "v -u\n");
    let said = run(&["--", "-i", "-c", "echo $-"]);
    assert!(
        String::from_utf8_lossy(&said.stdout).contains('i'),
        "{}",
        text(&said)
    );
}

#[test]
fn root_of_a_user_namespace_has_the_user_of_the_image() {
    if !have(&["unshare"]) {
        return;
    }
    let place = temporary();
    let image = shell(place.path());
    for (user, expected) in [("0", "0\n"), ("33", "33\n")] {
        // One user, and groups that it may not change.
        let mut command = Command::new("unshare");
        command.args([
            "-Ur",
            env!("CARGO_BIN_EXE_slimpack"),
            "run",
            "-q",
            "-u",
            user,
        ]);
        let done = output(command.arg(&image).args(["-c", "id -u"]));
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            expected,
            "{}",
            text(&done)
        );
    }
}

/// Registers qemu for aarch64 in the namespaces of the shell only (Linux 6.7), then runs its
/// arguments. Magic and mask are from qemu-binfmt-conf.sh.
const WITH_EMULATOR: &str = r#"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 99
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":arm:M::$magic:$mask:$(command -v qemu-aarch64-static):F" > /proc/sys/fs/binfmt_misc/register || exit 98
exec "$@""#;

#[test]
fn programs_for_another_architecture_run_where_the_kernel_has_an_emulator() {
    const COMPILER: &str = "aarch64-linux-gnu-gcc";
    if !have(&[COMPILER, "qemu-aarch64-static", "unshare"]) {
        return;
    }
    let place = temporary();
    let (source, program) = (place.path().join("arm.c"), place.path().join("arm"));
    let text_of = "#include <stdio.h>\nint main(int n, char **v) { puts(v[n - 1]); return 7; }";
    fs::write(&source, text_of).unwrap();
    let mut compiler = Command::new(COMPILER);
    succeed(compiler.args(["-static", "-o"]).arg(&program).arg(&source));
    let image = place.path().join("arm.tar");
    succeed(slimpack().arg(&program).arg("-qo").arg(&image));
    let emulated = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", WITH_EMULATOR, "sh"]);
        output(command.arg(env!("CARGO_BIN_EXE_slimpack")).args(words))
    };
    let (image, program) = (image.to_str().unwrap(), program.to_str().unwrap());
    for words in [
        &["run", "-q", image, "said"][..],
        &["run", "-q", "--diagnose", image, "said"],
    ] {
        let done = emulated(words);
        assert_eq!(done.status.code(), Some(7), "{}", text(&done));
        assert_eq!(String::from_utf8_lossy(&done.stdout), "said\n");
    }
    let tested = place.path().join("tested.tar");
    let expected = [
        "--test=said",
        "--test-stdout=said",
        "--test-status=7",
        "-qo",
    ];
    let done = emulated(&[&[program], &expected[..], &[tested.to_str().unwrap()]].concat());
    assert!(done.status.success() && tested.exists(), "{}", text(&done));
}

/// The first of them would be started in silence.
#[test]
fn one_of_several_images_has_to_be_chosen() {
    let folder = temporary();
    let images = folder.path().join("images");
    for (program, tag) in [("/bin/true", "me/true:1"), ("/bin/false", "me/false:1")] {
        let mut pack = slimpack();
        pack.args([program, "-t", tag, "--format", "oci-dir", "-qo"]);
        succeed(pack.arg(format!("{}/", images.display())));
    }
    let run = |image: &str| output(slimpack().args(["run", "-q", image]));
    let all = run(images.to_str().unwrap());
    assert_eq!(all.status.code(), Some(125));
    let said = text(&all);
    assert!(
        said.contains("choose one: ") && said.contains("me/false:1"),
        "{said}"
    );
    let one = run(&format!("{}#me/false:1", images.display()));
    assert_eq!(one.status.code(), Some(1), "{}", text(&one));
}
