//! Versions, symbols and the loader's cache, checked against this machine's own tools.

use crate::common;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, fail_with, hello, is_root, output, slimpack, succeed, temporary};
use slimpack::loader::Cache;

/// `name flags-word => path` for every line of `ldconfig -p`.
fn ldconfig_lines(cache: &Path) -> Vec<(String, String)> {
    let listed = succeed(
        Command::new("/usr/sbin/ldconfig")
            .args(["-p", "-C"])
            .arg(cache),
    );
    listed
        .lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .map(|(name, path)| (name.split(' ').next().unwrap().to_owned(), path.to_owned()))
        .collect()
}

fn our_lines(cache: &Path) -> Vec<(String, String)> {
    let cache = Cache::parse(fs::read(cache).unwrap(), false).expect("a cache");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    cache
        .iter()
        .map(|entry| (text(entry.key), text(entry.value)))
        .collect()
}

#[test]
fn every_format_of_the_cache_reads_as_ldconfig_reads_it() {
    let host = Path::new("/etc/ld.so.cache");
    assert_eq!(our_lines(host), ldconfig_lines(host));
    if !is_root() {
        return;
    }
    for format in ["new", "compat", "old"] {
        let folder = temporary();
        let root = fs::canonicalize(folder.path()).unwrap();
        for part in [
            "etc",
            "usr/lib",
            "var/cache/ldconfig",
            "opt/lib/glibc-hwcaps/x86-64-v3",
        ] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        for name in ["libz9.so.2", "libz10.so.1", "liba.so"] {
            let soname = format!("-Wl,-soname,{name}");
            let built = compile(
                &root,
                name,
                "int f(void) { return 0; }",
                &["-shared", "-fPIC", &soname],
            );
            fs::copy(
                &built,
                root.join("opt/lib/glibc-hwcaps/x86-64-v3").join(name),
            )
            .unwrap();
            fs::rename(built, root.join("opt/lib").join(name)).unwrap();
        }
        fs::write(root.join("etc/ld.so.conf"), "/opt/lib\n").unwrap();
        succeed(
            Command::new("/usr/sbin/ldconfig")
                .arg("-r")
                .arg(&root)
                .args(["-c", format]),
        );
        let cache = root.join("etc/ld.so.cache");
        let ours = our_lines(&cache);
        assert_eq!(ours, ldconfig_lines(&cache), "{format}");
        assert!(ours.len() >= 3, "{format}: {ours:?}");
    }
}

#[test]
fn the_lowest_glibc_is_the_highest_version_that_readelf_shows() {
    let folder = temporary();
    let source = "#include <pthread.h>\n\
        static void *run(void *unused) { return unused; }\n\
        int main(void) { pthread_t thread; return pthread_create(&thread, 0, run, 0); }";
    let threads = compile(folder.path(), "threads", source, &[]);
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect()
    };
    for program in [threads.as_path(), hello()] {
        let shown = succeed(Command::new("readelf").args(["-W", "-V"]).arg(program));
        let highest = shown
            .split("GLIBC_")
            .skip(1)
            .map(|rest| {
                rest.split(|c: char| c != '.' && !c.is_ascii_digit())
                    .next()
                    .unwrap()
            })
            .filter(|version| !version.is_empty())
            .max_by_key(|version| numbers(version))
            .unwrap();
        let text = succeed(slimpack().args(["tree", "--versions"]).arg(program));
        assert!(
            text.contains(&format!("needs glibc ≥ {highest} because of ")),
            "{highest}: {text}"
        );
    }
    let text = succeed(slimpack().args(["tree", "--versions"]).arg(&threads));
    let because =
        text.contains("because of pthread_create") || text.contains("because of __libc_start_main");
    assert!(because, "{text}");
}

/// A sample of the programs in /usr/bin, or all if `SLIMPACK_TEST_ALL` is set.
fn system_programs() -> Vec<PathBuf> {
    let stride = if std::env::var_os("SLIMPACK_TEST_ALL").is_some() {
        1
    } else {
        20
    };
    let mut programs: Vec<_> = fs::read_dir("/usr/bin")
        .unwrap()
        // When ld.so is run as a command, $ORIGIN comes from the path as given.
        .filter_map(|entry| fs::canonicalize(entry.unwrap().path()).ok())
        .filter(|path| {
            let tree = output(slimpack().args(["tree", "--json"]).arg(path));
            let json = String::from_utf8_lossy(&tree.stdout).into_owned();
            tree.status.success() && json.contains("\"/lib64/ld-linux-x86-64.so.2\"")
        })
        .collect();
    programs.sort();
    programs.dedup();
    programs.into_iter().step_by(stride).collect()
}

#[test]
fn undefined_symbols_and_unused_libraries_are_those_that_ldd_names() {
    let programs = system_programs();
    assert!(programs.len() > 10);
    for program in &programs {
        let (mut undefined, mut unused) = (BTreeSet::new(), BTreeSet::new());
        let text = output(slimpack().args(["tree", "--symbols"]).arg(program)).stdout;
        for line in String::from_utf8(text).unwrap().lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("undefined"), Some(symbol)) => {
                    undefined.insert(symbol.split('@').next().unwrap().to_owned());
                }
                // ldd lists the libraries that the program itself does not use.
                (Some("unused"), Some(name))
                    if line.ends_with(&format!("({})", program.display())) =>
                {
                    unused.insert(name.to_owned());
                }
                _ => {}
            }
        }
        let ldd = |flag: &str| {
            let listing = output(Command::new("ldd").arg(flag).arg(program));
            let both = [listing.stdout, listing.stderr].concat();
            String::from_utf8_lossy(&both).into_owned()
        };
        let expected: BTreeSet<String> = ldd("-r")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("undefined symbol: "))
            .map(|rest| rest.split([' ', ',', '\t']).next().unwrap().to_owned())
            .collect();
        assert_eq!(undefined, expected, "{}", program.display());
        let expected: BTreeSet<String> = ldd("-u")
            .lines()
            .filter_map(|line| line.strip_prefix('\t'))
            .map(|path| path.trim().rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(unused, expected, "{}", program.display());
    }
    // Nothing is missing on a healthy system, and -q prints nothing.
    let said = output(
        slimpack()
            .args(["tree", "-q", "--versions", "--symbols"])
            .args(&programs),
    );
    assert!(said.status.success());
    assert!(
        said.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&said.stdout)
    );
}

/// A root with a libc that lacks what the program needs, as in a container of an older release: the
/// version names in the library's own table are changed.
#[test]
fn a_libc_without_the_version_is_found_out_before_anything_is_written() {
    let folder = temporary();
    let root = fs::canonicalize(folder.path()).unwrap();
    for path in [
        "lib64/ld-linux-x86-64.so.2",
        "lib/x86_64-linux-gnu/libc.so.6",
    ] {
        let copy = root.join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(Path::new("/").join(path), &copy).unwrap();
    }
    let libc = root.join("lib/x86_64-linux-gnu/libc.so.6");
    let mut bytes = fs::read(&libc).unwrap();
    let name = b"GLIBC_2.34\0";
    let mut changed = 0;
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(name) {
            bytes[at + 8..at + 10].copy_from_slice(b"01");
            changed += 1;
        }
    }
    assert!(changed > 0);
    fs::write(&libc, bytes).unwrap();
    let program = root.join("app");
    fs::copy(hello(), &program).unwrap();
    let loader = output(&mut common::in_chroot(&root, Path::new("/app")));
    assert!(String::from_utf8_lossy(&loader.stderr).contains("version `GLIBC_2.34' not found"));
    let out = root.join("out.tar");
    let stderr = fail_with(
        1,
        slimpack()
            .arg("--root")
            .arg(&root)
            .arg(&program)
            .arg("-o")
            .arg(&out),
    );
    for part in [
        "/usr/local/bin/app needs version GLIBC_2.34 of",
        "libc.so.6, which has GLIBC_2.",
        "--root",
    ] {
        assert!(stderr.contains(part), "nothing of {part:?} in {stderr}");
    }
    assert!(!out.exists());
    let quiet = output(
        slimpack()
            .args(["tree", "-q", "--versions", "--root"])
            .arg(&root)
            .arg(&program),
    );
    assert_eq!(quiet.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&quiet.stdout).contains("missing /app needs GLIBC_2.34 of"));
}
