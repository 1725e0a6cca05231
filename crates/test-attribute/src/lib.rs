//! `#[test]` for test targets with `harness = false`: in comes a function, out goes the same function
//! and its entry in the list that `tests/common/harness.rs` runs.
//!
//! The one of the standard library cannot be ignored once it runs, and only then is known what the
//! machine lacks.

use proc_macro::{TokenStream, TokenTree};

/// Registers a function without parameters as a test, by its path.
///
/// # Panics
///
/// Where it stands on something that is not a function.
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
