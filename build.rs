//! Tells the crate which target it is built for, and finds the C and C++ compilers for the fixtures of `c-tests/`.
//!
//! Compiles nothing: the test harness does, so that a broken fixture fails its own test
//! and a missing compiler never fails the build. Without the feature `c-tests`, which
//! only the crate's own dev-dependency turns on, it looks for none.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=SLIMPACK_TARGET={target}");
    #[cfg(feature = "c-tests")]
    find_compilers();
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
            // The harness fails each fixture that wants it, with the reason.
            Err(error) => format!("!{error}"),
        };
        println!("cargo::rustc-env={name}={}", path.replace('\n', " "));
    }
}
