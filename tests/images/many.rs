//! Many images in one run: lists, shards, jobs, and layers that are fetched once, in a run or in several.

use crate::{common, image_writer};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use common::{fail_with, have, hello, output, slimpack, temporary};
use image_writer::{Layer, Member, Packing, digest, gnu, member, oci};
use serde_json::Value;

use crate::hostile_images::NAMES;
use crate::registry_double::{say, serve};

/// Images in a registry that counts what it is asked for.
struct Hub {
    port: u16,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Hub {
    /// The images are `me/app:0`, `me/app:1` and so on.
    fn with(images: &[Vec<Layer>]) -> Self {
        let mut answers = BTreeMap::new();
        for (number, layers) in images.iter().enumerate() {
            for (name, content) in oci(layers) {
                if name == "index.json" {
                    let index: Value = serde_json::from_slice(&content).unwrap();
                    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
                    answers.insert(format!("/manifests/{number}"), manifest.to_owned());
                }
            }
        }
        let contents: BTreeMap<String, Vec<u8>> = images
            .iter()
            .flat_map(|layers| oci(layers).into_values())
            .map(|content| (digest(&content), content))
            .collect();
        let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counted = Arc::clone(&asked);
        let port = serve(move |line, stream| {
            let path = line.split(' ').nth(1).unwrap_or_default();
            let path = path.trim_start_matches("/v2/me/app").to_owned();
            let named = path.strip_prefix("/blobs/").map(str::to_owned);
            let named = named.or_else(|| answers.get(&path).cloned());
            *counted.lock().unwrap().entry(path).or_default() += 1;
            match named.and_then(|digest| contents.get(&digest)) {
                Some(content) => {
                    let kind = format!("Content-Type: {}\r\n", image_writer::MANIFEST);
                    say(stream, "200 OK", &kind, content);
                }
                None => say(
                    stream,
                    "404 Not Found",
                    "",
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                ),
            }
        });
        Self { port, asked }
    }

    /// What it was asked for since the last call.
    fn asked(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn name(&self, number: usize) -> String {
        format!("docker://localhost:{}/me/app:{number}", self.port)
    }

    /// A list of the first images.
    fn list(&self, folder: &Path, count: usize) -> String {
        let names: Vec<_> = (0..count).map(|number| self.name(number)).collect();
        let list = folder.join("list.txt");
        fs::write(&list, format!("# all\n\n{}\r\n", names.join("\n"))).unwrap();
        format!("@{}", list.display())
    }
}

/// The blobs among what was asked for.
fn blobs(asked: &BTreeMap<String, usize>) -> Vec<usize> {
    let blobs = asked.iter().filter(|(path, _)| path.starts_with("/blobs/"));
    blobs.map(|(_, count)| *count).collect()
}

fn lint(words: &[&str]) -> Command {
    let mut command = slimpack();
    command.args(["lint", "--format", "json"]).args(words);
    command
}

/// What a run prints; its programs lack a library.
fn report(command: &mut Command) -> String {
    let ended = output(command);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{command:?}\n{errors}");
    String::from_utf8(ended.stdout).unwrap()
}

/// Layers with a program each, of which every second lacks a library.
fn layers(count: usize) -> Vec<Layer> {
    let folder = temporary();
    let programs = [common::incomplete(folder.path()), hello().to_path_buf()];
    let programs = programs.map(|path| fs::read(path).unwrap());
    let layer = |number: usize| {
        let mut program = Member::file(format!("usr/bin/app{number}"), &programs[number % 2]);
        program.mode = 0o755;
        let text = Member::file(format!("etc/app{number}.conf"), "text\n");
        Layer::new(&gnu(&[program, text]), Packing::ALL[number % 3])
    };
    (0..count).map(layer).collect()
}

/// Images of three of the layers each.
fn images(layers: &[Layer], count: usize) -> Vec<Vec<Layer>> {
    let of = |number: usize| {
        let numbers = [number, number / layers.len() + number + 1, number + 7];
        let mut numbers = numbers.map(|number| number % layers.len()).to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().map(|&at| layers[at].clone()).collect()
    };
    (0..count).map(of).collect()
}

#[test]
fn layers_that_200_images_share_are_fetched_once_and_a_second_run_fetches_manifests_alone() {
    if !have(&["cc"]) {
        return;
    }
    let hub = Hub::with(&images(&layers(20), 200));
    let folder = temporary();
    let list = hub.list(folder.path(), 200);
    let cache = folder.path().join("cache");
    let kept = ["--cache", cache.to_str().unwrap()];
    let first = report(lint(&[&list, "--jobs", "3"]).args(kept));
    let asked = hub.asked();
    assert!(asked.values().all(|&count| count == 1), "{asked:?}");
    let parsed: Value = serde_json::from_str(&first).unwrap();
    let targets = parsed["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 200);
    for (number, target) in targets.iter().enumerate() {
        assert_eq!(target["target"].as_str().unwrap(), hub.name(number));
    }
    let second = report(lint(&[&list]).args(kept));
    let asked = hub.asked();
    assert_eq!(blobs(&asked), [0; 0]);
    assert_eq!(asked.len(), 200);
    assert_eq!(first, second);
    // Without a cache, a layer is fetched once a run.
    let alone = report(&mut lint(&[&list, "--jobs", "2"]));
    assert_eq!(first, alone);
    assert!(hub.asked().values().all(|&count| count == 1));
    // Nobody else can read it.
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert!(entries(&cache).iter().all(|path| mode(path) == 0o600));
    // One image is read where it is, and gives the same.
    for number in [0, 17, 199] {
        let one: Value = serde_json::from_str(&report(&mut lint(&[&hub.name(number)]))).unwrap();
        assert_eq!(one["targets"][0], targets[number]);
    }
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn damaged_and_newer_entries_are_read_again_and_a_cache_keeps_to_its_size() {
    if !have(&["cc"]) {
        return;
    }
    let hub = Hub::with(&images(&layers(6), 12));
    let folder = temporary();
    let list = hub.list(folder.path(), 12);
    let cache = folder.path().join("cache");
    let run = |more: &[&str]| {
        let mut command = lint(&[&list, "--cache", cache.to_str().unwrap()]);
        report(command.args(more))
    };
    let expected = run(&[]);
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
        |bytes| bytes[8] += 1,
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        |bytes| bytes[12..].fill(0xff),
        |bytes| bytes.extend([0; 1000]),
    ];
    for damage in damages {
        for path in entries(&cache) {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
        hub.asked();
        assert_eq!(run(&[]), expected);
        assert!(!blobs(&hub.asked()).is_empty());
    }
    // An entry of another layer, a pipe, a directory, a link to a file elsewhere.
    let all = entries(&cache);
    fs::copy(&all[all.len() - 1], &all[all.len() - 2]).unwrap();
    let [pipe, directory, link] = [7, 8, 9].map(|at| &all[at]);
    for path in [pipe, directory, link] {
        fs::remove_file(path).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::create_dir(directory).unwrap();
    std::os::unix::fs::symlink("/dev/zero", link).unwrap();
    assert_eq!(run(&[]), expected);
    // Foreign files stay, and entries beyond the size go.
    fs::write(cache.join("foreign"), [0; 100_000]).unwrap();
    assert_eq!(run(&["--cache-size", "30KB"]), expected);
    let files = entries(&cache).into_iter();
    let size = |path: PathBuf| fs::symlink_metadata(path).unwrap();
    let files = files.filter(|path| !path.ends_with("foreign")).map(size);
    let total: u64 = files
        .filter(|found| found.is_file())
        .map(|found| found.len())
        .sum();
    assert!(total <= 30_000 && cache.join("foreign").exists(), "{total}");
}

#[test]
fn processes_share_a_cache_and_one_that_is_killed_leaves_it_usable() {
    if !have(&["cc"]) {
        return;
    }
    let hub = Hub::with(&images(&layers(20), 40));
    let folder = temporary();
    let list = hub.list(folder.path(), 40);
    let expected = report(&mut lint(&[&list]));
    let cache = folder.path().join("cache");
    let run = || {
        let mut command = lint(&[&list, "--jobs", "2", "--cache", cache.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    for blobs_before in [1, 5, 9] {
        hub.asked();
        let mut killed = run().spawn().unwrap();
        while blobs(&hub.asked.lock().unwrap()).len() < blobs_before {
            assert!(killed.try_wait().unwrap().is_none());
            sleep(Duration::from_millis(1));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let both = [run().spawn().unwrap(), run().spawn().unwrap()];
    for process in both {
        let ended = process.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), expected);
    }
    hub.asked();
    assert_eq!(report(&mut run()), expected);
    assert_eq!(blobs(&hub.asked()), [0; 0]);
    let is_temporary = |path: &PathBuf| path.to_string_lossy().contains("/.slimpack-");
    assert!(!entries(&cache).iter().any(is_temporary));
}

#[test]
fn hostile_layers_give_the_same_findings_from_a_cache() {
    let names = NAMES.replace("LONG", &"n".repeat(1000));
    let mut images = Vec::new();
    for (number, case) in names.lines().enumerate() {
        let members = case.split('|').next().unwrap().trim().split(", ");
        let mut members: Vec<_> = members.map(member).collect();
        let mut program = Member::file("app", fs::read(hello()).unwrap());
        program.mode = 0o4755;
        program.owner = (number as u64, u64::MAX >> 20);
        members.push(program);
        members.push(Member::file("script", "#!/gone\n"));
        let packing = Packing::ALL[number % 3];
        images.push(vec![Layer::new(&gnu(&members), packing)]);
    }
    // A damaged layer, one with another diff ID, and one that is no layer.
    let mut wrong = images[1][0].clone();
    wrong.diff_id = digest(b"another");
    let mut cut = images[1][0].clone();
    cut.blob.truncate(700);
    let mut text = images[0][0].clone();
    text.blob = b"text".to_vec();
    images.extend([vec![wrong], vec![cut], vec![text]]);
    let hub = Hub::with(&images);
    let folder = temporary();
    let cache = folder.path().join("cache");
    for number in 0..images.len() {
        let name = hub.name(number);
        let run = |more: &[&str]| {
            let ended = output(lint(&[&name]).args(more));
            let text = [ended.stdout, ended.stderr].concat();
            (ended.status.code(), String::from_utf8(text).unwrap())
        };
        let kept = ["--cache", cache.to_str().unwrap()];
        let expected = run(&[]);
        assert_eq!(run(&kept), expected, "{number}");
        assert_eq!(run(&kept), expected, "{number}");
        let runtime = [&kept[..], &["--runtime"]].concat();
        let expected = run(&["--runtime"]);
        assert_eq!(run(&runtime), expected, "{number}");
        assert_eq!(run(&runtime), expected, "{number}");
    }
}

#[test]
fn shards_are_the_list_and_unknown_images_are_named_when_all_were_tried() {
    if !have(&["cc"]) {
        return;
    }
    let hub = Hub::with(&images(&layers(4), 7));
    let folder = temporary();
    let list = hub.list(folder.path(), 9);
    let mut checked = Vec::new();
    for part in ["1/3", "2/3", "3/3"] {
        let ended =
            output(lint(&[&list, "--shard", part, "--jobs", "2"]).env("HOME", folder.path()));
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            ended.status.code(),
            Some(if part == "3/3" { 2 } else { 1 }),
            "{told}"
        );
        for number in [7, 8] {
            let name = format!("me/app:{number}");
            assert_eq!(told.contains(&name), part == "3/3", "{told}");
        }
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        checked.extend(common::strings(&report["targets"], "target"));
    }
    let expected: Vec<_> = (0..7).map(|number| hub.name(number)).collect();
    assert_eq!(checked, expected);
    // More parts than targets.
    let ended = output(&mut lint(&[&hub.name(0), "--shard", "1/2"]));
    assert_eq!(ended.status.code(), Some(0));
    for part in ["0/3", "4/3", "x"] {
        let text = fail_with(2, &mut lint(&[&list, "--shard", part]));
        assert!(text.contains("I/N"), "{text}");
    }
    let list = folder.path().join("bad.txt");
    let bad = [&b"a.tar\n@other\n\xff\nb\x07\n"[..], &[b'x'; 5000]].concat();
    fs::write(&list, bad).unwrap();
    let text = fail_with(2, &mut lint(&[&format!("@{}", list.display())]));
    for line in [
        "line 2 names another",
        "line 3 is not UTF-8",
        "line 4 has a control",
        "line 5 has more",
    ] {
        assert!(text.contains(line), "{text}");
    }
    fs::write(&list, "# nothing\n").unwrap();
    let text = fail_with(2, &mut lint(&[&format!("@{}", list.display())]));
    assert!(text.contains("names no target"), "{text}");
}

/// Files that are read of an uncompressed layer, and not kept of a compressed one; and files that are larger
/// than what may be kept in memory.
#[test]
fn a_cache_finds_what_is_found_without_one_in_large_files() {
    let mut program = Member::file("usr/bin/app", fs::read(hello()).unwrap());
    program.mode = 0o755;
    let members = [
        program,
        Member::file("etc/ld.so.cache", vec![b'x'; 1_500_000]),
        Member::file("etc/large.conf", vec![b'y'; 3_000_000]),
        Member::file("usr/share/data", vec![b'z'; 3_000_000]),
    ];
    let image = |packing| vec![Layer::new(&gnu(&members), packing)];
    let hub = Hub::with(&[image(Packing::None), image(Packing::Gzip)]);
    let folder = temporary();
    let cache = folder.path().join("cache");
    for more in [&[][..], &["--runtime", "--limit", "kept=2000000"]] {
        for number in [0, 1] {
            let run = |cached: &[&str]| {
                let ended = output(lint(&[&hub.name(number)]).args(more).args(cached));
                (ended.status.code(), common::text(&ended))
            };
            let expected = run(&[]);
            assert!(expected.0.is_some_and(|status| status < 2), "{expected:?}");
            for _ in 0..2 {
                assert_eq!(run(&["--cache", cache.to_str().unwrap()]), expected);
            }
        }
    }
}

#[test]
fn a_signal_ends_a_run_of_many_images_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let port = serve(move |_, stream| {
        *counted.lock().unwrap() += 1;
        // It stays open without an answer.
        std::mem::forget(stream.try_clone().unwrap());
    });
    let names = (0..8).map(|number| format!("docker://localhost:{port}/me/app:{number}\n"));
    let folder = temporary();
    let list = folder.path().join("list.txt");
    fs::write(&list, names.collect::<String>()).unwrap();
    let list = format!("@{}", list.display());
    let mut command = lint(&[&list, "--jobs", "4"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("TMPDIR", folder.path())
        .spawn()
        .unwrap();
    while *asked.lock().unwrap() < 4 {
        sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.signal(), Some(2), "{}", common::text(&ended));
    assert_eq!(ended.stdout, b"");
}

#[test]
fn a_list_is_read_from_standard_input_and_may_begin_with_a_byte_order_mark() {
    let layers = layers(2);
    let hub = Hub::with(&images(&layers, 2));
    let folder = temporary();
    let expected = report(&mut lint(&[&hub.list(folder.path(), 2)]));
    let list = folder.path().join("marked.txt");
    fs::write(&list, format!("\u{feff}{}\n{}", hub.name(0), hub.name(1))).unwrap();
    let input = fs::File::open(&list).unwrap();
    assert_eq!(report(lint(&["@-"]).stdin(input)), expected);
    assert_eq!(
        report(&mut lint(&[&format!("@{}", list.display())])),
        expected
    );
}
