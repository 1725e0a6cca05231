//! Images: compressed streams, tars, and the documents around layers.
//!
//! In: an archive, or documents that are assembled into one with correct checksums and digests,
//! which would otherwise stop every mutation. Out: nothing; the readers return.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use slimpack::binding::Binder;
use slimpack::exec::Start;
use slimpack::image::read::{
    Budget, CompressionFormat, Image, Images, Interest, LayerCache, Limits, ReadOptions, open,
    open_pipe,
};
use slimpack::image::{Blob, recorded};
use slimpack::inspect::Figures;
use slimpack::lint::{self, Context, Policy, Runtime, Scope, Survey, of_faults};
use slimpack::loader::Environment;
use slimpack::pack::started;
use slimpack::page::{InspectedImage, Page};
use slimpack::report::lint::{Linted, github, gitlab, json, junit, sarif, text};
use slimpack::source::{Source, probe};
use slimpack::vfs::NodeKind;
use slimpack::why::Graph;
use xxhash_rust::xxh3::xxh3_128;

use crate::elf::{GLIBC, object};
use crate::parts;

/// Limits far below the defaults, so that a reader that ignores one stands out by its memory and
/// time.
const LIMITS: Limits = Limits {
    members: 5_000,
    document: 256 << 10,
    unpacked: 16 << 20,
    ratio: 200,
    kept: 8 << 20,
    window: 8 << 20,
    images: 20,
    registry_time: 5,
};

fn options(interest: Interest) -> ReadOptions {
    ReadOptions {
        limits: LIMITS,
        name: None,
        platform: None,
        interest,
        probe,
    }
}

/// A file in memory with these bytes.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("image", flags)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Reads an image from a file and from a pipe, and calls `look` with each image in it.
fn read(bytes: &[u8], look: &dyn Fn(Image)) {
    let each = |mut images: Images| {
        for number in 0..images.count() {
            if let Ok(tars) = images.layer_tars(number) {
                for tar in tars {
                    let _ = io::copy(&mut tar.tar.take(LIMITS.unpacked), &mut io::sink());
                }
            }
            if let Ok(image) = images.read(number) {
                look(image);
            }
        }
    };
    let Ok(file) = in_memory(bytes) else {
        return;
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let _ = open(&path, &options(Interest::Closures)).map(each);
    let _ = open_pipe(file, &options(Interest::Contents)).map(each);
}

/// What `inspect` reads.
fn inspect(image: Image) {
    let view = image.view();
    let figures = Figures::of(&image, &view);
    show(&image, &figures);
    for (path, _, node) in image.tree.walk().take(1_000) {
        let _ = view.walk(&path);
        if node.kind() == NodeKind::File
            && let Ok(file) = node.open()
        {
            let _ = file.prefix(0, 1 << 16);
        }
    }
    if let Some(description) = &image.description {
        let _ = recorded(description);
        let _ = Start::of(&image).program(&view);
    }
    let _ = image.verification.finish();
}

/// The page of `inspect --html`: no text of an image begins or ends an element.
fn show(image: &Image, figures: &Figures) {
    let name = Path::new("image.tar");
    let start = Start::of(image);
    let source = Source::of_image(name, image.view(), &start.working_dir);
    let environment = Environment::with_variables(&start.env);
    let mut graph = Graph::new(&source, &environment, &start.env);
    for program in started(image, name, &source).unwrap_or_default() {
        graph.add(&program, "entrypoint");
    }
    let mut page = Page::new("image.tar", "");
    page.add_image(&InspectedImage {
        image,
        view: &source.view,
        figures,
        findings: &of_faults(&[], &Policy::default()),
        started: &graph,
        installed: &graph,
        no_start: None,
    });
    let html = page.html();
    for (tag, expected) in [("<script", 2), ("</script", 2), ("<style", 1), ("<img", 0)] {
        let found = html
            .windows(tag.len())
            .filter(|bytes| *bytes == tag.as_bytes())
            .count();
        assert_eq!(found, expected, "{tag}");
    }
}

/// What `lint --runtime` looks at, and its reports.
fn check(image: Image) {
    let name = Path::new("image.tar");
    let start = Start::of(&image);
    let source = Source::of_image(name, image.view(), &start.working_dir);
    let context = Context {
        survey: Survey::of_tree(&image.tree, &source.view),
        scope: Scope::Root(&image.tree),
        binder: Binder::new(&source.view),
        started: start.program(&source.view).ok(),
        runtime: Some(Runtime {
            programs: Vec::new(),
        }),
        platform: None,
        layers: &image.layers,
        environment: Environment::with_variables(&start.env),
        start,
        names: OnceLock::new(),
        source: &source,
    };
    let verification = image.verification;
    let Ok(findings) = lint::lint(&context, &Policy::default(), Some(verification)) else {
        return;
    };
    let linted = [Linted {
        name: "image.tar".to_owned(),
        path: name.to_path_buf(),
        kind: "image",
        fail_on: None,
        remedies: None,
        findings,
    }];
    let _ = text(&linted, true, false, &mut io::sink());
    let _ = github(&linted, &mut io::sink());
    let _ = json(&linted);
    let _ = sarif(&linted);
    let _ = junit(&linted, &mut io::sink());
    let _ = gitlab(&linted);
}

/// Streams of gzip, zstd and xz.
pub fn compression(data: &[u8]) {
    let budget = Budget::new(LIMITS);
    if let Ok(mut stream) = CompressionFormat::of(data).decoder(data, &budget) {
        let _ = io::copy(&mut stream, &mut io::sink());
    }
}

/// Any file that might be an image.
pub fn image(data: &[u8]) {
    read(data, &inspect);
}

/// A tar of a root, with correct header checksums: names, links, extended headers, sparse files.
pub fn tar(data: &[u8]) {
    let mut bytes = data.to_vec();
    for header in bytes.chunks_exact_mut(BLOCK) {
        if header[257..].starts_with(b"ustar") {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    read(&bytes, &inspect);
}

/// An initrd: cpio archives one after the other, compressed or not.
pub fn initrd(data: &[u8]) {
    read(data, &inspect);
    read(data, &check);
}

/// The facts of a layer in a cache, with the correct checksum.
pub fn facts(data: &[u8]) {
    let _ = is_known(data);
}

/// Whether a cache with these facts knows their layer.
fn is_known(data: &[u8]) -> bool {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary directory"));
    // The name of the entry comes first; its length has four bytes.
    let length = data.first().copied().unwrap_or_default();
    let name = data.get(4..4 + usize::from(length)).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let Some(digits) = name.split('-').nth(1).filter(|digits| digits.len() == 64) else {
        return false;
    };
    let path = folder.path().join(&*name);
    let file = [FACTS, &xxh3_128(data).to_le_bytes(), data].concat();
    let is_plain = name.bytes().all(|byte| byte != b'/' && byte != 0);
    if !is_plain || fs::write(&path, file).is_err() {
        return false;
    }
    let cache = LayerCache::open(folder.path(), u64::MAX).expect("the directory is there");
    let digest = format!("sha256:{digits}");
    let known = cache.layer(&digest, u64::MAX, &options(Interest::Symbols));
    let _ = fs::remove_file(path);
    known.is_some()
}

/// How a file with facts begins: what it is, and the version of the format.
const FACTS: &[u8] = b"slimfact\x01\0\0\0";

/// What a cache keeps of a layer, without the beginning and the checksum.
pub fn facts_of(tar: &[u8]) -> Vec<u8> {
    let kept = || {
        let folder = tempfile::tempdir()?;
        let (tar_at, cache_at) = (folder.path().join("tar"), folder.path().join("cache"));
        fs::write(&tar_at, tar)?;
        let cache = LayerCache::open(&cache_at, u64::MAX)?;
        cache.keep_layer(
            &Blob::of(tar).digest(),
            &tar_at,
            &options(Interest::Symbols),
        );
        let entry = fs::read_dir(&cache_at)?.next();
        fs::read(entry.ok_or(io::ErrorKind::NotFound)??.path())
    };
    let kept = kept().unwrap_or_default();
    kept.get(FACTS.len() + 16..).unwrap_or_default().to_vec()
}

/// An archive as written by `docker save`: the manifest, the configuration, and layers.
pub fn docker(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default();
    let bytes = archive(&[
        ("manifest.json", next()),
        ("config.json", next()),
        ("0/layer.tar", next()),
        ("1/layer.tar", next()),
    ]);
    read(&bytes, &inspect);
}

/// An OCI layout. In the index, `@M` stands for the digest of the manifest and `@m` for its size;
/// in the manifest, `@C` and `@c` stand for those of the configuration, `@L` and `@l` for those of
/// the layer. `@N` is the digest of a second document, which may be an index.
pub fn oci(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default().to_vec();
    let (index, manifest, config, layer, other) = (next(), next(), next(), next(), next());
    let manifest = replace(replace(manifest, b"Cc", &config), b"Ll", &layer);
    let other = replace(other, b"Mm", &manifest);
    let index = replace(replace(index, b"Mm", &manifest), b"Nn", &other);
    let path = |blob: &[u8]| Blob::of(blob).path();
    let blobs = [&manifest, &config, &layer, &other].map(|blob| (path(blob), blob));
    let mut members: Vec<(&str, &[u8])> = vec![
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", &index),
    ];
    members.extend(
        blobs
            .iter()
            .map(|(path, blob)| (path.as_str(), blob.as_slice())),
    );
    read(&archive(&members), &inspect);
}

/// A small root in which lint checks each of these files: programs, loader configuration, scripts,
/// databases.
pub fn root(data: &[u8]) {
    const FILES: [&str; 14] = [
        "usr/bin/app",
        "usr/lib/libinner.so",
        "usr/bin/script",
        "etc/ld.so.cache",
        "etc/ld.so.conf",
        "etc/ld.so.conf.d/extra.conf",
        "etc/ld.so.preload",
        "etc/ld-musl-x86_64.path",
        "etc/passwd",
        "etc/nsswitch.conf",
        "etc/services",
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "usr/share/slimpack/reasons.json",
    ];
    let loader = object("", "ld-linux-x86-64.so.2", &[]);
    let libc = object("", "libc.so.6", &[]);
    let program = object(GLIBC, "", &["libinner.so", "libc.so.6"]);
    let mut members: Vec<(&str, &[u8])> = vec![
        (&GLIBC[1..], &loader),
        ("lib64/libc.so.6", &libc),
        ("usr/bin/program", &program),
    ];
    members.extend(FILES.iter().copied().zip(parts(data)));
    read(&archive(&members), &check);
}

/// The block size of a tar, in bytes.
const BLOCK: usize = 512;

/// A tar with these members, all executable.
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_path(name).expect("the name fits");
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// A cpio archive of these members: name, mode, content (cpio(5), "New ASCII Format").
pub fn cpio(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end = [("TRAILER!!!", 0, &b""[..])];
    for (number, (name, mode, content)) in members.iter().chain(&end).enumerate() {
        let (size, length) = (content.len(), name.len() + 1);
        let fields = [
            number,
            *mode as usize,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            length,
            0,
        ];
        archive.extend_from_slice(b"070701");
        archive.extend(
            fields
                .iter()
                .flat_map(|field| format!("{field:08x}").into_bytes()),
        );
        for part in [&[name.as_bytes(), b"\0"].concat()[..], content] {
            archive.extend_from_slice(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

/// `document`, with its two marks replaced by the digest and the size of `blob`.
pub fn replace(document: Vec<u8>, marks: &[u8; 2], blob: &[u8]) -> Vec<u8> {
    let blob = Blob::of(blob);
    let texts = [blob.digest(), blob.size.to_string()];
    let mut replaced = Vec::new();
    let mut rest = &document[..];
    while let Some((byte, after)) = rest.split_first() {
        let known = after
            .first()
            .and_then(|mark| marks.iter().position(|known| known == mark));
        match known.filter(|_| *byte == b'@') {
            Some(number) => {
                replaced.extend_from_slice(texts[number].as_bytes());
                rest = &after[1..];
            }
            None => {
                replaced.push(*byte);
                rest = after;
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_were_kept_are_known_and_others_are_not() {
        let mut kept = facts_of(&archive(&[("a", b"b")]));
        assert!(is_known(&kept));
        kept.pop();
        assert!(!is_known(&kept));
    }
}
