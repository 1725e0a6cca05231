//! Converters of character sets of glibc; musl has them built in.

use std::path::PathBuf;

use crate::needs::{Addition, Mode, Process, Rule, Sign, Supply};
use crate::vfs::View;

pub(super) static RULE: Rule = Rule {
    name: "gconv",
    mode: Mode::Hint,
    what: "the converters of glibc",
    sign: "an import of iconv_open by a program of glibc",
    adds: "the converters of glibc (8 MB); with gconv=UTF-16+LATIN1 those of some character sets",
    fires,
    supply,
    is_met: Some(|process| folder(process.view, process).is_some()),
};

fn fires(process: &Process<'_>) -> Option<Sign> {
    match process.is_glibc() {
        true => process.program_imports(&["iconv_open"]),
        false => None,
    }
}

/// Other names of the modules that people ask for (`gconv-modules`).
const ALIASES: [(&str, &str); 5] = [
    ("LATIN1", "ISO8859-1"),
    ("LATIN2", "ISO8859-2"),
    ("LATIN9", "ISO8859-15"),
    ("UTF-16LE", "UTF-16"),
    ("UTF-16BE", "UTF-16"),
];

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, String> {
    let Some(folder) = folder(supply.source, supply.process) else {
        return Err("the source has no converters (package libc6, or libc-bin)".into());
    };
    if supply.arguments.is_empty() {
        return Ok(vec![Addition::Tree(folder)]);
    }
    let mut additions = Vec::new();
    for name in ["gconv-modules", "gconv-modules.cache"] {
        let path = folder.join(name);
        if supply.source.walk(&path).is_ok() {
            additions.push(Addition::File(path));
        }
    }
    let more = folder.join("gconv-modules.d");
    if supply.source.walk(&more).is_ok() {
        additions.push(Addition::Tree(more));
    }
    for charset in supply.arguments {
        let upper = charset.to_uppercase();
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| *alias == upper)
            .map(|(_, name)| *name);
        let plain = upper.replacen("ISO-", "ISO", 1);
        let names = [alias.unwrap_or(&upper), &plain].map(|name| folder.join(format!("{name}.so")));
        match names
            .into_iter()
            .find(|path| supply.source.walk(path).is_ok())
        {
            Some(path) => additions.push(Addition::Tree(path)),
            None => {
                return Err(format!(
                    "there is no converter of {charset} in {}; its modules are named by character \
                     set, such as UTF-16 or ISO8859-1",
                    folder.display()
                ));
            }
        }
    }
    Ok(additions)
}

/// Beside the C library.
fn folder(view: &View, process: &Process<'_>) -> Option<PathBuf> {
    let libc = process.loaded("libc.so.6")?;
    let real = &process.objects()[libc].walk.real;
    let beside = real.parent()?.join("gconv");
    let usual = [beside, "/usr/lib64/gconv".into(), "/usr/lib/gconv".into()];
    usual
        .into_iter()
        .find(|path: &PathBuf| view.walk(path).is_ok())
}
