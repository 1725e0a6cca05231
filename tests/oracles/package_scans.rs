//! The packages that syft finds in images of real programs are the owners of their files.
//!
//! Every tenth image of `tests/programs.toml` by default, all with `SLIMPACK_TEST_ALL=1`. One scan covers all
//! of them: a directory with the records of each image below its own name.

use crate::{common, owners, program_runs};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{have, is_root, succeed, temporary, unpack_layer};
use owners::dpkg_owners;
use program_runs::{Run, Stage, TREES};

/// Where the records are in an image.
const STATUS_D: &str = "var/lib/dpkg/status.d";

/// Packs a run, and moves its records to `records`; the owners of each packed file that has any. None are
/// expected of an image with the database of the whole machine, which apt looks up.
fn packed(run: &Run, records: &Path) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let folder = temporary();
    let stage = Stage::of(run, &folder.path().join("dir"));
    let (image, root) = (folder.path().join("image.tar"), folder.path().join("root"));
    stage.pack(&stage.run.flags(), &image).unwrap();
    unpack_layer(&image, &root);
    let mut find = Command::new("find");
    let names = succeed(find.arg(&root).args(["-type", "f", "-printf", "%P\n"]));
    let files = names.lines().filter(|name| !name.starts_with(STATUS_D));
    let here = files.map(|name| Path::new("/").join(name));
    let here: Vec<PathBuf> = here.filter(|path| path.is_file()).collect();
    let directory = root.join(STATUS_D);
    if root.join("var/lib/dpkg/status").exists() {
        assert!(!directory.exists());
        return BTreeMap::new();
    }
    if directory.is_dir() {
        let place = records.join(STATUS_D);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(directory, place).unwrap();
    }
    // What is generated for the image is at the path of another file of this machine.
    let is_own = |path: &&PathBuf| {
        let (image, here) = (root.join(path.strip_prefix("/").unwrap()), path.as_path());
        fs::read(image).unwrap() == fs::read(here).unwrap()
    };
    let own: Vec<PathBuf> = here.iter().filter(is_own).cloned().collect();
    dpkg_owners(&own)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn syft_finds_the_owners_of_the_files_of_each_image() {
    let tools = ["dpkg", "dpkg-query", "syft"];
    if !have(&tools) || !is_root() {
        return;
    }
    let step = match std::env::var_os("SLIMPACK_TEST_ALL") {
        Some(_) => 1,
        None => 10,
    };
    let scanned = temporary();
    fs::create_dir(scanned.path().join("etc")).unwrap();
    fs::copy("/etc/os-release", scanned.path().join("etc/os-release")).unwrap();
    let mut images = Vec::new();
    let runs = program_runs::all().into_iter().step_by(step);
    let has_trees = common::given(TREES).is_some();
    for mut run in runs.filter(|run| !run.setup.contains(TREES) || has_trees) {
        if !run.program.starts_with("DIR") {
            match common::find(&run.program) {
                Some(found) => run.program = found.to_str().unwrap().to_owned(),
                None => continue,
            }
        }
        let number = images.len().to_string();
        let owners = packed(&run, &scanned.path().join(number));
        images.push((run.name, owners));
    }
    let mut syft = Command::new("syft");
    syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    syft.args(["scan", "-q", "-o", "json"]);
    let found = succeed(syft.arg(format!("dir:{}", scanned.path().display())));
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let versions = succeed(Command::new("dpkg-query").args(["-W", "-f=${Package} ${Version}\n"]));
    let versions: BTreeSet<&str> = versions.lines().collect();
    let mut by_image: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for artifact in found["artifacts"].as_array().unwrap() {
        let name = artifact["name"].as_str().unwrap();
        let version = artifact["version"].as_str().unwrap();
        assert!(
            versions.contains(&*format!("{name} {version}")),
            "{name} {version}"
        );
        let purl = artifact["purl"].as_str().unwrap();
        let begin = format!("pkg:deb/debian/{}@", name.replace('+', "%2B"));
        assert!(
            purl.starts_with(&begin) && purl.contains("distro=debian-"),
            "{purl}"
        );
        for location in artifact["locations"].as_array().unwrap() {
            let path = location["path"].as_str().unwrap();
            let image = path.split('/').nth(1).unwrap().parse().unwrap();
            by_image.entry(image).or_default().insert(name.to_owned());
        }
    }
    let (mut packages, mut files) = (0, 0);
    for (number, (name, owners)) in images.iter().enumerate() {
        let found = by_image.remove(&number).unwrap_or_default();
        // Each file has the record of an owner; each record is that of an owner.
        for (path, owners) in owners {
            assert!(
                !owners.is_disjoint(&found),
                "{name}: {path:?} of {owners:?}: {found:?}"
            );
        }
        let all: BTreeSet<_> = owners.values().flatten().cloned().collect();
        let strange: Vec<_> = found.difference(&all).collect();
        assert!(strange.is_empty(), "{name}: {strange:?}");
        packages += found.len();
        files += owners.len();
    }
    assert!(by_image.is_empty());
    let count = images.len();
    println!("{count} images: {packages} packages own {files} files");
    assert!(count >= 10 && packages > 5 * count);
}
