//! Rights of files that an output has no place for.
//!
//! In: a plan that has been written. Out: notes on standard error.

use std::path::Path;

use crate::cli::say;
use crate::pack::Plan;
use crate::vfs::one_line;

/// Number of files that a note lists; the rest are counted.
const NAMED: usize = 5;

/// Reports that a root directory is without what only root can give its files.
pub(super) fn report_lost_in_folder(plan: &Plan, path: &Path) {
    if !rustix::process::geteuid().is_root() && plan.has_rights() {
        say(|err| {
            writeln!(
                err,
                "note: only root can set owners, setuid bits and capabilities: {} has none of \
                 them; an archive (-o FILE, --format rootfs-tar) has",
                path.display()
            )
        });
    }
}

/// Reports the file capabilities that an initrd is without: cpio has no extended attributes (Linux,
/// `Documentation/driver-api/early-userspace/buffer-format.rst`).
pub(super) fn report_lost_in_cpio(plan: &Plan) {
    let lost = plan.capabilities();
    for (path, capabilities) in lost.iter().take(NAMED) {
        let file = one_line(&format!("{} {capabilities}", path.display()));
        say(|err| {
            writeln!(
                err,
                "note: cpio has no file capabilities, and drops those of {file}; set them at boot \
                 with setcap, or pack with --normalize"
            )
        });
    }
    if lost.len() > NAMED {
        say(|err| writeln!(err, "note: and those of {} more files", lost.len() - NAMED));
    }
}
