//! The rules about the files of an image, SP304 to SP307.

use crate::{common, image_writer, root_images, roots};
use std::process::Command;

use common::{have, is_root, output};
use image_writer::{Layer, Member, Packing, digest, gnu, oci};
use root_images::{lint_files, lint_members, simple};
use roots::{Root, assert_has};
use serde_json::json;

#[test]
fn sp304_a_link_that_leads_nowhere_is_told_with_its_hops() {
    let root = Root::empty();
    root.link("opt/first", "second");
    root.link("opt/second", "/srv/gone");
    root.link("opt/loop", "loop");
    let report = root.lint();
    assert_has(
        report.about("SP304", "second"),
        &json!({
            "severity": "warning", "path": "/opt/first",
            "evidence": {"hops": ["/opt/first -> second", "/opt/second -> /srv/gone"]},
        }),
    );
    assert_has(
        report.about("SP304", "/srv/gone"),
        &json!({"path": "/opt/second", "evidence": {"hops": ["/opt/second -> /srv/gone"]}}),
    );
    assert_has(report.about("SP304", "loop"), &json!({"path": "/opt/loop"}));
    assert_eq!(report.of("SP304").len(), 3);
}

#[test]
fn sp304_a_link_that_leaves_the_root() {
    let root = Root::empty();
    root.write("etc/passwd", "");
    root.link("opt/up", "../../../etc/passwd");
    let report = root.lint();
    let found = report.only("SP304");
    assert_has(found, &json!({"severity": "warning", "path": "/opt/up"}));
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("points outside the root"), "{message}");
}

#[test]
fn sp304_links_to_what_is_there_at_run_time_are_fine() {
    let root = Root::empty();
    root.write("etc/passwd", "");
    root.link("opt/absolute", "/etc/passwd");
    root.link("opt/relative", "../etc/./passwd");
    root.link("opt/folder", "/etc");
    root.link("opt/through", "folder/passwd");
    // The usual ones in real images.
    root.link("etc/mtab", "/proc/mounts");
    root.link("dev/stdout", "/proc/self/fd/1");
    root.link("var/log/app.log", "/dev/stdout");
    root.link("etc/resolv.conf", "/run/resolv.conf");
    root.lint().is_silent("SP304");
    // Fedora's images have relative ones.
    root.link("etc/relative-mtab", "../proc/self/mounts");
    root.link(
        "etc/relative-resolv.conf",
        "../run/systemd/resolve/stub-resolv.conf",
    );
    root.lint().is_silent("SP304");
}

#[test]
fn sp304_links_to_documentation_are_only_worth_knowing() {
    let root = Root::empty();
    root.link("usr/bin/readme", "../share/doc/app/README");
    root.link("usr/share/man/man1/app.1", "other.1");
    let report = root.lint();
    let found = report.of("SP304");
    assert_eq!(found.len(), 2);
    assert!(
        found.iter().all(|found| found["severity"] == "info"),
        "{report:?}"
    );
}

#[test]
fn sp305_setuid_setgid_and_capabilities() {
    let root = Root::empty();
    for (name, mode) in [
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("both", 0o6711),
        ("plain", 0o755),
        ("sticky", 0o1755),
        // Nobody can execute this.
        ("data", 0o4644),
    ] {
        root.write(&format!("usr/bin/{name}"), name);
        root.mode(&format!("usr/bin/{name}"), mode);
    }
    root.folder("srv/shared");
    root.mode("srv/shared", 0o2775);
    let report = root.lint();
    for (path, subject, mode) in [
        ("/usr/bin/setuid", "setuid", "4755"),
        ("/usr/bin/setgid", "setgid", "2755"),
        ("/usr/bin/both", "setuid and setgid", "6711"),
    ] {
        assert_has(
            report.about("SP305", subject),
            &json!({
                "severity": "warning", "path": path,
                "evidence": {"mode": mode, "capabilities": false},
            }),
        );
    }
    assert_eq!(report.of("SP305").len(), 3, "{report:?}");
}

#[test]
fn sp305_file_capabilities_of_a_layer_and_of_a_folder() {
    let expected = json!({
        "severity": "warning", "subject": "has file capabilities",
        "evidence": {"mode": "0755", "capabilities": true},
    });
    let value = [&0x0200_0001_u32.to_le_bytes()[..], &[0, 0x20], &[0; 14]].concat();
    let ping = Member {
        mode: 0o755,
        ..Member::file("usr/bin/ping", "ping")
    };
    let plain = ping.clone();
    let script = Member {
        mode: 0o755,
        ..Member::file("usr/bin/script", "#!/usr/bin/ping\n")
    };
    // The kernel takes the setuid bit from the interpreter, not the script (execve(2)).
    let script = script.record("SCHILY.xattr.security.capability", value.clone());
    assert_has(
        lint_members(vec![plain.clone(), script]).only("SP305"),
        &json!({"subject": "has file capabilities, which scripts do not get"}),
    );
    let ping = ping.record("SCHILY.xattr.security.capability", value);
    assert_has(lint_members(vec![ping]).only("SP305"), &expected);
    // The encoding of bsdtar, with and without padding.
    for text in [
        "AQAAAgAgAAAAAAAAAAAAAAAAAAA=",
        "AQAAAgAgAAAAAAAAAAAAAAAAAAA",
    ] {
        let ping = plain
            .clone()
            .record("LIBARCHIVE.xattr.security.capability", text);
        assert_has(lint_members(vec![ping]).only("SP305"), &expected);
    }
    let other = plain.record("SCHILY.xattr.user.note", "text");
    lint_members(vec![other]).is_silent("SP305");

    if !have(&["setcap"]) || !is_root() {
        return;
    }
    let root = Root::empty();
    root.write("usr/bin/ping", "ping");
    root.mode("usr/bin/ping", 0o755);
    let set = output(
        Command::new("setcap")
            .arg("cap_net_raw+ep")
            .arg(root.at("usr/bin/ping")),
    );
    // Not every file system supports extended attributes.
    if set.status.success() {
        assert_has(root.lint().only("SP305"), &expected);
    }
}

fn data(name: &str, byte: u8, size: usize) -> Member {
    Member::file(name, vec![byte; size])
}

#[test]
fn sp306_bytes_that_a_later_layer_hides() {
    let lower = Layer::of(&[data("opt/data", 1, 10_000), data("opt/gone", 2, 5000)]);
    let upper = Layer::of(&[data("opt/data", 3, 20), Member::file("opt/.wh.gone", "")]);
    let report = lint_files(&oci(&[lower.clone(), upper]));
    let found = report.about("SP306", "hidden");
    assert_has(
        found,
        &json!({"severity": "info", "evidence": {"bytes": 15_000}}),
    );
    let paths = common::strings(&found["evidence"]["paths"], "path");
    assert_eq!(paths, ["/opt/data", "/opt/gone"]);

    let other = Layer::of(&[data("opt/other", 3, 20)]);
    for layers in [vec![lower.clone(), other], vec![lower]] {
        lint_files(&oci(&layers)).is_silent("SP306");
    }
}

#[test]
fn sp306_bytes_that_are_held_twice() {
    let report = lint_members(vec![
        data("opt/one", 1, 10_000),
        data("opt/two", 1, 10_000),
        data("srv/three", 1, 10_000),
    ]);
    assert_has(
        report.only("SP306"),
        &json!({
            "severity": "info", "subject": "duplicates",
            "evidence": {
                "bytes": 20_000,
                "files": [{"bytes": 10_000, "paths": ["/opt/one", "/opt/two", "/srv/three"]}],
            },
        }),
    );
    lint_members(vec![
        data("opt/one", 1, 10_000),
        // One file with two names, two more of the same size, and some below the threshold.
        Member::hard_link("opt/two", "opt/one"),
        Member::symlink("opt/three", "one"),
        data("opt/four", 2, 10_000),
        data("opt/five", 3, 100),
        data("opt/six", 3, 100),
    ])
    .is_silent("SP306");
}

#[test]
fn sp307_names_that_engines_treat_differently() {
    for (members, name, says) in [
        (
            vec![data("opt/a", 1, 1), data("opt/a", 2, 1)],
            "opt/a",
            "twice",
        ),
        (vec![data("/opt/a", 1, 1)], "/opt/a", "absolute"),
        (vec![data("opt/../a", 1, 1)], "opt/../a", "contains .."),
        (
            vec![data("../a", 1, 1)],
            "../a",
            "points outside the root; it is left out",
        ),
        (
            vec![data("opt/../../a", 1, 1)],
            "opt/../../a",
            "points outside the root",
        ),
        (
            vec![Member::hard_link("opt/a", "opt/gone")],
            "opt/a",
            "does not exist",
        ),
        (
            vec![data("opt/a", 1, 1), data("opt/a/b", 1, 1)],
            "opt/a/b",
            "not a directory",
        ),
    ] {
        let members = [simple(), members].concat();
        let report = lint_members(members);
        let found = report.only("SP307");
        assert_has(
            found,
            &json!({
                "severity": "warning", "path": format!("/{}", name.trim_start_matches('/')),
                "subject": name, "evidence": {"layer": 0},
            }),
        );
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn sp307_what_tools_write_every_day_is_fine() {
    let lower = [
        simple(),
        vec![
            Member::folder("./"),
            Member::folder("./opt/"),
            Member::folder("opt"),
            data("./opt//a", 1, 1),
            data("opt/b..c", 1, 1),
            Member::hard_link("opt/hard", "./opt/a"),
            data("srv/gone", 1, 1),
        ],
    ]
    .concat();
    let upper = [
        Member::folder("opt/"),
        data("opt/a", 2, 1),
        Member::file("srv/.wh.gone", ""),
        Member::file("srv/.wh..wh..opq", ""),
    ];
    let layers = [Layer::of(&lower), Layer::of(&upper)];
    let report = lint_files(&oci(&layers));
    report.is_silent("SP307");
    report.has_no_error();
}

#[test]
fn a_layer_is_named_where_a_finding_comes_from() {
    let lower = Layer::of(&simple());
    let upper = Layer::new(&gnu(&[Member::symlink("opt/link", "gone")]), Packing::Gzip);
    let report = lint_files(&oci(&[lower, upper.clone()]));
    assert_has(report.only("SP304"), &json!({"layer": digest(&upper.blob)}));
}
