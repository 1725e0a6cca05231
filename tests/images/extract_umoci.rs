//! `slimpack extract` and `slimpack cat`, held against umoci: the same tree, of plain and of hostile images.

use crate::{common, image_writer, layers, stacks};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{have, is_root, slimpack, succeed, temporary};
use image_writer::*;

/// Every node below a directory but devices and FIFOs: type, mode, owner, size, time, content, target, other
/// names and capabilities. The times of directories are those of who made them where no member has them, and
/// the root directory is that of who extracts.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut names = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let kind = found.file_type();
        let about = format!(
            "{:04o} {}:{}",
            found.mode() & 0o7777,
            found.uid(),
            found.gid()
        );
        let text = if kind.is_dir() {
            let below = fs::read_dir(&path).unwrap();
            pending.extend(below.map(|entry| entry.unwrap().path()));
            format!("directory {about}")
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            let owner = format!("{}:{} {}", found.uid(), found.gid(), found.mtime());
            format!("link {owner} {target:?}")
        } else if kind.is_file() {
            let mut value = [0; 64];
            let length = rustix::fs::lgetxattr(&path, "security.capability", &mut value[..]);
            let capabilities = &value[..length.unwrap_or_default()];
            let digest = digest(&fs::read(&path).unwrap());
            let (size, time) = (found.len(), found.mtime());
            format!("file {about} {size} {time} {capabilities:?} {digest}")
        } else {
            assert!(kind.is_char_device() || kind.is_block_device() || kind.is_fifo());
            continue;
        };
        if path == root {
            continue;
        }
        let inside = path.strip_prefix(root).unwrap().to_path_buf();
        let inode = if kind.is_file() {
            found.ino()
        } else {
            u64::MAX
        };
        names.push((format!("{inside:?}"), text, inode));
    }
    // Two links with one inode are as good as two links.
    let unique = names
        .iter()
        .zip(1_u64..)
        .map(|((path, text, inode), number)| {
            let inode = if *inode == u64::MAX {
                u64::MAX - number
            } else {
                *inode
            };
            (path.clone(), text.clone(), inode)
        });
    tree_of(unique.collect())
}

/// Images that mean harm or have something odd, and that umoci unpacks as engines do.
#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn hostile() -> Vec<Vec<Layer>> {
    let file = |name: &str| Member::file(name, name);
    let owned = Member {
        mode: 0o6755,
        owner: (3_000_000, 70_000),
        ..Member::file("usr/bin/tool", "tool")
    };
    let old = Member::file("old", "old").record("mtime", "1234567890.5");
    let capable = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let capable = Member::file("ping", "p").record("SCHILY.xattr.security.capability", capable);
    let deep = format!("{}/file", vec!["deep"; 200].join("/"));
    let sparse = Member::file("holes", "data").record("GNU.sparse.map", "1000000,4");
    let sparse = sparse.record("GNU.sparse.size", "3000000");
    let sparse = sparse.record("GNU.sparse.numblocks", "1");
    let unreadable = Member {
        mode: 0,
        ..Member::folder("closed")
    };
    let plain = vec![
        file("etc/a"),
        file("etc/b"),
        file("srv/x/y"),
        Member::folder("var"),
    ];
    let upper = |members: &[Member]| vec![Layer::of(&plain), Layer::of(members)];
    vec![
        vec![Layer::of(&[
            member("up -> ../../../../../.."),
            file("up/planted"),
        ])],
        vec![Layer::of(&[
            member("abs -> /"),
            file("abs/planted"),
            member("abs/l -> /etc/shadow"),
        ])],
        vec![Layer::of(&[
            member("a -> b"),
            member("b -> c"),
            Member::folder("c"),
            file("a/x"),
        ])],
        vec![Layer::of(&[
            file("/absolute"),
            file("./././dots"),
            file("d//e"),
        ])],
        vec![Layer::of(&[
            member("etc -> /tmp"),
            file("etc/passwd"),
            Member::folder("tmp"),
        ])],
        vec![Layer::of(&[
            owned.clone(),
            Member::hard_link("usr/bin/same", "usr/bin/tool"),
        ])],
        vec![Layer::of(&[
            old,
            capable,
            member("dangling -> /nowhere/../.."),
        ])],
        vec![Layer::of(&[file(&deep), file("\u{fc}n\u{ef} \t\u{7f}")])],
        vec![Layer::of(&[sparse, file("beside")])],
        vec![Layer::of(&[unreadable, file("closed/file")])],
        upper(&[member("etc/.wh.a"), member("etc/c -> a")]),
        upper(&[empty("etc/.wh..wh..opq"), file("etc/new")]),
        upper(&[empty(".wh.srv"), file("srv/z")]),
        upper(&[member("srv/x -> /etc"), file("srv/x/b")]),
        upper(&[Member::hard_link("etc/again", "etc/a"), empty("etc/.wh.a")]),
        upper(&[Member::file("srv/x", "a file"), member("etc -> srv")]),
    ]
}

/// Extracts into a new directory inside `folder`.
pub fn extracted(image: &Path, folder: &Path, words: &[&str]) -> BTreeMap<String, String> {
    let root = folder.join("out");
    succeed(
        slimpack()
            .arg("extract")
            .arg(image)
            .args(words)
            .arg("-qo")
            .arg(&root),
    );
    let found = listing(&root);
    succeed(Command::new("rm").arg("-rf").arg(&root));
    found
}

/// The same by way of the tar on standard output.
fn streamed(image: &Path, folder: &Path) -> BTreeMap<String, String> {
    let (tar, root) = (folder.join("stream.tar"), folder.join("out"));
    let mut extract = slimpack();
    extract.arg("extract").arg(image).args(["-o", "-"]);
    let write = || {
        let out = fs::File::create(&tar).unwrap();
        let status = extract.stdout(out).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
        fs::read(&tar).unwrap()
    };
    let mut write = write;
    assert!(write() == write(), "it is not deterministic");
    fs::create_dir(&root).unwrap();
    stacks::extract(&tar, &root);
    let found = listing(&root);
    succeed(Command::new("rm").arg("-rf").arg(&root));
    found
}

/// What umoci unpacks.
fn umoci(layout: &Path, tag: &str, folder: &Path) -> BTreeMap<String, String> {
    let bundle = folder.join("unpacked");
    let image = format!("{}:{tag}", layout.display());
    succeed(
        Command::new("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    );
    let found = listing(&bundle.join("rootfs"));
    succeed(Command::new("rm").arg("-rf").arg(&bundle));
    found
}

#[test]
fn an_extracted_image_is_the_tree_that_umoci_unpacks() {
    if !have(&["umoci", "tar"]) || !is_root() {
        return;
    }
    let folder = temporary();
    let compare = |layout: &Path, tag: &str, about: &str| {
        let expected = umoci(layout, tag, folder.path());
        let all = extracted(layout, folder.path(), &[]);
        assert_eq!(all, expected, "{about}");
        assert_eq!(streamed(layout, folder.path()), expected, "{about}");
        // Every file is what is printed of it.
        let view = read(layout).unwrap();
        for (path, _, node) in view.tree.walk().filter(|(_, _, node)| node.size > 0) {
            let printed = common::output(slimpack().arg("cat").arg(layout).arg(&path));
            assert_eq!(digest(&printed.stdout), digest(&content(node)), "{path:?}");
        }
    };
    let random = (0..12).map(layers::generated_layers);
    for (number, layers) in hostile().into_iter().chain(random).enumerate() {
        let layout = folder.path().join(format!("layout{number}"));
        write_folder(&oci(&layers), &layout);
        compare(&layout, "test", &number.to_string());
    }
    let made = temporary();
    let layout = stacks::umoci_layout(made.path());
    let expected = umoci(&layout, "image", folder.path());
    assert_eq!(extracted(&layout, folder.path(), &[]), expected);
}
