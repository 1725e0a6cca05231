//! Shared by all integration tests: the built binary, temporary directories, external tools, and
//! running a packed image.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub use crate::harness::miss;

/// A run of the built binary, in a neutral environment.
pub fn slimpack() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slimpack"));
    for name in [
        "LD_LIBRARY_PATH",
        "SOURCE_DATE_EPOCH",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a command and returns its standard output; panics with all output if it fails.
pub fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that must end with `status`; returns its standard error.
pub fn fail_with(status: i32, command: &mut Command) -> String {
    let output = output(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{command:?}\n{stderr}");
    stderr
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    for _ in 0..100 {
        match command.output() {
            // A test in another thread was between fork and exec while this program was being
            // written, and its child keeps the file open for writing until then.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            result => {
                return result.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
            }
        }
    }
    panic!("{command:?} stays open for writing")
}

/// Both output streams of a run.
pub fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    unwrapped(&streams.map(|s| String::from_utf8_lossy(s)).concat())
}

/// Undoes the wrapping of messages at 80 columns.
pub fn unwrapped(text: &str) -> String {
    let mut joined = String::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("    ") {
            Some(rest) if !rest.starts_with(' ') && joined.ends_with('\n') => {
                joined.pop();
                joined.push(' ');
                joined.push_str(rest);
            }
            _ => joined.push_str(line),
        }
    }
    joined
}

/// Whether all of `tools` are installed. If one is missing, the test is [ignored](miss), whatever
/// it does next.
pub fn have(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| find(tool).is_none()).collect();
    for tool in &missing {
        miss(format!("{tool} is not installed"));
    }
    missing.is_empty()
}

/// The value of an environment variable for the tests. If it is not set, the test is
/// [ignored](miss).
pub fn given(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        miss(format!("{variable} is not set"));
    }
    value.map(PathBuf::from)
}

/// The path of an installed tool.
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(tool))
        .find(|candidate| candidate.is_file())
}

/// Whether this process may run containers. If not, the test is [ignored](miss).
pub fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        miss("it needs root".to_owned());
    }
    is_root
}

/// The C compiler found by the `cc` crate.
pub fn c_compiler() -> &'static str {
    compiler(env!("SLIMPACK_TEST_CC"))
}

/// The C++ compiler found by the `cc` crate.
pub fn cpp_compiler() -> &'static str {
    compiler(env!("SLIMPACK_TEST_CXX"))
}

fn compiler(found: &'static str) -> &'static str {
    match found.strip_prefix('!') {
        Some(reason) => panic!("no compiler for the fixtures: {reason}"),
        None => found,
    }
}

/// Compiles a program from source text.
pub fn compile(folder: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let file = folder.join(format!("{name}.c"));
    let program = folder.join(name);
    fs::write(&file, source).unwrap();
    succeed(
        Command::new(c_compiler())
            .arg("-O2")
            .arg(&file)
            .arg("-o")
            .arg(&program)
            .args(flags),
    );
    program
}

/// A program whose library was removed.
pub fn incomplete(folder: &Path) -> PathBuf {
    let flags = ["-shared", "-Wl,-soname,libgone.so"];
    let library = compile(folder, "libgone.so", "int gone;", &flags);
    let source = "extern int gone; int main(void) { return gone; }";
    let program = compile(folder, "incomplete", source, &[library.to_str().unwrap()]);
    fs::remove_file(library).unwrap();
    program
}

/// The hello world of every introduction.
pub const HELLO: &str = r#"
#include <stdio.h>
int main(int argc, char **argv) {
    printf("Hello, %s!\n", argc > 1 ? argv[1] : "world");
    return 0;
}
"#;

/// Whether a process has created a file in a directory or has one open there: an output has no name
/// until it is complete.
pub fn has_begun_in(folder: &Path, child: &std::process::Child) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id()));
    let mut open = open.into_iter().flatten().flatten();
    let folder = fs::canonicalize(folder).unwrap();
    open.any(|open| fs::read_link(open.path()).is_ok_and(|path| path.starts_with(&folder)))
}

/// A new directory, removed on drop.
pub fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("slimpack-test-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
}

/// A node of a layer, described in one line.
pub type Nodes = BTreeMap<String, String>;

/// The layer of a packed archive: `path → "file 0755 1234"`, `"link target"` or `"folder 0755"`.
pub fn layer(archive: &Path) -> Nodes {
    let mut outer = tar::Archive::new(fs::File::open(archive).unwrap());
    // The layer is the first file.
    let first = first_file(&mut outer);
    let mut nodes = Nodes::new();
    for entry in tar::Archive::new(first).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mode = header.mode().unwrap();
        let target = || entry.link_name().unwrap().unwrap().display().to_string();
        let text = match header.entry_type() {
            tar::EntryType::Regular => format!("file {mode:04o} {}", entry.size()),
            tar::EntryType::Directory => format!("folder {mode:04o}"),
            tar::EntryType::Symlink => format!("link {}", target()),
            tar::EntryType::Link => format!("same as {}", target()),
            other => panic!("{path} is {other:?}"),
        };
        assert!(nodes.insert(path.clone(), text).is_none(), "{path} twice");
    }
    nodes
}

/// One JSON document of an archive.
pub fn document(archive: &Path, name: &str) -> serde_json::Value {
    let mut outer = tar::Archive::new(fs::File::open(archive).unwrap());
    for entry in outer.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(name) {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            return serde_json::from_str(&text).unwrap();
        }
    }
    panic!("{} has no {name}", archive.display());
}

/// The image configuration of an archive.
pub fn image_config(archive: &Path) -> serde_json::Value {
    let manifest = document(archive, "manifest.json");
    document(archive, manifest[0]["Config"].as_str().unwrap())
}

/// The tools that [`run_image`] needs.
pub const CONTAINER_TOOLS: &[&str] = &["tar", "umoci", "runc"];

/// Runs a packed archive in runc, without a network; `arguments` replace its command, if there are
/// any.
pub fn run_image(archive: &Path, arguments: &[&str]) -> Output {
    let (_folder, mut command) = container(archive, arguments, |_| {});
    output(&mut command)
}

/// The same, with this machine's network, so that servers on its loopback interface can be reached.
pub fn run_image_beside(archive: &Path, arguments: &[&str]) -> Output {
    let (_folder, mut command) = container_beside(archive, arguments);
    output(&mut command)
}

/// A command that runs a packed archive with this machine's network, while the directory exists.
pub fn container_beside(archive: &Path, arguments: &[&str]) -> (tempfile::TempDir, Command) {
    container(archive, arguments, |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        give_capabilities(config);
        // The kernel refuses to mount sysfs for a network namespace that the container does not
        // own.
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| {
            mount["destination"] != "/sys" && mount["destination"] != "/sys/fs/cgroup"
        });
    })
}

/// Runs a packed archive in runc, without a network and with docker's default capabilities.
pub fn run_image_as_docker(archive: &Path, arguments: &[&str]) -> Output {
    let (_folder, mut command) = container_as_docker(archive, arguments);
    output(&mut command)
}

/// A command that does so, while the directory exists.
pub fn container_as_docker(archive: &Path, arguments: &[&str]) -> (tempfile::TempDir, Command) {
    container(archive, arguments, give_capabilities)
}

/// The default capabilities of docker and podman.
fn give_capabilities(config: &mut serde_json::Value) {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_NET_BIND_SERVICE",
        "CAP_KILL",
    ];
    for set in ["ambient", "inheritable"] {
        config["process"]["capabilities"][set] = serde_json::json!([]);
    }
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = capabilities.into();
    }
}

/// A command that runs a packed archive in runc with docker's capabilities and these, where
/// programs may gain privileges; the bundle is in the directory.
pub fn container_with(archive: &Path, more: &[&str]) -> (tempfile::TempDir, Command) {
    container(archive, &[], |config| {
        give_capabilities(config);
        let process = &mut config["process"];
        process["noNewPrivileges"] = false.into();
        for set in ["bounding", "permitted"] {
            let list = process["capabilities"][set].as_array_mut().unwrap();
            list.extend(more.iter().map(|name| (*name).into()));
        }
    })
}

fn container(
    archive: &Path,
    arguments: &[&str],
    change: impl FnOnce(&mut serde_json::Value),
) -> (tempfile::TempDir, Command) {
    let unpacked = temporary();
    let layout = unpacked.path().join("layout");
    fs::create_dir(&layout).unwrap();
    succeed(
        Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(&layout),
    );
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let tag = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].clone();
    bundle(&layout, tag.as_str().unwrap(), arguments, change)
}

/// Runs one image of an OCI layout in runc, without a network.
pub fn run_layout(layout: &Path, tag: &str, arguments: &[&str]) -> Output {
    let (_folder, mut command) = bundle(layout, tag, arguments, |_| {});
    output(&mut command)
}

fn bundle(
    layout: &Path,
    tag: &str,
    arguments: &[&str],
    change: impl FnOnce(&mut serde_json::Value),
) -> (tempfile::TempDir, Command) {
    let folder = temporary();
    let bundle = folder.path().join("bundle");
    succeed(
        Command::new("umoci")
            .arg("unpack")
            .arg("--image")
            .arg(format!("{}:{tag}", layout.display()))
            .arg(&bundle),
    );
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let process = config["process"].as_object_mut().unwrap();
    process.remove("rlimits");
    process.insert("terminal".into(), false.into());
    if !arguments.is_empty() {
        process.insert("args".into(), arguments.into());
    }
    change(&mut config);
    fs::write(&path, config.to_string()).unwrap();
    let id = folder.path().file_name().unwrap().to_owned();
    let mut command = Command::new("runc");
    command
        .arg("--root")
        .arg(folder.path().join("state"))
        .args([OsStr::new("run"), OsStr::new("--bundle")])
        .arg(&bundle)
        .arg(id);
    (folder, command)
}

/// A run of `program`, a path inside `root`, with that root directory. Unlike with `chroot(8)`, the
/// environment of the command applies only to the program.
pub fn in_chroot(root: &Path, program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    let root = root.to_path_buf();
    let enter = move || {
        std::os::unix::fs::chroot(&root)?;
        std::env::set_current_dir("/")
    };
    #[expect(
        unsafe_code,
        reason = "the standard library has no stable way to change the root"
    )]
    // SAFETY: only two system calls are made between fork and exec.
    unsafe {
        command.pre_exec(enter)
    };
    command
}

/// `hello`, compiled dynamically once per test binary.
pub fn hello() -> &'static Path {
    static HELLO_PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = HELLO_PROGRAM.get_or_init(|| {
        let folder = temporary();
        let program = compile(folder.path(), "hello", HELLO, &[]);
        (folder, program)
    });
    program
}

/// The list printed by a loader (`LD_TRACE_LOADED_OBJECTS`, `--list`): the path of each object in
/// load order, `! name` for a missing one, without the vDSO. Relative paths start from
/// `current_dir`.
pub fn traced_objects(listing: &str, current_dir: &Path) -> Vec<String> {
    let absolute = |path: &str| current_dir.join(path).display().to_string();
    listing
        .lines()
        .filter_map(|line| {
            let line = line.trim().strip_suffix(')').map_or(line.trim(), |line| {
                line.rsplit_once(" (0x").map_or(line, |(line, _)| line)
            });
            match line.split_once(" => ") {
                Some((name, "not found")) => Some(format!("! {name}")),
                Some((_, path)) => Some(absolute(path)),
                None if line.contains('/') => Some(absolute(line)),
                None => None,
            }
        })
        .collect()
}

/// The names in a directory, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The first regular file of an archive: the layer of an image that slimpack wrote.
pub fn first_file<R: Read>(archive: &mut tar::Archive<R>) -> tar::Entry<'_, R> {
    let mut members = archive.entries().unwrap().map(Result::unwrap);
    members
        .find(|member| member.header().entry_type().is_file())
        .unwrap()
}

/// Unpacks the layer of an archive into a new directory.
pub fn unpack_layer(archive: &Path, folder: &Path) {
    fs::create_dir(folder).unwrap();
    let mut outer = tar::Archive::new(fs::File::open(archive).unwrap());
    let first = first_file(&mut outer);
    tar::Archive::new(first).unpack(folder).unwrap();
}

/// One field of every object in a JSON list.
pub fn strings(values: &serde_json::Value, field: &str) -> Vec<String> {
    let values = values.as_array().unwrap().iter();
    values
        .map(|value| value[field].as_str().unwrap().to_owned())
        .collect()
}

/// The texts of a list.
pub fn strings_of(list: &serde_json::Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

/// A file of the repository.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Copies what a release is built from.
pub fn copy_source(to: &Path) {
    fs::create_dir(to).unwrap();
    let mut copy = Command::new("cp");
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "askama.toml",
        "build.rs",
        "release.sh",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "src",
        "crates",
        "fuzz",
        "xtask",
        "tests",
    ] {
        copy.arg("-r").arg(source(name));
    }
    succeed(copy.arg(to));
}
