//! What is in an image, as text.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use oci_spec::image::Config;

use super::{count, size};
use crate::image::read::{Anomalies, Description, Image, Layer, Node};
use crate::inspect::{Figures, FileKind, visible_bytes};
use crate::vfs::{Capabilities, NodeKind, one_line};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Maximum number of lines of a list without `-v`.
const MOST: usize = 8;
/// Maximum width of a line's last column, in characters.
const WIDTH: usize = 76;

/// An image with its figures.
pub struct Inspected<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its figures.
    pub figures: &'a Figures,
}

/// What to show in addition to the summary.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Every file, as a tree.
    pub files: bool,
    /// Every layer with its digests.
    pub layers: bool,
    /// Lists and lines are not truncated.
    pub all: bool,
}

/// A row of the history; the oldest comes first.
pub struct HistoryRow {
    /// When, as in the configuration.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// What the builder says of it, unless that is empty.
    pub comment: Option<String>,
    /// Index of the layer that it created.
    pub layer: Option<usize>,
    /// Bytes of the files in that layer, as in `docker history`.
    pub bytes: u64,
}

/// The history, each row with the layer that it created.
pub fn history(description: &Description, layers: &[Layer]) -> Vec<HistoryRow> {
    let mut next = 0;
    let rows = description.config.history().iter().flatten();
    rows.map(|row| {
        let is_empty = row.empty_layer().unwrap_or(false) || next >= layers.len();
        let layer = (!is_empty).then_some(next);
        next += usize::from(!is_empty);
        HistoryRow {
            created: row.created().clone(),
            created_by: row.created_by().clone().unwrap_or_default(),
            comment: row.comment().clone().filter(|comment| !comment.is_empty()),
            layer,
            bytes: layer.map_or(0, |layer| layers[layer].bytes),
        }
    })
    .collect()
}

/// Prints a summary of one image, then what `detail` requests.
///
/// # Errors
/// When `out` fails.
pub fn inspect(
    target: &Path,
    kind: &str,
    inspected: &Inspected<'_>,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let image = inspected.image;
    match &image.description {
        Some(description) => {
            let name = match description.tags.is_empty() {
                true => target.display().to_string(),
                false => description.tags.join(", "),
            };
            let name = one_line(&name);
            let platform = one_line(&description.platform.to_string());
            writeln!(out, "{BOLD}{name}{BOLD:#}  {platform}  {kind}")?;
            configuration(description, detail, out)?;
            layers(image, description, detail, out)?;
        }
        None => writeln!(out, "{BOLD}{}{BOLD:#}  {kind}", target.display())?,
    }
    figures(inspected.figures, detail, out)?;
    anomalies(&image.tree.anomalies, detail.all, out)?;
    if detail.files {
        writeln!(out, "{BOLD}tree{BOLD:#}")?;
        files(image, out)?;
    }
    Ok(())
}

fn field(name: &str, value: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {DIM}{name:<12}{DIM:#}{}", one_line(value))
}

fn configuration(description: &Description, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let mut fields = configured(description).into_iter();
    fields.try_for_each(|(name, values)| list(name, &values, detail, out))
}

/// The fields of an image's configuration that are set, each with its values.
pub fn configured(description: &Description) -> Vec<(&'static str, Vec<String>)> {
    let created = description.config.created().as_ref().map(|created| {
        let author = description.config.author().as_deref();
        match author.filter(|author| !author.is_empty()) {
            Some(author) => format!("{created} by {author}"),
            None => created.clone(),
        }
    });
    let nothing = Config::default();
    let config = description.config.config().as_ref().unwrap_or(&nothing);
    let words = |list: &Option<Vec<String>>| {
        let list = list.as_ref().filter(|list| !list.is_empty());
        list.and_then(|list| serde_json::to_string(list).ok())
    };
    let sorted = |list: &Option<Vec<String>>| {
        let mut list = list.clone().filter(|list| !list.is_empty())?;
        list.sort();
        Some(list.join(", "))
    };
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let healthcheck = description.healthcheck.as_ref();
    let single = [
        ("image ID", Some(description.id.clone())),
        ("digest", description.digest.clone()),
        ("created", created),
        ("entrypoint", words(config.entrypoint())),
        ("cmd", words(config.cmd())),
        ("user", text(config.user())),
        ("workdir", text(config.working_dir())),
        ("ports", sorted(config.exposed_ports())),
        ("volumes", sorted(config.volumes())),
        ("stop signal", text(config.stop_signal())),
        ("healthcheck", healthcheck.map(ToString::to_string)),
    ];
    let single = single.into_iter();
    let mut fields: Vec<_> = single
        .filter_map(|(name, value)| Some((name, vec![value?])))
        .collect();
    let mut labels: Vec<_> = config.labels().iter().flatten().collect();
    labels.sort();
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    fields.push(("env", config.env().clone().unwrap_or_default()));
    fields.push(("label", labels.collect()));
    fields.retain(|(_, values)| !values.is_empty());
    fields
}

/// A field with several values, the first few unless all are wanted.
fn list(name: &str, values: &[String], detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let shown = if detail.all { values.len() } else { MOST };
    for value in values.iter().take(shown) {
        field(name, &line(value, detail), out)?;
    }
    more(values.len(), shown, out)
}

pub(super) fn more(number: usize, shown: usize, out: &mut dyn Write) -> io::Result<()> {
    match number.checked_sub(shown).filter(|more| *more > 0) {
        Some(more) => writeln!(out, "  {DIM}and {more} more (-v){DIM:#}"),
        None => Ok(()),
    }
}

/// A text on one line, without control characters, truncated to the width of the column.
fn line(text: &str, detail: Detail) -> String {
    let plain = one_line(text);
    let limit = if detail.all { usize::MAX } else { WIDTH };
    if text.chars().count() <= limit {
        return plain;
    }
    let mut cut: String = plain.chars().take(limit - 1).collect();
    cut.push('…');
    cut
}

fn layers(
    image: &Image,
    description: &Description,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let total: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let visible = detail.layers.then(|| visible_bytes(image));
    let heading = count(image.layers.len(), "layer");
    writeln!(out, "{BOLD}{heading}{BOLD:#}  {}", size(total))?;
    for (number, layer) in image.layers.iter().enumerate() {
        if !detail.layers && number == MOST {
            more(image.layers.len(), MOST, out)?;
            break;
        }
        let packed = match layer.compression.name() {
            "none" => String::new(),
            name => format!(", {name}, {} unpacked", size(layer.bytes)),
        };
        let files = count(layer.files, "file");
        let digest = one_line(layer.digest.as_ref().unwrap_or(&layer.diff_id));
        let shown = if detail.layers { digest.len() } else { 19 };
        let digest = digest.get(..shown).unwrap_or(&digest);
        writeln!(
            out,
            "{:>10}  {DIM}{digest}{DIM:#}  {files}{packed}",
            size(layer.size)
        )?;
        if let Some(visible) = &visible {
            let media_type = one_line(layer.media_type.as_deref().unwrap_or("not specified"));
            writeln!(
                out,
                "            {DIM}diff ID    {}{DIM:#}",
                one_line(&layer.diff_id)
            )?;
            writeln!(out, "            {DIM}media type {media_type}{DIM:#}")?;
            writeln!(
                out,
                "            {DIM}{} of {} visible in the image{DIM:#}",
                size(visible[number]),
                size(layer.bytes)
            )?;
        }
    }
    history_rows(image, description, detail, out)
}

fn history_rows(
    image: &Image,
    description: &Description,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows = history(description, &image.layers);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "{BOLD}history{BOLD:#}  {DIM}newest first{DIM:#}")?;
    let shown = if detail.layers || detail.all {
        rows.len()
    } else {
        MOST
    };
    for row in rows.iter().rev().take(shown) {
        let day = row.created.as_deref().unwrap_or_default();
        let day = one_line(day.get(..10).unwrap_or(day));
        let what = match (&row.comment, row.created_by.is_empty()) {
            (Some(comment), true) => comment,
            _ => &row.created_by,
        };
        let cut = Detail {
            all: detail.layers || detail.all,
            ..detail
        };
        writeln!(
            out,
            "{:>10}  {DIM}{day}{DIM:#}  {}",
            size(row.bytes),
            line(what, cut)
        )?;
    }
    more(rows.len(), shown, out)
}

fn figures(figures: &Figures, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let mut totals = count(figures.files, "file");
    for (number, thing) in [
        (figures.links, "link"),
        (figures.folders, "directory"),
        (figures.specials, "device"),
    ] {
        if number > 0 {
            totals.push_str(&format!(", {}", count(number, thing)));
        }
    }
    writeln!(out, "{BOLD}{totals}{BOLD:#}  {}", size(figures.bytes))?;
    for (kind, share) in FileKind::ALL.iter().zip(&figures.kinds) {
        if share.files > 0 && *kind != FileKind::Link {
            writeln!(
                out,
                "{:>10}  {} {DIM}({}){DIM:#}",
                size(share.bytes),
                kind.as_str(),
                share.files
            )?;
        }
    }
    writeln!(out, "{BOLD}largest{BOLD:#}")?;
    let shown = if detail.all {
        figures.largest.len()
    } else {
        MOST
    };
    for (path, bytes) in figures.largest.iter().take(shown) {
        writeln!(out, "{:>10}  {}", size(*bytes), printable(path))?;
    }
    waste(figures, detail, out)
}

fn waste(figures: &Figures, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{BOLD}waste{BOLD:#}  {} hidden by later layers, {} duplicated; efficiency {:.1} %",
        size(figures.hidden_bytes),
        size(figures.duplicate_bytes()),
        figures.efficiency * 100.0,
    )?;
    let shown = if detail.all { usize::MAX } else { 3 };
    for (path, bytes, layers) in figures.repeated.iter().take(shown).filter(|row| row.1 > 0) {
        let path = printable(path);
        writeln!(
            out,
            "{:>10}  {path} {DIM}in {layers} layers{DIM:#}",
            size(*bytes)
        )?;
    }
    for duplicate in figures.duplicates.iter().take(shown) {
        let others = duplicate.paths.len() - 1;
        writeln!(
            out,
            "{:>10}  {} {DIM}and {}{DIM:#}",
            size(duplicate.wasted()),
            printable(&duplicate.paths[0]),
            match others {
                1 => printable(&duplicate.paths[1]),
                others => count(others, "more copy"),
            },
        )?;
    }
    Ok(())
}

/// What is irregular in the archives of an image; the first of it unless `all` is wanted.
pub fn anomalies(anomalies: &Anomalies, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let shown = if all { usize::MAX } else { 3 };
    for anomaly in anomalies.kept.iter().take(shown) {
        let left_out = if anomaly.kind.is_left_out() {
            "; it is left out"
        } else {
            ""
        };
        writeln!(
            out,
            "{WARNING}warning:{WARNING:#} {} in layer {} {}{left_out}",
            printable(&anomaly.name),
            anomaly.layer + 1,
            anomaly.kind.describe(),
        )?;
    }
    more(
        anomalies.kept.len() + anomalies.omitted,
        anomalies.kept.len().min(shown),
        out,
    )
}

/// A path in the image, on one line whatever characters it contains.
pub(super) fn printable(path: &Path) -> String {
    let all = Detail {
        files: false,
        layers: false,
        all: true,
    };
    line(&path.display().to_string(), all)
}

/// All files as a tree.
fn files(image: &Image, out: &mut dyn Write) -> io::Result<()> {
    /// Maximum number of indented levels.
    const DEEPEST: usize = 60;
    for (path, _, node) in image.tree.walk().skip(1) {
        let depth = path.components().count().saturating_sub(2).min(DEEPEST);
        let name = path
            .file_name()
            .map_or_else(String::new, |name| printable(Path::new(name)));
        let bytes = match node.kind() {
            NodeKind::File => size(node.size),
            _ => String::new(),
        };
        writeln!(
            out,
            "{:>10}  {DIM}{:04o} {}:{}{DIM:#}  {:indent$}{name}{}",
            bytes,
            node.mode,
            node.uid,
            node.gid,
            "",
            ending(node),
            indent = 2 * depth,
        )?;
    }
    Ok(())
}

fn ending(node: &Node) -> String {
    match node.kind() {
        NodeKind::Directory => "/".to_owned(),
        NodeKind::Symlink => {
            let target = node
                .target()
                .map_or_else(String::new, |target| printable(target));
            format!(" → {target}")
        }
        NodeKind::Special => " (device, pipe or socket)".to_owned(),
        NodeKind::File => match &node.capabilities {
            Some(value) => format!("  {DIM}{}{DIM:#}", Capabilities::text(value)),
            None => String::new(),
        },
    }
}
