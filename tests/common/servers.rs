//! Test servers, on the loopback interface of this machine, stopped with the test.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::authority::Authority;
use crate::common;

/// A server that is stopped on drop.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Interrupted as from the keyboard, so that runc cleans up.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a server and waits until it listens on `port`.
    pub fn start(mut command: Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self(child.spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            if let Some(status) = server.0.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            sleep(Duration::from_millis(50));
        }
        panic!("{command:?} does not listen");
    }
}

/// A free port on the loopback interface.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The answer of a server to `request`.
pub fn answer(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// A server that serves a page over TLS.
pub fn page_of(authority: &Authority) -> (Server, u16) {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept"]);
    command.arg(format!("127.0.0.1:{port}"));
    command.arg("-cert").arg(authority.path("cert.pem"));
    command.arg("-key").arg(authority.path("key.pem"));
    (Server::start(command, port), port)
}

/// Starts the image of a server with this machine's network.
pub fn serve(archive: &Path, words: &[&str], port: u16) -> (tempfile::TempDir, Server) {
    let (folder, command) = common::container_beside(archive, words);
    (folder, Server::start(command, port))
}
