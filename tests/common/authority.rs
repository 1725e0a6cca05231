//! A private certificate authority for a test, with a certificate for one name.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common;

/// `ca.pem` is the authority, `cert.pem` and `key.pem` are the server's.
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// Creates one that certifies `name`.
    pub fn of(name: &str) -> Self {
        let folder = common::temporary();
        let openssl = |words: &str| {
            let mut command = Command::new("openssl");
            command.current_dir(folder.path()).args(words.split(' '));
            common::succeed(&mut command);
        };
        openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        );
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN={name}"
        ));
        let names = format!("subjectAltName=DNS:{name}\n");
        fs::write(folder.path().join("names"), names).unwrap();
        openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem \
             -days 2 -extfile names",
        );
        Self { folder }
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
