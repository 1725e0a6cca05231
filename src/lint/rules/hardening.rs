//! SP201–SP204: how an object was linked.

use crate::lint::catalogue::{SP201, SP202, SP203, SP204};
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::lint::survey::ElfFile;
use crate::strip;

/// All findings about how one object was linked.
pub(super) fn of_object(context: &Context<'_>, file: &ElfFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = context.source.shown(&file.path);
    let object = &file.object;
    for segment in object.unsafe_segments() {
        let message = format!("{} has {segment}", path.display());
        findings.push(Finding::new(&SP201, &path, segment, message));
    }
    let dynamic = object.dynamic.as_ref();
    if dynamic.is_some_and(|dynamic| dynamic.has_text_relocations()) {
        let message = format!("{} has text relocations", path.display());
        findings.push(Finding::new(&SP202, &path, "DT_TEXTREL", message));
    }
    if file.is_program() {
        let lacks = object.missing_protections();
        if !lacks.is_empty() {
            let message = format!("{} is linked without {}", path.display(), lacks.join(", "));
            findings.push(
                Finding::new(&SP203, &path, lacks.join(", "), message).evidence("without", lacks),
            );
        }
    }
    if let Ok(opened) = context.source.view.open(&file.walk) {
        let bytes = strip::strippable_bytes(object, opened.as_ref());
        if bytes > 0 {
            let message = format!("{} could be stripped of {bytes} bytes", path.display());
            findings.push(
                Finding::new(&SP204, &path, "debug information", message).evidence("bytes", bytes),
            );
        }
    }
    findings
}
