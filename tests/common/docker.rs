//! docker, with a private daemon.

#![allow(dead_code)] // Each test program uses a part of it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::{find, output, succeed, temporary};

/// A private docker daemon, stopped on drop.
pub struct Docker {
    daemon: Child,
    socket: String,
    folder: tempfile::TempDir,
}

impl Docker {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        let folder = temporary();
        let at = |name: &str| folder.path().join(name);
        // Paths of Unix sockets must be short; the test's directory may be too long.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), STARTED.fetch_add(1, Relaxed));
        let socket = format!("unix:///tmp/slimpack-test-{process}-{number}.sock");
        let log = fs::File::create(at("log")).unwrap();
        let daemon = Command::new(find("dockerd").unwrap())
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver", "vfs", "--host", &socket])
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut docker = Self {
            daemon,
            socket,
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !output(docker.command().arg("info")).status.success() {
            let log = || fs::read_to_string(docker.folder.path().join("log")).unwrap();
            assert!(
                Instant::now() < deadline,
                "dockerd does not answer:\n{}",
                log()
            );
            let ended = docker.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd ended:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    /// A command of the client.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket]);
        command
    }

    /// The address of the daemon, as in `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.socket
    }

    /// The output of the client with these arguments.
    pub fn run(&self, arguments: &[&str]) -> String {
        succeed(self.command().args(arguments))
    }

    /// Loads an archive; returns docker's output.
    pub fn load(&self, archive: &Path) -> String {
        let stdin = fs::File::open(archive).unwrap();
        succeed(self.command().arg("load").stdin(stdin))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
        // The vfs driver and the shim leave mounts behind.
        unmount_below(self.folder.path());
        let _ = fs::remove_file(self.socket.trim_start_matches("unix://"));
    }
}

/// Unmounts what a tool has mounted in a directory of the test.
pub fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points
        .rev()
        .filter(|point| Path::new(point).starts_with(folder))
    {
        let _ = Command::new("umount").args(["-l", point]).status();
    }
}
