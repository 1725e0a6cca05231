//! The command line: bad input ends with one clear message, the right exit status, and no
//! output file.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{
    HELLO, compile, fail_with, have, hello, is_root, output, slimpack, succeed, temporary,
};

/// A file with these bytes cannot be packed; the message holds `expected`.
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

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
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
    refuses(b"", "the file is empty");
}

#[test]
fn a_text_file() {
    refuses(b"int main(void) { return 0; }\n", "not an ELF file");
}

#[test]
fn a_script() {
    refuses(b"#!/bin/sh\necho\n", "it is a script, not an ELF file");
}

#[test]
fn a_file_that_ends_in_the_header() {
    refuses(
        &hello_bytes()[..40],
        "the file ends inside the ELF header (40 bytes)",
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
fn an_interpreter_that_does_not_exist() {
    let folder = temporary();
    let flags = ["-Wl,--dynamic-linker=/no/such/ld.so"];
    let program = compile(folder.path(), "app", HELLO, &flags);
    refuses_path(
        &program,
        2,
        "its interpreter /no/such/ld.so is not there: no such file or directory",
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
        refuses_path(&program, 2, "it is a program for aarch64");
    }
}

#[test]
fn an_output_folder_that_does_not_exist() {
    let stderr = fail_with(2, slimpack().arg(hello()).args(["-o", "/no/such/out.tar"]));
    assert!(
        stderr.contains("cannot write /no/such/out.tar: the folder /no/such does not exist"),
        "{stderr}"
    );
}

#[test]
fn an_output_that_is_a_folder() {
    let folder = temporary();
    let stderr = fail_with(2, slimpack().arg(hello()).arg("-o").arg(folder.path()));
    assert!(stderr.contains("it is a folder"), "{stderr}");
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

/// A filesystem that is unmounted in the end.
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
    // A gigabyte of zeros behind the program: long enough to be caught in the act.
    fs::File::options()
        .write(true)
        .open(&program)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let out = target.join("out.tar");
    fs::write(&out, "previous").unwrap();
    let mut child = slimpack()
        .arg(&program)
        .arg("-o")
        .arg(&out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while names_in(&target).len() < 2 {
        assert!(Instant::now() < deadline, "no temporary file appears");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.signal(),
        Some(2),
        "ends as the signal would end it: {status}"
    );
    assert_eq!(fs::read(&out).unwrap(), b"previous");
    assert_eq!(names_in(&target), ["out.tar"], "litter");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = slimpack()
        .arg(hello())
        .args(["-q", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_wrong_value_is_refused_with_the_name_of_its_option() {
    for (option, value) in [
        ("--tag", "UPPER CASE"),
        ("--env", "NOVALUE"),
        ("--env", "=value"),
        ("--label", "nolabel"),
        ("--user", "root"),
        ("--workdir", "relative/path"),
        ("--dest", "../up"),
        ("--max-size", "large"),
        ("--cmd", "'open"),
    ] {
        let stderr = fail_with(2, slimpack().arg(hello()).arg(format!("{option}={value}")));
        assert!(stderr.contains(option), "{option}={value}: {stderr}");
    }
    let stderr = fail_with(2, slimpack().arg(hello()).arg("--no-such-option"));
    assert!(stderr.contains("--no-such-option"), "{stderr}");
    let stderr = fail_with(2, &mut slimpack());
    assert!(stderr.contains("FILE"), "{stderr}");
    let stderr = fail_with(2, slimpack().arg(hello()).env("SOURCE_DATE_EPOCH", "now"));
    assert!(stderr.contains("SOURCE_DATE_EPOCH"), "{stderr}");
}

#[test]
fn require_static_says_why_a_program_is_not() {
    let stderr = fail_with(1, slimpack().arg(hello()).arg("--require-static"));
    assert!(
        stderr.contains("it asks for the interpreter /lib64/ld-linux-x86-64.so.2"),
        "{stderr}"
    );
    assert!(stderr.contains("needs libc.so.6"), "{stderr}");
    let folder = temporary();
    let program = compile(folder.path(), "app", HELLO, &["-static"]);
    succeed(slimpack().arg(&program).arg("--require-static"));
}

#[test]
fn max_size_names_the_largest_file() {
    let stderr = fail_with(1, slimpack().arg(hello()).args(["--max-size", "1MB"]));
    assert!(stderr.contains("libc.so.6"), "{stderr}");
    succeed(slimpack().arg(hello()).args(["--max-size", "50MB"]));
}

#[test]
fn allow_missing_packs_the_rest_and_warns() {
    let folder = temporary();
    let lib = "int gone(void) { return 1; }";
    compile(
        folder.path(),
        "libgone.so",
        lib,
        &["-shared", "-fPIC", "-Wl,-soname,libgone.so"],
    );
    let source = "int gone(void); int main(void) { return gone(); }";
    let flags = [folder.path().join("libgone.so").display().to_string()];
    let program = compile(folder.path(), "app", source, &[&flags[0]]);
    let out = folder.path().join("out.tar");
    let pack = || {
        let mut command = slimpack();
        command.arg(&program).arg("-o").arg(&out);
        command
    };
    let stderr = fail_with(1, &mut pack());
    for part in [
        "libgone.so not found",
        "needed by",
        "tried /lib/x86_64-linux-gnu/libgone.so: ENOENT",
        "-L DIR",
        "--allow-missing",
    ] {
        assert!(stderr.contains(part), "nothing of {part:?} in {stderr}");
    }
    assert!(!out.exists());
    let hinted = fail_with(1, pack().env("LD_LIBRARY_PATH", folder.path()));
    assert!(
        hinted.contains(&format!("-L {}", folder.path().display())),
        "{hinted}"
    );
    let warned = output(pack().arg("--allow-missing"));
    assert!(warned.status.success());
    assert!(String::from_utf8_lossy(&warned.stderr).contains("warning: libgone.so is left out"));
    // -L brings it, under the name it is needed by, into a folder the loader searches.
    succeed(pack().arg("-L").arg(folder.path()));
    let layer = common::layer(&out);
    assert!(
        layer.contains_key("usr/lib/x86_64-linux-gnu/libgone.so"),
        "{layer:#?}"
    );
    assert!(
        !layer.keys().any(|path| path.contains("slimpack-test")),
        "{layer:#?}"
    );
}

#[test]
fn without_an_output_the_plan_is_printed_and_nothing_is_written() {
    let folder = temporary();
    let plan = succeed(slimpack().arg(hello()).current_dir(folder.path()));
    assert!(plan.contains("/usr/local/bin/hello  program"), "{plan}");
    assert!(
        plan.contains("interpreter of /usr/local/bin/hello"),
        "{plan}"
    );
    assert!(
        plan.contains("needed by /usr/local/bin/hello via ld.so.cache"),
        "{plan}"
    );
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn quiet_says_nothing_and_verbose_lists_the_files() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    let run = |flag| output(slimpack().arg(hello()).arg(flag).arg("-o").arg(&out)).stderr;
    assert!(run("-q").is_empty());
    let verbose = String::from_utf8(run("-v")).unwrap();
    assert!(
        verbose.contains("interpreter of /usr/local/bin/hello"),
        "{verbose}"
    );
}

#[test]
fn a_program_called_like_a_verb_is_named_by_its_path() {
    let folder = temporary();
    compile(folder.path(), "tree", HELLO, &[]);
    let plan = succeed(slimpack().arg("./tree").current_dir(folder.path()));
    assert!(plan.starts_with("tree:latest"), "{plan}");
    // After a program, the word is another program.
    let plan = succeed(
        slimpack()
            .arg(hello())
            .arg("tree")
            .current_dir(folder.path()),
    );
    assert!(plan.starts_with("hello:latest"), "{plan}");
    let paths = succeed(slimpack().args(["-v", "tree", "--list"]).arg(hello()));
    assert!(paths.contains("libc.so.6"), "{paths}");
    let stderr = fail_with(2, slimpack().args(["-o", "x.tar", "tree"]).arg(hello()));
    assert!(
        stderr.contains("--output is an option of packing"),
        "{stderr}"
    );
}

#[test]
fn several_programs_share_one_image_and_the_first_is_started() {
    let folder = temporary();
    let other = compile(folder.path(), "other", HELLO, &[]);
    let out = folder.path().join("out.tar");
    succeed(slimpack().arg(&other).arg(hello()).arg("-o").arg(&out));
    let layer = common::layer(&out);
    assert!(layer.contains_key("usr/local/bin/other") && layer.contains_key("usr/local/bin/hello"));
    let config = common::image_config(&out);
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/usr/local/bin/other"])
    );
    let stderr = fail_with(
        2,
        slimpack().arg(&other).arg(hello()).args(["--dest", "/app"]),
    );
    assert!(
        stderr.contains("--dest /app is one path for 2 programs"),
        "{stderr}"
    );
    succeed(
        slimpack()
            .arg(&other)
            .arg(hello())
            .args(["--dest", "/app/", "-o"])
            .arg(&out),
    );
    assert!(common::layer(&out).contains_key("app/hello"));
}

#[test]
fn the_configuration_holds_what_was_asked_for() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    succeed(
        slimpack()
            .arg(hello())
            .arg("-o")
            .arg(&out)
            .args(["-t", "me/app:1.0", "-t", "localhost:5000/app"])
            .args([
                "--dest",
                "/app/run",
                "--cmd",
                "-c 'two words'",
                "-e",
                "A=1",
                "-e",
                "B=x=y",
            ])
            .args(["-u", "1000:100", "-w", "/data", "-l", "k=v", "-l", "a=b=c"]),
    );
    let config = common::image_config(&out);
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["os"], "linux");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    assert_eq!(
        config["config"],
        serde_json::json!({
            "Entrypoint": ["/app/run"], "Cmd": ["-c", "two words"], "Env": ["A=1", "B=x=y"],
            "User": "1000:100", "WorkingDir": "/data", "Labels": {"k": "v", "a": "b=c"},
        })
    );
    assert_eq!(
        common::document(&out, "manifest.json")[0]["RepoTags"],
        serde_json::json!(["me/app:1.0", "localhost:5000/app:latest"])
    );
    let stderr = fail_with(
        2,
        slimpack().arg(hello()).args(["--entrypoint", "/no/such"]),
    );
    assert!(
        stderr.contains("--entrypoint: /no/such is not a program in the image"),
        "{stderr}"
    );
}

#[test]
fn the_platform_comes_from_the_elf_header() {
    /// e_machine, EI_CLASS, EI_DATA, e_flags, expected platform.
    const PLATFORMS: &[(u16, u8, u8, u32, &str)] = &[
        (62, 2, 1, 0, "linux/amd64"),
        (62, 1, 1, 0, "linux/amd64"),
        (3, 1, 1, 0, "linux/386"),
        (183, 2, 1, 0, "linux/arm64"),
        (40, 1, 1, 0x0500_0400, "linux/arm/v7"),
        (243, 2, 1, 5, "linux/riscv64"),
        (21, 2, 1, 2, "linux/ppc64le"),
        (21, 2, 2, 1, "linux/ppc64"),
        (22, 2, 2, 0, "linux/s390x"),
        (258, 2, 1, 0x43, "linux/loong64"),
        (8, 2, 1, 0x8000_0007, "linux/mips64le"),
        (8, 1, 2, 0x7000_1007, "linux/mips"),
        (8, 1, 1, 0x7000_1007, "linux/mipsle"),
    ];
    let folder = temporary();
    for &(machine, class, data, flags, expected) in PLATFORMS {
        let program = folder.path().join("program");
        fs::write(&program, static_program(machine, class, data, flags)).unwrap();
        let plan = succeed(slimpack().arg(&program));
        assert!(
            plan.lines()
                .next()
                .unwrap()
                .contains(&format!("  {expected}  static")),
            "{machine}: {plan}"
        );
    }
    let program = folder.path().join("program");
    fs::write(&program, static_program(0xfff0, 2, 1, 0)).unwrap();
    let stderr = fail_with(2, slimpack().arg(&program));
    assert!(stderr.contains("no platform name"), "{stderr}");
}

/// The smallest static program: a header and one segment that holds nothing but it.
fn static_program(machine: u16, class: u8, data: u8, flags: u32) -> Vec<u8> {
    let wide = class == 2;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0];
    bytes.resize(16, 0);
    let mut put = |value: u64, size: usize| {
        if data == 1 {
            bytes.extend_from_slice(&value.to_le_bytes()[..size]);
        } else {
            bytes.extend_from_slice(&value.to_be_bytes()[8 - size..]);
        }
    };
    let word = if wide { 8 } else { 4 };
    let (header, segment) = if wide { (64, 56) } else { (52, 32) };
    put(2, 2); // ET_EXEC
    put(u64::from(machine), 2);
    put(1, 4);
    put(0x10000, word); // e_entry
    put(header, word); // e_phoff
    put(0, word); // e_shoff
    put(u64::from(flags), 4);
    for value in [header, segment, 1, 0, 0, 0] {
        put(value, 2);
    }
    put(1, 4); // PT_LOAD
    if wide {
        put(5, 4);
    }
    for value in [0, 0x10000, 0x10000, header + segment, header + segment] {
        put(value, word);
    }
    if !wide {
        put(5, 4);
    }
    put(0x1000, word);
    bytes
}

#[test]
fn the_variant_of_an_arm_program_comes_from_its_build_attributes() {
    if !have(&["arm-linux-gnueabihf-gcc"]) {
        return;
    }
    let folder = temporary();
    fs::write(
        folder.path().join("app.c"),
        "void _start(void) { for (;;); }",
    )
    .unwrap();
    for (flags, expected) in [
        (&["-march=armv7-a+fp"][..], "linux/arm/v7"),
        (&["-march=armv6+fp", "-marm"][..], "linux/arm/v6"),
        (&["-march=armv8-a+simd"][..], "linux/arm/v8"),
    ] {
        let program = folder.path().join("app");
        succeed(
            Command::new("arm-linux-gnueabihf-gcc")
                .args(["-nostdlib", "-static"])
                .args(flags)
                .arg(folder.path().join("app.c"))
                .arg("-o")
                .arg(&program),
        );
        let plan = succeed(slimpack().arg(&program));
        assert!(
            plan.contains(&format!("  {expected}  ")),
            "{flags:?}: {plan}"
        );
    }
}

#[test]
fn an_installed_program_keeps_its_path_and_the_links_that_lead_to_it() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    // /bin/true: through /bin -> usr/bin on a merged root.
    succeed(slimpack().arg("/bin/true").arg("-o").arg(&out));
    let layer = common::layer(&out);
    let config = common::image_config(&out);
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/bin/true"])
    );
    let real = fs::canonicalize("/bin/true").unwrap();
    assert!(
        layer.contains_key(real.strip_prefix("/").unwrap().to_str().unwrap()),
        "{layer:#?}"
    );
    if let Ok(target) = fs::read_link("/bin") {
        assert_eq!(layer["bin"], format!("link {}", target.display()));
    }
}
