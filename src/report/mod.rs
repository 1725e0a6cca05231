//! Output for users and programs.
//!
//! In: closures, plans, written images. Out: text and JSON. No decisions are made
//! here.

mod binding;
mod columns;
mod diff;
mod extract;
mod graph;
mod inspect;
mod inspect_json;
pub mod lint;
mod listing;
mod needs;
mod plan;
mod plan_json;
mod tree;
mod tree_json;
mod why;

pub use binding::BindingReport;
pub(crate) use diff::{change_text, elf_change_text};
pub use diff::{diff, diff_elf, diff_settings};
pub use extract::{extracted, left_out};
pub use graph::{GraphLanguage, graph};
pub use inspect::{Detail, HistoryRow, Inspected, anomalies, configured, history, inspect};
pub use inspect_json::{inspect_json, inspected_json};
pub use needs::{NeedsOf, need_rules};
#[cfg(feature = "registry")]
pub use plan::pushed;
pub use plan::{Made, plan, summary};
pub use plan_json::plan_json;
pub use tree::{list, tree, tree_needs};
pub use tree_json::tree_json;
pub use why::why;

use bytesize::ByteSize;

/// A size as docker prints it, in decimal units: `3.1 MB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// "1 file", "3 files", "3 directories".
pub(crate) fn count(number: usize, thing: &str) -> String {
    match (number, thing.strip_suffix('y')) {
        (1, _) => format!("1 {thing}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {thing}s"),
    }
}
