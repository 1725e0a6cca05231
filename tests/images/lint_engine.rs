//! docker as the oracle for how an image is started, for SP302, SP303 and SP308: it refuses what
//! lint reports as an error, and starts the near misses.

use crate::{common, docker, image_writer, root_images, roots};
use std::fs;

use common::{have, is_root, output};
use docker::Docker;
use image_writer::{Layer, archive};
use root_images::{docker_archive, members};
use roots::{Root, lint};
use serde_json::{Value, json};

/// The contents of every image: programs, scripts, users.
fn root() -> Root {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    for path in ["private", "second/command", "srv/bin/app"] {
        root.make_room(path);
        fs::copy(root.at("app"), root.at(path)).unwrap();
    }
    root.mode("private", 0o700);
    let executable: [(&str, &[u8]); 5] = [
        ("text", b"no program\n"),
        ("script", b"#!/app -v\n"),
        ("orphan", b"#!/gone\n"),
        ("dos", b"#!/app\r\n"),
        ("commands/orphan", b"#!/gone\n"),
    ];
    for (path, text) in executable {
        root.write(path, text);
        root.mode(path, 0o755);
    }
    root.write("first/command", "not executable\n");
    root.link("link", "second/command");
    root.folder("folder");
    root
}

/// An image that is started in some way, and the rule that must fire.
fn images() -> Vec<(Value, Option<&'static str>)> {
    let started = |word: &str| json!({"Entrypoint": [word]});
    let user = |user: &str| json!({"Entrypoint": ["/app"], "User": user});
    let command = |path: &str| json!({"Entrypoint": ["command"], "Env": [format!("PATH={path}")]});
    vec![
        (started("/app"), None),
        (json!({"Cmd": ["/app"]}), None),
        (started("/link"), None),
        (started("/script"), None),
        (
            json!({"Entrypoint": ["bin/app"], "WorkingDir": "/srv"}),
            None,
        ),
        (command("/second"), None),
        (command("/first:/second"), None),
        (command("/first"), Some("SP302")),
        (command("/usr/bin"), Some("SP302")),
        (started("/gone"), Some("SP302")),
        (started("/text"), Some("SP302")),
        (started("/folder"), Some("SP302")),
        (started("/first/command"), Some("SP302")),
        (
            json!({"Entrypoint": ["/private"], "User": "1000:1000"}),
            Some("SP302"),
        ),
        (json!({"Entrypoint": ["/private"], "User": "0:0"}), None),
        (started("/orphan"), Some("SP303")),
        (started("/dos"), Some("SP303")),
        (
            json!({"Entrypoint": ["orphan"], "Env": ["PATH=/commands"]}),
            Some("SP303"),
        ),
        (user("1000"), None),
        (user("1000:1000"), None),
        (user("me"), Some("SP308")),
        (user("root"), Some("SP308")),
        (user("0:staff"), Some("SP308")),
    ]
}

#[test]
fn docker_refuses_what_is_called_an_error_and_starts_the_near_misses() {
    if !have(&["docker", "dockerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let mut differences = Vec::new();
    let mut check = |root: &Root, tag: &str, config: &Value, rule: Option<&str>| {
        let layer = Layer::of(&members(&root.path));
        let files = docker_archive(tag, &[layer], |value| value["config"] = config.clone());
        let path = root.beside("image.tar");
        fs::write(&path, archive(&files)).unwrap();

        docker.load(&path);
        let run = output(
            docker
                .command()
                .args(["run", "--rm", "--network=none", tag]),
        );
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(
            run.status.success(),
            rule.is_none(),
            "{config}: docker says {said}"
        );

        let report = lint([&path]);
        let errors = report.findings().into_iter();
        let mut errors: Vec<_> = errors
            .filter(|found| found["severity"] == "error")
            .map(|found| found["rule"].as_str().unwrap())
            .collect();
        errors.dedup();
        if errors != rule.into_iter().collect::<Vec<_>>() {
            differences.push(format!("{config}: {rule:?}, and lint finds {errors:?}"));
        }
    };
    let plain = root();
    for (number, (config, rule)) in images().iter().enumerate() {
        check(&plain, &format!("image:{number}"), config, *rule);
    }
    // The same users, once they exist.
    plain.write("etc/passwd", "root:x:0:0::/:\nme:x:1000:1000::/:\n");
    plain.write("etc/group", "root:x:0:\nstaff:x:50:\n");
    for (number, user) in ["me", "root", "me:staff", "0:staff"].iter().enumerate() {
        let config = json!({"Entrypoint": ["/app"], "User": user});
        check(&plain, &format!("known:{number}"), &config, None);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
