//! A file of dependencies, as `gcc -MMD -MP` writes it, for Make and Ninja.
//!
//! In: the name of the output and what it depends on. Out: a rule in Make's syntax, and a rule
//! without prerequisites for each of them, so that one that is removed does not stop the build.
//! Source: the GNU Make manual ("Generating Prerequisites Automatically", "Rule Syntax"), GCC's
//! `libcpp/mkdeps.cc`, Ninja's `src/depfile_parser.in.cc`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::inputs::Inputs;

/// Why there is no file of dependencies.
#[derive(Debug, Error)]
pub enum DepfileError {
    /// Make ends a rule there, however it is quoted.
    #[error(
        "cannot write dependencies: Make has no way to write the line break in {0:?}; rename the file"
    )]
    LineBreak(PathBuf),
}

/// Who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Make, which knows comments.
    Make,
    /// Ninja, which takes the words of a comment for the names of outputs.
    Ninja,
}

/// What is written.
pub struct Depfile<'a> {
    /// The output, as it was typed.
    pub target: &'a Path,
    /// Inputs as they were typed, before all others.
    pub typed: &'a [PathBuf],
    /// Everything that it depends on.
    pub inputs: &'a Inputs,
    /// Files below this folder are named relative to it, as in a Makefile there.
    pub relative_to: Option<&'a Path>,
    /// Who reads it.
    pub dialect: Dialect,
}

impl Depfile<'_> {
    /// The text of the file.
    ///
    /// # Errors
    /// When a path cannot be written.
    pub fn text(&self) -> Result<Vec<u8>, DepfileError> {
        let mut paths: Vec<&Path> = self.typed.iter().map(PathBuf::as_path).collect();
        let inputs = self.inputs.files.iter().chain(&self.inputs.folders);
        for path in inputs.map(|path| self.named(path)) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        let mut text = self.target(quoted(self.target)?);
        text.push(b':');
        let names: Result<Vec<_>, _> = paths.iter().map(|path| quoted(path)).collect();
        let names = names?;
        for name in &names {
            text.extend_from_slice(b" \\\n  ");
            text.extend_from_slice(name);
        }
        text.push(b'\n');
        for name in names {
            text.push(b'\n');
            text.extend_from_slice(&self.target(name));
            text.extend_from_slice(b":\n");
        }
        if self.dialect == Dialect::Make {
            self.comments(&mut text);
        }
        Ok(text)
    }

    /// What a rule cannot say: paths that must not appear, and where links to folders lead.
    fn comments(&self, text: &mut Vec<u8>) {
        let mut line = |parts: &[&OsStr]| {
            let bytes = parts.iter().flat_map(|part| part.as_bytes());
            text.push(b'\n');
            // A line break, or a backslash at the end, would end the comment or lengthen it.
            text.extend(bytes.map(|byte| if byte.is_ascii_control() { b'?' } else { *byte }));
            if text.last() == Some(&b'\\') {
                text.push(b' ');
            }
        };
        for path in &self.inputs.absent {
            line(&["# absent: ".as_ref(), self.named(path).as_os_str()]);
        }
        for (at, target) in &self.inputs.folder_links {
            let at = self.named(at).as_os_str();
            line(&["# link: ".as_ref(), at, " -> ".as_ref(), target.as_os_str()]);
        }
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
    }

    fn named<'p>(&self, path: &'p Path) -> &'p Path {
        let inside = self
            .relative_to
            .and_then(|folder| path.strip_prefix(folder).ok());
        inside
            .filter(|inside| !inside.as_os_str().is_empty())
            .unwrap_or(path)
    }

    /// A quoted name as that of a target, where Make takes a `%` for a pattern.
    fn target(&self, name: Vec<u8>) -> Vec<u8> {
        match self.dialect {
            Dialect::Ninja => name,
            Dialect::Make => name
                .into_iter()
                .flat_map(|byte| (byte == b'%').then_some(b'\\').into_iter().chain([byte]))
                .collect(),
        }
    }
}

/// A path as the name of a prerequisite.
fn quoted(path: &Path) -> Result<Vec<u8>, DepfileError> {
    let mut quoted = Vec::new();
    let mut backslashes = 0;
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'\n' | b'\r' => return Err(DepfileError::LineBreak(path.to_path_buf())),
            b' ' | b'\t' | b'#' | b':' => {
                // Those before it would quote its own backslash.
                quoted.extend(std::iter::repeat_n(b'\\', backslashes + 1));
            }
            b'$' => quoted.push(b'$'),
            _ => {}
        }
        backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        quoted.push(byte);
    }
    Ok(quoted)
}
