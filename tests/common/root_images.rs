//! Images of root directories.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::EntryType;

use crate::common::temporary;
use crate::image_writer::{
    Files, INDEX, Layer, MANIFEST, Member, add, archive, config, digest, oci, oci_edited,
};
use crate::roots::{Report, Root, lint};

/// Everything in a directory, parents first, owned by root.
pub fn members(folder: &Path) -> Vec<Member> {
    let mut members = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes();
        let kind = found.file_type();
        let member = if kind.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            Member::new(EntryType::Directory, name)
        } else if kind.is_symlink() {
            Member::symlink(name, fs::read_link(&path).unwrap().as_os_str().as_bytes())
        } else {
            Member::file(name, fs::read(&path).unwrap())
        };
        if !name.is_empty() {
            members.push(Member {
                mode: found.mode() & 0o7777,
                ..member
            });
        }
    }
    members.sort_by(|left, right| left.name.cmp(&right.name));
    members
}

/// A layout with these layers; `edit` changes the configuration.
pub fn layout(layers: &[Layer], edit: impl Fn(&mut Value)) -> Files {
    oci_edited(layers, |document, value| {
        if document == "config" {
            edit(value);
        }
    })
}

/// An archive for `docker load`; `edit` changes the configuration.
pub fn docker_archive(tag: &str, layers: &[Layer], edit: impl Fn(&mut Value)) -> Files {
    let mut config = config(layers);
    edit(&mut config);
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", &digest(&config)["sha256:".len()..]);
    let names = (0..layers.len()).map(|number| format!("{number}/layer.tar"));
    let names: Vec<String> = names.collect();
    let manifest = json!([{"Config": name, "RepoTags": [tag], "Layers": names}]);
    let blobs = layers.iter().map(|layer| layer.blob.clone());
    let mut files: Files = names.into_iter().zip(blobs).collect();
    files.insert(name, config);
    files.insert("manifest.json".into(), manifest.to_string().into());
    files
}

/// A layout whose index has one image for each of these architectures, each starting
/// `/usr/bin/app`.
pub fn index_of(images: &[(&str, &Layer)]) -> Files {
    let mut files = Files::new();
    let mut manifests = Vec::new();
    for (architecture, layer) in images {
        let mut value = config(&[(*layer).clone()]);
        value["architecture"] = json!(architecture);
        value["config"]["Entrypoint"] = json!(["/usr/bin/app"]);
        let config_type = "application/vnd.oci.image.config.v1+json";
        let config = add(&mut files, config_type, value.to_string().as_bytes());
        let layer = add(&mut files, layer.media_type, &layer.blob);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let mut image = add(&mut files, MANIFEST, manifest.to_string().as_bytes());
        image["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(image);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = add(&mut files, INDEX, index.to_string().as_bytes());
    let top = json!({"schemaVersion": 2, "manifests": [index]});
    files.insert("index.json".into(), top.to_string().into_bytes());
    files.insert(
        "oci-layout".into(),
        br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec(),
    );
    files
}

/// Writes an archive of a layout next to the root.
pub fn write(root: &Root, files: &Files) -> PathBuf {
    let path = root.beside("image.tar");
    fs::write(&path, archive(files)).unwrap();
    path
}

/// Lints an image whose only layer is the root; `edit` changes its configuration.
pub fn lint_image(root: &Root, edit: impl Fn(&mut Value)) -> Report {
    let layer = Layer::of(&members(&root.path));
    let path = write(root, &layout(&[layer], edit));
    lint([path])
}

/// An image that starts `/app`, a file in its lowest layer.
pub fn simple() -> Vec<Member> {
    let app = Member {
        mode: 0o755,
        ..Member::file("app", "#!/app\n")
    };
    vec![app]
}

/// Lints an archive of these files.
pub fn lint_files(files: &Files) -> Report {
    let folder = temporary();
    let path = folder.path().join("image.tar");
    fs::write(&path, archive(files)).unwrap();
    lint([path])
}

/// Lints an image whose only layer has these members.
pub fn lint_members(members: Vec<Member>) -> Report {
    lint_files(&oci(&[Layer::of(&members)]))
}
