//! `slimpack run --runtime`: the output and exit status of a program are the same in every runtime.

use crate::common::{have, is_root, output, slimpack, succeed, temporary, text};
use crate::docker::{Docker, unmount_below};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Options and a script for the shell in the image; `/data` is a directory of this machine.
const RUNS: [(&[&str], &str); 5] = [
    (&[], "echo \"$0 $*\"; exit 7"),
    (&["-e", "K=a b", "-w", "/data"], "echo \"$K\"; pwd"),
    (
        &["-u", "1000:33"],
        "/usr/bin/id -u; /usr/bin/id -G; : >/data/new || exit 4",
    ),
    (&["--read-only"], ": >/new || exit 5"),
    (&[], "/bin/sh -c 'kill -9 $$'; exit $?"),
];

/// What each run does in one runtime: standard output and status.
fn runs(image: &Path, data: &Path, set_up: &dyn Fn(&[&str]) -> Command) -> Vec<String> {
    let volume = format!("{}:/data:ro", data.display());
    let image = image.to_str().unwrap();
    let one = |(options, script): &(&[&str], &str)| {
        let words = [
            &["-v", &volume][..],
            options,
            &[image, "-c", script, "sh", "x y"],
        ]
        .concat();
        let said = output(&mut set_up(&words));
        let written = String::from_utf8_lossy(&said.stdout).into_owned();
        format!("{:?} {written:?}", said.status.code())
    };
    RUNS.iter().map(one).collect()
}

/// A run of slimpack with these options.
fn run(runtime: &[&str], words: &[&str]) -> Command {
    let mut command = slimpack();
    command.args(["run", "-q"]).args(runtime).args(words);
    command
}

/// The image and the directory for each runtime.
fn packed(place: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (image, data) = (place.join("image.tar"), place.join("data"));
    let mut pack = slimpack();
    pack.args(["/bin/sh", "/usr/bin/id", "-t", "runs:1", "-qo"]);
    succeed(pack.arg(&image));
    fs::create_dir(&data).unwrap();
    (image, data)
}

#[test]
fn runc_and_crun_run_as_slimpack_does() {
    if !have(&["runc", "crun", "unshare"]) || !is_root() {
        return;
    }
    let place = temporary();
    let (image, data) = packed(place.path());
    let own = runs(&image, &data, &|words| run(&[], words));
    assert!(own[0].starts_with("Some(7) \"sh x y"), "{own:?}");
    assert!(own[4].starts_with("Some(137)"), "{own:?}");
    let runc = runs(&image, &data, &|words| run(&["--runtime", "runc"], words));
    assert_eq!(runc, own);
    // crun refuses cgroups v1 and v2 at the same time, which some machines have.
    let crun = runs(&image, &data, &|words| {
        let inner = run(&["--runtime", "crun"], words);
        let mut command = Command::new("unshare");
        let script = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
        command.args(["-m", "sh", "-c", script, "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command
    });
    assert_eq!(crun, own);
}

#[test]
fn podman_and_docker_run_as_slimpack_does() {
    if !have(&["podman", "runc", "docker", "dockerd", "containerd"]) || !is_root() {
        return;
    }
    let place = temporary();
    let (image, data) = packed(place.path());
    let own = runs(&image, &data, &|words| run(&[], words));
    let docker = Docker::start();
    let by_docker = runs(&image, &data, &|words| {
        let mut command = run(&["--runtime", "docker"], words);
        command.env("DOCKER_HOST", docker.host());
        command
    });
    assert_eq!(by_docker, own);
    // podman refuses long paths.
    let state = tempfile::tempdir_in("/tmp").unwrap();
    let at = |name: &str| state.path().join(name);
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n",
        at("root"),
        at("runroot")
    );
    fs::write(at("storage.conf"), storage).unwrap();
    let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
    let engine = format!("[engine]\nruntime = \"runc\"\ntmp_dir = {:?}\n", at("tmp"));
    fs::write(at("containers.conf"), format!("{limits}{engine}")).unwrap();
    let by_podman = runs(&image, &data, &|words| {
        let mut command = run(&["--runtime", "podman"], words);
        command.env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
        command.env("CONTAINERS_CONF", at("containers.conf"));
        command
    });
    unmount_below(state.path());
    assert_eq!(by_podman, own);
}

#[test]
fn a_runtime_that_is_absent_or_refuses_is_named() {
    let place = temporary();
    let (image, _) = packed(place.path());
    // A runtime that refuses: its log says why, and its status is that of a program.
    let fake = place.path().join("crun");
    let script = "#!/bin/sh\nwhile [ \"$1\" != --log ]; do shift; done\n\
                  echo '{\"msg\":\"no cgroups\",\"level\":\"error\"}' > \"$2\"; exit 1\n";
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if is_root() {
        let mut command = run(&["--runtime", "crun"], &[image.to_str().unwrap()]);
        let path = format!("{}:/usr/bin:/bin", place.path().display());
        let said = output(command.env("PATH", path));
        assert_eq!(said.status.code(), Some(125), "{}", text(&said));
        let told = "crun cannot run the image: no cgroups";
        assert!(text(&said).contains(told), "{}", text(&said));
    }
    for runtime in ["podman", "docker"] {
        let mut command = run(&["--runtime", runtime], &[image.to_str().unwrap()]);
        let said = output(command.env("PATH", place.path()));
        assert_eq!(said.status.code(), Some(125), "{}", text(&said));
        assert!(text(&said).contains(runtime), "{}", text(&said));
    }
}
