//! What bills of materials are made of.
//!
//! In: the bytes of one file. Out: nothing; the parsers return.

use slimpack::elf::Object;
use slimpack::sbom::{Expression, GoBuild, crates_in, declared};

/// What programs of Go and Rust say of their build: in an ELF file, or after one whose segment has it.
pub fn build_info(data: &[u8]) {
    for program in [data.to_vec(), program_with(data)] {
        let Ok(object) = Object::read(&program) else {
            continue;
        };
        if let Some(Ok(build)) = GoBuild::of(&object, &program) {
            assert!(!build.go.is_empty());
        }
        let _ = crates_in(&object, &program);
    }
}

/// A program with one segment of data, and a section `.dep-v0` that has the same bytes.
pub(crate) fn program_with(data: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.dep-v0\0.shstrtab\0";
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    let start = HEADER + SEGMENT;
    let names = start + data.len() as u64;
    let table = names + NAMES.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    let mut words = |words: &[u64]| {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        file.extend(bytes);
    };
    words(&[0, HEADER, table]);
    // Flags, and the sizes and numbers of headers: one segment, three sections, the last of names.
    words(&[0x0038_0040_0000_0000, 0x0002_0003_0040_0001]);
    words(&[0x6_0000_0001, start, 0x1000, 0x1000]);
    words(&[data.len() as u64, data.len() as u64, 8]);
    file.extend_from_slice(data);
    file.extend_from_slice(NAMES);
    let mut section = |name: u32, kind: u32, offset: u64, size: u64| {
        file.extend_from_slice(&name.to_le_bytes());
        file.extend_from_slice(&kind.to_le_bytes());
        for word in [0, 0, offset, size, 0, 1, 0] {
            file.extend_from_slice(&u64::to_le_bytes(word));
        }
    };
    section(0, 0, 0, 0);
    section(1, 1, start, data.len() as u64);
    section(9, 3, names, NAMES.len() as u64);
    file
}

/// A copyright file of Debian, and the expressions of its licenses.
pub fn copyright(data: &[u8]) {
    let licenses = declared(data);
    let expressions: Vec<Expression> = licenses.iter().map(|text| Expression::of(text)).collect();
    let all = Expression::all(&expressions).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -.()".contains(c);
    assert!(all.chars().all(is_plain), "{all:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_where_the_parsers_look_for_them() {
        for seed in crate::seeds("build_info") {
            let program = program_with(&seed);
            let object = Object::read(&program).unwrap();
            let is_go = GoBuild::of(&object, &program).is_some_and(|build| build.is_ok());
            let is_rust = crates_in(&object, &program).is_some_and(|crates| crates.is_ok());
            assert!(is_go || is_rust);
        }
    }
}
