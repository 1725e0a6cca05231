//! Machine names: as printed by `uname -m`, and as the platform of an image.
//!
//! In: an ELF header. Out: names. The platform names are Go's (`GOARCH`), which
//! the OCI image specification prescribes for `architecture` and `variant`.

use goblin::elf::header::{
    EI_CLASS, EI_DATA, ELFCLASS32, ELFDATA2MSB, EM_68K, EM_386, EM_AARCH64, EM_ARM, EM_IA_64,
    EM_LOONGARCH, EM_MIPS, EM_PARISC, EM_PPC, EM_PPC64, EM_RISCV, EM_S390, EM_SH, EM_SPARC,
    EM_SPARCV9, EM_X86_64, Header,
};

use super::arm;
use super::{ElfError, Object};
use slimpack_vfs::bytes::ReadAt;

/// `e_flags` of the MIPS n32 ABI (`<elf.h>`).
const EF_MIPS_ABI2: u32 = 0x20;

/// A machine by Go's names, which images use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoMachine {
    /// `GOARCH`.
    pub architecture: &'static str,
    /// The variant, where the architecture has several.
    pub variant: Option<&'static str>,
}

/// The machine name as printed by `uname -m`.
pub fn machine_name(header: &Header) -> &'static str {
    let big = header.e_ident[EI_DATA] == ELFDATA2MSB;
    let narrow = header.e_ident[EI_CLASS] == ELFCLASS32;
    match header.e_machine {
        EM_X86_64 if narrow => "x32",
        EM_X86_64 => "x86_64",
        EM_386 => "i386",
        EM_AARCH64 if big => "aarch64_be",
        EM_AARCH64 => "aarch64",
        EM_ARM if big => "armeb",
        EM_ARM => "arm",
        EM_RISCV if narrow => "riscv32",
        EM_RISCV => "riscv64",
        EM_PPC => "ppc",
        EM_PPC64 if big => "ppc64",
        EM_PPC64 => "ppc64le",
        EM_S390 if narrow => "s390",
        EM_S390 => "s390x",
        EM_LOONGARCH => "loongarch64",
        EM_MIPS => match (narrow, big) {
            (true, true) => "mips",
            (true, false) => "mipsel",
            (false, true) => "mips64",
            (false, false) => "mips64el",
        },
        EM_SPARC => "sparc",
        EM_SPARCV9 => "sparc64",
        EM_68K => "m68k",
        EM_IA_64 => "ia64",
        EM_PARISC => "parisc",
        EM_SH => "sh4",
        _ => "unknown",
    }
}

/// The machine of this program; `None` if `GOARCH` has no name for it.
///
/// # Errors
/// When the file cannot be read: the variant of an ARM program is in a section.
pub fn go_machine(object: &Object, file: &dyn ReadAt) -> Result<Option<GoMachine>, ElfError> {
    let header = &object.header;
    let big = header.e_ident[EI_DATA] == ELFDATA2MSB;
    let narrow = header.e_ident[EI_CLASS] == ELFCLASS32;
    let mut variant = None;
    let architecture = match header.e_machine {
        EM_X86_64 => "amd64",
        EM_386 => "386",
        EM_AARCH64 if big => "arm64be",
        EM_AARCH64 => "arm64",
        EM_ARM if big => "armbe",
        EM_ARM => {
            variant = Some(arm::variant(header, file)?);
            "arm"
        }
        EM_RISCV if narrow => "riscv",
        EM_RISCV => "riscv64",
        EM_PPC => "ppc",
        EM_PPC64 if big => "ppc64",
        EM_PPC64 => "ppc64le",
        EM_S390 if narrow => "s390",
        EM_S390 => "s390x",
        EM_LOONGARCH => "loong64",
        // The n32 ABI: 64-bit machine, 32-bit pointers.
        EM_MIPS if narrow && header.e_flags & EF_MIPS_ABI2 != 0 => {
            if big {
                "mips64p32"
            } else {
                "mips64p32le"
            }
        }
        EM_MIPS => match (narrow, big) {
            (true, true) => "mips",
            (true, false) => "mipsle",
            (false, true) => "mips64",
            (false, false) => "mips64le",
        },
        EM_SPARC => "sparc",
        EM_SPARCV9 => "sparc64",
        _ => return Ok(None),
    };
    Ok(Some(GoMachine {
        architecture,
        variant,
    }))
}
