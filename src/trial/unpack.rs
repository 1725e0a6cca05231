//! A tree as the root directory of a program.
//!
//! In: a tree, an empty directory, and which users and groups there are. Out: its files, directories and
//! links, with their modes and, where there is such a user, their owners.

use std::io;
use std::path::Path;

use crate::image::{FolderOptions, FolderOwners, LayerError, ViewTree, write_folder};
use crate::run::IdMap;
use crate::vfs::{Owner, View};

/// When a file was last changed, in seconds since 1970.
pub(super) type ChangeTime<'a> = dyn Fn(&Path) -> u64 + 'a;

/// Writes a tree into an empty directory.
pub(super) fn unpack(
    view: &View,
    changed: &ChangeTime<'_>,
    root: &Path,
    map: &IdMap,
) -> Result<(), String> {
    let mut tree = ViewTree::new(view, changed);
    let owner = |Owner { uid, gid }: Owner| {
        let uid = Some(uid).filter(|id| map.has_user(*id));
        let gid = Some(gid).filter(|id| map.has_group(*id));
        (uid, gid)
    };
    let options = FolderOptions {
        time: 0,
        owners: FolderOwners::Mapped(&owner),
        go_on: &|| Ok(()),
    };
    tree.add(Path::new("/"))
        .and_then(|()| write_folder(&tree, root, &options))
        .map_err(|error| match error {
            LayerError::Write(error) if error.kind() == io::ErrorKind::StorageFull => {
                "cannot unpack the image: no memory is left for its files; run it with --runtime"
                    .to_owned()
            }
            error => format!("cannot unpack the image: {error}"),
        })
}
