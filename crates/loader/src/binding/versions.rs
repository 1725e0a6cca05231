//! Symbol versions over a closure (`_dl_check_map_versions` in glibc's `elf/dl-version.c`).
//!
//! In: the versions that each object needs, and those that its dependencies define. Out: missing
//! versions, and the oldest glibc that the program runs on. musl ignores versions.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::{Binder, BindingError, GlibcRelease, glibc_needs, has_versions};
use crate::Objects;
use crate::closure::Closure;
use slimpack_elf::{NeededVersion, Versions};

/// A version that an object needs and its provider does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingVersion {
    /// Index of the object that needs it.
    pub needer: usize,
    /// Index of the object that should define it.
    pub provider: usize,
    /// The name of the version.
    pub version: OsString,
    /// Whether the loader only warns.
    pub is_weak: bool,
    /// The newest version with the same prefix that the provider defines.
    pub newest: Option<OsString>,
}

/// The oldest glibc release that a program runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowestGlibc {
    /// The release.
    pub release: GlibcRelease,
    /// Index of the object that needs it.
    pub needer: usize,
    /// A symbol that has this version.
    pub because_of: Option<OsString>,
}

impl Binder<'_> {
    /// The versions that are missing in a closure, in load order. A provider without any
    /// definitions is skipped: the loader only warns about it.
    ///
    /// # Errors
    /// When a version table cannot be read.
    pub fn missing_versions(&self, closure: &Closure) -> Result<Vec<MissingVersion>, BindingError> {
        let mut missing = Vec::new();
        if !has_versions(closure) {
            return Ok(missing);
        }
        for (needer, provider, file) in self.pairs(closure)? {
            let needs = self.versions_of(&closure.map.objects()[needer])?;
            let ids = [needer, provider].map(|index| closure.map.objects()[index].walk.metadata.id);
            // Most pairs were seen before, with nothing missing.
            let faults = self.versions.get((ids[0], ids[1]), || {
                let provider = &closure.map.objects()[provider];
                let has_table = provider.object.has_version_table();
                Ok(missing_of(
                    needs,
                    file,
                    self.versions_of(provider)?,
                    has_table,
                ))
            })?;
            if faults.is_empty() {
                continue;
            }
            let provides = self.versions_of(&closure.map.objects()[provider])?;
            for (number, version) in versions_of_file(needs, file).enumerate() {
                if faults.contains(&number) {
                    missing.push(MissingVersion {
                        needer,
                        provider,
                        version: version.name.clone(),
                        is_weak: version.is_weak,
                        newest: newest(provides, &version.name),
                    });
                }
            }
        }
        Ok(missing)
    }

    /// The versions that each object needs from each other: needer, provider, versions.
    ///
    /// # Errors
    /// When a version table cannot be read.
    pub fn needed_versions(
        &self,
        closure: &Closure,
    ) -> Result<Vec<(usize, usize, Vec<OsString>)>, BindingError> {
        let mut needed = Vec::new();
        for (needer, provider, file) in self.pairs(closure)? {
            let needs = self.versions_of(&closure.map.objects()[needer])?;
            let versions = versions_of_file(needs, file);
            let mut names: Vec<_> = versions.map(|version| version.name.clone()).collect();
            names.sort_by(|left, right| compare(left, right));
            needed.push((needer, provider, names));
        }
        Ok(needed)
    }

    /// The oldest glibc that the program and its own libraries run on; `None` when they need
    /// nothing from glibc.
    ///
    /// # Errors
    /// When a version or symbol table cannot be read.
    pub fn lowest_glibc(&self, closure: &Closure) -> Result<Option<LowestGlibc>, BindingError> {
        let mut lowest: Option<(GlibcRelease, usize, &OsStr)> = None;
        for (needer, object) in closure.map.objects().iter().enumerate() {
            for (release, version) in glibc_needs(self.versions_of(object)?) {
                if lowest.as_ref().is_none_or(|(most, ..)| release > *most) {
                    lowest = Some((release, needer, version));
                }
            }
        }
        let Some((release, needer, version)) = lowest else {
            return Ok(None);
        };
        let object = &closure.map.objects()[needer];
        let references = super::of(object, self.view.references(&object.walk, &object.object))?;
        let because_of = references
            .symbols
            .iter()
            .filter(|reference| reference.version.as_deref() == Some(version))
            .map(|reference| reference.name.clone())
            .min();
        Ok(Some(LowestGlibc {
            release,
            needer,
            because_of,
        }))
    }

    /// Needer, provider and the name by which it is needed, of every entry of every
    /// `DT_VERNEED`.
    fn pairs<'c>(
        &self,
        closure: &'c Closure,
    ) -> Result<Vec<(usize, usize, &'c OsStr)>, BindingError> {
        let mut pairs = Vec::new();
        for (needer, object) in closure.map.objects().iter().enumerate() {
            let versions = self.versions_of(object)?;
            for need in &versions.needs {
                // The names live as long as the closure, which owns the map.
                if let Some((name, provider)) = closure.map.entry_named(&need.file) {
                    pairs.push((needer, provider, name));
                }
            }
        }
        Ok(pairs)
    }
}

/// The versions needed from the file `name`.
fn versions_of_file<'n>(
    needs: &'n Versions,
    name: &'n OsStr,
) -> impl Iterator<Item = &'n NeededVersion> {
    needs
        .needs
        .iter()
        .filter(move |need| need.file == name)
        .flat_map(|need| &need.versions)
}

/// The positions, among the versions needed from the file, of those that are not defined.
/// `has_table` is whether the provider has `DT_VERSYM`.
fn missing_of(
    needs: &Versions,
    name: &OsStr,
    provides: &Versions,
    has_table: bool,
) -> Arc<[usize]> {
    // Without definitions the loader warns and continues; without a table it aborts.
    if provides.definitions.is_none() && has_table {
        return Arc::default();
    }
    versions_of_file(needs, name)
        .enumerate()
        .filter(|(_, version)| !provides.defines(&version.name))
        .map(|(number, _)| number)
        .collect()
}

/// The newest version with the same prefix: `GLIBC_2.36` for `GLIBC_2.38`.
fn newest(provides: &Versions, version: &OsStr) -> Option<OsString> {
    let prefix = |name: &OsStr| {
        let name = name.as_bytes();
        let end = name
            .iter()
            .position(u8::is_ascii_digit)
            .unwrap_or(name.len());
        name[..end].to_vec()
    };
    let wanted = prefix(version);
    let definitions = provides.definitions.iter().flatten();
    definitions
        .map(|(_, name)| name)
        .filter(|name| prefix(name) == wanted)
        .max_by(|left, right| compare(left, right))
        .cloned()
}

/// Compares with digit runs as numbers.
fn compare(left: &OsStr, right: &OsStr) -> Ordering {
    let parts = |name: &OsStr| -> Vec<(u64, Vec<u8>)> {
        name.as_bytes()
            .split(|byte| matches!(byte, b'.' | b'_'))
            .map(|part| {
                let number = std::str::from_utf8(part)
                    .ok()
                    .and_then(|text| text.parse().ok());
                (number.unwrap_or(0), part.to_vec())
            })
            .collect()
    };
    parts(left).cmp(&parts(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let compare = |left, right| compare(OsStr::new(left), OsStr::new(right));
        assert_eq!(compare("GLIBC_2.9", "GLIBC_2.10"), Ordering::Less);
        assert_eq!(compare("GLIBC_2.2.5", "GLIBC_2.3"), Ordering::Less);
        assert_eq!(compare("GLIBC_2.34", "GLIBC_2.34"), Ordering::Equal);
    }
}
