//! Damaged ELF tables: an error that names the object, never a panic or an endless loop.

use crate::common;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use slimpack::binding::Binder;
use slimpack::closure::{Closure, Program};
use slimpack::elf::Object;
use slimpack::loader::{Cache, Environment, Loaders, Objects};
use slimpack::vfs::memory::MemoryVfs;
use slimpack::vfs::{Memo, View};

/// A library with versions, both hash tables and every kind of relocation, and a program that uses
/// it.
fn specimens() -> (Vec<u8>, Vec<u8>) {
    let folder = common::temporary();
    fs::write(
        folder.path().join("map"),
        "V_1 { global: inner; value; local: *; };",
    )
    .unwrap();
    let map = format!(
        "-Wl,--version-script,{}",
        folder.path().join("map").display()
    );
    let source = "#include <stdio.h>\nint value = 1; int inner(void) { puts(\"\"); return value; }";
    let flags = [
        "-shared",
        "-fPIC",
        "-Wl,-soname,libinner.so,--hash-style=both",
        &map,
    ];
    let library = common::compile(folder.path(), "libinner.so", source, &flags);
    let source = "extern int value; int inner(void); int main(void) { return inner() + value; }";
    let path = library.display().to_string();
    let program = common::compile(
        folder.path(),
        "app",
        source,
        &[&path, "-Wl,--hash-style=both"],
    );
    (fs::read(library).unwrap(), fs::read(program).unwrap())
}

/// CPU time of this thread: wall-clock time would also count other processes.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

/// Does everything that packing and `tree` do with these two files.
fn examine(library: Vec<u8>, program: Vec<u8>) {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let libc = fs::read("/lib/x86_64-linux-gnu/libc.so.6").unwrap();
    let vfs = MemoryVfs::new()
        .file(loader, fs::read(loader).unwrap())
        .file("/lib/x86_64-linux-gnu/libc.so.6", libc)
        .file("/lib/libinner.so", library)
        .file("/app", program);
    let start = worked();
    let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
    let Ok(program) = Program::find(&view, Path::new("/app")) else {
        return;
    };
    let Ok(closure) = Closure::of(
        &program,
        &view,
        &Loaders::default(),
        &Environment::default(),
    ) else {
        return;
    };
    let binder = Binder::new(&view);
    let errors = [
        binder.missing_versions(&closure).err(),
        binder.needed_versions(&closure).err(),
        binder.lowest_glibc(&closure).err(),
        binder.unresolved(&closure).err(),
        binder.unused(&closure).err(),
    ];
    for error in errors.into_iter().flatten() {
        let text = error.to_string();
        assert!(text.starts_with("cannot read the symbols of /"), "{text}");
    }
    let took = worked().saturating_sub(start);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// The file offsets of the values in a 64-bit dynamic table.
fn dynamic_values(bytes: &[u8]) -> Vec<usize> {
    let object = Object::read(&bytes.to_vec()).unwrap();
    let segment = object.segments.iter().find(|s| s.p_type == 2).unwrap();
    let count = segment.p_filesz as usize / 16;
    (0..count)
        .map(|n| segment.p_offset as usize + 16 * n + 8)
        .collect()
}

#[test]
fn any_value_in_the_dynamic_table_is_survived() {
    let (library, program) = specimens();
    for which in 0..2 {
        let original = if which == 0 { &library } else { &program };
        for at in dynamic_values(original) {
            let old = u64::from_le_bytes(original[at..at + 8].try_into().unwrap());
            let size = original.len() as u64;
            for new in [
                0,
                1,
                old + 1,
                old.wrapping_mul(3),
                size - 1,
                size,
                1 << 40,
                u64::MAX,
            ] {
                let mut damaged = original.clone();
                damaged[at..at + 8].copy_from_slice(&new.to_le_bytes());
                match which {
                    0 => examine(damaged, program.clone()),
                    _ => examine(library.clone(), damaged),
                }
            }
        }
    }
}

#[test]
fn any_byte_in_the_tables_is_survived() {
    let (library, program) = specimens();
    // All tables that the loader reads are in the first segment.
    let end = Object::read(&library).unwrap().segments[0].p_filesz as usize;
    for at in 64..end {
        for value in [0, 0xff] {
            let mut damaged = library.clone();
            damaged[at] = value;
            examine_quickly(damaged, &program);
        }
    }
}

/// [`examine`] without the real libc, which the mutated bytes do not affect.
fn examine_quickly(library: Vec<u8>, program: &[u8]) {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let vfs = MemoryVfs::new()
        .file(loader, library.clone())
        .file("/lib64/libinner.so", library)
        .file("/app", program);
    let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
    let Ok(library) = Program::find(&view, Path::new("/lib64/libinner.so")) else {
        return;
    };
    let object = &library.object;
    let _ = view.versions(&library.walk, object);
    let references = view.references(&library.walk, object);
    let (Ok(definitions), Ok(versions)) = (
        view.definitions(&library.walk, object),
        view.versions(&library.walk, object),
    ) else {
        return;
    };
    for reference in references.iter().flat_map(|references| &references.symbols) {
        definitions.satisfies(reference, Some(versions));
        definitions.satisfies(reference, None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_cache_or_none(tail in proptest::collection::vec(any::<u8>(), 0..400), old: bool) {
        let mut bytes = if old { b"ld.so-1.7.0\0".to_vec() } else { b"glibc-ld.so.cache1.1".to_vec() };
        bytes.extend(tail);
        for big_endian in [false, true] {
            if let Some(cache) = Cache::parse(bytes.clone(), big_endian) {
                let _ = cache.iter().count();
                let _ = cache.lookup(std::ffi::OsStr::new("libc.so.6"), 0x303);
            }
        }
    }

    #[test]
    fn any_bytes_behind_an_elf_header_are_an_object_or_an_error(
        mut bytes in proptest::collection::vec(any::<u8>(), 64..2000), class in 1_u8..3, data in 1_u8..3,
    ) {
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, data, 1]);
        if let Ok(object) = Object::read(&bytes) {
            let open = || Ok(Box::new(bytes.clone()) as Box<dyn slimpack::bytes::ReadAt>);
            let _ = object.versions(open);
            let _ = object.references(open);
            let _ = object.definitions(open);
        }
    }
}
