//! The rules of musl's loader, each on a tree in memory. `c-tests/` checks the same rules against
//! the real loader.

use slimpack_test_elf::Elf;

use super::small_tree::{SmallTree, library, with_rpath, with_runpath};

const LOADER: &str = "/lib/ld-musl-x86_64.so.1";

/// A tree with a program that needs `libz.so`, and that library in these directories.
fn tree_with(app: Elf, folders: &[&str]) -> SmallTree {
    let app = Elf {
        needed: vec!["libz.so".to_owned()],
        ..app
    };
    let add = |tree: SmallTree, folder: &&str| tree.libraries(&[&format!("{folder}/libz.so")]);
    folders.iter().fold(tree().app(app), add)
}

fn tree() -> SmallTree {
    SmallTree::new(LOADER, &Elf::default())
}

#[test]
fn the_names_of_the_c_library_are_the_loader_itself() {
    let needed = ["libc.so", "libc.so.6", "libm.so.6", "libpthread.so.0"];
    let tree = tree().app(library(&needed));
    // A file of that name is ignored.
    assert_eq!(tree.libraries(&["/lib/libm.so.6"]).loads(), [""; 0]);
}

#[test]
fn library_path_is_before_the_search_path_of_an_object() {
    let folders = ["/env", "/own", "/lib"];
    for app in [with_rpath("/own", &[]), with_runpath("/own", &[])] {
        let tree = tree_with(app.clone(), &folders).library_path("/env");
        assert_eq!(tree.loads(), ["/env/libz.so"]);
        assert_eq!(tree_with(app, &folders).loads(), ["/own/libz.so"]);
    }
}

#[test]
fn runpath_is_inherited_and_replaces_rpath() {
    for (app, found) in [
        (with_rpath("/own", &["liba.so"]), true),
        (with_runpath("/own", &["liba.so"]), true),
        (
            Elf {
                rpath: Some("/own".to_owned()),
                ..with_runpath("/other", &["liba.so"])
            },
            false,
        ),
    ] {
        let loads = tree()
            .app(app)
            .with("/lib/liba.so", &library(&["libz.so"]))
            .libraries(&["/own/libz.so"])
            .loads();
        let last = if found { "/own/libz.so" } else { "! libz.so" };
        assert_eq!(loads, ["/lib/liba.so", last]);
    }
}

#[test]
fn the_default_directories_are_searched_in_their_order() {
    let all = ["/usr/lib", "/usr/local/lib", "/lib"];
    for known in 1..=all.len() {
        let last = all[known - 1];
        let loads = tree_with(Elf::default(), &all[..known]).loads();
        assert_eq!(loads, [format!("{last}/libz.so")]);
    }
    assert_eq!(
        tree_with(Elf::default(), &["/lib64"]).loads(),
        ["! libz.so"]
    );
}

#[test]
fn the_path_file_replaces_the_default_even_when_it_is_empty() {
    let with_file = |text: &str| {
        tree_with(Elf::default(), &["/lib", "/opt"])
            .file("/etc/ld-musl-x86_64.path", text)
            .loads()
    };
    assert_eq!(with_file("/none\n/opt:/lib\n"), ["/opt/libz.so"]);
    assert_eq!(with_file(""), ["! libz.so"]);
}

#[test]
fn the_path_file_is_below_the_prefix_of_the_loader() {
    let loader = "/opt/musl/lib/ld-musl-x86_64.so.1";
    let loads = SmallTree::new(loader, &Elf::default())
        .app(library(&["libz.so"]))
        .file("/opt/musl/etc/ld-musl-x86_64.path", "/opt/musl/lib")
        .file("/etc/ld-musl-x86_64.path", "/lib")
        .libraries(&["/opt/musl/lib/libz.so", "/lib/libz.so"])
        .loads();
    assert_eq!(loads, ["/opt/musl/lib/libz.so"]);
}

#[test]
fn origin_is_the_only_token_and_any_other_drops_the_whole_path() {
    let folders = ["/usr/own", "/own", "/lib"];
    let loads = |path: &str| tree_with(with_runpath(path, &[]), &folders).loads();
    assert_eq!(loads("$ORIGIN/../own"), ["/usr/bin/../own/libz.so"]);
    assert_eq!(loads("/own:/opt/$LIB"), ["/lib/libz.so"]);
}

#[test]
fn empty_elements_are_passed_over_and_line_breaks_separate() {
    let mut tree = tree_with(with_runpath(":/none\n/own", &[]), &["/work", "/own"]);
    tree.environment.working_dir = "/work".into();
    assert_eq!(tree.loads(), ["/own/libz.so"]);
}

#[test]
fn a_loaded_object_answers_to_the_name_of_its_file_and_not_to_its_soname() {
    let named = Elf {
        soname: Some("libz.so".to_owned()),
        ..Elf::default()
    };
    let loads = tree()
        .app(library(&["libz-1.so", "libz.so", "libz-1.so"]))
        .with("/lib/libz-1.so", &named)
        .libraries(&["/lib/libz.so"])
        .loads();
    assert_eq!(loads, ["/lib/libz-1.so", "/lib/libz.so"]);
}

#[test]
fn one_file_under_two_names_is_one_object() {
    let loads = tree()
        .app(library(&["libz.so", "libzz.so"]))
        .libraries(&["/lib/libz.so"])
        .link("/lib/libzz.so", "libz.so")
        .loads();
    assert_eq!(loads, ["/lib/libz.so"]);
}

#[test]
fn the_first_file_that_opens_is_taken_whatever_its_machine() {
    let mut other = Elf::default().bytes();
    other[18] = 183;
    let path = || with_rpath("/opt", &[]);
    let tree = tree_with(path(), &["/lib"]).file("/opt/libz.so", other);
    assert_eq!(tree.loads(), ["/opt/libz.so"]);
    let text = tree_with(path(), &["/lib"]).file("/opt/libz.so", "INPUT(-lz)");
    assert_eq!(text.loads(), ["! libz.so"]);
}

#[test]
fn a_loop_of_links_ends_the_whole_search() {
    let tree = tree_with(with_rpath("/loop", &[]), &["/lib"]);
    let tree = tree.link("/loop/libz.so", "libz.so");
    assert_eq!(tree.loads(), ["! libz.so"]);
}

#[test]
fn there_is_no_preload_file_and_privileges_ignore_variables() {
    let file = tree_with(Elf::default(), &["/lib"])
        .libraries(&["/lib/libone.so"])
        .file("/etc/ld.so.preload", "/lib/libone.so\n");
    assert_eq!(file.loads(), ["/lib/libz.so"]);
    let variable = tree_with(Elf::default(), &["/env"]).library_path("/env");
    assert_eq!(variable.secure().loads(), ["! libz.so"]);
}

#[test]
fn what_is_opened_at_run_time_is_searched_up_the_chain() {
    let loads = tree()
        .app(with_runpath("/own", &["liba.so"]))
        .with("/lib/liba.so", &Elf::default())
        .libraries(&["/own/libz.so"])
        .loads_when("/lib/liba.so", "libz.so");
    assert_eq!(loads, ["/lib/liba.so", "/own/libz.so"]);
}

/// glibc's loader is in many trees of musl, for programs from elsewhere.
#[test]
fn a_library_that_names_no_c_library_is_loaded_by_that_of_the_shell() {
    const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
    let glibc = Elf {
        soname: Some("ld-linux-x86-64.so.2".to_owned()),
        ..Elf::default()
    };
    for (shell, needed, expected) in [
        (LOADER, &[][..], "musl"),
        (LOADER, &["libz.so"], "musl"),
        // Its own C library is a better sign.
        (LOADER, &["libc.so.6"], "glibc"),
        (GLIBC, &[], "glibc"),
        (GLIBC, &["libc.musl-x86_64.so.1"], "musl"),
    ] {
        let interpreter = Some(shell.to_owned());
        let shell = Elf {
            interpreter,
            ..Elf::default()
        };
        let tree = tree().with(GLIBC, &glibc).with("/bin/sh", &shell);
        let tree = tree.with("/usr/lib/libown.so", &library(needed));
        let found = tree.resolved("/usr/lib/libown.so", |_, _, closure| {
            closure.rules.as_ref().unwrap().libc()
        });
        assert_eq!(found, expected, "{needed:?}");
    }
}
