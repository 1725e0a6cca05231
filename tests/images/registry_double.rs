//! A fake registry whose answers a test chooses.

use crate::common;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use common::{hello, slimpack, temporary};
use serde_json::json;

/// The operation, and the credentials in the home directory.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Does {
    /// A pull without a login.
    Pull,
    /// A pull with a login.
    PullAs,
    /// A push with a login.
    PushAs,
}

/// Answers every request with `answer` until the test ends.
pub(crate) fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> u16 {
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

/// Sends one answer, and closes the connection.
pub(crate) fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// A home directory with or without a login.
pub(crate) fn home(port: u16, is_logged_in: bool) -> tempfile::TempDir {
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

/// A run of slimpack against the registry on `port`.
pub(crate) fn run(home: &Path, does: Does, port: u16) -> Command {
    let mut command = slimpack();
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home);
    let name = format!("localhost:{port}/me/app:1");
    match does {
        Does::PushAs => command.arg(hello()).args(["--push", &name]),
        Does::Pull | Does::PullAs => command.args(["inspect", &format!("docker://{name}")]),
    };
    command
}
