//! How the configurations of two images differ.
//!
//! In: two configurations (`config.md` of the OCI image specification). Out: all fields that
//! differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::image::read::Description;

/// A configuration field with different values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name, as in the configuration: `config.Env`, `created`.
    pub field: String,
    /// Value in the first image; `None` if absent.
    pub before: Option<Value>,
    /// Value in the second image; `None` if absent.
    pub after: Option<Value>,
}

/// The fields that differ between two images. Layers and history are left out: the diff of their
/// files covers them.
pub fn settings(before: &Description, after: &Description) -> Vec<Setting> {
    let (left, right) = (fields(before), fields(after));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name));
    differing
        .map(|name| Setting {
            field: name.clone(),
            before: left.get(name).cloned(),
            after: right.get(name).cloned(),
        })
        .collect()
}

fn fields(image: &Description) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    let Ok(Value::Object(document)) = serde_json::to_value(image.config.as_ref()) else {
        return fields;
    };
    for (name, value) in document {
        match (name.as_str(), value) {
            ("rootfs" | "history", _) => {}
            ("config", Value::Object(config)) => {
                for (name, value) in config {
                    let name = format!("config.{name}");
                    match value {
                        // Sets and maps are compared entry by entry.
                        Value::Object(entries) => {
                            for (key, value) in entries {
                                fields.insert(format!("{name}.{key}"), value);
                            }
                        }
                        value => drop(fields.insert(name, value)),
                    }
                }
            }
            (_, value) => drop(fields.insert(name, value)),
        }
    }
    if let Some(healthcheck) = &image.healthcheck {
        fields.insert(
            "config.Healthcheck".to_owned(),
            serde_json::Value::clone(healthcheck),
        );
    }
    fields.retain(|_, value| !value.is_null() && *value != Value::String(String::new()));
    fields
}
