//! Digests of files, and texts that are derived from digests.
//!
//! In: bytes. Out: SHA-1, which SPDX 2.3 requires of each file, and SHA-256; identifiers and a UUID
//! that are the same for the same content.

use std::fmt;
use std::io;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::bytes::ReadAt;

/// Bytes that are shown in lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// SHA-1 and SHA-256 of a whole file.
pub(super) fn of_file(file: &dyn ReadAt) -> io::Result<(Hex<20>, Hex<32>)> {
    let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
    file.each_chunk(&mut |piece| {
        sha1.update(piece);
        sha256.update(piece);
        Ok(())
    })?;
    Ok((Hex(sha1.finalize().into()), Hex(sha256.finalize().into())))
}

/// The package verification code of SPDX 2.3 (7.9): the SHA-1 digest of the digests of its files, in
/// order.
pub(super) fn verification_code<'d>(digests: impl Iterator<Item = &'d Hex<20>>) -> Hex<20> {
    let mut digests: Vec<String> = digests.map(ToString::to_string).collect();
    digests.sort();
    let mut sha1 = Sha1::new();
    for digest in digests {
        sha1.update(digest);
    }
    Hex(sha1.finalize().into())
}

/// A short identifier of a text.
pub(super) fn short(text: &[u8]) -> Hex<10> {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut short = [0; 10];
    short.copy_from_slice(&digest[..10]);
    Hex(short)
}

/// A UUID of version 8 (RFC 9562) that parts determine.
pub(super) fn uuid<'p>(parts: impl Iterator<Item = &'p [u8]>) -> String {
    let mut sha256 = Sha256::new();
    for part in parts {
        sha256.update((part.len() as u64).to_le_bytes());
        sha256.update(part);
    }
    let digest: [u8; 32] = sha256.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = Hex(bytes).to_string();
    let fields = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    fields.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        let (sha1, sha256) = of_file(&b"abc".to_vec()).unwrap();
        assert_eq!(sha1.to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(
            sha256
                .to_string()
                .starts_with("ba7816bf8f01cfea414140de5dae2223")
        );
    }

    #[test]
    fn a_uuid_says_its_version_and_depends_on_each_part() {
        let one = uuid([&b"a"[..], b"bc"].into_iter());
        assert_eq!((one.len(), &one[14..15]), (36, "8"));
        assert!("89ab".contains(&one[19..20]));
        assert_ne!(one, uuid([&b"ab"[..], b"c"].into_iter()));
    }
}
