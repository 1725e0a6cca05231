//! Dependency files for Make and Ninja, like those of `gcc -MMD -MP`.
//!
//! In: the name of the output and its dependencies. Out: a rule in Make's syntax, and an empty rule
//! for each dependency, so that removing one does not stop the build.
//! Source: the GNU Make manual ("Generating Prerequisites Automatically", "Rule Syntax"), GCC's
//! `libcpp/mkdeps.cc`, Ninja's `src/depfile_parser.in.cc`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::inputs::Inputs;

/// Why the dependency file cannot be written.
#[derive(Debug, Error)]
pub enum DepfileError {
    /// A path contains a line break, which ends a rule in Make however it is quoted.
    #[error(
        "cannot write dependencies: Make cannot represent the line break in {0:?}; rename the file"
    )]
    LineBreak(PathBuf),
}

/// The program that reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Make, which supports comments.
    Make,
    /// Ninja, which parses the words of a comment as outputs.
    Ninja,
}

/// The content of a dependency file.
pub struct Depfile<'a> {
    /// The output, as it was typed.
    pub target: &'a Path,
    /// Inputs as they were typed; listed before all others.
    pub typed: &'a [PathBuf],
    /// Everything that the output depends on.
    pub inputs: &'a Inputs,
    /// Files below this directory are written relative to it, as in a Makefile there.
    pub relative_to: Option<&'a Path>,
    /// The program that reads the file.
    pub dialect: Dialect,
}

impl Depfile<'_> {
    /// The text of the file.
    ///
    /// # Errors
    /// [`DepfileError::LineBreak`] if a path contains a line break.
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

    /// What a rule cannot express: paths that must not appear, and the targets of links to
    /// directories.
    fn comments(&self, text: &mut Vec<u8>) {
        let mut line = |parts: &[&OsStr]| {
            let bytes = parts.iter().flat_map(|part| part.as_bytes());
            text.push(b'\n');
            // A line break would end the comment; a backslash at the end would continue it.
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

    /// A quoted name as a target, in which Make treats `%` as a pattern.
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

/// A path, quoted as a prerequisite.
fn quoted(path: &Path) -> Result<Vec<u8>, DepfileError> {
    let mut quoted = Vec::new();
    let mut backslashes = 0;
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'\n' | b'\r' => return Err(DepfileError::LineBreak(path.to_path_buf())),
            b' ' | b'\t' | b'#' | b':' => {
                // Backslashes before it would otherwise quote the added one.
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
