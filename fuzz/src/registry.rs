//! Responses of a registry.
//!
//! In: headers and bodies. Out: nothing; a pull from a server on the loopback interface ends. The
//! server frames each response itself, so the fuzzer exercises slimpack's parsing, not HTTP.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use slimpack::registry::{Access, Registry};

use crate::images::replace;
use crate::parts;

/// The time limit of one pull: shorter than the first pause before a retry, so that no input waits.
const DEADLINE: Duration = Duration::from_millis(200);

/// The current responses of the server.
#[derive(Default)]
struct Answers {
    status: u16,
    challenge: String,
    digest: String,
    retry_after: String,
    /// The document for the tag.
    top: Vec<u8>,
    /// A document requested by digest.
    manifest: Vec<u8>,
    blob: Vec<u8>,
    token: Vec<u8>,
}

static ANSWERS: Mutex<Option<Answers>> = Mutex::new(None);
static PORT: OnceLock<Option<u16>> = OnceLock::new();

/// The pull of a tag: status, `WWW-Authenticate`, `Docker-Content-Digest` and `Retry-After` as
/// lines; then the document of the tag, a manifest, a blob, and the response of a token server.
/// Marks in the documents are those of [`crate::oci`].
pub fn registry(data: &[u8]) {
    thread_local! {
        static REGISTRY: Option<Registry<'static>> = open();
    }
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default().to_vec();
    let head = String::from_utf8_lossy(&next()).into_owned();
    let mut lines = head.lines().map(|line| {
        let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        line.chars().filter(is_plain).collect::<String>()
    });
    let mut line = || lines.next().unwrap_or_default();
    // Other statuses cause a retry after a pause, or lead to another server.
    const STATUSES: [u16; 6] = [200, 400, 401, 403, 404, 405];
    let status = line().parse().ok();
    let (challenge, digest, retry_after) = (line(), line(), line());
    let (top, manifest, blob, token) = (next(), next(), next(), next());
    let manifest = replace(manifest, b"Cc", &blob);
    *lock() = Some(Answers {
        status: status
            .filter(|status| STATUSES.contains(status))
            .unwrap_or(200),
        challenge,
        digest,
        retry_after,
        top: replace(replace(top, b"Mm", &manifest), b"Cc", &blob),
        manifest,
        blob,
        token,
    });
    REGISTRY.with(|registry| {
        let (Some(registry), Ok(folder)) = (registry, tempfile::tempdir()) else {
            return;
        };
        if let Err(error) = registry.pull(folder.path(), None, None) {
            let _ = error.to_string();
        }
    });
}

fn lock() -> std::sync::MutexGuard<'static, Option<Answers>> {
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> Option<Registry<'static>> {
    let port = (*PORT.get_or_init(|| serve().ok()))?;
    let access = Access {
        insecure: &[],
        deadline: DEADLINE,
        interrupted: &|| None,
    };
    Registry::open(&format!("127.0.0.1:{port}/me/app:1"), access).ok()
}

fn serve() -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client may have disconnected.
            let _ = answer(stream, port);
        }
    });
    Ok(port)
}

fn answer(mut stream: TcpStream, port: u16) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answers = lock();
    let Some(answers) = &*answers else {
        return Ok(());
    };
    let has_token = request
        .to_ascii_lowercase()
        .contains("authorization: bearer");
    let mut headers = String::new();
    let (status, body) = if path.starts_with("/token") {
        (200, &answers.token)
    } else if path.contains("/blobs/") {
        (200, &answers.blob)
    } else if path.contains("/manifests/sha256") {
        (200, &answers.manifest)
    } else {
        if !answers.digest.is_empty() {
            headers += &format!("Docker-Content-Digest: {}\r\n", answers.digest);
        }
        headers += &format!("Retry-After: {}\r\n", answers.retry_after);
        // The realm points back to this server, whatever else the challenge contains.
        headers += &format!(
            "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\"{}\r\n",
            answers.challenge
        );
        let status = match has_token {
            true => 200,
            false => answers.status,
        };
        (status, &answers.top)
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
