//! The files of a plan, for a terminal of 80 columns.
//!
//! In: the tree of an image. Out: a total by directory, and a line for each file with the links
//! that lead to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::columns::{COLUMNS, middle_out, rest, wrapped};
use super::plan::{BOLD, DIM, rights};
use super::{count, size};
use crate::pack::Plan;
use crate::rootfs::{Content, RootfsNode, RootfsVfs, SourceFile};
use crate::vfs::{NodeKind, View, safe};

/// Width of the size column, with the space after it.
const MARGIN: usize = 12;
/// Images with fewer files get no total by directory: the list itself is short.
const FEW: usize = 10;
/// Number of directories that the total lists.
const NAMED: usize = 8;
/// Depth of the directories in the total: `/usr/lib/python3.11`.
const DEPTH: usize = 3;

/// Writes all files, each with the links that lead to it, after a total by directory.
///
/// # Errors
/// When `out` fails.
pub(super) fn listing(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    by_directory(plan, out)?;
    let vfs = RootfsVfs::new(plan.rootfs.clone(), plan.source.view.clone());
    let view = View::new(Box::new(vfs), plan.source.view.memo().clone());
    let mut folded: BTreeMap<PathBuf, Vec<&Path>> = BTreeMap::new();
    let mut unfolded = BTreeSet::new();
    for (path, node) in plan.rootfs.nodes() {
        if let Content::Symlink(_) = &node.content {
            match view.walk(path) {
                Ok(walk) if walk.metadata.kind == NodeKind::File => {
                    folded.entry(walk.real.clone()).or_default().push(path);
                }
                _ => {
                    unfolded.insert(path);
                }
            }
        }
    }
    let (mut records, mut bytes) = (0, 0);
    for (path, node) in plan.rootfs.nodes() {
        match &node.content {
            Content::File(file) if node.is_package_record() => {
                records += 1;
                bytes += file.size();
            }
            Content::Symlink(target) if unfolded.contains(path) => {
                let text = format!("{} → {}", safe(path.display()), safe(target.display()));
                entry("link", &text, "", out)?;
            }
            Content::Symlink(_) => {}
            Content::File(file) => {
                let links = folded.get(path).map_or(&[][..], Vec::as_slice);
                file_entry(path, node, file, links, out)?;
            }
            Content::Directory(_) if node.reasons.is_empty() => {}
            Content::Directory(mode) => {
                let rights = rights(node, *mode, &[0o755]);
                entry(
                    "directory",
                    &format!("{}/", safe(path.display())),
                    &rights,
                    out,
                )?;
            }
        }
    }
    match records {
        0 => Ok(()),
        _ => entry(&size(bytes), &count(records, "package record"), "", out),
    }
}

/// A file with its size, its rights and the links that lead to it.
fn file_entry(
    path: &Path,
    node: &RootfsNode,
    file: &SourceFile,
    links: &[&Path],
    out: &mut dyn Write,
) -> io::Result<()> {
    let size = match file.saved() {
        0 => size(file.size()),
        saved => format!("{} of {}", size(file.size()), size(file.size() + saved)),
    };
    let rights = rights(node, file.mode, &[0o644, 0o755]);
    let mut text = safe(path.display()).to_string();
    let links = links_to(path, links);
    let has_room = MARGIN + text.len() + links.len() + rights.len() < COLUMNS;
    if has_room && !links.is_empty() {
        text = format!("{text} ← {links}");
    }
    entry(&size, &text, &rights, out)?;
    if !has_room && !links.is_empty() {
        let room = rest(MARGIN + 4);
        let lines = wrapped(&links, room).into_iter().enumerate();
        for (number, line) in lines {
            let arrow = if number == 0 { "←" } else { " " };
            writeln!(out, "{:MARGIN$}  {arrow} {}", "", middle_out(&line, room))?;
        }
    }
    Ok(())
}

/// One line: a size or a kind, and a path that is shortened to fit.
fn entry(what: &str, path: &str, rights: &str, out: &mut dyn Write) -> io::Result<()> {
    let rights = rights.trim_end();
    let taken = what.chars().count().max(MARGIN - 2) + 2;
    let after = match rights.is_empty() {
        true => String::new(),
        false => format!("  {rights}"),
    };
    let path = middle_out(path, rest(taken + after.chars().count()));
    writeln!(out, "{what:>10}  {path}{DIM}{after}{DIM:#}")
}

/// The links to a file, those in its own directory by their names.
fn links_to(file: &Path, links: &[&Path]) -> String {
    let names = links.iter().map(|link| {
        let is_beside = link.parent() == file.parent();
        let name = link.file_name().filter(|_| is_beside);
        safe(name.unwrap_or(link.as_os_str()).display()).to_string()
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The largest directories, each with the total of its subtree.
fn by_directory(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let mut totals: BTreeMap<PathBuf, (u64, usize)> = BTreeMap::new();
    let files = plan.rootfs.files().filter_map(|(path, node)| match node {
        RootfsNode {
            content: Content::File(file),
            ..
        } => Some((path, file.size())),
        _ => None,
    });
    let mut number = 0;
    for (path, bytes) in files {
        number += 1;
        let parent = path.parent().unwrap_or(path);
        let folder: PathBuf = parent
            .iter()
            .take(DEPTH + 1)
            .collect::<Vec<&OsStr>>()
            .iter()
            .collect();
        let total = totals.entry(folder).or_default();
        *total = (total.0 + bytes, total.1 + 1);
    }
    if number < FEW || totals.len() < 2 {
        return Ok(());
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_by(|(left, (a, _)), (right, (b, _))| b.cmp(a).then(left.cmp(right)));
    for (folder, (bytes, files)) in totals.iter().take(NAMED) {
        let files = format!("  {}", count(*files, "file"));
        let path = middle_out(
            &safe(folder.display()).to_string(),
            rest(MARGIN + files.chars().count()),
        );
        writeln!(out, "{:>10}  {BOLD}{path}{BOLD:#}{files}", size(*bytes))?;
    }
    let others = totals.get(NAMED..).unwrap_or_default();
    if !others.is_empty() {
        let (bytes, files) = others
            .iter()
            .fold((0, 0), |sum, (_, total)| (sum.0 + total.0, sum.1 + total.1));
        let others = count(others.len(), "other directory");
        writeln!(
            out,
            "{:>10}  {others}  {}",
            size(bytes),
            count(files, "file")
        )?;
    }
    writeln!(out)
}
