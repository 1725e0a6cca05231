//! The engine on this machine: images are loaded into it, and read from it.

use crate::{common, docker};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{fail_with, find, have, hello, is_root, output, slimpack, succeed, temporary};
use docker::Docker;

/// A PATH with only these tools.
fn path_with(folder: &Path, tools: &[&str]) -> std::path::PathBuf {
    let path = folder.join(tools.join("-") + "-only");
    fs::create_dir_all(&path).unwrap();
    for tool in tools {
        let _ = symlink(find(tool).unwrap(), path.join(tool));
    }
    path
}

/// A fake tool that prints this and exits with this status.
fn stand_in(folder: &Path, name: &str, script: &str) -> std::path::PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder.to_path_buf()
}

#[test]
fn docker_is_handed_an_image_and_gives_it_back() {
    if !have(&["dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    let with_docker = |words: &[&str]| {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .env("DOCKER_HOST", docker.host())
            .args(words);
        command
    };
    let program = hello().to_str().unwrap();
    succeed(&mut with_docker(&[
        program,
        "--load",
        "-t",
        "handed:1",
        "--compress",
        "gzip",
    ]));
    let said = docker.run(&["run", "--rm", "--network=none", "handed:1", "Ada"]);
    assert_eq!(said, "Hello, Ada!\n");
    // Also writes a file, if requested.
    succeed(&mut with_docker(&[
        program, "--load", "-t", "handed:2", "-qo", "file.tar",
    ]));
    assert!(folder.path().join("file.tar").exists());
    docker.run(&["image", "inspect", "handed:2"]);

    let listed = succeed(&mut with_docker(&[
        "inspect",
        "--files",
        "docker-daemon:handed:1",
    ]));
    assert!(
        listed.contains("handed:1") && listed.contains("libc.so.6"),
        "{listed}"
    );
    succeed(&mut with_docker(&["lint", "docker-daemon:handed:1"]));
    let tree = succeed(&mut with_docker(&["tree", "docker-daemon:handed:1"]));
    assert!(tree.contains("libc.so.6"), "{tree}");
    let tree = succeed(&mut with_docker(&[
        "tree",
        "--from",
        "docker-daemon:handed:1",
        "/usr/local/bin/hello",
    ]));
    assert!(tree.contains("libc.so.6"), "{tree}");
    let said = fail_with(2, &mut with_docker(&["inspect", "docker-daemon:no-such:1"]));
    assert!(said.contains("docker save no-such:1 failed:"), "{said}");
    let said = fail_with(2, &mut with_docker(&["inspect", "docker-daemon:--help"]));
    assert!(said.contains("docker save --help failed:"), "{said}");
}

#[test]
fn podman_is_handed_the_image_where_docker_does_not_answer() {
    if !have(&["podman", "runc"]) || !is_root() {
        return;
    }
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let at = |name: &str| folder.path().join(name);
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        at("root").display(),
        at("run").display()
    );
    fs::write(at("storage.conf"), storage).unwrap();
    // A docker client without a daemon is skipped.
    let path = stand_in(&at("tools"), "docker", "echo 'no daemon' >&2; exit 1");
    symlink(find("podman").unwrap(), path.join("podman")).unwrap();
    let path = std::env::join_paths([
        path.as_path(),
        Path::new("/usr/bin"),
        Path::new("/usr/sbin"),
    ])
    .unwrap();
    let mut command = slimpack();
    command
        .env("PATH", &path)
        .env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
    let said = output(command.arg(hello()).args(["--load", "-t", "handed:1"]));
    assert!(said.status.success(), "{said:?}");
    let mut podman = Command::new("podman");
    podman.env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
    let listed = succeed(podman.args(["images", "--format", "{{.Repository}}:{{.Tag}}"]));
    assert!(listed.contains("handed:1"), "{listed}");
    let mut command = slimpack();
    command
        .env("PATH", &path)
        .env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
    let listed = succeed(command.args(["inspect", "docker-daemon:docker.io/library/handed:1"]));
    assert!(listed.contains("handed:1"), "{listed}");
    docker::unmount_below(folder.path());
}

#[test]
fn without_an_engine_it_is_said_what_is_missing() {
    let folder = temporary();
    let run = |path: &Path, words: &[&str]| {
        let mut command = slimpack();
        fail_with(2, command.env("PATH", path).arg(hello()).args(words))
    };
    let none = path_with(folder.path(), &[]);
    let said = run(&none, &["--load"]);
    assert!(
        said.contains("docker is not in PATH, and podman is not in PATH"),
        "{said}"
    );
    assert!(said.contains("start docker, install podman"), "{said}");
    let silent = stand_in(
        &folder.path().join("silent"),
        "docker",
        "echo 'is it running?' >&2; exit 1",
    );
    let said = run(&silent, &["--load"]);
    assert!(
        said.contains("docker does not respond (is it running?)"),
        "{said}"
    );
    // An engine that fails halfway.
    let script =
        "[ \"$1\" = version ] && exit 0\nhead -c 100 >/dev/null\necho 'no space' >&2\nexit 3";
    let full = stand_in(&folder.path().join("full"), "docker", script);
    let tools = std::env::join_paths([full.as_path(), Path::new("/usr/bin")]).unwrap();
    let said = run(Path::new(&tools), &["--load"]);
    assert!(said.contains("docker load failed: no space"), "{said}");
    for (words, part) in [
        (&["--load", "--format", "oci"][..], "--load"),
        (&["--load", "-o", "-"], "with --load"),
        (&["--load", "--depfile"], "add -o FILE"),
    ] {
        let said = fail_with(2, slimpack().arg(hello()).args(words));
        assert!(said.contains(part), "{words:?}: {said}");
    }
}

#[test]
fn a_signal_ends_what_comes_after_the_image_is_written() {
    use std::os::unix::process::ExitStatusExt;
    let folder = temporary();
    let started = folder.path().join("started");
    // An engine that never finishes.
    let script = format!(
        "[ \"$1\" = version ] && exit 0\ntouch {}\nexec sleep 60",
        started.display()
    );
    let engine = stand_in(&folder.path().join("engine"), "docker", &script);
    let tools = std::env::join_paths([engine.as_path(), Path::new("/usr/bin")]).unwrap();
    let image = folder.path().join("x.tar");
    let mut command = slimpack();
    command
        .env("PATH", tools)
        .arg(hello())
        .arg("--load")
        .arg("-qo")
        .arg(&image);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    succeed(Command::new("kill").arg(child.id().to_string()));
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(image.exists());
}

#[test]
fn no_engine_is_started_unless_it_is_asked_for() {
    let folder = temporary();
    let mark = folder.path().join("started");
    let script = format!("touch {}", mark.display());
    let tools = stand_in(&folder.path().join("tools"), "docker", &script);
    stand_in(&tools, "podman", &script);
    let image = folder.path().join("image.tar");
    for words in [&["-o"][..], &["--format", "docker", "-o"]] {
        let mut command = slimpack();
        succeed(
            command
                .env("PATH", &tools)
                .arg(hello())
                .args(words)
                .arg(&image),
        );
    }
    for verb in ["inspect", "lint", "tree"] {
        succeed(slimpack().env("PATH", &tools).arg(verb).arg(&image));
    }
    assert!(!mark.exists());
}
