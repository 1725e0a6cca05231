//! Initrds that mean harm: each ends with one clear message, or with warnings, in bounded memory.

use crate::{common, image_writer};
use std::fs;
use std::io::Write;

use common::{slimpack, temporary, text};
use image_writer::{MEMORY, inspect_with};

/// One member of an archive, with every number as it is to be written.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    mode: u32,
    inode: u32,
    links: u32,
    data: Vec<u8>,
    /// What the header says of the size; that of the data if `None`.
    size: Option<u32>,
    name_size: Option<u32>,
}

fn file(name: &str, data: &[u8]) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        mode: 0o100_644,
        inode: 1,
        links: 1,
        data: data.to_vec(),
        size: None,
        name_size: None,
    }
}

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        let size = self.size.unwrap_or(self.data.len() as u32);
        let name_size = self.name_size.unwrap_or(self.name.len() as u32 + 1);
        let numbers = [
            self.inode, self.mode, 0, 0, self.links, 0, size, 0, 0, 0, 0, name_size, 0,
        ];
        out.extend(b"070701");
        numbers
            .iter()
            .for_each(|number| write!(out, "{number:08X}").unwrap());
        out.extend(&self.name);
        out.push(0);
        pad(out);
        out.extend(&self.data);
        pad(out);
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut out));
    file("TRAILER!!!", b"").write(&mut out);
    out
}

/// What `inspect --files` shows of it; it must succeed.
fn shown(image: &[u8]) -> String {
    let ended = inspect_with(image, &["--files"], MEMORY);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    ended.stdout
}

fn refused(image: &[u8], says: &str) {
    let ended = inspect_with(image, &[], MEMORY);
    assert_eq!(ended.status, Some(2), "{says}: {}", ended.stdout);
    assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn names_stay_in_the_root() {
    for (name, warning) in [
        ("/etc/x", "warning: /etc/x in layer 1 is an absolute path"),
        ("a/../x", "warning: a/../x in layer 1 contains .."),
        (
            "../x",
            "warning: ../x in layer 1 points outside the root; it is left out",
        ),
        ("a/../../x", "points outside the root; it is left out"),
    ] {
        let text = shown(&archive(&[file("kept", b"1"), file(name, b"2")]));
        assert!(text.contains(warning) && text.contains("kept"), "{text}");
    }
    // Control characters do not reach the terminal.
    let text = shown(&archive(&[file("a\u{1b}[31m\n", b"1")]));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn hard_links_without_data_are_empty_files_and_data_may_come_first_or_last() {
    let named = |name: &str, inode, data: &[u8]| Entry {
        inode,
        links: 2,
        ..file(name, data)
    };
    let folder = temporary();
    let path = folder.path().join("initrd");
    let entries = [
        named("none-1", 1, b""),
        named("first-1", 2, b"12345"),
        named("last-1", 3, b""),
        named("first-2", 2, b""),
        named("last-2", 3, b"123456789"),
    ];
    fs::write(&path, archive(&entries)).unwrap();
    let mut command = slimpack();
    let output = command
        .args(["inspect", "--json", "--files"])
        .arg(&path)
        .output();
    let document: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let mut sizes: Vec<(String, u64)> = document["images"][0]["tree"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let path = node["path"].as_str().unwrap().to_owned();
            (path, node["bytes"].as_u64().unwrap_or_default())
        })
        .collect();
    sizes.sort();
    let expected = [
        ("/first-1", 5),
        ("/first-2", 5),
        ("/last-1", 9),
        ("/last-2", 9),
        ("/none-1", 0),
    ];
    assert_eq!(sizes, expected.map(|(path, size)| (path.to_owned(), size)));
}

#[test]
fn sizes_that_lie_are_refused() {
    let large = Entry {
        size: Some(u32::MAX),
        ..file("large", b"few bytes")
    };
    refused(&archive(&[large]), "the archive is damaged: it is cut off");
    let long_name = |size| Entry {
        name_size: Some(size),
        ..file("name", b"")
    };
    let says = "a name is empty, or longer than any path (at byte 0)";
    refused(&archive(&[long_name(u32::MAX)]), says);
    refused(&archive(&[long_name(0)]), says);
    refused(
        &archive(&[long_name(4000)]),
        "it is cut off inside a member",
    );
    let link = Entry {
        mode: 0o120_777,
        ..file("link", &[b'x'; 5000])
    };
    refused(
        &archive(&[link]),
        "the target of a link is longer than any path",
    );
    let cut = archive(&[file("name", &[1; 100])]);
    refused(&cut[..150], "cut off");
    refused(&cut[..60], "it ends without a trailer");
    let without = &cut[..cut.len() - 124];
    refused(without, "it ends without a trailer");
    let mut letters = cut.clone();
    letters[10] = b'x';
    refused(&letters, "a header is not hexadecimal (at byte 0)");
    let junk = [&cut[..], b"\0\0\0\0something else"].concat();
    refused(
        &junk,
        "there is something other than a cpio archive (at byte ",
    );
    refused(b"070707000000", "a cpio archive in an old format");
}

#[test]
fn a_compressed_part_that_is_damaged_or_a_bomb_is_refused() {
    let gzip = |bytes: &[u8]| {
        let mut child = std::process::Command::new("gzip")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        output
    };
    let good = archive(&[file("name", &[1; 100])]);
    let packed = gzip(&good);
    assert!(shown(&packed).contains("name"));
    refused(&packed[..packed.len() - 10], "the archive is damaged");
    refused(
        &[&packed[..], b"junk"].concat(),
        "something other than a cpio archive",
    );
    // After the archives, the rest of a compressed part cannot be anything else.
    refused(
        &gzip(&[&good[..], b"junk"].concat()),
        "something other than a cpio archive",
    );
    // A size of 4 GB whose bytes would all have to be decompressed.
    let mut bomb = Vec::new();
    let large = Entry {
        size: Some(400 << 20),
        ..file("zeros", b"")
    };
    large.write(&mut bomb);
    bomb.resize(bomb.len() + (400 << 20), 0);
    file("TRAILER!!!", b"").write(&mut bomb);
    let packed = gzip(&bomb);
    refused(&packed, "it unpacks to more than 200 times its size");
    // Archives without members take memory, too, and are counted.
    let many = archive(&[]).repeat(2000);
    let folder = temporary();
    let path = folder.path().join("initrd");
    fs::write(&path, &many).unwrap();
    let mut command = slimpack();
    command
        .args(["inspect", "--limit", "members=1000"])
        .arg(&path);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("more than 1000 members"),
        "{}",
        text(&output)
    );
}
