//! `slimpack run` refuses the system calls that docker's default profile refuses.
//!
//! One program makes every call of this machine's and of 32-bit programs, with arguments that no call
//! accepts, and prints those that the kernel or a filter answers with EPERM or ENOSYS.

use std::collections::BTreeSet;

use crate::common::{compile, have, is_root, slimpack, succeed, temporary};
use crate::docker::Docker;
use crate::packing::pack;

/// Prints `ABI NUMBER ERROR` for each call that is refused, and for some with arguments that decide.
const PROBE: &str = r#"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <sys/ioctl.h>
#include <unistd.h>

static long call64(long number) { return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) == -1 ? errno : 0; }
static long call32(long number) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result < 0 ? -(int)result : 0;
}
/* Calls that create or end a process, or that return only from a signal handler. */
static const int skipped64[] = { 15, 57, 58, 60, 231, -1 };
static const int skipped32[] = { 1, 2, 72, 119, 173, 190, 252, -1 };
static int is_in(const int *list, int number) {
    while (*list >= 0) if (*list++ == number) return 1;
    return 0;
}
static void report(const char *abi, long number, long error) {
    if (error == EPERM || error == ENOSYS) printf("%s %ld %s\n", abi, number, error == EPERM ? "EPERM" : "ENOSYS");
}
static void all(const char *abi, long (*call)(long), const int *skipped) {
    for (int number = 0; number < 480; number++) {
        if (is_in(skipped, number)) continue;
        pid_t child = fork();
        if (child == 0) { alarm(1); _exit(call(number)); }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFEXITED(status)) report(abi, number, WEXITSTATUS(status));
    }
}
#define TRY(name, value, call) do { errno = 0; report(name, value, (call) == -1 ? errno : 0); } while (0)
int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    all("64", call64, skipped64);
    all("32", call32, skipped32);
    static const long personalities[] = { 0, 8, 0x20000, 0x20008, 0xffffffff, 0x40000, 0x400000, 3 };
    for (int i = 0; i < 8; i++) TRY("personality", personalities[i], syscall(SYS_personality, personalities[i]));
    for (int family = 0; family < 46; family++) TRY("socket", family, syscall(SYS_socket, family, -1, -1));
    TRY("personality", -1L, syscall(SYS_personality, -1L));
    for (int bit = 0; bit < 32; bit++)
        if (bit != 31 && 1L << bit & (0x02000000 | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)) {
            /* Without CLONE_SIGHAND, CLONE_THREAD is not valid. */
            TRY("clone", bit, syscall(SYS_clone, 1L << bit | CLONE_THREAD, 0, 0, 0, 0));
            TRY("unshare", bit, syscall(SYS_unshare, 1L << bit));
        }
    TRY("clone3", 0, syscall(SYS_clone3, 0, 0));
    return 0;
}
"#;

/// What slimpack refuses in addition: `ptrace`, and what docker refuses since version 25 (`io_uring_*`,
/// sockets of virtual machines).
const STRICTER: [&str; 9] = [
    "64 101",
    "64 425",
    "64 426",
    "64 427",
    "32 26",
    "32 425",
    "32 426",
    "32 427",
    "socket 40",
];
/// What newer versions of docker allow (`name_to_handle_at`, `pkey_*`), and `landlock_restrict_self`, which
/// the kernel refuses to a process that may gain privileges.
const LATER: [&str; 10] = [
    "64 303", "64 329", "64 330", "64 331", "64 446", "32 341", "32 380", "32 381", "32 382",
    "32 446",
];
/// Calls from here on are unknown to the libseccomp of older dockers, but allowed by newer ones.
const NEW: u32 = 451;
/// From here on slimpack refuses all, as docker does with calls that its profile does not know.
const NEWER: u32 = 463;

/// The calls of the probe's output, without their errors.
fn calls(said: &str) -> BTreeSet<String> {
    let call = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned();
    said.lines().map(call).collect()
}

#[test]
fn what_docker_refuses_by_default_is_refused() {
    if !have(&["dockerd", "docker", "cc"]) || !is_root() || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let place = temporary();
    let program = compile(
        place.path(),
        "probe",
        PROBE,
        &["-static", "-D_GNU_SOURCE", "-w"],
    );
    let image = pack(&[program.to_str().unwrap(), "-t", "probe:1"]);
    let docker = Docker::start();
    docker.load(&image.archive);
    let options = ["run", "--rm", "--network=none"];
    let there = calls(&docker.run(&[&options[..], &["probe:1"]].concat()));
    let here = calls(&succeed(slimpack().args(["run", "-q"]).arg(&image.archive)));
    assert!(there.len() > 100 && there.contains("64 165"), "{there:?}");
    let is_new = |call: &str| {
        let (abi, number) = call.split_once(' ').unwrap();
        ["64", "32"].contains(&abi) && (NEW..NEWER).contains(&number.parse().unwrap())
    };
    let allowed = there.difference(&here);
    let allowed: Vec<_> = allowed
        .filter(|call| !LATER.contains(&call.as_str()) && !is_new(call))
        .collect();
    let refused = here.difference(&there);
    let refused: Vec<_> = refused
        .filter(|call| !STRICTER.contains(&call.as_str()))
        .collect();
    assert!(
        allowed.is_empty() && refused.is_empty(),
        "only docker refuses {allowed:?}\nonly slimpack refuses {refused:?}"
    );
}
