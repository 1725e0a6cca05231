//! Symbol versions: those an object needs from others, and those it defines.
//!
//! In: `DT_VERNEED` and `DT_VERDEF`. Out: names with their files and indices. Source: glibc
//! `elf/dl-version.c`; the layout is in the Linux Standard Base, "Symbol Versioning".

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use scroll::{Endian, Pread};

use super::mapped::{Pages, file_range};
use super::{ElfError, MAX_NAME, Malformed, Object, context};
use slimpack_vfs::bytes::ReadAt;

/// Maximum number of entries of one table; libstdc++ has about 50.
const MAX_ENTRIES: usize = 16_384;
/// `VER_FLG_BASE`: the entry is for the file itself.
const BASE: u16 = 1;
/// `VER_FLG_WEAK`.
const WEAK: u16 = 2;
/// The bit of an index that hides a definition from references without a version.
const HIDDEN: u16 = 0x8000;

/// A version that an object needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededVersion {
    /// Its name, such as `GLIBC_2.34`.
    pub name: OsString,
    /// Its index in `DT_VERSYM`.
    pub index: u16,
    /// Whether the object runs without it.
    pub is_weak: bool,
}

/// The versions that an object needs from one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNeed {
    /// The name of the file, as in `DT_NEEDED`.
    pub file: OsString,
    /// The versions, in table order.
    pub versions: Vec<NeededVersion>,
}

/// Both tables of one object.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// `DT_VERNEED`.
    pub needs: Vec<VersionNeed>,
    /// `DT_VERDEF` without the entry for the file itself: index and name; `None` when the
    /// object has no such table at all.
    pub definitions: Option<Vec<(u16, OsString)>>,
}

impl Versions {
    /// Reads the tables of `object` from its `file`.
    ///
    /// # Errors
    /// When a table or a name in it is outside the file.
    pub fn read(object: &Object, file: &dyn ReadAt) -> Result<Self, ElfError> {
        let mut reader = Reader {
            object,
            endian: context(&object.header)?.le,
            entries: Pages::new(file),
            names: Pages::new(file),
            left: MAX_ENTRIES,
        };
        let Some(dynamic) = &object.dynamic else {
            return Ok(Self::default());
        };
        Ok(Self {
            needs: match dynamic.tables.version_needs {
                Some(address) => reader.needs(address)?,
                None => Vec::new(),
            },
            definitions: match dynamic.tables.version_definitions {
                Some(address) => Some(reader.definitions(address)?),
                None => None,
            },
        })
    }

    /// Whether the object defines the version `name`.
    pub fn defines(&self, name: &OsString) -> bool {
        let mut definitions = self.definitions.iter().flatten();
        definitions.any(|(_, defined)| defined == name)
    }

    /// The name for an index of `DT_VERSYM`, needed or defined.
    pub fn name(&self, index: u16) -> Option<&OsString> {
        let needed = self
            .needs
            .iter()
            .flat_map(|need| &need.versions)
            .find(|version| version.index & !HIDDEN == index)
            .map(|version| &version.name);
        needed.or_else(|| {
            let mut definitions = self.definitions.iter().flatten();
            definitions
                .find(|(number, _)| *number == index)
                .map(|(_, name)| name)
        })
    }
}

struct Reader<'a> {
    object: &'a Object,
    endian: Endian,
    entries: Pages<'a>,
    names: Pages<'a>,
    left: usize,
}

impl Reader<'_> {
    fn malformed(&self) -> ElfError {
        ElfError::malformed(&self.object.header, Malformed::VersionTable)
    }

    /// The fields of one entry: 16-bit and 32-bit numbers at their offsets.
    fn entry(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, ElfError> {
        // The loader trusts the chain; a loop in it would never end.
        self.left = self.left.checked_sub(1).ok_or_else(|| self.malformed())?;
        let bytes = self.entries.at(offset, length)?;
        let entry = bytes.get(..length as usize).map(<[u8]>::to_vec);
        entry.ok_or_else(|| self.malformed())
    }

    fn half(&self, entry: &[u8], at: usize) -> u16 {
        entry.pread_with(at, self.endian).unwrap_or_default()
    }

    fn word(&self, entry: &[u8], at: usize) -> u64 {
        entry
            .pread_with::<u32>(at, self.endian)
            .unwrap_or_default()
            .into()
    }

    fn start(&self, address: u64) -> Result<u64, ElfError> {
        let range = file_range(&self.object.segments, address);
        Ok(range.ok_or_else(|| self.malformed())?.0)
    }

    fn name(&mut self, offset: u64) -> Result<OsString, ElfError> {
        let tables = self.object.dynamic.as_ref().map(|dynamic| &dynamic.tables);
        let place = tables.and_then(|tables| tables.string(&self.object.segments, offset));
        let Some((start, end)) = place else {
            return Err(self.malformed());
        };
        let name = self.names.string(start, end, MAX_NAME)?;
        name.map(OsString::from_vec).ok_or_else(|| self.malformed())
    }

    /// `Elfxx_Verneed` and its `Elfxx_Vernaux`.
    fn needs(&mut self, address: u64) -> Result<Vec<VersionNeed>, ElfError> {
        let mut needs = Vec::new();
        let mut at = self.start(address)?;
        loop {
            let entry = self.entry(at, 16)?;
            let (count, file) = (self.half(&entry, 2), self.word(&entry, 4));
            let (auxiliary, next) = (self.word(&entry, 8), self.word(&entry, 12));
            let mut need = VersionNeed {
                file: self.name(file)?,
                versions: Vec::new(),
            };
            let mut aux_at = at + auxiliary;
            for _ in 0..count {
                let entry = self.entry(aux_at, 16)?;
                let (flags, index) = (self.half(&entry, 4), self.half(&entry, 6));
                let (name, next) = (self.word(&entry, 8), self.word(&entry, 12));
                need.versions.push(NeededVersion {
                    name: self.name(name)?,
                    index,
                    is_weak: flags & WEAK != 0,
                });
                if next == 0 {
                    break;
                }
                aux_at += next;
            }
            needs.push(need);
            if next == 0 {
                return Ok(needs);
            }
            at += next;
        }
    }

    /// `Elfxx_Verdef`, of which the first `Elfxx_Verdaux` is the name.
    fn definitions(&mut self, address: u64) -> Result<Vec<(u16, OsString)>, ElfError> {
        let mut definitions = Vec::new();
        let mut at = self.start(address)?;
        loop {
            let entry = self.entry(at, 20)?;
            let (flags, index) = (self.half(&entry, 2), self.half(&entry, 4));
            let (auxiliary, next) = (self.word(&entry, 12), self.word(&entry, 16));
            if flags & BASE == 0 {
                let entry = self.entry(at + auxiliary, 8)?;
                let name = self.word(&entry, 0);
                definitions.push((index & !HIDDEN, self.name(name)?));
            }
            if next == 0 {
                return Ok(definitions);
            }
            at += next;
        }
    }
}
