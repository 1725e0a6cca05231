//! Self-extracting programs: the files in their archive need libraries, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::told;
use crate::bytes::ReadAt;
use crate::elf::Payload;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet, pyinstaller};

/// The name of the need.
pub(in crate::needs) const BUNDLE: &str = "bundle";
/// Maximum number of libraries that a sign lists.
const TOLD: usize = 6;

pub(super) static RULE: NeedRule = NeedRule {
    name: BUNDLE,
    mode: Mode::Automatic,
    what: "libraries needed by the program's own archive",
    sign: "a PyInstaller archive in the program (one-file mode)",
    adds: "libraries that files in the archive need and the archive lacks",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    let named = told(&needed(process)?, TOLD)?;
    let text = format!("contains a PyInstaller archive, whose files need {named}");
    Some(Sign::new(0, text))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let needed = needed(supply.process).unwrap_or_default().into_iter();
    Ok(needed
        .map(|name| Addition::Library { by: 0, name })
        .collect())
}

/// The libraries that the program's archive needs and that the process has not loaded; `None`
/// without a readable archive.
fn needed(process: &Process<'_>) -> Option<Vec<String>> {
    let Unpacked(needed) = unpacked(process)?;
    let is_loaded = |name: &&String| {
        let mut objects = process.objects().iter();
        objects.any(|object| {
            object
                .object
                .soname()
                .is_some_and(|soname| **soname == ***name)
        })
    };
    let open = needed.iter().filter(|name| !is_loaded(name));
    Some(open.cloned().collect())
}

/// What the files in a program's archive need from outside it; cached, because unpacking is slow
/// and a program is processed again for each library that it opens.
#[derive(Clone)]
struct Unpacked(Arc<BTreeSet<String>>);

fn unpacked(process: &Process<'_>) -> Option<Unpacked> {
    let (Payload::PyInstaller(cookie), file) = payload(process)? else {
        return None;
    };
    let unpack = || pyinstaller::needed(file.as_ref(), cookie).ok_or(());
    let needed = process.view.remember(&process.objects()[0].walk, || {
        unpack().map(|needed| Unpacked(Arc::new(needed)))
    });
    needed.ok()
}

/// The archive in the program, and the program's bytes.
fn payload(process: &Process<'_>) -> Option<(Payload, Box<dyn ReadAt>)> {
    let program = &process.objects()[0];
    if !Payload::may_be_in(&program.object, program.walk.metadata.size) {
        return None;
    }
    let file = process.program_file()?;
    Some((Payload::of(&program.object, file.as_ref())?, file))
}

/// A warning about an archive in the program that no rule can read.
pub(in crate::needs) fn unknown_payload(process: &Process<'_>) -> Option<String> {
    let (payload, _) = payload(process)?;
    Some(match payload {
        Payload::PyInstaller(_) if needed(process).is_some() => return None,
        Payload::PyInstaller(_) => {
            "contains a PyInstaller archive that cannot be read; what its files need is unknown"
                .to_owned()
        }
        Payload::AppImage => {
            "is an AppImage, which mounts its own file system when it starts; unpack it \
                              with --appimage-extract and pack the program inside"
                .to_owned()
        }
        Payload::Zip => {
            "contains a zip archive; what programs and libraries in it need is unknown".to_owned()
        }
        Payload::Unknown(bytes) => {
            format!("has {bytes} bytes after its sections; what they need is unknown")
        }
    })
}
