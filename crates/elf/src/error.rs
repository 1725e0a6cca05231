//! Why a file is not a loadable ELF object.
//!
//! A loader aborts on some of these and skips others, so an error keeps the header
//! if there was one.

use std::io;

use goblin::elf::header::Header;
use thiserror::Error;

/// Why a file cannot be read as an ELF object.
#[derive(Clone, Debug, Error)]
pub enum ElfError {
    /// The file has no bytes.
    #[error("it is empty")]
    Empty,
    /// The file does not begin with the ELF magic number; true if it begins
    /// with `#!`.
    #[error("{}", if *.0 { "it is a script, not an ELF file" } else { "it is not an ELF file" })]
    NotElf(bool),
    /// The file ends inside the ELF header; its size in bytes.
    #[error("it ends inside the ELF header ({0} bytes)")]
    TooShort(u64),
    /// `EI_CLASS` is neither 32 nor 64 bit.
    #[error("it is an ELF file of unknown class {0}")]
    Class(u8),
    /// `EI_DATA` is neither little nor big endian.
    #[error("it is an ELF file of unknown data encoding {0}")]
    Encoding(u8),
    /// The bytes could not be read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
    /// The header is valid, but something after it is not.
    #[error("it is a damaged ELF file: {what}")]
    Malformed {
        /// The header.
        header: Box<Header>,
        /// What is wrong.
        what: Malformed,
    },
}

/// What is wrong after a valid header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A `PT_LOAD` segment ends past the end of the file.
    #[error("truncated (its segments need {needs} bytes, it has {has})")]
    Truncated {
        /// Bytes that the program headers cover.
        needs: u64,
        /// Size of the file in bytes.
        has: u64,
    },
    /// The program header table is outside the file.
    #[error("its program headers point past the end of the file")]
    SegmentTable,
    /// `e_phentsize` is not the size of a program header.
    #[error("its ELF header gives a program header size of {0} bytes")]
    SegmentEntrySize(u16),
    /// `PT_INTERP` is outside the file or holds no name.
    #[error("its interpreter name is empty, unterminated or outside the file")]
    Interpreter,
    /// `PT_DYNAMIC` is outside the file or larger than the limit.
    #[error("its dynamic segment is outside the file or larger than 16 MiB")]
    DynamicTable,
    /// There are names but no `DT_STRTAB` in a loaded segment.
    #[error("its dynamic string table is not in a loaded segment")]
    StringTable,
    /// A string offset past the end of the string table.
    #[error("{0} points outside the string table")]
    StringOffset(&'static str),
    /// A name longer than any path, or a search path over 4 MiB.
    #[error("{0} holds a name longer than any path can be")]
    NameTooLong(&'static str),
    /// `DT_VERNEED` or `DT_VERDEF` points outside the file or never ends.
    #[error("its symbol version table points outside the file or never ends")]
    VersionTable,
    /// A symbol, its name or its version is outside the file.
    #[error("its symbol table, or a name in it, is outside the file")]
    SymbolTable,
    /// The symbol hash table has invalid counts.
    #[error("its symbol hash table has invalid counts or is outside the file")]
    HashTable,
    /// A relocation table is outside the file.
    #[error("one of its relocation tables is outside the file")]
    RelocationTable,
    /// More dependencies than the limit.
    #[error("it needs more than {0} libraries")]
    TooManyDependencies(usize),
}

impl ElfError {
    pub(super) fn malformed(header: &Header, what: Malformed) -> Self {
        Self::Malformed {
            header: Box::new(*header),
            what,
        }
    }
}

impl From<io::Error> for ElfError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}
