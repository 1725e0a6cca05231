//! The starting points of mutations: small valid inputs, made on demand.
//!
//! In: the name of a harness. Out: inputs. Objects are compiled if there is `cc`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use slimpack::closure::{Closure, Program};
use slimpack::loader::{Environment, Loaders};
use slimpack::vfs::memory::MemoryVfs;
use tar::{EntryType, Header};

use crate::MARK;
use crate::elf::{GLIBC, MUSL, object, view};
use crate::images::{archive, cpio, facts_of};

/// The seeds of a harness; empty for an unknown name.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "elf" | "symbols" | "strip" => objects(),
        "closure" => closures(),
        "cache" => vec![new_cache(), old_cache(), [old_cache(), new_cache()].concat()],
        "compression" => packed(LINES),
        "image" => images(),
        "tar" => vec![members(), sparse(), root()],
        "initrd" => initrds(),
        "facts" => [members(), root()].map(|tar| facts_of(&tar)).to_vec(),
        "docker" => docker(),
        "oci" => oci(),
        "root" => roots(),
        "packages" => vec![join(&[
            b"Package: zlib1g\nSource: zlib (1:1.2)\nDepends: libc6 (>= 2.14), a | b\n\nPackage: b\n",
            b"/.\n/usr\n/usr/lib\n/usr/lib/libz.so.1\n",
            b"Package: zlib1g\nVersion: 1\n",
            b"0123456789abcdef0123456789abcdef  usr/lib/libz.so.1\n",
            b"C:Q1\nP:zlib\no:zlib\nD:so:libc.musl-x86_64.so.1 b>=1\nF:usr/lib\nR:libz.so.1\n\nP:b\n",
            b"zlib\t1:1.2\t1\t2\tv\t(none)\t3\tx86_64\t0\tzlib-1:1.2.src.rpm\n/usr/lib/libz.so.1\n(none)\n",
        ])],
        "build_info" => build_info(),
        "baseline" => vec![BASELINE.as_bytes().to_vec()],
        "copyright" => vec![COPYRIGHT.as_bytes().to_vec()],
        "gconv" => vec![join(&[
            b"UTF-16+LATIN1+GBK",
            b"alias UTF16// UTF-16//\nalias LATIN1// ISO-8859-1//\nmodule INTERNAL UTF-16// UTF-16 1\n\
              module UTF-16// INTERNAL UTF-16 1\n# a comment\nmodule\tISO-8859-1//\tINTERNAL\tISO8859-1\t1\n",
            b"module GBK// ISO-8859-1// GBGBK 1\nmodule INTERNAL GBK// GBK 2\nalias A// B//\nalias B// A//\n",
        ])],
        "needs" => needs(),
        "script" => [
            &b"#!/usr/bin/env -S python3 -u\nprint()\n"[..],
            b"#!/bin/sh\nexe=\"/bin/jq\"\nROOT='/bin'\nif true; then exec \"$ROOT/x\" ${exe} | tee; fi\n",
            b"env -i A=1 tini -- sh -ec 'exec /bin/x \"$@\"'",
            b"MZ\x90\0\x03\0\0\0",
        ]
        .map(|script| join(&[script, b"/usr/bin:/bin:relative:/opt/a"]))
        .to_vec(),
        "pyinstaller" => vec![pyinstaller()],
        "trace" => [STRACE, RECORDING]
            .map(|text| text.as_bytes().to_vec())
            .to_vec(),
        "config" => [CONFIG, "[lint]\nfail-on = 'never'\n[[image]]\nfile = '''\na'''\n"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec(),
        "words" => vec![WORDS.as_bytes().to_vec()],
        "registry" => registry(),
        _ => Vec::new(),
    }
}

const LINES: &[u8] = b"usr/bin/app\nusr/lib/libz.so.1\nusr/bin/app\nusr/lib/libz.so.1\n";
const CONFIG: &str = r#"
[[image]]
name = "app"
file = ["target/app", "b"]
tag = "me/app:1.0"
env = { A = "1", "B.C" = "2" }
strip = true
[lint]
fail-on = "warning"
[[lint.ignore]]
rule = "SP305"
path = "/usr/{bin,lib}/**/*"
reason = "they belong there"
"#;
const WORDS: &str = "SP305:/usr/{bin,lib}/**/*[a-z]?\ngconv=UTF-16+LATIN1\nall\n**/**/**/**/a*b*c*\n\
                     localhost:5000/me/app:1.0@sha256:0\n\u{202e}\u{1b}[2J\u{85}x\n[!a-\\]]{a,{b,c}}\n";

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
    Upstream-Name: app\n\nFiles: *\nCopyright: 2020, A\nLicense: GPL-2+ or Expat\n\nFiles: b\n\
    License: BSD-3-clause and my-own\n Text.\n .\n License: none\n\nLicense: GPL-2 with exception, or ISC\n";

const BASELINE: &str = r#"{"schema":1,"findings":[{"rule":"SP001","severity":"error",
    "subject":"libz.so.1","paths":["/usr/bin/app","/usr/bin/other"]},
    {"rule":"SP101","severity":"info","subject":"","paths":[]}]}"#;

/// Build information of Go with strings and with pointers, and the crates of a program of Rust.
fn build_info() -> Vec<Vec<u8>> {
    const MODULES: &[u8] =
        b"0123456789abcdefpath\ta\nmod\ta.org/a\tv1.0.0\th1:x=\ndep\tb.org/b/v2\tv2.0.0\n\
        =>\tc.org/c\tv1.0.1\th1:y=\nbuild\tCGO_ENABLED=0\n0123456789abcdef";
    const CRATES: &[u8] = br#"{"packages":[{"name":"app","version":"0.1.0","source":"local",
        "dependencies":[1],"root":true},{"name":"libc","version":"0.2.1","source":"crates.io"}]}"#;
    let size = MODULES.len() as u64;
    let header = |flags: u8| [b"\xff Go buildinf:\x08", &[flags][..]].concat();
    let length = [(size & 0x7f | 0x80) as u8, (size >> 7) as u8];
    let inline = [&header(2), &[0; 16][..], b"\x06go1.20", &length, MODULES].concat();
    let words = [0x1020, 0x1030, 0x1040, 6, 0x1046, size].map(u64::to_le_bytes);
    let pointers = [&header(0), &words.concat()[..], b"go1.17", MODULES].concat();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(CRATES).expect("memory takes all");
    vec![inline, pointers, zlib.finish().expect("memory takes all")]
}

/// The files of an input that stands for several.
fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(MARK)
}

/// A library with versions, both hash tables, notes and debug information, a program that uses it,
/// and objects without sections.
fn objects() -> Vec<Vec<u8>> {
    static COMPILED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let mut objects = COMPILED
        .get_or_init(|| compiled().unwrap_or_default())
        .clone();
    objects.push(object(GLIBC, "", &["libc.so.6"]));
    objects.push(object("", "ld-linux-x86-64.so.2", &[]));
    objects
}

#[expect(
    clippy::too_many_lines,
    reason = "sources, and the commands that compile them"
)]
fn compiled() -> std::io::Result<Vec<Vec<u8>>> {
    const LIBRARY: &str = r#"
        struct note { int owner, size, kind; char name[4]; char text[52]; };
        __attribute__((section(".note.dlopen"), aligned(4), used)) static const struct note note = {
            4, 52, 0x407c0c0a, "FDO", "[{\"soname\":[\"libz.so.1\"],\"priority\":\"required\"}]" };
        __thread int local; int value = 1; int *pointer = &value;
        extern int puts(const char *);
        int inner(void) { puts("/usr/share/app"); return value + local; }
        #ifdef __PIC__
        int old(void) { return 2; }
        __asm__(".symver old, both@V_1");
        int new(void) { return 3; }
        __asm__(".symver new, both@@V_2");
        #endif
    "#;
    const MAP: &str = "V_1 { global: inner; value; local: *; }; V_2 { global: both; } V_1;";
    const PROGRAM: &str = r#"
        extern int value; int inner(void); int both(void);
        void _start(void) { value = inner() + both(); for (;;); }"#;
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    fs::write(at("map"), MAP)?;
    fs::write(at("inner.c"), LIBRARY)?;
    fs::write(at("app.c"), PROGRAM)?;
    let compile = |output: &str, words: &[&str]| -> Option<Vec<u8>> {
        let small = [
            "-Os",
            "-g",
            "-nostdlib",
            "-ffreestanding",
            "-fno-stack-protector",
        ];
        let linked = "-Wl,-z,noseparate-code,--build-id,--hash-style=both,-z,max-page-size=4096,\
                      --unresolved-symbols=ignore-all";
        let status = Command::new("cc")
            .current_dir(folder.path())
            .args(small)
            .args(words)
            // The path of the temporary directory differs from run to run.
            .arg(format!("-ffile-prefix-map={}=.", folder.path().display()))
            .args([linked, "-o", output])
            .stderr(std::process::Stdio::null())
            .status();
        status.ok().filter(std::process::ExitStatus::success)?;
        fs::read(at(output)).ok()
    };
    let library = [
        "-shared",
        "-fPIC",
        "inner.c",
        "-Wl,--version-script,map,-soname,libinner.so",
    ];
    let program = [
        "app.c",
        "libinner.so",
        "-Wl,--dynamic-linker",
        "-Wl,/lib64/ld-linux-x86-64.so.2",
    ];
    let made = [
        compile("libinner.so", &library),
        compile("app", &program),
        compile(
            "packed.so",
            &[&library[..], &["-Wl,-z,pack-relative-relocs", "-gz"]].concat(),
        ),
        compile("static", &["-static", "-fno-pie", "app.c", "inner.c"]),
        compile("lib32.so", &[&library[..], &["-m32"]].concat()),
    ];
    Ok(made.into_iter().flatten().collect())
}

fn closures() -> Vec<Vec<u8>> {
    let objects = objects();
    let compiled = [1, 0].map(|number| objects.get(number).cloned().unwrap_or_default());
    let [program, library] = &compiled;
    let glibc = object(GLIBC, "", &["libinner.so", "libc.so.6"]);
    let musl = object(MUSL, "", &["libinner.so"]);
    let inner = object("", "libinner.so", &["libc.so.6"]);
    let preload = b"/lib/libinner.so libgone.so # a comment\n";
    let path = b"/lib:/opt/lib\n/usr/lib";
    vec![
        join(&[program, library, &new_cache(), preload, path]),
        join(&[&glibc, &inner, &new_cache(), preload, path]),
        join(&[&musl, &inner, &old_cache(), preload, path]),
    ]
}

/// A cache as written by slimpack.
fn new_cache() -> Vec<u8> {
    let view = view(
        MemoryVfs::new()
            .file(GLIBC, object("", "ld-linux-x86-64.so.2", &[]))
            .file("/app", object(GLIBC, "", &[])),
    );
    let environment = Environment::default();
    let program = Program::find(&view, Path::new("/app")).expect("the program is valid");
    let closure = Closure::of(&program, &view, &Loaders::default(), &environment);
    let rules = closure.ok().and_then(|closure| closure.rules.clone());
    let entries = ["libinner.so", "libc.so.6", "libz.so.1", "libz.so.10"].map(|name| {
        let path = Path::new("/opt/lib").join(name);
        (name.into(), path)
    });
    let cache = rules.and_then(|rules| rules.write_cache(&entries));
    cache.map(|(_, bytes)| bytes).unwrap_or_default()
}

/// A cache in the format before glibc 2.2.
fn old_cache() -> Vec<u8> {
    let mut bytes = b"ld.so-1.7.0\0".to_vec();
    for number in [1_u32, 3, 0, 12] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"libinner.so\0/opt/lib/libinner.so\0");
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// These bytes, compressed as gzip, zstd and xz.
fn packed(bytes: &[u8]) -> Vec<Vec<u8>> {
    /// The output of `xz -0` for forty lines.
    const XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x0c\x00\x00\x00\
        \x8f\x98\x41\x9c\xe0\x01\xdf\x00\x15\x5d\x00\x3a\x9c\xca\x8b\x09\x1e\x01\x5e\x50\
        \xcc\xe3\x51\x4c\x0b\xdb\xb4\xef\x02\xb7\x00\x00\x00\x00\x00\x00\x81\x58\x93\x19\
        \x93\x49\x10\x22\x00\x01\x31\xe0\x03\x00\x00\x00\xe4\x68\x12\x36\xb1\xc4\x67\xfb\
        \x02\x00\x00\x00\x00\x04\x59\x5a";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let written = gzip.write_all(bytes);
    let gzip = gzip.finish().ok().filter(|_| written.is_ok());
    let zstd = zstd::encode_all(bytes, 3).ok();
    let mut packed = vec![XZ.to_vec()];
    packed.extend(gzip.iter().chain(&zstd).cloned());
    // Several streams may follow one another.
    packed.extend(gzip.map(|gzip| gzip.repeat(2)));
    packed.extend(zstd.map(|zstd| zstd.repeat(2)));
    packed
}

/// A member of a tar, unchanged.
fn member(kind: EntryType, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut member = [header.as_bytes(), data].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// The records of a pax extended header.
fn records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let digits = if rest + 2 < 100 { 2 } else { 3 };
        text += &format!("{} {key}={value}\n", rest + digits);
    }
    member(EntryType::XHeader, "PaxHeaders/x", "", text.as_bytes())
}

/// Every kind of member.
fn members() -> Vec<u8> {
    let long = "long/".repeat(30) + "name\0";
    [
        member(EntryType::Directory, "usr/bin/", "", b""),
        member(EntryType::Regular, "usr/bin/app", "", b"#!/bin/sh\n"),
        member(EntryType::Link, "usr/bin/same", "usr/bin/app", b""),
        member(EntryType::Symlink, "bin", "usr/bin", b""),
        member(EntryType::GNULongName, "././@LongLink", "", long.as_bytes()),
        member(EntryType::Regular, "cut", "", b"x"),
        records(&[
            ("path", "etc/p\u{e4}th"),
            ("size", "3"),
            ("uid", "70000"),
            ("SCHILY.xattr.security.capability", "\u{1}\0\0\u{2}\0\0\0\0"),
            ("mtime", "1700000000.5"),
        ]),
        member(EntryType::Regular, "cut", "", b"abc"),
        member(
            EntryType::XGlobalHeader,
            "pax_global_header",
            "",
            b"12 gid=1000\n",
        ),
        member(EntryType::Char, "dev/null", "", b""),
        member(EntryType::Regular, "etc/.wh.gone", "", b""),
        member(EntryType::Regular, "etc/.wh..wh..opq", "", b""),
        vec![0; 1024],
    ]
    .concat()
}

/// Sparse files in all three formats of GNU tar.
fn sparse() -> Vec<u8> {
    let mut old = member(EntryType::GNUSparse, "old", "", &[b'x'; 512]);
    for (at, number) in [(386, 0), (398, 256), (410, 65536), (422, 256), (483, 65792)] {
        old[at..at + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
    }
    let mut mapped = b"2\n0\n5\n1000\n5\n".to_vec();
    mapped.resize(512, 0);
    mapped.extend(b"helloworld");
    [
        old,
        records(&[
            ("GNU.sparse.major", "0"),
            ("GNU.sparse.minor", "1"),
            ("GNU.sparse.name", "map"),
            ("GNU.sparse.size", "1005"),
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.map", "0,5,1000,5"),
        ]),
        member(EntryType::Regular, "GNUSparseFile.1/map", "", b"helloworld"),
        records(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "data"),
            ("GNU.sparse.realsize", "1005"),
        ]),
        member(EntryType::Regular, "GNUSparseFile.1/data", "", &mapped),
        vec![0; 1024],
    ]
    .concat()
}

/// A small root with a program.
fn root() -> Vec<u8> {
    archive(&[
        ("usr/bin/app", &object(GLIBC, "", &["libc.so.6"])),
        (&GLIBC[1..], &object("", "ld-linux-x86-64.so.2", &[])),
        ("lib64/libc.so.6", &object("", "libc.so.6", &[])),
    ])
}

const DOCKER: &[u8] =
    br#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["0/layer.tar","1/layer.tar"]}]"#;
const IMAGE: &str = r#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","config":{"Env":["PATH=/usr/bin"],
"Entrypoint":["app"],"Cmd":["-v"],"User":"1:1","WorkingDir":"/w","ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},
"Labels":{"dev.slimpack.reasons":"{\"/a\":\"b\"}"},"Healthcheck":{"Test":["CMD","/app"],"Interval":1000000000}},
"rootfs":{"type":"layers","diff_ids":[DIFFS]},"history":[{"created_by":"x","empty_layer":true}]}"#;
const DIFF: &str = "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"";

fn docker() -> Vec<Vec<u8>> {
    let config = IMAGE.replace("DIFFS", &format!("{DIFF},{DIFF}"));
    let mut layers = packed(&root());
    layers.extend([root(), members()]);
    let documents = |layer: &Vec<u8>| join(&[DOCKER, config.as_bytes(), layer, &members()]);
    layers.iter().map(documents).collect()
}

fn oci() -> Vec<Vec<u8>> {
    const INDEX: &str = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"@M","size":@m,"annotations":{"org.opencontainers.image.ref.name":"app:1"},"platform":{"os":"linux","architecture":"amd64"}}]}"#;
    const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@C","size":@c},
"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tarPACKED","digest":"@L","size":@l}]}"#;
    let config = IMAGE.replace("DIFFS", DIFF);
    let nested = INDEX
        .replace("image.manifest", "image.index")
        .replace("@M", "@N")
        .replace("@m", "@n");
    let packings = ["", "+gzip", "+zstd"];
    let layers = [vec![root()], packed(&root())].concat();
    let [plain, _, gzip, zstd, ..] = &layers[..] else {
        return Vec::new();
    };
    let mut inputs = Vec::new();
    for (packing, layer) in packings.iter().zip([plain, gzip, zstd]) {
        let manifest = MANIFEST.replace("PACKED", packing);
        for index in [INDEX, &nested] {
            let documents = [index, &manifest, &config].map(str::as_bytes);
            inputs.push(join(
                &[&documents[..], &[layer.as_slice(), INDEX.as_bytes()]].concat(),
            ));
        }
    }
    inputs
}

fn images() -> Vec<Vec<u8>> {
    let config = IMAGE.replace("DIFFS", DIFF);
    let docker = br#"[{"Config":"config.json","Layers":["0/layer.tar"]}]"#;
    let mut images = vec![
        root(),
        archive(&[
            ("manifest.json", docker),
            ("config.json", config.as_bytes()),
            ("0/layer.tar", &root()),
        ]),
    ];
    images.extend(packed(&images[1].clone()));
    images
}

/// Initrds: one archive, one behind early microcode, and both compressed.
fn initrds() -> Vec<Vec<u8>> {
    let objects = objects();
    let program = objects.first().map_or(&b""[..], Vec::as_slice);
    let microcode = cpio(&[("kernel/x86/microcode/GenuineIntel.bin", 0o100_644, b"code")]);
    let main = cpio(&[
        ("bin", 0o40_755, b""),
        ("init", 0o100_755, b"#!/bin/app\n"),
        ("bin/app", 0o100_755, program),
        ("lib", 0o120_777, b"usr/lib"),
        (
            "usr/lib/libc.so.6",
            0o100_644,
            &object("", "libc.so.6", &[]),
        ),
    ]);
    let both = [microcode, main.clone()].concat();
    let mut initrds = packed(&main);
    initrds.extend([main, both]);
    initrds
}

fn roots() -> Vec<Vec<u8>> {
    let objects = objects();
    let compiled = [1, 0].map(|number| objects.get(number).cloned().unwrap_or_default());
    let [program, library] = &compiled;
    let texts: [&[u8]; 11] = [
        b"#!/usr/bin/env -S program -x\nexec /usr/bin/app\n",
        &new_cache(),
        b"include /etc/ld.so.conf.d/*.conf\n/opt/lib\n",
        b"/usr/lib # a comment\ninclude ../ld.so.conf\n",
        b"/usr/lib/libinner.so\n",
        b"/lib:/usr/lib\n",
        b"root:x:0:0:root:/root:/bin/sh\napp:x:1:1::/:/usr/bin/app\n",
        b"passwd: files systemd\nhosts: files [NOTFOUND=return] dns\n",
        b"http 80/tcp www\n",
        b"Package: a\nDepends: b\n",
        b"P:a\nF:usr/bin\nR:app\n",
    ];
    let musl = object(MUSL, "", &["libinner.so"]);
    [&[program.as_slice(), library][..], &[&musl, library]]
        .map(|objects| join(&[objects, &texts[..], &[br#"{"/a":"b"}"#]].concat()))
        .to_vec()
}

fn needs() -> Vec<Vec<u8>> {
    let objects = objects();
    let texts: [&[u8]; 14] = [
        b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/false\n",
        b"root:x:0:\napp:x:1000:\n",
        b"passwd: files systemd\ngroup: files\nhosts: files mdns4_minimal [NOTFOUND=return] dns\n",
        b"http 80/tcp www\n",
        b"auth required pam_unix.so nullok\n@include common-auth\n",
        b"openssl_conf = default\n[default]\nproviders = p\n.include /etc/ssl/other.cnf\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"TZif2\0",
        b"127.0.0.1 localhost\n",
        b"\x09\x01\x02\xde\0\0\0\0",
        b"# version 2024a\nZ Europe/Berlin 1 - CET\n",
        b"#!/bin/sh\nexec /app \"$@\"\n",
        &object("", "plugin.so", &["libc.so.6"]),
        b"\x1a\x01\x05\0",
    ];
    let words: &[u8] = b"root app de_DE.UTF-8 Europe/Berlin libz.so.1 tool /usr/bin/tool";
    objects
        .iter()
        .map(|program| join(&[&[words, program.as_slice()][..], &texts[..]].concat()))
        .collect()
}

/// A PyInstaller archive: files, table of contents, magic number.
fn pyinstaller() -> Vec<u8> {
    let library = object("", "libinner.so", &["libgone.so"]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let written = zlib.write_all(&library);
    let packed = zlib
        .finish()
        .ok()
        .filter(|_| written.is_ok())
        .unwrap_or_default();
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    let number = |value: usize| (value as u32).to_be_bytes();
    for (name, is_packed, kind, stored) in [
        ("libinner.so", 0, b'b', &library),
        ("lib/libouter.so", 1, b'b', &packed),
        ("data.txt", 0, b'x', &b"text".to_vec()),
        ("main", 1, b's', &packed),
    ] {
        let size = 18 + name.len() + 1;
        let fields = [size, bytes.len(), stored.len(), library.len()];
        table.extend(fields.map(number).concat());
        table.extend([is_packed, kind]);
        table.extend(name.as_bytes());
        table.push(0);
        bytes.extend(stored);
    }
    let at = bytes.len();
    bytes.extend(&table);
    bytes.extend(b"MEI\x0c\x0b\x0a\x0b\x0e");
    let length = at + table.len() + 88;
    bytes.extend([length, at, table.len(), 311].map(number).concat());
    bytes.extend([0; 64]);
    bytes
}

fn registry() -> Vec<Vec<u8>> {
    let manifest = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@C","size":@c},"layers":[]}"#;
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"@M","size":@m,"platform":{"os":"linux","architecture":"amd64","variant":"v1"}}]}"#;
    let errors =
        br#"{"errors":[{"code":"NAME_UNKNOWN","message":"not known","detail":{"a":[1]}}]}"#;
    let token = br#"{"token":"abc","expires_in":60}"#;
    vec![
        join(&[b"200", manifest, b"", b"{}", b""]),
        join(&[b"200", index, manifest, b"{}", b""]),
        join(&[b"401\n,service=\"x\"\n\n60", index, manifest, b"{}", token]),
        join(&[b"401\n, Basic realm=\"a\\\"b\"", errors, b"", b"", token]),
        join(&[b"404\n\n\nWed, 21 Oct 2015 07:28:00 GMT", errors]),
        join(&[b"403", b"<html>denied\n"]),
    ]
}

/// Every kind of line that strace prints.
const STRACE: &str = r#"10  execve("/bin/sh", ["sh", "-c", "ls"], 0x7ff /* 9 vars */) = 0
10  12:00:00.1 openat(AT_FDCWD</work>, "a\n\303\251", O_RDONLY|O_CREAT|O_CLOEXEC, 0666) = 3</work/a>
10  openat2(3, "b", {flags=O_RDONLY|O_PATH, resolve=RESOLVE_IN_ROOT}, 24) = 4
10  clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>
[pid 11] chdir("/usr")                    = 0
10  <... clone resumed>, child_tidptr=0x7f) = 11
11  stat("lib", {st_mode=S_IFDIR|0755, ...}) = 0
11  execve("/bin/echo", ["echo"], 0x7ff <pid changed to 10 ...>
10  +++ superseded by execve in pid 11 +++
10  <... execve resumed>)             = 0
10  readlink("/proc/self/exe", 0x7ff, 4096) = -1 EINVAL (Invalid argument)
10  getdents64(4, 0x55 /* 2 entries */, 32768) = 48
10  dup2(4, 5)                        = 5
10  close(5)                          = 0
10  rename("c", "d")                  = -1 ENOENT (No such file or directory)
10  --- SIGCHLD {si_signo=SIGCHLD} ---
10  +++ killed by SIGTERM +++
"#;
const RECORDING: &str = r#"{"schema":1,"format":"slimpack-trace","command":["/bin/ls"],"ending":{"exit":0}}
{"process":["/bin/ls","-l"]}
{"path":"/etc/passwd","uses":["opened","tested"],"by":0}
{"path":[47,255],"uses":["created"],"by":0}
{"absent":"/etc/none"}
{"note":{"kind":"setuid","path":"/usr/bin/su"}}
"#;
