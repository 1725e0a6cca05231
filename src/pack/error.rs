//! Why nothing is packed.

use std::ffi::OsString;
use std::path::PathBuf;

use thiserror::Error;

use crate::closure::ClosureError;
use crate::image::ImageError;
use crate::needs::NeedError;
use crate::proof::ProofError;
use crate::rootfs::{ProvideError, RootfsError};
use crate::source::SourceError;
use crate::vfs::Errno;

/// Why nothing is packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The tree cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A program cannot be packed.
    #[error("cannot pack {}: {error}", .path.display())]
    Program {
        /// As it was typed.
        path: PathBuf,
        /// Why.
        error: ClosureError,
    },
    /// A file is neither a program nor a script.
    #[error("cannot pack {}: {what}", .path.display())]
    NotProgram {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A script cannot be started.
    #[error(
        "cannot pack {}: {why}; add the package that has it, or correct the line",
        .path.display()
    )]
    Script {
        /// As it was typed.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An image that starts nothing.
    #[error("{} does not say what it starts; name a FILE of it", .image.display())]
    NoEntrypoint {
        /// The image.
        image: PathBuf,
    },
    /// An image that starts what it does not hold.
    #[error("{} starts {word}, which is not in it; name a FILE of it", .image.display())]
    EntrypointGone {
        /// The image.
        image: PathBuf,
        /// The first word of its entrypoint.
        word: String,
    },
    /// A file to add is not there, or has no place.
    #[error("cannot add {word}: {why}")]
    Add {
        /// As it was typed.
        word: String,
        /// Why.
        why: String,
    },
    /// A need cannot be served.
    #[error(transparent)]
    Need(#[from] NeedError),
    /// What a need adds has no place.
    #[error(transparent)]
    Provide(#[from] ProvideError),
    /// Libraries are missing.
    #[error("{}", incomplete(.0))]
    Incomplete(Vec<MissingLibrary>),
    /// `--require-static` and the program is not.
    #[error(
        "cannot pack {}: it is not static: {why}; link it with -static, or leave out --require-static",
        .path.display()
    )]
    NotStatic {
        /// As it was typed.
        path: PathBuf,
        /// What makes it dynamic.
        why: String,
    },
    /// The image would be too large.
    #[error(
        "the image would hold {bytes} bytes, --max-size allows {limit}; the largest file is {} \
         ({largest_bytes} bytes): leave it out with --exclude, or raise the limit",
        .largest.display()
    )]
    TooLarge {
        /// What it would hold.
        bytes: u64,
        /// What is allowed.
        limit: u64,
        /// The largest file.
        largest: PathBuf,
        /// Its size.
        largest_bytes: u64,
    },
    /// The machine has no name in image configurations.
    #[error("cannot pack {}: images have no platform name for {machine} programs", .path.display())]
    NoPlatform {
        /// As it was typed.
        path: PathBuf,
        /// The machine.
        machine: &'static str,
    },
    /// Two programs are for different platforms.
    #[error(
        "cannot pack {} together with {}: one is for {second}, the other for {first}; pack them \
         into an image each",
        .path.display(), .first_path.display()
    )]
    Platforms {
        /// The first program.
        first_path: PathBuf,
        /// Its platform.
        first: String,
        /// The other program.
        path: PathBuf,
        /// Its platform.
        second: String,
    },
    /// The first file is a library.
    #[error(
        "cannot start {}: it is a shared library; name the program first, or say what to start \
         with --entrypoint",
        .0.display()
    )]
    Library(PathBuf),
    /// Several programs and one destination.
    #[error("--dest {} is one path for {count} programs; end it in / to name a folder", .path.display())]
    OneDestination {
        /// The destination.
        path: PathBuf,
        /// How many programs there are.
        count: usize,
    },
    /// The entrypoint is not in the image.
    #[error(
        "--entrypoint: {0:?} is not a program in the image; name one of {1}, or add it with --add"
    )]
    Entrypoint(String, String),
    /// The path of the program is not text, and image configurations are.
    #[error(
        "cannot start {} in an image: its path is not UTF-8 text; give it another with --dest",
        .0.display()
    )]
    NotText(PathBuf),
    /// Several of these.
    #[error("{}", lines(.0))]
    Several(Vec<PackError>),
    /// There is nothing to pack.
    #[error("there is no program to pack; name one: slimpack FILE")]
    NoProgram,
    /// The tree cannot be built.
    #[error("cannot build the image: {0}")]
    Rootfs(#[from] RootfsError),
    /// The image would not work.
    #[error("cannot publish the image, the program would not start in it: {0}")]
    Proof(#[from] Box<ProofError>),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1.message())]
    Read(PathBuf, Errno),
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Image(#[from] ImageError),
}

impl PackError {
    /// One error for all that were found; none when there are none.
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Whether the inputs are sound and the answer is no: exit status 1 and not 2.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Incomplete(_) | Self::NotStatic { .. } | Self::TooLarge { .. } => true,
            Self::Proof(proof) => proof.is_verdict(),
            Self::Several(errors) => errors.iter().all(Self::is_verdict),
            _ => false,
        }
    }
}

/// A library that no rule finds.
#[derive(Clone, Debug)]
pub struct MissingLibrary {
    /// The program, as it was typed.
    pub program: PathBuf,
    /// The name that is asked for.
    pub name: OsString,
    /// Who asks for it.
    pub requesters: Vec<PathBuf>,
    /// Paths tried, each with the reason why it was not taken.
    pub tried: Vec<String>,
}

fn lines(errors: &[PackError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn incomplete(missing: &[MissingLibrary]) -> String {
    let mut text = String::new();
    for library in missing {
        let requesters: Vec<String> = library
            .requesters
            .iter()
            .map(|path| path.display().to_string())
            .collect();
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
    text.push_str("add the folder that has it with -L DIR, or leave it out with --allow-missing");
    text
}
