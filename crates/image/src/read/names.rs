//! Names of members.
//!
//! In: a name as written in an archive. Out: its components, inside the root, or why it cannot
//! be a file name.

use super::anomaly::AnomalyKind;

/// Longest path, in bytes; a longer one cannot be unpacked.
pub(super) const MAX_PATH: usize = 32 << 10;

/// Prefix of a whiteout, before the name that a layer removes.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// The rest, after [`WHITEOUT`], of the name that makes a directory opaque.
pub(super) const OPAQUE: &[u8] = b".wh..opq";

/// A parsed member name.
pub(super) struct Name<'n> {
    parts: Vec<&'n [u8]>,
    /// What is irregular about it, although it can be used.
    pub oddity: Option<AnomalyKind>,
}

impl<'n> Name<'n> {
    pub fn parse(name: &'n [u8]) -> Result<Self, AnomalyKind> {
        if name.len() > MAX_PATH || name.contains(&0) {
            return Err(AnomalyKind::Name);
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut oddity = name.starts_with(b"/").then_some(AnomalyKind::Absolute);
        for part in name.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or(AnomalyKind::Outside)?;
                    oddity = Some(AnomalyKind::DotDot);
                }
                part if part.len() > 255 => return Err(AnomalyKind::Name),
                part => parts.push(part),
            }
        }
        Ok(Self { parts, oddity })
    }

    /// The parent directory and the last component; `None` for the root.
    pub fn split(&self) -> Option<(&[&'n [u8]], &'n [u8])> {
        let (last, folder) = self.parts.split_last()?;
        Some((folder, last))
    }
}

/// Whether a name is a whiteout.
pub(super) fn is_whiteout(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    last.starts_with(WHITEOUT)
}
