//! A real registry on the loopback interface.

use crate::common;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{succeed, temporary};

/// A registry that ends with the test.
pub(crate) struct Registry {
    server: Child,
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
}

/// The user of a registry with a password.
pub(crate) const PASSWORD: (&str, &str) = ("ada", "secret");

impl Registry {
    pub(crate) fn start(with_password: bool) -> Self {
        Self::start_with(temporary(), with_password, "")
    }

    /// Starts it with this text appended to its configuration.
    pub(crate) fn start_with(folder: tempfile::TempDir, with_password: bool, http: &str) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = |name: &str| folder.path().join(name);
        let mut text = format!(
            "version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            at("data").display()
        );
        text.push_str(http);
        if with_password {
            let (user, password) = PASSWORD;
            let line = succeed(Command::new("htpasswd").args(["-Bbn", user, password]));
            fs::write(at("users"), line).unwrap();
            text.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                at("users").display()
            ));
        }
        fs::write(at("config.yml"), text).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(at("config.yml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut registry = Self {
            server,
            port,
            folder,
        };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return registry;
            }
            assert!(
                registry.server.try_wait().unwrap().is_none(),
                "{}",
                registry.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen\n{}", registry.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("localhost:{}/{image}", self.port)
    }

    /// Requests that carry blob data, as logged by the registry.
    pub(crate) fn uploads(&self) -> usize {
        let log = self.log();
        let sends = |line: &&str| {
            let is_upload = line.contains("/blobs/uploads/");
            is_upload && (line.contains("\"PUT ") || line.contains("\"PATCH "))
        };
        log.lines().filter(sends).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.server.wait();
    }
}
