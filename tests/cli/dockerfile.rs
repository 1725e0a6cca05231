//! slimpack in a Dockerfile: its own image, and a stage that packs with it, built by buildah.
//!
//! No base image can be pulled. One that slimpack packs stands in for both: it has a shell, the
//! tools of a release, and a `cargo` that builds by copying the slimpack under test.

use crate::{common, recipes};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{HELLO, compile, have, is_root, succeed};
use recipes::readme_block;

/// What `cargo build --target TARGET` leaves, without its time.
const CARGO: &str = "#!/bin/sh
while [ $# -gt 1 ]; do shift; done
mkdir -p target/$1/dist
for name in slimpack cargo-slimpack; do cp /built/slimpack target/$1/dist/$name; done
";

/// Images and containers of one test.
struct Storage {
    folder: tempfile::TempDir,
}

impl Storage {
    fn new() -> Self {
        Self {
            folder: common::temporary(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn buildah(&self, arguments: &[&str]) -> String {
        // Without a network.
        let mut command = Command::new("unshare");
        command.args(["--net", "buildah"]);
        command.current_dir(self.folder.path());
        command.arg("--root").arg(self.at("storage"));
        command.arg("--runroot").arg(self.at("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        succeed(&mut command)
    }

    /// Builds a Dockerfile without a network.
    fn build(&self, dockerfile: &Path, tag: &str, context: &Path, more: &[&str]) {
        let (file, context) = (dockerfile.to_str().unwrap(), context.to_str().unwrap());
        let words = [
            "bud",
            "--isolation",
            "chroot",
            "--pull-never",
            "-q",
            "-f",
            file,
            "-t",
            tag,
        ];
        self.buildah(&[&words[..], more, &[context]].concat());
    }

    /// The base of both builds, under these names.
    fn base(&self, names: &[&str]) {
        let cargo = self.at("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let slimpack = env!("CARGO_BIN_EXE_slimpack");
        let mut pack = common::slimpack();
        pack.current_dir(self.folder.path()).arg("/bin/sh");
        let tools = [
            "sed",
            "head",
            "tar",
            "gzip",
            "sha256sum",
            "mkdir",
            "cp",
            "rm",
            "date",
            "uname",
            "cat",
            "dirname",
        ];
        pack.args(tools.map(|tool| format!("/usr/bin/{tool}")));
        pack.args([
            "--add",
            "cargo:/usr/local/bin/cargo",
            "--mkdir",
            "/tmp",
            "--strip",
        ]);
        pack.args(["--add", &format!("{slimpack}:/built/slimpack")]);
        succeed(pack.args(["-t", "base", "-qo", "base.tar"]));
        let id = self.buildah(&["pull", "-q", "docker-archive:base.tar"]);
        for name in names {
            self.buildah(&["tag", id.trim(), name]);
        }
    }

    /// An image as one archive.
    fn archive(&self, image: &str) -> PathBuf {
        let archive = self.at("pushed.tar");
        let _ = fs::remove_file(&archive);
        self.buildah(&[
            "push",
            "-q",
            image,
            &format!("docker-archive:pushed.tar:{image}"),
        ]);
        archive
    }
}

#[test]
fn a_stage_packs_with_the_image_of_slimpack() {
    if !is_root() || !have(&["buildah", "skopeo", "umoci", "runc"]) {
        return;
    }
    let storage = Storage::new();
    storage.base(&["localhost/rust:1", "localhost/debian:12"]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rust = ["--build-arg", "RUST=localhost/rust:1"];
    storage.build(&source.join("Dockerfile"), "slimpack", source, &rust);
    let own = storage.archive("localhost/slimpack:latest");
    let files: Vec<String> = common::layer(&own).into_keys().collect();
    assert_eq!(files, ["slimpack"]);
    let entrypoint = &common::image_config(&own)["config"]["Entrypoint"];
    assert_eq!(entrypoint, &serde_json::json!(["/slimpack"]));
    // Now a program of the reader, by the recipe of the documentation.
    fs::create_dir(storage.at("context")).unwrap();
    compile(&storage.at("context"), "app", HELLO, &[]);
    let recipe = readme_block("dockerfile", "RUN slimpack");
    let recipe = recipe.replace("debian:12", "localhost/debian:12");
    fs::write(storage.at("context/Dockerfile"), recipe).unwrap();
    let (dockerfile, context) = (storage.at("context/Dockerfile"), storage.at("context"));
    storage.build(&dockerfile, "localhost/app:latest", &context, &[]);
    let archive = storage.archive("localhost/app:latest");
    let layout = storage.at("layout");
    let mut copy = Command::new("skopeo");
    copy.args([
        "copy",
        "-q",
        &format!("docker-archive:{}", archive.display()),
    ]);
    succeed(copy.arg(format!("oci:{}:app", layout.display())));
    let ran = common::run_layout(&layout, "app", &[]);
    let expected = succeed(&mut Command::new(storage.at("context/app")));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected, "{ran:?}");
    let mut inspect = common::slimpack();
    let listed = succeed(inspect.args(["inspect", "--files"]).arg(&archive));
    assert!(
        !listed.contains("gzip") && listed.contains("libc.so.6"),
        "{listed}"
    );
}
