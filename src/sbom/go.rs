//! What a Go program says of its own build: the version of Go, and its modules.
//!
//! In: an ELF file. Out: modules with versions. Source: Go's `debug/buildinfo` and
//! `runtime/debug.ParseBuildInfo`. The linker writes a header into the section `.go.buildinfo`, or
//! where sections were removed to the start of the data segment; two strings follow it, or since
//! before Go 1.18 two pointers to them. Every length is checked before it is used.

use goblin::elf::program_header::{PF_W, PT_LOAD};
use scroll::{Endian, Pread};

use crate::bytes::ReadAt;
use crate::elf::Object;

/// What the header begins with, and what it is aligned to.
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
/// Size of the header in bytes.
const HEADER: u64 = 32;
/// Flags of the header.
const BIG_ENDIAN: u8 = 1;
const INLINE: u8 = 2;
/// Bytes of a data segment that are searched for the header.
const MAX_SEARCHED: u64 = 16 << 20;
/// Longest version of Go, and longest text about modules, in bytes.
const MAX_VERSION: u64 = 256;
const MAX_TEXT: u64 = 4 << 20;
/// Most modules of one program.
const MAX_MODULES: usize = 20_000;
/// Length of the marks around the text about modules.
const MARK: usize = 16;

/// A module of Go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoModule {
    /// Its path, such as `golang.org/x/net`.
    pub path: String,
    /// Its version, such as `v0.33.0`; empty for a local build.
    pub version: String,
}

/// The build information of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBuild {
    /// The version of Go, such as `go1.23.4`.
    pub go: String,
    /// The main module, and those that it was built from.
    pub modules: Vec<GoModule>,
}

impl GoBuild {
    /// The build information of `object`, read from `file`: `None` if it was not built by Go.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(object: &Object, file: &dyn ReadAt) -> Option<Result<Self, &'static str>> {
        let (range, at) = find(object, file)?;
        Some(read(object, file, range, at))
    }
}

/// Where the header may be, and where it is.
fn find(object: &Object, file: &dyn ReadAt) -> Option<((u64, u64), u64)> {
    let (start, size) = match object.section(file, b".go.buildinfo") {
        Some(section) => (section.sh_offset, section.sh_size),
        None => {
            let is_data = |segment: &&goblin::elf::ProgramHeader| {
                segment.p_type == PT_LOAD && segment.p_flags & PF_W != 0
            };
            let segment = object.segments.iter().find(is_data)?;
            (segment.p_offset, segment.p_filesz)
        }
    };
    let searched = file.prefix(start, size.min(MAX_SEARCHED)).ok()?;
    let mut found = memchr::memmem::find_iter(&searched, MAGIC);
    // Go code that looks for build information holds the same bytes, not aligned.
    let at = found.find(|at| at % ALIGNMENT == 0)? as u64;
    Some(((start, start.saturating_add(size)), start + at))
}

fn read(
    object: &Object,
    file: &dyn ReadAt,
    range: (u64, u64),
    at: u64,
) -> Result<GoBuild, &'static str> {
    const TRUNCATED: &str = "its header is cut off";
    let header = file.range(at, HEADER).ok().flatten().ok_or(TRUNCATED)?;
    let (pointer, flags) = (header[14], header[15]);
    let (go, text) = match flags & INLINE != 0 {
        true => {
            let (go, next) = inline(file, range, at + HEADER, MAX_VERSION)?;
            (go, inline(file, range, next, MAX_TEXT)?.0)
        }
        false => {
            let word = Word {
                object,
                file,
                size: usize::from(pointer),
                endian: match flags & BIG_ENDIAN != 0 {
                    true => Endian::Big,
                    false => Endian::Little,
                },
            };
            let go = word.string(&header, 16, MAX_VERSION)?;
            (go, word.string(&header, 16 + word.size, MAX_TEXT)?)
        }
    };
    let go = String::from_utf8(go).map_err(|_| "its version of Go is not text")?;
    if go.is_empty() {
        return Err("it has no version of Go");
    }
    // A module-less build has no text, and no marks around it.
    let inner = text
        .len()
        .checked_sub(MARK)
        .and_then(|end| text.get(MARK..end));
    let inner = inner.filter(|inner| inner.ends_with(b"\n"));
    let text = String::from_utf8_lossy(inner.unwrap_or_default());
    Ok(GoBuild {
        go,
        modules: modules(&text),
    })
}

/// A string that follows its length (a varint), and the offset after it.
fn inline(
    file: &dyn ReadAt,
    (_, end): (u64, u64),
    at: u64,
    most: u64,
) -> Result<(Vec<u8>, u64), &'static str> {
    let bytes = file.prefix(at, 10.min(end.saturating_sub(at)));
    let (mut length, mut digits) = (0_u64, 0);
    for byte in bytes.unwrap_or_default() {
        length |= u64::from(byte & 0x7f).checked_shl(7 * digits).unwrap_or(0);
        digits += 1;
        if byte & 0x80 == 0 {
            let start = at + u64::from(digits);
            let is_inside = start.checked_add(length).is_some_and(|last| last <= end);
            if length > most || !is_inside {
                return Err("a string is longer than its section");
            }
            let text = file.range(start, length).ok().flatten();
            let text = text.ok_or("a string ends after the file")?;
            return Ok((text, start + length));
        }
    }
    Err("the length of a string has no end")
}

/// How pointers of the header are read.
struct Word<'f> {
    object: &'f Object,
    file: &'f dyn ReadAt,
    size: usize,
    endian: Endian,
}

impl Word<'_> {
    fn read(&self, bytes: &[u8], at: usize) -> Option<u64> {
        match self.size {
            4 => bytes.pread_with::<u32>(at, self.endian).ok().map(u64::from),
            8 => bytes.pread_with::<u64>(at, self.endian).ok(),
            _ => None,
        }
    }

    /// A Go string: a pointer to a pointer and a length.
    fn string(&self, header: &[u8], at: usize, most: u64) -> Result<Vec<u8>, &'static str> {
        const OUTSIDE: &str = "a pointer leads outside of the file";
        let place = self
            .read(header, at)
            .ok_or("its pointers have no known size")?;
        if place == 0 {
            return Ok(Vec::new());
        }
        let pair = self.mapped(place, 2 * self.size as u64).ok_or(OUTSIDE)?;
        let start = self.read(&pair, 0).ok_or(OUTSIDE)?;
        let length = self.read(&pair, self.size).ok_or(OUTSIDE)?;
        if length > most {
            return Err("a string is longer than any of Go's");
        }
        self.mapped(start, length).ok_or(OUTSIDE)
    }

    /// Bytes at a mapped address.
    fn mapped(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let mut segments = self.object.segments.iter();
        let offset = segments.find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr)?;
            let is_inside = inside.checked_add(length)? <= segment.p_filesz;
            (segment.p_type == PT_LOAD && is_inside).then_some(())?;
            segment.p_offset.checked_add(inside)
        })?;
        self.file.range(offset, length).ok().flatten()
    }
}

/// The modules of `mod` and `dep` lines; a `=>` line replaces the one before it.
fn modules(text: &str) -> Vec<GoModule> {
    let mut modules: Vec<GoModule> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(kind), Some(path)) = (words.next(), words.next()) else {
            continue;
        };
        let version = words.next().unwrap_or_default();
        let module = GoModule {
            path: path.to_owned(),
            version: match version {
                "(devel)" => String::new(),
                version => version.to_owned(),
            },
        };
        match kind {
            "mod" | "dep" if modules.len() < MAX_MODULES && !path.is_empty() => {
                modules.push(module);
            }
            "=>" if !path.is_empty() => {
                if let Some(last) = modules.last_mut() {
                    *last = module;
                }
            }
            _ => {}
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one segment that can be written and begins with `data`.
    fn program(data: &[u8]) -> Vec<u8> {
        const START: u64 = 120;
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
        put(&[2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0_u64, 64, 0] {
            put(&word.to_le_bytes());
        }
        put(&[0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
        put(&[1, 0, 0, 0, 6, 0, 0, 0]);
        let size = data.len() as u64;
        for word in [START, 0x1000, 0x1000, size, size, 8] {
            put(&word.to_le_bytes());
        }
        file.extend_from_slice(data);
        file
    }

    fn built(data: &[u8]) -> Option<Result<GoBuild, &'static str>> {
        let file = program(data);
        GoBuild::of(&Object::read(&file).unwrap(), &file)
    }

    fn header(flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut data = [MAGIC, &[8, flags]].concat();
        data.extend_from_slice(rest);
        data
    }

    const TEXT: &str = "path\tcmd/a\nmod\texample.org/a\t(devel)\t\ndep\tb.org/b\tv1.0.0\th1:x=\n\
                        dep\tc.org/c\tv2.0.0\n=>\td.org/d\tv2.1.0\th1:y=\nbuild\t-compiler=gc\n";

    fn marked() -> String {
        format!("{0}{TEXT}{0}", "0123456789abcdef")
    }

    fn expected() -> GoBuild {
        let module = |path: &str, version: &str| GoModule {
            path: path.to_owned(),
            version: version.to_owned(),
        };
        GoBuild {
            go: "go1.20".to_owned(),
            modules: vec![
                module("example.org/a", ""),
                module("b.org/b", "v1.0.0"),
                module("d.org/d", "v2.1.0"),
            ],
        }
    }

    #[test]
    fn strings_after_the_header_are_read() {
        let text = marked();
        let length = [(text.len() & 0x7f | 0x80) as u8, (text.len() >> 7) as u8];
        let rest = [&[0; 16][..], &[6], b"go1.20", &length, text.as_bytes()].concat();
        assert_eq!(built(&header(INLINE, &rest)), Some(Ok(expected())));
    }

    #[test]
    fn strings_that_the_header_points_to_are_read() {
        let text = marked();
        let mut rest = Vec::new();
        let words = [0x1020, 0x1030, 0x1040, 6, 0x1046, text.len() as u64];
        for word in words {
            rest.extend_from_slice(&u64::to_le_bytes(word));
        }
        rest.extend_from_slice(b"go1.20");
        rest.extend_from_slice(text.as_bytes());
        assert_eq!(built(&header(0, &rest)), Some(Ok(expected())));
    }

    #[test]
    fn a_header_that_lies_is_an_error_and_other_programs_have_none() {
        assert_eq!(built(b"no header"), None);
        assert_eq!(built(&[b" ", MAGIC, &[8; 40]].concat()), None);
        let pointers = |words: [u64; 4]| words.map(u64::to_le_bytes).concat();
        for (flags, rest) in [
            (INLINE, [&[0; 16][..], &[0xff; 12]].concat()),
            (INLINE, [&[0; 16][..], &[6], b"go"].concat()),
            (INLINE, [&[0; 16][..], &[0, 0]].concat()),
            // The header points to itself, and to a string of all addresses.
            (0, pointers([0x1010, 0x1010, 0, 0])),
            (0, pointers([0x1020, 0x1020, 0x1000, u64::MAX])),
            (0, pointers([u64::MAX, 0, 0, 0])),
        ] {
            let found = built(&header(flags, &rest));
            assert!(matches!(found, Some(Err(_))), "{rest:?}: {found:?}");
        }
    }
}
