//! slimpack turns a Linux program into the smallest container image that still runs it.
//!
//! The modules, in the order in which data flows through them:
//!
//! - [`elf`]: parsing one ELF object.
//! - [`vfs`]: a uniform read-only view of a file tree.
//! - [`loader`]: the search rules of glibc and musl, as (name, requester) → file and reason.
//! - [`closure`]: everything the loader would map for a program.
//! - [`binding`]: whether the versions and symbols of the libraries found match.
//! - [`rootfs`]: the file tree of the image, each file with its reason.
//! - [`proof`]: the same resolution again, inside that tree.
//! - [`image`]: the tree as a deterministic tar, and the archive around it.
//! - [`inputs`] and [`depfile`]: what the output depends on, for build systems.
//! - [`engine`]: the docker or podman of this machine, to load images into and save them from.
//! - `registry` (with the feature of that name): images in registries.
//! - [`image::read`] and [`inspect`]: the other direction, from an image to its tree and figures.
//! - [`trace`]: which files a run of a program looks up.
//! - [`run`]: a program in namespaces of its own, and [`trial`]: an image in them.
//! - [`exec`]: how a process starts: `PATH`, shebang lines, shells and starters.
//! - [`lint`]: whether everything in it would start, with [`needs`]: what programs read besides
//!   libraries.
//! - [`sbom`]: bills of materials.
//! - [`report`]: output for users and for other programs, and [`page`]: the same as a page of HTML.
//!
//! [`pack`] runs them from end to end; [`cli`] is the command line.
//!
//! Input files are never executed, except by [`trace`] and [`run`] when the user asks for a run.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub use slimpack_elf::{self as elf, strip};
pub use slimpack_image as image;
#[cfg(feature = "registry")]
pub use slimpack_image::registry;
pub use slimpack_loader::{self as loader, binding, closure};
pub use slimpack_run as run;
pub use slimpack_trace as trace;
pub use slimpack_vfs::{self as vfs, bytes};

pub mod cli;
pub mod config;
pub mod depfile;
pub mod diff;
pub mod engine;
pub mod exec;
pub mod inputs;
pub mod inspect;
pub mod lint;
pub mod needs;
pub mod output;
pub mod pack;
pub mod packages;
pub mod page;
pub mod proof;
pub mod remedy;
pub mod report;
pub mod rootfs;
pub mod sbom;
pub mod source;
pub mod suggest;
pub mod trial;
pub mod why;
