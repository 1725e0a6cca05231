//! Documents attached to images in registries: a real one that does not know referrers, and one that
//! does.

use crate::common;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::{have, hello, slimpack, succeed, temporary};
use serde_json::{Value, json};

use crate::image_writer::digest;
use crate::registry_server::Registry;

const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// Pushes with these words, and with a bill of materials in each format.
fn push(home: &Path, name: &str, words: &[&str]) -> String {
    let mut command = slimpack();
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home).current_dir(home);
    command.arg(hello()).args(["--push", name]).args(words);
    let output = common::output(command.args(["--sbom", "a.spdx.json", "--sbom", "a.cdx.json"]));
    assert!(output.status.success(), "{}", common::text(&output));
    String::from_utf8(output.stderr).unwrap()
}

/// A document of the registry, by skopeo.
fn raw(name: &str) -> Value {
    let mut skopeo = Command::new("skopeo");
    skopeo.args([
        "inspect",
        "--tls-verify=false",
        "--raw",
        &format!("docker://{name}"),
    ]);
    serde_json::from_str(&succeed(&mut skopeo)).unwrap()
}

#[test]
fn a_registry_without_referrers_lists_documents_under_the_tag_of_the_digest() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start(false);
    let folder = temporary();
    let home = folder.path();
    let name = registry.name("me/app:1.0");
    push(home, &name, &[]);
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"]);
    let image = succeed(skopeo.arg(format!("docker://{name}")));
    let image = image.trim();
    let repository = registry.name("me/app");
    let tag = format!("{repository}:{}", image.replace(':', "-"));
    let index = raw(&tag);
    let listed = index["manifests"].as_array().unwrap();
    let types: Vec<&Value> = listed
        .iter()
        .map(|listed| &listed["artifactType"])
        .collect();
    assert_eq!(types, [SPDX, CYCLONEDX]);
    for (listed, file) in listed.iter().zip(["a.spdx.json", "a.cdx.json"]) {
        let manifest = raw(&format!(
            "{repository}@{}",
            listed["digest"].as_str().unwrap()
        ));
        assert_eq!(manifest["subject"]["digest"], image);
        assert_eq!(manifest["artifactType"], listed["artifactType"]);
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.oci.empty.v1+json"
        );
        // skopeo copies it as it copies an image: the blob is the file that was written.
        let copied = home.join("copied");
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "-q", "--src-tls-verify=false"]);
        let from = format!(
            "docker://{repository}@{}",
            listed["digest"].as_str().unwrap()
        );
        succeed(skopeo.args([&from, &format!("dir:{}", copied.display())]));
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        let blob = std::fs::read(copied.join(&layer["sha256:".len()..])).unwrap();
        assert_eq!(blob, std::fs::read(home.join(file)).unwrap());
        let document: Value = serde_json::from_slice(&blob).unwrap();
        let named = [
            &document["packages"][0]["versionInfo"],
            &document["metadata"]["component"]["version"],
        ];
        assert!(named.contains(&&json!(image)), "{named:?}");
        std::fs::remove_dir_all(copied).unwrap();
    }
    // A second push lists nothing twice, and another image has a list of its own.
    push(home, &name, &[]);
    assert_eq!(raw(&tag), index);
    push(home, &name, &["--strip", "--label", "a=b"]);
    assert_eq!(raw(&tag), index);
}

/// The first line of a request, and its body.
type Put = (String, Vec<u8>);

/// Requests to a registry that lists the referrers of a manifest with a subject if `knows_referrers`.
fn double(knows_referrers: bool) -> (u16, Arc<Mutex<Vec<Put>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let put = Arc::new(Mutex::new(Vec::new()));
    let seen = put.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), Vec::new());
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&request).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().ok())?
            });
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut body);
            let line = head.lines().next().unwrap_or_default().to_owned();
            let has_subject = body.windows(9).any(|bytes| bytes == b"\"subject\"");
            let subject = match has_subject && knows_referrers {
                true => "OCI-Subject: sha256:0\r\n",
                false => "",
            };
            let (status, headers) = match line.split(' ').next() {
                Some("HEAD" | "GET") => ("404 Not Found", String::new()),
                Some("POST") => ("202 Accepted", "Location: /upload?a=b\r\n".to_owned()),
                _ => ("201 Created", subject.to_owned()),
            };
            if line.starts_with("PUT") && line.contains("/manifests/") {
                seen.lock().unwrap().push((line, body));
            }
            let answer = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, put)
}

#[test]
fn a_registry_with_referrers_gets_no_further_tag() {
    for knows_referrers in [true, false] {
        let (port, put) = double(knows_referrers);
        let folder = temporary();
        let name = format!("localhost:{port}/app:1");
        push(folder.path(), &name, &["-o", "app.tar"]);
        let put = put.lock().unwrap();
        let names = put.iter().map(|(line, _)| {
            let path = line.split(' ').nth(1).unwrap();
            path.rsplit('/').next().unwrap().to_owned()
        });
        let names: Vec<String> = names.collect();
        let documents: Vec<Value> = put
            .iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect();
        assert_eq!(names[0], "1");
        let image = digest(&put[0].1);
        let attached = documents
            .iter()
            .filter(|document| !document["subject"].is_null());
        let attached: Vec<_> = attached.collect();
        assert_eq!(attached.len(), 2);
        for (document, kind) in attached.iter().zip([SPDX, CYCLONEDX]) {
            assert_eq!(document["subject"]["digest"], image);
            assert_eq!(document["subject"]["size"], put[0].1.len());
            assert_eq!(document["artifactType"], kind);
        }
        let tagged = names
            .iter()
            .filter(|name| **name == image.replace(':', "-"));
        assert_eq!(tagged.count(), if knows_referrers { 0 } else { 2 });
        // Manifests with a subject are sent by their digests.
        for (name, (_, body)) in names.iter().zip(put.iter()).skip(1) {
            assert!(
                *name == digest(body) || name.starts_with("sha256-"),
                "{name}"
            );
        }
    }
}
