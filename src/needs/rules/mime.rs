//! The types of files (shared MIME-info database).
//!
//! GLib tells the type of a file by it, and gdk-pixbuf the format of an image where it is built with
//! that (`g_content_type_guess`): without the database an SVG is "unrecognized". Its compiled files are
//! read, not those of each package that they are made from.

use std::path::Path;

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const DIRECTORY: &str = "/usr/share/mime";
/// What `update-mime-database(1)` writes.
const FILES: [&str; 9] = [
    "mime.cache",
    "aliases",
    "generic-icons",
    "globs2",
    "icons",
    "magic",
    "subclasses",
    "treemagic",
    "version",
];
const USERS: [&str; 4] = [
    "g_content_type_guess",
    "g_content_type_from_mime_type",
    "g_file_query_info",
    "g_file_info_get_content_type",
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "mime",
    mode: Mode::Hint,
    what: "the types of files (shared MIME-info database)",
    sign: "libgdk_pixbuf is loaded, or an import of g_content_type_guess and the like",
    adds: "the compiled database in /usr/share/mime",
    fires,
    supply,
    is_met: Some(|process| process.has("/usr/share/mime/mime.cache")),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if let Some(sign) = process.program_imports(&USERS) {
        return Some(sign);
    }
    process.loaded("libgio-2.0.so")?;
    let object = process.loaded("libgdk_pixbuf-2.0.so")?;
    Some(Sign::new(object, "tells formats by the types of files"))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let files = FILES.iter().map(|name| Path::new(DIRECTORY).join(name));
    let files = files.filter(|path| supply.process.has_file(path));
    let additions: Vec<Addition> = files.map(Addition::File).collect();
    match additions.is_empty() {
        true => Err("the source has no /usr/share/mime (package shared-mime-info)".into()),
        false => Ok(additions),
    }
}
