//! Self-extracting programs: the files in their archive need libraries, too.

use crate::bytes::ReadAt;
use crate::elf::Payload;
use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply, pyinstaller};

/// The name of the need.
pub(in crate::needs) const BUNDLE: &str = "bundle";
/// Maximum number of libraries that a sign lists.
const TOLD: usize = 6;

pub(super) static RULE: Rule = Rule {
    name: BUNDLE,
    mode: Mode::Automatic,
    what: "what the libraries in its own archive need",
    sign: "a PyInstaller archive in the program (one-file mode)",
    adds: "libraries that files in the archive need and the archive lacks",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    let needed = needed(process)?;
    if needed.is_empty() {
        return None;
    }
    let named: Vec<&str> = needed.iter().take(TOLD).map(String::as_str).collect();
    let more = match needed.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!(
        "contains a PyInstaller archive, whose files need {}{more}",
        named.join(", ")
    );
    Some(Sign::new(0, text))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let needed = needed(supply.process).unwrap_or_default().into_iter();
    Ok(needed
        .map(|name| Addition::Library { by: 0, name })
        .collect())
}

/// The libraries that the program's archive needs; `None` without a readable archive.
fn needed(process: &Process<'_>) -> Option<Vec<String>> {
    let needed = process.memo.bundle.get_or_init(|| {
        let (payload, file) = payload(process)?;
        match payload {
            Payload::PyInstaller(cookie) => {
                let needed = pyinstaller::needed(file.as_ref(), cookie)?;
                let is_loaded = |name: &String| {
                    let mut sonames = process
                        .objects()
                        .iter()
                        .map(|object| object.object.soname());
                    sonames.any(|soname| soname.is_some_and(|soname| **soname == **name))
                };
                Some(needed.into_keys().filter(|name| !is_loaded(name)).collect())
            }
            _ => None,
        }
    });
    needed.clone()
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
    let file = process.program_file()?;
    Some(
        match Payload::of(&process.objects()[0].object, file.as_ref())? {
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
                "contains a zip archive; what programs and libraries in it need is unknown"
                    .to_owned()
            }
            Payload::Unknown(bytes) => {
                format!("has {bytes} bytes after its sections; what they need is unknown")
            }
        },
    )
}
