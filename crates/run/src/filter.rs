//! The system calls that a sandbox refuses.
//!
//! In: nothing. Out: a seccomp filter. It refuses what the default profile of docker refuses to programs
//! with docker's default capabilities (`profiles/seccomp/default.json` of moby), and ptrace(2). The profile
//! lists what it allows; here is the rest, up to the newest call that it knows.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// Calls that are refused whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    // The libc crate does not have its number.
    #[cfg(not(target_arch = "arm"))]
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// The same for 32-bit programs on x86: numbers of `arch/x86/entry/syscalls/syscall_32.tbl`.
#[cfg(target_arch = "x86_64")]
const REFUSED_32: &[u32] = &[
    18, 21, 22, 25, 26, 28, 48, 51, 52, 59, 62, 67, 68, 69, 73, 74, 79, 84, 86, 87, 88, 89, 101,
    103, 109, 110, 111, 113, 115, 121, 127, 128, 129, 130, 131, 135, 149, 166, 167, 169, 217, 253,
    264, 274, 275, 276, 283, 286, 287, 288, 294, 310, 317, 336, 338, 342, 346, 347, 348, 349, 350,
    357, 374, 404, 425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442, 443, 450,
];

/// The kind of socket of virtual machines (`AF_VSOCK`).
const VSOCK: u64 = 40;

/// What `personality` may set: Linux, with and without uname of 2.6, for 32-bit programs too; and the
/// question for the current one.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];

/// The first call that is newer than what the profile allows; the same on all architectures. As to
/// docker, it is absent.
const NEWER: u32 = 463;

/// Namespaces that `clone` may not make.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// `SECCOMP_RET_` and `AUDIT_ARCH_` numbers (`linux/seccomp.h`, `linux/audit.h`).
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
#[cfg(target_arch = "x86_64")]
const ALLOW: u32 = 0x7fff_0000;
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003;

// `c_long` has 32 bits on some machines.
/// The filter, as programs that are installed one after the other: the strictest answer counts.
#[allow(clippy::useless_conversion)]
pub(crate) fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let refused = filter(refused()?, libc::EPERM)?;
    // `clone3` has its flags in memory, where no filter sees them. Without it, the C library uses `clone`.
    let absent = BTreeMap::from([(i64::from(libc::SYS_clone3), Vec::new())]);
    let absent = with_newer(filter(absent, libc::ENOSYS)?);
    Ok(vec![refused, absent])
}

// `c_long` has 32 bits on some machines.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for number in REFUSED {
        calls.insert(i64::from(*number), Vec::new());
    }
    let rule = |argument, length, operator, value| {
        SeccompRule::new(vec![SeccompCondition::new(
            argument, length, operator, value,
        )?])
    };
    let mut namespaces = Vec::new();
    for bit in (0..32).map(|bit| 1_i64 << bit) {
        if i64::from(NAMESPACES) & bit != 0 {
            let bit = bit.cast_unsigned();
            namespaces.push(rule(0, Qword, MaskedEq(bit), bit)?);
        }
    }
    calls.insert(i64::from(libc::SYS_clone), namespaces);
    // Types into a terminal as if its user did.
    let ioctls = [libc::TIOCSTI, libc::TIOCLINUX];
    let ioctls: Result<_, _> = ioctls
        .into_iter()
        .map(|request| rule(1, Dword, Eq, request as u64 & 0xffff_ffff))
        .collect();
    calls.insert(i64::from(libc::SYS_ioctl), ioctls?);
    let other = PERSONALITIES.map(|known| {
        let (length, operator) = (SeccompCmpArgLen::Qword, SeccompCmpOp::Ne);
        SeccompCondition::new(0, length, operator, u64::from(known))
    });
    let other = SeccompRule::new(other.into_iter().collect::<Result<_, _>>()?)?;
    calls.insert(i64::from(libc::SYS_personality), vec![other]);
    calls.insert(
        i64::from(libc::SYS_socket),
        vec![rule(0, Dword, Eq, VSOCK)?],
    );
    Ok(calls)
}

/// A filter that answers `calls` with an error, and all other calls not at all.
fn filter(
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    error: i32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let answer = SeccompAction::Errno(error.cast_unsigned());
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, architecture)?;
    let mut program = BpfProgram::try_from(filter)?;
    // The library kills a process whose calls are of another ABI.
    for step in &mut program {
        if step.k == KILL {
            step.k = ERRNO | libc::ENOSYS.cast_unsigned();
        }
    }
    Ok(with_32_bits(program))
}

/// The filter with the answer to calls that are too new in front, among them those of the x32 ABI, which
/// are the calls of 64-bit programs once more.
fn with_newer(program: BpfProgram) -> BpfProgram {
    let mut whole = vec![
        step(LOAD, 0, 0, NUMBER),
        step(JUMP_FROM, 0, 1, NEWER),
        step(RETURN, 0, 0, ERRNO | libc::ENOSYS.cast_unsigned()),
    ];
    whole.extend(program);
    whole
}

/// Instructions of a filter (`linux/bpf_common.h`).
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Where `struct seccomp_data` has the number of a call, in bytes.
const NUMBER: u32 = 0;

fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The filter with what 32-bit programs may not call in front.
#[cfg(target_arch = "x86_64")]
fn with_32_bits(native: BpfProgram) -> BpfProgram {
    const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    /// Where `struct seccomp_data` has the ABI of a call, in bytes.
    const ABI: u32 = 4;
    const CLONE: u32 = 120;
    const IOCTL: u32 = 54;
    const PERSONALITY: u32 = 136;
    /// `clone3` has this number on all architectures.
    const CLONE3: u32 = 435;
    /// The lower halves of the first and second argument.
    const FIRST: u32 = 16;
    const SECOND: u32 = 24;
    let mut body = vec![step(LOAD, 0, 0, NUMBER)];
    let refused = REFUSED_32.iter().map(|number| (*number, libc::EPERM));
    for (number, error) in refused.chain([(CLONE3, libc::ENOSYS)]) {
        body.push(step(JUMP_EQUAL, 0, 1, number));
        body.push(step(RETURN, 0, 0, ERRNO | error.cast_unsigned()));
    }
    let refuse = step(RETURN, 0, 0, ERRNO | libc::EPERM.cast_unsigned());
    let allow = step(RETURN, 0, 0, ALLOW);
    body.push(step(JUMP_EQUAL, 0, 4, CLONE));
    body.push(step(LOAD, 0, 0, FIRST));
    body.push(step(JUMP_SET, 0, 1, NAMESPACES.cast_unsigned()));
    body.extend([refuse.clone(), allow.clone()]);
    // Past the load, the known personalities, and both answers.
    let past = u8::try_from(PERSONALITIES.len() + 3).unwrap_or_default();
    body.push(step(JUMP_EQUAL, 0, past, PERSONALITY));
    body.push(step(LOAD, 0, 0, FIRST));
    for (left, known) in (1_u8..)
        .zip(PERSONALITIES)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        body.push(step(JUMP_EQUAL, left, 0, known));
    }
    body.extend([refuse.clone(), allow.clone()]);
    body.push(step(JUMP_EQUAL, 0, 3, IOCTL));
    body.push(step(LOAD, 0, 0, SECOND));
    body.push(step(JUMP_EQUAL, 0, 1, libc::TIOCSTI as u32));
    body.extend([refuse, allow]);
    let length = u32::try_from(body.len()).unwrap_or_default();
    let mut program = vec![
        step(LOAD, 0, 0, ABI),
        step(JUMP_EQUAL, 1, 0, I386),
        step(JUMP, 0, 0, length),
    ];
    program.extend(body);
    program.extend(native);
    program
}

#[cfg(not(target_arch = "x86_64"))]
fn with_32_bits(native: BpfProgram) -> BpfProgram {
    native
}

#[cfg(test)]
mod tests {
    use super::programs;

    #[test]
    fn a_filter_never_kills() {
        for program in programs().unwrap() {
            assert!(program.iter().all(|step| step.k != super::KILL));
        }
    }
}
