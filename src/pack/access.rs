//! What the user of an image may read and write.
//!
//! In: the options, and the tree before or after it is built. Out: directories that are created or
//! kept for the user, and what the user may not access.

use std::path::Path;
use std::sync::Arc;

use super::accounts::Owners;
use super::subjects::requested;
use super::{Options, PackError};
use crate::exec::Accounts;
use crate::needs::{Addition, Cause, Hint, Provision};
use crate::rootfs::{Content, Placer, Reason, Rootfs, RootfsVfs};
use crate::source::Source;
use crate::vfs::{NodeKind, Owner, View};

/// Checks that the working directory that was typed is not a file.
///
/// # Errors
/// [`PackError::WorkingDir`]
pub(super) fn check_working_dir(rootfs: &Rootfs, options: &Options) -> Result<(), PackError> {
    let Some(path) = options.configured.working_dir.as_deref().map(Path::new) else {
        return Ok(());
    };
    match rootfs.node(path).map(|node| &node.content) {
        Some(Content::File(_)) => Err(PackError::WorkingDir(path.to_path_buf())),
        _ => Ok(()),
    }
}

/// Replaces the need's name for directories of the source image.
const KEPT: &str = "--from";

/// The directories of the source that are kept for the program to write to, or to start in.
pub(super) fn kept(options: &Options, source: &Source) -> Vec<Provision> {
    let directories = options.kept.iter().filter_map(|(path, sign)| {
        let walk = source.view.walk(path).ok()?;
        let is_directory = walk.metadata.kind == NodeKind::Directory;
        let addition = Addition::Folder(path.clone(), walk.metadata.mode);
        let cause = Cause {
            need: KEPT,
            object: None,
            sign: (*sign).to_owned(),
        };
        is_directory.then(|| Provision::usual(addition, cause))
    });
    directories.collect()
}

/// Creates the working directory and the volumes that were typed, so that the image's user may
/// write to them: engines would create them for root.
pub(super) fn make_folders(
    placer: &mut Placer<'_>,
    options: &Options,
    source: &Source,
) -> Result<(), PackError> {
    let configured = &options.configured;
    let user = configured.user.as_deref().unwrap_or_default();
    let working_dir = configured.working_dir.iter();
    let working_dir = working_dir.map(|path| (path, "--workdir"));
    let volumes = configured.volumes.iter().map(|path| (path, "--volume"));
    for (path, option) in working_dir.chain(volumes) {
        let path = Path::new(path);
        // What a configuration inherits is as in the image.
        let is_inherited = options.kept.iter().any(|(kept, _)| kept == path);
        if path != Path::new("/") && !is_inherited {
            let owner = Owners::new(source, options).owner(user)?;
            placer.make_folder(path, owner, &requested(option));
        }
    }
    Ok(())
}

/// Reports what was added that the user of the image may not read.
pub(super) fn unreadable(
    rootfs: &Arc<Rootfs>,
    options: &Options,
    source: &Source,
) -> Option<String> {
    let user = options.configured.user.as_deref()?;
    // What comes from an image is as inaccessible to its user as it was there.
    if source.is_image() {
        return None;
    }
    let configured = Owners::new(source, options).numbers(user).ok()?;
    // The groups are those in the image's own /etc/passwd and /etc/group.
    let vfs = RootfsVfs::new(rootfs.clone(), source.view.clone());
    let image = View::new(Box::new(vfs), source.view.memo().clone());
    let ids = Accounts::of(&image).process(&configured).ok()?;
    if ids.uid == 0 {
        return None;
    }
    let closed = rootfs.nodes().filter(|(_, node)| {
        let shift = match node.owner {
            Owner { uid, .. } if uid == ids.uid => 6,
            Owner { gid, .. } if ids.gids.contains(&gid) => 3,
            _ => 0,
        };
        let is_open = match &node.content {
            // Its names are of no use without permission to search it.
            Content::Directory(mode) => mode >> shift & 0o5 == 0o5,
            Content::File(file) => file.mode >> shift & 0o4 != 0,
            Content::Symlink(_) => true,
        };
        !is_open && node.reasons.iter().any(Reason::is_by_hand)
    });
    let mut closed = closed.map(|(path, _)| path);
    let first = closed.next()?.display();
    let more = match closed.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the user {user} may not read {first}{more}: give it to the user with --add SRC:DEST,chown={user}"
    ))
}

/// Reports if the home of the image's user, to which engines set HOME, is not in the image.
pub(super) fn homeless(rootfs: &Rootfs, options: &Options, source: &Source) -> Option<Hint> {
    let user = options.configured.user.as_deref()?;
    let owners = Owners::new(source, options);
    // Without users in the image, engines set HOME to the root.
    rootfs.node(Path::new("/etc/passwd"))?;
    let home = owners.home(user)?;
    let is_meant = home != Path::new("/") && !home.starts_with("/nonexistent");
    let is_there = rootfs.node(&home).is_some();
    if !is_meant || is_there {
        return None;
    }
    let home = home.display();
    Some(Hint {
        need: "home",
        why: format!("the user {user} has the home {home}"),
        adds: "it".to_owned(),
        flag: format!("--mkdir {home},chown={user}"),
        names: Vec::new(),
        more: 0,
    })
}
