//! Initrds: what cpio and the tools of Debian write is read, whole, and checked.

use crate::{common, roots};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{have, is_root, slimpack, succeed, temporary};
use roots::{Root, lint};
use serde_json::Value;

/// Runs a script in a folder, with these positional parameters.
fn shell(folder: &Path, script: &str, parameters: &[&Path]) -> String {
    let mut command = Command::new("sh");
    command.args(["-euc", script, "sh"]).args(parameters);
    succeed(command.current_dir(folder))
}

/// Writes the files below `root` as cpio does.
fn cpio(root: &Path, to: &Path) {
    let script = "find . | LC_ALL=C sort | cpio -o -H newc --quiet > \"$1\"";
    shell(root, script, &[to]);
}

/// A root with a program, links of both kinds, and a device if that may be made.
fn root() -> Root {
    let root = Root::glibc();
    root.library("lib/libown.so", &[], &[]);
    root.program("usr/bin/app", &["own"], &["-Llib", "-lown"]);
    root.write("etc/large", vec![7; 70_000]);
    root.mode("etc/large", 0o640);
    for name in ["etc/same", "usr/zz"] {
        fs::hard_link(root.at("etc/large"), root.at(name)).unwrap();
    }
    root.write("etc/empty", "");
    root.link("etc/link", "large");
    root.write("init", "#!/usr/bin/app\n");
    root.mode("init", 0o755);
    root
}

/// The tree as `inspect` shows it.
fn tree(image: &Path) -> Value {
    let text = succeed(slimpack().args(["inspect", "--json", "--files"]).arg(image));
    let document: Value = serde_json::from_str(&text).unwrap();
    tree_of(&document)
}

fn tree_of(document: &Value) -> Value {
    let mut tree = document["images"][0]["tree"].clone();
    // Numbers in the order of the members.
    for node in tree.as_array_mut().unwrap() {
        node.as_object_mut().unwrap().remove("inode");
    }
    tree
}

fn kind(image: &Path) -> Value {
    lint([image]).json["targets"][0]["kind"].clone()
}

#[test]
fn an_archive_of_cpio_has_the_tree_of_a_tar() {
    if !have(&["cpio"]) {
        return;
    }
    let root = root();
    let (initrd, archive) = (root.beside("initrd.img"), root.beside("root.tar"));
    cpio(&root.path, &initrd);
    shell(&root.path, "tar -cf \"$1\" .", &[&archive]);
    let tree = tree(&initrd);
    assert_eq!(tree, self::tree(&archive), "a tar");
    assert_eq!(kind(&initrd), "cpio");
    // As cpio itself lists them.
    let listed = shell(&root.path, "cpio -it --quiet < \"$1\"", &[&initrd]);
    let listed: BTreeSet<String> = listed
        .lines()
        .filter(|name| *name != ".")
        .map(|name| format!("/{name}"))
        .collect();
    let paths: BTreeSet<String> = common::strings(&tree, "path").into_iter().collect();
    assert_eq!(paths, listed);
    lint([&initrd]).has_no_error();
    let content = succeed(
        slimpack()
            .args(["why", "--program", "/usr/bin/app"])
            .arg(&initrd)
            .arg("/lib/libown.so"),
    );
    assert!(content.contains("/usr/bin/app"), "{content}");
    let found = succeed(
        slimpack()
            .args(["tree", "--list", "--from"])
            .arg(&initrd)
            .arg("/usr/bin/app"),
    );
    assert!(found.contains("/lib/libown.so"), "{found}");
    fs::remove_file(root.at("lib/libown.so")).unwrap();
    cpio(&root.path, &initrd);
    assert_eq!(lint([&initrd]).only("SP001")["subject"], "libown.so");
}

#[test]
fn every_compression_of_linux_is_read_with_or_without_microcode_in_front() {
    if !have(&["cpio", "gzip", "xz", "zstd", "lz4", "bzip2"]) {
        return;
    }
    let root = root();
    let plain = root.beside("plain.img");
    cpio(&root.path, &plain);
    let tree = tree(&plain);
    let early = temporary();
    fs::create_dir_all(early.path().join("kernel/x86/microcode")).unwrap();
    let microcode = "kernel/x86/microcode/GenuineIntel.bin";
    fs::write(early.path().join(microcode), [1; 5000]).unwrap();
    let first = root.beside("early.img");
    cpio(early.path(), &first);
    for packer in [
        "cat",
        "gzip -9",
        "xz --check=crc32 --lzma2=dict=1MiB",
        "zstd -q -19",
        "lz4 -q -l",
        "lz4 -q -9",
        "bzip2",
    ] {
        let packed = root.beside("packed.img");
        let script = format!("{packer} < \"$1\" > \"$2\"");
        shell(&root.path, &script, &[&plain, &packed]);
        assert_eq!(self::tree(&packed), tree, "{packer}");
        assert_eq!(kind(&packed), "cpio", "{packer}");
        lint([&packed]).has_no_error();
        let both = root.beside("both.img");
        shell(
            &root.path,
            "cat \"$1\" \"$2\" > \"$3\"",
            &[&first, &packed, &both],
        );
        let paths = common::strings(&self::tree(&both), "path");
        assert!(
            paths.contains(&format!("/{microcode}")),
            "{packer}: {paths:?}"
        );
        assert!(
            paths.contains(&"/usr/bin/app".to_owned()),
            "{packer}: {paths:?}"
        );
        lint([&both]).has_no_error();
        // From a pipe, too, but for those that only initrds have.
        if !packer.starts_with("lz4") && packer != "bzip2" {
            let mut command = slimpack();
            command.args(["inspect", "--json", "--files", "-"]);
            let file = fs::File::open(&packed).unwrap();
            let text = succeed(command.stdin(through_a_pipe(file)));
            let document: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(tree_of(&document), tree, "{packer}");
        }
    }
}

fn through_a_pipe(file: fs::File) -> Stdio {
    let mut cat = Command::new("cat")
        .stdin(file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = cat.stdout.take().unwrap();
    // It ends when all has been read.
    std::thread::spawn(move || cat.wait());
    output.into()
}

#[test]
fn later_archives_are_unpacked_over_earlier_ones() {
    if !have(&["cpio", "gzip", "xz", "zstd"]) {
        return;
    }
    let root = root();
    let parts: Vec<PathBuf> = ["1", "2", "3"].map(|name| root.beside(name)).to_vec();
    cpio(&root.path, &parts[0]);
    root.write("etc/empty", "no longer");
    root.link("etc/new", "large");
    root.remove("lib/libown.so");
    cpio(&root.path, &parts[1]);
    root.write("usr/only-here", "text");
    cpio(&root.path, &parts[2]);
    let whole = root.beside("whole.img");
    // Each packed in another way, with zeros between them.
    let script = "{ zstd -qc \"$1\"; head -c 512 /dev/zero; gzip -c \"$2\"; xz --check=crc32 -c \"$3\"; \
                  head -c 1000 /dev/zero; } > \"$4\"";
    let parameters: Vec<&Path> = parts.iter().chain([&whole]).map(PathBuf::as_path).collect();
    shell(&root.path, script, &parameters);
    let tree = tree(&whole);
    let file = |path: &str| {
        let mut nodes = tree.as_array().unwrap().iter();
        nodes.find(|node| node["path"] == path).cloned()
    };
    let text = succeed(slimpack().args(["inspect", "--files"]).arg(&whole));
    assert!(
        text.contains("only-here") && text.contains("libown.so"),
        "{text}"
    );
    assert!(file("/etc/new").is_some());
    let bytes = file("/etc/empty").unwrap();
    assert!(bytes.to_string().contains('9'), "{bytes}");
    lint([&whole]).has_no_error();
}

#[test]
fn an_initrd_starts_its_init() {
    if !have(&["cpio"]) {
        return;
    }
    let root = root();
    let initrd = root.beside("initrd.img");
    let packed = || {
        cpio(&root.path, &initrd);
        lint([&initrd])
    };
    packed().has_no_error();
    let mut why = slimpack();
    let said = succeed(why.arg("why").arg(&initrd).arg("/lib/libown.so"));
    assert!(
        said.contains("/init") && said.contains("entrypoint"),
        "{said}"
    );
    let slim = root.beside("slim.tar");
    let mut minimize = slimpack();
    minimize.arg("--from").arg(&initrd).arg("-o").arg(&slim);
    succeed(&mut minimize);
    let paths = common::strings(&tree(&slim), "path");
    for path in ["/init", "/usr/bin/app", "/usr/lib/libown.so"] {
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
    assert!(!paths.contains(&"/etc/large".to_owned()), "{paths:?}");
    assert_eq!(
        common::image_config(&slim)["config"]["Entrypoint"][0],
        "/init"
    );
    // Linux starts no file that it may not execute, and no script without its interpreter.
    root.mode("init", 0o644);
    assert_eq!(packed().only("SP302")["path"], "/init");
    root.write("init", "#!/bin/gone\n");
    root.mode("init", 0o755);
    assert_eq!(packed().only("SP303")["severity"], "error");
    root.remove("init");
    root.link("init", "sbin/gone");
    assert_eq!(packed().only("SP302")["subject"], "/init");
    root.remove("init");
    root.program("init", &["own"], &["-Llib", "-lown"]);
    let shown = || slimpack().arg("tree").arg(&initrd).output().unwrap();
    packed().has_no_error();
    assert!(common::text(&shown()).contains("libown.so"));
    // An addition to another initrd starts nothing, and a tar of the same root neither.
    root.remove("init");
    packed().has_no_error();
    assert!(common::text(&shown()).contains("it has no entrypoint"));
}

/// The initrds that Debian's tools make for a kernel without modules. What they read of the kernel
/// is mounted in a namespace of their own.
fn debian(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    const SCRIPT: &str = "
        version=6.1.0-0-test
        mkdir -p modules/$version/kernel boot made
        for name in GZIP ZSTD XZ LZ4 BZIP2; do echo CONFIG_RD_$name=y; done > boot/config-$version
        mkdir -p /lib/modules /boot
        mount --bind modules /lib/modules
        mount --bind boot /boot
        depmod $version 2>/dev/null
        mkinitramfs -o made/initramfs-tools $version
        dracut --quiet --force --no-hostonly --kver $version made/dracut
    ";
    let script = format!("set -e; {SCRIPT}");
    succeed(
        Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .current_dir(folder),
    );
    ["initramfs-tools", "dracut"]
        .map(|name| (name, folder.join("made").join(name)))
        .to_vec()
}

/// The names in DT_NEEDED of all ELF files below a folder.
fn needed(root: &Path) -> BTreeSet<String> {
    let script = "find . -type f -exec readelf -d {} + 2>/dev/null | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p' || :";
    let listed = shell(root, script, &[]);
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn initrds_of_debian_have_no_error_and_each_deleted_library_is_found() {
    let tools = [
        "mkinitramfs",
        "dracut",
        "depmod",
        "unmkinitramfs",
        "lsinitramfs",
        "cpio",
        "readelf",
        "unshare",
    ];
    if !have(&tools) || !is_root() {
        return;
    }
    let folder = temporary();
    for (name, initrd) in debian(folder.path()) {
        let report = lint([&initrd]);
        report.has_no_error();
        assert!(
            report.json["targets"][0]["checked"]["elf"]
                .as_u64()
                .unwrap()
                > 50,
            "{name}"
        );
        // The names that initramfs-tools itself lists.
        let listed = succeed(Command::new("lsinitramfs").arg(&initrd));
        let listed: BTreeSet<String> = listed
            .lines()
            .filter(|line| *line != ".")
            .map(|line| format!("/{line}"))
            .collect();
        let paths = common::strings(&tree(&initrd), "path")
            .into_iter()
            .collect();
        assert_eq!(listed, paths, "{name}");
        let root = folder.path().join(format!("root of {name}"));
        succeed(Command::new("unmkinitramfs").arg(&initrd).arg(&root));
        let root = match root.join("main") {
            main if main.exists() => main,
            _ => root,
        };
        every_library_is_missed(name, &root, folder.path());
    }
}

/// Takes one library at a time out of a root.
fn every_library_is_missed(name: &str, root: &Path, folder: &Path) {
    let needed = needed(root);
    assert!(needed.len() > 10, "{name}: {needed:?}");
    let stride = match std::env::var_os("SLIMPACK_TEST_ALL") {
        Some(_) => 1,
        None => 3,
    };
    let (changed, aside) = (folder.join("changed.img"), folder.join("aside"));
    let library = |soname: &str| -> Option<PathBuf> {
        let found = shell(root, &format!("find . -name '{soname}' ! -type d"), &[]);
        Some(root.join(found.lines().next()?))
    };
    let mut checked = 0;
    for soname in needed.iter().step_by(stride) {
        let Some(path) = library(soname) else {
            continue;
        };
        fs::rename(&path, &aside).unwrap();
        // Another file of the name may take its place.
        let is_gone = library(soname).is_none();
        cpio(root, &changed);
        fs::rename(&aside, &path).unwrap();
        let report = lint([&changed]);
        let mut missing = report.findings();
        missing.retain(|found| {
            let subject = found["subject"].as_str().unwrap();
            let is_it = subject == soname || subject.ends_with(&format!("/{soname}"));
            is_it && (found["rule"] == "SP001" || found["rule"] == "SP002")
        });
        assert!(
            !is_gone || !missing.is_empty(),
            "{name}: {soname}\n{report:?}"
        );
        checked += usize::from(is_gone);
    }
    assert!(checked >= 3, "{name}: {checked}");
}

#[test]
fn a_packed_initrd_is_unpacked_by_cpio_and_the_same_each_time() {
    if !have(&["cpio", "gzip"]) || !is_root() {
        return;
    }
    let root = root();
    let library = root.at("lib");
    let pack = |format: &str, more: &[&str], to: &Path| {
        let mut command = slimpack();
        command.arg(root.at("usr/bin/app")).arg("-L").arg(&library);
        command.args([
            "--format",
            format,
            "--dest",
            "/init",
            "--without",
            "package-records",
        ]);
        let large = format!("{}:/etc/large", root.at("etc/large").display());
        command.args(["--add", &large]).args(more);
        succeed(command.arg("-o").arg(to));
    };
    let (initrd, again) = (root.beside("initrd.img"), root.beside("again.img"));
    pack("cpio", &[], &initrd);
    pack("cpio", &[], &again);
    assert_eq!(fs::read(&initrd).unwrap(), fs::read(&again).unwrap());
    assert_eq!(kind(&initrd), "cpio");
    lint([&initrd]).has_no_error();
    let unpacked = temporary();
    shell(unpacked.path(), "cpio -id --quiet < \"$1\"", &[&initrd]);
    let ran = common::in_chroot(unpacked.path(), Path::new("/init"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", common::text(&ran));
    let listed = shell(
        unpacked.path(),
        "cpio -it --quiet < \"$1\" | wc -l",
        &[&initrd],
    );
    let tree = tree(&initrd);
    assert_eq!(listed.trim(), tree.as_array().unwrap().len().to_string());
    let (large, unpacked_large) = (root.at("etc/large"), unpacked.path().join("etc/large"));
    assert_eq!(fs::read(large).unwrap(), fs::read(unpacked_large).unwrap());
    // The same tree as in a tar of the root.
    let archive = root.beside("root.tar");
    pack("rootfs-tar", &[], &archive);
    assert_eq!(tree, self::tree(&archive));
    let packed = root.beside("initrd.gz");
    pack("cpio", &["--compress", "gzip"], &packed);
    assert_eq!(self::tree(&packed), tree);
    shell(unpacked.path(), "gzip -t < \"$1\"", &[&packed]);
}

#[test]
fn hard_links_of_a_packed_initrd_are_one_file_for_cpio() {
    if !have(&["cpio"]) || !is_root() {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let root = root();
    let mut command = slimpack();
    command
        .args(["--format", "cpio"])
        .arg(root.at("usr/bin/app"));
    command.arg("-L").arg(root.at("lib"));
    for name in ["large", "same"] {
        let add = format!("{}:/data/{name}", root.at("etc").join(name).display());
        command.args(["--add", &add]);
    }
    let initrd = root.beside("initrd.img");
    succeed(command.arg("-o").arg(&initrd));
    let unpacked = temporary();
    shell(unpacked.path(), "cpio -id --quiet < \"$1\"", &[&initrd]);
    let files = ["large", "same"].map(|name| unpacked.path().join("data").join(name));
    let inodes = files
        .each_ref()
        .map(|file| fs::metadata(file).unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    assert_eq!(fs::read(&files[0]).unwrap().len(), 70_000);
    assert_eq!(fs::metadata(&files[0]).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn capabilities_that_cpio_drops_are_reported() {
    if !have(&["setcap", "getcap", "cpio"]) || !is_root() {
        return;
    }
    let root = root();
    let program = root.at("usr/bin/app");
    succeed(Command::new("setcap").arg("cap_net_raw=ep").arg(&program));
    let pack = |format: &str, more: &[&str], to: &Path| {
        let mut command = slimpack();
        command.arg(&program).arg("-L").arg(root.at("lib"));
        command
            .args(["--dest", "/init", "--format", format])
            .args(more);
        let packed = common::output(command.arg("-o").arg(to));
        assert!(packed.status.success(), "{}", common::text(&packed));
        String::from_utf8(packed.stderr).unwrap()
    };
    let initrd = root.beside("initrd.img");
    let note = "note: cpio has no file capabilities, and drops those of /init cap_net_raw=ep;";
    assert!(pack("cpio", &[], &initrd).contains(note));
    let unpacked = temporary();
    shell(unpacked.path(), "cpio -id --quiet < \"$1\"", &[&initrd]);
    assert_eq!(shell(unpacked.path(), "getcap init", &[]), "");
    assert!(!pack("cpio", &["--normalize"], &initrd).contains("note: cpio"));
    let archive = root.beside("root.tar");
    assert!(!pack("rootfs-tar", &[], &archive).contains("note: cpio"));
}
