//! Which suspects a diagnosis names, in which order, and with which option.
//!
//! In: trees in memory, and lookups that failed. Out: nothing; a test fails.

use std::path::{Path, PathBuf};

use super::{Diagnosis, Failed};
use crate::exec::Start;
use crate::run::{IdMap, Ids, Ran};
use crate::trace::{EndedProcess, Ending, FailedLookup, LookupGoal, Recording};
use crate::vfs::View;
use crate::vfs::memory::MemoryVfs;

const ENOENT: i32 = 2;

fn view(files: &[&str]) -> View {
    let vfs = files
        .iter()
        .fold(MemoryVfs::new(), |vfs, path| vfs.file(*path, *path));
    View::new(Box::new(vfs), Default::default())
}

/// What a program is said to lack that looked for these paths, one after the other, and gave up.
fn diagnosis(
    uid: u32,
    image: &[&str],
    source: &[&str],
    lookups: &[(&str, LookupGoal)],
) -> Diagnosis {
    let failures = lookups
        .iter()
        .enumerate()
        .map(|(order, (path, wanted))| FailedLookup {
            path: PathBuf::from(path),
            error: ENOENT,
            wanted: *wanted,
            process: 0,
            order,
        });
    let ids = Ids {
        uid,
        gids: vec![uid],
    };
    let ran = Ran {
        ending: Ending::Exit(1),
        timed_out: false,
        map: IdMap::for_program(&ids),
        recording: Some(Recording {
            failures: failures.collect(),
            processes: vec![vec!["/app".to_owned()]],
            ended: vec![EndedProcess {
                process: 0,
                ending: Ending::Exit(1),
                order: lookups.len(),
            }],
            ..Recording::default()
        }),
    };
    let start = Start {
        working_dir: PathBuf::from("/"),
        ..Start::default()
    };
    Failed {
        view: &view(image),
        source: &view(source),
        start: &start,
        ids: &ids,
        project: Some(Path::new("/root/project")),
        remedies: Vec::new(),
        said: String::new(),
    }
    .ran(&ran)
}

fn flags(diagnosis: &Diagnosis) -> Vec<&str> {
    let flags = diagnosis
        .suspects
        .iter()
        .filter(|suspect| !suspect.is_private);
    flags
        .filter_map(|suspect| suspect.flag.as_deref())
        .collect()
}

#[test]
fn a_directory_of_many_packages_is_not_added_whole() {
    use LookupGoal::Read;
    let found = diagnosis(
        0,
        &["/app"],
        &[
            "/app",
            "/sbin/fsck",
            "/usr/local/bin/x",
            "/usr/lib/tool/part",
        ],
        &[
            ("/usr/lib/tool", Read),
            ("/sbin", Read),
            ("/usr/local/bin", Read),
        ],
    );
    assert_eq!(
        flags(&found),
        [
            "--add /usr/lib/tool",
            "--mkdir /usr/local/bin",
            "--mkdir /sbin"
        ]
    );
    assert!(found.cause.contains("/usr/lib/tool"), "{}", found.cause);
}

#[test]
fn files_of_a_home_are_last_and_left_to_the_user() {
    use LookupGoal::{Read, Test};
    let passwd = "/etc/passwd";
    let found = diagnosis(
        0,
        &["/app"],
        &[
            "/app",
            passwd,
            "/etc/localtime",
            "/root/.gitconfig",
            "/home/me/.netrc",
            "/root/project/data",
        ],
        &[
            ("/etc/localtime", Read),
            ("/root/project/data", Read),
            ("/root/.gitconfig", Test),
            ("/home/me/.netrc", Read),
        ],
    );
    let paths: Vec<_> = found
        .suspects
        .iter()
        .map(|suspect| suspect.path.as_path())
        .collect();
    let expected = [
        "/root/project/data",
        "/etc/localtime",
        "/home/me/.netrc",
        "/root/.gitconfig",
    ];
    assert_eq!(paths, expected.map(Path::new));
    assert_eq!(
        flags(&found),
        ["--add /root/project/data", "--add /etc/localtime"]
    );
}

#[test]
fn a_file_that_is_only_written_asks_for_its_directory() {
    let look = [("/var/log/server/error.log", LookupGoal::Write)];
    let here = ["/app", "/var/log/server/error.log"];
    let found = diagnosis(0, &["/app"], &here, &look);
    assert_eq!(flags(&found), ["--mkdir /var/log/server"]);
    let found = diagnosis(7, &["/app"], &here, &look);
    assert_eq!(flags(&found), ["--mkdir /var/log/server,chown=7"]);
}
