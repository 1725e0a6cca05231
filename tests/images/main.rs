//! Images: what is written and read, checked against engines, registries and image tools.

#![allow(clippy::unwrap_used)]

// Replaces the standard attribute in all modules.
#[macro_use(test)]
extern crate slimpack_test_attribute;

#[path = "../common/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/costs.rs"]
mod costs;
#[path = "../common/docker.rs"]
mod docker;
#[path = "../common/owners.rs"]
mod dpkg;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/image_writer.rs"]
mod image_writer;
#[path = "../common/packing.rs"]
mod packing;
#[path = "../common/podman.rs"]
mod podman;
#[path = "../common/root_images.rs"]
mod root_images;
#[path = "../common/roots.rs"]
mod roots;
#[path = "../common/schemas.rs"]
mod schemas;
#[path = "../common/servers.rs"]
mod servers;
#[path = "../common/layers.rs"]
mod stacks;

mod bounds;
mod databases;
mod engines;
mod extract;
mod extract_umoci;
mod faults;
mod faults_limits;
mod faults_roots;
mod formats;
mod growth;
mod hostile_images;
mod image;
mod initrds;
mod initrds_hostile;
mod instructions;
mod interop;
mod layers;
mod limits;
mod lint_engine;
#[cfg(feature = "registry")]
mod many;
mod minimize;
mod owners;
mod owners_closed;
mod owners_engines;
mod package_notes;
mod package_records;
mod platforms;
mod records;
#[cfg(feature = "registry")]
mod refusals;
mod registries;
#[cfg(feature = "registry")]
mod registry_answers;
#[cfg(feature = "registry")]
mod registry_attached;
#[cfg(feature = "registry")]
mod registry_conduct;
#[cfg(feature = "registry")]
mod registry_double;
mod registry_server;
mod root_folder;
mod runtimes;
mod sbom;
mod sbom_bad_input;
mod strip_images;

fn main() -> std::process::ExitCode {
    harness::run()
}
