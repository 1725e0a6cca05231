//! Libraries that objects declare in an ELF note to load with `dlopen`.

use crate::elf::Priority;
use crate::loader::Objects;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

pub(super) static RULE: NeedRule = NeedRule {
    name: "dlopen",
    mode: Mode::Automatic,
    what: "libraries loaded with dlopen",
    sign: "an ELF note .note.dlopen in the program or a library",
    adds: "the library; with dlopen=suggested also those that are only suggested",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    process
        .objects()
        .iter()
        .enumerate()
        .find_map(|(index, object)| {
            let notes = process.view.notes(&object.walk, &object.object);
            let note = notes.dlopen.first()?;
            let names = note.soname.join(" or ");
            Some(Sign::new(
                index,
                format!("has an ELF note that it loads {names}"),
            ))
        })
}

/// One library per note: the first of its names that the loader finds.
fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let process = supply.process;
    let takes_suggested = supply
        .arguments
        .iter()
        .any(|argument| argument == "suggested");
    let mut additions = Vec::new();
    for (index, object) in process.objects().iter().enumerate() {
        let notes = process.view.notes(&object.walk, &object.object);
        for note in &notes.dlopen {
            if note.priority == Priority::Suggested && !takes_suggested {
                continue;
            }
            match note.soname.iter().find(|name| process.finds(index, name)) {
                Some(name) => additions.push(Addition::Library {
                    by: index,
                    name: name.clone(),
                }),
                // A library that is only recommended may be missing.
                None if note.priority == Priority::Required => {
                    return Err(format!(
                        "no library found for {}, which {} requires",
                        note.soname.join(", "),
                        object.opened_as.display()
                    )
                    .into());
                }
                None => {}
            }
        }
    }
    Ok(additions)
}
