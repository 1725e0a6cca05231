//! The debug file: what was removed, in a separate file.
//!
//! In: sections. Out: a file that a debugger reads together with the stripped one, like that of
//! `eu-strip -f` and `objcopy --only-keep-debug`: all sections with their old numbers, loaded
//! sections without their bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use goblin::elf::section_header::{SHT_NOBITS, SHT_NOTE, SHT_NULL};

use super::pieces::{Assembled, Pieces};
use super::sections::{Sections, is_loaded};
use super::{LeftAlone, Level, table};
use crate::{ElfError, Object};
use slimpack_vfs::bytes::ReadAt;

/// The debug file of a stripped file.
#[derive(Clone, Debug)]
pub struct DebugFile {
    pieces: Arc<Pieces>,
    name: OsString,
    checksum: u32,
}

impl DebugFile {
    /// The debug file `name` with what `level` removes from `file`.
    ///
    /// # Errors
    /// When `file` is left alone; the reason.
    pub fn of(file: &dyn ReadAt, level: Level, name: &OsStr) -> Result<Self, LeftAlone> {
        if file.size() > super::LARGEST {
            return Err(LeftAlone::TooLarge);
        }
        let object = Object::read(file).map_err(LeftAlone::Read)?;
        let (sections, _) = Sections::to_strip(&object, file, level)?;
        let pieces = Arc::new(write(&sections, file)?);
        // Sections that share their bytes would be written once for each.
        if pieces.size() > file.size().saturating_mul(2) {
            return Err(LeftAlone::Misfit);
        }
        let checksum = checksum(&Assembled::new(pieces.clone(), file))
            .map_err(|error| LeftAlone::Read(ElfError::from(error)))?;
        Ok(Self {
            pieces,
            name: name.to_owned(),
            checksum,
        })
    }

    /// The pieces it is assembled from.
    pub fn pieces(&self) -> &Arc<Pieces> {
        &self.pieces
    }

    /// The content of `.gnu_debuglink`: the name, padded to four bytes, and the checksum.
    pub(super) fn section(&self, is_little: bool) -> Vec<u8> {
        let mut bytes = self.name.as_bytes().to_vec();
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(match is_little {
            true => self.checksum.to_le_bytes(),
            false => self.checksum.to_be_bytes(),
        });
        bytes
    }
}

fn write(sections: &Sections<'_>, file: &dyn ReadAt) -> Result<Pieces, LeftAlone> {
    let elf = &sections.object.header;
    let mut body = Pieces::default();
    body.source(0, u64::from(elf.e_ehsize));
    // Debuggers read where the segments are; the table keeps its place if it is the usual one.
    let segments = u64::from(elf.e_phnum) * u64::from(elf.e_phentsize);
    if elf.e_phnum > 0 && elf.e_phoff != u64::from(elf.e_ehsize) {
        return Err(LeftAlone::Misfit);
    }
    body.source(elf.e_phoff, segments);
    let mut headers = sections.headers.clone();
    for header in &mut headers {
        if matches!(header.sh_type, SHT_NULL | SHT_NOBITS) {
            continue;
        }
        body.align(header.sh_addralign);
        let offset = body.size();
        // Notes are kept because the build ID is one.
        match is_loaded(header) && header.sh_type != SHT_NOTE {
            true => header.sh_type = SHT_NOBITS,
            false => body.source(header.sh_offset, header.sh_size),
        }
        header.sh_offset = offset;
    }
    body.align(8);
    let (start, encoder) = (body.size(), table::encoder(sections));
    let mut bytes = Vec::new();
    for header in &headers {
        let name = u32::try_from(header.sh_name).unwrap_or_default();
        encoder.section_header(&mut bytes, &table::written(header, name));
    }
    body.bytes(bytes);
    let names = u32::from(elf.e_shstrndx);
    let header = table::header(sections, file, start, headers.len(), names)?;
    body.replace_start(header);
    Ok(body)
}

/// The checksum of `.gnu_debuglink`: CRC-32 as in zlib.
fn checksum(file: &dyn ReadAt) -> std::io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    file.each_chunk(&mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hasher.finalize())
}
