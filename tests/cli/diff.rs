//! `slimpack diff` and `slimpack size`, checked against diff(1), readelf and the output of a pack.

use crate::common;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use common::{compile, fail_with, have, hello, output, slimpack, succeed, temporary, text};
use serde_json::Value;

fn diff(a: &Path, b: &Path) -> (i32, Value) {
    let said = output(slimpack().args(["diff", "--json"]).arg(a).arg(b));
    let status = said.status.code().unwrap();
    assert!(status < 2, "{}", text(&said));
    (status, serde_json::from_slice(&said.stdout).unwrap())
}

/// The paths in one list of a comparison.
fn paths(answer: &Value, list: &str) -> BTreeSet<String> {
    let entries = answer["images"][0][list].as_array().unwrap().iter();
    entries
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

fn unpack(image: &Path, root: &Path) {
    common::unpack_layer(image, root);
}

#[test]
fn images_differ_in_what_diff_says_of_their_files() {
    let folder = temporary();
    let place = |name: &str| folder.path().join(name);
    for (program, image) in [("/bin/ls", "a.tar"), ("/usr/bin/curl", "b.tar")] {
        succeed(slimpack().arg(program).arg("-o").arg(place(image)));
    }
    let (status, answer) = diff(&place("a.tar"), &place("b.tar"));
    assert_eq!(status, 1);
    unpack(&place("a.tar"), &place("a"));
    unpack(&place("b.tar"), &place("b"));
    // The same comparison on unpacked files: find(1) lists them, comm(1) compares the lists.
    let list = |root: &str| -> BTreeSet<String> {
        let mut find = Command::new("find");
        let listing = succeed(find.current_dir(place(root)).args([".", "-mindepth", "1"]));
        listing.lines().map(|line| line[1..].to_owned()).collect()
    };
    let (left, right) = (list("a"), list("b"));
    assert_eq!(
        paths(&answer, "removed"),
        left.difference(&right).cloned().collect()
    );
    assert_eq!(
        paths(&answer, "added"),
        right.difference(&left).cloned().collect()
    );
    let mut both = Command::new("diff");
    both.args(["-rq", "--no-dereference"])
        .arg(place("a"))
        .arg(place("b"));
    let said = text(&output(&mut both));
    let differing = said
        .lines()
        .filter(|line| line.starts_with("Files "))
        .count();
    assert_eq!(paths(&answer, "changed").len(), differing, "{said}");
    // The format makes no difference.
    for (format, name) in [("oci-dir", "layout"), ("rootfs", "root")] {
        let mut pack = slimpack();
        pack.args(["/bin/ls", "--format", format, "-o"])
            .arg(place(name));
        succeed(&mut pack);
        let (status, answer) = diff(&place("a.tar"), &place(name));
        assert_eq!(status, 0, "{format}: {answer}");
    }
    let mut pack = slimpack();
    pack.args(["/bin/ls", "--compress", "zstd", "-o"])
        .arg(place("zstd.tar"));
    succeed(&mut pack);
    assert_eq!(diff(&place("a.tar"), &place("zstd.tar")).0, 0);
}

#[test]
fn every_kind_of_change_is_told() {
    if !common::is_root() {
        return;
    }
    let folder = temporary();
    let roots = ["a", "b"].map(|name| folder.path().join(name));
    for root in &roots {
        fs::create_dir_all(root.join("etc")).unwrap();
        for name in ["mode", "owner", "content", "same", "type"] {
            fs::write(root.join("etc").join(name), name).unwrap();
        }
        symlink("same", root.join("etc/link")).unwrap();
    }
    let b = roots[1].join("etc");
    fs::set_permissions(b.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    chown(b.join("owner"), Some(7), Some(8)).unwrap();
    fs::write(b.join("content"), "CONTENT").unwrap();
    fs::remove_file(b.join("type")).unwrap();
    fs::create_dir(b.join("type")).unwrap();
    fs::remove_file(b.join("link")).unwrap();
    symlink("mode", b.join("link")).unwrap();
    let (_, answer) = diff(&roots[0], &roots[1]);
    let changed = answer["images"][0]["changed"].as_array().unwrap();
    let told: BTreeSet<String> = changed
        .iter()
        .map(|entry| {
            format!(
                "{}: {}",
                entry["path"].as_str().unwrap(),
                entry["changes"][0]["what"]
            )
        })
        .collect();
    let expected = [
        "/etc/content: \"content\"",
        "/etc/link: \"target\"",
        "/etc/mode: \"mode\"",
        "/etc/owner: \"owner\"",
        "/etc/type: \"type\"",
    ];
    assert_eq!(told, expected.map(str::to_owned).into());
    let said = text(&output(slimpack().arg("diff").args(&roots)));
    assert!(
        said.contains("owner  0:0 → 7:8") && said.contains("target  same → mode"),
        "{said}"
    );
}

#[test]
fn of_elf_files_needed_libraries_versions_and_sections_are_compared() {
    let folder = temporary();
    let source = "#include <math.h>\nint main(int c, char **v) { return (int)pow(c, c); }";
    let one = compile(folder.path(), "one", "int main(void) { return 0; }", &[]);
    let other = compile(folder.path(), "other", source, &["-fno-builtin", "-lm"]);
    let (status, answer) = diff(&one, &other);
    assert_eq!(status, 1);
    let changes = answer["elf"].as_array().unwrap();
    let has = |fact: &str, after: &str| {
        changes
            .iter()
            .any(|change| change["fact"] == fact && change["after"] == after)
    };
    assert!(has("needed", "libm.so.6"), "{answer}");
    let versions = succeed(Command::new("readelf").args(["-V"]).arg(&other));
    let version = versions.lines().find(|line| line.contains("GLIBC_2.29"));
    assert!(
        version.is_none() || has("needs version", "GLIBC_2.29 of libm.so.6"),
        "{answer}"
    );
    assert_eq!(diff(&one, &one).0, 0);
    // An image cannot be compared with a program, or the other way round.
    let image = folder.path().join("image.tar");
    succeed(slimpack().arg(hello()).arg("-o").arg(&image));
    for pair in [[&one, &image], [&image, &one]] {
        let said = fail_with(2, slimpack().arg("diff").args(pair));
        assert!(
            said.contains("one is an ELF file, the other is not"),
            "{said}"
        );
    }
    let said = fail_with(2, slimpack().arg("diff").arg(&image).arg("/no/such"));
    assert!(said.contains("/no/such"), "{said}");
}

#[test]
fn configuration_is_compared_by_field() {
    let folder = temporary();
    let [a, b] = ["a.tar", "b.tar"].map(|name| folder.path().join(name));
    succeed(slimpack().arg(hello()).args(["-e", "A=1", "-o"]).arg(&a));
    succeed(
        slimpack()
            .arg(hello())
            .args(["-e", "A=2", "-u", "7", "-l", "x=y", "-o"])
            .arg(&b),
    );
    let (status, answer) = diff(&a, &b);
    assert_eq!(status, 1);
    let fields = answer["images"][0]["config"].as_array().unwrap();
    let fields: Vec<_> = fields
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["config.Env", "config.Labels.x", "config.User"]);
    assert!(paths(&answer, "changed").is_empty());
}

#[test]
fn sizes_are_those_of_the_tars_and_of_what_a_pack_compresses() {
    let folder = temporary();
    let place = |name: &str| folder.path().join(name);
    for method in ["none", "gzip", "zstd"] {
        let mut pack = slimpack();
        pack.args(["/bin/ls", "--compress", method, "-o"])
            .arg(place(method));
        succeed(&mut pack);
    }
    succeed(slimpack().arg(hello()).arg("-o").arg(place("hello")));
    let mut command = slimpack();
    command.args(["size", "--json"]);
    command.args(["none", "gzip", "zstd", "hello"].map(place));
    let answer: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    let images = answer["images"].as_array().unwrap();
    let layer = |method: &str| {
        let plan = ["/bin/ls", "--json", "--compress", method, "-o"];
        let plan = succeed(slimpack().args(plan).arg(place("again")));
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let digest = plan["written"]["layer"]
            .as_str()
            .unwrap()
            .replace("sha256:", "");
        let layout = place(&format!("{method}-layout"));
        fs::create_dir(&layout).unwrap();
        succeed(
            Command::new("tar")
                .arg("-xf")
                .arg(place("again"))
                .arg("-C")
                .arg(&layout),
        );
        fs::metadata(layout.join("blobs/sha256").join(digest))
            .unwrap()
            .len()
    };
    let expected = ["none", "gzip", "zstd"].map(layer);
    for image in &images[..3] {
        let found = ["plain", "gzip", "zstd"].map(|field| image[field].as_u64().unwrap());
        assert_eq!(found, expected, "{image}");
    }
    assert_eq!(images[3]["ratio"], 1.0);
    assert!(images[0]["ratio"].as_f64().unwrap() > 1.0);
    // The same through a pipe.
    if have(&["sh"]) {
        let piped = format!(
            "cat {} | {} size --json -",
            place("none").display(),
            slimpack().get_program().display()
        );
        let answer = succeed(Command::new("sh").args(["-c", &piped]));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["images"][0]["gzip"].as_u64(), Some(expected[1]));
    }
    let table = succeed(
        slimpack()
            .arg("size")
            .arg(place("none"))
            .arg(place("hello")),
    );
    assert_eq!(table.lines().count(), 3, "{table}");
}

/// A directory has neither configuration nor layers.
#[test]
fn an_image_and_a_directory_are_compared_by_their_files() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    succeed(slimpack().arg(hello()).arg("-qo").arg(at("app.tar")));
    let root = format!("{}/", at("root").display());
    succeed(slimpack().arg(hello()).args(["-qo", &root]));
    let diff = || output(slimpack().arg("diff").arg(at("app.tar")).arg(at("root")));
    let same = diff();
    let said = text(&same);
    assert!(same.status.success(), "{said}");
    assert!(
        said.contains("only the files are compared") && said.ends_with("equal\n"),
        "{said}"
    );
    assert!(!said.contains("layers  1"), "{said}");
    fs::write(at("root/more"), "more\n").unwrap();
    let other = diff();
    assert_eq!(other.status.code(), Some(1));
    assert!(!text(&other).contains("equal"), "{}", text(&other));
}
