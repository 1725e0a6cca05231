//! File trees as text: an image as slimpack shows it, a directory on disk, and a tar.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{slimpack, succeed};

/// `path → "file 0755 0:0 1234"`, `"folder 0755 0:0"`, `"link 0:0 target"` or `"special 0644 0:0"`.
/// Names of one inode also show the first of them. Bytes that are not UTF-8 become U+FFFD, as in
/// JSON; the root itself is left out.
///
/// Modes of links and sizes of directories are left out, as they depend on the file system.
pub type Tree = BTreeMap<String, String>;

/// A name, its node, and the inode number.
type Named = (String, String, u64);

fn tree(names: Vec<Named>) -> Tree {
    let mut inodes: HashMap<u64, Vec<String>> = HashMap::new();
    for (path, _, inode) in &names {
        inodes.entry(*inode).or_default().push(path.clone());
    }
    let mut tree = Tree::new();
    for (path, mut text, inode) in names {
        let same = &inodes[&inode];
        if same.len() > 1 {
            text.push_str(&format!(" = {}", same.iter().min().unwrap()));
        }
        assert!(tree.insert(path.clone(), text).is_none(), "{path} twice");
    }
    tree
}

/// The tree of one image in the output of `slimpack inspect --json --files`.
pub fn of_image(image: &Value) -> Tree {
    let nodes = image["tree"].as_array().expect("--files was given");
    let named = nodes.iter().map(|node| {
        let text = |field: &str| node[field].as_str().unwrap().to_owned();
        let mode = text("mode");
        let owner = format!("{}:{}", node["uid"], node["gid"]);
        let told = match text("kind").as_str() {
            "file" => format!("file {mode} {owner} {}", node["bytes"]),
            "folder" => format!("folder {mode} {owner}"),
            "link" => format!("link {owner} {}", text("target")),
            "special" => format!("special {mode} {owner}"),
            other => panic!("{other} is no kind of node"),
        };
        (text("path"), told, node["inode"].as_u64().unwrap())
    });
    tree(named.collect())
}

/// The tree of a directory on this machine.
pub fn of_folder(root: &Path) -> Tree {
    let mut names = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let mode = format!("{:04o}", found.mode() & 0o7777);
            let owner = format!("{}:{}", found.uid(), found.gid());
            let kind = found.file_type();
            let told = if kind.is_file() {
                format!("file {mode} {owner} {}", found.len())
            } else if kind.is_dir() {
                pending.push(path.clone());
                format!("folder {mode} {owner}")
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                format!("link {owner} {}", target.display())
            } else {
                assert!(kind.is_fifo() || kind.is_char_device() || kind.is_block_device());
                format!("special {mode} {owner}")
            };
            let inside = Path::new("/").join(path.strip_prefix(root).unwrap());
            names.push((inside.display().to_string(), told, found.ino()));
        }
    }
    tree(names)
}

/// The tree of a tar in which no name occurs twice.
pub fn of_tar(tar: impl Read) -> Tree {
    let mut names: Vec<Named> = Vec::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let mode = format!("{:04o}", header.mode().unwrap() & 0o7777);
        let owner = format!("{}:{}", header.uid().unwrap(), header.gid().unwrap());
        let path = absolute(&entry.path_bytes());
        let link = || entry.link_name_bytes().unwrap();
        let told = match header.entry_type() {
            _ if path == "/" => continue,
            tar::EntryType::Regular => format!("file {mode} {owner} {}", entry.size()),
            tar::EntryType::Directory => format!("folder {mode} {owner}"),
            tar::EntryType::Symlink => {
                format!("link {owner} {}", String::from_utf8_lossy(&link()))
            }
            tar::EntryType::Link => {
                let target = absolute(&link());
                let mut before = names.iter().filter(|(name, ..)| *name == target);
                let (_, told, inode) = before.next().expect("what a hard link names").clone();
                names.push((path, told, inode));
                continue;
            }
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => {
                format!("special {mode} {owner}")
            }
            other => panic!("{path} is {other:?}"),
        };
        let inode = names.len() as u64;
        names.push((path, told, inode));
    }
    tree(names)
}

fn absolute(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let name = name.trim_start_matches("./").trim_matches('/');
    format!("/{}", if name == "." { "" } else { name })
}

/// Panics with the names that differ, and only these.
pub fn assert_same(shown: &Tree, expected: &Tree, whose: &str) {
    let names: std::collections::BTreeSet<_> = shown.keys().chain(expected.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| shown.get(*name) != expected.get(*name));
    let differ: Vec<_> = differ
        .map(|name| {
            let told = |tree: &Tree| tree.get(name).cloned().unwrap_or("nothing".into());
            format!("{name}: {}, not {}", told(shown), told(expected))
        })
        .collect();
    assert!(
        differ.is_empty(),
        "{whose}: slimpack shows another tree\n{}",
        differ.join("\n")
    );
    assert!(!shown.is_empty());
}

/// The images in the output of `slimpack inspect --json --files`.
pub fn images(inspect: &mut Command) -> Vec<Value> {
    document(inspect)["images"].as_array().unwrap().clone()
}

/// The output of `slimpack inspect --json --files`; `inspect` has the rest of the command line.
pub fn document(inspect: &mut Command) -> Value {
    let text = succeed(inspect.args(["--json", "--files"]));
    serde_json::from_str(&text).unwrap()
}

/// A command that inspects the image at `path`.
pub fn inspect(path: impl AsRef<Path>) -> Command {
    let mut command = slimpack();
    command.arg("inspect").arg(path.as_ref());
    command
}

/// The only image at `path`.
pub fn image(path: impl AsRef<Path>) -> Value {
    let mut images = images(&mut inspect(path));
    assert_eq!(images.len(), 1);
    images.remove(0)
}
