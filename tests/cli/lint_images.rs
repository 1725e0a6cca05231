//! The rules about an image's metadata and how it is started: SP301 to SP303, SP308 to SP310.

use crate::{common, image_writer, root_images, roots};
use std::fs;

use common::have;
use image_writer::{Layer, Packing, blob_path, digest, gnu, oci, oci_edited};
use root_images::{docker_archive, layout, lint_files, lint_image, simple};
use roots::{Root, assert_has};
use serde_json::{Value, json};

const ARM: &str = "aarch64-linux-gnu-gcc";

#[test]
fn sp301_every_promise_about_a_blob_is_checked() {
    let layer = Layer::of(&simple());
    let blob = blob_path(&digest(&layer.blob));
    let wrong = digest(b"something else");

    // A layer with changed bytes but the same size.
    let mut files = oci(std::slice::from_ref(&layer));
    let mut changed = layer.blob.clone();
    changed[514] = b'?';
    files.insert(blob.clone(), changed.clone());
    let report = lint_files(&files);
    assert_eq!(report.status, 1);
    for (what, expected) in [
        ("digest", digest(&layer.blob)),
        ("diff ID", layer.diff_id.clone()),
    ] {
        assert_has(
            report.about("SP301", what),
            &json!({
                "severity": "error", "path": blob,
                "evidence": {"expected": expected, "found": digest(&changed)},
            }),
        );
    }
    assert_eq!(report.of("SP301").len(), 2);

    // The diff ID of another tar.
    let report = lint_files(&layout(std::slice::from_ref(&layer), |config| {
        config["rootfs"]["diff_ids"][0] = json!(wrong);
    }));
    assert_has(
        report.only("SP301"),
        &json!({"subject": "diff ID", "evidence": {"expected": wrong, "found": layer.diff_id}}),
    );

    // A size and a media type that do not match the blob.
    let edited = |field: &str, value: Value| {
        oci_edited(std::slice::from_ref(&layer), |document, manifest| {
            if document == "manifest" {
                manifest["layers"][0][field] = value.clone();
            }
        })
    };
    let report = lint_files(&edited("size", json!(7)));
    let size = layer.blob.len().to_string();
    assert_has(
        report.only("SP301"),
        &json!({"subject": "size", "evidence": {"expected": "7", "found": size}}),
    );
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let report = lint_files(&edited("mediaType", json!(gzip)));
    assert_has(
        report.only("SP301"),
        &json!({"subject": "compression", "evidence": {"expected": "gzip", "found": "none"}}),
    );
}

#[test]
fn sp301_a_configuration_that_is_not_the_one_of_the_manifest() {
    let layer = Layer::of(&simple());
    let files = oci(std::slice::from_ref(&layer));
    let (name, config) = files
        .iter()
        .find(|(_, bytes)| bytes.windows(8).any(|part| part == b"diff_ids"))
        .unwrap();
    let mut changed = files.clone();
    let text = String::from_utf8(config.clone()).unwrap();
    changed.insert(name.clone(), text.replace("/app", "/App").into_bytes());
    let report = lint_files(&changed);
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP301"),
        &json!({"severity": "error", "path": digest(config), "subject": "digest"}),
    );

    // docker names the file after its digest.
    let mut files = docker_archive("test:latest", &[layer], |_| ());
    let name = files
        .keys()
        .find(|name| name.ends_with(".json") && *name != "manifest.json");
    let name = name.unwrap().clone();
    let text = String::from_utf8(files[&name].clone()).unwrap();
    files.insert(name.clone(), text.replace("/app", "/App").into_bytes());
    assert_has(
        lint_files(&files).only("SP301"),
        &json!({"path": name, "subject": "digest"}),
    );
}

#[test]
fn sp301_images_that_are_what_they_say_are_fine_however_they_are_packed() {
    let tar = gnu(&simple());
    for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
        let layers = [Layer::new(&tar, packing)];
        for files in [oci(&layers), docker_archive("test:latest", &layers, |_| ())] {
            let report = lint_files(&files);
            report.is_silent("SP301");
            report.has_no_error();
        }
    }
}

#[test]
fn sp302_an_entrypoint_that_cannot_be_started() {
    let root = Root::empty();
    root.program("usr/bin/app", &[], &["-static"]);
    root.program("opt/plain", &[], &["-static"]);
    root.mode("opt/plain", 0o644);
    root.write("opt/text", "echo text\n");
    root.mode("opt/text", 0o755);
    root.link("opt/link", "gone");
    for (entrypoint, path, says, evidence) in [
        (
            json!(["/gone", "-v"]),
            "/gone",
            "is not in the image",
            json!({"words": ["/gone", "-v"]}),
        ),
        (
            json!(["gone"]),
            "gone",
            "is not in the image's PATH",
            json!({}),
        ),
        (
            json!(["/opt/link"]),
            "/opt/link",
            "is not in the image",
            json!({}),
        ),
        (json!(["/opt"]), "/opt", "", json!({})),
        (
            json!(["/opt/plain"]),
            "/opt/plain",
            "is not executable",
            json!({"mode": "0644"}),
        ),
        (
            json!(["/opt/text"]),
            "/opt/text",
            "cannot be started",
            json!({}),
        ),
        (
            json!(["opt/gone"]),
            "opt/gone",
            "is not in the image",
            json!({}),
        ),
    ] {
        let report = lint_image(&root, |config| {
            config["config"] = json!({"Entrypoint": entrypoint});
        });
        assert_eq!(report.status, 1, "{entrypoint}");
        let found = report.only("SP302");
        assert_has(
            found,
            &json!({
                "severity": "error", "path": path, "subject": entrypoint[0], "evidence": evidence,
            }),
        );
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn sp302_a_program_for_another_machine_than_the_configuration_says() {
    if !have(&[ARM]) {
        return;
    }
    let root = Root::empty();
    let source = "void _start(void) { for (;;) ; }";
    root.compile_with(ARM, "app", source, &["-static", "-nostdlib"]);
    let report = lint_image(&root, |_| ());
    assert_eq!(report.status, 1);
    assert_has(
        report.only("SP302"),
        &json!({
            "severity": "error", "path": "/app", "subject": "/app",
            "evidence": {"is": "linux/arm64", "says": "linux/amd64"},
        }),
    );
    let report = lint_image(&root, |config| config["architecture"] = json!("arm64"));
    report.is_silent("SP302");
}

#[test]
fn sp302_what_engines_find_is_fine() {
    let root = Root::empty();
    root.program("usr/bin/app", &[], &["-static"]);
    root.link("opt/link", "../usr/bin/app");
    root.write("opt/script", "#!/usr/bin/app\n");
    root.mode("opt/script", 0o755);
    // A file that is not executable is skipped, as execvp(3) does.
    root.write("first/app", "not executable\n");
    let path = "PATH=/first:/usr/bin";
    for config in [
        json!({"Entrypoint": ["/usr/bin/app"]}),
        json!({"Entrypoint": ["app"]}),
        json!({"Cmd": ["app", "argument"]}),
        json!({"Entrypoint": ["bin/app"], "WorkingDir": "/usr"}),
        json!({"Entrypoint": ["./app"], "WorkingDir": "usr/bin"}),
        json!({"Entrypoint": ["/opt/link"]}),
        json!({"Entrypoint": ["/opt/script"]}),
        json!({"Entrypoint": ["app"], "Env": [path]}),
        json!({"Entrypoint": [], "Cmd": null}),
        json!({}),
    ] {
        let report = lint_image(&root, |value| value["config"] = config.clone());
        assert!(report.of("SP302").is_empty(), "{config}: {report:?}");
        report.has_no_error();
    }
}

/// Scripts with the interpreter `/usr/bin/app`, which exists, and scripts whose interpreter does
/// not.
fn scripts() -> Root {
    let root = Root::empty();
    root.program("usr/bin/app", &[], &["-static"]);
    root.program("usr/bin/env", &[], &["-static"]);
    root.link("usr/bin/link", "app");
    root.link("usr/bin/dangling", "nowhere");
    root
}

#[test]
fn sp303_a_script_whose_interpreter_is_absent() {
    for (line, missing) in [
        ("#!/usr/bin/python3", "/usr/bin/python3"),
        ("#! /usr/bin/python3 -u", "/usr/bin/python3"),
        ("#!/usr/bin/dangling", "/usr/bin/dangling"),
        ("#!/usr/bin/app\r", "/usr/bin/app\r"),
        ("#!/usr/bin/env python3", "python3"),
        ("#!/usr/bin/env app\r", "app\r"),
        ("#!/usr/bin/env -S python3 -u", "python3"),
        ("#!/usr/bin/env app -v", "app -v"),
        ("#!/bin/env app", "/bin/env"),
        ("#!python3", "python3"),
        ("#!", ""),
    ] {
        let root = scripts();
        root.write("usr/bin/script", format!("{line}\necho\n"));
        root.mode("usr/bin/script", 0o755);
        let report = root.lint();
        assert_eq!(report.status, 1, "{line}");
        assert_has(
            report.only("SP303"),
            &json!({
                "severity": "error", "path": "/usr/bin/script", "subject": missing,
                "evidence": {"line": line},
            }),
        );
        assert_has(
            &report.json["targets"][0]["checked"],
            &json!({"scripts": 1}),
        );
        // The kernel looks only at the first word; what `env` looks up is another rule.
        if !line.contains("bin/env") && !missing.is_empty() {
            root.does_not_start("/usr/bin/script", "No such file or directory");
        }
    }
}

#[test]
fn sp303_a_script_that_is_no_command_is_only_worth_knowing() {
    let root = scripts();
    for (path, mode) in [("usr/bin/module.py", 0o644), ("opt/example", 0o755)] {
        root.write(path, "#!/usr/bin/python3\n");
        root.mode(path, mode);
    }
    let config = |words: &str, path: &str| {
        lint_image(&root, |config| {
            config["config"] = json!({"Entrypoint": [words], "Env": [format!("PATH={path}")]});
        })
    };
    let report = config("/usr/bin/app", "/usr/bin");
    let found = report.of("SP303");
    assert_eq!(found.len(), 2, "{report:?}");
    assert!(found.iter().all(|found| found["severity"] == "info"));
    report.has_no_error();
    // It is an error if the script is the entrypoint, or in a directory of the image's PATH.
    for report in [
        config("/opt/example", "/usr/bin"),
        config("/usr/bin/app", "/opt:/usr/bin"),
    ] {
        let found = report.of("SP303");
        let found = found.iter().find(|found| found["path"] == "/opt/example");
        assert_has(found.unwrap(), &json!({"severity": "error"}));
    }
}

#[test]
fn sp303_interpreters_that_are_there_are_fine() {
    for line in [
        "#!/usr/bin/app",
        "#! /usr/bin/app -x -y",
        "#!/usr/bin/link",
        "#!/usr/bin/env app",
        "#!/usr/bin/env -S A=1 app -v",
    ] {
        let root = scripts();
        root.write("usr/bin/script", format!("{line}\n"));
        root.mode("usr/bin/script", 0o755);
        let report = root.lint();
        assert!(report.of("SP303").is_empty(), "{line}: {report:?}");
        root.starts("/usr/bin/script");
    }
}

#[test]
fn sp308_a_user_that_the_image_does_not_know() {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    root.write(
        "etc/passwd",
        "root:x:0:0::/:\nme:x:1000:1000::/home/me:/bin/sh\n",
    );
    root.write("etc/group", "root:x:0:\nstaff:x:50:me\n");
    let with_user = |user: &str| lint_image(&root, |config| config["config"]["User"] = json!(user));
    for (user, subject, file) in [
        ("nobody", "nobody", "/etc/passwd"),
        ("ME", "ME", "/etc/passwd"),
        ("x", "x", "/etc/passwd"),
        ("me:wheel", "wheel", "/etc/group"),
        ("1000:wheel", "wheel", "/etc/group"),
    ] {
        let report = with_user(user);
        assert_eq!(report.status, 1, "{user}");
        assert_has(
            report.only("SP308"),
            &json!({"severity": "error", "path": file, "subject": subject}),
        );
    }
    for user in [
        "",
        "me",
        "root",
        "me:staff",
        "1000",
        "4711:4711",
        "4711:staff",
        "root:root",
    ] {
        let report = with_user(user);
        assert!(report.of("SP308").is_empty(), "{user}: {report:?}");
        report.has_no_error();
    }
}

#[test]
fn sp308_root_is_a_name_like_any_other() {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    let report = lint_image(&root, |config| config["config"]["User"] = json!("root"));
    assert_has(
        report.only("SP308"),
        &json!({"severity": "error", "subject": "root"}),
    );
}

#[test]
fn sp302_what_a_shell_is_told_to_start_and_where_is_there() {
    let root = Root::empty();
    root.program("bin/sh", &[], &["-static"]);
    root.program("opt/run", &[], &["-static"]);
    let with = |command: &str, folder: &str| {
        lint_image(&root, |config| {
            config["config"] = json!({
                "Cmd": ["/bin/sh", "-c", command],
                "WorkingDir": folder,
            });
        })
    };
    for (command, folder, subject) in [
        ("exec /opt/gone --now", "/", "/opt/gone"),
        ("A=1 /opt/gone", "/", "/opt/gone"),
        ("/opt/run", "/opt/run", "/opt/run"),
    ] {
        let report = with(command, folder);
        let expected = json!({"severity": "error", "subject": subject});
        assert_has(report.only("SP302"), &expected);
    }
    // Engines create a missing working directory; bare names and globs are left to the shell.
    for (command, folder) in [
        ("/opt/run", "/new"),
        ("exec /opt/run x", "/"),
        ("gone", "/"),
        ("/opt/$NAME", "/"),
    ] {
        with(command, folder).has_no_error();
    }
}

#[test]
fn sp302_and_sp310_what_the_user_of_an_image_may_not_enter_or_write_to() {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    std::fs::create_dir(root.path.join("work")).unwrap();
    std::fs::create_dir(root.path.join("data")).unwrap();
    let with = |mode: u32, owner: (u64, u64), user: &str| {
        let mut members = root_images::members(&root.path);
        for member in &mut members {
            if member.name == b"work" || member.name == b"data" {
                (member.mode, member.owner) = (mode, owner);
            }
        }
        let files = docker_archive("app:1", &[Layer::of(&members)], |config| {
            config["config"] = json!({
                "Entrypoint": ["/app"], "User": user, "WorkingDir": "/work", "Volumes": {"/data": {}},
            });
        });
        lint_files(&files)
    };
    // Engines change to the directory as the image's user (docker 20.10: "permission denied").
    let report = with(0o700, (0, 0), "1000");
    assert_has(
        report.about("SP302", "/work"),
        &json!({"severity": "error", "path": "/work"}),
    );
    let report = with(0o755, (0, 0), "1000");
    report.has_no_error();
    for path in ["/work", "/data"] {
        assert_has(
            report.about("SP310", path),
            &json!({"severity": "info", "evidence": {"user": "1000"}}),
        );
    }
    for (mode, owner, user) in [
        (0o755, (1000, 0), "1000"),
        (0o775, (0, 44), "1000:44"),
        (0o1777, (0, 0), "1000"),
        (0o700, (5, 5), ""),
        (0o700, (5, 5), "0"),
    ] {
        let report = with(mode, owner, user);
        assert!(report.of("SP310").is_empty(), "{report:?}");
        report.has_no_error();
    }
}

#[test]
fn sp309_a_private_key_that_everybody_may_read() {
    if !have(&["openssl"]) {
        return;
    }
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    let folder = common::temporary();
    let key = folder.path().join("key");
    common::succeed(
        std::process::Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "ed25519", "-out"])
            .arg(&key),
    );
    let key = std::fs::read_to_string(key).unwrap();
    root.write("etc/ssl/server.key", &key);
    root.write("etc/ssl/server.pem", "-----BEGIN CERTIFICATE-----\n");
    root.write("etc/closed.key", &key);
    root.write("root/.ssh/id_ed25519", &key);
    root.write("usr/share/doc/example.key", &key);
    for (path, mode) in [("etc/closed.key", 0o640), ("root/.ssh", 0o700)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(root.path.join(path), mode).unwrap();
    }
    let report = root.lint();
    assert_has(
        report.only("SP309"),
        &json!({"severity": "warning", "path": "/etc/ssl/server.key", "evidence": {"mode": "0644"}}),
    );
}

/// A health check, in the forms that a Dockerfile has.
#[test]
fn sp313_a_health_check_that_cannot_be_started() {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    root.program("bin/sh", &[], &["-static"]);
    root.write("data", "text\n");
    let with_check = |test: Value| {
        lint_image(&root, |config| {
            config["config"]["Entrypoint"] = json!(["/app"]);
            config["config"]["Healthcheck"] = json!({ "Test": test });
        })
    };
    for (test, subject) in [
        (json!(["CMD", "/gone", "--check"]), "/gone"),
        (json!(["CMD", "curl", "-f", "http://localhost"]), "curl"),
        (json!(["CMD", "/data"]), "/data"),
        (
            json!(["CMD-SHELL", "curl -f http://localhost || exit 1"]),
            "curl",
        ),
        (
            json!(["CMD-SHELL", "exec /usr/bin/check"]),
            "/usr/bin/check",
        ),
    ] {
        let report = with_check(test);
        assert_has(
            report.only("SP313"),
            &json!({"severity": "warning", "subject": subject}),
        );
        assert_eq!(report.status, 0);
    }
    for test in [
        json!(["NONE"]),
        json!([]),
        json!(["CMD", "/app", "--check"]),
        json!(["CMD-SHELL", "/app --check || exit 1"]),
        json!(["CMD-SHELL", "test -e /tmp/ready"]),
        json!(["CMD-SHELL", "$CHECK"]),
    ] {
        let report = with_check(test);
        assert!(report.of("SP313").is_empty(), "{report:?}");
    }
    // Without a shell, nothing of it runs.
    fs::remove_file(root.path.join("bin/sh")).unwrap();
    let report = with_check(json!(["CMD-SHELL", "true"]));
    assert_has(report.only("SP313"), &json!({"subject": "/bin/sh"}));
}
