//! What registries do besides answering: redirect, send without end, stall.

use crate::common;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{fail_with, hello, slimpack, temporary};
use serde_json::json;

use crate::registry_double::Does::{Pull, PullAs, PushAs};
use crate::registry_double::{home, run, say, serve};

#[test]
fn nobody_behind_a_redirect_is_told_who_asks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let thief = serve(move |_, stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        say(stream, "401 Unauthorized", "", b"");
    });
    let challenge =
        format!("WWW-Authenticate: Bearer realm=\"http://localhost:{thief}/token\"\r\n");
    let elsewhere = serve(move |_, stream| say(stream, "401 Unauthorized", &challenge, b""));
    let location = format!("Location: http://localhost:{elsewhere}/\r\n");
    let port = serve(move |_, stream| say(stream, "307 Temporary Redirect", &location, b""));
    let home = home(port, true);
    let text = fail_with(2, &mut run(home.path(), PullAs, port));
    assert!(text.contains("rejects the stored credentials"), "{text}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn uploads_keep_to_the_scheme_of_the_registry() {
    let uploaded = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&uploaded);
    let port = serve(move |line, stream| {
        let location = "Location: /v2/me/app/blobs/uploads/1\r\n";
        match line.split(' ').next() {
            Some("HEAD") => say(stream, "404 Not Found", "", b""),
            Some("POST") => {
                // As behind a proxy: the host is right, the scheme is wrong.
                let host = stream.local_addr().unwrap();
                let location =
                    location.replace("/v2", &format!("https://localhost:{}/v2", host.port()));
                say(stream, "202 Accepted", &location, b"");
            }
            _ => {
                counted.fetch_add(1, Ordering::Relaxed);
                say(stream, "400 Bad Request", "", b"");
            }
        }
    });
    let home = home(port, true);
    let text = fail_with(2, &mut run(home.path(), PushAs, port));
    assert!(text.contains("400 Bad Request"), "{text}");
    assert!(uploaded.load(Ordering::Relaxed) > 0, "{text}");
}

#[test]
fn an_index_whose_annotations_are_none_is_pulled() {
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": crate::image_writer::digest(config.as_bytes()), "size": config.len()},
        "layers": [],
    });
    let manifest = manifest.to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                       "digest": crate::image_writer::digest(manifest.as_bytes()), "size": manifest.len(),
                       "annotations": [], "platform": {"architecture": "amd64", "os": "linux"}}],
    });
    let index = index.to_string();
    let port = serve(move |line, stream| {
        let (kind, body) = match line {
            line if line.contains("/blobs/") => ("octet-stream", &config),
            line if line.contains("/manifests/sha256") => {
                ("vnd.oci.image.manifest.v1+json", &manifest)
            }
            _ => ("vnd.oci.image.index.v1+json", &index),
        };
        let head = format!("Content-Type: application/{kind}\r\n");
        say(stream, "200 OK", &head, body.as_bytes());
    });
    let home = temporary();
    let said = common::succeed(&mut run(home.path(), Pull, port));
    assert!(said.contains("linux/amd64"), "{said}");
}

#[test]
fn what_does_not_end_or_does_not_fit_is_not_waited_for() {
    let home = temporary();
    let endless = |status: &'static str| {
        serve(move |_, stream| {
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        })
    };
    let text = fail_with(2, &mut run(home.path(), Pull, endless("200 OK")));
    assert!(text.contains("more than 4194304 bytes"), "{text}");
    // The body of an error is bounded, too.
    let text = fail_with(2, &mut run(home.path(), Pull, endless("400 Bad Request")));
    assert!(
        text.contains("rejects the request (400 Bad Request)"),
        "{text}"
    );
    // A petabyte.
    let digest = format!("sha256:{}", "0".repeat(64));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest,
                   "size": 1_u64 << 50},
        "layers": [],
    });
    let port = serve(move |line, stream| {
        assert!(!line.contains("/blobs/"), "{line}");
        say(stream, "200 OK", "", manifest.to_string().as_bytes());
    });
    let text = fail_with(2, &mut run(home.path(), Pull, port));
    assert!(
        text.contains("its blobs have 1125899906842624 bytes"),
        "{text}"
    );
}

/// A registry that accepts an upload and then goes silent.
fn stalled() -> u16 {
    serve(|line, stream| match line.split(' ').next() {
        Some("HEAD") => say(stream, "404 Not Found", "", b""),
        Some("POST") => say(stream, "202 Accepted", "Location: /upload/1\r\n", b""),
        Some("GET") => say(stream, "200 OK", "", b""),
        // The connection stays open, so a client without a timeout would wait for ever.
        _ => std::mem::forget(stream.try_clone().unwrap()),
    })
}

#[test]
fn a_signal_ends_a_push_that_stands_still_and_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        let (home, scratch) = (temporary(), temporary());
        let port = stalled();
        let out = home.path().join("x.tar");
        let mut command = run(home.path(), PushAs, port);
        command.arg("-o").arg(&out).env("TMPDIR", scratch.path());
        let mut child = command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The layout to push exists, so the push has begun.
        while fs::read_dir(scratch.path()).unwrap().count() == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        let id = child.id().to_string();
        common::succeed(Command::new("kill").args(["-s", signal, &id]));
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(number), "{status}");
        assert!(out.exists(), "what was written before stays");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_registry_has_as_much_time_as_its_limit_says() {
    let home = temporary();
    let mut command = run(home.path(), PushAs, stalled());
    let text = fail_with(2, command.args(["--limit", "registry-time=1s"]));
    assert!(
        text.contains("did not finish within 1 s") && text.contains("--limit registry-time="),
        "{text}"
    );
    let text = fail_with(
        2,
        slimpack()
            .arg(hello())
            .args(["--limit", "registry-time=soon"]),
    );
    assert!(text.contains("is not a time"), "{text}");
}
