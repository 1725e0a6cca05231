//! What was extracted from an image.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};

use super::inspect::{more, printable};
use super::{count, size};
use crate::image::{LayerEntry, LayerSource};

const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// One line about what was written to a directory.
///
/// # Errors
/// Those of `out`.
pub fn extracted(tree: &dyn LayerSource, to: &Path, out: &mut dyn Write) -> io::Result<()> {
    let (mut files, mut links, mut directories) = (0, 0, 0);
    for node in tree.nodes() {
        match node.entry {
            LayerEntry::File(..) => files += 1,
            LayerEntry::Symlink(_) => links += 1,
            LayerEntry::Directory(_) => directories += 1,
        }
    }
    let counts = [(files, "file"), (links, "link"), (directories, "directory")];
    let counts = counts.map(|(number, thing)| count(number, thing));
    writeln!(
        out,
        "{}, {} → {}",
        counts.join(", "),
        size(tree.bytes()),
        printable(to)
    )
}

/// Warns about nodes that are not extracted; only of the first unless `all` is wanted.
///
/// # Errors
/// Those of `out`.
pub fn left_out(paths: &BTreeSet<PathBuf>, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let shown = if all { usize::MAX } else { 3 };
    for path in paths.iter().take(shown) {
        writeln!(
            out,
            "{WARNING}warning:{WARNING:#} {} is a device node, FIFO or socket; it is left out",
            printable(path)
        )?;
    }
    more(paths.len(), paths.len().min(shown), out)
}
