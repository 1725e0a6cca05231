//! Roots and images in which every path tries to escape.
//!
//! Host files contain a marker, at the places named by the symbolic links, search paths, includes
//! and shebangs of generated roots. Its bytes must never reach an image or a stream.

use crate::{common, image_writer, root_images};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{output, slimpack, temporary};
use slimpack_test_elf::Elf;

/// In every host file that a root may try to reach.
const OUTSIDE: &str = "b5d1f3c09e7a4862-outside-8c17d0aa53f94e6b";
/// In the files at the same paths inside the root.
const INSIDE: &str = "6fd20b7715ce4a38-inside-e90c4415ab7d2f01";
const LAYOUTS: u64 = 300;
const LOADER: &str = "ld-linux-x86-64.so.2";

/// A fixed random stream for each layout (PCG with a part of its output function).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 ^ (self.0 >> 22)) >> 29) % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }

    fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// The host files, or the same ones inside the root, with this marker.
fn plant(folder: &Path, token: &str) {
    let marked = |elf: Elf| [elf.bytes(), token.into()].concat();
    let library = |name: &str| {
        marked(Elf {
            soname: Some(name.into()),
            ..Elf::default()
        })
    };
    fs::create_dir_all(folder.join("lib")).unwrap();
    for name in ["libm1.so", "libm2.so", LOADER] {
        write(&folder.join("lib").join(name), &library(name));
    }
    write(&folder.join("secret"), token.as_bytes());
    write(
        &folder.join("passwd"),
        format!("{token}:x:7:7::/:/bin/sh\n").as_bytes(),
    );
    let script = format!("#!/bin/interpreter\n# {token}\n");
    write(&folder.join("script"), script.as_bytes());
    let conf = format!("# {token}\n{}\n", folder.join("lib").display());
    write(&folder.join("x.conf"), conf.as_bytes());
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A path to `what` on the host if the root is ignored; `directory` is that of the symbolic link.
fn way_out(dice: &mut Dice, host: &Path, what: &str) -> String {
    let host = host.display();
    match dice.roll(8) {
        0 | 1 => format!("{host}/{what}"),
        2 => format!("/../../..{host}/{what}"),
        3 => format!("{}{}/{what}", "../".repeat(16), &host.to_string()[1..]),
        4 => format!("/out/{what}"),
        5 => format!("/chain0/{what}"),
        6 => format!("/proc/self/root{host}/{what}"),
        _ => format!("/usr/../..{host}/./lib/../{what}"),
    }
}

/// A search path for an object.
fn search_path(dice: &mut Dice, host: &Path) -> String {
    let mut parts = Vec::new();
    for _ in 0..=dice.roll(3) {
        let host = host.display();
        parts.push(match dice.roll(6) {
            0 => format!("$ORIGIN/{}{}/lib", "../".repeat(16), &host.to_string()[1..]),
            1 => "${ORIGIN}/out/lib".to_owned(),
            2 => "/out/$LIB".to_owned(),
            3 => format!("{host}/$LIB:{host}/lib"),
            4 => "$ORIGIN/../chain0/${LIB}/../lib".to_owned(),
            _ => way_out(dice, Path::new(&host.to_string()), "lib"),
        });
    }
    parts.join(":")
}

/// A root with one of everything that names a path.
#[expect(clippy::too_many_lines, reason = "one scenario")]
fn build(root: &Path, host: &Path, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let dice = &mut dice;
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let link = |target: &str, path: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        let _ = symlink(target, at(path));
    };
    for path in [
        "usr/bin",
        "usr/lib",
        "lib64",
        "etc/ld.so.conf.d",
        "data",
        "bin",
        "tmp",
    ] {
        fs::create_dir_all(at(path)).unwrap();
    }
    // Half of the roots have files at the same paths inside, where links may lead.
    if dice.coin() {
        plant(&at(host.to_str().unwrap()), INSIDE);
    }
    let out = match dice.roll(3) {
        0 => host.display().to_string(),
        1 => format!("..{}", host.display()),
        _ => format!("{}{}", "../".repeat(16), &host.to_str().unwrap()[1..]),
    };
    link(&out, "out");
    link(dice.one(&["chain1", "/chain1", "/usr/../chain1"]), "chain0");
    link(dice.one(&["out", "/out", "./usr/../out"]), "chain1");

    let loader = format!("/lib64/{LOADER}");
    if dice.roll(4) == 0 {
        link(&way_out(dice, host, &format!("lib/{LOADER}")), &loader);
    } else {
        let elf = Elf {
            soname: Some(LOADER.into()),
            ..Elf::default()
        };
        write(&at(&loader), &elf.bytes());
    }
    let mut needed = vec![dice.one(&["libm1.so", "libm2.so", "libown.so"]).to_owned()];
    if dice.roll(3) == 0 {
        needed.push(way_out(dice, host, "lib/libm2.so"));
    }
    let path = search_path(dice, host);
    let (rpath, runpath) = match dice.roll(3) {
        0 => (Some(path), None),
        1 => (None, Some(path)),
        _ => (None, None),
    };
    let interpreter = match dice.roll(5) {
        0 => way_out(dice, host, &format!("lib/{LOADER}")),
        _ => loader,
    };
    let app = Elf {
        interpreter: Some(interpreter),
        needed,
        rpath,
        runpath,
        soname: None,
        ..Elf::default()
    };
    write(&at("app"), &app.bytes());
    if dice.coin() {
        let own = Elf {
            soname: Some("libown.so".into()),
            needed: vec!["libm1.so".into()],
            runpath: Some(search_path(dice, host)),
            ..Elf::default()
        };
        write(&at("usr/lib/libown.so"), &own.bytes());
    }
    for name in ["libm1.so", "libm2.so"] {
        if dice.roll(3) == 0 {
            link(
                &way_out(dice, host, &format!("lib/{name}")),
                &format!("usr/lib/{name}"),
            );
        }
    }
    if dice.roll(3) == 0 {
        link(&way_out(dice, host, "lib"), "lib");
    }

    // Without a cache, the loader's configuration decides.
    let line = match dice.roll(4) {
        0 => format!("include {}", way_out(dice, host, "*.conf")),
        1 => "include ld.so.conf.d/*.conf".to_owned(),
        2 => format!(
            "include {}{}/x.conf",
            "../".repeat(16),
            &host.to_str().unwrap()[1..]
        ),
        _ => way_out(dice, host, "lib"),
    };
    if dice.roll(5) == 0 {
        link(&way_out(dice, host, "x.conf"), "etc/ld.so.conf");
    } else {
        write(
            &at("etc/ld.so.conf"),
            format!("{line}\n/usr/lib\n").as_bytes(),
        );
    }
    link(&way_out(dice, host, "x.conf"), "etc/ld.so.conf.d/x.conf");
    link(&way_out(dice, host, "passwd"), "etc/passwd");
    link(&way_out(dice, host, "passwd"), "etc/group");

    let interpreter = match dice.roll(3) {
        0 => way_out(dice, host, "script"),
        1 => "/bin/interpreter".to_owned(),
        _ => "/usr/bin/env interpreter".to_owned(),
    };
    link(&way_out(dice, host, "script"), "bin/interpreter");
    write(
        &at("usr/bin/script"),
        format!("#!{interpreter}\n").as_bytes(),
    );
    // Files matched by globs and directories.
    write(&at("data/plain"), b"plain");
    for name in ["one", "two"] {
        let what = dice.one(&["secret", "lib/libm1.so", "script", "", "x.conf"]);
        link(&way_out(dice, host, what), &format!("data/{name}"));
    }
}

/// How many images were written of layouts, and how many of them contain a file of the root.
#[derive(Default)]
struct Written {
    all: u32,
    of_inside: u32,
}

/// Runs every command on one layout, in `base`.
fn examine(base: &Path, host: &Path, seed: u64, written: &mut Written) {
    let at = |name: &str| base.join(name);
    let (root, out, image) = (at("root"), at("x.tar"), at("image.tar"));
    build(&root, host, seed);
    let bytes = image_writer::image_of(&root_images::members(&root));
    fs::write(&image, bytes).unwrap();
    let [to, from, place] = [&out, &image, &root].map(|path| path.to_str().unwrap());
    let [app, script, all, one, secret] =
        ["app", "usr/bin/script", "data/*", "data/one", "out/secret"]
            .map(|path| format!("{place}/{path}"));
    let lenient = ["--allow-missing", "--with", "all", "-qo", to];
    let [of_root, of_image] = match seed % 4 {
        0 => [&*all, "/data/*"],
        1 => [&*one, "/data/one"],
        2 => [&*secret, "/out/secret"],
        _ => [&*script, "/usr/bin/script"],
    };
    // Packs of libraries or of the script alternate with commands that only print.
    let turns = match seed / 4 % 2 {
        0 => [
            vec!["tree", "-v", "--root", place, &app],
            vec!["tree", "-v", from],
        ],
        _ => [
            [&["--root", place, &*script], &lenient[..]].concat(),
            [&["--from", from, "/usr/bin/script"], &lenient[..]].concat(),
        ],
    };
    let always = [
        [&["--root", place, &*app, "--add", of_root], &lenient[..]].concat(),
        [&["--from", from, "/app", "--add", of_image], &lenient[..]].concat(),
        vec!["lint", "-v", place],
        vec!["lint", "-v", from],
    ];
    for words in always.into_iter().chain(turns) {
        let ended = output(slimpack().args(&words));
        let code = ended.status.code();
        let is_orderly = matches!(code, Some(0..=2));
        assert!(is_orderly, "layout {seed}, {words:?}: {code:?}");
        let made = fs::read(&out).unwrap_or_default();
        for bytes in [&made, &ended.stdout, &ended.stderr] {
            let leaks = memchr::memmem::find(bytes, OUTSIDE.as_bytes()).is_some();
            assert!(!leaks, "layout {seed}, {words:?}: a file of the host");
        }
        written.all += u32::from(!made.is_empty());
        let is_inside = memchr::memmem::find(&made, INSIDE.as_bytes()).is_some();
        written.of_inside += u32::from(is_inside);
        let _ = fs::remove_file(&out);
    }
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn no_byte_of_the_host_reaches_what_is_made_of_a_root_or_an_image() {
    const THREADS: u64 = 2;
    let folder = temporary();
    let base = fs::canonicalize(folder.path()).unwrap();
    let host = base.join("host");
    plant(&host, OUTSIDE);
    let (mut all, mut of_inside) = (0, 0);
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let (base, host) = (base.join(thread.to_string()), &host);
            fs::create_dir(&base).unwrap();
            scope.spawn(move || {
                let mut written = Written::default();
                for seed in (0..LAYOUTS).filter(|seed| seed / 8 % THREADS == thread) {
                    examine(&base, host, seed, &mut written);
                }
                written
            })
        });
        for thread in threads {
            let written = thread.join().unwrap();
            all += written.all;
            of_inside += written.of_inside;
        }
    });
    // The same paths lead to files inside a root: they are followed, and those files are packed.
    assert!(
        all > 200 && of_inside > 100,
        "{all} images, {of_inside} with files of the root"
    );
}
