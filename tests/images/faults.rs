//! Faults of the machine: full disks, signals, too few descriptors, inputs that change, no /proc.
//!
//! Whatever happens, the output is either the previous one or the complete new one, without
//! leftovers.

use crate::{common, image_writer};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::text;
use common::{fail_with, have, hello, is_root, names_in, output, slimpack, succeed, temporary};
use image_writer::digest;
use rustix::process::{Pid, Signal, kill_process};

/// Every kind of output: a name, and its options. An existing root directory is replaced.
pub const KINDS: [(&str, &[&str]); 5] = [
    ("image", &[]),
    ("oci-dir", &["--format", "oci-dir"]),
    ("rootfs", &["--format", "rootfs", "--force"]),
    ("gzip", &["--compress", "gzip"]),
    ("zstd", &["--compress", "zstd"]),
];

/// Incompressible bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 32).to_le_bytes()[..4]);
    }
    bytes.truncate(length);
    bytes
}

/// Everything in a directory: kind, mode, and content or target.
pub fn snapshot(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let content = if data.is_dir() {
                pending.push(path.clone());
                String::new()
            } else if data.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                digest(&fs::read(&path).unwrap())
            };
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let mode = data.permissions().mode();
            found.insert(name, format!("{mode:o} {content}"));
        }
    }
    found
}

/// A pack of `hello` to `out`.
pub fn pack(out: &Path, flags: &[&str]) -> Command {
    let mut command = slimpack();
    command.arg(hello()).arg("-qo").arg(out).args(flags);
    command
}

/// The arguments of a pack of `hello` to `out`, for a command that starts it.
pub fn words<'a>(out: &'a Path, flags: &[&'a str]) -> Vec<&'a OsStr> {
    let first = [OsStr::new(env!("CARGO_BIN_EXE_slimpack")), hello().as_ref()];
    let output = [OsStr::new("-qo"), out.as_ref()];
    let flags = flags.iter().map(|flag| OsStr::new(*flag));
    first.into_iter().chain(output).chain(flags).collect()
}

pub fn is_orderly(ended: &Output, what: &str) {
    let said = text(ended);
    let status = ended.status;
    assert!(
        matches!(status.code(), Some(0..=2)),
        "{what}: {status}: {said}"
    );
    assert!(!said.contains("panicked"), "{what}: {said}");
    if status.code() == Some(2) {
        assert!(said.contains("error: "), "{what}: {said}");
        assert!(!said.contains("uncategorized"), "{what}: {said}");
    }
}

#[test]
fn a_disk_that_is_output_and_scratch_fills_up_and_keeps_what_it_had() {
    if !is_root() || !have(&["unshare", "mount", "find", "sha256sum"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("disk")).unwrap();
    fs::write(at("noise"), noise(8 << 20)).unwrap();
    let add = format!("{}:/noise", at("noise").display());
    // The previous output fits on the disk; the new one, with the noise, does not.
    let script = r#"
        mount -t tmpfs -o size=4m none disk || exit 9
        state() { (cd disk; find . -printf '%p %y %m\n' | sort; find . -type f -exec sha256sum {} + | sort); }
        export TMPDIR=$PWD/disk
        "$@" || exit 8
        state >before
        "$@" --add "$ADD"
        code=$?
        state >after
        exit $code"#;
    let more: [(&str, &[&str]); 3] = [
        ("docker", &["--format", "docker", "--compress", "zstd:1"]),
        ("oci", &["--format", "oci", "--compress", "gzip"]),
        (
            "oci-dir zstd",
            &["--format", "oci-dir", "--compress", "zstd"],
        ),
    ];
    for (name, flags) in KINDS.into_iter().chain(more) {
        let out = at("disk/x");
        let mut command = Command::new("unshare");
        command
            .current_dir(folder.path())
            .env("ADD", &add)
            .args(["--mount", "sh", "-c", script, "sh"])
            .args(words(&out, flags));
        let said = fail_with(2, &mut command);
        assert!(said.contains("No space left on device"), "{name}: {said}");
        let [before, after] = ["before", "after"].map(|name| fs::read_to_string(at(name)).unwrap());
        assert!(before.contains("./x"), "{name}: {before}");
        assert_eq!(before, after, "{name}");
    }
}

/// Whether a file system supports unnamed files (`O_TMPFILE`).
fn has_unnamed_files(folder: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open(folder, OFlags::TMPFILE | OFlags::RDWR, Mode::RWXU).is_ok()
}

/// Milliseconds from the start to the signal: before the first write, while writing, after the end.
const DELAYS: [u64; 12] = [0, 3, 7, 11, 16, 22, 29, 37, 46, 60, 90, 160];

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn a_signal_at_any_moment_leaves_the_output_before_or_the_whole_new_one() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("noise"), noise(20 << 20)).unwrap();
    let add = format!("{}:/noise", at("noise").display());
    let (place, scratch) = (at("out"), at("scratch"));
    fs::create_dir(&scratch).unwrap();
    let out = place.join("x");
    let (mut interrupted, mut left) = (0, 0);
    let has_unnamed = has_unnamed_files(&scratch);
    for (name, flags) in KINDS {
        let with_noise = [flags, &["--add", &add]].concat();
        let fresh = |has_old: bool| {
            let _ = fs::remove_dir_all(&place);
            fs::create_dir(&place).unwrap();
            if has_old {
                succeed(&mut pack(&out, flags));
            }
            snapshot(&place)
        };
        // A layout keeps the blobs of a previous output, so the result depends on whether there was
        // one.
        let states = [false, true].map(|has_old| {
            let before = fresh(has_old);
            succeed(&mut pack(&out, &with_noise));
            (before, snapshot(&place))
        });
        for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
            let number = signal.as_raw();
            for (turn, delay) in DELAYS.into_iter().enumerate() {
                let (before, after) = &states[turn % 2];
                fresh(turn % 2 == 1);
                let mut command = pack(&out, &with_noise);
                command.env("TMPDIR", &scratch).stderr(Stdio::piped());
                let child = command.spawn().unwrap();
                std::thread::sleep(Duration::from_millis(delay));
                kill_process(Pid::from_child(&child), signal).unwrap();
                let ended = child.wait_with_output().unwrap();
                let what = format!("{name}, {signal:?} after {delay} ms: {}", text(&ended));
                let status = ended.status;
                let is_done = status.code() == Some(0);
                assert!(
                    is_done || status.signal() == Some(number),
                    "{status}: {what}"
                );
                interrupted += u32::from(!is_done);
                let found = snapshot(&place);
                if signal == Signal::KILL {
                    // After SIGKILL, a temporary directory may remain, blobs of a layout that its
                    // index does not name yet, or the receipt of a root that does not exist yet.
                    // What was there before must be intact. A file has no name until it is
                    // complete.
                    let holds = |state: &BTreeMap<String, String>| {
                        let mut whole = state.iter().filter(|(path, _)| *path != ".x.slimpack");
                        whole.all(|(path, data)| found.get(path) == Some(data))
                    };
                    assert!(holds(before) || holds(after), "{what}: {found:#?}");
                    let is_file = before.len().max(after.len()) == 1;
                    let beside = found.keys().find(|path| {
                        !path.starts_with('x')
                            && !(path.starts_with(".slimpack-") && !(is_file && has_unnamed))
                            && *path != ".x.slimpack"
                    });
                    assert_eq!(beside, None, "{what}");
                    // The next run with this output removes what the killed one left.
                    if found.keys().any(|path| path.contains(".slimpack-")) {
                        left += 1;
                        succeed(pack(&out, &with_noise).env("TMPDIR", &scratch));
                        let names = snapshot(&place);
                        let stale = names.keys().find(|path| path.contains(".slimpack-"));
                        assert_eq!(stale, None, "{what}");
                    }
                    assert_eq!(names_in(&scratch), [""; 0], "{what}");
                } else {
                    assert!(
                        &found == after || !is_done && &found == before,
                        "{what}: {found:#?}"
                    );
                    assert_eq!(names_in(&scratch), [""; 0], "{what}");
                }
            }
        }
    }
    assert!(left > 0, "nothing was left to remove");
    assert!(
        interrupted > 20,
        "only {interrupted} signals came before the end"
    );
}

#[test]
fn a_fifo_gets_an_image_and_stays() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    succeed(Command::new("mkfifo").arg(at("fifo")));
    let is_fifo = || {
        fs::symlink_metadata(at("fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    };
    for flags in [
        &["--format", "image"][..],
        &["--format", "docker", "--compress", "gzip"],
        &["--format", "oci", "--compress", "zstd"],
        &["--format", "rootfs-tar"],
    ] {
        succeed(&mut pack(&at("file"), flags));
        let reader = {
            let fifo = at("fifo");
            std::thread::spawn(move || fs::read(fifo).unwrap())
        };
        succeed(&mut pack(&at("fifo"), flags));
        assert!(
            reader.join().unwrap() == fs::read(at("file")).unwrap(),
            "{flags:?}"
        );
        // A FIFO whose reader stops early gets no image.
        let reader = {
            let fifo = at("fifo");
            std::thread::spawn(move || fs::File::open(fifo).unwrap().read(&mut [0; 10]).unwrap())
        };
        let said = fail_with(2, &mut pack(&at("fifo"), flags));
        reader.join().unwrap();
        assert!(said.contains("Broken pipe"), "{flags:?}: {said}");
        assert!(is_fifo(), "{flags:?}");
        assert_eq!(names_in(folder.path()), ["fifo", "file"]);
    }
    // Directory formats cannot be written there, and fail without waiting for a reader.
    for format in ["oci-dir", "rootfs"] {
        for target in [&at("fifo"), Path::new("/dev/full")] {
            let said = fail_with(2, &mut pack(target, &["--format", format]));
            assert!(said.contains("Not a directory"), "{format}: {said}");
        }
        assert!(is_fifo());
        assert_eq!(names_in(folder.path()), ["fifo", "file"]);
    }
}

#[test]
fn a_link_that_leads_nowhere_yet_is_followed_by_a_root_directory() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    symlink("nowhere", at("link")).unwrap();
    succeed(&mut pack(&at("link"), &["--format", "rootfs"]));
    assert!(at("link").is_symlink() && at("nowhere/usr/local/bin/hello").is_file());
    assert_eq!(
        names_in(folder.path()),
        [".nowhere.slimpack", "link", "nowhere"]
    );
    // The receipt belongs to the directory, even if a symbolic link led to it.
    succeed(&mut pack(&at("link"), &["--format", "rootfs", "--force"]));
    succeed(&mut pack(
        &at("nowhere"),
        &["--format", "rootfs", "--force"],
    ));
    symlink("no/such/place", at("lost")).unwrap();
    for format in ["image", "rootfs", "oci-dir"] {
        fail_with(2, &mut pack(&at("lost"), &["--format", format]));
        let names = [".nowhere.slimpack", "link", "lost", "nowhere"];
        assert_eq!(names_in(folder.path()), names, "{format}");
    }
}

/// Keeps changing a file in one way until told to stop.
fn change(path: &Path, way: &str, stop: &AtomicBool) {
    let other = path.with_extension("other");
    let file = || fs::File::options().write(true).open(path).unwrap();
    for turn in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match way {
            "truncated" => file().set_len((turn * 7_919_993) % (32 << 20)).unwrap(),
            "grown" => {
                let mut file = file();
                file.seek(SeekFrom::End(0)).unwrap();
                file.write_all(&[turn as u8; 4096]).unwrap();
            }
            "overwritten" => {
                let mut file = file();
                file.seek(SeekFrom::Start((turn * 7_919) % (16 << 20)))
                    .unwrap();
                file.write_all(&[turn as u8; 100]).unwrap();
            }
            _ => {
                let size = if turn % 2 == 0 { 16 << 20 } else { 3_000_000 };
                fs::File::create(&other).unwrap().set_len(size).unwrap();
                fs::rename(&other, path).unwrap();
            }
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Whether tar reads an archive and the layer in it, and each blob matches its digest.
fn is_well_formed(archive: &Path) {
    succeed(Command::new("tar").arg("-tf").arg(archive));
    let mut outer = tar::Archive::new(fs::File::open(archive).unwrap());
    let mut layers = 0;
    for member in outer.entries().unwrap() {
        let mut member = member.unwrap();
        let path = member.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, member.size(), "{}", path.display());
        if path.starts_with("blobs/sha256") && member.header().entry_type().is_file() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(format!("sha256:{name}"), digest(&bytes));
            if bytes.get(257..262) == Some(b"ustar") {
                layers += 1;
                let mut inner = tar::Archive::new(&bytes[..]);
                let sizes = inner
                    .entries()
                    .unwrap()
                    .map(|member| member.unwrap().size());
                assert!(sizes.sum::<u64>() < bytes.len() as u64);
            }
        }
    }
    assert_eq!(layers, 1);
}

#[test]
fn an_input_that_changes_meanwhile_gives_a_whole_image_or_an_error() {
    if !have(&["tar"]) {
        return;
    }
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    for name in ["in", "out"] {
        fs::create_dir(at(name)).unwrap();
    }
    let input = at("in").join("data");
    let add = format!("{}:/data", input.display());
    let out = at("out").join("x");
    for way in ["truncated", "grown", "overwritten", "replaced"] {
        fs::File::create(&input).unwrap().set_len(16 << 20).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| change(&input, way, &stop));
            let run = || {
                for turn in 0..8 {
                    fs::write(&out, "before").unwrap();
                    let ended = output(&mut pack(&out, &["--add", &add]));
                    is_orderly(&ended, way);
                    match ended.status.code() {
                        Some(0) => is_well_formed(&out),
                        _ => assert_eq!(fs::read(&out).unwrap(), b"before", "{way} {turn}"),
                    }
                    assert_eq!(names_in(&at("out")), ["x"], "{way} {turn}");
                }
            };
            // The thread must end even if an assertion fails.
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            stop.store(true, Ordering::Relaxed);
            failed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

#[test]
fn twenty_packs_at_once_onto_one_output_are_one() {
    let folder = temporary();
    let at = |name: &str| folder.path().join(name);
    for (name, flags) in KINDS.into_iter().filter(|(name, _)| *name != "rootfs") {
        for place in ["one", "many"] {
            let _ = fs::remove_dir_all(at(place));
            fs::create_dir(at(place)).unwrap();
        }
        succeed(&mut pack(&at("one/x"), flags));
        let packs: Vec<_> = (0..20)
            .map(|_| pack(&at("many/x"), flags).spawn().unwrap())
            .collect();
        for mut pack in packs {
            assert!(pack.wait().unwrap().success(), "{name}");
        }
        assert_eq!(snapshot(&at("many")), snapshot(&at("one")), "{name}");
    }
}

#[test]
fn the_first_images_of_a_layout_come_at_once_and_none_is_lost() {
    let folder = temporary();
    let layout = folder.path().join("layout");
    for turn in 0..10 {
        let packs: Vec<_> = (0..10)
            .map(|number| {
                let tag = format!("app:{number}");
                let mut pack = pack(&layout, &["--format", "oci-dir", "-t", &tag]);
                pack.spawn().unwrap()
            })
            .collect();
        for mut pack in packs {
            assert!(pack.wait().unwrap().success());
        }
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let images = index["manifests"].as_array().unwrap().len();
        assert_eq!(images, 10, "turn {turn}: {index}");
        assert_eq!(names_in(&layout), ["blobs", "index.json", "oci-layout"]);
        fs::remove_dir_all(&layout).unwrap();
    }
}
