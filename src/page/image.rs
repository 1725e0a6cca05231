//! The part of a page about one image.
//!
//! In: an image with what `inspect`, `lint` and `why` say of it. Out: rows for the template, and data
//! for the script.

use super::data::embedded;
use super::files::{ImageData, PageBudget, packages, sorted};
use super::{KeyFact, counted, grouped, percent, shown, size};
use crate::image::read::Image;
use crate::inspect::{Figures, visible_bytes};
use crate::lint::{Finding, Findings, Severity};
use crate::packages::InstalledPackage;
use crate::report::{configured, history};
use crate::vfs::View;
use crate::why::Graph;

/// Maximum number of rows of a table.
const MOST: usize = 1000;
/// Maximum number of rows of a table of what wastes space.
const MOST_WASTEFUL: usize = 20;
/// Maximum number of values of a field of the configuration.
const MOST_VALUES: usize = 200;
/// Maximum number of affected files shown for a finding.
const MOST_AFFECTED: usize = 5;

/// An image with everything that is known about it.
pub struct InspectedImage<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its view.
    pub view: &'a View,
    /// Its figures.
    pub figures: &'a Figures,
    /// What lint finds in it.
    pub findings: &'a Findings,
    /// What leads from what it starts, and from its record, to its files.
    pub started: &'a Graph<'a>,
    /// What each of its programs and libraries needs.
    pub installed: &'a Graph<'a>,
    /// Why nothing is started, if it cannot be told what is.
    pub no_start: Option<String>,
}

pub(super) struct ImagePart {
    pub id: usize,
    pub name: String,
    pub facts: Vec<KeyFact>,
    pub no_start: Option<String>,
    pub fields: Vec<(&'static str, Vec<String>)>,
    pub layers: Vec<LayerRow>,
    pub more_layers: usize,
    pub steps: Vec<HistoryStep>,
    pub repeated: Vec<WasteRow>,
    pub duplicates: Vec<WasteRow>,
    pub has_packages: bool,
    pub packages: Vec<PackageRow>,
    pub more_packages: usize,
    /// Errors and warnings.
    pub findings: Vec<FindingRow>,
    pub infos: Vec<FindingRow>,
    pub info_count: String,
    pub more_findings: usize,
    pub checked: String,
    pub anomalies: Vec<String>,
    pub unlisted: Option<String>,
    pub data: String,
}

pub(super) struct LayerRow {
    pub number: usize,
    pub made_by: String,
    pub digest: String,
    pub size: String,
    pub bytes: String,
    pub files: String,
    pub wasted: String,
    /// Percentages of all bytes: what is visible, and what is not.
    pub visible_percent: String,
    pub wasted_percent: String,
}

pub(super) struct HistoryStep {
    pub created: String,
    pub made_by: String,
    pub bytes: String,
}

pub(super) struct WasteRow {
    pub path: String,
    pub note: String,
    pub bytes: String,
}

pub(super) struct PackageRow {
    pub name: String,
    pub version: String,
    pub files: String,
    pub bytes: String,
    pub percent: String,
}

pub(super) struct FindingRow {
    pub severity: &'static str,
    pub rule: &'static str,
    pub title: &'static str,
    pub path: String,
    pub message: String,
    pub fix: String,
    pub affected: Vec<String>,
    pub more_affected: usize,
}

impl ImagePart {
    pub fn of(image: &InspectedImage<'_>, id: usize, budget: &mut PageBudget) -> Self {
        let installed = packages(image);
        let data = ImageData::of(image, &installed, budget);
        let mut packages = package_rows(image, &installed, &data);
        let all = &image.findings.findings;
        let rows = all.iter().take(MOST);
        let (infos, findings): (Vec<_>, Vec<_>) =
            rows.partition(|finding| finding.severity == Severity::Info);
        let mut layers = layer_rows(image);
        let mut section = Self {
            id,
            name: name(image),
            no_start: image.no_start.as_deref().map(shown),
            fields: fields(image),
            steps: steps(image),
            repeated: repeated(image),
            duplicates: duplicates(image),
            has_packages: !installed.is_empty(),
            more_packages: cut(&mut packages),
            packages,
            more_findings: all.len().saturating_sub(MOST),
            findings: findings.into_iter().map(finding_row).collect(),
            info_count: counted(infos.len(), "info"),
            infos: infos.into_iter().map(finding_row).collect(),
            more_layers: cut(&mut layers),
            layers,
            checked: checked(image.findings),
            anomalies: anomalies(image),
            unlisted: unlisted(&data),
            data: embedded(&data),
            facts: Vec::new(),
        };
        section.facts = facts(image, &section);
        section
    }
}

/// Shortens a list; returns how many rows it lost.
fn cut<T>(rows: &mut Vec<T>) -> usize {
    let more = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    more
}

fn name(image: &InspectedImage<'_>) -> String {
    let Some(description) = &image.image.description else {
        return String::new();
    };
    let tags = description.tags.join(", ");
    let platform = description.platform.to_string();
    shown(format!("{tags}  {platform}").trim())
}

fn facts(image: &InspectedImage<'_>, part: &ImagePart) -> Vec<KeyFact> {
    let figures = image.figures;
    let packed: u64 = image.image.layers.iter().map(|layer| layer.size).sum();
    let files = counted(figures.files, "file") + ", " + &counted(figures.links, "link");
    let wasted = figures
        .hidden_bytes
        .saturating_add(figures.duplicate_bytes());
    let stored = format!("{} stored", size(packed));
    let packages = grouped(part.packages.len() + part.more_packages);
    let records = match part.has_packages {
        true => "own files of the image",
        false => "no package records",
    };
    let mut waste = KeyFact::new("Wasted", size(wasted), "hidden or duplicated", "layers");
    waste.mood = if wasted == 0 { "good" } else { "" };
    vec![
        KeyFact::new("Files", size(figures.bytes), &files, "bytes"),
        KeyFact::new(
            "Layers",
            grouped(part.layers.len() + part.more_layers),
            &stored,
            "layers",
        ),
        waste,
        KeyFact::new("Packages", packages, records, "packages"),
        finding_fact(image.findings),
    ]
}

fn finding_fact(findings: &Findings) -> KeyFact {
    let severities = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Info, "info"),
    ];
    let numbers = severities.map(|(severity, thing)| {
        let findings = findings.findings.iter();
        let number = findings
            .filter(|finding| finding.severity == severity)
            .count();
        (number, thing)
    });
    let mut note = Vec::new();
    for (number, thing) in numbers.iter().filter(|(number, _)| *number > 0) {
        note.push(counted(*number, thing));
    }
    if note.is_empty() {
        note.push("no errors, no warnings".to_owned());
    }
    let [(errors, _), (warnings, _), _] = numbers;
    let value = grouped(errors + warnings);
    KeyFact {
        mood: match (errors, warnings) {
            (0, 0) => "good",
            (0, _) => "warn",
            _ => "bad",
        },
        ..KeyFact::new("Findings", value, &note.join(", "), "findings")
    }
}

fn fields(image: &InspectedImage<'_>) -> Vec<(&'static str, Vec<String>)> {
    let Some(description) = &image.image.description else {
        return Vec::new();
    };
    let fields = configured(description).into_iter();
    fields
        .map(|(name, values)| {
            let more = values.len().saturating_sub(MOST_VALUES);
            let mut values: Vec<_> = values
                .iter()
                .take(MOST_VALUES)
                .map(|value| shown(value))
                .collect();
            if more > 0 {
                values.push(format!("and {more} more"));
            }
            (name, values)
        })
        .collect()
}

fn layer_rows(image: &InspectedImage<'_>) -> Vec<LayerRow> {
    let layers = &image.image.layers;
    let all: u64 = layers
        .iter()
        .fold(0, |sum, layer| sum.saturating_add(layer.bytes));
    let description = image.image.description.as_ref();
    let rows = description.map(|description| history(description, layers));
    let visible = visible_bytes(image.image);
    let rows = rows.unwrap_or_default();
    let mut made_by = vec![""; layers.len()];
    for row in &rows {
        if let Some(layer) = row.layer {
            made_by[layer] = &row.created_by;
        }
    }
    let layers = layers.iter().zip(visible).enumerate();
    layers
        .map(|(number, (layer, visible))| {
            // A file that is in it twice is not hidden by another layer, but gone all the same.
            let wasted = layer.bytes.saturating_sub(visible);
            LayerRow {
                number: number + 1,
                made_by: shown(made_by[number]),
                digest: shown(layer.digest.as_ref().unwrap_or(&layer.diff_id)),
                size: match layer.compression.name() {
                    "none" => size(layer.size),
                    compression => format!("{} ({compression})", size(layer.size)),
                },
                bytes: size(layer.bytes),
                files: grouped(layer.files),
                wasted: size(wasted),
                visible_percent: percent(visible, all),
                wasted_percent: percent(wasted, all),
            }
        })
        .collect()
}

fn steps(image: &InspectedImage<'_>) -> Vec<HistoryStep> {
    let Some(description) = &image.image.description else {
        return Vec::new();
    };
    let rows = history(description, &image.image.layers).into_iter();
    rows.take(MOST)
        .map(|row| HistoryStep {
            created: shown(row.created.as_deref().unwrap_or_default()),
            made_by: match (row.comment, row.created_by.is_empty()) {
                (Some(comment), true) => shown(&comment),
                _ => shown(&row.created_by),
            },
            bytes: match row.layer {
                Some(_) => size(row.bytes),
                None => "no layer".to_owned(),
            },
        })
        .collect()
}

fn repeated(image: &InspectedImage<'_>) -> Vec<WasteRow> {
    let rows = image.figures.repeated.iter().filter(|row| row.1 > 0);
    rows.take(MOST_WASTEFUL)
        .map(|(path, bytes, layers)| WasteRow {
            path: shown(&path.display().to_string()),
            note: format!("in {}", counted(*layers as usize, "layer")),
            bytes: size(*bytes),
        })
        .collect()
}

fn duplicates(image: &InspectedImage<'_>) -> Vec<WasteRow> {
    let rows = image.figures.duplicates.iter().take(MOST_WASTEFUL);
    rows.map(|duplicate| {
        let others = duplicate.paths.iter().skip(1).take(MOST_AFFECTED);
        let mut others: Vec<_> = others.map(|path| path.display().to_string()).collect();
        let more = (duplicate.paths.len() - 1).saturating_sub(MOST_AFFECTED);
        if more > 0 {
            others.push(counted(more, "more copy"));
        }
        WasteRow {
            path: shown(&duplicate.paths[0].display().to_string()),
            note: shown(&format!("= {}", others.join(", "))),
            bytes: size(duplicate.wasted()),
        }
    })
    .collect()
}

/// The packages that own files of the image, the largest first.
fn package_rows(
    image: &InspectedImage<'_>,
    packages: &[InstalledPackage],
    data: &ImageData,
) -> Vec<PackageRow> {
    let (names, sums) = (&data.packages, &data.of_packages);
    let order = sorted(names.len(), &|left, right| {
        let by_bytes = sums[right].1.cmp(&sums[left].1);
        by_bytes.then_with(|| names[left].cmp(&names[right]))
    });
    let rows = order
        .into_iter()
        .map(|at| (&packages[at], &names[at], sums[at]));
    rows.map(|(package, name, (files, bytes))| PackageRow {
        name: name.clone(),
        version: shown(&package.version),
        files: grouped(files),
        bytes: size(bytes),
        percent: percent(bytes, image.figures.bytes),
    })
    .collect()
}

fn finding_row(finding: &Finding) -> FindingRow {
    let affected = finding.requesters.iter().take(MOST_AFFECTED);
    FindingRow {
        severity: finding.severity.as_str(),
        rule: finding.rule.id,
        title: finding.rule.title,
        path: shown(&finding.path.display().to_string()),
        message: shown(&finding.message),
        fix: shown(&finding.fix),
        affected: affected
            .map(|path| shown(&path.display().to_string()))
            .collect(),
        more_affected: finding.requesters.len().saturating_sub(MOST_AFFECTED),
    }
}

fn checked(findings: &Findings) -> String {
    let files = counted(findings.elf, "ELF file");
    let mut text = format!(
        "{files} and {} checked",
        counted(findings.scripts, "script")
    );
    if findings.ignored > 0 {
        text.push_str(&format!(
            "; {} ignored",
            counted(findings.ignored, "finding")
        ));
    }
    text
}

fn anomalies(image: &InspectedImage<'_>) -> Vec<String> {
    let anomalies = &image.image.tree.anomalies;
    let kept = anomalies.kept.iter().take(MOST_WASTEFUL);
    let mut lines: Vec<_> = kept
        .map(|anomaly| {
            let left_out = if anomaly.kind.is_left_out() {
                "; it is left out"
            } else {
                ""
            };
            let (name, what) = (anomaly.name.display(), anomaly.kind.describe());
            shown(&format!(
                "{name} in layer {} {what}{left_out}",
                anomaly.layer + 1
            ))
        })
        .collect();
    let more = (anomalies.kept.len() + anomalies.omitted).saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn unlisted(data: &ImageData) -> Option<String> {
    let listed = data.files.iter().filter(|file| file.is_listed()).count();
    (data.unlisted > 0).then(|| {
        format!(
            "{} of {} files are listed: those that something leads to, and the largest. The others count \
             for their directories.",
            grouped(listed),
            grouped(listed + data.unlisted)
        )
    })
}
