//! Runs the fixtures of `c-tests/`: one named test for each file.
//!
//! A fixture is a C or C++ program that describes itself. Its directives are comments at the
//! start of lines, and are executed in order:
//!
//! ```text
//! //#Rule: TEXT            what the fixture pins; required, and the first directive
//! //#Compiler: NAME        compiler for the lines below: cc (default), c++, or a program
//! //#Library: OUT FLAGS    compile this file with -shared -fPIC -DLIBRARY -DLIB_<name>, where
//!                          <name> is OUT's file name up to the first dot without "lib"
//! //#Program: OUT FLAGS    compile this file; the last one is the program under test
//! //#Sh: COMMAND           run a shell command in the fixture's directory
//! //#Test: FILE            the program under test, when it is not the last one compiled
//! //#Env: NAME=VALUE       environment of the program and of the loader
//! //#Root: DIR             the program is in this root: slimpack gets --root, and the loader
//!                          and the program run in a chroot
//! //#Args: FLAGS           flags for slimpack, for `tree` and for packing
//! //#Pack: FLAGS           flags for slimpack when packing
//! //#Oracle: KIND          the loader to compare with: glibc (LD_TRACE_LOADED_OBJECTS), musl
//!                          (`LOADER --list`), or none for static programs
//! //#ExpectFiles: N        regular files in the layer
//! //#ExpectPath: PATH      a path in the layer (repeatable)
//! //#ExpectAbsent: PATH    a path that is not in the layer (repeatable)
//! //#ExpectLinkage: WORD   `linkage` of `tree --json`
//! //#ExpectVia: NAME TEXT  how the object with this base name was found, in `tree --json`
//! //#ExpectMissing: NAME   missing libraries, compared with the loader's own (repeatable)
//! //#ExpectFatal: TEXT     the loader fails; slimpack prints TEXT about the file that it fails on
//! //#ExpectError: TEXT     packing ends with exit status 1 or 2 and prints TEXT
//! //#ExpectRefused: TEXT    the loader refuses the program and prints TEXT; packing ends with exit
//!                          status 1 and prints the text of //#ExpectError
//! //#ExpectSaid: TEXT       packing prints TEXT on standard error (repeatable)
//! //#NoRun                 the packed image is not run
//! ```
//!
//! FLAGS are split as in a shell, without expansion: `$ORIGIN` stays. `%D` is the fixture's
//! directory. Unless its directives say otherwise, a fixture is resolved and compared with its
//! oracle, object by object in load order; packed; its layer compared with the oracle's list; run
//! in runc; and its output compared with that of the program itself. An unknown directive fails.

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{fail_with, have, is_root, output, slimpack, succeed};

/// The exit status of a program on which its loader gives up.
const LOADER_FAILED: i32 = 127;

// One test per file, named after it: see build.rs.
include!(concat!(env!("OUT_DIR"), "/fixtures.rs"));

/// Builds and checks the fixture `file` of `c-tests/`.
fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("c-tests")
        .join(file);
    let checked = Fixture::read(&path).and_then(|fixture| fixture.build_and_check());
    if let Err(error) = checked {
        panic!("{file}: {error}");
    }
}

/// What is wrong with a fixture, or with the rule that it pins.
type Failed = Box<dyn std::error::Error>;

/// The directives of a fixture.
#[derive(Default)]
struct Fixture {
    source: PathBuf,
    steps: Vec<Step>,
    test: Option<String>,
    root: Option<String>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    pack: Vec<String>,
    oracle: String,
    files: Option<usize>,
    paths: Vec<String>,
    absent: Vec<String>,
    linkage: Option<String>,
    via: Vec<(String, String)>,
    missing: Vec<String>,
    fatal: Option<String>,
    error: Option<String>,
    refused: Option<String>,
    said: Vec<String>,
    no_run: bool,
}

enum Step {
    Compile {
        compiler: String,
        is_library: bool,
        out: String,
        flags: Vec<String>,
    },
    Shell(String),
}

impl Fixture {
    #[expect(clippy::too_many_lines, reason = "one arm for each directive")]
    fn read(path: &Path) -> Result<Self, Failed> {
        let mut fixture = Self {
            source: path.to_path_buf(),
            ..Self::default()
        };
        let mut compiler = if path.extension().is_some_and(|ext| ext == "cc") {
            "c++".to_owned()
        } else {
            "cc".to_owned()
        };
        let mut has_rule = false;
        for (number, line) in fs::read_to_string(path)?.lines().enumerate() {
            let Some(directive) = line.strip_prefix("//#") else {
                continue;
            };
            let place = format!("{}:{}", path.display(), number + 1);
            let (name, value) = directive.split_once(':').unwrap_or((directive, ""));
            let value = value.trim();
            if !has_rule && name != "Rule" {
                return Err(format!("{place}: the first directive is //#Rule").into());
            }
            let words =
                || shell_words::split(value).map_err(|error| format!("{place}: {value}: {error}"));
            let pair = |separator| {
                value
                    .split_once(separator)
                    .map(|(a, b)| (a.to_owned(), b.trim().to_owned()))
                    .ok_or(format!("{place}: {value} is no pair"))
            };
            match name {
                "Rule" => has_rule = true,
                "Compiler" => compiler = value.to_owned(),
                "Library" | "Program" => {
                    let mut flags = words()?;
                    if flags.is_empty() {
                        return Err(format!("{place}: an output is wanted").into());
                    }
                    let out = flags.remove(0);
                    let is_library = name == "Library";
                    if !is_library {
                        fixture.test = Some(out.clone());
                    }
                    fixture.steps.push(Step::Compile {
                        compiler: compiler.clone(),
                        is_library,
                        out,
                        flags,
                    });
                }
                "Sh" => fixture.steps.push(Step::Shell(value.to_owned())),
                "Test" => fixture.test = Some(value.to_owned()),
                "Root" => fixture.root = Some(value.to_owned()),
                "Env" => fixture.env.push(pair('=')?),
                "Args" => fixture.args.extend(words()?),
                "Pack" => fixture.pack.extend(words()?),
                "Oracle" => fixture.oracle = value.to_owned(),
                "ExpectFiles" => fixture.files = Some(value.parse()?),
                "ExpectPath" => fixture.paths.push(value.to_owned()),
                "ExpectAbsent" => fixture.absent.push(value.to_owned()),
                "ExpectLinkage" => fixture.linkage = Some(value.to_owned()),
                "ExpectVia" => fixture.via.push(pair(' ')?),
                "ExpectMissing" => fixture.missing.push(value.to_owned()),
                "ExpectFatal" => fixture.fatal = Some(value.to_owned()),
                "ExpectError" => fixture.error = Some(value.to_owned()),
                "ExpectRefused" => fixture.refused = Some(value.to_owned()),
                "ExpectSaid" => fixture.said.push(value.to_owned()),
                "NoRun" => fixture.no_run = true,
                _ => return Err(format!("{place}: unknown directive //#{name}").into()),
            }
        }
        if !has_rule {
            return Err(format!("{}: no //#Rule", path.display()).into());
        }
        Ok(fixture)
    }

    fn build_and_check(&self) -> Result<(), Failed> {
        let compilers: Vec<&str> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Compile { compiler, .. } if !["cc", "c++"].contains(&compiler.as_str()) => {
                    Some(compiler.as_str())
                }
                _ => None,
            })
            .collect();
        if !have(&compilers) || (self.root.is_some() && !is_root()) {
            return Ok(());
        }
        let temporary = common::temporary();
        // The loader prints real paths, so the directory must be one.
        let folder = fs::canonicalize(temporary.path())?;
        for step in &self.steps {
            self.carry_out(step, &folder);
        }
        let test = self.test.as_ref().ok_or("nothing to test")?;
        let program = folder.join(test);

        let expected = self.ask_oracle(&folder, &program)?;
        let tree = self.tree(&folder, &program);
        self.compare_with_oracle(&tree, expected.as_deref())?;
        self.check_tree(&folder, &tree)?;
        self.check_pack(&folder, &program, expected.as_deref())
    }

    fn carry_out(&self, step: &Step, folder: &Path) {
        let mut command = match step {
            Step::Shell(line) => {
                let mut command = Command::new("sh");
                command.arg("-ec").arg(line);
                command
            }
            Step::Compile {
                compiler,
                is_library,
                out,
                flags,
            } => {
                let out = folder.join(out);
                fs::create_dir_all(out.parent().unwrap()).unwrap();
                let mut command = Command::new(match compiler.as_str() {
                    "cc" => common::c_compiler(),
                    "c++" => common::cpp_compiler(),
                    other => other,
                });
                command.arg("-O1").arg(&self.source).arg("-o").arg(&out);
                if *is_library {
                    let name = out.file_name().unwrap().to_str().unwrap();
                    let stem = name.split('.').next().unwrap();
                    let stem = stem.strip_prefix("lib").unwrap_or(stem).replace('-', "_");
                    command.args(["-shared", "-fPIC", "-DLIBRARY"]);
                    command.arg(format!("-DLIB_{stem}"));
                }
                let folder = folder.to_str().unwrap();
                command.args(flags.iter().map(|flag| flag.replace("%D", folder)));
                command
            }
        };
        succeed(command.current_dir(folder));
    }

    /// A run of the program itself, in its root if it has one.
    fn direct(&self, folder: &Path, program: &Path) -> Command {
        let mut command = match &self.root {
            None => {
                let mut command = Command::new(program);
                command.current_dir(folder);
                command
            }
            Some(root) => self.in_root(folder, root, program),
        };
        for (name, value) in &self.env {
            command.env(name, value.replace("%D", folder.to_str().unwrap()));
        }
        command
    }

    fn in_root(&self, folder: &Path, root: &str, program: &Path) -> Command {
        let root = folder.join(root);
        let inside = Path::new("/").join(program.strip_prefix(&root).unwrap_or(program));
        common::in_chroot(&root, &inside)
    }

    fn with_args<'c>(
        &self,
        command: &'c mut Command,
        flags: &[String],
        folder: &Path,
    ) -> &'c mut Command {
        command
            .args(
                flags
                    .iter()
                    .map(|flag| flag.replace("%D", folder.to_str().unwrap())),
            )
            .current_dir(folder)
    }

    /// The flags shared by `tree` and packing.
    fn with_flags<'c>(
        &self,
        command: &'c mut Command,
        flags: &[String],
        folder: &Path,
    ) -> &'c mut Command {
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        for (name, value) in &self.env {
            let value = value.replace("%D", folder.to_str().unwrap());
            command.arg("-e").arg(format!("{name}={value}"));
        }
        self.with_args(command, flags, folder)
    }

    /// The loader's own list, one line for each object: `path`, or `! name` for a missing one.
    /// `None` if the loader fails, or if there is no loader.
    fn ask_oracle(&self, folder: &Path, program: &Path) -> Result<Option<Vec<String>>, Failed> {
        let mut command = match self.oracle.as_str() {
            "glibc" => {
                let mut command = self.direct(folder, program);
                command.env("LD_TRACE_LOADED_OBJECTS", "1");
                command
            }
            "musl" => {
                let tree = self.tree(folder, program);
                let loader = Path::new(tree["interpreter"]["requested"].as_str().unwrap());
                let mut command = self.direct(folder, loader);
                let root = folder.join(self.root.as_deref().unwrap_or_default());
                let inside = program.strip_prefix(&root).unwrap();
                let inside = match self.root {
                    Some(_) => Path::new("/").join(inside),
                    None => program.to_path_buf(),
                };
                command.arg("--list").arg(inside);
                command
            }
            "none" | "" => return Ok(None),
            other => return Err(format!("unknown oracle {other}").into()),
        };
        let output = output(&mut command);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        if self.fatal.is_some() {
            assert!(
                !output.status.success(),
                "the loader does not die\n{stdout}{stderr}"
            );
            return Ok(None);
        }
        // If something is missing, musl's --list fails, and reports it line by line.
        assert!(
            output.status.success() || !self.missing.is_empty(),
            "the loader dies\n{stdout}{stderr}"
        );
        let mut lines = common::traced_objects(&stdout, folder);
        for line in stderr.lines() {
            if let Some(rest) = line.strip_prefix("Error loading shared library ") {
                lines.push(format!("! {}", rest.split(':').next().unwrap()));
            }
        }
        Ok(Some(lines))
    }

    fn tree(&self, folder: &Path, program: &Path) -> serde_json::Value {
        let mut command = slimpack();
        command.args(["tree", "--json"]);
        let output = output(
            self.with_flags(&mut command, &self.args, folder)
                .arg(program),
        );
        let expected = i32::from(!self.missing.is_empty() || self.fatal.is_some());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "tree: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn compare_with_oracle(
        &self,
        tree: &serde_json::Value,
        expected: Option<&[String]>,
    ) -> Result<(), Failed> {
        let mut missing: Vec<String> = common::strings(&tree["missing"], "name");
        if let Some(text) = &self.fatal {
            let tried = tree["missing"].to_string();
            if !tried.contains(text.as_str()) {
                return Err(format!("nothing of {text:?} in {tried}").into());
            }
            return Ok(());
        }
        let mut declared = self.missing.clone();
        missing.sort();
        declared.sort();
        if missing != declared {
            return Err(format!("missing {missing:?}, the fixture expects {declared:?}").into());
        }
        let Some(expected) = expected else {
            return Ok(());
        };
        let interpreter = tree["interpreter"]["requested"].as_str();
        let mut found: Vec<String> = common::strings(&tree["objects"], "opened_as");
        found.retain(|path| Some(path.as_str()) != interpreter);
        let (lost, loaded): (Vec<_>, Vec<_>) =
            expected.iter().partition(|line| line.starts_with("! "));
        let loaded: Vec<String> = loaded
            .into_iter()
            .filter(|path| Some(path.as_str()) != interpreter)
            .cloned()
            .collect();
        if found != loaded {
            return Err(format!("slimpack {found:#?}\nloader {loaded:#?}").into());
        }
        let mut lost: Vec<_> = lost.iter().map(|line| line[2..].to_owned()).collect();
        lost.sort();
        lost.dedup();
        if lost != missing {
            return Err(format!("missing: slimpack {missing:?}, loader {lost:?}").into());
        }
        Ok(())
    }

    fn check_tree(&self, folder: &Path, tree: &serde_json::Value) -> Result<(), Failed> {
        if let Some(linkage) = &self.linkage
            && tree["linkage"] != linkage.as_str()
        {
            return Err(format!("linkage {}, expected {linkage}", tree["linkage"]).into());
        }
        for (name, text) in &self.via {
            let text = &text.replace("%D", folder.to_str().unwrap());
            let object =
                tree["objects"].as_array().unwrap().iter().find(|object| {
                    Path::new(object["opened_as"].as_str().unwrap()).ends_with(name)
                });
            let via = object.ok_or(format!("no object {name}"))?["found_via"]
                .as_str()
                .unwrap();
            if via != text {
                return Err(format!("{name} found via {via:?}, expected {text:?}").into());
            }
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one check for each expectation of a fixture"
    )]
    fn check_pack(
        &self,
        folder: &Path,
        program: &Path,
        expected: Option<&[String]>,
    ) -> Result<(), Failed> {
        let archive = folder.join("image.tar");
        let mut pack = slimpack();
        self.with_flags(&mut pack, &self.args, folder);
        self.with_args(&mut pack, &self.pack, folder);
        // Only the files that the loader opens count.
        pack.arg("--without=package-records");
        pack.arg(program).arg("-o").arg(&archive);
        if let Some(text) = &self.refused {
            let direct = output(&mut self.direct(folder, program));
            let stderr = String::from_utf8_lossy(&direct.stderr);
            assert!(!direct.status.success(), "the program starts\n{stderr}");
            assert!(
                stderr.contains(text.as_str()),
                "nothing of {text:?} in {stderr}"
            );
        }
        if let Some(text) = &self.error {
            let is_verdict =
                !self.missing.is_empty() || self.fatal.is_some() || self.refused.is_some();
            let stderr = fail_with(if is_verdict { 1 } else { 2 }, &mut pack);
            if !stderr.contains(text.as_str()) {
                return Err(format!("nothing of {text:?} in {stderr}").into());
            }
            assert!(!archive.exists(), "an error and an output");
            return Ok(());
        }
        let packed = output(&mut pack);
        let stderr = String::from_utf8_lossy(&packed.stderr);
        assert!(packed.status.success(), "{pack:?}\n{stderr}");
        for text in &self.said {
            assert!(
                stderr.contains(text.as_str()),
                "nothing of {text:?} in {stderr}"
            );
        }
        // A packed image passes lint.
        if !self
            .args
            .iter()
            .chain(&self.pack)
            .any(|flag| flag == "--allow-missing")
        {
            succeed(slimpack().args(["lint", "-q"]).arg(&archive));
        }
        let layer = common::layer(&archive);
        let files = layer
            .values()
            .filter(|node| node.starts_with("file "))
            .count();
        if let Some(expected) = self.files {
            assert_eq!(files, expected, "{layer:#?}");
        }
        if let Some(expected) = expected.filter(|_| self.root.is_none()) {
            let mut real: Vec<PathBuf> = expected
                .iter()
                .filter(|line| !line.starts_with("! "))
                .map(|path| fs::canonicalize(path).unwrap())
                .collect();
            real.sort();
            real.dedup();
            assert_eq!(
                files,
                real.len() + 1,
                "the program and {real:#?}, not {layer:#?}"
            );
        }
        for path in &self.paths {
            assert!(layer.contains_key(path), "no {path} in {layer:#?}");
        }
        for path in &self.absent {
            assert!(!layer.contains_key(path), "{path} in {layer:#?}");
        }
        if self.no_run || !have(common::CONTAINER_TOOLS) || !is_root() {
            return Ok(());
        }
        let direct = output(&mut self.direct(folder, program));
        // What the loader refuses here it refuses in the image, too: a run would prove nothing.
        let stderr = String::from_utf8_lossy(&direct.stderr);
        assert_ne!(direct.status.code(), Some(LOADER_FAILED), "{stderr}");
        let packed = common::run_image(&archive, &[]);
        let said = |output: &std::process::Output| {
            (
                String::from_utf8_lossy(&output.stdout).into_owned(),
                output.status.code(),
            )
        };
        assert_eq!(
            said(&packed),
            said(&direct),
            "{}",
            String::from_utf8_lossy(&packed.stderr)
        );
        Ok(())
    }
}
