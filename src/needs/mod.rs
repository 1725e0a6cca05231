//! What programs read beside their libraries.
//!
//! In: nothing. Out: for each kind of data the symbols that speak of it, how far they reach, and
//! the paths at which it is found. Measured on the programs of a distribution; a sign is no
//! proof.

/// Whose symbols count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the program itself.
    Program,
    /// Those of anything it loads.
    Closure,
}

/// One kind of data.
#[derive(Debug)]
pub struct Need {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The functions that read it.
    pub symbols: &'static [&'static str],
    /// Whose symbols count.
    pub reach: Reach,
    /// Any of these paths is enough.
    pub paths: &'static [&'static str],
    /// A library that is opened by name; then no path counts.
    pub library: Option<&'static str>,
    /// Whether only glibc has it in files.
    pub glibc_only: bool,
}

const PLAIN: Need = Need {
    name: "",
    what: "",
    symbols: &[],
    reach: Reach::Program,
    paths: &[],
    library: None,
    glibc_only: false,
};

/// All kinds that are known.
pub static NEEDS: &[Need] = &[
    Need {
        name: "users",
        what: "users and groups (/etc/passwd)",
        symbols: &[
            "getpwnam",
            "getpwuid",
            "getpwnam_r",
            "getpwuid_r",
            "getgrnam",
            "getgrgid",
            "getgrnam_r",
            "getgrgid_r",
            "initgroups",
        ],
        paths: &["/etc/passwd"],
        ..PLAIN
    },
    Need {
        name: "tmp",
        what: "a folder for temporary files (/tmp)",
        symbols: &[
            "mkstemp",
            "mkstemp64",
            "mkostemp",
            "mkdtemp",
            "tmpfile",
            "tmpfile64",
            "tempnam",
        ],
        paths: &["/tmp"],
        ..PLAIN
    },
    Need {
        name: "hosts",
        what: "the name localhost (/etc/hosts)",
        symbols: &[
            "getaddrinfo",
            "gethostbyname",
            "gethostbyname_r",
            "gethostbyname2",
        ],
        paths: &["/etc/hosts"],
        ..PLAIN
    },
    Need {
        name: "ca-certificates",
        what: "certificates of authorities",
        symbols: &[
            "SSL_CTX_set_default_verify_paths",
            "SSL_CTX_set_default_verify_file",
            "SSL_CTX_set_default_verify_dir",
            "gnutls_certificate_set_x509_system_trust",
        ],
        reach: Reach::Closure,
        paths: &[
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/cert.pem",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/usr/lib/ssl/cert.pem",
        ],
        ..PLAIN
    },
    Need {
        name: "shell",
        what: "a shell (/bin/sh)",
        symbols: &["system", "popen", "wordexp"],
        paths: &["/bin/sh"],
        ..PLAIN
    },
    Need {
        name: "libgcc_s",
        what: "libgcc_s.so.1, which glibc opens when a thread ends early",
        symbols: &["pthread_cancel", "pthread_exit", "backtrace"],
        library: Some("libgcc_s.so.1"),
        glibc_only: true,
        ..PLAIN
    },
    Need {
        name: "terminfo",
        what: "descriptions of terminals (terminfo)",
        symbols: &["setupterm", "tgetent", "initscr", "newterm"],
        reach: Reach::Closure,
        paths: &["/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"],
        ..PLAIN
    },
];
