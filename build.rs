//! Tells the crate which target it is built for, packs the script of the report page, and finds the
//! C and C++ compilers for the fixtures in `c-tests/`.
//!
//! Compiles nothing: the test harness does that, so that a broken fixture fails only its own test
//! and a missing compiler never fails the build. It looks for compilers only with the feature
//! `c-tests`, which is enabled only by the crate's own dev-dependency.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=SLIMPACK_TARGET={target}");
    pack_page();
    #[cfg(feature = "c-tests")]
    {
        find_compilers();
        list_fixtures();
    }
}

/// Packs the style and the script of the report page, which would otherwise be a large part of a small
/// binary.
fn pack_page() {
    use std::io::Write;
    const PARTS: [(&str, &[&str]); 2] = [
        ("page.css", &["page.css"]),
        (
            "page.js",
            &[
                "basics.js",
                "treemap.js",
                "list.js",
                "graph.js",
                "image.js",
                "diff.js",
            ],
        ),
    ];
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    for (name, files) in PARTS {
        let mut text = match name {
            "page.js" => "\n\"use strict\";\n".to_owned(),
            _ => "\n".to_owned(),
        };
        for file in files {
            let path = format!("src/page/{file}");
            println!("cargo::rerun-if-changed={path}");
            text += &std::fs::read_to_string(path).expect("the file is part of the crate");
        }
        let level = flate2::Compression::best();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
        packed
            .write_all(text.as_bytes())
            .expect("a Vec takes everything");
        let packed = packed.finish().expect("a Vec takes everything");
        let path = std::path::Path::new(&out).join(format!("{name}.gz"));
        std::fs::write(path, packed).expect("OUT_DIR is writable");
    }
}

/// Writes one test for each file of `c-tests/`, so that each has its own name.
#[cfg(feature = "c-tests")]
fn list_fixtures() {
    use std::fmt::Write;
    use std::path::{Path, PathBuf};
    println!("cargo::rerun-if-changed=c-tests");
    let folder = std::fs::read_dir("c-tests").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.path()).collect();
    files.sort();
    let mut tests = String::new();
    for file in files {
        let (Some(name), Some(stem)) = (file.file_name(), file.file_stem()) else {
            continue;
        };
        if file
            .extension()
            .is_some_and(|suffix| suffix == "c" || suffix == "cc")
        {
            let (name, stem) = (name.display(), stem.display());
            let written = write!(
                tests,
                "#[test]\nfn r#{stem}() {{\n    check({name:?});\n}}\n",
                name = name.to_string()
            );
            written.expect("a String takes everything");
        }
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let list = Path::new(&out).join("fixtures.rs");
    std::fs::write(list, tests).expect("OUT_DIR is writable");
}

#[cfg(feature = "c-tests")]
fn find_compilers() {
    for (name, is_cpp) in [("SLIMPACK_TEST_CC", false), ("SLIMPACK_TEST_CXX", true)] {
        let compiler = cc::Build::new()
            .cpp(is_cpp)
            .cargo_warnings(false)
            .try_get_compiler();
        let path = match &compiler {
            Ok(compiler) => compiler.path().display().to_string(),
            // The harness then fails each fixture that needs this compiler, with the reason.
            Err(error) => format!("!{error}"),
        };
        println!("cargo::rustc-env={name}={}", path.replace('\n', " "));
    }
}
