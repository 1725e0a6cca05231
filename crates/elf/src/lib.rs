//! One ELF object: what the kernel and the dynamic loader read of it.
//!
//! In: ranged reads of one file. Out: an [`Object`]. Only the header, the program
//! headers and the dynamic table are read, never sections: a loader ignores them, and
//! they may be missing or invalid.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod arm;
mod dynamic;
mod error;
mod machine;
mod mapped;
mod notes;
mod payload;
mod pointers;
mod relocations;
mod sections;
pub mod strip;
mod symbols;
mod tables;
mod versions;

pub use dynamic::{Dependency, DependencyKind, Dynamic};
pub use error::{ElfError, Malformed};
pub use machine::{GoMachine, go_machine, machine_name};
pub use notes::{DlopenNote, Notes, PackageNote, Priority};
pub use payload::Payload;
pub use relocations::Binding;
pub use symbols::{Definitions, Reference, References};
pub use versions::{NeededVersion, VersionNeed, Versions};

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

use goblin::container::{Container, Ctx};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::{
    PF_W, PF_X, PT_DYNAMIC, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD, ProgramHeader,
};

use slimpack_vfs::bytes::ReadAt;

/// Longest name that an object may contain, in bytes: `PATH_MAX` with its NUL. Anything
/// longer could not be opened.
const MAX_NAME: u64 = 4096;

/// How an object is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// `ET_EXEC` without an interpreter and without needed libraries.
    Static,
    /// A position-independent executable that relocates itself.
    StaticPie,
    /// A program with an interpreter (`PT_INTERP`).
    Dynamic,
    /// A shared library.
    Library,
}

impl Linkage {
    /// The name used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::StaticPie => "static-pie",
            Self::Dynamic => "dynamic",
            Self::Library => "library",
        }
    }

    /// Whether the kernel runs it without an interpreter.
    pub fn is_static(self) -> bool {
        matches!(self, Self::Static | Self::StaticPie)
    }
}

/// One ELF executable or shared library.
#[derive(Debug)]
pub struct Object {
    /// The ELF header.
    pub header: Header,
    /// The path in `PT_INTERP`.
    pub interpreter: Option<OsString>,
    /// Program headers in file order.
    pub segments: Vec<ProgramHeader>,
    /// The dynamic table, if there is one.
    pub dynamic: Option<Dynamic>,
    versions: OnceLock<Result<Versions, ElfError>>,
    references: OnceLock<Result<References, ElfError>>,
    definitions: OnceLock<Result<Definitions, ElfError>>,
}

impl Object {
    /// Parses one file.
    ///
    /// # Errors
    /// When the file is not a loadable ELF object; [`ElfError`] has the reason.
    pub fn read(file: &dyn ReadAt) -> Result<Self, ElfError> {
        let header = read_header(file)?;
        let malformed = |what| ElfError::malformed(&header, what);
        let segments = read_segments(file, &header)?;
        for load in segments.iter().filter(|s| s.p_type == PT_LOAD) {
            let end = load.p_offset.checked_add(load.p_filesz);
            if end.is_none_or(|end| end > file.size()) {
                return Err(malformed(Malformed::Truncated {
                    needs: end.unwrap_or(u64::MAX),
                    has: file.size(),
                }));
            }
        }
        let interpreter = match segments.iter().find(|s| s.p_type == PT_INTERP) {
            Some(segment) => Some(read_interpreter(file, &header, segment)?),
            None => None,
        };
        let dynamic = match segments.iter().rfind(|s| s.p_type == PT_DYNAMIC) {
            Some(segment) => Dynamic::read(file, &header, &segments, segment)?,
            None => None,
        };
        Ok(Self {
            header,
            interpreter,
            segments,
            dynamic,
            versions: OnceLock::new(),
            references: OnceLock::new(),
            definitions: OnceLock::new(),
        })
    }

    /// Its symbol versions, read on first use.
    ///
    /// # Errors
    /// When they cannot be read, now or the first time.
    pub fn versions(
        &self,
        open: impl FnOnce() -> Result<Box<dyn ReadAt>, ElfError>,
    ) -> Result<&Versions, ElfError> {
        let read = || Versions::read(self, open()?.as_ref());
        self.versions
            .get_or_init(read)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The symbols it refers to, read on first use.
    ///
    /// # Errors
    /// When they cannot be read, now or the first time.
    pub fn references(
        &self,
        open: impl FnOnce() -> Result<Box<dyn ReadAt>, ElfError>,
    ) -> Result<&References, ElfError> {
        let read = || {
            let file = open()?;
            let versions = self
                .versions
                .get_or_init(|| Versions::read(self, file.as_ref()));
            References::read(
                self,
                file.as_ref(),
                versions.as_ref().map_err(Clone::clone)?,
            )
        };
        self.references
            .get_or_init(read)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The symbols it defines, read on first use.
    ///
    /// # Errors
    /// When they cannot be read, now or the first time.
    pub fn definitions(
        &self,
        open: impl FnOnce() -> Result<Box<dyn ReadAt>, ElfError>,
    ) -> Result<&Definitions, ElfError> {
        let read = || Definitions::read(self, open()?.as_ref());
        self.definitions
            .get_or_init(read)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Whether it has `DT_VERSYM`: glibc aborts when it looks up a version in an object without
    /// this table (`check_match` in `elf/dl-lookup.c`).
    pub fn has_version_table(&self) -> bool {
        let dynamic = self.dynamic.as_ref();
        dynamic.is_some_and(|dynamic| dynamic.tables.symbol_versions.is_some())
    }

    /// Reads from `file` everything that later checks of the object will read (versions,
    /// references, definitions, notes), for a reader that keeps what passes through it.
    pub fn read_for_checks(&self, file: &dyn ReadAt) {
        let _ = Notes::read(self, file);
        if let Ok(versions) = Versions::read(self, file) {
            let _ = References::read(self, file, &versions);
        }
        let _ = Definitions::read(self, file);
    }

    /// Word size and byte order of its tables.
    ///
    /// # Errors
    /// When the header has no valid byte order.
    pub fn context(&self) -> Result<Ctx, ElfError> {
        context(&self.header)
    }

    /// How the object is linked. Some libraries (`libc.so.6`, `libcap.so.2`) have an
    /// interpreter so that they can be run; they have a soname and are not marked as
    /// programs.
    pub fn linkage(&self) -> Linkage {
        let dynamic = self.dynamic.as_ref();
        let is_pie = dynamic.is_some_and(Dynamic::is_pie);
        let is_exec = self.header.e_type == header::ET_EXEC;
        let has_soname = dynamic.is_some_and(|d| d.soname.is_some());
        let needs_libraries = dynamic.is_some_and(|d| !d.dependencies.is_empty());
        match (&self.interpreter, is_exec) {
            (Some(_), _) if is_exec || is_pie || !has_soname => Linkage::Dynamic,
            (None, true) if !needs_libraries => Linkage::Static,
            (None, false) if is_pie && !needs_libraries => Linkage::StaticPie,
            // Compressed programs (UPX) have no dynamic table at all.
            (None, false) if dynamic.is_none() => Linkage::StaticPie,
            _ => Linkage::Library,
        }
    }

    /// Whether it is a program or a library: not an object file or a core dump.
    pub fn is_loadable(&self) -> bool {
        matches!(self.header.e_type, header::ET_EXEC | header::ET_DYN) && !self.segments.is_empty()
    }

    /// `elf32` or `elf64`.
    pub fn class_name(&self) -> &'static str {
        match self.header.e_ident[header::EI_CLASS] {
            header::ELFCLASS32 => "elf32",
            _ => "elf64",
        }
    }

    /// Whether it is big-endian.
    pub fn is_big_endian(&self) -> bool {
        self.header.e_ident[header::EI_DATA] == header::ELFDATA2MSB
    }

    /// The machine name as printed by `uname -m`.
    pub fn machine_name(&self) -> &'static str {
        machine_name(&self.header)
    }

    /// Libraries to load, in the order of the dynamic table.
    pub fn dependencies(&self) -> &[Dependency] {
        self.dynamic.as_ref().map_or(&[], |d| &d.dependencies)
    }

    /// The name in `DT_SONAME`.
    pub fn soname(&self) -> Option<&OsString> {
        self.dynamic.as_ref()?.soname.as_ref()
    }

    /// Whether it has packed relative relocations (`DT_RELR`), which a loader that does not support
    /// them leaves undone.
    pub fn has_packed_relocations(&self) -> bool {
        let dynamic = self.dynamic.as_ref();
        dynamic.is_some_and(|dynamic| dynamic.tables.is_packed)
    }

    /// Whether only `DT_GNU_HASH` leads to its symbols.
    pub fn has_only_gnu_hash(&self) -> bool {
        let tables = self.dynamic.as_ref().map(|dynamic| &dynamic.tables);
        tables.is_some_and(|tables| tables.hash.is_none() && tables.gnu_hash.is_some())
    }

    /// Its flags, for `-v`: `pie`, `bind-now`, `nodeflib`, `textrel`, `execstack`.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut names = self.dynamic.as_ref().map_or_else(Vec::new, Dynamic::flags);
        let stack = self.segments.iter().find(|s| s.p_type == PT_GNU_STACK);
        if stack.is_some_and(|s| s.p_flags & PF_X != 0) {
            names.push("execstack");
        }
        names
    }

    /// Unsafe memory permissions: an executable stack, or a segment that is writable and
    /// executable.
    pub fn unsafe_segments(&self) -> Vec<&'static str> {
        let both = PF_W | PF_X;
        let mut found = Vec::new();
        let stack = self.segments.iter().find(|s| s.p_type == PT_GNU_STACK);
        if stack.is_some_and(|s| s.p_flags & PF_X != 0) {
            found.push("an executable stack");
        }
        let is_open = |s: &ProgramHeader| s.p_type == PT_LOAD && s.p_flags & both == both;
        if self.segments.iter().any(is_open) {
            found.push("a writable and executable segment");
        }
        found
    }

    /// The hardening features that the program lacks: `PIE`, `RELRO`, `BIND_NOW`.
    pub fn missing_protections(&self) -> Vec<&'static str> {
        let dynamic = self.dynamic.as_ref();
        let has_relro = self.segments.iter().any(|s| s.p_type == PT_GNU_RELRO);
        [
            (self.header.e_type == header::ET_DYN, "PIE"),
            (has_relro, "RELRO"),
            (dynamic.is_none_or(Dynamic::binds_now), "BIND_NOW"),
        ]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect()
    }

    /// File ranges of constants that the loader maps without write permission; includes code unless
    /// the object keeps its constants in separate segments.
    pub fn constant_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let is_constant =
            |s: &&ProgramHeader| s.p_type == PT_LOAD && s.p_flags & (PF_W | PF_X) == 0;
        let is_apart = self.segments.iter().any(|s| is_constant(&s));
        self.segments
            .iter()
            .filter(move |s| match is_apart {
                true => is_constant(s),
                false => s.p_type == PT_LOAD && s.p_flags & PF_W == 0,
            })
            .map(|s| (s.p_offset, s.p_filesz))
    }

    /// File ranges of initialized data, which a loader maps with write permission.
    pub fn data_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.segments
            .iter()
            .filter(|s| s.p_type == PT_LOAD && s.p_flags & PF_W != 0)
            .map(|s| (s.p_offset, s.p_filesz))
    }

    /// Offset and length in the file of the dynamic string table: names of symbols and libraries,
    /// which are among the constants.
    pub fn dynamic_strings(&self) -> Option<(u64, u64)> {
        let tables = &self.dynamic.as_ref()?.tables;
        let (start, end) = mapped::file_range(&self.segments, tables.strings?)?;
        Some((start, tables.strings_size.min(end - start)))
    }

    /// File ranges that the loader maps without write permission: constants and code.
    pub fn read_only_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.segments
            .iter()
            .filter(|s| s.p_type == PT_LOAD && s.p_flags & PF_W == 0)
            .map(|s| (s.p_offset, s.p_filesz))
    }
}

/// Word size and byte order of an object's tables.
fn context(header: &Header) -> Result<Ctx, ElfError> {
    let container = header.container().unwrap_or(Container::Big);
    let endian = header
        .endianness()
        .map_err(|_| ElfError::Encoding(header.e_ident[header::EI_DATA]))?;
    Ok(Ctx::new(container, endian))
}

fn read_header(file: &dyn ReadAt) -> Result<Header, ElfError> {
    let bytes = file.prefix(0, header::header64::SIZEOF_EHDR as u64)?;
    if bytes.is_empty() {
        return Err(ElfError::Empty);
    }
    if !bytes.starts_with(header::ELFMAG) {
        // A prefix of the magic number is a truncated ELF file; anything else is not ELF.
        return Err(if header::ELFMAG.starts_with(&bytes) {
            ElfError::TooShort(file.size())
        } else {
            ElfError::NotElf(bytes.starts_with(b"#!"))
        });
    }
    let size = match bytes.get(header::EI_CLASS) {
        Some(&header::ELFCLASS32) => header::header32::SIZEOF_EHDR,
        Some(&header::ELFCLASS64) => header::header64::SIZEOF_EHDR,
        Some(&class) => return Err(ElfError::Class(class)),
        None => return Err(ElfError::TooShort(file.size())),
    };
    if bytes.len() < size {
        return Err(ElfError::TooShort(file.size()));
    }
    let data = bytes[header::EI_DATA];
    if data != header::ELFDATA2LSB && data != header::ELFDATA2MSB {
        return Err(ElfError::Encoding(data));
    }
    goblin::elf::Elf::parse_header(&bytes).map_err(|_| ElfError::TooShort(file.size()))
}

fn read_segments(file: &dyn ReadAt, header: &Header) -> Result<Vec<ProgramHeader>, ElfError> {
    let malformed = |what| ElfError::malformed(header, what);
    let context = context(header)?;
    let entry = ProgramHeader::size(context);
    let count = usize::from(header.e_phnum);
    if count == 0 {
        return Ok(Vec::new());
    }
    if usize::from(header.e_phentsize) != entry {
        return Err(malformed(Malformed::SegmentEntrySize(header.e_phentsize)));
    }
    let bytes = file
        .range(header.e_phoff, (count * entry) as u64)?
        .ok_or_else(|| malformed(Malformed::SegmentTable))?;
    ProgramHeader::parse(&bytes, 0, count, context).map_err(|_| malformed(Malformed::SegmentTable))
}

fn read_interpreter(
    file: &dyn ReadAt,
    header: &Header,
    segment: &ProgramHeader,
) -> Result<OsString, ElfError> {
    let malformed = |what| ElfError::malformed(header, what);
    if segment.p_filesz > MAX_NAME {
        return Err(malformed(Malformed::NameTooLong("PT_INTERP")));
    }
    let bytes = file
        .range(segment.p_offset, segment.p_filesz)?
        .ok_or_else(|| malformed(Malformed::Interpreter))?;
    // The kernel requires a NUL at the end of the segment; the name ends at the first NUL.
    match bytes.iter().position(|&b| b == 0) {
        Some(end) if end > 0 => Ok(OsString::from_vec(bytes[..end].to_vec())),
        _ => Err(malformed(Malformed::Interpreter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_cut_short_is_an_error_and_never_a_panic() {
        let whole = std::fs::read("/proc/self/exe").expect("the test program itself");
        for length in (0..4096).chain([8000, whole.len() / 2, whole.len() - 1]) {
            if let Ok(object) = Object::read(&whole[..length].to_vec()) {
                // Only section data and headers may be missing.
                let end = object.segments.iter().map(|s| s.p_offset + s.p_filesz);
                assert!(end.max() <= Some(length as u64), "{length} bytes");
            }
        }
    }

    #[test]
    fn a_header_with_hostile_counts_is_refused_without_a_large_allocation() {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16] = 2; // ET_EXEC
        bytes[18] = 62; // EM_X86_64
        bytes[32..40].copy_from_slice(&u64::MAX.to_le_bytes()); // e_phoff
        bytes[54] = 56; // e_phentsize
        bytes[56..58].copy_from_slice(&[0xff, 0xff]); // e_phnum
        let error = Object::read(&bytes).unwrap_err();
        assert!(matches!(
            error,
            ElfError::Malformed {
                what: Malformed::SegmentTable,
                ..
            }
        ));
    }
}
