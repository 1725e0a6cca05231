//! The rules of glibc's loader, each on a tree in memory. `c-tests/` checks the same rules against
//! the real loader.

use slimpack_test_elf::Elf;

use super::small_tree::{APP, SmallTree, library, lines, with_rpath, with_runpath};
use crate::cache;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const DF_1_NODEFLIB: u64 = 0x800;
/// The flags of a cache entry for x86-64.
const X86_64: u32 = 0x303;

/// A tree with a loader whose directories are /lib64 and /usr/lib64.
fn tree() -> SmallTree {
    let soname = Some("ld-linux-x86-64.so.2".to_owned());
    SmallTree::new(
        LOADER,
        &Elf {
            soname,
            ..Elf::default()
        },
    )
}

/// A tree with a program that needs `libz.so`, and that library in these directories.
fn tree_with(app: Elf, folders: &[&str]) -> SmallTree {
    let app = Elf {
        needed: vec!["libz.so".to_owned()],
        ..app
    };
    let add = |tree: SmallTree, folder: &&str| tree.libraries(&[&format!("{folder}/libz.so")]);
    folders.iter().fold(tree().app(app), add)
}

/// A cache with these entries.
fn ld_so_cache(entries: &[(&str, &str)]) -> Vec<u8> {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, path)| ((*name).into(), (*path).into()))
        .collect();
    cache::write(&entries, X86_64, false)
}

#[test]
fn load_order_is_breadth_first() {
    let loads = tree()
        .app(library(&["liba.so", "libb.so"]))
        .with("/lib64/liba.so", &library(&["libc.so", "libb.so"]))
        .with("/lib64/libb.so", &library(&["libd.so"]))
        .libraries(&["/lib64/libc.so", "/lib64/libd.so"])
        .loads();
    assert_eq!(
        loads,
        ["a", "b", "c", "d"].map(|name| format!("/lib64/lib{name}.so"))
    );
}

#[test]
fn rpath_is_before_library_path_and_that_before_runpath() {
    let folders = ["/rpath", "/env", "/runpath"];
    let rpath = tree_with(with_rpath("/rpath", &[]), &folders).library_path("/env");
    assert_eq!(rpath.loads(), ["/rpath/libz.so"]);
    let runpath = tree_with(with_runpath("/runpath", &[]), &folders).library_path("/env");
    assert_eq!(runpath.loads(), ["/env/libz.so"]);
    let runpath = tree_with(with_runpath("/runpath", &[]), &["/runpath", "/lib64"]);
    assert_eq!(runpath.loads(), ["/runpath/libz.so"]);
}

#[test]
fn runpath_hides_rpath_of_the_same_object() {
    let app = Elf {
        rpath: Some("/rpath".to_owned()),
        ..with_runpath("/runpath", &[])
    };
    assert_eq!(tree_with(app, &["/rpath"]).loads(), ["! libz.so"]);
}

/// A program that needs `liba.so`, which needs `libz.so` in /own.
fn chain(app: Elf, liba: Elf) -> Vec<String> {
    let app = Elf {
        needed: vec!["liba.so".to_owned()],
        ..app
    };
    let liba = Elf {
        needed: vec!["libz.so".to_owned()],
        ..liba
    };
    let tree = tree().app(app).with("/own/liba.so", &liba);
    tree.libraries(&["/own/libz.so"]).library_path("").loads()
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let found = ["/own/liba.so", "/own/libz.so"];
    let missing = ["/own/liba.so", "! libz.so"];
    let none = Elf::default;
    assert_eq!(chain(with_rpath("/own", &[]), none()), found);
    assert_eq!(chain(with_runpath("/own", &[]), none()), missing);
    // An object with a DT_RUNPATH inherits no search path.
    let other = with_runpath("/other", &[]);
    assert_eq!(chain(with_rpath("/own", &[]), other), missing);
}

#[test]
fn the_walk_up_goes_on_past_an_object_with_runpath() {
    let both = Elf {
        rpath: Some("/hidden".to_owned()),
        ..with_runpath("/a", &["libb.so"])
    };
    let loads = tree()
        .app(with_rpath("/app", &["liba.so"]))
        .with("/app/liba.so", &both)
        .with("/a/libb.so", &library(&["libz.so"]))
        .libraries(&["/a/libz.so", "/hidden/libz.so", "/app/libz.so"])
        .loads();
    assert_eq!(loads, ["/app/liba.so", "/a/libb.so", "/app/libz.so"]);
}

#[test]
fn rpath_comes_from_the_first_requester() {
    let loads = tree()
        .app(with_rpath("/lib64:/app", &["liba.so", "libb.so"]))
        .with("/lib64/liba.so", &with_rpath("/a", &["libm.so"]))
        .with("/lib64/libb.so", &with_rpath("/b", &["libm.so"]))
        .with("/a/libm.so", &library(&["libz.so"]))
        .libraries(&["/app/libz.so", "/a/libz.so", "/b/libz.so", "/b/libm.so"])
        .loads();
    let expected = [
        "/lib64/liba.so",
        "/lib64/libb.so",
        "/a/libm.so",
        "/a/libz.so",
    ];
    assert_eq!(loads, expected);
}

#[test]
fn origin_of_the_program_is_its_real_path_and_of_a_library_the_path_it_is_opened_by() {
    let loads = tree()
        .app_at(
            "/opt/app/bin/app",
            with_rpath("$ORIGIN/../lib", &["liba.so"]),
        )
        .link(APP, "/opt/app/bin/app")
        .link("/opt/app/lib/liba.so", "/store/liba.so")
        .with("/store/liba.so", &with_runpath("${ORIGIN}", &["libz.so"]))
        .libraries(&["/opt/app/lib/libz.so", "/store/libz.so", "/usr/lib/liba.so"])
        .loads();
    let real = ["/opt/app/bin/../lib/liba.so", "/opt/app/bin/../lib/libz.so"];
    assert_eq!(loads, real);
}

#[test]
fn lib_and_platform_are_those_of_the_loader() {
    let data = b"\0/lib/t/\0/usr/lib/t/\0/lib/\0/usr/lib/\0lib/t\0".to_vec();
    let loader = Elf {
        soname: Some("ld-linux-x86-64.so.2".to_owned()),
        data,
        ..Elf::default()
    };
    let loads = SmallTree::new(LOADER, &loader)
        .app(with_runpath(
            "/opt/$LIB:/opt/$PLATFORM",
            &["liba.so", "libb.so", "libc.so"],
        ))
        .libraries(&["/opt/lib/t/liba.so", "/opt/x86_64/libb.so"])
        .libraries(&["/usr/lib/libc.so", "/usr/lib/t/libc.so"])
        .loads();
    let own = ["/opt/lib/t/liba.so", "/opt/x86_64/libb.so"];
    assert_eq!(loads, [own[0], own[1], "/usr/lib/t/libc.so"]);
}

#[test]
fn an_unknown_token_stays_as_it_is() {
    let app = with_runpath("/opt/$ORIGINAL:/opt/$NONE", &[]);
    let loads = tree_with(app, &["/opt/$NONE", "/lib64"]).loads();
    assert_eq!(loads, ["/opt/$NONE/libz.so"]);
}

#[test]
fn an_element_that_expands_to_nothing_is_dropped() {
    // RISC-V does not define a platform.
    let riscv = |object: Elf| {
        let mut bytes = object.bytes();
        bytes[18] = 243;
        bytes
    };
    let mut app = with_runpath("$PLATFORM", &["libz.so"]);
    app.interpreter = Some(LOADER.to_owned());
    let mut tree = tree().file(LOADER, riscv(Elf::default()));
    for (path, object) in [
        (APP, app),
        ("/work/libz.so", Elf::default()),
        ("/lib64/libz.so", Elf::default()),
    ] {
        tree = tree.file(path, riscv(object));
    }
    tree.environment.working_dir = "/work".into();
    assert_eq!(tree.loads(), ["/lib64/libz.so"]);
}

#[test]
fn an_empty_element_is_the_working_directory_and_an_empty_path_is_nothing() {
    let tree = |path: &str| {
        let mut tree = tree_with(with_runpath(path, &[]), &["/work", "/lib64"]);
        tree.environment.working_dir = "/work".into();
        tree
    };
    assert_eq!(tree(":/none").loads(), ["/work/libz.so"]);
    assert_eq!(tree("").loads(), ["/lib64/libz.so"]);
    let in_variable = tree("").library_path("/none;");
    assert_eq!(in_variable.loads(), ["/work/libz.so"]);
}

#[test]
fn the_cache_is_between_runpath_and_the_system_directories() {
    let cached = |app: Elf, folders: &[&str]| {
        let bytes = ld_so_cache(&[("libz.so", "/cached/libz.so")]);
        tree_with(app, folders)
            .file("/etc/ld.so.cache", bytes)
            .loads()
    };
    let all = ["/runpath", "/cached", "/lib64"];
    let runpath = with_runpath("/runpath", &[]);
    assert_eq!(cached(runpath, &all), ["/runpath/libz.so"]);
    assert_eq!(cached(Elf::default(), &all), ["/cached/libz.so"]);
    // An entry whose file is gone is skipped; the search continues.
    assert_eq!(cached(Elf::default(), &["/lib64"]), ["/lib64/libz.so"]);
}

#[test]
fn nodeflib_leaves_out_system_directories_and_what_the_cache_has_in_them() {
    let nodeflib = |path: &str| {
        let app = Elf {
            flags_1: DF_1_NODEFLIB,
            ..Elf::default()
        };
        let bytes = ld_so_cache(&[("libz.so", path)]);
        tree_with(app, &["/lib64", "/cached"])
            .file("/etc/ld.so.cache", bytes)
            .loads()
    };
    assert_eq!(nodeflib("/lib64/libz.so"), ["! libz.so"]);
    assert_eq!(nodeflib("/cached/libz.so"), ["/cached/libz.so"]);
}

#[test]
fn system_directories_are_searched_last_and_in_order() {
    let loads = tree_with(Elf::default(), &["/usr/lib64", "/lib64", "/usr/lib"]).loads();
    assert_eq!(loads, ["/lib64/libz.so"]);
    // Only ldconfig reads ld.so.conf.
    let conf = tree_with(Elf::default(), &["/opt"]).file("/etc/ld.so.conf", "/opt\n");
    assert_eq!(conf.loads(), ["! libz.so"]);
}

#[test]
fn a_variant_for_newer_processors_is_loaded_only_where_there_is_no_other() {
    let [v3, v2] = ["v3", "v2"].map(|level| format!("/lib64/glibc-hwcaps/x86-64-{level}"));
    let baseline = tree_with(Elf::default(), &[&v3, "/lib64"]);
    assert_eq!(baseline.loads(), ["/lib64/libz.so"]);
    let alone = tree_with(Elf::default(), &[&v2, &v3]);
    assert_eq!(alone.loads(), [format!("{v3}/libz.so")]);
    // On request, variants are added together with what they need.
    let mut both = tree_with(Elf::default(), &["/lib64"])
        .with(&format!("{v3}/libz.so"), &library(&["libm.so"]))
        .libraries(&["/lib64/libm.so"]);
    both.environment.hwcaps = true;
    let (loads, variants) = both.resolved(APP, |_, _, closure| {
        let variants = closure.variants.iter();
        let variants: Vec<_> = variants
            .map(|variant| variant.opened_as.display().to_string())
            .collect();
        (lines(closure), variants)
    });
    assert_eq!(loads, ["/lib64/libz.so", "/lib64/libm.so"]);
    assert_eq!(variants, [format!("{v3}/libz.so")]);
}

#[test]
fn a_loaded_object_answers_to_its_soname_and_is_not_searched_again() {
    let named = Elf {
        soname: Some("libz.so".to_owned()),
        ..Elf::default()
    };
    let loads = tree()
        .app(library(&["/opt/libz-1.so", "liba.so"]))
        .with("/opt/libz-1.so", &named)
        .with("/lib64/liba.so", &library(&["libz.so"]))
        .libraries(&["/lib64/libz.so"])
        .loads();
    assert_eq!(loads, ["/opt/libz-1.so", "/lib64/liba.so"]);
}

#[test]
fn one_file_under_two_names_is_one_object() {
    let loads = tree()
        .app(library(&["libz.so", "libzz.so"]))
        .libraries(&["/lib64/libz.so"])
        .link("/lib64/libzz.so", "libz.so")
        .loads();
    assert_eq!(loads, ["/lib64/libz.so"]);
}

#[test]
fn a_name_with_a_slash_is_a_path() {
    let mut tree = tree()
        .app(with_rpath("/lib64", &["sub/libz.so", "$ORIGIN/liba.so"]))
        .libraries(&[
            "/lib64/sub/libz.so",
            "/work/sub/libz.so",
            "/usr/bin/liba.so",
        ]);
    tree.environment.working_dir = "/work".into();
    assert_eq!(tree.loads(), ["/work/sub/libz.so", "/usr/bin/liba.so"]);
}

#[test]
fn a_library_for_another_machine_or_class_is_passed_over() {
    for (at, value) in [(4, 1), (18, 183)] {
        let mut other = Elf::default().bytes();
        other[at] = value;
        let tree = tree_with(with_rpath("/opt", &[]), &["/lib64"]);
        let loads = tree.file("/opt/libz.so", other).loads();
        assert_eq!(loads, ["/lib64/libz.so"], "byte {at}");
    }
}

#[test]
fn the_loader_dies_of_what_is_not_a_library_and_hides_a_good_one() {
    let executable = || {
        let mut bytes = Elf::default().bytes();
        bytes[16] = 2;
        bytes
    };
    let big_endian = || {
        let mut bytes = Elf::default().bytes();
        bytes[5] = 2;
        bytes
    };
    let texts = [b"INPUT(-lz)".to_vec(), b"\x7fELF".to_vec()];
    for bytes in texts.into_iter().chain([executable(), big_endian()]) {
        let tree = tree_with(with_rpath("/opt", &[]), &["/lib64"]);
        let loads = tree.file("/opt/libz.so", bytes).loads();
        assert_eq!(loads, ["! libz.so"]);
    }
    let directory = tree_with(with_rpath("/opt", &[]), &["/lib64"]);
    let directory = directory.file("/opt/libz.so/file", "");
    assert_eq!(directory.loads(), ["! libz.so"]);
}

#[test]
fn a_loop_of_links_ends_its_list_only() {
    let loads = tree_with(with_rpath("/loop:/rpath", &[]), &["/rpath", "/env"])
        .link("/loop/libz.so", "libz.so")
        .library_path("/env")
        .loads();
    assert_eq!(loads, ["/env/libz.so"]);
}

#[test]
fn with_privileges_variables_are_ignored_and_origin_counts_in_system_directories_only() {
    let variable = tree_with(Elf::default(), &["/env"]).library_path("/env");
    assert_eq!(variable.secure().loads(), ["! libz.so"]);
    let own = |path: &str, folder: &str| {
        let app = with_runpath(path, &[]);
        tree_with(app, &[folder]).secure().loads()
    };
    assert_eq!(own("$ORIGIN", "/usr/bin"), ["! libz.so"]);
    assert_eq!(
        own("$ORIGIN/../lib64", "/usr/lib64"),
        ["/usr/lib64/libz.so"]
    );
    assert_eq!(own("/opt", "/opt"), ["/opt/libz.so"]);
}

#[test]
fn preloads_come_first_and_may_be_missing() {
    let mut tree = tree_with(Elf::default(), &["/lib64"])
        .libraries(&[
            "/lib64/libone.so",
            "/opt/libtwo.so",
            "/opt/libfour.so",
            "/opt/libfive.so",
        ])
        .file("/etc/ld.so.preload", "/opt/libfour.so # /opt/libfive.so\n");
    tree.environment.preload = Some("libone.so:/opt/libtwo.so libthree.so".into());
    let loads = tree.loads();
    let first = ["/lib64/libone.so", "/opt/libtwo.so", "/opt/libfour.so"];
    assert_eq!(loads, [&first[..], &["/lib64/libz.so"]].concat());
}

#[test]
fn an_auxiliary_filter_may_be_absent_and_a_filter_may_not() {
    let app = Elf {
        auxiliary: vec!["libaux.so".to_owned()],
        filter: vec!["libfilter.so".to_owned()],
        ..Elf::default()
    };
    assert_eq!(tree().app(app).loads(), ["! libfilter.so"]);
}

#[test]
fn what_is_opened_at_run_time_is_searched_for_its_requester() {
    let opened = |app: Elf, liba: Elf, by: &str| {
        tree()
            .app(Elf {
                needed: vec!["liba.so".to_owned()],
                ..app
            })
            .with("/lib64/liba.so", &liba)
            .with("/own/libz.so", &library(&["libm.so"]))
            .libraries(&["/lib64/libm.so"])
            .loads_when(by, "libz.so")
    };
    let found = ["/lib64/liba.so", "/own/libz.so", "/lib64/libm.so"];
    let missing = ["/lib64/liba.so", "! libz.so"];
    let none = Elf::default;
    let runpath = || with_runpath("/own", &[]);
    let rpath = || with_rpath("/own", &[]);
    assert_eq!(opened(none(), runpath(), "/lib64/liba.so"), found);
    assert_eq!(opened(none(), runpath(), APP), missing);
    assert_eq!(opened(runpath(), none(), "/lib64/liba.so"), missing);
    assert_eq!(opened(rpath(), none(), "/lib64/liba.so"), found);
}

#[test]
fn the_kernel_s_own_object_is_not_a_file() {
    let tree = tree().app(library(&["linux-vdso.so.1"]));
    assert_eq!(tree.loads(), [""; 0]);
}

#[test]
fn what_is_missing_is_missing_once_and_the_rest_is_loaded() {
    let loads = tree()
        .app(library(&["libgone.so", "liba.so"]))
        .with("/lib64/liba.so", &library(&["libgone.so"]))
        .loads();
    assert_eq!(loads, ["/lib64/liba.so", "! libgone.so"]);
}
