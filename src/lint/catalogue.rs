//! The rules: their numbers, what each means, why it matters, and how to mend it.
//!
//! Numbers are stable: none is ever used again for something else.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works, but not for long or not for the reason that was meant.
    Warning,
    /// Something does not start.
    Error,
}

impl Severity {
    /// The word used in reports and in JSON.
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
    /// `SP` and three digits.
    pub id: &'static str,
    /// The severity that its findings usually have.
    pub severity: Severity,
    /// What it finds.
    pub title: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
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
        "The loader ends every program that needs it with \"cannot open shared object file\"."
        "Add the library, or the package that holds it, to a folder that the loader searches; or rebuild what needs it."
    SP002 Error "the interpreter of a program is missing"
        "The kernel answers \"no such file or directory\" for the program, though the program is there."
        "Add the dynamic loader at this path (with its C library), or link the program statically."
    SP003 Error "an interpreter or a library is for another machine"
        "The loader passes over libraries of another class or machine and ends the program when no other is found."
        "Put the build for the program's own machine in its place."
    SP004 Error "a file that the loader rejects hides a library"
        "A file that is no library of this kind ends the search: the loader dies of it and never sees the good one behind it."
        "Remove or replace the file."
    SP005 Error "a symbol version is not defined"
        "The loader refuses the program with \"version not found\": the library is older than the one it was linked with."
        "Take the library from the release that the program was built on, or build the program on this one."
    SP006 Error "glibc and musl meet in one process"
        "The two C libraries define the same names differently; a process with both crashes, or does not start."
        "Use builds for one C library only."
    SP007 Warning "a library is found through LD_LIBRARY_PATH only"
        "It is lost as soon as the variable is not set: under sudo, in a setuid program, from a service manager."
        "Link with -Wl,-rpath, or move the library to a folder that the loader searches by itself."
    SP008 Warning "the loader's cache names a file that is gone"
        "The loader tries it in vain; something removed a library and did not run ldconfig."
        "Run ldconfig as the last step that changes libraries."
    SP009 Warning "a library in a configured folder is not in the loader's cache"
        "glibc's loader reads the cache, never ld.so.conf: the library is not found."
        "Run ldconfig as the last step that changes libraries."
    SP010 Warning "two different files answer to one library name"
        "Which one a program gets depends on who asks first, or on the order of folders."
        "Keep one of them."
    SP011 Warning "a library is found only because another object loaded it before"
        "The requester's own search path does not lead to it; with another order of libraries it is missing."
        "Give the requester a search path of its own (-Wl,-rpath)."
    SP012 Info "a variant for newer processors stands beside a library"
        "On such a processor another file is loaded than on the one it was tested on."
        "Nothing, if that is meant."
    SP013 Warning "an object needs a newer processor than the image's platform"
        "The loader refuses it on an older processor with \"CPU ISA level is lower than required\"."
        "Build it for the baseline, or give the image its variant (linux/amd64/v3)."
    SP014 Warning "a library that an object opens by itself is missing"
        "The object says in a note what it opens with dlopen; without it a feature fails, or the program does."
        "Add one of the libraries that the note names."
    SP015 Warning "a symbol is defined by no library of the program"
        "Bound at load, the program does not start; bound lazily, it ends when the function is first called."
        "Link with the library that defines it, or use the version of the library that does."
    SP016 Info "a library is needed and nothing of it is used"
        "It is loaded, and carried, for nothing."
        "Link with -Wl,--as-needed."
    SP017 Warning "a library to preload is missing"
        "The loader prints \"cannot be preloaded\" at every start of every program, and goes on without it."
        "Add the library, or remove its name from LD_PRELOAD or /etc/ld.so.preload."
    SP101 Warning "a search path has an empty or relative element"
        "It means the current folder: whoever can write there chooses the program's libraries."
        "Write absolute folders, or $ORIGIN."
    SP102 Warning "others may write a folder that libraries are searched in"
        "Whoever can write there chooses the program's libraries."
        "Remove the permission, or the folder from the search path."
    SP103 Warning "a search path leads to a build tree"
        "The folder is that of the machine the program was built on: it is not there, or somebody else's."
        "Remove it when installing (patchelf --remove-rpath, CMAKE_INSTALL_RPATH)."
    SP104 Warning "DT_RPATH is ignored because DT_RUNPATH is present"
        "The loader reads only the second; the folders of the first are not searched."
        "Keep one of them."
    SP105 Warning "a search path has a token that this C library does not expand"
        "glibc takes an unknown token literally, musl drops the whole path."
        "Use $ORIGIN; with glibc also $LIB and $PLATFORM."
    SP106 Warning "a library is needed by a path instead of a name"
        "A path is opened as it is, without a search; a relative one depends on the current folder."
        "Give the library a soname (-Wl,-soname) and link again."
    SP107 Warning "/etc/ld.so.preload loads something into every program"
        "It changes all programs, and is a common way to hide in a system."
        "Remove it, unless it is meant."
    SP201 Warning "memory that can be written and executed"
        "A bug that writes memory becomes one that runs code."
        "Link with -Wl,-z,noexecstack and without -N."
    SP202 Warning "text relocations"
        "Code is made writable while the object is loaded; hardened kernels refuse it."
        "Compile with -fPIC."
    SP203 Info "a program without the usual protections"
        "PIE, RELRO and immediate binding make bugs harder to use."
        "Link with -pie -Wl,-z,relro,-z,now."
    SP204 Info "debug information or a symbol table is left in"
        "It is carried and never loaded."
        "Strip it, or pack with --strip."
    SP301 Error "a blob is not what the manifest says"
        "Its digest, its size or its type differ: engines refuse the image."
        "Fetch or build the image again."
    SP302 Error "the entrypoint cannot be started"
        "It is missing, not executable, or for another machine than the configuration says."
        "Name a program that is in the image, or build it for the image's platform."
    SP303 Error "the interpreter of a script is missing"
        "The kernel answers \"no such file or directory\" for the script, though the script is there."
        "Add the interpreter, or correct the first line."
    SP304 Warning "a symbolic link leads nowhere"
        "Whatever opens it fails."
        "Add what it points to, or remove the link."
    SP305 Warning "a setuid or setgid program, or one with file capabilities"
        "Whoever runs it gets its owner's rights."
        "Remove the bit (chmod a-s) where the image does not need it."
    SP306 Info "bytes that are carried in vain"
        "A later layer hides them, or another file holds the same."
        "Remove files in the layer that adds them; keep one copy, or hard links."
    SP307 Warning "an unsafe or doubtful name in a layer's archive"
        "Engines treat such members differently, and some refuse the image."
        "Write the layer with a tool that normalises names."
    SP308 Error "the image's user is not in its /etc/passwd"
        "Engines refuse to start a container as a user whose number they cannot find."
        "Add the user, or name it by number."
    SP401 Info "data that a program probably reads is absent"
        "It starts, and fails or misbehaves when it looks for the data."
        "Add the data if the program uses it."
}

/// The rule of that number.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// The number that somebody who wrote `id` may have meant.
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
        assert_eq!(RULES.len(), 37);
        assert_eq!(nearest("sp01"), Some("SP001"));
        assert_eq!(nearest("nonsense"), None);
    }
}
