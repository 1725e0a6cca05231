//! Programs for other machines, packed from Debian's cross sysroots: resolved as the real loader
//! does under qemu, and run.

use crate::common;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{fail_with, have, is_root, output, slimpack, succeed, temporary};

struct Machine {
    compiler: &'static str,
    qemu: &'static str,
    root: &'static str,
    name: &'static str,
    platform: &'static str,
}

const AARCH64: Machine = Machine {
    compiler: "aarch64-linux-gnu-g++",
    qemu: "qemu-aarch64-static",
    root: "/usr/aarch64-linux-gnu",
    name: "aarch64",
    platform: "linux/arm64",
};

const ARMHF: Machine = Machine {
    compiler: "arm-linux-gnueabihf-g++",
    qemu: "qemu-arm-static",
    root: "/usr/arm-linux-gnueabihf",
    name: "arm",
    platform: "linux/arm/v7",
};

const SOURCE: &str = r#"
#include <iostream>
extern "C" int inner(void);
int main() { std::cout << "inner " << inner() << std::endl; return 0; }
"#;

/// Builds a C++ program with a library of its own.
fn build(machine: &Machine, folder: &Path) -> std::path::PathBuf {
    fs::create_dir_all(folder.join("lib")).unwrap();
    fs::write(
        folder.join("inner.cc"),
        "extern \"C\" int inner(void) { return 42; }",
    )
    .unwrap();
    fs::write(folder.join("app.cc"), SOURCE).unwrap();
    let compile = |arguments: &[&str]| {
        succeed(
            Command::new(machine.compiler)
                .args(arguments)
                .current_dir(folder),
        );
    };
    compile(&[
        "-shared",
        "-fPIC",
        "-nostdlib",
        "inner.cc",
        "-o",
        "lib/libinner.so",
        "-Wl,-soname,libinner.so",
    ]);
    compile(&[
        "app.cc",
        "-o",
        "app",
        "-Llib",
        "-linner",
        "-Wl,-rpath,$ORIGIN/lib",
    ]);
    folder.join("app")
}

fn packs_and_runs(machine: &Machine) {
    if !have(&[machine.compiler, machine.qemu]) {
        return;
    }
    let temporary = temporary();
    let folder = fs::canonicalize(temporary.path()).unwrap();
    let program = build(machine, &folder);

    // The loader's own list, with paths relative to the sysroot.
    let trace = succeed(
        Command::new(machine.qemu)
            .args(["-L", machine.root, "-E", "LD_TRACE_LOADED_OBJECTS=1"])
            .arg(&program),
    );
    let mut expected = common::traced_objects(&trace, &folder);
    let tree = succeed(
        slimpack()
            .args(["tree", "--json", "--root", machine.root])
            .arg(&program),
    );
    let tree: serde_json::Value = serde_json::from_str(&tree).unwrap();
    assert_eq!(tree["machine"], machine.name);
    let mut found: Vec<String> = tree["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["opened_as"].as_str().unwrap().to_owned())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);

    // The sysroot is given for its architecture, next to one for another architecture.
    let archive = folder.join("image.tar");
    let root = format!("{}={}", machine.name, machine.root);
    let summary = output(
        slimpack()
            .args(["--root", "s390x=/no/such", "--root", &root, "-o"])
            .arg(&archive)
            .arg(&program),
    );
    let summary = String::from_utf8(summary.stderr).unwrap();
    assert!(summary.contains(machine.platform), "{summary}");
    let layer = common::layer(&archive);
    assert!(
        layer.contains_key("usr/local/bin/lib/libinner.so"),
        "{layer:#?}"
    );
    let leaked = layer
        .keys()
        .any(|path| path.contains("host") || path.contains("slimpack-test"));
    assert!(!leaked, "{layer:#?}");

    // Runs with the unpacked image as the root directory, so that nothing of this machine can help.
    if !is_root() || !have(&["tar"]) {
        return;
    }
    let root = folder.join("root");
    common::unpack_layer(&archive, &root);
    fs::copy(common::find(machine.qemu).unwrap(), root.join("qemu")).unwrap();
    let mut run = common::in_chroot(&root, Path::new("/qemu"));
    assert_eq!(succeed(run.arg("/usr/local/bin/app")), "inner 42\n");
}

#[test]
fn an_aarch64_program_is_resolved_as_under_qemu_and_runs() {
    packs_and_runs(&AARCH64);
}

#[test]
fn an_armhf_program_is_resolved_as_under_qemu_and_runs() {
    packs_and_runs(&ARMHF);
}

/// A cache in which `/opt/lib/libinner.so` is an aarch64 library. This machine's ldconfig knows
/// only its own kind, so it builds the cache for such a library, and the flags of the entries are
/// then changed.
fn foreign_cache(folder: &Path) -> std::path::PathBuf {
    let native = folder.join("native");
    fs::create_dir_all(native.join("opt/lib")).unwrap();
    fs::create_dir_all(native.join("etc")).unwrap();
    fs::write(native.join("etc/ld.so.conf"), "/opt/lib\n").unwrap();
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libinner.so"];
    let library = common::compile(
        &native,
        "libinner.so",
        "int inner(void) { return 0; }",
        &flags,
    );
    fs::rename(library, native.join("opt/lib/libinner.so")).unwrap();
    succeed(Command::new("/usr/sbin/ldconfig").arg("-r").arg(&native));
    let cache = native.join("etc/ld.so.cache");
    let mut bytes = fs::read(&cache).unwrap();
    let entries = u32::from_le_bytes(bytes[20..24].try_into().unwrap());
    for entry in 0..entries as usize {
        let flags = &mut bytes[48 + 24 * entry..][..4];
        assert_eq!(flags, [0x03, 0x03, 0, 0]);
        flags[1] = 0x0a;
    }
    fs::write(&cache, bytes).unwrap();
    cache
}

/// The cache that slimpack writes is for the loader in the image, not for this machine's.
#[test]
fn an_aarch64_loader_uses_the_cache_that_was_written_for_it() {
    if !have(&[AARCH64.compiler, AARCH64.qemu]) || !is_root() {
        return;
    }
    let temporary = temporary();
    let folder = fs::canonicalize(temporary.path()).unwrap();
    let root = folder.join("root");
    succeed(
        Command::new("mkdir")
            .arg("-p")
            .arg(root.join("opt/lib"))
            .arg(root.join("etc")),
    );
    succeed(
        Command::new("cp")
            .arg("-a")
            .arg(format!("{}/lib", AARCH64.root))
            .arg(&root),
    );
    build(&AARCH64, &folder);
    fs::rename(
        folder.join("lib/libinner.so"),
        root.join("opt/lib/libinner.so"),
    )
    .unwrap();
    let link = ["app.cc", "-o", "root/app", "-Lroot/opt/lib", "-linner"];
    succeed(
        Command::new(AARCH64.compiler)
            .args(link)
            .current_dir(&folder),
    );
    fs::copy(foreign_cache(&folder), root.join("etc/ld.so.cache")).unwrap();

    let archive = folder.join("image.tar");
    succeed(
        slimpack()
            .arg("--root")
            .arg(&root)
            .arg(root.join("app"))
            .arg("-o")
            .arg(&archive),
    );
    assert!(common::layer(&archive).contains_key("etc/ld.so.cache"));
    let image = folder.join("image");
    common::unpack_layer(&archive, &image);
    fs::copy(common::find(AARCH64.qemu).unwrap(), image.join("qemu")).unwrap();
    let mut run = common::in_chroot(&image, Path::new("/qemu"));
    assert_eq!(succeed(run.arg("/usr/local/bin/app")), "inner 42\n");
    // ldconfig reads it too.
    let listed = succeed(
        Command::new("/usr/sbin/ldconfig")
            .args(["-p", "-C"])
            .arg(image.join("etc/ld.so.cache")),
    );
    assert!(
        listed.contains("libinner.so (libc6,AArch64) => /opt/lib/libinner.so"),
        "{listed}"
    );
}

#[test]
fn a_root_that_does_not_exist_or_has_no_loader_is_said_so() {
    let folder = temporary();
    let stderr = fail_with(
        2,
        slimpack().args(["--root", "/no/such"]).arg(common::hello()),
    );
    assert!(
        stderr.contains("cannot use /no/such as the root"),
        "{stderr}"
    );
    let stderr = fail_with(
        2,
        slimpack()
            .arg("--root")
            .arg(common::hello())
            .arg(common::hello()),
    );
    assert!(stderr.contains("it is not a directory"), "{stderr}");
    let stderr = fail_with(
        2,
        slimpack()
            .arg("--root")
            .arg(folder.path())
            .arg(common::hello()),
    );
    assert!(
        stderr.contains("cannot open its interpreter /lib64/ld-linux-x86-64.so.2"),
        "{stderr}"
    );
    let stderr = fail_with(
        2,
        slimpack().args(["--root", "s390x=/"]).arg(common::hello()),
    );
    assert!(
        stderr.contains("no --root given for amd64 programs"),
        "{stderr}"
    );
}

/// Libraries for further machines, a big-endian one and two 32-bit ones among them: compared with
/// what their own loader lists under qemu, and no version or symbol is missing.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases and their check")]
fn libraries_of_every_machine_are_resolved_as_their_loader_does() {
    for (root, qemu, loader) in [
        (
            "/usr/riscv64-linux-gnu",
            "qemu-riscv64-static",
            "ld-linux-riscv64-lp64d.so.1",
        ),
        ("/usr/s390x-linux-gnu", "qemu-s390x-static", "ld64.so.1"),
        (
            "/usr/powerpc64le-linux-gnu",
            "qemu-ppc64le-static",
            "ld64.so.2",
        ),
        ("/usr/i686-linux-gnu", "qemu-i386-static", "ld-linux.so.2"),
        ("/usr/x86_64-linux-gnux32", "", "ld-linux-x32.so.2"),
    ] {
        let loader_path = Path::new(root).join("lib").join(loader);
        if !loader_path.exists() {
            common::miss(format!("{} is not installed", loader_path.display()));
            continue;
        }
        for name in [
            "libresolv.so.2",
            "libm.so.6",
            "libnss_compat.so.2",
            "libthread_db.so.1",
        ] {
            let library = Path::new(root).join("lib").join(name);
            let tree = |flags: &[&str]| {
                let mut command = slimpack();
                command
                    .arg("tree")
                    .args(flags)
                    .args(["--root", root])
                    .arg(&library);
                succeed(&mut command)
            };
            let base_names = |list: &[String]| -> Vec<String> {
                let names = list
                    .iter()
                    .map(|path| path.rsplit('/').next().unwrap().to_owned());
                names.filter(|name| name != loader).collect()
            };
            let found: Vec<String> = tree(&["--list"]).lines().map(str::to_owned).collect();
            assert!(
                found.contains(&"/lib/libc.so.6".to_owned()),
                "{root} {name}: {found:?}"
            );
            assert_eq!(
                tree(&["-q", "--versions", "--symbols"]),
                "",
                "{root} {name}"
            );
            // No qemu runs x32 programs.
            if qemu.is_empty() || !have(&[qemu]) {
                continue;
            }
            let mut listing = Command::new(qemu);
            listing
                .args(["-L", root])
                .arg(&loader_path)
                .arg("--list")
                .arg(&library);
            let expected = common::traced_objects(&succeed(&mut listing), Path::new("/"));
            assert_eq!(base_names(&found), base_names(&expected), "{root} {name}");
        }
    }
}
