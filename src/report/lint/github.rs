//! Annotations for a GitHub Actions run ("Workflow commands for GitHub Actions").

use std::io::{self, Write};

use super::Linted;
use crate::lint::Severity;
use crate::vfs::safe;

/// Writes one workflow command for each error and warning.
///
/// # Errors
/// When `out` fails.
pub fn github(targets: &[Linted], out: &mut dyn Write) -> io::Result<()> {
    for target in targets {
        for finding in &target.findings.findings {
            let command = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                // GitHub shows only a few annotations per run, and infos would hide the important
                // ones.
                Severity::Info => continue,
            };
            let title = format!("{} {}", finding.rule.id, finding.rule.title);
            // File names may contain characters that reorder what a log shows.
            let text = format!(
                "{}: {}\n{}",
                safe(finding.path.display()),
                safe(&finding.message),
                finding.fix
            );
            writeln!(
                out,
                "::{command} file={},title={}::{}",
                property(&safe(target.path.display()).to_string()),
                property(&title),
                data(&text)
            )?;
        }
    }
    Ok(())
}

/// The text after `::`, escaped.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property value, after `=`, escaped.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
