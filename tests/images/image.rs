//! The bytes of an image: independent of the environment of the pack, and correct by the
//! specification.

use crate::common;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{HELLO, compile, document, have, hello, output, slimpack, succeed, temporary};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_do_not_depend_on_what_surrounds_the_pack() {
    let (first, second) = (temporary(), temporary());
    let program = first.path().join("app");
    fs::copy(hello(), &program).unwrap();
    let out = first.path().join("out.tar");
    succeed(slimpack().arg(&program).arg("-o").arg(&out));

    // Another directory, umask, locale, time zone, timestamp, mode and kind of path.
    let other = second.path().join("app");
    fs::copy(hello(), &other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o6711)).unwrap();
    succeed(Command::new("touch").args(["-d", "2001-02-03"]).arg(&other));
    let again = second.path().join("again.tar");
    succeed(
        Command::new("sh")
            .args(["-c", "umask 077; exec \"$0\" app -o again.tar"])
            .arg(env!("CARGO_BIN_EXE_slimpack"))
            .current_dir(second.path())
            .env("LC_ALL", "C")
            .env("TZ", "Asia/Tokyo"),
    );
    assert!(
        fs::read(&out).unwrap() == fs::read(&again).unwrap(),
        "the archives differ"
    );

    // Standard output receives the same bytes as the file.
    let streamed = common::output(slimpack().arg(&program).args(["-o", "-"]));
    assert!(
        fs::read(&out).unwrap() == streamed.stdout,
        "the stream differs from the file"
    );
}

#[test]
fn source_date_epoch_is_the_time_of_everything() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    let epoch = 1_700_000_000;
    succeed(
        slimpack()
            .arg(hello())
            .arg("-o")
            .arg(&out)
            .env("SOURCE_DATE_EPOCH", epoch.to_string()),
    );
    assert_eq!(
        common::image_config(&out)["created"],
        "2023-11-14T22:13:20Z"
    );
    let mut outer = tar::Archive::new(fs::File::open(&out).unwrap());
    let layer = common::first_file(&mut outer);
    for entry in tar::Archive::new(layer).entries().unwrap() {
        assert_eq!(entry.unwrap().header().mtime().unwrap(), epoch);
    }
}

/// Checks every digest and size in an archive against the bytes.
fn validate(archive: &Path) {
    let mut blobs = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(fs::File::open(archive).unwrap())
        .entries()
        .unwrap()
    {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if let Some(digest) = path.strip_prefix("blobs/sha256/") {
            assert_eq!(digest, sha256(&bytes), "{path}");
        }
        blobs.insert(path, bytes);
    }
    let resolve = |descriptor: &serde_json::Value| -> &Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = &blobs[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    };
    let index = document(archive, "index.json");
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let manifest: serde_json::Value =
        serde_json::from_slice(resolve(&index["manifests"][0])).unwrap();
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "a single layer");
    let layer = resolve(&layers[0]);
    let config: serde_json::Value = serde_json::from_slice(resolve(&manifest["config"])).unwrap();
    assert_eq!(
        config["rootfs"],
        serde_json::json!({"type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))]})
    );
    assert_eq!(
        document(archive, "oci-layout")["imageLayoutVersion"],
        "1.0.0"
    );
    let docker = document(archive, "manifest.json");
    assert_eq!(
        docker[0]["Layers"][0],
        format!("blobs/sha256/{}", sha256(layer))
    );
    assert_eq!(blobs.len(), 6, "three blobs and three documents");
}

#[test]
fn every_digest_and_size_is_that_of_the_bytes() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    succeed(slimpack().arg(hello()).arg("-o").arg(&out));
    validate(&out);
    // A program larger than the size from which a second thread hashes.
    let large = compile(folder.path(), "large", HELLO, &["-static"]);
    fs::File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_len(20_000_001)
        .unwrap();
    succeed(slimpack().arg(&large).arg("-o").arg(&out));
    validate(&out);
    assert!(common::layer(&out)["usr/local/bin/large"].ends_with(" 20000001"));
}

#[test]
fn a_dynamic_program_brings_loader_libc_and_links_and_nothing_else() {
    let folder = temporary();
    let out = folder.path().join("out.tar");
    let mut pack = slimpack();
    succeed(
        pack.arg(hello())
            .arg("--without=package-records")
            .arg("-o")
            .arg(&out),
    );
    let layer = common::layer(&out);
    let wanted = [
        "lib",
        "lib64",
        "usr/lib64/ld-linux-x86-64.so.2",
        "usr/local/bin/hello",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ];
    let nodes: Vec<_> = layer
        .iter()
        .filter(|(_, node)| !node.starts_with("folder "))
        .collect();
    if fs::read_link("/lib").is_ok() {
        let mut paths: Vec<_> = nodes.iter().map(|(path, _)| path.as_str()).collect();
        let mut wanted = wanted.to_vec();
        paths.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(paths, wanted);
    }
    let modes: Vec<_> = nodes
        .iter()
        .filter_map(|(_, node)| node.strip_prefix("file "))
        .collect();
    assert_eq!(
        modes
            .iter()
            .filter(|mode| mode.starts_with("0644 "))
            .count(),
        1,
        "libc: {modes:?}"
    );
    assert_eq!(
        modes
            .iter()
            .filter(|mode| mode.starts_with("0755 "))
            .count(),
        2,
        "{modes:?}"
    );
}

#[test]
fn hard_links_on_the_source_stay_one_file_in_the_image() {
    let folder = temporary();
    let lib = folder.path().join("lib");
    fs::create_dir(&lib).unwrap();
    let source = "int one(void) { return 1; }";
    let one = compile(&lib, "libone.so", source, &["-shared", "-fPIC"]);
    fs::hard_link(&one, lib.join("libtwo.so")).unwrap();
    let program = compile(
        folder.path(),
        "app",
        "int one(void); int main(void) { return one() - 1; }",
        &[
            "-Llib",
            "-Wl,--no-as-needed",
            "-lone",
            "-ltwo",
            "-Wl,-rpath,$ORIGIN/lib",
            &format!("-L{}", lib.display()),
        ],
    );
    let out = folder.path().join("out.tar");
    succeed(slimpack().arg(&program).arg("-o").arg(&out));
    let layer = common::layer(&out);
    assert_eq!(
        layer["usr/local/bin/lib/libtwo.so"],
        "same as usr/local/bin/lib/libone.so"
    );
}

#[test]
fn images_of_one_tag_and_different_names_share_a_layout() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let layout = folder.path().join("layout");
    let pack = |program: &str| {
        succeed(
            slimpack()
                .args([program, "-q", "--format", "oci-dir", "-o"])
                .arg(&layout),
        );
    };
    let names = || {
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap().iter();
        let names = manifests.map(|manifest| {
            let name = &manifest["annotations"]["io.containerd.image.name"];
            name.as_str().unwrap().to_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    pack("/bin/ls");
    pack("/bin/cat");
    let both = [
        "docker.io/library/cat:latest",
        "docker.io/library/ls:latest",
    ];
    assert_eq!(names(), both);
    // The tag still names the first image; the second has its full name.
    let entrypoint = |reference: &str| {
        let image = format!("oci:{}:{reference}", layout.display());
        let said = succeed(Command::new("skopeo").args(["inspect", "--config", &image]));
        let config: serde_json::Value = serde_json::from_str(&said).unwrap();
        config["config"]["Entrypoint"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(entrypoint("latest"), "/bin/ls");
    assert_eq!(entrypoint("cat:latest"), "/bin/cat");
    // Packed again, each image replaces its older self.
    pack("/bin/cat");
    pack("/bin/ls");
    assert_eq!(names(), both);
    assert_eq!(entrypoint("latest"), "/bin/ls");
    assert_eq!(entrypoint("cat:latest"), "/bin/cat");
}

#[test]
fn holes_of_a_file_are_zeros_in_the_image() {
    use std::os::unix::fs::FileExt;
    let folder = temporary();
    let data = folder.path().join("data");
    let file = fs::File::create(&data).unwrap();
    file.set_len(20 << 20).unwrap();
    // Data in the middle, in a block that begins with zeros, and at the very end.
    for offset in [(5 << 20) + 7, (9 << 20) - 1, (20 << 20) - 1] {
        file.write_all_at(b"x", offset).unwrap();
    }
    for output in ["file.tar", "-"] {
        let archive = folder.path().join("image.tar");
        let mut command = slimpack();
        command.arg(hello()).args(["-q", "--add"]);
        command.arg(format!("{}:/data", data.display())).arg("-o");
        match output {
            "-" => {
                let written = common::output(command.arg("-")).stdout;
                fs::write(&archive, written).unwrap();
            }
            _ => drop(succeed(command.arg(&archive))),
        }
        let root = folder.path().join(format!("root-{output}"));
        common::unpack_layer(&archive, &root);
        assert!(
            fs::read(root.join("data")).unwrap() == fs::read(&data).unwrap(),
            "{output}"
        );
    }
}

/// One of several images, by each way to select it: each command reads the one that `skopeo
/// inspect` reads.
#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn one_image_of_several_is_chosen_by_its_name() {
    if !have(&["skopeo"]) {
        return;
    }
    let folder = temporary();
    let layout = folder.path().join("layout");
    for (program, tag) in [
        ("/bin/ls", "ls"),
        ("/bin/cat", "cat"),
        ("/bin/true", "me/x:2"),
    ] {
        succeed(
            slimpack()
                .args([program, "-q", "-t", tag, "--format", "oci-dir", "-o"])
                .arg(&layout),
        );
    }
    let archive = folder.path().join("both.tar");
    let two = folder.path().join("two");
    let skopeo = |arguments: &[&str]| {
        succeed(
            Command::new("skopeo")
                .arg("--insecure-policy")
                .args(arguments),
        )
    };
    let layout = layout.display().to_string();
    skopeo(&[
        "copy",
        "-q",
        &format!("oci:{layout}:latest"),
        &format!("docker-archive:{}:a:1", archive.display()),
    ]);
    // docker archives may contain several images: merge the members of two.
    let cat = folder.path().join("cat.tar");
    skopeo(&[
        "copy",
        "-q",
        &format!("oci:{layout}:cat:latest"),
        &format!("docker-archive:{}:b:1", cat.display()),
    ]);
    fs::create_dir(&two).unwrap();
    let mut manifest: Vec<serde_json::Value> = Vec::new();
    for one in [&archive, &cat] {
        succeed(Command::new("tar").arg("-xf").arg(one).arg("-C").arg(&two));
        let text = fs::read(two.join("manifest.json")).unwrap();
        manifest.extend(serde_json::from_slice::<Vec<serde_json::Value>>(&text).unwrap());
    }
    fs::write(
        two.join("manifest.json"),
        serde_json::to_vec(&manifest).unwrap(),
    )
    .unwrap();
    succeed(
        Command::new("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&two)
            .arg("."),
    );
    let archive = archive.display().to_string();

    let entrypoint = |json: &str| {
        let config: serde_json::Value = serde_json::from_str(json).unwrap();
        config["config"]["Entrypoint"].clone()
    };
    let read = |image: &str| -> serde_json::Value {
        let said = succeed(slimpack().args(["inspect", "--json", image]));
        let mut said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let images = said["images"].take();
        assert_eq!(images.as_array().unwrap().len(), 1, "{image}: {images}");
        images[0]["config"]["entrypoint"].clone()
    };
    for (theirs, ours) in [
        (
            format!("oci:{layout}:latest"),
            vec![
                format!("{layout}:latest"),
                format!("{layout}#latest"),
                format!("{layout}#ls"),
                format!("{layout}#ls:latest"),
                format!("{layout}#docker.io/library/ls:latest"),
                format!("{layout}#@0"),
                format!("oci:{layout}:latest"),
            ],
        ),
        (
            format!("oci:{layout}:cat:latest"),
            vec![format!("{layout}:cat:latest"), format!("{layout}#cat")],
        ),
        (
            format!("oci:{layout}:2"),
            vec![format!("{layout}#me/x:2"), format!("{layout}:2")],
        ),
        (
            format!("docker-archive:{archive}:b:1"),
            vec![
                format!("docker-archive:{archive}:b:1"),
                format!("{archive}:b:1"),
                format!("{archive}#b:1"),
                format!("{archive}#@1"),
            ],
        ),
    ] {
        let expected = entrypoint(&skopeo(&["inspect", "--config", &theirs]));
        for image in ours {
            assert_eq!(read(&image), expected, "{image}");
        }
    }

    // Every command that reads images, and `--from`.
    let cat = format!("{layout}#cat");
    let slim = folder.path().join("slim.tar");
    let depfile = folder.path().join("slim.d");
    let said = |arguments: &[&str]| succeed(slimpack().args(arguments));
    succeed(
        slimpack()
            .args(["-q", "--from", &cat, "-o"])
            .arg(&slim)
            .arg(format!("--depfile={}", depfile.display())),
    );
    assert_eq!(
        read(&slim.display().to_string()),
        serde_json::json!(["/bin/cat"])
    );
    // Make knows only files, so the fragment that selects an image is left out.
    let depfile = fs::read_to_string(&depfile).unwrap();
    assert!(depfile.contains("/layout"), "{depfile}");
    assert!(!depfile.contains('#'), "{depfile}");
    assert!(said(&["tree", &cat]).starts_with("/bin/cat"));
    assert!(said(&["why", &cat, "/usr/bin/cat"]).contains("/usr/bin/cat"));
    let lint = said(&["lint", &cat]);
    assert!(lint.contains("#cat (oci-layout, "), "{lint}");
    assert_eq!(
        said(&["size", "--json", &cat]).matches("\"plain\"").count(),
        1
    );
    let other = format!("{layout}#ls");
    let diff = output(slimpack().args(["diff", &cat, &other]));
    let diff = String::from_utf8(diff.stdout).unwrap();
    assert!(diff.contains("/usr/bin/cat"), "{diff}");
    let same = output(slimpack().args(["diff", &cat, &slim.display().to_string()]));
    assert!(
        !String::from_utf8(same.stdout)
            .unwrap()
            .contains("usr/bin/ls")
    );

    // An ambiguous or unknown name is answered with a list of the images.
    let refused = |image: &str, expected: &str| {
        let said = output(slimpack().args(["inspect", image]));
        assert_eq!(said.status.code(), Some(2));
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    };
    refused(
        &format!("{layout}#gone"),
        "only docker.io/library/ls:latest",
    );
    let several = output(slimpack().args(["-q", "--from", &layout, "-o"]).arg(&slim));
    let several = String::from_utf8(several.stderr).unwrap();
    assert!(several.contains("--from IMAGE#NAME"), "{several}");
    // A file whose name contains the selector is opened itself.
    let odd = folder.path().join("layout#cat");
    fs::copy(&slim, &odd).unwrap();
    assert_eq!(
        read(&odd.display().to_string()),
        serde_json::json!(["/bin/cat"])
    );
}
