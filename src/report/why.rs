//! Why a file is in an image, as text.

use std::io::{self, Write};

use anstyle::Style;

use super::{count, size};
use crate::vfs::one_line;
use crate::why::Why;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Number of chains that are printed without `-v`.
const FEW: usize = 5;

/// Prints the chains that lead to a file, each from what is started; all, or the shortest.
///
/// # Errors
/// When `out` fails.
pub fn why(why: &Why, shows_all: bool, out: &mut dyn Write) -> io::Result<()> {
    let path = one_line(&why.path.display().to_string());
    match why.kind {
        "file" => writeln!(out, "{BOLD}{path}{BOLD:#}  {}", size(why.bytes))?,
        kind => writeln!(out, "{BOLD}{path}{BOLD:#}  {DIM}{kind}{DIM:#}")?,
    }
    if why.needed_below > 0 {
        let paths = count(why.needed_below, "path");
        writeln!(out, "contains {paths} that something in the image leads to")?;
    } else if why.chains.is_empty() {
        return match why.kind {
            "file" => writeln!(
                out,
                "nothing that the image starts leads to it; removing it would save {}",
                size(why.bytes)
            ),
            _ => writeln!(out, "nothing that the image starts leads to it"),
        };
    }
    let shown = if shows_all { why.chains.len() } else { FEW };
    for chain in why.chains.iter().take(shown) {
        for (depth, step) in chain.iter().enumerate() {
            let indent = "  ".repeat(depth + 1);
            let path = one_line(&step.path.display().to_string());
            let rule = one_line(&step.rule);
            writeln!(out, "{indent}{path}  {DIM}{rule}{DIM:#}")?;
        }
    }
    match (why.chains.len().saturating_sub(shown), why.has_more_chains) {
        (0, false) => Ok(()),
        (0, true) => writeln!(out, "{DIM}and there are more chains{DIM:#}"),
        (1, _) => writeln!(out, "{DIM}and 1 more chain (-v shows it){DIM:#}"),
        (more, _) => writeln!(out, "{DIM}and {more} more chains (-v shows them){DIM:#}"),
    }
}
