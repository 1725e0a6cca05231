//! Extension headers, which apply to the next member: GNU long names, pax records.
//!
//! In: the data of such members. Out: their fields, bounded. Source: POSIX `pax` ("pax Extended
//! Header"), GNU tar's manual.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use slimpack_vfs::{AccessList, MAX_ACCESS_LIST, MAX_CAPABILITIES};
use tar::{EntryType, Header};

use super::names::MAX_PATH;
use super::sparse::number;

/// Not checked: padding may be absent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Fields that extension headers set for the next member: GNU's take precedence over pax records,
/// and of several pax headers only the last counts (as in Go).
#[derive(Default)]
pub(super) struct Extensions {
    pub gnu_name: Option<Vec<u8>>,
    pub gnu_link: Option<Vec<u8>>,
    pub pax: Pax,
}

/// Records of a pax header.
#[derive(Default)]
pub(super) struct Pax {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    /// Whole seconds since 1970; 0 for what is before.
    pub mtime: Option<u64>,
    /// The attribute `security.capability`; read only up to just over its maximum length.
    pub capabilities: Option<Box<[u8]>>,
    /// The attribute `system.posix_acl_access`, which engines set unchanged.
    pub access_list: Option<AccessList>,
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_size: Option<u64>,
    pub sparse_map: Vec<(u64, u64)>,
    sparse_offset: Option<u64>,
    /// Whether the sparse map is at the beginning of the data.
    pub sparse_in_data: bool,
}

pub(super) fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader
    ) || kind.as_byte() == b'X'
}

impl Extensions {
    /// Applies one extension header; `None` when it is malformed.
    pub fn note(&mut self, kind: EntryType, text: &[u8]) -> Option<()> {
        let until_nul = |text: &[u8]| {
            let end = memchr::memchr(0, text).unwrap_or(text.len());
            usable(&text[..end])
        };
        match kind {
            EntryType::GNULongName => self.gnu_name = Some(until_nul(text)),
            EntryType::GNULongLink => self.gnu_link = Some(until_nul(text)),
            // In practice a global header is only a comment (git archive).
            EntryType::XGlobalHeader => {}
            _ => {
                self.pax = Pax::default();
                let mut rest = text;
                while !rest.is_empty() {
                    let (key, value, behind) = record(rest)?;
                    self.pax.note(key, value)?;
                    rest = behind;
                }
            }
        }
        Some(())
    }

    /// The name and the link target of the member with this header.
    pub fn names(&mut self, header: &Header) -> (Vec<u8>, Vec<u8>) {
        let name = (self.pax.sparse_name.take())
            .or_else(|| self.gnu_name.take())
            .or_else(|| self.pax.name.take())
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let in_header = || header.link_name_bytes().map(|link| link.into_owned());
        let link = (self.gnu_link.take())
            .or_else(|| self.pax.link.take())
            .or_else(in_header);
        (name, link.unwrap_or_default())
    }
}

impl Pax {
    fn note(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            // An empty value deletes a record.
            b"path" => self.name = Some(usable(value)).filter(|name| !name.is_empty()),
            b"linkpath" => self.link = Some(usable(value)).filter(|name| !name.is_empty()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => {
                let whole = value.split(|&byte| byte == b'.').next();
                self.mtime = Some(whole.and_then(number).unwrap_or_default());
            }
            b"SCHILY.xattr.security.capability" => {
                self.capabilities = Some(value[..value.len().min(MAX_CAPABILITIES)].into());
            }
            b"SCHILY.xattr.system.posix_acl_access" => {
                let value = &value[..value.len().min(MAX_ACCESS_LIST)];
                self.access_list = Some(AccessList::parse(value));
            }
            // libarchive writes both, and Base64 without padding.
            b"LIBARCHIVE.xattr.security.capability" if self.capabilities.is_none() => {
                let text = &value[..value.len().min(2 * MAX_CAPABILITIES)];
                let value = BASE64.decode(text).unwrap_or_default();
                self.capabilities = Some(value.into());
            }
            b"GNU.sparse.name" => self.sparse_name = Some(usable(value)),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(number(value)?),
            b"GNU.sparse.major" => self.sparse_in_data = number(value)? == 1,
            b"GNU.sparse.offset" => self.sparse_offset = Some(number(value)?),
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse_offset.take()?;
                self.sparse_map.push((offset, number(value)?));
            }
            b"GNU.sparse.map" => {
                let numbers: Option<Vec<u64>> = value
                    .split(|&byte| byte == b',')
                    .filter(|digits| !digits.is_empty())
                    .map(number)
                    .collect();
                let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0)?;
                self.sparse_map = numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect();
            }
            _ => {}
        }
        Some(())
    }
}

/// A name, truncated to just over the longest one that is usable.
fn usable(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(MAX_PATH + 1)].to_vec()
}

/// The first record of a pax header (`LENGTH KEY=VALUE\n`): key, value, and the rest. Values
/// may contain any byte, so only the length determines where they end.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = memchr::memchr(b' ', text)?;
    let length = usize::try_from(number(&text[..space])?).ok()?;
    let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = memchr::memchr(b'=', record)?;
    Some((&record[..equals], &record[equals + 1..], &text[length..]))
}
