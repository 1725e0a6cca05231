//! An image's record of its own files stays small enough for clients and registries.

use crate::common;
use std::fs;
use std::process::Command;

use crate::registry_server::Registry;
use common::{document, have, hello, image_config, slimpack, succeed, temporary};

/// Configuration and manifest together, in bytes: clients and registries refuse documents over 4
/// MiB.
const MOST: usize = 256 << 10;

/// The path of `hello` in an image.
const PROGRAM: &str = "/usr/local/bin/hello";

/// The path of the complete record in an image.
const RECORD: &str = "/usr/share/slimpack/reasons.json";

#[test]
fn fifty_thousand_files_make_small_documents_that_a_registry_takes() {
    let folder = temporary();
    let data = folder.path().join("data");
    for number in 0..50_000 {
        let below = data.join(format!("d{}/e{}", number % 100, number % 7));
        if number < 700 {
            fs::create_dir_all(&below).unwrap();
        }
        fs::write(below.join(format!("file-{number}")), "").unwrap();
    }
    let archive = folder.path().join("many.tar");
    succeed(
        slimpack()
            .arg(hello())
            .args(["-q", "--add"])
            .arg(format!("{}:/data", data.display()))
            .arg("-o")
            .arg(&archive),
    );
    let manifest = document(&archive, "manifest.json");
    let config = document(&archive, manifest[0]["Config"].as_str().unwrap());
    let index = document(&archive, "index.json");
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = document(&archive, &format!("blobs/{}", digest.replace(':', "/")));
    let bytes = config.to_string().len() + manifest.to_string().len();
    assert!(bytes < MOST, "{bytes} bytes");
    let said = succeed(
        slimpack()
            .arg("why")
            .arg(&archive)
            .arg("/data/d5/e5/file-705"),
    );
    assert!(said.contains("--add"), "{said}");
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start(false);
    let source = format!("docker-archive:{}", archive.display());
    let copy = format!("docker://{}", registry.name("me/many:1"));
    succeed(
        Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"])
            .args([&source, &copy]),
    );
}

#[test]
fn the_whole_record_is_in_the_image_on_request() {
    let folder = temporary();
    let data = folder.path().join("data");
    for number in 0..2_000 {
        let below = data.join(format!("directory-{number}"));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("file"), "").unwrap();
    }
    let add = format!("{}:/data", data.display());
    for compression in ["none", "gzip"] {
        let archive = folder.path().join(format!("{compression}.tar"));
        let mut command = slimpack();
        command.arg(hello()).args(["-q", "--with", "reasons"]);
        command.args(["--add", &add, "--compress", compression, "-o"]);
        succeed(command.arg(&archive));
        // The label has no room for each path; the file does.
        let config = image_config(&archive);
        let label = config["config"]["Labels"]["dev.slimpack.reasons"].clone();
        let path = "/data/directory-7/file";
        assert!(!label.as_str().unwrap().contains(path), "{label}");
        let said = succeed(slimpack().arg("why").arg(&archive).arg(path));
        assert!(said.contains("--add: requested"), "{said}");
    }
    let root = folder.path().join("none");
    common::unpack_layer(&folder.path().join("none.tar"), &root);
    let record = fs::read(root.join(&RECORD[1..])).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let reason = &record["/data/directory-7/file"];
    assert_eq!(reason, "--add: requested");
    // A file that the user adds at the path of the record is kept.
    let own = folder.path().join("own.json");
    fs::write(&own, "no record").unwrap();
    let root = folder.path().join("root");
    succeed(
        slimpack()
            .arg(hello())
            .args(["-q", "--with", "reasons", "--add"])
            .arg(format!("{}:{RECORD}", own.display()))
            .arg("-o")
            .arg(format!("{}/", root.display())),
    );
    let held = fs::read_to_string(root.join(&RECORD[1..])).unwrap();
    assert_eq!(held, "no record");
    succeed(
        slimpack()
            .arg("why")
            .arg(&root)
            .args(["--program", PROGRAM, PROGRAM]),
    );
}
