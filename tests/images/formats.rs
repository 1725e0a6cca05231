//! Every format and compression, checked with other tools.

use crate::{common, docker, schemas};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{fail_with, have, hello, is_root, names_in, slimpack, succeed, temporary};
use docker::Docker;
use serde_json::Value;

const COMPRESSIONS: [&str; 3] = ["none", "gzip", "zstd:5"];

/// Packs `hello` in this format; returns the path.
fn pack(folder: &Path, format: &str, compression: &str, more: &[&str]) -> PathBuf {
    let name = format!("{format}-{}", compression.replace(':', "-"));
    let output = folder.join(name);
    let mut command = slimpack();
    command
        .arg(hello())
        .arg("-qo")
        .arg(&output)
        .args(["--format", format]);
    succeed(command.args(["--compress", compression]).args(more));
    output
}

/// Copies an image by skopeo, which verifies every digest, and returns its uncompressed layer.
fn by_skopeo(source: &str, folder: &Path) -> Vec<u8> {
    let to = folder.join("copied");
    let _ = fs::remove_dir_all(&to);
    let target = format!("dir:{}", to.display());
    succeed(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", source, &target]));
    let manifest: Value =
        serde_json::from_slice(&fs::read(to.join("manifest.json")).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{manifest}");
    let digest = layers[0]["digest"].as_str().unwrap();
    unpacked(&fs::read(to.join(digest.trim_start_matches("sha256:"))).unwrap())
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    match bytes {
        [0x1f, 0x8b, ..] => {
            flate2::read::MultiGzDecoder::new(bytes)
                .read_to_end(&mut plain)
                .unwrap();
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => plain = zstd::decode_all(bytes).unwrap(),
        _ => plain = bytes.to_vec(),
    }
    plain
}

/// The layer in the default format.
fn plain_layer(folder: &Path) -> Vec<u8> {
    let archive = pack(folder, "image", "none", &[]);
    let manifest = common::document(&archive, "manifest.json");
    let name = manifest[0]["Layers"][0].as_str().unwrap();
    let mut outer = tar::Archive::new(fs::File::open(&archive).unwrap());
    for entry in outer.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(name) {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("no layer");
}

#[test]
fn skopeo_reads_every_format_and_finds_the_same_layer() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let layer = plain_layer(folder.path());
    for compression in COMPRESSIONS {
        for (format, transports) in [
            ("image", &["oci-archive", "docker-archive"][..]),
            ("docker", &["docker-archive"]),
            ("oci", &["oci-archive"]),
            ("oci-dir", &["oci"]),
        ] {
            let output = pack(folder.path(), format, compression, &[]);
            for transport in transports {
                let source = format!("{transport}:{}", output.display());
                let found = by_skopeo(&source, folder.path());
                assert!(found == layer, "{format} {compression} {transport}");
            }
        }
    }
}

#[test]
fn docker_loads_and_imports_every_archive() {
    if !have(&["dockerd", "docker", "containerd"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    for compression in COMPRESSIONS {
        for format in ["image", "docker"] {
            let tag = format!("{format}:{}", compression.replace(':', "-"));
            let archive = pack(folder.path(), format, compression, &["-t", &tag]);
            docker.load(&archive);
            let said = docker.run(&["run", "--rm", "--network=none", &tag, "Ada"]);
            assert_eq!(said, "Hello, Ada!\n", "{tag}");
        }
        // docker in Debian 12 loads zstd layers, but does not import a zstd tar.
        if compression.starts_with("zstd") {
            continue;
        }
        let root = pack(folder.path(), "rootfs-tar", compression, &[]);
        docker.run(&["import", root.to_str().unwrap(), "imported"]);
        let program = "/usr/local/bin/hello";
        let said = docker.run(&["run", "--rm", "--network=none", "imported", program]);
        assert_eq!(said, "Hello, world!\n", "{compression}");
    }
}

#[test]
fn umoci_buildah_and_podman_read_layouts_and_archives() {
    if !is_root() || !have(&["umoci", "runc", "buildah", "podman", "tar"]) {
        return;
    }
    let folder = temporary();
    for compression in COMPRESSIONS {
        let layout = pack(folder.path(), "oci-dir", compression, &[]);
        // umoci in Debian 12 does not support zstd.
        if !compression.starts_with("zstd") {
            let output = common::run_layout(&layout, "latest", &[]);
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "Hello, world!\n",
                "{output:?}"
            );
        }
        let storage = tempfile::tempdir_in("/tmp").unwrap();
        let tool = |name: &str, arguments: &[&str]| {
            let mut command = Command::new(name);
            command.arg("--root").arg(storage.path().join("root"));
            command.arg("--runroot").arg(storage.path().join("run"));
            succeed(command.args(["--storage-driver", "vfs"]).args(arguments))
        };
        for (format, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
            let output = pack(folder.path(), format, compression, &[]);
            let source = format!("{transport}:{}", output.display());
            tool("buildah", &["pull", "-q", &source]);
        }
        // buildah names the image after the path of its layout, and image names are lowercase.
        let lower = PathBuf::from(format!("/tmp/slimpack-layout-{}", std::process::id()));
        fs::create_dir_all(&lower).unwrap();
        let layout = pack(&lower, "oci-dir", compression, &[]);
        tool(
            "buildah",
            &["pull", "-q", &format!("oci:{}:latest", layout.display())],
        );
        fs::remove_dir_all(lower).unwrap();
        let archive = pack(folder.path(), "oci", compression, &[]);
        tool("podman", &["load", "-q", "-i", archive.to_str().unwrap()]);
        docker::unmount_below(storage.path());
    }
}

#[test]
fn the_root_alone_is_the_layer() {
    let folder = temporary();
    let layer = plain_layer(folder.path());
    for compression in COMPRESSIONS {
        let root = pack(folder.path(), "rootfs-tar", compression, &[]);
        assert!(
            unpacked(&fs::read(&root).unwrap()) == layer,
            "{compression}"
        );
        if have(&["tar", "zstd", "gzip"]) {
            let listed = succeed(
                Command::new("tar")
                    .arg("-taf")
                    .arg(&root)
                    .env("LC_ALL", "C"),
            );
            assert!(listed.contains("usr/local/bin/hello\n"), "{listed}");
        }
    }
    // With --format, the path of a directory needs no trailing slash.
    let root = pack(folder.path(), "rootfs", "none", &[]);
    assert!(root.join("usr/local/bin/hello").is_file());
}

#[test]
fn slimpack_reads_what_it_writes() {
    let folder = temporary();
    for compression in COMPRESSIONS {
        for format in ["image", "docker", "oci", "oci-dir", "rootfs-tar"] {
            let output = pack(folder.path(), format, compression, &[]);
            let listed = succeed(slimpack().arg("inspect").arg("--files").arg(&output));
            assert!(
                listed.contains("libc.so.6"),
                "{format} {compression}: {listed}"
            );
            succeed(
                slimpack()
                    .arg("lint")
                    .arg(&output)
                    .args(["--fail-on", "warning"]),
            );
        }
    }
}

#[test]
fn the_bytes_are_the_same_whatever_the_cores_and_the_destination() {
    let folder = temporary();
    for format in ["image", "docker", "oci", "rootfs-tar"] {
        for compression in ["none", "gzip:9", "zstd:19"] {
            let first = fs::read(pack(folder.path(), format, compression, &[])).unwrap();
            let mut command = slimpack();
            command
                .arg(hello())
                .args(["-qo", "-", "--format", format, "--compress", compression]);
            let streamed = common::output(&mut command);
            assert!(
                streamed.stdout == first,
                "{format} {compression}: the stream differs"
            );
            if have(&["taskset"]) {
                let mut one = Command::new("taskset");
                one.args(["-c", "0"])
                    .arg(slimpack().get_program())
                    .arg(hello());
                one.args(["-qo", "-", "--format", format, "--compress", compression]);
                let one = common::output(&mut one);
                assert!(
                    one.stdout == first,
                    "{format} {compression}: one core differs"
                );
            }
        }
    }
}

#[test]
fn compression_is_that_of_the_tools() {
    let folder = temporary();
    let layer = plain_layer(folder.path());
    if !have(&["gzip", "zstd"]) {
        return;
    }
    let plain = folder.path().join("layer");
    fs::write(&plain, layer).unwrap();
    for (compression, tool) in [
        ("gzip:6", "gzip -6"),
        ("gzip:9", "gzip -9"),
        ("zstd:3", "zstd -3"),
        ("zstd:19", "zstd -19"),
    ] {
        let own = fs::metadata(pack(folder.path(), "rootfs-tar", compression, &[]))
            .unwrap()
            .len();
        let line = format!("{tool} -c <{} | wc -c", plain.display());
        let theirs = succeed(Command::new("sh").args(["-c", &line]));
        let theirs: u64 = theirs.trim().parse().unwrap();
        assert!(
            own * 100 <= theirs * 106,
            "{compression}: {own} bytes, {theirs} by {tool}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn a_layout_keeps_its_other_images() {
    let folder = temporary();
    let layout = folder.path().join("layout");
    let add = |more: &[&str]| {
        let mut command = slimpack();
        command
            .arg(hello())
            .arg("-qo")
            .arg(&layout)
            .args(["--format", "oci-dir"]);
        succeed(command.args(more));
    };
    let tags = || -> Vec<(String, String)> {
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap().iter();
        let named = manifests.map(|manifest| {
            let tag = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str();
            (
                tag.unwrap().to_owned(),
                manifest["digest"].as_str().unwrap().to_owned(),
            )
        });
        named.collect()
    };
    add(&["-t", "app:1"]);
    let first = tags();
    add(&["-t", "app:2", "-e", "A=1"]);
    add(&["-t", "app:3", "-e", "A=2"]);
    let before = tags();
    assert_eq!(before[0], first[0]);
    assert_eq!(before.len(), 3);
    // The same tag now names the new image; other tags stay.
    add(&["-t", "app:2", "-e", "A=3"]);
    let after = tags();
    assert_eq!(after.len(), 3);
    let changed: Vec<_> = after
        .iter()
        .filter(|named| !before.contains(named))
        .collect();
    assert_eq!(
        changed
            .iter()
            .map(|named| named.0.as_str())
            .collect::<Vec<_>>(),
        ["2"]
    );
    if have(&["umoci", "skopeo"]) {
        let listed = succeed(Command::new("umoci").arg("ls").arg("--layout").arg(&layout));
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, ["1", "2", "3"]);
        by_skopeo(&format!("oci:{}:3", layout.display()), folder.path());
    }
    // Many concurrent runs: no image is lost.
    let runs: Vec<_> = (10..18)
        .map(|number| {
            let mut command = slimpack();
            command
                .arg(hello())
                .arg("-qo")
                .arg(&layout)
                .args(["--format", "oci-dir", "-t"]);
            command.arg(format!("app:{number}")).spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(tags().len(), 11);
    let blobs = names_in(&layout.join("blobs/sha256"));
    assert!(blobs.iter().all(|name| name.len() == 64), "{blobs:?}");
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_left() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).unwrap();
    fs::write(at("data/file"), "x").unwrap();
    for (words, part) in [
        (&["-o", "x.tar", "--format", "squashfs"][..], "oci-dir"),
        (&["-o", "x.tar", "--compress", "lzma"], "gzip"),
        (&["-o", "x.tar", "--compress", "zstd:99"], "1 to 22"),
        (&["-o", "data", "--format", "oci-dir"], "not an OCI layout"),
        (&["-o", "data", "--format", "oci"], "it is a directory"),
        (&["-o", "data/", "--format", "docker"], "is a directory"),
        (
            &["-o", "data/", "--force"],
            "not a root directory written by slimpack",
        ),
        (
            &["-o", "data/file", "--format", "oci-dir"],
            "cannot write data/file",
        ),
        (
            &["-o", "out/", "--compress", "gzip"],
            "no layer to compress",
        ),
        (
            &["-o", "x.tar", "--force"],
            "--force applies only to root directories",
        ),
        (&["-o", "-", "--format", "oci-dir"], "standard output"),
        (
            &["-o", "no/such/x.tar", "--compress", "zstd"],
            "no/such does not exist",
        ),
    ] {
        let mut command = slimpack();
        let said = fail_with(
            2,
            command.current_dir(folder.path()).arg(hello()).args(words),
        );
        assert!(said.contains(part), "{words:?}: {said}");
        assert_eq!(names_in(folder.path()), ["data"], "{words:?}");
        assert_eq!(names_in(&at("data")), ["file"], "{words:?}");
    }
    // A full disk.
    for (compression, target) in [
        ("none", "/dev/full"),
        ("gzip", "/dev/full"),
        ("zstd", "/dev/full"),
    ] {
        let mut command = slimpack();
        command
            .arg(hello())
            .args(["-o", target, "--compress", compression]);
        let said = fail_with(2, &mut command);
        assert!(
            said.contains("No space left") && said.contains("/dev/full"),
            "{said}"
        );
    }
}

#[test]
fn a_disk_that_fills_up_while_a_layer_is_compressed_is_told_and_nothing_is_left() {
    if !is_root() || !have(&["unshare", "mount"]) {
        return;
    }
    let folder = temporary();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = "mount -t tmpfs -o size=64k none \"$0\" && TMPDIR=\"$0\" exec \"$@\"";
    for compression in ["gzip", "zstd"] {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&small);
        command
            .arg(slimpack().get_program())
            .arg(hello())
            .args(["--compress", compression, "-o"]);
        let said = fail_with(2, command.arg(folder.path().join("out.tar")));
        assert!(
            said.contains("No space left") && said.contains("TMPDIR"),
            "{compression}: {said}"
        );
        assert_eq!(names_in(folder.path()), ["small"], "{compression}");
    }
}

#[test]
fn force_replaces_an_older_root_folder_and_no_other() {
    let folder = temporary();
    let root = folder.path().join("root");
    let pack = |more: &[&str]| {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .arg(hello())
            .args(["-q", "-o", "root/"])
            .args(more);
        command
    };
    succeed(&mut pack(&["--with", "tmp"]));
    assert!(root.join("tmp").exists());
    succeed(&mut pack(&["--force"]));
    assert!(!root.join("tmp").exists() && root.join("usr/local/bin/hello").exists());
    assert_eq!(names_in(folder.path()), [".root.slimpack", "root"]);
    fs::write(root.join("notes"), "mine").unwrap();
    let said = fail_with(2, &mut pack(&["--force"]));
    assert!(said.contains("changed since"), "{said}");
    assert_eq!(fs::read_to_string(root.join("notes")).unwrap(), "mine");
}

#[test]
fn force_keeps_what_slimpack_did_not_write_whatever_its_times_say() {
    let folder = temporary();
    let one = folder.path().join("one");
    let file = one.join("f");
    fs::create_dir(&one).unwrap();
    fs::write(&file, "x").unwrap();
    let touch = |path: &Path| {
        let touched = Command::new("touch")
            .args(["-d", "2020-01-01"])
            .arg(path)
            .status();
        assert!(touched.unwrap().success());
    };
    touch(&file);
    let pack = || {
        let mut command = slimpack();
        command.current_dir(folder.path()).arg(hello());
        command.args(["-q", "-o", "one/", "--force"]);
        command
    };
    let said = fail_with(2, &mut pack());
    assert!(said.contains("cannot write one/"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    // One changed byte in a tree that slimpack wrote, with the mtime restored.
    fs::remove_file(&file).unwrap();
    succeed(&mut pack());
    let program = one.join("usr/local/bin/hello");
    let mut bytes = fs::read(&program).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&program, &bytes).unwrap();
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let changed = fs::File::options().write(true).open(&program).unwrap();
    changed.set_modified(epoch).unwrap();
    fail_with(2, &mut pack());
    assert_eq!(fs::read(&program).unwrap(), bytes);
}

#[test]
fn all_documents_follow_the_schemas_of_the_specification() {
    let folder = temporary();
    let more = [
        "--author",
        "me",
        "--expose",
        "80",
        "--volume",
        "/data",
        "--stop-signal",
        "INT",
        "-e",
        "A=1",
        "--annotation",
        "a=b",
        "-l",
        "k=v",
        "-u",
        "7",
        "-w",
        "/data",
        "--healthcheck",
        "/x y",
    ];
    for compression in COMPRESSIONS {
        for format in ["image", "oci"] {
            let archive = pack(folder.path(), format, compression, &more);
            let unpacked = folder.path().join("unpacked");
            let _ = fs::remove_dir_all(&unpacked);
            let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
            archive.unpack(&unpacked).unwrap();
            schemas::check_layout(&unpacked);
        }
        schemas::check_layout(&pack(folder.path(), "oci-dir", compression, &more));
    }
}

/// The system calls in `trace` that a run makes, by name and in order.
fn calls(trace: &str, words: &[&str]) -> Vec<String> {
    let folder = temporary();
    let log = folder.path().join("log");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", &format!("trace={trace}"), "-o"])
        .arg(&log);
    succeed(command.arg(slimpack().get_program()).args(words));
    let log = fs::read_to_string(log).unwrap();
    let calls = log
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0));
    calls.map(str::to_owned).collect()
}

#[test]
fn with_sync_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end() {
    if !have(&["strace"]) {
        return;
    }
    let folder = temporary();
    let out = folder.path().join("x.tar");
    let words = [
        hello().to_str().unwrap(),
        "-q",
        "-o",
        out.to_str().unwrap(),
        "--sync",
    ];
    let trace = "fsync,fdatasync,linkat,rename,renameat,renameat2";
    // linkat names an unnamed file; if the name is taken, rename replaces the old one.
    let is_name = |call: &String| call == "linkat" || call.starts_with("rename");
    let calls_with = calls(trace, &words);
    let [bytes, names @ .., directory] = &calls_with[..] else {
        panic!("{calls_with:?}");
    };
    assert_eq!(bytes, "fdatasync");
    assert!(!names.is_empty() && names.iter().all(is_name), "{names:?}");
    assert_eq!(directory, "fsync");
    // An output that is left alone may not have been synced yet.
    let unchanged = calls(trace, &[&words[..], &["--if-changed"]].concat());
    assert_eq!(unchanged, ["fsync", "fsync"]);
    let without = calls(trace, &words[..4]);
    assert!(
        !without.is_empty() && without.iter().all(is_name),
        "{without:?}"
    );
}
