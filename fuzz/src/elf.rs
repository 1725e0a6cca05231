//! ELF objects, and the other files that loaders read.
//!
//! In: one object, or several files of a root. Out: nothing; the parsers return.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use slimpack::binding::Binder;
use slimpack::bytes::ReadAt;
use slimpack::closure::{Closure, Program};
use slimpack::diff::elf_changes;
use slimpack::elf::{Notes, Object, Payload, References, Versions, go_machine};
use slimpack::image::read::Interest;
use slimpack::loader::{Cache, Environment, Loaders, SystemFolders};
use slimpack::source::probe;
use slimpack::strip::{self, Assembled, DebugFile, Level, Strip};
use slimpack::vfs::memory::MemoryVfs;
use slimpack::vfs::{Memo, View};

use crate::parts;
use slimpack_test_elf::Elf;

/// The loader that the harness's programs request.
pub const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
/// The same with musl.
pub const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// A view of an in-memory tree.
pub fn view(vfs: MemoryVfs) -> View {
    View::new(Box::new(vfs), Arc::new(Memo::default()))
}

/// A generated object: `interpreter` is empty for a library.
pub fn object(interpreter: &str, soname: &str, needed: &[&str]) -> Vec<u8> {
    Elf {
        interpreter: (!interpreter.is_empty()).then(|| interpreter.to_owned()),
        soname: (!soname.is_empty()).then(|| soname.to_owned()),
        needed: needed.iter().map(|name| (*name).to_owned()).collect(),
        ..Elf::default()
    }
    .bytes()
}

/// Facts of one object: headers, dynamic table, sections, notes, versions, symbols.
pub fn elf(data: &[u8]) {
    let Ok(object) = Object::read(&data) else {
        return;
    };
    let _ = (object.linkage(), object.flags(), object.machine_name());
    let _ = (object.unsafe_segments(), object.missing_protections());
    let _ = object.sections(&data);
    let _ = object.functions(&data);
    let _ = object.dynamic_strings();
    let _ = Notes::read(&object, &data);
    let _ = go_machine(&object, &data);
    let _ = Payload::of(&object, &data);
    let _ = SystemFolders::read(&object, &data);
    let _ = strip::section_sizes(&object, &data);
    let _ = strip::strippable_bytes(&object, &data);
    let _ = elf_changes(&data, &data);
    probe(Interest::Contents, &data);
    for (offset, length) in object.constant_ranges() {
        if let Some(wanted) = object.addresses_of(offset, length) {
            let _ = object.pointers(&data, wanted);
        }
    }
}

/// Symbol versions, and references satisfied by definitions.
pub fn symbols(data: &[u8]) {
    let Ok(object) = Object::read(&data) else {
        return;
    };
    let Ok(versions) = Versions::read(&object, &data) else {
        return;
    };
    for index in [0, 1, 2, u16::MAX] {
        let _ = versions.name(index);
    }
    let open = || Ok(Box::new(data.to_vec()) as Box<dyn ReadAt>);
    let Ok(definitions) = object.definitions(open) else {
        return;
    };
    let references = References::read(&object, &data, &versions);
    for reference in references.iter().flat_map(|all| &all.symbols) {
        definitions.satisfies(reference, Some(&versions));
        definitions.satisfies(reference, None);
        let _ = reference.display();
    }
}

/// Stripping: the result is an object again.
pub fn strip(data: &[u8]) {
    for level in [Level::Debug, Level::All] {
        let link = DebugFile::of(&data, level, OsStr::new("app.debug")).ok();
        if let Some(link) = &link {
            read_all(&Assembled::new(link.pieces().clone(), data));
        }
        for link in [None, link.as_ref()] {
            let Ok(stripped) = Strip::linked(&data, level, link) else {
                continue;
            };
            let file = Assembled::new(stripped.pieces().clone(), data);
            read_all(&file);
            assert!(Object::read(&file).is_ok(), "a stripped object is none");
        }
    }
}

fn read_all(file: &dyn ReadAt) {
    let mut count = 0;
    let read = file.each_chunk(&mut |chunk| {
        count += chunk.len() as u64;
        Ok::<_, io::Error>(())
    });
    assert!(read.is_err() || count == file.size(), "{count} bytes");
}

/// `ld.so.cache`, in both byte orders.
pub fn cache(data: &[u8]) {
    for is_big_endian in [false, true] {
        let Some(cache) = Cache::parse(data.to_vec(), is_big_endian) else {
            continue;
        };
        let names: Vec<_> = cache.iter().take(20).map(|entry| entry.key).collect();
        for name in names {
            use std::os::unix::ffi::OsStrExt;
            let _ = cache.lookup(OsStr::from_bytes(name), 0x303);
        }
        let _ = cache.lookup(OsStr::new("libc.so.6"), 0x303);
        let _ = cache.iter().count();
    }
}

/// A program and a library with everything that the rules of both loaders use: the cache,
/// `ld.so.preload`, musl's path file.
pub fn closure(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default().to_vec();
    let (program, library) = (next(), next());
    let vfs = MemoryVfs::new()
        .file("/app", program)
        .file("/lib/libinner.so", library)
        .file("/etc/ld.so.cache", next())
        .file("/etc/ld.so.preload", next())
        .file("/etc/ld-musl-x86_64.path", next())
        .file(GLIBC, object("", "ld-linux-x86-64.so.2", &[]))
        .file(MUSL, object("", "", &[]))
        .file("/lib/libc.so.6", object("", "libc.so.6", &[]))
        .symlink("/opt/lib", "/lib");
    let view = view(vfs);
    for path in ["/app", "/lib/libinner.so"] {
        let Ok(program) = Program::find(&view, Path::new(path)) else {
            continue;
        };
        let environment = Environment::default();
        let Ok(closure) = Closure::of(&program, &view, &Loaders::default(), &environment) else {
            continue;
        };
        let binder = Binder::new(&view);
        let _ = binder.missing_versions(&closure);
        let _ = binder.needed_versions(&closure);
        let _ = binder.lowest_glibc(&closure);
        let _ = binder.unresolved(&closure);
        let _ = binder.unused(&closure);
    }
}
