//! Lint targets: programs, directories, every kind of image, several at once; and targets that it
//! refuses.

use crate::{common, image_writer, root_images, roots};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{fail_with, have, hello, output, slimpack, succeed, temporary};
use image_writer::{Layer, Packing, archive, blob_path, digest, gnu, gzip, write_folder};
use root_images::{docker_archive, index_of, layout, members};
use roots::{MUSL_GCC, Report, Root, assert_has, lint};
use serde_json::{Value, json};

const APP: &str = "/usr/bin/app";

/// A root whose program lacks a library.
fn faulty() -> Root {
    let root = Root::without_a_library();
    root.link("opt/link", "nowhere");
    root
}

fn start_app(config: &mut Value) {
    config["config"]["Entrypoint"] = json!([APP]);
}

/// The findings, without their targets.
fn essence(report: &Report) -> Vec<(Value, Value, Value, Value)> {
    let findings = report.findings().into_iter();
    findings
        .map(|found| {
            let field = |name: &str| found[name].clone();
            (
                field("rule"),
                field("severity"),
                field("path"),
                field("subject"),
            )
        })
        .collect()
}

#[test]
fn images_of_every_kind_and_the_root_itself_have_the_same_findings() {
    let root = faulty();
    let expected = root.lint();
    assert_eq!(expected.json["targets"][0]["kind"], "rootfs");
    assert_has(expected.only("SP001"), &json!({"path": APP, "layer": null}));
    assert!(expected.about("SP304", "nowhere")["layer"].is_null());

    let tar = gnu(&members(&root.path));
    let plain = [Layer::new(&tar, Packing::None)];
    let packed = [Layer::new(&tar, Packing::Gzip)];
    let with_zstd = [Layer::new(&tar, Packing::Zstd)];
    let write_file = |name: &str, bytes: Vec<u8>| {
        let path = root.beside(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let folder = root.beside("layout");
    write_folder(&layout(&packed, start_app), &folder);
    let docker = archive(&docker_archive("test:latest", &plain, start_app));
    let diff_id = plain[0].diff_id.clone();
    for (kind, path, layer) in [
        ("rootfs-tar", write_file("root.tar", tar.clone()), None),
        ("rootfs-tar", write_file("root.tgz", gzip(&tar)), None),
        ("oci-layout", folder, Some(digest(&packed[0].blob))),
        (
            "oci-archive",
            write_file("plain.tar", archive(&layout(&plain, start_app))),
            Some(diff_id.clone()),
        ),
        (
            "oci-archive",
            write_file("zstd.tar", archive(&layout(&with_zstd, start_app))),
            Some(digest(&with_zstd[0].blob)),
        ),
        (
            "docker-archive",
            write_file("docker.tar", docker.clone()),
            Some(diff_id.clone()),
        ),
        (
            "docker-archive",
            write_file("docker.tgz", gzip(&docker)),
            Some(diff_id),
        ),
    ] {
        let report = lint([&path]);
        assert_eq!(report.status, 1);
        let target = &report.json["targets"][0];
        let name = path.display().to_string();
        let checked = expected.json["targets"][0]["checked"].clone();
        assert_has(
            target,
            &json!({"target": name, "kind": kind, "checked": checked}),
        );
        assert_eq!(essence(&report), essence(&expected), "{name}");
        assert_has(report.only("SP001"), &json!({"layer": layer}));
    }
}

#[test]
fn an_image_is_read_from_standard_input() {
    let root = faulty();
    let layers = [Layer::of(&members(&root.path))];
    let path = root.beside("image.tar");
    fs::write(&path, archive(&layout(&layers, start_app))).unwrap();
    let mut from_file = slimpack();
    from_file.stdin(fs::File::open(&path).unwrap());
    let mut cat = Command::new("cat")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut from_pipe = slimpack();
    from_pipe.stdin(cat.stdout.take().unwrap());
    for mut command in [from_file, from_pipe] {
        let output = output(command.args(["lint", "--format", "json", "-"]));
        assert_eq!(output.status.code(), Some(1));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_has(
            &json["targets"][0],
            &json!({"target": "-", "kind": "oci-archive"}),
        );
        assert_eq!(json["summary"]["error"], 1);
    }
    cat.wait().unwrap();
}

#[test]
fn a_program_is_linted_with_the_libraries_of_this_machine() {
    let report = lint([hello()]);
    report.has_no_error();
    let name = hello().display().to_string();
    assert_has(
        &report.json["targets"][0],
        &json!({"target": name, "kind": "elf", "checked": {"elf": 1, "scripts": 0}}),
    );
    let folder = temporary();
    let library = "int gone(void) { return 1; }";
    common::compile(folder.path(), "libgone.so", library, &["-shared", "-fPIC"]);
    let source = "int gone(void); int main(void) { return gone(); }";
    let search = format!("-L{}", folder.path().display());
    let program = common::compile(folder.path(), "app", source, &[&search, "-lgone"]);
    let report = lint([&program]);
    assert_eq!(report.status, 1);
    let path = program.display().to_string();
    assert_has(
        report.only("SP001"),
        &json!({"subject": "libgone.so", "path": path}),
    );
    // The loader finds the library with these options.
    let at = folder.path().display().to_string();
    lint(["-L", &at, &path]).has_no_error();
    lint(["-e", &format!("LD_LIBRARY_PATH={at}"), &path]).has_no_error();
}

#[test]
fn a_program_of_a_sysroot_is_linted_with_the_libraries_below_it() {
    let root = faulty();
    let report = lint([
        "--root".as_ref(),
        root.path.as_os_str(),
        root.at("usr/bin/app").as_os_str(),
    ]);
    let found = report.only("SP001");
    assert_has(found, &json!({"path": APP, "subject": "libgone.so"}));
    let tried = common::strings(&found["evidence"]["tried"], "path");
    assert!(tried.contains(&"/lib/libgone.so".to_owned()), "{tried:?}");
}

#[test]
fn a_folder_that_is_no_root_is_its_programs_on_this_machine() {
    let folder = temporary();
    fs::create_dir(folder.path().join("inner")).unwrap();
    fs::copy(hello(), folder.path().join("inner/hello")).unwrap();
    fs::write(folder.path().join("README"), "text").unwrap();
    let report = lint([folder.path()]);
    report.has_no_error();
    assert_has(
        &report.json["targets"][0],
        &json!({"kind": "folder", "checked": {"elf": 1, "scripts": 0}}),
    );
    // Paths are those on this machine.
    let path = folder.path().join("inner/hello").display().to_string();
    assert!(
        report
            .findings()
            .iter()
            .all(|found| found["path"] == path.as_str())
    );
}

#[test]
fn a_root_with_nothing_but_a_loader_and_programs_is_a_root() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    root.library("lib/libdep.so", &[], &[]);
    root.program("app", &["dep"], &["-Llib", "-ldep"]);
    fs::remove_dir_all(root.at("usr")).unwrap();
    root.starts("/app");
    let report = root.lint();
    assert_eq!(report.json["targets"][0]["kind"], "rootfs", "{report:?}");
    report.has_no_error();
}

#[test]
fn several_targets_are_reported_in_the_order_in_which_they_are_named() {
    let root = faulty();
    let good = hello();
    let report = lint([good, &root.path, good]);
    assert_eq!(report.status, 1);
    let names = common::strings(&report.json["targets"], "target");
    let expected = [good, root.path.as_path(), good];
    assert_eq!(names, expected.map(|path| path.display().to_string()));
    assert_eq!(report.json["summary"]["error"], 1);
}

#[test]
fn what_is_no_target_is_refused_and_the_others_are_reported() {
    let folder = temporary();
    let write = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    };
    let source = write("object.c", b"int f(void) { return 1; }");
    let object = folder.path().join("object.o");
    succeed(
        Command::new(common::c_compiler())
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object),
    );
    let elf = fs::read(hello()).unwrap();
    for (path, says) in [
        (folder.path().join("absent"), "No such file or directory"),
        (
            write("text", b"only a text, and no image"),
            "it is text; images",
        ),
        (write("script", b"#!/bin/sh\n"), "a script"),
        (write("empty", b""), "an empty file"),
        (write("packed", &gzip(b"no tar at all")), "not a tar"),
        (write("magic", b"\x7fELF"), ""),
        (write("short", &elf[..100]), ""),
        (write("cut", &elf[..2000]), ""),
        (object, "object file"),
        ("/dev/null".into(), ""),
    ] {
        let report = lint([path.as_path(), hello()]);
        assert_eq!(report.status, 2, "{}: {}", path.display(), report.stderr);
        let said = &report.stderr;
        assert!(said.starts_with("error: "), "{said}");
        assert!(
            said.contains(path.to_str().unwrap()) && said.contains(says),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        let names = common::strings(&report.json["targets"], "target");
        assert_eq!(names, [hello().display().to_string()]);
    }
    let said = fail_with(2, slimpack().arg("lint"));
    assert!(said.contains("<TARGET>"), "{said}");
}

/// An archive of an index with a correct image for amd64, and one for arm64 that starts a program
/// for amd64.
fn two_platforms() -> (Root, PathBuf) {
    let root = Root::empty();
    root.program("usr/bin/app", &[], &["-static"]);
    let layer = Layer::of(&members(&root.path));
    let path = root.beside("two.tar");
    fs::write(
        &path,
        archive(&index_of(&[("amd64", &layer), ("arm64", &layer)])),
    )
    .unwrap();
    (root, path)
}

#[test]
fn each_platform_of_an_index_is_a_target() {
    let (_root, path) = two_platforms();
    let report = lint([&path]);
    assert_eq!(report.status, 1);
    let name = path.display();
    assert_eq!(
        common::strings(&report.json["targets"], "target"),
        [
            format!("{name} (linux/amd64)"),
            format!("{name} (linux/arm64)")
        ]
    );
    assert_has(
        report.only("SP302"),
        &json!({"path": APP, "evidence": {"is": "linux/amd64", "says": "linux/arm64"}}),
    );
    let of_arm = report.json["targets"][1]["findings"].as_array().unwrap();
    assert!(of_arm.iter().any(|found| found["rule"] == "SP302"));

    let path = path.to_str().unwrap();
    let report = lint(["--image-platform", "linux/amd64", path]);
    report.has_no_error();
    assert_eq!(report.json["targets"].as_array().unwrap().len(), 1);
    let report = lint(["--image-platform", "linux/s390x", path]);
    assert_eq!(report.status, 2);
    let said = &report.stderr;
    assert!(said.contains("only for linux/amd64, linux/arm64"), "{said}");
}

#[test]
fn an_image_without_one_of_its_parts_is_refused() {
    let layer = Layer::of(&members(&Root::empty().path));
    let blob = blob_path(&digest(&layer.blob));
    let folder = temporary();
    let path = folder.path().join("image.tar");
    let mut without_layer = layout(std::slice::from_ref(&layer), start_app);
    without_layer.remove(&blob).unwrap();
    let is_config = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"diff_ids");
    let mut without_config = layout(std::slice::from_ref(&layer), start_app);
    without_config.retain(|_, bytes| !is_config(bytes));
    let mut from_docker = docker_archive("a:b", &[layer], start_app);
    from_docker.remove("0/layer.tar").unwrap();
    for (files, says) in [
        (&without_layer, blob.as_str()),
        (&without_config, "blobs/sha256/"),
        (&from_docker, "0/layer.tar"),
    ] {
        fs::write(&path, archive(files)).unwrap();
        let report = lint([path.as_path(), hello()]);
        assert_eq!(report.status, 2);
        let said = &report.stderr;
        assert!(
            said.contains(says) && said.contains("is missing from it"),
            "{said}"
        );
        assert_eq!(report.json["targets"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_document_that_is_not_what_the_index_says_is_a_finding() {
    let layer = Layer::of(&members(&Root::empty().path));
    let mut files = layout(&[layer], start_app);
    let is_manifest = |bytes: &[u8]| bytes.windows(9).any(|part| part == b"\"config\":");
    let manifest = files
        .values_mut()
        .find(|bytes| is_manifest(bytes) && bytes.starts_with(b"{\"config\":{\"digest\""));
    manifest.unwrap().push(b'\n');
    let folder = temporary();
    let path = folder.path().join("image.tar");
    fs::write(&path, archive(&files)).unwrap();
    let report = lint([path]);
    assert_eq!(report.status, 1);
    let findings = report.json["targets"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["rule"] == "SP301"));
    let digest = findings
        .iter()
        .find(|finding| finding["subject"] == "digest");
    let message = digest.unwrap()["message"].as_str().unwrap();
    assert!(message.contains("the digest of sha256:"), "{message}");
}

/// A directory that should have programs and has none is a mistake of whoever calls, as for other
/// linters without files.
#[test]
fn a_directory_without_programs_is_not_passed() {
    let folder = temporary();
    let mut lint = slimpack();
    let said = fail_with(2, lint.arg("lint").arg(folder.path()));
    assert!(said.contains("no programs or libraries"), "{said}");
    fs::copy(hello(), folder.path().join("hello")).unwrap();
    succeed(slimpack().arg("lint").arg(folder.path()));
}
