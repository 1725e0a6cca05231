//! The crates that a Rust program was built from, as `cargo auditable` records them.
//!
//! In: an ELF file. Out: names and versions from the section `.dep-v0`, which is JSON that zlib
//! compressed. `auditable-info` wants the whole program in memory and brings another decompressor; its
//! types, `auditable-serde`, bring `semver` and a check for circles, of which a list of names has none.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::bytes::ReadAt;
use crate::elf::Object;

/// Largest section, and largest JSON in it, that is read, in bytes: enough for ten thousand crates.
const MAX_PACKED: u64 = 1 << 20;
const MAX_JSON: u64 = 1 << 20;

/// Names and versions of the crates that are in `object`, read from `file`: those that only its
/// build needed are not. `None` if it does not say.
///
/// # Errors
/// What is wrong with what it says.
pub fn crates_in(
    object: &Object,
    file: &dyn ReadAt,
) -> Option<Result<Vec<(String, String)>, &'static str>> {
    let section = object.section(file, b".dep-v0")?;
    if section.sh_size > MAX_PACKED {
        return Some(Err("it is too large"));
    }
    let packed = file
        .range(section.sh_offset, section.sh_size)
        .ok()
        .flatten();
    Some(
        packed
            .ok_or("it ends after the file")
            .and_then(|packed| unpacked(&packed)),
    )
}

fn unpacked(packed: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let mut json = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(MAX_JSON + 1);
    let size = decoder.read_to_end(&mut json);
    match size {
        Err(_) => return Err("it is not compressed by zlib"),
        Ok(size) if size as u64 > MAX_JSON => return Err("it inflates to too much"),
        Ok(_) => {}
    }
    const STRANGE: &str = "it is not what cargo auditable writes";
    let list: Value = serde_json::from_slice(&json).map_err(|_| STRANGE)?;
    let mut crates = Vec::new();
    for package in list["packages"].as_array().ok_or(STRANGE)? {
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        // "runtime" is the default.
        if package["kind"] != "build" {
            crates.push((
                text("name").ok_or(STRANGE)?,
                text("version").ok_or(STRANGE)?,
            ));
        }
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(json: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(json).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn crates_that_are_in_the_program_are_listed() {
        let json = br#"{"packages":[
            {"name":"app","version":"0.1.0","source":"local","root":true,"dependencies":[1,2]},
            {"name":"libc","version":"0.2.1","source":"crates.io"},
            {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"}]}"#;
        let expected = [("app", "0.1.0"), ("libc", "0.2.1")];
        let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(unpacked(&packed(json)), Ok(expected.to_vec()));
    }

    #[test]
    fn what_inflates_without_end_or_has_no_names_is_refused() {
        let zeros = packed(&vec![b' '; 5 << 20]);
        assert!(zeros.len() < 100_000);
        assert_eq!(unpacked(&zeros), Err("it inflates to too much"));
        let nameless = packed(br#"{"packages":[{"version":"1.0.0"}]}"#);
        for bad in [nameless, packed(b"[]"), b"plain".to_vec(), Vec::new()] {
            assert!(unpacked(&bad).is_err());
        }
    }
}
