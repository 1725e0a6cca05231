//! Dynamic string tokens: `$ORIGIN`, `$LIB`, `$PLATFORM`.
//!
//! In: an unexpanded search-path element or needed name. Out: the path that the loader
//! expands it to. Source: `ld.so(8)`, glibc `_dl_dst_substitute`, musl
//! `fixup_rpath`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Values of glibc's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// The directory of the object.
    pub origin: &'a Path,
    /// The library directory compiled into the loader, such as `lib64`.
    pub lib: &'a OsStr,
    /// `AT_PLATFORM` of the baseline machine.
    pub platform: &'a OsStr,
}

impl Tokens<'_> {
    /// Expands every token; unknown ones are left as they are.
    pub fn expand(&self, text: &OsStr) -> OsString {
        let bytes = text.as_bytes();
        let mut expanded = Vec::with_capacity(bytes.len());
        let mut position = 0;
        while let Some(found) = bytes[position..].iter().position(|&b| b == b'$') {
            let dollar = position + found;
            expanded.extend_from_slice(&bytes[position..dollar]);
            let (token, length) = token_at(&bytes[dollar..]);
            match token {
                b"ORIGIN" => expanded.extend_from_slice(self.origin.as_os_str().as_bytes()),
                b"LIB" => expanded.extend_from_slice(self.lib.as_bytes()),
                b"PLATFORM" => expanded.extend_from_slice(self.platform.as_bytes()),
                _ => expanded.extend_from_slice(&bytes[dollar..dollar + length]),
            }
            position = dollar + length;
        }
        expanded.extend_from_slice(&bytes[position..]);
        OsString::from_vec(expanded)
    }
}

/// The token after the `$` at the start of `text`, and the total length, including `$` and
/// braces. `$ORIGINAL` is the token `ORIGINAL`; an unclosed brace does not make a
/// token.
fn token_at(text: &[u8]) -> (&[u8], usize) {
    let braced = text.get(1) == Some(&b'{');
    let start = if braced { 2 } else { 1 };
    let length = text[start..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count();
    let end = start + length;
    if !braced {
        return (&text[start..end], end);
    }
    match text.get(end) {
        Some(b'}') => (&text[start..end], end + 1),
        _ => (&[], start),
    }
}

/// Whether the element uses `$ORIGIN`, so that it expands to another directory once the
/// object is moved.
pub fn uses_origin(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'$' && token_at(&bytes[at..]).0 == b"ORIGIN")
}

/// musl expands `$ORIGIN` and `${ORIGIN}` anywhere, even in `$ORIGINAL`; any other `$`
/// makes it drop the whole path: `None`.
pub fn expand_musl(text: &OsStr, origin: &Path) -> Option<OsString> {
    let mut rest = text.as_bytes();
    let mut expanded = Vec::with_capacity(rest.len());
    while let Some(dollar) = rest.iter().position(|&b| b == b'$') {
        expanded.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar..];
        rest = rest
            .strip_prefix(b"$ORIGIN")
            .or_else(|| rest.strip_prefix(b"${ORIGIN}"))?;
        expanded.extend_from_slice(origin.as_os_str().as_bytes());
    }
    expanded.extend_from_slice(rest);
    Some(OsString::from_vec(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        let tokens = Tokens {
            origin: Path::new("/o"),
            lib: OsStr::new("lib64"),
            platform: OsStr::new("x86_64"),
        };
        tokens.expand(OsStr::new(text)).into_string().unwrap()
    }

    #[test]
    fn known_tokens_expand_with_and_without_braces() {
        assert_eq!(expand("$ORIGIN/../$LIB"), "/o/../lib64");
        assert_eq!(expand("${ORIGIN}x/${PLATFORM}"), "/ox/x86_64");
        assert_eq!(expand("$ORIGIN$LIB"), "/olib64");
    }

    #[test]
    fn a_longer_name_is_another_token_and_unknown_tokens_stay() {
        for text in [
            "$ORIGINAL/x",
            "$ORIGIN_/x",
            "$FOO",
            "${FOO}",
            "${ORIGIN",
            "$",
            "a$",
        ] {
            assert_eq!(expand(text), text);
        }
    }

    #[test]
    fn musl_expands_a_prefix_and_drops_a_path_with_any_other_dollar() {
        let expand = |text| expand_musl(OsStr::new(text), Path::new("/o"));
        assert_eq!(expand("${ORIGIN}/l:$ORIGINAL"), Some("/o/l:/oAL".into()));
        assert_eq!(expand("$ORIGIN/l:$LIB"), None);
    }
}
