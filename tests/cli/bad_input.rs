//! Bad input ends with one clear message and exit status 2, and leaves the previous output intact.

use crate::common;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{
    HELLO, compile, fail_with, has_begun_in, have, hello, is_root, names_in, slimpack, succeed,
    temporary,
};

/// Packing a file with these bytes fails with a message that contains `expected`.
fn refuses(bytes: &[u8], expected: &str) {
    let folder = temporary();
    let program = folder.path().join("program");
    fs::write(&program, bytes).unwrap();
    refuses_path(&program, 2, expected);
}

fn refuses_path(program: &Path, status: i32, expected: &str) {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    fs::write(&out, "previous").unwrap();
    let stderr = fail_with(status, slimpack().arg(program).arg("-o").arg(&out));
    assert!(
        stderr.contains(expected),
        "nothing of {expected:?} in: {stderr}"
    );
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert_eq!(fs::read(&out).unwrap(), b"previous", "the previous output");
    assert_eq!(names_in(folder.path()), ["out.tar"], "litter");
}

fn hello_bytes() -> Vec<u8> {
    fs::read(hello()).unwrap()
}

#[test]
fn a_program_that_does_not_exist() {
    refuses_path(
        Path::new("/no/such/program"),
        2,
        "cannot pack /no/such/program: no such file or directory",
    );
}

#[test]
fn a_folder() {
    refuses_path(
        Path::new("/usr"),
        2,
        "cannot pack /usr: it is a directory, not a program",
    );
}

#[test]
fn a_device() {
    refuses_path(
        Path::new("/dev/null"),
        2,
        "it is a device, socket or pipe, not a program",
    );
}

#[test]
fn an_empty_file() {
    refuses(b"", "it is empty");
}

#[test]
fn a_text_file() {
    refuses(
        b"int main(void) { return 0; }\n",
        "it is text without a #! line",
    );
}

#[test]
fn a_script_without_its_interpreter() {
    refuses(
        b"#!/no/shell\necho\n",
        "its interpreter /no/shell does not exist",
    );
    refuses(
        b"#!/bin/sh\r\necho\n",
        "its interpreter /bin/sh\\r does not exist",
    );
    refuses(
        b"#!/usr/bin/env no-command\n",
        "the command no-command of its first line is not in PATH",
    );
    refuses(b"#!\n", "its first line has no interpreter");
}

#[test]
fn a_file_that_ends_in_the_header() {
    refuses(
        &hello_bytes()[..40],
        "it ends inside the ELF header (40 bytes)",
    );
}

#[test]
fn a_truncated_program() {
    refuses(&hello_bytes()[..8000], "damaged ELF file: truncated");
}

#[test]
fn a_core_dump() {
    let mut bytes = hello_bytes();
    bytes[16] = 4; // e_type = ET_CORE
    refuses(&bytes, "it is a core dump, not a program");
}

#[test]
fn program_headers_past_the_end() {
    let mut bytes = hello_bytes();
    bytes[32..40].copy_from_slice(&(1_u64 << 40).to_le_bytes()); // e_phoff
    refuses(&bytes, "its program headers point past the end of the file");
}

#[test]
fn a_relocatable_object_file() {
    let folder = temporary();
    let object = compile(
        folder.path(),
        "part",
        "int part(void) { return 1; }",
        &["-c"],
    );
    refuses_path(&object, 2, "it is an object file (.o, .ko)");
}

#[test]
fn an_unreadable_program() {
    if !is_root() {
        return;
    }
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("secret");
    fs::write(&program, hello_bytes()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o000)).unwrap();
    const NOBODY: u32 = 65534;
    let stderr = fail_with(2, slimpack().uid(NOBODY).gid(NOBODY).arg(&program));
    assert!(stderr.contains("permission denied"), "{stderr}");
}

#[test]
fn a_directory_is_not_passed_where_files_in_it_cannot_be_read() {
    if !is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let lint = || {
        let mut command = slimpack();
        fail_with(
            2,
            command
                .uid(NOBODY)
                .gid(NOBODY)
                .arg("lint")
                .arg(folder.path()),
        )
    };
    let program = folder.path().join("app");
    fs::write(&program, hello_bytes()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let stderr = lint();
    assert!(stderr.contains("cannot read /app"), "{stderr}");
    fs::remove_file(&program).unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::set_permissions(&below, fs::Permissions::from_mode(0o700)).unwrap();
    let stderr = lint();
    assert!(
        stderr.contains("cannot read below") || stderr.contains("cannot read /below"),
        "{stderr}"
    );
}

#[test]
fn an_interpreter_that_does_not_exist() {
    let folder = temporary();
    let flags = ["-Wl,--dynamic-linker=/no/such/ld.so"];
    let program = compile(folder.path(), "app", HELLO, &flags);
    refuses_path(
        &program,
        2,
        "cannot open its interpreter /no/such/ld.so: no such file or directory",
    );
}

#[test]
fn a_dynamic_program_for_another_machine_says_what_it_is() {
    let mut bytes = hello_bytes();
    bytes[18] = 183; // e_machine = EM_AARCH64
    refuses(&bytes, "is for x86_64, the program is for aarch64");
    if have(&["aarch64-linux-gnu-gcc"]) {
        let folder = temporary();
        fs::write(folder.path().join("app.c"), HELLO).unwrap();
        let program = folder.path().join("app");
        succeed(
            Command::new("aarch64-linux-gnu-gcc")
                .arg(folder.path().join("app.c"))
                .arg("-o")
                .arg(&program),
        );
        refuses_path(&program, 2, "it is built for aarch64");
    }
}

#[test]
fn an_output_folder_that_does_not_exist() {
    let stderr = fail_with(2, slimpack().arg(hello()).args(["-o", "/no/such/out.tar"]));
    assert!(
        stderr.contains("cannot write /no/such/out.tar: the directory /no/such does not exist"),
        "{stderr}"
    );
}

#[test]
fn an_output_that_is_a_folder() {
    let folder = temporary();
    let stderr = fail_with(2, slimpack().arg(hello()).arg("-o").arg(folder.path()));
    assert!(stderr.contains("it is a directory"), "{stderr}");
}

#[test]
fn an_output_that_is_the_program() {
    let folder = temporary();
    let program = folder.path().join("app");
    fs::write(&program, hello_bytes()).unwrap();
    let stderr = fail_with(2, slimpack().arg(&program).arg("-o").arg(&program));
    assert!(stderr.contains("it is the program"), "{stderr}");
    assert_eq!(fs::read(&program).unwrap(), hello_bytes());
}

#[test]
fn a_full_disk_leaves_the_previous_output() {
    let stderr = fail_with(2, slimpack().arg(hello()).args(["-o", "/dev/full"]));
    assert!(stderr.contains("No space left on device"), "{stderr}");
    if !is_root() || !have(&["mount", "umount"]) {
        return;
    }
    let folder = temporary();
    let disk = Mounted::tmpfs(folder.path(), "size=1m");
    let out = disk.0.join("out.tar");
    fs::write(&out, "previous").unwrap();
    let stderr = fail_with(2, slimpack().arg(hello()).arg("-o").arg(&out));
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert_eq!(fs::read(&out).unwrap(), b"previous");
    assert_eq!(names_in(&disk.0), ["out.tar"], "litter");
}

/// A file system that is unmounted on drop.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, options: &str) -> Self {
        succeed(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(at),
        );
        Self(at.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn ctrl_c_leaves_nothing_behind_and_the_previous_output_intact() {
    let folder = temporary();
    let program = compile(folder.path(), "large", HELLO, &["-static"]);
    for (name, format) in [("out.tar", "image"), ("out", "rootfs"), ("out", "oci-dir")] {
        let target = folder.path().join(format);
        fs::create_dir(&target).unwrap();
        let caught = [27, 29, 31].into_iter().any(|bits| {
            // Zeros after the program make packing slow enough to be interrupted.
            let file = fs::File::options().write(true).open(&program);
            file.unwrap().set_len(1 << bits).unwrap();
            fs::write(target.join("out.tar"), "previous").unwrap();
            let _ = fs::remove_dir_all(target.join("out"));
            is_interrupted(&program, &target, name, format)
        });
        assert!(caught, "{format} is always done before the signal arrives");
        assert_eq!(fs::read(target.join("out.tar")).unwrap(), b"previous");
        assert_eq!(names_in(&target), ["out.tar"], "{format}: litter");
    }
}

/// Packs into a directory that holds one file, and sends SIGINT as soon as a second one is written.
/// Returns whether the signal ended it before it was done.
fn is_interrupted(program: &Path, target: &Path, name: &str, format: &str) -> bool {
    let mut child = slimpack()
        .arg(program)
        .arg("-o")
        .arg(target.join(name))
        .args(["--format", format])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let has_begun = |child: &Child| names_in(target).len() > 1 || has_begun_in(target, child);
    while !has_begun(&child) && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    if ended.status.success() {
        return false;
    }
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(
        ended.status.signal(),
        Some(2),
        "{format} ends as the signal would end it: {}: {told}",
        ended.status
    );
    true
}

/// Runs with standard output closed by its reader.
fn unread(arguments: &[&str]) -> std::process::Output {
    let mut child = slimpack()
        .args(arguments)
        .arg(hello())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap()
}

#[test]
fn a_reader_that_has_seen_enough_of_a_text_is_no_error() {
    for arguments in [&["tree"][..], &["--dest", "/app/"]] {
        let output = unread(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn an_image_that_is_cut_off_is_an_error() {
    let output = unread(&["-o", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("cannot write standard output: Broken pipe"),
        "{stderr}"
    );
}
