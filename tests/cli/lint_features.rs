//! SP018: features that a loader is too old for. The loaders of this machine decide: Debian 12 has
//! musl 1.2.3, which does not support packed relocations (RELR), and glibc 2.36, which does.

use std::fs;

use crate::common::{fail_with, have, slimpack};
use crate::roots::{MUSL_GCC, Root, assert_has};
use serde_json::json;

const APP: &str = "/usr/bin/app";
/// A program that crashes if its pointers are not relocated.
const POINTERS: &str = "#include <stdio.h>
static int one, two;
int *volatile table[] = {&one, &two};
int main(int count, char **words) { *table[count & 1] = count; return *table[count & 1] != count; }";
const PACKED: [&str; 3] = ["-fPIE", "-pie", "-Wl,-z,pack-relative-relocs"];

#[test]
fn sp018_packed_relocations_are_told_where_musl_does_not_know_them() {
    if !have(&[MUSL_GCC]) {
        return;
    }
    let root = Root::musl();
    root.compile("usr/bin/app", POINTERS, &PACKED);
    root.compile("usr/bin/plain", POINTERS, &["-fPIE", "-pie"]);
    root.starts("/usr/bin/plain");
    let Some(started) = root.start(APP, &[]) else {
        return;
    };
    let report = root.lint();
    match started {
        Ok(_) => report.is_silent("SP018"),
        Err(_) => assert_has(
            report.only("SP018"),
            &json!({"severity": "error", "path": APP, "programs": [APP]}),
        ),
    }
    // A program that does not start is not packed.
    if started.is_err() {
        let mut pack = slimpack();
        pack.args(["--root".as_ref(), root.path.as_os_str()]);
        let said = fail_with(
            1,
            pack.arg(root.at("usr/bin/app")).args(["-o", "/dev/null"]),
        );
        assert!(said.contains("packed relocations (DT_RELR)"), "{said}");
    }
}

/// The hash of a version name (`elf_hash` in the generic ABI).
fn hash(name: &[u8]) -> [u8; 4] {
    let hash = name.iter().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(*byte));
        (hash ^ ((hash & 0xf000_0000) >> 24)) & !0xf000_0000
    });
    hash.to_le_bytes()
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = memchr::memmem::find(bytes, old).unwrap();
    [&bytes[..at], new, &bytes[at + new.len()..]].concat()
}

#[test]
fn sp018_glibc_wants_packed_relocations_declared() {
    let root = Root::glibc();
    root.compile("usr/bin/app", POINTERS, &PACKED);
    root.starts(APP);
    root.lint().is_silent("SP018");
    // Replace the required version by one that glibc has had for years.
    let (old, new) = (b"GLIBC_ABI_DT_RELR\0", b"GLIBC_2.2.5\0");
    let bytes = fs::read(root.at("usr/bin/app")).unwrap();
    let hashes = [old.strip_suffix(b"\0"), new.strip_suffix(b"\0")].map(|name| hash(name.unwrap()));
    let bytes = replaced(&replaced(&bytes, old, new), &hashes[0], &hashes[1]);
    fs::write(root.at("usr/bin/app"), bytes).unwrap();
    root.does_not_start(APP, "DT_RELR without GLIBC_ABI_DT_RELR dependency");
    let report = root.lint();
    let message = report.only("SP018")["message"].as_str().unwrap();
    assert!(message.contains("glibc refuses it"), "{message}");
}

/// No such old loader runs here: the versions defined by its libc show what it lacks.
#[test]
fn sp018_an_old_glibc_is_known_by_its_versions() {
    for (style, packed, told) in [
        ("sysv", "nopack-relative-relocs", None),
        (
            "sysv",
            "pack-relative-relocs",
            Some("older than glibc 2.36"),
        ),
        (
            "gnu",
            "nopack-relative-relocs",
            Some("older than glibc 2.5"),
        ),
    ] {
        let root = Root::glibc();
        let [style, packed] = [
            format!("-Wl,--hash-style={style}"),
            format!("-Wl,-z,{packed}"),
        ];
        let flags = ["-nostdlib", "-shared", "-fPIC", &style, &packed];
        let source =
            "static int one; int *volatile pointer = &one; int dep(void) { return *pointer; }";
        root.compile("usr/lib/libdep.so", source, &flags);
        let flags = [
            "-Lusr/lib",
            "-ldep",
            "-Wl,-rpath,/usr/lib",
            "-Wl,--hash-style=sysv",
        ];
        root.program("usr/bin/app", &["dep"], &flags);
        let script = root.beside("versions");
        fs::write(&script, "GLIBC_2.2.5 { global: *; };").unwrap();
        let script = format!("-Wl,--version-script={}", script.display());
        let soname = "-Wl,-soname,libc.so.6";
        let flags = [
            "-nostdlib",
            "-shared",
            &script,
            soname,
            "-Wl,--hash-style=sysv",
        ];
        let libc = "usr/lib/x86_64-linux-gnu/libc.so.6";
        root.compile(libc, "int printf(void) { return 0; }", &flags);
        let report = root.lint();
        match told {
            None => report.is_silent("SP018"),
            Some(told) => {
                let finding = report.only("SP018");
                assert_eq!(finding["path"], "/usr/lib/libdep.so");
                assert!(
                    finding["message"].as_str().unwrap().contains(told),
                    "{finding}"
                );
            }
        }
    }
}
