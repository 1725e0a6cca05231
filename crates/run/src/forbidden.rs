//! Which setting of this machine forbids a sandbox, and how to allow it.
//!
//! In: what failed, and the files below `/proc` in which the kernel shows its settings. Out: one sentence.

use std::fs;
use std::path::Path;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Leaving the namespaces of this machine.
    Unshare,
    /// Mapping users.
    Map,
    /// Mounting file systems, as root of the new namespaces.
    Mount,
    /// Mounting `/proc`.
    Proc,
}

/// Why a stage failed, with what to do; `None` if no setting explains it. `proc` is where procfs is.
pub(crate) fn reason(stage: Stage, proc: &Path) -> Option<String> {
    let read = |name: &str| {
        let text = fs::read_to_string(proc.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let sysctl = |name: &str| read(&format!("sys/{}", name.replace('.', "/")));
    let allow = |name: &str, value: &str| {
        Some(format!(
            "the sysctl {name} is {}; allow it as root with: sysctl -w {name}={value}",
            sysctl(name)
        ))
    };
    if stage == Stage::Unshare {
        if !proc.join("self/ns/user").exists() {
            return Some("the kernel has no user namespaces (CONFIG_USER_NS)".to_owned());
        }
        if sysctl("user.max_user_namespaces") == "0" {
            return allow("user.max_user_namespaces", "10000");
        }
        if sysctl("kernel.unprivileged_userns_clone") == "0" {
            return allow("kernel.unprivileged_userns_clone", "1");
        }
    }
    let apparmor = "kernel.apparmor_restrict_unprivileged_userns";
    if stage != Stage::Proc && sysctl(apparmor) == "1" {
        return Some(format!(
            "AppArmor restricts user namespaces: the sysctl {apparmor} is 1; allow them as root with: \
             sysctl -w {apparmor}=0"
        ));
    }
    if stage == Stage::Unshare {
        let status = read("self/status");
        let mut lines = status.lines();
        if lines.any(|line| line.split_whitespace().eq(["Seccomp:", "2"])) {
            return Some(
                "a seccomp profile forbids namespaces, as in a container; allow them with: docker run \
                 --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
                    .to_owned(),
            );
        }
        if fs::read_link(proc.join("self/root")).is_ok_and(|root| root != Path::new("/")) {
            return Some(
                "slimpack runs in a chroot; the kernel makes no user namespaces there".to_owned(),
            );
        }
    }
    if stage == Stage::Proc {
        return Some(
            "parts of /proc are hidden, as in a container; show them with: docker run --security-opt \
             systempaths=unconfined"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let machine = tempfile::tempdir().unwrap();
        for (name, text) in [&[("self/ns/user", ""), ("self/status", "")], files].concat() {
            let path = machine.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        machine
    }

    #[test]
    fn the_setting_that_forbids_namespaces_is_named() {
        for (file, text, stage, part) in [
            (
                "sys/user/max_user_namespaces",
                "0\n",
                Stage::Unshare,
                "sysctl -w user.max_user_namespaces=10000",
            ),
            (
                "sys/kernel/unprivileged_userns_clone",
                "0\n",
                Stage::Unshare,
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                "sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                Stage::Mount,
                "AppArmor",
            ),
            (
                "sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                Stage::Unshare,
                "AppArmor",
            ),
            (
                "self/status",
                "Name:\tx\nSeccomp:\t2\n",
                Stage::Unshare,
                "seccomp=unconfined",
            ),
            ("self/status", "", Stage::Proc, "systempaths=unconfined"),
        ] {
            let machine = machine(&[(file, text)]);
            let found = reason(stage, machine.path()).unwrap();
            assert!(found.contains(part), "{found}");
        }
        let machine = machine(&[("sys/user/max_user_namespaces", "5")]);
        assert_eq!(reason(Stage::Unshare, machine.path()), None);
        fs::remove_file(machine.path().join("self/ns/user")).unwrap();
        assert!(
            reason(Stage::Unshare, machine.path())
                .unwrap()
                .contains("CONFIG_USER_NS")
        );
    }
}
