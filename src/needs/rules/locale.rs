//! glibc's locales; musl's only locale is built in.

use crate::needs::{Addition, Mode, NeedRule, Process, Sign, Supply, Unmet};

const FOLDER: &str = "/usr/lib/locale";
/// The variables that name the locale; the first that is set counts (`setlocale(3)`).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

pub(super) static RULE: NeedRule = NeedRule {
    name: "locale",
    mode: Mode::Automatic,
    what: "the locale",
    sign: "a locale set with -e LANG, LC_ALL or LC_CTYPE, and glibc",
    adds: "that locale; with locale=NAME another one",
    fires,
    supply,
    is_met: Some(|process| configured(process).is_none_or(|(_, name)| has_locale(process, name))),
};

fn configured<'p>(process: &'p Process<'_>) -> Option<(&'static str, &'p str)> {
    let (variable, value) = VARIABLES
        .iter()
        .find_map(|variable| Some((*variable, process.variable(variable)?)))?;
    (!matches!(value, "C" | "POSIX") && !value.contains('/')).then_some((variable, value))
}

fn fires(process: &Process<'_>) -> Option<Sign> {
    let (variable, value) = configured(process)?;
    // musl never reads a locale, whatever a static program calls.
    let readers: &[&str] = match process.is_static() {
        true => &["_nl_load_locale"],
        false if process.is_glibc() => &["setlocale", "newlocale"],
        false => return None,
    };
    process.imports(readers).map(|sign| {
        let text = format!("{} and is started with {variable}={value}", sign.text);
        Sign::new(sign.object, text)
    })
}

fn has_locale(process: &Process<'_>, name: &str) -> bool {
    let names = [
        name.to_owned(),
        normalized(name),
        "locale-archive".to_owned(),
    ];
    names
        .iter()
        .any(|name| process.has(&format!("{FOLDER}/{name}")))
}

fn supply(supply: &Supply<'_>) -> Result<Vec<Addition>, Unmet> {
    let mut names: Vec<&str> = supply.arguments.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(configured(supply.process).map(|(_, name)| name));
    }
    if names.is_empty() {
        return Err("no locale is set; use --with locale=C.UTF-8 or -e LANG=C.UTF-8".into());
    }
    let mut additions = Vec::new();
    for name in names {
        let folders = [name.to_owned(), normalized(name)].map(|name| format!("{FOLDER}/{name}"));
        let found = folders
            .into_iter()
            .find(|path| supply.source.walk(path.as_ref()).is_ok());
        let archive = format!("{FOLDER}/locale-archive");
        additions.push(match found {
            Some(path) => Addition::Tree(path.into()),
            None if supply.source.walk(archive.as_ref()).is_ok() => Addition::File(archive.into()),
            None => return Err(format!("the source has no locale {name} (package locales)").into()),
        });
    }
    Ok(additions)
}

/// The name of a locale's directory: its codeset in lower case without punctuation
/// (`_nl_normalize_codeset`).
fn normalized(name: &str) -> String {
    let Some((locale, codeset)) = name.split_once('.') else {
        return name.to_owned();
    };
    let (codeset, modifier) = match codeset.split_once('@') {
        Some((codeset, modifier)) => (codeset, format!("@{modifier}")),
        None => (codeset, String::new()),
    };
    let letters = codeset.chars().filter(char::is_ascii_alphanumeric);
    let codeset: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    format!("{locale}.{codeset}{modifier}")
}
