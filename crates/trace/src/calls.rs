//! The system calls that look up, map, list or change files, and the filter that stops at them.
//!
//! In: nothing. Out: for each call's number, where its paths and flags are; the seccomp filter.
//! Source: the manual page of each call, and strace's classes `%file` and `%process`.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What a call does with its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Action {
    /// Opens it, with flags in an argument.
    #[default]
    Open,
    /// Opens it, with `struct open_how` in memory (`openat2`).
    OpenHow,
    /// Creates a file to write to (`creat`).
    Create,
    /// Queries its status.
    Status,
    /// Queries the status of the link itself, if it is a link.
    StatusOfLink,
    /// Queries more: permissions, attributes.
    Test,
    /// Queries the link itself, if it is a link.
    TestLink,
    /// Reads a link.
    ReadLink,
    /// Executes it.
    Execute,
    /// Makes it the working directory.
    Enter,
    /// Makes the directory of a descriptor the working directory (`fchdir`).
    EnterOpen,
    /// Makes it the root directory.
    Chroot,
    /// Reads the names in the directory of a descriptor.
    List,
    /// Maps the file of a descriptor to execute it.
    Map,
    /// Creates a directory, node or link.
    Make,
    /// Creates a second name for the first path (`link`).
    Link,
    /// Renames the first path to the second.
    Rename,
    /// Changes its contents, owner, mode, times or attributes.
    Change,
    /// Removes it.
    Remove,
    /// Leaves the mount namespace of this machine, if the flags in an argument say so.
    Unshare,
    /// The same with `struct clone_args` in memory.
    Clone3,
    /// Changes what is mounted.
    Mount,
    /// Sets up io_uring, whose operations cannot be observed.
    IoUring,
    /// Changes which files its thread may use.
    ChangeRights,
}

/// One path of a call: the arguments with the directory's descriptor, if any, and with the path.
pub(crate) type PathAt = (Option<usize>, usize);

/// A call: what it does, and where its arguments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Its name, as strace prints it.
    pub name: &'static str,
    /// Its number, if this architecture has it.
    pub number: Option<i64>,
    pub action: Action,
    pub paths: &'static [PathAt],
    /// The argument with flags.
    pub flags: Option<usize>,
}

// `c_long` has 32 bits on some machines.
#[allow(clippy::unnecessary_cast)]
const fn call(
    name: &'static str,
    number: Option<libc::c_long>,
    action: Action,
    paths: &'static [PathAt],
    flags: Option<usize>,
) -> Call {
    Call {
        name,
        number: match number {
            Some(number) => Some(number as i64),
            None => None,
        },
        action,
        paths,
        flags,
    }
}

const NONE: &[PathAt] = &[];
const FIRST: &[PathAt] = &[(None, 0)];
const SECOND: &[PathAt] = &[(None, 1)];
const TWO: &[PathAt] = &[(None, 0), (None, 1)];
const AT: &[PathAt] = &[(Some(0), 1)];
const TARGET_AT: &[PathAt] = &[(Some(1), 2)];
const TWO_AT: &[PathAt] = &[(Some(0), 1), (Some(2), 3)];

/// The number of a call that newer architectures do not have.
macro_rules! older {
    ($number:ident) => {{
        #[cfg(target_arch = "x86_64")]
        let number = Some(libc::$number);
        #[cfg(not(target_arch = "x86_64"))]
        let number = None;
        number
    }};
}

/// All calls.
#[rustfmt::skip]
const CALLS: &[Call] = &[
    call("openat", Some(libc::SYS_openat), Action::Open, AT, Some(2)),
    call("openat2", Some(libc::SYS_openat2), Action::OpenHow, AT, Some(2)),
    call("newfstatat", Some(libc::SYS_newfstatat), Action::Status, AT, Some(3)),
    call("statx", Some(libc::SYS_statx), Action::Status, AT, Some(2)),
    call("faccessat", Some(libc::SYS_faccessat), Action::Test, AT, None),
    call("faccessat2", Some(libc::SYS_faccessat2), Action::Test, AT, Some(3)),
    call("readlinkat", Some(libc::SYS_readlinkat), Action::ReadLink, AT, None),
    call("statfs", Some(libc::SYS_statfs), Action::Test, FIRST, None),
    call("getxattr", Some(libc::SYS_getxattr), Action::Test, FIRST, None),
    call("lgetxattr", Some(libc::SYS_lgetxattr), Action::TestLink, FIRST, None),
    call("listxattr", Some(libc::SYS_listxattr), Action::Test, FIRST, None),
    call("llistxattr", Some(libc::SYS_llistxattr), Action::TestLink, FIRST, None),
    call("inotify_add_watch", Some(libc::SYS_inotify_add_watch), Action::Test, SECOND, None),
    call("name_to_handle_at", Some(libc::SYS_name_to_handle_at), Action::TestLink, AT, None),
    call("execve", Some(libc::SYS_execve), Action::Execute, FIRST, None),
    call("execveat", Some(libc::SYS_execveat), Action::Execute, AT, Some(4)),
    call("chdir", Some(libc::SYS_chdir), Action::Enter, FIRST, None),
    call("fchdir", Some(libc::SYS_fchdir), Action::EnterOpen, NONE, None),
    call("chroot", Some(libc::SYS_chroot), Action::Chroot, FIRST, None),
    call("getdents64", Some(libc::SYS_getdents64), Action::List, NONE, None),
    call("mmap", Some(libc::SYS_mmap), Action::Map, NONE, None),
    call("mkdirat", Some(libc::SYS_mkdirat), Action::Make, AT, None),
    call("mknodat", Some(libc::SYS_mknodat), Action::Make, AT, None),
    call("symlinkat", Some(libc::SYS_symlinkat), Action::Make, TARGET_AT, None),
    call("linkat", Some(libc::SYS_linkat), Action::Link, TWO_AT, None),
    call("renameat2", Some(libc::SYS_renameat2), Action::Rename, TWO_AT, None),
    call("unlinkat", Some(libc::SYS_unlinkat), Action::Remove, AT, None),
    call("truncate", Some(libc::SYS_truncate), Action::Change, FIRST, None),
    call("fchmodat", Some(libc::SYS_fchmodat), Action::Change, AT, None),
    call("fchownat", Some(libc::SYS_fchownat), Action::Change, AT, None),
    call("utimensat", Some(libc::SYS_utimensat), Action::Change, AT, None),
    call("setxattr", Some(libc::SYS_setxattr), Action::Change, FIRST, None),
    call("lsetxattr", Some(libc::SYS_lsetxattr), Action::Change, FIRST, None),
    call("removexattr", Some(libc::SYS_removexattr), Action::Change, FIRST, None),
    call("lremovexattr", Some(libc::SYS_lremovexattr), Action::Change, FIRST, None),
    call("unshare", Some(libc::SYS_unshare), Action::Unshare, NONE, Some(0)),
    call("clone", Some(libc::SYS_clone), Action::Unshare, NONE, Some(0)),
    call("setns", Some(libc::SYS_setns), Action::Unshare, NONE, Some(1)),
    call("clone3", Some(libc::SYS_clone3), Action::Clone3, NONE, None),
    call("mount", Some(libc::SYS_mount), Action::Mount, NONE, None),
    call("umount2", Some(libc::SYS_umount2), Action::Mount, NONE, None),
    call("pivot_root", Some(libc::SYS_pivot_root), Action::Mount, NONE, None),
    call("move_mount", Some(libc::SYS_move_mount), Action::Mount, NONE, None),
    call("io_uring_setup", Some(libc::SYS_io_uring_setup), Action::IoUring, NONE, None),
    call("setuid", Some(libc::SYS_setuid), Action::ChangeRights, NONE, None),
    call("setgid", Some(libc::SYS_setgid), Action::ChangeRights, NONE, None),
    call("setreuid", Some(libc::SYS_setreuid), Action::ChangeRights, NONE, None),
    call("setregid", Some(libc::SYS_setregid), Action::ChangeRights, NONE, None),
    call("setresuid", Some(libc::SYS_setresuid), Action::ChangeRights, NONE, None),
    call("setresgid", Some(libc::SYS_setresgid), Action::ChangeRights, NONE, None),
    call("setgroups", Some(libc::SYS_setgroups), Action::ChangeRights, NONE, None),
    call("setfsuid", Some(libc::SYS_setfsuid), Action::ChangeRights, NONE, None),
    call("setfsgid", Some(libc::SYS_setfsgid), Action::ChangeRights, NONE, None),
    call("capset", Some(libc::SYS_capset), Action::ChangeRights, NONE, None),
    call("landlock_restrict_self", Some(libc::SYS_landlock_restrict_self), Action::ChangeRights, NONE, None),
    // Missing on the newest architectures.
    call("renameat", RENAMEAT, Action::Rename, TWO_AT, None),
    // The rest exists only on x86.
    call("open", older!(SYS_open), Action::Open, FIRST, Some(1)),
    call("creat", older!(SYS_creat), Action::Create, FIRST, None),
    call("stat", older!(SYS_stat), Action::Status, FIRST, None),
    call("lstat", older!(SYS_lstat), Action::StatusOfLink, FIRST, None),
    call("access", older!(SYS_access), Action::Test, FIRST, None),
    call("readlink", older!(SYS_readlink), Action::ReadLink, FIRST, None),
    call("uselib", older!(SYS_uselib), Action::Test, FIRST, None),
    call("getdents", older!(SYS_getdents), Action::List, NONE, None),
    call("mkdir", older!(SYS_mkdir), Action::Make, FIRST, None),
    call("mknod", older!(SYS_mknod), Action::Make, FIRST, None),
    call("symlink", older!(SYS_symlink), Action::Make, SECOND, None),
    call("link", older!(SYS_link), Action::Link, TWO, None),
    call("rename", older!(SYS_rename), Action::Rename, TWO, None),
    call("unlink", older!(SYS_unlink), Action::Remove, FIRST, None),
    call("rmdir", older!(SYS_rmdir), Action::Remove, FIRST, None),
    call("chmod", older!(SYS_chmod), Action::Change, FIRST, None),
    call("chown", older!(SYS_chown), Action::Change, FIRST, None),
    call("lchown", older!(SYS_lchown), Action::Change, FIRST, None),
    call("utime", older!(SYS_utime), Action::Change, FIRST, None),
    call("utimes", older!(SYS_utimes), Action::Change, FIRST, None),
    call("futimesat", older!(SYS_futimesat), Action::Change, AT, None),
];

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const RENAMEAT: Option<libc::c_long> = Some(libc::SYS_renameat);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const RENAMEAT: Option<libc::c_long> = None;

/// The `AUDIT_ARCH_` number of this program's own calls (`linux/audit.h`).
#[cfg(target_arch = "x86_64")]
pub(crate) const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const NATIVE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const NATIVE: u32 = 0;

/// The calls that are traced, by number.
pub(crate) fn by_number() -> BTreeMap<i64, Call> {
    let calls = CALLS.iter();
    calls
        .filter_map(|call| Some((call.number?, *call)))
        .collect()
}

/// The call that strace prints by a name. The names of 32-bit calls end in a number.
pub(crate) fn named(name: &str) -> Option<Call> {
    let plain = name.strip_suffix("64").or_else(|| name.strip_suffix("32"));
    let plain = match plain.unwrap_or(name) {
        "fstatat" => "newfstatat",
        plain => plain,
    };
    let find = |name: &str| CALLS.iter().find(|call| call.name == name).copied();
    find(name).or_else(|| find(plain))
}

/// When a call stops: always for an empty list, never for `None`.
fn rules(call: &Call) -> Result<Option<Vec<SeccompRule>>, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{MaskedEq, Ne};
    let only = |argument: u8, bits: libc::c_int| {
        let bits = u64::from(bits.cast_unsigned());
        let condition = SeccompCondition::new(argument, Qword, MaskedEq(bits), bits)?;
        SeccompRule::new(vec![condition])
    };
    Ok(Some(match (call.action, call.flags) {
        // Only a file that is mapped executable; anonymous memory has the descriptor -1.
        (Action::Map, _) => {
            let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
            vec![SeccompRule::new(vec![
                SeccompCondition::new(2, Dword, MaskedEq(executable), executable)?,
                SeccompCondition::new(4, Dword, Ne, u64::from(u32::MAX))?,
            ])?]
        }
        // A live tracer queries the kernel for the working directory.
        (Action::EnterOpen, _) => return Ok(None),
        // Threads of a process are also created by clone.
        (Action::Unshare, Some(0)) => {
            vec![only(0, libc::CLONE_NEWNS)?, only(0, libc::CLONE_NEWUSER)?]
        }
        _ => Vec::new(),
    }))
}

/// The filter: stops at the calls of [`by_number`], allows all others, and stops at every call of
/// another ABI, such as that of 32-bit programs.
pub(crate) fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    /// `SECCOMP_RET_KILL_PROCESS` and `SECCOMP_RET_TRACE` (`linux/seccomp.h`).
    const KILL: u32 = 0x8000_0000;
    const TRACE: u32 = 0x7ff0_0000;
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut calls = BTreeMap::new();
    for (number, call) in by_number() {
        if let Some(rules) = rules(&call)? {
            calls.insert(number, rules);
        }
    }
    let filter = SeccompFilter::new(
        calls,
        SeccompAction::Allow,
        SeccompAction::Trace(0),
        architecture,
    )?;
    let mut program = BpfProgram::try_from(filter)?;
    // The library's own filter kills a process that makes calls of another ABI.
    for step in &mut program {
        if step.k == KILL {
            step.k = TRACE;
        }
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::{CALLS, by_number, filter, named};

    #[test]
    fn a_filter_never_kills() {
        let program = filter().unwrap();
        assert!(program.len() > CALLS.len());
        assert!(program.iter().all(|step| step.k != 0x8000_0000));
    }

    #[test]
    fn no_call_is_described_twice() {
        let numbered = CALLS.iter().filter(|call| call.number.is_some());
        assert_eq!(by_number().len(), numbered.count());
        assert_eq!(named("fstatat64").unwrap().name, "newfstatat");
        assert_eq!(named("getdents64").unwrap().name, "getdents64");
        assert!(named("read").is_none());
    }
}
