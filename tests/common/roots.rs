//! Roots built in a test, what lint reports about them, and what their own loader does.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::common::{
    c_compiler, hello, in_chroot, is_root, output, slimpack, succeed, temporary, unpack_layer,
};

/// The compiler for musl.
pub const MUSL_GCC: &str = "musl-gcc";

/// The output of `slimpack lint --format json`.
pub struct Report {
    /// The exit status.
    pub status: i32,
    /// The document.
    pub json: Value,
    /// Standard error.
    pub stderr: String,
}

/// Lints with these arguments, in JSON.
pub fn lint<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Report {
    let mut command = slimpack();
    command.args(["lint", "--format", "json"]).args(arguments);
    let output = output(&mut command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout);
    Report {
        status: output.status.code().unwrap_or_else(|| panic!("{stderr}")),
        json: json.unwrap_or_else(|error| panic!("{command:?}: {error}\n{stderr}")),
        stderr,
    }
}

/// Prints one line per finding.
impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit status {}\n{}", self.status, self.stderr)?;
        self.findings().iter().try_for_each(|found| {
            let part = |name: &str| found[name].as_str().unwrap().to_owned();
            let [rule, severity, path] = ["rule", "severity", "path"].map(part);
            let (subject, message) = (part("subject"), part("message"));
            writeln!(f, "{rule} {severity} {path} {subject:?}: {message}")
        })
    }
}

impl Report {
    /// The findings in all targets.
    pub fn findings(&self) -> Vec<&Value> {
        let targets = self.json["targets"].as_array().unwrap().iter();
        targets
            .flat_map(|target| target["findings"].as_array().unwrap())
            .collect()
    }

    /// The findings of one rule.
    pub fn of(&self, rule: &str) -> Vec<&Value> {
        let mut found = self.findings();
        found.retain(|finding| finding["rule"] == rule);
        found
    }

    /// The only finding of a rule.
    pub fn only(&self, rule: &str) -> &Value {
        match self.of(rule)[..] {
            [found] => found,
            _ => panic!("not one {rule}: {self:?}"),
        }
    }

    /// The only finding of a rule about `subject`.
    pub fn about(&self, rule: &str, subject: &str) -> &Value {
        let mut found = self.of(rule);
        found.retain(|finding| finding["subject"] == subject);
        match found[..] {
            [found] => found,
            _ => panic!("not one {rule} about {subject:?}: {self:?}"),
        }
    }

    /// Fails if a rule has findings.
    pub fn is_silent(&self, rule: &str) {
        assert!(self.of(rule).is_empty(), "{rule} is found: {self:?}");
    }

    /// Fails if there is a finding of severity error.
    pub fn has_no_error(&self) {
        assert_eq!(self.json["summary"]["error"], 0, "{self:?}");
        assert_eq!(self.status, 0, "{self:?}");
    }
}

/// Fails unless `found` has every field of `expected`, with the same value; nested objects are
/// compared in the same way.
pub fn assert_has(found: &Value, expected: &Value) {
    if let Some(difference) = difference(found, expected) {
        panic!("{difference}\n{found:#}");
    }
}

fn difference(found: &Value, expected: &Value) -> Option<String> {
    match expected {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            difference(&found[name], value).map(|rest| format!("{name}: {rest}"))
        }),
        _ => (found != expected).then(|| format!("{found} is not {expected}")),
    }
}

/// A temporary root directory.
pub struct Root {
    /// Its path, without symbolic links.
    pub path: PathBuf,
    compiler: &'static str,
    folder: tempfile::TempDir,
}

impl Root {
    fn new(compiler: &'static str) -> Self {
        let folder = temporary();
        let path = fs::canonicalize(folder.path()).unwrap().join("root");
        Self {
            path,
            compiler,
            folder,
        }
    }

    /// A root with only an empty `/usr/bin`.
    pub fn empty() -> Self {
        let root = Self::new(c_compiler());
        fs::create_dir_all(root.path.join("usr/bin")).unwrap();
        root
    }

    /// A root with the loader and the C library of this machine.
    pub fn glibc() -> Self {
        static BASE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
        let (_, base) = BASE.get_or_init(|| {
            let folder = temporary();
            let archive = folder.path().join("base.tar");
            succeed(slimpack().arg(hello()).arg("-o").arg(&archive));
            (folder, archive)
        });
        let root = Self::new(c_compiler());
        unpack_layer(base, &root.path);
        fs::remove_dir_all(root.path.join("usr/local")).unwrap();
        fs::create_dir_all(root.path.join("usr/bin")).unwrap();
        root
    }

    /// The same with `/usr/bin/app`, which needs the missing `libgone.so`.
    pub fn without_a_library() -> Self {
        let root = Self::glibc();
        root.library("lib/libgone.so", &[], &[]);
        root.program("usr/bin/app", &["gone"], &["-Llib", "-lgone"]);
        root.remove("lib/libgone.so");
        root
    }

    /// A root with musl's loader, whose programs are built for musl.
    pub fn musl() -> Self {
        Self::empty().with_musl()
    }

    /// Adds musl's loader; from here on, everything is built for musl.
    pub fn with_musl(mut self) -> Self {
        let loader = "lib/ld-musl-x86_64.so.1";
        self.make_room(loader);
        fs::copy(Path::new("/").join(loader), self.at(loader)).unwrap();
        self.compiler = MUSL_GCC;
        self
    }

    /// The path on this machine of a path in the root.
    pub fn at(&self, inside: &str) -> PathBuf {
        self.path.join(inside)
    }

    /// A path next to the root, in the directory that is removed with it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap().join(name)
    }

    /// Writes a file, and creates its parent directories.
    pub fn write(&self, inside: &str, contents: impl AsRef<[u8]>) {
        self.make_room(inside);
        fs::write(self.at(inside), contents).unwrap();
    }

    /// Creates a directory, and its parents.
    pub fn folder(&self, inside: &str) {
        fs::create_dir_all(self.at(inside)).unwrap();
    }

    /// Creates a symbolic link.
    pub fn link(&self, inside: &str, target: &str) {
        self.make_room(inside);
        std::os::unix::fs::symlink(target, self.at(inside)).unwrap();
    }

    /// Sets the permission bits.
    pub fn mode(&self, inside: &str, mode: u32) {
        fs::set_permissions(self.at(inside), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Removes a file.
    pub fn remove(&self, inside: &str) {
        fs::remove_file(self.at(inside)).unwrap();
    }

    /// Creates the parent directories of a path.
    pub fn make_room(&self, inside: &str) {
        fs::create_dir_all(self.at(inside).parent().unwrap()).unwrap();
    }

    /// Compiles C for this root. Relative paths in the flags start from the root.
    pub fn compile(&self, inside: &str, source: &str, flags: &[&str]) {
        self.compile_with(self.compiler, inside, source, flags);
    }

    /// The same, with another compiler.
    pub fn compile_with(&self, compiler: &str, inside: &str, source: &str, flags: &[&str]) {
        self.make_room(inside);
        let text = self.beside("source.c");
        fs::write(&text, source).unwrap();
        succeed(
            Command::new(compiler)
                .current_dir(&self.path)
                .args(["-O1", "-o", inside])
                .arg(&text)
                .args(flags),
        );
    }

    /// Compiles a library with one function, which calls others. The function is named after the
    /// file, without `lib` and without the part after the first dot.
    pub fn library(&self, inside: &str, calls: &[&str], flags: &[&str]) {
        let file = inside.rsplit('/').next().unwrap();
        let name = file.split('.').next().unwrap();
        let name = name.strip_prefix("lib").unwrap_or(name);
        let source = format!(
            "{}int {name}(void) {{ return 1{}; }}",
            declarations(calls),
            sum(calls)
        );
        let flags = [&["-shared", "-fPIC"], flags].concat();
        self.compile(inside, &source, &flags);
    }

    /// Compiles a program that calls library functions.
    pub fn program(&self, inside: &str, calls: &[&str], flags: &[&str]) {
        let source = format!(
            "{}int main(void) {{ return 0{} < 0; }}",
            declarations(calls),
            sum(calls)
        );
        self.compile(inside, &source, flags);
    }

    /// Lints the root.
    pub fn lint(&self) -> Report {
        self.lint_with(&[])
    }

    /// Lints the root, with further arguments.
    pub fn lint_with(&self, arguments: &[&str]) -> Report {
        let arguments = arguments.iter().map(OsStr::new);
        lint(arguments.chain([self.path.as_os_str()]))
    }

    /// Runs a program with this root directory; returns its output, or `None` if not permitted.
    pub fn start(&self, program: &str, env: &[(&str, &str)]) -> Option<Result<String, String>> {
        if !is_root() {
            return None;
        }
        let mut command = in_chroot(&self.path, Path::new(program));
        command.env_clear().envs(env.iter().copied());
        // Stands in for procfs: loaders read this link to determine $ORIGIN.
        self.link("proc/self/exe", program);
        let ended = command.output();
        fs::remove_dir_all(self.at("proc")).unwrap();
        Some(match ended {
            Err(error) => Err(error.to_string()),
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                match output.status.success() {
                    true => Ok(said),
                    false => Err(format!("{}\n{said}", output.status)),
                }
            }
        })
    }

    /// Fails unless the program starts and exits successfully.
    pub fn starts(&self, program: &str) {
        self.starts_with(program, &[]);
    }

    /// The same, with these environment variables.
    pub fn starts_with(&self, program: &str, env: &[(&str, &str)]) {
        if let Some(Err(said)) = self.start(program, env) {
            panic!("{program} does not start: {said}");
        }
    }

    /// Fails unless the program fails to start, for the reason `why`.
    pub fn does_not_start(&self, program: &str, why: &str) {
        match self.start(program, &[]) {
            Some(Ok(said)) => panic!("{program} starts: {said}"),
            Some(Err(said)) => assert!(said.contains(why), "{said}"),
            None => {}
        }
    }

    /// Fails unless the program's loader would find all libraries.
    pub fn finds_all(&self, program: &str, finds: bool) {
        let listed = self.start(program, &[("LD_TRACE_LOADED_OBJECTS", "1")]);
        if let Some(said) = listed {
            let said = said.unwrap();
            assert_eq!(!said.contains("not found"), finds, "{said}");
        }
    }
}

fn declarations(calls: &[&str]) -> String {
    let declared = calls.iter().map(|name| format!("int {name}(void); "));
    declared.collect()
}

fn sum(calls: &[&str]) -> String {
    calls.iter().map(|name| format!(" + {name}()")).collect()
}
