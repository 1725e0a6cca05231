//! The rules: their numbers, what each means, why it matters, and how to fix it.
//!
//! Numbers are stable: the number of a removed rule is never reused.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works, but is fragile or works for another reason than intended.
    Warning,
    /// Something will not start.
    Error,
}

impl Severity {
    /// The name used in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule ID: `SP` and three digits.
    pub id: &'static str,
    /// The default severity of its findings.
    pub severity: Severity,
    /// One-line summary of what it finds.
    pub title: &'static str,
    /// Why that matters, in one or two sentences.
    pub why: &'static str,
    /// How to fix it.
    pub fix: &'static str,
}

macro_rules! rules {
    ($($name:ident $severity:ident $title:literal $why:literal $fix:literal)*) => {
        $(
            #[doc = $title]
            pub static $name: Rule = Rule {
                id: stringify!($name),
                severity: Severity::$severity,
                title: $title,
                why: $why,
                fix: $fix,
            };
        )*
        /// All rules, by number.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    SP001 Error "a needed library is missing"
        "Every program that needs it fails to start with \"cannot open shared object file\"."
        "Add the library, or the package that provides it, to a directory that the loader searches; or rebuild what needs it."
    SP002 Error "the interpreter of a program is missing"
        "Starting the program fails with \"no such file or directory\", although the program exists."
        "Add the dynamic loader at this path (with its C library), or link the program statically."
    SP003 Error "an interpreter or a library is for another machine"
        "The loader skips libraries of another ELF class or machine, and exits when it finds no other."
        "Replace it with the build for the program's own machine."
    SP004 Error "a file that the loader rejects hides a library"
        "Such a file ends the search: the loader fails on it and never reaches the valid library after it."
        "Remove or replace the file."
    SP005 Error "a symbol version is not defined"
        "The loader refuses to start the program with \"version not found\": the library is older than the one the program was linked with."
        "Use the library from the release that the program was built on, or build the program on this one."
    SP006 Error "glibc and musl are mixed in one process"
        "The two C libraries define the same names differently; a process that loads both crashes, or does not start."
        "Use builds for a single C library."
    SP007 Warning "a library is found only through LD_LIBRARY_PATH"
        "It is not found when the variable is not set: under sudo, in a setuid program, from a service manager."
        "Link with -Wl,-rpath, or move the library to a directory that the loader searches by default."
    SP008 Warning "the loader's cache lists a file that does not exist"
        "The loader tries to open it and fails; a library was removed without running ldconfig."
        "Run ldconfig as the last step that changes libraries."
    SP009 Warning "a library in a configured directory is not in the loader's cache"
        "glibc's loader reads the cache, never ld.so.conf, so it does not find the library."
        "Run ldconfig as the last step that changes libraries."
    SP010 Warning "two different files have the same library name"
        "Which one a program loads depends on which object requests it first, or on the order of directories."
        "Keep one of them."
    SP011 Warning "a library is found only because another object loaded it before"
        "The requester's own search path does not lead to it; in another load order it would be missing."
        "Give the requester its own search path (-Wl,-rpath)."
    SP012 Info "a library has a variant for newer processors"
        "On such a processor, another file is loaded than on the one it was tested on."
        "Nothing, if that is intended."
    SP013 Warning "an object needs a newer processor than the image's platform"
        "On an older processor, the loader refuses it with \"CPU ISA level is lower than required\"."
        "Build it for the baseline, or set the image's variant (linux/amd64/v3)."
    SP014 Warning "a library that an object loads with dlopen is missing"
        "An ELF note of the object declares that it loads the library with dlopen; without it a feature or the whole program fails."
        "Add one of the libraries that the note lists."
    SP015 Warning "a symbol is not defined by any library of the program"
        "If the symbol is bound at load, the program does not start; if it is bound lazily, the program exits at the first call of the function."
        "Link with the library that defines it, or use the version of the library that does."
    SP016 Info "a needed library is unused"
        "It takes up space and is loaded for nothing."
        "Link with -Wl,--as-needed."
    SP017 Warning "a library to preload is missing"
        "The loader prints \"cannot be preloaded\" whenever a program starts, and continues without it."
        "Add the library, or remove its name from LD_PRELOAD or /etc/ld.so.preload."
    SP018 Error "an object uses a feature that the loader lacks"
        "The loader was released before the feature: relocations are left undone or symbols are not found, and the program crashes or does not start."
        "Use a newer C library, or link without the feature (-Wl,-z,nopack-relative-relocs, -Wl,--hash-style=both)."
    SP101 Warning "a search path has an empty or relative element"
        "It means the current directory: whoever can write there chooses the program's libraries."
        "Use absolute directories, or $ORIGIN."
    SP102 Warning "a directory that is searched for libraries is world-writable"
        "Whoever can write there chooses the program's libraries."
        "Remove the write permission, or remove the directory from the search path."
    SP103 Warning "a search path leads to a build tree"
        "The directory belongs to the machine the program was built on: here it does not exist, or belongs to someone else."
        "Remove it when installing (patchelf --remove-rpath, CMAKE_INSTALL_RPATH)."
    SP104 Warning "DT_RPATH is ignored because DT_RUNPATH is present"
        "The loader reads only DT_RUNPATH; the directories in DT_RPATH are not searched."
        "Keep one of them."
    SP105 Warning "a search path has a token that this C library does not expand"
        "glibc takes an unknown token literally; musl drops the whole path."
        "Use $ORIGIN, or with glibc also $LIB and $PLATFORM."
    SP106 Warning "a library is needed by path instead of by name"
        "A path is opened as it is, without a search; a relative one depends on the current directory."
        "Give the library a soname (-Wl,-soname) and relink."
    SP107 Warning "/etc/ld.so.preload loads libraries into every program"
        "It affects every program, and is a common way for attackers to hide in a system."
        "Remove it, unless it is intended."
    SP201 Warning "memory is both writable and executable"
        "A bug that writes to memory becomes one that runs code."
        "Link with -Wl,-z,noexecstack and without -N."
    SP202 Warning "text relocations"
        "Code is made writable while the object is loaded; hardened kernels refuse this."
        "Compile with -fPIC."
    SP203 Info "a program is linked without the usual hardening"
        "PIE, RELRO and immediate binding make bugs harder to exploit."
        "Link with -pie -Wl,-z,relro,-z,now."
    SP204 Info "debug information or a symbol table was not stripped"
        "It takes up space and is never loaded."
        "Strip it, or pack with --strip."
    SP301 Error "a blob does not match the manifest"
        "Its digest, size or type differs: engines refuse the image."
        "Fetch or build the image again."
    SP302 Error "the entrypoint cannot be started"
        "It is missing, not executable, or not for the architecture in the image configuration."
        "Use a program for the image's platform and a working directory, both in the image and accessible to its user."
    SP303 Error "the interpreter of a script is missing"
        "Starting the script fails with \"no such file or directory\", although the script exists."
        "Add the interpreter, or correct the first line."
    SP304 Warning "a symbolic link is dangling"
        "Opening it fails."
        "Add what it points to, or remove the link."
    SP305 Warning "a setuid or setgid program, or one with file capabilities"
        "Whoever runs it gets its owner's privileges."
        "Remove the bit (chmod a-s) or the capabilities (setcap -r) where the image does not need them."
    SP306 Info "wasted bytes: hidden or duplicated"
        "A later layer hides them, or another file has the same content."
        "Remove files in the layer that adds them; keep one copy, or use hard links."
    SP307 Warning "an unsafe or ambiguous name in a layer's archive"
        "Engines treat such members differently, and some refuse the image."
        "Write the layer with a tool that normalizes names."
    SP308 Error "the image's user is not in its /etc/passwd"
        "Engines refuse to start a container if they cannot look up the ID of its user."
        "Add the user, or give its numeric ID."
    SP309 Warning "a world-readable private key"
        "Any user in the container can read the key."
        "Remove the permissions of others (chmod 0600) and give it to the user that reads it (chown)."
    SP310 Info "the image's user may not write to its working directory or to a volume"
        "Writes there fail, unless something writable is mounted."
        "Give the directory to the user: chown, or slimpack --mkdir PATH,chown=USER."
    SP311 Info "a layer drops the capabilities of a program"
        "The program has file capabilities in a lower layer but not in a later one: chown and many copy tools remove them."
        "Set them (setcap) after the last change of the file, in the same layer."
    SP312 Info "the image's user may not listen on an exposed port"
        "A port below 1024 requires CAP_NET_BIND_SERVICE, unless the engine sets net.ipv4.ip_unprivileged_port_start: docker does since 20.10, podman and many Kubernetes clusters do not."
        "Listen on a port of 1024 or above and map it, or give the program the capability: setcap cap_net_bind_service=ep."
    SP313 Warning "the health check cannot be started"
        "Its command is missing or not executable: engines report the container as unhealthy, and orchestrators restart it."
        "Add the command to the image, or check with a program that is in it."
    SP401 Info "data that a program probably reads is missing"
        "The program starts, then fails or misbehaves when it looks for the data, or loads the library."
        "Add the data, or the library, if the program uses it."
    SP501 Error "a program loads a library that the policy denies"
        "The policy in slimpack.toml (deny) excludes the library, whoever needs it."
        "Build the program, or the library that needs it, without this library; or change the policy."
    SP502 Error "a program loads a library that the policy does not allow"
        "The policy in slimpack.toml (allow) lists all libraries that the program may load."
        "Build the program, or the library that needs it, without this library; or add it to the policy."
    SP503 Error "a program does not load a library that the policy requires"
        "The policy in slimpack.toml (require) names a library that each program has to load."
        "Link the program with the library, or change the policy."
    SP504 Error "an object needs a newer glibc than the policy permits"
        "The policy in slimpack.toml (max-glibc) names the oldest release that everything has to run on; on that release, the loader refuses the object with \"version not found\"."
        "Build it on the oldest distribution to support, or leave out the symbols listed."
    SP505 Error "a program is not static"
        "The policy in slimpack.toml (static) requires a program that loads no library."
        "Link it with -static or -static-pie, or for a musl target; or change the policy."
    SP506 Error "the image exceeds its budget"
        "Its files are larger, or more, than the policy in slimpack.toml permits (max-size, max-files)."
        "Remove what the image does not need (slimpack inspect lists the largest files), or raise the limit."
    SP507 Error "a setuid or setgid program, which the policy forbids"
        "The policy in slimpack.toml (no-setuid) forbids programs that run with the privileges of their owner."
        "Remove the bit (chmod a-s), or the program."
    SP508 Error "a shell, which the policy forbids"
        "The policy in slimpack.toml (no-shell) forbids shells: an attacker who can start one can run any command."
        "Remove it, and start the program without a shell: the exec form of ENTRYPOINT and CMD."
    SP509 Warning "a pattern of the policy matches no program"
        "The policy in slimpack.toml has requirements for programs that the target does not have: nothing is checked."
        "Correct the pattern; * does not match a /, ** does."
}

/// The rule with this ID; `None` if there is no such rule.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// The known ID closest to `id`, for a "did you mean" hint.
pub fn nearest(id: &str) -> Option<&'static str> {
    let known = RULES.iter().map(|rule| rule.id);
    crate::suggest::nearest(&id.to_uppercase(), known, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_stand_once() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(RULES.len(), 52);
        assert_eq!(nearest("sp01"), Some("SP001"));
        assert_eq!(nearest("nonsense"), None);
    }
}
