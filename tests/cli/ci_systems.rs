//! What CI systems run: the action, the component and the hooks, with a release on the loopback
//! interface.
//!
//! GitHub and GitLab run nothing here. Their files are checked with the schemas of check-jsonschema,
//! and the commands in them are run as their documentation says: by bash, and by the shell and the
//! tools of busybox.

use crate::{common, recipes, releases, roots};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{HELLO, compile, have, output, slimpack, source, succeed, temporary, text};
use recipes::{path_with_slimpack, readme_block};
use releases::{Release, VERSION};
use serde_json::Value;

/// The documents of a YAML file, read by PyYAML.
fn yaml(path: &str) -> Vec<Value> {
    const SCRIPT: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut python = Command::new("python-recipes");
    let text = succeed(python.args(["-c", SCRIPT]).arg(source(path)));
    serde_json::from_str(&text).unwrap()
}

/// Checks a file with a schema that comes with check-jsonschema.
fn check_schema(name: &str, path: &Path) {
    let mut check = Command::new("check-jsonschema");
    check.args(["--builtin-schema", &format!("vendor.{name}")]);
    succeed(check.arg(path));
}

/// A file for the runner of a job, with its text if the job wrote it.
fn written(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// An action as a runner sees it: its steps, and the inputs of a workflow.
struct Action {
    folder: tempfile::TempDir,
    document: Value,
    inputs: Vec<(&'static str, String)>,
}

impl Action {
    fn new(inputs: &[(&'static str, &str)]) -> Self {
        let folder = temporary();
        compile(folder.path(), "app", HELLO, &[]);
        let inputs = inputs
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            folder,
            document: yaml("action.yml").remove(0),
            inputs: inputs.collect(),
        }
    }

    /// The value of `${{ … }}`.
    fn value(&self, expression: &str) -> String {
        let name = expression
            .strip_prefix("${{ ")
            .unwrap()
            .strip_suffix(" }}")
            .unwrap();
        match name.strip_prefix("inputs.") {
            Some(name) => {
                let default = &self.document["inputs"][name]["default"];
                let given = self.inputs.iter().find(|(given, _)| *given == name);
                given.map_or_else(
                    || default.as_str().unwrap().to_owned(),
                    |(_, value)| value.clone(),
                )
            }
            None if name == "github.server_url" => "http://127.0.0.1:1".to_owned(),
            None if name == "github.action_repository" => "me/slimpack".to_owned(),
            None => panic!("{expression}"),
        }
    }

    /// Runs a step as GitHub documents for `shell: bash`.
    fn step(&self, number: usize) -> Output {
        let step = &self.document["runs"]["steps"][number];
        assert_eq!(step["shell"], "bash");
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("step.sh"), step["run"].as_str().unwrap()).unwrap();
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail"])
            .arg(at("step.sh"));
        for (name, value) in step["env"].as_object().unwrap() {
            bash.env(name, self.value(value.as_str().unwrap()));
        }
        let mut path = vec![at("tools")];
        path.extend(
            written(self.folder.path(), "path")
                .lines()
                .map(PathBuf::from),
        );
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        bash.env("PATH", std::env::join_paths(path).unwrap());
        bash.env("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR"));
        bash.env("GITHUB_PATH", at("path"))
            .env("GITHUB_OUTPUT", at("output"));
        bash.env("RUNNER_TEMP", at("temp"))
            .env_remove("SOURCE_DATE_EPOCH");
        output(bash.current_dir(self.folder.path()))
    }

    /// Runs all steps, up to one that fails.
    fn run(&self) -> Output {
        let installed = self.step(0);
        match installed.status.success() {
            true => self.step(1),
            false => installed,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

const TOOLS: [&str; 6] = ["bash", "python-recipes", "wget", "jq", "tar", "sha256sum"];

#[test]
fn the_action_packs_with_a_release_and_says_where_the_image_is() {
    if !have(&TOOLS) {
        return;
    }
    let release = Release::new();
    let words = "./app --label 'text=two  words' --label \"home=$HOME *\"\n  -u 1000";
    let action = Action::new(&[("arguments", words), ("releases", &release.url())]);
    let ran = action.run();
    assert!(ran.status.success(), "{}", text(&ran));
    let image = action.at("image.tar");
    let config = common::image_config(&image)["config"].clone();
    assert_eq!(config["Labels"]["text"], "two  words");
    assert_eq!(config["Labels"]["home"], "$HOME *", "nothing is expanded");
    assert_eq!(config["User"], "1000");
    let digest = common::document(&image, "index.json")["manifests"][0]["digest"].clone();
    let outputs = written(action.folder.path(), "output");
    let expected = format!("path=image.tar\ndigest={}\n", digest.as_str().unwrap());
    assert_eq!(outputs, expected);
    // The outputs of the action are those of its step.
    for name in ["path", "digest"] {
        let value = format!("${{{{ steps.run.outputs.{name} }}}}");
        assert_eq!(action.document["outputs"][name]["value"], value);
    }
}

#[test]
fn the_action_runs_other_commands_and_fails_with_them() {
    if !have(&TOOLS) {
        return;
    }
    let release = Release::new();
    let inputs = |arguments| {
        let release = release.url();
        Action::new(&[
            ("command", "lint"),
            ("arguments", arguments),
            ("releases", &release),
        ])
    };
    let action = inputs("app");
    assert!(action.run().status.success());
    assert_eq!(written(action.folder.path(), "output"), "");
    let action = inputs("image.tar --format github");
    broken_image(&action.at("image.tar"));
    let ran = action.run();
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran));
    assert!(text(&ran).contains("::error"), "{}", text(&ran));
    let action = Action::new(&[("arguments", "gone"), ("releases", &release.url())]);
    let ran = action.run();
    assert_eq!(ran.status.code(), Some(2), "{}", text(&ran));
    let action = Action::new(&[("arguments", "'app"), ("releases", &release.url())]);
    let ran = action.run();
    assert!(
        !ran.status.success() && !action.at("image.tar").exists(),
        "{}",
        text(&ran)
    );
}

#[test]
fn the_action_installs_nothing_whose_checksum_differs() {
    if !have(&TOOLS) {
        return;
    }
    let release = Release::new();
    let digest = release.digest();
    let action = |sha256: &str| {
        let inputs = [
            ("arguments", "app"),
            ("sha256", sha256),
            ("version", VERSION),
        ];
        Action::new(&[&inputs[..], &[("releases", release.url().as_str())]].concat())
    };
    let other = "0".repeat(64);
    let refused = |action: Action, says: &str| {
        let ran = action.run();
        assert!(!ran.status.success(), "{}", text(&ran));
        assert!(text(&ran).contains(says), "{says}: {}", text(&ran));
        assert!(!action.at("temp/slimpack/bin/slimpack").exists());
        assert_eq!(written(action.folder.path(), "path"), "");
    };
    refused(action(&other), "FAILED");
    release.remove("SHA256SUMS");
    refused(action(""), "");
    // With a digest of its own the workflow needs none from the release.
    let ran = action(&digest).run();
    assert!(ran.status.success(), "{}", text(&ran));
    release.list("no archive of this machine");
    refused(action(""), "");
    release.list(&format!("{other}  {}\n", release.archive()));
    refused(action(""), "FAILED");
    // Without a place of its own, the release is that of the action's repository.
    let ran = Action::new(&[("arguments", "app")]).run();
    assert_eq!(
        ran.status.code(),
        Some(4),
        "network failure: {}",
        text(&ran)
    );
}

/// A program that prints its arguments into a file next to it.
fn recorder(tools: &Path, name: &str, then: &str) {
    fs::create_dir_all(tools).unwrap();
    let script = format!("#!/bin/sh\necho \"$0 $*\" >> \"$0.log\"\n{then}\n");
    fs::write(tools.join(name), script).unwrap();
    fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_action_builds_from_source_on_request() {
    if !have(&TOOLS) {
        return;
    }
    let action = Action::new(&[("arguments", "app"), ("from-source", "true")]);
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    let install = format!("for root; do :; done; ln -s {slimpack} \"$root/bin/slimpack\"");
    recorder(&action.at("tools"), "cargo", &install);
    let ran = action.run();
    assert!(ran.status.success(), "{}", text(&ran));
    assert!(action.at("image.tar").exists());
    let said = written(&action.at("tools"), "cargo.log");
    let expected = format!("install --locked --path {}", env!("CARGO_MANIFEST_DIR"));
    assert!(said.contains(&expected), "{said}");
}

/// An image with a program whose library is missing.
fn broken_image(to: &Path) {
    let root = roots::Root::glibc();
    root.library("lib/libgone.so", &[], &[]);
    root.program("usr/bin/app", &["gone"], &["-Llib", "-lgone"]);
    root.remove("lib/libgone.so");
    let mut tar = Command::new("tar");
    succeed(tar.arg("-C").arg(&root.path).arg("-cf").arg(to).arg("."));
}

#[test]
fn files_of_ci_systems_have_the_schemas_of_those() {
    if !have(&[
        "check-jsonschema",
        "pre-commit",
        "python-recipes",
        "shellcheck",
    ]) {
        return;
    }
    check_schema("github-actions", &source("action.yml"));
    for name in ["ci.yml", "release.yml"] {
        check_schema("github-workflows", &source(".github/workflows").join(name));
    }
    let mut manifest = Command::new("pre-commit");
    succeed(
        manifest
            .arg("validate-manifest")
            .arg(source(".pre-commit-hooks.yaml")),
    );
    // The scripts inside, too: each is one for bash.
    let folder = temporary();
    let action = yaml("action.yml").remove(0);
    let release = yaml(".github/workflows/release.yml").remove(0);
    let steps = [
        &action["runs"]["steps"],
        &release["jobs"]["release"]["steps"],
    ];
    let mut checked = 0;
    for step in steps
        .into_iter()
        .flat_map(|steps| steps.as_array().unwrap())
    {
        let Some(script) = step["run"].as_str() else {
            continue;
        };
        let path = folder.path().join("step.sh");
        fs::write(&path, script).unwrap();
        succeed(
            Command::new("shellcheck")
                .args(["--shell=bash", "-e", "SC1091"])
                .arg(path),
        );
        assert!(
            !script.contains("${{"),
            "an expression inside a script: {script}"
        );
        checked += 1;
    }
    assert!(checked >= 5, "{checked}");
    succeed(Command::new("shellcheck").arg(source("release.sh")));
}

/// The component with these inputs, as GitLab fills them in.
fn component(given: &[(&str, &str)]) -> Value {
    let documents = yaml("templates/slimpack.yml");
    let [spec, jobs] = &documents[..] else {
        panic!("{documents:?}");
    };
    let mut text = jobs.to_string();
    for (name, input) in spec["spec"]["inputs"].as_object().unwrap() {
        let value = given.iter().find(|(given, _)| given == name);
        let value = value.map_or_else(|| input["default"].as_str(), |(_, value)| Some(*value));
        let value = value.unwrap_or_else(|| panic!("{name} has no default"));
        let word = format!("$[[ inputs.{name} ]]");
        assert!(text.contains(&word), "{name} is not used");
        assert!(input["description"].is_string(), "{name}");
        let value = Value::from(value).to_string();
        text = text.replace(&word, value.trim_matches('"'));
    }
    assert!(!text.contains("$[["), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Runs the lines of a job with the shell and the tools of busybox, which are Alpine's.
fn in_alpine(folder: &Path, script: &str) -> Output {
    let bin = folder.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        let mut install = Command::new("busybox");
        succeed(install.args(["--install", "-s"]).arg(&bin));
    }
    let script = format!("set -o errexit\nset -o pipefail\n{script}");
    let mut shell = Command::new("busybox");
    shell.args(["sh", "-c", &script]).current_dir(folder);
    let temporary = folder.join("tmp");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir(&temporary).unwrap();
    output(shell.env("PATH", bin).env("TMPDIR", temporary))
}

/// Whether the last script unpacked a release.
fn has_unpacked(release: &Release, folder: &Path) -> bool {
    let temporary = fs::read_dir(folder.join("tmp")).unwrap();
    let mut places = temporary.map(|entry| entry.unwrap().path().join(release.name()));
    places.any(|place| place.exists())
}

/// An archive that is not the one of the release is not unpacked.
fn unpacks_nothing_else(release: &Release, folder: &Path, script: &str) {
    assert!(has_unpacked(release, folder));
    for list in [
        "nothing of interest\n".to_owned(),
        format!("{}  {}\n", "0".repeat(64), release.archive()),
    ] {
        release.list(&list);
        let ran = in_alpine(folder, script);
        assert!(
            !ran.status.success() && !has_unpacked(release, folder),
            "{}",
            text(&ran)
        );
    }
}

#[test]
fn the_gitlab_component_writes_a_report_of_code_quality() {
    if !have(&["python-recipes", "check-jsonschema", "busybox", "tar"]) {
        return;
    }
    let release = Release::new();
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    broken_image(&at("image.tar"));
    let url = release.url();
    let given = [
        ("releases", url.as_str()),
        ("targets", "image.tar"),
        ("name", "checked"),
    ];
    let filled = component(&given);
    fs::write(at("gitlab-ci.json"), filled.to_string()).unwrap();
    check_schema("gitlab-ci", &at("gitlab-ci.json"));
    let job = &filled["checked"];
    // The default release is this one.
    let lines = job["script"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap());
    let script: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(script.contains(&format!("/v{VERSION}/")), "{script}");
    let run = |script: &str| in_alpine(folder.path(), script);
    let ran = run(&script);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran));
    let report = job["artifacts"]["reports"]["codequality"].as_str().unwrap();
    let mut direct = slimpack();
    direct.args(["lint", "image.tar", "--format", "gitlab"]);
    let direct = common::output(direct.current_dir(folder.path()));
    assert_eq!(
        written(folder.path(), report).as_bytes(),
        &direct.stdout[..]
    );
    assert!(written(folder.path(), report).contains("SP001"));
    let given = [&given[..], &[("fail-on", "never")]].concat();
    let never = script.replace("--fail-on error", "--fail-on never");
    assert!(run(&never).status.success());
    assert!(component(&given).to_string().contains("--fail-on never"));
    unpacks_nothing_else(&release, folder.path(), &script);
}

#[test]
fn examples_of_the_documentation_name_what_there_is() {
    if !have(&["python-recipes"]) {
        return;
    }
    let folder = temporary();
    let example = |mark: &str| {
        let path = folder.path().join("example.yml");
        fs::write(&path, readme_block("yaml", mark)).unwrap();
        yaml(path.to_str().unwrap()).remove(0)
    };
    let names = |map: &Value| -> Vec<String> { map.as_object().unwrap().keys().cloned().collect() };
    let action = yaml("action.yml").remove(0);
    let (inputs, outputs) = (names(&action["inputs"]), names(&action["outputs"]));
    for step in example("uses: OWNER/slimpack").as_array().unwrap() {
        for (name, _) in step["with"].as_object().into_iter().flatten() {
            assert!(inputs.contains(name), "{name}");
        }
        for output in step["run"]
            .as_str()
            .unwrap_or_default()
            .split(".outputs.")
            .skip(1)
        {
            let name = output.split(' ').next().unwrap();
            assert!(outputs.contains(&name.to_owned()), "{name}");
        }
    }
    let included = example("component:")["include"][0].clone();
    let component = yaml("templates/slimpack.yml").remove(0);
    let inputs = component["spec"]["inputs"].as_object().unwrap();
    let given = names(&included["inputs"]);
    assert!(
        given.iter().all(|name| inputs.contains_key(name)),
        "{given:?}"
    );
    for (name, input) in inputs
        .iter()
        .filter(|(_, input)| input["default"].is_null())
    {
        assert!(given.contains(name), "{name}: {input}");
    }
    let hooks = yaml(".pre-commit-hooks.yaml").remove(0);
    let used = example("hooks:")["repos"][0]["hooks"][0]["id"].clone();
    assert!(
        common::strings(&hooks, "id").iter().any(|id| *id == used),
        "{used}"
    );
}

/// A repository with hooks, and one that uses them.
struct Hooks {
    folder: tempfile::TempDir,
}

impl Hooks {
    fn new(id: &str) -> Self {
        let folder = temporary();
        let hooks = Self { folder };
        let at = |name: &str| hooks.folder.path().join(name);
        fs::create_dir_all(at("hooks")).unwrap();
        fs::create_dir_all(at("project")).unwrap();
        fs::copy(
            source(".pre-commit-hooks.yaml"),
            at("hooks/.pre-commit-hooks.yaml"),
        )
        .unwrap();
        hooks.git("hooks", &["init", "-q"]);
        hooks.git("hooks", &["add", "."]);
        hooks.git("hooks", &["commit", "-qm", "Add hooks"]);
        let rev = hooks.git("hooks", &["rev-parse", "HEAD"]);
        let config = format!(
            "repos:\n- repo: {}\n  rev: {rev}\n  hooks:\n  - id: {id}\n",
            at("hooks").display()
        );
        fs::write(at("project/.pre-commit-config.yaml"), config).unwrap();
        compile(&at("project"), "app", HELLO, &[]);
        fs::write(at("project/app.c"), HELLO).unwrap();
        fs::write(at("project/words.sh"), "#!/bin/sh\n").unwrap();
        hooks.git("project", &["init", "-q"]);
        hooks
    }

    fn command(&self, directory: &str, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path().join(directory))
            .args(words);
        command.env("HOME", self.folder.path());
        command.env("PRE_COMMIT_HOME", self.folder.path().join("cache"));
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "tests");
            command.env(format!("GIT_{who}_EMAIL"), "tests@example.org");
        }
        command.env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE");
        command
    }

    fn git(&self, directory: &str, words: &[&str]) -> String {
        succeed(&mut self.command(directory, "git", words))
    }

    /// Runs the hooks on all files of the project.
    fn run(&self) -> Output {
        self.git("project", &["add", "."]);
        let mut run = self.command("project", "pre-commit", &["run", "--all-files", "-v"]);
        output(run.env("PATH", path_with_slimpack(self.folder.path())))
    }
}

#[test]
fn hooks_check_programs_and_images_before_a_commit() {
    if !have(&["pre-commit", "git", "tar"]) {
        return;
    }
    let hooks = Hooks::new("slimpack-lint-system");
    let ran = hooks.run();
    assert!(
        ran.status.success() && text(&ran).contains("Passed"),
        "{}",
        text(&ran)
    );
    broken_image(&hooks.folder.path().join("project/image.tar"));
    let ran = hooks.run();
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran));
    assert!(text(&ran).contains("SP001"), "{}", text(&ran));
    assert!(!text(&ran).contains("app.c") && !text(&ran).contains("words.sh"));
}

#[test]
fn hooks_install_slimpack_from_source_on_request() {
    if !have(&["pre-commit", "git"]) {
        return;
    }
    let hooks = Hooks::new("slimpack-lint");
    let slimpack = env!("CARGO_BIN_EXE_slimpack");
    let install = format!(
        "root=; while [ $# -gt 0 ]; do [ \"$1\" = --root ] && root=$2; shift; done\n\
         [ -z \"$root\" ] || {{ mkdir -p \"$root/bin\"; ln -s {slimpack} \"$root/bin/slimpack\"; }}"
    );
    let tools = hooks.folder.path().join(".bin");
    recorder(&tools, "cargo", &install);
    // Nothing but what cargo installs.
    let path = path_with_slimpack(hooks.folder.path());
    fs::remove_file(tools.join("slimpack")).unwrap();
    hooks.git("project", &["add", "."]);
    let mut run = hooks.command("project", "pre-commit", &["run", "--all-files", "-v"]);
    let ran = output(run.env("PATH", path));
    assert!(
        ran.status.success() && text(&ran).contains("Passed"),
        "{}",
        text(&ran)
    );
    let said = written(&tools, "cargo.log");
    assert!(said.contains("install --bins --root"), "{said}");
}
