//! Differences as text: like a diff, with + and -.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::size;
use crate::diff::{Change, DiffEntry, ElfChange, Setting, TreeDiff};
use crate::vfs::one_line;

const DIM: Style = Style::new().dimmed();
const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();

/// Lists what differs between two trees.
///
/// # Errors
/// When `out` fails.
pub fn diff(diff: &TreeDiff, out: &mut dyn Write) -> io::Result<()> {
    for entry in &diff.removed {
        line('-', REMOVED, entry, out)?;
    }
    for entry in &diff.added {
        line('+', ADDED, entry, out)?;
    }
    for changed in &diff.changed {
        let path = shown(&changed.path);
        writeln!(out, "{CHANGED}~ {path}{CHANGED:#}")?;
        for change in &changed.changes {
            describe(change, out)?;
        }
    }
    for folder in &diff.folders {
        writeln!(
            out,
            "{DIM}bytes{DIM:#} {}  {} → {} ({})",
            shown(&folder.folder),
            size(folder.before),
            size(folder.after),
            difference(folder.before, folder.after)
        )?;
    }
    Ok(())
}

/// Lists the settings that differ.
///
/// # Errors
/// When `out` fails.
pub fn diff_settings(settings: &[Setting], out: &mut dyn Write) -> io::Result<()> {
    /// Maximum number of characters of a value; --json prints all.
    const LONG: usize = 160;
    let text = |value: &Option<serde_json::Value>| {
        let text = value.as_ref().map(|value| one_line(&value.to_string()));
        let mut text = text.unwrap_or("none".to_owned());
        if let Some((at, _)) = text.char_indices().nth(LONG) {
            text.truncate(at);
            text.push('…');
        }
        text
    };
    for setting in settings {
        let (before, after) = (text(&setting.before), text(&setting.after));
        let field = one_line(&setting.field);
        writeln!(out, "{CHANGED}~ {field}{CHANGED:#}  {before} → {after}")?;
    }
    Ok(())
}

/// Lists what differs between two ELF files.
///
/// # Errors
/// When `out` fails.
pub fn diff_elf(changes: &[ElfChange], out: &mut dyn Write) -> io::Result<()> {
    for change in changes {
        let fact = one_line(&change.fact);
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => {
                writeln!(
                    out,
                    "    {fact}  {} → {}",
                    one_line(before),
                    one_line(after)
                )?;
            }
            (Some(before), None) => {
                writeln!(out, "    {REMOVED}- {fact} {}{REMOVED:#}", one_line(before))?;
            }
            (None, Some(after)) => {
                writeln!(out, "    {ADDED}+ {fact} {}{ADDED:#}", one_line(after))?;
            }
            (None, None) => {}
        }
    }
    Ok(())
}

fn line(sign: char, style: Style, entry: &DiffEntry, out: &mut dyn Write) -> io::Result<()> {
    let path = shown(&entry.path);
    match entry.kind {
        "file" => writeln!(out, "{style}{sign} {path}{style:#}  {}", size(entry.bytes)),
        "folder" => writeln!(out, "{style}{sign} {path}/{style:#}"),
        kind => writeln!(out, "{style}{sign} {path}{style:#}  {DIM}{kind}{DIM:#}"),
    }
}

fn describe(change: &Change, out: &mut dyn Write) -> io::Result<()> {
    match change {
        Change::Type { before, after } => writeln!(out, "    type  {before} → {after}"),
        Change::Mode { before, after } => writeln!(out, "    mode  {before} → {after}"),
        Change::Owner { before, after } => writeln!(out, "    owner  {before} → {after}"),
        Change::Capabilities { before, after } => {
            let text = |capabilities: &Option<String>| match capabilities {
                Some(text) => text.clone(),
                None => "none".to_owned(),
            };
            let (before, after) = (text(before), text(after));
            writeln!(out, "    capabilities  {before} → {after}")
        }
        Change::Target { before, after } => {
            writeln!(out, "    target  {} → {}", shown(before), shown(after))
        }
        Change::Content { before, after, elf } => {
            match before == after {
                true => writeln!(out, "    content  {}", size(*before))?,
                false => writeln!(
                    out,
                    "    content  {} → {} ({})",
                    size(*before),
                    size(*after),
                    difference(*before, *after)
                )?,
            }
            diff_elf(elf, out)
        }
    }
}

fn difference(before: u64, after: u64) -> String {
    match after >= before {
        true => format!("+{}", size(after - before)),
        false => format!("-{}", size(before - after)),
    }
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}
