//! Missing libraries, and which of them may be left out.

use crate::{common, packing};
use std::fs;
use std::path::Path;

use common::{compile, hello, slimpack, temporary};
use packing::{pack, refused};

/// Compiles plugins that need a library that does not exist.
fn plugins(folder: &Path, names: &[&str]) {
    let soname = "-Wl,-soname,libgone.so.1";
    let gone = compile(
        folder,
        "libgone.so",
        "int gone;",
        &["-shared", "-fPIC", soname],
    );
    let source = "extern int gone; int plugin(void) { return gone; }";
    for name in names {
        compile(
            folder,
            name,
            source,
            &["-shared", "-fPIC", gone.to_str().unwrap()],
        );
    }
    fs::remove_file(gone).unwrap();
    for name in names {
        fs::remove_file(folder.join(format!("{name}.c"))).ok();
    }
}

#[test]
fn a_library_that_many_plugins_need_is_told_once() {
    let folder = temporary();
    let names: Vec<String> = (0..8).map(|n| format!("plugin-{n}.so")).collect();
    plugins(
        folder.path(),
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let add = format!("{}:/plugins", folder.path().display());
    let said = refused(1, &[hello().to_str().unwrap(), "--add", &add]);
    assert_eq!(said.matches("libgone.so.1 not found").count(), 1, "{said}");
    assert!(
        said.contains("plugin-0.so") && said.contains("3 more"),
        "{said}"
    );
}

#[test]
fn what_is_excluded_is_neither_loaded_nor_demanded() {
    let folder = temporary();
    plugins(folder.path(), &["broken.so"]);
    fs::write(folder.path().join("data"), "x").unwrap();
    let add = format!("{}:/plugins", folder.path().display());
    let words = [hello().to_str().unwrap(), "--add", &add];
    for glob in ["*.so", "/plugins/broken.so", "broken*"] {
        let packed = pack(&[&words[..], &["--exclude", glob]].concat());
        assert!(packed.has("plugins/data") && !packed.has("plugins/broken.so"));
        assert!(!packed.said.contains("libgone"), "{}", packed.said);
    }
    refused(1, &[&words[..], &["--exclude", "other*"]].concat());
}

#[test]
fn libraries_may_be_missing_by_name() {
    let folder = temporary();
    plugins(folder.path(), &["driver.so"]);
    let add = format!("{}:/plugins", folder.path().display());
    let words = [hello().to_str().unwrap(), "--add", &add];
    for allow in [
        "--allow-missing",
        "--allow-missing=libgone.so.1",
        "--allow-missing=libg*",
        "--allow-missing=true",
    ] {
        let packed = pack(&[&words[..], &[allow]].concat());
        assert!(
            packed.said.contains("libgone.so.1 is left out"),
            "{}",
            packed.said
        );
    }
    let said = refused(1, &[&words[..], &["--allow-missing=libcuda*"]].concat());
    assert!(said.contains("libgone.so.1 not found"), "{said}");
    let said = refused(
        2,
        &[&words[..], &["--allow-missing=/lib/libgone.so.1"]].concat(),
    );
    assert!(said.contains("without /"), "{said}");
    // In the config file, as a boolean and as a list.
    let elsewhere = temporary();
    let config = elsewhere.path().join("slimpack.toml");
    for (value, status) in [
        ("true", 0),
        ("false", 1),
        ("\"libg*\"", 0),
        ("[\"libx*\", \"libg*\"]", 0),
        ("[\"libx*\"]", 1),
    ] {
        let text = format!(
            "[[image]]\nfile = \"{}\"\nadd = \"{add}\"\noutput = \"{}\"\nallow-missing = {value}\n",
            hello().display(),
            elsewhere.path().join("out.tar").display(),
        );
        fs::write(&config, text).unwrap();
        let ended = common::output(slimpack().arg("-q").arg("--config").arg(&config));
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{value}: {}",
            common::text(&ended)
        );
    }
}
