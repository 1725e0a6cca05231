//! What an interpreter reads before the first line of a script.
//!
//! Python does not start without the modules that set up text encodings and `sys.path`
//! (`Lib/encodings`, `Lib/site.py`, `Modules/getpath.py`). They take a few hundred kilobytes; the
//! rest of its library is a need of its own.

use std::path::Path;

use super::stdlib::{PYTHON_LANDMARK, python};
use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply};

/// The modules and those that they import; some versions have some of them built in.
const MODULES: [&str; 20] = [
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
];
/// The directory by which Python finds its compiled modules; it complains if the directory is
/// missing.
const COMPILED: &str = "lib-dynload";

pub(super) static RULE: NeedRule = NeedRule {
    name: "startup",
    mode: Mode::Automatic,
    what: "the modules without which Python does not start",
    sign: "the name or the library of Python, if it is the program or runs the script",
    adds: "encodings, site, os and what they import (0.3 MB); --with stdlib adds the whole library",
    fires,
    supply,
    is_met: None,
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    if !process.is_packed {
        return None;
    }
    let found = python(process)?;
    (!found.paths.is_empty()).then(|| {
        let text = format!("starts {}", found.language);
        Sign::new(found.object, text)
    })
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let process = supply.process;
    let found = python(process).ok_or("the program does not start Python")?;
    let mut additions = Vec::new();
    for path in &found.paths {
        // The settings of a virtual environment are a file.
        if process.has_file(path) {
            additions.push(Addition::File(path.clone()));
            continue;
        }
        let modules = MODULES.iter().map(|module| path.join(module));
        let modules = modules.filter(|module| process.has_file(module));
        additions.extend(modules.map(Addition::File));
        let compiled = path.join(COMPILED);
        if process.view.walk(&compiled).is_ok() {
            additions.push(Addition::Folder(compiled, 0o755));
        }
    }
    let has_landmark = |addition: &Addition| matches!(addition, Addition::File(path) if path.ends_with(Path::new(PYTHON_LANDMARK)));
    match additions.iter().any(has_landmark) {
        true => Ok(additions),
        false => Err(format!(
            "the standard library of {} is not installed",
            found.language
        )),
    }
}
