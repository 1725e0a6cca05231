//! Every error text, checked against the snapshot `tests/data/messages.snap`: a changed text shows
//! up in review, and a text without an example fails the test.

use crate::{examples, runs, sources};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use sources::{all_sources, code, sources};

/// The type of an error (`Enum::Variant`, or a struct), and its text.
pub(crate) type Told = (String, String);

/// Errors without an example, each with the reason.
const UNREACHED: &[(&str, &str)] = &[];

/// Texts that are not slimpack's own, each with how it differs.
const WORDS_OF_OTHERS: &[(&str, &str)] = &[
    ("ReadError::Io", "begins as the system's texts do"),
    ("LogError::Io", "begins as the system's texts do"),
];

/// All texts, in order.
fn told() -> &'static [Told] {
    static TOLD: OnceLock<Vec<Told>> = OnceLock::new();
    TOLD.get_or_init(|| {
        let mut told = examples::all();
        told.extend(runs::all());
        told.sort();
        told
    })
}

#[test]
fn every_text_is_the_one_that_was_reviewed() {
    let lines = told().iter();
    let lines = lines.map(|(name, text)| format!("{name}: {}\n", text.replace('\n', "\n  ")));
    let texts: String = lines.collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../data");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("messages", texts));
}

#[test]
fn each_snapshot_is_accepted_and_used() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let code: String = sources(&tests)
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut found = 0;
    for file in fs::read_dir(tests.join("data")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".snap.new"), "{name} is pending");
        if let Some(name) = name.strip_suffix(".snap") {
            let is_used = code.contains(&format!("assert_snapshot!(\"{name}\""));
            assert!(is_used, "no test uses {name}.snap");
            found += 1;
        }
    }
    assert!(found > 0, "snapshots are elsewhere");
}

#[test]
fn every_error_has_an_example() {
    let mut names = Vec::new();
    for path in all_sources() {
        names.extend(with_text(&code(&path)));
    }
    assert!(names.len() > 50, "errors are written in another way");
    for name in &names {
        let is_told = told().iter().any(|(told, _)| told == name);
        let is_unreached = UNREACHED.iter().any(|(unreached, _)| unreached == name);
        assert!(is_told || is_unreached, "{name} has no example");
        assert!(!(is_told && is_unreached), "{name} has an example");
    }
    let examples = told().iter().map(|(name, _)| name.as_str());
    for name in examples.chain(UNREACHED.iter().map(|(name, _)| *name)) {
        let is_there = names.iter().any(|known| known == name);
        assert!(is_there, "{name} is not in the source any more");
    }
}

#[test]
fn texts_are_written_in_one_way() {
    for (name, text) in told() {
        for words in ["\t", "failed to", "Failed to", "Error"] {
            assert!(!text.contains(words), "{words:?} in {name}: {text}");
        }
        let is_whole = !text.is_empty() && text.lines().all(|line| line.trim_end() == line);
        assert!(
            is_whole,
            "blanks at the end of a line, or nothing: {name}: {text:?}"
        );
        if WORDS_OF_OTHERS.iter().any(|(others, _)| others == name) {
            continue;
        }
        assert!(!text.ends_with('.'), "a full stop ends {name}: {text}");
        assert!(begins_well(text), "{name} begins in another way: {text}");
    }
}

/// Whether a text begins with a word, number, quote, path or option, or with the name of a variable
/// or ELF tag, which are uppercase.
fn begins_well(text: &str) -> bool {
    let is_name = |word: &str| {
        let is_capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        word.contains('_') && word.chars().all(is_capital)
    };
    let starts = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "\"'/.-".contains(c);
    text.starts_with(starts) || is_name(identifier(text))
}

/// The variants and structs in `code` that have their own text.
fn with_text(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut owner = String::new();
    let mut lines = code.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(name) = declared(line) {
            owner = name.to_owned();
        }
        if !line.starts_with("#[error(") || line == "#[error(transparent)]" {
            continue;
        }
        if !line.ends_with(")]") {
            lines.find(|line| line.ends_with(")]")).unwrap();
        }
        let item = lines.find(|line| line.starts_with(char::is_alphabetic));
        let item = item.unwrap();
        match declared(item) {
            Some(name) => {
                owner = name.to_owned();
                found.push(owner.clone());
            }
            None => found.push(format!("{owner}::{}", identifier(item))),
        }
    }
    found
}

/// The name of the enum or struct that a line declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").unwrap_or(line);
    let line = match line.starts_with('(') {
        true => line.split_once(')')?.1,
        false => line,
    };
    let line = line.trim_start();
    let kinds = ["enum ", "struct "].into_iter();
    let mut names = kinds.filter_map(|kind| line.strip_prefix(kind));
    names.next().map(identifier)
}

/// The type name that a text begins with.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}
