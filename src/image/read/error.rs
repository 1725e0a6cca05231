//! Why an image cannot be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::vfs::one_line;

/// Why an image cannot be read. The caller adds which one.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is nothing that images are made of.
    #[error(
        "it is {0}; images are docker and OCI archives, OCI layout folders, root folders and \
         tars of them"
    )]
    NotAnImage(&'static str),
    /// A tar is damaged.
    #[error("{} is damaged: {what}; fetch or save the image again", one_line(.within))]
    Tar {
        /// The archive or layer.
        within: String,
        /// What is wrong, and where.
        what: String,
    },
    /// A document is no JSON, or not the one that was expected.
    #[error("its {} cannot be read: {}", one_line(.name), one_line(.why))]
    Document {
        /// Name of the member or file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A part that another one names is not there.
    #[error(
        "{}, named by {}, is not in it; fetch or save the image again",
        one_line(.name), one_line(.by)
    )]
    Absent {
        /// The part.
        name: String,
        /// Who names it.
        by: String,
    },
    /// Indexes that name each other.
    #[error("its indexes are nested more than {0} deep, or name each other in a circle")]
    Nested(usize),
    /// No image is for the wanted platform.
    #[error("it has no image for {wanted}; it has {}; name one of them with --image-platform", one_line(&.has.join(", ")))]
    NoSuchPlatform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: Vec<String>,
    },
    /// There is no image in it at all.
    #[error("it holds no image")]
    Empty,
    /// A limit was reached.
    #[error(
        "{}; raise the limit with --limit {name}=N if the image is to be trusted",
        .what.replace("this many", &.limit.to_string())
    )]
    Limit {
        /// What there is too much of.
        what: String,
        /// Name of the limit.
        name: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A digest, a size or a type is not what the documents say.
    #[error("{}", faults(.0))]
    Integrity(Vec<Fault>),
    /// A compression that is not known.
    #[error(
        "{} is compressed with {}, which slimpack does not unpack; unpack it first, or use gzip, zstd \
         or xz",
        one_line(.0), one_line(.1)
    )]
    Compression(String, String),
    /// A path on the way is no folder or leads in circles.
    #[error("its {} cannot be used: {why}", .path.strip_prefix("/").unwrap_or(.path).display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Something that is not what the documents of the image say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The blob or layer.
    pub subject: String,
    /// What about it: `digest`, `size`, `diff ID`, `media type`.
    pub what: &'static str,
    /// What the documents say.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            subject,
            what,
            expected,
            found,
        } = self;
        let [subject, found, expected] = [subject, found, expected].map(|text| one_line(text));
        write!(f, "the {what} of {subject} is {found}, not {expected}")
    }
}

fn faults(faults: &[Fault]) -> String {
    /// Faults that are told; the rest is counted.
    const TOLD: usize = 10;
    let told = faults.iter().take(TOLD).map(ToString::to_string);
    let mut texts: Vec<_> = told.collect();
    if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
