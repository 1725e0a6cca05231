//! Images built in a test: tars of raw members, the layouts and archives around them, and what
//! slimpack reads from them.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::common::{have, is_root, output, succeed, temporary};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slimpack::image::read::{Image, Interest, Limits, Node, ReadError, ReadOptions, open};
use slimpack::vfs::NodeKind;
use tar::{EntryType, Header};

/// The zeros that end a tar.
pub const END: [u8; 1024] = [0; 1024];
/// The media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A member of a tar. Names and link targets are written as they are, valid or not.
#[derive(Clone, Debug)]
pub struct Member {
    pub kind: EntryType,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub owner: (u64, u64),
    pub data: Vec<u8>,
    /// Records for a pax extended header.
    pub records: Vec<(String, Vec<u8>)>,
}

impl Member {
    pub fn new(kind: EntryType, name: impl AsRef<[u8]>) -> Self {
        Self {
            kind,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: if kind.is_dir() { 0o755 } else { 0o644 },
            owner: (0, 0),
            data: Vec::new(),
            records: Vec::new(),
        }
    }

    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self {
            data: data.as_ref().to_vec(),
            ..Self::new(EntryType::Regular, name)
        }
    }

    pub fn folder(name: impl AsRef<[u8]>) -> Self {
        Self::new(EntryType::Directory, name)
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::new(EntryType::Symlink, name)
        }
    }

    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::new(EntryType::Link, name)
        }
    }

    /// Adds a record to the extended header.
    pub fn record(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.records.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Its header, with long names cut and a correct checksum.
    pub fn header(&self, format: Format) -> Header {
        let mut header = match format {
            Format::Gnu => Header::new_gnu(),
            Format::Pax => Header::new_ustar(),
        };
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_mtime(0);
        header.set_size(self.data.len() as u64);
        // ustar cannot express a number this large; the pax record can.
        let octal = |number: u64| match format {
            Format::Gnu => number,
            Format::Pax => number.min(0o777_7777),
        };
        header.set_uid(octal(self.owner.0));
        header.set_gid(octal(self.owner.1));
        let bytes = header.as_mut_bytes();
        put(&mut bytes[..100], &self.name);
        put(&mut bytes[157..257], &self.link);
        header.set_cksum();
        header
    }

    /// All its blocks.
    pub fn blocks(&self, format: Format) -> Vec<u8> {
        let mut blocks = Vec::new();
        let mut records = self.records.clone();
        match format {
            Format::Gnu => {
                for (kind, text) in [
                    (EntryType::GNULongName, &self.name),
                    (EntryType::GNULongLink, &self.link),
                ] {
                    if text.len() > 100 {
                        let text = [text.as_slice(), b"\0"].concat();
                        blocks.extend(extension(kind, "././@LongLink", text));
                    }
                }
            }
            // Everything that can be a record is one.
            Format::Pax => {
                records.push(("path".into(), self.name.clone()));
                if !self.link.is_empty() {
                    records.push(("linkpath".into(), self.link.clone()));
                }
                records.push(("uid".into(), self.owner.0.to_string().into()));
                records.push(("gid".into(), self.owner.1.to_string().into()));
            }
        }
        if !records.is_empty() {
            let text = records.iter().map(|(key, value)| record(key, value));
            let text = text.collect::<Vec<_>>().concat();
            blocks.extend(extension(EntryType::XHeader, "PaxHeaders/x", text));
        }
        blocks.extend(raw(&self.header(format), &self.data));
        blocks
    }
}

/// How to write names and numbers that a plain header cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Gnu,
    Pax,
}

fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field.fill(0);
    field[..length].copy_from_slice(&text[..length]);
}

fn extension(kind: EntryType, name: &str, text: Vec<u8>) -> Vec<u8> {
    let member = Member {
        data: text,
        ..Member::new(kind, name)
    };
    raw(&member.header(Format::Gnu), &member.data)
}

/// A header as it is, and data with its padding.
pub fn raw(header: &Header, data: &[u8]) -> Vec<u8> {
    let mut blocks = header.as_bytes().to_vec();
    blocks.extend_from_slice(data);
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// A complete tar.
pub fn tar(members: &[Member], format: Format) -> Vec<u8> {
    let members = members.iter().map(|member| member.blocks(format));
    let mut tar = members.collect::<Vec<_>>().concat();
    tar.extend(END);
    tar
}

/// A tar in GNU's format.
pub fn gnu(members: &[Member]) -> Vec<u8> {
    tar(members, Format::Gnu)
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer as stored in an image.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub media_type: &'static str,
    /// The digest of its tar.
    pub diff_id: String,
}

impl Layer {
    pub fn new(tar: &[u8], packing: Packing) -> Self {
        let (blob, media_type) = match packing {
            Packing::None => (tar.to_vec(), "application/vnd.oci.image.layer.v1.tar"),
            Packing::Gzip => (gzip(tar), "application/vnd.oci.image.layer.v1.tar+gzip"),
            Packing::Zstd => (
                zstd::encode_all(tar, 1).unwrap(),
                "application/vnd.oci.image.layer.v1.tar+zstd",
            ),
        };
        Self {
            blob,
            media_type,
            diff_id: digest(tar),
        }
    }

    /// An uncompressed layer with these members.
    pub fn of(members: &[Member]) -> Self {
        Self::new(&gnu(members), Packing::None)
    }
}

/// `sha256:…`
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The path of the blob with this digest in a layout.
pub fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The names and contents of the files in a layout or archive.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Adds a blob; returns its descriptor.
pub fn add(files: &mut Files, media_type: &str, blob: &[u8]) -> Value {
    let digest = digest(blob);
    files.insert(blob_path(&digest), blob.to_vec());
    json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
}

/// A configuration for layers with these diff IDs.
pub fn config(layers: &[Layer]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

/// An OCI layout with one image, named `test`. `edit` may change each document (`config`,
/// `manifest`, `index`) before its digest is computed, so that nothing else is wrong with the
/// image.
pub fn oci_edited(layers: &[Layer], edit: impl Fn(&str, &mut Value)) -> Files {
    let mut files = Files::new();
    let edited = |document, mut value: Value| {
        edit(document, &mut value);
        value.to_string().into_bytes()
    };
    let config = edited("config", config(layers));
    let config = add(
        &mut files,
        "application/vnd.oci.image.config.v1+json",
        &config,
    );
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| add(&mut files, layer.media_type, &layer.blob))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
    });
    let mut image = add(&mut files, MANIFEST, &edited("manifest", manifest));
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "test"});
    let index = json!({"schemaVersion": 2, "manifests": [image]});
    files.insert("index.json".into(), edited("index", index));
    let layout = br#"{"imageLayoutVersion": "1.0.0"}"#;
    files.insert("oci-layout".into(), layout.to_vec());
    files
}

/// An OCI layout with one image.
pub fn oci(layers: &[Layer]) -> Files {
    oci_edited(layers, |_, _| ())
}

/// The format of `docker save` before it wrote layouts: a directory for each layer.
pub fn docker(layers: &[Layer]) -> Files {
    let mut files = Files::new();
    let names = (0..layers.len()).map(|number| format!("{number:064}/layer.tar"));
    let names: Vec<String> = names.collect();
    for (name, layer) in names.iter().zip(layers) {
        files.insert(name.clone(), layer.blob.clone());
    }
    let config = config(layers).to_string().into_bytes();
    let name = format!("{}.json", &digest(&config)["sha256:".len()..]);
    let manifest = json!([{"Config": name, "RepoTags": ["test:latest"], "Layers": names}]);
    files.insert(name, config);
    files.insert("manifest.json".into(), manifest.to_string().into());
    files
}

/// An archive with these files.
pub fn archive(files: &Files) -> Vec<u8> {
    let members: Vec<_> = files
        .iter()
        .map(|(name, data)| Member::file(name, data))
        .collect();
    gnu(&members)
}

/// Writes these files into `folder`.
pub fn write_folder(files: &Files, folder: &Path) {
    for (name, data) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
}

/// `path → "file 0644 1:2 content"`, `"link 1:2 target"` or `"folder 0755 0:0"`; names of one inode
/// show the first of them.
pub type Tree = BTreeMap<String, String>;

/// A tree of names, the node of each name, and the inode.
pub fn tree_of(names: Vec<(String, String, u64)>) -> Tree {
    let mut first: HashMap<u64, (String, usize)> = HashMap::new();
    for (path, _, inode) in &names {
        let known = first.entry(*inode).or_insert((path.clone(), 0));
        *known = (path.clone().min(known.0.clone()), known.1 + 1);
    }
    let told = names
        .into_iter()
        .map(|(path, text, inode)| match &first[&inode] {
            (first, 2..) => (path, format!("{text} = {first}")),
            _ => (path, text),
        });
    told.collect()
}

const OPTIONS: ReadOptions = ReadOptions {
    limits: Limits {
        members: 100_000,
        document: 1 << 20,
        unpacked: 1 << 30,
        ratio: 1000,
        kept: 1 << 28,
        window: 1 << 27,
        images: 500,
        registry_time: 60,
    },
    name: None,
    platform: None,
    interest: Interest::Closures,
    probe: slimpack::source::probe,
};

/// The only image at `path`.
pub fn read(path: &Path) -> Result<Image, ReadError> {
    let mut images = open(path, &OPTIONS)?;
    assert_eq!(images.count(), 1);
    images.read(0)
}

/// The image of an archive with these layers.
pub fn read_layers(layers: &[Layer]) -> Result<Image, ReadError> {
    let folder = temporary();
    let path = folder.path().join("image.tar");
    fs::write(&path, archive(&oci(layers))).unwrap();
    read(&path)
}

/// All bytes of a file.
pub fn content(node: &Node) -> Vec<u8> {
    node.open().unwrap().prefix(0, node.size).unwrap()
}

/// The node at a path that has no symbolic links.
pub fn node<'i>(image: &'i Image, path: &str) -> &'i Node {
    image.tree.node(path.as_bytes()).unwrap().1
}

pub fn tree(image: &Image) -> Tree {
    let names = image.tree.walk().map(|(path, number, node)| {
        let (mode, owner) = (node.mode, format!("{}:{}", node.uid, node.gid));
        let text = match node.kind() {
            NodeKind::Directory => format!("folder {mode:04o} {owner}"),
            NodeKind::Symlink => format!("link {owner} {}", node.target().unwrap().display()),
            NodeKind::File => {
                let content = String::from_utf8(content(node)).unwrap();
                format!("file {mode:04o} {owner} {content:?}")
            }
            NodeKind::Special => format!("special {mode:04o} {owner}"),
        };
        (path.display().to_string(), text, u64::from(number))
    });
    tree_of(names.collect())
}

/// The tree of a directory on this machine, in the notation of [`tree`].
pub fn tree_of_folder(root: &Path) -> Tree {
    let mut names = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = format!("{:04o}", found.mode() & 0o7777);
        let owner = format!("{}:{}", found.uid(), found.gid());
        let text = if found.is_dir() {
            let below = fs::read_dir(&path).unwrap();
            pending.extend(below.map(|entry| entry.unwrap().path()));
            format!("folder {mode} {owner}")
        } else if found.is_symlink() {
            format!("link {owner} {}", fs::read_link(&path).unwrap().display())
        } else {
            let content = fs::read_to_string(&path).unwrap();
            format!("file {mode} {owner} {content:?}")
        };
        let inside = path.strip_prefix(root).unwrap().display();
        names.push((format!("/{inside}"), text, found.ino()));
    }
    tree_of(names)
}

/// Virtual memory that is enough for every run, in KiB.
pub const MEMORY: u32 = 2_000_000;

/// How a run ended.
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs slimpack in `folder`, in which it must leave nothing behind, with `memory` KiB; `input` is
/// shell syntax for the source of standard input.
pub fn run(folder: &Path, input: &str, arguments: &[&str], memory: u32) -> Ended {
    let script = format!("ulimit -v {memory} && {input} \"$0\" \"$@\"");
    let names = || {
        let mut find = Command::new("find");
        succeed(find.arg(folder).args(["-printf", "%p %s %T@\n"]))
    };
    let before = names();
    let output = output(
        Command::new("timeout")
            .args(["60", "sh", "-c", &script])
            .arg(env!("CARGO_BIN_EXE_slimpack"))
            .args(arguments)
            .current_dir(folder)
            .env("TMPDIR", folder)
            .env_remove("CLICOLOR_FORCE")
            // The memory that threads reserve must not depend on the machine.
            .envs([("RAYON_NUM_THREADS", "2"), ("MALLOC_ARENA_MAX", "2")]),
    );
    let ended = Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let Ended { status, stderr, .. } = &ended;
    let is_orderly = matches!(status, Some(0..=2)) && !stderr.contains("panicked");
    assert!(is_orderly, "{arguments:?} ended with {status:?}\n{stderr}");
    assert_eq!(names(), before, "{arguments:?} has written something");
    ended
}

/// Inspects an image in a file, with further arguments and less memory.
pub fn inspect_with(image: &[u8], arguments: &[&str], memory: u32) -> Ended {
    let folder = temporary();
    fs::write(folder.path().join("image"), image).unwrap();
    let arguments = [&["inspect", "image"], arguments].concat();
    run(folder.path(), "", &arguments, memory)
}

/// Inspects an image in a file.
pub fn inspect(image: &[u8]) -> Ended {
    inspect_with(image, &[], MEMORY)
}

/// Inspects an image that arrives through a pipe.
pub fn inspect_piped(image: &[u8], arguments: &[&str]) -> Ended {
    let folder = temporary();
    fs::write(folder.path().join("image"), image).unwrap();
    let arguments = [&["inspect", "-"], arguments].concat();
    run(folder.path(), "cat image |", &arguments, MEMORY)
}

pub fn assert_refused(ended: &Ended, name: &str, expected: &str) {
    let Ended { stdout, stderr, .. } = ended;
    assert_eq!(ended.status, Some(2), "{expected}: {stdout}{stderr}");
    let begin = format!("error: cannot read {name}: ");
    assert!(stderr.starts_with(&begin), "{expected}: {stderr}");
    let is_named = stderr.contains(expected);
    assert!(is_named, "nothing of {expected:?} in: {stderr}");
    assert_eq!(stdout, "", "{expected}: something is shown of it");
}

/// Fails unless `image` is refused with a message that contains `expected`, from a file and a pipe.
pub fn refuses_with(image: &[u8], arguments: &[&str], expected: &str) {
    let ended = inspect_with(image, arguments, MEMORY);
    assert_refused(&ended, "image", expected);
    assert_refused(&inspect_piped(image, arguments), "-", expected);
}

pub fn refuses(image: &[u8], expected: &str) {
    refuses_with(image, &[], expected);
}

/// An image with one layer.
pub fn image_of(members: &[Member]) -> Vec<u8> {
    archive(&oci(&[Layer::of(members)]))
}

/// An image with a layer of these bytes, valid or not.
pub fn image_around(tar: &[u8]) -> Vec<u8> {
    archive(&oci(&[Layer::new(tar, Packing::None)]))
}

pub fn empty(name: impl AsRef<[u8]>) -> Member {
    Member::file(name, "")
}

/// `NAME` is a file, `NAME -> TARGET` a symbolic link, `NAME = TARGET` a hard link.
pub fn member(text: &str) -> Member {
    match (text.split_once(" ->"), text.split_once(" =")) {
        (Some((name, target)), _) => Member::symlink(name, target.trim()),
        (_, Some((name, target))) => Member::hard_link(name, target.trim()),
        _ => empty(text),
    }
}

/// The compressed tar of one file of gigabytes of zeros.
pub fn bomb(gigabytes: u64) -> Vec<u8> {
    let mut header = empty("zeros").header(Format::Gnu);
    header.set_size(gigabytes << 30);
    header.set_cksum();
    let zeros = gzip(&vec![0; 64 << 20]).repeat(gigabytes as usize * 16);
    [gzip(header.as_bytes()), zeros, gzip(&END)].concat()
}

/// Edits a document that no digest refers to.
pub fn change(files: &mut Files, name: &str, edit: impl Fn(&mut Value)) {
    let mut value = serde_json::from_slice(&files[name]).unwrap();
    edit(&mut value);
    files.insert(name.into(), value.to_string().into());
}

/// The tree that umoci unpacks from layers.
pub fn unpacked(layers: &[Layer]) -> Tree {
    let folder = temporary();
    let (layout, bundle) = (folder.path().join("layout"), folder.path().join("bundle"));
    write_folder(&oci(layers), &layout);
    let image = format!("{}:test", layout.display());
    let mut umoci = Command::new("umoci");
    succeed(umoci.args(["unpack", "--image", &image]).arg(&bundle));
    tree_of_folder(&bundle.join("rootfs"))
}

pub fn has_umoci() -> bool {
    have(&["umoci"]) && is_root()
}
