//! `slimpack inspect --json`: schema 1. Fields may be added, never renamed.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::inspect::{Inspected, history};
use crate::image::read::{Description, Layer, Node};
use crate::inspect::{Figures, FileKind};
use crate::vfs::Capabilities;

/// Maximum number of paths in a list; `--files` prints all.
const MOST: usize = 100;

/// The document for all images of one target.
pub fn inspect_json(target: &Path, kind: &str, images: Vec<Value>) -> Value {
    json!({
        "schema": 1,
        "image": target.display().to_string(),
        "kind": kind,
        "images": images,
    })
}

/// The object for one image, with all its files if `with_files`.
pub fn inspected_json(inspected: &Inspected<'_>, with_files: bool) -> Value {
    let mut value = match &inspected.image.description {
        Some(description) => described(description),
        None => Map::new(),
    };
    let image = inspected.image;
    if let Some(description) = &image.description {
        let rows = history(description, &image.layers);
        let layers = image.layers.iter().enumerate();
        let created_by = |number: usize| {
            let mut rows = rows.iter().filter(|row| row.layer == Some(number));
            rows.next().map(|row| row.created_by.clone())
        };
        let layers: Vec<_> = layers
            .map(|(at, layer)| layer_json(layer, created_by(at)))
            .collect();
        value.insert("layers".into(), layers.into());
        let rows = rows.iter().map(|row| {
            json!({
                "created": row.created,
                "created_by": row.created_by,
                "comment": row.comment,
                "empty_layer": row.layer.is_none(),
                "bytes": row.bytes,
            })
        });
        value.insert("history".into(), rows.collect());
    }
    figures(inspected.figures, &mut value);
    let anomalies = &image.tree.anomalies;
    let odd = anomalies.kept.iter().map(|anomaly| {
        json!({
            "layer": anomaly.layer,
            "name": anomaly.name.display().to_string(),
            "what": anomaly.kind.describe(),
            "left_out": anomaly.kind.is_left_out(),
        })
    });
    value.insert("anomalies".into(), odd.collect());
    if with_files {
        let files = image.tree.walk().skip(1);
        let files = files.map(|(path, number, node)| file(&path, number, node));
        value.insert("tree".into(), files.collect());
    }
    value.into()
}

fn described(description: &Description) -> Map<String, Value> {
    let config = description.config.config().as_ref();
    let list = |field: Option<&Option<Vec<String>>>| field.cloned().flatten();
    let mut ports = list(config.map(|config| config.exposed_ports())).unwrap_or_default();
    ports.sort();
    let mut volumes = list(config.map(|config| config.volumes())).unwrap_or_default();
    volumes.sort();
    let text = |field: Option<&Option<String>>| field.cloned().flatten().unwrap_or_default();
    let value = json!({
        "tags": description.tags,
        "platform": {
            "os": description.platform.os,
            "architecture": description.platform.architecture,
            "variant": description.platform.variant,
        },
        "id": description.id,
        "digest": description.digest,
        "created": description.config.created(),
        "author": description.config.author(),
        "config": {
            "entrypoint": list(config.map(|config| config.entrypoint())),
            "cmd": list(config.map(|config| config.cmd())),
            "env": list(config.map(|config| config.env())).unwrap_or_default(),
            "user": text(config.map(|config| config.user())),
            "working_dir": text(config.map(|config| config.working_dir())),
            "labels": config.and_then(|config| config.labels().clone()).unwrap_or_default(),
            "exposed_ports": ports,
            "volumes": volumes,
            "stop_signal": config.and_then(|config| config.stop_signal().clone()),
            "healthcheck": description.healthcheck.as_deref(),
        },
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn layer_json(layer: &Layer, created_by: Option<String>) -> Value {
    json!({
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        "media_type": layer.media_type,
        "compression": layer.compression.name(),
        "size": layer.size,
        "bytes": layer.bytes,
        "files": layer.files,
        "created_by": created_by,
    })
}

fn figures(figures: &Figures, value: &mut Map<String, Value>) {
    let sized =
        |path: &Path, bytes: u64| json!({"path": path.display().to_string(), "bytes": bytes});
    value.insert(
        "totals".into(),
        json!({
            "files": figures.files,
            "folders": figures.folders,
            "links": figures.links,
            "specials": figures.specials,
            "bytes": figures.bytes,
        }),
    );
    let kinds = FileKind::ALL.iter().zip(&figures.kinds);
    let kinds = kinds.map(|(kind, share)| {
        let share = json!({"files": share.files, "bytes": share.bytes});
        (kind.as_str().to_owned(), share)
    });
    value.insert("by_kind".into(), Value::Object(kinds.collect()));
    let largest = figures.largest.iter().take(MOST);
    value.insert(
        "largest".into(),
        largest.map(|(path, bytes)| sized(path, *bytes)).collect(),
    );
    let repeated = figures.repeated.iter().take(MOST).map(|(path, bytes, layers)| {
        json!({"path": path.display().to_string(), "bytes": bytes, "layers": layers})
    });
    let duplicates = figures.duplicates.iter().take(MOST).map(|duplicate| {
        let paths = duplicate.paths.iter().take(MOST);
        let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
        json!({"bytes": duplicate.size, "copies": duplicate.paths.len(), "paths": paths})
    });
    value.insert(
        "waste".into(),
        json!({
            "hidden_bytes": figures.hidden_bytes,
            "duplicate_bytes": figures.duplicate_bytes(),
            "efficiency": figures.efficiency,
            "repeated": repeated.collect::<Vec<_>>(),
            "duplicates": duplicates.collect::<Vec<_>>(),
        }),
    );
}

fn file(path: &Path, number: u32, node: &Node) -> Value {
    json!({
        "path": path.display().to_string(),
        "kind": node.kind().as_str(),
        "mode": format!("{:04o}", node.mode),
        "uid": node.uid,
        "gid": node.gid,
        "capabilities": node.capabilities.as_deref().map(Capabilities::text),
        "bytes": node.size,
        "target": node.target().map(|target| target.display().to_string()),
        "layer": node.layer,
        "inode": number,
    })
}
