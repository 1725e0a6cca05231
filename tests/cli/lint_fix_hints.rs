//! `slimpack lint --fix-hints`: who follows what it prints has an image that starts.

use crate::{common, packing, roots};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, have, output, run_image, slimpack, succeed};
use packing::runs_containers;
use roots::{Root, lint};
use serde_json::{Value, json};

const FOLDER: &str = "usr/lib/x86_64-linux-gnu";

/// A program that needs libextra.so, which needs libmore.so, and a root that has both.
fn program_and_donor() -> (Root, PathBuf) {
    let donor = Root::glibc();
    let (more, extra) = (
        format!("{FOLDER}/libmore.so"),
        format!("{FOLDER}/libextra.so"),
    );
    donor.library(&more, &[], &["-Wl,-soname,libmore.so"]);
    let folder = format!("-L{FOLDER}");
    let flags = ["-Wl,-soname,libextra.so", &folder, "-lmore"];
    donor.library(&extra, &["more"], &flags);
    let search = format!("-L{}", donor.at(FOLDER).display());
    let link = format!("-Wl,-rpath-link,{}", donor.at(FOLDER).display());
    let source = "int extra(void); int main(void) { return extra() - 2; }";
    let app = compile(
        &donor.beside(""),
        "app",
        source,
        &[&search, "-lextra", &link],
    );
    (donor, app)
}

fn hints(target: &Path, donor: Option<&Root>) -> Value {
    let mut arguments = vec!["--fix-hints".into()];
    if let Some(donor) = donor {
        arguments.extend(["--from-root".into(), donor.path.clone().into_os_string()]);
    }
    arguments.push(target.as_os_str().to_owned());
    lint(arguments).json["targets"][0]["fix_hints"].clone()
}

fn words(values: &Value) -> Vec<String> {
    let values = values.as_array().unwrap().iter();
    values
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_image_packed_with_the_options_of_the_hints_runs() {
    let (donor, app) = program_and_donor();
    let broken = donor.beside("broken.tar");
    let pack = |options: &[String], to: &Path| {
        let mut command = slimpack();
        command.arg(&app).arg("--allow-missing=lib*.so");
        succeed(command.args(options).arg("-o").arg(to));
    };
    pack(&[], &broken);
    assert_eq!(lint([&broken]).only("SP001")["subject"], "libextra.so");
    let found = hints(&broken, Some(&donor));
    assert_eq!(found["not_found"], json!([]));
    let options = words(&found["options"]);
    assert_eq!(
        options.len(),
        2,
        "libextra.so and what it needs: {options:?}"
    );
    let split = options.iter().flat_map(|option| option.split(' '));
    let split: Vec<String> = split.map(str::to_owned).collect();
    let fixed = donor.beside("fixed.tar");
    pack(&split, &fixed);
    lint([&fixed]).has_no_error();
    if runs_containers() {
        let ran = run_image(&fixed, &[]);
        assert!(ran.status.success(), "{}", common::text(&ran));
        assert!(!run_image(&broken, &[]).status.success());
    }
    // Without the root that has them, only the name is known.
    let found = hints(&broken, None);
    assert_eq!(
        (&found["files"], &found["not_found"]),
        (&json!([]), &json!(["libextra.so"]))
    );
}

/// Does what COPY does, with this machine as the context `host`.
fn copy(root: &Root, files: &Value) {
    for file in files.as_array().unwrap() {
        let to = file["to"].as_str().unwrap().trim_start_matches('/');
        root.make_room(to);
        fs::copy(file["file"].as_str().unwrap(), root.at(to)).unwrap();
    }
}

#[test]
fn files_copied_as_the_hints_say_make_a_root_start() {
    let (donor, app) = program_and_donor();
    let root = Root::glibc();
    fs::copy(&app, root.at("usr/bin/app")).unwrap();
    root.does_not_start("/usr/bin/app", "libextra.so");
    copy(&root, &hints(&root.path, Some(&donor))["files"]);
    root.lint().has_no_error();
    root.starts("/usr/bin/app");
    // Without a loader, everything that it brings.
    let root = Root::empty();
    fs::copy(&app, root.at("usr/bin/app")).unwrap();
    assert_eq!(root.lint().only("SP002")["severity"], "error");
    copy(&root, &hints(&root.path, Some(&donor))["files"]);
    root.mode("lib64/ld-linux-x86-64.so.2", 0o755);
    root.lint().has_no_error();
    root.starts("/usr/bin/app");
}

#[test]
fn a_library_goes_where_the_loader_of_the_image_looks() {
    let (donor, _) = program_and_donor();
    let root = Root::glibc();
    let search = format!("-L{}", donor.at(FOLDER).display());
    let link = format!("-Wl,-rpath-link,{}", donor.at(FOLDER).display());
    root.folder("opt/own");
    let flags = [
        &*search,
        "-lextra",
        &link,
        "-Wl,-rpath,/opt/own,-z,nodefaultlib",
    ];
    root.program("usr/bin/app", &["extra"], &flags);
    let found = hints(&root.path, Some(&donor));
    assert_eq!(found["not_found"], json!(["libextra.so"]), "{found}");
    let flags = [&*search, "-lextra", &link, "-Wl,-rpath,/opt/own"];
    root.program("usr/bin/app", &["extra"], &flags);
    let found = hints(&root.path, Some(&donor));
    let to: Vec<&Value> = found["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["to"])
        .collect();
    copy(&root, &found["files"]);
    root.starts("/usr/bin/app");
    assert_eq!(to.len(), 2);
}

#[test]
fn the_package_is_the_one_that_dpkg_names() {
    if !have(&["dpkg"]) {
        return;
    }
    let root = Root::glibc();
    let source = "const char *zlibVersion(void); int main(void) { return zlibVersion() == 0; }";
    let real = fs::canonicalize("/usr/lib/x86_64-linux-gnu/libz.so.1").unwrap();
    let library = real.to_str().unwrap();
    root.compile("usr/bin/app", source, &[library]);
    // The record may have the path of before /lib became a link to /usr/lib.
    let owner = ["", "/usr"].iter().find_map(|prefix| {
        let path = library.strip_prefix(prefix)?;
        let output = Command::new("dpkg").args(["-S", path]).output().unwrap();
        output.status.success().then(|| common::text(&output))
    });
    let owner = owner.unwrap();
    let package = owner.split(':').next().unwrap();
    let found = hints(&root.path, None);
    assert_eq!(found["files"][0]["package"], package);
    assert_eq!(found["files"][0]["file"], library);
    assert_eq!(
        found["install"],
        Value::Null,
        "the image has no package manager"
    );
    root.write("usr/bin/apt-get", "");
    let text = output(slimpack().args(["lint", "--fix-hints"]).arg(&root.path));
    let text = String::from_utf8(text.stdout).unwrap();
    let line = format!(
        "    RUN apt-get update && apt-get install -y --no-install-recommends {package} && rm"
    );
    assert!(text.contains(&line), "{text}");
    let line = format!("    COPY --from=host {library} /lib/x86_64-linux-gnu/libz.so.1\n");
    assert!(text.contains(&line), "{text}");
    assert!(
        text.contains("    --add /lib/x86_64-linux-gnu/libz.so.1\n"),
        "{text}"
    );
    copy(&root, &found["files"]);
    root.remove("usr/bin/apt-get");
    root.lint().has_no_error();
    root.starts("/usr/bin/app");
}

#[test]
fn a_sound_image_has_no_hints_and_other_formats_none() {
    let root = Root::glibc();
    root.program("usr/bin/app", &[], &[]);
    let text = output(slimpack().args(["lint", "--fix-hints"]).arg(&root.path));
    assert!(
        !common::text(&text).contains("COPY"),
        "{}",
        common::text(&text)
    );
    let said = common::fail_with(2, slimpack().args(["lint", "--from-root", "/", "."]));
    assert!(said.contains("--fix-hints"), "{said}");
}
