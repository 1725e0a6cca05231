//! Error responses of registries, to a pull or a push: one case for each status and each code.
//!
//! The bodies are those of docker-registry (recorded), and of Docker Hub, GHCR, ECR, Artifact
//! Registry, Quay and Harbor (from their source, documentation or user reports).

use crate::common;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{fail_with, temporary};

use crate::registry_double::Does::{self, Pull, PullAs, PushAs};
use crate::registry_double::{home, run, say, serve};

/// How often a failing registry is asked: once, and four retries.
const ATTEMPTS: usize = 5;

/// One response, and the expected message.
struct Case {
    name: &'static str,
    does: Does,
    status: &'static str,
    headers: &'static str,
    body: &'static str,
    asked: usize,
    says: &'static [&'static str],
}

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
        // slimpack does not wait for six hours.
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
