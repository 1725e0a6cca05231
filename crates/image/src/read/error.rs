//! Why an image cannot be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use slimpack_vfs::one_line;

/// Why an image cannot be read. The caller adds which one.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not in an image format.
    #[error(
        "it is {0}; images are docker and OCI archives, OCI layout directories, root directories, \
         tars of them and initrds"
    )]
    NotAnImage(&'static str),
    /// A tar is damaged.
    #[error("{} is damaged: {what}; pull or save the image again", one_line(.within))]
    Tar {
        /// The archive or layer.
        within: String,
        /// What is wrong, and where.
        what: String,
    },
    /// A document is not JSON, or not of the expected form.
    #[error("its {} cannot be read: {}", one_line(.name), one_line(.why))]
    Document {
        /// Name of the member or file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A part that another one references is missing.
    #[error(
        "{}, referenced by {}, is missing from it; pull or save the image again",
        one_line(.name), one_line(.by)
    )]
    Absent {
        /// The part.
        name: String,
        /// The document that references it.
        by: String,
    },
    /// Indexes are nested too deep or reference each other.
    #[error("its indexes are nested more than {0} deep, or reference each other in a cycle")]
    Nested(usize),
    /// No image is for the requested platform.
    #[error("it has no image for {wanted}, only for {}; choose one with --image-platform", one_line(&.has.join(", ")))]
    NoSuchPlatform {
        /// The requested platform.
        wanted: String,
        /// The platforms it has.
        has: Vec<String>,
    },
    /// None of its images has the requested name.
    #[error(
        "it has no image called {}, only {}; choose one with IMAGE#NAME",
        one_line(.wanted), one_line(&.has.join(", "))
    )]
    NoSuchImage {
        /// The requested name, tag or digest.
        wanted: String,
        /// What those that it has are called.
        has: Vec<String>,
    },
    /// Several images have the requested name.
    #[error(
        "it has several images called {}: {}; choose one by its whole name with IMAGE#NAME",
        one_line(.wanted), one_line(&.has.join(", "))
    )]
    SeveralImages {
        /// The requested name, tag or digest.
        wanted: String,
        /// What they are called.
        has: Vec<String>,
    },
    /// An image was requested by its name, but a root has none.
    #[error("it is a root directory or a tar of one, which has no name; leave out the name")]
    Nameless,
    /// A layer was requested that it does not have.
    #[error("it has no layer {wanted}, only {has}; slimpack inspect --layers lists them")]
    NoSuchLayer {
        /// The requested layer; the lowest is 1.
        wanted: usize,
        /// How many it has.
        has: usize,
    },
    /// It contains no image at all.
    #[error("it contains no image")]
    Empty,
    /// A limit was reached.
    #[error(
        "{}; raise the limit with --limit {name}=N if you trust the image",
        .what.replace("this many", &.limit.to_string())
    )]
    Limit {
        /// What exceeds the limit, with `this many` in place of the number.
        what: String,
        /// Name of the limit.
        name: &'static str,
        /// The limit, in the unit of its option.
        limit: u64,
    },
    /// A digest, size or type does not match the documents.
    #[error("{}", faults(.0))]
    Integrity(Vec<Fault>),
    /// An unsupported compression.
    #[error(
        "{} is compressed with {}, which slimpack does not support; decompress it first, or use \
         gzip, zstd or xz",
        one_line(.0), one_line(.1)
    )]
    Compression(String, String),
    /// A path inside the image has a component that is not a directory, or a symbolic link loop.
    #[error("its {} cannot be used: {why}", .path.strip_prefix("/").unwrap_or(.path).display())]
    Path {
        /// The path inside the image.
        path: PathBuf,
        /// Why it cannot be resolved.
        why: String,
    },
}

/// A mismatch between the image and its documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The blob or layer.
    pub subject: String,
    /// The property that differs: `digest`, `size`, `diff ID`, `media type`.
    pub what: &'static str,
    /// The value in the documents.
    pub expected: String,
    /// The actual value.
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
    /// Faults that are listed; the rest are only counted.
    const TOLD: usize = 10;
    let told = faults.iter().take(TOLD).map(ToString::to_string);
    let mut texts: Vec<_> = told.collect();
    if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
