//! `slimpack.toml`: each image in the file is packed as if its options had been typed.

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, fail_with, names_in, slimpack, succeed, temporary};

/// A directory with two programs, and a `slimpack.toml` with this text.
struct Project(tempfile::TempDir);

impl Project {
    fn new(text: &str) -> Self {
        let project = Self(temporary());
        fs::create_dir(project.at("build")).unwrap();
        for name in ["server", "tool"] {
            compile(&project.at("build"), name, common::HELLO, &["-static"]);
        }
        fs::create_dir(project.at("conf")).unwrap();
        fs::write(project.at("conf/app.conf"), "x\n").unwrap();
        fs::write(project.at("slimpack.toml"), text).unwrap();
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A run from another directory: paths in the file are relative to the file.
    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = slimpack();
        command
            .current_dir("/")
            .arg("--config")
            .arg(self.at("slimpack.toml"))
            .args(arguments);
        command
    }
}

const TWO: &str = r#"
[[image]]
file = "build/server"
output = "server.tar"
tag = ["me/server:1.0", "me/server:latest"]
add = ["conf:/etc/server"]
env = { B = "2", A = "1" }
label = { who = "me" }
user = "7"
workdir = "/etc"
cmd = ["one two", "three"]
depfile = true

[[image]]
name = "helper"
file = "build/tool"
dest = "/opt/tool"
max-size = "20MB"
entrypoint = "/opt/tool world"

[lint]
fail-on = "warning"
"#;

#[test]
fn all_images_of_a_file_are_packed_as_if_they_had_been_typed() {
    let project = Project::new(TWO);
    succeed(&mut project.run(&["-q"]));
    let typed = project.at("typed.tar");
    let mut command = slimpack();
    command
        .current_dir(project.0.path())
        .arg("build/server")
        .arg("-qo")
        .arg(&typed);
    for word in [
        "-tme/server:1.0",
        "-tme/server:latest",
        "--add=conf:/etc/server",
        "-eA=1",
        "-eB=2",
    ] {
        command.arg(word);
    }
    command.args(["-lwho=me", "-u7", "-w/etc", r#"--cmd=["one two","three"]"#]);
    succeed(&mut command);
    let same = fs::read(project.at("server.tar")).unwrap() == fs::read(&typed).unwrap();
    assert!(
        same,
        "the image of the file is another than that of the command line"
    );
    let config = common::image_config(&project.at("helper.tar"));
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/opt/tool", "world"])
    );
    // The config file is itself an input.
    let dependencies = fs::read_to_string(project.at("server.tar.d")).unwrap();
    assert!(dependencies.contains("slimpack.toml"), "{dependencies}");
    assert!(!project.at("helper.tar.d").exists());
}

#[test]
fn those_that_are_named_are_packed_and_what_is_typed_wins() {
    let project = Project::new(TWO);
    let out = project.at("out.tar");
    let words = ["helper", "-t", "mine:2", "-q", "-o", out.to_str().unwrap()];
    succeed(&mut project.run(&words));
    assert!(!project.at("server.tar").exists() && !project.at("helper.tar").exists());
    assert_eq!(
        common::document(&out, "manifest.json")[0]["RepoTags"],
        serde_json::json!(["mine:2"])
    );
    succeed(&mut project.run(&["server", "-q", "-e", "A=9", "--without", "users"]));
    let config = common::image_config(&project.at("server.tar"));
    assert_eq!(config["config"]["Env"], serde_json::json!(["B=2", "A=9"]));
    // In the directory of the config file, its bare name is enough.
    let mut command = slimpack();
    command
        .current_dir(project.0.path())
        .args(["--config", "slimpack.toml", "-q"]);
    succeed(&mut command);
    assert!(project.at("helper.tar").exists());
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place_and_nothing_is_written() {
    for (text, parts) in [
        (
            "[[image]]\nfile = \"build/server\"\nouput = \"x\"\n",
            &["line 3, column 1", "ouput"][..],
        ),
        ("[[image]]\nfile = 3\n", &["line 2, column 8"]),
        ("[[image]\n", &["line 1"]),
        (
            "[[images]]\nfile = \"x\"\n",
            &["line 1, column 3", "images"],
        ),
        ("", &["no [[image]]"]),
        ("[[image]]\nfile = []\n", &["no file"]),
        (
            "[[image]]\nfile = \"build/server\"\nmax-size = \"large\"\n",
            &["image server", "--max-size"],
        ),
        (
            "[[image]]\nfile = \"build/server\"\nenv = { \"\" = \"x\" }\n",
            &["image server", "--env"],
        ),
        (
            "[[image]]\nfile = \"build/server\"\n[[image]]\nfile = \"build/server\"\n",
            &["two images are called server"],
        ),
        (
            "[[image]]\nfile = \"build/server\"\noutput = \"x.tar\"\n\
             [[image]]\nfile = \"build/tool\"\noutput = \"x.tar\"\n",
            &["both written to", "x.tar"],
        ),
    ] {
        let project = Project::new(text);
        let said = fail_with(2, &mut project.run(&[]));
        for part in parts.iter().chain(&["slimpack.toml"]) {
            assert!(said.contains(part), "{text:?}: {said}");
        }
        assert_eq!(
            names_in(project.0.path()),
            ["build", "conf", "slimpack.toml"]
        );
    }
}

#[test]
fn an_image_that_cannot_be_packed_is_named_and_the_others_are_packed() {
    let text = format!("[[image]]\nfile = \"build/gone\"\n{TWO}");
    let project = Project::new(&text);
    let said = fail_with(2, &mut project.run(&["-q"]));
    assert!(
        said.contains("image gone of ") && said.contains("build/gone: no such file"),
        "{said}"
    );
    assert!(project.at("server.tar").exists() && project.at("helper.tar").exists());
    let said = fail_with(2, &mut project.run(&["servr"]));
    assert!(
        said.contains("servr") && said.contains("did you mean server?"),
        "{said}"
    );
    let said = fail_with(2, &mut project.run(&["-o", "/tmp/x.tar"]));
    assert!(said.contains("name one of them"), "{said}");
    let said = fail_with(2, slimpack().args(["--config", "/no/such/slimpack.toml"]));
    assert!(said.contains("/no/such/slimpack.toml"), "{said}");
}

#[test]
fn what_is_typed_switches_off_what_the_file_sets() {
    let text = r#"
[[image]]
file = "build/server"
require-static = true
hwcaps = true
user = "7"
strip = "all"
compress = "gzip"
max-size = 10
with = ["tmp"]
exclude = ["/usr/local/bin/*"]
depfile = true
"#;
    let project = Project::new(text);
    let said = fail_with(1, &mut project.run(&["-q", "--exclude="]));
    assert!(said.contains("--max-size allows 10"), "{said}");
    let off = [
        "-q",
        "--require-static=false",
        "--user=none",
        "--strip=none",
        "--compress=none",
        "--max-size=none",
        "--with=none",
        "--exclude=",
        "--depfile=false",
    ];
    succeed(&mut project.run(&off));
    let archive = project.at("server.tar");
    assert!(common::image_config(&archive)["config"]["User"].is_null());
    let layer = common::layer(&archive);
    let program = fs::metadata(project.at("build/server")).unwrap().len();
    assert_eq!(
        layer["usr/local/bin/server"],
        format!("file 0755 {program}"),
        "not stripped, not excluded"
    );
    assert!(!layer.contains_key("tmp/"));
    assert!(!project.at("server.tar.d").exists());
    assert!(!project.at("false").exists() && !Path::new("/false").exists());
    // A boolean flag on the command line accepts a value.
    succeed(&mut project.run(&["-q", "--exclude=", "--max-size=none", "--hwcaps=true"]));
    let said = fail_with(2, &mut project.run(&["--hwcaps=perhaps"]));
    assert!(said.contains("--hwcaps"), "{said}");
}

#[test]
fn a_need_that_is_typed_recalls_the_one_in_a_list_of_the_file() {
    let text = "[[image]]\nfile = \"build/server\"\nwithout = \"tmp,users\"\n";
    let project = Project::new(text);
    succeed(&mut project.run(&["-q", "--with=tmp"]));
    let layer = common::layer(&project.at("server.tar"));
    assert!(layer.contains_key("tmp/"), "{layer:?}");
}

#[test]
fn images_without_an_output_are_not_written_to_the_same_file() {
    let text = "[[image]]\nfile = \"build/server\"\n[[image]]\nfile = \"build/tool\"\n";
    let project = Project::new(text);
    let said = succeed(&mut project.run(&["--output=none"]));
    assert!(said.contains("server") && said.contains("tool"), "{said}");
}

#[test]
fn push_and_load_of_the_file_and_of_the_command_line_are_carried_out() {
    let project = Project::new("[[image]]\nfile = \"build/server\"\n");
    // Nothing listens on this port; it is enough that slimpack tries to connect.
    let nowhere = "127.0.0.1:9/me/server:1";
    let said = fail_with(2, &mut project.run(&["-q", "--push", nowhere]));
    assert!(said.contains("127.0.0.1:9"), "{said}");
    let text = format!("[[image]]\nfile = \"build/server\"\npush = \"{nowhere}\"\n");
    fs::write(project.at("slimpack.toml"), text).unwrap();
    let said = fail_with(2, &mut project.run(&["-q"]));
    assert!(said.contains("127.0.0.1:9"), "{said}");
    succeed(&mut project.run(&["-q", "--push=none"]));
    let text = "[[image]]\nfile = \"build/server\"\nload = true\n";
    fs::write(project.at("slimpack.toml"), text).unwrap();
    let said = fail_with(2, project.run(&["-q"]).env("PATH", "/nowhere"));
    assert!(said.contains("docker"), "{said}");
    succeed(project.run(&["-q", "--load=false"]).env("PATH", "/nowhere"));
}

#[test]
fn a_file_over_its_limit_is_refused_and_not_cut() {
    let mut text = TWO.to_owned();
    text.push_str(&"#".repeat(1 << 20));
    let project = Project::new(&text);
    let said = fail_with(2, &mut project.run(&["-q"]));
    assert!(said.contains("more than 1048576 bytes"), "{said}");
    let mut lint = slimpack();
    lint.arg("lint").arg("--config");
    lint.arg(project.at("slimpack.toml"));
    let said = fail_with(2, lint.arg(project.at("build/server")));
    assert!(said.contains("more than 1048576 bytes"), "{said}");
}

#[test]
fn the_same_file_tells_lint_what_to_pass_over() {
    let project = Project::new(TWO);
    let mut command = slimpack();
    command
        .arg("lint")
        .arg("--config")
        .arg(project.at("slimpack.toml"));
    succeed(command.arg(project.at("build/server")));
}

#[test]
fn the_schema_takes_what_is_read_and_refuses_what_is_not() {
    let schema = succeed(slimpack().arg("schema"));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let as_json = |text: &str| {
        let value: toml::Value = toml::from_str(text).unwrap();
        serde_json::to_value(value).unwrap()
    };
    assert!(validator.is_valid(&as_json(TWO)), "{schema}");
    for text in [
        "[[image]]\nfile = \"x\"\nouput = \"y\"\n",
        "[[image]]\nname = \"x\"\n",
        "[[image]]\nfile = 3\n",
        "[lint]\nfail-on = \"never ever\"\n",
    ] {
        assert!(!validator.is_valid(&as_json(text)), "{text}");
    }
    // Editors show the description of each key.
    let keys = &schema["$defs"]["ImageSection"]["properties"];
    for (key, about) in keys.as_object().unwrap() {
        assert!(about["description"].is_string(), "{key}");
    }
}

#[test]
fn every_option_of_an_image_is_a_key() {
    let schema = succeed(slimpack().arg("schema"));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let keys = schema["$defs"]["ImageSection"]["properties"]
        .as_object()
        .unwrap();
    let help = succeed(slimpack().arg("--help"));
    let options = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"));
    let options: std::collections::BTreeSet<&str> = options
        .map(|option| option.trim_end_matches([',', ';']))
        .filter(|option| option.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    // Options that concern one run rather than an image.
    let of_a_run = [
        "config",
        "json",
        "suggest",
        "verbose",
        "quiet",
        "color",
        "version",
        "help",
        "fix",
        "test-stdout",
        "test-status",
        "test-timeout",
    ];
    for option in options.iter().filter(|option| !of_a_run.contains(option)) {
        assert!(keys.contains_key(*option), "--{option} is no key");
    }
    assert!(options.len() > 20, "{options:?}");
}

#[test]
fn bills_of_materials_are_written_beside_each_image() {
    let project = Project::new(
        "[[image]]\nfile = \"build/server\"\nsbom = [\"s.spdx.json\", \"cyclonedx-json=conf/x\"]\n\
         [[image]]\nfile = \"build/tool\"\nsbom = \"t.cdx.json\"\n",
    );
    succeed(project.run(&["-q"]).arg("--without=package-records"));
    for (path, name) in [
        ("s.spdx.json", "server"),
        ("conf/x", "server"),
        ("t.cdx.json", "tool"),
    ] {
        let text = fs::read(project.at(path)).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let image = match &document["name"] {
            serde_json::Value::Null => &document["metadata"]["component"]["name"],
            name => name,
        };
        assert_eq!(image, &format!("{name}:latest"), "{path}");
    }
    let said = fail_with(2, &mut project.run(&["--sbom", "all.spdx.json"]));
    assert!(said.contains("--sbom applies to one image"), "{said}");
    succeed(&mut project.run(&["tool", "-q", "--sbom=none"]));
    let same = "[[image]]\nfile = \"build/server\"\nsbom = \"x.spdx.json\"\n\
                [[image]]\nfile = \"build/tool\"\nsbom = \"x.spdx.json\"\n";
    fs::write(project.at("slimpack.toml"), same).unwrap();
    let said = fail_with(2, &mut project.run(&[]));
    assert!(
        said.contains("are both written to") && said.contains("x.spdx.json"),
        "{said}"
    );
    fs::write(
        project.at("slimpack.toml"),
        same.replace("x.spdx.json", "x.json"),
    )
    .unwrap();
    let said = fail_with(2, &mut project.run(&[]));
    assert!(said.contains("tells no format"), "{said}");
}
