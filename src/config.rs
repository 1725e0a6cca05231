//! `slimpack.toml`: images to pack, and the findings of lint to ignore.
//!
//! In: the file. Out: its content, or what is wrong with it, with line and column. The keys of an
//! image are command-line options, and only the command line interprets them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use thiserror::Error;
use toml::{Spanned, Value};

use crate::lint::LintSection;

/// Maximum size of the file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is larger than the maximum.
    #[error("it has more than {MAX_SIZE} bytes")]
    TooLarge,
    /// It is not TOML, or a key or value in it is wrong.
    #[error("line {line}, column {column}: {what}")]
    Text {
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
}

/// The content of a `slimpack.toml`. Relative paths are relative to its directory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "slimpack.toml")]
pub struct Config {
    /// Images that `slimpack --config` packs
    #[serde(default)]
    pub image: Vec<ImageSection>,
    /// What `slimpack lint` ignores
    #[serde(default)]
    pub lint: LintSection,
    /// The whole text, to compute lines and columns.
    #[serde(skip)]
    text: String,
}

/// The keys of one image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ImageSection(
    /// Keys and values, each with its position in the text.
    #[schemars(with = "BTreeMap<String, ()>")]
    pub BTreeMap<Spanned<String>, Spanned<Value>>,
);

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is not TOML with the tables of this type.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut text = String::new();
        let read = File::open(path)?
            .take(MAX_SIZE + 1)
            .read_to_string(&mut text)?;
        if read as u64 > MAX_SIZE {
            return Err(ConfigError::TooLarge);
        }
        Self::parse(&text)
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is not TOML with the tables of this type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match toml::from_str::<Self>(text) {
            Ok(config) => Ok(Self {
                text: text.to_owned(),
                ..config
            }),
            Err(error) => Err(at(text, error.span().unwrap_or(0..0), error.message())),
        }
    }

    /// An error about a part of the text, with its line and column.
    pub fn error_at(&self, place: Range<usize>, what: &str) -> ConfigError {
        at(&self.text, place, what)
    }
}

fn at(text: &str, place: Range<usize>, what: &str) -> ConfigError {
    let before = text.get(..place.start.min(text.len())).unwrap_or_default();
    let line_start = before.rsplit('\n').next().unwrap_or_default();
    ConfigError::Text {
        line: before.matches('\n').count() + 1,
        column: line_start.chars().count() + 1,
        what: what.to_owned(),
    }
}

/// The JSON schema of the file; the schema of an image, whose keys are options, is left open.
pub fn schema() -> Schema {
    schema_for!(Config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_line_and_column() {
        for (text, place) in [
            (
                "[[image]]\nfile = \"a\"\n[lint]\nfail = 1\n",
                "line 4, column 1: unknown field `fail`",
            ),
            ("[image\n", "line 1, column "),
            ("[lint]\nfail-on = \"often\"\n", "line 2, column 11: "),
            (
                "[[lint.ignore]]\nrule = \"SP001\"\n",
                "line 1, column 1: missing field `reason`",
            ),
            ("\n[[images]]\n", "line 2, column 3: unknown field `images`"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(place), "{text:?}: {error}");
        }
    }
}
