//! podman, with private storage.

#![allow(dead_code)] // Each test program uses a part of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{have, is_root, output, slimpack, succeed, text};
use crate::docker::unmount_below;

/// Options with which containers run on any machine, without a network.
const RUN: [&str; 4] = [
    "--network=none",
    "--runtime=runc",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
];

/// Private images and containers, removed on drop.
pub struct Podman(tempfile::TempDir);

impl Podman {
    /// Empty storage; `None` if podman cannot run.
    pub fn start() -> Option<Self> {
        if !have(&["podman", "runc"]) || !is_root() {
            return None;
        }
        // podman refuses long paths for its state directory.
        Some(Self(tempfile::tempdir_in("/tmp").unwrap()))
    }

    /// A podman command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        for name in ["root", "runroot", "tmpdir"] {
            let folder = self.0.path().join(name);
            command.arg(format!("--{name}")).arg(folder);
        }
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }

    /// The output of podman with these arguments.
    pub fn says(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Loads an archive; returns podman's output.
    pub fn load(&self, archive: &Path) -> String {
        self.says(&["load", "-i", archive.to_str().unwrap()])
    }

    /// Packs with these arguments, and loads the image under a name.
    pub fn pack<S: AsRef<std::ffi::OsStr>>(&self, name: &str, words: &[S]) -> String {
        let archive = self.0.path().join("image.tar");
        let mut command = slimpack();
        command.args(words).args(["-t", name, "-o"]);
        let packed = output(command.arg(&archive));
        assert!(packed.status.success(), "{}", text(&packed));
        self.load(&archive);
        text(&packed)
    }

    /// A command that runs a container to its end, or with `-d` in the background; `words` are
    /// further options, the image and its arguments.
    pub fn container(&self, words: &[&str]) -> Command {
        self.command(&[&["run"], &RUN[..], words].concat())
    }

    /// The output of a container, both streams.
    pub fn run(&self, words: &[&str]) -> String {
        text(&output(&mut self.container(&[&["--rm"], words].concat())))
    }

    /// The output of a command in a running container, retried until it succeeds.
    pub fn once(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = output(&mut self.command(&[&["exec"], words].concat()));
            if ended.status.success() {
                return String::from_utf8(ended.stdout).unwrap();
            }
            assert!(
                Instant::now() < deadline,
                "{}{}",
                text(&ended),
                text(&output(&mut self.command(&["logs", words[0]])))
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = output(&mut self.command(&["rm", "--all", "--force", "--time=0"]));
        unmount_below(self.0.path());
    }
}
