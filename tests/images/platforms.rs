//! Programs for several platforms in one image, and every field of a configuration.

use crate::{common, docker, schemas};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{fail_with, have, hello, is_root, output, slimpack, succeed, temporary};
use docker::Docker;
use serde_json::{Value, json};

const CROSS: &str = "aarch64-linux-gnu-gcc";
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// `hello` for another machine.
fn cross_hello(folder: &Path) -> PathBuf {
    let (source, program) = (folder.join("hello.c"), folder.join("hello-arm64"));
    fs::write(&source, common::HELLO).unwrap();
    succeed(Command::new(CROSS).arg(&source).arg("-o").arg(&program));
    program
}

/// One archive for both machines.
fn pack_both(folder: &Path, format: &str) -> (PathBuf, String) {
    let archive = folder.join(format);
    let mut command = slimpack();
    command
        .arg(hello())
        .arg(cross_hello(folder))
        .arg("--root")
        .arg(format!("arm64={SYSROOT}"));
    command
        .args([
            "--root", "amd64=/", "-t", "both:1", "--format", format, "-o",
        ])
        .arg(&archive);
    let said = output(&mut command);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(archive.exists(), "{said}");
    (archive, said)
}

#[test]
fn skopeo_copies_all_platforms_and_each() {
    if !have(&[CROSS, "skopeo"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (format, transport) in [
        ("image", "oci-archive"),
        ("oci", "oci-archive"),
        ("oci-dir", "oci"),
    ] {
        let (archive, said) = pack_both(folder.path(), format);
        assert!(
            said.contains("linux/amd64") && said.contains("linux/arm64"),
            "{said}"
        );
        assert!(
            said.contains("2 platforms; docker load takes linux/amd64"),
            "{said}"
        );
        let source = format!("{transport}:{}", archive.display());
        let skopeo = |arguments: &[&str]| {
            succeed(
                Command::new("skopeo")
                    .arg("--insecure-policy")
                    .args(arguments),
            )
        };
        let target = format!("oci:{}", at(&format!("{format}-all")));
        skopeo(&["copy", "-q", "--all", &source, &target]);
        let listed = succeed(slimpack().args(["inspect", &at(&format!("{format}-all"))]));
        assert!(
            listed.contains("linux/amd64") && listed.contains("linux/arm64"),
            "{listed}"
        );
        for arch in ["amd64", "arm64"] {
            let target = format!("dir:{}", at(&format!("{format}-{arch}")));
            skopeo(&["--override-arch", arch, "copy", "-q", &source, &target]);
            let config = skopeo(&["--override-arch", arch, "inspect", "--config", &source]);
            let config: Value = serde_json::from_str(&config).unwrap();
            assert_eq!(config["architecture"], arch);
            assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn each_platform_runs_and_is_what_it_is_alone() {
    if !have(&[CROSS, "umoci", "runc", "qemu-aarch64-static"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let (layout, _) = pack_both(folder.path(), "oci-dir");
    schemas::check_layout(&layout);
    let alone = |words: &[&str], program: &Path| {
        let archive = folder.path().join("alone.tar");
        let mut command = slimpack();
        succeed(
            command
                .arg(program)
                .args(words)
                .args(["-t", "both:1", "-qo"])
                .arg(&archive),
        );
        let manifest = common::document(&archive, "index.json");
        manifest["manifests"][0]["digest"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let index = fs::read(layout.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let nested = fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let nested: Value = serde_json::from_slice(&nested).unwrap();
    let digests = common::strings(&nested["manifests"], "digest");
    assert_eq!(
        digests,
        [
            alone(&[], hello()),
            alone(&["--root", SYSROOT], &cross_hello(folder.path()))
        ]
    );
    for (arch, emulator) in [("amd64", None), ("arm64", Some("qemu-aarch64-static"))] {
        let target = folder.path().join(format!("root-{arch}"));
        let one = folder.path().join(format!("one-{arch}"));
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "--override-arch", arch, "copy", "-q"]);
        skopeo
            .arg(format!("oci:{}:1", layout.display()))
            .arg(format!("oci:{}:1", one.display()));
        succeed(&mut skopeo);
        let mut umoci = Command::new("umoci");
        umoci
            .arg("unpack")
            .arg("--image")
            .arg(format!("{}:1", one.display()))
            .arg(&target);
        succeed(&mut umoci);
        let root = target.join("rootfs");
        let name = if arch == "amd64" {
            "hello"
        } else {
            "hello-arm64"
        };
        let program = PathBuf::from("/usr/local/bin").join(name);
        let said = match emulator {
            None => succeed(&mut common::in_chroot(&root, &program)),
            Some(emulator) => {
                fs::copy(common::find(emulator).unwrap(), root.join("emulator")).unwrap();
                succeed(common::in_chroot(&root, Path::new("/emulator")).arg(program))
            }
        };
        assert_eq!(said, "Hello, world!\n", "{arch}");
    }
}

#[test]
fn docker_takes_the_platform_of_this_machine() {
    if !have(&[CROSS, "dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    let (archive, _) = pack_both(folder.path(), "image");
    docker.load(&archive);
    assert_eq!(
        docker.run(&["run", "--rm", "--network=none", "both:1"]),
        "Hello, world!\n"
    );
    let arch = docker.run(&["inspect", "--format", "{{.Architecture}}", "both:1"]);
    assert_eq!(arch.trim(), "amd64");
}

#[test]
fn what_is_for_one_platform_is_refused_for_two() {
    if !have(&[CROSS]) {
        return;
    }
    let folder = temporary();
    let cross = cross_hello(folder.path());
    let pack = |words: &[&str]| {
        let mut command = slimpack();
        command.current_dir(folder.path()).arg(hello()).arg(&cross);
        command
            .args([
                "--root",
                "arm64=/usr/aarch64-linux-gnu",
                "--root",
                "amd64=/",
            ])
            .args(words);
        command
    };
    for output in ["root/", "root.tar"] {
        let format = if output.ends_with('/') {
            "rootfs"
        } else {
            "rootfs-tar"
        };
        let said = fail_with(2, &mut pack(&["-o", output, "--format", format]));
        assert!(said.contains("linux/amd64, linux/arm64"), "{said}");
        assert!(!folder.path().join(output).exists());
    }
    // Errors are reported for each platform.
    let said = fail_with(2, &mut pack(&["-o", "x.tar", "--entrypoint", "/no/such"]));
    assert_eq!(said.matches("--entrypoint").count(), 2, "{said}");
    // The plan shows both platforms.
    let plan = succeed(&mut pack(&[]));
    assert!(
        plan.contains("linux/amd64") && plan.contains("linux/arm64"),
        "{plan}"
    );
    let plans = succeed(&mut pack(&["--json"]));
    let platforms = plans.lines().map(|line| {
        let plan: Value = serde_json::from_str(line).unwrap();
        plan["platform"].as_str().unwrap().to_owned()
    });
    assert_eq!(
        platforms.collect::<Vec<_>>(),
        ["linux/amd64", "linux/arm64"]
    );
}

/// Everything that can be configured.
const ALL: [&str; 34] = [
    "-t",
    "me/app:1.0",
    "--entrypoint",
    "/usr/local/bin/hello",
    "--cmd",
    "a 'b c'",
    "-e",
    "A=1",
    "-e",
    "B=two words",
    "-u",
    "1000:100",
    "-w",
    "/work",
    "-l",
    "k=v",
    "--expose",
    "80",
    "--expose",
    "53/udp",
    "--volume",
    "/data",
    "--stop-signal",
    "INT",
    "--healthcheck",
    "/usr/local/bin/hello up",
    "--author",
    "Ada",
    "--created",
    "2026-01-31T12:00:00Z",
    "--annotation",
    "org.opencontainers.image.source=https://example.org/app",
    "--annotation",
    "x=y",
];

fn pack_all(folder: &Path) -> PathBuf {
    let archive = folder.join("all.tar");
    succeed(slimpack().arg(hello()).args(ALL).arg("-qo").arg(&archive));
    archive
}

#[test]
fn docker_sees_every_field() {
    if !have(&["dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    docker.load(&pack_all(folder.path()));
    let inspected: Value = serde_json::from_str(&docker.run(&["inspect", "me/app:1.0"])).unwrap();
    let (image, config) = (&inspected[0], &inspected[0]["Config"]);
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/hello"]));
    assert_eq!(config["Cmd"], json!(["a", "b c"]));
    assert_eq!(config["Env"], json!(["A=1", "B=two words"]));
    assert_eq!(config["User"], "1000:100");
    assert_eq!(config["WorkingDir"], "/work");
    assert_eq!(config["Labels"]["k"], "v");
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "53/udp": {}}));
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(
        config["Healthcheck"],
        json!({"Test": ["CMD", "/usr/local/bin/hello", "up"]})
    );
    assert_eq!(image["Author"], "Ada");
    assert_eq!(image["Created"], "2026-01-31T12:00:00Z");
    let history = docker.run(&[
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "me/app:1.0",
    ]);
    assert_eq!(history, "slimpack /usr/local/bin/hello\n");
}

#[test]
fn skopeo_sees_every_field() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let source = format!("oci-archive:{}", pack_all(folder.path()).display());
    let skopeo = |arguments: &[&str]| -> Value {
        let mut command = Command::new("skopeo");
        serde_json::from_str(&succeed(
            command.arg("inspect").args(arguments).arg(&source),
        ))
        .unwrap()
    };
    let config = skopeo(&["--config"]);
    assert_eq!(config["author"], "Ada");
    assert_eq!(config["created"], "2026-01-31T12:00:00Z");
    assert_eq!(config["config"]["StopSignal"], "SIGINT");
    assert_eq!(
        config["config"]["ExposedPorts"],
        json!({"80/tcp": {}, "53/udp": {}})
    );
    assert_eq!(config["config"]["Volumes"], json!({"/data": {}}));
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    let raw = skopeo(&["--raw"]);
    let annotations = &raw["annotations"];
    for (key, value) in [
        ("org.opencontainers.image.title", "app"),
        ("org.opencontainers.image.created", "2026-01-31T12:00:00Z"),
        ("org.opencontainers.image.source", "https://example.org/app"),
        ("x", "y"),
    ] {
        assert_eq!(annotations[key], value, "{raw}");
    }
    let seen = skopeo(&[]);
    assert_eq!(seen["Labels"]["k"], "v");
    assert_eq!(seen["Env"], json!(["A=1", "B=two words"]));
}

#[test]
fn wrong_values_are_refused_with_the_name_of_the_option() {
    for (option, value) in [
        ("--expose", "80x"),
        ("--expose", "70000"),
        ("--volume", "data"),
        ("--workdir", "work"),
        ("--env", "=x"),
        ("--label", "k"),
        ("--annotation", "k"),
        ("--tag", "A:b:c"),
        ("--stop-signal", "SIGNO"),
        ("--created", "yesterday"),
        ("--healthcheck", "[1]"),
    ] {
        let said = fail_with(2, slimpack().arg(hello()).arg(format!("{option}={value}")));
        assert!(
            said.contains(option) && said.contains(value),
            "{option}={value}: {said}"
        );
    }
}
