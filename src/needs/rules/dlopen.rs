//! Libraries that objects say in a note that they open by themselves.

use crate::elf::Priority;
use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};

pub(super) static RULE: Rule = Rule {
    name: "dlopen",
    mode: Mode::Automatic,
    what: "the libraries that it opens by itself",
    sign: "an ELF note .note.dlopen of the program or of a library",
    adds: "the library; with dlopen=suggested those too that may be absent",
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
                format!("says in a note that it opens {names}"),
            ))
        })
}

/// One library for each note: the first of its names that the loader finds.
fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
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
                // What is only recommended may be absent here as well.
                None if note.priority == Priority::Required => {
                    return Err(format!(
                        "none of {} is found, which {} opens and requires",
                        note.soname.join(", "),
                        object.opened_as.display()
                    ));
                }
                None => {}
            }
        }
    }
    Ok(additions)
}
