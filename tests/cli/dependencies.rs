//! The crates that slimpack is built from, checked against `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cargo_metadata::semver::{Version, VersionReq};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};

/// All crates of the workspace, with their dependencies on this platform.
fn metadata() -> Metadata {
    let target = env!("SLIMPACK_TARGET");
    let options = ["--locked", "--filter-platform", target];
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(options.map(str::to_owned))
        .exec()
        .unwrap()
}

fn deny() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The strings of an array in `deny.toml`.
fn list<'t>(deny: &'t toml::Table, section: &str, key: &str) -> Vec<&'t str> {
    let list = deny[section][key].as_array().unwrap().iter();
    list.map(|item| item.as_str().unwrap()).collect()
}

/// The names of all crates that a crate is built from, itself included.
fn built_with<'m>(metadata: &'m Metadata, name: &str) -> BTreeSet<&'m str> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let needs: BTreeMap<&PackageId, Vec<&PackageId>> = nodes
        .iter()
        .map(|node| {
            let is_normal = |dependency: &&cargo_metadata::NodeDep| {
                let mut kinds = dependency.dep_kinds.iter();
                kinds.any(|kind| kind.kind == DependencyKind::Normal)
            };
            let needs = node.deps.iter().filter(is_normal);
            (&node.id, needs.map(|dependency| &dependency.pkg).collect())
        })
        .collect();
    let package = |name: &str| metadata.packages.iter().find(|one| *one.name == name);
    let mut left = vec![&package(name).unwrap().id];
    let mut seen = BTreeSet::new();
    while let Some(id) = left.pop() {
        if seen.insert(id) {
            left.extend(&needs[id]);
        }
    }
    seen.into_iter()
        .map(|id| metadata[id].name.as_str())
        .collect()
}

#[test]
fn lower_crates_are_built_without_what_higher_ones_need() {
    let metadata = metadata();
    let above = ["clap", "oci-spec", "reqwest", "rustls", "tar", "tokio"];
    for (name, others) in [
        ("slimpack-vfs", &["goblin", "slimpack-elf"][..]),
        ("slimpack-elf", &["slimpack-loader"]),
        ("slimpack-loader", &["slimpack-image"]),
    ] {
        let found = built_with(&metadata, name);
        for other in above.iter().chain(others) {
            assert!(!found.contains(other), "{name} is built with {other}");
        }
    }
    assert!(built_with(&metadata, "slimpack-image").contains("slimpack-vfs"));
    assert!(built_with(&metadata, "slimpack").is_superset(&above.into()));
}

#[test]
fn licenses_are_those_that_deny_toml_allows() {
    let deny = deny();
    let allowed = list(&deny, "licenses", "allow");
    let metadata = metadata();
    for package in &metadata.packages {
        let text = package.license.as_deref();
        let text = text.unwrap_or_else(|| panic!("{} has no license", package.name));
        let license = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX).unwrap();
        let is_allowed = |requirement: &spdx::LicenseReq| {
            let id = requirement.license.id();
            id.is_some_and(|id| allowed.contains(&id.name))
        };
        let is_allowed = license.evaluate(is_allowed);
        assert!(is_allowed, "{}: {text}", package.name);
    }
}

#[test]
fn each_crate_is_there_in_one_version_and_from_crates_io() {
    let deny = deny();
    let skipped = list(&deny, "bans", "skip").into_iter().map(|item| {
        let (name, versions) = item.split_once('@').unwrap();
        (name, VersionReq::parse(versions).unwrap())
    });
    let skipped: Vec<(&str, VersionReq)> = skipped.collect();
    let metadata = metadata();
    let mut versions: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for package in &metadata.packages {
        let is_skipped = |(name, versions): &(&str, VersionReq)| {
            *package.name == *name && versions.matches(&package.version)
        };
        if !skipped.iter().any(is_skipped) {
            let known = versions.entry(package.name.as_str()).or_default();
            known.push(&package.version);
        }
        if let Some(source) = &package.source {
            assert!(source.is_crates_io(), "{} is from {source}", package.name);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}
