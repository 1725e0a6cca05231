//! Hostile images: `inspect` ends in bounded time and memory, with one clear message or with
//! warnings, and writes nothing.

use crate::{common, costs, image_writer};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{HELLO, compile, have, hello, succeed, temporary};
use image_writer::*;
use serde_json::{Value, json};
use tar::EntryType;

/// The paths in the only image.
fn paths(image: &[u8]) -> Vec<String> {
    let ended = inspect_with(image, &["--json", "--files"], MEMORY);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    common::strings(&report["images"][0]["tree"], "path")
}

/// Members; the message about the last one; the resulting paths.
pub(crate) const NAMES: &str = "\
../x            | points outside the root; it is left out                           |
a/../../x       | points outside the root; it is left out                           |
/../x           | points outside the root; it is left out                           |
LONG            | is not a valid file name; it is left out                          |
x = x           | is a hard link to a file that does not exist; it is left out      |
x = y           | is a hard link to a file that does not exist; it is left out      |
x = /           | is a hard link to a file that does not exist; it is left out      |
x = ../etc      | is a hard link to a file that does not exist; it is left out      |
.wh.            | is a whiteout of an invalid name; it is left out                  |
.wh...          | is a whiteout of an invalid name; it is left out                  |
a -> b, b -> a, a/x | goes through too many symbolic links; it is left out          | /a /b
a -> a, a/x     | goes through too many symbolic links; it is left out              | /a
f, f/x          | has a path component that is not a directory; it is left out      | /f
x ->            | is a symbolic link with an invalid target; it is left out         |
x -> LONGLONGLONGLONGLONG | is a symbolic link with an invalid target; it is left out |
/x              | is an absolute path                                               | /x
a/../x          | contains ..                                                       | /x
x, x            | occurs twice in the layer                                         | /x";

#[test]
fn names_that_cannot_be_are_left_out_and_odd_ones_are_warned_of() {
    let names = NAMES.replace("LONG", &"n".repeat(1000));
    for case in names.lines() {
        let mut columns = case.split('|');
        let mut next = || columns.next().unwrap().trim();
        let mut members: Vec<_> = next().split(", ").map(member).collect();
        let (what, mut expected) = (next(), next().split(' ').collect::<Vec<_>>());
        let last = String::from_utf8(members.last().unwrap().name.clone()).unwrap();
        members.push(empty("kept"));
        expected.retain(|path| !path.is_empty());
        expected.push("/kept");
        expected.sort();
        let image = image_of(&members);
        let ended = inspect(&image);
        let warning = format!("\nwarning: {last} in layer 1 {what}\n");
        assert_eq!(ended.status, Some(0), "{case}: {}", ended.stderr);
        assert!(ended.stdout.contains(&warning), "{case}: {}", ended.stdout);
        assert_eq!(paths(&image), expected, "{case}");
    }
    let unknown = Member::new(EntryType::new(b'Z'), "x");
    let with_nul = empty("x").record("path", "a\0b");
    assert_eq!(paths(&image_of(&[unknown, with_nul])), [""; 0]);
}

#[test]
fn links_out_of_the_root_stay_inside_and_devices_are_only_counted() {
    let names = ["up -> ../../../../../../etc", "root -> /", "up/shadow"];
    let names = names
        .into_iter()
        .chain(["root/etc/passwd", "etc/hosts -> /etc/hosts"]);
    let devices = [EntryType::Char, EntryType::Block, EntryType::Fifo];
    let devices = devices.map(|kind| Member::new(kind, format!("{:?}", kind.as_byte())));
    let members: Vec<_> = names.map(member).chain(devices).collect();
    let image = image_of(&members);
    let expected = "/51 /52 /54 /etc /etc/hosts /etc/passwd /etc/shadow /root /up";
    assert_eq!(paths(&image).join(" "), expected);
    let text = inspect(&image).stdout;
    let expected = "2 files, 3 links, 1 directory, 3 devices";
    assert!(text.contains(expected), "{text}");
}

/// A header with other bytes in one field.
fn with_field(at: usize, field: &[u8]) -> Vec<u8> {
    let mut header = empty("x").header(Format::Gnu);
    header.as_mut_bytes()[at..at + field.len()].copy_from_slice(field);
    header.set_cksum();
    raw(&header, b"")
}

#[test]
fn numbers_that_are_none_or_too_large_are_refused() {
    const NO_NUMBER: &str = "is damaged: a size is not a number";
    const MALFORMED: &str = "is damaged: an extended header is malformed";
    let size = |field: &[u8]| with_field(124, field);
    let record = |key, value: &str| empty("x").record(key, value).blocks(Format::Gnu);
    let mut wrong = empty("x").header(Format::Gnu);
    wrong.as_mut_bytes()[0] ^= 1;
    let many = Member::new(EntryType::XHeader, "x").blocks(Format::Gnu);
    let map = empty("x").record("GNU.sparse.map", "0,5,3,5");
    let map = map.record("GNU.sparse.size", "20").blocks(Format::Gnu);
    for (blocks, expected) in [
        (size(b"-00000000001"), NO_NUMBER),
        (size(b"garbage!\0\0\0\0"), NO_NUMBER),
        (size(b"00000000008\0"), NO_NUMBER),
        (size(b"77777777777\0"), "is damaged: it is cut off"),
        // In base 256: -1, a negative multiple of 2^64, 2^64, and 2^64 - 1.
        (size(&[0xff; 12]), "is damaged: "),
        (size(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), "is damaged: "),
        (size(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), "is damaged: "),
        (
            size(&[&[0x80, 0, 0, 0], &[0xff; 8][..]].concat()),
            "is damaged: ",
        ),
        (with_field(108, b"garbage!"), "an owner is not a number"),
        (record("size", "99999999999999999999999999"), MALFORMED),
        (record("size", "-1"), MALFORMED),
        (record("size", "9223372036854775807"), "it is cut off"),
        (record("uid", "root"), MALFORMED),
        (raw(&wrong, b""), "a header has a wrong checksum"),
        (
            record("x", &"x".repeat(2 << 20)),
            "an extended header is over 1 MiB",
        ),
        (many.repeat(20), "too many extended headers in a row"),
        (map, "the map of a sparse file is malformed"),
    ] {
        let tar = [blocks, END.to_vec()].concat();
        for packing in [Packing::None, Packing::Gzip] {
            refuses(&archive(&oci(&[Layer::new(&tar, packing)])), expected);
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limits() {
    let layer = Layer {
        blob: bomb(20),
        ..Layer::new(b"", Packing::Gzip)
    };
    for image in [archive(&oci(&[layer])), bomb(20)] {
        assert!(image.len() < 30 << 20);
        let ratio = "more than 200 times its size; raise the limit with --limit ratio=N";
        refuses(&image, ratio);
        let bytes = "more than 1000000 bytes; raise the limit with --limit unpacked=N";
        refuses_with(&image, &["--limit", "unpacked=1MB"], bytes);
    }
}

#[test]
fn limits_are_for_all_layers_together_and_named_when_they_are_reached() {
    let layer = |name| Layer::of(&[0; 60].map(|_| empty(name)));
    let expected = "more than 100 members; raise the limit with --limit members=N";
    let document = "is larger than 10 bytes; raise the limit with --limit document=N";
    for layers in [[layer("a"), layer("b")], [layer("a"), layer("a")]] {
        for image in [archive(&oci(&layers)), archive(&docker(&layers))] {
            refuses_with(&image, &["--limit", "members=100"], expected);
            refuses_with(&image, &["--limit", "document=10"], document);
        }
    }
    let folder = temporary();
    (0..5).for_each(|n| fs::create_dir(folder.path().join(n.to_string())).unwrap());
    let arguments = ["inspect", ".", "--limit", "members=4"];
    let ended = run(folder.path(), "", &arguments, MEMORY);
    assert_refused(&ended, ".", "more than 4 files");
}

/// Instructions of an `inspect` of an image.
fn instructions(image: &[u8]) -> u64 {
    costs::of_inspecting(image, |command| costs::instructions(command, None))
}

/// Fails unless ten times `count` costs less than `factor` times the instructions.
fn assert_cost(factor: u64, count: usize, image: impl Fn(usize) -> Vec<u8>) {
    if !have(&costs::TOOLS) {
        return;
    }
    let start = instructions(&image_of(&[]));
    let cost = |count: usize| instructions(&image(count)).saturating_sub(start);
    let (few, many) = (cost(count), cost(10 * count));
    // If there is little work, figures vary by part of the startup cost of the process.
    let is_cheap = many < factor * few + start / 4;
    assert!(
        is_cheap,
        "{few} instructions, then {many}; {start} to start"
    );
}

#[test]
fn ten_times_the_members_cost_little_more_than_ten_times_as_much() {
    assert_cost(15, 2000, |count| {
        let names = (0..count).map(|n| format!("{}/{n}", n % 100));
        let members = names.map(|name| Member::file(name, "x"));
        image_of(&members.collect::<Vec<_>>())
    });
}

#[test]
fn whiteouts_of_a_layer_cost_no_more_than_what_they_remove() {
    assert_cost(15, 100, |count| {
        let folders = (0..count).map(|n| Member::folder(n.to_string()));
        let whiteouts = vec![empty(".wh..wh..opq"); count];
        image_of(&folders.chain(whiteouts).collect::<Vec<_>>())
    });
}

#[test]
fn the_map_of_a_sparse_file_costs_no_more_than_its_length() {
    assert_cost(15, 1000, |lines| {
        let line = format!("{}1\n", "0".repeat(30));
        let text = format!("{}\n{}", lines / 2, line.repeat(lines));
        let member = Member::file("x", text).record("GNU.sparse.major", "1");
        image_of(&[member.record("GNU.sparse.realsize", "1")])
    });
}

#[test]
fn a_sparse_file_costs_no_more_than_what_is_stored_of_it() {
    assert_cost(4, 1 << 30, |size| {
        // Files of equal size are compared.
        let files = ["one", "two"].map(|name| {
            let file = empty(name).record("GNU.sparse.map", "");
            file.record("GNU.sparse.size", size.to_string())
        });
        image_of(&files)
    });
}

#[test]
fn what_is_named_many_times_is_read_once() {
    let other = json!({
        "schemaVersion": 2, "layers": [],
        "config": {"mediaType": "application/x", "digest": digest(b""), "size": 0},
    });
    // JSON may be followed by white space.
    let other = format!("{other}{}", " ".repeat(1 << 18));
    assert_read_once(|count| {
        let mut files = oci(&[Layer::of(&[])]);
        let other = add(&mut files, MANIFEST, other.as_bytes());
        change(&mut files, "index.json", |index| {
            let manifests = index["manifests"].as_array_mut().unwrap();
            manifests.extend(vec![other.clone(); count]);
        });
        archive(&files)
    });
    let layer = Layer::of(&[Member::file("x", vec![1; 1 << 20])]);
    assert_read_once(|count| archive(&oci(&vec![layer.clone(); count])));
}

/// Fails unless what is named a hundred times is read no more often than what is named ten times.
fn assert_read_once(image: impl Fn(usize) -> Vec<u8>) {
    if !have(&costs::TOOLS) {
        return;
    }
    let read = |count| costs::of_inspecting(&image(count), |command| costs::calls(command).read);
    let (few, many) = (read(10), read(100));
    assert!(many < few + (1 << 20), "{few} bytes are read, then {many}");
}

#[test]
fn memory_is_bounded_however_well_names_and_documents_pack() {
    const LITTLE: u32 = 500_000;
    let arguments = ["--limit", "ratio=2000", "--limit", "kept=100MB"];
    let many = |member: Member, count| {
        let member = gzip(&member.blocks(Format::Gnu)).repeat(count);
        inspect_with(&[member, gzip(&END)].concat(), &arguments, LITTLE)
    };
    many(empty("n".repeat((1 << 20) - 1)), 600);
    let text = format!("[{}", " ".repeat((16 << 20) - 1));
    let ended = many(Member::file("x.json", text), 40);
    assert_refused(&ended, "image", "--limit kept=N");
}

#[test]
fn memory_is_bounded_however_many_folders_a_name_speaks_of() {
    let names = (0..300).map(|n| format!("{n}{}", "/a".repeat(16_000)));
    inspect(&image_of(&names.map(empty).collect::<Vec<_>>()));
}

#[test]
fn memory_is_bounded_however_many_images_name_one_document() {
    let mut files = docker(&[]);
    let name = files.keys().next().unwrap().clone();
    change(&mut files, &name, |config| {
        config["config"]["Env"] = vec!["A=1"; 500_000].into();
    });
    let image = json!({"Config": "config.json", "RepoTags": [], "Layers": []});
    let config = files.remove(&name).unwrap();
    files.insert("config.json".into(), config);
    change(&mut files, "manifest.json", |list| {
        *list = vec![image.clone(); 100].into();
    });
    inspect(&archive(&files));
}

#[test]
fn four_thousand_nested_folders_are_four_thousand_folders() {
    let each = (1..=4000).map(|n| Member::folder("a/".repeat(n)));
    let one = vec![empty("a/".repeat(4000) + "x")];
    for members in [one, each.collect()] {
        let text = inspect(&image_of(&members)).stdout;
        assert!(text.contains(", 4000 directories"), "{text}");
    }
}

#[test]
fn json_that_is_nested_without_end_is_an_error() {
    let nested = "[".repeat(200_000) + &"]".repeat(200_000);
    let within = format!("{{\"x\": {nested}}}");
    let config = docker(&[]).keys().next().unwrap().clone();
    for text in [nested, within] {
        for name in ["index.json", "manifest.json", &config] {
            let mut files = if name == "index.json" {
                oci(&[])
            } else {
                docker(&[])
            };
            files.insert(name.into(), text.clone().into());
            refuses(&archive(&files), &format!("its {name} cannot be read: "));
        }
        let mut files = oci(&[]);
        let manifest = add(&mut files, MANIFEST, text.as_bytes());
        change(&mut files, "index.json", |index| {
            index["manifests"] = json!([manifest])
        });
        refuses(&archive(&files), " cannot be read: ");
    }
}

#[test]
fn indexes_that_name_each_other_or_nest_without_end_are_an_error() {
    let index = |descriptor: Value| {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        index.to_string().into_bytes()
    };
    // A cycle with correct digests is impossible.
    let names = ["a", "b"].map(|name| digest(name.as_bytes()));
    let of = |number: usize| json!({"mediaType": INDEX, "digest": names[number], "size": 2});
    for others in [[1, 0], [0, 1]] {
        let mut files = oci(&[]);
        files.insert("index.json".into(), index(of(0)));
        for (name, other) in names.iter().zip(others) {
            files.insert(blob_path(name), index(of(other)));
        }
        refuses(&archive(&files), &format!("the digest of {} is ", names[0]));
    }
    let mut files = oci(&[]);
    let first: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let first = first["manifests"][0].clone();
    let last = (0..200).fold(first, |inner, _| add(&mut files, INDEX, &index(inner)));
    files.insert("index.json".into(), index(last));
    refuses(&archive(&files), "its indexes are nested more than 8 deep");
}

/// An image with one small layer, in which a document was edited before its digest was computed.
fn edited(document: &str, pointer: &str, new: &Value) -> Vec<u8> {
    let layer = Layer::of(&[empty("x")]);
    archive(&oci_edited(&[layer], |this, value| {
        if this == document {
            *value.pointer_mut(pointer).unwrap() = new.clone();
        }
    }))
}

/// A document, an edit, and the expected message. `NONE` is the digest of no bytes.
const DOCUMENTS: &str = r#"
index    | /manifests/0/digest | "sha256:../../../etc/passwd" | its index.json cannot be read: 
index    | /manifests/0/digest | "sha256:12"    | its index.json cannot be read: 
index    | /manifests/0/digest | "../x"         | its index.json cannot be read: 
index    | /manifests/0/digest | "sha512:NONENONE" | is not a SHA-256 digest
index    | /manifests/0/digest | "sha256:NONE"  | , referenced by index.json, is missing from it
index    | /manifests/0/size   | -1             | its index.json cannot be read: 
index    | /manifests/0/size   | 1              | the size of sha256:
index    | /manifests          | []             | it contains no image
manifest | /config/digest      | "sha256:NONE"  | , is missing from it
manifest | /config/size        | 1              | the size of sha256:
manifest | /layers/0/digest    | "sha256:NONE"  | , is missing from it
manifest | /layers/0/digest    | "sha256:../.." | cannot be read: 
manifest | /layers/0/size      | 7              | is 1536, not 7
manifest | /layers/0/mediaType | "text/plain"   | text/plain is not the media type of a file system
manifest | /layers/0/mediaType | "GZIP"         | the compression of blobs/sha256/
manifest | /layers             | []             | it lists 1 layers, but the manifest lists 0
config   | /rootfs/diff_ids    | []             | it lists 0 layers, but the manifest lists 1
config   | /rootfs/diff_ids/0  | "sha256:NONE"  | the diff ID of blobs/sha256/
config   |                     | null           | cannot be read: 
docker   |                     | []             | it contains no image
docker   |                     | {}             | its manifest.json cannot be read: 
docker   |                     | [null]         | its manifest.json cannot be read: 
docker   | /0/Config           | 1              | its manifest.json cannot be read: 
docker   | /0/Config           | "../../etc/passwd" | ../../etc/passwd, referenced by manifest.json, is missing
docker   | /0/Layers           | ["x"]          | it lists 0 layers, but the manifest lists 1"#;

#[test]
fn documents_that_do_not_fit_the_rest_are_refused() {
    let none = digest(b"").replace("sha256:", "");
    let table = DOCUMENTS.replace("NONE", &none);
    let table = table.replace("GZIP", Layer::new(b"", Packing::Gzip).media_type);
    for case in table.lines().skip(1) {
        let columns: Vec<_> = case.splitn(4, '|').collect();
        let [document, pointer, new] = [0, 1, 2].map(|column| columns[column].trim());
        let new: Value = serde_json::from_str(new).unwrap();
        let image = if document == "docker" {
            let mut files = docker(&[]);
            change(&mut files, "manifest.json", |list| {
                *list.pointer_mut(pointer).unwrap() = new.clone();
            });
            archive(&files)
        } else {
            edited(document, pointer, &new)
        };
        refuses(&image, &columns[3][1..]);
    }
    // A blob under the digest of another.
    let layer = Layer::of(&[]);
    let mut files = oci(std::slice::from_ref(&layer));
    let name = blob_path(&digest(&layer.blob));
    files.insert(name.clone(), gnu(&[empty("x")]));
    refuses(
        &archive(&files),
        &format!("the diff ID of {name} is sha256:"),
    );
    refuses(
        &archive(&files),
        &format!("the digest of {name} is sha256:"),
    );
}

#[test]
fn what_is_no_image_or_layer_is_named() {
    let script = format!("#!/bin/sh\n{}", "\n".repeat(600));
    for (bytes, expected) in [
        (
            &fs::read(hello()).unwrap()[..],
            "it is an ELF file; images are",
        ),
        (script.as_bytes(), "it is a script; images are"),
        (b"", "it is an empty file; images are"),
        (b"text", "; images are docker"),
        (b"\xff\0\x01\x02", "it is not a tar; images are"),
        (&gzip(b"text"), "it is a compressed file that is not a tar"),
        (b"BZh91AY&SY", "it is compressed with bzip2, which slimpack"),
        (&image_around(b"text"), "it is cut off inside a header"),
        (&image_around(&[b'x'; 600]), "a header has a wrong checksum"),
        (&image_around(b"{}"), "is damaged: "),
        (
            &image_around(b"BZh91AY&SY"),
            "is compressed with bzip2, which",
        ),
        (&image_around(b"\x1f\x8b\x08"), "is damaged: it is cut off"),
    ] {
        refuses(bytes, expected);
    }
}

#[test]
fn an_archive_that_is_cut_off_is_never_shown() {
    let files = oci(&[Layer::of(&[Member::file("x", [b'x'; 700])])]);
    // The documents come first, so that the rest is recognized as an image.
    let members = files
        .iter()
        .rev()
        .map(|(name, data)| Member::file(name, data));
    let whole = gnu(&members.collect::<Vec<_>>());
    let end = whole.len() - END.len();
    // A tar that holds only the first member may be taken for a root.
    for cut in (0..end - 512)
        .step_by(160)
        .filter(|cut| !(543..=1024).contains(cut))
    {
        assert_refused(&inspect(&whole[..cut]), "image", "");
        assert_refused(&inspect(&gzip(&whole[..cut])), "image", "");
    }
    let packed = gzip(&whole);
    for cut in (0..packed.len()).step_by(packed.len() / 10) {
        refuses(&packed[..cut], "");
    }
    let ended = inspect(&whole[..end]);
    assert_eq!(
        ended.status,
        Some(0),
        "the zeros at the end may be left out"
    );
}

#[test]
fn a_blob_of_a_layout_folder_is_a_file_inside_it() {
    let layer = Layer::of(&[empty("x")]);
    let blob = digest(&layer.blob).replace("sha256:", "");
    for kind in ["relative link", "absolute link", "loop", "folder", "pipe"] {
        let folder = temporary();
        let (layout, outside) = (folder.path().join("layout"), folder.path().join("outside"));
        write_folder(&oci(std::slice::from_ref(&layer)), &layout);
        let path = layout.join("blobs/sha256").join(&blob);
        fs::rename(&path, &outside).unwrap();
        match kind {
            "relative link" => symlink("../../../outside", &path).unwrap(),
            "absolute link" => symlink(outside, &path).unwrap(),
            "loop" => symlink(&blob, &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => drop(succeed(Command::new("mkfifo").arg(&path))),
        }
        let expected = match kind {
            "loop" => "too many levels of symbolic links",
            _ => "is missing from it",
        };
        let ended = run(folder.path(), "", &["inspect", "layout"], MEMORY);
        assert_refused(&ended, "layout", expected);
    }
}

#[test]
fn a_layer_of_a_docker_archive_may_be_a_link_to_another_and_to_nothing_outside() {
    let layer = Layer::of(&[empty("x")]);
    let files = docker(&[layer.clone(), layer]);
    let [first, second] = [0, 1].map(|number| format!("{number:064}/layer.tar"));
    let with = |text: &str| {
        let first = files.iter().filter(|(name, _)| **name != second);
        let first = first.map(|(name, data)| Member::file(name, data));
        gnu(&first.chain([member(text)]).collect::<Vec<_>>())
    };
    for text in [
        format!("{second} -> ../{first}"),
        format!("{second} = {first}"),
    ] {
        for ended in [inspect(&with(&text)), inspect_piped(&with(&text), &[])] {
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            assert!(ended.stdout.contains("2 layers"), "{}", ended.stdout);
        }
    }
    let expected = format!("{second}, referenced by manifest.json, is missing from it");
    for target in [
        "../../etc/passwd",
        "/etc/passwd",
        "../missing",
        "layer.tar",
        "",
    ] {
        refuses(&with(&format!("{second} -> {target}")), &expected);
    }
    refuses(&with(&format!("{second} = {second}")), &expected);
}

#[test]
fn control_characters_of_an_image_reach_no_terminal() {
    let evil = "x\u{1b}]0;title\u{7}\r\u{9b}2J\nforged";
    let layer = Layer::of(&[empty(evil)]);
    let mut files = oci_edited(&[layer], |document, value| {
        if document == "config" {
            value["architecture"] = evil.into();
            value["created"] = evil.into();
        }
    });
    change(&mut files, "index.json", |index| {
        let name = "org.opencontainers.image.ref.name";
        index["manifests"][0]["annotations"][name] = evil.into();
    });
    let mut absent = docker(&[]);
    change(&mut absent, "manifest.json", |list| {
        list[0]["Config"] = evil.into()
    });
    for image in [archive(&files), archive(&absent)] {
        let ended = inspect_with(&image, &["--layers", "--files"], MEMORY);
        let shown = ended.stdout + &ended.stderr;
        let is_forged = shown.lines().any(|line| line.starts_with("forged"));
        let is_bad = |c: char| c.is_control() && c != '\n';
        assert!(!is_forged && !shown.contains(is_bad), "{shown:?}");
    }
}

#[test]
fn tree_refuses_the_same_images_with_the_same_words() {
    let folder = temporary();
    let program = compile(folder.path(), "app", HELLO, &["-static"]);
    let program = Layer::of(&[Member::file("app", fs::read(program).unwrap())]);
    let tampered = oci_edited(&[program], |document, value| {
        if document == "manifest" {
            value["layers"][0]["size"] = 7.into();
        }
    });
    for image in [
        archive(&tampered),
        edited("config", "/rootfs/diff_ids", &json!([])),
        image_around(&with_field(124, b"garbage!\0\0\0\0")),
        bomb(1),
        gzip(b"text"),
    ] {
        fs::write(folder.path().join("image"), image).unwrap();
        let run = |arguments: &[&str]| run(folder.path(), "", arguments, MEMORY);
        let expected = run(&["inspect", "image"]);
        for arguments in [&["tree", "image"][..], &["tree", "--from", "image", "/app"]] {
            let ended = run(arguments);
            assert_refused(&ended, "image", &expected.stderr);
        }
    }
}
