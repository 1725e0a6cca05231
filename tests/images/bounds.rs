//! Limits hold for a whole run: hostile input that multiplies the cost of an image.

use crate::{common, image_writer};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use common::{fail_with, hello, names_in, output, slimpack, succeed, temporary, text};
use image_writer::{Files, Layer, Member, archive, gzip};
use serde_json::json;

/// A run limited to this address space, in MiB.
fn within(mebibytes: u64, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -v {}; exec \"$0\" \"$@\"", mebibytes << 10);
    command.args(["-c", &limit]).arg(slimpack().get_program());
    output(command.args(arguments))
}

fn refused(path: &Path, says: &str) {
    let ended = within(1536, &["inspect", path.to_str().unwrap()]);
    let said = text(&ended);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn many_entries_that_name_one_large_configuration_hold_it_once() {
    let folder = temporary();
    let path = folder.path().join("many.tar.gz");
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Labels": {"a": "x".repeat(8_000_000)}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))]},
    });
    let write = |count: usize| {
        let entries: Vec<_> = (0..count)
            .map(|n| json!({"Config": "c.json", "RepoTags": null, "Layers": [format!("l{n}.tar")]}))
            .collect();
        let files = Files::from([
            (
                "manifest.json".to_owned(),
                json!(entries).to_string().into_bytes(),
            ),
            ("c.json".to_owned(), config.to_string().into_bytes()),
        ]);
        fs::write(&path, gzip(&archive(&files))).unwrap();
    };
    write(2000);
    refused(&path, "--limit images=");
    // The most images allowed: the error is about their missing layers, not about memory.
    write(400);
    refused(&path, "l0.tar");
}

#[test]
fn a_healthcheck_and_documents_are_bounded() {
    let folder = temporary();
    let path = folder.path().join("image.tar");
    let layer = Layer::of(&[Member::file("a", "a")]);
    let check = |commands: usize| {
        let files = image_writer::oci_edited(std::slice::from_ref(&layer), |name, document| {
            if name == "config" {
                document["config"] = json!({"Healthcheck": {"Test": vec![0; commands]}});
            }
        });
        fs::write(&path, archive(&files)).unwrap();
    };
    check(100_000);
    refused(&path, "Healthcheck has more than");
    check(10);
    succeed(slimpack().arg("inspect").arg(&path));
    let documents: Vec<_> = (0..6).map(|n| format!("c{n}.json")).collect();
    let entries: Vec<_> = documents
        .iter()
        .map(|name| json!({"Config": name, "RepoTags": null, "Layers": []}))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "author": "x".repeat(15 << 20),
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let mut files = Files::from([(
        "manifest.json".to_owned(),
        json!(entries).to_string().into_bytes(),
    )]);
    for name in documents {
        files.insert(name, config.to_string().into_bytes());
    }
    fs::write(&path, archive(&files)).unwrap();
    refused(&path, "--limit document=");
}

#[test]
fn a_layer_of_many_images_is_unpacked_once() {
    let folder = temporary();
    let path = folder.path().join("many.tar");
    let blob = gzip(&image_writer::gnu(&[Member::file(
        "zeros",
        vec![0; 4 << 20],
    )]));
    let mut files = Files::from([("l.tar".to_owned(), blob)]);
    let entries: Vec<_> = (0..200)
        .map(|n| {
            let config = json!({
                "architecture": "amd64", "os": "linux", "author": n.to_string(),
                "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))]},
            });
            files.insert(format!("c{n}.json"), config.to_string().into_bytes());
            json!({"Config": format!("c{n}.json"), "RepoTags": null, "Layers": ["l.tar"]})
        })
        .collect();
    files.insert(
        "manifest.json".to_owned(),
        json!(entries).to_string().into_bytes(),
    );
    fs::write(&path, archive(&files)).unwrap();
    // One and a half times the bytes of a layer: not enough to read it again for each image.
    let said = text(&output(
        slimpack()
            .arg("lint")
            .arg(&path)
            .args(["--limit", "unpacked=6MB"]),
    ));
    assert!(!said.contains("unpacked"), "{said}");
    assert!(
        said.contains("SP301"),
        "the diff ID of each is wrong: {said}"
    );
}

#[test]
fn without_threads_one_does_the_work_and_nothing_is_left() {
    let folder = temporary();
    let program = hello().to_str().unwrap();
    // RLIMIT_NPROC does not apply to root, so limit the address space that thread stacks need.
    for flags in [&["--compress", "gzip"][..], &["--compress", "zstd"], &[]] {
        let out = folder.path().join("x.tar");
        let words = [&[program, "-q", "-o", out.to_str().unwrap()], flags].concat();
        let expected = {
            succeed(slimpack().args(&words));
            fs::read(&out).unwrap()
        };
        fs::remove_file(&out).unwrap();
        let mut command = Command::new("prlimit");
        command
            .args(["--nproc=1", "setpriv", "--reuid=12345", "--clear-groups"])
            .arg(slimpack().get_program())
            .args(&words);
        if !common::have(&["prlimit", "setpriv"]) || !common::is_root() {
            return;
        }
        fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        let ended = output(&mut command);
        assert!(ended.status.success(), "{flags:?}: {}", text(&ended));
        if flags != ["--compress", "zstd"] {
            assert!(
                fs::read(&out).unwrap() == expected,
                "{flags:?}: other bytes"
            );
        }
        assert_eq!(names_in(folder.path()), ["x.tar"]);
        for verb in ["lint", "inspect", "size"] {
            let mut command = Command::new("prlimit");
            command
                .args(["--nproc=1", "setpriv", "--reuid=12345", "--clear-groups"])
                .arg(slimpack().get_program())
                .arg(verb)
                .arg(&out);
            let ended = output(&mut command);
            assert!(ended.status.success(), "{verb}: {}", text(&ended));
        }
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_a_full_disk() {
    let folder = temporary();
    let out = folder.path().join("x.tar");
    fs::write(&out, "before").unwrap();
    for flags in ["", "--compress gzip", "--format oci"] {
        let mut command = Command::new("sh");
        let script = format!("ulimit -f 100; exec \"$0\" {flags} \"$@\"");
        command.args(["-c", &script]).arg(slimpack().get_program());
        command.arg(hello()).arg("-qo").arg(&out);
        let said = fail_with(2, &mut command);
        assert!(said.contains("File too large"), "{flags}: {said}");
        assert_eq!(fs::read(&out).unwrap(), b"before");
        assert_eq!(names_in(folder.path()), ["x.tar"], "{flags}");
    }
}

#[test]
fn a_pack_that_fails_leaves_no_file_for_debuggers() {
    let folder = temporary();
    let debug = folder.path().join("debug");
    let mut command = slimpack();
    command
        .arg(hello())
        .args(["--strip", "--debug-file"])
        .arg(&debug);
    fail_with(2, command.args(["-o", "/no/such/place/x.tar"]));
    assert!(!debug.exists());
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for word in ["--help", "-h", "--version"] {
        let said = fail_with(2, slimpack().arg(word).stdout(full()));
        assert!(
            said.contains("cannot write to standard output"),
            "{word}: {said}"
        );
    }
}

#[test]
fn a_chain_of_links_that_leads_nowhere_yet_stays_and_its_end_is_written() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("below")).unwrap();
    symlink("below/second", at("first")).unwrap();
    symlink("../third", at("below/second")).unwrap();
    succeed(slimpack().arg(hello()).arg("-qo").arg(at("first")));
    assert!(at("first").is_symlink() && at("below/second").is_symlink());
    assert!(at("third").is_file() && !at("third").is_symlink());
}

#[test]
fn a_root_that_is_swapped_meanwhile_never_gives_a_file_of_the_host() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let (root, host) = (at("root"), at("host"));
    for path in ["opt/app", "lib64", "usr/bin"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::create_dir(&host).unwrap();
    // One program, with a library that exists in both places with different contents.
    let library = |at: &Path, answer: u32| {
        let source = format!("int answer(void) {{ return {answer}; }}");
        let flags = ["-shared", "-fPIC", "-Wl,-soname,libm2.so"];
        common::compile(at, "libm2.so", &source, &flags);
    };
    library(&root.join("opt/app"), 1);
    library(&host, 2);
    let source = "int answer(void); int main(void) { return answer(); }";
    let app = root.join("opt/app");
    let library_path = format!("-L{}", app.display());
    let flags = [&library_path, "-lm2", "-Wl,-rpath,/opt/app"];
    common::compile(&root.join("usr/bin"), "prog", source, &flags);
    let libc = "/lib/x86_64-linux-gnu/libc.so.6";
    for path in [libc, "/lib64/ld-linux-x86-64.so.2"] {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    let of_host = fs::read(host.join("libm2.so")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (aside, link) = (root.join("opt/aside"), root.join("opt/link"));
            symlink(&host, &link).unwrap();
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&app, &aside).unwrap();
                fs::rename(&link, &app).unwrap();
                std::thread::sleep(Duration::from_micros(50));
                fs::rename(&app, &link).unwrap();
                fs::rename(&aside, &app).unwrap();
            }
        });
        let out = at("x.tar");
        for _ in 0..150 {
            let mut command = slimpack();
            command
                .arg("--root")
                .arg(&root)
                .arg(root.join("usr/bin/prog"));
            if output(command.arg("-qo").arg(&out)).status.success() {
                let image = fs::read(&out).unwrap();
                let leaks = memchr::memmem::find(&image, &of_host[..512]).is_some()
                    && memchr::memmem::find(&image, &of_host).is_some();
                assert!(!leaks, "a file of the host is in the image");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn sizes_that_only_holes_have_are_refused_or_skipped() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let sparse = |path: &Path| {
        let file = fs::File::create(path).unwrap();
        // ext4 limits files to 16 TiB.
        file.set_len(1 << 40).unwrap();
    };
    for name in ["one", "two"] {
        fs::create_dir(at(name)).unwrap();
        sparse(&at(name).join("holes"));
    }
    succeed(slimpack().arg("diff").arg(at("one")).arg(at("two")));
    let add = format!("{}:/holes", at("one").join("holes").display());
    for flags in [&["-o", "x.tar"][..], &["-o", "x.tar", "--compress", "zstd"]] {
        let mut command = slimpack();
        command.current_dir(folder.path()).arg(hello());
        let said = fail_with(2, command.args(["--add", &add]).args(flags));
        assert!(said.contains("--limit unpacked="), "{said}");
    }
    let large = at("large");
    fs::copy(hello(), &large).unwrap();
    let file = fs::File::options().write(true).open(&large).unwrap();
    file.set_len(1 << 40).unwrap();
    let said = fail_with(
        2,
        slimpack()
            .arg("strip")
            .arg(&large)
            .arg("-o")
            .arg(at("small")),
    );
    assert!(said.contains("larger than 16 GiB"), "{said}");
    assert!(!at("small").exists());
}

#[test]
fn a_signal_ends_a_compressor_and_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    for name in ["out", "scratch"] {
        fs::create_dir(at(name)).unwrap();
    }
    // More than any machine can compress before the signal.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..96 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as u8 & 0x3f
        })
        .collect();
    fs::write(at("noise"), noise).unwrap();
    let add = format!("{}:/noise", at("noise").display());
    for (format, signal, number) in [("image", "INT", 2), ("oci-dir", "TERM", 15)] {
        let mut command = slimpack();
        command
            .arg(hello())
            .args(["-q", "--compress", "zstd:19", "--format", format, "--add"])
            .arg(&add)
            .arg("-o")
            .arg(at("out").join("x"))
            .env("TMPDIR", at("scratch"));
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before the signal"
        );
        let id = child.id().to_string();
        succeed(Command::new("kill").args(["-s", signal, &id]));
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(number), "{format}: {status}");
        for name in ["out", "scratch"] {
            assert_eq!(names_in(&at(name)), [""; 0], "{format}: {name}");
        }
    }
}

#[test]
fn memory_that_runs_out_is_an_error_and_leaves_nothing() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    let out = at("x");
    fs::write(at("data"), vec![1; 20 << 20]).unwrap();
    let add = format!("{}:/data", at("data").display());
    // The memory that the program itself needs: with less, the system kills it in various ways.
    let runs = |mebibytes: &u64| within(*mebibytes, &["--version"]).status.success();
    let least = (8..1024).step_by(4).find(runs).unwrap();
    let mut failed = 0;
    for flags in [&["--add", &add][..], &["--compress=zstd", "--add", &add]] {
        for more in [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128] {
            let mebibytes = least + more;
            let mut arguments = vec![hello().to_str().unwrap(), "-qo", out.to_str().unwrap()];
            arguments.extend(flags);
            let ended = within(mebibytes, &arguments);
            let said = text(&ended);
            let status = ended.status.code();
            assert!(
                matches!(status, Some(0 | 2)),
                "{mebibytes} MiB: {:?}: {said}",
                ended.status
            );
            failed += u32::from(status == Some(2));
            let expected: &[&str] = match status {
                Some(0) => &["data", "x"],
                _ => &["data"],
            };
            assert_eq!(names_in(folder.path()), expected, "{mebibytes} MiB: {said}");
            let _ = fs::remove_file(&out);
        }
    }
    assert!(failed > 0, "memory never runs out");
}
