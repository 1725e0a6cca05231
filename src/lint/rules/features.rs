//! SP018: features that objects require of a loader too old for them.

use std::ffi::OsString;

use super::LintedProcess;
use crate::lint::catalogue::SP018;
use crate::lint::finding::Finding;
use crate::loader::{FoundVia, Loaded, MuslVersion, Objects};

/// The version by which glibc 2.36 and later declare that they apply packed relocations
/// (`elf/dl-version.c`).
const PACKED_RELOCATIONS: &str = "GLIBC_ABI_DT_RELR";
/// The first release of glibc 2 that looks up symbols by `DT_GNU_HASH`.
const GNU_HASH: u32 = 5;
const LIBC: &str = "libc.so.6";

/// Objects that the loader of the process cannot load as they are linked.
pub(super) fn unsupported(process: &LintedProcess<'_>) -> Vec<Finding> {
    let objects = process.closure.map.objects();
    let is_special = |object: &Loaded| {
        object.object.has_packed_relocations() || object.object.has_only_gnu_hash()
    };
    let libc = process.closure.rules.as_ref().map(|rules| rules.libc());
    if libc.is_none() || !objects.iter().any(is_special) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        // The loader relocates itself with its own code.
        if object.via == FoundVia::Interpreter {
            continue;
        }
        let why = match libc {
            Some("musl") => under_musl(process, object),
            _ => under_glibc(process, object),
        };
        if let Some((feature, why)) = why {
            let path = process.path(index);
            let message = format!("{} has {feature}, but {why}", path.display());
            let finding = Finding::new(&SP018, &path, feature, message);
            findings.push(process.finding_by(index, finding));
        }
    }
    findings
}

const PACKED: &str = "packed relocations (DT_RELR)";
const ONLY_GNU_HASH: &str = "no symbol table but DT_GNU_HASH";

fn under_musl(process: &LintedProcess<'_>, object: &Loaded) -> Option<(&'static str, String)> {
    let mut objects = process.closure.map.objects().iter();
    let loader = objects.find(|object| object.via == FoundVia::Interpreter)?;
    let version = process.view.musl_version(&loader.walk, &loader.object)?;
    let path = (process.path_of)(&loader.opened_as);
    let since = |first: MuslVersion| {
        let path = path.display();
        format!("{path} is musl {version}, which lacks them: musl has them since {first}")
    };
    let object = &object.object;
    if object.has_packed_relocations() && version < MuslVersion::PACKED_RELOCATIONS {
        return Some((PACKED, since(MuslVersion::PACKED_RELOCATIONS)));
    }
    if object.has_only_gnu_hash() && version < MuslVersion::GNU_HASH {
        return Some((ONLY_GNU_HASH, since(MuslVersion::GNU_HASH)));
    }
    None
}

fn under_glibc(process: &LintedProcess<'_>, object: &Loaded) -> Option<(&'static str, String)> {
    let mut objects = process.closure.map.objects().iter();
    let libc = objects.find(|object| object.object.soname().is_some_and(|name| name == LIBC))?;
    let versions = process.view.versions(&libc.walk, &libc.object).ok()?;
    // A C library without symbol versions does not reveal its release.
    let definitions = versions.definitions.as_ref()?;
    let releases = definitions.iter().filter_map(|(_, name)| {
        let number = name.to_str()?.strip_prefix("GLIBC_2.")?;
        number.split('.').next()?.parse::<u32>().ok()
    });
    let newest = releases.max()?;
    let has = |version: &str| versions.defines(&OsString::from(version));
    let libc = (process.path_of)(&libc.opened_as);
    let libc = libc.display();
    if object.object.has_packed_relocations() {
        let own = process.view.versions(&object.walk, &object.object).ok()?;
        let of_libc = own.needs.iter().find(|need| need.file == LIBC);
        let mut declared = of_libc.into_iter().flat_map(|need| &need.versions);
        let is_declared = declared.any(|version| version.name == PACKED_RELOCATIONS);
        if !has(PACKED_RELOCATIONS) && !is_declared {
            return Some((
                PACKED,
                format!("{libc} is older than glibc 2.36 and lacks them"),
            ));
        }
        if has(PACKED_RELOCATIONS) && of_libc.is_some() && !is_declared {
            let why = format!("does not need the version {PACKED_RELOCATIONS}: glibc refuses it");
            return Some((PACKED, why));
        }
    }
    (object.object.has_only_gnu_hash() && newest < GNU_HASH).then(|| {
        let why = format!("{libc} is older than glibc 2.5 and looks for DT_HASH");
        (ONLY_GNU_HASH, why)
    })
}
