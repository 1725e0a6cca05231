//! The rules about capabilities lost in a later layer, and ports that a user may not listen on:
//! SP311 and SP312.

use crate::{image_writer, root_images, roots};
use image_writer::{Layer, Member};
use root_images::{docker_archive, lint_files, lint_image, members};
use roots::{Report, Root, assert_has};
use serde_json::json;

const KEY: &str = "SCHILY.xattr.security.capability";

/// The value of `security.capability` with one capability, effective and permitted.
fn value(number: u32) -> Vec<u8> {
    [
        &0x0200_0001_u32.to_le_bytes()[..],
        &(1_u32 << number).to_le_bytes(),
        &[0; 12],
    ]
    .concat()
}

/// `usr/bin/ping` with this mode, with or without ping's file capability.
fn ping(mode: u32, has_capabilities: bool) -> Member {
    let ping = Member {
        mode,
        ..Member::file("usr/bin/ping", "ping")
    };
    match has_capabilities {
        true => ping.record(KEY, value(13)),
        false => ping,
    }
}

fn lint_layers(layers: &[Vec<Member>]) -> Report {
    let layers = layers.iter().map(|members| Layer::of(members));
    lint_files(&docker_archive(
        "app:1",
        &layers.collect::<Vec<_>>(),
        |_| {},
    ))
}

#[test]
fn sp311_a_layer_drops_the_capabilities_of_a_program() {
    let report = lint_layers(&[vec![ping(0o755, true)], vec![ping(0o755, false)]]);
    assert_has(
        report.only("SP311"),
        &json!({
            "severity": "info", "path": "/usr/bin/ping", "subject": "cap_net_raw=ep",
            "message": "layer 2 has /usr/bin/ping without the capabilities cap_net_raw=ep that it has \
                        in a lower layer",
        }),
    );
    // A layer in between does not hide the loss.
    let report = lint_layers(&[
        vec![ping(0o755, true)],
        vec![ping(0o700, false)],
        vec![ping(0o755, false)],
    ]);
    report.only("SP311");
    let whiteout = Member::file("usr/bin/.wh.ping", "");
    for silent in [
        // Only the last layer counts.
        vec![
            vec![ping(0o755, true)],
            vec![ping(0o755, false)],
            vec![ping(0o755, true)],
        ],
        vec![vec![ping(0o755, false)], vec![ping(0o755, false)]],
        // Within one layer, the last member with a name wins.
        vec![vec![ping(0o755, true), ping(0o755, false)]],
        // A setuid-root program has all capabilities; a file without execute bits is never started.
        vec![vec![ping(0o755, true)], vec![ping(0o4755, false)]],
        vec![vec![ping(0o755, true)], vec![ping(0o644, false)]],
        vec![vec![ping(0o755, true)], vec![whiteout.clone()]],
        vec![
            vec![ping(0o755, true)],
            vec![whiteout.clone()],
            vec![ping(0o755, false)],
        ],
    ] {
        lint_layers(&silent).is_silent("SP311");
    }
}

#[test]
fn sp312_a_user_that_may_not_listen_on_an_exposed_port() {
    let root = Root::empty();
    root.program("app", &[], &["-static"]);
    root.write("etc/passwd", "root:x:0:0::/:\nweb:x:33:33::/:\n");
    let with = |user: &str, port: &str| {
        lint_image(&root, |config| {
            config["config"] = json!({
                "Entrypoint": ["/app"], "User": user, "ExposedPorts": {(port): {}},
            });
        })
    };
    for (user, port) in [
        ("1000", "80/tcp"),
        ("web", "443"),
        ("33:0", "53/udp"),
        ("web", "1000-2000/tcp"),
    ] {
        assert_has(
            with(user, port).only("SP312"),
            &json!({"severity": "info", "subject": port, "evidence": {"user": user}}),
        );
    }
    for (user, port) in [
        ("", "80/tcp"),
        ("root", "80/tcp"),
        ("0:33", "80/tcp"),
        ("web", "1024/tcp"),
        ("web", "8080"),
        ("web", "0"),
        ("web", "port"),
        // Reported by SP308.
        ("nobody", "80"),
    ] {
        with(user, port).is_silent("SP312");
    }
    // A program with the capability may listen as any user.
    let with = |number: u32| {
        let mut members = members(&root.path);
        for member in &mut members {
            if member.name == b"app" {
                *member = member.clone().record(KEY, value(number));
            }
        }
        let files = docker_archive("app:1", &[Layer::of(&members)], |config| {
            config["config"] = json!({
                "Entrypoint": ["/app"], "User": "1000", "ExposedPorts": {"80/tcp": {}},
            });
        });
        lint_files(&files)
    };
    with(10).is_silent("SP312");
    with(13).only("SP312");
}
