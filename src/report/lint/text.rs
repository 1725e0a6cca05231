//! The findings of lint as text: the worst first, each with its fix.

use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};

use super::super::count;
use super::{Linted, totals};
use crate::lint::{Finding, RULES, Rule, Severity};
use crate::vfs::one_line;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Number of findings of one rule and severity without `-v`, and of requesters of a finding.
const MOST_FINDINGS: usize = 5;
const MOST_REQUESTERS: usize = 3;
/// Number of paths of a search that are shown without `-v`.
const MOST_TRIED: usize = 4;

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => AnsiColor::Red.on_default().bold(),
        Severity::Warning => AnsiColor::Yellow.on_default().bold(),
        Severity::Info => AnsiColor::Cyan.on_default(),
    }
}

/// Prints the findings; without `verbose`, infos are only counted and long lists truncated.
///
/// # Errors
/// When `out` fails.
pub fn text(targets: &[Linted], verbose: bool, quiet: bool, out: &mut dyn Write) -> io::Result<()> {
    for target in targets {
        let findings = &target.findings;
        let least = if verbose {
            Severity::Info
        } else {
            Severity::Warning
        };
        let shown: Vec<&Finding> = findings
            .findings
            .iter()
            .filter(|finding| finding.severity >= least)
            .collect();
        if quiet && shown.is_empty() {
            continue;
        }
        // Of several targets, the paths of a finding do not tell which one has it.
        if !quiet || targets.len() > 1 {
            writeln!(
                out,
                "{BOLD}{}{BOLD:#} {DIM}({}, {} and {} checked){DIM:#}",
                one_line(&target.name),
                target.kind,
                count(findings.elf, "ELF file"),
                count(findings.scripts, "script"),
            )?;
        }
        let same = |left: &&Finding, right: &&Finding| {
            left.rule == right.rule && left.severity == right.severity
        };
        for group in shown.chunk_by(same) {
            self::group(group, verbose, out)?;
        }
        if let Some(remedies) = target.remedies.as_ref().filter(|_| !shown.is_empty()) {
            super::remedies::remedies(remedies, out)?;
        }
    }
    if quiet {
        return Ok(());
    }
    summary(targets, verbose, out)
}

fn summary(targets: &[Linted], verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let [errors, warnings, infos] = totals(targets);
    let ignored: usize = targets.iter().map(|target| target.findings.ignored).sum();
    let hint = if infos > 0 && !verbose {
        " (-v shows them)"
    } else {
        ""
    };
    let passed_over = match ignored {
        0 => String::new(),
        ignored => format!(", {ignored} ignored"),
    };
    let known: usize = targets.iter().map(|target| target.findings.known).sum();
    let known = match known {
        0 => String::new(),
        known => format!(", {known} in the baseline"),
    };
    writeln!(
        out,
        "{BOLD}{}, {}, {}{BOLD:#}{hint}{passed_over}{known}",
        count(errors, "error"),
        count(warnings, "warning"),
        count(infos, "info"),
    )
}

fn group(group: &[&Finding], verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let most = if verbose { usize::MAX } else { MOST_FINDINGS };
    let mut last_fix = None;
    for finding in group.iter().take(most) {
        one(finding, verbose, last_fix, out)?;
        last_fix = Some(finding.fix.as_str());
    }
    match group.len().checked_sub(most).filter(|more| *more > 0) {
        Some(more) => writeln!(
            out,
            "  {DIM}and {more} more of {} (-v shows them){DIM:#}",
            group[0].rule.id
        ),
        None => Ok(()),
    }
}

fn one(
    finding: &Finding,
    verbose: bool,
    last_fix: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let style = style(finding.severity);
    writeln!(
        out,
        "{style}{}{style:#} {DIM}{}{DIM:#} {}",
        finding.severity.as_str(),
        finding.rule.id,
        one_line(&finding.message)
    )?;
    if !finding.requesters.is_empty() {
        let most = if verbose { usize::MAX } else { MOST_REQUESTERS };
        writeln!(out, "    needed by {}", some(&finding.requesters, most))?;
    }
    let elsewhere = finding.programs.len() > 1 || finding.requesters != finding.programs;
    if finding.severity == Severity::Error && elsewhere && !finding.programs.is_empty() {
        let most = if verbose { usize::MAX } else { MOST_REQUESTERS };
        writeln!(out, "    does not start: {}", some(&finding.programs, most))?;
    }
    if verbose && finding.chain.len() > 1 {
        let chain: Vec<_> = finding
            .chain
            .iter()
            .map(|path| one_line(&path.display().to_string()))
            .collect();
        writeln!(out, "    {DIM}loaded by {}{DIM:#}", chain.join(" → "))?;
    }
    tried(finding, verbose, out)?;
    if let Some(layer) = finding.layer.as_ref().filter(|_| verbose) {
        writeln!(out, "    {DIM}in layer {}{DIM:#}", one_line(layer))?;
    }
    if last_fix != Some(finding.fix.as_str()) {
        writeln!(out, "    {DIM}fix:{DIM:#} {}", one_line(&finding.fix))?;
    }
    Ok(())
}

fn tried(finding: &Finding, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let tried = finding
        .evidence
        .get("tried")
        .and_then(|tried| tried.as_array());
    let tried = tried.map_or(&[][..], Vec::as_slice);
    let most = if verbose { usize::MAX } else { MOST_TRIED };
    for attempt in tried.iter().take(most) {
        let field = |name: &str| one_line(attempt[name].as_str().unwrap_or_default());
        writeln!(
            out,
            "    {DIM}tried {}: {}{DIM:#}",
            field("path"),
            field("result")
        )?;
    }
    match tried.len().checked_sub(most).filter(|more| *more > 0) {
        Some(more) => writeln!(out, "    {DIM}and {more} more (-v){DIM:#}"),
        None => Ok(()),
    }
}

/// The first paths of a list, and how many more there are.
fn some(paths: &[PathBuf], most: usize) -> String {
    let shown = paths.iter().take(most);
    let shown: Vec<_> = shown
        .map(|path| one_line(&path.display().to_string()))
        .collect();
    match paths.len().checked_sub(most).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", shown.join(", ")),
        None => shown.join(", "),
    }
}

/// Explains one rule.
///
/// # Errors
/// When `out` fails.
pub fn explain(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    let style = style(rule.severity);
    writeln!(
        out,
        "{BOLD}{}{BOLD:#} {style}{}{style:#}: {}",
        rule.id,
        rule.severity.as_str(),
        rule.title
    )?;
    writeln!(out)?;
    writeln!(out, "{}", rule.why)?;
    writeln!(out)?;
    writeln!(out, "Fix: {}", rule.fix)
}

/// Lists all rules.
///
/// # Errors
/// When `out` fails.
pub fn list_rules(out: &mut dyn Write) -> io::Result<()> {
    for rule in RULES {
        let style = style(rule.severity);
        let severity = rule.severity.as_str();
        writeln!(
            out,
            "{}  {style}{severity:<7}{style:#}  {}",
            rule.id, rule.title
        )?;
    }
    Ok(())
}
