//! `slimpack why`, and the graphs of `slimpack tree`.

use crate::common;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, fail_with, have, hello, output, slimpack, succeed, temporary, text};
use serde_json::Value;

fn why(image: &Path, path: &str) -> (i32, Value) {
    let said = output(slimpack().args(["why", "--json"]).arg(image).arg(path));
    let status = said.status.code().unwrap();
    assert!(status < 2, "{}", text(&said));
    (status, serde_json::from_slice(&said.stdout).unwrap())
}

/// Packs an installed program.
fn packed(folder: &Path, program: &str, flags: &[&str]) -> PathBuf {
    let image = folder.join("image.tar");
    succeed(slimpack().arg(program).arg("-o").arg(&image).args(flags));
    image
}

#[test]
fn every_file_of_an_image_has_a_reason() {
    let folder = temporary();
    for (program, flags) in [
        ("/usr/bin/curl", &["--with", "services"][..]),
        (
            "/bin/ls",
            &["--add", "/etc/hostname", "--add", "/usr/bin/env"],
        ),
        (hello().to_str().unwrap(), &[]),
    ] {
        if !have(&[program]) {
            continue;
        }
        let image = packed(folder.path(), program, flags);
        let nodes = common::layer(&image);
        assert!(nodes.len() > 5, "{program}");
        for path in nodes.keys() {
            let (status, answer) = why(&image, &format!("/{path}"));
            assert_eq!(status, 0, "{program}: {path}: {answer}");
            for chain in answer["chains"].as_array().unwrap() {
                let last = chain.as_array().unwrap().last().unwrap();
                assert_eq!(last["path"], answer["path"], "{path}");
            }
        }
    }
}

#[test]
fn each_library_that_the_loader_lists_is_reached_from_the_entrypoint() {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    if !have(&["curl", LOADER]) {
        return;
    }
    let folder = temporary();
    let image = packed(folder.path(), "/usr/bin/curl", &[]);
    let listing = succeed(Command::new(LOADER).args(["--list", "/usr/bin/curl"]));
    let objects = common::traced_objects(&listing, Path::new("/"));
    assert!(objects.len() > 5);
    for object in objects {
        let (_, answer) = why(&image, &object);
        let first = &answer["chains"][0][0];
        assert_eq!(first["path"], "/usr/bin/curl", "{object}: {answer}");
        assert_eq!(first["rule"], "entrypoint");
    }
    // A library requests another by the name in its own dynamic table.
    let (_, answer) = why(&image, "/usr/lib/x86_64-linux-gnu/libssl.so.3");
    let chains = answer["chains"].to_string();
    assert!(chains.contains("needed as libssl.so.3"), "{chains}");
    let said = text(&output(
        slimpack()
            .arg("why")
            .arg(&image)
            .arg("/etc/ssl/certs/ca-certificates.crt"),
    ));
    assert!(said.contains("ca-certificates: "), "{said}");
}

#[test]
fn scripts_lead_to_what_runs_them() {
    let folder = temporary();
    let script = folder.path().join("script");
    fs::write(&script, "#!/usr/bin/env bash\necho hello\n").unwrap();
    let image = packed(folder.path(), script.to_str().unwrap(), &[]);
    let said = succeed(slimpack().arg("why").arg(&image).arg("/usr/bin/bash"));
    let order = ["script  entrypoint", "bash  in the script's first line"];
    assert!(order.iter().all(|part| said.contains(part)), "{said}");
    succeed(slimpack().arg("why").arg(&image).arg("/usr/bin/env"));
}

#[test]
fn what_nobody_needs_is_told_with_its_size() {
    let folder = temporary();
    let root = folder.path().join("root");
    succeed(
        slimpack()
            .arg(hello())
            .arg("-o")
            .arg(format!("{}/", root.display())),
    );
    fs::write(root.join("usr/vain"), vec![0; 123_000]).unwrap();
    // A bare root directory has no entrypoint.
    let said = fail_with(2, slimpack().arg("why").arg(&root).arg("/usr/vain"));
    assert!(said.contains("--program"), "{said}");
    let mut command = slimpack();
    command
        .arg("why")
        .arg(&root)
        .args(["--program", "/usr/local/bin/hello", "/usr/vain"]);
    let said = output(&mut command);
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text(&said).contains("removing it would save 123.0 kB"),
        "{}",
        text(&said)
    );
    let mut command = slimpack();
    command
        .arg("why")
        .arg(&root)
        .args(["--program", "/usr/local/bin/hello", "/usr/vane"]);
    let said = fail_with(2, &mut command);
    assert!(
        said.contains("/usr/vane is not in") && said.contains("did you mean /usr/vain?"),
        "{said}"
    );
}

#[test]
fn graphs_hold_every_edge_of_the_tree() {
    let folder = temporary();
    let odd = compile(
        folder.path(),
        "odd \"name\" | #1",
        "int main(void) { return 0; }",
        &[],
    );
    for program in [Path::new("/usr/bin/curl"), &odd] {
        let tree = succeed(slimpack().args(["tree", "--json"]).arg(program));
        let tree: Value = serde_json::from_str(&tree).unwrap();
        let objects = tree["objects"].as_array().unwrap();
        let edges: usize = objects
            .iter()
            .map(|object| object["needed_by"].as_array().unwrap().len())
            .sum();
        let dot = succeed(slimpack().args(["tree", "--dot"]).arg(program));
        let mermaid = succeed(slimpack().args(["tree", "--mermaid"]).arg(program));
        let pairs = |text: &str, arrow: &str| -> BTreeSet<String> {
            let lines = text.lines().filter(|line| line.contains(arrow));
            lines
                .map(|line| line.split(['[', '|']).next().unwrap().to_owned())
                .collect()
        };
        // The graph has the edge to the interpreter even if nothing needs it by name.
        let drawn = pairs(&dot, " -> ").len();
        assert!(
            (edges..=edges + 1).contains(&drawn),
            "{drawn} of {edges}\n{dot}"
        );
        let arrows = mermaid
            .lines()
            .filter(|line| line.contains(" -->|"))
            .count();
        assert_eq!(
            arrows,
            dot.lines().filter(|line| line.contains(" -> ")).count()
        );
        if have(&["dot"]) {
            let file = folder.path().join("graph.dot");
            fs::write(&file, &dot).unwrap();
            let drawing = succeed(Command::new("dot").arg("-Tplain").arg(&file));
            let nodes = drawing
                .lines()
                .filter(|line| line.starts_with("node "))
                .count();
            assert_eq!(nodes, objects.len() + 1, "{drawing}");
        }
    }
}
