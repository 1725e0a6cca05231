//! Container images: reading any, and writing deterministic ones.
//!
//! In: the tree, the platform and what the user wants configured. Out: an archive
//! that docker, podman, skopeo, umoci and containerd can read.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod archive;
mod compression;
mod config;
mod cpio;
mod digest;
mod folder;
mod format;
mod gzip;
mod layer;
mod layout;
mod part;
mod platform;
pub mod read;
mod reference;
#[cfg(feature = "registry")]
pub mod registry;
pub mod threads;
mod view;

pub use archive::{
    Destination, ImageError, Style, Written, WrittenImage, native, own_architecture, size_hint,
    write,
};
pub use compression::Compression;
pub use config::{Configured, MAX_RECORD_FILE, RECORD_FILE, Settings, is_record, recorded};
pub use digest::{Blob, Digester};
pub use folder::{FolderOptions, FolderOwners, write_folder};
pub use format::Format;
pub use layer::{
    Inode, LayerEntry, LayerError, LayerFile, LayerNode, LayerSource, copy_file, has_rights,
    write_tar,
};
pub use layout::write_layout;
pub use part::{LayerBlob, Part};
pub use platform::Platform;
pub use reference::{Tag, TagError};
pub use view::{ViewFile, ViewTree};
