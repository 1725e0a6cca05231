//! The keys of an image in a `slimpack.toml`: one for each option of the command line.
//!
//! In: the options as clap declares them. Out: a key and its value as command-line words, and the
//! JSON schema of a section. The clap declarations are the only source.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, Command, CommandFactory, ValueHint};
use serde_json::json;
use toml::Value;

use crate::cli::args::{Cli, Typed, is_of_a_run, is_repeatable, may_lack_value};
use crate::cli::{inspect, location, values};
use crate::sbom::SbomTarget;

/// The key that holds the programs: the positional arguments.
pub(super) const FILE: &str = "file";
/// The key by which the command line selects an image.
pub(super) const NAME: &str = "name";

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    /// `true` or `false`.
    Flag,
    /// A string or number; a list of them if the option is repeatable.
    Text,
    /// A path, relative to the directory of the file.
    Path,
    /// A string of shell words, or a list of words.
    Words,
    /// A table of names and values.
    Table,
    /// Tables, each of a test.
    Tests,
}

/// All options that are keys.
pub(super) struct Keys(Command);

/// An option that is a key.
#[derive(Clone, Copy)]
pub(super) struct Key<'k>(&'k Arg);

impl Keys {
    pub fn new() -> Self {
        Self(Cli::command())
    }

    fn all(&self) -> impl Iterator<Item = Key<'_>> {
        let options = self.0.get_arguments();
        options
            .filter(|arg| arg.get_long().is_some() && !is_of_a_run(arg))
            .map(Key)
    }

    pub fn get(&self, name: &str) -> Option<Key<'_>> {
        self.all().find(|key| key.name() == name)
    }

    /// The names of all keys.
    pub fn names(&self) -> Vec<String> {
        let options = self.all().map(|key| key.name().to_owned());
        options.chain([FILE, NAME].map(str::to_owned)).collect()
    }

    /// The JSON schema of a section.
    pub fn schema(&self) -> serde_json::Value {
        let mut properties = serde_json::Map::new();
        let text = json!({ "type": "string" });
        properties.insert(
            NAME.to_owned(),
            json!({
                "type": "string",
                "description": "Name to select the image by [default: file name of the first program]",
            }),
        );
        properties.insert(
            FILE.to_owned(),
            json!({
                "anyOf": [text, { "type": "array", "items": text }],
                "description": "Programs and scripts; the image starts the first. With from, paths \
                                or commands in that image [default: what it starts]",
            }),
        );
        for key in self.all() {
            properties.insert(key.name().to_owned(), key.schema());
        }
        json!({
            "type": "object",
            "properties": properties,
            "anyOf": [{ "required": [FILE] }, { "required": ["from"] }],
            "additionalProperties": false,
        })
    }
}

impl<'k> Key<'k> {
    fn name(self) -> &'k str {
        self.0.get_long().unwrap_or_default()
    }

    fn kind(self) -> ValueKind {
        if self.name() == "test" {
            return ValueKind::Tests;
        }
        let value = self.0.get_value_names().and_then(|names| names.first());
        let value = value.map_or("", |name| name.as_str());
        if !self.0.get_action().takes_values() {
            ValueKind::Flag
        } else if value == "WORDS" {
            ValueKind::Words
        } else if value.ends_with("=VALUE") {
            ValueKind::Table
        } else if self.0.get_value_hint() == ValueHint::AnyPath || self.is_path_with_more() {
            ValueKind::Path
        } else {
            ValueKind::Text
        }
    }

    /// Whether a value is permission bits: TOML would turn 0o640 into 416.
    fn is_mode(self) -> bool {
        let mut names = self.0.get_value_names().into_iter().flatten();
        names.any(|name| name.as_str() == "MODE")
    }

    /// Whether a value contains a path and more: `SRC[:DEST]`, `[ARCH=]DIR`, `[FORMAT=]FILE`.
    fn is_path_with_more(self) -> bool {
        matches!(self.name(), "add" | "root" | "sbom")
    }

    fn is_repeatable(self) -> bool {
        is_repeatable(self.0)
    }

    /// Whether the option can be given without a value, like `--depfile`.
    fn may_lack_value(self) -> bool {
        may_lack_value(self.0)
    }

    fn schema(self) -> serde_json::Value {
        let scalar = match self.kind() {
            ValueKind::Flag => json!({ "type": "boolean" }),
            ValueKind::Text if self.is_mode() => json!({ "type": "string" }),
            ValueKind::Text => json!({ "type": ["string", "integer"] }),
            ValueKind::Path => json!({ "type": "string" }),
            ValueKind::Table => json!({
                "type": "object",
                "additionalProperties": { "type": ["string", "integer", "boolean"] },
            }),
            ValueKind::Tests => json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "args": {
                            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
                            "description": "Arguments of the run",
                        },
                        "stdout": {
                            "type": "string",
                            "description": "Output that it must write: a text, to which a line end is added, or @FILE",
                        },
                        "status": { "type": "integer", "description": "Exit status [default: 0]" },
                        "timeout": {
                            "type": ["string", "integer"],
                            "description": "How long it may take, such as 5s or 5m [default: 60s]",
                        },
                    },
                    "additionalProperties": false,
                },
            }),
            ValueKind::Words => json!({
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            }),
        };
        let mut forms = vec![scalar.clone()];
        if self.is_repeatable() && matches!(self.kind(), ValueKind::Text | ValueKind::Path) {
            forms.push(json!({ "type": "array", "items": scalar }));
        }
        if self.may_lack_value() {
            forms.push(json!({ "type": "boolean" }));
        }
        let mut schema = match forms.as_slice() {
            [only] => only.clone(),
            _ => json!({ "anyOf": forms }),
        };
        let about = self.0.get_help().map(ToString::to_string);
        schema["description"] = about.unwrap_or_default().replace('\n', " ").into();
        schema
    }

    /// Converts a value to command-line words.
    ///
    /// # Errors
    /// A message that names the expected type of value.
    pub fn typed(self, value: &Value, place: &PathBase<'_>) -> Result<Vec<Typed>, String> {
        let id = self.0.get_id().to_string();
        let word = |value: Option<OsString>| Typed {
            id: id.clone(),
            option: self.name().to_owned(),
            is_repeatable: self.is_repeatable(),
            value,
        };
        let kind = self.kind();
        Ok(match (kind, value) {
            (ValueKind::Flag, Value::Boolean(is_set)) => {
                vec![word(Some(is_set.to_string().into()))]
            }
            (_, Value::Boolean(false)) if self.may_lack_value() => Vec::new(),
            (_, Value::Boolean(true)) if self.may_lack_value() => vec![word(None)],
            (ValueKind::Words, Value::String(text)) => vec![word(Some(text.into()))],
            (ValueKind::Words, Value::Array(_)) => {
                let words: Vec<_> = strings(value)?;
                vec![word(Some(
                    serde_json::Value::from(words).to_string().into(),
                ))]
            }
            (ValueKind::Table, Value::Table(table)) => {
                let entries = table.iter().map(|(key, value)| {
                    let value = scalar(value).ok_or("expected strings as values")?;
                    Ok(word(Some(format!("{key}={value}").into())))
                });
                entries.collect::<Result<_, String>>()?
            }
            (ValueKind::Text | ValueKind::Path, Value::Array(values)) if self.is_repeatable() => {
                let words = values.iter().map(|value| self.one(value, place));
                words
                    .map(|value| Ok(word(Some(value?))))
                    .collect::<Result<_, String>>()?
            }
            (ValueKind::Text | ValueKind::Path, value) => vec![word(Some(self.one(value, place)?))],
            (ValueKind::Tests, Value::Array(tests)) => {
                let tests = tests.iter().map(|test| test_text(test, place));
                tests
                    .map(|test| Ok(word(Some(test?.into()))))
                    .collect::<Result<_, String>>()?
            }
            (ValueKind::Tests, _) => return Err("expected tables: [[image.test]]".into()),
            (ValueKind::Flag, _) => return Err("expected true or false".into()),
            (ValueKind::Words, _) => return Err("expected words, as a string or a list".into()),
            (ValueKind::Table, _) => return Err("expected a table of names and values".into()),
        })
    }

    fn one(self, value: &Value, place: &PathBase<'_>) -> Result<OsString, String> {
        let expected = || match self.is_repeatable() {
            true => "expected a string or a list of strings".to_owned(),
            false if self.kind() == ValueKind::Text => {
                "expected a string or a whole number".to_owned()
            }
            false => "expected a string".to_owned(),
        };
        if self.is_mode() && !value.is_str() {
            return Err("expected octal digits in a string, such as \"0640\"".into());
        }
        if self.kind() == ValueKind::Text {
            return Ok(scalar(value).ok_or_else(expected)?.into());
        }
        let text = value.as_str().ok_or_else(expected)?;
        Ok(match self.name() {
            // A path in the source image, not on this machine.
            "add" if place.is_from_image => text.into(),
            "root" => match text.split_once('=') {
                Some((architecture, root)) if !architecture.contains('/') => {
                    let root = place.directory.join(root);
                    format!("{architecture}={}", root.display()).into()
                }
                _ => place.directory.join(text).into(),
            },
            "sbom" => SbomTarget::parse(text)?
                .below(place.directory)
                .to_string()
                .into(),
            // A name of docker or of a registry is not a path.
            "from" if inspect::is_elsewhere(Path::new(text)) => text.into(),
            "from" => {
                let (transport, rest) = location::transport(text);
                format!("{transport}{}", place.directory.join(rest).display()).into()
            }
            _ => place.directory.join(text).into(),
        })
    }
}

/// A test as JSON, with the file of its output relative to this process.
fn test_text(test: &Value, place: &PathBase<'_>) -> Result<String, String> {
    let table = test.as_table().ok_or("expected tables: [[image.test]]")?;
    let mut json = serde_json::Map::new();
    for (key, value) in table {
        let text = || {
            let text = value.as_str();
            text.ok_or_else(|| format!("expected a string as {key}"))
        };
        let value: serde_json::Value = match key.as_str() {
            "args" => match value {
                Value::String(text) => values::words(text)?.0.into(),
                _ => strings(value)?.into(),
            },
            "stdout" => match text()?.strip_prefix('@') {
                Some(file) => format!("@{}", place.directory.join(file).display()).into(),
                None => text()?.into(),
            },
            "status" => value
                .as_integer()
                .ok_or("expected a whole number as status")?
                .into(),
            "timeout" => match value.as_integer() {
                Some(seconds) => seconds.into(),
                None => values::seconds(text()?)?.into(),
            },
            other => {
                return Err(format!(
                    "unknown key {other}; a test has args, stdout, status and timeout"
                ));
            }
        };
        json.insert(key.clone(), value);
    }
    Ok(serde_json::Value::from(json).to_string())
}

/// What the paths of a section are relative to.
pub(super) struct PathBase<'p> {
    pub directory: &'p Path,
    /// Whether programs and additions are paths in an image.
    pub is_from_image: bool,
}

/// A string, number or boolean as it would be typed; `None` for other types.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// One string, or a list of strings.
pub(super) fn strings(value: &Value) -> Result<Vec<String>, String> {
    let expected = || "expected a string or a list of strings".to_owned();
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(expected)
        }
        _ => Err(expected()),
    }
}

/// The JSON schema of `slimpack.toml`.
pub(in crate::cli) fn schema() -> serde_json::Value {
    let mut schema = crate::config::schema().to_value();
    schema["$defs"]["ImageSection"] = Keys::new().schema();
    schema
}
