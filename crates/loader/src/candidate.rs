//! The verdict on one candidate file.
//!
//! In: a path produced by a search rule. Out: take it, skip it, or stop. Loaders skip some files
//! and abort on others; this determines whether a broken file shadows a good one. Source: glibc
//! `open_verify` and `open_path`, musl `path_open` and `map_library`.

use super::Objects;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_OSABI, ELFOSABI_GNU, ELFOSABI_SYSV, ET_DYN, Header,
};

use slimpack_elf::{ElfError, Object};
use slimpack_vfs::{Errno, NodeKind, View, Walk};

/// `EI_ABIVERSION` and the padding after it (`<elf.h>`).
const EI_ABIVERSION: usize = 8;
/// glibc's `ELFOSABI_ARM_AEABI`, accepted on ARM only.
const ELFOSABI_ARM_AEABI: u8 = 64;

/// Attempts kept for a report; the rest are only counted.
const MAX_ATTEMPTS: usize = 1000;

/// Machine, class and byte order that libraries have to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    class: u8,
    data: u8,
    machine: u16,
}

impl Target {
    /// The target of `program`.
    pub fn of(program: &Object) -> Self {
        Self {
            class: program.header.e_ident[EI_CLASS],
            data: program.header.e_ident[EI_DATA],
            machine: program.header.e_machine,
        }
    }

    /// Whether an object with this header can be loaded into the same process.
    pub fn matches(self, header: &Header) -> bool {
        self.class == header.e_ident[EI_CLASS]
            && self.data == header.e_ident[EI_DATA]
            && self.machine == header.e_machine
    }

    /// `e_machine`.
    pub fn machine(self) -> u16 {
        self.machine
    }

    /// Whether pointers have 64 bits.
    pub fn is_64(self) -> bool {
        self.class == goblin::elf::header::ELFCLASS64
    }

    /// Whether the byte order is big endian.
    pub fn is_big_endian(self) -> bool {
        self.data == goblin::elf::header::ELFDATA2MSB
    }
}

/// Why a candidate was rejected.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It cannot be opened.
    Absent(Errno),
    /// It is for the other word size.
    OtherClass,
    /// It is for another machine.
    OtherMachine(&'static str),
    /// It is in a default directory, which `DF_1_NODEFLIB` excludes.
    NoDefaultFolder,
    /// The loader aborts on it.
    Fatal(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(errno) => errno.fmt(f),
            Self::OtherClass => f.write_str("wrong class"),
            Self::OtherMachine(machine) => write!(f, "wrong machine ({machine})"),
            Self::NoDefaultFolder => f.write_str("not allowed by NODEFLIB"),
            Self::Fatal(why) => write!(f, "the loader stops here: {why}"),
        }
    }
}

/// A rejected candidate.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The path that was tried.
    pub path: PathBuf,
    /// Why it was rejected.
    pub outcome: Outcome,
}

/// Everything that one search tried without success.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// The attempts in search order, up to the limit.
    pub attempts: Vec<Attempt>,
    /// Number of further attempts that were not kept.
    pub omitted: usize,
}

impl Tried {
    pub(super) fn push(&mut self, path: PathBuf, outcome: Outcome) {
        if self.attempts.len() < MAX_ATTEMPTS {
            self.attempts.push(Attempt { path, outcome });
        } else {
            self.omitted += 1;
        }
    }

    /// Drops all attempts but their count if there are more than `left`; otherwise subtracts
    /// the number kept from `left`.
    pub fn keep_within(&mut self, left: &mut usize) {
        match left.checked_sub(self.attempts.len()) {
            Some(rest) => *left = rest,
            None => {
                self.omitted += self.attempts.len();
                self.attempts = Vec::new();
            }
        }
    }

    /// One line for each attempt: the path and why it was rejected; finally the number of
    /// attempts that are not listed.
    pub fn lines(&self) -> impl Iterator<Item = (Option<&Path>, String)> {
        let rest = (self.omitted > 0).then(|| (None, format!("and {} more", self.omitted)));
        self.attempts
            .iter()
            .map(|attempt| (Some(attempt.path.as_path()), attempt.outcome.to_string()))
            .chain(rest)
    }

    /// The file on which the loader would have aborted, if that is how the search ended.
    pub fn fatal(&self) -> Option<&Attempt> {
        self.attempts
            .last()
            .filter(|attempt| matches!(attempt.outcome, Outcome::Fatal(_)))
    }
}

/// What the loader does with a candidate.
pub(super) enum Verdict {
    /// Map it.
    Take(Arc<Walk>, Arc<Object>),
    /// Try the next.
    Pass(Outcome),
    /// An open error that ends the search of its list.
    EndList(Outcome),
    /// The program does not start.
    Die(Outcome),
}

/// glibc's verdict.
pub(super) fn judge_glibc(view: &View, target: Target, path: &Path) -> Verdict {
    let (walk, facts) = match open(view, path) {
        Ok(opened) => opened,
        Err(Closed::Errno(errno)) => return glibc_errno(errno),
        Err(Closed::NotAFile(why)) => return Verdict::Die(Outcome::Fatal(why.into())),
    };
    let header = match &facts {
        Ok(object) => &object.header,
        Err(ElfError::Malformed { header, .. }) => header,
        Err(error) => return Verdict::Die(Outcome::Fatal(error.to_string())),
    };
    let ident = &header.e_ident;
    if ident[EI_CLASS] != target.class {
        return Verdict::Pass(Outcome::OtherClass);
    }
    let abi_is_known = matches!(ident[EI_OSABI], ELFOSABI_SYSV | ELFOSABI_GNU)
        || (ident[EI_OSABI] == ELFOSABI_ARM_AEABI && target.machine == goblin::elf::header::EM_ARM);
    let fault = if ident[EI_DATA] != target.data {
        Some("its byte order differs from the program's")
    } else if !abi_is_known {
        Some("its OS ABI is neither System V nor GNU")
    } else if ident[EI_ABIVERSION + 1..].iter().any(|&b| b != 0) {
        Some("it has nonzero padding in e_ident")
    } else if header.e_machine != target.machine {
        return Verdict::Pass(Outcome::OtherMachine(slimpack_elf::machine_name(header)));
    } else if header.e_type != ET_DYN {
        Some("it is not a shared library")
    } else if is_program(&facts) {
        Some("it is a position-independent executable, not a shared library")
    } else {
        None
    };
    if let Some(fault) = fault {
        return Verdict::Die(Outcome::Fatal(fault.into()));
    }
    match facts {
        Ok(object) => Verdict::Take(walk, object),
        Err(error) => Verdict::Die(Outcome::Fatal(error.to_string())),
    }
}

/// Whether the file has `DF_1_PIE`, which glibc 2.30 and later reject in libraries.
fn is_program(facts: &crate::Facts) -> bool {
    let dynamic = facts
        .as_ref()
        .ok()
        .and_then(|object| object.dynamic.as_ref());
    dynamic.is_some_and(|dynamic| dynamic.is_pie())
}

fn glibc_errno(errno: Errno) -> Verdict {
    match errno {
        Errno::NotFound | Errno::AccessDenied | Errno::NotADirectory => {
            Verdict::Pass(Outcome::Absent(errno))
        }
        _ => Verdict::EndList(Outcome::Absent(errno)),
    }
}

/// musl's verdict: the first file that can be opened wins, whatever its machine.
pub(super) fn judge_musl(view: &View, path: &Path) -> Verdict {
    match open(view, path) {
        Ok((walk, Ok(object))) => Verdict::Take(walk, object),
        Ok((_, Err(error))) => Verdict::Die(Outcome::Fatal(error.to_string())),
        Err(Closed::NotAFile(why)) => Verdict::Die(Outcome::Fatal(why.into())),
        Err(Closed::Errno(errno)) => match errno {
            Errno::NotFound | Errno::NotADirectory | Errno::AccessDenied | Errno::NameTooLong => {
                Verdict::Pass(Outcome::Absent(errno))
            }
            // "Any negative value but -1 will inhibit further path search."
            _ => Verdict::Die(Outcome::Absent(errno)),
        },
    }
}

enum Closed {
    Errno(Errno),
    NotAFile(&'static str),
}

fn open(view: &View, path: &Path) -> Result<(Arc<Walk>, crate::Facts), Closed> {
    let walk = view.walk(path).map_err(Closed::Errno)?;
    match walk.metadata.kind {
        NodeKind::File => {}
        NodeKind::Directory => return Err(Closed::NotAFile("it is a directory")),
        NodeKind::Symlink | NodeKind::Special => {
            return Err(Closed::NotAFile("it is not a regular file"));
        }
    }
    let facts = view.facts(&walk).map_err(Closed::Errno)?;
    Ok((walk, facts))
}
