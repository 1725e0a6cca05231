//! Text and tables that are neither objects nor images.
//!
//! In: the bytes of one file, or of several. Out: nothing; the parsers return.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use slimpack::closure::{Closure, Program};
use slimpack::config::Config;
use slimpack::elf::{Object, Payload};
use slimpack::exec::{
    Interpreters, TELLING, command_line, commands_in, describe, shebang, started_by,
};
use slimpack::image::Tag;
use slimpack::image::read::Fault;
use slimpack::lint::{self, Baseline, Ignore, Policy};
use slimpack::loader::{Environment, Loaders};
use slimpack::needs::{self, Process, RULES, RuleMemo, Selection, Supply};
use slimpack::packages::{NotedPackage, Packages, PackedFile, Records, RpmManifest, records};
use slimpack::trace::Recording;
use slimpack::vfs::memory::MemoryVfs;
use slimpack::vfs::{View, one_line, safe};

use crate::elf::{GLIBC, object, view};
use crate::parts;

/// Calls `look` with a program in this view.
fn with_process(view: &View, path: &str, arguments: &[String], look: impl FnOnce(&Process<'_>)) {
    let Ok(program) = Program::find(view, Path::new(path)) else {
        return;
    };
    let environment = Environment::default();
    let Ok(closure) = Closure::of(&program, view, &Loaders::default(), &environment) else {
        return;
    };
    look(&Process {
        view,
        closure: &closure,
        environment: &environment,
        env: &[],
        user: "app:app",
        arguments,
        script: None,
        is_packed: true,
        wants_hints: true,
        is_image: true,
        has_contents: true,
        brought: Arc::default(),
        memo: RuleMemo::default(),
    });
}

fn glibc_root() -> MemoryVfs {
    MemoryVfs::new()
        .file(GLIBC, object("", "ld-linux-x86-64.so.2", &[]))
        .file("/usr/lib/libc.so.6", object("", "libc.so.6", &[]))
        .file("/app", object(GLIBC, "", &["libc.so.6"]))
        .symlink("/lib", "/usr/lib")
}

/// The databases of dpkg, of distroless images, and of apk.
pub fn packages(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default().to_vec();
    let (status, list, stanza, sums, apk) = (next(), next(), next(), next(), next());
    let manifest = RpmManifest::parse(next()).ok();
    let databases = [
        MemoryVfs::new()
            .file("/var/lib/dpkg/status", status)
            .file("/var/lib/dpkg/info/zlib1g:amd64.list", list)
            .file("/var/lib/dpkg/status.d/zlib1g", stanza)
            .file("/var/lib/dpkg/status.d/zlib1g.md5sums", sums),
        MemoryVfs::new().file("/lib/apk/db/installed", apk),
    ];
    for database in databases {
        let view = view(database);
        let packages = Packages::read(&view);
        let _ =
            packages.map(|packages| packages.iter().map(|(_, files)| files.len()).sum::<usize>());
        let file = Path::new("/usr/lib/libz.so.1");
        let package = Records::of(&view).package_of(file);
        let _ = package.map(|package| package.has(file));
        let noted = NotedPackage {
            kind: "deb",
            name: "zlib",
            version: "1:1.2",
            architecture: None,
            os: None,
            os_cpe: None,
        };
        for note in [
            None,
            Some(noted),
            Some(NotedPackage {
                kind: "apk",
                ..noted
            }),
        ] {
            let packed = [PackedFile {
                source: file,
                image: file,
                is_changed: false,
                note,
            }];
            let _ = records(&view, &packed, None, manifest.as_ref(), &|_| None);
        }
    }
}

/// `gconv-modules` and a file of `gconv-modules.d`.
pub fn gconv(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default();
    let names = String::from_utf8_lossy(next()).into_owned();
    let names: Vec<String> = names.split('+').take(20).map(str::to_owned).collect();
    let vfs = glibc_root()
        .file("/usr/lib/gconv/gconv-modules", next())
        .file("/usr/lib/gconv/gconv-modules.d/extra.conf", next())
        .file("/usr/lib/gconv/UTF-16.so", "");
    let view = view(vfs);
    let rule = needs::rule("gconv").expect("there is a need gconv");
    with_process(&view, "/app", &names, |process| {
        let _ = (rule.fires)(process);
        let _ = (rule.supply)(&Supply {
            source: &view,
            process,
            arguments: &names,
            is_image: false,
        });
    });
}

/// Data that programs read at run time: each need, on a small root with these files.
pub fn needs(data: &[u8]) {
    const FILES: [&str; 14] = [
        "/etc/passwd",
        "/etc/group",
        "/etc/nsswitch.conf",
        "/etc/services",
        "/etc/pam.d/other",
        "/etc/ssl/openssl.cnf",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/localtime",
        "/etc/hosts",
        "/usr/lib/locale/locale-archive",
        "/usr/share/zoneinfo/tzdata.zi",
        "/usr/bin/tool",
        "/usr/lib/app/plugins/plugin.so",
        "/etc/terminfo/x/xterm",
    ];
    let mut parts = parts(data);
    let words = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let words: Vec<String> = words
        .split_whitespace()
        .take(20)
        .map(str::to_owned)
        .collect();
    let program = parts.next().unwrap_or_default();
    let mut vfs = glibc_root().file("/usr/bin/program", program);
    for (path, part) in FILES.iter().zip(parts) {
        vfs = vfs.file(*path, part);
    }
    let view = view(vfs);
    for path in ["/app", "/usr/bin/program"] {
        with_process(&view, path, &words, |process| {
            for rule in RULES {
                let _ = (rule.fires)(process);
                let _ = rule.is_met.map(|is_met| is_met(process));
                for arguments in [&words[..], &[]] {
                    let _ = (rule.supply)(&Supply {
                        source: &view,
                        process,
                        arguments,
                        is_image: arguments.is_empty(),
                    });
                }
            }
            let _ = process.texts(0);
            let _ = needs::absent_paths(process);
        });
    }
}

/// Scripts: the shebang, the commands in them, and the words of a command line. A second part is
/// the `PATH`.
pub fn script(data: &[u8]) {
    let mut parts = parts(data);
    let data = parts.next().unwrap_or_default();
    let path = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let env = [format!("PATH={path}")];
    let start = &data[..data.len().min(TELLING as usize)];
    let _ = describe(start);
    if let Some(line) = shebang(data) {
        let _ = line.env_command();
    }
    let view = view(
        MemoryVfs::new()
            .file("/bin/sh", "")
            .file("/usr/bin/env", "")
            .file("/usr/bin/python3", "")
            .file("/script", data),
    );
    let _ = Interpreters::of(&view, &env, Path::new("/script"));
    let text = String::from_utf8_lossy(data);
    let script = Some(Path::new("/script"));
    let _ = commands_in(&text, script, &env, &|path| view.kind(path).is_some());
    let words: Vec<&str> = text.split_whitespace().collect();
    if let Some((first, rest)) = words.split_first() {
        let _ = command_line(first, rest);
    }
    let start = slimpack::exec::Start {
        env: env.to_vec(),
        working_dir: PathBuf::from("/"),
        ..Default::default()
    };
    let _ = started_by(&start, &view, &words);
}

/// A PyInstaller archive, after a program and the padding without which slimpack would not search
/// for one.
pub fn pyinstaller(data: &[u8]) {
    const LEAST: usize = 64 << 10;
    let mut program = object(GLIBC, "", &["libc.so.6"]);
    program.resize(program.len() + LEAST, 0);
    program.extend_from_slice(data);
    // The magic number is searched near the end, and mutations may have removed it.
    if let Ok(object) = Object::read(&program) {
        let _ = Payload::of(&object, &program);
    }
    let view = view(glibc_root().file("/bundle", program));
    let rule = needs::rule("bundle").expect("there is a need bundle");
    with_process(&view, "/bundle", &[], |process| {
        let _ = (rule.fires)(process);
        let _ = (rule.supply)(&Supply {
            source: &view,
            process,
            arguments: &[],
            is_image: false,
        });
    });
}

/// A recording of `slimpack trace`, or a log of strace; a parsed one can be written and read again.
pub fn trace(data: &[u8]) {
    let read = |mut bytes: &[u8]| Recording::read(&mut bytes, Path::new("/work"));
    let recording = match read(data) {
        Ok(recording) => recording,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let mut written = Vec::new();
    recording.write(&mut written).expect("memory takes all");
    let again = read(&written).expect("what was written can be read");
    assert_eq!(again.found.len(), recording.found.len());
}

/// `slimpack.toml`, and the findings that its policy ignores.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(config) = Config::parse(&text) else {
        return;
    };
    for (key, value) in config.image.iter().flat_map(|section| &section.0) {
        let _ = config.error_at(key.span(), "key").to_string();
        let _ = config.error_at(value.span(), "value").to_string();
    }
    let mut policy = Policy::default();
    let _ = policy.add_section(config.lint, false);
    let _ = lint::of_faults(&faults("a/b/c.so.1"), &policy);
}

/// A baseline of findings.
pub fn baseline(data: &[u8]) {
    let Ok(mut baseline) = Baseline::parse(data) else {
        return;
    };
    let mut found = lint::of_faults(&faults("a/b/c.so.1"), &Policy::default());
    found
        .findings
        .iter()
        .for_each(|finding| baseline.add(finding));
    let known = baseline.remove_known(&mut found.findings);
    assert!(known > 0 && found.findings.is_empty());
    let stale = baseline.stale(&Policy::default()).len();
    let written = baseline.to_json().expect("a map without other keys");
    let again = Baseline::parse(written.as_bytes()).expect("what was written can be read");
    assert_eq!(again.len(), baseline.len());
    assert!(stale <= baseline.len());
}

/// Arguments with a syntax of their own: `--ignore`, `--with`, `-t`.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for word in text.lines().take(100) {
        let _ = Tag::parse(word);
        let _ = Tag::for_program(word);
        let _ = Selection::default().add(word, true);
        let _ = Ignore::parse(word);
        let found = lint::of_faults(&faults(word), &Policy::default());
        let ignore = found.findings.iter().map(|finding| Ignore {
            rule: finding.rule,
            glob: Some(word.to_owned()),
        });
        let policy = Policy {
            ignore: ignore.collect(),
            ..Policy::default()
        };
        let _ = lint::of_faults(&faults("a/b/libaaaaaaaaaaaaaaaaaaaa.so.1"), &policy);
    }
    for text in [safe(&text).to_string(), one_line(&text)] {
        let is_harmless = |c: char| c == '\n' || c == '\t' || !c.is_control();
        assert!(text.chars().all(is_harmless), "{text:?}");
    }
}

fn faults(subject: &str) -> [Fault; 1] {
    [Fault {
        subject: subject.to_owned(),
        what: "digest",
        expected: String::new(),
        found: String::new(),
    }]
}
