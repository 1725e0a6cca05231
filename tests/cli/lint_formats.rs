//! The output formats of lint: text, JSON, SARIF and GitHub annotations; and the documentation of
//! its rules.

use crate::{common, image_writer, root_images, roots};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{fail_with, hello, output, slimpack, succeed};
use image_writer::{Layer, archive};
use root_images::{index_of, members};
use roots::{Root, lint};
use serde_json::{Value, json};

/// The rules that there are; a number is never used again.
const RULES: [&str; 52] = [
    "SP001", "SP002", "SP003", "SP004", "SP005", "SP006", "SP007", "SP008", "SP009", "SP010",
    "SP011", "SP012", "SP013", "SP014", "SP015", "SP016", "SP017", "SP018", "SP101", "SP102",
    "SP103", "SP104", "SP105", "SP106", "SP107", "SP201", "SP202", "SP203", "SP204", "SP301",
    "SP302", "SP303", "SP304", "SP305", "SP306", "SP307", "SP308", "SP309", "SP310", "SP311",
    "SP312", "SP313", "SP401", "SP501", "SP502", "SP503", "SP504", "SP505", "SP506", "SP507",
    "SP508", "SP509",
];

/// A root with findings of every severity, and many findings of some rules.
fn root() -> Root {
    let root = Root::glibc();
    root.library("lib/libgone.so", &[], &[]);
    root.folder("opt/lib");
    let flags = [
        "-Llib",
        "-lgone",
        "-Wl,-rpath,/opt/lib:/opt/absent:relative",
    ];
    for name in ["a", "b", "c", "d", "e"] {
        root.program(&format!("usr/bin/{name}"), &["gone"], &flags);
    }
    root.remove("lib/libgone.so");
    for number in 0..30 {
        root.link(&format!("opt/link{number}"), "nowhere");
    }
    root
}

/// The output of lint on `target` with these arguments, whatever the exit status.
fn printed(arguments: &[&str], target: &Path) -> String {
    let output = output(slimpack().arg("lint").args(arguments).arg(target));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn json_has_the_fields_of_schema_1() {
    let root = root();
    let text = printed(&["--format", "json"], &root.path);
    assert_eq!(text.lines().count(), 1);
    assert_eq!(
        text,
        printed(&["--format", "json"], &root.path),
        "twice the same"
    );
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["schema"], 1);
    assert!(fields(&json).is_superset(&["schema", "targets", "summary"].into()));
    assert!(fields(&json["summary"]).is_superset(&["error", "warning", "info"].into()));
    let target = &json["targets"][0];
    assert!(fields(target).is_superset(&["target", "kind", "checked", "findings"].into()));
    assert!(fields(&target["checked"]).is_superset(&["elf", "scripts"].into()));

    let mut by_severity = BTreeMap::new();
    let mut worst_first = Vec::new();
    for found in target["findings"].as_array().unwrap() {
        let expected = [
            "rule",
            "severity",
            "path",
            "message",
            "subject",
            "requesters",
            "layer",
            "evidence",
        ];
        assert!(fields(found).is_superset(&expected.into()), "{found}");
        for field in ["rule", "severity", "path", "message", "subject", "fix"] {
            assert!(found[field].is_string(), "{field}: {found}");
        }
        assert!(RULES.contains(&found["rule"].as_str().unwrap()));
        assert!(
            found["requesters"].is_array() && found["evidence"].is_object(),
            "{found}"
        );
        let severity = found["severity"].as_str().unwrap();
        *by_severity.entry(severity).or_insert(0) += 1;
        worst_first.push(
            ["error", "warning", "info"]
                .iter()
                .position(|word| *word == severity),
        );
    }
    assert!(worst_first.is_sorted());
    for (severity, count) in by_severity {
        assert_eq!(json["summary"][severity], count, "{severity}");
    }
}

/// Fails unless a document is valid.
fn sarif(target: &Path) -> Value {
    let text = printed(&["--format", "sarif"], target);
    let json: Value = serde_json::from_str(&text).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sarif-2.1.0.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    // Two patterns in the schema have an extra bracket, so they are not valid expressions.
    for part in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][part]["properties"]["language"];
        language.as_object_mut().unwrap().remove("pattern");
    }
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema);
    let validator = validator.unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&json)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    json
}

#[test]
fn sarif_is_valid_and_has_every_rule_and_every_finding() {
    let root = root();
    let json = sarif(&root.path);
    assert_eq!(json["version"], "2.1.0");
    let driver = &json["runs"][0]["tool"]["driver"];
    assert_eq!(driver["name"], "slimpack");
    assert_eq!(common::strings(&driver["rules"], "id"), RULES);
    for rule in driver["rules"].as_array().unwrap() {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(!rule[text]["text"].as_str().unwrap().is_empty(), "{rule}");
        }
    }
    let report = root.lint();
    let results = json["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), report.findings().len());
    let mut fingerprints = BTreeSet::new();
    for (result, found) in results.iter().zip(report.findings()) {
        assert_eq!(result["ruleId"], found["rule"]);
        let level = match found["severity"].as_str().unwrap() {
            "info" => "note",
            other => other,
        };
        assert_eq!(result["level"], level);
        let message = result["message"]["text"].as_str().unwrap();
        // The message and the fix, as two sentences.
        let sentences = ["message", "fix"].map(|part| found[part].as_str().unwrap());
        assert_eq!(message, sentences.join(". "));
        let location = &result["locations"][0];
        let inside = &location["logicalLocations"][0]["fullyQualifiedName"];
        assert_eq!(inside, &found["path"]);
        assert!(
            fingerprints.insert(result["partialFingerprints"].to_string()),
            "{result}"
        );
    }
}

#[test]
fn sarif_of_a_clean_target_and_of_none_is_valid() {
    let root = Root::empty();
    assert_eq!(sarif(&root.path)["runs"][0]["results"], json!([]));
    let mut command = slimpack();
    command
        .args(["lint", "--format", "sarif"])
        .arg(root.beside("absent"));
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(2));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["runs"][0]["results"], json!([]));
}

/// A root directory with an odd name, which holds a file with an odd name.
fn odd() -> (Root, std::path::PathBuf) {
    let root = Root::empty();
    root.write("usr/bin/100%\n::error::\r\x1b[31m", "text");
    root.mode("usr/bin/100%\n::error::\r\x1b[31m", 0o4755);
    let path = root.beside("one, two: 50%");
    fs::rename(&root.path, &path).unwrap();
    (root, path)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = (*first == b'%').then(|| std::str::from_utf8(&behind[..2]).unwrap());
        match code {
            Some(code) => {
                bytes.push(u8::from_str_radix(code, 16).unwrap());
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn sarif_escapes_names_in_uris() {
    let (_root, path) = odd();
    let json = sarif(&path);
    let location = &json["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    let uri = location["artifactLocation"]["uri"].as_str().unwrap();
    assert_eq!(decoded(uri), path.display().to_string());
}

/// Annotations: severity, file, title, text.
fn annotations(target: &Path) -> Vec<[String; 4]> {
    let text = printed(&["--format", "github"], target);
    let lines = text.lines().map(|line| {
        let (command, data) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (severity, properties) = command.split_once(" file=").unwrap();
        let (file, title) = properties.split_once(",title=").unwrap();
        // Any of these characters would end a property early.
        assert!(
            !file.contains([',', ':']) && !title.contains([',', ':']),
            "{line}"
        );
        [severity, file, title, data].map(decoded)
    });
    lines.collect()
}

#[test]
fn github_has_an_annotation_for_each_error_and_warning() {
    let root = root();
    let report = root.lint();
    let annotations = annotations(&root.path);
    let mut serious = report.findings();
    serious.retain(|found| found["severity"] != "info");
    assert!(serious.len() < report.findings().len());
    assert_eq!(annotations.len(), serious.len());
    for ([severity, file, title, text], found) in annotations.iter().zip(serious) {
        assert_eq!(severity, found["severity"].as_str().unwrap());
        assert_eq!(file, root.path.to_str().unwrap());
        assert!(
            title.starts_with(found["rule"].as_str().unwrap()),
            "{title}"
        );
        for part in ["path", "message", "fix"] {
            assert!(text.contains(found[part].as_str().unwrap()), "{text}");
        }
    }
}

#[test]
fn github_escapes_what_would_end_an_annotation() {
    let (_root, path) = odd();
    let text = printed(&["--format", "github"], &path);
    assert!(text.contains("one%2C two%3A 50%25,title="), "{text}");
    assert!(text.contains("100%25\u{fffd}::error::\u{fffd}"), "{text}");
    let annotations = annotations(&path);
    assert_eq!(annotations.len(), 1);
    let [severity, file, _, data] = &annotations[0];
    assert_eq!(
        (severity.as_str(), file.as_str()),
        ("warning", path.to_str().unwrap())
    );
    assert!(
        data.contains("/usr/bin/100%\u{fffd}::error::\u{fffd}"),
        "{data:?}"
    );
}

#[test]
fn annotations_of_an_image_for_several_platforms_name_its_file() {
    let root = Root::empty();
    root.program("usr/bin/app", &[], &["-static"]);
    let layer = Layer::of(&members(&root.path));
    let path = root.beside("two.tar");
    let files = index_of(&[("amd64", &layer), ("arm64", &layer)]);
    fs::write(&path, archive(&files)).unwrap();
    let name = path.to_str().unwrap();
    let json = sarif(&path);
    for result in json["runs"][0]["results"].as_array().unwrap() {
        let location = &result["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(decoded(location["uri"].as_str().unwrap()), name);
    }
    for [_, file, ..] in annotations(&path) {
        assert_eq!(file, name);
    }
}

#[test]
fn the_first_screen_of_text_shows_the_worst_and_what_to_do() {
    let root = root();
    let text = printed(&[], &root.path);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 40, "{text}");
    let name = root.path.display();
    assert_eq!(
        lines[0],
        format!("{name} (rootfs, 7 ELF files and 0 scripts checked)")
    );
    assert_eq!(lines[1], "error SP001 libgone.so is missing");
    assert_eq!(
        lines[2],
        "    needed by /usr/bin/a, /usr/bin/b, /usr/bin/c and 2 more"
    );
    let tried = "    tried /opt/lib/libgone.so: ENOENT\n    tried /opt/absent/libgone.so: ENOENT\n";
    assert!(text.contains(tried), "{text}");
    assert!(
        text.contains("    fix: Add the library, or the package that provides it"),
        "{text}"
    );
    // Of many findings of one rule, only some are shown, and the fix once.
    assert_eq!(text.matches("warning SP304").count(), 5, "{text}");
    assert!(
        text.contains("and 25 more of SP304 (-v shows them)"),
        "{text}"
    );
    assert_eq!(
        text.matches("fix: Add what it points to").count(),
        1,
        "{text}"
    );
    assert!(!text.contains("info SP"), "{text}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("1 error, 35 warnings, "), "{last}");
    assert!(last.ends_with(" infos (-v shows them)"), "{last}");
}

#[test]
fn verbose_text_shows_everything() {
    let root = root();
    let text = printed(&["-v"], &root.path);
    assert!(!text.contains("(-v"), "{text}");
    assert_eq!(text.matches("warning SP304").count(), 30);
    assert!(text.contains("info SP203"), "{text}");
    let all = "needed by /usr/bin/a, /usr/bin/b, /usr/bin/c, /usr/bin/d, /usr/bin/e\n";
    assert!(text.contains(all), "{text}");
    let tried = text
        .lines()
        .filter(|line| line.starts_with("    tried "))
        .count();
    let report = root.lint();
    let listed = &report.only("SP001")["evidence"]["tried"];
    assert_eq!(tried, listed.as_array().unwrap().len());
}

#[test]
fn text_of_several_targets_has_one_summary() {
    let (one, two) = (root(), Root::empty());
    let mut command = slimpack();
    command.arg("lint").arg(&one.path).arg(&two.path);
    let output = output(&mut command);
    let text = String::from_utf8(output.stdout).unwrap();
    for root in [&one, &two] {
        let head = format!("{} (rootfs, ", root.path.display());
        assert_eq!(
            text.lines().filter(|line| line.starts_with(&head)).count(),
            1,
            "{text}"
        );
    }
    let summaries = text
        .lines()
        .filter(|line| line.contains(" warnings, "))
        .count();
    assert_eq!(summaries, 1, "{text}");
    // Ignored findings are counted.
    let text = printed(&["--ignore", "SP304"], &one.path);
    assert!(text.ends_with(", 30 ignored\n"), "{text}");
}

/// A root in which every name contains control characters.
fn hostile() -> Root {
    const DEP: &str = "opt/a\n\x1b[31mb/libdep\n\x1b[1m.so";
    const MIDDLE: &str = "lib/libmid\x1b[7m\n.so.1";
    let root = Root::glibc();
    let library = |inside: &str, source: &str, flags: &[&str]| {
        let name = inside.rsplit('/').next().unwrap();
        let soname = format!("-Wl,-soname,{name}");
        root.compile(
            inside,
            source,
            &[&["-shared", "-fPIC", &soname], flags].concat(),
        );
    };
    library(DEP, "int dep(void) { return 1; }", &[]);
    let source = "int dep(void); int mid(void) { return dep(); }";
    library(MIDDLE, source, &[DEP, "-Wl,-rpath,/opt/no\nwhere\x1b[1m"]);
    let source = "int mid(void); int main(void) { return mid(); }";
    let flags = [MIDDLE, "-Wl,--allow-shlib-undefined"];
    root.compile("usr/bin/app\n\x1b[4m", source, &flags);
    root.link("opt/link\n\x1b[2J", "no\nwhere\x1b[2J");
    root
}

#[test]
fn control_characters_in_a_name_stay_on_its_line() {
    let root = hostile();
    let report = root.lint();
    let found = report.only("SP001");
    // The JSON evidence has the names unescaped.
    assert!(
        found["evidence"]["elsewhere"][0]
            .as_str()
            .unwrap()
            .contains("\n\x1b["),
        "{found}"
    );
    assert_eq!(found["chain"].as_array().unwrap().len(), 2, "{found}");
    let shown = |arguments: &[&str]| {
        let text = printed(arguments, &root.path);
        let is_stray = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(is_stray), "{arguments:?}: {text:?}");
        // Every line has one of the forms of the format.
        for line in text.lines().skip(1) {
            let is_known = ["    ", "error ", "warning ", "info ", "  and ", "1 error, "];
            let known = is_known.iter().any(|start| line.starts_with(start));
            assert!(known, "{arguments:?}: {line:?} in {text}");
        }
    };
    // The terminal gets only the colors of the format, none from a name.
    let mut command = slimpack();
    command
        .env("CLICOLOR_FORCE", "1")
        .arg("lint")
        .arg(&root.path);
    let coloured = String::from_utf8(output(&mut command).stdout).unwrap();
    for code in ["\x1b[7m", "\x1b[4m", "\x1b[2J"] {
        assert!(!coloured.contains(code), "{code:?}: {coloured:?}");
    }
    shown(&[]);
    shown(&["-v"]);
}

#[test]
fn colours_are_for_terminals() {
    let root = root();
    assert!(!printed(&[], &root.path).contains('\x1b'));
    let mut command = slimpack();
    command
        .env("CLICOLOR_FORCE", "1")
        .arg("lint")
        .arg(&root.path);
    let output = output(&mut command);
    assert!(String::from_utf8(output.stdout).unwrap().contains("\x1b["));
}

#[test]
fn every_rule_is_listed_and_explained() {
    let listed = succeed(slimpack().args(["lint", "--list-rules"]));
    let ids: Vec<&str> = listed
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(ids, RULES);
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let id = words.next().unwrap();
        let severity = words.next().unwrap();
        assert!(["error", "warning", "info"].contains(&severity), "{line}");
        let explained = succeed(slimpack().args(["lint", "--explain", id]));
        let title = words.collect::<Vec<_>>().join(" ");
        assert!(
            explained.starts_with(&format!("{id} {severity}: {title}\n")),
            "{explained}"
        );
        let (why, fix) = explained.split_once("\nFix: ").unwrap();
        assert!(why.lines().count() >= 3 && fix.len() > 5, "{explained}");
        let lower = id.to_lowercase();
        assert_eq!(
            succeed(slimpack().args(["lint", "--explain", &lower])),
            explained
        );
    }
}

#[test]
fn explaining_needs_no_target_and_takes_none() {
    for arguments in [&["--explain", "SP001"][..], &["--list-rules"]] {
        let said = fail_with(2, slimpack().arg("lint").args(arguments).arg(hello()));
        assert!(said.contains("cannot be used with"), "{said}");
    }
}

#[test]
fn an_unknown_format_is_refused_with_the_nearest() {
    for (word, nearest) in [("jsn", "json"), ("sarf", "sarif"), ("gihub", "github")] {
        let said = fail_with(2, slimpack().args(["lint", "--format", word]).arg(hello()));
        assert!(said.contains(&format!("'{nearest}'")), "{said}");
    }
}

#[test]
fn the_order_of_findings_puts_what_the_image_starts_first() {
    let root = root();
    let layer = Layer::of(&members(&root.path));
    let files = root_images::layout(&[layer], |config| {
        config["config"]["Entrypoint"] = json!(["/usr/bin/e"]);
    });
    let path = root.beside("image.tar");
    fs::write(&path, archive(&files)).unwrap();
    let report = lint([path]);
    let found = report.of("SP101");
    assert_eq!(found.len(), 5);
    assert_eq!(found[0]["path"], "/usr/bin/e");
}
