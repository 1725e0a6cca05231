//! An example of every error that can be constructed from outside the crate, as users read it.

use std::any::type_name;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno as Os;
use slimpack::binding::BindingError;
use slimpack::closure::ClosureError;
use slimpack::config::{Config, ConfigError};
use slimpack::depfile::DepfileError;
use slimpack::elf::{ElfError, Malformed};
use slimpack::engine::EngineError;
use slimpack::exec::AccountKind;
use slimpack::image::LayerError;
use slimpack::image::read::{Fault, ReadError};
use slimpack::image::{ImageError, Tag};
use slimpack::lint::{Baseline, BaselineError, PolicyError};
use slimpack::loader::UnknownLoader;
use slimpack::needs::{NeedError, SelectionError};
use slimpack::output::OutputError;
use slimpack::pack::{MissingLibrary, PackError};
use slimpack::packages::RpmManifestError;
use slimpack::proof::ProofError;
use slimpack::registry::{RegistryError, Said};
use slimpack::rootfs::{ProvideError, RootfsError};
use slimpack::run::SandboxError;
use slimpack::sbom::SbomError;
use slimpack::source::SourceError;
use slimpack::strip::LeftAlone;
use slimpack::trace::{LogError, TraceError};
use slimpack::trial::TrialError;
use slimpack::vfs::Errno;

use crate::messages::Told;

const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const LIBZ: &str = "/usr/lib/x86_64-linux-gnu/libz.so.1";
const BLOB: &str = "blobs/sha256/5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// All texts.
pub fn all() -> Vec<Told> {
    let mut all = elf();
    all.extend(closure());
    all.extend(proof());
    all.extend(tree());
    all.extend(writing());
    all.extend(reading());
    all.extend(words());
    all.extend(left_alone());
    all.extend(pack());
    all.extend(pack_of_many());
    all.extend(traces());
    all
}

/// The text of an error, with the names of its type and variant.
fn told<E: Error>(error: E) -> Told {
    let owner = type_name::<E>().rsplit("::").next().unwrap();
    let debug = format!("{error:?}");
    let variant = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap();
    let name = match variant == owner {
        true => owner.to_owned(),
        false => format!("{owner}::{variant}"),
    };
    (name, error.to_string())
}

fn damaged(what: Malformed) -> ElfError {
    let context = goblin::container::Ctx::default();
    ElfError::Malformed {
        header: Box::new(goblin::elf::header::Header::new(context)),
        what,
    }
}

fn traces() -> Vec<Told> {
    let error = || io::Error::from_raw_os_error(Os::PERM.raw_os_error());
    let command = || PathBuf::from("/usr/bin/app");
    vec![
        told(TraceError::Unsupported),
        told(TraceError::Execute {
            command: command(),
            error: error(),
        }),
        told(TraceError::Refused {
            command: command(),
            error: error(),
        }),
        told(TraceError::Io(error())),
        told(TraceError::Mounts("unshare -m true".to_owned())),
        told(TraceError::TooManyPaths),
        told(TraceError::NotStarted(command())),
        told(TraceError::Stopped),
        told(SandboxError::Forbidden(
            "the kernel has no user namespaces (CONFIG_USER_NS)".to_owned(),
        )),
        told(SandboxError::SetUp(
            "cannot mount /proc: Operation not permitted (os error 1)".to_owned(),
        )),
        told(SandboxError::NotExecuted {
            path: "/usr/bin/app".to_owned(),
            error: error(),
        }),
        told(SandboxError::Io(error())),
        told(TrialError::NoCommand),
        told(TrialError::UnknownUser {
            kind: AccountKind::User,
            name: "wbe".to_owned(),
            file: "/etc/passwd".into(),
            nearest: Some("web".to_owned()),
        }),
        told(LogError::Io(error())),
        told(LogError::Line {
            line: 3,
            column: 7,
            what: "the arguments of openat are unterminated".to_owned(),
        }),
        told(LogError::Empty),
    ]
}

fn elf() -> Vec<Told> {
    vec![
        told(ElfError::Empty),
        told(ElfError::NotElf(false)),
        told(ElfError::NotElf(true)),
        told(ElfError::TooShort(40)),
        told(ElfError::Class(7)),
        told(ElfError::Encoding(7)),
        told(ElfError::from(io::Error::from(
            io::ErrorKind::UnexpectedEof,
        ))),
        told(damaged(Malformed::SegmentTable)),
        told(Malformed::Truncated {
            needs: 15_776,
            has: 8_000,
        }),
        told(Malformed::SegmentTable),
        told(Malformed::SegmentEntrySize(64)),
        told(Malformed::Interpreter),
        told(Malformed::DynamicTable),
        told(Malformed::StringTable),
        told(Malformed::StringOffset("DT_NEEDED")),
        told(Malformed::NameTooLong("PT_INTERP")),
        told(Malformed::VersionTable),
        told(Malformed::SymbolTable),
        told(Malformed::HashTable),
        told(Malformed::RelocationTable),
        told(Malformed::TooManyDependencies(16_384)),
    ]
}

fn no_interpreter() -> ClosureError {
    ClosureError::NoInterpreter {
        path: "/lib/ld-musl-x86_64.so.1".into(),
        errno: Errno::NotFound,
        hint: "it is built for x86_64: install the C library it was linked with, or give a \
               directory that has it with --root"
            .into(),
    }
}

fn closure() -> Vec<Told> {
    vec![
        told(ClosureError::Unreachable(Errno::NotFound)),
        told(ClosureError::Unreachable(Errno::NotADirectory)),
        told(ClosureError::NotAFile("a directory")),
        told(ClosureError::NotLoadable("a core dump")),
        told(no_interpreter()),
        told(ClosureError::BadInterpreter {
            path: "/lib64/ld-linux-x86-64.so.2".into(),
            why: "it is for x86_64, the program is for aarch64".into(),
        }),
        told(ClosureError::TooManyObjects),
        told(UnknownLoader("/lib/ld-uClibc.so.0".into())),
        told(BindingError {
            path: LIBZ.into(),
            error: damaged(Malformed::SymbolTable),
        }),
    ]
}

fn differs() -> ProofError {
    ProofError::Differs {
        requester: "/usr/local/bin/app".into(),
        name: "libz.so.1".into(),
        found: "nothing".into(),
        expected: "/opt/app/lib/libz.so.1".into(),
        advice: "give the program a search path to it (-Wl,-rpath), or name its directory with \
                 -L /opt/app/lib so that the library moves to a directory the loader searches by \
                 default"
            .into(),
    }
}

fn proof() -> Vec<Told> {
    let version = |newest: Option<&str>| ProofError::Version {
        needer: "/usr/local/bin/app".into(),
        provider: LIBC.into(),
        version: "GLIBC_2.38".into(),
        newest: newest.map(OsString::from),
    };
    let symbol = |others| ProofError::Symbol {
        needer: LIBZ.into(),
        symbol: "crc32_z".into(),
        others,
    };
    vec![
        told(version(Some("GLIBC_2.36"))),
        told(version(None)),
        told(symbol(0)),
        told(symbol(2)),
        told(ProofError::Lint {
            rule: "SP014",
            message: "/usr/local/bin/app requires libpam.so.0 (logins), which it loads with \
                      dlopen but cannot find"
                .into(),
            fix: "Add one of the libraries that the note lists.".into(),
        }),
        told(ProofError::Broken {
            program: "/usr/local/bin/app".into(),
            error: no_interpreter(),
        }),
        told(differs()),
    ]
}

fn conflict() -> RootfsError {
    RootfsError::Conflict {
        path: "/usr/local/bin/lib/libinner.so".into(),
        first: "/home/me/one/lib/libinner.so".into(),
        second: "/home/me/other/lib/libinner.so".into(),
    }
}

fn tree() -> Vec<Told> {
    vec![
        told(SourceError::Root {
            path: "sysroot".into(),
            error: Os::NOENT.into(),
        }),
        told(SourceError::NoRootFor("arm64".into())),
        told(SourceError::NotAFolder("sysroot.tar".into())),
        told(conflict()),
        told(RootfsError::Whiteout("/etc/.wh.passwd".into())),
        told(RootfsError::Owner("/usr/bin/app".into())),
        told(RootfsError::TooManyLinks("/usr/lib/libz.so.1".into())),
        told(ProvideError::Source(
            "/etc/services".into(),
            Errno::AccessDenied,
        )),
        told(ProvideError::NoBusybox("/usr/bin/bash".into())),
        told(ProvideError::Rootfs(conflict())),
        told(NeedError::Absent {
            need: "tzdata",
            why: "the source has no time zone Europe/Berlyn (package tzdata)".into(),
        }),
        told(NeedError::NotShown {
            need: "openssl",
            why: "the program does not load libcrypto",
        }),
        told(NeedError::Path {
            path: "/run/app.sock".into(),
            why: "it is a device, socket or pipe; leave it out".into(),
        }),
        told(NeedError::Program {
            path: "/usr/bin/python3".into(),
            error: ClosureError::Unreachable(Errno::AccessDenied),
        }),
        told(NeedError::TooManyFiles("/usr/share".into())),
        told(NeedError::TooManyPrograms("/usr/lib".into())),
    ]
}

fn no_json() -> serde_json::Error {
    serde_json::from_str::<u8>("{}").unwrap_err()
}

#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn writing() -> Vec<Told> {
    vec![
        told(LayerError::Open {
            path: LIBZ.into(),
            errno: Errno::AccessDenied,
        }),
        told(LayerError::Read {
            path: LIBZ.into(),
            error: io::Error::other("it changed while being read"),
        }),
        told(ImageError::Settings(no_json().into())),
        told(ImageError::Changed),
        told(OutputError::NoFolder(
            "build/app.tar".into(),
            "build".into(),
        )),
        told(OutputError::IsFolder("build".into())),
        told(EngineError::None(
            "docker is not in PATH, and podman is not in PATH".into(),
        )),
        told(EngineError::Start {
            program: "/usr/bin/docker".into(),
            error: Os::ACCESS.into(),
        }),
        told(EngineError::Failed {
            engine: "docker",
            command: "save app:1".into(),
            said: "reference does not exist".into(),
            instead: None,
        }),
        told(EngineError::Failed {
            engine: "podman",
            command: "save app:1".into(),
            said: "app: image not known".into(),
            instead: Some("docker does not respond (cannot connect)".into()),
        }),
        told(RegistryError::Reference(
            "UPPER".into(),
            "invalid reference format".into(),
        )),
        told(RegistryError::Credentials {
            registry: "registry.example".into(),
            why: "/root/.docker/config.json: it is cut off".into(),
        }),
        told(RegistryError::Login {
            registry: "registry.example".into(),
            said: Said("unauthorized: authentication required".into()),
        }),
        told(RegistryError::Password {
            registry: "registry.example".into(),
            said: Said("unauthorized: authentication required".into()),
        }),
        told(RegistryError::Denied {
            registry: "registry.example".into(),
            said: Said("denied: permission_denied: write_package".into()),
        }),
        told(RegistryError::NoRepository {
            registry: "registry.example".into(),
            repository: "me/app".into(),
            said: Said("name unknown: repository name not known to registry".into()),
        }),
        told(RegistryError::Absent {
            what: "registry.example/app:1".into(),
            said: Said("manifest unknown".into()),
        }),
        told(RegistryError::Busy {
            registry: "registry.example".into(),
            said: Said("toomanyrequests: too many requests".into()),
            wait: Some(std::time::Duration::from_secs(60)),
        }),
        told(RegistryError::Trouble {
            registry: "registry.example".into(),
            said: Said("502 Bad Gateway".into()),
            wait: None,
        }),
        told(RegistryError::Refused {
            registry: "registry.example".into(),
            said: Said("name invalid: invalid repository name".into()),
        }),
        told(RegistryError::Unreachable {
            registry: "registry.example".into(),
            why: "Connection refused (os error 111)".into(),
        }),
        told(RegistryError::Cut {
            registry: "registry.example".into(),
            why: "operation timed out".into(),
        }),
        told(RegistryError::Late {
            registry: "registry.example".into(),
            after: std::time::Duration::from_secs(7200),
        }),
        told(RegistryError::Room {
            needed: 1 << 50,
            free: 1 << 30,
        }),
        told(RegistryError::Blob {
            digest: "sha256:0000".into(),
            why: "it is larger than its descriptor says, 12".into(),
        }),
        told(RegistryError::Client("no certificates".into())),
        told(RegistryError::Interrupted(2)),
        told(RegistryError::Manifest("a size is not a number".into())),
        told(RegistryError::Io(Os::NOSPC.into())),
        told(OutputError::NotOurs("root/".into())),
        told(ImageError::Temporary(Os::NOSPC.into())),
        told(ImageError::NoLayout("it has no oci-layout file".into())),
        told(OutputError::NotEmpty("root/".into())),
        told(OutputError::Io("app.tar".into(), Os::NOSPC.into())),
        told(DepfileError::LineBreak("./my\napp".into())),
        told(RpmManifestError::Line(7)),
        told(RpmManifestError::NoFiles),
        told(RpmManifestError::TooLarge),
    ]
}

fn reading() -> Vec<Told> {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let fault = |what| Fault {
        subject: BLOB.into(),
        what,
        expected: digest("0"),
        found: digest("1"),
    };
    vec![
        told(ReadError::Io(Os::NOENT.into())),
        told(ReadError::NotAnImage("an ELF file")),
        told(ReadError::Tar {
            within: "the archive".into(),
            what: "it is cut off inside a member (at byte 10240)".into(),
        }),
        told(ReadError::Document {
            name: "index.json".into(),
            why: "EOF while parsing an object at line 1 column 20".into(),
        }),
        told(ReadError::Absent {
            name: BLOB.into(),
            by: "index.json".into(),
        }),
        told(ReadError::Nested(8)),
        told(ReadError::NoSuchPlatform {
            wanted: "linux/arm64".into(),
            has: vec!["linux/amd64".into(), "linux/s390x".into()],
        }),
        told(ReadError::NoSuchImage {
            wanted: "app:2".into(),
            has: vec!["app:1".into(), "other:latest".into()],
        }),
        told(ReadError::NoSuchLayer { wanted: 3, has: 2 }),
        told(ReadError::SeveralImages {
            wanted: "latest".into(),
            has: vec!["app:latest".into(), "other:latest".into()],
        }),
        told(ReadError::Nameless),
        told(ReadError::Empty),
        told(ReadError::Limit {
            what: "it unpacks to more than this many times its size".into(),
            name: "ratio",
            limit: 200,
        }),
        told(ReadError::Integrity(vec![fault("digest")])),
        told(ReadError::Integrity(vec![fault("digest"); 12])),
        told(ReadError::Compression("it".into(), "bzip2".into())),
        told(ReadError::Path {
            path: "/blobs/sha256".into(),
            why: Errno::TooManyLinks.message(),
        }),
    ]
}

/// The errors about arguments and configurations.
fn words() -> Vec<Told> {
    let digest = format!("app@sha256:{}", "0".repeat(64));
    vec![
        told(Tag::parse("my app").unwrap_err()),
        told(Tag::parse(&digest).unwrap_err()),
        told(SelectionError::Unknown("host".into())),
        told(SelectionError::Unknown("database".into())),
        told(SelectionError::Arguments("users".into())),
        told(PolicyError::UnknownRule("SP0001".into())),
        told(PolicyError::UnknownRule("hardening".into())),
        told(PolicyError::NoReason("SP305".into())),
        told(PolicyError::BadRelease("2.x".into())),
        told(PolicyError::BadSize("20 megs".into())),
        told(BaselineError::Newer(2)),
        told(Baseline::parse(b"{\"schema\": 1,").err().unwrap()),
        told(Config::parse("[[images]]\nname = \"app\"\n").unwrap_err()),
        told(ConfigError::TooLarge),
        told(SbomError::File {
            path: "/usr/bin/app".into(),
            error: io::Error::other(Errno::AccessDenied.message()),
        }),
    ]
}

fn program(path: &str) -> PackError {
    PackError::Program {
        path: path.into(),
        error: ClosureError::Unreachable(Errno::NotFound),
    }
}

fn missing(name: &str, requester: &str) -> MissingLibrary {
    let tried = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];
    MissingLibrary {
        program: "./app".into(),
        name: name.into(),
        requesters: vec![requester.into()],
        tried: tried
            .map(|folder| format!("{folder}/{name}: {}", Errno::NotFound))
            .into(),
    }
}

fn left_alone() -> Vec<Told> {
    vec![
        told(LeftAlone::TooLarge),
        told(LeftAlone::Nothing),
        told(LeftAlone::NotLinked),
        told(LeftAlone::Misfit),
        told(LeftAlone::Appended(4_096)),
        told(LeftAlone::Unnamed(0x3000)),
        told(LeftAlone::Special("pydata".to_owned())),
        told(LeftAlone::Checksum(
            "/usr/lib/.libcrypto.so.3.hmac".to_owned(),
        )),
        told(LeftAlone::Enclosed),
        told(LeftAlone::Referred("a relocation table")),
        told(LeftAlone::Read(ElfError::Empty)),
    ]
}

fn pack() -> Vec<Told> {
    let not_text = OsStr::from_bytes(b"/usr/local/bin/caf\xe9");
    vec![
        told(PackError::NoEntrypoint {
            image: "app.tar".into(),
        }),
        told(PackError::EntrypointGone {
            image: "app.tar".into(),
            word: "nginx".to_owned(),
        }),
        told(program("./app")),
        told(PackError::NotProgram {
            path: "./app.tar".into(),
            what: "it is a tar archive; if it is an image, see slimpack inspect, or pack from it with --from",
        }),
        told(PackError::Script {
            path: "./run.sh".into(),
            why: "its interpreter /bin/zsh is not there".into(),
        }),
        told(PackError::Add {
            word: "app.conf".into(),
            why: "a relative path has no default place in the image; use SRC:DEST".into(),
        }),
        told(PackError::WorkingDir("/usr/bin/app".into())),
        told(PackError::Owner {
            kind: AccountKind::User,
            name: "www-dat".into(),
            file: "/etc/passwd".into(),
            known: vec!["root".into(), "www-data".into()],
        }),
        told(PackError::Incomplete(vec![missing("libbar.so.2", "./app")])),
        told(PackError::NotStatic {
            path: "./app".into(),
            why: "it requests the interpreter /lib64/ld-linux-x86-64.so.2 and needs libc.so.6"
                .into(),
        }),
        told(PackError::TooLarge {
            bytes: 2_179_008,
            limit: 1_000_000,
            largest: LIBC.into(),
            largest_bytes: 1_926_256,
            spared: vec![("--without users".to_owned(), 128)],
        }),
        told(PackError::NoPlatform {
            path: "./app".into(),
            machine: "sparc",
        }),
        told(PackError::Library("./libapp.so".into())),
        told(PackError::Entrypoint(
            "/app/run".into(),
            "/usr/local/bin/app".into(),
        )),
        told(PackError::NotText(PathBuf::from(not_text))),
        told(PackError::Rootfs(conflict())),
        told(PackError::Proof(Box::new(differs()))),
        told(PackError::Read("./app".into(), Errno::AccessDenied)),
        told(PackError::Image(io::Error::from(Os::NOSPC).into())),
        told(PackError::Image(ImageError::Changed)),
    ]
}

/// The errors about packing several programs, or none.
fn pack_of_many() -> Vec<Told> {
    vec![
        told(PackError::NoProgram),
        told(PackError::OneDestination {
            path: "/app".into(),
            count: 2,
        }),
        told(PackError::Platforms {
            first_path: "./app".into(),
            first: "linux/amd64".into(),
            path: "./tool".into(),
            second: "linux/arm64".into(),
        }),
        told(PackError::Several(vec![
            program("./app"),
            program("./tool"),
        ])),
        told(PackError::Incomplete(vec![
            missing("libbar.so.2", "./app"),
            missing("libfoo.so.1", "/usr/lib/libbar.so.1"),
        ])),
    ]
}
