//! The part of a page about what differs between two images, or two ELF files.
//!
//! In: the differences. Out: rows for the template, and data for the script.

use std::mem;

use serde::Serialize;

use super::data::embedded;
use super::files::{PageBudget, sorted};
use super::{KeyFact, counted, grouped, shown, size};
use crate::diff::{Change, Changed, DiffEntry, ElfChange, Setting, TreeDiff};
use crate::report::{change_text, elf_change_text};

/// Maximum number of rows of a table.
const MOST: usize = 1000;
/// Maximum number of lines about one path.
const MOST_LINES: usize = 100;

/// What differs between two images for one platform.
pub struct ComparedTrees<'a> {
    /// The platform, if they have one.
    pub platform: Option<&'a str>,
    /// The first and the second image, as typed; `None` if it has no image for the platform.
    pub names: [Option<&'a str>; 2],
    /// Files and directories.
    pub files: &'a TreeDiff,
    /// Bytes of all files in the first and in the second.
    pub bytes: [u64; 2],
    /// Fields of the configuration.
    pub config: &'a [Setting],
    /// Number of layers of the first and of the second.
    pub layers: [usize; 2],
    /// Whether there is no difference.
    pub is_equal: bool,
}

/// What differs between two ELF files.
pub struct ElfPair<'a> {
    /// The facts that differ.
    pub changes: &'a [ElfChange],
    /// Whether they are the same, byte for byte.
    pub is_equal: bool,
}

pub(super) struct DiffPart {
    pub id: usize,
    pub name: String,
    /// The only image that has this platform.
    pub only_in: Option<String>,
    pub is_equal: bool,
    pub facts: Vec<KeyFact>,
    pub settings: Vec<SettingRow>,
    pub more_settings: usize,
    pub unlisted: usize,
    pub data: String,
}

pub(super) struct ElfPart {
    pub is_equal: bool,
    pub changes: Vec<ElfRow>,
    pub more: usize,
}

pub(super) struct SettingRow {
    pub field: String,
    pub before: String,
    pub after: String,
}

pub(super) struct ElfRow {
    pub sign: char,
    pub text: String,
}

/// One path that differs.
#[derive(Default, Serialize)]
struct ChangeEntry {
    path: String,
    change: &'static str,
    kind: &'static str,
    before: u64,
    after: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<String>,
}

impl ChangeEntry {
    /// Bytes of its texts.
    fn length(&self) -> usize {
        let lines = self.lines.iter().map(String::len);
        self.path.len() + lines.sum::<usize>()
    }
}

/// All that the script gets to know about a difference.
#[derive(Serialize)]
struct DiffData {
    kind: &'static str,
    changes: Vec<ChangeEntry>,
}

impl DiffPart {
    pub fn of(compared: &ComparedTrees<'_>, id: usize, budget: &mut PageBudget) -> Self {
        let files = compared.files;
        let entries = files.added.iter().map(|entry| alone(entry, "added"));
        let removed = files.removed.iter().map(|entry| alone(entry, "removed"));
        let changed = files.changed.iter().map(changed);
        let mut all: Vec<_> = entries.chain(removed).chain(changed).collect();
        // Those that move the most bytes are listed.
        let order = sorted(all.len(), &|left, right| {
            let moved = |entry: &ChangeEntry| entry.before.abs_diff(entry.after);
            let (left, right) = (&all[left], &all[right]);
            let by_bytes = moved(right).cmp(&moved(left));
            by_bytes.then_with(|| left.path.cmp(&right.path))
        });
        let before = all.len();
        let changes: Vec<_> = order
            .into_iter()
            .map(|at| mem::take(&mut all[at]))
            .take_while(|entry| budget.admits(entry.length()))
            .collect();
        let unlisted = before - changes.len();
        let only_in = match compared.names {
            [Some(name), None] | [None, Some(name)] => Some(shown(name)),
            _ => None,
        };
        let settings = compared.config.iter().take(MOST).map(setting_row);
        Self {
            id,
            name: shown(compared.platform.unwrap_or_default()),
            only_in,
            is_equal: compared.is_equal,
            facts: facts(compared),
            settings: settings.collect(),
            more_settings: compared.config.len().saturating_sub(MOST),
            unlisted,
            data: embedded(&DiffData {
                kind: "diff",
                changes,
            }),
        }
    }
}

fn facts(compared: &ComparedTrees<'_>) -> Vec<KeyFact> {
    let [before, after] = compared.bytes;
    let sum = |entries: &[DiffEntry]| {
        let bytes = entries.iter().map(|entry| entry.bytes);
        size(bytes.fold(0, u64::saturating_add))
    };
    let files = compared.files;
    let difference = match after >= before {
        true => format!("+{}", size(after - before)),
        false => format!("−{}", size(before - after)),
    };
    let [one, other] = compared.layers;
    let layers = match one == other {
        true => counted(one, "layer") + " each",
        false => format!("{one} → {}", counted(other, "layer")),
    };
    let (added, removed) = (files.added.len(), files.removed.len());
    let sizes = format!("{} → {}", size(before), size(after));
    let mut bytes = KeyFact::new("Bytes", difference, &sizes, "bytes");
    bytes.mood = if after < before { "good" } else { "" };
    let (changed, fields) = (grouped(files.changed.len()), grouped(compared.config.len()));
    vec![
        bytes,
        KeyFact::new("Added", grouped(added), &sum(&files.added), "changes"),
        KeyFact::new("Removed", grouped(removed), &sum(&files.removed), "changes"),
        KeyFact::new("Changed", changed, "in content or rights", "changes"),
        KeyFact::new("Configuration", fields, &layers, "configuration"),
    ]
}

fn alone(entry: &DiffEntry, change: &'static str) -> ChangeEntry {
    let (before, after) = match change {
        "added" => (0, entry.bytes),
        _ => (entry.bytes, 0),
    };
    ChangeEntry {
        path: shown(&entry.path.display().to_string()),
        change,
        kind: entry.kind,
        before,
        after,
        lines: Vec::new(),
    }
}

fn changed(changed: &Changed) -> ChangeEntry {
    let mut entry = ChangeEntry {
        path: shown(&changed.path.display().to_string()),
        change: "changed",
        kind: "file",
        before: 0,
        after: 0,
        lines: Vec::new(),
    };
    for change in &changed.changes {
        entry.lines.push(change_text(change));
        if let Change::Content { before, after, elf } = change {
            (entry.before, entry.after) = (*before, *after);
            let lines = elf.iter().map(elf_change_text);
            let lines = lines.map(|(sign, text)| format!("{sign} {text}"));
            entry.lines.extend(lines);
        }
    }
    let more = entry.lines.len().saturating_sub(MOST_LINES);
    entry.lines.truncate(MOST_LINES);
    entry.lines.iter_mut().for_each(|line| *line = shown(line));
    if more > 0 {
        entry.lines.push(format!("and {more} more"));
    }
    entry
}

fn setting_row(setting: &Setting) -> SettingRow {
    let text = |value: &Option<serde_json::Value>| match value {
        Some(value) => shown(&value.to_string()),
        None => "none".to_owned(),
    };
    SettingRow {
        field: shown(&setting.field),
        before: text(&setting.before),
        after: text(&setting.after),
    }
}

impl ElfPart {
    pub fn of(pair: &ElfPair<'_>) -> Self {
        let changes = pair.changes.iter().take(MOST);
        Self {
            is_equal: pair.is_equal,
            changes: changes
                .map(|change| {
                    let (sign, text) = elf_change_text(change);
                    ElfRow {
                        sign,
                        text: shown(&text),
                    }
                })
                .collect(),
            more: pair.changes.len().saturating_sub(MOST),
        }
    }
}
