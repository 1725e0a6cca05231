//! Notes: what an object declares about itself in addition to its tables.
//!
//! In: `PT_NOTE` and `PT_GNU_PROPERTY`. Out: the libraries that it opens with `dlopen`, the package
//! that it was built for, and the processor it needs. Malformed notes are ignored. Source: the ELF
//! specification ("Note Section"), the UAPI group's "ELF dlopen() Metadata" and "Package Metadata for
//! Executable Files", the x86-64 psABI ("Program Property").

use std::collections::HashSet;

use goblin::elf::program_header::{PT_GNU_PROPERTY, PT_NOTE};
use scroll::{Endian, Pread};
use serde::Deserialize;

use super::{Object, context};
use slimpack_vfs::bytes::ReadAt;

/// Largest note segment that is read, in bytes.
const MAX_SEGMENT: u64 = 1 << 20;
/// Maximum number of note segments that are read, and of libraries that one object may name in
/// notes.
const MAX_SEGMENTS: usize = 64;
const MAX_ENTRIES: usize = 500;
/// Owner and types of a `dlopen` note and of a package note.
const FDO: &[u8] = b"FDO\0";
const DLOPEN: u32 = 0x407c_0c0a;
const PACKAGE: u32 = 0xcafe_1a7e;
/// Largest package note, in bytes: those of distributions have less than 300.
const MAX_PACKAGE: usize = 16 << 10;
/// `NT_GNU_PROPERTY_TYPE_0` and the property `GNU_PROPERTY_X86_ISA_1_NEEDED`.
const GNU: &[u8] = b"GNU\0";
const PROPERTIES: u32 = 5;
/// `NT_GNU_BUILD_ID`.
const BUILD_ID: u32 = 3;
const X86_ISA_NEEDED: u32 = 0xc000_8002;

/// How important a library is that an object opens with `dlopen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The object does not work without it.
    Required,
    /// It should be present.
    #[default]
    Recommended,
    /// It may be present.
    Suggested,
}

/// Alternative libraries that an object opens with `dlopen`; one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DlopenNote {
    /// Sonames in order of preference.
    pub soname: Vec<String>,
    /// The feature that needs them, as a keyword.
    #[serde(default)]
    pub feature: Option<String>,
    /// The feature in prose.
    #[serde(default)]
    pub description: Option<String>,
    /// How important they are.
    #[serde(default)]
    pub priority: Priority,
}

/// The package that an object was built for, in the words of who built it (`.note.package`).
/// Distributions write the name and version of the source package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PackageNote {
    /// The kind of package: `rpm`, `deb`, `apk` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version, with the release.
    pub version: String,
    /// The machine, as the package manager calls it.
    #[serde(default)]
    pub architecture: Option<String>,
    /// The ID of the distribution, as in os-release(5).
    #[serde(default)]
    pub os: Option<String>,
    /// The distribution by its CPE name, `cpe:/o:fedoraproject:fedora:41`.
    #[serde(default, rename = "osCpe")]
    pub os_cpe: Option<String>,
}

/// The notes of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// `dlopen` notes in file order.
    pub dlopen: Vec<DlopenNote>,
    /// The level of x86-64 that the object needs, 1 to 4.
    pub x86_level: Option<u8>,
    /// The build ID (`NT_GNU_BUILD_ID`).
    pub build_id: Option<Vec<u8>>,
    /// The package that the object was built for; `None` also if several notes differ.
    pub package: Option<PackageNote>,
    /// Whether it has a package note that cannot be used: malformed, too long, or one of several that
    /// differ.
    pub has_invalid_package: bool,
}

impl Notes {
    /// Reads the notes of `object` from its `file`.
    pub fn read(object: &Object, file: &dyn ReadAt) -> Self {
        let mut notes = Self::default();
        let Ok(context) = context(&object.header) else {
            return notes;
        };
        // Several segments may name the same bytes.
        let mut read = HashSet::new();
        for segment in &object.segments {
            let is_note = matches!(segment.p_type, PT_NOTE | PT_GNU_PROPERTY);
            let is_new = is_note
                && read.len() < MAX_SEGMENTS
                && read.insert((segment.p_offset, segment.p_filesz));
            if !is_new || segment.p_filesz > MAX_SEGMENT {
                continue;
            }
            if let Ok(Some(bytes)) = file.range(segment.p_offset, segment.p_filesz) {
                let align = if segment.p_align == 8 { 8 } else { 4 };
                notes.add(&bytes, align, context.le);
            }
        }
        notes
    }

    fn add(&mut self, bytes: &[u8], align: usize, endian: Endian) {
        let mut at = 0;
        while let Some((owner, kind, description, next)) = note(bytes, at, align, endian) {
            match (owner, kind) {
                (FDO, DLOPEN) => self.add_dlopen(description),
                (FDO, PACKAGE) => self.add_package(description),
                (GNU, BUILD_ID) => self.build_id = Some(description.to_vec()),
                (GNU, PROPERTIES) => self.add_properties(description, align, endian),
                _ => {}
            }
            at = next;
        }
    }

    fn add_dlopen(&mut self, text: &[u8]) {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        if let Ok(entries) = serde_json::from_slice::<Vec<DlopenNote>>(&text[..end]) {
            // The same note may be in its own segment and in a larger one.
            for entry in entries {
                let is_new = self.dlopen.len() < MAX_ENTRIES && !self.dlopen.contains(&entry);
                if !entry.soname.is_empty() && is_new {
                    self.dlopen.push(entry);
                }
            }
        }
    }

    fn add_package(&mut self, text: &[u8]) {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        let text = Some(&text[..end]).filter(|text| text.len() <= MAX_PACKAGE);
        let package = text.and_then(|text| serde_json::from_slice::<PackageNote>(text).ok());
        // The same note may be in its own segment and in a larger one.
        match (package, &self.package) {
            (Some(package), None) if !self.has_invalid_package => self.package = Some(package),
            (Some(package), Some(known)) if package == *known => {}
            _ => {
                self.package = None;
                self.has_invalid_package = true;
            }
        }
    }

    fn add_properties(&mut self, bytes: &[u8], align: usize, endian: Endian) {
        let word = |at: usize| bytes.pread_with::<u32>(at, endian).ok();
        let mut at = 0;
        while let (Some(kind), Some(size)) = (word(at), word(at + 4)) {
            if kind == X86_ISA_NEEDED
                && let Some(levels) = word(at + 8)
            {
                let highest = 32 - levels.leading_zeros();
                self.x86_level = u8::try_from(highest)
                    .ok()
                    .filter(|level| (1..=4).contains(level));
            }
            let Some(next) = at.checked_add(8 + (size as usize).next_multiple_of(align)) else {
                return;
            };
            at = next;
        }
    }
}

/// The note at `at`: owner, type, description, and where the next one begins.
fn note(
    bytes: &[u8],
    at: usize,
    align: usize,
    endian: Endian,
) -> Option<(&[u8], u32, &[u8], usize)> {
    let word = |at: usize| bytes.pread_with::<u32>(at, endian).ok();
    let (name_size, size) = (word(at)? as usize, word(at + 4)? as usize);
    let kind = word(at + 8)?;
    let name_at = at + 12;
    let name = bytes.get(name_at..name_at.checked_add(name_size)?)?;
    let start = (name_at + name_size).next_multiple_of(align);
    let description = bytes.get(start..start.checked_add(size)?)?;
    Some((
        name,
        kind,
        description,
        (start + size).next_multiple_of(align),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(owner: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((owner.len() as u32).to_le_bytes());
        bytes.extend((description.len() as u32).to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(owner);
        bytes.extend(description);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn dlopen_notes_default_to_recommended_and_nonsense_is_no_note() {
        let good = br#"[{"soname":["libz.so.1","libz-ng.so.2"],"feature":"zip"}]"#;
        let bytes = [
            encoded(b"GNU\0", 3, b"build id"),
            encoded(FDO, DLOPEN, good),
            encoded(FDO, DLOPEN, b"{]"),
            encoded(FDO, DLOPEN, br#"[{"soname":["a"],"priority":"required"}]"#),
        ]
        .concat();
        let mut notes = Notes::default();
        notes.add(&bytes, 4, Endian::Little);
        let found: Vec<_> = notes
            .dlopen
            .iter()
            .map(|note| (note.soname.len(), note.priority))
            .collect();
        assert_eq!(found, [(2, Priority::Recommended), (1, Priority::Required)]);
        for length in 0..bytes.len() {
            Notes::default().add(&bytes[..length], 4, Endian::Little);
        }
    }

    #[test]
    fn one_package_note_counts_and_a_malformed_one_is_marked() {
        let good = br#"{"type":"rpm","name":"curl","version":"8.6.0-8.fc40","osCpe":"cpe:/o:x:y:40","new":[1]}"#;
        let other = br#"{"type":"rpm","name":"other","version":"1"}"#;
        let long = [
            &br#"{"type":"rpm","name":""#[..],
            &[b'x'; 17 << 10],
            br#"","version":"1"}"#,
        ];
        let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        let missing = br#"{"type":"rpm","name":"curl"}"#;
        let twice = br#"{"type":"rpm","type":"deb","name":"curl","version":"1"}"#;
        let number = br#"{"type":"rpm","name":7,"version":"1"}"#;
        let read = |texts: &[&[u8]]| {
            let texts = texts.iter().map(|text| encoded(FDO, PACKAGE, text));
            let bytes: Vec<u8> = texts.flatten().collect();
            let mut notes = Notes::default();
            notes.add(&bytes, 4, Endian::Little);
            (
                notes.package.map(|note| note.name),
                notes.has_invalid_package,
            )
        };
        let curl = Some("curl".to_owned());
        assert_eq!(read(&[good]), (curl.clone(), false));
        // With the zero that ends the text, and in two segments.
        let ended = [&good[..], b"\0\0"].concat();
        assert_eq!(read(&[good, &ended]), (curl, false));
        assert_eq!(read(&[good, other, good]), (None, true));
        for bad in [
            &long.concat()[..],
            &nested,
            missing,
            twice,
            number,
            b"",
            b"\xff\0",
            b"null",
        ] {
            assert_eq!(read(&[bad]), (None, true));
            assert_eq!(read(&[bad, good]), (None, true));
        }
    }

    #[test]
    fn the_highest_level_of_x86_64_counts() {
        let mut property = Vec::new();
        for word in [X86_ISA_NEEDED, 4, 0b111, 0] {
            property.extend(word.to_le_bytes());
        }
        let mut notes = Notes::default();
        notes.add(&encoded(GNU, PROPERTIES, &property), 4, Endian::Little);
        assert_eq!(notes.x86_level, Some(3));
    }
}
