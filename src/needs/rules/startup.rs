//! What an interpreter reads before the first line of a script.
//!
//! Python does not start without the modules that set up text encodings and `sys.path`
//! (`Lib/encodings`, `Lib/site.py`, `Modules/getpath.py`), Java not without its module image and its
//! virtual machine (`libjli`), Tcl not without `init.tcl` (`Tcl_Init(3)`). Ruby loads RubyGems before
//! every script and complains without it (`gem_prelude.rb`); Perl has even `strict` in a file
//! (`perlmodlib(1)`, pragmatic modules). They are a small part of each library, which is a need of its
//! own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::stdlib::{LanguageRuntime, PYTHON_LANDMARK, interpreter};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};
use crate::vfs::NodeKind;

/// What an interpreter starts with, relative to the directories of its library.
struct Minimum {
    language: &'static str,
    /// A file without which the library is not installed.
    landmark: &'static str,
    /// Files, and those that they import; some versions have some built in, or do not know them.
    files: &'static [&'static str],
    /// Directories, with all that is in them.
    trees: &'static [&'static str],
    /// Directories that have to be there, empty.
    empty: &'static [&'static str],
    /// Whether the first of several files of one name is the one that is read.
    reads_first: bool,
    /// Whether a program that only embeds the interpreter starts it, too.
    is_embedded: bool,
}

const MINIMA: [Minimum; 6] = [
    Minimum {
        language: "Python",
        landmark: PYTHON_LANDMARK,
        files: &[
            PYTHON_LANDMARK,
            "__future__.py",
            "_bootlocale.py",
            "_collections_abc.py",
            "_sitebuiltins.py",
            "_weakrefset.py",
            "abc.py",
            "codecs.py",
            "encodings/__init__.py",
            "encodings/aliases.py",
            "encodings/ascii.py",
            "encodings/latin_1.py",
            "encodings/utf_8.py",
            "genericpath.py",
            "io.py",
            "posixpath.py",
            "site.py",
            "stat.py",
            "types.py",
            "warnings.py",
        ],
        trees: &[],
        // Python finds its compiled modules by it, and complains if it is not there.
        empty: &["lib-dynload"],
        reads_first: false,
        is_embedded: true,
    },
    Minimum {
        language: "Perl",
        landmark: "strict.pm",
        files: &[
            "strict.pm",
            "warnings.pm",
            "warnings/register.pm",
            "base.pm",
            "bytes.pm",
            "bytes_heavy.pl",
            "Carp.pm",
            "Carp/Heavy.pm",
            "constant.pm",
            "Exporter.pm",
            "Exporter/Heavy.pm",
            "feature.pm",
            "integer.pm",
            "overload.pm",
            "overloading.pm",
            "parent.pm",
            "utf8.pm",
            "utf8_heavy.pl",
            "vars.pm",
        ],
        trees: &[],
        empty: &[],
        reads_first: true,
        is_embedded: false,
    },
    Minimum {
        language: "Ruby",
        landmark: "rubygems.rb",
        files: &[
            "rubygems.rb",
            "bundled_gems.rb",
            "did_you_mean.rb",
            "error_highlight.rb",
            "monitor.rb",
            "monitor.so",
            "rbconfig.rb",
            "enc/encdb.so",
            "enc/trans/transdb.so",
            "syntax_suggest/core_ext.rb",
        ],
        trees: &["rubygems", "did_you_mean", "error_highlight"],
        empty: &[],
        reads_first: false,
        is_embedded: false,
    },
    Minimum {
        language: "Tcl",
        landmark: "init.tcl",
        files: &["init.tcl", "auto.tcl", "package.tcl", "tclIndex", "tm.tcl"],
        trees: &[],
        empty: &[],
        reads_first: false,
        is_embedded: false,
    },
    // What a distribution split off is read as if it were built in.
    Minimum {
        language: "Node.js",
        landmark: "",
        files: &[],
        trees: &[],
        empty: &[],
        reads_first: false,
        is_embedded: true,
    },
    Minimum {
        language: "Java",
        landmark: "modules",
        files: &[
            "modules",
            "jvm.cfg",
            "libjava.so",
            "libjimage.so",
            "libnet.so",
            "libnio.so",
            "libverify.so",
            "libzip.so",
            "server/libjvm.so",
            "tzdb.dat",
        ],
        trees: &["security"],
        empty: &[],
        reads_first: false,
        is_embedded: true,
    },
];

pub(super) static RULE: NeedRule = NeedRule {
    name: "startup",
    mode: Mode::Automatic,
    what: "the modules with which an interpreter starts",
    sign: "the name or a library of Python, Perl, Ruby, Tcl, Node.js or Java, if the program or a script is started by it",
    adds: "what it reads before a script (Python, Perl and Tcl: 0.3 MB or less; Ruby: 2 MB; Java: its \
           modules and its virtual machine); --with stdlib adds the whole library",
    fires,
    supply,
    is_met: None,
};

fn minimum(process: &Process<'_>) -> Option<(LanguageRuntime, &'static Minimum)> {
    let found = interpreter(process)?;
    let minimum = MINIMA
        .iter()
        .find(|minimum| found.language.starts_with(minimum.language))?;
    let is_started = found.is_program || minimum.is_embedded;
    is_started.then_some((found, minimum))
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    let (found, minimum) = minimum(process)?;
    // However it comes in, as a command or for a script that is added: it has to start.
    if !process.is_packed && !found.is_program {
        return None;
    }
    // A library that is not installed is nothing to wonder about where little depends on it.
    let is_installed = minimum.is_embedded && !found.paths.is_empty()
        || directories(process, &found).any(|path| process.has_file(&path.join(minimum.landmark)));
    is_installed.then(|| Sign::new(found.object, format!("starts {}", found.language)))
}

/// The directories of the library, and those for one architecture in them.
fn directories(process: &Process<'_>, found: &LanguageRuntime) -> impl Iterator<Item = PathBuf> {
    let is_directory = |path: &PathBuf| process.view.kind(path) == Some(NodeKind::Directory);
    let mut all: Vec<PathBuf> = Vec::new();
    for path in found.paths.iter().filter(|path| is_directory(path)) {
        all.push(path.clone());
        let names = process.view.read_dir(path).unwrap_or_default();
        let inner = names.into_iter().map(|name| path.join(name));
        all.extend(inner.filter(|inner| process.has_file(&inner.join(RUBY_OF_MACHINE))));
    }
    all.into_iter()
}

/// What marks the directory of Ruby's library for one architecture.
const RUBY_OF_MACHINE: &str = "rbconfig.rb";

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let process = supply.process;
    let (found, minimum) = minimum(process).ok_or(Unmet::NotShown(
        "the program does not start an interpreter (Python, Perl, Ruby, Tcl, Node.js, Java)",
    ))?;
    // The settings of a virtual environment, and the release of a Java runtime, are files.
    let files = found.paths.iter().filter(|path| process.has_file(path));
    let mut additions: Vec<Addition> = files.cloned().map(Addition::File).collect();
    let mut had: BTreeSet<PathBuf> = BTreeSet::new();
    for path in directories(process, &found) {
        let below = |names: &'static [&'static str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| path.join(name)).collect();
            paths.into_iter()
        };
        let mut files: Vec<PathBuf> = below(minimum.files).collect();
        files.retain(|file| process.has_file(file));
        if minimum.reads_first {
            files.retain(|file| {
                file.strip_prefix(&path)
                    .is_ok_and(|name| had.insert(name.to_path_buf()))
            });
        }
        additions.extend(files.into_iter().map(Addition::File));
        let is_there = |directory: &PathBuf| process.view.walk(directory).is_ok();
        additions.extend(below(minimum.trees).filter(is_there).map(Addition::Tree));
        let empty = below(minimum.empty).filter(is_there);
        additions.extend(empty.map(|directory| Addition::Folder(directory, 0o755)));
    }
    let landmark = Path::new(minimum.landmark);
    let has_landmark =
        |addition: &Addition| matches!(addition, Addition::File(path) if path.ends_with(landmark));
    match additions.iter().any(has_landmark) {
        true => Ok(additions),
        false => Err(format!(
            "the standard library of {} is not installed",
            found.language
        )
        .into()),
    }
}
