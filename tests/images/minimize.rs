//! `slimpack --from IMAGE`: Debian-based images, built by debootstrap and buildah, still work in
//! runc when everything that they do not need is removed.
//!
//! `SLIMPACK_TEST_SERVICES` names the root that contains the programs (`.ci/run` creates it).

use crate::{authority, common, docker, servers};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use authority::Authority;
use common::{fail_with, have, image_config, output, slimpack, succeed, temporary, text};
use serde_json::Value;
use servers::{answer, free_port, page_of, serve};

const TOOLS: [&str; 5] = ["buildah", "runc", "umoci", "tar", "skopeo"];
/// Only one image is built at a time: each takes three times the space of the root.
static BUILDING: Mutex<()> = Mutex::new(());
/// The port of the nginx image.
static PORT: OnceLock<u16> = OnceLock::new();

/// The root, if tests may use it.
fn root() -> Option<PathBuf> {
    let root = common::given("SLIMPACK_TEST_SERVICES")?;
    (have(&TOOLS) && common::is_root()).then_some(root)
}

/// A Debian image in `folder`: the root with these files, configured by these arguments of `buildah
/// config`, committed to `destination` in that directory.
fn image(
    root: &Path,
    folder: &Path,
    files: &[(&str, &str)],
    config: &[&str],
    destination: &str,
) -> PathBuf {
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]);
        command
            .arg(folder.join("store"))
            .arg("--runroot")
            .arg(folder.join("run"));
        succeed(command.args(arguments).current_dir(folder))
    };
    let container = buildah(&["from", "scratch"]).trim().to_owned();
    // buildah add changes every owner to root.
    let mounted = buildah(&["mount", &container]);
    let from = format!("{}/.", root.display());
    succeed(Command::new("cp").args(["-a", &from, mounted.trim()]));
    buildah(&["umount", &container]);
    for (path, content) in files {
        fs::write(folder.join("file"), content).unwrap();
        buildah(&["add", "-q", &container, "file", path]);
    }
    buildah(&[&["config"], config, &[&container]].concat());
    buildah(&["commit", "-q", &container, destination]);
    // Frees two copies of the root.
    docker::unmount_below(folder);
    fs::remove_dir_all(folder.join("store")).unwrap();
    let path = destination.split(':').nth(1).unwrap();
    folder.join(path)
}

/// Minimizes an image; returns the error output.
fn minimize(image: &Path, slim: &Path, flags: &[&str]) -> Value {
    let mut command = slimpack();
    command
        .arg("--json")
        .arg("--from")
        .arg(image)
        .arg("-o")
        .arg(slim)
        .args(flags);
    let plan: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    let [before, after] = ["before", "after"].map(|side| &plan["from"][side]);
    for figure in ["bytes", "files", "packages"] {
        let [before, after] = [before, after].map(|side| side[figure].as_u64().unwrap());
        assert!(
            after * 2 < before && after > 0,
            "{figure}: {before} → {after}"
        );
    }
    assert!(
        before["setuid"].as_u64() > Some(5) && after["setuid"] == 0,
        "{plan}"
    );
    plan
}

#[test]
fn curl_fetches_a_page_over_tls_with_the_authorities_of_its_image() {
    let Some(root) = root() else { return };
    let (folder, authority) = (temporary(), Authority::of("localhost"));
    let (_server, port) = page_of(&authority);
    let bundle = fs::read_to_string(authority.path("ca.pem")).unwrap();
    let url = format!("https://localhost:{port}/");
    let full = image(
        &root,
        folder.path(),
        &[("/etc/ssl/certs/ca-certificates.crt", &bundle)],
        &[
            "--entrypoint",
            r#"["curl","-sS"]"#,
            "--cmd",
            &url,
            "--env",
            "A=1",
            "--label",
            "b=2",
        ],
        "oci-archive:curl.tar:curl:7",
    );
    let slim = folder.path().join("slim.tar");
    let plan = minimize(&full, &slim, &["-e", "C=3"]);
    assert_eq!(plan["tags"][0], "curl:7-slim");
    assert_eq!(plan["from"]["after"]["shells"], 0);
    let config = image_config(&slim)["config"].clone();
    assert_eq!(config["Entrypoint"], serde_json::json!(["curl", "-sS"]));
    assert_eq!(config["Cmd"], serde_json::json!([url]));
    let env = config["Env"].as_array().unwrap();
    assert!(
        env.contains(&"A=1".into()) && env.contains(&"C=3".into()),
        "{env:?}"
    );
    assert_eq!(config["Labels"]["b"], "2");
    let page = text(&common::run_image_beside(&slim, &[]));
    assert!(page.contains("Cipher"), "{page}");
    // The same image, converted by other tools.
    let again = folder.path().join("again.tar");
    let kinds = [
        ("docker-archive", "docker.tar:curl:7"),
        ("oci", "layout:curl:7"),
        ("dir", "dir"),
    ];
    for (kind, place) in &kinds[..2] {
        let source = format!("oci-archive:{}", full.display());
        let target = format!("{kind}:{}", folder.path().join(place).display());
        succeed(Command::new("skopeo").args(["copy", "-q", &source, &target]));
        let path = folder.path().join(place.split(':').next().unwrap());
        minimize(&path, &again, &["-e", "C=3", "-t", "curl:7-slim"]);
        assert_eq!(
            fs::read(&again).unwrap(),
            fs::read(&slim).unwrap(),
            "{kind}"
        );
    }
}

#[test]
fn python_runs_what_a_shell_form_command_says() {
    let Some(root) = root() else { return };
    let folder = temporary();
    let program = "import json, sqlite3, ssl, zoneinfo; print(json.dumps({'a': 1}))";
    let command = format!("cd /tmp && exec python3 -c \"{program}\"");
    let full = image(
        &root,
        folder.path(),
        &[],
        &[
            "--entrypoint",
            &serde_json::json!(["/bin/sh", "-c", command]).to_string(),
        ],
        "docker-archive:python.tar:python:3",
    );
    let slim = folder.path().join("slim.tar");
    let plan = minimize(&full, &slim, &["--add", "/usr/lib/python3.11", "--strip"]);
    let programs = plan["programs"].as_array().unwrap();
    let paths: Vec<_> = programs
        .iter()
        .map(|program| program["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/bin/sh", "/usr/bin/python3"]);
    assert_eq!(text(&common::run_image(&slim, &[])), "{\"a\": 1}\n");
}

#[test]
fn nginx_serves_its_site() {
    let Some(root) = root() else { return };
    let folder = temporary();
    let port = *PORT.get_or_init(free_port);
    let site = format!("server {{ listen 127.0.0.1:{port}; root /var/www/html; }}\n");
    let full = image(
        &root,
        folder.path(),
        &[
            ("/etc/nginx/sites-available/default", &site),
            ("/var/www/html/page.html", "a page\n"),
        ],
        &[
            "--cmd",
            r#"["nginx","-g","daemon off;"]"#,
            "--port",
            "80",
            "--stop-signal",
            "QUIT",
        ],
        "oci-archive:nginx.tar:nginx:1",
    );
    let slim = folder.path().join("slim.tar");
    minimize(&full, &slim, &["--with", "paths", "--add", "/var/www/html"]);
    let config = image_config(&slim)["config"].clone();
    assert_eq!(
        config["Cmd"],
        serde_json::json!(["nginx", "-g", "daemon off;"])
    );
    assert!(config["Entrypoint"].is_null() && config["ExposedPorts"]["80"].is_object());
    let (_bundle, _server) = serve(&slim, &[], port);
    let page = answer(port, "GET /page.html HTTP/1.0\r\n\r\n");
    assert!(
        page.contains("Content-Type: text/html") && page.ends_with("a page\n"),
        "{page}"
    );
}

#[test]
fn redis_keeps_values() {
    let Some(root) = root() else { return };
    let (folder, port) = (temporary(), free_port());
    let words = serde_json::json!(["redis-server", "--port", port.to_string(), "--save", ""]);
    let full = image(
        &root,
        folder.path(),
        &[],
        &[
            "--cmd",
            &words.to_string(),
            "--user",
            "redis",
            "--workingdir",
            "/var/lib/redis",
        ],
        "oci:layout:redis",
    );
    let slim = folder.path().join("slim.tar");
    minimize(&full, &slim, &[]);
    let (_bundle, _server) = serve(&slim, &[], port);
    let said = answer(port, "PING\r\nSET key value\r\nGET key\r\nQUIT\r\n");
    assert_eq!(said, "+PONG\r\n+OK\r\n$5\r\nvalue\r\n+OK\r\n");
}

#[test]
fn programs_of_an_image_are_named_by_path_or_command() {
    let Some(root) = root() else { return };
    let folder = temporary();
    let full = image(
        &root,
        folder.path(),
        &[],
        &["--env", "A=1"],
        "oci-archive:all.tar:all:1",
    );
    let slim = folder.path().join("slim.tar");
    // An image without an entrypoint needs one on the command line.
    let said = fail_with(2, slimpack().arg("--from").arg(&full).arg("-o").arg(&slim));
    assert!(
        said.contains("does not say what it starts; name a FILE in it"),
        "{said}"
    );
    assert!(!slim.exists());
    minimize(&full, &slim, &["curl", "/usr/bin/env"]);
    let config = image_config(&slim)["config"].clone();
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/curl"]));
    let version = text(&common::run_image(&slim, &["/usr/bin/env"]));
    assert!(version.contains("A=1"), "{version}");
    // Files are from the image, not from this machine.
    let here = folder.path().join("here");
    fs::write(&here, "here").unwrap();
    let mut command = slimpack();
    command
        .arg("--from")
        .arg(&full)
        .arg("curl")
        .arg("--add")
        .arg(&here);
    let said = text(&output(&mut command));
    assert!(
        said.contains("cannot add") && said.contains("no such file"),
        "{said}"
    );
    minimize(&full, &slim, &["curl", "--add", "/etc/debian_version"]);
    let nodes = common::layer(&slim);
    assert!(nodes.contains_key("etc/debian_version"));
    // An image cannot be written over its own source.
    let mut command = slimpack();
    command
        .arg("--from")
        .arg(&full)
        .arg("curl")
        .arg("-o")
        .arg(&full);
    fail_with(2, &mut command);
}

#[test]
fn a_layout_of_several_images_is_not_one() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let place = |name: &str| folder.path().join(name);
    for (program, tag) in [("/bin/ls", "a"), ("/bin/cat", "b")] {
        succeed(slimpack().arg(program).arg("-o").arg(place("image.tar")));
        let source = format!("oci-archive:{}", place("image.tar").display());
        let target = format!("oci:{}:{tag}", place("layout").display());
        succeed(Command::new("skopeo").args(["copy", "-q", &source, &target]));
    }
    let slim = place("slim.tar");
    let mut command = slimpack();
    command
        .arg("--from")
        .arg(place("layout"))
        .arg("-o")
        .arg(&slim);
    let said = fail_with(2, &mut command);
    assert!(said.contains("holds several images for linux/"), "{said}");
    assert!(!slim.exists());
}

#[test]
fn an_image_of_slimpack_made_smaller_again_is_the_same() {
    let folder = temporary();
    let [one, other] = ["one.tar", "other.tar"].map(|name| folder.path().join(name));
    let flags = ["-e", "A=1", "-t", "ls:1"];
    for program in ["/bin/ls", "/usr/bin/env"] {
        succeed(slimpack().arg(program).args(flags).arg("-o").arg(&one));
        succeed(
            slimpack()
                .arg("--from")
                .arg(&one)
                .args(["-t", "ls:1", "-o"])
                .arg(&other),
        );
        let said = output(slimpack().arg("diff").arg(&one).arg(&other));
        assert_eq!(said.status.code(), Some(0), "{program}: {}", text(&said));
    }
}

/// Starters in an image may start one another endlessly.
#[test]
fn starters_that_start_one_another_without_end_are_no_trouble() {
    if !have(&["/usr/bin/env", "busybox"]) {
        return;
    }
    let busybox = common::find("busybox").unwrap();
    let folder = temporary();
    let [one, other] = ["one.tar", "other.tar"].map(|name| folder.path().join(name));
    let config = folder.path().join("slimpack.toml");
    for (program, word) in [(Path::new("/usr/bin/env"), "env"), (&busybox, "busybox")] {
        let words = format!("\"{word}\", ").repeat(90_000);
        let text = format!(
            "[[image]]\nfile = {program:?}\noutput = {one:?}\nentrypoint = [{program:?}]\ncmd = [{words}]\n"
        );
        fs::write(&config, text).unwrap();
        succeed(slimpack().arg("--config").arg(&config));
        succeed(slimpack().arg("--from").arg(&one).arg("-o").arg(&other));
        succeed(slimpack().args(["lint", "--runtime"]).arg(&one));
    }
}
