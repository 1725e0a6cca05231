//! Bills of materials: what an image holds, for programs that check licenses and vulnerabilities.
//!
//! In: a plan, or an image that was read. Out: an [`Inventory`] of files with digests, packages with
//! package URLs, and what needs what; as SPDX 2.3 or CycloneDX 1.6 in JSON. The same image has the
//! same document, byte for byte.
//!
//! The documents are typed structs of their own. The type libraries were looked at and left:
//! `serde-spdx` and `serde-cyclonedx` generate builders for the whole schemas, and bring 26 crates
//! for the thirty fields that are written here; `cyclonedx-bom` brings 54, an XML writer among
//! them; `spdx-rs` is from 2023 and wants chrono and nom 7. None of them streams: each file of an
//! image would be held as a tree of options.

mod auditable;
mod copyright;
mod cyclonedx;
mod digests;
mod format;
mod go;
mod image;
mod inventory;
mod license;
mod pieces;
mod plan;
mod purl;
mod spdx;

use std::borrow::Cow;

pub use auditable::crates_in;
pub use copyright::declared;
pub use format::{SbomFormat, SbomTarget};
pub use go::{GoBuild, GoModule};
pub use image::of_image;
pub use inventory::{
    CauseKind, FileCause, ImageSubject, Inventory, MaterialFile, MaterialPackage, SbomError,
};
pub use license::Expression;
pub use plan::of_plan;

/// Most reasons that are given for one file: the libc of an image is needed by every library.
const MAX_REASONS: usize = 20;

/// The reasons for a file, bounded.
fn reasons(file: &MaterialFile) -> impl Iterator<Item = Cow<'_, str>> {
    let more = file.reasons.len().saturating_sub(MAX_REASONS);
    let few = file.reasons.iter().take(MAX_REASONS);
    let few = few.map(Cow::from);
    few.chain((more > 0).then(|| format!("and {more} more reasons").into()))
}

/// The package URL of the image; `None` if it has no digest.
fn image_purl(inventory: &Inventory) -> Option<String> {
    let image = &inventory.image;
    let digest = image.digest.as_deref()?;
    Some(purl::oci(&image.name, digest, &image.architecture))
}
