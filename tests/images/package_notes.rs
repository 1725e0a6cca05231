//! The packages that files say they are of (`.note.package`), and those of rpm: which records they give, and
//! what syft says of them.

use crate::common;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, fail_with, have, slimpack, succeed, temporary, unpack_layer};

const STATUS_D: &str = "var/lib/dpkg/status.d";
const MANIFEST: &str = "var/lib/rpmmanifest/container-manifest-2";

/// A static program with a note of these bytes, as a linker writes it with `--package-metadata`.
fn noted(folder: &Path, name: &str, notes: &[&[u8]]) -> PathBuf {
    let mut source = String::new();
    for note in notes {
        let bytes: Vec<String> = note.iter().map(u8::to_string).collect();
        source += &format!(
            "__asm__(\".pushsection .note.package,\\\"a\\\",@note\\n.balign 4\\n.long 4, {}, 0xcafe1a7e\\n\
             .asciz \\\"FDO\\\"\\n.byte {}\\n.balign 4\\n.popsection\");\n",
            note.len() + 1,
            [bytes, vec!["0".to_owned()]].concat().join(","),
        );
    }
    source += common::HELLO;
    compile(folder, name, &source, &["-static"])
}

/// A root with a distribution's name.
fn root(folder: &Path, id: &str) -> PathBuf {
    let root = folder.join(id);
    for directory in [
        "usr/bin",
        "usr/lib",
        "etc",
        "var/lib/dpkg/info",
        "lib/apk/db",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let release = format!("ID={id}\nVERSION_ID=\"3.0\"\n");
    fs::write(root.join("usr/lib/os-release"), release).unwrap();
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    root
}

/// An image, unpacked, and what was said when it was packed.
struct Packed {
    folder: tempfile::TempDir,
    said: String,
}

impl Packed {
    fn of(words: &[&str]) -> Self {
        let folder = temporary();
        let archive = folder.path().join("image.tar");
        let output = common::output(slimpack().args(words).arg("-o").arg(&archive));
        assert!(output.status.success(), "{output:?}");
        unpack_layer(&archive, &folder.path().join("root"));
        let said = common::unwrapped(&String::from_utf8(output.stderr).unwrap());
        Self { folder, said }
    }

    /// A file of the image; empty if it is not there.
    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join("root").join(path)).unwrap_or_default()
    }

    /// The records of dpkg.
    fn records(&self) -> Vec<String> {
        let directory = self.folder.path().join("root").join(STATUS_D);
        match directory.is_dir() {
            true => common::names_in(&directory),
            false => Vec::new(),
        }
    }

    /// The packages that syft lists, by their purls.
    fn purls(&self) -> Vec<String> {
        let image = format!(
            "oci-archive:{}",
            self.folder.path().join("image.tar").display()
        );
        let mut syft = Command::new("syft");
        syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
        let found = succeed(syft.args(["scan", "-q", "-o", "json", &image]));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        let mut purls = common::strings(&found["artifacts"], "purl");
        purls.sort();
        purls
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_linkers_note_gives_a_program_of_no_package_a_record() {
    if !have(&["syft", "dpkg"]) {
        return;
    }
    let folder = temporary();
    let note =
        r#"{"type":"deb","os":"debian","name":"noted","version":"1:1.2-3","architecture":"amd64"}"#;
    let link = format!("--package-metadata={note}");
    let flags = ["-static", "-Xlinker", &link];
    let app = compile(folder.path(), "app", common::HELLO, &flags);
    let packed = Packed::of(&[text(&app), "-q"]);
    // os-release has an owner, too.
    let names = packed.records();
    let names: Vec<_> = names
        .iter()
        .filter(|name| !name.starts_with("base-files"))
        .collect();
    assert_eq!(names, ["noted", "noted.md5sums"]);
    let record = packed.text("var/lib/dpkg/status.d/noted");
    assert!(
        record.starts_with("Package: noted\nArchitecture: amd64\nVersion: 1:1.2-3\n"),
        "{record}"
    );
    let sums = packed.text("var/lib/dpkg/status.d/noted.md5sums");
    assert!(sums.ends_with("  usr/local/bin/app\n"), "{sums}");
    // With the distribution's own name, so that its advisories apply.
    let purls = packed.purls();
    let is_it =
        |purl: &&String| purl.starts_with("pkg:deb/debian/noted@1:1.2-3?arch=amd64&distro=debian-");
    assert_eq!(purls.iter().filter(is_it).count(), 1, "{purls:?}");
    let without = Packed::of(&[text(&app), "-q", "--without=package-records"]);
    assert_eq!(without.records(), [""; 0]);
}

#[test]
fn a_note_wins_over_the_database_of_dpkg() {
    let folder = temporary();
    let root = root(folder.path(), "debian");
    let stanza = |name: &str, more: &str| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{more}\n")
    };
    let status = [
        stanza("tool", "Version: 2.0-1+b3\nSource: suite\n"),
        stanza("tools-extra", "Version: 7\nSource: suite (2.0-1)\n"),
        stanza("other", "Version: 5\n"),
        stanza("gone", "Version: 6\n").replace("install ok installed", "deinstall ok config-files"),
    ];
    fs::write(root.join("var/lib/dpkg/status"), status.concat()).unwrap();
    fs::write(root.join("var/lib/dpkg/info/tool.list"), "/usr/bin/tool\n").unwrap();
    fs::write(
        root.join("var/lib/dpkg/info/tools-extra.list"),
        "/usr/bin/tool\n",
    )
    .unwrap();
    let own = format!("--root={}", root.display());
    let note = |name: &str, version: &str| {
        format!(r#"{{"type":"deb","name":"{name}","version":"{version}","os":"debian"}}"#)
    };
    for (note, expected) in [
        // The package itself, or its source, in its version or in that of the source.
        (note("tool", "2.0-1+b3"), "tool"),
        (note("suite", "2.0-1"), "tool"),
        (note("suite", "2.0-1+b3"), "tool"),
        // Another that is installed; one that is not; another version.
        (note("other", "5"), "other"),
        (note("gone", "6"), "gone"),
        (note("stranger", "1.0-1"), "stranger"),
        (note("tool", "3.0-1"), "tool"),
    ] {
        let program = noted(&root.join("usr/bin"), "tool", &[note.as_bytes()]);
        let packed = Packed::of(&[text(&program), &own, "-q"]);
        assert_eq!(
            packed.records(),
            [expected.to_owned(), format!("{expected}.md5sums")],
            "{note}"
        );
        let record = packed.text(&format!("{STATUS_D}/{expected}"));
        let version: serde_json::Value = serde_json::from_str(&note).unwrap();
        let version = match expected {
            "tool" if !note.contains("3.0-1") => "2.0-1+b3",
            _ => version["version"].as_str().unwrap(),
        };
        assert!(
            record.contains(&format!("\nVersion: {version}\n")),
            "{note}: {record}"
        );
        let is_of_database = record.contains("Status: install ok installed");
        assert_eq!(
            is_of_database,
            !record.contains("(.note.package)"),
            "{record}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn notes_that_no_record_can_have_are_reported_and_ignored() {
    let folder = temporary();
    let root = root(folder.path(), "debian");
    fs::write(
        root.join("var/lib/dpkg/status"),
        "Package: none\nVersion: 1\n",
    )
    .unwrap();
    let own = format!("--root={}", root.display());
    let long = format!(
        r#"{{"type":"deb","name":"{}","version":"1"}}"#,
        "x".repeat(20_000)
    );
    let deep = "[".repeat(10_000);
    let good = br#"{"type":"deb","name":"a","version":"1"}"#;
    const MALFORMED: &str = ": its package note (.note.package) is malformed; it is ignored";
    const NO_PACKAGE: &str = ": its package note names no package; it is ignored";
    let one = |text: &str| vec![text.as_bytes().to_vec()];
    for (notes, expected) in [
        (one("{"), MALFORMED),
        (one("\u{1b}[31m"), MALFORMED),
        (one(&long), MALFORMED),
        (one(&deep), MALFORMED),
        (one(r#"{"type":"deb","name":"a"}"#), MALFORMED),
        (
            vec![
                good.to_vec(),
                br#"{"type":"deb","name":"b","version":"1"}"#.to_vec(),
            ],
            MALFORMED,
        ),
        (
            one(r#"{"type":"deb","name":"../../../etc/cron.d/x","version":"1"}"#),
            NO_PACKAGE,
        ),
        (
            one(r#"{"type":"deb","name":"a\nPackage: b","version":"1"}"#),
            NO_PACKAGE,
        ),
        (
            one(r#"{"type":"deb","name":"a","version":"1\u001b[2J"}"#),
            NO_PACKAGE,
        ),
        (
            one(r#"{"type":"deb","name":"a","version":"1","architecture":"x\ny"}"#),
            NO_PACKAGE,
        ),
        (
            one(r#"{"type":"rpm","name":"curl","version":"8-1.fc40"}"#),
            ": built for the rpm package curl 8-1.fc40, which records of deb packages cannot have",
        ),
        (
            one(r#"{"type":"deb","name":"curl","version":"8","os":"ubuntu"}"#),
            ": built for the deb package curl 8 of another distribution",
        ),
    ] {
        let notes: Vec<&[u8]> = notes.iter().map(Vec::as_slice).collect();
        let program = noted(&root.join("usr/bin"), "tool", &notes);
        let packed = Packed::of(&[text(&program), &own]);
        let expected = format!("warning: /usr/bin/tool{expected}");
        assert!(
            packed.said.contains(&expected),
            "{expected}: {}",
            packed.said
        );
        assert_eq!(packed.records(), [""; 0], "{expected}");
        assert!(!packed.said.contains('\u{1b}'));
    }
}

#[test]
fn notes_for_apk_move_files_between_the_packages_of_its_database() {
    if !have(&["syft"]) {
        return;
    }
    let folder = temporary();
    let root = root(folder.path(), "wolfi");
    let database = "P:tool\nV:1-r0\nA:x86_64\no:suite\nF:usr/bin\nR:tool\nZ:Q1aa=\nR:kept\n\n\
                    P:other\nV:2-r0\nA:x86_64\nF:usr/share\nR:unused\n\n";
    fs::write(root.join("lib/apk/db/installed"), database).unwrap();
    let own = format!("--root={}", root.display());
    for (name, version, expected, purl) in [
        (
            "suite",
            "1-r0",
            "R:tool\nZ:Q1aa=\n",
            "pkg:apk/wolfi/tool@1-r0",
        ),
        (
            "other",
            "2-r0",
            "P:other\nV:2-r0\nA:x86_64\nF:usr/bin\nR:tool\n\n",
            "pkg:apk/wolfi/other@2-r0",
        ),
        (
            "new",
            "3-r1",
            "P:new\nV:3-r1\nF:usr/bin\nR:tool\n\n",
            "pkg:apk/wolfi/new@3-r1",
        ),
    ] {
        let note =
            format!(r#"{{"type":"apk","os":"wolfi","name":"{name}","version":"{version}"}}"#);
        let program = noted(&root.join("usr/bin"), "tool", &[note.as_bytes()]);
        let packed = Packed::of(&[text(&program), &own, "-q"]);
        let found = packed.text("lib/apk/db/installed");
        assert!(found.contains(expected), "{note}: {found}");
        assert_eq!(found.matches("P:").count(), 1, "{found}");
        let purls = packed.purls();
        assert!(purls.len() == 1 && purls[0].starts_with(purl), "{purls:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn packages_of_rpm_are_recorded_from_a_list_and_from_notes() {
    if !have(&["syft"]) {
        return;
    }
    let folder = temporary();
    let root = root(folder.path(), "azurelinux");
    let own = format!("--root={}", root.display());
    let line = |name: &str, source: &str| {
        format!(
            "{name}\t1.3-1.azl3\t1700000000\t1690000000\tMicrosoft\t(none)\t99\tx86_64\t0\t{source}-1.3-1.azl3.src.rpm\n"
        )
    };
    let list = [
        line("unused", "unused"),
        "/usr/bin/unused\n".to_owned(),
        line("tool-libs", "tool"),
        "/usr/lib/unused\n".to_owned(),
        line("tool", "tool"),
        "/usr/bin\n/usr/bin/tool\n".to_owned(),
        line("release", "release"),
        "/usr/lib/os-release\n".to_owned(),
        line("empty", "empty"),
        "(none)\n".to_owned(),
    ];
    let file = folder.path().join("packages");
    fs::write(&file, list.concat()).unwrap();
    let given = format!("--rpm-manifest={}", file.display());
    let pack = |notes: &[&str], more: &[&str]| {
        let notes: Vec<&[u8]> = notes.iter().map(|note| note.as_bytes()).collect();
        let program = noted(&root.join("usr/bin"), "tool", &notes);
        Packed::of(&[&[text(&program), &own, "-q"], more].concat())
    };
    let packed = pack(&[], &[&given]);
    let expected = [line("release", "release"), line("tool", "tool")].concat();
    assert_eq!(packed.text(MANIFEST), expected);
    let purls = packed.purls();
    assert_eq!(purls.len(), 2, "{purls:?}");
    for (purl, name) in purls.iter().zip(["release", "tool"]) {
        // syft 1.18 leaves out the distribution of what it finds in a manifest.
        let expected = format!("pkg:rpm/{name}@1.3-1.azl3?arch=x86_64&");
        assert!(purl.starts_with(&expected), "{purl}");
        assert!(
            purl.contains(&format!("upstream={name}-1.3-1.azl3.src.rpm")),
            "{purl}"
        );
    }
    // A note that agrees changes nothing; one of another package wins, with or without the list.
    let note = |name: &str| {
        format!(
            r#"{{"type":"rpm","name":"{name}","version":"1.3-1.azl3","architecture":"x86_64"}}"#
        )
    };
    assert_eq!(pack(&[&note("tool")], &[&given]).text(MANIFEST), expected);
    let moved = pack(&[&note("unused")], &[&given]);
    let expected = [line("release", "release"), line("unused", "unused")].concat();
    assert_eq!(moved.text(MANIFEST), expected);
    let alone = pack(&[&note("curl")], &[]);
    assert_eq!(
        alone.text(MANIFEST),
        "curl\t1.3-1.azl3\t0\t0\t(none)\t(none)\t0\tx86_64\t0\tcurl-1.3-1.azl3.src.rpm\n"
    );
    // syft reads the note itself as well.
    let purls = alone.purls();
    let expected = "pkg:rpm/curl@1.3-1.azl3?arch=x86_64&upstream=curl-1.3-1.azl3.src.rpm";
    assert!(purls.contains(&expected.to_owned()), "{purls:?}");
    assert_eq!(pack(&[], &[]).text(MANIFEST), "");
    // What is no such list is refused, with the command that writes one.
    for (list, expected) in [
        (
            line("tool", "tool"),
            "it lists no files, by which slimpack finds the packages of an image",
        ),
        (
            "tool-1.3-1.azl3.x86_64\n".to_owned(),
            "its line 1 is neither a package nor a path",
        ),
    ] {
        fs::write(&file, list).unwrap();
        let said = fail_with(
            2,
            slimpack()
                .arg(root.join("usr/bin/tool"))
                .args([&own, &given]),
        );
        let begin = format!(
            "error: cannot use {} as a list of rpm's packages: {expected}",
            file.display()
        );
        assert!(said.starts_with(&begin), "{said}");
        assert!(
            said.contains("write it with rpm -qa --qf '%{NAME}"),
            "{said}"
        );
    }
}
