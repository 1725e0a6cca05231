//! The capabilities that docker gives (`oci/caps/defaults.go` of moby).
//!
//! In: nothing. Out: their names for a runtime, and the set for the kernel.

use rustix::thread::CapabilitySet;

const GIVEN: [(&str, CapabilitySet); 14] = [
    ("CAP_AUDIT_WRITE", CapabilitySet::AUDIT_WRITE),
    ("CAP_CHOWN", CapabilitySet::CHOWN),
    ("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ("CAP_FOWNER", CapabilitySet::FOWNER),
    ("CAP_FSETID", CapabilitySet::FSETID),
    ("CAP_KILL", CapabilitySet::KILL),
    ("CAP_MKNOD", CapabilitySet::MKNOD),
    ("CAP_NET_BIND_SERVICE", CapabilitySet::NET_BIND_SERVICE),
    ("CAP_NET_RAW", CapabilitySet::NET_RAW),
    ("CAP_SETFCAP", CapabilitySet::SETFCAP),
    ("CAP_SETGID", CapabilitySet::SETGID),
    ("CAP_SETPCAP", CapabilitySet::SETPCAP),
    ("CAP_SETUID", CapabilitySet::SETUID),
    ("CAP_SYS_CHROOT", CapabilitySet::SYS_CHROOT),
];

/// The names of the capabilities that docker gives, as in the configuration of a runtime.
pub fn default_capabilities() -> [&'static str; 14] {
    GIVEN.map(|(name, _)| name)
}

/// The same for the kernel.
pub(crate) fn given() -> CapabilitySet {
    GIVEN.iter().map(|(_, capability)| *capability).collect()
}
