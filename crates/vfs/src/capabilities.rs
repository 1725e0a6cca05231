//! File capabilities (`capabilities(7)`): what a program may do that its caller may not.
//!
//! In: the value of the attribute `security.capability`. Out: its sets. Source: `struct
//! vfs_ns_cap_data` in the kernel's `include/uapi/linux/capability.h`, and `cap_from_disk` in
//! `security/commoncap.c`.

use std::fmt;

/// The name of the extended attribute.
pub const CAPABILITIES: &str = "security.capability";
/// Longest value that is read, in bytes; the kernel's own have at most 24.
pub const MAX_CAPABILITIES: usize = 64;

/// `VFS_CAP_REVISION_MASK`.
const REVISION: u32 = 0xff00_0000;
/// `VFS_CAP_FLAGS_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// Names by number (`capabilities(7)`, without their prefix `cap_`).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The capabilities of a program file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities {
    is_effective: bool,
    permitted: u64,
    inheritable: u64,
    /// The user that is root in the namespace where they apply; `None` for root itself.
    root: Option<u32>,
}

impl Capabilities {
    /// Parses the value of the attribute; `None` if the kernel would not accept it: another length
    /// than that of its revision, or a revision after 3.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = value.get(4 * at..4 * at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let flags = word(0)?;
        let wide = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let (permitted, inheritable, root) = match (flags & REVISION, value.len()) {
            (0x0100_0000, 12) => (wide(word(1)?, 0), wide(word(2)?, 0), None),
            (0x0200_0000, 20) => (wide(word(1)?, word(3)?), wide(word(2)?, word(4)?), None),
            (0x0300_0000, 24) => (
                wide(word(1)?, word(3)?),
                wide(word(2)?, word(4)?),
                Some(word(5)?),
            ),
            _ => return None,
        };
        Some(Self {
            is_effective: flags & EFFECTIVE != 0,
            permitted,
            inheritable,
            root,
        })
    }

    /// The text for a value of the attribute, malformed or not.
    pub fn text(value: &[u8]) -> String {
        let parsed = Self::parse(value);
        parsed.map_or_else(|| "malformed".to_owned(), |parsed| parsed.to_string())
    }

    /// The value of the attribute: of revision 3 if it names a namespace's root, else of revision 2.
    pub fn to_bytes(self) -> Vec<u8> {
        let revision: u32 = if self.root.is_some() { 3 } else { 2 };
        let flags = revision << 24 | u32::from(self.is_effective);
        let sets = [self.permitted, self.inheritable];
        let halves = [0, 32].map(|shift| sets.map(|set| (set >> shift) as u32));
        let words = std::iter::once(flags).chain(halves.into_iter().flatten());
        words.chain(self.root).flat_map(u32::to_le_bytes).collect()
    }

    /// Whether a program gets this capability by its name, such as `net_bind_service`.
    pub fn permits(self, name: &str) -> bool {
        let number = NAMES.iter().position(|known| *known == name);
        number.is_some_and(|number| self.permitted >> number & 1 == 1)
    }
}

/// As `getcap(8)` prints them: `cap_net_raw=ep`.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = self.permitted & self.inheritable;
        let only_inheritable = self.inheritable & !self.permitted;
        let only_permitted = self.permitted & !self.inheritable;
        let e = if self.is_effective { "e" } else { "" };
        let groups = [(both, "ip"), (only_inheritable, "i"), (only_permitted, "p")];
        let mut is_first = true;
        for (set, flags) in groups.into_iter().filter(|(set, _)| *set != 0) {
            if !std::mem::take(&mut is_first) {
                f.write_str(" ")?;
            }
            let numbers = (0..u64::BITS as usize).filter(|number| set >> number & 1 == 1);
            for (count, number) in numbers.enumerate() {
                if count > 0 {
                    f.write_str(",")?;
                }
                match NAMES.get(number) {
                    Some(name) => write!(f, "cap_{name}")?,
                    None => write!(f, "{number}")?,
                }
            }
            write!(f, "={e}{flags}")?;
        }
        match is_first {
            true => f.write_str("="),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `setcap cap_net_raw+ep`, as `getfattr -e hex` shows it.
    const NET_RAW: [u8; 20] = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn values_of_each_revision_are_read_and_written_again() {
        let second = Capabilities::parse(&NET_RAW).unwrap();
        assert_eq!(second.to_string(), "cap_net_raw=ep");
        assert_eq!(second.to_bytes(), NET_RAW);
        assert!(second.permits("net_raw") && !second.permits("net_admin"));
        let mut third = NET_RAW.to_vec();
        third[3] = 3;
        third.extend(1000_u32.to_le_bytes());
        let named = Capabilities::parse(&third).unwrap();
        assert_eq!(named.to_bytes(), third);
        let mut first = NET_RAW[..12].to_vec();
        first[3] = 1;
        assert_eq!(Capabilities::parse(&first), Some(second));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for length in 0..NET_RAW.len() {
            assert_eq!(Capabilities::parse(&NET_RAW[..length]), None);
        }
        let mut newer = NET_RAW;
        newer[3] = 4;
        assert_eq!(Capabilities::parse(&newer), None);
    }

    #[test]
    fn each_group_of_flags_is_printed() {
        let capabilities = Capabilities {
            is_effective: true,
            permitted: 0b0111,
            inheritable: 0b1100 | 1 << 63,
            root: None,
        };
        assert_eq!(
            capabilities.to_string(),
            "cap_dac_read_search=eip cap_fowner,63=ei cap_chown,cap_dac_override=ep"
        );
    }
}
