//! `#[test]` for test targets with `harness = false`: takes a function, and returns the same
//! function with an entry in the list that `tests/common/harness.rs` runs.
//!
//! The standard library's attribute cannot mark a test as ignored once it runs, and only then is it
//! known what the machine lacks.

use proc_macro::{TokenStream, TokenTree};

/// Registers a function without parameters as a test, by its path.
///
/// # Panics
///
/// If it is applied to something that is not a function.
#[proc_macro_attribute]
pub fn test(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut tokens = item.clone().into_iter();
    let is_fn =
        |token: TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    assert!(tokens.any(is_fn), "#[test] belongs on a function");
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        panic!("#[test] belongs on a function with a name");
    };
    let entry = format!(
        "::inventory::submit! {{ crate::harness::Test {{ \
            path: ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!({name})), \
            run: {name} \
        }} }}"
    );
    let entry: TokenStream = entry.parse().expect("it is Rust");
    item.into_iter().chain(entry).collect()
}
