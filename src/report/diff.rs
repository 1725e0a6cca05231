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
        let (sign, text) = elf_change_text(change);
        match sign {
            '-' => writeln!(out, "    {REMOVED}- {text}{REMOVED:#}")?,
            '+' => writeln!(out, "    {ADDED}+ {text}{ADDED:#}")?,
            _ => writeln!(out, "    {text}")?,
        }
    }
    Ok(())
}

/// A change of an ELF file as text, and whether it was added (`+`), removed (`-`) or changed (`~`).
pub(crate) fn elf_change_text(change: &ElfChange) -> (char, String) {
    let fact = one_line(&change.fact);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let (before, after) = (one_line(before), one_line(after));
            ('~', format!("{fact}  {before} → {after}"))
        }
        (Some(before), None) => ('-', format!("{fact} {}", one_line(before))),
        (None, after) => {
            let after = after.as_deref().unwrap_or_default();
            ('+', format!("{fact} {}", one_line(after)))
        }
    }
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
    writeln!(out, "    {}", change_text(change))?;
    match change {
        Change::Content { elf, .. } => diff_elf(elf, out),
        _ => Ok(()),
    }
}

/// A change as text, without the changes inside an ELF file.
pub(crate) fn change_text(change: &Change) -> String {
    match change {
        Change::Type { before, after } => format!("type  {before} → {after}"),
        Change::Mode { before, after } => format!("mode  {before} → {after}"),
        Change::Owner { before, after } => format!("owner  {before} → {after}"),
        Change::Capabilities { before, after } => {
            let text = |capabilities: &Option<String>| match capabilities {
                Some(text) => text.clone(),
                None => "none".to_owned(),
            };
            format!("capabilities  {} → {}", text(before), text(after))
        }
        Change::Target { before, after } => {
            format!("target  {} → {}", shown(before), shown(after))
        }
        Change::Content { before, after, .. } if before == after => {
            format!("content  {}", size(*before))
        }
        Change::Content { before, after, .. } => format!(
            "content  {} → {} ({})",
            size(*before),
            size(*after),
            difference(*before, *after)
        ),
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
