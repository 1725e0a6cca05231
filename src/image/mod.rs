//! The image around the layer.
//!
//! In: the tree, the platform and what the user wants configured. Out: an archive
//! that docker, podman, skopeo, umoci and containerd read alike.

mod archive;
mod command;
mod config;
mod digest;
mod folder;
pub mod read;
mod reference;

pub use archive::{Destination, ImageError, Written, size_hint, write};
pub use command::{Interpreters, Shebang, Start, command_path, path_folders, shebang, variable};
pub use config::Settings;
pub use digest::{Blob, Digester};
pub use folder::write_folder;
pub use reference::{Tag, TagError};
