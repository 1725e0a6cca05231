//! The documents of an OCI layout, checked against the schemas of the specification.

#![allow(dead_code)] // Each test program uses a part of it.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Finds referenced schemas by the last component of their URL.
struct Neighbours;

impl jsonschema::Retrieve for Neighbours {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default();
        Ok(schema(name))
    }
}

fn schema(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image-spec");
    let mut schema = read(&folder.join(name));
    // The schemas name their draft with https, which the validator does not know.
    schema.as_object_mut().unwrap().remove("$schema");
    schema
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

fn check(document: &Value, name: &str) {
    let schema = schema(name);
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft4)
        .with_retriever(Neighbours)
        .build(&schema)
        .unwrap();
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:?}\n{document}");
}

/// Validates the index of a layout and everything that it refers to.
pub fn check_layout(layout: &Path) {
    check(
        &read(&layout.join("oci-layout")),
        "image-layout-schema.json",
    );
    check_index(layout, &read(&layout.join("index.json")));
}

fn check_index(layout: &Path, index: &Value) {
    check(index, "image-index-schema.json");
    for descriptor in index["manifests"].as_array().unwrap() {
        let document = blob(layout, descriptor);
        if descriptor["mediaType"].as_str().unwrap().contains("index") {
            check_index(layout, &document);
            continue;
        }
        check(&document, "image-manifest-schema.json");
        check(&blob(layout, &document["config"]), "config-schema.json");
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Value {
    check(descriptor, "content-descriptor.json");
    let digest = descriptor["digest"].as_str().unwrap();
    let path = layout.join("blobs").join(digest.replace(':', "/"));
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        descriptor["size"].as_u64().unwrap()
    );
    read(&path)
}
