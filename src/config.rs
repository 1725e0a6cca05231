//! `slimpack.toml`: images to pack, and which findings of lint are passed over.
//!
//! In: the text of the file. Out: its content, or what is wrong with it, with line and column. The
//! JSON schema for editors is made from the same types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use thiserror::Error;

use crate::lint::LintSection;

/// Largest file that is read, in bytes.
pub const MAX_SIZE: u64 = 1 << 20;

/// What is wrong with the file.
#[derive(Debug, Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// The content of a `slimpack.toml`. Relative paths start from its folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "slimpack.toml")]
pub struct Config {
    /// Images that `slimpack --config` packs
    #[serde(default)]
    pub image: Vec<ImageSection>,
    /// What `slimpack lint` passes over
    #[serde(default)]
    pub lint: LintSection,
}

/// One image: each key is the option of that name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSection {
    /// By what the command line picks the image [default: the file name of the first program]
    pub name: Option<String>,
    /// Programs and scripts; the first is the one that the image starts. With from, paths or
    /// commands of that image; none for what it starts
    pub file: Few<String>,
    /// Where the image goes [default: NAME.tar beside this file]
    pub output: Option<String>,
    /// Names of the image
    pub tag: Option<Few<String>>,
    /// image, docker, oci, oci-dir, rootfs or rootfs-tar
    pub format: Option<String>,
    /// none, gzip or zstd, with a level behind a colon
    pub compress: Option<String>,
    /// Write a root folder over an older one
    pub force: Option<bool>,
    /// What the image depends on, for Make and Ninja: true for the output with .d, or a file
    pub depfile: Option<Depfile>,
    /// Leave an output that would be the same as it is, with its time
    pub if_changed: Option<bool>,
    /// Where the program goes in the image; a folder when it ends in /
    pub dest: Option<String>,
    /// SRC or SRC:DEST: files, folders and globs to add
    pub add: Option<Few<String>>,
    /// Needs to serve
    pub with: Option<Few<String>>,
    /// Needs not to serve
    pub without: Option<Few<String>>,
    /// A static busybox to add
    pub busybox: Option<PathBuf>,
    /// Globs of what is left out
    pub exclude: Option<Few<String>>,
    /// Pack the variants of libraries for newer processors too
    pub hwcaps: Option<bool>,
    /// Pack even when libraries are missing
    pub allow_missing: Option<bool>,
    /// Fail unless the program is static
    pub require_static: Option<bool>,
    /// Write files of the same bytes once
    pub hardlink: Option<bool>,
    /// debug or all: what is stripped of programs and libraries
    pub strip: Option<String>,
    /// A folder for what is stripped, for debuggers
    pub debug_file: Option<PathBuf>,
    /// Most bytes that the files of the image may have, as a number or as in "10MB"
    pub max_size: Option<Size>,
    /// DIR or ARCH=DIR: where libraries come from instead of this machine
    pub root: Option<Few<String>>,
    /// The image to take programs and libraries from
    pub from: Option<String>,
    /// OS/ARCH: which of several images to take
    pub image_platform: Option<String>,
    /// NAME=N: limits for hostile images
    pub limit: Option<Few<String>>,
    /// Folders to search for libraries too
    pub library_path: Option<Few<PathBuf>>,
    /// What the image starts, as words or as a list [default: the program]
    pub entrypoint: Option<Few<String>>,
    /// Default arguments, as words or as a list
    pub cmd: Option<Few<String>>,
    /// Variables of the image
    pub env: Option<BTreeMap<String, String>>,
    /// USER or USER:GROUP
    pub user: Option<String>,
    /// The folder of the image to start in
    pub workdir: Option<String>,
    /// Ports that it listens on
    pub expose: Option<Few<String>>,
    /// Folders that are mounted over
    pub volume: Option<Few<String>>,
    /// The signal that ends it
    pub stop_signal: Option<String>,
    /// The command that says whether it is well, as words or as a list
    pub healthcheck: Option<Few<String>>,
    /// Annotations of the manifest
    pub annotation: Option<BTreeMap<String, String>>,
    /// Who made the image
    pub author: Option<String>,
    /// The time of everything in the image
    pub created: Option<String>,
    /// Labels of the image
    pub label: Option<BTreeMap<String, String>>,
}

/// One value, or several in a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "one value or a list of values")]
pub enum Few<T> {
    /// One.
    One(T),
    /// A list.
    List(Vec<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T> Few<T> {
    /// The values.
    pub fn values(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::List(values) => values,
        }
    }
}

/// A number of bytes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number of bytes, or a text such as \"10MB\"")]
pub enum Size {
    /// Bytes.
    Number(u64),
    /// With a unit.
    Text(String),
}

/// Whether dependencies are written, and where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "true, false or a file")]
pub enum Depfile {
    /// Beside the output.
    Default(bool),
    /// There.
    File(String),
}

impl Config {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is no TOML, or has a key or a value that means nothing.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::at(text, &error))
    }
}

impl ConfigError {
    fn at(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line_start.chars().count() + 1,
            what: error.message().to_owned(),
        }
    }
}

/// The JSON schema of the file.
pub fn schema() -> Schema {
    schema_for!(Config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, place) in [
            (
                "[[image]]\nfile = \"a\"\nfiel = \"b\"\n",
                "line 3, column 1: unknown field `fiel`",
            ),
            ("[[image]]\nfile = 1\n", "line 2, column 8: "),
            (
                "[[image]]\nfile = \"a\"\nhwcaps = \"no\"\n",
                "line 3, column 10: ",
            ),
            (
                "[[image]]\nname = \"x\"\n",
                "line 1, column 1: missing field `file`",
            ),
            ("[image\n", "line 1, column "),
            (
                "[lint]\nfail = 1\n",
                "line 2, column 1: unknown field `fail`",
            ),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(place), "{text:?}: {error}");
        }
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        let text =
            "[[image]]\nfile = \"a\"\ntag = [\"x\", \"y:1\"]\n[[image]]\nfile = [\"b\", \"c\"]\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.image[0].file.values(), ["a"]);
        assert_eq!(config.image[0].tag.as_ref().unwrap().values(), ["x", "y:1"]);
        assert_eq!(config.image[1].file.values(), ["b", "c"]);
    }
}
