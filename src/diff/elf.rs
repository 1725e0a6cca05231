//! What differs between two ELF files.
//!
//! In: two files. Out: the libraries they need, the versions they need and define, the paths they
//! search, and the sizes of their sections.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::bytes::ReadAt;
use crate::elf::{Object, Versions};
use crate::strip::section_sizes;

/// A fact with different values in the two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElfChange {
    /// The fact: `needed`, `needs version`, `runpath`, `section .text`.
    pub fact: String,
    /// Value in the first file; `None` if absent.
    pub before: Option<String>,
    /// Value in the second file; `None` if absent.
    pub after: Option<String>,
}

/// A fact of an object as text.
type Fact = fn(&Object) -> Option<String>;

/// The facts that an object has once.
const FACTS: [(&str, Fact); 6] = [
    ("machine", |object| Some(object.machine_name().to_owned())),
    ("linkage", |object| {
        Some(object.linkage().as_str().to_owned())
    }),
    ("interpreter", |object| {
        let path = object.interpreter.as_ref()?;
        Some(path.display().to_string())
    }),
    ("soname", |object| {
        object.soname().map(|name| name.display().to_string())
    }),
    ("rpath", |object| {
        let path = object.dynamic.as_ref()?.rpath.as_ref()?;
        Some(path.display().to_string())
    }),
    ("runpath", |object| {
        let path = object.dynamic.as_ref()?.runpath.as_ref()?;
        Some(path.display().to_string())
    }),
];

/// What differs between two ELF files; empty if one of them is damaged.
pub fn elf_changes(one: &dyn ReadAt, other: &dyn ReadAt) -> Vec<ElfChange> {
    let (Ok(before), Ok(after)) = (Object::read(one), Object::read(other)) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    let mut compare = |fact: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            changes.push(ElfChange {
                fact: fact.to_owned(),
                before,
                after,
            });
        }
    };
    for (fact, of) in FACTS {
        compare(fact, of(&before), of(&after));
    }
    let lists: [(&str, BTreeSet<String>, BTreeSet<String>); 3] = [
        ("needed", needed(&before), needed(&after)),
        (
            "needs version",
            needed_versions(&before, one),
            needed_versions(&after, other),
        ),
        (
            "defines version",
            defined_versions(&before, one),
            defined_versions(&after, other),
        ),
    ];
    for (fact, left, right) in &lists {
        for gone in left.difference(right) {
            compare(fact, Some(gone.clone()), None);
        }
        for new in right.difference(left) {
            compare(fact, None, Some(new.clone()));
        }
    }
    let (left, right) = (section_sizes(&before, one), section_sizes(&after, other));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        let bytes = |sizes: &BTreeMap<String, u64>| sizes.get(name).map(u64::to_string);
        compare(&format!("section {name}"), bytes(&left), bytes(&right));
    }
    changes
}

fn needed(object: &Object) -> BTreeSet<String> {
    let names = object.dependencies().iter();
    names
        .map(|dependency| dependency.name.display().to_string())
        .collect()
}

fn needed_versions(object: &Object, file: &dyn ReadAt) -> BTreeSet<String> {
    let Ok(versions) = Versions::read(object, file) else {
        return BTreeSet::new();
    };
    let needs = versions.needs.iter().flat_map(|need| {
        let of = need.file.display().to_string();
        let names = need.versions.iter();
        names.map(move |version| format!("{} of {of}", version.name.display()))
    });
    needs.collect()
}

fn defined_versions(object: &Object, file: &dyn ReadAt) -> BTreeSet<String> {
    let versions = Versions::read(object, file);
    let defined = versions.ok().and_then(|versions| versions.definitions);
    let defined = defined.unwrap_or_default().into_iter();
    defined
        .map(|(_, name)| name.display().to_string())
        .collect()
}
