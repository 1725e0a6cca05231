//! The parsers of untrusted bytes, each behind a function that takes bytes.
//!
//! In: any bytes. Out: nothing. A harness always returns: it must not panic, hang, or take memory
//! that its input and the limits do not account for. `fuzz_targets/` connects each harness to
//! libFuzzer, and `tests/inputs.rs` runs it on mutated [`seeds`] without libFuzzer.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod elf;
mod files;
mod images;
mod materials;
mod mutate;
#[cfg(feature = "registry")]
mod registry;
mod seeds;

pub use elf::{cache, closure, elf, strip, symbols};
pub use files::{baseline, config, gconv, needs, packages, pyinstaller, script, trace, words};
pub use images::{compression, docker, facts, image, initrd, oci, root, tar};
pub use materials::{build_info, copyright};
pub use mutate::Mutator;
#[cfg(feature = "registry")]
pub use registry::registry;
pub use seeds::seeds;

/// The harness with this name.
pub type Target = (&'static str, fn(&[u8]));

/// All harnesses.
pub const TARGETS: &[Target] = &[
    ("elf", elf),
    ("symbols", symbols),
    ("strip", strip),
    ("closure", closure),
    ("cache", cache),
    ("compression", compression),
    ("image", image),
    ("tar", tar),
    ("initrd", initrd),
    ("facts", facts),
    ("docker", docker),
    ("oci", oci),
    ("root", root),
    ("packages", packages),
    ("build_info", build_info),
    ("copyright", copyright),
    ("gconv", gconv),
    ("needs", needs),
    ("script", script),
    ("pyinstaller", pyinstaller),
    ("config", config),
    ("baseline", baseline),
    ("words", words),
    ("trace", trace),
    #[cfg(feature = "registry")]
    ("registry", registry),
];

/// Separates the files of an input that consists of several.
const MARK: &[u8] = b"\xfe\xed\xfa\xce";

/// The files of an input.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let end = data.windows(MARK.len()).position(|bytes| bytes == MARK);
        is_over = end.is_none();
        let (part, rest) = data.split_at(end.unwrap_or(data.len()));
        data = rest.get(MARK.len()..).unwrap_or_default();
        Some(part)
    })
}
