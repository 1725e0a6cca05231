//! SP013 and SP014: what objects declare in their ELF notes.

use std::ffi::OsStr;

use super::LintedProcess;
use crate::elf::{DlopenNote, Priority};
use crate::lint::catalogue::{SP013, SP014, Severity};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::ElfFile;
use crate::loader::{Answer, Objects};

/// Libraries that objects load with `dlopen` and would not find.
pub(super) fn unmet(process: &LintedProcess<'_>) -> Vec<Finding> {
    let Some(rules) = &process.closure.rules else {
        return Vec::new();
    };
    let map = &process.closure.map;
    let mut findings = Vec::new();
    for (index, object) in map.objects().iter().enumerate() {
        let notes = process.view.notes(&object.walk, &object.object);
        for note in &notes.dlopen {
            let is_found = |soname: &String| {
                let answer = rules.request(&process.scene(), map, OsStr::new(soname), index);
                !matches!(answer, Answer::Missing(_))
            };
            if !note.soname.iter().any(is_found) {
                findings.push(process.finding_by(index, one_unmet(process, index, note)));
            }
        }
    }
    findings
}

fn one_unmet(process: &LintedProcess<'_>, index: usize, note: &DlopenNote) -> Finding {
    let path = process.path(index);
    let names = note.soname.join(" or ");
    let feature = note.description.as_ref().or(note.feature.as_ref());
    let what = feature.map_or(String::new(), |feature| format!(" ({feature})"));
    let (severity, how) = match note.priority {
        Priority::Required => (Severity::Error, "requires"),
        Priority::Recommended => (Severity::Warning, "recommends"),
        Priority::Suggested => (Severity::Info, "can use"),
    };
    let message = format!(
        "{} {how} {names}{what}, which it loads with dlopen but cannot find",
        path.display()
    );
    Finding::new(&SP014, &path, names, message)
        .severity(severity)
        .evidence("feature", note.feature.clone())
        .evidence("sonames", note.soname.clone())
}

/// An object built for a newer processor than the image's platform.
pub(super) fn level(context: &Context<'_>, file: &ElfFile) -> Option<Finding> {
    let platform = context
        .platform
        .as_ref()
        .filter(|platform| platform.architecture == "amd64")?;
    let variant = platform
        .variant
        .as_deref()
        .and_then(|variant| variant.strip_prefix('v'));
    let allowed: u8 = variant.and_then(|level| level.parse().ok()).unwrap_or(1);
    let needed = context
        .source
        .view
        .notes(&file.walk, &file.object)
        .x86_level?;
    // A variant for newer processors is in its own directory for exactly this reason.
    let is_variant = file
        .path
        .components()
        .any(|part| part.as_os_str() == "glibc-hwcaps");
    if needed <= allowed || is_variant {
        return None;
    }
    let message = format!(
        "{} needs x86-64-v{needed}, but the image is for {platform}",
        file.path.display()
    );
    let finding = Finding::new(&SP013, &file.path, format!("x86-64-v{needed}"), message);
    Some(
        finding
            .evidence("needed", needed)
            .evidence("platform", platform.to_string()),
    )
}
