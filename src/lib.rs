//! slimpack turns a Linux program into the smallest container image that still runs it.
//!
//! The rooms, in the order in which data flows through them:
//!
//! - [`elf`]: the facts of one object, from its bytes.
//! - [`vfs`]: one read-only view of a file tree, whatever it is made of.
//! - [`loader`]: how glibc and musl search, as (name, requester) → file and reason.
//! - [`closure`]: everything the loader would map for a program.
//! - [`binding`]: whether versions and symbols of what was found fit together.
//! - [`rootfs`]: the file tree of the image, each file with its reason.
//! - [`proof`]: the same resolution again, inside that tree.
//! - [`layer`] and [`image`]: the tree as a deterministic tar, and the archive around it.
//! - [`inputs`] and [`depfile`]: what it depends on, for build systems.
//! - [`engine`]: docker or podman of this machine, to load images into and save them from.
//! - `registry` (with the feature of that name): images in registries.
//! - [`image::read`] and [`inspect`]: the way back, from any image to its tree and its figures.
//! - [`exec`]: how a process starts: `PATH`, shebang lines, shells and starters.
//! - [`lint`]: would everything in it start? With [`needs`], what programs read beside libraries.
//! - [`report`]: what people and programs read of it.
//!
//! [`pack`] leads through them from end to end; [`cli`] is the command line.
//!
//! Nothing of the input is ever executed.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod binding;
pub mod bytes;
pub mod cli;
pub mod closure;
pub mod config;
pub mod depfile;
pub mod diff;
pub mod elf;
pub mod engine;
pub mod exec;
pub mod image;
pub mod inputs;
pub mod inspect;
pub mod layer;
pub mod lint;
pub mod loader;
pub mod needs;
pub mod output;
pub mod pack;
pub mod packages;
pub mod proof;
#[cfg(feature = "registry")]
pub mod registry;
pub mod report;
pub mod rootfs;
pub mod source;
pub mod store;
pub mod strip;
pub mod suggest;
pub mod vfs;
pub mod why;
