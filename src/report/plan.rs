//! The plan of a pack, and the summary of what was written.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anstyle::Style;

use super::columns::{FIRM, labelled, paragraph};
use super::listing::listing;
use super::{count, size};
use crate::image::{Blob, Written};
use crate::needs::Hint;
use crate::pack::{Minimized, Plan};
use crate::rootfs::{Content, Reason, RootfsNode, SourceFile};
use crate::vfs::{Owner, one_line, safe};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();

/// Lists every file of the image with its size; if `verbose`, with the reason why it is included.
///
/// # Errors
/// When `out` fails.
pub fn plan(plan: &Plan, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    headline(plan, out)?;
    match verbose {
        true => files(plan, out)?,
        false => listing(plan, out)?,
    }
    warnings(plan, verbose, out)?;
    writeln!(out, "{}", totals(plan))
}

/// The libraries that loaders of the programs have to preload but cannot find, each once, with
/// what lists them.
fn missing_preloads(plan: &Plan) -> BTreeSet<(String, &'static str)> {
    let closures = plan.programs.iter().map(|program| &program.closure);
    let missing = closures.flat_map(|closure| closure.missing_preloads());
    missing
        .map(|(name, source)| (name.display().to_string(), source))
        .collect()
}

/// Warnings about libraries to preload that loaders will not find.
pub(super) fn preload_warnings(plan: &Plan) -> Vec<String> {
    let missing = missing_preloads(plan).into_iter();
    let warnings = missing.map(|(name, source)| {
        format!(
            "{source} lists {name}, which is not found; the loader prints an error at every start: \
             pack it with --add, or remove the name"
        )
    });
    warnings.collect()
}

/// Number of files, or symbols, that warnings list; the rest are counted.
const NAMED: usize = 5;

fn warnings(plan: &Plan, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    needs(plan, verbose, out)?;
    stripping(plan, out)?;
    minimized(plan, out)?;
    for library in &plan.missing {
        paragraph(
            "warning",
            &format!(
                "{} is left out (--allow-missing); {} will not start \
             without it",
                safe(library.name.display()),
                safe(library.program.display())
            ),
            out,
        )?;
    }
    lost_privileges(plan, out)?;
    for warning in preload_warnings(plan) {
        paragraph("warning", &one_line(&warning), out)?;
    }
    for call in plan.missed_calls.iter().take(NAMED) {
        paragraph(
            "warning",
            &format!(
                "no object defines {}; {} exits when it calls it",
                safe(&call.symbol),
                safe(call.caller.display())
            ),
            out,
        )?;
    }
    let more = plan.missed_calls.len().saturating_sub(NAMED);
    if more > 0 {
        paragraph(
            "warning",
            &format!("and {}", count(more, "more symbol")),
            out,
        )?;
    }
    Ok(())
}

/// Privileges that programs have in the source, and not in the image.
fn lost_privileges(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let lost = plan.rootfs.nodes().filter(|(_, node)| match &node.content {
        Content::File(file) => {
            let mode = file.walk().map_or(0, |walk| walk.metadata.mode & 0o6000);
            file.mode & mode != mode
        }
        Content::Directory(_) | Content::Symlink(_) => false,
    });
    for (path, _) in lost.take(NAMED) {
        let path = safe(path.display());
        let note = format!(
            "{path} is setuid or setgid here but not in the image; --keep-setuid keeps the bits"
        );
        paragraph("note", &note, out)?;
    }
    for path in plan.rootfs.malformed_capabilities() {
        let path = safe(path.display());
        let warning = format!("the file capabilities of {path} are malformed, and left out");
        paragraph("warning", &warning, out)?;
    }
    Ok(())
}

/// The needs that the image meets, each with the first reason.
pub(super) fn served(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut served: Vec<(&str, String)> = Vec::new();
    for (_, node) in plan.rootfs.nodes() {
        for reason in &node.reasons {
            if let Reason::Need { need, .. } = reason
                && !reason.is_of_an_option()
                && !served.iter().any(|(known, _)| known == need)
            {
                served.push((need, reason.to_string()));
            }
        }
    }
    served.sort();
    served
}

/// What programs need besides their libraries: what the image includes, and what it may lack.
fn needs(plan: &Plan, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let served = served(plan);
    if verbose {
        for (_, reason) in &served {
            writeln!(out, "{DIM}added{DIM:#} {}", one_line(reason))?;
        }
    } else if !served.is_empty() {
        let names: Vec<&str> = served.iter().map(|(need, _)| *need).collect();
        labelled("added", DIM, &names.join(", "), out)?;
    }
    for (path, node) in plan.rootfs.files() {
        if let Content::File(SourceFile {
            capabilities: Some(capabilities),
            ..
        }) = &node.content
        {
            let path = safe(path.display());
            writeln!(out, "{DIM}capabilities{DIM:#} {path} {capabilities}")?;
        }
    }
    for unserved in &plan.unserved {
        paragraph("warning", &one_line(unserved), out)?;
    }
    hints(plan, verbose, out)
}

/// What else the programs may need, the likeliest first.
fn hints(plan: &Plan, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    /// Number of hints that are listed without -v.
    const HINTS: usize = 3;
    /// Needs without which most programs that show the sign do not do their work, first of all.
    const LIKELY: [&str; 10] = [
        "argument",
        "stdlib",
        "dictionaries",
        "paths",
        "plugins",
        "directories",
        "libraries",
        "gconv",
        "home",
        "commands",
    ];
    let named = if verbose { usize::MAX } else { HINTS };
    let mut hints: Vec<&Hint> = plan.hints.iter().collect();
    hints.sort_by_key(|hint| {
        let place = LIKELY.iter().position(|need| *need == hint.need);
        place.unwrap_or(LIKELY.len())
    });
    for hint in hints.into_iter().take(named) {
        let Hint {
            flag, why, adds, ..
        } = hint;
        let more = match hint.more {
            0 => String::new(),
            1 => ", and 1 more program hints at it".to_owned(),
            more => format!(", and {more} more programs hint at it"),
        };
        // The flag is on its own line, ready to copy; other options of the need are for -v.
        let adds = match verbose {
            true => adds.replace("; ", "\n"),
            false => adds.split("; ").take(1).collect(),
        };
        let adds = adds.replace("--with ", &format!("--with{FIRM}"));
        let flag = flag.replace(' ', FIRM);
        let text = format!("{}{more}\n{flag} adds {adds}", one_line(why));
        paragraph("hint", &text, out)?;
    }
    match plan.hints.len().saturating_sub(named) {
        0 => Ok(()),
        more => paragraph(
            "hint",
            &format!("{} with -v", count(more, "more hint")),
            out,
        ),
    }
}

/// Figures of the source image and of the minimized one.
fn minimized(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let Some(Minimized { before, after, .. }) = &plan.minimized else {
        return Ok(());
    };
    let mut line = |what: &str, before: String, after: String| {
        writeln!(out, "{DIM}{what:>9}{DIM:#}  {before:>9} → {after}")
    };
    let percent = after.bytes.saturating_mul(1000) / before.bytes.max(1);
    let share = format!(" ({}.{} %)", percent / 10, percent % 10);
    line("bytes", size(before.bytes), size(after.bytes) + &share)?;
    line("files", before.files.to_string(), after.files.to_string())?;
    if let (Some(before), Some(after)) = (before.packages, after.packages) {
        line("packages", before.to_string(), after.to_string())?;
    }
    line(
        "setuid",
        before.setuid.to_string(),
        after.setuid.to_string(),
    )?;
    line(
        "shells",
        before.shells.to_string(),
        after.shells.to_string(),
    )?;
    line(
        "writable",
        before.writable.to_string(),
        after.writable.to_string(),
    )
}

/// What stripping saves, would save, and leaves alone.
fn stripping(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    /// Savings, in percent of the image, above which --strip is suggested.
    const WORTH: u64 = 10;
    /// Number of files that are listed; the rest are counted.
    const NAMED: usize = 5;
    let stripping = &plan.stripping;
    for (path, why) in stripping.left_alone.iter().take(NAMED) {
        let path = safe(path.display());
        paragraph("note", &format!("{path} is not stripped: {why}"), out)?;
    }
    let more = stripping.left_alone.len().saturating_sub(NAMED);
    if more > 0 {
        let files = count(more, "more file");
        paragraph("note", &format!("and {files}; --json lists all"), out)?;
    }
    if !stripping.files.is_empty() {
        let after = plan.rootfs.bytes();
        let (before, files) = (after + stripping.saved(), stripping.files.len());
        writeln!(
            out,
            "{DIM}stripped{DIM:#} {}, {} → {}",
            count(files, "file"),
            size(before),
            size(after)
        )?;
    }
    if plan.linked > 0 {
        writeln!(out, "{DIM}hard links{DIM:#} save {}", size(plan.linked))?;
    }
    let (could_save, bytes) = (stripping.could_save, plan.rootfs.bytes());
    if could_save.saturating_mul(100) / bytes.max(1) > WORTH {
        paragraph(
            "hint",
            &format!(
                "--strip would save {}: debug information and symbol tables",
                size(could_save)
            ),
            out,
        )?;
    }
    Ok(())
}

/// What was written to the output.
pub enum Made {
    /// Nothing: no output was requested.
    Nothing,
    /// Images, or the tar of a root.
    Written {
        /// Digests and sizes of what was written.
        written: Written,
        /// Whether the existing file is identical and was kept.
        is_unchanged: bool,
    },
    /// A root directory.
    Folder,
}

/// Prints what was written to `output`, and where else it was delivered.
///
/// # Errors
/// When `out` fails.
pub fn summary(
    plans: &[Plan],
    output: &Path,
    made: &Made,
    delivered: &[String],
    verbose: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (number, plan) in plans.iter().enumerate() {
        headline(plan, out)?;
        if verbose {
            files(plan, out)?;
        }
        warnings(plan, verbose, out)?;
        write!(out, "{}", totals(plan))?;
        if number + 1 < plans.len() {
            writeln!(out)?;
        }
    }
    let arrow = format!(" {DIM}→{DIM:#} ");
    match made {
        Made::Nothing => {}
        Made::Folder => write!(
            out,
            "{arrow}{} {DIM}(a root directory){DIM:#}",
            output.display()
        )?,
        Made::Written {
            written,
            is_unchanged,
        } => {
            let mut facts = vec![size(written.size)];
            match &written.images[..] {
                [image] => facts.extend(image.config.as_ref().map(image_id)),
                images => facts.push(platforms(plans, images.len())),
            }
            if *is_unchanged {
                facts.push("unchanged".to_owned());
            }
            let facts = facts.join(", ");
            write!(out, "{arrow}{} {DIM}({facts}){DIM:#}", output.display())?;
        }
    }
    for words in delivered {
        write!(out, "{arrow}{words}")?;
    }
    writeln!(out)
}

/// A text about the result of a push.
#[cfg(feature = "registry")]
pub fn pushed(name: &str, pushed: &crate::registry::Pushed) -> String {
    let mut facts = vec![match pushed.sent {
        0 => "0 blobs sent".to_owned(),
        sent => format!("{} sent, {}", count(sent, "blob"), size(pushed.sent_bytes)),
    }];
    for (number, word) in [(pushed.mounted, "mounted"), (pushed.there, "already there")] {
        if number > 0 {
            facts.push(format!("{number} {word}"));
        }
    }
    format!("{name} ({})", facts.join(", "))
}

fn image_id(config: &Blob) -> String {
    format!("image ID {}", &config.sha256[..12])
}

/// Which of several images docker loads: its archives do not support platforms.
fn platforms(plans: &[Plan], count: usize) -> String {
    let native = &plans[crate::image::native(plans.iter().map(|plan| &plan.settings))];
    format!(
        "{count} platforms; docker load takes {}",
        native.settings.platform
    )
}

/// `hello:latest  linux/amd64  dynamic (glibc)`
fn headline(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let settings = &plan.settings;
    let names: Vec<_> = settings
        .tags
        .iter()
        .map(|tag| tag.familiar.as_str())
        .collect();
    let closure = &plan.main_program().closure;
    let linkage = match plan.main_program().is_script {
        true => "script",
        false => closure.program().object.linkage().as_str(),
    };
    let libc = match &closure.rules {
        Some(rules) => format!(" ({})", rules.libc()),
        None => String::new(),
    };
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}  {}  {linkage}{libc}",
        names.join(", "),
        settings.platform,
    )
}

/// `3 files, 4 links, 2.2 MB`
fn totals(plan: &Plan) -> String {
    let is_link = |node: &RootfsNode| matches!(node.content, Content::Symlink(_));
    let links = plan
        .rootfs
        .files()
        .filter(|(_, node)| is_link(node))
        .count();
    let files = plan.rootfs.files().count() - links;
    let mut text = count(files, "file");
    if links > 0 {
        text.push_str(&format!(", {}", count(links, "link")));
    }
    format!("{text}, {}", size(plan.rootfs.bytes()))
}

/// Owner and mode of a node, unless they are the default ones.
pub(super) fn rights(node: &RootfsNode, mode: u32, usual: &[u32]) -> String {
    let Owner { uid, gid } = node.owner;
    match (uid, gid) == (0, 0) && usual.contains(&mode) {
        true => String::new(),
        false => format!("{uid}:{gid} {mode:04o}  "),
    }
}

fn files(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    for (path, node) in plan.rootfs.nodes() {
        let reason = node.reasons.first().map(ToString::to_string);
        let reason = safe(reason.unwrap_or_default());
        let more = match node.reasons.len() {
            0 | 1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        match &node.content {
            Content::Symlink(target) => writeln!(
                out,
                "{:>10}  {} {DIM}→{DIM:#} {}  {DIM}{reason}{more}{DIM:#}",
                "link",
                safe(path.display()),
                safe(target.display()),
            )?,
            Content::File(file) => {
                let before = match file.saved() {
                    0 => String::new(),
                    saved => format!("{DIM} of {}{DIM:#}", size(file.size() + saved)),
                };
                writeln!(
                    out,
                    "{:>10}{before}  {}  {DIM}{}{reason}{more}{DIM:#}",
                    size(file.size()),
                    safe(path.display()),
                    rights(node, file.mode, &[0o644, 0o755]),
                )?;
            }
            Content::Directory(_) if node.reasons.is_empty() => {}
            Content::Directory(mode) => writeln!(
                out,
                "{:>10}  {}/  {DIM}{}{reason}{more}{DIM:#}",
                "directory",
                safe(path.display()),
                rights(node, *mode, &[0o755]),
            )?,
        }
    }
    Ok(())
}
