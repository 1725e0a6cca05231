//! A release: what `release.sh` makes of programs, and what cargo makes of the source.
//!
//! A `cargo` that copies programs stands in for the builds, which take minutes; the tests of the
//! distribution build one in earnest.

use crate::{common, releases};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{compile, fail_with, have, names_in, output, succeed, temporary, text};
use releases::VERSION;

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

fn archive(target: &str) -> String {
    format!("slimpack-{VERSION}-{target}.tar.gz")
}

/// A static program that is slimpack.
const PROGRAM: &str = "#include <unistd.h>
int main(int count, char **words) { (void)count; return execv(SLIMPACK, words); }
";

/// Copies programs for `cargo build … --target TARGET`; everything else is cargo's own.
const CARGO: &str = "#!/bin/sh
[ \"$1\" = build ] || exec CARGO \"$@\"
echo \"$RUSTFLAGS $*\" >> \"$0.log\"
while [ $# -gt 1 ]; do shift; done
mkdir -p target/$1/dist
for name in slimpack cargo-slimpack; do cp \"${0%/*}/$1\" target/$1/dist/$name; done
";

/// A copy of the source, with programs to release.
struct Sources {
    folder: tempfile::TempDir,
}

impl Sources {
    fn new() -> Self {
        let folder = temporary();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("tools")).unwrap();
        let slimpack = format!("-DSLIMPACK={:?}", env!("CARGO_BIN_EXE_slimpack"));
        compile(
            &at("tools"),
            TARGETS[0],
            PROGRAM,
            &["-static", "-s", &slimpack],
        );
        let source = at("tools/program.c");
        fs::write(&source, PROGRAM).unwrap();
        let mut arm = Command::new("aarch64-linux-gnu-gcc");
        arm.args(["-static", "-s", &slimpack]).arg(source);
        succeed(arm.arg("-o").arg(at("tools").join(TARGETS[1])));
        fs::write(at("tools/cargo"), CARGO.replace("CARGO", env!("CARGO"))).unwrap();
        fs::set_permissions(at("tools/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        common::copy_source(&at("source"));
        Self { folder }
    }

    fn release(&self, words: &[&str]) -> Output {
        let tools = self.folder.path().join("tools");
        let path = std::env::var_os("PATH").unwrap();
        let path = std::iter::once(tools).chain(std::env::split_paths(&path));
        let mut release = Command::new(self.folder.path().join("source/release.sh"));
        release.args(words).env("SOURCE_DATE_EPOCH", "1700000000");
        release
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS");
        output(release.env("PATH", std::env::join_paths(path).unwrap()))
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("source/target/release-files")
    }

    fn shell(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        succeed(shell.args(["-euc", script]).current_dir(self.files()))
    }
}

#[test]
fn a_release_has_archives_packages_and_checksums() {
    let tools = [
        "aarch64-linux-gnu-gcc",
        "cargo-deb",
        "dpkg-deb",
        "lintian",
        "tar",
        "sha256sum",
    ];
    if !have(&tools) || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let sources = Sources::new();
    let made = sources.release(&["--deb"]);
    assert!(made.status.success(), "{}", text(&made));
    let packages = ["amd64", "arm64"].map(|name| format!("slimpack_{VERSION}-1_{name}.deb"));
    let expected: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| archive(target))
        .chain(packages.clone())
        .chain(["SHA256SUMS".to_owned()])
        .collect();
    assert_eq!(
        names_in(&sources.files())
            .into_iter()
            .collect::<BTreeSet<_>>(),
        expected
    );
    sources.shell("sha256sum --quiet --strict -c SHA256SUMS && [ $(wc -l < SHA256SUMS) = 4 ]");
    has_the_flags(&sources);
    archives_are_complete(&sources);
    packages_are_complete(&sources, &packages);
    // The same programs give the same release.
    let before = fs::read(sources.files().join("SHA256SUMS")).unwrap();
    assert!(sources.release(&["--deb"]).status.success());
    assert!(before == fs::read(sources.files().join("SHA256SUMS")).unwrap());
    installs_by_binstall(&sources);
    let made = sources.release(&["--no-default-features", TARGETS[0]]);
    assert!(made.status.success(), "{}", text(&made));
    assert_eq!(
        names_in(&sources.files()),
        ["SHA256SUMS", &archive(TARGETS[0])]
    );
    assert!(
        !sources
            .shell("tar -tzf *.tar.gz")
            .contains("cargo-slimpack")
    );
}

/// How cargo was called for each target.
fn has_the_flags(sources: &Sources) {
    let flags = fs::read_to_string(sources.folder.path().join("tools/cargo.log")).unwrap();
    let lines: Vec<&str> = flags.lines().collect();
    assert!(
        lines
            .iter()
            .all(|line| line.contains("target-feature=+crt-static")),
        "{flags}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line.contains("build --profile dist --locked --target "))
    );
    // GNU ld, which links for another architecture, folds no code.
    assert!(
        lines[0].contains("--icf=all") && !lines[1].contains("--icf"),
        "{flags}"
    );
}

fn archives_are_complete(sources: &Sources) {
    for (target, machine) in TARGETS.iter().zip(["X86-64", "AArch64"]) {
        let name = format!("slimpack-{VERSION}-{target}");
        let listed = sources.shell(&format!("tar -tvzf {}", archive(target)));
        assert!(
            listed
                .lines()
                .all(|line| line.contains(" 0/0 ") && line.contains(&name)),
            "{listed}"
        );
        for path in [
            "slimpack",
            "cargo-slimpack",
            "README.md",
            "LICENSE-MIT",
            "man/slimpack.1",
            "man/slimpack-lint.1",
            "completions/slimpack.zsh",
        ] {
            let path = format!("{name}/{path}\n");
            assert!(listed.contains(&path), "{path}: {listed}");
        }
        let head = sources.shell(&format!(
            "tar -xOzf {} {name}/slimpack > ../program && readelf -h ../program",
            archive(target)
        ));
        assert!(head.contains(machine), "{head}");
    }
}

fn packages_are_complete(sources: &Sources, packages: &[String]) {
    for package in packages {
        let listed = sources.shell(&format!("dpkg-deb -c {package}"));
        for path in [
            "./usr/bin/slimpack",
            "./usr/bin/cargo-slimpack",
            "./usr/share/man/man1/slimpack.1.gz",
            "./usr/share/bash-completion/completions/slimpack",
            "./usr/share/fish/vendor_completions.d/slimpack.fish",
            "./usr/share/zsh/vendor-completions/_slimpack",
            "./usr/share/doc/slimpack/copyright",
        ] {
            assert!(listed.contains(path), "{path}: {listed}");
        }
        let judged = sources.shell(&format!(
            "lintian --allow-root --fail-on error {package} || echo failed"
        ));
        assert!(
            !judged.contains("failed") && !judged.contains("E: "),
            "{judged}"
        );
    }
}

/// What cargo-binstall makes of the metadata leads to the archives and the programs in them.
fn installs_by_binstall(sources: &Sources) {
    let manifest = fs::read_to_string(common::source("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let binstall = &manifest["package"]["metadata"]["binstall"];
    assert_eq!(binstall["pkg-fmt"].as_str(), Some("tgz"));
    for target in TARGETS {
        let filled = |key: &str, program: &str| {
            let text = binstall[key].as_str().unwrap().to_owned();
            let values = [
                ("{ repo }", "REPO"),
                ("{ name }", "slimpack"),
                ("{ version }", VERSION),
                ("{ target }", target),
                ("{ bin }", program),
                ("{ binary-ext }", ""),
            ];
            values
                .iter()
                .fold(text, |text, (name, value)| text.replace(name, value))
        };
        let url = filled("pkg-url", "");
        let file = url.strip_prefix(&format!("REPO/releases/download/v{VERSION}/"));
        for program in ["slimpack", "cargo-slimpack"] {
            let path = filled("bin-dir", program);
            sources.shell(&format!("tar -xOzf {} {path} > /dev/null", file.unwrap()));
        }
    }
}

#[test]
fn what_release_sh_does_not_know_is_an_error() {
    let release = || Command::new(common::source("release.sh"));
    for word in ["--debian", "x86_64-pc-windows-msvc"] {
        let said = fail_with(2, release().arg(word));
        assert!(said.contains("is neither an option nor a target"), "{said}");
    }
    fail_with(2, release().args(["--deb", "--no-default-features"]));
}

/// Packages of the workspace, as they would be published.
const PACKAGES: [&str; 7] = [
    "slimpack-vfs",
    "slimpack-elf",
    "slimpack-image",
    "slimpack-loader",
    "slimpack-trace",
    "slimpack-run",
    "slimpack",
];

#[test]
fn published_packages_are_clean_and_build_on_their_own() {
    if !have(&["tar"]) {
        return;
    }
    let folder = temporary();
    let mut package = Command::new(env!("CARGO"));
    package.args([
        "package",
        "--no-verify",
        "--offline",
        "--allow-dirty",
        "--target-dir",
    ]);
    package
        .arg(folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let packed = output(package.args(PACKAGES.iter().flat_map(|name| ["-p", name])));
    assert!(packed.status.success(), "{}", text(&packed));
    assert!(!text(&packed).contains("warning"), "{}", text(&packed));
    // Outside of this workspace.
    let place = tempfile::tempdir().unwrap();
    let own = place.path();
    for name in PACKAGES {
        let file = folder
            .path()
            .join(format!("package/{name}-{VERSION}.crate"));
        succeed(Command::new("tar").arg("-C").arg(own).arg("-xzf").arg(file));
    }
    let at = |name: &str| own.join(format!("{name}-{VERSION}"));
    let listed = names_in(&at("slimpack"));
    for name in [
        ".ci",
        ".github",
        "crates",
        "docs",
        "target",
        "Dockerfile",
        "release.sh",
    ] {
        assert!(!listed.contains(&name.to_owned()), "{name}: {listed:?}");
    }
    for name in ["Cargo.toml", "LICENSE-MIT", "README.md", "src"] {
        assert!(listed.contains(&name.to_owned()), "{name}: {listed:?}");
    }
    // The others stand in for those of the registry.
    let mut check = Command::new(env!("CARGO"));
    check
        .args(["check", "--offline", "--lib", "--bins"])
        .current_dir(at("slimpack"));
    for name in &PACKAGES[..PACKAGES.len() - 1] {
        let path = at(name);
        check.args(["--config", &format!("patch.crates-io.{name}.path={path:?}")]);
    }
    // What does not belong to the workspace has been checked there.
    let target = Path::new(env!("CARGO_BIN_EXE_slimpack")).ancestors().nth(2);
    check.arg("--target-dir").arg(target.unwrap());
    let checked = output(check.env_remove("RUSTFLAGS"));
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(!text(&checked).contains("warning"), "{}", text(&checked));
}
