//! The size that an image may have.
//!
//! In: the tree of the image, and a limit. Out: an error with the options that make it smaller, if it
//! is larger.

use std::collections::BTreeMap;
use std::path::Path;

use super::PackError;
use crate::needs::{BY_HAND, TRACE};
use crate::rootfs::{Content, Reason, Rootfs, RootfsNode};

/// Most options that are named.
const NAMED: usize = 3;

/// Checks the size of all files together against a limit, both in bytes.
///
/// # Errors
/// [`PackError::TooLarge`].
pub(super) fn check(rootfs: &Rootfs, limit: Option<u64>) -> Result<(), PackError> {
    let bytes = rootfs.bytes();
    let Some(limit) = limit.filter(|limit| bytes > *limit) else {
        return Ok(());
    };
    let sizes = || {
        rootfs
            .nodes()
            .filter_map(|(path, node)| match &node.content {
                Content::File(file) => Some((path, node, file.size())),
                _ => None,
            })
    };
    let largest = sizes().max_by_key(|(.., size)| *size);
    let (largest, largest_bytes) =
        largest.map_or((Path::new("/"), 0), |(path, _, size)| (path, size));
    let mut spared: BTreeMap<String, u64> = BTreeMap::new();
    for (path, node, size) in sizes() {
        if let Some(option) = option(path, node) {
            *spared.entry(option).or_default() += size;
        }
    }
    let mut spared: Vec<(String, u64)> = spared.into_iter().collect();
    // Without any of it, the image would still be too large.
    if bytes - spared.iter().map(|(_, bytes)| bytes).sum::<u64>() > limit {
        spared.clear();
    }
    spared.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    spared.truncate(NAMED);
    Err(PackError::TooLarge {
        bytes,
        limit,
        largest: largest.to_path_buf(),
        largest_bytes,
        spared,
    })
}

/// The option that leaves a file out; `None` if a loader requests it.
fn option(path: &Path, node: &RootfsNode) -> Option<String> {
    let mut option = None;
    for reason in &node.reasons {
        let Reason::Need { need, .. } = reason else {
            return None;
        };
        let is_single = [BY_HAND, TRACE].contains(need);
        let own = match is_single || need.starts_with("--") {
            true => format!("--exclude {}", path.display()),
            false => format!("--without {need}"),
        };
        option.get_or_insert(own);
    }
    option
}
