//! POSIX access control lists (`acl(5)`): rights of named users and groups, in addition to the
//! permission bits.
//!
//! In: the value of the attribute `system.posix_acl_access`. Out: what the owning group may do; where
//! there is a list, the group's permission bits are its mask instead. Source: `struct
//! posix_acl_xattr_entry` in the kernel's `include/uapi/linux/posix_acl_xattr.h`.

/// The name of the extended attribute.
pub const ACCESS_LIST: &str = "system.posix_acl_access";
/// Longest value that is read, in bytes: enough for 500 users.
pub const MAX_ACCESS_LIST: usize = 4096;

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
/// Bytes of an entry: tag, permissions, ID.
const ENTRY: usize = 8;
/// Tags of entries (`posix_acl.h`).
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// What an access control list grants in addition to the permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessList {
    /// What the owning group may do, as the last octal digit of a mode.
    group: u32,
    /// Whether it has entries for users or groups by name.
    pub names_others: bool,
}

impl AccessList {
    /// Parses the value of the attribute. If it is malformed or too long, the group gets no rights.
    pub fn parse(value: &[u8]) -> Self {
        let mut list = Self {
            group: 0,
            names_others: true,
        };
        let Some((version, entries)) = value.split_first_chunk() else {
            return list;
        };
        let is_whole = entries.len() % ENTRY == 0 && value.len() < MAX_ACCESS_LIST;
        if u32::from_le_bytes(*version) != VERSION || !is_whole {
            return list;
        }
        let entries = entries.chunks_exact(ENTRY);
        let entries = entries.map(|entry| {
            let field = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            (field(0), u32::from(field(2)) & 0o7)
        });
        let of = |wanted: u16| {
            let mut found = entries.clone().filter(|(tag, _)| *tag == wanted);
            found.next().map(|(_, permissions)| permissions)
        };
        list.names_others = of(USER).or(of(GROUP)).is_some();
        list.group = of(GROUP_OBJ).unwrap_or(0) & of(MASK).unwrap_or(0o7);
        list
    }

    /// The permission bits without the list: those of the owning group are its rights under the
    /// list.
    pub fn mode(self, mode: u32) -> u32 {
        mode & (!0o070 | self.group << 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, permissions) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(u32::MAX.to_le_bytes());
        }
        value
    }

    #[test]
    fn the_group_may_do_what_its_entry_and_the_mask_say() {
        let mode = |entries: &[(u16, u16)], mode: u32| {
            let list = AccessList::parse(&value(entries));
            (list.mode(mode), list.names_others)
        };
        let [owner, other] = [(1, 6), (0x20, 0)];
        let named = [owner, (USER, 6), (GROUP_OBJ, 0), (MASK, 6), other];
        assert_eq!(mode(&named, 0o4660), (0o4600, true));
        let reading = [owner, (GROUP_OBJ, 4), (GROUP, 7), (MASK, 6), other];
        assert_eq!(mode(&reading, 0o660), (0o640, true));
        let masked = [owner, (GROUP_OBJ, 7), (MASK, 5), other];
        assert_eq!(mode(&masked, 0o1755), (0o1755, false));
        assert_eq!(mode(&[owner, (GROUP_OBJ, 6), other], 0o660), (0o660, false));
    }

    #[test]
    fn what_cannot_be_read_gives_the_group_nothing() {
        let whole = value(&[(GROUP_OBJ, 7)]);
        assert_eq!(AccessList::parse(&whole).mode(0o777), 0o777);
        for length in 0..whole.len() {
            assert_eq!(AccessList::parse(&whole[..length]).mode(0o777), 0o707);
        }
        let mut newer = whole.clone();
        newer[0] = 3;
        assert_eq!(AccessList::parse(&newer).mode(0o777), 0o707);
        let long = value(&[(GROUP_OBJ, 7); MAX_ACCESS_LIST / ENTRY]);
        assert_eq!(AccessList::parse(&long).mode(0o777), 0o707);
    }
}
