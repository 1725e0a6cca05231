//! What an image says of itself stays small enough for those who read images.

use crate::common;
use std::fs;
use std::process::Command;

use common::{document, have, hello, image_config, slimpack, succeed, temporary};

/// Configuration and manifest together, in bytes: clients and registries refuse documents of 4 MiB.
const MOST: usize = 256 << 10;

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
    if !have(&["skopeo"]) {
        return;
    }
    // Clients read documents of at most 4 MiB, wherever they copy to.
    let layout = format!("oci:{}:many", folder.path().join("layout").display());
    let source = format!("docker-archive:{}", archive.display());
    succeed(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", &source, &layout]));
}

#[test]
fn a_thousand_programs_make_a_short_history() {
    let folder = temporary();
    let mut command = slimpack();
    for number in 0..1000 {
        let program = folder.path().join(format!("program-{number}"));
        fs::hard_link(hello(), &program)
            .or_else(|_| fs::copy(hello(), &program).map(drop))
            .unwrap();
        command.arg(program);
    }
    let archive = folder.path().join("many.tar");
    succeed(command.args(["-q", "-o"]).arg(&archive));
    let config = image_config(&archive);
    let history = config["history"][0]["created_by"].as_str().unwrap();
    assert!(history.ends_with("and 984 more"), "{history}");
}
