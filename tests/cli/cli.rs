//! The command line: what each option does, and what it prints.

use crate::common;
use std::fs;
use std::process::Command;

use common::{
    HELLO, compile, fail_with, have, hello, names_in, output, slimpack, succeed, temporary,
};

#[test]
fn a_wrong_value_is_refused_with_the_name_of_its_option() {
    for (option, value) in [
        ("--tag", "UPPER CASE"),
        ("--env", "NOVALUE"),
        ("--env", "=value"),
        ("--label", "nolabel"),
        ("--user", "no user"),
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
        stderr.contains("it requests the interpreter /lib64/ld-linux-x86-64.so.2"),
        "{stderr}"
    );
    assert!(stderr.contains("needs libc.so.6"), "{stderr}");
    let folder = temporary();
    let program = compile(folder.path(), "app", HELLO, &["-static"]);
    succeed(slimpack().arg(&program).arg("--require-static"));
}

#[test]
fn max_size_names_what_can_be_left_out() {
    let limited = |limit: &str| {
        let mut limited = slimpack();
        limited.arg(hello()).args(["--max-size", limit]);
        limited
    };
    // The loader needs the largest file.
    let bare = fail_with(1, &mut limited("1MB"));
    assert!(
        bare.contains("libc.so.6") && !bare.contains("--exclude"),
        "{bare}"
    );
    let folder = temporary();
    fs::write(folder.path().join("data"), vec![7; 2_000_000]).unwrap();
    let add = format!("--add={}:/data", folder.path().join("data").display());
    let added = fail_with(1, limited("4MB").args(["--with", "gconv", &add]));
    assert!(added.contains("--without gconv saves "), "{added}");
    assert!(added.contains("--exclude /data saves 2000000"), "{added}");
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
    // -L adds it under the name in DT_NEEDED, in a directory that the loader searches.
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
    assert!(plan.contains("/usr/local/bin/hello\n"), "{plan}");
    let plan = succeed(slimpack().arg("-v").arg(hello()).current_dir(folder.path()));
    for reason in [
        "/usr/local/bin/hello  program",
        "interpreter of /usr/local/bin/hello",
        "needed by /usr/local/bin/hello via ld.so.cache",
    ] {
        assert!(plan.contains(reason), "{plan}");
    }
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
    // After a program, a word that names a command is another program.
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
        stderr.contains("--output applies only to packing"),
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
            .args(["-u", "1000:100", "-w", "/data", "-l", "k=v", "-l", "a=b=c"])
            .arg("--without=package-records"),
    );
    let config = common::image_config(&out);
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["os"], "linux");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    assert_eq!(
        config["config"],
        serde_json::json!({
            "Entrypoint": ["/app/run"], "Cmd": ["-c", "two words"], "Env": ["A=1", "B=x=y"],
            "User": "1000:100", "WorkingDir": "/data",
            "Labels": {
                "k": "v", "a": "b=c", "dev.slimpack.reasons": "{\"/data\":\"--workdir: requested\"}",
            },
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
        stderr.contains("--entrypoint: \"/no/such\" is not a program in the image"),
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

/// The smallest static program: an ELF header and one segment that contains nothing else.
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
    // /bin/true is reached through /bin -> usr/bin on a merged-usr system.
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

#[test]
fn copies_of_one_library_meet_in_one_place_and_different_ones_do_not() {
    let folder = temporary();
    let build = |name: &str, value: u32| {
        let place = folder.path().join(name);
        fs::create_dir_all(place.join("lib")).unwrap();
        let source = format!("int inner(void) {{ return {value}; }}");
        let flags = ["-shared", "-fPIC", "-Wl,-soname,libinner.so"];
        let library = compile(&place, "libinner.so", &source, &flags);
        fs::rename(library, place.join("lib/libinner.so")).unwrap();
        let source = "int inner(void); int main(void) { return inner(); }";
        let lib = format!("-L{}", place.join("lib").display());
        compile(
            &place,
            name,
            source,
            &[&lib, "-linner", "-Wl,-rpath,$ORIGIN/lib"],
        )
    };
    let (one, same, other) = (build("one", 1), build("same", 1), build("other", 2));
    let out = folder.path().join("out.tar");
    succeed(slimpack().arg(&one).arg(&same).arg("-o").arg(&out));
    assert!(common::layer(&out).contains_key("usr/local/bin/lib/libinner.so"));
    let stderr = fail_with(2, slimpack().arg(&one).arg(&other));
    for part in [
        "/usr/local/bin/lib/libinner.so",
        "one/lib/libinner.so and",
        "other/lib/libinner.so",
    ] {
        assert!(stderr.contains(part), "nothing of {part:?} in {stderr}");
    }
}

#[test]
fn the_last_of_a_variable_counts_and_a_tag_counts_once() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    let arguments = [
        "-e", "A=1", "-e", "B=2", "-e", "A=3", "-t", "x", "-t", "x:latest",
    ];
    succeed(slimpack().arg(hello()).args(arguments).arg("-o").arg(&out));
    assert_eq!(
        common::image_config(&out)["config"]["Env"],
        serde_json::json!(["B=2", "A=3"])
    );
    let tags = &common::document(&out, "manifest.json")[0]["RepoTags"];
    assert_eq!(*tags, serde_json::json!(["x:latest"]));
}

#[test]
fn a_setuid_program_loses_the_bit_and_it_is_said() {
    let folder = temporary();
    let program = folder.path().join("app");
    fs::copy(hello(), &program).unwrap();
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o4755),
    )
    .unwrap();
    let out = folder.path().join("out.tar");
    let packed = output(slimpack().arg(&program).arg("-o").arg(&out));
    let stderr = String::from_utf8_lossy(&packed.stderr);
    assert!(
        stderr.contains("/usr/local/bin/app is setuid or setgid here"),
        "{stderr}"
    );
    assert!(common::layer(&out)["usr/local/bin/app"].starts_with("file 0755"));
}

#[test]
fn an_entrypoint_is_an_executable_that_the_path_leads_to() {
    let pack = |arguments: &[&str]| {
        let mut command = slimpack();
        command.arg(hello()).args(arguments);
        command
    };
    succeed(&mut pack(&["--entrypoint", "hello world"]));
    succeed(&mut pack(&["--entrypoint", "/usr/local/bin/hello"]));
    succeed(&mut pack(&[
        "--dest",
        "/app/hello",
        "-e",
        "PATH=/app",
        "--entrypoint",
        "hello",
    ]));
    for arguments in [
        &["--dest", "/app/hello", "--entrypoint", "hello"][..],
        &["--entrypoint", "/usr"],
        &["--entrypoint", "/usr/lib/x86_64-linux-gnu/libc.so.6"],
        &["--entrypoint", ""],
    ] {
        let stderr = fail_with(2, &mut pack(arguments));
        assert!(
            stderr.contains("is not a program in the image"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn the_image_does_not_depend_on_how_the_path_was_typed() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    let packed = |typed: &str, from: &str| {
        succeed(slimpack().arg(typed).arg("-o").arg(&out).current_dir(from));
        fs::read(&out).unwrap()
    };
    let plain = packed("/usr/bin/env", "/");
    assert!(packed("./env", "/usr/bin") == plain);
    assert!(packed("../bin/env", "/usr/lib") == plain);
    assert!(packed("//usr/./bin//env", "/tmp") == plain);
}
