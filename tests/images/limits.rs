//! Graphs and names that no compiler produces: bounded work, clear messages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slimpack::bytes::ReadAt;
use slimpack::closure::{Closure, ClosureError, Program};
use slimpack::loader::{Environment, Loaders};
use slimpack::vfs::memory::MemoryVfs;
use slimpack::vfs::{Errno, Memo, Metadata, Vfs, View};
use slimpack_test_elf::Elf;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A root with a loader of each libc, without code and without built-in directories.
fn root() -> MemoryVfs {
    let loader = |soname: Option<&str>| Elf {
        soname: soname.map(str::to_owned),
        ..Elf::default()
    };
    MemoryVfs::new()
        .file(LOADER, loader(Some("ld-linux-x86-64.so.2")).bytes())
        .file("/lib/ld-musl-x86_64.so.1", loader(None).bytes())
}

fn program(needed: &[&str]) -> Elf {
    Elf {
        interpreter: Some(LOADER.to_owned()),
        needed: needed.iter().map(|&name| name.to_owned()).collect(),
        ..Elf::default()
    }
}

fn resolve(vfs: impl Vfs + 'static) -> Result<Closure, ClosureError> {
    let view = View::new(Box::new(vfs), Arc::new(Memo::default()));
    let program = Program::find(&view, Path::new("/app"))?;
    Closure::of(
        &program,
        &view,
        &Loaders::default(),
        &Environment::default(),
    )
}

/// A graph of `size` libraries, each of which needs the next `width` and has a search path; the
/// program comes last.
fn graph(size: usize, width: usize, interpreter: &str) -> MemoryVfs {
    let name = |n: usize| format!("lib{n}.so");
    let mut vfs = root();
    for n in 0..size {
        let library = Elf {
            soname: Some(name(n)),
            needed: (n + 1..size.min(n + 1 + width)).map(name).collect(),
            rpath: Some("$ORIGIN".to_owned()),
            ..Elf::default()
        };
        vfs = vfs.file(format!("/opt/{}", name(n)), library.bytes());
    }
    let app = Elf {
        interpreter: Some(interpreter.to_owned()),
        needed: vec![name(0)],
        rpath: Some("/opt".to_owned()),
        ..Elf::default()
    };
    vfs.file("/app", app.bytes())
}

#[test]
fn ten_times_the_libraries_cost_less_than_twice_as_much_for_each_edge() {
    for interpreter in [LOADER, "/lib/ld-musl-x86_64.so.1"] {
        for width in [1, 5] {
            let cost = |size: usize| {
                let calls = Arc::new(AtomicUsize::new(0));
                let vfs = Counted {
                    vfs: graph(size, width, interpreter),
                    calls: calls.clone(),
                };
                let closure = resolve(vfs).unwrap();
                assert_eq!(closure.map.objects().len(), size + 2);
                calls.load(Ordering::Relaxed) as f64 / closure.edges.len() as f64
            };
            let (small, large) = (cost(200), cost(2000));
            assert!(
                large < 2.0 * small,
                "{interpreter}, {width}: {small} calls, then {large}"
            );
        }
    }
}

/// Counts the calls to a file system.
struct Counted {
    vfs: MemoryVfs,
    calls: Arc<AtomicUsize>,
}

impl Counted {
    fn called(&self) -> &MemoryVfs {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &self.vfs
    }
}

impl Vfs for Counted {
    fn lookup(&self, path: &Path) -> Result<Metadata, Errno> {
        self.called().lookup(path)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.called().read_link(path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        self.called().read_dir(path)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>, Errno> {
        self.called().open(path)
    }
}

#[test]
fn a_line_of_libraries_longer_than_any_stack_is_resolved() {
    let closure = resolve(graph(10_000, 1, LOADER)).unwrap();
    assert!(closure.is_complete());
    assert_eq!(closure.map.objects().len(), 10_002);
}

#[test]
fn more_objects_than_the_limit_are_refused() {
    let error = resolve(graph(20_001, 1, LOADER)).err().unwrap();
    assert!(
        error.to_string().contains("more than 20000 objects"),
        "{error}"
    );
}

#[test]
fn a_name_of_ten_megabytes_is_refused_without_being_printed() {
    let name = "n".repeat(10 << 20);
    let app = program(&[&name]);
    let error = resolve(root().file("/app", app.bytes()))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("DT_NEEDED holds a name longer"), "{error}");
    assert!(error.len() < 1000);
}

#[test]
fn a_search_path_of_a_hundred_thousand_elements_is_searched_in_bounded_time() {
    let elements: Vec<String> = (0..100_000).map(|n| format!("/f{n}")).collect();
    let names: Vec<String> = (0..20).map(|n| format!("lib{n}.so")).collect();
    let mut app = program(&names.iter().map(String::as_str).collect::<Vec<_>>());
    app.runpath = Some(elements.join(":"));
    let calls = Arc::new(AtomicUsize::new(0));
    let vfs = Counted {
        vfs: root().file("/app", app.bytes()),
        calls: calls.clone(),
    };
    let closure = resolve(vfs).unwrap();
    assert_eq!(closure.missing.len(), names.len());
    for missing in &closure.missing {
        assert!(
            missing.tried.attempts.len() <= 1000,
            "what is kept is bounded"
        );
        assert!(
            missing.tried.omitted > 90_000,
            "and what is not kept is counted"
        );
    }
    // Directories are not resolved again for each name.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls < 3 * elements.len(), "{calls}");
}

#[test]
fn an_object_with_more_needed_names_than_the_limit_is_refused() {
    let names = vec!["libx.so"; 16_385];
    let error = resolve(root().file("/app", program(&names).bytes()))
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("needs more than 16384 libraries"),
        "{error}"
    );
}

#[test]
fn loops_of_links_end() {
    let app = Elf {
        rpath: Some("/ring/a:/ring/b/deep".to_owned()),
        ..program(&["libx.so", "/ring/a/liby.so"])
    };
    let vfs = root()
        .file("/app", app.bytes())
        .symlink("/ring/a", "b")
        .symlink("/ring/b", "a");
    let closure = resolve(vfs).unwrap();
    let tried: Vec<String> = closure
        .missing
        .iter()
        .flat_map(|m| m.tried.lines())
        .map(|l| l.1)
        .collect();
    assert_eq!(closure.missing.len(), 2);
    assert!(
        tried.iter().filter(|why| *why == "ELOOP").count() >= 3,
        "{tried:?}"
    );
}
