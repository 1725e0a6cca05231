//! SP401: data that a program probably reads, by the rules of [`crate::needs`].

use std::path::Path;

use super::Process;
use crate::elf::Linkage;
use crate::lint::catalogue::SP401;
use crate::lint::context::Context;
use crate::lint::finding::Finding;
use crate::needs;

/// Data whose signs a process shows and that its root does not have.
pub(super) fn absent(context: &Context<'_>, process: &Process<'_>) -> Vec<Finding> {
    // What files of a machine need is there or not, whatever they say.
    if context.tree().is_none() || process.closure.program().object.linkage() == Linkage::Library {
        return Vec::new();
    }
    let asked = needs::Process {
        view: process.view,
        closure: process.closure,
        environment: process.environment,
        env: &context.start.env,
        user: "",
    };
    let mut findings = Vec::new();
    for rule in needs::RULES {
        if rule.is_met.is_none_or(|is_met| is_met(&asked)) {
            continue;
        }
        if let Some(sign) = (rule.fires)(&asked) {
            let path = process.path(sign.object);
            let message = format!(
                "{} {} and may want {}, which is not there",
                path.display(),
                sign.text,
                rule.adds
            );
            let finding = Finding::new(&SP401, Path::new("/"), rule.name, message)
                .evidence("need", rule.name)
                .evidence("sign", sign.text);
            findings.push(process.finding_by(sign.object, finding));
        }
    }
    findings
}
