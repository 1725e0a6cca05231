//! Libraries whose names are strings of a program that loads libraries by name.
//!
//! A guess: the name may be that of a library that is loaded only for some feature, or never.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use super::told;
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

/// Functions that load a library by its name (`dlopen(3)`, NSPR, GLib, libltdl).
const LOADERS: [&str; 7] = [
    "dlopen",
    "dlmopen",
    "PR_LoadLibrary",
    "PR_LoadLibraryWithFlags",
    "g_module_open",
    "lt_dlopen",
    "lt_dlopenext",
];
/// Libraries that many programs name but few use: libselinux loads the first to change a policy,
/// and the second is a need of its own.
const RARE: [&str; 2] = ["libsepol.so", "libgcc_s.so"];
/// Maximum number of names that a sign lists.
const TOLD: usize = 3;

pub(super) static RULE: NeedRule = NeedRule {
    name: "libraries",
    mode: Mode::Hint,
    what: "libraries that it may load by name",
    sign: "an import of dlopen and the like, and a string such as libsoftokn3.so that the loader would find",
    adds: "these libraries with what they load; libraries=NAME+NAME only some",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed || process.is_static() {
        return None;
    }
    let mut found = named(process);
    let is_rare = |name: &str| RARE.iter().any(|rare| name.starts_with(rare));
    found.retain(|(_, name)| !is_rare(name) && !is_loaded(process, name));
    let (object, _) = found.first()?;
    let names: BTreeSet<String> = found.iter().map(|(_, name)| name.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let mut sign = Sign::new(
        *object,
        format!("loads by name, and names {}", told(&names, TOLD)?),
    );
    sign.arguments = names;
    Some(sign)
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let is_wanted = |name: &String| supply.arguments.is_empty() || supply.arguments.contains(name);
    let mut wanted = named(supply.process);
    wanted.retain(|(_, name)| is_wanted(name));
    if wanted.is_empty() {
        return Err(Unmet::NotShown(
            "the program names no such library that the loader finds",
        ));
    }
    // The needs of a program are determined again after it has loaded some.
    wanted.retain(|(_, name)| !is_loaded(supply.process, name));
    let additions = wanted.into_iter();
    Ok(additions
        .map(|(by, name)| Addition::Library { by, name })
        .collect())
}

/// The libraries that a program may load by name and that its loader does not find, each with the index
/// of the object that has its name.
pub fn absent(process: &Process<'_>) -> Vec<(usize, String)> {
    if process.is_static() {
        return Vec::new();
    }
    let is_rare = |name: &str| RARE.iter().any(|rare| name.starts_with(rare));
    let mut found = all_named(process);
    found.retain(|(index, name)| {
        !is_rare(name) && !is_loaded(process, name) && !process.finds(*index, name)
    });
    found
}

/// Whether the library is loaded anyway.
fn is_loaded(process: &Process<'_>, name: &str) -> bool {
    process.objects().iter().any(|object| {
        let file_name = object.opened_as.file_name();
        let soname = object.object.soname().map(OsString::as_os_str);
        [file_name, soname].contains(&Some(OsStr::new(name)))
    })
}

/// The libraries that the loader finds among those named by strings of the program, or of a library
/// that it names itself; each with the index of the object.
fn named(process: &Process<'_>) -> Vec<(usize, String)> {
    let mut found = all_named(process);
    found.retain(|(index, name)| process.finds(*index, name));
    found
}

/// The same, found or not.
fn all_named(process: &Process<'_>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for index in process.own_objects() {
        if process.imports_of(index, &LOADERS).is_none() {
            continue;
        }
        let texts = process.texts(index);
        let names = texts.words.iter().filter(|word| is_library(word));
        found.extend(names.map(|name| (index, name.clone())));
    }
    found
}

/// Whether a word is the file name of a library: `libNAME.so`, `libNAME.so.1.2`.
fn is_library(word: &str) -> bool {
    let Some((name, version)) = word.split_once(".so") else {
        return false;
    };
    let is_version = version.is_empty()
        || version.strip_prefix('.').is_some_and(|numbers| {
            let is_number =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            numbers.split('.').all(is_number)
        });
    name.len() > 3 && name.starts_with("lib") && !name.contains('/') && is_version
}

#[cfg(test)]
mod tests {
    use super::is_library;

    #[test]
    fn names_of_libraries_are_told_from_other_words() {
        for word in [
            "libsoftokn3.so",
            "libz.so.1",
            "libstdc++.so.6.0.30",
            "lib-x_y.so",
        ] {
            assert!(is_library(word), "{word}");
        }
        for word in [
            "lib.so",
            "libz.so.x",
            "libz.so.",
            "/lib/libz.so.1",
            "z.so",
            "libz.sofa",
            "libz.so.1.",
            "lib%s.so/",
        ] {
            assert!(!is_library(word), "{word}");
        }
    }
}
