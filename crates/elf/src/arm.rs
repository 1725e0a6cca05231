//! The architecture version of a 32-bit ARM program.
//!
//! In: the section `.ARM.attributes`, the only part of an image's platform that no program header
//! holds. Out: the `variant` of the image configuration. Source: ELF for the Arm Architecture,
//! "Addenda: Build Attributes", `Tag_CPU_arch`.

use goblin::elf::header::Header;
use object::Endianness;
use object::elf::FileHeader32;
use object::read::elf::AttributesSection;
use scroll::Endian;

use super::sections::sections;
use super::{ElfError, context};
use slimpack_vfs::bytes::ReadAt;

const SHT_ARM_ATTRIBUTES: u32 = 0x7000_0003;
/// `Tag_File`: the attributes that follow hold for the whole file.
const TAG_FILE: u8 = 1;
const TAG_CPU_RAW_NAME: u64 = 4;
const TAG_CPU_NAME: u64 = 5;
const TAG_CPU_ARCH: u64 = 6;
/// Largest attributes section that is read, in bytes; real ones have about 50.
const MAX_SECTION: u64 = 64 << 10;

/// The variant that an ARM program needs. Without the section, which is not required at run time,
/// it is `v7`: the engines' default for `arm` without a variant.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn variant(header: &Header, file: &dyn ReadAt) -> Result<&'static str, ElfError> {
    let Some((endian, section)) = attributes_section(header, file)? else {
        return Ok("v7");
    };
    let endian = match endian {
        Endian::Little => Endianness::Little,
        Endian::Big => Endianness::Big,
    };
    Ok(match cpu_architecture(endian, &section) {
        Some(0..=5) => "v5",
        Some(6..=9 | 11 | 12) => "v6",
        Some(14..) => "v8",
        _ => "v7",
    })
}

fn attributes_section(
    header: &Header,
    file: &dyn ReadAt,
) -> Result<Option<(Endian, Vec<u8>)>, ElfError> {
    for section in sections(header, file)? {
        if section.sh_type == SHT_ARM_ATTRIBUTES && section.sh_size <= MAX_SECTION {
            let bytes = file.range(section.sh_offset, section.sh_size)?;
            let endian = context(header)?.le;
            return Ok(bytes.map(|bytes| (endian, bytes)));
        }
    }
    Ok(None)
}

fn cpu_architecture(endian: Endianness, section: &[u8]) -> Option<u64> {
    let section = AttributesSection::<FileHeader32<Endianness>>::new(endian, section).ok()?;
    let mut subsections = section.subsections().ok()?;
    while let Some(subsection) = subsections.next().ok()? {
        if subsection.vendor() != b"aeabi" {
            continue;
        }
        let mut parts = subsection.subsubsections();
        while let Some(part) = parts.next().ok()? {
            if part.tag().0 != TAG_FILE {
                continue;
            }
            let mut attributes = part.attributes();
            while let Some(tag) = attributes.read_tag().ok()? {
                match tag {
                    TAG_CPU_RAW_NAME | TAG_CPU_NAME => drop(attributes.read_string().ok()?),
                    TAG_CPU_ARCH => return attributes.read_integer().ok(),
                    // Tags are in ascending order, so the file does not have it.
                    _ => return None,
                }
            }
        }
    }
    None
}
