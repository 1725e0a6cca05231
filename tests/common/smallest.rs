//! A smallest set of files with which a program still works, found by removal; and the set of those that
//! it reads.
//!
//! First, all files that a run does not read are removed at once; the others then by halves. A file
//! that remains was needed when it was tried: without it the run failed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::succeed;
use crate::program_runs::{Stage, run};

/// A container whose files are removed and restored.
struct Trial<'a> {
    stage: &'a Stage,
    here: &'a Output,
    folder: tempfile::TempDir,
    command: Command,
    removed: u64,
}

/// Bytes of the files in an image that its program does not need.
pub fn spare_bytes(stage: &Stage, image: &Path, here: &Output) -> u64 {
    let (mut trial, read) = without_unread(stage, image, here);
    trial.remove(&read);
    trial.removed
}

/// Bytes of the files in an image that its program opens or executes; with these alone it works.
pub fn read_bytes(stage: &Stage, image: &Path, here: &Output) -> u64 {
    let (mut trial, read) = without_unread(stage, image, here);
    assert!(trial.works(), "{}: what is read", stage.run.name);
    read.iter().map(|(_, bytes)| bytes).sum()
}

/// A container without the files that its program does not read, and those that it reads.
fn without_unread<'a>(
    stage: &'a Stage,
    image: &Path,
    here: &'a Output,
) -> (Trial<'a>, Vec<(PathBuf, u64)>) {
    let (folder, command) = stage.container(image);
    let mut trial = Trial {
        stage,
        here,
        folder,
        command,
        removed: 0,
    };
    fs::create_dir(trial.stash()).unwrap();
    trial.keep_own_folder();
    let files = trial.files();
    for (path, _) in &files {
        let old = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
        let file = fs::File::options().read(true).open(path).unwrap();
        file.set_times(old).unwrap();
    }
    assert!(trial.works(), "{}: smallest", stage.run.name);
    let is_read = |path: &Path| fs::metadata(path).unwrap().atime() != 0;
    let (read, unread): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| is_read(path));
    trial.remove(&unread);
    (trial, read)
}

impl Trial<'_> {
    fn root(&self) -> PathBuf {
        self.folder.path().join("bundle/rootfs")
    }

    fn stash(&self) -> PathBuf {
        self.folder.path().join("stash")
    }

    /// The run's own directory in the image.
    fn own_folder(&self) -> PathBuf {
        let folder = self.stage.folder.strip_prefix("/").unwrap();
        self.root().join(folder)
    }

    fn keep_own_folder(&self) {
        let kept = self.folder.path().join("kept");
        if self.own_folder().exists() {
            succeed(
                Command::new("cp")
                    .arg("-a")
                    .arg(self.own_folder())
                    .arg(kept),
            );
        }
    }

    /// The regular files of the image, largest first, without the run's own directory.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let (mut files, mut pending) = (Vec::new(), vec![self.root()]);
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() && path != self.own_folder() {
                    pending.push(path);
                } else if metadata.is_file() {
                    files.push((path, metadata.len()));
                }
            }
        }
        files.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
        files
    }

    fn works(&mut self) -> bool {
        let there = run(&mut self.command, self.folder.path());
        // Restores what the run changed.
        let (own, kept) = (self.own_folder(), self.folder.path().join("kept"));
        if kept.exists() {
            fs::remove_dir_all(&own).unwrap();
            succeed(Command::new("cp").arg("-a").arg(kept).arg(own));
        }
        let tmp = self.root().join("tmp");
        if tmp.exists() && !self.own_folder().starts_with(&tmp) {
            for entry in fs::read_dir(tmp).unwrap() {
                let path = entry.unwrap().path();
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
        }
        self.stage.is_same(self.here, &there)
    }

    /// Removes as many of the files as possible.
    fn remove(&mut self, files: &[(PathBuf, u64)]) {
        if files.is_empty() {
            return;
        }
        let stash = self.stash();
        let place = |number: usize| stash.join(number.to_string());
        for (number, (path, _)) in files.iter().enumerate() {
            fs::rename(path, place(number)).unwrap();
        }
        let works = self.works();
        for (number, (path, bytes)) in files.iter().enumerate() {
            if works {
                fs::remove_file(place(number)).unwrap();
                self.removed += bytes;
            } else {
                let _ = fs::remove_file(path);
                fs::rename(place(number), path).unwrap();
            }
        }
        if !works && files.len() > 1 {
            let (first, second) = files.split_at(files.len() / 2);
            self.remove(first);
            self.remove(second);
        }
    }
}
