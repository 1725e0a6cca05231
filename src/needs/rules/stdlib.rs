//! The standard library of an interpreter.
//!
//! Each interpreter locates it in its own way, and slimpack does the same without running it:
//! Python by the landmark `os.py` in a directory above the real program, or above the one that
//! `pyvenv.cfg` names (`Modules/getpath.py`); Java by the directory of its launcher's library
//! (`src/java.base/unix/native/libjli`) and the file `release` above it; Perl, Ruby, PHP, Tcl and
//! Node.js by compiled-in paths (`perl -V`, `RbConfig`, `php --ini`). Node.js has its library built
//! in, except where a distribution split parts of it off.

use std::path::{Path, PathBuf};

use super::{is_straight, told_paths};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::{NodeKind, View};

/// Maximum number of directories that a sign lists.
const TOLD: usize = 3;
/// The file by which Python recognizes the directory of its library.
pub(super) const PYTHON_LANDMARK: &str = "os.py";
/// A part of Python's library that it starts without.
const PYTHON_PART: &str = "collections/__init__.py";
/// Parts of Python's library that are only for building, embedding or testing Python itself
/// (`sysconfig`'s LIBPL, package `test`).
const PYTHON_UNUSED: &[&str] = &["config-3*", "test"];
/// The same, and the packages that a virtual environment does not see.
const PYTHON_UNSEEN: &[&str] = &["config-3*", "test", "site-packages", "dist-packages"];
/// Where distributions install Python.
const PYTHON_PREFIXES: [&str; 2] = ["/usr", "/usr/local"];
/// Directories that contain no part of a standard library.
const ELSEWHERE: [&str; 2] = ["/var", "/usr/include"];
/// The file with the version and the modules of a Java runtime (JEP 223).
const JAVA_RELEASE: &str = "release";
/// The file that marks a directory as a Python virtual environment.
const PYTHON_ENVIRONMENT: &str = "pyvenv.cfg";
/// The modules of a Java runtime, in one file (JEP 220).
const JAVA_MODULES: &str = "lib/modules";
/// Largest `pyvenv.cfg` or `release` file that is read, in bytes.
const MAX_SETTINGS: u64 = 64 << 10;
/// The parts of a Java runtime, relative to its home; `jre` before Java 9.
const JAVA_PARTS: [&str; 4] = ["lib", "conf", "jre", JAVA_RELEASE];

/// A language whose interpreter contains the directories of its library as strings.
struct Compiled {
    language: &'static str,
    /// Prefix of the soname of its library.
    library: &'static str,
    /// Name of its program, which may be followed by a version.
    program: &'static str,
    /// A word that each of these directories has in its path.
    word: &'static str,
    /// Whether the library may be built into the program.
    may_be_whole: bool,
}

const COMPILED: [Compiled; 5] = [
    Compiled {
        language: "Perl",
        library: "libperl.so",
        program: "perl",
        word: "perl",
        may_be_whole: false,
    },
    Compiled {
        language: "Ruby",
        library: "libruby",
        program: "ruby",
        word: "ruby",
        may_be_whole: false,
    },
    Compiled {
        language: "PHP",
        library: "libphp",
        program: "php",
        word: "php",
        may_be_whole: false,
    },
    Compiled {
        language: "Tcl",
        library: "libtcl",
        program: "tclsh",
        word: "tcl",
        may_be_whole: false,
    },
    Compiled {
        language: "Node.js",
        library: "libnode.so",
        program: "node",
        word: "nodejs",
        may_be_whole: true,
    },
];

/// The name of this need.
pub(in crate::needs) const STDLIB: &str = "stdlib";

pub(super) static RULE: NeedRule = NeedRule {
    name: STDLIB,
    mode: Mode::Hint,
    what: "the standard library of an interpreter",
    sign: "the name or a library of Python, Perl, Ruby, PHP, Tcl, Node.js or Java",
    adds: "the rest of its library, without which most imports fail; modules come with what they load",
    fires,
    supply,
    is_met: Some(is_installed),
};

/// Whether the library is installed, as far as can be determined without the program's strings,
/// which are not kept for compressed layers.
fn is_installed(process: &Process<'_>) -> bool {
    if let Some(found) = python(process) {
        // More than what Python starts with.
        let mut parts = found.paths.iter().map(|path| path.join(PYTHON_PART));
        return parts.any(|part| process.has_file(&part));
    }
    java(process).is_none_or(|found| !found.paths.is_empty())
}

/// An interpreter: its language, the object that shows it, and the paths of its library.
pub(super) struct LanguageRuntime {
    pub language: String,
    pub object: usize,
    pub paths: Vec<PathBuf>,
    /// Whether the program is the interpreter itself, rather than one that loads its library.
    pub is_program: bool,
    /// What is left out of each of these directories.
    without: &'static [&'static str],
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed {
        return None;
    }
    let found = interpreter(process)?;
    if !found.paths.is_empty() && found.paths.iter().all(|path| process.brings(path)) {
        return None;
    }
    let text = match told_paths(found.paths.iter().map(PathBuf::as_path), TOLD) {
        Some(paths) => format!("runs {} from {paths}", found.language),
        None => format!("runs {}", found.language),
    };
    Some(Sign::new(found.object, text))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let found = interpreter(supply.process).ok_or(Unmet::NotShown(
        "the program is not an interpreter with a standard library (Python, Perl, Ruby, PHP, Tcl, \
             Node.js, Java)",
    ))?;
    if found.paths.is_empty() {
        return Err(format!(
            "the standard library of {} is not installed",
            found.language
        )
        .into());
    }
    let paths = found.paths.into_iter();
    Ok(paths
        .map(|path| match path.join(PYTHON_LANDMARK) {
            landmark if supply.process.has_file(&landmark) => Addition::Part {
                path,
                without: found.without,
            },
            _ => Addition::Tree(path),
        })
        .collect())
}

/// The paths of the program's standard library; empty if it is not an interpreter.
pub(super) fn paths<'p>(process: &'p Process<'_>) -> &'p [PathBuf] {
    process.memo.library.get_or_init(|| {
        interpreter(process)
            .map(|found| found.paths)
            .unwrap_or_default()
    })
}

pub(super) fn interpreter(process: &Process<'_>) -> Option<LanguageRuntime> {
    python(process).or_else(|| java(process)).or_else(|| {
        COMPILED
            .iter()
            .find_map(|language| compiled(process, language))
    })
}

/// The version in a file name: 3.11 in `python3.11`.
fn python_version(name: &str) -> Option<&str> {
    let rest = name
        .strip_prefix("libpython")
        .or_else(|| name.strip_prefix("python"))?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let version = rest[..end].trim_end_matches('.');
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (major == "3" && is_number(minor)).then_some(version)
}

fn python(process: &Process<'_>) -> Option<LanguageRuntime> {
    let program = &process.objects()[0];
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let by_name = name(&program.walk.real).filter(|name| name.starts_with("python"));
    let (object, name) = match by_name {
        Some(name) => (0, name),
        None => {
            let object = process.loaded("libpython3.")?;
            let soname = process.objects()[object].object.soname()?;
            (object, soname.to_str()?.to_owned())
        }
    };
    let version = python_version(&name)?;
    let library = Path::new("lib").join(format!("python{version}"));
    let environment = virtual_environment(process);
    // A virtual environment names its base installation; otherwise the real program's path counts.
    let start = match environment.as_ref().and_then(|found| found.home.as_deref()) {
        Some(home) => home,
        None => program.walk.real.parent()?,
    };
    let mut prefixes: Vec<&Path> = start.ancestors().collect();
    prefixes.extend(PYTHON_PREFIXES.map(Path::new));
    let has_landmark =
        |prefix: &&&Path| process.has_file(&prefix.join(&library).join(PYTHON_LANDMARK));
    let mut paths = Vec::new();
    if let Some(prefix) = prefixes.iter().find(has_landmark) {
        paths.push(prefix.join(&library));
    }
    // The packages installed in the virtual environment itself.
    let sees_all = environment.as_ref().is_none_or(|found| found.sees_packages);
    if let Some(environment) = environment {
        let folder = environment.folder;
        paths.push(folder.join(PYTHON_ENVIRONMENT));
        let packages = folder.join(&library);
        if !paths.contains(&packages) && process.view.kind(&packages).is_some() {
            paths.push(packages);
        }
    }
    Some(LanguageRuntime {
        language: format!("Python {version}"),
        object,
        paths,
        is_program: object == 0,
        without: match sees_all {
            true => PYTHON_UNUSED,
            false => PYTHON_UNSEEN,
        },
    })
}

/// A virtual environment of Python (PEP 405).
struct VirtualEnvironment {
    folder: PathBuf,
    /// The directory of the program that it was created from.
    home: Option<PathBuf>,
    /// Whether it sees the packages of its base installation.
    sees_packages: bool,
}

/// The virtual environment that the program is in.
fn virtual_environment(process: &Process<'_>) -> Option<VirtualEnvironment> {
    let program = &process.objects()[0].opened_as;
    let mut folders = program.ancestors().skip(1).take(2);
    let folder = folders.find(|folder| process.has_file(&folder.join(PYTHON_ENVIRONMENT)))?;
    let text = process
        .view
        .read(&folder.join(PYTHON_ENVIRONMENT), MAX_SETTINGS);
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let setting = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let home = setting("home").map(PathBuf::from);
    let sees_packages = setting("include-system-site-packages");
    Some(VirtualEnvironment {
        folder: folder.to_path_buf(),
        home: home.filter(|home| home.is_absolute()),
        sees_packages: sees_packages.is_some_and(|value| value.eq_ignore_ascii_case("true")),
    })
}

fn java(process: &Process<'_>) -> Option<LanguageRuntime> {
    let object = process.loaded("libjli.so")?;
    let library = &process.objects()[object].walk.real;
    // Above `lib`, or above `jre/lib/ARCH/jli` before Java 9; a runtime that was assembled by hand
    // may lack this file.
    let has_release = |home: &&Path| process.has_file(&home.join(JAVA_RELEASE));
    let has_modules = |home: &&Path| process.has_file(&home.join(JAVA_MODULES));
    let home = library.ancestors().skip(1).take(5).find(has_release);
    let home = home.or_else(|| library.ancestors().skip(1).take(2).find(has_modules))?;
    let release = process.view.read(&home.join(JAVA_RELEASE), MAX_SETTINGS);
    let release = String::from_utf8_lossy(&release.unwrap_or_default()).into_owned();
    let mut lines = release.lines();
    let version = lines.find_map(|line| line.strip_prefix("JAVA_VERSION="));
    let parts = JAVA_PARTS.iter().map(|part| home.join(part));
    let mut paths: Vec<PathBuf> = parts
        .filter(|path| process.view.walk(path).is_ok())
        .collect();
    // Debian keeps the configuration below /etc, and links to it.
    let mut configuration = linked_folders(process.view, &home.join("conf"));
    configuration.retain(|folder| folder.to_string_lossy().contains("java"));
    paths.extend(configuration);
    Some(LanguageRuntime {
        language: match version {
            Some(version) => format!("Java {}", version.trim_matches('"')),
            None => "Java".to_owned(),
        },
        object,
        paths,
        is_program: true,
        without: &[],
    })
}

/// The directories outside of `folder` that links in it point into.
fn linked_folders(view: &View, folder: &Path) -> Vec<PathBuf> {
    let names = view.read_dir(folder).unwrap_or_default();
    let targets = names
        .iter()
        .filter_map(|name| view.walk(&folder.join(name)).ok());
    let folders = targets.filter_map(|walk| Some(walk.real.parent()?.to_path_buf()));
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    folders.dedup();
    let real = view.walk(folder).map(|walk| walk.real.clone());
    folders.retain(|target| real.as_ref().is_ok_and(|real| !target.starts_with(real)));
    folders
}

fn compiled(process: &Process<'_>, language: &Compiled) -> Option<LanguageRuntime> {
    let name = process.objects()[0].walk.real.file_name()?.to_str()?;
    let version = name.strip_prefix(language.program);
    let is_program = version.is_some_and(|version| {
        version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
    });
    let object = match process.loaded(language.library) {
        Some(object) => object,
        None if is_program => 0,
        None => return None,
    };
    let texts = process.texts(object);
    let mut paths: Vec<PathBuf> = texts
        .words
        .iter()
        .filter(|text| text.starts_with('/') && text.contains(language.word))
        .map(|text| Path::new(text).components().collect::<PathBuf>())
        .filter(|path| {
            let is_elsewhere = ELSEWHERE.iter().any(|top| path.starts_with(top));
            path.components().count() > 2 && is_straight(path) && !is_elsewhere
        })
        .filter(|path| match process.view.kind(path) {
            Some(NodeKind::Directory) => true,
            // Parts that a distribution split off are single files.
            Some(NodeKind::File) => language.may_be_whole,
            _ => false,
        })
        .collect();
    paths.sort();
    // A path inside another directory is added with it.
    paths.dedup_by(|path, before| path.starts_with(before));
    if paths.is_empty() && language.may_be_whole {
        return None;
    }
    Some(LanguageRuntime {
        language: language.language.to_owned(),
        object,
        paths,
        is_program,
        without: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_python_stand_behind_names() {
        for (name, version) in [
            ("python3.11", Some("3.11")),
            ("libpython3.12.so.1.0", Some("3.12")),
            ("python3.13t", Some("3.13")),
            ("python", None),
            ("python2.7", None),
            ("python3.x", None),
        ] {
            assert_eq!(python_version(name), version, "{name}");
        }
    }
}
