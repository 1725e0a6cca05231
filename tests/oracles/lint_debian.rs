//! `slimpack lint` on a Debian root with planted faults: its findings for each program equal what
//! the loader reports inside a chroot.
//!
//! `SLIMPACK_TEST_DEBIAN` names the root, built by debootstrap (see `.ci/run`).

use crate::{common, docker};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{have, in_chroot, is_root, output, slimpack, succeed, traced_objects};
use serde_json::Value;

/// The root; `None` if this machine has none.
fn debian() -> Option<PathBuf> {
    let root = common::given("SLIMPACK_TEST_DEBIAN")?;
    (is_root() && have(&["cp"])).then_some(root)
}

/// A copy of the root made of hard links: names can be removed and replaced, but files must not be
/// written to.
struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    fn copy(debian: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("slimpack-debian-")
            .tempdir_in(debian.parent().unwrap())
            .unwrap();
        let copy = folder.path().join("root");
        succeed(Command::new("cp").arg("-al").arg(debian).arg(&copy));
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Replaces a file.
    fn replace(&self, path: &str, bytes: &[u8]) {
        let path = fs::canonicalize(self.at(path)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The paths in the root of programs with an interpreter. Setgid ones are left out: with raised
    /// privileges, the loader does not list.
    fn programs(&self) -> Vec<PathBuf> {
        let mut programs = Vec::new();
        let mut pending: Vec<PathBuf> = ["usr/bin", "usr/sbin", "usr/libexec", "usr/lib"]
            .map(|path| self.at(path))
            .into();
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() && entry.metadata().unwrap().mode() & 0o2000 == 0 {
                    let bytes = fs::read(entry.path()).unwrap();
                    let object = slimpack::elf::Object::read(&bytes).ok();
                    // A library that can be executed is loaded by other objects.
                    if object.is_some_and(|object| {
                        object.interpreter.is_some() && object.soname().is_none()
                    }) {
                        let inside = entry
                            .path()
                            .strip_prefix(self.path())
                            .unwrap()
                            .to_path_buf();
                        programs.push(Path::new("/").join(inside));
                    }
                }
            }
        }
        programs.sort();
        assert!(programs.len() > 200, "{} programs", programs.len());
        programs
    }

    fn libraries(&self) -> Vec<String> {
        let folder = "usr/lib/x86_64-linux-gnu";
        let names = common::names_in(&self.at(folder));
        let libraries = names.into_iter().filter(|name| {
            // Without the interpreter there is no oracle; that case has its own test.
            name.contains(".so") && !name.starts_with("ld-") && self.at(folder).join(name).is_file()
        });
        libraries.map(|name| format!("{folder}/{name}")).collect()
    }

    /// What the loader reports about a program, without running it.
    fn ask_loader(&self, program: &Path, variables: &[(&str, &str)]) -> std::process::Output {
        let mut command = in_chroot(&self.path(), program);
        command.env_clear().env("LD_TRACE_LOADED_OBJECTS", "1");
        output(command.envs(variables.iter().copied()))
    }
}

/// The findings of one target.
fn lint(target: &Path) -> Vec<Value> {
    let run = output(slimpack().args(["lint", "--format", "json"]).arg(target));
    assert!(
        matches!(run.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let document: Value = serde_json::from_slice(&run.stdout).unwrap();
    document["targets"][0]["findings"]
        .as_array()
        .unwrap()
        .clone()
}

/// The subjects of the findings of these rules, for each of the programs.
fn by_program(
    findings: &[Value],
    rules: &[&str],
    asked: &[PathBuf],
) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let mut programs: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for finding in findings {
        if !rules.contains(&finding["rule"].as_str().unwrap()) {
            continue;
        }
        for program in finding["programs"].as_array().unwrap() {
            let program = PathBuf::from(program.as_str().unwrap());
            if !asked.contains(&program) {
                continue;
            }
            let subject = finding["subject"].as_str().unwrap().to_owned();
            programs.entry(program).or_default().insert(subject);
        }
    }
    programs
}

/// Fails with the differences between the two.
fn assert_same<T: Ord + std::fmt::Debug>(
    found: impl IntoIterator<Item = T>,
    expected: impl IntoIterator<Item = T>,
    what: &str,
) {
    let (found, expected): (BTreeSet<T>, BTreeSet<T>) =
        (found.into_iter().collect(), expected.into_iter().collect());
    assert!(!expected.is_empty(), "{what}: the fault changes nothing");
    let wrong: Vec<_> = found.difference(&expected).collect();
    let missed: Vec<_> = expected.difference(&found).collect();
    assert!(
        wrong.is_empty() && missed.is_empty(),
        "{what}: wrong {wrong:#?}, missed {missed:#?}"
    );
}

/// Pseudo-random numbers, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

const MISSING: [&str; 3] = ["SP001", "SP003", "SP004"];

/// The names that the loader does not find, for each program.
fn not_found(root: &Root, programs: &[PathBuf]) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let mut missing = BTreeMap::new();
    for program in programs {
        let told = root.ask_loader(program, &[]);
        let listing = String::from_utf8_lossy(&told.stdout).into_owned();
        let names: BTreeSet<String> = traced_objects(&listing, Path::new("/"))
            .iter()
            .filter_map(|line| line.strip_prefix("! ").map(str::to_owned))
            .collect();
        if !names.is_empty() {
            missing.insert(program.clone(), names);
        }
    }
    missing
}

#[test]
fn an_untouched_root_has_no_error_and_few_warnings() {
    let Some(debian) = debian() else { return };
    let findings = lint(&debian);
    let of = |severity: &str| -> Vec<String> {
        let these = findings
            .iter()
            .filter(|finding| finding["severity"] == severity);
        these
            .map(|finding| finding["rule"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of("error"), [""; 0]);
    // The setuid programs of Debian, and nothing else.
    assert!(
        of("warning").iter().all(|rule| rule == "SP305"),
        "{:?}",
        of("warning")
    );
    assert!(of("warning").len() < 20);
}

#[test]
fn deleted_libraries_are_missed_by_the_programs_that_the_loader_names() {
    let Some(debian) = debian() else { return };
    for seed in 1..=10 {
        let root = Root::copy(&debian);
        let programs = root.programs();
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut libraries = root.libraries();
        let mut deleted = Vec::new();
        for _ in 0..8 {
            let library = libraries.swap_remove(random.below(libraries.len()));
            // Sometimes this is a symbolic link, sometimes its target.
            fs::remove_file(root.at(&library)).unwrap();
            deleted.push(library);
        }
        let expected = not_found(&root, &programs);
        let found = by_program(&lint(&root.path()), &MISSING, &programs);
        assert_same(
            found,
            expected,
            &format!("seed {seed}, deleted {deleted:?}"),
        );
    }
}

#[test]
fn a_library_for_another_machine_is_missed_by_the_programs_that_the_loader_names() {
    let Some(debian) = debian() else { return };
    let other = "/usr/aarch64-linux-gnu/lib/libc.so.6";
    if !have(&[other]) {
        return;
    }
    let root = Root::copy(&debian);
    let programs = root.programs();
    root.replace(
        "usr/lib/x86_64-linux-gnu/libselinux.so.1",
        &fs::read(other).unwrap(),
    );
    let expected = not_found(&root, &programs);
    let findings = lint(&root.path());
    assert_same(
        by_program(&findings, &["SP003"], &programs),
        expected,
        "another machine",
    );
}

#[test]
fn a_file_that_the_loader_dies_of_is_an_error_for_the_programs_that_die() {
    let Some(debian) = debian() else { return };
    let whole = fs::read(debian.join("usr/lib/x86_64-linux-gnu/libselinux.so.1")).unwrap();
    for (what, bytes) in [
        ("cut off in the header", whole[..40].to_vec()),
        ("cut off behind the header", whole[..600].to_vec()),
        ("empty", Vec::new()),
        (
            "a linker script",
            b"/* GNU ld script */ GROUP ( libselinux.so )".to_vec(),
        ),
    ] {
        let root = Root::copy(&debian);
        root.replace("usr/lib/x86_64-linux-gnu/libselinux.so.1", &bytes);
        let dies = |program: &&PathBuf| !root.ask_loader(program, &[]).status.success();
        let programs = root.programs();
        let expected: BTreeSet<PathBuf> = programs.iter().filter(dies).cloned().collect();
        let found = by_program(&lint(&root.path()), &["SP004"], &programs);
        assert!(!expected.is_empty());
        assert_eq!(
            found.into_keys().collect::<BTreeSet<_>>(),
            expected,
            "{what}"
        );
    }
}

#[test]
fn without_the_interpreter_every_program_is_an_error() {
    let Some(debian) = debian() else { return };
    let root = Root::copy(&debian);
    let programs = root.programs();
    let interpreter = root.at("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
    fs::remove_file(interpreter).unwrap();
    // The kernel reports that the programs do not exist, although they do.
    let error = in_chroot(&root.path(), Path::new("/usr/bin/ls"))
        .output()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let findings = lint(&root.path());
    let found = by_program(&findings, &["SP002"], &programs).into_keys();
    assert_same(found, programs, "no interpreter");
    let finding = findings
        .iter()
        .find(|finding| finding["rule"] == "SP002")
        .unwrap();
    let hops = finding["evidence"]["hops"].as_array().unwrap();
    // The links on the way to the missing interpreter: /lib64, and the loader's own.
    assert!(hops.len() >= 2, "{hops:?}");
}

/// The programs for which `ldd -r` in the root reports undefined symbols or missing versions.
fn does_not_bind(root: &Root, programs: &[PathBuf]) -> BTreeSet<PathBuf> {
    let told = |program: &&PathBuf| {
        let variables = [("LD_WARN", "1"), ("LD_BIND_NOW", "1"), ("LD_VERBOSE", "")];
        let run = root.ask_loader(program, &variables);
        let text = [run.stdout, run.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.contains("undefined symbol") || text.contains("not found (required by")
    };
    programs.iter().filter(told).cloned().collect()
}

#[test]
fn a_library_in_the_place_of_another_leaves_the_symbols_undefined_that_ldd_names() {
    let Some(debian) = debian() else { return };
    for (place, other) in [
        ("libselinux.so.1", "libz.so.1"),
        ("libtinfo.so.6", "libbz2.so.1.0"),
    ] {
        let folder = Path::new("usr/lib/x86_64-linux-gnu");
        let root = Root::copy(&debian);
        let bytes = fs::read(debian.join(folder).join(other)).unwrap();
        root.replace(folder.join(place).to_str().unwrap(), &bytes);
        let programs = root.programs();
        let expected = does_not_bind(&root, &programs);
        let found = by_program(&lint(&root.path()), &["SP005", "SP015"], &programs);
        assert_same(
            found.into_keys(),
            expected,
            &format!("{other} in the place of {place}"),
        );
    }
}

#[test]
fn a_release_without_a_version_is_refused_for_the_programs_that_the_loader_refuses() {
    let Some(debian) = debian() else { return };
    let path = "usr/lib/x86_64-linux-gnu/libtinfo.so.6";
    let root = Root::copy(&debian);
    let mut bytes = fs::read(debian.join(path)).unwrap();
    // Renames a version that the library defines.
    let name = b"NCURSES6_TINFO_5.0.19991023\0";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    bytes[at + name.len() - 2] = b'9';
    root.replace(path, &bytes);
    let programs = root.programs();
    let refuses = |program: &&PathBuf| {
        let mut command = in_chroot(&root.path(), program);
        let run = output(command.env_clear().arg("--version"));
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        text.contains("version `NCURSES6_TINFO_5.0.19991023' not found")
    };
    let findings = lint(&root.path());
    let found = by_program(&findings, &["SP005"], &programs).into_keys();
    let expected: BTreeSet<PathBuf> = programs.iter().filter(refuses).cloned().collect();
    assert_same(found, expected, "a missing version");
    let finding = findings
        .iter()
        .find(|finding| finding["rule"] == "SP005")
        .unwrap();
    assert_eq!(
        finding["evidence"]["version"],
        "NCURSES6_TINFO_5.0.19991023"
    );
    assert_eq!(finding["evidence"]["newest"], "NCURSES6_TINFO_6.2.20211010");
}

/// The contents of a finding, without the fields that only an image has.
fn said(findings: &[Value]) -> BTreeSet<String> {
    let fields = [
        "rule",
        "severity",
        "path",
        "subject",
        "programs",
        "requesters",
    ];
    let findings = findings.iter();
    findings
        .map(|finding| fields.map(|field| finding[field].to_string()).join(" "))
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn every_kind_of_image_gives_the_findings_of_its_folder() {
    let tools = [
        "tar",
        "gzip",
        "umoci",
        "buildah",
        "dockerd",
        "docker",
        "containerd",
    ];
    let Some(debian) = debian().filter(|_| have(&tools)) else {
        return;
    };
    let root = Root::copy(&debian);
    let library = |name: &str| format!("usr/lib/x86_64-linux-gnu/{name}");
    fs::remove_file(root.at(&library("libacl.so.1"))).unwrap();
    fs::remove_file(fs::canonicalize(root.at(&library("libmount.so.1"))).unwrap()).unwrap();
    root.replace(&library("libz.so.1"), b"not a library");
    std::os::unix::fs::symlink("nowhere", root.at("etc/dangling")).unwrap();
    fs::write(root.at("usr/bin/planted-script"), "#!/usr/bin/nothing\n").unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.at("usr/bin/planted-script"), executable).unwrap();
    let expected = said(&lint(&root.path()));
    for rule in MISSING
        .iter()
        .chain(&["SP303", "SP304"])
        .filter(|rule| **rule != "SP003")
    {
        assert!(
            expected.iter().any(|finding| finding.contains(rule)),
            "no {rule}"
        );
    }

    let folder = root.folder.path();
    let run = |program: &str, arguments: &[&str]| {
        succeed(Command::new(program).args(arguments).current_dir(folder))
    };
    let pack = [
        "--numeric-owner",
        "--xattrs",
        "-C",
        "root",
        "-cf",
        "root.tar",
        ".",
    ];
    // Status 1 means "file changed as we read it": other tests hard-link the same files.
    let packed = common::output(Command::new("tar").args(pack).current_dir(folder));
    assert!(matches!(packed.status.code(), Some(0 | 1)), "{packed:?}");
    run("gzip", &["-1", "-k", "root.tar"]);

    let docker = docker::Docker::start();
    let tar = folder.join("root.tar");
    docker.run(&["import", tar.to_str().unwrap(), "damaged:latest"]);
    let saved = folder.join("docker.tar");
    docker.run(&["save", "-o", saved.to_str().unwrap(), "damaged:latest"]);

    run("umoci", &["init", "--layout", "umoci"]);
    run("umoci", &["new", "--image", "umoci:image"]);
    run("umoci", &["unpack", "--image", "umoci:image", "bundle"]);
    run(
        "tar",
        &[
            "--numeric-owner",
            "--xattrs",
            "-C",
            "bundle/rootfs",
            "-xpf",
            "root.tar",
        ],
    );
    run("umoci", &["repack", "--image", "umoci:image", "bundle"]);

    let buildah = |arguments: &[&str]| {
        let storage = [
            "--root",
            "store",
            "--runroot",
            "run",
            "--storage-driver",
            "vfs",
        ];
        run("buildah", &[&storage[..], arguments].concat())
    };
    let container = buildah(&["from", "scratch"]).trim().to_owned();
    buildah(&["add", "-q", &container, "root.tar", "/"]);
    buildah(&["commit", "-q", &container, "localhost/damaged"]);
    buildah(&[
        "push",
        "-q",
        "localhost/damaged",
        "oci-archive:buildah.tar:image",
    ]);

    for image in [
        "root.tar",
        "root.tar.gz",
        "docker.tar",
        "umoci",
        "buildah.tar",
    ] {
        assert_same(said(&lint(&folder.join(image))), expected.clone(), image);
    }
    docker::unmount_below(folder);
}
