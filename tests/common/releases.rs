//! A release of slimpack on the loopback interface, as it would be on a server.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{succeed, temporary};

/// The version of this source.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A release whose program is the one under test.
pub struct Release {
    folder: tempfile::TempDir,
    name: String,
    port: u16,
}

impl Release {
    /// Makes the release, and serves it until the tests end.
    pub fn new() -> Self {
        let folder = temporary();
        let machine = succeed(Command::new("uname").arg("-m"));
        let name = format!("slimpack-{VERSION}-{}-unknown-linux-gnu", machine.trim());
        let program = folder.path().join(&name).join("slimpack");
        fs::create_dir(program.parent().unwrap()).unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_slimpack")
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let version = folder.path().join(format!("v{VERSION}"));
        fs::create_dir(&version).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).arg("-czf");
        succeed(tar.arg(version.join(format!("{name}.tar.gz"))).arg(&name));
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = folder.path().to_path_buf();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &root);
            }
        });
        let release = Self { folder, name, port };
        release.list(&format!("{}  {}\n", release.digest(), release.archive()));
        release
    }

    /// Where its files are, without the version.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The directory in its archive.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file name of its archive.
    pub fn archive(&self) -> String {
        format!("{}.tar.gz", self.name)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("v{VERSION}")).join(name)
    }

    /// SHA-256 of its archive, as sha256sum prints it.
    pub fn digest(&self) -> String {
        let text = succeed(Command::new("sha256sum").arg(self.at(&self.archive())));
        text.split(' ').next().unwrap().to_owned()
    }

    /// Replaces the list of checksums.
    pub fn list(&self, text: &str) {
        fs::write(self.at("SHA256SUMS"), text).unwrap();
    }

    /// Removes one of its files.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.at(name)).unwrap();
    }
}

/// Answers one request for a file.
fn answer(mut stream: TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match fs::read(root.join(path.trim_start_matches('/'))) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}
