//! What registries answer that do not give or take an image: one case for each status and each code.
//!
//! The bodies are those of docker-registry (seen on this machine), and of Docker Hub, GHCR, ECR, Artifact
//! Registry, Quay and Harbor (from their source, their documentation, or reports of their users).

use crate::common;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{fail_with, hello, slimpack, temporary};
use serde_json::json;

/// Asks a failing registry gets: one, and four more.
const ATTEMPTS: usize = 5;

/// One answer, and what is to be said of it.
struct Case {
    name: &'static str,
    does: Does,
    status: &'static str,
    headers: &'static str,
    body: &'static str,
    asked: usize,
    says: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Pulls, with nobody logged in.
    Pull,
    /// Pulls, with somebody logged in.
    PullAs,
    /// Pushes, with somebody logged in.
    PushAs,
}
use Does::{Pull, PullAs, PushAs};

const CASES: &[Case] = &[
    Case {
        name: "docker-registry 401",
        does: Pull,
        status: "401 Unauthorized",
        headers: "WWW-Authenticate: Basic realm=\"test\"\r\n",
        body: r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Class":"","Name":"me/app","Action":"pull"}]}]}"#,
        asked: 1,
        says: &[
            "requires credentials (unauthorized: authentication required)",
            "docker login localhost",
        ],
    },
    Case {
        name: "ECR 401, which is no JSON",
        does: Pull,
        status: "401 Unauthorized",
        headers: "WWW-Authenticate: Basic realm=\"https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"\r\n",
        body: "Not Authorized\n",
        asked: 1,
        says: &["requires credentials (401 Unauthorized: Not Authorized)"],
    },
    Case {
        name: "GHCR 401, with credentials",
        does: PullAs,
        status: "401 Unauthorized",
        headers: "",
        body: r#"{"errors":[{"code":"UNAUTHORIZED","message":"unauthenticated: User cannot be authenticated with the token provided."}]}"#,
        asked: 1,
        says: &[
            "rejects the stored credentials",
            "User cannot be authenticated",
            "docker login localhost",
        ],
    },
    Case {
        name: "GHCR 403",
        does: PushAs,
        status: "403 Forbidden",
        headers: "",
        body: r#"{"errors":[{"code":"DENIED","message":"installation not allowed to Create organization package"}]}"#,
        asked: 1,
        says: &[
            "denies access to this account",
            "installation not allowed",
            "docker login localhost",
        ],
    },
    Case {
        name: "Artifact Registry 403, with nobody logged in",
        does: Pull,
        status: "403 Forbidden",
        headers: "",
        body: r#"{"errors":[{"code":"DENIED","message":"Unauthenticated request. Unauthenticated requests do not have permission \"artifactregistry.repositories.downloadArtifacts\" on resource \"projects/p/locations/europe-west1/repositories/docker\" (or it may not exist)"}]}"#,
        asked: 1,
        says: &[
            "requires credentials (denied: Unauthenticated request.",
            "docker login localhost",
        ],
    },
    Case {
        name: "S3 403 behind a redirect, which is XML",
        does: PullAs,
        status: "403 Forbidden",
        headers: "Content-Type: application/xml\r\n",
        body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>",
        asked: 1,
        says: &["denies access to this account (403 Forbidden)"],
    },
    Case {
        name: "docker-registry 404, no manifest",
        does: Pull,
        status: "404 Not Found",
        headers: "",
        body: r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#,
        asked: 1,
        says: &[
            "me/app:1 is not in the registry (manifest unknown)",
            "check the name and the tag",
        ],
    },
    Case {
        name: "Harbor 404, a code of its own",
        does: Pull,
        status: "404 Not Found",
        headers: "",
        body: r#"{"errors":[{"code":"NOT_FOUND","message":"artifact me/app:1 not found"}]}"#,
        asked: 1,
        says: &["me/app:1 is not in the registry (not found: artifact me/app:1 not found)"],
    },
    Case {
        name: "ECR 404, no repository",
        does: PushAs,
        status: "404 Not Found",
        headers: "",
        body: r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'me/app' does not exist in the registry with id '123456789012'"}]}"#,
        asked: 1,
        says: &[
            "has no repository me/app (name unknown: The repository with name 'me/app' does not exist",
            "create it first",
        ],
    },
    Case {
        name: "distribution 404, no repository",
        does: Pull,
        status: "404 Not Found",
        headers: "",
        body: r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{"name":"me/app"}}]}"#,
        asked: 1,
        says: &["has no repository me/app (name unknown: repository name not known to registry)"],
    },
    Case {
        name: "Artifact Registry 400",
        does: PushAs,
        status: "400 Bad Request",
        headers: "",
        body: r#"{"errors":[{"code":"NAME_INVALID","message":"Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE"}]}"#,
        asked: 1,
        says: &["rejects the request (name invalid: Missing image name."],
    },
    Case {
        name: "Harbor 400, a code that no specification knows",
        does: Pull,
        status: "400 Bad Request",
        headers: "",
        body: r#"{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}"#,
        asked: 1,
        says: &["rejects the request (unknown: unknown error)"],
    },
    Case {
        name: "Quay 405, read-only",
        does: PushAs,
        status: "405 Method Not Allowed",
        headers: "",
        body: r#"{"errors":[{"code":"DENIED","message":"System is currently read-only. Pulls will succeed but all write operations are currently suspended.","detail":{},"is_readonly":true}]}"#,
        asked: 1,
        says: &["rejects the request (denied: System is currently read-only."],
    },
    Case {
        name: "a registry that takes no documents of this size",
        does: PushAs,
        status: "413 Payload Too Large",
        headers: "",
        body: "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n</html>\r\n",
        asked: 1,
        says: &["rejects the request (413 Payload Too Large)"],
    },
    Case {
        name: "408",
        does: Pull,
        status: "408 Request Timeout",
        headers: "",
        body: "",
        asked: ATTEMPTS,
        says: &["cannot serve the request now (408 Request Timeout)"],
    },
    Case {
        name: "Docker Hub 429",
        does: Pull,
        status: "429 Too Many Requests",
        headers: "Retry-After: 21600\r\n",
        body: r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"}]}"#,
        // Nobody waits for six hours.
        asked: 1,
        says: &[
            "limits the rate of requests (toomanyrequests: You have reached your pull rate limit.",
            "wait 360 minutes",
            "docker login localhost",
        ],
    },
    Case {
        name: "Docker Hub 429, of all requests, which is no JSON",
        does: Pull,
        status: "429 Too Many Requests",
        headers: "Content-Type: text/plain\r\nRetry-After: 0\r\n",
        body: "Too Many Requests (HAP429).\n",
        asked: ATTEMPTS,
        says: &["limits the rate of requests (429 Too Many Requests: Too Many Requests (HAP429).)"],
    },
    Case {
        name: "GHCR 429",
        does: PushAs,
        status: "429 Too Many Requests",
        headers: "",
        body: r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 10.305464ms, allowed: 2000/minute"}]}"#,
        asked: ATTEMPTS,
        says: &["limits the rate of requests (toomanyrequests: retry-after: 10.305464ms"],
    },
    Case {
        name: "Harbor 429, a code of its own",
        does: Pull,
        status: "429 Too Many Requests",
        headers: "",
        body: r#"{"errors":[{"code":"TOO_MANY_REQUEST","message":"too many requests to source registry"}]}"#,
        asked: ATTEMPTS,
        says: &[
            "limits the rate of requests (too many request: too many requests to source registry)",
        ],
    },
    Case {
        name: "docker-registry 500",
        does: Pull,
        status: "500 Internal Server Error",
        headers: "",
        body: r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{}}]}"#,
        asked: ATTEMPTS,
        says: &[
            "cannot serve the request now (unknown: unknown error)",
            "try again later",
        ],
    },
    Case {
        name: "Harbor 500",
        does: Pull,
        status: "500 Internal Server Error",
        headers: "",
        body: r#"{"errors":[{"code":"UNKNOWN","message":"internal server error"}]}"#,
        asked: ATTEMPTS,
        says: &["cannot serve the request now (unknown: internal server error)"],
    },
    Case {
        name: "502 of a proxy",
        does: Pull,
        status: "502 Bad Gateway",
        headers: "Content-Type: text/html\r\n",
        body: "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        asked: ATTEMPTS,
        says: &["cannot serve the request now (502 Bad Gateway)"],
    },
    Case {
        name: "distribution 503",
        does: Pull,
        status: "503 Service Unavailable",
        headers: "",
        body: r#"{"errors":[{"code":"UNAVAILABLE","message":"service unavailable","detail":"health check failed: please see /debug/health"}]}"#,
        asked: ATTEMPTS,
        says: &["cannot serve the request now (unavailable: service unavailable)"],
    },
];

/// Answers every request by `answer`, until the test ends.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&piece[..count]),
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            answer(text.lines().next().unwrap_or_default(), &mut stream);
        }
    });
    port
}

/// One answer, and no more on this connection.
fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// A home where somebody is logged in, or nobody.
fn home(port: u16, is_logged_in: bool) -> tempfile::TempDir {
    let home = temporary();
    if is_logged_in {
        let folder = home.path().join(".docker");
        fs::create_dir(&folder).unwrap();
        // ada:secret
        let auths = json!({"auths": {format!("localhost:{port}"): {"auth": "YWRhOnNlY3JldA=="}}});
        fs::write(folder.join("config.json"), auths.to_string()).unwrap();
    }
    home
}

fn run(home: &Path, does: Does, port: u16) -> Command {
    let mut command = slimpack();
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home);
    let name = format!("localhost:{port}/me/app:1");
    match does {
        PushAs => command.arg(hello()).args(["--push", &name]),
        Pull | PullAs => command.args(["inspect", &format!("docker://{name}")]),
    };
    command
}

#[test]
fn each_status_and_each_code_says_what_it_is_and_what_to_do() {
    // Most of the time is spent waiting.
    std::thread::scope(|scope| {
        for case in CASES {
            scope.spawn(move || {
                let asked = Arc::new(AtomicUsize::new(0));
                let counted = Arc::clone(&asked);
                let port = serve(move |line, stream| match line {
                    line if line.contains(" /v2/ ") => say(stream, "200 OK", "", b"{}"),
                    line if line.starts_with("HEAD ") => say(stream, "404 Not Found", "", b""),
                    _ => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        say(stream, case.status, case.headers, case.body.as_bytes());
                    }
                });
                let home = home(port, case.does != Pull);
                let text = fail_with(2, &mut run(home.path(), case.does, port));
                for words in case.says {
                    assert!(text.contains(words), "{}: {words:?}\n{text}", case.name);
                }
                let what = if case.does == PushAs {
                    "cannot push"
                } else {
                    "cannot pull"
                };
                assert!(text.contains(what), "{}: {text}", case.name);
                assert_eq!(
                    asked.load(Ordering::Relaxed),
                    case.asked,
                    "{}: {text}",
                    case.name
                );
            });
        }
    });
}

#[test]
fn a_registry_is_left_alone_as_long_as_it_wants() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let port = serve(move |line, stream| match line {
        line if !line.contains("/manifests/") => say(stream, "200 OK", "", b"{}"),
        _ if counted.fetch_add(1, Ordering::Relaxed) == 0 => {
            say(stream, "429 Too Many Requests", "Retry-After: 3\r\n", b"");
        }
        _ => say(stream, "404 Not Found", "", b""),
    });
    let home = temporary();
    let start = Instant::now();
    let text = fail_with(2, &mut run(home.path(), Pull, port));
    assert!(text.contains("is not in the registry"), "{text}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_token_server_that_says_no_is_heard() {
    for (status, body, words, asked_for) in [
        (
            "401 Unauthorized",
            r#"{"details":"incorrect username or password"}"#,
            "rejects the stored credentials",
            1,
        ),
        (
            "403 Forbidden",
            r#"{"errors":[{"code":"DENIED","message":"denied"}]}"#,
            "denies access to this account",
            1,
        ),
        (
            "503 Service Unavailable",
            "",
            "cannot serve the request now",
            ATTEMPTS,
        ),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let realm = serve(move |_, stream| {
            counted.fetch_add(1, Ordering::Relaxed);
            say(stream, status, "", body.as_bytes());
        });
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"http://localhost:{realm}/token\",service=\"test\"\r\n"
        );
        let port = serve(move |_, stream| say(stream, "401 Unauthorized", &challenge, b""));
        let home = home(port, true);
        let text = fail_with(2, &mut run(home.path(), PullAs, port));
        assert!(text.contains(words), "{status}: {text}");
        assert_eq!(asked.load(Ordering::Relaxed), asked_for, "{status}: {text}");
    }
}

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
                // As behind a proxy: the host is right, the scheme is not.
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
    // Nor does an error.
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

/// A registry that takes an upload and then says nothing.
fn stalled() -> u16 {
    serve(|line, stream| match line.split(' ').next() {
        Some("HEAD") => say(stream, "404 Not Found", "", b""),
        Some("POST") => say(stream, "202 Accepted", "Location: /upload/1\r\n", b""),
        Some("GET") => say(stream, "200 OK", "", b""),
        // The connection stays open: whoever waits for it waits for ever.
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
        // The layout to push is there, so the push has begun.
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
