//! Lint finds nothing wrong in what slimpack packs.

use crate::common;
use std::fs;

use common::{find, slimpack, succeed, temporary};

/// Programs that most machines have; missing ones are skipped.
const PROGRAMS: [&str; 36] = [
    "ls", "cp", "sort", "tar", "bash", "sed", "grep", "find", "mawk", "perl", "openssl", "curl",
    "git", "python3", "id", "date", "df", "env", "xargs", "diff", "make", "gcc", "ld", "node",
    "runc", "umoci", "skopeo", "docker", "podman", "buildah", "mount", "su", "dpkg", "less",
    "zstd", "xz",
];

#[test]
fn twenty_programs_of_the_system_are_packed_without_a_finding_of_severity_error() {
    let folder = temporary();
    let archive = folder.path().join("image.tar");
    let mut packed = 0;
    for program in PROGRAMS {
        let Some(path) = find(program) else { continue };
        let path = fs::canonicalize(path).unwrap();
        // slimpack does not pack a script as a program.
        if !fs::read(&path).unwrap().starts_with(b"\x7fELF") {
            continue;
        }
        succeed(slimpack().arg(&path).arg("-q").arg("-o").arg(&archive));
        let found = succeed(slimpack().args(["lint", "--format", "json"]).arg(&archive));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["summary"]["error"], 0, "{program}: {found:#}");
        packed += 1;
    }
    assert!(packed >= 20, "only {packed} programs");
}
