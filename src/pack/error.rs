//! Errors of packing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::closure::ClosureError;
use crate::exec::AccountKind;
use crate::image::ImageError;
use crate::needs::NeedError;
use crate::proof::ProofError;
use crate::rootfs::{ProvideError, RootfsError};
use crate::source::SourceError;
use crate::suggest::{did_you_mean, nearest};
use crate::vfs::Errno;

/// Why an image cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The source tree cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A program cannot be packed.
    #[error("cannot pack {}: {error}", .path.display())]
    Program {
        /// The program, as it was typed.
        path: PathBuf,
        /// Why it cannot be resolved.
        error: ClosureError,
    },
    /// A file is neither a program nor a script.
    #[error("cannot pack {}: {what}", .path.display())]
    NotProgram {
        /// The file, as it was typed.
        path: PathBuf,
        /// What the file is instead, and what to do.
        what: &'static str,
    },
    /// A script cannot be started.
    #[error(
        "cannot pack {}: {why}; install the package that provides it, or correct the line",
        .path.display()
    )]
    Script {
        /// The script, as it was typed.
        path: PathBuf,
        /// Why it cannot be started.
        why: String,
    },
    /// The image has neither an entrypoint nor arguments.
    #[error("{} does not say what it starts; name a FILE in it", .image.display())]
    NoEntrypoint {
        /// The image.
        image: PathBuf,
    },
    /// The image starts a program that it does not contain.
    #[error("{} starts {word}, which is not in it; name a FILE in it", .image.display())]
    EntrypointGone {
        /// The image.
        image: PathBuf,
        /// The first word of its entrypoint.
        word: String,
    },
    /// A file to add is missing, or has no destination in the image.
    #[error("cannot add {word}: {why}")]
    Add {
        /// The source path, as it was typed.
        word: String,
        /// Why it cannot be added.
        why: String,
    },
    /// A user or group that the image does not have.
    #[error("there is no {kind} {name:?} in {}{}; give its number, or add the file with --add", .file.display(), did_you_mean(nearest(.name, .known.iter().map(String::as_str), 2)))]
    Owner {
        /// User or group.
        kind: AccountKind,
        /// The name, as it was typed.
        name: String,
        /// Where it was looked up.
        file: PathBuf,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A need cannot be met.
    #[error(transparent)]
    Need(#[from] NeedError),
    /// What a need adds cannot be placed in the image.
    #[error(transparent)]
    Provide(#[from] ProvideError),
    /// Libraries are missing.
    #[error("{}", incomplete(.0))]
    Incomplete(Vec<MissingLibrary>),
    /// `--require-static` is set, and a program is not static.
    #[error(
        "cannot pack {}: it is not static: {why}; link it with -static, or drop --require-static",
        .path.display()
    )]
    NotStatic {
        /// The program, as it was typed.
        path: PathBuf,
        /// What makes it dynamic.
        why: String,
    },
    /// The image would be too large.
    #[error(
        "the image would hold {bytes} bytes, but --max-size allows {limit}; {}",
        smaller(.largest, *.largest_bytes, .spared)
    )]
    TooLarge {
        /// Size of all files of the image, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
        /// The largest file in the image.
        largest: PathBuf,
        /// Its size in bytes.
        largest_bytes: u64,
        /// Options that leave out what no loader requests, each with the bytes that it saves, the
        /// most first.
        spared: Vec<(String, u64)>,
    },
    /// Image configurations have no platform name for the program's machine.
    #[error("cannot pack {}: images have no platform name for {machine} programs", .path.display())]
    NoPlatform {
        /// The program, as it was typed.
        path: PathBuf,
        /// The name of the ELF machine.
        machine: &'static str,
    },
    /// Two programs are for different platforms.
    #[error(
        "cannot pack {} together with {}: one is for {second}, the other for {first}; pack each \
         into its own image",
        .path.display(), .first_path.display()
    )]
    Platforms {
        /// The first program.
        first_path: PathBuf,
        /// The platform of the first program.
        first: String,
        /// The other program.
        path: PathBuf,
        /// The platform of the other program.
        second: String,
    },
    /// The first file is a library, which cannot be started.
    #[error(
        "cannot start {}: it is a shared library; name the program first, or say what to start \
         with --entrypoint",
        .0.display()
    )]
    Library(PathBuf),
    /// Several programs and one destination.
    #[error("--dest {} is one path for {count} programs; end it in / for a directory", .path.display())]
    OneDestination {
        /// The destination.
        path: PathBuf,
        /// Number of programs.
        count: usize,
    },
    /// The working directory is a file.
    #[error("--workdir {}: it is a file in the image; name a directory", .0.display())]
    WorkingDir(PathBuf),
    /// The entrypoint is not in the image.
    #[error(
        "--entrypoint: {0:?} is not a program in the image; use one of {1}, or add it with --add"
    )]
    Entrypoint(String, String),
    /// The path of the program is not UTF-8, as image configurations require.
    #[error(
        "cannot start {} in an image: its path is not valid UTF-8; set another one with --dest",
        .0.display()
    )]
    NotText(PathBuf),
    /// Several errors, reported together.
    #[error("{}", lines(.0))]
    Several(Vec<PackError>),
    /// No program was named.
    #[error("no program to pack; name one: slimpack FILE")]
    NoProgram,
    /// The tree of the image cannot be built.
    #[error("cannot build the image: {0}")]
    Rootfs(#[from] RootfsError),
    /// The program would not start in the image.
    #[error("cannot publish the image, because the program would not start in it: {0}")]
    Proof(#[from] Box<ProofError>),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1.message())]
    Read(PathBuf, Errno),
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Image(#[from] ImageError),
}

impl PackError {
    /// Combines all errors into one; `Ok` if there are none.
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Whether the inputs are valid and the answer is no: exit status 1 instead of 2.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Incomplete(_) | Self::NotStatic { .. } | Self::TooLarge { .. } => true,
            Self::Proof(proof) => proof.is_verdict(),
            Self::Several(errors) => errors.iter().all(Self::is_verdict),
            _ => false,
        }
    }
}

/// What makes an image smaller.
fn smaller(largest: &Path, bytes: u64, spared: &[(String, u64)]) -> String {
    let spared = spared.iter();
    let spared: Vec<String> = spared
        .map(|(option, bytes)| format!("{option} saves {bytes}"))
        .collect();
    match spared.is_empty() {
        true => format!(
            "what the programs load is larger, most of all {} ({bytes} bytes): raise the limit",
            largest.display()
        ),
        false => format!("{}; or raise the limit", spared.join(", ")),
    }
}

/// A library that no search rule finds.
#[derive(Clone, Debug)]
pub struct MissingLibrary {
    /// The program that needs it, as it was typed.
    pub program: PathBuf,
    /// The requested name.
    pub name: OsString,
    /// The objects that request it.
    pub requesters: Vec<PathBuf>,
    /// The paths that were tried, each with the reason why it was rejected.
    pub tried: Vec<String>,
}

fn lines(errors: &[PackError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Maximum number of objects needing a missing library that a message lists.
const MAX_REQUESTERS: usize = 5;

fn incomplete(missing: &[MissingLibrary]) -> String {
    let mut text = String::new();
    for library in missing {
        let mut requesters: Vec<String> = library
            .requesters
            .iter()
            .take(MAX_REQUESTERS)
            .map(|path| path.display().to_string())
            .collect();
        let more = library.requesters.len() - requesters.len();
        if more > 0 {
            requesters.push(format!("{more} more"));
        }
        text.push_str(&format!(
            "cannot pack {}: {} not found (needed by {})\n",
            library.program.display(),
            library.name.display(),
            requesters.join(", "),
        ));
        for attempt in &library.tried {
            text.push_str(&format!("  tried {attempt}\n"));
        }
    }
    text.push_str("add its directory with -L DIR, or leave it out with --allow-missing=NAME");
    text
}
