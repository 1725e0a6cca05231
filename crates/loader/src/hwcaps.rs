//! Hardware capability subdirectories.
//!
//! In: a target. Out: the `glibc-hwcaps` subdirectories that its loader searches, best first.
//! Source: glibc `sysdeps/*/dl-hwcaps-subdirs.c`.
//!
//! The legacy subdirectories that loaders before glibc 2.37 also searched (`tls`, `haswell`)
//! are not supported.

use goblin::elf::header::{EM_PPC64, EM_S390, EM_X86_64};

use super::candidate::Target;

/// The subdirectories of each search directory, best first.
pub(super) fn levels(target: Target) -> &'static [&'static str] {
    match (target.machine(), target.is_64(), target.is_big_endian()) {
        (EM_X86_64, true, _) => &[
            "glibc-hwcaps/x86-64-v4",
            "glibc-hwcaps/x86-64-v3",
            "glibc-hwcaps/x86-64-v2",
        ],
        (EM_PPC64, _, false) => &["glibc-hwcaps/power10", "glibc-hwcaps/power9"],
        (EM_S390, true, _) => &[
            "glibc-hwcaps/z17",
            "glibc-hwcaps/z16",
            "glibc-hwcaps/z15",
            "glibc-hwcaps/z14",
            "glibc-hwcaps/z13",
        ],
        _ => &[],
    }
}
