//! Rules about the source itself.

use crate::sources;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sources::{all_sources, code, sources};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the room table in ARCHITECTURE.md: a room, what it may use, what it must not do.
fn rooms() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rows = BTreeMap::new();
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("| room |"));
    for line in lines.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let words = |cell: &str| -> BTreeSet<String> {
            let words = cell.split([',', ' ']).map(|word| word.trim_matches('`'));
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let room = cells[1].trim_matches('`').to_owned();
        rows.insert(room, (words(cells[2]), words(cells[3])));
    }
    rows
}

/// The room that a file belongs to.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap();
    let mut parts = inside.iter().map(|part| part.to_str().unwrap());
    match parts.next() {
        // A crate is one room, except for the rooms inside it that the table lists separately.
        Some("crates") => {
            let name = parts.next().unwrap();
            let below = parts.nth(1).unwrap();
            match below {
                "strip" | "closure" | "binding" | "registry" => below.to_owned(),
                "bytes.rs" => "bytes".to_owned(),
                _ => name.to_owned(),
            }
        }
        _ => {
            let name = parts.next().unwrap();
            name.trim_end_matches(".rs").to_owned()
        }
    }
}

/// The rooms used by a line of code.
fn used(line: &str, rooms: &BTreeSet<String>) -> Vec<String> {
    let prefixes = ["crate::", "slimpack_", "pub use slimpack_"];
    let mut found = Vec::new();
    for prefix in prefixes {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            let nested = rest[name.len()..].strip_prefix("::").and_then(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_lowercase());
                Some(&rest[..end?])
            });
            let inner = ["strip", "closure", "binding", "registry", "bytes"];
            match nested.filter(|nested| prefix != "crate::" && inner.contains(nested)) {
                Some(nested) => found.push(nested.to_owned()),
                None if rooms.contains(name) => found.push(name.to_owned()),
                None => {}
            }
        }
    }
    found
}

/// A dependency in the code that is not in the table, if any.
fn strange_arrow(
    room: &str,
    code: &str,
    table: &BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
) -> Option<String> {
    let names: BTreeSet<String> = table.keys().cloned().collect();
    let (allowed, _) = table.get(room)?;
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut arrows = lines.flat_map(|line| used(line, &names));
    arrows.find(|other| other != room && !allowed.contains(other))
}

#[test]
fn rooms_use_those_below_them_as_architecture_says() {
    let table = rooms();
    let mut seen = BTreeSet::new();
    for path in all_sources() {
        let room = room_of(&path);
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        assert!(
            table.contains_key(&room),
            "ARCHITECTURE.md does not have {room}"
        );
        if let Some(other) = strange_arrow(&room, &code(&path), &table) {
            panic!(
                "{}: {room} uses {other}, and ARCHITECTURE.md says that it does not",
                path.display()
            );
        }
        seen.insert(room);
    }
    let told: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(seen, told, "rooms of the code, and of ARCHITECTURE.md");
    // An added dependency is detected.
    let added = "use crate::lint::Rule;\n";
    assert_eq!(
        strange_arrow("needs", added, &table),
        Some("lint".to_owned())
    );
    let added = "use slimpack_loader::closure::Closure;\n";
    assert_eq!(
        strange_arrow("image", added, &table),
        Some("closure".to_owned())
    );
}

#[test]
fn the_rooms_are_floors_without_a_circle() {
    let table = rooms();
    let mut floors: Vec<&str> = Vec::new();
    while floors.len() < table.len() {
        let next = table.iter().find(|(room, (below, _))| {
            let is_built = |below: &String| floors.contains(&below.as_str());
            !floors.contains(&room.as_str()) && below.iter().all(is_built)
        });
        let left = || {
            table
                .keys()
                .filter(|room| !floors.contains(&room.as_str()))
                .collect::<Vec<_>>()
        };
        let (room, _) = next.unwrap_or_else(|| panic!("a circle among {:?}", left()));
        floors.push(room);
    }
}

#[test]
fn rooms_do_not_do_what_architecture_forbids() {
    let table = rooms();
    for path in all_sources() {
        let Some((_, forbidden)) = table.get(&room_of(&path)) else {
            continue;
        };
        // This module is the one place in its crate that touches the host.
        if path.ends_with("vfs/src/host.rs") || path.ends_with("vfs/src/bytes.rs") {
            continue;
        }
        let words: &[(&str, &[&str])] = &[
            ("host", &["std::fs", "std::env", "env::var", "File::open"]),
            ("print", &["println!", "eprintln!", "stdout()", "stderr()"]),
            ("exec", &["process::Command", "Command::new"]),
        ];
        for (number, line) in code(&path).lines().enumerate() {
            for (what, marks) in words.iter().filter(|(what, _)| forbidden.contains(*what)) {
                for mark in marks.iter() {
                    assert!(
                        !line.contains(mark),
                        "{}:{}: {what}: {mark}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn every_module_says_what_comes_in_and_what_goes_out() {
    for path in all_sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
    }
}

/// The type that a line of code defines. An indented alias does not count: it is an associated
/// type, or local to a function.
fn defined_type(line: &str) -> Option<&str> {
    let item = line.trim_start();
    let item = match item.strip_prefix("pub") {
        Some(scope) if scope.starts_with('(') => scope.split_once(") ")?.1,
        Some(item) => item.trim_start(),
        None => item,
    };
    let (keyword, rest) = item.trim_start_matches("unsafe ").split_once(' ')?;
    let is_type = match keyword {
        "struct" | "enum" | "union" | "trait" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &rest[..end.unwrap_or(rest.len())];
    (is_type && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

/// Each type that these files define more than once, with all places.
fn duplicate_types(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, code) in files {
        for (line, number) in code.lines().zip(1..) {
            if let Some(name) = defined_type(line) {
                let place = format!("{}:{number}", path.display());
                places.entry(name).or_default().push(place);
            }
        }
    }
    let duplicates = places.iter().filter(|(_, places)| places.len() > 1);
    duplicates
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

#[test]
fn no_type_is_defined_twice() {
    let mut files: Vec<(PathBuf, String)> = all_sources()
        .into_iter()
        .map(|path| {
            let code = code(&path);
            (path.strip_prefix(root()).unwrap().to_owned(), code)
        })
        .collect();
    let duplicates = duplicate_types(&files);
    assert!(
        duplicates.is_empty(),
        "give each type a name of its own:\n{}",
        duplicates.join("\n")
    );
    // An added duplicate is detected, with both places.
    let added = [
        ("one.rs", "/// An alias.\ntype Added<T> = Vec<T>;\n"),
        ("other.rs", "    pub(in crate::image) struct Added<'a> {\n"),
        (
            "third.rs",
            "impl Deref for One {\n    type Added = Self;\n}\n",
        ),
    ];
    files.extend(added.map(|(path, code)| (path.into(), code.to_owned())));
    assert_eq!(duplicate_types(&files), ["Added: one.rs:2, other.rs:1"]);
}

#[test]
fn no_file_outgrows_its_room() {
    const MOST_LINES: usize = 600;
    for path in all_sources()
        .into_iter()
        .chain(sources(&root().join("tests")))
    {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= MOST_LINES,
            "{} has {lines} lines: split it",
            path.display()
        );
    }
}

#[test]
fn a_build_without_the_feature_compiles_no_c() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(
        manifest.contains("default = [\"cargo\", \"registry\"]\n"),
        "a default feature may pull in the fixtures"
    );
    assert!(manifest.contains(r#"cc = { version = "1.11.3", optional = true }"#));
}

#[test]
fn links_of_the_documentation_lead_to_files() {
    let pages = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let pages = pages(".").chain(pages("docs/src"));
    let pages = pages.filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    let mut checked = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            checked += 1;
            let at = page.parent().unwrap().join(target);
            assert!(at.exists(), "{}: {target}", page.display());
        }
    }
    assert!(checked > 20, "{checked} links");
}
