//! Package records in images, as read by dpkg, syft and md5sum.

use crate::common;
use crate::dpkg::dpkg_owners;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::{compile, have, hello, slimpack, succeed, temporary, unpack_layer};

const STATUS_D: &str = "var/lib/dpkg/status.d";

/// Packs with these arguments, and unpacks the image.
fn packed(words: &[&str]) -> (tempfile::TempDir, Vec<String>) {
    let folder = temporary();
    let archive = folder.path().join("image.tar");
    succeed(slimpack().args(words).arg("-qo").arg(&archive));
    unpack_layer(&archive, &folder.path().join("root"));
    let names = common::layer(&archive).into_keys().collect();
    (folder, names)
}

/// The packages that own the files of an unpacked image, by dpkg on this machine.
fn owners(root: &Path, names: &[String]) -> BTreeSet<String> {
    let own = names.iter().filter(|name| {
        let is_file = fs::symlink_metadata(root.join(name)).is_ok_and(|found| found.is_file());
        is_file && !name.starts_with("var/lib/dpkg")
    });
    let here = own.map(|name| Path::new("/").join(name));
    let here: Vec<_> = here.filter(|path| path.is_file()).collect();
    let owners = dpkg_owners(&here).into_values();
    owners
        .map(|packages| packages.into_iter().next().unwrap())
        .collect()
}

/// The packages that syft finds in the image packed into `folder`.
fn scanned(folder: &Path) -> serde_json::Value {
    let image = format!("oci-archive:{}", folder.join("image.tar").display());
    let mut syft = Command::new("syft");
    syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    serde_json::from_str(&succeed(syft.args(["scan", "-q", "-o", "json", &image]))).unwrap()
}

#[test]
fn each_owner_of_a_file_has_a_record_and_no_other_package() {
    if !have(&["dpkg", "syft", "md5sum", "curl", "git", "jq"]) {
        return;
    }
    for words in [
        &["/usr/bin/curl"][..],
        &["/usr/bin/git", "--strip"],
        &["/usr/bin/jq", "--add", "/etc/debconf.conf"],
        &["/usr/bin/ls", "--with=tzdata"],
        &[hello().to_str().unwrap()],
    ] {
        let (folder, names) = packed(words);
        let root = folder.path().join("root");
        let expected = owners(&root, &names);
        let records = common::names_in(&root.join(STATUS_D));
        let records: BTreeSet<_> = records
            .into_iter()
            .filter(|name| !name.ends_with(".md5sums"))
            .collect();
        assert_eq!(records, expected, "{words:?}");
        let found = scanned(folder.path());
        let packages = found["artifacts"].as_array().unwrap();
        let packages = packages.iter().filter(|found| found["type"] == "deb");
        let mut scanned = BTreeSet::new();
        for package in packages {
            let name = package["name"].as_str().unwrap();
            let installed =
                succeed(Command::new("dpkg-query").args(["-W", "-f=${Version}\n", name]));
            assert_eq!(package["version"], installed.lines().next().unwrap());
            let purl = package["purl"].as_str().unwrap();
            assert!(
                purl.starts_with(&format!("pkg:deb/debian/{name}@")),
                "{purl}"
            );
            assert!(purl.contains("distro=debian-"), "{purl}");
            scanned.insert(name.to_owned());
        }
        assert_eq!(scanned, expected, "{words:?}");
        // The digests match the files in the image, stripped or not.
        let sums = format!("cat {STATUS_D}/*.md5sums | md5sum -c --quiet -");
        succeed(Command::new("sh").args(["-c", &sums]).current_dir(&root));
    }
}

#[test]
fn nothing_is_recorded_of_what_no_package_owns_or_when_it_is_unwanted() {
    let folder = temporary();
    let program = compile(folder.path(), "hello", common::HELLO, &["-static"]);
    let (_image, names) = packed(&[program.to_str().unwrap()]);
    assert_eq!(
        names.iter().filter(|name| name.ends_with("hello")).count(),
        1
    );
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("var") || name.starts_with("etc"))
    );
    for words in ["--without=package-records", "--with=none", "--exclude=/var"] {
        let (_image, names) = packed(&["/usr/bin/ls", words]);
        let is_record = |name: &String| name.contains("dpkg");
        assert!(!names.iter().any(is_record), "{words}: {names:?}");
    }
}

/// An apk root with two packages, one of which owns the program and one of which owns nothing.
fn apk_root(root: &Path) {
    for directory in ["usr/bin", "lib/apk/db", "etc", "usr/lib"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    compile(&root.join("usr/bin"), "tool", common::HELLO, &["-static"]);
    fs::write(
        root.join("usr/lib/os-release"),
        "ID=alpine\nVERSION_ID=3.20.0\n",
    )
    .unwrap();
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    let package = |name: &str, files: &str| {
        format!(
            "C:Q1aaaaaaaaaaaaaaaaaaaaaaaaaaa=\nP:{name}\nV:1.2-r0\nA:x86_64\nS:1\nI:2\nT:text\nU:https://example.org\nL:MIT\no:{name}\n{files}\n"
        )
    };
    let database = [
        package(
            "baselayout",
            "F:etc\nM:0:0:755\nR:motd\nZ:Q1bbbb=\nF:usr/lib\nR:os-release\n",
        ),
        package(
            "tool",
            "F:usr\nF:usr/bin\nR:other\na:0:0:755\nZ:Q1cccc=\nR:tool\na:0:0:755\nZ:Q1dddd=\nF:usr/share\nR:doc\n",
        ),
        package("unused", "F:usr/bin\nR:unused\nZ:Q1eeee=\n"),
    ];
    fs::write(root.join("lib/apk/db/installed"), database.concat()).unwrap();
}

#[test]
fn the_database_of_apk_is_cut_to_what_is_in_the_image() {
    if !have(&["syft"]) {
        return;
    }
    let folder = temporary();
    let source = folder.path().join("source");
    apk_root(&source);
    let root = format!("--root={}", source.display());
    let program = source.join("usr/bin/tool");
    let (image, names) = packed(&[program.to_str().unwrap(), &root]);
    assert!(names.contains(&"etc/os-release".to_owned()), "{names:?}");
    let database = image.path().join("root/lib/apk/db/installed");
    let database = fs::read_to_string(database).unwrap();
    assert!(
        database.contains("F:usr/bin\nR:tool\na:0:0:755\nZ:Q1dddd=\n\n"),
        "{database}"
    );
    for gone in ["unused", "R:other", "R:doc", "motd", "F:usr/share", "M:"] {
        assert!(!database.contains(gone), "{gone}: {database}");
    }
    let found = scanned(image.path());
    let mut purls = common::strings(&found["artifacts"], "purl");
    purls.sort();
    let expected = ["baselayout", "tool"];
    assert_eq!(purls.len(), 2, "{purls:?}");
    for (purl, name) in purls.iter().zip(expected) {
        assert!(
            purl.starts_with(&format!("pkg:apk/alpine/{name}@1.2-r0?")),
            "{purl}"
        );
    }
}

/// Records in a source image are untrusted: none of these makes a pack fail, and none makes it
/// write elsewhere.
#[test]
fn damaged_databases_are_passed_over() {
    let folder = temporary();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("usr/bin")).unwrap();
    fs::create_dir_all(source.join("var/lib/dpkg/info")).unwrap();
    let program = compile(&source.join("usr/bin"), "tool", common::HELLO, &["-static"]);
    let root = format!("--root={}", source.display());
    let info = source.join("var/lib/dpkg/info");
    let installed = "Status: install ok installed\nVersion: 1\nArchitecture: amd64\n";
    for (name, status, list) in [
        (
            "tool",
            "\0\0\n\n\n\nPackage:\nPackage: \n\n".to_owned(),
            "/usr/bin/tool\n",
        ),
        (
            "tool",
            format!("Package: ../../etc\n{installed}"),
            "/usr/bin/tool\n",
        ),
        (
            "tool",
            format!("Package: tool\nArchitecture: ../..\nMulti-Arch: same\n{installed}"),
            "",
        ),
        (
            "tool",
            "Package: tool\nStatus: deinstall ok config-files\nVersion: 1\n".to_owned(),
            "/usr/bin/tool\n",
        ),
        ("tool", "Package: tool\n".repeat(100_000), "/usr/bin/to"),
    ] {
        fs::write(source.join("var/lib/dpkg/status"), &status).unwrap();
        fs::write(info.join(format!("{name}.list")), list).unwrap();
        let (_image, names) = packed(&[program.to_str().unwrap(), &root]);
        let files = names.iter().filter(|name| !name.ends_with('/'));
        let records: Vec<_> = files.filter(|name| name.contains("status.d/")).collect();
        assert!(records.is_empty(), "{records:?}");
    }
    // A list longer than the limit is not read, and a file that was changed has the digest from its
    // package.
    let status = format!("Package: tool\n{installed}");
    fs::write(source.join("var/lib/dpkg/status"), status).unwrap();
    fs::write(info.join("tool.list"), "/usr/bin/tool\n").unwrap();
    fs::File::create(info.join("tool.md5sums"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (image, _) = packed(&[program.to_str().unwrap(), &root]);
    let sums = image
        .path()
        .join("root")
        .join(STATUS_D)
        .join("tool.md5sums");
    let sums = fs::read_to_string(sums).unwrap();
    let expected = succeed(
        Command::new("md5sum")
            .arg("usr/bin/tool")
            .current_dir(&source),
    );
    assert_eq!(sums, expected);
}

#[test]
fn a_file_that_is_packed_twice_is_recorded_twice() {
    if !have(&["md5sum"]) {
        return;
    }
    let twice = ["--add=/usr/bin/cat:/opt/one", "--add=/usr/bin/cat:/opt/two"];
    let release = [
        "--add=/usr/lib/os-release",
        "--add=/usr/lib/os-release:/opt/release",
    ];
    let (image, _) = packed(&[&["/usr/bin/ls"][..], &twice, &release].concat());
    let root = image.path().join("root");
    for (package, expected) in [
        ("coreutils", &["opt/one", "opt/two", "usr/bin/ls"][..]),
        ("base-files", &["opt/release", "usr/lib/os-release"]),
    ] {
        let sums = root.join(STATUS_D).join(format!("{package}.md5sums"));
        let sums = fs::read_to_string(sums).unwrap();
        let paths: Vec<_> = sums.lines().map(|line| &line[34..]).collect();
        assert_eq!(paths, expected);
    }
    // The right list is found by file names: no more lists are read than for one package.
    let lists = |words: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=openat", "-o"]);
        let log = image.path().join("log");
        strace.arg(&log).arg(slimpack().get_program()).args(words);
        succeed(strace.arg("-q"));
        let log = fs::read_to_string(log).unwrap();
        log.lines().filter(|line| line.contains(".list\"")).count()
    };
    if have(&["strace"]) {
        let all = [&["/usr/bin/ls"][..], &twice, &release].concat();
        assert_eq!(lists(&all), lists(&["/usr/bin/ls"]));
    }
}

/// A record is named after its package, whose name is untrusted in an image.
#[test]
fn the_names_of_records_lead_nowhere_else() {
    let folder = temporary();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("usr/bin")).unwrap();
    let info = source.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let program = compile(&source.join("usr/bin"), "tool", common::HELLO, &["-static"]);
    let stanza = |architecture: &str| {
        format!(
            "Package: tool\nStatus: install ok installed\nArchitecture: {architecture}\n\
             Multi-Arch: same\nVersion: 1\n\n"
        )
    };
    fs::create_dir_all(info.join("tool:x")).unwrap();
    fs::write(source.join("usr/bin/other"), "text").unwrap();
    fs::write(info.join("tool:amd64.list"), "/usr/bin/tool\n").unwrap();
    fs::write(source.join("var/lib/dpkg/planted.list"), "/usr/bin/other\n").unwrap();
    let status = [stanza("amd64"), stanza("x/../../planted")];
    fs::write(source.join("var/lib/dpkg/status"), status.concat()).unwrap();
    let root = format!("--root={}", source.display());
    let other = format!("--add={}", source.join("usr/bin/other").display());
    let (_image, names) = packed(&[program.to_str().unwrap(), &root, &other]);
    let records = names.iter().filter(|name| name.contains("planted"));
    assert_eq!(records.count(), 0, "{names:?}");
}

/// None of these ends a pack, or takes memory or time without bound.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn a_database_that_means_harm_costs_little_and_stops_no_pack() {
    if !have(&["mkfifo", "timeout"]) {
        return;
    }
    let folder = temporary();
    let source = folder.path().join("source");
    let info = source.join("var/lib/dpkg/info");
    for directory in ["usr/bin", "usr/share/doc/tool", "var/lib/dpkg/info", "etc"] {
        fs::create_dir_all(source.join(directory)).unwrap();
    }
    let program = compile(&source.join("usr/bin"), "tool", common::HELLO, &["-static"]);
    let size = |path: &Path, size: u64| {
        let file = fs::File::create(path).unwrap();
        file.set_len(size).unwrap();
    };
    size(&source.join("usr/share/doc/tool/copyright"), 100 << 20);
    let stanza = |name: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
        )
    };
    let status = source.join("var/lib/dpkg/status");
    let list = info.join("tool.list");
    let root = format!("--root={}", source.display());
    let archive = folder.path().join("image.tar");
    let records = |about: &str| {
        let pack = "ulimit -v 1500000; exec timeout 60 \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", pack]).arg(slimpack().get_program());
        shell.args(["-q", &root, "-o"]).arg(&archive).arg(&program);
        let output = common::output(&mut shell);
        assert!(output.status.success(), "{about}: {output:?}");
        let names = common::layer(&archive).into_keys();
        let names = names.filter_map(|name| {
            name.strip_prefix("var/lib/dpkg/status.d/")
                .map(str::to_owned)
        });
        let names: Vec<_> = names
            .filter(|name| !name.is_empty() && !name.ends_with(".md5sums"))
            .collect();
        (names.join(" "), fs::read(&archive).unwrap())
    };
    // Lists: nothing but a line, longer than any, a FIFO, a directory, a link to itself, every byte.
    fs::write(&status, stanza("tool")).unwrap();
    let remove = |path: &Path| {
        let _ = fs::remove_dir(path).or_else(|_| fs::remove_file(path));
    };
    let lists: [(&str, &dyn Fn(), &str); 7] = [
        (
            "one line",
            &|| fs::write(&list, "x".repeat(8 << 20)).unwrap(),
            "",
        ),
        ("a terabyte", &|| size(&list, 1 << 40), ""),
        (
            "a FIFO",
            &|| drop(succeed(Command::new("mkfifo").arg(&list))),
            "",
        ),
        ("a directory", &|| fs::create_dir(&list).unwrap(), ""),
        ("a loop", &|| symlink("tool.list", &list).unwrap(), ""),
        (
            "bytes",
            &|| fs::write(&list, (0..=255).collect::<Vec<u8>>()).unwrap(),
            "",
        ),
        (
            "no end of line",
            &|| fs::write(&list, "/usr\n/usr/bin/tool").unwrap(),
            "tool",
        ),
    ];
    for (about, make, expected) in lists {
        remove(&list);
        make();
        assert_eq!(records(about).0, expected, "{about}");
    }
    // Statuses: cut off, without a name, a field without an end, as large as is read, larger.
    fs::write(&list, "/usr/bin/tool\n").unwrap();
    let whole = stanza("tool");
    for (about, text, expected) in [
        ("cut off", whole[..whole.len() - 4].to_owned(), "tool"),
        ("no name", whole.replace("Package", "Pack"), ""),
        ("carriage returns", whole.replace('\n', "\r\n"), "tool"),
        (
            "a long field",
            format!("{}Description: {}", whole.trim_end(), "x".repeat(16 << 20)),
            "tool",
        ),
        ("a long name", stanza(&"n".repeat(1 << 20)), ""),
        (
            "many fields",
            whole.replace("\n\n", &"\nX: y".repeat(1 << 20)),
            "tool",
        ),
        (
            "many packages",
            format!("{}{whole}", stanza("x").repeat(40_000)),
            "tool",
        ),
        (
            "too many packages",
            format!("{}{whole}", stanza("x").repeat(60_000)),
            "",
        ),
        (
            "empty lines",
            format!("{}{whole}", "\n".repeat(32 << 20)),
            "tool",
        ),
    ] {
        fs::write(&status, text).unwrap();
        let (found, image) = records(about);
        assert_eq!(found, expected, "{about}");
        assert!(image.len() < 2 << 20, "{about}: {}", image.len());
    }
    // Of two packages with one path, one has it, in whatever order they are.
    fs::write(info.join("other.list"), "/usr/bin/tool\n").unwrap();
    fs::write(info.join("another.list"), "/usr/bin/tool\n/usr/bin/tool\n").unwrap();
    let names = ["another", "other", "tool"];
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    let images = orders.map(|order| {
        let text = order.map(|number| stanza(names[number])).concat();
        fs::write(&status, text).unwrap();
        records("two owners")
    });
    assert!(images.iter().all(|(names, _)| names == "tool"));
    assert!(images.iter().all(|image| image == &images[0]));
    fs::remove_file(&list).unwrap();
    assert_eq!(records("the first by name").0, "another");
}
