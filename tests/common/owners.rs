//! The packages that own files, as `dpkg -S` has it on this machine.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The names of the packages that own each of these paths, without architectures; a path that none owns is
/// left out. Lists may have a path as it was before `/usr` was merged.
pub fn dpkg_owners(paths: &[PathBuf]) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let short = |path: &Path| {
        let rest = path.strip_prefix("/usr").ok()?;
        Some(Path::new("/").join(rest))
    };
    let mut by_name = BTreeMap::new();
    for path in paths {
        by_name.insert(path.clone(), path);
        by_name.extend(short(path).map(|short| (short, path)));
    }
    let mut owners: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let names: Vec<&PathBuf> = by_name.keys().collect();
    for names in names.chunks(1000) {
        // It fails if there is one path that no package has.
        let said = Command::new("dpkg").arg("-S").args(names).output().unwrap();
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            let (packages, name) = line.split_once(": ").unwrap();
            let Some(path) = by_name.get(Path::new(name)) else {
                continue;
            };
            let packages = packages.split(", ");
            let packages = packages.map(|package| package.split(':').next().unwrap().to_owned());
            owners.entry((*path).clone()).or_default().extend(packages);
        }
    }
    owners
}
