//! Registries: a real one on the loopback interface, with and without passwords, and dishonest
//! servers.

use crate::{authority, common};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::registry_server::{PASSWORD, Registry};
use authority::Authority;
use common::{fail_with, have, hello, slimpack, succeed, temporary};
use serde_json::{Value, json};

/// A run with credentials in its own home directory.
fn with_home(home: &Path, words: &[&str]) -> Command {
    let mut command = slimpack();
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home).args(words);
    command
}

fn push(home: &Path, name: &str, more: &[&str]) -> Command {
    let mut command = with_home(home, &[hello().to_str().unwrap(), "--push", name]);
    command.args(more);
    command
}

fn said(command: &mut Command) -> String {
    let output = common::output(command);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

#[test]
fn a_push_is_what_skopeo_pulls_and_a_second_one_sends_nothing() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start(false);
    let folder = temporary();
    let home = folder.path();
    let name = registry.name("me/app:1.0");
    let archive = folder.path().join("app.tar");
    for compression in ["none", "gzip", "zstd"] {
        let more = ["--compress", compression, "-o", archive.to_str().unwrap()];
        let first = said(&mut push(home, &name, &more));
        assert!(first.contains(&format!("→ {name} (")), "{first}");
        let source = format!("docker://{name}");
        let skopeo = |source: &str| {
            let mut command = Command::new("skopeo");
            succeed(command.args([
                "inspect",
                "--tls-verify=false",
                "--format",
                "{{.Digest}}",
                source,
            ]))
        };
        let pulled = skopeo(&source);
        // The same digest as in the file.
        let mut inspect = Command::new("skopeo");
        let of_file = format!("oci-archive:{}", archive.display());
        let written = succeed(inspect.args(["inspect", "--format", "{{.Digest}}", &of_file]));
        assert_eq!(pulled, written, "{compression}");
        let before = registry.uploads();
        let second = said(&mut push(home, &name, &["--compress", compression]));
        assert!(
            second.contains("(0 blobs sent, 2 already there)"),
            "{second}"
        );
        assert_eq!(
            registry.uploads(),
            before,
            "{compression}: {}",
            registry.log()
        );
    }
    assert!(registry.uploads() > 0, "{}", registry.log());
}

#[test]
fn another_repository_of_the_same_registry_gives_its_blobs() {
    if !have(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start(false);
    let home = temporary();
    let (one, other) = (registry.name("one:1"), registry.name("other:1"));
    let text = said(&mut push(home.path(), &one, &["--push", &other]));
    assert!(
        text.contains("(2 blobs sent") && text.contains("2 mounted"),
        "{text}"
    );
    let listed = succeed(&mut with_home(
        home.path(),
        &["inspect", &format!("docker://{other}")],
    ));
    assert!(listed.contains("other:1"), "{listed}");
}

#[test]
fn an_image_in_a_registry_is_read_like_any_other() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start(false);
    let home = temporary();
    let name = registry.name("app:1");
    said(&mut push(home.path(), &name, &["--compress", "gzip"]));
    let image = format!("docker://{name}");
    for words in [
        &["inspect", "--files", &image][..],
        &["lint", &image],
        &["tree", &image],
        &["tree", "--from", &image, "/usr/local/bin/hello"],
    ] {
        let text = succeed(&mut with_home(home.path(), words));
        assert!(
            text.contains("libc.so.6") || words[0] == "lint",
            "{words:?}: {text}"
        );
    }
    // An image pushed by another tool, with docker's media types.
    let archive = home.path().join("app.tar");
    succeed(slimpack().arg(hello()).arg("-qo").arg(&archive));
    let target = format!("docker://{}", registry.name("theirs:1"));
    let mut skopeo = Command::new("skopeo");
    skopeo.args([
        "--insecure-policy",
        "copy",
        "-q",
        "--dest-tls-verify=false",
        "--format",
        "v2s2",
    ]);
    succeed(
        skopeo
            .arg(format!("docker-archive:{}", archive.display()))
            .arg(&target),
    );
    let text = succeed(&mut with_home(
        home.path(),
        &["inspect", "--files", &target],
    ));
    assert!(text.contains("libc.so.6"), "{text}");
    let absent = format!("docker://{}", registry.name("absent:1"));
    let text = fail_with(2, &mut with_home(home.path(), &["inspect", &absent]));
    assert!(text.contains("absent:1 is not in the registry"), "{text}");
    assert!(
        fs::read_dir(home.path()).unwrap().count() == 1,
        "something was left"
    );
}

#[test]
fn several_platforms_are_pushed_under_one_name() {
    const CROSS: &str = "aarch64-linux-gnu-gcc";
    if !have(&["docker-registry", "skopeo", CROSS]) {
        return;
    }
    let registry = Registry::start(false);
    let home = temporary();
    let cross = home.path().join("hello-arm64");
    fs::write(home.path().join("hello.c"), common::HELLO).unwrap();
    succeed(
        Command::new(CROSS)
            .arg(home.path().join("hello.c"))
            .arg("-o")
            .arg(&cross),
    );
    let name = registry.name("both:1");
    let roots = [
        "--root",
        "arm64=/usr/aarch64-linux-gnu",
        "--root",
        "amd64=/",
    ];
    said(push(home.path(), &name, &roots).arg(&cross));
    let source = format!("docker://{name}");
    for arch in ["amd64", "arm64"] {
        let mut skopeo = Command::new("skopeo");
        skopeo.args([
            "--override-arch",
            arch,
            "inspect",
            "--tls-verify=false",
            "--config",
            &source,
        ]);
        let config: Value = serde_json::from_str(&succeed(&mut skopeo)).unwrap();
        assert_eq!(config["architecture"], arch);
        let platform = format!("linux/{arch}");
        let words = ["inspect", "--image-platform", &platform, &source];
        let text = succeed(&mut with_home(home.path(), &words));
        assert!(text.contains(&platform), "{text}");
    }
    let words = ["inspect", "--image-platform", "linux/s390x", &source];
    let text = fail_with(2, &mut with_home(home.path(), &words));
    assert!(
        text.contains("linux/s390x") && text.contains("linux/arm64"),
        "{text}"
    );
}

#[test]
fn an_image_is_pushed_beside_whatever_else_is_written() {
    if !have(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start(false);
    let home = temporary();
    for format in ["image", "docker", "oci", "oci-dir"] {
        let name = registry.name(&format!("{format}:1"));
        let output = home.path().join(format);
        let more = ["--format", format, "-o", output.to_str().unwrap()];
        let text = said(&mut push(home.path(), &name, &more));
        assert!(text.contains(&format!("→ {name} (")), "{text}");
        let image = format!("docker://{name}");
        succeed(&mut with_home(home.path(), &["inspect", &image]));
        assert!(output.exists(), "{format}");
    }
    for format in ["rootfs", "rootfs-tar"] {
        let text = fail_with(
            2,
            &mut push(home.path(), "localhost:1/x", &["--format", format]),
        );
        assert!(
            text.contains("registries accept images"),
            "{format}: {text}"
        );
    }
}

/// A home directory with the files that `docker login` or `podman login` write.
fn home_with(file: &str, content: &Value) -> tempfile::TempDir {
    let home = temporary();
    let path = home.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content.to_string()).unwrap();
    home
}

/// `user:password` as these files store it.
fn base64(user: &str, password: &str) -> String {
    let line = format!("printf '%s:%s' '{user}' '{password}' | base64 -w0");
    succeed(Command::new("sh").args(["-c", &line]))
}

#[test]
fn credentials_are_those_of_docker_podman_and_their_helpers() {
    if !have(&["docker-registry", "htpasswd"]) {
        return;
    }
    let registry = Registry::start(true);
    let host = format!("localhost:{}", registry.port);
    let (user, password) = PASSWORD;
    let auths = |password: &str| json!({"auths": {host.clone(): {"auth": base64(user, password)}}});
    for (number, file) in [".docker/config.json", ".config/containers/auth.json"]
        .iter()
        .enumerate()
    {
        let home = home_with(file, &auths(password));
        let name = registry.name(&format!("app{number}:1"));
        let text = said(&mut push(home.path(), &name, &[]));
        assert!(text.contains("2 blobs sent"), "{file}: {text}");
        let image = format!("docker://{name}");
        succeed(&mut with_home(home.path(), &["inspect", &image]));
    }
    // A credential helper that follows docker's protocol.
    let home = home_with(
        ".docker/config.json",
        &json!({"credHelpers": {host.clone(): "test"}}),
    );
    let helper = home.path().join("docker-credential-test");
    let answer = json!({"ServerURL": host, "Username": user, "Secret": password});
    fs::write(
        &helper,
        format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n"),
    )
    .unwrap();
    succeed(Command::new("chmod").arg("+x").arg(&helper));
    let path = format!("{}:/usr/bin:/bin", home.path().display());
    let name = registry.name("helped:1");
    said(push(home.path(), &name, &[]).env("PATH", path));

    // A helper without credentials for this registry.
    let home = home_with(
        ".docker/config.json",
        &json!({"credHelpers": {host.clone(): "test"}}),
    );
    let helper = home.path().join("docker-credential-test");
    let script =
        "#!/bin/sh\ncat >/dev/null\necho 'credentials not found in native keychain'\nexit 1\n";
    fs::write(&helper, script).unwrap();
    succeed(Command::new("chmod").arg("+x").arg(&helper));
    let path = format!("{}:/usr/bin:/bin", home.path().display());
    let text = fail_with(2, push(home.path(), &name, &[]).env("PATH", path));
    assert!(text.contains("requires credentials"), "{text}");

    let wrong = home_with(".docker/config.json", &auths("guess"));
    let text = fail_with(2, &mut push(wrong.path(), &name, &[]));
    assert!(text.contains("rejects the stored credentials"), "{text}");
    assert!(text.contains("login localhost"), "{text}");
    let nobody = temporary();
    let text = fail_with(2, &mut push(nobody.path(), &name, &[]));
    assert!(text.contains("requires credentials"), "{text}");
    let broken = home_with(".docker/config.json", &json!({"auths": 3}));
    let text = fail_with(2, &mut push(broken.path(), &name, &[]));
    assert!(text.contains("cannot read the credentials"), "{text}");
}

#[test]
fn tls_is_trusted_by_the_authorities_of_the_system() {
    if !have(&["docker-registry", "openssl", "unshare"]) || !common::is_root() {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let authority = Authority::of("registry.test");
    fs::write(at("hosts"), "127.0.0.1 localhost registry.test\n").unwrap();
    let http = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        authority.path("cert.pem").display(),
        authority.path("key.pem").display()
    );
    let registry = Registry::start_with(temporary(), false, &http);
    let name = format!("registry.test:{}/app:1", registry.port);
    let program = slimpack().get_program().display().to_string();
    let run = |mount: &str, words: &str| {
        let script = format!(
            "mount --bind {} /etc/hosts && {mount} exec {program} {words}",
            at("hosts")
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .env("HOME", folder.path());
        command
    };
    let trusts = format!(
        "mount --bind {} /etc/ssl/certs/ca-certificates.crt &&",
        authority.path("ca.pem").display()
    );
    let push = format!("{} --push {name}", hello().display());
    let text = said(&mut run(&trusts, &push));
    assert!(text.contains("2 blobs sent"), "{text}");
    let text = fail_with(2, &mut run("", &push));
    assert!(text.contains("certificate"), "{text}");
}

/// A server that answers paths with these endings, and counts the requests.
fn liar(answers: Vec<(String, Vec<u8>)>, cut: bool) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..count]).into_owned();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let found = answers.iter().find(|(end, _)| path.ends_with(end.as_str()));
            let Some((_, body)) = found else {
                // Without "close", the client would reuse a closed connection.
                let _ = stream.write_all(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
                continue;
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let is_blob = path.contains("/blobs/");
            let end = if cut && is_blob {
                body.len() / 2
            } else {
                body.len()
            };
            let _ = stream.write_all(&body[..end]);
        }
    });
    port
}

#[test]
fn a_server_in_trouble_is_asked_again_and_not_for_ever() {
    let home = temporary();
    for (troubles, is_answered) in [(4, true), (5, false)] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut left = troubles;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let count = stream.read(&mut request).unwrap_or(0);
                let is_manifest =
                    String::from_utf8_lossy(&request[..count]).contains("/manifests/");
                let status = match is_manifest && left > 0 {
                    true => {
                        left -= 1;
                        let _ = asked.send(());
                        "503 Service Unavailable"
                    }
                    false => "404 Not Found",
                };
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
            }
        });
        let image = format!("docker://localhost:{port}/app:1");
        let text = fail_with(2, &mut with_home(home.path(), &["inspect", &image]));
        assert_eq!(told.try_iter().count(), troubles, "{text}");
        assert_eq!(
            text.contains("is not in the registry"),
            is_answered,
            "{text}"
        );
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_or_is_cut_off_is_an_error() {
    let home = temporary();
    let (config, other) = (
        br#"{"architecture":"amd64","os":"linux"}"#,
        br#"{"architecture":"amd64","os":"winux"}"#,
    );
    let descriptor = |bytes: &[u8], digest: &str| json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": bytes.len()});
    let manifest = |descriptor: Value| {
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
               "config": descriptor, "layers": []})
        .to_string()
        .into_bytes()
    };
    let inspect = |port: u16| {
        let image = format!("docker://localhost:{port}/app:1");
        fail_with(2, &mut with_home(home.path(), &["inspect", &image]))
    };
    let true_digest = digest(config);
    let named = manifest(descriptor(config, &true_digest));
    let manifests = ("/manifests/1".to_owned(), named.clone());
    // Different content of the same length.
    let port = liar(
        vec![manifests.clone(), (true_digest.clone(), other.to_vec())],
        false,
    );
    let text = inspect(port);
    assert!(text.to_lowercase().contains("digest"), "{text}");
    // Longer than its descriptor says.
    let long = [config.to_vec(), vec![b' '; 100_000]].concat();
    let port = liar(vec![manifests.clone(), (true_digest.clone(), long)], false);
    let text = inspect(port);
    assert!(text.contains("larger than its descriptor says"), "{text}");
    // A connection that is cut halfway.
    let port = liar(vec![manifests, (true_digest, config.to_vec())], true);
    let text = inspect(port);
    assert!(text.contains("no complete answer"), "{text}");
    // A digest that contains a path.
    let evil = manifest(descriptor(config, "sha256:../../../../tmp/evil"));
    let port = liar(vec![("/manifests/1".to_owned(), evil)], false);
    let text = inspect(port);
    assert!(text.contains("not a SHA-256 digest"), "{text}");
    // A port on which nothing listens, and an invalid name.
    let text = inspect(1);
    assert!(
        text.contains("cannot reach") && text.contains("refused"),
        "{text}"
    );
    let text = fail_with(2, &mut push(home.path(), "UPPER CASE", &[]));
    assert!(text.contains("is not a valid image reference"), "{text}");
}

#[test]
fn nothing_is_pushed_of_a_program_that_would_not_start() {
    let folder = temporary();
    let program = common::incomplete(folder.path());
    // Nothing listens on this port; slimpack does not even try it.
    let words = [program.to_str().unwrap(), "--push", "localhost:1/app"];
    let text = fail_with(1, &mut with_home(folder.path(), &words));
    assert!(text.contains("libgone.so not found"), "{text}");
}
