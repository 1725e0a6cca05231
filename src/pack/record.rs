//! The image's own record: why it contains each file that no loader requests.
//!
//! In: the finished tree. Out: reasons by path, in at most [`MAX_RECORD`] bytes, and on request all
//! of them in a file of the image. A key that ends in `/` applies to everything below that
//! directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::image::{MAX_RECORD_FILE, RECORD_FILE};
use crate::rootfs::{Content, Rootfs};

/// Maximum size of the record in a label as a JSON string, in bytes. The image contains it twice, in its
/// configuration and its manifest, and registries and their clients refuse documents over 4 MiB.
const MAX_RECORD: usize = 64 << 10;
/// Maximum number of reasons given for one directory.
const MAX_REASONS: usize = 8;
/// Maximum length of each of these reasons, in characters.
const MAX_TEXT: usize = 400;
/// Maximum number of programs that the history lists.
const MAX_PROGRAMS: usize = 16;

/// The record for a label, in at most [`MAX_RECORD`] bytes.
pub(super) fn reasons(rootfs: &Rootfs) -> BTreeMap<String, String> {
    within(rootfs, MAX_RECORD)
}

/// Writes the record into its file, if there is one: only now are all reasons known.
pub(super) fn fill(rootfs: &mut Rootfs) {
    let path = Path::new(RECORD_FILE);
    if rootfs.is_made(path) {
        let most = usize::try_from(MAX_RECORD_FILE).unwrap_or(usize::MAX);
        let record = serde_json::to_vec(&within(rootfs, most));
        rootfs.make(path, record.expect("keys of a record are strings"));
    }
}

/// Why paths that no loader requests are in the image: each path on its own if that fits, else
/// directories whose paths share a reason, else all reasons found below a directory.
fn within(rootfs: &Rootfs, most: usize) -> BTreeMap<String, String> {
    let exact = by_path(rootfs);
    if fits(&exact, most) {
        return exact;
    }
    let shared = by_shared_directory(rootfs, &exact);
    let deepest = shared.keys().map(|key| depth(key)).max().unwrap_or(0);
    let mut record = shared.clone();
    for depth in (0..deepest).rev() {
        if fits(&record, most) {
            break;
        }
        record = cut_at(&shared, depth);
    }
    record
}

/// The programs that the history of the image lists, by their paths in the image.
pub(super) fn made_of<'p>(programs: impl ExactSizeIterator<Item = &'p Path>) -> String {
    let more = programs.len().saturating_sub(MAX_PROGRAMS);
    let named = programs.take(MAX_PROGRAMS);
    let mut words: Vec<String> = named.map(|path| path.display().to_string()).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(" ")
}

fn fits(record: &BTreeMap<String, String>, most: usize) -> bool {
    // JSON inside a JSON string, as the image contains it: a control character of a hostile name
    // takes seven bytes there.
    let json = serde_json::to_string(record).and_then(|text| serde_json::to_string(&text));
    json.is_ok_and(|text| text.len() <= most)
}

fn by_path(rootfs: &Rootfs) -> BTreeMap<String, String> {
    let nodes = rootfs.nodes().filter_map(|(path, node)| {
        let needs = node.reasons.iter().filter(|reason| reason.is_need());
        let texts: Vec<String> = needs.map(ToString::to_string).collect();
        let path = match path.parent() {
            // The records of packages have one reason, and are alone in their directory.
            Some(directory) if node.is_package_record() => key(directory),
            _ => path.display().to_string(),
        };
        (!texts.is_empty()).then(|| (path, texts.join("; ")))
    });
    nodes.collect()
}

/// One entry for each directory in which every path has the same reason.
fn by_shared_directory(
    rootfs: &Rootfs,
    exact: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // The reason that everything below a directory shares; `None` if there is not exactly one.
    let mut shared: HashMap<&Path, Option<&str>> = HashMap::new();
    for (path, node) in rootfs.nodes() {
        let own = exact.get(&path.display().to_string()).map(String::as_str);
        if own.is_none() && matches!(node.content, Content::Directory(_)) {
            // Created on the way to something else.
            continue;
        }
        for directory in path.ancestors().skip(1) {
            let reason = shared.entry(directory).or_insert(own);
            if *reason != own {
                *reason = None;
            }
        }
    }
    let covers = |path: &&Path| shared.get(path).copied().flatten().is_some();
    let mut record = BTreeMap::new();
    for (path, text) in exact {
        let top = Path::new(path).ancestors().skip(1).filter(covers).last();
        let key = match top {
            Some(directory) => key(directory),
            None => path.clone(),
        };
        record.insert(key, text.clone());
    }
    record
}

/// The record cut at depth `most`: deeper paths are merged into their directory at that depth.
fn cut_at(record: &BTreeMap<String, String>, most: usize) -> BTreeMap<String, String> {
    let mut cut: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in record {
        let key = match depth(path) <= most {
            true => path.clone(),
            false => {
                let directory = Path::new(path).components().take(most + 1);
                key(directory.collect::<std::path::PathBuf>().as_path())
            }
        };
        cut.entry(key).or_default().insert(text);
    }
    let folded = cut.into_iter().map(|(key, texts)| {
        let more = texts.len().saturating_sub(MAX_REASONS);
        let few = texts.into_iter().take(MAX_REASONS);
        let few: Vec<String> = few
            .map(|text| text.chars().take(MAX_TEXT).collect())
            .collect();
        let text = few.join("; or ");
        let text = match more {
            0 => text,
            more => format!("{text}; or one of {more} more reasons"),
        };
        (key, text)
    });
    folded.collect()
}

fn key(directory: &Path) -> String {
    match directory.to_str() {
        Some("/") => "/".to_owned(),
        _ => format!("{}/", directory.display()),
    }
}

/// Number of components of a key below the root.
fn depth(key: &str) -> usize {
    Path::new(key).components().count().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_measured_as_the_image_contains_it() {
        // Each of these characters takes seven bytes in a JSON string in a JSON string.
        let record = |length| BTreeMap::from([("/\u{1}".repeat(length), "x".to_owned())]);
        assert!(fits(&record(8_000), MAX_RECORD));
        assert!(!fits(&record(9_000), MAX_RECORD));
    }

    #[test]
    fn what_is_deeper_is_told_of_its_directory() {
        let record = BTreeMap::from([
            ("/a/b/c".to_owned(), "x".to_owned()),
            ("/a/b/d".to_owned(), "y".to_owned()),
            ("/e".to_owned(), "z".to_owned()),
        ]);
        let cut = cut_at(&record, 1);
        let told: Vec<_> = cut.iter().map(|(key, text)| (&**key, &**text)).collect();
        assert_eq!(told, [("/a/", "x; or y"), ("/e", "z")]);
        let cut = cut_at(&record, 0);
        assert_eq!(cut.keys().collect::<Vec<_>>(), ["/"]);
    }
}
