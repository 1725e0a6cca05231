//! Images in docker, podman, skopeo and umoci.

use crate::{common, docker, podman};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{
    CONTAINER_TOOLS, HELLO, compile, find, have, hello, is_root, output, run_image, slimpack,
    succeed, temporary,
};
use docker::Docker;
use podman::Podman;

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn docker_loads_shows_and_runs_what_was_packed() {
    if !have(&["dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();

    // The usual example in comparisons of minimal images.
    let program = compile(folder.path(), "hello", HELLO, &["-O2", "-static"]);
    let archive = folder.path().join("hello.tar");
    succeed(slimpack().arg(&program).arg("-o").arg(&archive));
    assert!(docker.load(&archive).contains("Loaded image: hello:latest"));
    assert_eq!(
        docker.run(&["run", "--rm", "--network=none", "hello", "Ada"]),
        "Hello, Ada!\n"
    );

    // Another image, with every option.
    let second = folder.path().join("second.tar");
    succeed(
        slimpack()
            .arg(hello())
            .arg("-o")
            .arg(&second)
            .args(["-t", "me/app:1.0", "-t", "me/app:latest", "--cmd", "docker"])
            .args(["-e", "A=1", "-u", "1000:100", "-w", "/work", "-l", "k=v"]),
    );
    docker.load(&second);
    assert_eq!(
        docker.run(&["run", "--rm", "--network=none", "me/app:1.0"]),
        "Hello, docker!\n"
    );

    let images = docker.run(&[
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.Size}}",
    ]);
    for name in ["hello:latest ", "me/app:1.0 ", "me/app:latest "] {
        assert!(images.contains(name), "{images}");
    }
    let history = docker.run(&[
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "me/app:1.0",
    ]);
    assert_eq!(
        history.lines().collect::<Vec<_>>(),
        ["slimpack /usr/local/bin/hello"],
        "one layer"
    );

    let inspected: serde_json::Value =
        serde_json::from_str(&docker.run(&["inspect", "me/app:1.0"])).unwrap();
    let image = &inspected[0];
    let config = &image["Config"];
    assert_eq!(image["Architecture"], "amd64");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/usr/local/bin/hello"])
    );
    assert_eq!(config["Cmd"], serde_json::json!(["docker"]));
    assert_eq!(config["Env"], serde_json::json!(["A=1"]));
    assert_eq!(config["User"], "1000:100");
    assert_eq!(config["WorkingDir"], "/work");
    assert_eq!(config["Labels"]["k"], "v");
    let id = common::document(&second, "manifest.json")[0]["Config"].clone();
    let id = id.as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(
        image["Id"],
        format!("sha256:{id}"),
        "the image ID is the configuration's digest"
    );
}

#[test]
fn podman_loads_and_runs_what_was_packed() {
    let Some(podman) = Podman::start() else {
        return;
    };
    let folder = temporary();
    let archive = folder.path().join("hello.tar");
    succeed(
        slimpack()
            .arg(hello())
            .arg("-o")
            .arg(&archive)
            .args(["--cmd", "podman"]),
    );
    let loaded = podman.load(&archive);
    assert!(loaded.contains("hello:latest"), "{loaded}");
    assert_eq!(podman.run(&["hello"]), "Hello, podman!\n");
}

#[test]
fn skopeo_reads_the_archive_as_docker_and_as_oci() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let archive = folder.path().join("hello.tar");
    succeed(slimpack().arg(hello()).arg("-o").arg(&archive).args([
        "-l",
        "k=v",
        "--without=package-records",
    ]));
    let layer = common::document(&archive, "manifest.json")[0]["Layers"][0].clone();
    let layer = layer.as_str().unwrap().replace("blobs/sha256/", "sha256:");
    for transport in ["docker-archive", "oci-archive"] {
        let image = format!("{transport}:{}", archive.display());
        let inspected: serde_json::Value =
            serde_json::from_str(&succeed(Command::new("skopeo").args(["inspect", &image])))
                .unwrap();
        assert_eq!(inspected["Architecture"], "amd64");
        assert_eq!(inspected["Os"], "linux");
        assert_eq!(inspected["Layers"], serde_json::json!([layer]));
        assert_eq!(inspected["Labels"], serde_json::json!({"k": "v"}));
        // skopeo verifies every digest when copying.
        let copy = folder.path().join(transport);
        let target = format!("dir:{}", copy.display());
        succeed(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", &image, &target]));
        assert!(copy.join("manifest.json").exists());
    }
}

/// The output of a program with these arguments, on the host and in its image.
fn prints_the_same(program: &str, arguments: &[&str]) {
    if !have(&[program]) {
        return;
    }
    let path: PathBuf = fs::canonicalize(find(program).unwrap()).unwrap();
    let folder = temporary();
    let archive = folder.path().join("image.tar");
    succeed(slimpack().arg(&path).arg("-o").arg(&archive));
    let mut command = vec![path.to_str().unwrap()];
    command.extend(arguments);
    let packed = run_image(&archive, &command);
    let direct = output(Command::new(&path).args(arguments).env_clear());
    assert_eq!(
        String::from_utf8_lossy(&packed.stdout),
        String::from_utf8_lossy(&direct.stdout),
        "{}",
        String::from_utf8_lossy(&packed.stderr)
    );
    assert!(packed.status.success() && !direct.stdout.is_empty());
}

#[test]
fn curl_git_and_node_print_in_runc_what_they_print_here() {
    if !have(CONTAINER_TOOLS) || !is_root() {
        return;
    }
    prints_the_same("curl", &["--version"]);
    prints_the_same("git", &["--version"]);
    prints_the_same("node", &["-e", "console.log(42)"]);
}

#[test]
fn scanners_and_structure_tests_read_both_archive_formats() {
    if !have(&["syft", "container-structure-test", "curl"]) {
        return;
    }
    let folder = temporary();
    let expected = folder.path().join("expected.yaml");
    fs::write(
        &expected,
        "schemaVersion: 2.0.0\nfileExistenceTests:\n- name: curl\n  path: /usr/bin/curl\n  shouldExist: true\n",
    )
    .unwrap();
    for format in ["image", "oci"] {
        let archive = folder.path().join(format!("{format}.tar"));
        succeed(
            slimpack()
                .args(["/usr/bin/curl", "-q", "--format", format, "-o"])
                .arg(&archive),
        );
        let found = succeed(
            Command::new("syft")
                .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
                .args(["scan", "-q", "-o", "json"])
                .arg(format!("oci-archive:{}", archive.display())),
        );
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        let names = common::strings(&found["artifacts"], "name");
        assert!(names.contains(&"curl".to_owned()), "{format}: {names:?}");
    }
    // It reads only docker archives.
    let said = succeed(
        Command::new("container-structure-test")
            .args(["test", "--driver", "tar", "--config"])
            .arg(&expected)
            .arg("--image")
            .arg(folder.path().join("image.tar")),
    );
    assert!(said.contains("PASS"), "{said}");
}
