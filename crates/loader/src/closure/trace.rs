//! Debug log of the loader's walk.
//!
//! In: a request and its answer. Out: lines at level debug, in the style of `LD_DEBUG=libs`
//! (`ld.so(8)`).

use std::ffi::OsStr;
use std::path::Path;

use crate::{Answer, LinkMap, Tried};
use slimpack_vfs::Grafted;

/// Logs what was tried for `name`, which the object `by` requests.
pub(super) fn search(map: &LinkMap, name: &OsStr, by: usize, answer: &Answer) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let objects = map.objects();
    let path_of = |index: usize| Grafted::host_path(&objects[index].opened_as);
    let found = match answer {
        Answer::Loaded(_) | Answer::Kernel => return,
        Answer::Found(found) | Answer::Same(_, found) => Some(found),
        Answer::Missing(_) => None,
    };
    log::debug!(
        "find library={} [needed by {}]; searching",
        name.display(),
        path_of(by).display()
    );
    match (found, answer) {
        (Some(found), _) => {
            tried(&found.tried);
            let path = Grafted::host_path(&found.opened_as);
            let rule = found.via.rule(by, &path_of);
            log::debug!("  trying file={}: found by {rule}", path.display());
        }
        (None, Answer::Missing(missing)) => {
            tried(missing);
            log::debug!("  not found");
        }
        (None, _) => {}
    }
}

fn tried(tried: &Tried) {
    let shown = |path: &Path| Grafted::host_path(path).display().to_string();
    for (path, why) in tried.lines() {
        match path {
            Some(path) => log::debug!("  trying file={}: {why}", shown(path)),
            None => log::debug!("  {why}"),
        }
    }
}
