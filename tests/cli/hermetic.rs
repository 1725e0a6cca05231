//! Builds that read nothing of the machine: the rule for Bazel and the flake for Nix.
//!
//! Neither Bazel nor a build of Nix can run here. Interpreters of both languages evaluate the files,
//! and the tests run the commands that come out.

use crate::{common, recipes, roots};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{HELLO, compile, have, output, slimpack, succeed, temporary, text};
use recipes::readme_block;
use roots::Root;
use serde_json::{Value, json};

/// The action that the rule declares for a target.
fn action(target: &Value) -> Value {
    let folder = temporary();
    let rules = folder.path().join("slimpack.bzl");
    fs::write(&rules, succeed(slimpack().args(["help", "slimpack.bzl"]))).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/evaluate_bzl.py");
    let mut python = Command::new("python-recipes");
    let text = succeed(python.arg(script).arg(rules).arg(target.to_string()));
    let document: Value = serde_json::from_str(&text).unwrap();
    let attributes = document["attributes"].as_object().unwrap();
    assert!(
        attributes
            .values()
            .all(|attribute| attribute.to_string().contains("doc"))
    );
    // The example of the documentation has no others.
    let example = readme_block("python", "slimpack_image");
    let words = example
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(" = "));
    for (name, _) in words {
        assert!(name == "name" || attributes.contains_key(name), "{name}");
    }
    document["actions"][0].clone()
}

/// Files as a sandbox of Bazel has them: each is a link to a place outside of it.
struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let folder = temporary();
        fs::create_dir(folder.path().join("sandbox")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        Self { folder }
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join("outside").join(name)
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.folder.path().join("sandbox").join(name)
    }

    /// Runs an action as Bazel runs those of `run_shell`; strace lists the files that are looked up.
    fn run(&self, action: &Value) -> (Output, BTreeSet<String>) {
        for list in ["inputs", "tools"] {
            for name in common::strings_of(&action[list]) {
                let link = self.inside(&name);
                if !link.exists() {
                    symlink(self.outside(&name), link).unwrap();
                }
            }
        }
        let log = self.folder.path().join("strace");
        let mut bash = Command::new("strace");
        bash.args(["-f", "-qq", "-e", "trace=open,openat,execve", "-o"])
            .arg(&log);
        bash.args(["bash", "-c", action["command"].as_str().unwrap(), ""]);
        bash.args(common::strings_of(&action["words"]));
        bash.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        for (name, value) in action["env"].as_object().unwrap() {
            bash.env(name, value.as_str().unwrap());
        }
        let ran = output(bash.current_dir(self.folder.path().join("sandbox")));
        let log = fs::read_to_string(log).unwrap();
        // What was looked up by slimpack itself, after bash and mktemp.
        let (_, log) = log.split_once("\"extract\"").unwrap();
        let found = log.lines().filter(|line| !line.contains("ENOENT"));
        let paths = found.filter_map(|line| line.split('"').nth(1));
        (ran, paths.map(str::to_owned).collect())
    }
}

/// What the image has comes from the root and the rule.
fn is_of_the_root(image: &Path, library: &Path) {
    let config = common::image_config(image);
    assert_eq!(config["config"]["Labels"]["text"], "two  words");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let place = temporary();
    let unpacked = place.path().join("root");
    common::unpack_layer(image, &unpacked);
    let packed = fs::read(unpacked.join("lib/libz.so.1")).unwrap();
    assert!(packed == fs::read(library).unwrap(), "another library");
    let users = fs::read_to_string(unpacked.join("etc/passwd")).unwrap();
    assert!(users.contains("me:x:77:"), "{users}");
    assert!(unpacked.join("srv/100 %.txt").is_file());
}

/// Whether slimpack opened nothing outside of the sandbox.
fn reads_nothing_else(sandbox: &Sandbox, read: &BTreeSet<String>) {
    // slimpack's own libraries come from this machine; nothing else does.
    let own = succeed(Command::new("ldd").arg(env!("CARGO_BIN_EXE_slimpack")));
    let here = sandbox.folder.path().to_str().unwrap();
    let is_allowed = |path: &str| {
        let is_library = own.contains(path) || path == "/etc/ld.so.cache";
        let is_tool = path.starts_with("/usr/bin/rm") || path.starts_with("/bin/rm");
        let of_kernel = ["/proc/", "/sys/", "/dev/"]
            .iter()
            .any(|place| path.starts_with(place));
        !path.starts_with('/') || path.starts_with(here) || is_library || is_tool || of_kernel
    };
    let strange: Vec<_> = read.iter().filter(|path| !is_allowed(path)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(
        read.iter().any(|path| path.ends_with("libz.so.1")),
        "{read:?}"
    );
}

#[test]
fn the_rule_of_bazel_packs_with_the_libraries_of_its_root_and_reads_no_others() {
    if !have(&["python-recipes", "strace", "bash", "tar"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let root = Root::glibc();
    // This machine has the library, too, with other contents.
    let host = Path::new("/lib/x86_64-linux-gnu/libz.so.1");
    root.library("lib/libz.so.1", &[], &["-Wl,-soname,libz.so.1"]);
    root.write(
        "etc/passwd",
        "root:x:0:0::/of-this-root:/bin/sh\nme:x:77:77::/home/me:/bin/sh\n",
    );
    root.write("etc/group", "root:x:0:\nme:x:77:\n");
    root.link("etc/absolute", "/lib/libz.so.1");
    let pack_root = |root: &Root| {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root.path).arg("-cf");
        succeed(tar.arg(sandbox.outside("root.tar")).arg("."));
    };
    pack_root(&root);
    let library = root.at("lib/libz.so.1");
    let flags = ["-Wl,--no-as-needed", library.to_str().unwrap()];
    compile(&sandbox.outside(""), "app", HELLO, &flags);
    fs::write(sandbox.outside("data.txt"), "text").unwrap();
    symlink(env!("CARGO_BIN_EXE_slimpack"), sandbox.outside("slimpack")).unwrap();
    let target = json!({
        "name": "image", "output": "", "program": "app", "root": "root.tar", "slimpack": "slimpack",
        "data": {"data.txt": "/srv/100 %.txt"}, "options": ["-u", "me", "--label", "text=two  words"],
        "runfiles": [],
    });
    let action = action(&target);
    assert_eq!(action["outputs"], json!(["image.tar"]));
    let (ran, read) = sandbox.run(&action);
    assert!(ran.status.success(), "{}", text(&ran));
    let image = sandbox.inside("image.tar");
    is_of_the_root(&image, &library);
    reads_nothing_else(&sandbox, &read);
    let left = common::names_in(&sandbox.folder.path().join("sandbox"));
    assert!(
        left.iter().all(|name| !name.starts_with("slimpack.")),
        "{left:?}"
    );
    // A library that only this machine has is missing.
    assert!(host.exists());
    root.remove("lib/libz.so.1");
    pack_root(&root);
    fs::remove_file(&image).unwrap();
    let (ran, _) = sandbox.run(&action);
    assert!(!ran.status.success() && !image.exists());
    assert!(text(&ran).contains("libz.so.1 not found"), "{}", text(&ran));
}

/// A stand-in for nixpkgs that shows what it was called with.
const NIXPKGS: &str = r#"
let
  pkgs = {
    system = "x86_64-linux";
    installShellFiles = "installShellFiles";
    hello = "/nix/store/hello";
    rustPlatform.buildRustPackage = package: package;
    runCommand = name: environment: script: { inherit name environment script; };
    lib.licenses = { mit = "MIT"; asl20 = "Apache-2.0"; };
    lib.escapeShellArgs = words: builtins.concatStringsSep " " (map (word: "'${word}'") words);
  };
  nixpkgs = {
    lib.genAttrs = names: make:
      builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
    legacyPackages = { x86_64-linux = pkgs; aarch64-linux = pkgs; };
  };
  flake = import ./flake.nix;
  self = { outPath = "source"; } // flake.outputs { inherit self nixpkgs; };
in
{
  inherit (flake) description;
  systems = builtins.attrNames self.packages;
  package = builtins.removeAttrs self.packages.x86_64-linux.default [ "cargoLock" ];
  has_lock = builtins.pathExists self.packages.x86_64-linux.default.cargoLock.lockFile;
  example = ((EXAMPLE).outputs { inherit nixpkgs; slimpack = self; }).packages.x86_64-linux.default.script;
  image = self.lib.x86_64-linux.image { name = "hello"; program = PROGRAM; options = [ "-u" "1000" ]; };
}
"#;

#[test]
fn the_flake_of_nix_builds_slimpack_and_packs_programs() {
    if !have(&["nix-instantiate", "bash"]) {
        return;
    }
    let folder = temporary();
    let program = compile(folder.path(), "hello", HELLO, &[]);
    let expression = NIXPKGS.replace("PROGRAM", &format!("{:?}", program.to_str().unwrap()));
    let expression = expression.replace("EXAMPLE", &readme_block("nix", "slimpack.lib"));
    let mut nix = Command::new("nix-instantiate");
    nix.args(["--eval", "--strict", "--json", "--expr", &expression]);
    for name in ["STORE_DIR", "STATE_DIR", "LOG_DIR", "LOCALSTATE_DIR"] {
        nix.env(format!("NIX_{name}"), folder.path().join(name));
    }
    nix.env("HOME", folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = output(&mut nix);
    assert!(said.status.success(), "{}", text(&said));
    let flake: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(flake["systems"], json!(["aarch64-linux", "x86_64-linux"]));
    assert_eq!(flake["package"]["pname"], "slimpack");
    assert_eq!(flake["package"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        flake["description"],
        flake["package"]["meta"]["description"]
    );
    assert_eq!(flake["has_lock"], true);
    let expected = "slimpack -q '/nix/store/hello/bin/hello' '-u' '1000' -o $out";
    assert_eq!(flake["example"], expected);
    // Both scripts, with stand-ins for the functions of nixpkgs.
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_slimpack"), out.join("bin/slimpack")).unwrap();
    let bash = |script: &str, out: &Path| {
        let functions =
            "installManPage() { ls \"$@\"; }\ninstallShellCompletion() { ls \"$3\"; }\n";
        let mut bash = Command::new("bash");
        bash.args(["-euc", &format!("{functions}{script}")])
            .env("out", out);
        let path = recipes::path_with_slimpack(folder.path());
        succeed(bash.current_dir(folder.path()).env("PATH", path))
    };
    let installed = bash(flake["package"]["postInstall"].as_str().unwrap(), &out);
    for name in ["man/slimpack.1", "man/slimpack-lint.1", "slimpack.zsh"] {
        assert!(installed.contains(name), "{name}: {installed}");
    }
    let image = folder.path().join("image.tar");
    bash(flake["image"]["script"].as_str().unwrap(), &image);
    assert_eq!(flake["image"]["name"], "hello.tar");
    assert_eq!(common::image_config(&image)["config"]["User"], "1000");
}
