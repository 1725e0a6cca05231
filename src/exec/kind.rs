//! Identifies a file that the kernel cannot start.
//!
//! In: its first bytes. Out: a message that identifies it, with advice. Sources: the magic numbers
//! in each format's specification; `execve(2)` for the first line of scripts.

/// Number of bytes that identify a file; a tar has its magic number near the end of them.
pub const TELLING: u64 = 512;

/// Offset of the magic number of a tar (POSIX.1, pax).
const USTAR: usize = 257;

/// Identifies a file that begins with `start` and is neither an ELF file nor a script, with advice.
pub fn describe(start: &[u8]) -> &'static str {
    let magic = |bytes: &[u8]| start.starts_with(bytes);
    if start.is_empty() {
        "it is empty"
    } else if magic(b"\xef\xbb\xbf#!") {
        "it begins with a byte-order mark, so the kernel does not see its #! line; remove the first \
         three bytes"
    } else if magic(b"MZ") {
        "it is a Windows program; build it for Linux"
    } else if magic(b"\xcf\xfa\xed\xfe") || magic(b"\xce\xfa\xed\xfe") || magic(b"\xca\xfe\xba\xbe")
    {
        "it is a macOS program or a Java class; pack an ELF program, or java with --add"
    } else if magic(b"\0asm") {
        "it is a WebAssembly module; pack the runtime that starts it, and add the module with --add"
    } else if magic(b"PK\x03\x04") {
        "it is a zip archive; pack the program that opens it, and add the archive with --add"
    } else if magic(b"!<arch>\n") {
        "it is a static library or a Debian package, which cannot be started"
    } else if start
        .get(USTAR..)
        .is_some_and(|rest| rest.starts_with(b"ustar"))
    {
        "it is a tar archive; if it is an image, see slimpack inspect, or pack from it with --from"
    } else if magic(b"\x1f\x8b") || magic(b"\xfd7zXZ\0") || magic(b"\x28\xb5\x2f\xfd") {
        "it is a compressed file; if it is an image, see slimpack inspect, or pack from it with \
         --from"
    } else if is_text(start) {
        "it is text without a #! line; put its interpreter in the first line, such as #!/bin/sh"
    } else {
        "it is not an ELF file"
    }
}

/// Whether bytes are text, as defined by `file(1)`; the last character may be truncated.
fn is_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.contains(|c: char| c.is_control() && !"\n\r\t\u{c}\u{1b}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn files_that_are_not_programs_are_identified() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (start, part) in [
            (&b""[..], "empty"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "byte-order mark"),
            (b"MZ\x90\0", "Windows"),
            (&tar, "tar archive"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"echo hello\n", "#!/bin/sh"),
            ("echo gr\u{fc}n \u{2014}".as_bytes(), "without a #! line"),
            (b"\x01\x02\0\xff", "not an ELF file"),
        ] {
            assert!(describe(start).contains(part), "{start:?}");
        }
    }
}
