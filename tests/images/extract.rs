//! `slimpack extract` and `slimpack cat`: what they write, and that nothing is written elsewhere.

use crate::{common, image_writer};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::extract_umoci::extracted;
use common::{fail_with, have, is_root, names_in, slimpack, succeed, temporary};
use image_writer::*;
use tar::EntryType;

/// Every name in a directory, with what changes when it is written to.
fn names(folder: &Path) -> String {
    succeed(Command::new("find").arg(folder).args([
        "-mindepth",
        "1",
        "-printf",
        "%p %s %T@ %i %n\n",
    ]))
}

#[test]
fn nothing_is_written_outside_the_directory() {
    let folder = temporary();
    let canary = folder.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "untouched").unwrap();
    let canary_path = canary.to_str().unwrap();
    let below = format!("{canary_path}/file");
    let device = |kind: EntryType, name: &str| Member::new(kind, name);
    let members = [
        member("../escaped"),
        member("/../../escaped"),
        member("a/../../escaped"),
        Member::symlink("evil", canary_path),
        Member::file("evil/file", "planted"),
        Member::file("evil/new", "planted"),
        Member::symlink("up", "../../../../../../.."),
        Member::file(format!("up{canary_path}/other"), "planted"),
        Member::hard_link("linked", &below),
        Member::hard_link("linked", "../canary/file"),
        Member::symlink("twice", canary_path),
        Member::file("twice", "a file now"),
        Member::symlink("leaf", &below),
        device(EntryType::Char, "dev/null"),
        device(EntryType::Block, "dev/sda"),
        device(EntryType::Fifo, "dev/fifo"),
    ];
    let image = folder.path().join("image.tar");
    for layers in [
        vec![Layer::of(&members)],
        vec![Layer::of(&members[3..4]), Layer::of(&members)],
    ] {
        fs::write(&image, archive(&oci(&layers))).unwrap();
        let before = names(&canary);
        let root = folder.path().join("out");
        let said = common::output(slimpack().arg("extract").arg(&image).arg("-vo").arg(&root));
        assert!(said.status.success());
        let text = String::from_utf8(said.stderr).unwrap();
        for expected in [
            "warning: ../escaped in layer ",
            "warning: linked in layer ",
            "warning: /dev/null is a device node, FIFO or socket; it is left out\n",
            "warning: /dev/sda is ",
            "warning: /dev/fifo is ",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert_eq!(names(&canary), before);
        assert_eq!(fs::read_link(root.join("leaf")).unwrap(), Path::new(&below));
        assert_eq!(
            fs::read_to_string(root.join("twice")).unwrap(),
            "a file now"
        );
        let inside = root.join(canary.strip_prefix("/").unwrap());
        assert_eq!(fs::read_to_string(inside.join("file")).unwrap(), "planted");
        assert_eq!(names_in(&root.join("dev")), [""; 0]);
        // What the image holds at the path of the link, not what this machine has there.
        let printed = succeed(slimpack().arg("cat").arg(&image).arg("leaf"));
        assert_eq!(printed, "planted");
        fs::remove_dir_all(&root).unwrap();
        let kept = [".out.slimpack", "canary", "image.tar"];
        assert_eq!(names_in(folder.path()), kept);
    }
}

#[test]
fn paths_bring_the_directories_above_them_and_what_links_lead_to() {
    let folder = temporary();
    let members = [
        Member {
            mode: 0o700,
            ..Member::folder("usr")
        },
        Member::file("usr/lib/libz.so.1.2", "z"),
        Member::symlink("usr/lib/libz.so.1", "libz.so.1.2"),
        Member::symlink("lib", "/usr/lib"),
        Member::file("usr/lib/other", "o"),
        Member::file("etc/app/one", "1"),
        Member::file("etc/app/two", "2"),
        Member::symlink("etc/gone", "/nowhere"),
    ];
    let layers = [Layer::of(&members), Layer::of(&[empty("etc/app/.wh.one")])];
    let image = folder.path().join("image.tar");
    fs::write(&image, archive(&oci(&layers))).unwrap();
    let paths = |words: &[&str]| {
        let found = extracted(&image, folder.path(), words).into_keys();
        let found = found.map(|path| path.trim_matches('"').to_owned());
        found.collect::<Vec<_>>().join(" ")
    };
    for (words, expected) in [
        (
            &["/lib/libz.so.1"][..],
            "lib usr usr/lib usr/lib/libz.so.1 usr/lib/libz.so.1.2",
        ),
        (
            &["usr/lib/other", "/etc/gone"],
            "etc etc/gone usr usr/lib usr/lib/other",
        ),
        (&["/etc/app"], "etc etc/app etc/app/two"),
        (
            &["../../lib/../../etc/app/two"],
            "etc etc/app etc/app/two lib usr usr/lib",
        ),
        (
            &["--layer=1", "/etc/app"],
            "etc etc/app etc/app/one etc/app/two",
        ),
        (&["--layer=2"], ""),
    ] {
        assert_eq!(paths(words), expected, "{words:?}");
    }
    let cat = |words: &[&str]| succeed(slimpack().arg("cat").arg(&image).args(words));
    assert_eq!(cat(&["/lib/libz.so.1"]), "z");
    assert_eq!(cat(&["--layer", "1", "etc/app/one"]), "1");
}

#[test]
fn all_forms_of_an_image_are_extracted_alike() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let members = [
        Member::file("bin/tool", "tool".repeat(5000)),
        Member::file("etc/conf", "conf"),
        member("link -> bin/tool"),
    ];
    let plain = extracted_bytes(&archive(&oci(&[Layer::of(&members)])), &at("plain"));
    for packing in Packing::ALL {
        let layers = [Layer::new(&gnu(&members), packing)];
        let forms = [archive(&oci(&layers)), archive(&docker(&layers))];
        for form in forms.iter().chain([&gzip(&forms[0])]) {
            assert_eq!(extracted_bytes(form, &at("form")), plain, "{packing:?}");
        }
        let layout = at(&format!("{packing:?}"));
        write_folder(&oci(&layers), &layout);
        assert_eq!(extracted(&layout, folder.path(), &[]), plain);
    }
    assert_eq!(extracted_bytes(&gnu(&members), &at("root.tar")), plain);
    let root = at("root");
    succeed(
        slimpack()
            .args(["extract", "-qo"])
            .arg(&root)
            .arg(at("root.tar")),
    );
    assert_eq!(extracted(&root, folder.path(), &[]), plain);
    // Through a pipe, too.
    let piped = Command::new("sh")
        .args(["-c", "cat \"$1\" | \"$0\" cat - /link"])
        .arg(slimpack().get_program())
        .arg(at("form"))
        .output()
        .unwrap();
    assert_eq!(piped.stdout, "tool".repeat(5000).as_bytes());
}

fn extracted_bytes(image: &[u8], path: &Path) -> BTreeMap<String, String> {
    fs::write(path, image).unwrap();
    extracted(path, path.parent().unwrap(), &[])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn a_failure_leaves_nothing_and_says_what_to_do() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let image = at("image.tar");
    let members = [
        Member::file("etc/passwd", "root:x:0:0::/:\n".repeat(10_000)),
        Member::new(EntryType::Char, "dev/null"),
    ];
    let files = oci(&[Layer::of(&members)]);
    fs::write(&image, archive(&files)).unwrap();
    // One byte of the layer is another.
    let mut damaged = archive(&files);
    let text = b"root:x:0:0::/:\nroot";
    let place = damaged.windows(text.len()).position(|part| part == text);
    damaged[place.unwrap()] = b'R';
    fs::write(at("damaged.tar"), damaged).unwrap();
    let wrong = oci_edited(&[Layer::of(&members[..1])], |document, value| {
        if document == "config" {
            value["rootfs"]["diff_ids"][0] = digest(b"").into();
        }
    });
    fs::write(at("wrong.tar"), archive(&wrong)).unwrap();
    fs::create_dir_all(at("used/dir")).unwrap();
    symlink("nowhere", at("used/link")).unwrap();
    let before = names(folder.path());
    let run = |words: &str| {
        let mut command = slimpack();
        command.current_dir(folder.path()).args(words.split(' '));
        fail_with(2, &mut command)
    };
    for (words, expected) in [
        (
            "cat image.tar /etc/paswd",
            "error: /etc/paswd is not in image.tar: no such file or directory (did you mean /etc/passwd?)\n",
        ),
        (
            "cat image.tar /etc",
            "error: cannot print /etc of image.tar: it is a directory; use slimpack extract\n",
        ),
        (
            "cat image.tar dev/null",
            "error: cannot print dev/null of image.tar: it is a device node, FIFO or socket\n",
        ),
        (
            "cat image.tar /etc/passwd/x",
            "a component of the path is not a directory",
        ),
        (
            "cat --layer 2 image.tar /etc",
            "error: cannot read image.tar: it has no layer 2, only 1; slimpack inspect --layers lists them\n",
        ),
        (
            "cat --layer 0 image.tar /etc",
            "invalid value '0' for '--layer <N>'",
        ),
        ("cat damaged.tar /etc/passwd", "the digest of "),
        ("cat wrong.tar /etc/passwd", "the diff ID of "),
        ("extract wrong.tar -o out", "the diff ID of "),
        ("extract damaged.tar -o out", "the digest of "),
        (
            "extract image.tar /x /etc -o out",
            "error: /x is not in image.tar: no such file or directory\n",
        ),
        (
            "extract image.tar --limit unpacked=1000 -o out",
            "its files have more than 1000 bytes; raise the limit with --limit unpacked=N",
        ),
        (
            "cat image.tar --limit unpacked=1000 /etc/passwd",
            "its files have more than 1000 bytes",
        ),
        (
            "extract image.tar --limit members=1 -o out",
            "--limit members=N",
        ),
        (
            "extract image.tar -o used",
            "error: cannot write used: it exists and is not empty; ",
        ),
        (
            "extract image.tar --force -o used",
            "error: cannot write used: it is not a root directory written by slimpack",
        ),
        (
            "extract image.tar -o none/out",
            "error: cannot write none/out: the directory none does not exist; create it first\n",
        ),
        (
            "extract image.tar -o image.tar",
            "error: cannot write image.tar: ",
        ),
        ("extract used --layer 1 -o out", "it has no layer 1, only 0"),
    ] {
        let said = run(words);
        assert!(said.contains(expected), "{words}: {said}");
        assert_eq!(names(folder.path()), before, "{words}");
    }
    let shell = |script: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(slimpack().get_program());
        common::output(sh.current_dir(folder.path()))
    };
    for (script, status, expected) in [
        (
            "\"$0\" cat image.tar /etc/passwd > /dev/full",
            2,
            "cannot write to standard output",
        ),
        (
            "\"$0\" extract image.tar -o - > /dev/full",
            2,
            "cannot write to standard output",
        ),
        // Who has read enough of a text has no error; half a tar is one.
        (
            "{ \"$0\" cat image.tar /etc/passwd; echo $? >&2; } | head -c 1",
            0,
            "0\n",
        ),
        (
            "{ \"$0\" extract image.tar -o -; echo $? >&2; } | head -c 1",
            0,
            "2\n",
        ),
    ] {
        let ended = shell(script);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(status), "{script}: {said}");
        assert!(said.contains(expected), "{script}: {said}");
    }
    // A directory of slimpack's own is replaced, as long as it is what slimpack wrote.
    let extract = |words: &[&str]| {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .args(["extract", "-q", "image.tar", "-o", "out"]);
        command.args(words);
        command
    };
    succeed(&mut extract(&["/etc"]));
    succeed(&mut extract(&["--force"]));
    assert_eq!(names_in(&at("out")), ["dev", "etc"]);
    fs::write(at("out/mine"), "").unwrap();
    fail_with(2, &mut extract(&["--force"]));
}

#[test]
fn memory_and_disk_are_bounded_whatever_a_file_claims() {
    let folder = temporary();
    let image = folder.path().join("image");
    let run = |words: &[&str]| {
        let words = [words, &["-o", "-"]].concat();
        image_writer::run(folder.path(), "", &words, MEMORY)
    };
    // 20 GB in 20 MB, compressed; and 1 TB in a file of four bytes.
    let bomb = Layer {
        blob: bomb(20),
        ..Layer::new(b"", Packing::Gzip)
    };
    fs::write(&image, archive(&oci(&[bomb]))).unwrap();
    let ended = run(&["extract", "image"]);
    assert!(ended.stderr.contains("--limit ratio=N"), "{}", ended.stderr);
    let claims = |size: &str| {
        let sparse = Member::file("holes", "data").record("GNU.sparse.map", "4096,4");
        Layer::of(&[sparse.record("GNU.sparse.size", size)])
    };
    fs::write(&image, archive(&oci(&[claims("1000000000000")]))).unwrap();
    let ended = run(&["extract", "image"]);
    assert!(
        ended.stderr.contains("--limit unpacked=N"),
        "{}",
        ended.stderr
    );
    // Of 4 GB little is written, and little is held.
    fs::write(&image, archive(&oci(&[claims("4000000000")]))).unwrap();
    let root = folder.path().join("out");
    succeed(slimpack().arg("extract").arg(&image).arg("-qo").arg(&root));
    let found = fs::metadata(root.join("holes")).unwrap();
    assert_eq!(found.len(), 4_000_000_000);
    assert!(found.blocks() < 1000, "{}", found.blocks());
}

#[test]
fn another_user_owns_what_is_extracted() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let members = [
        Member {
            mode: 0o4755,
            ..Member::file("usr/bin/sudo", "s")
        },
        Member {
            mode: 0o000,
            owner: (5, 5),
            ..Member::folder("closed")
        },
        Member::file("closed/file", "f"),
    ];
    fs::write(folder.path().join("image"), image_of(&members)).unwrap();
    succeed(
        Command::new("cp")
            .arg(slimpack().get_program())
            .arg(folder.path()),
    );
    succeed(
        Command::new("chmod")
            .args(["-R", "a+rwX"])
            .arg(folder.path()),
    );
    let mut user = Command::new("setpriv");
    user.args([
        "--reuid=12345",
        "--regid=12345",
        "--clear-groups",
        "./slimpack",
    ]);
    user.args(["extract", "image", "-o", "out"]);
    let said = common::output(user.current_dir(folder.path()));
    let note = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.success(), "{note}");
    assert!(
        note.starts_with("note: only root can set owners, setuid bits"),
        "{note}"
    );
    for (path, mode) in [
        ("usr/bin/sudo", 0o755),
        ("closed", 0o700),
        ("closed/file", 0o644),
    ] {
        let found = fs::metadata(folder.path().join("out").join(path)).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, found.uid()),
            (mode, 12345),
            "{path}"
        );
    }
}
