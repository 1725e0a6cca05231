//! `slimpack inspect` and images in `slimpack tree`, checked against the tools that build images:
//! what slimpack shows is what those tools unpack, export and report.

use crate::{common, docker, layers, trees};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    fail_with, find, have, hello, is_root, output, slimpack, strings, succeed, temporary,
};
use docker::Docker;
use layers::{LAYERS, base, change, configure, docker_images, extract, run, umoci_layout};
use serde_json::{Value, json};
use trees::{assert_same, document, image, images, inspect, of_folder, of_image, of_tar};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_tree_is_what_umoci_unpacks() {
    if !have(&["umoci", "tar"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let layout = umoci_layout(folder.path());
    let arguments = ["unpack", "--image", "layout:image", "unpacked"];
    run("umoci", folder.path(), &arguments);
    let image = image(&layout);
    let shown = of_image(&image);
    let root = folder.path().join("unpacked/rootfs");
    assert_same(&shown, &of_folder(&root), "umoci unpack");
    assert_eq!(image["layers"].as_array().unwrap().len(), LAYERS.len() + 5);
    assert_eq!(image["anomalies"], json!([]));
    let nodes = image["tree"].as_array().unwrap();
    for (path, layer) in [
        ("/var/queue", 0),
        ("/opt/folder", 1),
        ("/usr/lib/through", 2),
        ("/opt/data/again", 3),
        ("/etc/app/below/file", 4),
        ("/usr/lib/inserted/below/file", 6),
    ] {
        let node = nodes.iter().find(|node| node["path"] == path).unwrap();
        assert_eq!(node["layer"], layer, "{path}");
    }
}

const UNCOMPRESSED: &str = "--dest-oci-accept-uncompressed-layers";

/// Compresses a whole file; `None` leaves it uncompressed. The extension of the result is
/// misleading on purpose.
fn compress(file: &Path, program: Option<&str>) -> PathBuf {
    let ending = match program {
        None => "tar.gz",
        Some("gzip") => "tar.zst",
        Some("zstd") => "tar",
        _ => "json",
    };
    let packed = file.with_extension(ending);
    let Some(program) = program else {
        fs::rename(file, &packed).unwrap();
        return packed;
    };
    let out = fs::File::create(&packed).unwrap();
    succeed(Command::new(program).arg("-c1").arg(file).stdout(out));
    packed
}

#[test]
fn every_packing_of_an_image_shows_the_same_tree_and_configuration() {
    if !have(&["umoci", "tar", "skopeo", "gzip", "zstd", "xz"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let layout = umoci_layout(folder.path());
    configure(folder.path());
    let expected = image(&layout);
    let copy = |arguments: &[&str]| {
        let general = ["--insecure-policy", "copy", "-q"];
        run("skopeo", folder.path(), &[&general, arguments].concat());
    };
    let docker = "docker-archive:docker:name:tag";
    copy(&["oci:layout:image", docker]);
    copy(&["oci:layout:image", "oci-archive:gzip:image"]);
    copy(&[
        "--dest-compress-format=zstd",
        docker,
        "oci-archive:zstd:image",
    ]);
    // In two steps: straight from a docker archive, skopeo declares uncompressed layers as gzip.
    copy(&["--dest-decompress", "oci:layout:image", "dir:unpacked"]);
    copy(&[UNCOMPRESSED, "dir:unpacked", "oci-archive:plain:image"]);

    let archives = [
        ("docker", "docker-archive", "none"),
        ("gzip", "oci-archive", "gzip"),
        ("zstd", "oci-archive", "zstd"),
        ("plain", "oci-archive", "none"),
    ];
    for (name, kind, compression) in archives {
        for program in [Some("gzip"), Some("zstd"), Some("xz"), None] {
            let file = compress(&folder.path().join(name), program);
            let redirected = fs::File::open(&file).unwrap();
            let mut cat = Command::new("cat")
                .arg(&file)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let pipe = cat.stdout.take().unwrap();
            let ways = [
                ("its path", document(&mut inspect(&file))),
                ("a redirection", document(inspect("-").stdin(redirected))),
                ("a pipe", document(inspect("-").stdin(pipe))),
            ];
            assert!(cat.wait().unwrap().success());
            for (way, shown) in ways {
                let whose = format!("{} through {way}", file.display());
                assert_eq!(shown["kind"], kind, "{whose}");
                let image = &shown["images"][0];
                for field in ["tree", "config", "created", "author", "platform", "history"] {
                    assert!(image[field] == expected[field], "{whose}: another {field}");
                }
                for layer in image["layers"].as_array().unwrap() {
                    assert_eq!(layer["compression"], compression, "{whose}");
                }
            }
        }
    }
}

#[test]
fn a_layer_that_is_not_what_its_media_type_says_is_refused() {
    if !have(&["umoci", "tar", "skopeo"]) || !is_root() {
        return;
    }
    let folder = temporary();
    umoci_layout(folder.path());
    let copy = |arguments: &[&str]| {
        let general = ["--insecure-policy", "copy", "-q"];
        run("skopeo", folder.path(), &[&general, arguments].concat());
    };
    let docker = "docker-archive:docker:name:tag";
    copy(&["oci:layout:image", docker]);
    copy(&[UNCOMPRESSED, docker, "oci:copy:image"]);
    // skopeo declares the layers as gzip but leaves them uncompressed; umoci refuses that too.
    let unpack = ["unpack", "--image", "copy:image", "unpacked"];
    let umoci = output(
        Command::new("umoci")
            .args(unpack)
            .current_dir(folder.path()),
    );
    assert!(!umoci.status.success());
    let message = fail_with(2, &mut trees::inspect(folder.path().join("copy")));
    assert!(message.contains("is none, not gzip"), "{message}");
}

/// The keys of an object, sorted; empty if there is no object.
fn keys(object: &Value) -> Value {
    let object = object.as_object();
    object.map_or(json!([]), |object| object.keys().cloned().collect())
}

/// The `config` that `slimpack inspect` prints equals `told`, the `config` of an image's
/// configuration.
fn assert_same_config(shown: &Value, told: &Value) {
    let fields = [
        ("entrypoint", told["Entrypoint"].clone()),
        ("cmd", told["Cmd"].clone()),
        ("env", told["Env"].clone()),
        ("user", told["User"].clone()),
        ("working_dir", told["WorkingDir"].clone()),
        ("labels", told["Labels"].clone()),
        ("exposed_ports", keys(&told["ExposedPorts"])),
        ("volumes", keys(&told["Volumes"])),
        ("stop_signal", told["StopSignal"].clone()),
        ("healthcheck", told["Healthcheck"].clone()),
    ];
    for (field, told) in &fields {
        assert_eq!(shown[*field], *told, "{field}");
    }
    assert_eq!(shown.as_object().unwrap().len(), fields.len());
}

#[test]
fn skopeo_tells_the_same_figures_and_configuration() {
    if !have(&["umoci", "tar", "skopeo"]) || !is_root() {
        return;
    }
    let folder = temporary();
    umoci_layout(folder.path());
    configure(folder.path());
    let skopeo = |arguments: &[&str]| run("skopeo", folder.path(), arguments);
    let archive = "docker-archive:archive:name:tag";
    skopeo(&[
        "--insecure-policy",
        "copy",
        "-q",
        "oci:layout:image",
        archive,
    ]);
    for (path, name) in [("layout", "oci:layout:image"), ("archive", archive)] {
        let image = image(folder.path().join(path));
        let told = parse(&skopeo(&["inspect", name]));
        assert_eq!(image["platform"]["architecture"], told["Architecture"]);
        assert_eq!(image["platform"]["os"], told["Os"]);
        assert_eq!(image["created"], told["Created"]);
        assert_eq!(image["config"]["labels"], told["Labels"]);
        assert_eq!(image["config"]["env"], told["Env"]);
        // A docker archive has no manifest; skopeo makes one up.
        if path == "layout" {
            assert_eq!(image["digest"], told["Digest"]);
            assert_eq!(json!(strings(&image["layers"], "digest")), told["Layers"]);
            assert_eq!(image["tags"], json!(["image"]));
        } else {
            assert_eq!(json!(strings(&image["layers"], "diff_id")), told["Layers"]);
            assert_eq!(image["tags"], json!(["docker.io/library/name:tag"]));
        }

        let told = parse(&skopeo(&["inspect", "--config", name]));
        assert_same_config(&image["config"], &told["config"]);
        assert_eq!(image["author"], told["author"]);
        let diff_ids = strings(&image["layers"], "diff_id");
        assert_eq!(json!(diff_ids), told["rootfs"]["diff_ids"]);
        let rows = image["history"].as_array().unwrap();
        let told = told["history"].as_array().unwrap();
        assert_eq!(rows.len(), told.len());
        for (row, told) in rows.iter().zip(told) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            assert_eq!(row["created"], told["created"]);
            assert_eq!(text(&row["created_by"]), text(&told["created_by"]));
            assert_eq!(text(&row["comment"]), text(&told["comment"]));
            let is_empty = told["empty_layer"].as_bool().unwrap_or(false);
            assert_eq!(row["empty_layer"], is_empty);
        }
    }
}

/// Files that docker adds to a container's root file system before it starts: they are in the
/// export but not in the image.
const ADDED_BY_DOCKER: &[&str] = &[
    "/.dockerenv",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
];

#[test]
fn the_tree_is_what_docker_exports() {
    if !have(&["dockerd", "docker", "containerd", "tar"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    docker_images(&docker, folder.path());
    let exported = |image: &str| {
        let file = folder.path().join("export.tar");
        let create = ["create", "--network=none", image, "/bin/sh"];
        let container = docker.run(&create);
        let export = ["export", container.trim(), "-o", file.to_str().unwrap()];
        docker.run(&export);
        let mut tree = of_tar(fs::File::open(file).unwrap());
        for path in ADDED_BY_DOCKER {
            assert!(tree.remove(*path).is_some(), "docker adds {path}");
        }
        tree
    };

    let archive = folder.path().join("saved.tar");
    let save = ["save", "-o", archive.to_str().unwrap()];
    let names = ["name:tag", "name:other", "lowest"];
    docker.run(&[&save[..], &names].concat());
    let piped = docker
        .command()
        .arg("save")
        .args(names)
        .stdout(Stdio::piped())
        .spawn();
    let mut piped = piped.unwrap();
    let stream = piped.stdout.take().unwrap();
    let ways = [
        images(&mut inspect(&archive)),
        images(inspect("-").stdin(stream)),
    ];
    assert!(piped.wait().unwrap().success());
    for images in ways {
        assert_eq!(images.len(), 2);
        let of = |tag: &str| {
            let has = |image: &&Value| image["tags"].as_array().unwrap().contains(&json!(tag));
            images.iter().find(has).unwrap()
        };
        let image = of("name:tag");
        assert_eq!(image, of("name:other"));
        assert_eq!(image["layers"].as_array().unwrap().len(), 1 + LAYERS.len());
        assert_same(&of_image(image), &exported("name:tag"), "docker export");
        let lowest = of_image(of("lowest:latest"));
        assert_same(&lowest, &exported("lowest"), "docker export");
        let imported = of_folder(&folder.path().join("root"));
        assert_same(&lowest, &imported, "what docker imported");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn docker_tells_the_same_figures_and_configuration() {
    if !have(&["dockerd", "docker", "containerd", "tar"]) || !is_root() {
        return;
    }
    let docker = Docker::start();
    let folder = temporary();
    docker_images(&docker, folder.path());
    let create = [
        "create",
        "--network=none",
        "--name=configured",
        "--stop-signal=SIGQUIT",
        "name:tag",
        "sh",
    ];
    docker.run(&create);
    let commit = [
        "commit",
        "--author=Ada <ada@example.org>",
        "--message=everything",
        r#"--change=ENTRYPOINT ["/bin/sh", "-c"]"#,
        r#"--change=CMD ["echo two words"]"#,
        r#"--change=ENV TEXT="two words = one""#,
        "--change=USER 1000:100",
        "--change=WORKDIR /srv",
        r#"--change=LABEL org.example.name="an image" empty="#,
        "--change=EXPOSE 80 53/udp",
        r#"--change=VOLUME ["/data", "/cache"]"#,
        "--change=HEALTHCHECK --interval=5s --retries=2 CMD true",
        "configured",
        "configured:tag",
    ];
    docker.run(&commit);
    let archive = folder.path().join("saved.tar");
    let save = ["save", "-o", archive.to_str().unwrap(), "configured:tag"];
    docker.run(&save);
    let image = image(&archive);

    let told = &parse(&docker.run(&["inspect", "configured:tag"]))[0];
    assert_eq!(image["id"], told["Id"]);
    assert_eq!(image["tags"], told["RepoTags"]);
    assert_eq!(image["created"], told["Created"]);
    assert_eq!(image["author"], told["Author"]);
    assert_eq!(image["platform"]["architecture"], told["Architecture"]);
    assert_eq!(image["platform"]["os"], told["Os"]);
    assert_same_config(&image["config"], &told["Config"]);
    let diff_ids = strings(&image["layers"], "diff_id");
    assert_eq!(json!(diff_ids), told["RootFS"]["Layers"]);
    let sizes = image["layers"].as_array().unwrap().iter();
    let size: u64 = sizes.map(|layer| layer["bytes"].as_u64().unwrap()).sum();
    assert_eq!(size, told["Size"]);

    // Newest first, one JSON object per line.
    let history = [
        "history",
        "--no-trunc",
        "--human=false",
        "--format={{json .}}",
    ];
    let history = docker.run(&[&history[..], &["configured:tag"]].concat());
    let rows = image["history"].as_array().unwrap();
    assert_eq!(history.lines().count(), rows.len());
    for (told, row) in history.lines().zip(rows.iter().rev()) {
        let told = parse(told);
        assert_eq!(row["created_by"], told["CreatedBy"]);
        assert_eq!(row["comment"].as_str().unwrap_or_default(), told["Comment"]);
        assert_eq!(row["bytes"].to_string(), told["Size"].as_str().unwrap());
    }
}

#[test]
fn the_tree_is_what_buildah_mounts_and_umoci_unpacks() {
    if !have(&["buildah", "umoci", "tar"]) || !is_root() {
        return;
    }
    // buildah refuses long paths for its state directory.
    let state = tempfile::tempdir_in("/tmp").unwrap();
    let folder = temporary();
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command
            .current_dir(folder.path())
            .env("TMPDIR", state.path());
        for name in ["root", "runroot"] {
            command
                .arg(format!("--{name}"))
                .arg(state.path().join(name));
        }
        command.args(["--storage-driver", "vfs"]).args(arguments);
        succeed(&mut command).trim().to_owned()
    };
    let base = base(folder.path());
    let mut container = buildah(&["from", "scratch"]);
    extract(&base, Path::new(&buildah(&["mount", &container])));
    for script in ["", LAYERS[0], LAYERS[1], LAYERS[2]] {
        change(Path::new(&buildah(&["mount", &container])), script);
        let id = buildah(&["commit", "-q", &container, "localhost/name:tag"]);
        buildah(&["rm", &container]);
        container = buildah(&["from", "--pull-never", &id]);
    }
    let mounted = of_folder(Path::new(&buildah(&["mount", &container])));
    buildah(&["push", "-q", "localhost/name:tag", "oci:layout:tag"]);
    let archive = "docker-archive:archive:localhost/name:tag";
    buildah(&["push", "-q", "localhost/name:tag", archive]);
    buildah(&["umount", "--all"]);
    let unpack = ["unpack", "--image", "layout:tag", "unpacked"];
    run("umoci", folder.path(), &unpack);
    let unpacked = of_folder(&folder.path().join("unpacked/rootfs"));

    for (path, kind) in [("layout", "oci-layout"), ("archive", "docker-archive")] {
        let document = document(&mut inspect(folder.path().join(path)));
        assert_eq!(document["kind"], kind);
        let shown = of_image(&document["images"][0]);
        assert_same(&shown, &mounted, "buildah mount");
        assert_same(&shown, &unpacked, "umoci unpack");
    }
}

/// Writes a blob into a layout; returns its descriptor, without the platform.
fn add_blob(layout: &Path, media_type: &str, content: &Value) -> Value {
    use sha2::{Digest, Sha256};
    let text = content.to_string();
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(layout.join("blobs/sha256").join(&hex), &text).unwrap();
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{hex}"),
        "size": text.len(),
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn the_images_of_an_index_are_shown_in_turn_or_by_platform() {
    if !have(&["umoci", "skopeo"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let layout = folder.path().join("layout");
    let umoci = |arguments: &[&str]| run("umoci", folder.path(), arguments);
    umoci(&["init", "--layout", "layout"]);
    for architecture in ["amd64", "arm64"] {
        let image = format!("--image=layout:{architecture}");
        let file = folder.path().join(architecture);
        fs::write(&file, architecture).unwrap();
        umoci(&["new", &image]);
        umoci(&["insert", &image, architecture, &format!("/{architecture}")]);
        umoci(&[
            "config",
            &image,
            "--os=linux",
            "--architecture",
            architecture,
        ]);
    }

    let path = layout.join("index.json");
    let mut flat = parse(&fs::read_to_string(&path).unwrap());
    for descriptor in flat["manifests"].as_array_mut().unwrap() {
        let architecture = descriptor["annotations"]["org.opencontainers.image.ref.name"].take();
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor.as_object_mut().unwrap().remove("annotations");
    }
    let index = "application/vnd.oci.image.index.v1+json";
    let mut nested = add_blob(&layout, index, &flat);
    nested["annotations"] = json!({"org.opencontainers.image.ref.name": "both"});
    let nested = json!({"schemaVersion": 2, "manifests": [nested]});

    for (name, index) in [("flat", &flat), ("nested", &nested)] {
        fs::write(&path, index.to_string()).unwrap();
        let mut targets = vec![layout.clone()];
        if name == "nested" {
            let copy = ["--insecure-policy", "copy", "-q", "--all"];
            let names = ["oci:layout:both", "oci-archive:copied:both"];
            run("skopeo", folder.path(), &[&copy[..], &names].concat());
            targets.push(folder.path().join("copied"));
        }
        for target in targets {
            let architectures = |images: &[Value]| -> Vec<String> {
                let told = images.iter().map(|image| {
                    let told = image["platform"]["architecture"].as_str().unwrap();
                    let tree = of_image(image);
                    assert_eq!(tree.keys().collect::<Vec<_>>(), [&format!("/{told}")]);
                    told.to_owned()
                });
                told.collect()
            };
            let both = images(&mut inspect(&target));
            assert_eq!(architectures(&both), ["amd64", "arm64"], "{name}");
            let of = |platform| {
                let mut command = inspect(&target);
                command.args(["--image-platform", platform]);
                command
            };
            let one = images(&mut of("linux/arm64"));
            assert_eq!(architectures(&one), ["arm64"], "{name}");
            let message = fail_with(2, of("linux/riscv64").arg("--json"));
            for platform in ["linux/riscv64", "linux/amd64", "linux/arm64"] {
                assert!(message.contains(platform), "{message}");
            }
        }
    }
}

#[test]
fn a_root_is_shown_alike_as_a_tar_and_as_a_folder() {
    if !have(&["tar"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let tar = base(folder.path());
    let root = folder.path().join("root");
    let expected = of_folder(&root);
    for (path, kind) in [(&tar, "rootfs-tar"), (&root, "rootfs")] {
        let document = document(&mut inspect(path));
        assert_eq!(document["kind"], kind);
        assert_same(&of_image(&document["images"][0]), &expected, kind);
    }
}

/// The paths of the objects that `slimpack tree --json` lists.
fn objects(tree: &mut Command) -> Vec<String> {
    let tree = parse(&succeed(tree.arg("--json")));
    assert_eq!(tree["missing"], json!([]));
    let objects = strings(&tree["objects"], "opened_as");
    assert!(!objects.is_empty());
    objects
}

#[test]
fn a_program_has_the_same_closure_in_its_image_as_on_the_host() {
    if !have(&["skopeo"]) {
        return;
    }
    let listing = fs::canonicalize(find("ls").unwrap()).unwrap();
    let programs = [
        (listing.as_path(), listing.as_path()),
        (hello(), Path::new("/usr/local/bin/hello")),
    ];
    for (program, inside) in programs {
        let folder = temporary();
        let packed = folder.path().join("packed");
        succeed(slimpack().arg(program).arg("-o").arg(&packed));
        let copy = ["--insecure-policy", "copy", "-q"];
        let names = ["oci-archive:packed", "oci-archive:copied:image"];
        run("skopeo", folder.path(), &[&copy[..], &names].concat());
        let copied = folder.path().join("copied");
        assert_eq!(image(&packed)["layers"][0]["compression"], "none");
        assert_eq!(image(&copied)["layers"][0]["compression"], "gzip");

        let tree = || {
            let mut command = slimpack();
            command.arg("tree");
            command
        };
        let here = objects(tree().arg(program));
        for image in [packed, copied] {
            assert_eq!(objects(tree().arg(&image)), here);
            let from = || {
                let mut command = tree();
                command.arg("--from").arg(&image).arg(inside);
                command
            };
            assert_eq!(objects(&mut from()), here);
            let checks = ["--versions", "--symbols", "-q"];
            assert_eq!(succeed(tree().arg(&image).args(checks)), "");
            assert_eq!(succeed(from().args(checks)), "");
        }
    }
}
